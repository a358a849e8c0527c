#!/bin/bash
# steps.sh - sourced by tests/check.sh and .ci/run: runs steps, one line each, and counts.
#
#   step NAME SECONDS COMMAND...   in at most so many seconds; its output is shown only if it fails
#   steps_done                     prints "N passed, N failed, N skipped"; fails if anything did
#
# Lines of a step's output that start with "ok ", "FAIL " or "skip " count one each; a step without
# any counts as one. Exit status 77: skipped, with the last line as the reason.
passed=0 failed=0 skipped=0
steps_dir=$(mktemp -d) || exit 1
trap 'rm -rf "$steps_dir"' EXIT
trap 'exit 130' INT TERM

count_lines() { grep -c "^$1 " "$steps_dir/log"; }

step() {
	local name=$1 seconds=$2 start=$SECONDS status ok bad skips
	shift 2
	timeout --kill-after=10 "$seconds" "$@" >"$steps_dir/log" 2>&1 </dev/null
	status=$?
	ok=$(count_lines ok) bad=$(count_lines FAIL) skips=$(count_lines skip)
	case $status in
	0)
		[ "$bad" -gt 0 ] && status=1 # says FAIL and ends well: believe the worse
		[ $((ok + bad + skips)) -eq 0 ] && ok=1
		;;
	77) [ $((ok + bad + skips)) -eq 0 ] && skips=1 ;;
	*) [ "$bad" -eq 0 ] && bad=1 ;;
	esac
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skips))
	case $status in
	0)
		printf 'ok   %-28s %4d passed, %4d s\n' "$name" "$ok" $((SECONDS - start))
		grep '^skip ' "$steps_dir/log" | sed 's/^/     /'
		;;
	77) printf 'skip %-28s %s\n' "$name" "$(tail -n 1 "$steps_dir/log")" ;;
	*)
		printf 'FAIL %-28s status %d, %d s:\n' "$name" "$status" $((SECONDS - start))
		[ "$status" -eq 124 ] && echo "     took longer than $seconds s"
		grep -n '^FAIL ' "$steps_dir/log" | head -n 40
		tail -n 80 "$steps_dir/log" | sed 's/^/     | /'
		;;
	esac
	return 0
}

steps_done() {
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" -eq 0 ]
}
