#!/bin/bash
# run_services.sh - services as they are run: replication, a proxy in front of a server, large files,
# and an ncd that ends while they go on.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# serve HOST NAME PORT WAY COMMAND... - a server of the case, once it listens. Sets $job.
serve() {
	side "$4"
	background "$1" "$2" "${by[@]}" "${@:5}"
	expect 10 tcp_listens "$1" "$3"
}
# client_here NAME WAY COMMAND... - runs it to its end; its output is in NAME.log.
client_here() {
	side "$2"
	(on here "${limit[@]}" "${by[@]}" "${@:3}" >"$dir/$1.log" 2>&1 </dev/null) ||
		fail "$1 ($2) ended with status $?"
}

# ---- Redis ----

redis() { # HOST COMMAND... - asks the Redis of a host, plain
	local h=$1
	shift
	(on "$h" redis-cli -h "${address[$h]}" -p 6379 "$@")
}
redis_server() { # HOST NAME WAY [OPTIONS]
	mkdir -p "$dir/$2"
	serve "$1" "$2" 6379 "$3" redis-server --bind "${address[$1]}" --port 6379 --protected-mode no \
		--save '' --dir "$dir/$2" --enable-debug-command yes "${@:4}"
}
link_up() { redis here info replication | grep -q 'master_link_status:up'; }
saved() { redis there info persistence | grep -q 'rdb_bgsave_in_progress:0'; }
digests_agree() { [ "$(redis there debug digest)" = "$(redis here debug digest)" ]; }

# A replica here of a master there: the first copy, a stream of writes beside BGSAVE, and a link that
# is cut.
case_run_redis_replication() { # limit 120
	needs redis-server
	local way master
	both
	for way in "${ways[@]}"; do
		redis_server there master "${way% *}" --repl-diskless-sync-delay 0
		master=$job
		redis there debug populate 20000 key 100 >/dev/null
		redis_server here replica "${way#* }" --replicaof "${address[there]}" 6379
		expect 20 link_up
		(on there redis-benchmark -h "${address[there]}" -q -n 30000 -c 20 -r 10000 -t "set,lpush" -d 200 \
			>"$dir/load.log" 2>&1) &
		redis there bgsave >/dev/null
		wait $! || fail "$way: redis-benchmark"
		expect 10 saved
		redis there info persistence | grep -q 'rdb_last_bgsave_status:ok' || fail "$way: BGSAVE"
		expect 20 digests_agree
		redis there client kill type replica >/dev/null
		redis there set after cut >/dev/null
		expect 20 link_up
		expect 20 digests_agree
		[ "$(redis here get after)" = cut ] || fail "$way: the replica lacks the last write"
		through "$way" master replica
		end_job "$job"
		end_job "$master"
	done
}

# ---- sockperf ----

case_run_sockperf() {
	needs sockperf
	printf 'T:%s:8301\n' "${address[there]}" >"$dir/feed"
	local s=(sockperf server --tcp -i "${address[there]}" -p 8301)
	local c=(sockperf ping-pong --tcp -i "${address[there]}" -p 8301 -t 1 -m 64)
	both
	both_sides 8301 s c 'avg-latency='
	s=(sockperf server -f "$dir/feed" -F epoll)
	c=(sockperf under-load --tcp -i "${address[there]}" -p 8301 -t 1 -m 64 --mps 2000 --reply-every 10)
	both_sides 8301 s c 'avg-latency='
}

# ---- nginx and haproxy ----

haproxy_conf() { # PORT NGINX-PORT
	cat >"$dir/haproxy.conf" <<-C
		global
			nbthread 2
			maxconn 500
			stats socket $dir/haproxy.sock mode 600 level admin expose-fd listeners
		defaults
			mode http
			timeout connect 5s
			timeout client 20s
			timeout server 20s
		frontend front
			bind ${address[there]}:$1
			default_backend back
		backend back
			server one ${address[here]}:$2 check inter 500ms
	C
}
proxied='
import hashlib, http.client, sys, threading
want = hashlib.sha256(open(sys.argv[3], "rb").read()).hexdigest()
failed = []
def one():
    try:
        c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
        for path in ("/file", "/small", "/none", "/file"):
            c.request("GET", path)
            r = c.getresponse()
            d = r.read()
            assert r.status == (404 if path == "/none" else 200), (path, r.status)
            if path == "/file": assert hashlib.sha256(d).hexdigest() == want
    except BaseException as e:
        failed.append(e)
        raise
ts = [threading.Thread(target=one) for i in range(16)]
[t.start() for t in ts]; [t.join() for t in ts]
print("failed" if failed else "well")'
# A client here, haproxy there, nginx here again: client, proxy and server under ncd-run or not.
case_run_haproxy() { # quick
	needs haproxy
	needs nginx
	local way proxy server
	both
	mkdir "$dir/www"
	random_file 300000 www/file
	random_file 100 www/small
	nginx_conf here 8302
	haproxy_conf 8303 8302
	for way in "run run run" "plain run plain" "run plain run" "plain run run"; do
		# shellcheck disable=SC2086 # three words
		set -- $way
		serve here server 8302 "$3" nginx -c "$dir/nginx.conf"
		server=$job
		serve there proxy 8303 "$2" haproxy -db -f "$dir/haproxy.conf"
		proxy=$job
		client_here client "$1" "${python[@]}" "$proxied" "${address[there]}" 8303 "$dir/www/file"
		grep -qx well "$dir/client.log" || fail "$way: the client is not well"
		if [ "$way" = "run run run" ]; then
			through "run run" client
			through "run run" proxy
		fi
		end_job "$proxy"
		end_job "$server"
	done
	expect_empty 5
}

# Asks over a connection for each question, and waits for none of them longer than a reload may take.
asker='
import http.client, sys, threading, time
end, lock, nr, failed = time.monotonic() + float(sys.argv[3]), threading.Lock(), 0, []
def ask():
    c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
    c.request("GET", "/small")
    r = c.getresponse()
    d = r.read()
    assert (r.status, len(d)) == (200, 100), (r.status, len(d))
    c.close()
def loop():
    global nr
    try:
        while time.monotonic() < end:
            ask()
            with lock: nr += 1
    except BaseException as e: failed.append(repr(e))
ts = [threading.Thread(target=loop) for i in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
print(failed or "well after %d" % nr)'
workers_left() { [ "$(pgrep -P "$1" -x haproxy | wc -l)" -eq "$2" ]; }
reloaded() { [ "$(grep -c "New worker" "$dir/proxy.log")" -eq "$1" ] && workers_left "$proxy" 1; }
# haproxy as a master with a worker, which gets the listening sockets of the one before in a message.
case_run_haproxy_reload() {
	needs haproxy
	needs nginx
	local way proxy server i
	both
	mkdir "$dir/www"
	random_file 100 www/small
	nginx_conf here 8306
	haproxy_conf 8307 8306
	for way in "run run run" "plain run plain" "run plain run"; do
		# shellcheck disable=SC2086 # three words
		set -- $way
		serve here server 8306 "$3" nginx -c "$dir/nginx.conf"
		server=$job
		serve there proxy 8307 "$2" haproxy -W -f "$dir/haproxy.conf"
		proxy=$job
		side "$1"
		background here client "${limit[@]}" "${by[@]}" "${python[@]}" "$asker" "${address[there]}" 8307 2
		for i in 2 3 4; do
			expect 10 reloaded $((i - 1))
			pause .3
			kill -USR2 "$proxy"
		done
		ends 25 "$job" || fail "$way: the client ended with status $?"
		grep -q '^well after [1-9]' "$dir/client.log" || fail "$way: the client is not well"
		expect 10 reloaded 4
		if [ "$way" = "run run run" ]; then
			through "run run" client
			[ "$(grep -c 'haproxy.*: listen .*: ncd$' "$dir/proxy.log")" -ge 5 ] ||
				fail "a worker does not listen through ncd"
		fi
		end_job "$proxy"
		end_job "$server"
	done
	expect 5 empty here
	expect 5 empty there
}

# fetched FILE WAY COMMAND... - what a program here prints is the file that nginx there has.
fetched() {
	side "$2"
	[ "$( (on here "${limit[@]}" "${by[@]}" "${@:3}" "http://${address[there]}:8304/$1" \
		2>>"$dir/client.log" </dev/null) | sha256sum)" = "$(sum "www/$1")" ] ||
		fail "$2: what $3 got is not the file"
}
# Whole files, of 1 GiB through ncd, from nginx to curl and wget.
case_run_large_files() { # limit 180
	needs nginx
	needs curl
	needs wget
	local way server
	both
	mkdir "$dir/www"
	random_file $((1 << 30)) www/large
	random_file $((100 << 20)) www/file
	nginx_conf there 8304
	for way in "${ways[@]}"; do
		serve there server 8304 "${way% *}" nginx -c "$dir/nginx.conf"
		server=$job
		: >"$dir/client.log"
		[ "$way" != "run run" ] || fetched large run curl -sS
		fetched file "${way#* }" curl -sS
		fetched file "${way#* }" wget -qO-
		through "$way" client
		end_job "$server"
	done
}

# ---- ncd ends ----

echo_server='
import socket, sys, threading
def serve(c):
    with c:
        try:
            while True:
                d = c.recv(65536)
                if not d: return
                c.sendall(d)
        except ConnectionError: pass
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
'
# Reads lines: "open" a connection and try it, "try" the one there is, "lost": it must be reset;
# "other" tries one besides.
dialler='
import socket, sys
def trial(s):
    s.sendall(b"x" * 1000)
    n = 0
    while n < 1000:
        d = s.recv(1000)
        assert d
        n += len(d)
for line in sys.stdin:
    what = line.strip()
    if what == "open":
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
        trial(s)
    elif what == "try": trial(s)
    elif what == "other": trial(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20))
    else:
        try:
            trial(s)
            what = "still there"
        except ConnectionError: pass
    print(what, flush=True)
'
dial() {
	local answer
	echo "$1" >&"$to_dialler"
	read -rt $((20 * slow)) answer <&"$from_dialler" || fail "no answer to: $1"
	[ "$answer" = "$1" ] || fail "$1: $answer"
}
ways_said() { grep -c "connect .*$1" "$dir/dialler.log"; }
# opens_by_ncd - a new connection, until one goes through ncd again.
opens_by_ncd() {
	local before
	before=$(ways_said ': ncd$')
	dial open
	[ "$(ways_said ': ncd$')" -gt "$before" ]
}
case_run_while_ncd_ends() {
	needs python3
	both
	serve there server 8305 run "${python[@]}" "$echo_server" "${address[there]}" 8305
	mkfifo "$dir/dial" "$dir/answer"
	(on here "${ncd_run[@]}" "${python[@]}" "$dialler" "${address[there]}" 8305 <"$dir/dial" \
		>"$dir/answer" 2>"$dir/dialler.log") &
	jobs_of_case+=($!)
	exec {to_dialler}>"$dir/dial" {from_dialler}<"$dir/answer"
	dial open
	dial try
	[ "$(ways_said ': ncd$')" -eq 1 ] || fail "the first connection is not ncd's"
	# Our own: known at once. New connections are the kernel's; they stay that.
	kill_daemon here
	dial lost
	dial open
	dial try
	grep -q 'kernel TCP: ncd does not run here' "$dir/dialler.log" || fail "nobody noticed"
	start here
	connected
	dial try
	expect 20 opens_by_ncd
	# The peer's: its streams wait for it, and are reset when another is there.
	kill_daemon there
	dial other
	grep -q 'kernel TCP: the peer does not answer' "$dir/dialler.log" || fail "nobody noticed"
	start there
	connected
	dial lost
	expect 20 opens_by_ncd
	dial try
}

run_case "$@"
