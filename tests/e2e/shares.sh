#!/bin/bash
# shares.sh - sourced behind hosts.sh: a network that gives each connection a rate of its own.

# shares RATE - each TCP connection from here gets so much and no more, by the bits of the port that
# its dialler has. Two may meet in one class: then one of them is found not to help, and goes.
shares() {
	local i bits
	[ -n "$namespaces" ] || skip "needs root and namespaces of its own"
	for ((i = 0; i < 256; i++)); do
		bits=$(printf '0x%x 0x%x' $((i * 2)) 510)
		echo "class add dev veth0 parent 1: classid 1:$(printf %x $((i + 1))) htb rate $1" \
			"quantum 60000"
		echo "filter add dev veth0 parent 1: protocol ip prio 1 u32 match ip dport $port 0xffff" \
			"match ip sport $bits flowid 1:$(printf %x $((i + 1)))"
		echo "filter add dev veth0 parent 1: protocol ip prio 2 u32 match ip sport $port 0xffff" \
			"match ip dport $bits flowid 1:$(printf %x $((i + 1)))"
	done >"$dir/shares"
	tc -n here qdisc add dev veth0 root handle 1: htb 2>"$dir/tc.log" &&
		tc -n here -batch "$dir/shares" 2>>"$dir/tc.log" || skip "no htb with u32 here"
}
