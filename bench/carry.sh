#!/bin/bash
# carry.sh - what one stream gains where other workers carry for it: prints a table.
#
#   bench/carry.sh [--quick] [--rate R] [--flat | --plain] [--workers N] [--pairs N] [--seconds S]
#
# [scheduler] carry = off and auto in turns, with N workers a host (2) and one throughput channel for
# each. Two network namespaces and a veth pair; the path gives each TCP connection its own share of R
# (200mbit) and no more. --flat: one shared link of R in place of that (tbf). --plain: loopback, where
# only the cores are the bound. Needs root but for --plain.
# Whatever is started or made here, and nothing else, is ended and removed at the end.
set -u
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/shares.sh"
rate=200mbit path=shares workers=2 note='' within_a=() within_b=()

while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=1 note=' **Quick run: not to be quoted.**' ;;
	--rate) rate=${2:?} && shift ;;
	--flat) path=flat ;;
	--plain) path=plain ;;
	--workers) workers=${2:?} && shift ;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
least=$((workers * 2))
core_a=$(for ((i = 0; i < workers; i++)); do echo $((i % $(nproc))); done | paste -sd,) core_b=$core_a

listens() { "$bin/ncd-stat" -s "$dir/b.sock" --json -l sockets | grep -q '"local_port":4799,'; }
# carried - bytes of what host a has sent that went over channels of others.
carried() {
	"$bin/ncd-stat" -s "$dir/a.sock" --json channels | grep -o '"carried_sent":[0-9]*' |
		awk -F: '{ n += $2 } END { printf "%.0f\n", n }'
}
# once CARRY - bytes a second, and those that were carried.
once() {
	channels_conf="throughput = 1
		max = 2
		[scheduler]
		carry = $1"
	start_hosts
	case $path in
	shares) share_rate "$rate" ;;
	flat) tc -n "$space-a" qdisc del dev eth0 root 2>/dev/null; shape a "$rate" ;;
	esac
	NCD_SOCKET=$dir/b.sock "${within_b[@]}" "$bin/ncd-perf" server --via ncd --listen "$b" \
		>"$dir/server.log" 2>&1 &
	pids+=($!)
	until_true 10 listens || fail "the server does not listen"
	NCD_SOCKET=$dir/a.sock timeout 120 "${within_a[@]}" "$bin/ncd-perf" stream --via ncd --to "$b" \
		--seconds "$seconds" --json >"$dir/json" 2>"$dir/perf.log" || fail "ncd-perf failed"
	moved=$(grep -o '"bytes_per_s":[0-9]*' "$dir/json" | cut -d: -f2)
	part=$(carried)
	hosts_gone
}
gbit() { awk -v n="$1" 'BEGIN { printf "%.3f", n * 8 / 1e9 }'; }
# middle FILE - median, least and most of its numbers.
middle() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%s (%s to %s)", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

if [ $path != plain ]; then
	make_spaces
	within_a=(ip netns exec "$space-a") within_b=(ip netns exec "$space-b")
fi
measured
case $path in
shares) says="$rate for each connection" ;;
flat) says="one link of $rate" ;;
plain) says=loopback ;;
esac
cat <<-T
	One stream, $workers workers, $says, $pairs pairs of $seconds s.$note

	| pair | off, Gbit/s | auto, Gbit/s | of that carried |
	|---|---|---|---|
T
for ((i = 1; i <= pairs; i++)); do
	[ $((i % 2)) -eq 1 ] && order='off auto' || order='auto off'
	for carry in $order; do
		once "$carry"
		gbit "$moved" >"$dir/$carry"
		cat "$dir/$carry" >>"$dir/all.$carry"
		echo >>"$dir/all.$carry"
		[ "$carry" = off ] || share=$(awk -v p="$part" -v n="$moved" -v s="$seconds" \
			'BEGIN { printf "%.0f %%", 100 * p / (n * s) }')
	done
	echo "| $i | $(cat "$dir/off") | $(cat "$dir/auto") | $share |"
done
echo "| median (least to most) | $(middle "$dir/all.off") | $(middle "$dir/all.auto") | |"
