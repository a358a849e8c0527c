#!/bin/bash
# run.sh - end to end: real daemons and programs. Each case runs in a process of its own.
#
#   tests/e2e/run.sh [--quick | --long | --list] [CASE...]     default: all cases
#
# BUILD=release|asan|tsan|debug or OUT=DIRECTORY says whose programs. Prints "ok NAME", "skip NAME:
# why" or "FAIL NAME" with what the case said; the last line counts. As root each case has two network
# namespaces of its own, and JOBS of them run at a time; otherwise its hosts are 127.0.0.1 and
# 127.0.0.2.
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

# A case is a function case_NAME of a file here; "# quick" behind it: run by --quick, else by
# --long; "# limit N": it may take N seconds; "# alone": no other case meanwhile.
list() { grep -lE '^case_' "$here"/*.sh | xargs sed -nE "s/^case_([a-z0-9_]+)\(\) \{$1/\1/p"; }
limit_of() { sed -nE "s/^case_$1\(\) \{.*# limit ([0-9]+)/\1/p" "$2"; }
is_alone() { grep -qE "^case_$1\(\) \{.*# (.* )?alone" "$2"; }
file_of() { grep -lE "^case_$1\(\)" "$here"/*.sh; }

jobs=${JOBS:-1}
[ "$(id -u)" -eq 0 ] || jobs=1
cases=()
case ${1:-} in
--list) list '.*'; exit ;;
--quick) mapfile -t cases < <(list '.*# quick.*'); shift ;;
--long) mapfile -t cases < <(comm -23 <(list '.*' | sort) <(list '.*# quick.*' | sort)); shift ;;
--*) sed -n '/^#   /s/^# *//p' "$0" >&2; exit 2 ;;
esac
cases+=("$@")
[ ${#cases[@]} -gt 0 ] || mapfile -t cases < <(list '.*')

# A sanitizer makes everything several times slower.
limit=60
if nm -D "$OUT/ncd" | grep -qE '__(asan|tsan)_init'; then limit=240; fi

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM
passed=0 failed=0 skipped=0 running=0
# one NAME FILE - runs it; what is said of it is in $dir/NAME at once.
one() {
	local name=$1 log=$dir/$1.log start=$SECONDS own case_pid=
	own=$(limit_of "$name" "$2")
	trap 'kill $case_pid 2>/dev/null; exit 130' TERM
	timeout --kill-after=10 "${own:-$limit}" bash "$2" "$name" >"$log" 2>&1 </dev/null &
	case_pid=$!
	wait $case_pid
	local status=$?
	case $status in
	0) echo "ok   $name ($((SECONDS - start)) s)" ;;
	77) echo "skip $name: $(sed -n 's/^skip: //p' "$log")" ;;
	*)
		echo "FAIL $name (status $status, $((SECONDS - start)) s)"
		sed 's/^/     | /' "$log" | tail -n 120
		;;
	esac >"$dir/$name.said"
	mv "$dir/$name.said" "$dir/$name"
}
# tell - waits for one, and counts all that have ended.
tell() {
	local said word
	wait -n
	for said in "$dir"/*; do
		case $said in *.log | *.said | *'*') continue ;; esac
		read -r word _ <"$said"
		case $word in
		ok) passed=$((passed + 1)) ;;
		skip) skipped=$((skipped + 1)) ;;
		*)
			failed=$((failed + 1))
			cat "$said" >>"$dir/failures.log"
			;;
		esac
		head -n 1 "$said"
		rm -f "$said"
		running=$((running - 1))
	done
}
for name in "${cases[@]}"; do
	[ -n "$(file_of "$name")" ] || { echo "run.sh: no case $name; --list shows them" >&2; exit 2; }
done
for name in "${cases[@]}"; do
	file=$(file_of "$name")
	room=$((jobs - 1))
	if is_alone "$name" "$file"; then room=0; fi
	while [ $running -gt $room ]; do tell; done
	one "$name" "$file" &
	running=$((running + 1))
	[ $room -gt 0 ] || tell
done
while [ $running -gt 0 ]; do tell; done
# Here, for who sees only the end of it.
[ $failed -eq 0 ] || sed 's/^FAIL /--- /' "$dir/failures.log"
echo "$passed passed, $failed failed$([ $skipped -eq 0 ] || echo ", $skipped skipped")"
[ $failed -eq 0 ]
