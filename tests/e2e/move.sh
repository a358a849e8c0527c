#!/bin/bash
# move.sh - open streams go to another worker, here and there, and no program notices: not a byte is
# wrong, and what ends or dies meanwhile does so as ever. So that streams go on a machine of two
# loaded cores, too, a worker that does anything at all counts as overloaded.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"
. "$(dirname "$(readlink -f "$0")")/load.sh"

two_workers() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	channels=6 both $'[workers]\ncores = 0,1\nmove_busy = 1'
}
# background NAME HOST PROGRAM OPTIONS... - what it says is in NAME.log. Sets $job.
background() {
	(on "$2" "${@:3}" >"$dir/$1.log" 2>&1) &
	job=$!
	jobs_of_case+=("$job")
}
# Streams go until the workers are about alike, perhaps before all of them are connected: so what went
# before a load begins is noted first.
declare -A before
note() {
	local h
	for h in here there; do before[$h]=$(number $h summary streams_went); done
}
# flows - of small messages, for as long as the case likes.
flows() {
	note
	perf_flows --flows 64
	expect 20 at_least here summary connected 64
}
at_least() { [ "$(number "$1" "$2" "$3")" -ge "$4" ]; }
# went HOST NUMBER - so many streams have gone, and arrived.
went() { at_least "$1" summary streams_went "$2" && at_least "$1" summary streams_came "$2"; }
# more_go NUMBER - since note; and both ends of each.
more_go() {
	local h
	for h in here there; do expect 60 went $h $((before[$h] + $1)); done
}
well() {
	perf_flows_end
	is here summary region_errors 0 || fail "an application was detached here"
	is there summary region_errors 0 || fail "an application was detached there"
	perf_server_ends
	expect_empty 10
}
# On both workers there are streams now.
spread() {
	[ "$(ask "$1" sockets | grep -o '"path":"channel","worker":[01]' | sort -u | wc -l)" -eq 2 ]
}

case_move_round_trips() {
	two_workers
	perf_server
	flows
	more_go 8
	spread here || fail "all streams are at one worker here"
	well
}
# soak PROGRAM... - threads that wait in each way there is, short and long streams, and all ways to
# end one, beside flows that have the workers move what there is. Who is busier then, and how much
# moves beside the soak, is as it comes; it is all right in any case.
soak() {
	local soak_server soak
	two_workers
	perf_server
	flows
	more_go 8
	background soak_server there "$@" server "${address[there]}" 7010 8
	soak_server=$job
	expect 10 listens there 7010
	background soak here "$@" client "${address[there]}" 7010 8 6 "$RANDOM"
	soak=$job
	ends 40 "$soak" || fail "a byte was wrong, or an end"
	kill -TERM "$soak_server"
	ends 10 "$soak_server" || fail "a byte was wrong at the server, or an end"
	well
}
case_move_soak() {
	soak "$OUT/tests/e2e/soak"
}
case_move_soak_under_ncd_run() {
	[ "$slow" = 1 ] || skip "a sanitizer's library cannot be loaded into the program"
	soak "$OUT/ncd-run" "$OUT/tests/e2e/soak_posix"
}
# A host with two workers, and one with a single one.
case_move_to_one_worker() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	config here $'[workers]\ncores = 0,1\nmove_busy = 1'
	config there $'[workers]\ncores = 1\nmove_busy = 1'
	start here
	start there
	channels=6 connected
	perf_server
	flows
	more_go 8
	well
}
# Channels die all the time: what is asked, answered, and under way goes again.
case_move_channels_destroyed() {
	local round
	two_workers
	perf_server
	flows
	for ((round = 0; round < 10; round++)); do
		on here ss -HK state established "( dport = :$port or sport = :$port )" \
			>>"$dir/killed" 2>>"$dir/ss.log" &
		wait $!
		channels=6 connected
	done
	[ -s "$dir/killed" ] || skip "this kernel does not destroy sockets (INET_DIAG_DESTROY)"
	more_go 1
	well
}
# A program is killed while its streams go to and fro: nothing is left of it, and the next is served.
case_move_killed() {
	local round
	two_workers
	perf_server
	for ((round = 0; round < 3; round++)); do
		flows
		more_go 1
		kill -KILL "$client"
		expect 20 no_clients here
		expect 20 is there summary connected 0
	done
	kill -KILL "$server"
	expect_empty 20
}
case_move_daemon_killed() {
	local h
	two_workers
	for h in here there; do
		perf_server
		flows
		more_go 1
		kill_daemon $h
		start $h
		channels=6 connected
		kill -KILL "$client" "$server" 2>/dev/null
		expect_empty 20
	done
}
# A peer with move_busy = 0, or of an older version, does not say that it knows RESUME.
case_move_not_with_all() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	config here $'[workers]\ncores = 0,1\nmove_busy = 1'
	config there $'[workers]\ncores = 0,1\nmove_busy = 0'
	start here
	start there
	channels=6 connected
	perf_server
	flows
	more_arrives 30000000
	well
	is here summary streams_went 0 || fail "a stream went, and its peer does not know how"
	is there summary streams_came 0 || fail "a stream came, and was not to"
}
# A program as it is, with an epoll.
case_move_redis() {
	[ "$slow" = 1 ] || skip "a sanitizer's library cannot be loaded into Debian's programs"
	command -v redis-benchmark >/dev/null || skip "needs redis-benchmark"
	two_workers
	note
	background redis there "$OUT/ncd-run" redis-server --port 7012 --save '' --protected-mode no
	server=$job
	expect 10 listens there 7012
	background client here "$OUT/ncd-run" --require redis-benchmark -h "${address[there]}" -p 7012 \
		-c 50 -l -t set,get -q
	client=$job
	more_go 8
	kill -INT "$client"
	kill -TERM "$server"
	ends 20 "$server" || fail "redis-server ended with status $?"
	! grep -i error "$dir/client.log" || fail "redis-benchmark has seen an error"
	expect_empty 20
}

run_case "$@"
