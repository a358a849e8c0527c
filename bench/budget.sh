#!/bin/bash
# budget.sh - what waits below ncd as a link becomes ten times slower, and fast again: prints a table.
#
#   bench/budget.sh [--quick] [--rate R] [--slow R] [--seconds S]
#
# Two network namespaces and a veth pair, each side a link of R (10gbit) with one FIFO queue (tbf). One
# bulk stream as fast as it goes; after S seconds (2) the link has the rate --slow (1gbit), after S more
# the first again. Each line is what has happened since the one before, five in a second: what was
# moved, the channel's round trip as the kernel has it smoothed, and what the kernel holds of it, which
# is what a round trip of a latency flow would have to wait for. Needs root.
# Whatever is started or made here, and nothing else, is ended and removed at the end.
. "$(dirname "$0")/hosts.sh"
rate=10gbit slow=1gbit seconds=2 note=''

while [ $# -gt 0 ]; do
	case $1 in
	--quick) seconds=1 note=' **Quick run: not to be quoted.**' ;;
	--rate) rate=${2:?} && shift ;;
	--slow) slow=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done

received() {
	"$bin/ncd-stat" -s "$dir/b.sock" --json summary | grep -o '"bytes_received":[0-9]*' | head -n 1 | cut -d: -f2
}
# What the kernel of host a says of the connection that has sent most: smoothed round trip in ms,
# bytes given to it and not acknowledged (unsent ones, too).
below() {
	ip netns exec "$space-a" ss -tinmO state established "( dport = :$port or sport = :$port )" |
		awk '{ sent = 0; queued = 0; rtt = 0
			for (i = 1; i <= NF; i++) {
				if ($i ~ /^bytes_sent:/) sent = substr($i, 12) + 0
				if ($i ~ /^rtt:/) { split(substr($i, 5), r, "/"); rtt = r[1] }
			}
			queued = $2
			if (sent > most) { most = sent; what = rtt " " queued } } END { print what }'
}
# lines WORDS - for the seconds given.
lines() {
	local i now bytes
	for ((i = 0; i < seconds * 5; i++)); do
		sleep 0.2
		now=$(date +%s%N)
		bytes=$(received)
		awk -v t=$((now - began)) -v dt=$((now - last_ns)) -v bytes=$((bytes - last_bytes)) \
			-v what="$1" -v below="$(below)" 'BEGIN { split(below, b, " ")
				printf("| %.1f | %s | %.2f Gbit/s | %.2f ms | %.0f KiB |\n", t / 1e9, what,
					bytes * 8 / dt, b[1], b[2] / 1024) }'
		last_ns=$now last_bytes=$bytes
	done
}
link() {
	local side
	for side in a b; do
		tc -n "$space-$side" qdisc change dev eth0 root tbf rate "$1" burst 512kb limit 4mb || fail "no tbf"
	done
}

make_spaces
shape a "$rate"
shape b "$rate"
start_hosts
ip netns exec "$space-b" env NCD_SOCKET="$dir/b.sock" "$bin/ncd-perf" server --via ncd --listen "$b" >"$dir/server.log" 2>&1 &
pids+=($!)
until_true 5 grep -q serving "$dir/server.log" || fail "an application does not attach"
measured
cat <<-T
	A link of $rate with one FIFO queue of 4 MB, then $slow, then $rate.$note

	| s | link | moved | round trip | below ncd |
	|---|---|---|---|---|
T
ip netns exec "$space-a" env NCD_SOCKET="$dir/a.sock" "$bin/ncd-perf" stream --via ncd --to "$b" \
	--seconds $((3 * seconds + 60)) >"$dir/client.log" 2>&1 &
pids+=($!)
moves() { [ "$(received)" -gt 10000000 ]; }
until_true 5 moves || fail "nothing moves"
began=$(date +%s%N) last_ns=$began last_bytes=$(received)
lines "$rate"
link "$slow"
lines "$slow"
link "$rate"
lines "$rate again"
