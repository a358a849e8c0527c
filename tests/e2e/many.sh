#!/bin/bash
# many.sh - many sockets at once, and many after each other without growth of the daemons.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/load.sh"

thousand() {
	perf_server
	perf_flows --flows 1000 --size 200
	expect 20 at_least here summary connected 1000
	expect 20 at_least there summary connected 1000
	perf_flows_end
	perf rpc --flows 1000 --threads 4 --size 3000 --depth 2 --seconds 2
	perf_server_ends
	expect_empty 5
}
at_least() { [ "$(number "$1" "$2" "$3")" -ge "$4" ]; }
case_thousand_sockets() { # quick
	both
	thousand
}
case_thousand_sockets_two_workers() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	channels=6 both $'[workers]\ncores = 0,1'
	thousand
}

# What a daemon has: KiB of memory, descriptors.
rss() { awk '/^VmRSS/ { print $2 }' "/proc/${pid_of[$1]}/status"; }
fds() { ls "/proc/${pid_of[$1]}/fd" | wc -l; }

# A first round makes the tables of their full size; after it 10,000 sockets change nothing.
case_ten_thousand_in_sequence() {
	local h before opened round
	declare -A rss_before fds_before
	both
	perf_server
	for round in 1 2; do perf connect --flows 4 --seconds 1; done
	expect 5 is here summary connected 0
	expect 5 is there summary connected 0
	for h in here there; do rss_before[$h]=$(rss $h) fds_before[$h]=$(fds $h); done
	before=$(number here summary streams_opened)
	opened=0
	for ((round = 0; round < 20 && opened < 10000; round++)); do
		perf connect --flows 4 --seconds 2
		opened=$(($(number here summary streams_opened) - before))
	done
	say "$opened sockets"
	[ $opened -ge 10000 ] || fail "only $opened sockets"
	expect 5 is here summary connected 0
	expect 5 is there summary connected 0
	expect 5 no_clients here
	for h in here there; do
		say "$h: ${rss_before[$h]} -> $(rss $h) KiB, ${fds_before[$h]} -> $(fds $h) descriptors"
		[ "$(fds $h)" -le "${fds_before[$h]}" ] || fail "descriptors of $h grow"
		# A sanitizer keeps freed memory.
		[ $slow -gt 1 ] || [ "$(rss $h)" -le $((rss_before[$h] + 512)) ] || fail "$h grows"
	done
	perf_server_ends
}

run_case "$@"
