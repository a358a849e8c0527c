#!/bin/bash
# soak.sh - eight threads on either side open streams, write and read in every way there is, and end
# them in every way, for some seconds from a fresh seed: every byte and every end is checked.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/cut.sh"

by=() program=soak seconds=5

# soak CLIENT-HOST [SERVER-HOST] - $meanwhile, if it is set, is done again and again.
soak() {
	local from=$1 at=${2:-$1} seed=${RANDOM}${RANDOM} server client end
	say "seed $seed"
	(on "$at" "${by[@]}" "$OUT/tests/e2e/$program" server "${address[$at]}" 7001 8 >"$dir/server.log" 2>&1) &
	server=$!
	jobs_of_case+=("$server")
	expect 10 grep -q serving "$dir/server.log"
	(on "$from" "${by[@]}" "$OUT/tests/e2e/$program" client "${address[$at]}" 7001 8 $seconds "$seed" \
		>"$dir/client.log" 2>&1) &
	client=$!
	jobs_of_case+=("$client")
	end=$((SECONDS + seconds))
	while [ -n "${meanwhile:-}" ] && [ $SECONDS -lt $end ]; do $meanwhile; done
	ends $((seconds + 25)) $client || fail "the client has found something"
	kill -TERM $server
	ends 10 $server || fail "the server has found something"
	grep -q '^[1-9].* 0 wrong' "$dir/client.log" || fail "no streams"
	[ "${meanwhile:-}" = cut ] || grep -q ' 0 refused' "$dir/client.log" || fail "connects failed"
	for h in here there; do expect 10 empty $h; done
}

cut() {
	pause .$((RANDOM % 9 + 1))
	kill_channels
}
# Two others, with all their threads in the middle of something, end without a word.
kill_others() {
	local server client
	(on there "$OUT/tests/e2e/soak" server "${address[there]}" 7002 8 >"$dir/others.log" 2>&1) &
	server=$!
	(on here "$OUT/tests/e2e/soak" client "${address[there]}" 7002 8 30 $RANDOM >"$dir/others.log" 2>&1) &
	client=$!
	jobs_of_case+=("$server" "$client")
	pause .$((RANDOM % 6 + 2))
	kill -KILL $client
	pause .0$((RANDOM % 9 + 1))
	kill -KILL $server
	wait $client $server 2>/dev/null
}

case_soak() { # quick
	both
	soak here there
}
case_soak_same_host() {
	both
	soak here
}
case_soak_cut() {
	both
	can_kill
	meanwhile="cut" soak here there
}
case_soak_cut_epoll() {
	both $'[workers]\nio = epoll'
	can_kill
	meanwhile="cut" soak here there
}
case_soak_cut_two_workers() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	channels=6
	both $'[workers]\ncores = 0,1'
	can_kill
	meanwhile="cut" soak here there
}
case_soak_beside_the_killed() {
	both
	meanwhile="kill_others" soak here there
}
case_soak_run() { # quick
	[ "$slow" = 1 ] || skip "a sanitizer's library cannot be loaded so late"
	by=("$OUT/ncd-run" --require) program=soak_posix
	both
	soak here there
}
case_soak_run_same_host() {
	[ "$slow" = 1 ] || skip "a sanitizer's library cannot be loaded so late"
	by=("$OUT/ncd-run" --require) program=soak_posix
	both
	soak here
}

run_case "$@"
