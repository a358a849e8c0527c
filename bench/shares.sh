#!/bin/bash
# shares.sh - sourced behind hosts.sh, after make_spaces and start_hosts: a path that gives each TCP
# connection a rate of its own: htb classes at side a, by six bits of the port of its dialler.

# share_rate RATE
share_rate() {
	local i bits
	tc -n "$space-a" qdisc del dev eth0 root 2>/dev/null
	{
		echo "qdisc add dev eth0 root handle 1: htb default ffff"
		echo "class add dev eth0 parent 1: classid 1:ffff htb rate $1 quantum 60000"
		for ((i = 0; i < 64; i++)); do
			bits=$(printf '0x%x 0x%x' $((i * 2)) 126)
			echo "class add dev eth0 parent 1: classid 1:$(printf %x $((i + 1))) htb" \
				"rate $1 quantum 60000"
			echo "filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport $port 0xffff" \
				"match ip sport $bits flowid 1:$(printf %x $((i + 1)))"
			echo "filter add dev eth0 parent 1: protocol ip prio 2 u32 match ip sport $port 0xffff" \
				"match ip dport $bits flowid 1:$(printf %x $((i + 1)))"
		done
	} >"$dir/shares"
	tc -n "$space-a" -batch "$dir/shares" || fail "no htb, or no u32"
}
