#!/bin/bash
# loss.sh - channels destroyed with ss -K in mid-transfer: nothing is lost, and they come back.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"
. "$(dirname "$(readlink -f "$0")")/load.sh"
. "$(dirname "$(readlink -f "$0")")/cut.sh"

survives() {
	local round
	both "${1:-}"
	can_kill
	flow_begins 3000000
	for ((round = 0; round < 5; round++)); do
		# In the middle: bytes have moved since the last time.
		more_arrives 1000000
		kill_channels
		connected
	done
	for ((round = 0; round < 20; round++)); do
		is here summary retransmits 0 || break
		more_arrives 1000000
		kill_channels
	done
	connected
	is here summary retransmits 0 && fail "nothing was sent again"
	flow_ends
	expect_empty 10
}

case_channels_destroyed() { # quick
	survives
}
case_channels_destroyed_epoll() {
	survives $'[workers]\nio = epoll'
}
case_channels_destroyed_two_workers() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	channels=6 survives $'[workers]\ncores = 0,1'
}

# Many small streams while channels die: every byte is checked by ncd-perf, until it is told to end.
case_many_streams_and_dead_channels() {
	local i
	both
	can_kill
	perf_server
	perf_flows --flows 200 --size 500
	for ((i = 0; i < 4; i++)); do
		more_arrives 500000
		kill_channels
		connected
	done
	perf_flows_end
	perf_server_ends
}

run_case "$@"
