#!/bin/bash
# transfer.sh - bytes from one host to the other, with their checksums: sizes, directions, families.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

case_small() { # quick
	local n
	both
	for n in 0 1 4095; do
		random_file $n small
		transfer here there 70$((n % 10))1 small
		transfer there here 70$((n % 10))2 small
	done
}

run_case "$@"
