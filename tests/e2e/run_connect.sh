#!/bin/bash
# run_connect.sh - connects that do not wait, where ncd says no, or nothing: kernel TCP goes on with
# them, and the program does not see it.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# A server without ncd on many ports: to each of them a connect is new to the client's library.
many_ports_server='
import select, socket, sys
ls = [socket.create_server((sys.argv[1], int(sys.argv[2]) + i), backlog=64) for i in range(200)]
ep, by = select.epoll(), {}
def add(s):
    by[s.fileno()] = s
    ep.register(s, select.EPOLLIN)
for l in ls: add(l)
print("ready", flush=True)
while True:
    for fd, ev in ep.poll():
        s = by[fd]
        if s in ls:
            add(s.accept()[0])
            continue
        try: d = s.recv(4096)
        except OSError: d = b""
        if d: s.sendall(d)
        else: by.pop(fd).close()
'
# Threads with an epoll each connect to all ports at once; some are closed at once, some a moment later.
many_ports_client='
import errno, select, socket, sys, threading
failed = []
def one(t):
    ep, by, well = select.epoll(), {}, 0
    for i in range(200):
        s = socket.socket()
        s.setblocking(False)
        if i % 3 == 0: ep.register(s, select.EPOLLOUT | select.EPOLLET)
        r = s.connect_ex((sys.argv[1], int(sys.argv[2]) + (i * 7 + t * 50) % 200))
        assert r == errno.EINPROGRESS, r
        if i % 10 == 9:
            s.close()
            continue
        if i % 3: ep.register(s, select.EPOLLOUT)
        by[s.fileno()] = (s, i)
        if i % 10 == 5:
            s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            by.pop(s.fileno())[0].close()
    while by:
        got = ep.poll(20)
        assert got, ("in vain", len(by))
        for fd, ev in got:
            if fd not in by: continue
            s, i = by[fd]
            if ev == select.EPOLLOUT | select.EPOLLHUP and i % 3 == 0: continue # from before connect
            assert ev == select.EPOLLOUT, (i, hex(ev), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            ep.unregister(fd)
            s.setblocking(True)
            s.sendall(b"%d" % i)
            assert s.recv(10) == b"%d" % i
            by.pop(fd)
            s.close()
            well += 1
    assert well == 160, well
def run(t):
    try: one(t)
    except BaseException as e:
        failed.append(e)
        raise
ts = [threading.Thread(target=run, args=(t,)) for t in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print("failed" if failed else "well")
'
case_run_connect_many_refused() { # quick
	needs python3
	both
	background there server "${python[@]}" "$many_ports_server" "${address[there]}" 8200
	expect 10 grep -q ready "$dir/server.log"
	(on here "${limit[@]}" "${ncd_run[@]}" "${python[@]}" "$many_ports_client" "${address[there]}" \
		8200 >"$dir/client.log" 2>&1 </dev/null) || fail "the client ended with status $?"
	grep -qx well "$dir/client.log" || fail "the client is not well"
	[ "$(grep -c 'kernel TCP: nobody listens there' "$dir/client.log")" -ge 200 ] ||
		fail "ncd was not asked"
	expect 5 empty here
}
# The same through ncd: the answers are yes.
case_run_connect_many_accepted() {
	needs python3
	both
	background there server "${ncd_run[@]}" "${python[@]}" "$many_ports_server" "${address[there]}" 8200
	expect 10 grep -q ready "$dir/server.log"
	(on here "${limit[@]}" "${ncd_run[@]}" "${python[@]}" "$many_ports_client" "${address[there]}" \
		8200 >"$dir/client.log" 2>&1 </dev/null) || fail "the client ended with status $?"
	grep -qx well "$dir/client.log" || fail "the client is not well"
	! grep -q 'kernel TCP' "$dir/client.log" || fail "not all went through ncd"
	end_job "$job"
	expect_empty 5
}

# The peer's ncd hangs, its kernel does not.
case_run_connect_silent_peer() { # quick
	needs python3
	both
	background there server "${python[@]}" "$many_ports_server" "${address[there]}" 8200
	expect 10 grep -q ready "$dir/server.log"
	kill -STOP "${pid_of[there]}"
	(on here "${limit[@]}" "${ncd_run[@]}" "${python[@]}" '
import errno, select, socket, sys
for i in range(3):
    s = socket.socket()
    s.setblocking(False)
    r = s.connect_ex((sys.argv[1], 8200 + i))
    assert r == errno.EINPROGRESS, r
    if i == 2: # the program does not wait: the connection comes about all the same
        s.setblocking(True)
    else:
        p = select.poll()
        p.register(s, select.POLLOUT)
        assert p.poll(10000) == [(s.fileno(), select.POLLOUT)]
    s.setblocking(True)
    s.sendall(b"x")
    assert s.recv(1) == b"x"
print("well")' "${address[there]}" >"$dir/client.log" 2>&1 </dev/null) ||
		fail "the client ended with status $?"
	grep -qx well "$dir/client.log" || fail "the client is not well"
	grep -q 'kernel TCP: the peer does not answer' "$dir/client.log" || fail "ncd was not asked"
	kill -CONT "${pid_of[there]}"
}
# The same with --require: nobody else is asked, however long it takes.
case_run_connect_required() { # quick
	needs python3
	both
	background there server "${ncd_run[@]}" "${python[@]}" "$many_ports_server" "${address[there]}" 8200
	expect 10 grep -q ready "$dir/server.log"
	kill -STOP "${pid_of[there]}"
	background here client "${ncd_run[@]}" --require "${python[@]}" '
import errno, socket, struct, sys
def connected(limit):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", limit, 0))
    return s, s.connect_ex((sys.argv[1], 8200))
s, r = connected(1)
assert r == errno.EINPROGRESS, r
print("waiting", flush=True)
t, r = connected(0)
assert r == 0, r
for s in s, t:
    s.sendall(b"x")
    assert s.recv(1) == b"x"
print("well")' "${address[there]}"
	expect 20 grep -qx waiting "$dir/client.log"
	kill -CONT "${pid_of[there]}"
	expect 20 grep -qx well "$dir/client.log"
}

# An ncd that is hung costs a program a moment, not its connections.
case_run_hung_daemon() { # quick
	needs python3
	local running
	both
	background there plain "${python[@]}" '
import socket, sys
ls = [socket.create_server((sys.argv[1], p)) for p in (8121, 8122)]
for l in ls: l.accept()[0].sendall(b"hello")' "${address[there]}"
	expect 10 tcp_listens there 8122
	kill -STOP "${pid_of[here]}"
	(on here "$OUT/ncd-run" "${python[@]}" '
import socket, sys
for p in (8121, 8122):
    assert socket.create_connection((sys.argv[1], p)).recv(9) == b"hello"' \
		"${address[there]}" >"$dir/hung.log" 2>&1) &
	running=$!
	until_true 15 gone_or_zombie $running || fail "it waits for an ncd that does not answer"
	wait $running || fail "status $?"
	[ "$(cat "$dir/hung.log")" = "ncd-run: ncd does not answer on its control socket: kernel TCP is used" ] ||
		fail "said: $(cat "$dir/hung.log")"
	(on here "$OUT/ncd-run" --require true >"$dir/hung.log" 2>&1) &
	running=$!
	kill -CONT "${pid_of[here]}"
	ends 10 $running || fail "--require does not wait for an ncd that is late"
}

run_case "$@"
