#!/bin/bash
# busy.sh - round trips of 64 bytes while programs compute on the same cores: prints a table.
#
#   bench/busy.sh [--quick] [--pairs N] [--seconds S] [--cores A,B]
#
# On each of the two cores (0,1), with a host's worker and application, a shell counts in a loop: not
# at all, at nice 19, at the nice value of the others. Kernel TCP and ncd in turn, N pairs (5) of S
# seconds (1). Whatever is started here, and nothing else, is ended at the end.
set -u
. "$(dirname "$0")/hosts.sh"
seconds=1 cores=0,1 note='' loops=()

while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=.3 note=' **Quick run: not to be quoted.**' ;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
core_a=${cores%,*} core_b=${cores#*,}

# compute NICE - on both cores, until compute_ends.
compute() {
	local core
	for core in "$core_a" "$core_b"; do
		# Ends by itself, whatever becomes of us.
		taskset -c "$core" nice -n "$1" timeout 600 sh -c 'while :; do :; done' &
		loops+=($!)
		pids+=($!)
	done
}
compute_ends() {
	local pid
	for pid in "${loops[@]}"; do end "$pid"; done
	loops=()
}
# as FORMAT SCALE METRIC FIELD
as() {
	field "$3" "$4" | awk -v f="$1" -v s="$2" '{ printf f, $1 / s }'
}
# row BESIDE FLOWS
row() {
	compare ncd rpc --size 64 --flows "$2" --client-cpu "$core_a" --server-cpu "$core_b"
	echo "| $1 | $2 | $(as %.1f 1000 msgs_per_s median_a) | $(as %.1f 1000 msgs_per_s median_b) |" \
		"**$(as %.1f 1 msgs_per_s median_ratio)** |" \
		"$(as %.1f 1 msgs_per_s min_ratio) .. $(as %.1f 1 msgs_per_s max_ratio) |" \
		"$(as %.0f 1 p99_us median_a) | $(as %.0f 1 p99_us median_b) |" \
		"**$(as %.2f 1 p99_us median_ratio)** |"
}

start_hosts
measured
echo "$pairs pairs of $seconds s for each line.$note"
cat <<-T

	| beside | sockets | kernel TCP, k/s | ncd, k/s | ratio | min .. max | kernel TCP p99, us | ncd p99, us | ratio |
	|---|---|---|---|---|---|---|---|---|
T
for beside in nothing 'nice 19' 'nice 0'; do
	[ "$beside" = nothing ] || compute "${beside#nice }"
	for flows in 1 16 64 512; do row "$beside" "$flows"; done
	compute_ends
done
