#!/bin/bash
# pages.sh - the pages of rings that bulk goes through: huge ones, and given back by idle streams.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

idle=$'[buffers]\nidle_seconds = 1'
nr=8 bytes=8000000
sockets=$OUT/tests/e2e/sockets

# ring_kib HOST - what the ring memory takes that its daemon has open: an application's is the same.
ring_kib() {
	local fd blocks=
	for fd in "/proc/${pid_of[$1]}"/fd/*; do
		case $(readlink "$fd") in
		*memfd:ncd-ring*) blocks=$((blocks + $(stat -L -c %b "$fd"))) ;;
		esac
	done
	[ -n "$blocks" ] && echo $((blocks / 2))
}
rings_below() { [ "$(ring_kib "$1")" -lt "$2" ]; }
said() { [ "$(grep -c "$2" "$dir/$1.out")" -eq "$3" ]; }

# move LINES - of the config. Leaves the two programs that have moved something in $server and
# $client; with a line to $orders they do it again.
move() {
	both "$1"
	mkfifo "$dir/orders"
	exec {orders}<>"$dir/orders"
	(on there "$sockets" server "${address[there]}" $nr 1 $bytes >"$dir/server.out" 2>"$dir/server.log") &
	server=$!
	jobs_of_case+=("$server")
	expect 10 said server serving 1
	(on here "$sockets" client "${address[there]}" $nr 1 $bytes <"$dir/orders" >"$dir/client.out" 2>"$dir/client.log") &
	client=$!
	jobs_of_case+=("$client")
	expect 60 said client ready 1
	expect 60 said server ready 1
}
# The two end.
moved() {
	kill -TERM $server $client
	wait $server $client
	expect 10 empty here
	expect 10 empty there
}
# pages [LINES] - of the config.
pages() {
	local server client round
	move "$idle${1:+$'\n'$1}"
	for round in 1 2; do
		say "moved: $(ring_kib here) KiB here, $(ring_kib there) KiB there"
		expect 30 rings_below here $((nr * 64))
		expect 30 rings_below there $((nr * 64))
		say "idle: $(ring_kib here) KiB here, $(ring_kib there) KiB there"
		echo >&$orders
		expect 60 said client again $round
		expect 60 said server again $round
	done
	moved
}

case_pages() { # quick
	pages
}
case_pages_copied() {
	[ "$(nproc)" -ge 2 ] || skip "needs two cores"
	pages $'[workers]\ncores = 0\ncopy_cores = 1'
}

# gathered PID - it has huge pages of rings.
gathered() { [ "$(sed -n 's/^ShmemPmdMapped: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup")" -gt 0 ]; }
case_huge_pages() {
	local server client
	[ -e /sys/kernel/mm/transparent_hugepage/hpage_pmd_size ] || skip "the kernel has no huge pages"
	move $'[buffers]\nidle_seconds = 0\nhuge_pages = auto'
	say "huge pages: $(grep ShmemPmdMapped /proc/{$client,$server}/smaps_rollup)"
	gathered "$server" || gathered "$client" || fail "none has been gathered"
	moved
}
case_huge_pages_off() {
	local server client
	move $'[buffers]\nidle_seconds = 0\nhuge_pages = off'
	! gathered "$server" && ! gathered "$client" || fail "some have been gathered"
	moved
}

run_case "$@"
