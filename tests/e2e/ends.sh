#!/bin/bash
# ends.sh - sourced by cases in which ncd ends while real programs under ncd-run are busy: clients
# hear of it, servers live on as they were and serve over kernel TCP, and through the next ncd again.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# A case describes a program on port $p by arrays:
#   server   under ncd-run there; it and its children must be the same to the end
#   load     under ncd-run here, busy for longer than the case; load_ROUND, if there is one, instead
#   probe    a client that ends; $says is what it prints
# and by words, of which the last three may be missing:
#   lost     what the load says of a connection that is cut; "on": it goes on, by `asked`
#   single   set: the server has one client at a time
#   busy     virtual sockets there are at least so many while the load runs
#   epolls   so many of its processes wait in an epoll: they listen through the next ncd at once
p=8501
server=() load=() probe=() says='' lost=. single='' busy=1 epolls=0

# ---- processes of a server ----

family() { # PID - it and all that come from it
	local child
	echo "$1"
	for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do family "$child"; done
}
# Short-lived ones that serve a client may end, but those that were there must be.
same_family() { [ "$(family "$job_server" | sort | xargs)" = "$born" ]; }
# descriptors PID NAMES - how many sockets have numbers like NAMES.
descriptors() {
	local pid n=0
	for pid in $(family "$1"); do
		n=$((n + $(find "/proc/$pid/fd" -name "$2" -lname 'socket:*' 2>/dev/null | wc -l)))
	done
	echo $n
}
# The program's own have low numbers. The library has pairs for later sockets, 32 for each process.
few_descriptors() {
	[ "$(descriptors "$job_server" '[0-9]') $(descriptors "$job_server" '[0-9][0-9]')" = "$usual" ] &&
		[ "$(descriptors "$job_server" '*')" -le $((most + 64 * $(wc -w <<<"$born"))) ]
}
ticks() { # PID - of 10 ms
	local pid n=0 f
	for pid in $(family "$1"); do
		read -ra f < <(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null)
		n=$((n + ${f[11]:-0} + ${f[12]:-0}))
	done
	echo $n
}
# calm PID - for 0.4 s it has a fifth of a processor at most. Who spins never has.
calm() {
	local before=$EPOCHREALTIME t
	t=$(ticks "$1")
	pause .4
	[ $((($(ticks "$1") - t) * 50000)) -le $((10#${EPOCHREALTIME/./} - 10#${before/./})) ]
}

# ---- clients ----

moved() { # HOST - bytes of its virtual sockets
	ask "$1" sockets | grep -o '"bytes_[a-z]*":[0-9]*' | awk -F: '{ n += $2 } END { printf "%.0f\n", n }'
}
established() { [ "$(ask "$1" sockets | grep -o '"state":"ESTAB"' | wc -l)" -ge "$2" ]; }
none_connected() { ! ask "$1" sockets | grep -q '"state":"[A-Z]'; }
moves() {
	local before
	before=$(moved "$1")
	pause
	[ "$before" -gt 20000 ] && [ "$(moved "$1")" -ne "$before" ]
}
asked() { :; } # prints how many questions the server has answered
more_asked() {
	local before
	before=$(asked) || return 1
	pause
	[ "$(asked)" -gt $((before + 10)) ]
}
begin_load() { # ROUND
	local -n command=load
	[ -z "$(declare -p "load_$1" 2>/dev/null)" ] || local -n command=load_$1
	background here load "${ncd_run[@]}" "${command[@]}"
	job_load=$job
	expect 15 established here "$busy"
	expect 15 established there "$busy"
	expect 10 moves here
	expect 10 moves there
	gone_or_zombie "$job_load" && fail "$1: the load has ended"
	return 0
}
# load_lost ROUND - it hears that its connections are cut, and does what it does then.
load_lost() {
	local status
	if [ "$lost" = on ]; then
		expect 15 more_asked
		gone_or_zombie "$job_load" && fail "$1: the load has ended"
		kill -INT "$job_load"
		ends 10 "$job_load" || fail "$1: the load ended with status $?"
		return 0
	fi
	ends 15 "$job_load"
	status=$?
	[ $status -lt 126 ] || [ $status -eq 255 ] || fail "$1: the load ended with status $status"
	grep -qE "$lost" "$dir/load.log" || fail "$1: the load does not say $lost"
}
probed() { # WAY
	side "$1"
	(on here timeout --kill-after=1 $((6 * slow)) "${by[@]}" "${probe[@]}" >"$dir/probe.log" 2>&1 </dev/null) ||
		return 1
	grep -qE "$says" "$dir/probe.log"
}
by_ncd() { grep -qE 'ncd-run: .*connect .*: ncd$' "$dir/probe.log"; }
probed_by_ncd() {
	probed run || fail "a client is not served"
	by_ncd
}
# served_by_tcp ROUND - both kinds of client, while ncd is away.
served_by_tcp() {
	local way
	for way in plain run; do
		probed $way || fail "$1: a $way client is not served"
		by_ncd && fail "$1: there is no ncd, and it carried a client"
	done
	return 0
}

# ---- the ends ----

as_before() { # ROUND - the server
	until_true 10 same_family || fail "$1: it was $born, and is $(family "$job_server" | sort | xargs)"
	until_true 10 calm "$job_server" || fail "$1: the server spins"
}
gives_back() { # ROUND
	local pid
	until_true 10 few_descriptors || {
		for pid in $(family "$job_server"); do ls -l "/proc/$pid/fd"; done
		fail "$1: the server does not have $usual descriptors"
	}
}
listening() { ask there -l sockets | grep -o "\"local_port\":$p," | wc -l; }
all_listen() { [ "$(listening)" -ge "$epolls" ]; }
again() { # ROUND HOST LOST - with "lost" the load hears of it now
	start "$2"
	connected
	until_true 15 all_listen || fail "$1: $(listening) processes listen, not $epolls"
	[ -z "$3" ] || load_lost "$1"
	until_true 15 probed_by_ncd || fail "$1: clients do not go through ncd again"
	as_before "$1"
	gives_back "$1"
}

# The server's: it hears at once. Streams of the client wait for the next ncd there.
round_kill_there() {
	begin_load kill_there
	kill_daemon there
	gives_back "kill there"
	served_by_tcp "kill there"
	as_before "kill there"
	gone_or_zombie "$job_load" && fail "kill there: the load did not wait"
	until_true 10 calm "$job_load" || fail "kill there: the load spins"
	again "kill there" there lost
}
drains() { ask "$1" summary | grep -q '"state":"draining"'; }
# impatient HOST - its next ncd gives up streams after a second.
impatient() { grep -q timeout_seconds "$dir/$1.conf" || sed -i '/^port/a timeout_seconds = 1' "$dir/$1.conf"; }
# term ROUND HOST - it is asked to end: for two seconds streams go on, and what is left then both
# sides hear of.
term() {
	local daemon=${pid_of[$2]}
	impatient "$2"
	begin_load "${1// /_}"
	kill -TERM "$daemon"
	expect 5 drains "$2"
	[ -n "$single" ] || served_by_tcp "$1, draining"
	ends 10 "$daemon" || fail "the daemon ended with status $?"
	unset "pid_of[$2]"
	load_lost "$1"
	gives_back "$1"
	served_by_tcp "$1"
	as_before "$1"
	again "$1" "$2" ''
}
drains() { ask "$1" summary | grep -q '"state":"draining"'; }
round_term_there() { term "term there" there; }
round_term_here() { term "term here" here; }
# The client's: it hears at once, and the server after the second that round_term_there gave it.
round_kill_here() {
	impatient here
	begin_load kill_here
	kill_daemon here
	load_lost "kill here"
	[ -n "$single" ] || served_by_tcp "kill here"
	gives_back "kill here"
	as_before "kill here"
	served_by_tcp "kill here"
	again "kill here" here ''
}
# The same, but the server's streams wait for the next ncd there.
round_restart_here() {
	begin_load restart_here
	kill_daemon here
	load_lost "restart here"
	served_by_tcp "restart here"
	as_before "restart here"
	again "restart here" here ''
}
# The client does not wait for an ncd there that never comes.
round_timeout() {
	begin_load timeout
	kill_daemon there
	load_lost "timeout"
	as_before timeout
	again timeout there ''
}
# rounds ROUND... - of the program that is described.
rounds() {
	local round job_server job_load born usual most
	background there server "${ncd_run[@]}" "${server[@]}"
	job_server=$job
	expect 15 listens there "$p"
	expect 15 probed run
	by_ncd || fail "the first client did not go through ncd"
	expect 10 calm "$job_server"
	born=$(family "$job_server" | sort | xargs)
	# What the library has once many sockets were there is what it may have later.
	begin_load kill_there
	kill -KILL "$job_load"
	wait "$job_load" 2>/dev/null
	expect 10 none_connected there
	expect 10 calm "$job_server"
	usual="$(descriptors "$job_server" '[0-9]') $(descriptors "$job_server" '[0-9][0-9]')"
	most=$(descriptors "$job_server" '*')
	for round in "$@"; do "round_$round"; done
	end_job "$job_server"
	expect 5 empty there
	expect 5 none_connected here
}
all=(kill_there term_there kill_here timeout)
