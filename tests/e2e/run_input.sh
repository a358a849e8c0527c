#!/bin/bash
# run_input.sh - what ncd-run is told, and what it is told wrongly: a socket asked for by its protocol,
# ports and names that are left alone, options that mean nothing, set-uid programs, another release.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# ---- IPPROTO_VIRTUAL_SOCK ----

# A server of each kind on "there": by ncd alone, both ways, plain. One line for each client.
asked_server='
import socket, sys, threading
def serve(l):
    while True:
        c = l.accept()[0]
        c.sendall(c.recv(100))
        c.close()
ls = [socket.socket(socket.AF_INET, socket.SOCK_STREAM, int(p)) for p in sys.argv[3:]]
for i, l in enumerate(ls):
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind((sys.argv[1], int(sys.argv[2]) + i))
    l.listen(8)
    threading.Thread(target=serve, args=(l,)).start()
print("ready", flush=True)'
# Reads nothing; tries what its arguments say: "19" or "0", address, port; prints what came of it.
asked_client='
import errno, socket, sys
for i in range(1, len(sys.argv), 3):
    proto, host, port = int(sys.argv[i]), sys.argv[i + 1], int(sys.argv[i + 2])
    said = "well"
    try:
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, proto)
        s.settimeout(20)
        s.connect((host, port))
        s.sendall(b"hello")
        if s.recv(9) != b"hello": said = "nothing"
    except OSError as e: said = errno.errorcode.get(e.errno, str(e))
    print(proto, port, said, flush=True)'
asked() { # PROTOCOL ADDRESS PORT ... - under ncd-run, here; what it said is in asked.log
	(on here "${limit[@]}" "${ncd_run[@]}" "${python[@]}" "$asked_client" "$@" >"$dir/asked.log" \
		2>"$dir/asked.err" </dev/null) || fail "asked $*: status $?"
}
asked_said() { # LINE... - each of them
	local line
	for line in "$@"; do
		grep -qx "$line" "$dir/asked.log" || fail "not said: $line; but: $(cat "$dir/asked.log")"
	done
}
# A virtual socket or an error, never kernel TCP: as client and as listener, IPv4 and IPv6.
case_run_asked_for() { # quick
	needs python3
	local to=${address[there]}
	both
	background there plain "${python[@]}" "$asked_server" "$to" 8401 0
	background there server "${ncd_run[@]}" "${python[@]}" "$asked_server" "$to" 8402 19 0
	expect 10 grep -q ready "$dir/plain.log"
	expect 10 grep -q ready "$dir/server.log"
	# 8401: kernel TCP alone; 8402: ncd alone; 8403: both.
	asked 19 "$to" 8401 19 "$to" 8402 19 "$to" 8403 0 "$to" 8402 0 "$to" 8401 19 10.79.77.77 8403 \
		19 "::ffff:$to" 8402
	asked_said '19 8401 ECONNREFUSED' '19 8402 well' '19 8403 well' '0 8402 well' '0 8401 well' \
		'19 8403 ENETUNREACH'
	[ "$(grep -c '^19 8402 well$' "$dir/asked.log")" -eq 2 ] || fail "not by a mapped address"
	grep -q "connect $to:8401: kernel TCP" "$dir/asked.err" || fail "the plain one was not told"
	(on there ss -Hltn 'sport = :8402') | grep -q . && fail "the kernel listens, too"
	# Nobody who has no ncd gets there.
	(on here "${limit[@]}" "${python[@]}" "$asked_client" 0 "$to" 8402 >"$dir/asked.log") ||
		fail "the plain client ended with status $?"
	asked_said '0 8402 ECONNREFUSED'
	if [ ${#address6[@]} -gt 0 ]; then
		asked 19 "${address6[there]}" 8402
		grep -qE '^19 8402 (ECONNREFUSED|ENETUNREACH)$' "$dir/asked.log" ||
			fail "IPv6: $(cat "$dir/asked.log")"
	fi
	# Without ncd there is none.
	stop here
	asked 19 "$to" 8401 0 "$to" 8401
	grep -qE '^19 8401 E' "$dir/asked.log" || fail "without ncd: $(cat "$dir/asked.log")"
	asked_said '0 8401 well'
}

# ---- what is left alone ----

left_listening() { # HOST PORT - shown as the kernel's, because of the port
	ask "$1" -l sockets | grep -o '{[^{}]*"path":"kernel"[^{}]*}' | grep '"why":"port"' |
		grep -q "\"local_port\":$2,"
}
case_run_ports() { # quick
	needs python3
	local to=${address[there]} what
	both
	background there server "${ncd_run[@]}" "${python[@]}" "$asked_server" "$to" 8411 0 0 0
	expect 10 grep -q ready "$dir/server.log"
	for what in "NCD_PORTS=8411,8413-8420:8411 8413:8412" "NCD_EXCLUDE=8411,8413-8420:8412:8411 8413" \
		"NCD_PORTS=8411-8413 NCD_EXCLUDE=8412:8411 8413:8412" \
		"NCD_EXCLUDE=python3::8411 8412 8413" "NCD_EXCLUDE=perl,8413:8411 8412:8413"; do
		(
			# shellcheck disable=SC2086 # several
			export ${what%%:*}
			# shellcheck disable=SC2046 # words
			asked $(printf "0 $to %s " 8411 8412 8413)
		) || exit 1
		local ours=${what#*:} port
		for port in ${ours%:*}; do
			grep -q "connect $to:$port: ncd$" "$dir/asked.err" || fail "$what: $port is not ncd's"
		done
		for port in ${ours#*:}; do
			if grep -q "connect $to:$port: ncd$" "$dir/asked.err"; then fail "$what: $port is ncd's"; fi
		done
		asked_said '0 8411 well' '0 8412 well' '0 8413 well'
	done
	# A server that listens on a port that is not taken over.
	background there other env NCD_PORTS=8415 "${ncd_run[@]}" "${python[@]}" "$asked_server" "$to" 8414 0 0
	expect 10 grep -q ready "$dir/other.log"
	expect 10 listens there 8415
	expect 5 left_listening there 8414
	# --exclude: of the programs that one starts.
	local names="$dir/names" name
	mkdir "$names"
	for name in first second; do cp "$(readlink -f /usr/bin/python3)" "$names/$name"; done
	for name in first second; do
		(on here "${limit[@]}" "${ncd_run[@]}" --exclude first -x nobody "$names/$name" -c "$asked_client" \
			0 "$to" 8411 >"$dir/asked.log" 2>"$dir/asked.err" </dev/null) || fail "$name: status $?"
		asked_said '0 8411 well'
	done
	grep -q "connect $to:8411: ncd$" "$dir/asked.err" || fail "the second is not ncd's"
	(on here "${limit[@]}" "${ncd_run[@]}" --exclude first bash -c "'$names/first' -c \"\$0\" 0 $to 8411" \
		"$asked_client" >"$dir/asked.log" 2>"$dir/asked.err" </dev/null) || fail "first: status $?"
	if grep -q 'connect .*: ncd$' "$dir/asked.err"; then fail "an excluded program is taken over"; fi
}

# ---- options ----

# One that means nothing at a virtual socket is accepted as tcp(7) would and said, once: whether it
# was set before the connection or of it.
case_run_option_said() { # quick
	needs python3
	both
	background there server "${ncd_run[@]}" "${python[@]}" "$asked_server" "${address[there]}" 8421 0
	expect 10 grep -q ready "$dir/server.log"
	(on here "${limit[@]}" "${ncd_run[@]}" "${python[@]}" '
import socket, sys
early, late = socket.TCP_KEEPIDLE, socket.TCP_USER_TIMEOUT
for i in range(3):
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setsockopt(socket.IPPROTO_TCP, early, 50)
    s.connect((sys.argv[1], 8421))
    s.setsockopt(socket.IPPROTO_TCP, late, 3000)
    assert s.getsockopt(socket.IPPROTO_TCP, early) == 50
    assert s.getsockopt(socket.IPPROTO_TCP, late) == 3000
    try:
        s.setsockopt(socket.IPPROTO_TCP, 9999, 1)
        sys.exit("an option that TCP does not have")
    except OSError as e: assert e.errno == 92, e
    s.sendall(b"x")
    assert s.recv(1) == b"x"
print("well")' "${address[there]}" >"$dir/client.log" 2>&1 </dev/null) || fail "status $?"
	grep -qx well "$dir/client.log" || fail "the client is not well"
	local name
	for name in 4 18; do # TCP_KEEPIDLE, TCP_USER_TIMEOUT
		[ "$(grep -c "option $name of level 6 is accepted and has no effect" "$dir/client.log")" -eq 1 ] ||
			fail "option $name is not said once"
	done
	grep -qE 'option (1|9999) ' "$dir/client.log" && fail "one that works, or none, is said"
	through "run run" client
}

# ---- programs that nothing can be loaded into ----

by_whom=()
refused_as() { # STATUS WORDS COMMAND...
	local status
	(on here "${by_whom[@]}" "$OUT/ncd-run" "${@:3}" >"$dir/run.log" 2>&1)
	status=$?
	[ $status -eq "$1" ] || fail "${*:3}: status $status"
	grep -qF "$2" "$dir/run.log" || fail "${*:3}: said $(cat "$dir/run.log")"
	[ "$(wc -l <"$dir/run.log")" -eq 1 ] || fail "${*:3}: more than a line"
}
case_run_set_uid() { # quick
	config here
	config there
	start here
	local mode
	cp "$(type -P true)" "$dir/true"
	for mode in 4755 2755; do
		chmod $mode "$dir/true"
		refused_as 126 "$dir/true: a set-uid or set-gid program cannot be carried" "$dir/true"
		PATH=$dir:$PATH refused_as 126 "a set-uid or set-gid program cannot be carried" \
			--require true
	done
	chmod u-s,g-s "$dir/true"
	[ "$slow" -eq 1 ] || return 0 # a sanitizer must be loaded first
	(on here "$OUT/ncd-run" "$dir/true" >"$dir/run.log" 2>&1) || fail "it is not set-uid any more"
	[ ! -s "$dir/run.log" ] || fail "said: $(cat "$dir/run.log")"
	# Rights that a file gives are the same to the loader, if root does not run it.
	[ "$(id -u)" -eq 0 ] && setcap cap_net_bind_service=ep "$dir/true" 2>/dev/null || return 0
	by_whom=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
	"${by_whom[@]}" "$OUT/ncd-run" --help >/dev/null 2>&1 || return 0 # it may not come there
	refused_as 126 "$dir/true: a program with capabilities of its own cannot be carried" "$dir/true"
}

# ---- another release ----

# What listens on the control socket: an ncd of another version, one that refuses, something else.
other_ncd='
import os, socket, struct, sys
l = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
l.bind(sys.argv[1])
l.listen(8)
print("ready", flush=True)
while True:
    c = l.accept()[0]
    c.recv(4096)
    if sys.argv[2] == "version": # struct ctl_welcome
        c.send(struct.pack("<IIQIIQII", 2, 0, 0x6e63642d63746c31, 99, 1, 4096, 0, 0) + bytes(128))
    elif sys.argv[2] == "refuses": # struct ctl_refused
        c.send(struct.pack("<IIiIII", 3, 0, -93, 7, 9, 0) + b"speaks another version".ljust(112, b"\0"))
    else: c.send(b"hello")
    c.recv(1)'
case_run_other_release() { # quick
	needs python3
	local what say status other
	make_plain_server
	for what in "version:ncd speaks version 99, this library" "refuses:speaks another version" \
		"nothing:what listens on the control socket is not ncd"; do
		say=${what#*:}
		background here other "${python[@]}" "$other_ncd" "$dir/here.sock" "${what%%:*}"
		other=$job
		expect 10 grep -q ready "$dir/other.log"
		(on here "${limit[@]}" "$OUT/ncd-run" "${python[@]}" "$asked_client" 0 "${address[there]}" 8431 \
			0 "${address[there]}" 8431 >"$dir/asked.log" 2>"$dir/asked.err" </dev/null) ||
			fail "${what%%:*}: status $?"
		[ "$(grep -c '^0 8431 well$' "$dir/asked.log")" -eq 2 ] || fail "${what%%:*}: $(cat "$dir/asked.log")"
		[ "$(wc -l <"$dir/asked.err")" -eq 1 ] || fail "not one line: $(cat "$dir/asked.err")"
		grep -qF "$say" "$dir/asked.err" || fail "said: $(cat "$dir/asked.err")"
		grep -qF "kernel TCP is used" "$dir/asked.err" || fail "said: $(cat "$dir/asked.err")"
		(on here "$OUT/ncd-run" --require true >"$dir/run.log" 2>&1)
		status=$?
		[ $status -eq 1 ] || fail "--require: status $status"
		grep -qF "$say" "$dir/run.log" || fail "--require: said $(cat "$dir/run.log")"
		end_job "$other"
		rm -f "$dir/here.sock"
	done
	# None at all: the same, one line.
	(on here "${limit[@]}" "$OUT/ncd-run" "${python[@]}" "$asked_client" 0 "${address[there]}" 8431 \
		>"$dir/asked.log" 2>"$dir/asked.err" </dev/null) || fail "without ncd: status $?"
	asked_said '0 8431 well'
	[ "$(wc -l <"$dir/asked.err")" -eq 1 ] || fail "not one line: $(cat "$dir/asked.err")"
}
make_plain_server() {
	background there plain "${python[@]}" "$asked_server" "${address[there]}" 8431 0
	expect 10 grep -q ready "$dir/plain.log"
}

# ---- the library ----

# Everything in it is bound when it is loaded, and no stack of a program becomes executable by it.
case_run_library() { # quick
	readelf -dW "$OUT/libncpreload.so" | grep -q 'FLAGS.*NOW' || fail "it is bound lazily"
	readelf -lW "$OUT/libncpreload.so" | grep 'GNU_STACK' | grep -q 'RWE' && fail "an executable stack"
	readelf -lW "$OUT/libncpreload.so" | grep -q 'GNU_STACK' || fail "no word about the stack"
	# What it stands in front of, and nothing else of its own.
	local extra
	extra=$(nm -D --defined-only "$OUT/libncpreload.so" | awk '{ print $3 }' | grep -E '^(nc_|file_|sock_)')
	[ -z "$extra" ] || fail "it shows: $extra"
}

# What one stand-in calls another for does not go to a function of that name in the program.
case_run_own_names() { # quick
	[ "$slow" = 1 ] || skip "a sanitizer stands in front of them, too"
	both
	background there echo "$OUT/tests/e2e/echo" 7101
	expect 10 listens there 7101
	(on here "${limit[@]}" "${ncd_run[@]}" "$OUT/tests/e2e/named" "${address[there]}" 7101 \
		>"$dir/client.log" 2>&1 </dev/null) || fail "status $?"
	grep -qx well "$dir/client.log" || fail "it is not well"
	through "run run" client
}

run_case "$@"
