#!/bin/bash
# isolation.sh - a latency flow beside throughput processes, ncd against kernel TCP, as a table.
#
#   bench/isolation.sh [--quick] [--pairs N] [--seconds S] [--rows 4a,4b,4c] [--cores A,B] [--rate R]
#
# A 4096-byte ping-pong beside 8 process pairs that write 10 MB at a time: on two cores (4a), the
# same with the ping-pong at nice -20 and SO_PRIORITY 7 (4b), and over a link of R (10gbit) with
# one FIFO queue (4c): two network namespaces, a veth pair, tbf at both ends. Rows 4b and 4c need
# root. Applications go where the kernel puts them. NCD_CONF, if set, is more lines of [channels].
# Whatever is started or made here, and nothing else, is ended and removed at the end.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${OUT:=build/release}" "${NCD_CONF:=}"
bin=$(cd "$OUT" 2>/dev/null && pwd) || { echo "isolation.sh: no $OUT: run make first" >&2; exit 1; }
pairs=5 seconds=2 rows=4a,4b,4c cores=0,1 rate=10gbit note=''

while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=0.6 note=' **Quick run: not to be quoted.**' ;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--rows) rows=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	--rate) rate=${2:?} && shift ;;
	*) sed -n '2,11s/^# \?//p' "$0" >&2 && exit 1 ;;
	esac
	shift
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/ncd-isolation.XXXXXX") || exit 1
pids=() spaces=() dir_name=
hosts_gone() {
	local pid i
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	for pid in "${pids[@]}"; do
		for ((i = 0; i < 50; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep .1
		done
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	pids=()
}
gone() {
	local space
	trap - EXIT
	trap '' INT TERM
	hosts_gone
	for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null; done # the veth pair with it
	rm -rf "$dir"
}
trap gone EXIT
trap 'exit 130' INT TERM

fail() {
	echo "isolation.sh: $*" >&2
	tail -n 5 "$dir"/*.log >&2
	exit 1
}
# until_true SECONDS COMMAND... - waits for a condition.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		sleep .05
	done
}
# host NAME ADDRESS CORE PEER PEER-ADDRESS - starts its ncd, in its namespace if there is one.
host() {
	local within=()
	[ ${#spaces[@]} -eq 0 ] || within=(ip netns exec "$dir_name-$1")
	cat >"$dir/$1.conf" <<-C
		[host]
		address = $2
		[daemon]
		socket = $dir/$1.sock
		[workers]
		cores = $3
		[channels]
		port = $port
		$NCD_CONF
		[peer $4]
		address = $5
		port = $port
	C
	"${within[@]}" "$bin/ncd" -c "$dir/$1.conf" >"$dir/$1.log" 2>&1 &
	pids+=($!)
}
channels_up() {
	[ "$("$bin/ncd-stat" -s "$dir/$1.sock" --json channels | grep -o '"state":"up"' | wc -l)" -ge 3 ]
}
start_hosts() {
	local try
	for ((try = 0; try < 5; try++)); do
		port=$((20000 + RANDOM % 10000))
		host a "$a" "${cores%,*}" b "$b"
		host b "$b" "${cores#*,}" a "$a"
		until_true 10 channels_up a && until_true 10 channels_up b && return
		hosts_gone
		grep -q 'in use' "$dir"/*.log || break
	done
	fail "the two daemons did not connect"
}
# Two namespaces joined by a link of $rate that has one FIFO queue at either end.
make_link() {
	local name
	dir_name=$(basename "$dir" | tr -dc A-Za-z0-9)
	for name in a b; do
		ip netns add "$dir_name-$name" || fail "no network namespaces: root is needed"
		spaces+=("$dir_name-$name")
		ip -n "$dir_name-$name" link set lo up
	done
	ip -n "$dir_name-a" link add eth0 type veth peer name eth0 netns "$dir_name-b" ||
		fail "no veth pair"
	ip -n "$dir_name-a" addr add "$a/24" dev eth0
	ip -n "$dir_name-b" addr add "$b/24" dev eth0
	for name in a b; do
		ip -n "$dir_name-$name" link set eth0 up
		tc -n "$dir_name-$name" qdisc add dev eth0 root tbf rate "$rate" burst 512kb limit 4mb ||
			fail "no tbf"
	done
}

# field METRIC FIELD - out of the JSON of the last comparison.
field() {
	sed -n 's/.*"'"$1"'":{"better":"[a-z]*","pairs":\[[^]]*\],\("median_a":[^}]*\)}.*/,\1,/p' \
		"$dir/json" | sed -n 's/.*,"'"$2"'":"\{0,1\}\([^,"]*\)"\{0,1\},.*/\1/p'
}
# line WORDS METRIC VIA [RELATION GOAL]... - one line; a goal like 300us is for the value itself.
line() {
	local words=$1 metric=$2 via=$3 goals='' how goal value
	shift 3
	while [ $# -gt 0 ]; do
		how=$1 goal=$2 value=$(field "$metric" median_ratio)
		case $goal in
		*us) value=$(field "$metric" median_b) ;;
		*Gbit/s) value=$(awk -v v="$(field "$metric" median_b)" 'BEGIN { print v * 8 / 1e9 }') ;;
		esac
		goals="$goals${goals:+, }$how $goal: $(awk -v r="$value" -v how="$how" -v g="$goal" 'BEGIN {
			ok = how == ">=" ? (r >= g + 0) : (r <= g + 0); print(ok ? "yes" : "**no**") }')"
		shift 2
	done
	awk -v w="$words" -v m="$metric" -v via="$via" -v a="$(field "$metric" median_a)" \
		-v b="$(field "$metric" median_b)" -v r="$(field "$metric" median_ratio)" \
		-v lo="$(field "$metric" min_ratio)" -v hi="$(field "$metric" max_ratio)" \
		-v winner="$(field "$metric" winner | sed 's/null/undecided/')" -v goals="${goals:--}" '
		function value(v) {
			return m ~ /bytes_per_s/ ? sprintf("%.2f Gbit/s", v * 8 / 1e9) : sprintf("%.1f us", v)
		}
		BEGIN { printf "| %s | %s | %s | %s | %s | **%.3f** | %.3f .. %.3f | %s | %s |\n", w, m, via,
			value(a), value(b), r, lo, hi, winner, goals }'
}
# compare VIA OPTION...
compare() {
	local via=$1
	shift
	echo "  isolate $* $via" >&2
	timeout 600 "$bin/ncd-perf" compare isolate "$@" --via "tcp,$via" --pairs "$pairs" \
		--seconds "$seconds" --client-socket "$dir/a.sock" --server-socket "$dir/b.sock" \
		--client-addr "$a" --server-addr "$b" --json >"$dir/json" 2>"$dir/perf.log" ||
		fail "ncd-perf compare isolate $* --via tcp,$via failed"
}

cpu_bound() {
	local via least=0.6
	for via in ncd ncd-zc; do
		compare "$via"
		line "4a no priorities" p99_us "$via" '<=' 0.1
		line "" p99_9_us "$via" '<=' 0.1
		line "" p50_us "$via"
		line "" throughput_bytes_per_s "$via" '>=' $least
		least=1.0
	done
}
prioritised() {
	compare ncd --nice -20 --priority 7
	line "4b nice -20, priority 7" p99_us ncd '<=' 100us
	line "" p50_us ncd
	line "" throughput_bytes_per_s ncd
}
link_bound() {
	local cc most=0.05 full
	full=$(awk -v r="$rate" 'BEGIN { v = r + 0; print(0.95 * (r ~ /gbit$/ ? v : v / 1000)) }')
	for cc in cubic bbr; do
		grep -qw $cc /proc/sys/net/ipv4/tcp_available_congestion_control || continue
		compare ncd --congestion $cc --client-netns "$dir_name-a" --server-netns "$dir_name-b"
		line "4c link of $rate, kernel TCP with $cc" p99_us ncd '<=' $most '<=' 300us
		line "" p50_us ncd
		line "" throughput_bytes_per_s ncd '>=' "${full}Gbit/s"
		most=0.1
	done
}

cat <<-T
	Measured $(date -u +'%Y-%m-%d %H:%M UTC'), commit $(git describe --always --dirty 2>/dev/null || echo unknown).
	Machine: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r).
	Kernel TCP: cubic if nothing else is said. $pairs pairs of $seconds s for each line.$note

	| workload | metric | via | kernel TCP | ncd | median ratio | min .. max | winner | goal |
	|---|---|---|---|---|---|---|---|---|
T
a=127.0.0.1 b=127.0.0.2
case ,$rows, in *,4a,* | *,4b,*) start_hosts ;; esac
case ,$rows, in *,4a,*) cpu_bound ;; esac
case ,$rows, in *,4b,*) prioritised ;; esac
hosts_gone
case ,$rows, in *,4c,*)
	a=10.79.0.1 b=10.79.0.2
	make_link
	start_hosts
	link_bound
	;;
esac
