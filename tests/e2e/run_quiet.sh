#!/bin/bash
# run_quiet.sh - which system calls programs make under ncd-run.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# Messages at an epoll, a poll or a select take none but those to sleep and to wake; a filter of them traps any other.
case_run_quiet() { # quick
	[ "$slow" = 1 ] || skip "sanitizers make calls of their own"
	both
	background there echo "$OUT/tests/e2e/echo" 7100
	expect 10 listens there 7100
	(on here "${limit[@]}" "${ncd_run[@]}" --require "$OUT/tests/e2e/quiet" "${address[there]}" 7100 1000 \
		>"$dir/client.log" 2>&1 </dev/null) || fail "status $?"
	grep -qx quiet "$dir/client.log" || fail "the client is not quiet"
	through "run run" client
}

run_case "$@"
