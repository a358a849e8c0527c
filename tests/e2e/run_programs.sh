#!/bin/bash
# run_programs.sh - programs as Debian has them under ncd-run: each as server and as client, with the
# other side under ncd-run too, or plain.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

large=$((120000000 / slow))
threaded_server='
import socket, sys, threading
def serve(c):
    with c:
        while True:
            d = c.recv(65536)
            if not d: return
            c.sendall(d)
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, peer = l.accept()
    assert c.getpeername() == peer and c.getsockname()[1] == int(sys.argv[2]), (peer, c.getsockname())
    threading.Thread(target=serve, args=(c,), daemon=True).start()
'
case_run_python_threads() { # quick
	python_sides 8001 "$threaded_server" "$echo_client"
}

# Exim empties its environment before its first socket.
emptied='
import os
os.environ.clear()
'
case_run_python_emptied() { # quick
	python_sides 8010 "$emptied$threaded_server" "$emptied$echo_client"
}

asyncio_server='
import asyncio, sys
async def serve(r, w):
    while True:
        d = await r.read(65536)
        if not d: break
        w.write(d)
        await w.drain()
    w.close()
async def main():
    s = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    async with s: await s.serve_forever()
asyncio.run(main())
'
asyncio_client='
import asyncio, os, sys
async def one(n):
    r, w = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    data = os.urandom(n)
    async def put():
        w.write(data)
        await w.drain()
        w.write_eof()
    got, _ = await asyncio.gather(r.read(-1), put())
    assert got == data, (n, len(got))
    w.close()
async def main():
    for n in (0, 1, 65537, 2000000): await one(n)
    await asyncio.gather(*(one(50000 + i) for i in range(64)))
asyncio.run(main())
print("well")
'
case_run_python_asyncio() { # quick
	python_sides 8002 "$asyncio_server" "$asyncio_client"
}

# libuv closes descriptors by syscall(2): what is a file next is no connection any more.
uvloop='
import uvloop
uvloop.install()
'
files='
import contextlib, tempfile
with contextlib.ExitStack() as s:
    for f in [s.enter_context(tempfile.TemporaryFile()) for _ in range(100)]:
        f.write(b"x" * 100000)
        f.seek(0)
        assert f.read() == b"x" * 100000
'
case_run_python_uvloop() { # quick
	local python=(/usr/bin/python3 -c)
	"${python[@]}" 'import uvloop' 2>/dev/null || skip "needs python3-uvloop"
	python_sides 8009 "$uvloop$asyncio_server" "$uvloop$asyncio_client$files"
}

# serves_a_file PORT SERVER-ARRAY - from $dir/www to curl.
serves_a_file() {
	mkdir "$dir/www"
	random_file $((large / 4)) www/file
	(cd "$dir/www" && sha256sum file >file.sum)
	local c=(bash -c 'cd "$1" && curl -sSo file "$2/file" && curl -sS "$2/file.sum" | sha256sum -c'
		bash "$dir" "http://${address[there]}:$1")
	both_sides "$1" "$2" c 'file: OK'
}
case_run_http() { # quick
	needs curl
	both
	local s=(python3 -m http.server -d "$dir/www" -b "${address[there]}" 8003)
	serves_a_file 8003 s
}

# HTTP/2: many requests at once on each connection, and a file with its checksum.
case_run_http2() { # quick
	needs nghttpd
	needs nghttp
	needs h2load
	mkdir "$dir/www"
	random_file 20000000 www/large
	head -c 1000 "$dir/www/large" >"$dir/www/small"
	both
	local url=http://${address[there]}:8004
	local s=(nghttpd --no-tls -n 2 -d "$dir/www" -a "${address[there]}" 8004)
	local c=(bash -c "nghttp $url/large | cmp - '$dir/www/large' &&
		h2load -n 4000 -c 16 -m 10 -t 2 $url/small")
	both_sides 8004 s c ' 4000 succeeded, 0 failed, 0 errored'
}

case_run_redis() { # quick
	needs redis-server
	needs redis-cli
	both
	local at=(-h "${address[there]}" -p 6379)
	local s=(redis-server --bind "${address[there]}" --port 6379 --protected-mode no --save ''
		--dir "$dir")
	local c=(redis-cli "${at[@]}" eval 'redis.call("set", "k", string.rep("x", 300000))
		return #redis.call("get", "k")' 0)
	both_sides 6379 s c '^300000$'
	c=(redis-benchmark "${at[@]}" -q -n 20000 -c 50 -t "set,get,lrange_100")
	both_sides 6379 s c 'LRANGE_100.*requests per second'
	# Its child that saves shares descriptors; neither it nor its end may disturb the connections.
	c=(bash -c 'redis-benchmark "$@" -q -n 20000 -c 50 -t set -d 1000 & load=$!
		for i in 1 2 3; do
			redis-cli "$@" bgsave >/dev/null
			until redis-cli "$@" info persistence | grep -q bgsave_in_progress:0; do :; done
		done
		wait $load && redis-cli "$@" info persistence' bash "${at[@]}")
	both_sides 6379 s c 'rdb_last_bgsave_status:ok'
}

case_run_memcached() { # quick
	needs memcached
	both
	local s=(memcached -u root -t 4 -l "${address[there]}" -p 8004)
	local c=("${python[@]}" '
import socket, sys, threading
def one(k):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    f = s.makefile("rwb")
    for i in range(200):
        v = b"%d-%d" % (k, i) * (1 + i)
        f.write(b"set k%d 0 0 %d\r\n%s\r\nget k%d\r\n" % (k, len(v), v, k))
        f.flush()
        assert f.readline() == b"STORED\r\n"
        f.readline()
        assert f.readline() == v + b"\r\n" and f.readline() == b"END\r\n"
ts = [threading.Thread(target=one, args=(k,)) for k in range(16)]
failed = []
threading.excepthook = lambda a: failed.append(a) or sys.__excepthook__(*a[:3])
[t.start() for t in ts]; [t.join() for t in ts]
print("failed" if failed else "well")' "${address[there]}" 8004)
	both_sides 8004 s c '^well'
}

case_run_iperf3() { # quick
	needs iperf3
	both
	local options s=(iperf3 -s -B "${address[there]}" -p 8005) c
	for options in -P1 -P8 -R -RP8 --bidir; do
		c=(iperf3 -c "${address[there]}" -p 8005 -n 50M "$options")
		both_sides 8005 s c 'iperf Done'
	done
}

case_run_nginx() { # quick
	needs nginx
	both
	nginx_conf there 8006
	local s=(nginx -c "$dir/nginx.conf")
	serves_a_file 8006 s
}

run_case "$@"
