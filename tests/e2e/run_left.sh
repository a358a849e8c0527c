#!/bin/bash
# run_left.sh - is it accelerated? What ncd-stat says of sockets that ncd-run left to kernel TCP.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# left HOST WHY ADDRESS:PORT - a connection that is shown as left to kernel TCP, and why.
left() {
	ask "$1" sockets | grep -o '{[^{}]*"path":"kernel"[^{}]*}' | grep "\"why\":\"$2\"" |
		grep "\"peer_addr\":\"${3%:*}\"" | grep "\"peer_port\":${3##*:}," | grep -v '"local_port":0' |
		grep -q "\"state\":\"KERNEL\""
}
left_listens() { # HOST WHY PORT
	ask "$1" -l sockets | grep -o '{[^{}]*"path":"kernel"[^{}]*}' | grep "\"why\":\"$2\"" |
		grep -q "\"local_port\":$3,"
}
none_left() { ! ask "$1" -a sockets | grep -q '"path":"kernel"'; }

# Reads lines: "connect NAME ADDRESS PORT", "listen NAME ADDRESS PORT", "accept NAME LISTENER", "dup NAME
# OLD", "close NAME"; answers each with a line.
puppet='
import os, socket, sys
s = {}
for line in sys.stdin:
    what, name, *rest = line.split()
    if what == "connect": s[name] = socket.create_connection((rest[0], int(rest[1])))
    elif what == "listen": s[name] = socket.create_server((rest[0], int(rest[1])))
    elif what == "accept": s[name] = s[rest[0]].accept()[0]
    elif what == "dup": s[name] = s[rest[0]].dup()
    elif what == "close": s.pop(name).close()
    elif what == "fork":
        if os.fork() == 0:
            for one in s.values(): one.close()
            s["c"] = socket.create_connection((rest[0], int(rest[1])))
            sys.stdin.readline()
    print("done", name, flush=True)
'
# pull WORDS... - one line to the puppet, and its answer.
pull() {
	local answer
	echo "$*" >&"${to_puppet}"
	read -rt $((20 * slow)) answer <&"${from_puppet}" || fail "no answer to: $*"
	[ "$answer" = "done $2" ] || fail "$*: $answer"
}
puppet_begins() { # HOST [VARIABLE=VALUE...]
	local h=$1
	shift
	mkfifo "$dir/pull" "$dir/answer"
	(on "$h" env "$@" "${ncd_run[@]}" "${python[@]}" "$puppet" <"$dir/pull" >"$dir/answer" \
		2>"$dir/puppet.log") &
	puppet_pid=$!
	jobs_of_case+=($!)
	exec {to_puppet}>"$dir/pull" {from_puppet}<"$dir/answer"
}

case_run_left_to_the_kernel() {
	needs python3
	both
	background there plain "${python[@]}" '
import select, socket, sys
ls = [socket.create_server((sys.argv[1], p)) for p in (8101, 8103)]
held = []
while True:
    for l in select.select(ls, [], [])[0]: held.append(l.accept())' "${address[there]}"
	expect 10 tcp_listens there 8103
	# An address of this host that no ncd.conf has; on loopback all are this host's.
	local strange=127.0.0.9 strange_why=no_listener
	if [ -n "$namespaces" ]; then
		strange=10.79.1.9 strange_why=no_peer
		ip -n here addr add $strange/32 dev lo || fail "ip addr add"
	fi
	puppet_begins here NCD_EXCLUDE=8103
	pull connect one "${address[there]}" 8101
	pull connect two "${address[there]}" 8103
	pull listen three $strange 8102
	pull connect four $strange 8102
	expect 5 left here no_listener "${address[there]}:8101"
	expect 5 left here port "${address[there]}:8103"
	expect 5 left here $strange_why $strange:8102
	expect 5 left_listens here no_peer 8102
	[ "$(number here clients kernel)" -eq 4 ] || fail "clients do not say 4"
	"$OUT/ncd-stat" -s "$dir/here.sock" -a sockets >"$dir/stat.log" || fail "ncd-stat"
	grep -qE "^KERNEL +- +- .* ${address[there]}:8101 .* kernel .*nobody listens there" "$dir/stat.log" ||
		fail "the table does not say so"
	# Gone with the last descriptor, not before.
	pull dup five one
	pull close one
	pull close two
	pull close three
	expect 5 is here clients kernel 2
	left here no_listener "${address[there]}:8101" || fail "a copy is not shown"
	pull close five
	expect 5 is here clients kernel 1
	grep -q "connect ${address[there]}:8103: kernel TCP: the port is excluded" "$dir/puppet.log" ||
		fail "--verbose does not say so"
	# A listener of ours: a plain client comes by kernel TCP.
	pull listen six "${address[here]}" 8104
	background there client "${python[@]}" "import socket, time
s = socket.create_connection(('${address[here]}', 8104)); s.recv(1)"
	pull accept seven six
	expect 5 is here clients kernel 2
	ask here sockets | grep -q '"why":"by_client"' || fail "who came by kernel TCP is not shown"
	# Known again to another daemon, as soon as the program attaches; gone with the process.
	stop here
	start here
	connected
	none_left here || fail "a daemon knows what nobody told it"
	pull listen eight "${address[here]}" 8105
	expect 5 is here clients kernel 2
	kill -KILL "$puppet_pid"
	expect 5 none_left here
}

case_run_left_peer_down() {
	needs python3
	both
	background there plain "${python[@]}" "import socket
l = socket.create_server(('${address[there]}', 8101)); l.accept(); l.accept()"
	expect 10 tcp_listens there 8101
	background here plain "${python[@]}" "import socket
l = socket.create_server(('${address[here]}', 8102)); c = l.accept(); l.accept()"
	expect 10 tcp_listens here 8102
	stop there
	puppet_begins here
	pull connect one "${address[there]}" 8101
	expect 5 left here peer_down "${address[there]}:8101"
	# A child has closed its parent's, in its own name alone.
	pull fork two "${address[here]}" 8102
	expect 5 is here clients kernel 2
	left here no_listener "${address[here]}:8102" || fail "the child's is not shown"
	pull close one
	expect 5 is here clients kernel 1
	left here no_listener "${address[here]}:8102" || fail "the child's is not shown any more"
}

# What is wrong in the environment: ncd-run refuses it, the library alone says it once and goes on.
case_run_environment() { # quick
	local wrong status
	for wrong in NCD_PORTS=http NCD_EXCLUDE=99999 NCD_CLASS=fast; do
		(on here env $wrong "$OUT/ncd-run" true >"$dir/run.log" 2>&1)
		status=$?
		[ $status -eq 2 ] || fail "ncd-run, $wrong: status $status"
		grep -qF "ncd-run: ${wrong%=*}: '${wrong#*=}' is wrong" "$dir/run.log" ||
			fail "ncd-run, $wrong: it does not say so"
		[ "$slow" -eq 1 ] || continue # a sanitizer must be loaded first
		(on here env $wrong LD_PRELOAD="$OUT/libncpreload.so" \
			"$(type -P true)" >"$dir/run.log" 2>&1) || fail "$wrong ends a program"
		grep -qF "${wrong%=*}: '${wrong#*=}' is wrong" "$dir/run.log" ||
			fail "the library, $wrong: it does not say so"
	done
}

case_run_static() { # quick
	local status
	echo 'int main(void) { return 0; }' >"$dir/static.c"
	"${CC:-cc}" -static -o "$dir/static" "$dir/static.c" 2>/dev/null || skip "no static C library"
	(on here "$OUT/ncd-run" "$dir/static" 2>"$dir/run.log") || fail "it does not run"
	grep -qF "$dir/static: is linked statically: kernel TCP is used" "$dir/run.log" ||
		fail "it does not say so"
	(on here "$OUT/ncd-run" --require "$dir/static" 2>"$dir/run.log")
	status=$?
	[ $status -eq 126 ] || fail "--require: status $status"
	[ "$slow" -eq 1 ] || return 0 # a sanitizer must be loaded first
	(on here "$OUT/ncd-run" "$(type -P true)" 2>"$dir/run.log") || fail "true does not run"
	grep -q statically "$dir/run.log" && fail "true is called static"
	return 0
}

# --require: what ncd cannot carry fails, if a peer is meant.
case_run_required() { # quick
	needs python3
	local status
	config here
	config there
	(on here "$OUT/ncd-run" --require true >"$dir/run.log" 2>&1)
	status=$?
	[ $status -eq 1 ] || fail "without ncd: status $status"
	grep -q 'is ncd running?' "$dir/run.log" || fail "it does not say why"
	start here
	start there
	connected
	background there plain "${python[@]}" "import socket
l = socket.create_server(('${address[there]}', 8111))
held = [l.accept() for i in range(9)]"
	background there server "${ncd_run[@]}" "${python[@]}" "import socket
l = socket.create_server(('${address[there]}', 8112))
held = [l.accept() for i in range(9)]"
	expect 10 tcp_listens there 8111
	expect 10 listens there 8112
	[ -z "$namespaces" ] || ip -n here addr add 10.79.1.9/32 dev lo || fail "ip addr add"
	(on here "${limit[@]}" "$OUT/ncd-run" --require --class latency "${python[@]}" '
import errno, select, socket, subprocess, sys
there, ncd_stat, strange = sys.argv[1:]
try:
    socket.create_connection((there, 8111))
    sys.exit("a plain server was reached")
except ConnectionRefusedError: pass
s = socket.socket()
s.setblocking(False)
assert s.connect_ex((there, 8111)) in (errno.EINPROGRESS, errno.ECONNREFUSED)
p = select.poll()
p.register(s, select.POLLOUT)
assert p.poll(10000)
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED)
try:
    s.send(b"x")
    sys.exit("a plain server was reached")
except OSError: pass
c = socket.create_connection((there, 8112))
assert " lat " in subprocess.run([ncd_stat, "sockets"], capture_output=True, text=True).stdout
if strange: # no peer is meant
    l = socket.create_server((strange, 8113))
    socket.create_connection((strange, 8113))
print("well")' "${address[there]}" "$OUT/ncd-stat" "${namespaces:+10.79.1.9}" >"$dir/client.log" 2>&1 </dev/null) ||
		fail "the client ended with status $?"
	grep -qx well "$dir/client.log" || fail "the client is not well"
}

run_case "$@"
