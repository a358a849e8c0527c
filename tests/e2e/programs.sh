#!/bin/bash
# programs.sh - sourced by cases of programs as Debian has them under ncd-run: each as server and as
# client, with the other side under ncd-run too, or plain.
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/hosts.sh"

needs() {
	[ "$slow" = 1 ] || skip "a sanitizer's library cannot be loaded into Debian's programs"
	command -v "$1" >/dev/null || skip "needs $1"
}
# A program that fails or lingers must not be taken for one that works.
limit=(timeout --kill-after=2 $((25 * slow)))
ncd_run=("$OUT/ncd-run" --verbose)

# How the two sides are started: "server client" of run and plain, in turn.
ways=("run run" "plain run" "run plain")
side() { # side run|plain - sets $by, what the program is started by
	by=()
	[ "$1" = plain ] || by=("${ncd_run[@]}")
}
# background HOST NAME COMMAND... - a program of the case; its output goes to NAME.log. Sets $job.
background() {
	(on "$1" "${@:3}" >"$dir/$2.log" 2>&1 </dev/null) &
	job=$!
	jobs_of_case+=("$job")
}
end_job() {
	kill -TERM "$1" 2>/dev/null
	until_true 5 gone_or_zombie "$1" || kill -KILL "$1"
	wait "$1" 2>/dev/null
}
# The kernel's side is up: under ncd-run the other is then, too.
tcp_listens() { (on "$1" ss -Hltn "sport = :$2") | grep -q LISTEN; }
# Bytes went through ncd, or not, as they must: by what ncd-run says of connections.
through() { # through WAY NAME...
	local log said=
	for log in "${@:2}"; do grep -qE "ncd-run: .*(connect|accept) .*: ncd$" "$dir/$log.log" && said=1; done
	if [ "$1" = "run run" ]; then
		[ -n "$said" ] || fail "nothing went through ncd"
	else
		[ -z "$said" ] || fail "ncd carried what only one side has"
	fi
}
python=(python3 -c)

# both_sides PORT SERVER-ARRAY CLIENT-ARRAY EXPECTED - the server on "there", the client here, in
# all ways; the client must end well and print EXPECTED.
both_sides() {
	local way p=$1 server
	local -n server_command=$2 client_command=$3
	for way in "${ways[@]}"; do
		side "${way% *}"
		background there server "${by[@]}" "${server_command[@]}"
		server=$job
		expect 10 tcp_listens there "$p"
		side "${way#* }"
		(on here "${limit[@]}" "${by[@]}" "${client_command[@]}" >"$dir/client.log" 2>&1 </dev/null) ||
			fail "$way: the client ended with status $?"
		grep -qE "$4" "$dir/client.log" || fail "$way: the client does not say $4"
		through "$way" client server
		gone_or_zombie $server && fail "$way: the server has ended"
		end_job $server
	done
	expect_empty 5
}

# python_sides PORT SERVER CLIENT - the same of two programs in Python; the client says "well".
python_sides() {
	needs python3
	both
	local s=("${python[@]}" "$2" "${address[there]}" "$1")
	local c=("${python[@]}" "$3" "${address[there]}" "$1")
	both_sides "$1" s c well
}
# A client for servers that answer each connection with what comes.
echo_client='
import os, socket, sys, threading
def one(n):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as c:
        data = os.urandom(n)
        assert c.getpeername() == (sys.argv[1], int(sys.argv[2]))
        t = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
        t.start()
        got = b""
        while True:
            d = c.recv(50000)
            if not d: break
            got += d
        t.join()
        assert got == data, (n, len(got))
failed = []
threading.excepthook = lambda a: failed.append(a) or sys.__excepthook__(*a[:3])
for n in (0, 1, 4095, 4096, 3000000): one(n)
ts = [threading.Thread(target=one, args=(100000 + i,)) for i in range(16)]
[t.start() for t in ts]; [t.join() for t in ts]
print("failed" if failed else "well")
'

# postgres_data - an empty database in $dir/pg, whose programs are in $bin.
postgres_data() {
	bin=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1)
	bin=${bin%/postgres}
	[ -n "$bin" ] || skip "needs postgresql"
	[ "$(id -u)" -eq 0 ] || skip "needs root, to be the user postgres"
	install -d -o postgres -m 700 "$dir/pg" || fail "install"
	(cd / && runuser -u postgres -- "$bin/initdb" -D "$dir/pg" -A trust -N >"$dir/initdb.log" 2>&1) || fail "initdb"
	echo "host all all 0.0.0.0/0 trust" >>"$dir/pg/pg_hba.conf"
}

# nginx_conf HOST PORT - of an nginx in one process that serves $dir/www.
nginx_conf() {
	cat >"$dir/nginx.conf" <<-C
		daemon off;
		master_process off;
		error_log stderr;
		pid $dir/nginx.pid;
		events { }
		http {
			access_log off;
			sendfile on;
			keepalive_requests 10000;
			server { listen ${address[$1]}:$2; root $dir/www; }
		}
	C
}
