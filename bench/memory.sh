#!/bin/bash
# memory.sh - what virtual sockets cost in memory on this machine: prints a table in markdown.
#
#   bench/memory.sh [--quick]
#
# Two hosts on one machine as in run.sh; a server on one and a client on the other hold sockets that
# are idle, have exchanged 64-byte messages, or moved bulk. The figures are of the client's host, and
# of each socket: the daemon's own memory and page tables against those before, all of the
# application's, and the region once (of the two mappings that which has more pages). --quick divides
# the counts by 100.
set -u
. "$(dirname "$0")/hosts.sh"
divide=1 daemon_conf='sockets = 131072'
case ${1:-} in
'') ;;
--quick) divide=100 ;;
*) usage ;;
esac
[ -x "$bin/tests/e2e/sockets" ] ||
	{ echo "memory.sh: make $OUT/tests/e2e/sockets first" >&2; exit 1; }

# ready NAME PID - it has all its sockets; also true if it has ended without.
ready() { grep -q ready "$dir/$1.log" || ! kill -0 "$2" 2>/dev/null; }
# kib PID FIELDS - the sum of these of /proc/PID/status.
kib() { awk -v f="^($2):" '$1 ~ f { n += $2 } END { print n + 0 }' "/proc/$1/status"; }

# line WORDS NR BEFORE DAEMON CLIENT GOAL-EACH GOAL-DAEMON - what NR sockets cost now; goals in KiB.
line() {
	local after app app_shm daemon_shm
	after=$(kib "$4" 'RssAnon|VmPTE')
	app=$(kib "$5" 'RssAnon|RssFile|VmPTE')
	app_shm=$(kib "$5" RssShmem) daemon_shm=$(kib "$4" RssShmem)
	awk -v w="$2 $1" -v nr="$2" -v d=$((after - $3)) -v app="$app" \
		-v shm=$((app_shm > daemon_shm ? app_shm : daemon_shm)) -v g="$6" -v gd="$7" '
		function met(v, goal) { return goal == "-" ? "-" : "<= " goal ": " (v <= goal + 0 ? "yes" : "**no**") }
		BEGIN { all = d + app + shm
			printf "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %s | %s |\n", w,
				1024 * d / nr, 1024 * app / nr, 1024 * shm / nr, 1024 * all / nr, all / 1024,
				met(all / nr, g), met(d / nr, gd) }'
}
# cold PID - the region takes less than 16 KiB for each socket.
cold() { [ "$(kib "$1" RssShmem)" -lt $((nr * 16 + 1024)) ]; }

# sockets WORDS N MESSAGES GOAL-EACH GOAL-DAEMON [BYTES] - with BYTES, also when they are idle again.
sockets() {
	local words=$1 nr=$((($2 + divide - 1) / divide)) message=("$3" "${6:-64}") before client
	start_hosts
	NCD_SOCKET=$dir/b.sock "$bin/tests/e2e/sockets" server $b $nr "${message[@]}" >"$dir/server.log" 2>&1 &
	pids+=($!)
	until_true 5 grep -q serving "$dir/server.log" || fail "the server does not listen"
	before=$(kib "${pids[0]}" 'RssAnon|VmPTE')
	NCD_SOCKET=$dir/a.sock "$bin/tests/e2e/sockets" client $b $nr "${message[@]}" >"$dir/client.log" 2>&1 &
	client=$!
	pids+=("$client")
	until_true 120 ready client "$client" && kill -0 "$client" 2>/dev/null || fail "not all sockets are connected"
	until_true 20 ready server "${pids[2]}" && kill -0 "${pids[2]}" 2>/dev/null || fail "not all sockets are accepted"
	line "$words" $nr "$before" "${pids[0]}" "$client" "$4" "$5"
	if [ $# -gt 5 ]; then
		until_true 60 cold "$client" || fail "the rings keep their pages"
		line "$words, then idle" $nr "$before" "${pids[0]}" "$client" "$4" "$5"
	fi
	hosts_gone
}

measured
cat <<-T

	| sockets | daemon, bytes each | application | region | together | MiB in all | goal, KiB each | goal of the daemon |
	|---|---|---|---|---|---|---|---|
T
sockets "idle" 10000 0 - 4
sockets "after a 64-byte round trip each" 10000 1 64 -
sockets "after 100 of them each" 10000 100 64 -
sockets "idle" 100000 0 10.486 4
sockets "after 8 MiB there and back each" 32 8 - - $((1 << 20))
