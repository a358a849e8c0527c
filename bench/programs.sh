#!/bin/bash
# programs.sh - measures unmodified programs under ncd-run against the same on kernel TCP, and prints a
# table in markdown.
#
#   bench/programs.sh [--quick] [--pairs N] [--seconds S] [--cores A,B] [PROGRAM...]
#
# Programs: redis redis16 memcached nginx workers postgres iperf3 sockperf; those that are not
# installed are left out.
# Two hosts on one machine, as in bench/run.sh: the server is at 127.0.0.2 on core B, its client on
# core A, each on the core of its ncd's worker, for both transports. A pair is one run on kernel TCP
# and one with both sides under ncd-run; ratios are medians over pairs, beside them the spread.
# As root it runs in a network namespace of its own, where kernel TCP has cubic, its best here.
# --quick takes one pair of short runs: to see that it works, not to quote. Only processes started
# here are ended.
set -u
if [ -z "${NCD_BENCH_INSIDE:-}" ] && unshare --net true 2>/dev/null; then
	NCD_BENCH_INSIDE=1 exec unshare --net "$0" "$@"
fi
. "$(dirname "$0")/hosts.sh"
seconds=3 cores=0,1 note='' programs=()

while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=1 note=' **Quick run: not to be quoted.**' ;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	-*) usage ;;
	*) programs+=("$1") ;;
	esac
	shift
done
[ ${#programs[@]} -gt 0 ] || programs=(redis redis16 memcached nginx workers postgres iperf3 sockperf)
core_a=${cores%,*} core_b=${cores#*,}
congestion=$(sysctl -n net.ipv4.tcp_congestion_control)
if [ -n "${NCD_BENCH_INSIDE:-}" ]; then
	ip link set lo up || fail "no loopback in a namespace of our own"
	# By routes: a namespace may not choose what the host does not allow to everybody.
	for net in 127.0.0.0/8 127.0.0.1; do
		ip route replace table local local "$net" dev lo proto kernel scope host src 127.0.0.1 congctl cubic ||
			fail "the kernel has no cubic"
	done
	congestion=cubic
fi

# ---- a program's two sides ----

# by WAY HOST - sets $run, what a program of the host is started by.
by() {
	local core=$core_a
	[ "$2" = a ] || core=$core_b
	run=(env "NCD_SOCKET=$dir/$2.sock" taskset -c "$core")
	[ "$1" = tcp ] || run+=("$bin/ncd-run" --require)
}
listens() { ss -Hltn "src $b and sport = :$port" | grep -q LISTEN; }
# serve WAY COMMAND... - starts the server and waits until it listens on $port.
serve() {
	by "$1" b
	"${run[@]}" "${@:2}" >"$dir/server.log" 2>&1 </dev/null &
	server=$!
	pids+=("$server")
	until_true 10 listens || fail "$2 does not listen"
}
# load WAY COMMAND... - runs the client; its output is in $dir/client.log.
load() {
	by "$1" a
	timeout 120 "${run[@]}" "${@:2}" >"$dir/client.log" 2>&1 </dev/null || fail "$2 failed"
}

# ---- what is measured: each prints its metrics, numbers in the order of its lines ----

run_redis() { # WAY [OPTIONS]
	local way=$1 requests=$((200000 * ${seconds%.*}))
	shift
	[ $# -eq 0 ] || requests=$((requests * 6))
	serve "$way" redis-server --bind $b --port "$port" --protected-mode no --save '' --dir "$dir"
	load "$way" redis-benchmark -h $b -p "$port" -c 50 -n "$requests" -t get --csv "$@"
	awk -F'"' '/^"GET"/ { print $4, $14 }' "$dir/client.log"
}
run_redis16() { run_redis "$1" -P 16; }
run_memcached() {
	serve "$1" memcached -u nobody -t 1 -l $b -p "$port"
	load "$1" "$bin/bench/memcached_load" $b "$port" 64 "$seconds"
	awk '/^requests_per_s/ { r = $2 } /^p99_us/ { print r, $2 }' "$dir/client.log"
}
run_nginx() { # WAY [LINES]
	set -- "$1" "${2:-master_process off;}"
	mkdir -p "$dir/www"
	head -c 1024 /dev/zero >"$dir/www/file"
	cat >"$dir/nginx.conf" <<-C
		daemon off;
		$2
		error_log stderr;
		pid $dir/nginx.pid;
		events { }
		http {
			access_log off;
			sendfile on;
			keepalive_requests 100000000;
			server { listen $b:$port; root $dir/www; }
		}
	C
	serve "$1" nginx -c "$dir/nginx.conf"
	load "$1" wrk -t 1 -c 64 -d "$seconds" --latency "http://$b:$port/file"
	awk '/^Requests\/sec/ { r = $2 } $1 == "99%" { l = $2 * ($2 ~ /ms/ ? 1000 : $2 ~ /us/ ? 1 : 1e6) }
		END { print r, l }' "$dir/client.log"
}
run_workers() { run_nginx "$1" 'worker_processes 4;'; }
pg_bin() { find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1; }
run_postgres() {
	local pg
	pg=$(dirname "$(pg_bin)")
	if [ ! -d "$dir/pg" ]; then
		install -d -o postgres -m 700 "$dir/pg" &&
			(cd / && runuser -u postgres -- "$pg/initdb" -D "$dir/pg" -A trust -N >"$dir/initdb.log" 2>&1) &&
			echo "host all all 0.0.0.0/0 trust" >>"$dir/pg/pg_hba.conf" || fail "initdb"
	fi
	serve "$1" runuser -u postgres -- "$pg/postgres" -D "$dir/pg" -h "$b" -p "$port" -k '' -c fsync=off
	load "$1" sh -c 'until pg_isready -q "$@"; do :; done; psql "$@" -c "\d pgbench_accounts" postgres >/dev/null 2>&1 ||
		pgbench "$@" -iq postgres' sh -h $b -p "$port" -U postgres
	load "$1" pgbench -h $b -p "$port" -U postgres -S -c 16 -j 1 -T "${seconds%.*}" postgres
	awk '/^tps/ { t = $3 } /^latency average/ { l = $4 * 1000 } END { print t, l }' "$dir/client.log"
}
run_iperf3() {
	serve "$1" iperf3 -s -B $b -p "$port"
	load "$1" iperf3 -c $b -p "$port" -t "$seconds" -J
	awk '/"sum_received"/ { on = 1 } on && /bits_per_second/ { gsub(/[^0-9.e+]/, "", $2)
		print $2 / 8; exit }' "$dir/client.log"
}
run_sockperf() {
	serve "$1" sockperf server --tcp -i $b -p "$port"
	load "$1" sockperf ping-pong --tcp -i $b -p "$port" -t "$seconds"
	awk '/percentile 50.0/ { m = $NF } /percentile 99.0/ { n = $NF } END { print m * 2, n * 2 }' \
		"$dir/client.log"
}

# pair NAME NR - one run on each; which is first alternates.
pair() {
	local way ways=(tcp ncd)
	[ $(($2 % 2)) -eq 0 ] || ways=(ncd tcp)
	for way in "${ways[@]}"; do
		port=$((30000 + RANDOM % 10000))
		"run_$1" "$way" >"$dir/$way.result"
		end "$server"
		unset 'pids[-1]'
		[ -s "$dir/$way.result" ] || fail "$1 on $way says nothing"
	done
	paste -d ' ' "$dir/tcp.result" "$dir/ncd.result" >>"$dir/$1.pairs"
}
# line NAME WORDS METRIC COLUMN COLUMNS RELATION GOAL - from the pairs of a program.
line() {
	awk -v c="$4" -v n="$5" '{ print $c, $(c + n), $(c + n) / $c }' "$dir/$1.pairs" |
		awk -v words="$2" -v metric="$3" -v how="$6" -v goal="$7" '
		function si(v) {
			if (v >= 1e9) return sprintf("%.2f G", v / 1e9)
			if (v >= 1e6) return sprintf("%.2f M", v / 1e6)
			if (v >= 1e4) return sprintf("%.1f k", v / 1e3)
			return sprintf(v >= 1e3 ? "%.0f" : "%.3g", v)
		}
		function median(of,   i, j, t, v) {
			for (i = 1; i <= NR; i++) v[i] = of[i]
			for (i = 1; i <= NR; i++) for (j = i + 1; j <= NR; j++)
				if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
			lo = v[1]; hi = v[NR]
			return NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
		}
		{ x[NR] = $1; y[NR] = $2; r[NR] = $3 }
		END {
			tcp = median(x); ncd = median(y); ratio = median(r)
			ok = how == ">=" ? ratio >= goal : ratio <= goal
			printf "| %s | %s | %s | %s | **%.2f** | %.2f .. %.2f | %s |\n", words, metric, si(tcp),
				si(ncd), ratio, lo, hi, goal == "-" ? "-" : how " " goal (ok ? ": yes" : ": **no**")
		}'
}
has() { # COMMAND... - all of them
	local c
	for c in "$@"; do
		command -v "$c" >/dev/null || [ -x "$c" ] || { echo "  skip: no ${c##*/}" >&2; return 1; }
	done
}
measure() { # NAME NEEDED...
	local name=$1 i
	has "${@:2}" || return 1
	for ((i = 0; i < pairs; i++)); do
		echo "  $name, pair $((i + 1)) of $pairs" >&2
		pair "$name" "$i"
	done
}
program() {
	case $1 in
	redis)
		measure redis redis-server redis-benchmark || return 0
		line redis "Redis GET, 50 clients" requests/s 1 2 '>=' 3
		line redis "" "p99 ms" 2 2 '<=' 0.4 ;;
	redis16)
		measure redis16 redis-server redis-benchmark || return 0
		line redis16 "the same, 16 in a pipeline" requests/s 1 2 '>=' 1 ;;
	memcached)
		measure memcached memcached "$bin/bench/memcached_load" || return 0
		line memcached "memcached, 64 connections, 9 gets a set" requests/s 1 2 '>=' 2
		line memcached "" "p99 us" 2 2 '<=' - ;;
	nginx)
		measure nginx nginx wrk || return 0
		line nginx "nginx, wrk, 64 connections, 1 KiB" requests/s 1 2 '>=' 1.5
		line nginx "" "p99 us" 2 2 '<=' - ;;
	workers)
		measure workers nginx wrk || return 0
		line workers "the same, 4 workers that accept" requests/s 1 2 '>=' 1.5
		line workers "" "p99 us" 2 2 '<=' - ;;
	postgres)
		measure postgres pgbench "$(pg_bin)" || return 0
		line postgres "PostgreSQL, pgbench -S, 16 clients" transactions/s 1 2 '>=' -
		line postgres "" "average us" 2 2 '<=' - ;;
	iperf3)
		measure iperf3 iperf3 || return 0
		line iperf3 "iperf3, one stream" bytes/s 1 1 '>=' 1 ;;
	sockperf)
		measure sockperf sockperf || return 0
		line sockperf "sockperf ping-pong" "RTT p50 us" 1 2 '<=' 0.5
		line sockperf "" "RTT p99 us" 2 2 '<=' - ;;
	*) echo "programs.sh: no program $1" >&2 && exit 1 ;;
	esac
}

start_hosts
measured
cat <<-T
	Kernel TCP: $congestion. $pairs pairs of about $seconds s for each line.$note

	| program | metric | kernel TCP | ncd-run | median ratio | min .. max | goal |
	|---|---|---|---|---|---|---|
T
for p in "${programs[@]}"; do program "$p"; done
