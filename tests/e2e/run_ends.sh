#!/bin/bash
# run_ends.sh - real programs under ncd-run, each busy while ncd ends, in several ways: ends.sh says
# what is asked of them.
. "$(dirname "$(readlink -f "$0")")/ends.sh"

# Sixteen threads that ask until they hear of the end, in turn by a plain call and with a limit of
# time.
asking='
import socket, sys, threading
lost = []
def ask(i):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    if i % 2: s.settimeout(60)
    try:
        while True:
            s.sendall(sys.argv[3].encode() + b"\r\n")
            got = b""
            while not got.endswith(b"\r\n"):
                d = s.recv(65536)
                if not d: raise ConnectionError("end")
                got += d
    except (ConnectionError, TimeoutError) as e: lost.append(e)
ts = [threading.Thread(target=ask, args=(i,)) for i in range(int(sys.argv[4]))]
[t.start() for t in ts]
[t.join() for t in ts]
print("lost", len(lost), {repr(e) for e in lost})
'
case_ends_redis() { # quick
	needs redis-server
	needs redis-cli
	needs python3
	local at=(-h "${address[there]}" -p "$p")
	server=(redis-server --bind "${address[there]}" --port "$p" --protected-mode no --save '' --dir "$dir")
	# Not redis-benchmark: where a write fails it tries for ever, with kernel TCP too.
	load=("${python[@]}" "$asking" "${address[there]}" "$p" PING 16)
	probe=(redis-cli "${at[@]}" ping)
	says=PONG busy=16 lost='lost 16' epolls=1
	both
	rounds kill_there restart_here
}
asks() { # QUESTION SAYS ROUND... - sets what does not depend on the server, and begins
	load=("${python[@]}" "$asking" "${address[there]}" "$p" "$1" 16)
	probe=("${python[@]}" 'import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(sys.argv[3].encode() + b"\r\n")
print(s.recv(1000))' "${address[there]}" "$p" "$1")
	says=$2 busy=16 lost='lost 16'
	both
	rounds "${@:3}"
}
case_ends_memcached() {
	needs memcached
	needs python3
	epolls=1
	server=(memcached -u root -t 4 -l "${address[there]}" -p "$p")
	asks version VERSION kill_there restart_here term_there kill_here timeout term_here
}
case_ends_python_asyncio() {
	needs python3
	epolls=1
	server=("${python[@]}" '
import asyncio, sys
async def serve(r, w):
    try:
        while d := await r.read(65536):
            w.write(d)
            await w.drain()
    except OSError: pass
    w.close()
async def main():
    async with await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2])) as s: await s.serve_forever()
asyncio.run(main())' "${address[there]}" "$p")
	asks question question "${all[@]}"
}
# The parent has the descriptor no more; the child hears of the end and must end.
case_ends_python_forking() {
	needs python3
	server=("${python[@]}" '
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while d := self.request.recv(65536): self.request.sendall(d)
        except OSError: pass
class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    block_on_close = False
    request_queue_size = 64
Server((sys.argv[1], int(sys.argv[2])), Echo).serve_forever(.1)' "${address[there]}" "$p")
	asks question question "${all[@]}"
}
case_ends_python_http() {
	needs python3
	needs curl
	mkdir "$dir/www"
	truncate -s 8G "$dir/www/large"
	echo small >"$dir/www/small"
	server=(python3 -m http.server -d "$dir/www" -b "${address[there]}" "$p")
	load=(curl -sSo /dev/null --limit-rate 300M "http://${address[there]}:$p/large")
	probe=(curl -sS "http://${address[there]}:$p/small")
	says=small lost='curl: \((18|56)\)'
	both
	rounds "${all[@]}"
}

# nginx_of HOST PORT - the configuration of four workers that count what they are asked.
nginx_of() {
	mkdir -p "$dir/www"
	truncate -s 8G "$dir/www/large"
	echo small >"$dir/www/small"
	cat >"$dir/nginx.conf" <<-C
		daemon off;
		$([ "$(id -u)" -ne 0 ] || echo "user www-data;")
		worker_processes 4;
		error_log stderr;
		pid $dir/nginx.pid;
		events { }
		http {
			access_log off;
			sendfile on;
			keepalive_requests 1000000000;
			server {
				listen ${address[$1]}:$2;
				root $dir/www;
				location = /status { stub_status; }
			}
		}
	C
	server=(nginx -c "$dir/nginx.conf")
	epolls=4
}
# asked_nginx HOST PORT - by a client that is not ncd's
asked_nginx() { (on here curl -sS "http://${address[$1]}:$2/status") | awk '/^ [0-9]/ { print $3 }'; }
web() { # SECONDS PORT - wrk and curl, at what listens there
	load=(wrk -c 32 -t 2 -d "$1" "http://${address[there]}:$2/small")
	probe=(curl -sS "http://${address[there]}:$2/small")
	says=small busy=32 lost=on
}
case_ends_nginx_wrk() {
	needs nginx
	needs wrk
	needs curl
	nginx_of there $p
	web 60 $p
	asked() { asked_nginx there $p; }
	both
	rounds "${all[@]}"
}
# In the middle of an answer: nginx waits until it may send more.
case_ends_nginx_curl() {
	needs nginx
	needs curl
	nginx_of there $p
	web 60 $p
	load=(curl -sSo /dev/null --limit-rate 300M "http://${address[there]}:$p/large")
	busy=1 lost='curl: \((18|56)\)'
	both
	rounds "${all[@]}"
}
case_ends_haproxy() {
	needs haproxy
	needs nginx
	needs wrk
	needs curl
	both
	nginx_of here 8502
	background here nginx "${ncd_run[@]}" "${server[@]}"
	local nginx=$job
	cat >"$dir/haproxy.conf" <<-C
		global
			nbthread 2
			maxconn 500
		defaults
			mode http
			http-reuse never
			retries 3
			timeout connect 5s
			timeout client 20s
			timeout server 20s
		frontend front
			bind ${address[there]}:$p
			default_backend back
		backend back
			server one ${address[here]}:8502
	C
	expect 10 tcp_listens here 8502
	server=(haproxy -db -f "$dir/haproxy.conf")
	epolls=1
	web 60 $p
	asked() { asked_nginx here 8502; }
	rounds "${all[@]}"
	[ "$(family "$nginx" | wc -l)" -eq 5 ] || fail "the nginx behind it is not as it was"
	expect 10 calm "$nginx"
}

# It selects, and then accepts at a socket that blocks.
iperf3_ends() { # ROUND...
	needs iperf3
	local c=(iperf3 -c "${address[there]}" -p "$p")
	server=(iperf3 -s -B "${address[there]}" -p "$p")
	load=("${c[@]}" -t 100 -P 4)
	# shellcheck disable=SC2034 # begin_load takes them by name
	load_term_there=("${c[@]}" -t 100 -R) load_kill_here=("${c[@]}" -t 100 --bidir)
	probe=("${c[@]}" -n 1M)
	says='iperf Done' single=1 busy=2 lost=error
	both
	rounds "$@"
}
case_ends_iperf3() { # quick
	iperf3_ends kill_there
}
case_ends_iperf3_ways() {
	iperf3_ends term_there kill_here timeout
}
# Its server ends where a connection has timed out, and not where one is reset.
case_ends_sockperf() { # limit 120
	needs sockperf
	printf 'T:%s:%s\n' "${address[there]}" "$p" >"$dir/feed"
	server=(sockperf server -f "$dir/feed" -F epoll)
	load=(sockperf ping-pong --tcp -i "${address[there]}" -p "$p" -t 100 -m 64)
	probe=(sockperf ping-pong --tcp -i "${address[there]}" -p "$p" -t 1 -m 64)
	says='avg-latency=' lost='closed by a peer|reset'
	both
	rounds kill_there restart_here term_there
}

# Each client has a process there.
case_ends_postgres() {
	needs pgbench
	postgres_data
	local at=(-h "${address[there]}" -p "$p" -U postgres)
	server=(runuser -u postgres -- "$bin/postgres" -D "$dir/pg" -h "${address[there]}" -p "$p"
		-k "$dir/pg" -c fsync=off -c autovacuum=off)
	load=(pgbench "${at[@]}" -n -S -c 8 -j 2 -T 100 postgres)
	probe=(psql "${at[@]}" -Atc 'select 6 * 7' postgres)
	says='^42$' busy=8 lost=aborted
	both
	background there init "${server[@]}"
	until_true 10 pg_isready -qh "$dir/pg" -p $p
	pgbench -h "$dir/pg" -p "$p" -U postgres -iq postgres >"$dir/init.log" 2>&1 || fail "pgbench -i"
	end_job "$job"
	rounds "${all[@]}"
}

case_ends_ssh() {
	needs sshd
	needs scp
	[ -n "$namespaces" ] || skip "needs root: sshd, and a place of its own for its keys"
	mkdir -p "$dir/ssh" /run/sshd
	chmod 700 "$dir/ssh"
	ssh-keygen -qt ed25519 -N '' -f "$dir/ssh/host" && ssh-keygen -qt ed25519 -N '' -f "$dir/ssh/user" ||
		fail "ssh-keygen"
	cp "$dir/ssh/user.pub" "$dir/ssh/keys"
	printf '%s\n' "Port $p" "ListenAddress ${address[there]}" "HostKey $dir/ssh/host" \
		"AuthorizedKeysFile $dir/ssh/keys" "StrictModes no" "UsePAM no" "PermitRootLogin yes" \
		"UseDNS no" "PidFile none" "Subsystem sftp internal-sftp" >"$dir/ssh/sshd_config"
	printf '%s\n' "Host there" "HostName ${address[there]}" "Port $p" "User root" \
		"IdentityFile $dir/ssh/user" "StrictHostKeyChecking no" "UserKnownHostsFile /dev/null" \
		"LogLevel ERROR" >"$dir/ssh/config"
	truncate -s 8G "$dir/large"
	server=("$(command -v sshd)" -D -e -f "$dir/ssh/sshd_config")
	load=(scp -qF "$dir/ssh/config" "$dir/large" there:/dev/null)
	# shellcheck disable=SC2034 # begin_load takes them by name
	# shellcheck disable=SC2016 # of the inner shell: gigabytes of zeros are not for a log on a disk
	load_term_there=(sh -c 'exec ssh -F "$0" there "cat /dev/zero" >/dev/null' "$dir/ssh/config")
	# shellcheck disable=SC2034
	load_kill_here=(scp -qF "$dir/ssh/config" there:"$dir/large" /dev/null)
	probe=(ssh -F "$dir/ssh/config" there 'echo $((6 * 7))')
	says='^42$'
	both
	rounds "${all[@]}"
}

run_case "$@"
