#!/bin/bash
# load.sh - sourced behind hosts.sh: ncd-perf as a load from here to there, in which no byte may be
# wrong.

# perf_server - on there. Sets $server.
perf_server() {
	(on there "$OUT/ncd-perf" server --via ncd --listen "${address[there]}" \
		>"$dir/server.log" 2>&1) &
	server=$!
	jobs_of_case+=("$server")
	expect 10 listens there 4799
}
perf_server_ends() {
	kill -TERM "$server"
	ends 10 "$server" || fail "the server of ncd-perf ended with status $?"
}
# perf_begins MODE OPTIONS... - a client on here. Sets $client.
perf_begins() {
	(on here "$OUT/ncd-perf" "$@" --via ncd --to "${address[there]}" --verify --json \
		>"$dir/perf.log" 2>&1) &
	client=$!
	jobs_of_case+=("$client")
}
perf_ended_well() {
	ends 40 "$client" || fail "ncd-perf failed"
	grep -q '"errors":0[,}]' "$dir/perf.log" || fail "ncd-perf counted errors"
}
# perf MODE OPTIONS... - a client on here, from its beginning to its end.
perf() {
	perf_begins "$@"
	perf_ended_well
}
# perf_flows OPTIONS... - round trips for as long as the case likes; they are under way.
perf_flows() {
	local before
	before=$(number there summary bytes_received)
	perf_begins rpc --seconds 3000 "$@"
	under_way() { [ "$(number there summary bytes_received)" -gt $((before + 1000000)) ]; }
	expect 20 under_way
}
perf_flows_end() {
	kill -TERM "$client"
	perf_ended_well
}
