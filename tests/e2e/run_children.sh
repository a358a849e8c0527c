#!/bin/bash
# run_children.sh - programs under ncd-run that hand their connections to other processes: by fork,
# by exec, by SCM_RIGHTS; each as server, with the client under ncd-run too, or plain.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

large=$((120000000 / slow))
# echoes PORT PROGRAM - a server in Python that answers each connection with what comes.
echoes() { python_sides "$1" "$2" "$echo_client"; }

case_children_forking_server() { # quick
	echoes 8101 '
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        assert self.request.getpeername() == self.client_address
        while True:
            d = self.request.recv(65536)
            if not d: return
            self.request.sendall(d)
class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    block_on_close = False
Server((sys.argv[1], int(sys.argv[2])), Echo).serve_forever()
'
}

# As inetd: the connection is standard input, output and error of a program.
case_children_inetd() { # quick
	echoes 8102 '
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        for fd in 0, 1, 2: os.dup2(c.fileno(), fd)
        os.execvp("cat", ["cat"])
    c.close()
'
}

# The same without another program, as vsftpd: what --verbose says is not for the client.
case_children_inetd_says_nothing() { # quick
	echoes 8119 '
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        for fd in 0, 1, 2: os.dup2(c.fileno(), fd)
        socket.create_server((sys.argv[1], 0))
        while True:
            d = os.read(0, 65536)
            if not d: os._exit(0)
            while d: d = d[os.write(1, d):]
    c.close()
'
}

# subprocess has vfork, and closes all other descriptors in the child.
case_children_subprocess() { # quick
	echoes 8103 '
import socket, subprocess, sys, threading
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = l.accept()
    p = subprocess.Popen(["sh", "-c", "cat"], stdin=c, stdout=c)
    c.close()
    threading.Thread(target=p.wait).start()
'
}

case_children_passed() { # quick
	echoes 8104 '
import os, socket, sys, threading
def serve(c):
    with c:
        while True:
            d = c.recv(65536)
            if not d: return
            c.sendall(d)
if len(sys.argv) == 4:
    u = socket.socket(fileno=int(sys.argv[3]))
    while True:
        data, fds, _, _ = socket.recv_fds(u, 1, 1)
        if not data: sys.exit(0)
        threading.Thread(target=serve, args=(socket.socket(fileno=fds[0]),), daemon=True).start()
here, there = socket.socketpair()
os.set_inheritable(there.fileno(), True)
if os.fork() == 0:
    os.execvp("python3", ["python3", "-c", open("/proc/self/cmdline").read().split("\0")[2],
                          *sys.argv[1:], str(there.fileno())])
there.close()
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = l.accept()
    socket.send_fds(here, [b"c"], [c.fileno()])
    c.close()
'
}

# Parent and child both receive, and both send what they got: no byte is lost and none comes twice.
shared_server='
import os, socket, sys
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        child = os.fork()
        while True:
            d = c.recv(3000)
            if not d: break
            c.sendall(d)
        if child: os.waitpid(child, 0)
        os._exit(0)
    c.close()
    os.waitpid(-1, 0)
'
shared_client='
import collections, socket, sys, threading
data = bytes(i * 7 % 251 for i in range(400000))
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR))).start()
got = b""
while True:
    d = c.recv(50000)
    if not d: break
    got += d
assert len(got) == len(data), (len(got), len(data))
assert collections.Counter(got) == collections.Counter(data)
print("well")
'
case_children_share() { # quick
	python_sides 8105 "$shared_server" "$shared_client"
}

# One process reads what comes, another writes, for as long as it lasts: as rsync does.
case_children_split() { # quick
	echoes 8106 '
import os, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = l.accept()
    if os.fork() == 0:
        r, w = os.pipe()
        if os.fork() == 0:
            os.close(w)
            while True:
                d = os.read(r, 65536)
                if not d: break
                c.sendall(d)
            os._exit(0)
        os.close(r)
        while True:
            d = c.recv(65536)
            if not d: break
            os.write(w, d)
        os._exit(0)
    c.close()
'
}

# A connection goes from the listening sshd to one that it executes anew, then to two processes of
# which one has no rights any more.
case_children_sshd() { # quick
	needs sshd
	needs scp
	both
	[ -n "$namespaces" ] || skip "needs root: sshd, and a place of its own for its keys"
	local sshd
	sshd=$(command -v sshd)
	mkdir -p "$dir/ssh" /run/sshd
	ssh-keygen -qt ed25519 -N '' -f "$dir/ssh/host" && ssh-keygen -qt ed25519 -N '' -f "$dir/ssh/user" ||
		fail "ssh-keygen"
	cp "$dir/ssh/user.pub" "$dir/ssh/keys"
	chmod 700 "$dir/ssh"
	cat >"$dir/ssh/sshd_config" <<-C
		Port 8110
		ListenAddress ${address[there]}
		HostKey $dir/ssh/host
		AuthorizedKeysFile $dir/ssh/keys
		StrictModes no
		UsePAM no
		PermitRootLogin yes
		UseDNS no
		PidFile none
		Subsystem sftp internal-sftp
	C
	cat >"$dir/ssh/config" <<-C
		Host there
			HostName ${address[there]}
			Port 8110
			User root
			IdentityFile $dir/ssh/user
			StrictHostKeyChecking no
			UserKnownHostsFile /dev/null
			LogLevel ERROR
	C
	random_file $((large / 8)) file
	(cd "$dir" && sha256sum file >file.sum)
	local s=("$sshd" -D -e -f "$dir/ssh/sshd_config")
	local c=(bash -c 'cd "$1" && scp -qF ssh/config file there:"$1/to" && scp -qF ssh/config there:"$1/to" from &&
		cmp file to && cmp file from && rm to from && ssh -F ssh/config there "cat > /dev/null; echo well" <file' bash "$dir")
	both_sides 8110 s c well
}

# A process for each connection, forked from the one that accepts.
case_children_postgres() {
	needs pgbench
	both
	postgres_data
	local s=(runuser -u postgres -- "$bin/postgres" -D "$dir/pg" -h "${address[there]}" -p 8111 -k ''
		-c fsync=off)
	local at=(-h "${address[there]}" -p 8111 -U postgres)
	local c=(bash -c 'until pg_isready -q "$@"; do :; done; pgbench "$@" -iq postgres &&
		pgbench "$@" -c 8 -j 2 -t 100 postgres && pgbench "$@" -C -S -c 4 -t 20 postgres' bash "${at[@]}")
	both_sides 8111 s c 'actually processed: 80/80'
}

# Within one host: rings that are joined are left when another process takes a stream, be it the
# writer's or the reader's.
case_children_joined() {
	needs python3
	host_address=127.0.0.1 without_peer=1 config here
	start here
	(on here "${limit[@]}" "${ncd_run[@]}" python3 -c '
import hashlib, os, socket, sys, threading
half = 24 << 20
data = os.urandom(1 << 20) * (half >> 20)
l = socket.create_server(("127.0.0.1", 8190))
c = socket.create_connection(l.getsockname())
s, _ = l.accept()
joint = lambda: "memfd:ncd-joint" in open("/proc/self/maps").read()
def take(h, n):
    while n:
        d = s.recv(min(n, 1 << 20))
        if not d: sys.exit("end")
        h.update(d)
        n -= len(d)
def both(n):
    t = threading.Thread(target=c.sendall, args=(data[:n],))
    t.start()
    h = hashlib.sha256()
    take(h, n)
    t.join()
    assert h.digest() == hashlib.sha256(data[:n]).digest(), "bytes"
for i in range(20):
    both(half)
    if joint(): break
else: sys.exit("not joined")
for side in "writer", "reader":
    if side == "writer":
        pid = os.fork()
        if pid == 0:
            c.sendall(data)
            os._exit(0)
        h = hashlib.sha256()
        take(h, half)
        assert h.digest() == hashlib.sha256(data).digest(), side
    else:
        pid = os.fork()
        if pid == 0:
            h = hashlib.sha256()
            take(h, half)
            os._exit(0 if h.digest() == hashlib.sha256(data).digest() else 1)
        c.sendall(data)
    assert os.waitpid(pid, 0)[1] == 0, side
    both(half)
print("all right")
' >"$dir/joined.log" 2>&1 </dev/null) || fail "status $?: $(tail -3 "$dir/joined.log")"
	grep -q 'all right' "$dir/joined.log" || fail "$(tail -3 "$dir/joined.log")"
}

# A program has no address space left for a joined ring: its stream has rings of its own, also when
# there is room again, and its next one is joined.
case_children_joint_refused() { # quick
	needs python3
	host_address=127.0.0.1 without_peer=1 config here
	start here
	(on here "${limit[@]}" "${ncd_run[@]}" python3 -c '
import os, resource, socket, sys
data = memoryview(os.urandom(1 << 20) * 2)
got = memoryview(bytearray(1 << 20))
l = socket.create_server(("127.0.0.1", 8191))
def pair():
    c = socket.create_connection(l.getsockname())
    s, _ = l.accept()
    c.setblocking(False)
    s.setblocking(False)
    return c, s
joint = lambda: "memfd:ncd-joint" in open("/proc/self/maps").read()
def move(c, s, size):
    sent = seen = 0
    while seen < size:
        if sent < size:
            try: sent += c.send(data[sent % (1 << 20):][:min(1 << 20, size - sent)])
            except BlockingIOError: pass
        try: n = s.recv_into(got, min(1 << 20, size - seen))
        except BlockingIOError: continue
        if not n: sys.exit("end")
        assert got[:n] == data[seen % (1 << 20):][:n], "bytes"
        seen += n
c, s = pair()
move(c, s, 1 << 10)
resource.setrlimit(resource.RLIMIT_AS, (4096, resource.RLIM_INFINITY))
move(c, s, 480 << 20)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert not joint(), "joined"
move(c, s, 48 << 20)
assert not joint(), "it was not refused"
d, t = pair()
for i in range(20):
    move(d, t, 24 << 20)
    if joint(): break
else: sys.exit("not joined")
move(c, s, 8 << 20)
print("all right")
' >"$dir/refused.log" 2>&1 </dev/null) || fail "status $?: $(tail -3 "$dir/refused.log")"
	grep -q 'all right' "$dir/refused.log" || fail "$(tail -3 "$dir/refused.log")"
}

run_case "$@"
