#!/bin/bash
# run.sh - end to end: real daemons and programs. Each case runs in a process of its own.
#
#   tests/e2e/run.sh [--quick | --list] [CASE...]     default: all cases
#
# BUILD=release|asan|tsan|debug or OUT=DIRECTORY says whose programs. Prints "ok NAME", "skip NAME:
# why" or "FAIL NAME" with what the case said; the last line counts. As root each case has two network
# namespaces of its own, otherwise its hosts are 127.0.0.1 and 127.0.0.2.
set -u
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.." || exit 1
: "${BUILD:=release}"
: "${OUT:=build/$BUILD}"
OUT=$(readlink -f "$OUT")
export OUT
for program in ncd ncd-cat ncd-perf ncd-stat; do
	[ -x "$OUT/$program" ] || { echo "run.sh: no $OUT/$program: make all first" >&2; exit 1; }
done
for program in copies echo garbage hostile no_uring quiet sockets soak soak_posix; do
	[ -x "$OUT/tests/e2e/$program" ] && continue
	echo "run.sh: no $OUT/tests/e2e/$program: make check-e2e builds it (with E2E=--list: and runs nothing)" >&2
	exit 1
done

# A case is a function case_NAME of a file here; "# quick" behind it: also run by --quick; "# limit N":
# it may take N seconds.
list() { grep -lE '^case_' "$here"/*.sh | xargs sed -nE "s/^case_([a-z0-9_]+)\(\) \{$1/\1/p"; }
limit_of() { sed -nE "s/^case_$1\(\) \{.*# limit ([0-9]+)/\1/p" "$2"; }
file_of() { grep -lE "^case_$1\(\)" "$here"/*.sh; }

cases=()
case ${1:-} in
--list) list '.*'; exit ;;
--quick) mapfile -t cases < <(list '.*# quick.*'); shift ;;
--*) sed -n '/^#   /s/^# *//p' "$0" >&2; exit 2 ;;
esac
cases+=("$@")
[ ${#cases[@]} -gt 0 ] || mapfile -t cases < <(list '.*')

# A sanitizer makes everything several times slower.
limit=60
if nm -D "$OUT/ncd" | grep -qE '__(asan|tsan)_init'; then limit=240; fi

log=$(mktemp) || exit 1
running=
trap 'rm -f "$log"' EXIT
trap '[ -z "$running" ] || kill "$running" 2>/dev/null; exit 130' INT TERM
passed=0 failed=0 skipped=0
for name in "${cases[@]}"; do
	file=$(file_of "$name")
	[ -n "$file" ] || { echo "run.sh: no case $name; --list shows them" >&2; exit 2; }
	start=$SECONDS
	own=$(limit_of "$name" "$file")
	timeout --kill-after=10 "${own:-$limit}" bash "$file" "$name" >"$log" 2>&1 </dev/null &
	running=$!
	wait $running
	status=$?
	running=
	case $status in
	0) passed=$((passed + 1)); echo "ok   $name ($((SECONDS - start)) s)" ;;
	77) skipped=$((skipped + 1)); echo "skip $name: $(sed -n 's/^skip: //p' "$log")" ;;
	*)
		failed=$((failed + 1))
		echo "FAIL $name (status $status, $((SECONDS - start)) s)"
		sed 's/^/     | /' "$log" | tail -n 120
		;;
	esac
done
echo "$passed passed, $failed failed$([ $skipped -eq 0 ] || echo ", $skipped skipped")"
[ $failed -eq 0 ]
