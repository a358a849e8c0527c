#!/bin/bash
# wrong.sh - is a wrong implementation noticed? Each mistake of wrong.c must change what a case prints.
#
#   tests/semantics/wrong.sh [MISTAKE...]      default: all
#
# wrong.c is preloaded as ncd's library is, and makes one mistake at a time, on kernel TCP. A case that
# names it in `table` runs with it and must differ from the run without. The last line counts.
set -u
here=$(dirname "$(readlink -f "$0")")
: "${OUT:=$here/../../build/${BUILD:-release}}"
OUT=$(readlink -f "$OUT")
program=$OUT/tests/semantics/semantics library=$OUT/tests/semantics/wrong.so
[ -x "$program" ] && [ -e "$library" ] || { echo "wrong.sh: no $program or no $library" >&2; exit 1; }

# mistake          a case that must notice it
table='
short-send         send_waits_for_room
recv-after-end     recv_the_end
no-sigpipe         send_after_shutdown
peek-takes         peek_leaves_the_bytes
waitall-short      waitall_waits_for_all
eagain-is-end      nonblock_by_fcntl
so-error-stays     reset_is_told_once_by_so_error
poll-no-rdhup      poll_at_the_end
poll-no-hup        reset_events
poll-always-out    poll_when_full
epoll-edge-level   edge_once
shutdown-nothing   shutdown_writing_is_the_end_there
linger-ignored     close_with_linger_0_is_a_reset
nonblock-hidden    dup_shares_nonblock
accept-no-address  accept_gives_the_address
eintr-lost         signal_interrupts_recv
timeout-at-once    timeout_of_recv
flip-a-bit         large_received_in_odd_pieces
swap-iovecs        message_of_three_pieces
option-forgotten   option_nodelay
'
passed=0 failed=0
facts() { SEM_WRONG=$1 LD_PRELOAD=${1:+$library} timeout 15 "$program" --run "$2" 2>/dev/null </dev/null; }
while read -r mistake name; do
	[ -n "$mistake" ] || continue
	[ $# -eq 0 ] || [[ " $* " == *" $mistake "* ]] || continue
	if diff <(facts '' "$name") <(facts "$mistake" "$name") >/dev/null; then
		failed=$((failed + 1))
		echo "FAIL $mistake is not noticed by $name"
	else
		passed=$((passed + 1))
		echo "ok $mistake is noticed by $name"
	fi
done <<<"$table"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
