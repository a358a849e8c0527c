#!/bin/bash
# transfer.sh - bytes from one host to the other, with their checksums: sizes, directions, families.
. "$(dirname "$(readlink -f "$0")")/hosts.sh"

large=$((120000000 / slow))
epoll=$'[workers]\nio = epoll'
two_workers=$'[workers]\ncores = 0,1'
more_bytes() { [ "$(number "$1" summary bytes_received)" -gt "$2" ]; }
two_cores() { [ "$(nproc)" -ge 2 ] || skip "needs two cores"; }

case_small() { # quick
	local n
	both
	for n in 0 1 4095 4096 65537; do
		random_file "$n" small.$n
		transfer here there 7001 small.$n
		transfer there here 7002 small.$n
	done
}

sizes() {
	random_file $large big
	transfer here there 7001 big
	transfer there here 7002 big
	random_file 4095 little
	transfer here there 7003 little
}
case_large() { # quick
	both
	sizes
}
case_large_epoll() {
	both "$epoll"
	ask here workers | grep -q '"backend":"epoll"' || fail "not the epoll back end"
	sizes
}
# Where the kernel refuses io_uring the daemon says so and does without, unless it is told not to.
case_uring_refused() { # quick
	ncd_by=("$OUT/tests/e2e/no_uring")
	both
	ask here workers | grep -q '"backend":"epoll"' || fail "not the epoll back end"
	grep -q 'I/O by epoll, not io_uring: Operation not permitted' "$dir/here.log" || fail "not told"
	random_file 1000000 part
	transfer here there 7001 part
	transfer there here 7002 part
	stop here
	config here $'[workers]\nio = io_uring'
	on here "${ncd_by[@]}" "$OUT/ncd" -c "$dir/here.conf" >"$dir/must.out" 2>&1 &
	ends 10 $!
	[ $? -eq 1 ] || fail "status is not 1"
	[ "$(wc -l <"$dir/must.out")" -eq 1 ] || fail "not one line: $(cat "$dir/must.out")"
	grep -q 'Operation not permitted.*\[workers\] io' "$dir/must.out" || fail "$(cat "$dir/must.out")"
}
case_large_two_workers() {
	two_cores
	channels=6 both "$two_workers"
	sizes
	many
}

# Both ends of one socket send and receive at once.
case_both_directions() { # quick
	both
	random_file $((large / 2)) up
	random_file $((large / 3)) down
	(on there "$OUT/ncd-cat" -q -l 7001 <"$dir/down" >"$dir/up.got" 2>"$dir/down.cat.log") &
	listener=$!
	expect 10 listens there 7001
	send here "${address[there]}" 7001 up
	ends 40 $sender || fail "the connecting end failed"
	ends 10 $listener || fail "the listening end failed"
	same up up.got
	same down up.back
}

# Many streams at once, both ways, all different.
many() {
	local i from to pids=()
	for ((i = 0; i < 24; i++)); do
		if ((i % 2)); then from=here to=there; else from=there to=here; fi
		random_file $((large / 60 + i * 4099)) many.$i
		listen $to $((7100 + i)) many.$i.got
		pids+=("$listener")
	done
	for ((i = 0; i < 24; i++)); do
		if ((i % 2)); then from=here to=there; else from=there to=here; fi
		send $from "${address[$to]}" $((7100 + i)) many.$i
		pids+=("$sender")
	done
	for i in "${pids[@]}"; do ends 40 "$i" || fail "one of many transfers failed"; done
	for ((i = 0; i < 24; i++)); do same many.$i many.$i.got; done
	expect_empty 5
}
case_many_at_once() { # quick
	both
	many
}

# Listens on any address; a stream over IPv4 and one over IPv6 between hosts that have both.
case_ipv6() { # quick
	[ ${#address6[@]} -gt 0 ] || skip "no IPv6 between the hosts of this test"
	local h
	for h in here there; do
		host_address="${address6[$h]}, ${address[$h]}" \
			peer_address="${address6[$(other $h)]}, ${address[$(other $h)]}" config $h
	done
	start here
	start there
	connected
	ask here channels | grep -q "\"peer_addr\":\"${address6[there]}\"" || fail "channels are not IPv6"
	random_file $((large / 4)) six
	to=${address6[there]} transfer here there 7001 six
	to=${address6[here]} transfer there here 7002 six
	transfer here there 7003 six
}

# Hosts with different numbers of workers: one has lanes to several workers of the other.
case_uneven_workers() { # quick
	local i
	two_cores
	config here $'[workers]\ncores = 0'
	config there "$two_workers"
	start here
	start there
	channels=6 connected
	random_file $((large / 4)) uneven
	for i in 1 2 3 4; do
		transfer here there 700$i uneven
		transfer there here 701$i uneven
	done
	is here summary streams_reset 0 || fail "streams were reset"
	is there summary streams_reset 0 || fail "streams were reset"
}

# To an address of the host itself, which no channel leads to.
case_same_host() { # quick
	both
	random_file $((large / 2)) own
	transfer here here 7001 own
	without_peer=1 config there
	stop there
	start there
	transfer there there 7002 own
}

# The daemon here has N joined rings; maps them.
has_joints() { [ "$(grep -c memfd:ncd-joint "/proc/${pid_of[here]}/maps")" -eq "$1" ]; }
# The daemon here has as many descriptors as it says in N.
has_descriptors() { [ "$(find "/proc/${pid_of[here]}/fd" -mindepth 1 | wc -l)" -eq "$1" ]; }
# A stream of bulk within a host has one ring for both ends, until it ends, however that is.
case_joined_rings() { # quick
	local way end got before
	host_address=127.0.0.1 without_peer=1 config here
	start here
	random_file 60000000 block
	before=$(find "/proc/${pid_of[here]}/fd" -mindepth 1 | wc -l)
	for way in 7001 7002; do
		listen here $way block.got
		(on here "$OUT/ncd-cat" -q 127.0.0.1 $way 2>"$dir/src.cat.log" < <(
			head -c 30000000 "$dir/block"
			until_true 20 has_joints 1
			has_joints 1 && : >"$dir/joined"
			tail -c +30000001 "$dir/block"
		)) &
		sender=$!
		jobs_of_case+=("$sender")
		ends 40 $sender || fail "the sender failed"
		ends 10 $listener || fail "the listener failed"
		[ -e "$dir/joined" ] || fail "the rings were not joined"
		same block block.got
		expect 10 has_joints 0
		rm "$dir/joined"
	done
	# Killed in the middle: the other ends, and what came is right.
	for end in sender listener; do
		: >"$dir/block.got"
		listen here 7003 block.got
		(on here "$OUT/ncd-cat" -q 127.0.0.1 7003 2>"$dir/src.cat.log" < <(
			cat "$dir/block"
			until [ -e "$dir/enough" ]; do head -c 1000000 /dev/zero || break; done
		)) &
		sender=$!
		jobs_of_case+=("$sender")
		expect 20 has_joints 1
		kill -KILL "${!end}"
		ends 20 $sender
		ends 20 $listener
		got=$(stat -c %s "$dir/block.got")
		[ "$got" -lt 60000000 ] || got=60000000
		cmp -n "$got" "$dir/block" "$dir/block.got" || fail "what came is not what was sent"
		expect 10 has_joints 0
		expect 10 empty here
	done
	expect 10 has_descriptors "$before"
}

# The network keeps one queue, too short for what the rings hold; then it becomes ten times slower.
case_shaped_link() { # quick
	local h
	[ -n "$namespaces" ] || skip "needs root and namespaces of its own"
	both
	for h in here there; do
		tc -n $h qdisc add dev veth0 root tbf rate 1gbit burst 64kb limit 256kb 2>"$dir/tc.log" ||
			skip "no tbf here"
	done
	random_file 40000000 block
	listen there 7001 block.got
	send here "${address[there]}" 7001 block
	expect 20 more_bytes there 20000000
	tc -n here qdisc change dev veth0 root tbf rate 100mbit burst 64kb limit 256kb || fail "tc"
	ends 40 "$sender" || fail "the sender failed"
	ends 10 "$listener" || fail "the listener failed"
	same block block.got
	expect_empty 5
}

run_case "$@"
