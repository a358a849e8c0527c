#!/bin/bash
# cycles.sh - connections that live for one round trip, a million of them: what memory they leave, as
# a table.
#
#   bench/cycles.sh [--quick] [--cycles N] [--clients N]
#
# Two hosts on one machine; one client process opens a connection, sends 64 bytes, gets them back and
# closes, 32 at once, N times in all (1000000). Both daemons, the client and the server are looked at
# after a hundredth and a tenth of them and at the end. Exit status 1: something has grown by more
# than 1 MiB, or 4 descriptors, since the first look.
set -u
. "$(dirname "$0")/hosts.sh"
cycles=1000000 clients=32
while [ $# -gt 0 ]; do
	case $1 in
	--quick) cycles=50000 ;;
	--cycles) cycles=${2:?} && shift ;;
	--clients) clients=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done

opened() { "$bin/ncd-stat" -s "$dir/a.sock" --json summary | grep -o '"streams_opened":[0-9]*' | cut -d: -f2; }
reached() { [ "$(opened)" -ge "$1" ]; }
# kib PID FIELDS - the sum of these of /proc/PID/status.
kib() { awk -v f="^($2):" '$1 ~ f { n += $2 } END { print n + 0 }' "/proc/$1/status"; }
fds() { find "/proc/$1/fd" -type l | wc -l; }
# look - KiB of each process, its own and of its region, and the descriptors of the daemons.
look() {
	echo "$(kib "${pids[0]}" 'RssAnon|VmPTE') $(kib "${pids[1]}" 'RssAnon|VmPTE')" \
		"$(kib "$client" RssAnon) $(kib "$server" RssAnon)" \
		"$(kib "$client" RssShmem) $(kib "$server" RssShmem)" \
		"$(fds "${pids[0]}") $(fds "${pids[1]}")"
}

start_hosts
NCD_SOCKET=$dir/b.sock "$bin/ncd-perf" server --via ncd --listen "$b" >"$dir/server.log" 2>&1 &
server=$!
pids+=("$server")
listens() { "$bin/ncd-stat" -s "$dir/b.sock" --json -l sockets | grep -q '"local_port":4799,'; }
until_true 10 listens || fail "the server does not listen"
measured
began=$(date +%s%N)
NCD_SOCKET=$dir/a.sock "$bin/ncd-perf" connect --via ncd --to "$b" --flows "$clients" \
	--seconds 3600 >"$dir/perf.log" 2>&1 &
client=$!
pids+=("$client")
cat <<-T

	| cycles | daemon of the client, KiB | of the server | client | server | region of the client | of the server | descriptors of the daemons | cycles/s |
	|---|---|---|---|---|---|---|---|---|
T
first='' grown=0
for part in 100 10 1; do
	until_true 1800 reached $((cycles / part)) || fail "not $((cycles / part)) cycles in half an hour"
	kill -0 "$client" 2>/dev/null || fail "the client has ended"
	last=$(look)
	awk -v n="$(opened)" -v ns=$(($(date +%s%N) - began)) -v values="$last" 'BEGIN { split(values, v)
		printf "| %d | %d | %d | %d | %d | %d | %d | %d, %d | %d |\n", n, v[1], v[2], v[3], v[4],
			v[5], v[6], v[7], v[8], n * 1e9 / ns }'
	: "${first:=$last}"
done
awk -v a="$first" -v b="$last" 'BEGIN { split(a, x); split(b, y)
	for (i = 1; i <= 6; i++)
		bad += y[i] > x[i] + 1024
	for (i = 7; i <= 8; i++)
		bad += y[i] > x[i] + 4
	exit bad > 0 }' || grown=1
echo
[ $grown -eq 0 ] && echo "Nothing has grown." || echo "**Something grows.**"
exit $grown
