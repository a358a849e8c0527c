#!/bin/bash
# hosts.sh - sourced by the scripts beside it: two hosts on one machine, a and b, each with an ncd of
# its own, in a temporary directory $dir; all that was started or made here, and nothing else, is
# ended and removed when the script ends.
#
# start_hosts uses: $a $b (addresses), $core_a $core_b (of the workers; empty: where the kernel puts
# them), $daemon_conf $channels_conf (more lines of these sections), $ncd_by (what starts an ncd, as
# nice), $spaces (see make_spaces).
cd "$(dirname "$0")/.." || exit 1
: "${OUT:=build/release}"
me=$(basename "$0")
bin=$(cd "$OUT" 2>/dev/null && pwd) || { echo "$me: no $OUT: run make first" >&2; exit 1; }
a=127.0.0.1 b=127.0.0.2 core_a='' core_b='' daemon_conf='' channels_conf='' ncd_by=()
least=3 # channels of a host that is connected
pairs=5 seconds=2 server_host=b # of a comparison: its client is at host a

# usage - the head of the script, but for its first line.
usage() {
	sed -n '2,/^[^#]/{/^#/s/^# \?//p}' "$0" >&2
	exit 1
}

dir=$(mktemp -d "${TMPDIR:-/tmp}/ncd-bench.XXXXXX") || exit 1
chmod 755 "$dir" # servers that change their user look at files in it
pids=() spaces=() space=''
# end PID - gracefully, or after 5 s by force.
end() {
	local i
	kill "$1" 2>/dev/null
	for ((i = 0; i < 50; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep .1
	done
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}
# The daemons come first in $pids, and end last: they wait for streams.
hosts_gone() {
	local pid
	for pid in "${pids[@]:2}" "${pids[@]:0:2}"; do end "$pid"; done
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
	echo "$me: $*" >&2
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

# ---- the two hosts ----

# host NAME ADDRESS CORE PEER PEER-ADDRESS - writes its config and starts its ncd.
host() {
	local within=()
	[ ${#spaces[@]} -eq 0 ] || within=(ip netns exec "$space-$1")
	cat >"$dir/$1.conf" <<-C
		[host]
		address = $2
		[daemon]
		socket = $dir/$1.sock
		$daemon_conf
		[workers]
		${3:+cores = $3}
		[channels]
		port = $port
		$channels_conf
		[peer $4]
		address = $5
		port = $port
	C
	"${within[@]}" "${ncd_by[@]}" "$bin/ncd" -c "$dir/$1.conf" >"$dir/$1.log" 2>&1 &
	pids+=($!)
}
channels_up() {
	[ "$("$bin/ncd-stat" -s "$dir/$1.sock" --json channels | grep -o '"state":"up"' | wc -l)" -ge $least ]
}
start_hosts() {
	local try
	for ((try = 0; try < 5; try++)); do
		port=$((20000 + RANDOM % 10000))
		host a "$a" "$core_a" b "$b"
		host b "$b" "$core_b" a "$a"
		until_true 10 channels_up a && until_true 10 channels_up b && return
		hosts_gone
		grep -q 'in use' "$dir"/*.log || break
	done
	fail "the two daemons did not connect"
}
# make_spaces - two namespaces, $space-a and $space-b, joined by a veth pair, eth0 at either end. The
# hosts that start afterwards are there.
make_spaces() {
	local name
	space=$(basename "$dir" | tr -dc A-Za-z0-9)
	a=10.79.0.1 b=10.79.0.2
	for name in a b; do
		ip netns add "$space-$name" || fail "no network namespaces: root is needed"
		spaces+=("$space-$name")
		ip -n "$space-$name" link set lo up
	done
	ip -n "$space-a" link add eth0 type veth peer name eth0 netns "$space-b" || fail "no veth pair"
	ip -n "$space-a" addr add "$a/24" dev eth0
	ip -n "$space-b" addr add "$b/24" dev eth0
	for name in a b; do ip -n "$space-$name" link set eth0 up; done
}
# shape SIDE RATE - a link of that rate, with one FIFO queue.
shape() {
	tc -n "$space-$1" qdisc add dev eth0 root tbf rate "$2" burst 512kb limit 4mb || fail "no tbf"
}

# ---- what is said ----

# How much of the cores others use: their work falls on the two sides unevenly.
busy_percent() {
	local before after
	before=$(awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $5 + $6 }' /proc/stat)
	sleep 2
	after=$(awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $5 + $6 }' /proc/stat)
	awk -v b="$before" -v a="$after" 'BEGIN { split(b, x); split(a, y); busy = y[1] - x[1]
		printf "%.0f", 100 * busy / (busy + y[2] - x[2]) }'
}
# measured - when, what and where; a warning if it is not quiet.
measured() {
	local busy
	busy=$(busy_percent)
	cat <<-T
		Measured $(date -u +'%Y-%m-%d %H:%M UTC'), commit $(git describe --always --dirty 2>/dev/null || echo unknown).
		Machine: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r).
	T
	[ "$busy" -lt 5 ] || echo "**Others used $busy % of the cores when it began: not to be quoted.**"
}
# compare VIA MODE OPTIONS... - ncd-perf compare of kernel TCP and VIA, $pairs pairs of $seconds s;
# leaves its JSON in $dir/json.
compare() {
	local via=$1
	shift
	echo "  $via: $*" >&2
	timeout 600 "$bin/ncd-perf" compare "$@" --via "tcp,$via" --pairs "$pairs" --seconds "$seconds" \
		--client-socket "$dir/a.sock" --server-socket "$dir/$server_host.sock" \
		--client-addr "$a" --server-addr "${!server_host}" --json >"$dir/json" 2>"$dir/perf.log" ||
		fail "ncd-perf compare $* --via tcp,$via failed"
}
# field METRIC FIELD - out of the JSON of the last comparison.
field() {
	sed -n 's/.*"'"$1"'":{"better":"[a-z]*","pairs":\[[^]]*\],\("median_a":[^}]*\)}.*/,\1,/p' \
		"$dir/json" | sed -n 's/.*,"'"$2"'":"\{0,1\}\([^,"]*\)"\{0,1\},.*/\1/p'
}
