#!/bin/bash
# hostile.sh - garbage on both sockets, a hostile application: a good transfer beside is unharmed.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"
. "$(dirname "$(readlink -f "$0")")/flow.sh"

daemon_number() { ask "$1" summary | grep -o "\"$2\":[0-9]*" | head -n 1 | cut -d: -f2; }
has_number() { [ "$(daemon_number "$1" "$2")" -ge "$3" ]; }

# tcp_garbage - sends stdin to the channel port of there, from here, and waits for the end.
tcp_garbage() {
	on here timeout $((5 * slow)) bash -c "exec 3<>/dev/tcp/${address[there]}/$port || exit 9
		cat >&3 2>/dev/null; cat <&3 >/dev/null 2>&1; true" &
	wait $!
}
case_garbage_on_channels() { # quick
	[ -n "$namespaces" ] || skip "on loopback garbage does not come from a peer's address"
	local i lines short=()
	both
	flow_begins 1000000 pause
	# What is shorter than a hello might become one: that takes the daemon's patience.
	head -c 40 /dev/urandom | tcp_garbage &
	short+=($!)
	printf 'GET / HTTP/1.1\r\n\r\n' | tcp_garbage &
	short+=($!)
	: | tcp_garbage &
	short+=($!)
	for i in 2 3 4 5 6 7 8; do head -c $((i * i * 40)) /dev/urandom | tcp_garbage; done
	head -c 100000 /dev/zero | tcp_garbage
	expect 5 has_number there hello_garbage 5
	# A flood of them is a flood of connections, not of lines in the log.
	lines=$(wc -l <"$dir/there.log")
	for ((i = 0; i < 100; i++)); do head -c 200 /dev/zero | tcp_garbage; done
	expect 5 has_number there hello_garbage 100
	for i in "${short[@]}"; do ends 10 "$i"; done
	[ $(($(wc -l <"$dir/there.log") - lines)) -lt 40 ] || fail "the log is not rate-limited"
	flow_ends
}

# Half a hello, and silence: it does not keep anything from others.
case_silent_connections() {
	local i fd
	[ -n "$namespaces" ] || skip "needs root"
	both
	flow_begins 1000000 pause
	(on here bash -c "for ((i = 0; i < 60; i++)); do
		exec {fd}<>/dev/tcp/${address[there]}/$port && printf ncd >&\$fd; done
		echo open; read -r" <&"$never" >"$dir/silent.out" 2>&1) &
	jobs_of_case+=($!)
	expect 10 grep -q open "$dir/silent.out"
	stop here # its channels have to be built beside those
	start here
	connected
	: >"$dir/enough"
	expect 10 test -s "$dir/in.status" # its stream ended with the daemon
	rm "$dir/enough"
	random_file 100000 part
	transfer here there 7002 part
}

# from ADDRESS - what connects from here to there is from that address, unless it chooses one.
from() { ip -n here route replace "${address[there]}/32" dev veth0 src "$1"; }
# Many silent connections from no peer's address leave room for a peer's.
case_silent_strangers() { # quick
	[ -n "$namespaces" ] || skip "needs root, for an address that is no peer's"
	both
	ip -n here addr add 10.79.0.99/24 dev veth0 && from 10.79.0.99 || fail "no third address"
	(on here bash -c "for ((i = 0; i < 80; i++)); do exec {fd}<>/dev/tcp/${address[there]}/$port
		done; echo open; read -r" <&"$never" >"$dir/silent.out" 2>&1) &
	jobs_of_case+=($!)
	expect 10 grep -q open "$dir/silent.out"
	expect 5 has_number there hello_strangers 60
	# As a peer's dial that has not said hello yet: it is not closed, so nothing can be read.
	from "${address[here]}"
	on here bash -c "exec 3<>/dev/tcp/${address[there]}/$port && read -rt 1 -u 3; [ \$? -gt 128 ]" &
	wait $! || fail "a connection from a peer's address was closed at once"
	[ "$(daemon_number there hello_strangers)" -le 80 ] || fail "a peer was counted as a stranger"
	stop here
	start here
	connected
}

case_garbage_on_control_socket() { # quick
	local i lines
	both
	flow_begins 1000000 pause
	on here "$OUT/tests/e2e/garbage" "$RANDOM" 400 >"$dir/garbage.log" 2>&1 &
	ends 30 $! || fail "garbage: $(cat "$dir/garbage.log")"
	expect 5 has_number here ctl_garbage 100
	[ "$(wc -l <"$dir/here.log")" -lt 60 ] || fail "the log is not rate-limited"
	flow_ends
	expect 5 empty here
}

# In the daemon that the good transfer uses, at either end; streams go to an echo server.
hostile_at() {
	local h=$1 seed=${SEED:-$RANDOM$RANDOM} rounds=$((8000 / slow)) hostile
	both "${2:-}"
	(on there "$OUT/tests/e2e/echo" 7100 >"$dir/echo.log" 2>&1) &
	jobs_of_case+=($!)
	expect 10 listens there 7100
	flow_begins 1000000 pause
	say "seed $seed"
	(on "$h" "$OUT/tests/e2e/hostile" "$seed" $rounds "${address[there]}" 7100 \
		>"$dir/hostile.log" 2>&1) &
	hostile=$!
	jobs_of_case+=("$hostile")
	ends 40 $hostile || fail "hostile: $(cat "$dir/hostile.log")"
	flow_ends
	for h in here there; do
		is $h summary frame_errors 0 || fail "$h: a channel carried a wrong frame"
	done
	grep -q 'thrown out [1-9]' "$dir/hostile.log" || fail "never thrown out"
	for h in here there; do expect 10 no_hostile $h; done
	random_file 100000 part
	transfer here there 7002 part
}
no_hostile() { ! ask "$1" clients | grep -q '"program":"hostile"'; }
case_hostile_beside_sender() { # quick
	hostile_at here
}
case_hostile_beside_receiver() { hostile_at there; }
case_hostile_two_workers() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	channels=6 hostile_at here $'[workers]\ncores = 0,1'
}
case_hostile_copies() { # quick
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	hostile_at here $'[workers]\ncores = 0\ncopy_cores = 1'
	[ "$(number here workers pieces)" -gt 0 ] || grep -q 'copies its large calls itself' \
		"$dir/here.log" || fail "nothing was copied"
}

run_case "$@"
