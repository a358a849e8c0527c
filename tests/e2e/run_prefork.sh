#!/bin/bash
# run_prefork.sh - servers under ncd-run whose children accept on the socket that their parent made,
# with clients of both kinds at once: no client may notice which process serves it, or that one ends.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

limit=(timeout --kill-after=2 $((40 * slow))) # several programs one after the other
said() { [ "$(grep -cE "$2" "$dir/$1.log")" -ge "$3" ]; } # said NAME PATTERN TIMES
listening_processes() { [ "$(ask "$1" -l sockets | grep -o "\"local_port\":$2," | wc -l)" -eq "$3" ]; }

# clients PORT SECONDS THREADS - asks again and again, over a connection for each question. Ends
# badly at the first that fails.
clients='
import errno, os, socket, sys, threading, time
def connection():
    while True:
        try: return socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
        except OSError as e: # 200 ms on a busy machine: where kernel TCP would take over
            if e.errno != errno.ETIMEDOUT: raise
def one():
    with connection() as c:
        c.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        got = b""
        while True:
            d = c.recv(65536)
            if not d: return got
            got += d
def loop():
    global nr
    while time.monotonic() < end:
        got = one()
        assert got.endswith(want), ("answer", len(got), got[:80])
        with lock: nr += 1
def run():
    try: loop()
    except BaseException as e:
        print("FAILED", repr(e), flush=True)
        os._exit(1)
nr, lock = 0, threading.Lock()
end = time.monotonic() + float(sys.argv[3])
want = sys.argv[5].encode()
ts = [threading.Thread(target=run) for _ in range(int(sys.argv[4]))]
[t.start() for t in ts]; [t.join() for t in ts]
print("well", nr)
'
# both_kinds PORT SECONDS THREADS WANT - clients of both kinds; sets $by_ncd and $plain.
both_kinds() {
	local c=(python3 -c "$clients" "${address[there]}" "$@")
	background here by_ncd "${limit[@]}" "$OUT/ncd-run" --require --verbose "${c[@]}"
	by_ncd=$job
	background here plain "${limit[@]}" "${c[@]}"
	plain=$job
}
both_well() {
	ends 45 "$by_ncd" || fail "a client under ncd-run ended with status $?"
	ends 45 "$plain" || fail "a plain client ended with status $?"
	said by_ncd '^well [1-9]' 1 && said plain '^well [1-9]' 1 || fail "clients did nothing"
}

# start_nginx PORT [on] [OPTIONS] - with four workers, as a daemon or not; the OPTIONS of its listen.
# Sets $server.
start_nginx() {
	local user=
	[ "$(id -u)" -ne 0 ] || user="user www-data;"
	mkdir "$dir/www"
	printf "what nginx serves" >"$dir/www/file"
	cat >"$dir/nginx.conf" <<-C
		daemon ${2:-off};
		$user
		worker_processes 4;
		env LD_PRELOAD; env NCD_SOCKET; # of a new binary
		error_log stderr;
		pid $dir/nginx.pid;
		events { }
		http {
			access_log off;
			server { listen ${address[there]}:$1 ${3:-}; root $dir/www; }
		}
	C
	background there server "${ncd_run[@]}" "$(command -v nginx)" -c "$dir/nginx.conf"
	server=$job
	expect 10 tcp_listens there "$1"
	[ -z "${3:-}" ] || { expect 10 listening_processes there "$1" 8; return; } # the master's are four
	[ -n "${2:-}" ] || { expect 10 listening_processes there "$1" 5; return; }
	# The process that made the socket has ended.
	expect 10 listening_processes there "$1" 4
	server=$(cat "$dir/nginx.pid")
}

case_run_nginx_workers() { # quick
	needs nginx
	needs python3
	local server i
	both
	start_nginx 8011
	both_kinds 8011 4 8 "what nginx serves"
	for i in 1 2 3; do
		pause .7
		kill -HUP "$server"
		expect 10 listening_processes there 8011 5
	done
	both_well
	gone_or_zombie "$server" && fail "nginx has ended"
	end_job "$server"
	expect 5 empty there
}

# wrk with 64 connections in two threads, and curl, at four workers: either side under ncd-run, and both.
case_run_nginx_wrk() { # quick
	needs nginx
	needs wrk
	needs curl
	local url=http://${address[there]}:8020/file
	both
	start_nginx 8020
	end_job "$server"
	local s=(nginx -c "$dir/nginx.conf")
	local c=(bash -c 'said=$(wrk -t 2 -c 64 -d 1 "$1") && echo "$said" &&
		! grep -E "Socket errors|Non-2xx" <<<"$said" && curl -sS "$1" | cmp - "$2/www/file" &&
		echo the same' bash "$url" "$dir")
	both_sides 8020 s c '^the same'
}

# A socket for each worker, which is not root: SO_REUSEPORT.
case_run_nginx_reuseport() {
	needs nginx
	needs python3
	local server i
	both
	start_nginx 8018 off reuseport
	both_kinds 8018 3 8 "what nginx serves"
	for i in 1 2; do
		pause .7
		kill -HUP "$server"
		expect 10 listening_processes there 8018 8
	done
	both_well
	end_job "$server"
	expect 5 empty there
}

# The port is one of root's; the workers are not root.
case_run_nginx_low_port() { # quick
	needs nginx
	needs python3
	[ -n "$namespaces" ] || skip "needs root"
	local server
	both
	start_nginx 81
	both_kinds 81 1 4 "what nginx serves"
	both_well
	end_job "$server"
	expect 5 empty there
}

# A new nginx gets the sockets through exec, and the old one ends.
case_run_nginx_upgrade() {
	needs nginx
	needs python3
	local server new
	both
	start_nginx 8016 on
	both_kinds 8016 4 8 "what nginx serves"
	pause .5
	kill -USR2 "$server"
	expect 10 listening_processes there 8016 8
	new=$(cat "$dir/nginx.pid")
	[ "$new" != "$server" ] || fail "there is no new nginx"
	kill -QUIT "$server"
	expect 10 gone_or_zombie "$server"
	expect 10 listening_processes there 8016 4
	both_well
	kill -TERM "$new"
	expect 10 gone_or_zombie "$new"
	expect 5 empty there
}

# Threads at an epoll in several children; and children that accept one by one, which a handler tells
# to end: it closes the socket, wherever the child is.
case_run_apache() {
	needs apache2
	needs python3
	local server mpm i
	both
	mkdir "$dir/www"
	printf "what Apache serves" >"$dir/www/file"
	for mpm in event prefork; do
		cat >"$dir/apache.conf" <<-C
			ServerRoot /usr/lib/apache2
			LoadModule mpm_${mpm}_module modules/mod_mpm_$mpm.so
			LoadModule authz_core_module modules/mod_authz_core.so
			ServerName test
			DefaultRuntimeDir $dir
			PidFile $dir/apache.pid
			Listen ${address[there]}:8020
			DocumentRoot $dir/www
			ErrorLog $dir/apache.log
			User #$([ "$(id -u)" -ne 0 ] && id -u || echo 33)
			Group #$([ "$(id -u)" -ne 0 ] && id -g || echo 33)
		C
		: >"$dir/apache.log"
		# It ends its process group, which is not to be ours.
		background there server setsid "${ncd_run[@]}" apache2 -f "$dir/apache.conf" -DFOREGROUND
		server=$job
		expect 10 said apache 'resuming normal operations' 1
		both_kinds 8020 3 8 "what Apache serves"
		for i in 1 2 3; do
			pause .5
			kill -USR1 "$server" # reads its configuration, and has new children
			expect 10 said apache 'resuming normal operations' $((i + 1))
		done
		both_well
		gone_or_zombie "$server" && fail "Apache ($mpm) has ended"
		end_job "$server"
	done
	expect 5 empty there
}

# The socket is made by a manager that knows nothing of ncd (systemd, inetd), as descriptor 3.
activated='
import os, socket, sys
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
if l.fileno() != 3: os.dup2(l.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[3], sys.argv[3:])
'
case_run_socket_activation() { # quick
	needs python3
	local server
	both
	background there server python3 -c "$activated" "${address[there]}" 8017 "${ncd_run[@]}" \
		python3 -c 'import socket
l = socket.socket(fileno=3)
while True:
    c, _ = l.accept()
    with c:
        c.recv(100)
        c.sendall(b"served by the activated")'
	server=$job
	expect 10 listening_processes there 8017 1
	both_kinds 8017 1 4 "served by the activated"
	both_well
	end_job "$server"
	expect 5 empty there
}

# Programs that get a bound socket, by exec and in a message, and let it listen, one after the other.
bound='
import socket, subprocess, sys
l = socket.socket()
l.bind((sys.argv[1], int(sys.argv[2])))
serve = """
import socket, sys
via = socket.socket(fileno=int(sys.argv[1]))
l = via if sys.argv[2] == "socket" else socket.socket(fileno=socket.recv_fds(via, 1, 1)[1][0])
l.listen(64)
print("listening", flush=True)
while True:
    c, _ = l.accept()
    with c:
        c.recv(100)
        c.sendall(b"served by who listens")
"""
here, there = socket.socketpair()
socket.send_fds(here, [b"x"], [l.fileno()])
ps = []
for s, what in ((l, "socket"), (there, "message")):
    ps.append(subprocess.Popen([sys.executable, "-c", serve, str(s.fileno()), what],
                               pass_fds=[s.fileno()], stdout=subprocess.PIPE))
    ps[-1].stdout.readline()
for p in ps: p.wait()
'
case_run_listen_in_children() { # quick
	needs python3
	local server
	both
	background there server "${ncd_run[@]}" python3 -c "$bound" "${address[there]}" 8019
	server=$job
	expect 10 listening_processes there 8019 2
	both_kinds 8019 1 4 "served by who listens"
	both_well
	pkill -KILL -P "$server"
	expect 5 gone_or_zombie "$server"
	expect 5 empty there
}

# Children in a loop of accept; the parent only looks after them. ARGUMENTS: address, port, number
# of children, "close" if the parent closes the socket; a line "stop" as a question stops its child.
prefork_server='
import os, signal, socket, sys
l = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
def child():
    while True:
        c, _ = l.accept()
        with c:
            if b"stop" in c.recv(100):
                c.sendall(b"%d" % os.getpid())
                c.close()
                os.kill(os.getpid(), signal.SIGSTOP)
            else: c.sendall(b"HTTP/1.0 200 OK\r\n\r\nserved by a child")
for _ in range(int(sys.argv[3])):
    if os.fork() == 0: child()
if sys.argv[4:] == ["close"]: l.close()
while True:
    try: os.wait()
    except ChildProcessError: break
'
case_run_python_prefork() { # quick
	needs python3
	local server
	both
	background there server "${ncd_run[@]}" python3 -c "$prefork_server" "${address[there]}" 8012 4
	server=$job
	expect 10 listening_processes there 8012 5
	both_kinds 8012 2 8 "served by a child"
	both_well
	pkill -TERM -P "$server"
	end_job "$server"
	expect 5 empty there
}

case_run_prefork_parent_closes() { # quick
	needs python3
	local server
	both
	background there server "${ncd_run[@]}" python3 -c "$prefork_server" "${address[there]}" 8013 2 close
	server=$job
	expect 10 listening_processes there 8013 2
	both_kinds 8013 1 4 "served by a child"
	both_well
	pkill -KILL -P "$server"
	expect 5 gone_or_zombie "$server"
	expect 5 empty there
}

# What is in the queue of a child that hangs and is killed is served by the other.
case_run_prefork_child_killed() {
	needs python3
	local server pid i
	both
	background there server "${ncd_run[@]}" python3 -c "$prefork_server" "${address[there]}" 8014 2
	server=$job
	expect 10 listening_processes there 8014 3
	ask_stop='import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c.sendall(b"stop")
print(c.recv(100).decode())'
	pid=$( (on here "${limit[@]}" "$OUT/ncd-run" --require python3 -c "$ask_stop" "${address[there]}" 8014))
	[ -n "$pid" ] || fail "no child stops"
	both_kinds 8014 3 4 "served by a child"
	pause 1
	kill -KILL "$(pgrep -P "$server" -x python3 | while read -r i; do
		grep -q '^State:.T' "/proc/$i/status" && echo "$i"
	done)" || fail "no child has stopped"
	expect 5 listening_processes there 8014 2
	both_well
	pkill -KILL -P "$server"
	expect 5 gone_or_zombie "$server"
	expect 5 empty there
}

# The daemon is started anew: children listen again, with the title of before.
case_run_prefork_daemon_restarts() {
	needs python3
	local server i
	both
	background there server "${ncd_run[@]}" python3 -c "$prefork_server" "${address[there]}" 8015 2
	server=$job
	expect 10 listening_processes there 8015 3
	stop there
	start there
	connected
	# A child tries again when it has a client, but not within a second.
	for ((i = 0; i < 200; i++)); do
		(on here "${limit[@]}" python3 -c "$clients" "${address[there]}" 8015 .1 4 "served by a child") \
			>"$dir/again.log" 2>&1 || fail "a plain client failed"
		listening_processes there 8015 2 && break
	done
	listening_processes there 8015 2 || fail "the children do not listen again"
	both_kinds 8015 1 4 "served by a child"
	both_well
	pkill -KILL -P "$server"
	expect 5 gone_or_zombie "$server"
}

# A parent that waits, and starts those that accept with an empty environment, as Dovecot: they are
# without ncd. With "unseen" it looks as if they had it, as of a program that is set-uid or static.
empty_environment='
import os, select, socket, sys
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
l.setblocking(False)
l.set_inheritable(True)
print("ready", flush=True)
select.select([l], [], [])
if os.fork() == 0:
    os.execve("/usr/bin/python3", ["python3", "-c", """
import select, socket
l = socket.socket(fileno=%d)
while True:
    select.select([l], [], [])
    try: c = l.accept()[0]
    except BlockingIOError: continue
    c.setblocking(True)
    c.recv(100)
    c.sendall(b"without ncd")
    c.close()
""" % l.fileno()], {"LD_PRELOAD": "/nowhere/libncpreload.so"} if "unseen" in sys.argv else {})
os.wait()'
# Clients that come through ncd wait in vain at first, and then come by kernel TCP.
case_run_acceptors_without_ncd() { # limit 90
	needs python3
	[ -x /usr/bin/python3 ] || skip "needs /usr/bin/python3"
	local server
	both
	background there server "${ncd_run[@]}" python3 -c "$empty_environment" "${address[there]}" 8021 unseen
	server=$job
	expect 10 said server '^ready' 1
	(on here timeout 60 "$OUT/ncd-run" --verbose python3 -c '
import socket, sys, time
end = time.monotonic() + 40
while time.monotonic() < end:
    c = socket.create_connection((sys.argv[1], 8021), timeout=1)
    try:
        c.sendall(b"x")
        if c.recv(100) == b"without ncd":
            print("well")
            break
    except socket.timeout: pass
' "${address[there]}" >"$dir/client.log" 2>&1) || fail "the client ended with status $?"
	said client '^well' 1 || fail "clients wait in vain for ever"
	said client 'connect .*: ncd$' 1 || fail "none came through ncd at first"
	pkill -KILL -P "$server"
	end_job "$server"
}

# Seen: the first is reset, and who comes then is served, by kernel TCP. No connection waits with a
# limit here.
ask_once='
import socket, sys
with socket.create_connection((sys.argv[1], 8022)) as c:
    try:
        c.sendall(b"x")
        print("got", c.recv(100).decode())
    except ConnectionResetError: print("reset")'
case_run_acceptors_without_ncd_said() {
	needs python3
	[ -x /usr/bin/python3 ] || skip "needs /usr/bin/python3"
	local server i
	both
	background there server "${ncd_run[@]}" python3 -c "$empty_environment" "${address[there]}" 8022
	server=$job
	expect 10 said server '^ready' 1
	background here first "${limit[@]}" "$OUT/ncd-run" --require python3 -c "$ask_once" "${address[there]}"
	ends 30 "$job" || fail "the first client ended with status $?"
	said first '^reset' 1 || fail "the first client is not reset"
	for i in 1 2 3; do
		background here "client$i" "${limit[@]}" "$OUT/ncd-run" --verbose python3 -c "$ask_once" \
			"${address[there]}"
		ends 30 "$job" || fail "client $i ended with status $?"
		said "client$i" '^got without ncd' 1 || fail "client $i is not served"
		said "client$i" 'connect .*: kernel TCP: nobody listens there' 1 || fail "client $i came by ncd"
	done
	pkill -KILL -P "$server"
	end_job "$server"
}

# A server that accepts, and starts a program with an empty environment that has the listener too and
# does nothing with it: before its first client, and for each. None is lost, and all come by ncd.
with_helper='
import os, socket, subprocess, sys, threading
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
l.set_inheritable(True)
helpers = []
def help(): helpers.append(subprocess.Popen(["/bin/sleep", "60"], env={}, close_fds=False))
print("ready", flush=True)
sys.stdin.readline() # a client is in the queue
help()
while len(helpers) < 9:
    c, _ = l.accept()
    with c:
        c.recv(100)
        help()
        c.sendall(b"served")
for h in helpers: h.kill()
print("done", flush=True)
'
case_run_helpers_without_ncd() { # quick
	needs python3
	local server client
	both
	mkfifo "$dir/go"
	background there server bash -c 'exec "$@" <"$0"' "$dir/go" "${ncd_run[@]}" \
		python3 -c "$with_helper" "${address[there]}" 8023
	server=$job
	exec {go}>"$dir/go"
	expect 10 said server '^ready' 1
	background here client "${limit[@]}" "$OUT/ncd-run" --require --verbose python3 -c '
import socket, sys
def connect(): return socket.create_connection((sys.argv[1], 8023))
def ask(c):
    with c:
        c.sendall(b"x")
        got = c.recv(100)
        assert got == b"served", got
first = connect()
print("connected", flush=True)
ask(first)
for _ in range(7): ask(connect())
print("well")' "${address[there]}"
	client=$job
	expect 10 said client '^connected' 1
	echo go >&"$go"
	exec {go}>&-
	ends 30 "$client" || fail "the client ended with status $?"
	said client '^well' 1 || fail "clients are not served"
	[ "$(grep -c 'connect .*: ncd$' "$dir/client.log")" -eq 8 ] || fail "some did not come by ncd"
	expect 10 said server '^done' 1
	end_job "$server"
}

run_case "$@"
