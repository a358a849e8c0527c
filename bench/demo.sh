#!/bin/bash
# demo.sh - `make demo`: two hosts on this machine, each with its own ncd; a file from one to the
# other, a comparison with kernel TCP, and what ncd-stat shows. Everything is in a temporary
# directory, on loopback addresses and a free port, and gone afterwards, also after Ctrl-C.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${OUT:=build/release}"
bin=$(cd "$OUT" && pwd) || exit 1
file_bytes=300000000
here=127.0.0.1 there=127.0.0.2
pairs=3 seconds=1 # of each measurement

dir=$(mktemp -d "${TMPDIR:-/tmp}/ncd-demo.XXXXXX") || exit 1
pids=()
gone() {
	local pid i
	trap - EXIT
	trap '' INT TERM
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	for pid in "${pids[@]}"; do
		for ((i = 0; i < 50; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep .1
		done
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap gone EXIT
trap 'echo; echo "demo: interrupted, cleaning up"; exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }
fail() {
	echo "demo: $*" >&2
	for log in "$dir"/*.log; do
		[ -s "$log" ] && echo "--- ${log##*/}" && tail -n 15 "$log"
	done >&2
	exit 1
}
# job COMMAND... - runs it, in the background so that Ctrl-C and SIGTERM are heard at once.
job() {
	local status
	"$@" <&0 &
	pids+=($!)
	wait $!
	status=$?
	unset 'pids[-1]' # it is gone, and its number may be another's by now
	return $status
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

# The first two cores that this shell may use; the same one twice if there is no second.
read -r core_here core_there < <(awk '/^Cpus_allowed_list/ {
	n = split($2, part, ",")
	for (i = 1; i <= n && k < 2; i++) {
		m = split(part[i], end, "-")
		for (c = end[1]; c <= end[m] && k < 2; c++)
			cpu[++k] = c
	}
	print cpu[1], k < 2 ? cpu[1] : cpu[2] }' /proc/self/status)

# host NAME ADDRESS CORE PEER-NAME PEER-ADDRESS - writes its config and starts its ncd.
host() {
	cat >"$dir/$1.conf" <<-C
		[host]
		address = $2
		[daemon]
		socket = $dir/$1.sock
		[workers]
		cores = $3
		[channels]
		port = $port
		[peer $4]
		address = $5
		port = $port
	C
	"$bin/ncd" -c "$dir/$1.conf" >"$dir/$1.log" 2>&1 &
	pids+=($!)
}
stat_of() { "$bin/ncd-stat" -s "$dir/$1.sock" "${@:2}"; }
channels_up() { [ "$(stat_of "$1" --json channels | grep -o '"state":"up"' | wc -l)" -ge 3 ]; }
# Both have their channels; or one has ended, then $ended is set.
met_or_ended() {
	local pid
	ended=
	for pid in "${pids[@]}"; do kill -0 "$pid" || ended=1; done
	[ -n "$ended" ] || { channels_up here && channels_up there; }
}
listens() { stat_of there --json -l sockets | grep -q "\"local_port\":$1,"; }

say "1. Two hosts"
echo "Each runs ncd, has a core, and names the other in its config. In real life: two machines."
hosts() {
	host here $here "$core_here" there $there
	host there $there "$core_there" here $here
	until_true 15 met_or_ended && [ -z "$ended" ] && return
	kill "${pids[@]}" 2>/dev/null
	wait "${pids[@]}" 2>/dev/null
	pids=()
	return 1
}
# The usual port 4790 may be a real ncd's. Who else has the one that is tried next is told by ncd.
for ((try = 1; ; try++)); do
	port=$((20000 + RANDOM % 10000))
	hosts && break
	[ -n "$ended" ] || fail "the two hosts did not connect within 15 s"
	[ $try -lt 5 ] && grep -q 'is in use' "$dir"/*.log || fail "ncd has ended"
done
for name in here there; do
	printf '  %-6s %s   its ncd has this config:\n' "$name" "${!name}"
	sed 's/^/           /' "$dir/$name.conf"
done
echo "They have connected. These TCP connections, the channels, carry all that follows:"
stat_of here channels | sed 's/^/  /'

say "2. A file, from $here to $there over a virtual socket"
free=$(df -B1 --output=avail "$dir" | tail -n 1)
[ "$free" -gt $((4 * file_bytes)) ] || file_bytes=$((free / 4))
echo "Making it: a tar of the first $((file_bytes / 1000000)) MB of /usr ..."
make_file() { tar -cf - -C / usr 2>/dev/null | head -c "$file_bytes" >"$dir/sent"; }
job make_file
file_bytes=$(stat -c %s "$dir/sent")
NCD_SOCKET=$dir/there.sock timeout 60 "$bin/ncd-cat" -l 9000 >"$dir/received" 2>"$dir/receiver.log" &
receiver=$!
pids+=("$receiver")
until_true 10 listens 9000 || fail "ncd-cat does not listen"
echo "  on there:  ncd-cat -l 9000 > received"
echo "  on here:   ncd-cat $there 9000 < sent"
start=$(date +%s%N)
NCD_SOCKET=$dir/here.sock job timeout 60 "$bin/ncd-cat" $there 9000 <"$dir/sent" 2>"$dir/sender.log" ||
	fail "sending failed"
wait $receiver || fail "receiving failed"
unset 'pids[-1]'
ns=$(($(date +%s%N) - start))
awk -v b="$file_bytes" -v ns="$ns" 'BEGIN {
	printf "  %.0f MB in %.2f s: %.1f Gbit/s, disk cache to disk cache\n", b / 1e6, ns / 1e9, b * 8 / ns }'
sent=$(sha256sum <"$dir/sent") received=$(sha256sum <"$dir/received")
printf '  SHA-256 of what was sent     %.64s\n  SHA-256 of what has arrived  %.64s\n' "$sent" "$received"
[ "$sent" = "$received" ] || fail "what has arrived is not what was sent"
echo "  The same."
rm "$dir/sent" "$dir/received"

say "3. Compared with kernel TCP"
cat <<-T
	The same client and server code runs over kernel TCP and over ncd in turn, $pairs times, $seconds s
	each, the client on the core of one host, the server on that of the other; medians are shown. A
	short run on a machine that does everything at once: bench/RESULTS.md has careful ones.
T
# compare WORDS MODE OPTIONS... - one comparison.
compare() {
	local words=$1
	shift
	printf '\n  %s\n' "$words"
	job timeout 60 "$bin/ncd-perf" compare "$@" --via tcp,ncd --brief --pairs $pairs --seconds $seconds \
		--client-socket "$dir/here.sock" --server-socket "$dir/there.sock" \
		--client-addr $here --server-addr $there \
		--client-cpu "$core_here" --server-cpu "$core_there" >"$dir/perf.log" 2>&1 || fail "ncd-perf failed"
	grep -q '^  errors: 0$' "$dir/perf.log" || fail "ncd-perf counted errors"
	# Of the medians, what a newcomer asks first; ncd-perf alone says more.
	awk '
	/^  medians/ { printf "    %-24s %12s %12s %8s\n", "", "kernel TCP", "ncd", "ratio" }
	/^  (throughput|messages|latency p50|latency p99,)/ {
		n = $1 == "messages/s" ? 2 : $1 == "latency" ? 4 : 3
		title = $1; for (i = 2; i < n; i++) title = title " " $i
		unit = sub(/bytes\/s/, "GB/s", title) ? 1e9 : 1
		printf "    %-24s %12.2f %12.2f %8s   ", title, $n / unit, $(n + 1) / unit, $(n + 2)
		sub(/^.*\) +/, ""); sub(/^tcp/, "kernel TCP"); print
	}' "$dir/perf.log"
}
compare "One stream, as fast as it goes, 128 KiB a write (more bytes a second is better):" \
	stream --flows 1 --size 131072
compare "One ping-pong of 64 bytes (a shorter round trip is better):" \
	rpc --flows 1 --size 64 --depth 1
compare "64 ping-pongs at once, one thread each side (more messages a second is better):" \
	rpc --flows 64 --size 64 --depth 1

say "4. What ncd-stat says now"
for name in here there; do
	stat_of $name || fail "ncd-stat failed"
done

say "Done."
echo "To run ncd on real hosts: README.md, \"Five minutes with two hosts\"."
