#!/bin/bash
# fairness.sh - what one client keeps beside another that takes all it can, ncd against kernel TCP,
# as a table.
#
#   bench/fairness.sh [--quick] [--pairs N] [--sockets N] [--cores A,B]
#
# How evenly 101 streams of one client are served; then a client of one socket beside a greedy one of
# N (1000): the share of its bulk, and its 64-byte ping-pong. The greedy one sends bulk; bulk in the
# latency class (SO_PRIORITY 6); 64-byte messages of that class, 64 under way in each socket; or it
# connects, makes a round trip and closes in all of them. The clients are on core A, the servers and
# their ncd on B (0,1), kernel TCP as well; PAIRS (3) of both, A B A B, the median of each figure with
# the smallest and the largest. About 25 s a pair.
# Whatever is started here, and nothing else, is ended at the end.
set -u
. "$(dirname "$0")/hosts.sh"
pairs=3 sockets=1000 cores=0,1 seconds=0.4 greedy_seconds=1.8 even_seconds=1.5 note=''
while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=0.3 greedy_seconds=1.6 even_seconds=0.5 note=' **Quick run: not to be quoted.**' ;;
	--pairs) pairs=${2:?} && shift ;;
	--sockets) sockets=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
core_a=${cores%,*} core_b=${cores#*,}

# Each transport has two servers: of the greedy client, and of the other.
serve() { # VIA PORT
	NCD_SOCKET=$dir/b.sock "$bin/ncd-perf" server --via "$1" --listen "$b" --port "$2" \
		--cpu "$core_b" >"$dir/server-$2.log" 2>&1 &
	pids+=($!)
}
greedy_port() { [ "$1" = ncd ] && echo 4801 || echo 4803; }
good_port() { [ "$1" = ncd ] && echo 4802 || echo 4804; }
# perf VIA PORT NAME OPTIONS... - a client; its JSON is in NAME.
perf() {
	NCD_SOCKET=$dir/a.sock exec "$bin/ncd-perf" "${@:4}" --via "$1" --to "$b" \
		--port "$2" --cpu "$core_a" --json >"$dir/$3" 2>"$dir/$3.log"
}
member() { grep -o "\"$2\":[0-9.]*" "$dir/$1" | head -n 1 | cut -d: -f2; }
# It has connected, and works: it has had 0.1 s of a core.
works() { [ "$(awk '{ print $14 + $15 }' "/proc/$greedy/stat")" -ge 10 ]; }
note_value() { echo "$3" >>"$dir/value.$1.$2"; } # ROW VIA VALUE
good() { # VIA NAME OPTIONS...
	(perf "$1" "$(good_port "$1")" "$2" "${@:3}" --seconds "$seconds") || fail "$1: ${*:3} failed"
}
pingpong() { # VIA ROW
	good "$1" trips rpc
	note_value "$2.p50" "$1" "$(member trips p50)"
	note_value "$2.p99" "$1" "$(member trips p99)"
}
# beside VIA ROW GREEDY-OPTIONS... [-- GOOD-OPTIONS...] - without the latter there is no bulk.
beside() {
	local via=$1 row=$2 flood=() bulk=()
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do flood+=("$1") && shift; done
	[ $# -eq 0 ] || bulk=("${@:2}")
	(perf "$via" "$(greedy_port "$via")" greedy "${flood[@]}" --flows "$sockets" \
		--seconds "$greedy_seconds") &
	greedy=$!
	until_true 20 works || fail "$via: the greedy client does not begin"
	pingpong "$via" "$row"
	if [ ${#bulk[@]} -gt 0 ]; then
		good "$via" bulk "${bulk[@]}"
		kill -0 $greedy 2>/dev/null || fail "$via: the greedy client has ended too early"
	fi
	wait $greedy || fail "$via: the greedy client failed"
	[ ${#bulk[@]} -gt 0 ] || return
	note_value "$row.share" "$via" "$(awk -v a="$(member bulk bytes_per_s)" \
		-v b="$(member greedy bytes_per_s)" 'BEGIN { print 100 * a / (a + b) }')"
	note_value "$row.bulk" "$via" "$(awk -v v="$(member bulk bytes_per_s)" 'BEGIN { print v / 1e9 }')"
}
measure() { # VIA
	echo "  $1" >&2
	seconds=$even_seconds good "$1" even stream --flows 101
	note_value even "$1" "$(member even jain)"
	pingpong "$1" alone
	beside "$1" bulk stream -- stream
	beside "$1" latency stream --priority 6 -- stream --priority 6
	beside "$1" small rpc --size 64 --depth 64 --priority 6
	beside "$1" connects connect
}
# value ROW VIA FORMAT - the median of what was noted, with the smallest and the largest.
value() {
	sort -g "$dir/value.$1.$2" | awk -v f="$3" '{ v[NR] = $1 } END {
		m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
		printf f " (" f " .. " f ")", m, v[1], v[NR] }'
}
line() { # WORDS METRIC ROW FORMAT
	echo "| $1 | $2 | $(value "$3" tcp "$4") | $(value "$3" ncd "$4") |"
}

start_hosts
for via in tcp ncd; do
	serve $via "$(greedy_port $via)"
	serve $via "$(good_port $via)"
done
listens() { "$bin/ncd-stat" -s "$dir/b.sock" --json -l sockets | grep -q "\"local_port\":$1,"; }
until_true 10 listens 4801 && until_true 10 listens 4802 || fail "the servers do not listen"
measured
for ((i = 0; i < pairs; i++)); do
	measure tcp
	measure ncd
done
cat <<-T
	$pairs pairs, $seconds s for each figure: median (least .. most).$note

	| | | kernel TCP | ncd |
	|---|---|---|---|
T
line "101 bulk streams of one client" "Jain's index" even %.3f
line "one bulk stream beside $sockets of another client" "share, %" bulk.share %.0f
line "" "GB/s" bulk.bulk %.2f
line "the same in the latency class" "share, %" latency.share %.0f
line "" "GB/s" latency.bulk %.2f
for row in alone bulk latency small connects; do
	case $row in
	alone) words="a ping-pong of 64 bytes, alone" ;;
	bulk) words="beside $sockets sockets of bulk" ;;
	latency) words="beside $sockets of bulk in the latency class" ;;
	small) words="beside $sockets of 64-byte messages in that class" ;;
	connects) words="beside $sockets that connect and close" ;;
	esac
	line "$words" "p50, us" $row.p50 %.0f
	line "" "p99, us" $row.p99 %.0f
done
