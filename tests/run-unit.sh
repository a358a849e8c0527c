#!/bin/bash
# run-unit.sh TEST... - runs cmocka programs, each for at most 120 s; prints the output of failures.
set -u
failed=0
for t in "$@"; do
	if out=$(timeout 120 "$t" 2>&1); then
		printf 'ok   %s\n' "${t##*/}"
	else
		printf 'FAIL %s\n%s\n' "${t##*/}" "$out"
		failed=$((failed + 1))
	fi
done
exit $((failed > 0))
