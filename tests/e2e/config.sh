#!/bin/bash
# config.sh - wrong configurations, and new ones: one line with file:line, the value and the remedy.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

# says WORDS - the daemon with bad.conf ends with status 1 and one line that has the words.
says() {
	local words=$1 daemon
	shift
	(on here timeout $((10 * slow)) "$OUT/ncd" -c "$dir/bad.conf" "$@" >"$dir/bad.out" 2>&1) &
	daemon=$!
	ends 10 $daemon
	[ $? -eq 1 ] || fail "status is not 1 for: $(cat "$dir/bad.conf")"
	[ "$(wc -l <"$dir/bad.out")" -eq 1 ] || fail "not one line: $(cat "$dir/bad.out")"
	grep -qF -- "$words" "$dir/bad.out" || fail "wanted: $words; got: $(cat "$dir/bad.out")"
}
# bad TEXT WORDS - a wrong file, for the daemon and for ncd -t. Lines are separated by \n.
bad() {
	printf '%b\n' "$1" >"$dir/bad.conf"
	says "$dir/bad.conf:$2"
	says "$dir/bad.conf:$2" -t
}

case_wrong_configs() { # quick
	bad '[host]\naddress = 127.0.0.1\n[channels]\nprot = 9' \
		'4: prot is not a key of [channels]; do you mean port?'
	bad '[chanels]\nport = 9' '1: [chanels] is not a section; do you mean [channels]?'
	bad '[channels]\nport = 70000' '2: port = 70000: is out of range; give a number from 1 to'
	bad '[channels]\nport = 4790\nport = 4791' '3: port is given twice, first in line 2; remove'
	bad '[buffers]\nsend = 3M' '2: send = 3M: is not a power of two'
	bad '[workers]\nio = aio' '2: io = aio: is none of the choices; take one of auto'
	bad '[workers]\ncores = 4095' '2: [workers] cores = 4095: is not a core that'
	bad '[workers]\ncores = 0\ncopy_cores = 0' '3: [workers] copy_cores = 0: is also a core of'
	bad '[workers]\ncopy_cores = 9999' '2: [workers] copy_cores = 9999: is not a core that'
	bad '[workers]\ncopy_cores = auto' "2: copy_cores = auto: 'auto' is no core; give 'none'"
	bad '[host]\naddress = localhost' "2: address = localhost: 'localhost' is not an address"
	bad '[host]\naddress = 192.0.2.77' '2: [host] address = 192.0.2.77: is not an address of this'
	bad '[peer a]\nport = 1' '1: [peer a] has no address; add address'
	bad '[peer a]\naddress = 192.0.2.1\n[peer b]\naddress = 192.0.2.1' '4: [peer b] address = 192.0.2.1: is also that of [peer a]'
	bad '[peer a]\naddress = ff02::1' "2: address = ff02::1: 'ff02::1' is a multicast"
	bad '[daemon]\nuser = no-such-user' '2: [daemon] user = no-such-user: no such user; create'
	bad '[access]\ngroup = no-such-group' '2: [access] group = no-such-group: no such group'
	bad '[channels]\ncongestion = warp' '2: [channels] congestion = warp: the kernel refuses it'
	bad 'port 4790' '1: '
	rm "$dir/bad.conf"
	says "$dir/bad.conf: cannot be opened: No such file or directory"
	mkdir "$dir/bad.conf"
	says "$dir/bad.conf: is a directory"
	says "$dir/bad.conf: is a directory" -t
	on here "$OUT/ncd" --nonsense >"$dir/bad.out" 2>&1 &
	ends 5 $!
	[ $? -eq 2 ] || fail "wrong options: status is not 2"
}

case_places_that_are_taken() { # quick
	config here
	config there
	start here
	# Another ncd on the same socket.
	cp "$dir/here.conf" "$dir/bad.conf"
	says "$dir/here.sock"
	# Another socket, but the same port of channels.
	sed "s|^socket.*|socket = $dir/second.sock|" "$dir/here.conf" >"$dir/bad.conf"
	says "$dir/bad.conf:7: [channels] port = $port: ${address[here]}:$port is in use"
	sed "s|^socket.*|socket = $dir/no/such/directory.sock|" "$dir/here.conf" >"$dir/bad.conf"
	says "$dir/no/such/directory.sock"
	# What is no socket stays.
	echo precious >"$dir/file.sock"
	sed "s|^socket.*|socket = $dir/file.sock|" "$dir/here.conf" >"$dir/bad.conf"
	says "$dir/file.sock"
	[ "$(cat "$dir/file.sock")" = precious ] || fail "a file was replaced by a socket"
	# None of these has hurt the first.
	start there
	connected
	random_file 100000 part
	transfer here there 7001 part
}

case_unwritable_socket_path() {
	[ -n "$namespaces" ] || skip "needs root, to become nobody"
	config here
	mkdir "$dir/closed"
	sed "s|^socket.*|socket = $dir/closed/ncd.sock|" "$dir/here.conf" >"$dir/bad.conf"
	cp "$OUT/ncd" "$dir/ncd"
	on here setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/ncd" -c "$dir/bad.conf" \
		>"$dir/bad.out" 2>&1 &
	ends 5 $!
	[ $? -eq 1 ] || fail "status is not 1"
	[ "$(wc -l <"$dir/bad.out")" -eq 1 ] || fail "not one line"
	grep -q "$dir/closed/ncd.sock.*Permission denied" "$dir/bad.out" || fail "no reason"
}

# After a crash the socket and the counters of the dead daemon are in the way; they are replaced.
case_stale_socket_is_replaced() {
	both
	kill_daemon here
	[ -S "$dir/here.sock" ] || fail "the socket of a killed daemon has gone by itself"
	start here
	connected
	random_file 100000 part
	transfer here there 7001 part
	stop here
	[ ! -e "$dir/here.sock" ] || fail "the socket outlives its daemon"
}

# Who may read the lock could hold it, and keep the next ncd from starting.
case_lock_is_nobody_elses() { # quick
	[ -n "$namespaces" ] || skip "needs root, to become nobody"
	local lock=$dir/here.sock.lock
	config here
	: >"$lock" # as of a release that let others read it
	chmod 644 "$lock"
	start here
	setpriv --reuid=65534 --regid=65534 --clear-groups cat "$lock" >/dev/null 2>&1 &&
		fail "nobody can open the lock: $(stat -c %A "$lock")"
	stop here
	rm "$lock"
	start here
	[ "$(stat -c %a "$lock")" = 600 ] || fail "a new lock has mode $(stat -c %a "$lock")"
}

# -T prints what -t accepts and -T prints the same of.
case_check_and_print() { # quick
	local option
	config here $'[class]\nlatency_ports = 6379, 8000-8100\n[buffers]\nsend = 256K'
	on here "$OUT/ncd" -t -c "$dir/here.conf" >"$dir/t.out" 2>&1 &
	ends 5 $! || fail "-t: $(cat "$dir/t.out")"
	[ "$(cat "$dir/t.out")" = "$dir/here.conf: ok" ] || fail "-t: $(cat "$dir/t.out")"
	on here "$OUT/ncd" -T -c "$dir/here.conf" >"$dir/full.conf" &
	ends 5 $! || fail "-T"
	grep -qE "^send = 256K ; $dir/here.conf:[0-9]+$" "$dir/full.conf" || fail "-T: no place of send"
	grep -qE '^receive = 4M ; default$' "$dir/full.conf" || fail "-T: no default of receive"
	on here "$OUT/ncd" -T -c "$dir/full.conf" >"$dir/again.conf" &
	ends 5 $! || fail "-T of what -T prints"
	cmp <(sed 's/ *;.*//' "$dir/full.conf") <(sed 's/ *;.*//' "$dir/again.conf") ||
		fail "-T of what -T prints is something else"
	for option in -t -T -V -h; do
		on here "$OUT/ncd" $option -c "$dir/here.conf" >/dev/full 2>"$dir/full.err" &
		ends 5 $! && fail "$option into a full device ends well"
		grep -qE '^(<3>)?ncd: cannot write to stdout: No space left' "$dir/full.err" ||
			fail "$option: $(cat "$dir/full.err")"
	done
}

# congestion_is HOST NAME - of all its channels, sorted.
congestion_is() {
	local seen
	seen=$(on "$1" ss -Htin state established "( dport = :$port or sport = :$port )" |
		grep -oE ' (reno|cubic|bbr) ' | sort | xargs)
	[ "$seen" = "$2" ] || ! say "$1 has $seen" >"$dir/congestion"
}
case_congestion_of_each_class() { # quick
	local h
	[ -n "$namespaces" ] || skip "needs root, for the system's congestion control"
	for h in here there; do
		(on $h sh -c 'echo reno >/proc/sys/net/ipv4/tcp_congestion_control') ||
			skip "cannot choose the system's congestion control"
	done
	(on here sysctl -n net.ipv4.tcp_allowed_congestion_control | grep -q cubic) ||
		skip "the kernel has no cubic"
	both # one of latency, two of throughput
	congestion_is here 'cubic cubic reno' || fail "$(cat "$dir/congestion")"
	congestion_is there 'cubic cubic reno' || fail "$(cat "$dir/congestion")"
	stop here
	stop there
	config here $'[channels]\ncongestion = reno'
	config there $'[channels]\nlatency_congestion = cubic\nthroughput_congestion = reno'
	start here
	start there
	connected
	congestion_is here 'reno reno reno' || fail "$(cat "$dir/congestion")"
	congestion_is there 'cubic reno reno' || fail "$(cat "$dir/congestion")"
}

# Who closes them at start must not find a socket of its own there, and log into it.
case_standard_descriptors_closed() { # quick
	local fd
	config here
	config there
	ncd_by=(bash -c 'exec "$@" <&- >&- 2>&-' closed)
	start here
	ncd_by=()
	start there
	connected
	for fd in 0 1 2; do
		[ "$(readlink "/proc/${pid_of[here]}/fd/$fd")" = /dev/null ] || fail "descriptor $fd"
	done
	random_file 100000 part
	transfer here there 7001 part
	# An ncd-cat without says so, and sends nothing of the library's.
	listen there 7002 got
	(on here bash -c 'exec "$@" <&-' closed "$OUT/ncd-cat" -q "${address[there]}" 7002 \
		>/dev/null 2>"$dir/closed.log") &
	ends 10 $!
	[ $? -eq 1 ] || fail "without standard input: the status is not 1"
	grep -q 'standard input: Bad file descriptor' "$dir/closed.log" || fail "without standard input"
	ends 10 "$listener"
	[ ! -s "$dir/got" ] || fail "something was sent"
}

# Who should read the log is stopped, and the pipe to it full.
case_log_is_not_read() { # quick
	local log
	mkfifo "$dir/log"
	exec {log}<>"$dir/log"
	dd if=/dev/zero of="$dir/log" oflag=nonblock bs=4k 2>/dev/null
	config here
	config there
	ncd_by=(bash -c 'exec "$@" 2>"$0"' "$dir/log")
	start here
	ncd_by=()
	start there
	connected
	random_file 100000 part
	transfer here there 7001 part
	stop here
	exec {log}>&-
}

daemon_number() { ask "$1" summary | grep -o "\"$2\":[0-9]*" | head -n 1 | cut -d: -f2; }
has_number() { [ "$(daemon_number "$1" "$2")" -ge "$3" ]; }
hup() { kill -HUP "${pid_of[$1]}"; }

# A peer that the file names only later, and then no more; what is wrong changes nothing.
case_reload() { # quick
	both $'[channels]\ntimeout_seconds = 3' # until there has no hope for here
	without_peer=1 config here
	stop here
	start here
	[ "$(daemon_number here reloads)" -eq 0 ] || fail "reloads before any"
	config here
	hup here
	connected
	grep -q "here.conf is taken over: 1 peer$" "$dir/here.log" || fail "the log does not tell"
	random_file 100000 part
	transfer here there 7001 part
	transfer there here 7002 part
	# Wrong: the old stays, and the log says where.
	printf '[channels]\nlatency = many\n' >>"$dir/here.conf"
	hup here
	expect 5 has_number here reload_failures 1
	grep -qF "$dir/here.conf:$(($(wc -l <"$dir/here.conf")))" "$dir/here.log" || fail "no file:line"
	transfer here there 7003 part
	# Gone: its streams and channels end, others are not taken.
	listen there 7004 got
	pour 7004
	expect 10 test -s "$dir/got"
	without_peer=1 config here
	hup here
	ends 10 $sender && fail "a stream to a peer that was removed ended well"
	expect 10 is here summary channels 0
	(on here "$OUT/ncd-cat" -q "${address[there]}" 7005 </dev/null >/dev/null 2>"$dir/no.log") &
	ends 10 $! && fail "a peer that was removed is reached"
	# A loopback address that is no peer's is the host itself.
	[ -z "$namespaces" ] || grep -q 'no \[peer\]' "$dir/no.log" || fail "not told that there is no [peer]"
	ends 10 $listener # the other side has an end, too
	config here
	hup here
	connected
	transfer here there 7006 part
}

run_case "$@"
