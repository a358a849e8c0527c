#!/bin/bash
# idle.sh - two daemons with channels and an attached application, and nothing to do: no CPU.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

# Ticks of user and system time of a process, and of each of its threads by name.
ticks() { awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
threads() { awk '{ n = $2; sub(/^.*\) /, ""); printf "%s%d ", n, $12 + $13 }' "/proc/$1"/task/*/stat; }

# quiet SECONDS PID... - none of them takes CPU time meanwhile. That nothing happens takes time.
quiet() {
	local pid took most=0
	declare -A before
	for pid in "${@:2}"; do before[$pid]=$(ticks "$pid"); done
	pause "$1"
	for pid in "${@:2}"; do
		took=$(($(ticks "$pid") - before[$pid]))
		say "$(<"/proc/$pid/comm") $pid: $took ticks in $1 s; threads: $(threads "$pid")"
		[ "$took" -le $most ] || most=$took
	done
	[ $slow -gt 1 ] || [ $most -le 1 ]
}

case_idle() { # quick
	local h echo_pid idlers
	both
	(on there "$OUT/tests/e2e/echo" 7100 >"$dir/echo.log" 2>&1) &
	echo_pid=$!
	jobs_of_case+=("$echo_pid")
	expect 10 listens there 7100
	random_file 100000 part
	transfer here there 7001 part
	# A machine that stood still for a moment charges it to whoever ran; who is busy stays so.
	idlers=("${pid_of[here]}" "${pid_of[there]}" "$echo_pid")
	quiet 6 "${idlers[@]}" || quiet 6 "${idlers[@]}" || quiet 6 "${idlers[@]}" || {
		for h in here there; do ask "$h" workers; done
		fail "somebody idle takes CPU time"
	}
	kill -TERM $echo_pid
	ends 5 $echo_pid
	return 0
}

run_case "$@"
