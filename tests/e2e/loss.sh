#!/bin/bash
# loss.sh - channels destroyed with ss -K in mid-transfer: nothing is lost, and they come back.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/cut.sh"

# The stream flows until the file "enough" is there; what went in and what came out is summed.
flow_of_bytes() {
	(until [ -e "$dir/enough" ]; do cat "$dir/block"; done | tee >(sha256sum >"$dir/in.sum") |
		on here "$OUT/ncd-cat" -q "${address[there]}" 7001 >/dev/null 2>"$dir/in.log"
		echo "${PIPESTATUS[2]}" >"$dir/in.status") &
}
sink_of_bytes() {
	(on there "$OUT/ncd-cat" -q -l 7001 </dev/null 2>"$dir/out.log" | sha256sum >"$dir/out.sum"
		echo "${PIPESTATUS[0]}" >"$dir/out.status") &
}
more_bytes() { [ "$(number there summary bytes_received)" -gt "$1" ]; }

survives() {
	local round
	both "${1:-}"
	can_kill
	random_file 3000000 block
	sink_of_bytes
	expect 10 listens there 7001
	flow_of_bytes
	for ((round = 0; round < 5; round++)); do
		# In the middle: bytes have moved since the last time.
		expect 20 more_bytes $(($(number there summary bytes_received) + 1000000))
		kill_channels
		connected
	done
	for ((round = 0; round < 20; round++)); do
		is here summary retransmits 0 || break
		expect 20 more_bytes $(($(number there summary bytes_received) + 1000000))
		kill_channels
	done
	connected
	is here summary retransmits 0 && fail "nothing was sent again"
	: >"$dir/enough"
	expect 30 test -s "$dir/in.status"
	expect 20 test -s "$dir/out.status"
	[ "$(cat "$dir/in.status")" = 0 ] || fail "the sender failed"
	[ "$(cat "$dir/out.status")" = 0 ] || fail "the receiver failed"
	[ "$(cat "$dir/in.sum")" = "$(cat "$dir/out.sum")" ] || fail "what came is not what was sent"
	expect 10 empty here
	expect 10 empty there
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

# Many small streams while channels die: every byte is checked by ncd-perf.
case_many_streams_and_dead_channels() {
	local i server client
	both
	can_kill
	(on there "$OUT/ncd-perf" server --via ncd >"$dir/server.log" 2>&1) &
	server=$!
	expect 10 listens there 4799
	(on here timeout $((40 * slow)) "$OUT/ncd-perf" rpc --via ncd --to "${address[there]}" \
		--flows 200 --size 500 --verify --seconds 4 --json >"$dir/perf.log" 2>&1) &
	client=$!
	for ((i = 0; i < 4; i++)); do
		expect 20 more_bytes $(($(number there summary bytes_received) + 500000))
		kill_channels
		connected
	done
	ends 40 $client || fail "ncd-perf failed"
	grep -q '"errors":0[,}]' "$dir/perf.log" || fail "ncd-perf counted errors"
	kill -TERM $server
	ends 10 $server
}

run_case "$@"
