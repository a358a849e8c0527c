#!/bin/bash
# isolation.sh - a latency flow beside throughput processes, ncd against kernel TCP, as a table.
#
#   bench/isolation.sh [--quick] [--pairs N] [--seconds S] [--rows 4a,4b,4c] [--cores A,B] [--rate R]
#
# A 4096-byte ping-pong beside 8 process pairs that write 10 MB at a time: on two cores (4a); the
# same with the ping-pong at nice -20 and SO_PRIORITY 7 (4b), then with both ncds at nice -10,
# as the unit's Nice= sets it; and over a link of R (10gbit) with one FIFO queue (4c): two network
# namespaces, a veth pair, tbf at both ends. Rows 4b and 4c need root. Applications go where the
# kernel puts them. NCD_CONF, if set, is more lines of [channels].
# Whatever is started or made here, and nothing else, is ended and removed at the end.
set -u
. "$(dirname "$0")/hosts.sh"
rows=4a,4b,4c cores=0,1 rate=10gbit note=''
channels_conf=${NCD_CONF:-}

while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=0.6 note=' **Quick run: not to be quoted.**' ;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--rows) rows=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	--rate) rate=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done

wants() { case ,$rows, in *,$1,*) ;; *) return 1 ;; esac }
core_a=${cores%,*} core_b=${cores#*,}

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
cpu_bound() {
	local via least=0.6
	for via in ncd ncd-zc; do
		compare "$via" isolate
		line "4a no priorities" p99_us "$via" '<=' 0.1
		line "" p99_9_us "$via" '<=' 0.1
		line "" p50_us "$via"
		line "" throughput_bytes_per_s "$via" '>=' $least
		least=1.0
	done
}
prioritised() {
	compare ncd isolate --nice -20 --priority 7
	line "$1" p99_us ncd '<=' 100us
	line "" p50_us ncd
	line "" throughput_bytes_per_s ncd
}
link_bound() {
	local cc most=0.05 full
	full=$(awk -v r="$rate" 'BEGIN { v = r + 0; print(0.95 * (r ~ /gbit$/ ? v : v / 1000)) }')
	for cc in cubic bbr; do
		grep -qw $cc /proc/sys/net/ipv4/tcp_available_congestion_control || continue
		compare ncd isolate --congestion $cc --client-netns "$space-a" --server-netns "$space-b"
		line "4c link of $rate, kernel TCP with $cc" p99_us ncd '<=' $most '<=' 300us
		line "" p50_us ncd
		line "" throughput_bytes_per_s ncd '>=' "${full}Gbit/s"
		most=0.1
	done
}

measured
cat <<-T
	Kernel TCP: cubic if nothing else is said. $pairs pairs of $seconds s for each line.$note

	| workload | metric | via | kernel TCP | ncd | median ratio | min .. max | winner | goal |
	|---|---|---|---|---|---|---|---|---|
T
if wants 4a || wants 4b; then
	start_hosts
	if wants 4a; then cpu_bound; fi
	if wants 4b; then
		prioritised "4b nice -20, priority 7"
		hosts_gone
		ncd_by=(nice -n -10)
		start_hosts
		prioritised "4b, ncd at nice -10"
		ncd_by=()
	fi
	hosts_gone
fi
if wants 4c; then
	make_spaces
	for side in a b; do shape $side "$rate"; done
	start_hosts
	link_bound
fi
