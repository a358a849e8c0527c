#!/bin/bash
# perf.sh - what ncd-perf measures with several processes, and with kernel sockets beside TCP: that
# it runs, that every byte was right, and that it says what is not there. No time is judged.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"

# server VIA - an ncd-perf server on there.
server() {
	: >"$dir/server.log" # what the last one said is not about this one
	(on there "$OUT/ncd-perf" server --via "$1" --listen "${address[there]}" \
		>"$dir/server.log" 2>&1) &
	server=$!
	jobs_of_case+=("$server")
	expect 10 grep -q serving "$dir/server.log"
}
server_ends() {
	kill -TERM "$server"
	ends 20 "$server" || fail "the server of ncd-perf ended with status $?"
}
# perf MODE OPTIONS... - a client on here; leaves what it printed in $dir/perf.log.
perf() {
	on here timeout $((60 * slow)) "$OUT/ncd-perf" "$@" --to "${address[there]}" --json \
		>"$dir/perf.log" 2>&1 & # on() replaces its shell
	wait $!
}
says() { grep -q "$1" "$dir/perf.log" || fail "ncd-perf does not say: $1"; }
# isolated VIA OPTIONS... - both rows, round trips in each, and bulk only beside the second.
isolated() {
	server "$1"
	perf isolate --via "$@" --flows 2 --bulk-size 1M --seconds 1 || fail "ncd-perf isolate --via $1 failed"
	says '"mode":"isolate","via":"'"$1"'","flows":2,"size":4096,'
	says '"errors":0,"alone":{[^{]*"throughput_bytes_per_s":0,"errors":0,"rtt_us":{"p50":[0-9.]*[1-9]'
	says '"together":{[^{]*"throughput_bytes_per_s":[1-9][0-9]*,"errors":0,"rtt_us":{"p50":[0-9.]*[1-9]'
	server_ends
}

case_perf_isolate_tcp() { # quick
	isolated tcp
}
case_perf_isolate_ncd() { # quick
	both
	isolated ncd --priority 6
	isolated ncd-zc
	expect_empty 10
}
case_perf_isolate_without_server() { # quick
	perf isolate --via tcp && fail "ncd-perf isolate measured what is not there"
	says "is 'ncd-perf server' running there"
}

# Who has seen enough: what was measured by then is printed, and nothing was wrong. By timeout(1), which
# sends two signals.
case_perf_ended_early() { # quick
	local client
	both
	server ncd
	(on here timeout $((60 * slow)) "$OUT/ncd-perf" rpc --via ncd --to "${address[there]}" --flows 20 \
		--seconds 3000 --json >"$dir/perf.log" 2>&1) &
	client=$!
	jobs_of_case+=("$client")
	more_arrives 100000
	kill -TERM "$client"
	ends 20 "$client" || fail "ncd-perf ended with status $?"
	says '"seconds":[0-9]\{1,2\}\.[0-9]*,"bytes_per_s":[1-9].*"errors":0,'
	server_ends
	expect_empty 10
}

# Flows join in batches: more than one, over kernel sockets and virtual ones.
case_perf_thousands_of_flows() {
	local via
	both
	for via in tcp tcp-uring ncd-zc; do
		server $via
		perf rpc --via $via --flows 2000 --seconds 1 || fail "2000 flows via $via failed"
		says '"errors":0,'
		server_ends
	done
}
case_perf_flows_beyond_the_limit() { # quick
	[ "$(id -u)" -eq 0 ] || skip "needs root, to become somebody who may not raise limits"
	local limited=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all
		bash -c 'ulimit -n 500 && exec "$0" "$@"')
	on here "${limited[@]}" "$OUT/ncd-perf" rpc --via tcp --flows 1000 --to "${address[there]}" \
		>"$dir/perf.log" 2>&1 & # on() replaces its shell
	wait $! && fail "ncd-perf ran 1000 flows with 500 descriptors"
	says "1000 flows via tcp need that many open files: raise ulimit -n to 1[0-9][0-9][0-9]"
	# Over a Unix socket: somebody may not even have cubic.
	(on here "${limited[@]}" "$OUT/ncd-perf" server --via unix >"$dir/server.log" 2>&1) &
	jobs_of_case+=($!)
	expect 10 grep -q serving "$dir/server.log"
	perf rpc --via unix --flows 1000 && fail "a server with 500 descriptors took 1000 flows"
	says "says: its limit of open files is too low, raise ulimit -n there"
}

case_perf_mptcp() { # quick
	[ "$(sysctl -n net.mptcp.enabled 2>/dev/null)" = 1 ] || skip "this kernel has no MPTCP, or not switched on"
	server mptcp
	perf rpc --via mptcp --flows 3 --seconds 0.5 --verify || fail "ncd-perf rpc --via mptcp failed"
	says '"errors":0,'
	perf stream --via mptcp --seconds 0.5 --verify || fail "ncd-perf stream --via mptcp failed"
	says '"errors":0,'
	server_ends
}
case_perf_mptcp_switched_off() { # quick
	[ -n "$namespaces" ] || skip "needs a network namespace, root"
	on here sysctl -qw net.mptcp.enabled=0 2>/dev/null & # on() replaces its shell
	wait $! || skip "this kernel has no MPTCP"
	perf rpc --via mptcp && fail "ncd-perf measured MPTCP where there is none"
	says 'MPTCP is switched off: sysctl net.mptcp.enabled=1'
}

run_case "$@"
