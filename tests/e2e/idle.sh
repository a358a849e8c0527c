#!/bin/bash
# idle.sh - two daemons with channels and an attached application, and nothing to do: no CPU.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

# Ticks of user and system time of a process.
ticks() { awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

case_idle() { # quick
	local h echo_pid window=6
	declare -A before
	both
	(on there "$OUT/tests/e2e/echo" 7100 >"$dir/echo.log" 2>&1) &
	echo_pid=$!
	jobs_of_case+=("$echo_pid")
	expect 10 listens there 7100
	random_file 100000 part
	transfer here there 7001 part
	for h in here there; do before[$h]=$(ticks "${pid_of[$h]}"); done
	before[echo]=$(ticks $echo_pid)
	# No condition can be waited for: that nothing happens takes time.
	pause $window
	for h in here there; do
		say "$h: $(($(ticks "${pid_of[$h]}") - before[$h])) ticks in $window s"
		[ $slow -gt 1 ] || [ $(($(ticks "${pid_of[$h]}") - before[$h])) -le 1 ] ||
			fail "the idle daemon of $h takes CPU time"
	done
	[ $(($(ticks $echo_pid) - before[echo])) -le 1 ] || fail "an idle application takes CPU time"
	kill -TERM $echo_pid
	ends 5 $echo_pid
	return 0
}

run_case "$@"
