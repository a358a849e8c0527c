#!/bin/bash
# carry.sh - one stream uses channels of more than one worker, where each connection has a rate.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"
. "$(dirname "$(readlink -f "$0")")/cut.sh"
. "$(dirname "$(readlink -f "$0")")/shares.sh"

both_connected() { channels=4 connected; }
two_workers() { # [RATE [LINES-HERE [LINES-THERE]]]
	local lines=$'[channels]\nthroughput = 1\nmax = 2\n[workers]\ncores = 0,1\n'
	local carry=$'\n[scheduler]\ncarry = auto\n'
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	config here "$lines${2:-$carry}"
	config there "$lines${3:-${2:-$carry}}"
	start here
	start there
	both_connected
	[ -z "${1:-}" ] || shares "$1"
}
# carried HOST NAME BYTES - channels of HOST have carried more than so many for others' streams.
carried() { [ "$(number "$1" channels "carried_$2")" -gt "$3" ]; }

spreads() {
	two_workers 100mbit "${1:-}"
	flow_begins 3000000
	expect 60 carried here sent 20000000
	expect 10 carried there received 20000000
	flow_ends
	expect_empty 10
	is here summary retransmits 0 || fail "something was sent again"
	is there summary frame_errors 0 || fail "a frame was wrong"
}
case_carry_spreads() { # quick
	spreads
}
case_carry_spreads_epoll() {
	spreads $'io = epoll\n[scheduler]\ncarry = auto'
}
# What is sent again two workers may write to the same place at once: the same bytes, which count only
# when both have let go (carry_in.c). ThreadSanitizer cannot know that.
case_carry_channels_cut() {
	local i
	printf "race:%s\n" copy_to_ring recv_now >"$dir/same-bytes"
	export TSAN_OPTIONS="$TSAN_OPTIONS suppressions=$dir/same-bytes"
	two_workers 100mbit
	can_kill
	flow_begins 3000000
	for i in 1 2 3 4 5; do
		expect 60 carried here sent 1000000
		kill_channels
		more_arrives 3000000
		both_connected
	done
	flow_ends
	expect_empty 10
	is there summary frame_errors 0 || fail "a frame was wrong"
}
# The sender dies while others send for it: its memory is given back, and the hosts go on.
case_carry_application_killed() {
	local i pid
	two_workers 100mbit
	for i in 1 2 3; do
		on there "$OUT/ncd-cat" -q -l $((7100 + i)) </dev/null >/dev/null 2>&1 &
		expect 10 listens there $((7100 + i))
		on here "$OUT/ncd-cat" -q "${address[there]}" $((7100 + i)) </dev/zero >/dev/null 2>&1 &
		expect 60 carried here sent $((i * 3000000))
		pid=$(ask here clients | grep -o '"clients":.*' | grep -o '"pid":[0-9]*' | head -n 1 | cut -d: -f2)
		kill -KILL "$pid" || fail "the sender has ended by itself"
		expect_empty 20
	done
	flow_begins 3000000
	more_arrives 3000000
	flow_ends
	expect_empty 10
}
carries_nothing() { # LINES-HERE LINES-THERE
	two_workers 100mbit "$1" "$2"
	flow_begins 3000000
	more_arrives 30000000
	flow_ends
	is here channels carried_sent 0 || fail "bytes were carried"
	is there summary frame_errors 0 || fail "a frame was wrong"
}
case_carry_off() {
	carries_nothing $'[scheduler]\ncarry = off' $'[scheduler]\ncarry = auto'
}
# As to an ncd that does not know of it.
case_carry_off_there() {
	carries_nothing $'[scheduler]\ncarry = auto' $'[scheduler]\ncarry = off'
}

run_case "$@"
