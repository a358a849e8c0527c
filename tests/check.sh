#!/bin/bash
# check.sh - what `make check` runs after the build: every test that needs no sanitizer, no root and
# little time. OUT and MAKE come from make.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/steps.sh
make=("${MAKE:-make}" -s --no-print-directory "OUT=${OUT:-build/release}")
: "${SEEDS:=1000}"

step unit 240 "${make[@]}" -k check-unit
step sansio 60 "${make[@]}" check-sansio
step whole 60 "${make[@]}" check-whole
step tidy 60 "${make[@]}" tidy
step packages 30 "${make[@]}" check-deps
step manual 30 "${make[@]}" check-man
step simulator 240 "${make[@]}" check-sim "SEEDS=$SEEDS"
step install 60 "${make[@]}" check-install
step end-to-end 420 env JOBS=2 "${make[@]}" check-e2e E2E=--quick
steps_done
