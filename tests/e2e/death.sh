#!/bin/bash
# death.sh - applications and daemons that are killed; daemons that are asked to end.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

# An ncd-cat on HOST that reads from the fifo NAME, which stays open until the shell closes $feed.
feed() {
	local h=$1 name=$2
	mkfifo "$dir/$name"
	(on "$h" "$OUT/ncd-cat" -q "${@:3}" <"$dir/$name" >"$dir/$name.out" \
		2>"$dir/$name.cat.log") &
	fed=$!
	jobs_of_case+=("$fed")
	exec {feed}>"$dir/$name"
}
has_bytes() { [ "$(stat -c %s "$dir/$1")" -ge "$2" ]; }
is_beginning() {
	cmp -n "$(stat -c %s "$dir/$1")" "$dir/$1" "$dir/$2" || fail "$1 is not how $2 begins"
}
reset_told() { grep -qE 'reset by peer|Broken pipe' "$dir/$1" || fail "$1 tells of no reset"; }

# ncd-stat in a container: another process, or none, has ncd's pid there.
case_stat_of_another_pid_namespace() { # quick
	[ -n "$namespaces" ] || skip "needs root and namespaces of its own"
	local stat=(unshare --pid --fork "$OUT/ncd-stat" --json)
	config here
	start here
	(on here "${stat[@]}" >"$dir/stat.json") || fail "ncd-stat: status $?"
	grep -q '"health":"running"' "$dir/stat.json" || fail "it is not called running"
	kill_daemon here
	(on here "${stat[@]}" >"$dir/stat.json") && fail "ncd is dead, and all is well"
	grep -q '"health":"dead"' "$dir/stat.json" || fail "it is not called dead"
}

# The peer of a sender that is killed gets what was sent, then a reset.
case_kill_sender() { # quick
	both
	random_file 300000 part
	listen there 7001 got
	feed here src "${address[there]}" 7001
	cat "$dir/part" >&"$feed"
	expect 10 has_bytes got 200000
	kill -KILL $fed
	ends 10 $listener && fail "the receiver took the death for an end"
	is_beginning got part
	reset_told got.cat.log
	expect_empty 5
	transfer here there 7002 part
}

# A process that had finished sending when it died: the peer has everything.
case_kill_sender_after_end() {
	both
	random_file 300000 part
	feed there dst -l 7001
	expect 10 listens there 7001
	send here "${address[there]}" 7001 part # it waits for the other direction
	expect 10 has_bytes dst.out 300000
	kill -KILL $sender
	exec {feed}>&-
	ends 10 $fed
	same part dst.out
	expect_empty 5
}

case_kill_receiver() { # quick
	both
	listen there 7001 got
	pour 7001
	expect 10 has_bytes got 1000000
	kill -KILL "$listener"
	ends 10 $sender && fail "the sender did not notice"
	reset_told zero.cat.log
	expect_empty 5
	random_file 100000 part
	transfer here there 7002 part
}

# A listener with streams that nobody has accepted dies, too.
case_kill_all_applications() {
	local i killed=()
	both
	for i in 1 2 3 4 5; do
		listen there 700$i got.$i
		killed+=("$listener")
		pour 700$i
		killed+=("$sender")
	done
	for i in 1 2 3 4 5; do expect 10 has_bytes got.$i 100000; done
	kill -KILL "${killed[@]}"
	expect_empty 10
	random_file 100000 part
	transfer here there 7002 part
}

# Applications on both hosts get an error; those that attach anew work with the daemon's successor.
killed_daemon() {
	local victim=$1 echo_there
	both
	(on there "$OUT/tests/e2e/echo" 7100 >"$dir/echo.log" 2>&1) &
	echo_there=$!
	jobs_of_case+=("$echo_there")
	expect 10 listens there 7100
	listen there 7001 got
	pour 7001
	expect 10 has_bytes got 1000000
	kill_daemon "$victim"
	if [ "$victim" = here ]; then
		ends 3 $sender && fail "the sender ended well though its daemon was killed"
	else
		ends 3 $listener && fail "the receiver ended well though its daemon was killed"
	fi
	start "$victim"
	connected
	ends 5 $sender && fail "the sender ended well though a daemon was killed"
	ends 5 $listener && fail "the receiver ended well though a daemon was killed"
	# It attached to the old daemon there, or streams with the old one here.
	expect 10 listens there 7100
	random_file 50000 part
	send here "${address[there]}" 7100 part
	ends 10 $sender || fail "no echo"
	same part part.back
	transfer there here 7003 part
	kill -TERM $echo_there
	ends 5 $echo_there
	expect_empty 5
}
case_kill_daemon_of_sender() { killed_daemon here; }
case_kill_daemon_of_receiver() { killed_daemon there; }

# both_draining SECONDS - so long here waits for its streams when it is asked to end. Sets $daemon.
both_draining() {
	config here
	config there
	sed -i "s/^drain_seconds.*/drain_seconds = $1/" "$dir/here.conf"
	start here
	start there
	connected
	daemon=${pid_of[here]}
}
# cut_off - who feeds hears that its daemon has ended.
cut_off() {
	echo more >&"$feed" # it sleeps in read(2), and can only learn it when it sends
	ends 5 $fed && fail "the sender ended well though its daemon ended"
	reset_told src.cat.log
}

# SIGTERM in the middle of a transfer: it goes on to its end, then the daemon ends.
case_term_drains() { # quick
	local daemon refused
	both_draining 30
	random_file 500000 part
	listen there 7001 got
	feed here src "${address[there]}" 7001
	cat "$dir/part" >&"$feed"
	expect 10 has_bytes got 400000
	kill -TERM "$daemon"
	expect 5 drains here
	(on here "$OUT/ncd-cat" "${address[there]}" 7009 </dev/null >"$dir/refused.log" 2>&1) &
	refused=$!
	ends 5 $refused && fail "a draining daemon took a new application"
	cat "$dir/part" >&"$feed"
	exec {feed}>&-
	ends 10 $fed || fail "the sender was cut off"
	ends 10 $listener || fail "the receiver was cut off"
	cat "$dir/part" "$dir/part" >"$dir/twice"
	same twice got
	ends 10 "$daemon" || fail "the daemon ended with status $?"
	unset "pid_of[here]"
}

case_second_term_ends_at_once() {
	local daemon
	both_draining 600
	listen there 7001 got
	feed here src "${address[there]}" 7001
	echo bytes >&"$feed"
	expect 10 has_bytes got 6
	kill -TERM "$daemon"
	expect 5 drains here
	gone_or_zombie "$daemon" && fail "it did not wait for the open stream"
	kill -TERM "$daemon"
	ends 3 "$daemon" || fail "the daemon ended with status $?"
	unset "pid_of[here]"
	cut_off
	ends 10 $listener && fail "the receiver ended well"
	return 0
}
drains() { ask "$1" summary | grep -q '"state":"draining"'; }

# The limit of draining: an application that never ends does not keep the daemon.
case_drain_has_a_limit() {
	local daemon
	both # with drain_seconds = 2
	daemon=${pid_of[here]}
	listen there 7001 got
	feed here src "${address[there]}" 7001
	echo bytes >&"$feed"
	expect 10 has_bytes got 6
	kill -TERM "$daemon"
	ends 6 "$daemon" || fail "the daemon ended with status $?"
	unset "pid_of[here]"
	cut_off
	return 0
}

run_case "$@"
