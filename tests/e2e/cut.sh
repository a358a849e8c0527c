#!/bin/bash
# cut.sh - sourced behind hosts.sh: channels destroyed with ss -K.

# kill_channels - destroys all TCP connections of channels at once.
kill_channels() {
	local h
	for h in here there; do
		on $h ss -HK state established "( dport = :$port or sport = :$port )" &
		wait $!
	done >>"$dir/killed" 2>>"$dir/ss.log"
}
can_kill() {
	[ -n "$namespaces" ] || skip "needs root and namespaces of its own"
	kill_channels
	[ -s "$dir/killed" ] || skip "this kernel does not destroy sockets (INET_DIAG_DESTROY)"
	connected
}
