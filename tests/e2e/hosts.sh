#!/bin/bash
# hosts.sh - sourced by the cases: two hosts "here" and "there", each with a daemon; waiting; checks.
#
# As root a case runs in namespaces of its own (network for each host, mounts, processes): what it
# leaves behind, however it ends, is gone with them. Otherwise the hosts are two loopback addresses.
# A case fails by `fail`; it has failed, too, if a daemon ends unasked, ends badly when asked, or if a
# sanitizer says anything.
set -u
e2e=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
: "${OUT:=$e2e/../../build/${BUILD:-release}}"
OUT=$(readlink -f "$OUT")

if [ $# -eq 0 ]; then # a file of cases alone: all of them
	mapfile -t cases < <(sed -nE 's/^case_([a-z0-9_]+)\(\) \{.*/\1/p' "$0")
	exec "$e2e/run.sh" "${cases[@]}"
fi
if [ "$(id -u)" -eq 0 ] && [ -z "${E2E_INSIDE:-}" ] &&
	unshare --mount --net --pid --fork true 2>/dev/null; then
	E2E_INSIDE=1 exec unshare --mount --propagation private --net --pid --fork --kill-child \
		--mount-proc bash "$0" "$@"
fi

slow=1 # what limits of time are multiplied by
if nm -D "$OUT/ncd" 2>/dev/null | grep -qE '__(asan|tsan)_init'; then slow=4; fi
# A program that fails ends without waiting for its threads: that is no fault.
export TSAN_OPTIONS=${TSAN_OPTIONS:-report_thread_leaks=0}
declare -A pid_of address address6 asked
address=([here]=127.0.0.1 [there]=127.0.0.2) address6=()
port=$((15000 + $$ % 10000)) # of the channels; the usual one may be taken
jobs_of_case=()
dir=$(mktemp -d "${TMPDIR:-/tmp}/ncd-e2e.XXXXXX") || exit 1
chmod 755 "$dir" # a case attaches as nobody
exec {never}<> <(:) # what never becomes readable: to wait on
namespaces=
if [ -n "${E2E_INSIDE:-}" ]; then
	namespaces=1
	port=4790
	address=([here]=10.79.0.1 [there]=10.79.0.2)
	address6=([here]=fd79::1 [there]=fd79::2)
fi

# ---- the end ----

say() { printf '%s\n' "$*"; }
show_logs() {
	local log
	for log in "$dir"/*.log; do
		[ -s "$log" ] && say "--- ${log##*/}" && tail -n "${1:-25}" "$log"
	done
}
# spoken - shows what a sanitizer or an assertion has said; false if there is nothing.
spoken() {
	grep -EHn 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion' "$dir"/*.log
}
fail() {
	say "$*"
	local i
	for ((i = 1; i < ${#FUNCNAME[@]} - 1; i++)); do
		say "  at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]} ${FUNCNAME[i]}"
	done
	spoken
	show_logs
	exit 1
}
skip() { say "skip: $*"; exit 77; }

cleanup() {
	local pid
	trap - EXIT
	trap '' INT TERM
	: >"$dir/enough" # ends what feeds a stream until this file is there
	for pid in "${jobs_of_case[@]}" "${pid_of[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'say "interrupted, or out of time"; show_logs; exit 1' INT TERM

# ---- waiting ----

pause() { read -rt "${1:-.03}" -u "$never"; }
# until_true SECONDS COMMAND... - waits for a condition; false if it does not come.
until_true() {
	local end=$((SECONDS + $1 * slow))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		pause
	done
	return 0
}
expect() { until_true "$@" || fail "not within $1 s: ${*:2}"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
# ends SECONDS PID - waits for a process of ours; its status is that of the function.
ends() {
	until_true "$1" gone_or_zombie "$2" || fail "process $2 does not end within $1 s"
	wait "$2"
}
gone_or_zombie() {
	local state
	state=$(sed 's/^.*) //;s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 0
	[ -z "$state" ] || [ "$state" = Z ]
}

# ---- hosts ----

make_hosts() {
	[ -n "$namespaces" ] || return 0
	local h
	# The machine's /run stays as it is; names of namespaces are this case's own.
	mount -t tmpfs tmpfs /run && mkdir -p /run/lock || fail "cannot mount a tmpfs on /run"
	for h in here there; do ip netns add $h || fail "ip netns add $h"; done
	ip link add veth0 netns here type veth peer name veth0 netns there || fail "ip link add"
	for h in here there; do
		ip -n $h addr add "${address[$h]}/24" dev veth0 &&
			ip -n $h link set lo up && ip -n $h link set veth0 up || fail "network of $h"
		ip -n $h addr add "${address6[$h]}/64" dev veth0 nodad 2>/dev/null || address6=()
	done
}
# on HOST COMMAND... - runs a program there; in the background $! is the program itself.
on() {
	local h=$1
	shift
	if [ -n "$namespaces" ]; then
		NCD_SOCKET=$dir/$h.sock exec nsenter "--net=/run/netns/$h" "$@"
	else
		NCD_SOCKET=$dir/$h.sock exec "$@"
	fi
}
other() { [ "$1" = here ] && echo there || echo here; }

# config HOST [LINES] - two hosts that know each other; LINES are added, sections may be repeated.
config() {
	local o
	o=$(other "$1")
	cat >"$dir/$1.conf" <<-C
		[host]
		address = ${host_address:-${address[$1]}}
		[daemon]
		socket = $dir/$1.sock
		drain_seconds = 2
		[channels]
		port = $port
		backoff_max_ms = 500
	C
	[ -n "${without_peer:-}" ] || printf '[peer %s]\naddress = %s\n' "$o" \
		"${peer_address:-${address[$o]}}" >>"$dir/$1.conf"
	[ -z "${2:-}" ] || printf '%s\n' "$2" >>"$dir/$1.conf"
}
# start HOST - starts its daemon, by the program $ncd_by if there is one, and waits until it serves.
ncd_by=()
start() {
	local h=$1
	(on "$h" "${ncd_by[@]}" "$OUT/ncd" -c "$dir/$h.conf" >>"$dir/$h.log" 2>&1) &
	pid_of[$h]=$!
	asked[$h]=
	until_true 10 serves "$h" || fail "ncd of $h does not start"
}
serves() {
	gone_or_zombie "${pid_of[$1]}" && fail "ncd of $1 has ended"
	ask "$1" summary | grep -q "\"pid\":${pid_of[$1]},"
}
# stop HOST - SIGTERM; it must end well.
stop() {
	local status
	asked[$1]=1
	kill -TERM "${pid_of[$1]}"
	ends 15 "${pid_of[$1]}"
	status=$?
	unset "pid_of[$1]"
	[ $status -eq 0 ] || fail "ncd of $1 ended with status $status"
}
# kill_daemon HOST - and waits for it.
kill_daemon() {
	kill -KILL "${pid_of[$1]}"
	wait "${pid_of[$1]}" 2>/dev/null
	unset "pid_of[$1]"
}
# both [LINES] - the two daemons, connected.
both() {
	config here "${1:-}"
	config there "${1:-}"
	start here
	start there
	connected
}
connected() { expect 15 channels_up here; expect 15 channels_up there; }

# ---- what ncd-stat says ----

ask() { "$OUT/ncd-stat" -s "$dir/$1.sock" --json "${@:2}"; }
# number HOST COMMAND NAME - the sum of all members of that name.
number() { ask "$1" "$2" | grep -o "\"$3\":-\?[0-9]*" | awk -F: '{ n += $2 } END { printf "%.0f\n", n }'; }
channels_up() { [ "$(ask "$1" channels | grep -o '"state":"up"' | wc -l)" -ge "${channels:-3}" ]; }
listens() { ask "$1" -l sockets | grep -q "\"local_port\":$2,"; }
# is HOST COMMAND NAME NUMBER
is() { [ "$(number "$1" "$2" "$3")" -eq "$4" ]; }
no_sockets() { ! ask "$1" -a sockets | grep -q '"state":"[A-Z]'; }
no_clients() { ! ask "$1" clients | grep -q '"program"'; }
empty() { no_sockets "$1" && no_clients "$1"; }
# expect_empty SECONDS - on both hosts nothing is left.
expect_empty() { expect "$1" empty here; expect "$1" empty there; }

# ---- bytes ----

random_file() { head -c "$1" /dev/urandom >"$dir/$2"; }
sum() { sha256sum <"$dir/$1"; }
same() { [ "$(sum "$1")" = "$(sum "$2")" ] || fail "$2 ($(stat -c %s "$dir/$2") bytes) is not $1"; }
# listen HOST PORT NAME [OPTIONS] - an ncd-cat that writes what comes to NAME. Sets $listener.
listen() {
	(on "$1" "$OUT/ncd-cat" -q "${@:4}" -l "$2" >"$dir/$3" 2>"$dir/$3.cat.log" </dev/null) &
	listener=$!
	jobs_of_case+=("$listener")
	until_true 10 listens "$1" "$2" || fail "ncd-cat does not listen on port $2 of $1"
}
# send HOST TO PORT NAME [OPTIONS] - an ncd-cat that sends a file. Sets $sender.
send() {
	(on "$1" "$OUT/ncd-cat" -q "${@:5}" "$2" "$3" <"$dir/$4" >"$dir/$4.back" \
		2>"$dir/$4.cat.log") &
	sender=$!
	jobs_of_case+=("$sender")
}
# pour PORT - an ncd-cat here that sends zeros for ever to there. Sets $sender.
pour() {
	(on here "$OUT/ncd-cat" -q "${address[there]}" "$1" </dev/zero >/dev/null \
		2>"$dir/zero.cat.log") &
	sender=$!
	jobs_of_case+=("$sender")
}
# transfer FROM TO PORT NAME [SECONDS] - a file from one host to the other, with its checksum.
transfer() {
	listen "$2" "$3" "$4.$3.got"
	send "$1" "${to:-${address[$2]}}" "$3" "$4"
	ends "${5:-40}" $sender || fail "the sender of $4 ended with status $?"
	ends 10 $listener || fail "the receiver of $4 ended with status $?"
	same "$4" "$4.$3.got"
}

# ---- a case ----

run_case() {
	declare -F "case_$1" >/dev/null || { say "no case $1"; exit 2; }
	make_hosts
	"case_$1"
	local h
	for h in "${!pid_of[@]}"; do
		gone_or_zombie "${pid_of[$h]}" && fail "ncd of $h ended unasked"
	done
	for h in "${!pid_of[@]}"; do stop "$h"; done
	if spoken; then fail "a sanitizer or an assertion has spoken"; fi
	exit 0
}
