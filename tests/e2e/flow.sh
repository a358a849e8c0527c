#!/bin/bash
# flow.sh - sourced behind hosts.sh: one stream from here to there for as long as a case likes.

# flow_begins BYTES [COMMAND] - blocks of so many bytes, with COMMAND behind each, flow until the file
# "enough" is there; what went in and what came out is summed.
flow_begins() {
	random_file "$1" block
	(on there "$OUT/ncd-cat" -q -l 7001 </dev/null 2>"$dir/out.log" | sha256sum >"$dir/out.sum"
		echo "${PIPESTATUS[0]}" >"$dir/out.status") &
	expect 10 listens there 7001
	(until [ -e "$dir/enough" ]; do cat "$dir/block"; ${2:-:}; done | tee >(sha256sum >"$dir/in.sum") |
		on here "$OUT/ncd-cat" -q "${address[there]}" 7001 >/dev/null 2>"$dir/in.log"
		echo "${PIPESTATUS[2]}" >"$dir/in.status") &
}
# flow_ends - what has come is what was sent.
flow_ends() {
	: >"$dir/enough"
	expect 30 test -s "$dir/in.status"
	expect 30 test -s "$dir/out.status"
	[ "$(cat "$dir/in.status")" = 0 ] || fail "the sender failed"
	[ "$(cat "$dir/out.status")" = 0 ] || fail "the receiver failed"
	[ "$(cat "$dir/in.sum")" = "$(cat "$dir/out.sum")" ] || fail "what came is not what was sent"
}
# more_arrives BYTES - so many more, from now on, of whatever flows.
more_arrives() { expect 20 received $(($(number there summary bytes_received) + $1)); }
received() { [ "$(number there summary bytes_received)" -gt "$1" ]; }
