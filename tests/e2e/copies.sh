#!/bin/bash
# copies.sh - copy workers: large calls with checksums, wrong addresses, deaths, memory that hangs.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

copying=$'[workers]\ncores = 0\ncopy_cores = 1'
call=3000000
calls=$((24 / slow))
copies=$OUT/tests/e2e/copies

two_cores() { [ "$(nproc)" -ge 2 ] || skip "needs two cores"; }
# One that the kernel does not allow here says so in the log.
may_copy() {
	! grep -q 'copies its large calls itself' "$dir"/*.log || skip "not allowed to reach other processes"
}
# copied HOST - bytes, both ways.
copied() { echo $(($(number "$1" workers bytes_in) + $(number "$1" workers bytes_out))); }
has_copied() { [ "$(copied "$1")" -gt "$2" ]; }
# background HOST MODE... - sets $job.
background() {
	(on "$1" "$copies" "${@:2}" >>"$dir/copies.out" 2>>"$dir/copies.err.log") &
	job=$!
	jobs_of_case+=("$job")
}
# large FROM TO PORT - bytes in large calls, and what they are is checked.
large() {
	local there
	background "$2" listen "$3" $call
	there=$job
	expect 10 listens "$2" "$3"
	background "$1" send "${address[$2]}" "$3" $call $calls
	ends 40 $job || fail "copies send: $(cat "$dir/copies.err.log")"
	ends 10 $there || fail "copies listen: $(cat "$dir/copies.err.log")"
}

case_copies() { # quick
	two_cores
	both "$copying"
	large here there 7001
	may_copy
	large there here 7002
	has_copied here 0 || fail "nothing was copied here"
	has_copied there 0 || fail "nothing was copied there"
	is here errors copy_faults 0 || fail "faults were counted"
	ask here workers | grep -q '"copy_workers":\[{"copy_worker":0,"cpu":1,' || fail "no copy worker"
	on here "$OUT/ncd-stat" -s "$dir/here.sock" >"$dir/summary" &
	wait $!
	grep -q 'copying   1 worker, ' "$dir/summary" || fail "not in the summary"
	expect_empty 5
}
case_copies_at_one_end() { # quick
	two_cores
	config here "$copying"
	config there $'[workers]\ncores = 0,1'
	start here
	start there
	channels=3 connected
	large here there 7001
	may_copy
	large there here 7002
	has_copied here 0 || fail "nothing was copied here"
	is there workers bytes_in 0 || fail "a copy worker where there should be none"
}

# What a wrong program gets is what it would get of tcp(7), and nobody else notices.
case_copies_fault() { # quick
	local there
	two_cores
	both "$copying"
	background there echo 7100 $call
	there=$job
	expect 10 listens there 7100
	background here fault "${address[there]}" 7100 $call
	ends 40 $job || fail "copies fault: $(cat "$dir/copies.err.log")"
	may_copy
	ends 10 $there || fail "copies echo: $(cat "$dir/copies.err.log")"
	large here there 7001
}

# Killed while copy workers are in its memory.
case_copies_kill() { # quick
	local i there before
	two_cores
	both "$copying"
	for i in 1 2 3 4; do
		before=$(copied here)
		background there listen 710$i $call
		there=$job
		expect 10 listens there 710$i
		background here send "${address[there]}" 710$i $call 0
		until_true 10 has_copied here "$before" || { may_copy; fail "nothing is copied"; }
		if ((i % 2)); then kill -KILL "$job"; else kill -KILL $there; fi
		ends 10 "$job" && fail "the sender took that for an end"
		ends 10 $there && fail "the receiver took that for an end"
	done
	expect_empty 10
	large here there 7001
}
case_copies_kill_daemon() {
	local there
	two_cores
	both "$copying"
	background there listen 7101 $call
	there=$job
	expect 10 listens there 7101
	background here send "${address[there]}" 7101 $call 0
	until_true 10 has_copied here 0 || { may_copy; fail "nothing is copied"; }
	kill_daemon here
	ends 5 "$job" && fail "the sender ended well though its daemon was killed"
	start here
	connected
	ends 5 $there && fail "the receiver ended well"
	large here there 7001
}

# Memory whose faults are never answered holds up its own program, and not even the daemon's end.
case_copies_hang() { # quick
	local hung
	two_cores
	both "$copying"
	background there listen 7101 $call
	expect 10 listens there 7101
	background here hang "${address[there]}" 7101 $call
	hung=$job
	expect 10 grep -q hang "$dir/copies.out"
	grep -q 'cannot hang' "$dir/copies.out" && skip "$(cat "$dir/copies.out")"
	may_copy
	large here there 7001
	stop here
	kill -KILL "$hung"
	ends 5 "$hung"
	start here
	connected
	large here there 7002
}

# Another user's programs copy by themselves, and that is said.
case_copies_of_others() { # quick
	two_cores
	[ "$(id -u)" -eq 0 ] || skip "needs root, to become another"
	command -v setpriv >/dev/null || skip "needs setpriv"
	both "$copying"
	chmod 777 "$dir"/*.sock
	copies_as_nobody() {
		(on "$1" setpriv --reuid 65534 --regid 65534 --clear-groups "$nobody_copies" "${@:2}" \
			>>"$dir/copies.out" 2>>"$dir/copies.err.log") &
		job=$!
		jobs_of_case+=("$job")
	}
	# It may not look into where we are built.
	cp "$copies" "$dir/copies"
	nobody_copies=$dir/copies
	copies_as_nobody there listen 7001 $call
	local there=$job
	expect 10 listens there 7001
	copies_as_nobody here send "${address[there]}" 7001 $call $calls
	ends 40 $job || fail "copies send: $(cat "$dir/copies.err.log")"
	ends 10 $there || fail "copies listen: $(cat "$dir/copies.err.log")"
	is here workers bytes_in 0 || fail "copied out of another user's memory"
	is there workers bytes_out 0 || fail "copied into another user's memory"
	grep -q 'user 65534 copies its large calls itself.*ncd runs as another user' "$dir/here.log" ||
		fail "not told"
}

case_core_taken_away() { # quick
	local tid
	two_cores
	command -v taskset >/dev/null || skip "needs taskset"
	both "$copying"
	for tid in "/proc/${pid_of[here]}/task/"*; do
		case $(cat "$tid/comm") in
		ncd-copy0 | ncd-worker0) taskset -p 3 "${tid##*/}" >/dev/null || fail "taskset" ;;
		esac
	done
	expect 5 grep -q 'copy worker 0 has lost core 1 ' "$dir/here.log"
	expect 5 grep -q ' worker 0 has lost core 0 ' "$dir/here.log"
	large here there 7001
	[ "$(grep -c 'has lost core' "$dir/here.log")" -eq 2 ] || fail "said more than once"
}

run_case "$@"
