#!/bin/bash
# greedy.sh - a client of 1,000 sockets that sends as fast as it can, beside one of one socket: that
# one is served, and gets its share. Bytes are compared, not times: what is said of the share is far
# below an even one, since on a loaded machine the one of one socket does not always have something
# to send; by turns of sockets it would be a thousandth.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

greedy_flows=1000
# perf_server PORT
perf_server() {
	(on there "$OUT/ncd-perf" server --via ncd --listen "${address[there]}" --port "$1" \
		>"$dir/server-$1.log" 2>&1) &
	jobs_of_case+=("$!")
	expect 10 listens there "$1"
}
# perf NAME PORT MODE OPTIONS... - a client on here; what it says is in NAME.log.
perf() {
	on here timeout $((40 * slow)) "$OUT/ncd-perf" "${@:3}" --via ncd --to "${address[there]}" \
		--port "$2" --json >"$dir/$1.log" 2>&1
}
# greedy MODE OPTIONS... - one that goes on until the case ends. Returns when it is at work.
greedy() {
	local before
	perf greedy 4801 "$@" --flows $greedy_flows --seconds 600 &
	greedy=$!
	jobs_of_case+=("$greedy")
	expect 30 at_least here summary connected $greedy_flows
	before=$(number there summary bytes_received)
	expect 20 at_least there summary bytes_received $((before + 10000000))
}
at_least() { [ "$(number "$1" "$2" "$3")" -ge "$4" ]; }
received() { number there summary bytes_received; }
member() { sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" "$dir/$1.log"; }

# beside LEAST MODE OPTIONS... - one socket gets at least one LEAST-th of what all get meanwhile.
beside() {
	local least=$1 all good
	shift
	all=$(received)
	perf good 4802 "$@" --seconds $((slow == 1 ? 2 : 4)) & # on() replaces its shell
	wait $! || fail "the client of one socket failed"
	all=$(($(received) - all))
	gone_or_zombie "$greedy" && fail "the greedy client has ended"
	grep -q '"errors":0[,}]' "$dir/good.log" || fail "the client of one socket counted errors"
	good=$(awk -v rate="$(member good bytes_per_s)" -v s="$(member good seconds)" \
		'BEGIN { printf "%.0f", rate * s }')
	say "$*: $good of $all bytes"
	[ $((good * least)) -ge "$all" ] || fail "less than one ${least}th"
}
# ended - the greedy one, told so by a signal.
ended() {
	kill -TERM "$greedy"
	ends 10 "$greedy" # whatever it says
	expect 20 no_clients here
}
servers() {
	both
	perf_server 4801
	perf_server 4802
}

case_greedy_latency() { # quick alone
	servers
	greedy stream --priority 6
	beside 20 stream --priority 6
	beside 1000000 rpc
	ended
}
case_greedy_bulk() { # alone
	servers
	greedy stream
	beside 20 stream
	beside 1000000 rpc
	ended
}
# Its 1,000 sockets in as many queues as there are.
case_greedy_threads() { # alone
	servers
	greedy rpc --threads 12 --depth 16
	beside 20 stream --priority 6
	ended
}
case_greedy_connects() { # alone
	servers
	perf greedy 4801 connect --flows $greedy_flows --seconds 600 &
	greedy=$!
	jobs_of_case+=("$greedy")
	expect 30 at_least here summary streams_opened 10000
	beside 1000000 rpc --size 4096
	ended
}

run_case "$@"
