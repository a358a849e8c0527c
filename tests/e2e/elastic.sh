#!/bin/bash
# elastic.sh - channels come while those there are do not move what waits, and go when fewer would do.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"
. "$(dirname "$(readlink -f "$0")")/shares.sh"

flow_ends_well() {
	flow_ends
	expect_empty 10
}

# throughput HOST - how many channels of the class there are.
throughput() {
	ask "$1" channels | sed -n 's/.*"class":"throughput","lanes":[0-9]*,"now":\([0-9]*\),.*/\1/p'
}
has() { [ "$(throughput "$1")" -eq "$2" ]; }
has_more() { [ "$(throughput "$1")" -ge "$2" ]; }
# counted HOST NAME - the daemon's counter of channels.
counted() { ask "$1" summary | grep -o "\"channels_$2\":[0-9]*" | head -n 1 | cut -d: -f2; }
same_number() { [ "$(counted "$1" grown)" = "$(counted "$1" shrunk)" ]; }
connections() {
	on here ss -Htn state established "( dport = :$port or sport = :$port )" | awk '{ print $3, $4 }' |
		sort
}
elastic_hosts() { # MAX-HERE MAX-THERE [LINES]
	config here $'[channels]\nthroughput = 1\nmax = '"$1"$'\n'"${3:-}"
	config there $'[channels]\nthroughput = 1\nmax = '"$2"$'\n'"${3:-}"
	start here
	start there
	channels=2 connected
}

comes_and_goes() {
	elastic_hosts 4 8 "${1:-}"
	shares 60mbit
	has here 1 || fail "more channels than configured, without a load"
	flow_begins 3000000
	expect 30 has_more here 3
	expect 30 has_more there 3
	[ "$(throughput here)" -le 3 ] || fail "more than max"
	flow_ends_well
	expect 30 has here 1
	expect 5 has there 1
	expect 5 same_number here
	is here summary retransmits 0 || fail "something was sent again"
	is there summary retransmits 0 || fail "something was sent again"
	[ "$(counted there grown)" = 0 ] || fail "there has grown without a load of its own"
}
case_elastic_comes_and_goes() { # quick
	comes_and_goes
}
case_elastic_comes_and_goes_epoll() {
	comes_and_goes $'[workers]\nio = epoll'
}

one_lane_has_grown() {
	ask here channels | grep -o '"class":"throughput","lane":[01],' | sort | uniq -c |
		awk '{ n[NR] = $1 } END { exit !(NR == 2 && n[1] + n[2] == 4 && n[1] != n[2]) }'
}
# Only in the lane of the worker that has the stream.
case_elastic_two_workers() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	elastic_hosts 4 4 $'[workers]\ncores = 0,1'
	channels=4 connected
	shares 60mbit
	flow_begins 3000000
	expect 30 one_lane_has_grown
	[ "$(throughput here)" -le 4 ] || fail "more than max in a lane"
	flow_ends_well
	expect 30 has here 2
	expect 5 has there 2
	is here summary retransmits 0 || fail "something was sent again"
}

# A channel that has grown dies in mid-transfer; nothing is lost, and another one grows.
case_elastic_channel_destroyed() {
	local from to round
	elastic_hosts 4 4
	shares 60mbit
	connections >"$dir/first"
	flow_begins 3000000
	for ((round = 0; round < 3; round++)); do
		expect 40 has_more here 2
		more_arrives 1000000
		connections | comm -13 "$dir/first" - >"$dir/grown"
		while read -r from to; do
			on here ss -HK src "$from" dst "$to" >>"$dir/killed" 2>>"$dir/ss.log" &
			wait $!
		done <"$dir/grown"
		[ -s "$dir/killed" ] ||
			skip "this kernel does not destroy sockets (INET_DIAG_DESTROY)"
	done
	expect 40 has_more here 2
	flow_ends_well
	expect 30 has here 1
	expect 5 has there 1
}

# The other host takes fewer: it says so, and is not asked over and over.
case_elastic_peer_takes_fewer() {
	local dials
	elastic_hosts 8 3
	shares 60mbit
	flow_begins 3000000
	expect 30 has here 2
	refused() { [ "$(counted here refused)" -ge 1 ]; }
	expect 30 refused
	dials=$(number here summary dials)
	[ "$(counted there refused)" -ge 1 ] || fail "there has not counted it"
	more_arrives 20000000
	[ "$(throughput here)" -le 2 ] || fail "more than the other host takes"
	[ $(($(number here summary dials) - dials)) -le 4 ] || fail "the other host is asked again and again"
	flow_ends_well
	expect 30 has here 1
	is here summary retransmits 0 || fail "something was sent again"
}

# Where more channels move no more, none stays.
case_elastic_one_link_for_all() {
	local round
	elastic_hosts 8 8
	[ -n "$namespaces" ] || skip "needs root and namespaces of its own"
	tc -n here qdisc add dev veth0 root tbf rate 200mbit burst 64kb limit 1mb 2>"$dir/tc.log" ||
		skip "no tbf here"
	flow_begins 3000000
	tried() { [ "$(counted here grown)" -ge 1 ]; }
	expect 20 tried
	expect 20 has here 1
	for ((round = 0; round < 3; round++)); do
		more_arrives 10000000
		[ "$(throughput here)" -le 3 ] || fail "channels that do not help"
	done
	flow_ends_well
	expect 30 has here 1
}

# worker_of PORT - which worker here has the stream to that port.
worker_of() {
	ask here sockets | tr '{' '\n' | grep "\"peer_port\":$1," | grep -o '"worker":[0-9]*' |
		cut -d: -f2 | head -n 1
}
# fill PORT - a stream that costs its programs next to nothing: however loaded the machine is, it
# waits for workers, and not for those.
fill() {
	(on there "$OUT/ncd-perf" server --via ncd-zc --listen "${address[there]}" --port "$1" \
		>"$dir/server.log" 2>&1) &
	jobs_of_case+=($!)
	until_true 10 listens there "$1" || fail "ncd-perf does not listen on port $1 of there"
	(on here "$OUT/ncd-perf" stream --via ncd-zc --to "${address[there]}" --port "$1" \
		--size 1048576 --seconds 100 >"$dir/fill.log" 2>&1) &
	jobs_of_case+=($!)
}
opened() { [ -n "$(worker_of "$1")" ]; }
# is_busier A B - worker A has more to do than worker B, as control saw it.
is_busier() {
	local busy
	mapfile -t busy < <(ask here workers | grep -o '"busy_permille":[0-9]*' | cut -d: -f2)
	[ $((busy[$1] / 100)) -gt $((busy[$2] / 100)) ]
}
# While one worker has too much to do, who comes begins at the other.
case_new_streams_go_where_there_is_time() { # quick
	local to first
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	both $'[workers]\ncores = 0,1'
	for to in 7002 7003; do listen there "$to" "got.$to"; done
	fill 7001
	expect 10 opened 7001
	first=$(worker_of 7001)
	for to in 7002 7003; do
		expect 20 is_busier "$first" $((1 - first))
		mkfifo "$dir/quiet.$to"
		(on here "$OUT/ncd-cat" -q "${address[there]}" "$to" <"$dir/quiet.$to" >/dev/null) &
		jobs_of_case+=($!)
		exec {quiet}>"$dir/quiet.$to"
		expect 10 opened "$to"
		[ "$(worker_of "$to")" != "$first" ] || fail "the stream to $to is where there is no time"
	done
}

run_case "$@"
