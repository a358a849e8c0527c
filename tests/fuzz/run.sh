#!/bin/bash
# run.sh - fuzzes each target for some seconds, from its committed corpus (tests/fuzz/corpus/NAME).
# Usage: tests/fuzz/run.sh SECONDS TARGET...   An input that breaks a target is kept and named.
set -u
(($# >= 2)) || { echo "usage: run.sh SECONDS TARGET..." >&2; exit 2; }
seconds=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d) || exit 1
found=${FUZZ_FOUND:-build/fuzz-found}
mkdir -p "$found"
trap 'rm -rf "$dir"' EXIT
failed=0
for target in "$@"; do
	name=${target##*/}
	corpus=("$dir/$name")
	mkdir "$dir/$name"
	[ -d "$here/corpus/$name" ] && corpus+=("$here/corpus/$name")
	if timeout $((seconds + 60)) "$target" -max_total_time="$seconds" -timeout=10 \
		-rss_limit_mb=3000 -verbosity=1 -artifact_prefix="$found/$name-" "${corpus[@]}" \
		>"$dir/log" 2>&1; then
		echo "ok   $name: $(sed -n 's/^#\([0-9]*\).*DONE *\(cov: [0-9]*\).*/\1 runs, \2/p' "$dir/log" | tail -n 1)"
	else
		echo "FAIL $name: input in $found/"
		grep -v '^#' "$dir/log" | tail -n 60
		failed=1
	fi
done
exit $failed
