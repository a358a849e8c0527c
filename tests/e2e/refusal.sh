#!/bin/bash
# refusal.sh - what cannot be done is refused, with the true reason, to that application alone.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

# refused HOST WORDS OPTIONS... - an ncd-cat that fails with status 1 and one line with these words.
refused() {
	local h=$1 words=$2 cat
	shift 2
	(on "$h" timeout $((20 * slow)) "$OUT/ncd-cat" "$@" </dev/null >/dev/null \
		2>"$dir/refused.log") &
	cat=$!
	ends 20 $cat
	[ $? -eq 1 ] || fail "ncd-cat $*: not refused"
	grep -qF -- "$words" "$dir/refused.log" || fail "ncd-cat $*: does not say: $words"
	[ "$(wc -l <"$dir/refused.log")" -eq 1 ] || fail "ncd-cat $*: more than one line"
}
works() {
	random_file 100000 good
	transfer here there "${1:-7777}" good
}

case_errors_of_connect() { # quick
	both
	refused here 'Connection refused: nobody listens there through ncd' "${address[there]}" 7001
	refused there 'Connection refused' "${address[here]}" 7001
	refused here 'Connection refused' "${address[here]}" 7001
	refused here 'Connection refused' "${address[there]}" 0
	refused here 'Network is unreachable: no [peer] in ncd.conf has this address' 192.0.2.9 7001
	refused here 'not an address of this host in ncd.conf' -l -s 192.0.2.9 7001
	# The host lives, but no ncd on it: as of TCP, nobody listens.
	stop there
	expect 5 is here summary channels 0
	refused here 'Connection refused' "${address[there]}" 7001
	start there
	connected
	works
	stop here
	refused here "$dir/here.sock" "${address[there]}" 7001
	start here
}

case_ports_that_are_none() { # quick
	local none
	config here
	start here
	for none in 65536 99999 4294967376 18446744073709551696; do
		on here "$OUT/ncd-cat" "${address[here]}" "$none" </dev/null >"$dir/port.log" 2>&1 &
		ends 10 $!
		[ $? -eq 2 ] || fail "to port $none: the status is not 2"
		grep -qF "$none: must be a port" "$dir/port.log" || fail "to port $none"
		on here "$OUT/ncd-cat" -w 1 -l "$none" </dev/null >"$dir/port.log" 2>&1 &
		ends 10 $!
		[ $? -eq 2 ] || fail "at port $none: the status is not 2"
	done
}

# The peer's host cannot be reached at all, or the way to it is missing.
case_peer_unreachable() {
	[ -n "$namespaces" ] || skip "needs root and namespaces of its own"
	local down
	both $'[channels]\nping_seconds = 1'
	for down in there here; do
		stop $down
		start $down
		connected
		stop here
		ip -n $down link set veth0 down
		start here
		refused here 'is ncd running there, and does its ncd.conf name this host?' \
			"${address[there]}" 7001
		grep -qE 'No route to host|timed out' "$dir/refused.log" || fail "another error"
		ip -n $down link set veth0 up
		connected
	done
	works
}

case_port_in_use() { # quick
	both
	listen there 7001 got
	refused there 'Address already in use' -l 7001
	send here "${address[there]}" 7001 got # nothing: the end is enough
	ends 10 $sender
	ends 10 "$listener"
	listen there 7001 got
}

# as_nobody HOST COMMAND... - as a user without any rights.
as_nobody() {
	local h=$1
	shift
	on "$h" setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$@"
}
needs_root() {
	[ -n "$namespaces" ] || skip "needs root"
	as_nobody here true &
	wait $! || skip "setpriv cannot become nobody"
	# A user must reach the programs.
	as_nobody here test -x "$OUT/ncd-cat" & # the build may lie in a closed home directory
	wait $! || { cp "$OUT/ncd-cat" "$dir/" && cat_of_nobody=$dir/ncd-cat; }
}
cat_of_nobody=$OUT/ncd-cat
# nobody_refused WORDS OPTIONS... - as refused(), on here.
nobody_refused() {
	local words=$1 cat
	shift
	(as_nobody here timeout $((20 * slow)) "$cat_of_nobody" "$@" </dev/null >/dev/null \
		2>"$dir/nobody.log") &
	cat=$!
	ends 20 $cat && fail "ncd-cat $* of nobody: not refused"
	grep -qF -- "$words" "$dir/nobody.log" || fail "ncd-cat $* of nobody: does not say: $words"
}

case_user_not_in_access() {
	needs_root
	both $'[access]\nuser = daemon'
	nobody_refused 'access' "${address[there]}" 7001
	works # root always may
	[ "$(number here errors attach_denied)" -gt 0 ] || [ "$(ask here summary |
		grep -o '"attach_refused":[0-9]*' | cut -d: -f2)" -gt 0 ] || fail "not counted"
	sed -i 's/^user = daemon/user = daemon, nobody/' "$dir/here.conf"
	kill -HUP "${pid_of[here]}"
	expect 5 reloaded here 1
	nobody_refused 'Connection refused' "${address[there]}" 7001 # attached now
}
reloaded() { [ "$(ask "$1" summary | grep -o '"reloads":[0-9]*' | cut -d: -f2)" -ge "$2" ]; }

case_low_ports_are_roots() {
	needs_root
	both
	nobody_refused 'ports below 1024 are root' -l 80
	nobody_refused 'nobody listens' "${address[there]}" 7001
	listen there 80 got
	: >"$dir/nothing"
	send here "${address[there]}" 80 nothing
	ends 10 $sender || fail "root may not listen on port 80"
	ends 10 "$listener"
}

# One application more than allowed is refused; those that are attached go on.
case_limit_of_clients() { # quick
	local i many=()
	both $'[daemon]\nclients = 3'
	for i in 1 2 3; do
		listen here 700$i got.$i
		many+=("$listener")
	done
	refused here '[daemon] clients of ncd.conf is reached' "${address[there]}" 7009
	random_file 100000 part
	send there "${address[here]}" 7001 part
	ends 10 $sender || fail "an attached application does not go on"
	ends 10 "${many[0]}" || fail "an attached application does not go on"
	same part got.1
	expect 5 is here summary clients 2
	works # there is room again
}

# One socket more than allowed is refused to its application; another has its own limit.
case_limit_of_sockets() {
	local flood
	config here $'[daemon]\nsockets = 64'
	config there
	start here
	start there
	connected
	(on there "$OUT/ncd-perf" server --via ncd >"$dir/server.log" 2>&1) &
	jobs_of_case+=($!)
	expect 10 listens there 4799
	(on here "$OUT/ncd-perf" rpc --via ncd --to "${address[there]}" --flows 500 --seconds 1 \
		>"$dir/flood.log" 2>&1) &
	flood=$!
	ends 20 $flood && fail "500 sockets where 64 are allowed"
	grep -qE 'Too many open files|No buffer space' "$dir/flood.log" || fail "not told why"
	(on here "$OUT/ncd-perf" rpc --via ncd --to "${address[there]}" --flows 40 --seconds 1 \
		>"$dir/good.log" 2>&1) &
	ends 20 $! || fail "40 sockets where 64 are allowed do not work"
	works
}

# A limit of file sizes counts for regions and for the log; beyond it the kernel sends SIGXFSZ.
case_limit_of_file_size() { # quick
	local blocks
	config here
	config there
	start there
	# Room for the counter page, and not for a region.
	blocks=$(($(stat -c %s "$dir/there.stats") / 1024 + 64))
	ncd_by=(bash -c 'ulimit -f "$0" && exec "$@"' "$blocks")
	start here
	ncd_by=()
	connected
	refused here 'no room for its region: File too large' "${address[there]}" 7001
	serves here
	stop here
	start here
	connected
	works
}

# /run is full: nothing can be shown of new sockets, and that is all.
case_no_room_for_counters() { # quick
	[ -n "$namespaces" ] || skip "needs root, for a file system of its own"
	local seed=$RANDOM server
	config here
	config there
	start there
	mkdir "$dir/run" && mount -t tmpfs -o size=16M tmpfs "$dir/run" || fail "cannot mount a tmpfs"
	sed -i "s|^socket.*|socket = $dir/run/here.sock|" "$dir/here.conf"
	ln -s run/here.sock "$dir/here.sock"
	ln -s run/here.stats "$dir/here.stats"
	start here
	connected
	dd if=/dev/zero of="$dir/run/fill" bs=4k 2>"$dir/fill.log" && fail "it does not become full"
	(on there "$OUT/tests/e2e/soak" server "${address[there]}" 7001 32 >"$dir/server.log" 2>&1) &
	server=$!
	jobs_of_case+=("$server")
	expect 10 grep -q serving "$dir/server.log"
	say "seed $seed"
	(on here "$OUT/tests/e2e/soak" client "${address[there]}" 7001 32 1 $seed >"$dir/client.log" 2>&1) &
	ends 20 $! || fail "the client has found something"
	kill -TERM $server
	ends 10 $server || fail "the server has found something"
	expect 5 grep -q 'here.stats: its file system is full' "$dir/here.log"
	serves here
	stop here
	umount "$dir/run" || fail "umount"
}

run_case "$@"
