#!/bin/bash
# elastic.sh - how many channels there are as the load comes and goes: prints a table over time.
#
#   bench/elastic.sh [--quick] [--rate R] [--max N] [--seconds S] [--flows F] [--flat]
#
# Two network namespaces and a veth pair; the path gives each TCP connection its own share of R
# (200mbit) and no more, as one with a policer for each connection, or of many equal paths: htb
# classes at the sender, by the port of the connection. Nothing moves, then F bulk streams (1) as fast
# as they can for S seconds (12), then nothing. [channels] throughput = 1, max = N + 1 (N: 7).
# --flat: one shared link of R in place of that (tbf), where more channels help nobody. Needs root.
# Whatever is started or made here, and nothing else, is ended and removed at the end.
set -u
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/shares.sh"
rate=200mbit most=7 seconds=12 flows=1 flat='' note=''

while [ $# -gt 0 ]; do
	case $1 in
	--quick) seconds=5 most=3 note=' **Quick run: not to be quoted.**' ;;
	--rate) rate=${2:?} && shift ;;
	--max) most=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--flows) flows=${2:?} && shift ;;
	--flat) flat=1 ;;
	*) usage ;;
	esac
	shift
done

channels_conf="throughput = 1
max = $((most + 1))
${NCD_CONF:-}"
least=2

ask() { "$bin/ncd-stat" -s "$dir/a.sock" --json "$1"; }
channels() {
	ask channels | grep -o '"class":"throughput"[^}]*"state":"[a-z]*"' | grep -c "\"$1\"\$"
}
sent() { ask summary | grep -o '"bytes_sent":[0-9]*' | head -n 1 | cut -d: -f2; }
counter() { ask summary | grep -o "\"channels_$1\":[0-9]*" | head -n 1 | cut -d: -f2; }

# line WORDS - one line of the table: what happened since the last.
line() {
	local now bytes
	now=$(date +%s%N)
	bytes=$(sent)
	awk -v t=$((now - began)) -v dt=$((now - last_ns)) -v bytes=$((bytes - last_bytes)) \
		-v what="$1" -v up="$(channels up)" -v draining="$(channels draining)" 'BEGIN {
			more = (draining > 0) ? " (+" draining " draining)" : ""
			printf("| %.1f | %s | %.2f Gbit/s | %d%s | %s |\n", t / 1e9, what, bytes * 8 / dt,
				up, more, substr("################", 1, up)) }'
	last_ns=$now last_bytes=$bytes
}
watch() { # WORDS SECONDS
	local end=$((SECONDS + $2))
	while [ $SECONDS -lt $end ]; do
		sleep 1
		line "$1"
	done
}
# Until they are as few as before, and a line more.
watch_shrink() {
	local end=$((SECONDS + most * 4 + 4))
	while [ $SECONDS -lt $end ] && [ "$(channels up)" -gt 1 ]; do
		sleep 1
		line "$1"
	done
	sleep 1
	line "$1"
}

make_spaces
start_hosts
if [ -n "$flat" ]; then
	shape a "$rate"
else
	share_rate "$rate"
fi
NCD_SOCKET=$dir/b.sock ip netns exec "$space-b" "$bin/ncd-perf" server --via ncd \
	--listen "$b" >"$dir/server.log" 2>&1 &
pids+=($!)
listens() { "$bin/ncd-stat" -s "$dir/b.sock" --json -l sockets | grep -q '"local_port":4799,'; }
until_true 10 listens || fail "the server does not listen"

measured
cat <<-T
	$([ -n "$flat" ] && echo "One link of $rate for all." || echo "$rate for each connection.") throughput = 1, max = $((most + 1)).$note

	| s | load | moved | throughput channels | |
	|---|---|---|---|---|
T
began=$(date +%s%N) last_ns=$began last_bytes=$(sent)
watch idle 2
NCD_SOCKET=$dir/a.sock timeout 120 ip netns exec "$space-a" "$bin/ncd-perf" stream --via ncd \
	--to "$b" --flows "$flows" --seconds "$seconds" >"$dir/perf.log" 2>&1 &
load=$!
pids+=("$load")
watch "bulk, $flows flows" $((seconds + 1))
wait "$load" || fail "ncd-perf failed"
watch_shrink idle
echo
echo "Grown $(counter grown), shrunk $(counter shrunk), refused $(counter refused)."
