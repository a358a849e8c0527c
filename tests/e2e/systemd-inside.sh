#!/bin/bash
# systemd-inside.sh - the part of systemd.sh that runs as a service of the booted container.
set -u
log=/tmp/step.log
check() {
	local what=$1
	shift
	if "$@" >$log 2>&1; then
		echo "ok   systemd: $what"
	else
		echo "FAIL systemd: $what"
		tail -n 30 $log | sed 's/^/     /'
	fi
}
# until_true SECONDS COMMAND... - waits for a condition.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "not so in time: $*"; return 1; }
		sleep .1
	done
}
show() { systemctl show -P "$1" ncd.service; }
journal() { journalctl -q -b -o cat -u ncd.service; }
journal_says() { journal | grep -q "$1" || { journal | tail -n 20; return 1; }; }
active() { [ "$(show ActiveState)" = active ]; }
counts() { [ "$(ncd-stat --json | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p")" -ge "$2" ]; }

verified() {
	local said
	said=$(systemd-analyze verify --man=no ncd.service ncd.socket 2>&1 | grep -i ncd)
	echo "$said"
	[ -z "$said" ]
}
started() { systemd-sysusers && systemctl daemon-reload && systemctl start ncd.socket ncd.service && active; }
status_text() { show StatusText && [ -n "$(show StatusText)" ]; }
confined() {
	grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$(show MainPID)/status"
	[ "$(stat -c %U "/proc/$(show MainPID)")" = ncd ] &&
		grep -q '^NoNewPrivs:.*1' "/proc/$(show MainPID)/status" &&
		grep -q '^Seccomp:.*2' "/proc/$(show MainPID)/status"
}
# As any user: a file through two virtual sockets of this host.
carried() {
	local receiver
	head -c 3000000 /dev/urandom >/tmp/sent
	timeout 20 setpriv --reuid=nobody --regid=nogroup --clear-groups ncd-cat -l 9000 >/tmp/received &
	receiver=$!
	until_true 10 listening 9000 &&
		timeout 20 setpriv --reuid=nobody --regid=nogroup --clear-groups \
			ncd-cat 127.0.0.1 9000 </tmp/sent && wait $receiver && cmp /tmp/sent /tmp/received
}
listening() { ncd-stat --json -l sockets | grep -q "\"local_port\":$1,"; }
reloaded() {
	local pid
	pid=$(show MainPID)
	printf '[peer west]\naddress = 127.0.0.2\n' >>/etc/ncd.conf
	systemctl reload ncd.service && until_true 10 counts reloads 1 && [ "$(show MainPID)" = "$pid" ]
}
bad_reload_refused() {
	local pid
	pid=$(show MainPID)
	cp /etc/ncd.conf /tmp/good.conf
	printf '[channels]\nlateny = 1\n' >>/etc/ncd.conf
	systemctl reload ncd.service && { echo "was accepted"; return 1; }
	cp /tmp/good.conf /etc/ncd.conf
	journal_says 'lateny' && active && [ "$(show MainPID)" = "$pid" ]
}
# One worker stops in the middle of its work; control and the other threads go on. Only a watchdog
# that is fed on the workers' behalf sees that.
worker_tid() {
	local t
	for t in "/proc/$1/task/"*; do
		case $(cat "$t/comm") in *worker* | *-w[0-9]*) echo "${t##*/}" && return ;; esac
	done
	return 1
}
hung_worker_caught() {
	local pid tid
	pid=$(show MainPID)
	tid=$(worker_tid "$pid") || { echo "no worker thread"; cat "/proc/$pid/task/"*/comm; return 1; }
	/stop_thread "$tid" &
	# Work for it: a worker that sleeps because there is none does not hang.
	timeout 20 ncd-cat 127.0.0.1 9001 </dev/zero >/dev/null 2>&1 &
	until_true 30 new_process "$pid" && until_true 10 active && journal_says 'Watchdog timeout'
}
new_process() { [ "$(show MainPID)" != "$1" ] && [ "$(show MainPID)" != 0 ]; }
killed_restarted() {
	local pid
	pid=$(show MainPID)
	kill -KILL "$pid"
	until_true 20 new_process "$pid" && until_true 10 active && [ "$(show NRestarts)" -ge 2 ]
}
works_again() { until_true 10 ncd-stat && carried; }
# A service of the machine, unchanged, that ncd-run --enable makes one of ncd's.
dropin=/etc/systemd/system/plain.service.d/ncd-run.conf
plain_service() {
	cat >/etc/systemd/system/plain.service <<-'U'
		[Service]
		ExecStart=/usr/bin/perl -MIO::Socket::INET -e 'my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => 9100, ReuseAddr => 1) or die; while (my $c = $l->accept) { print $c "$ENV{NCD_CLASS}\n" }'
		User=nobody
	U
	systemctl daemon-reload && systemctl start plain.service && until_true 10 kernel_listens 9100
}
kernel_listens() { ss -Hltn "sport = :$1" | grep -q LISTEN; }
not_by_ncd() { ! listening 9100; }
enabled() {
	ncd-run -c latency --enable plain >/tmp/said && grep -q 'systemctl restart plain.service' /tmp/said &&
		cat $dropin && not_by_ncd && systemctl restart plain.service &&
		until_true 10 listening 9100 && ncd-stat -l sockets | grep ":9100 .* lat " &&
		[ "$(timeout 10 ncd-cat 127.0.0.1 9100 </dev/null)" = latency ]
}
enabled_again() { ncd-run --enable plain.service | grep 'replaced' && ! grep NCD_CLASS $dropin; }
enable_refused() {
	ncd-run --enable nosuch 2>&1 | grep 'no such unit' &&
		setpriv --reuid=nobody --regid=nogroup --clear-groups ncd-run --enable plain 2>&1 | grep root &&
		setpriv --reuid=nobody --regid=nogroup --clear-groups ncd-run --disable plain 2>&1 |
		grep root && [ -e $dropin ] && [ ! -e /etc/systemd/system/nosuch.service.d ]
}
disabled() {
	ncd-run --disable plain && [ ! -e ${dropin%/*} ] && systemctl restart plain.service &&
		until_true 10 kernel_listens 9100 && not_by_ncd &&
		! ncd-run --disable plain
}
foreign_stays() {
	mkdir -p ${dropin%/*} && echo '[Service]' >$dropin
	! ncd-run --enable plain && ! ncd-run --disable plain && [ "$(cat $dropin)" = '[Service]' ]
}
# Copy workers reach programs of ncd's own user, once the unit permits the calls.
as_ncd() { setpriv --reuid=ncd --regid=ncd --clear-groups "$@"; }
large_calls() {
	local server status
	as_ncd ncd-perf server --via ncd --port 9002 &
	server=$!
	until_true 10 listening 9002 &&
		as_ncd timeout 20 ncd-perf stream --via ncd --to 127.0.0.1 --port 9002 \
			--size 4194304 --seconds 1
	status=$?
	kill $server
	wait $server
	return $status
}
pieces() { ncd-stat --json workers | sed -n 's/.*"pieces":\([0-9]*\).*/\1/p'; }
copies_permitted() {
	[ "$(nproc)" -ge 2 ] || { echo "needs two cores"; return 0; }
	# Rings too small to be joined: of a joined one nothing is left to copy.
	printf '[workers]\ncores = 0\ncopy_cores = 1\n[buffers]\nsend = 1M\nreceive = 1M\n' >>/etc/ncd.conf
	systemctl restart ncd.service && large_calls && [ "$(pieces)" -eq 0 ] &&
		journal_says 'copies its large calls itself.*Operation not permitted' || return 1
	printf '[Service]\nSystemCallFilter=process_vm_readv process_vm_writev\n' \
		>/etc/systemd/system/ncd.service.d/copy.conf
	systemctl daemon-reload && systemctl restart ncd.service && large_calls && [ "$(pieces)" -gt 0 ]
}
# Priorities are the unit's: every thread has them, worker threads among them.
# scheduling - of all threads: policy (0: SCHED_OTHER, 1: SCHED_FIFO), real-time priority, nice.
scheduling() {
	sed 's/.*) //' "/proc/$(show MainPID)/task/"*/stat | awk '{ print $39, $38, $17 }' | sort -u
}
priority() {
	printf '[Service]\n%s\n' "$1" >/etc/systemd/system/ncd.service.d/priority.conf
	systemctl daemon-reload && systemctl restart ncd.service && until_true 10 ncd-stat || return 1
	scheduling
	[ "$(scheduling)" = "$2" ] && carried
}
nice_by_unit() { priority 'Nice=-10' '0 0 -10'; }
fifo_by_unit() { priority $'CPUSchedulingPolicy=fifo\nCPUSchedulingPriority=5' '1 5 0'; }
stopped() { systemctl stop ncd.socket ncd.service && [ "$(show Result)" = success ] && ! active; }

check "systemd-analyze verify finds nothing" verified
echo "systemd-analyze security: $(systemd-analyze security --offline=true --no-pager ncd.service 2>/dev/null |
	tail -n 1 | tr -cd '[:print:]')"
check "systemctl start ncd" started
check "the status text is set" status_text
echo "status text: $(show StatusText)"
check "runs as user ncd, confined" confined
check "ncd-stat says running" ncd-stat
check "carries bytes for any user" carried
check "reload takes a new peer, in the same process" reloaded
check "reload refuses a wrong config and goes on" bad_reload_refused
check "a plain service runs" plain_service
check "ncd-run --enable: by ncd from its next start on" enabled
check "ncd-run --enable again replaces its file" enabled_again
check "ncd-run --enable refuses what it cannot do" enable_refused
check "ncd-run --disable: as before from its next start on" disabled
check "a drop-in of somebody else's stays" foreign_stays
check "a hung worker is caught by the watchdog, ncd restarted" hung_worker_caught
check "works after the restart" works_again
check "kill -9: restarted" killed_restarted
check "works after the kill" works_again
check "copy workers serve the own user, if the unit permits" copies_permitted
check "Nice= holds for every thread" nice_by_unit
check "CPUSchedulingPolicy=fifo holds for every thread" fifo_by_unit
check "stops in order" stopped
echo "--- journal"
journal | tail -n 40
echo "done"
