#!/bin/bash
# carry.sh - one stream uses channels of more than one worker.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"
. "$(dirname "$(readlink -f "$0")")/cut.sh"

two_workers() { # [LINES]
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	channels=6 both $'[scheduler]\ncarry = '"${carry:-auto}"$'\n[workers]\ncores = 0,1\n'"${1:-}"
	channels=6 connected
}
# carried HOST NAME BYTES - channels of HOST have carried more than so many for others' streams.
carried() { [ "$(number "$1" channels "carried_$2")" -gt "$3" ]; }

spreads() {
	two_workers "${1:-}"
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
	spreads $'io = epoll'
}
case_carry_channels_cut() {
	local i sent
	two_workers
	can_kill
	flow_begins 3000000
	for i in 1 2 3 4 5; do
		sent=$(number here channels carried_sent)
		expect 60 carried here sent 1000000
		kill_channels
		more_arrives 10000000
		channels=6 connected
	done
	flow_ends
	expect_empty 10
	is there summary frame_errors 0 || fail "a frame was wrong"
}
# The sender dies while others send for it: its memory is given back, and the hosts go on.
case_carry_application_killed() {
	local i pid
	two_workers
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
	more_arrives 10000000
	flow_ends
	expect_empty 10
}
case_carry_off() {
	carry=off two_workers
	flow_begins 3000000
	more_arrives 100000000
	flow_ends
	is here channels carried_sent 0 || fail "bytes were carried"
}

run_case "$@"
