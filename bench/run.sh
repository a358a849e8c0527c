#!/bin/bash
# run.sh - measures ncd against kernel TCP on this machine and prints a table in markdown.
#
#   bench/run.sh [--quick] [--save] [--pairs N] [--seconds S] [--cores A,B]
#
# Two hosts on one machine: an ncd on 127.0.0.1 with its worker on core A, and one on 127.0.0.2 on
# core B. The application of a host is on the core of its host, for every transport: as on two
# hosts, client and server cannot share a core. Rows marked "anywhere" leave that to the kernel.
# --quick takes one pair of short runs (about 30 s in all): to see that it works, not to quote.
# --save puts the table between the two marks in bench/RESULTS.md. Everything is in a temporary
# directory; only processes started here are ended.
set -u
. "$(dirname "$0")/hosts.sh"
idle_seconds=5 cores=0,1 save='' note=''

while [ $# -gt 0 ]; do
	case $1 in
	--quick) pairs=1 seconds=0.6 idle_seconds=2 note=' **Quick run: not to be quoted.**' ;;
	--save) save=1 ;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
core_a=${cores%,*} core_b=${cores#*,}

# reached RATIO RELATION GOAL
reached() {
	awk -v r="$1" -v how="$2" -v g="$3" 'BEGIN {
		ok = how == ">=" ? (r >= g) : (r <= g)
		print(g == "-" ? "-" : ok ? "yes" : "**no**") }'
}
# line WORDS METRIC VIA RELATION STAGE-GOAL GOAL - one line of the table.
line() {
	local words=$1 metric=$2 via=$3 how=$4 ratio winner
	ratio=$(field "$metric" median_ratio)
	winner=$(field "$metric" winner)
	[ "$winner" = null ] && winner=undecided
	awk -v w="$words" -v m="$metric" -v via="$via" -v a="$(field "$metric" median_a)" \
		-v b="$(field "$metric" median_b)" -v r="$ratio" -v lo="$(field "$metric" min_ratio)" \
		-v hi="$(field "$metric" max_ratio)" -v winner="$winner" -v how="$how" -v g1="$5" -v g2="$6" \
		-v y1="$(reached "$ratio" "$how" "$5")" -v y2="$(reached "$ratio" "$how" "$6")" '
		function si(v) {
			if (v >= 1e9) return sprintf("%.2f G", v / 1e9)
			if (v >= 1e6) return sprintf("%.2f M", v / 1e6)
			return v >= 1e4 ? sprintf("%.1f k", v / 1e3) : sprintf("%.2f", v)
		}
		BEGIN { printf "| %s | %s | %s | %s | %s | **%.2f** | %.2f .. %.2f | %s | %s | %s |\n", w, m, via,
			si(a), si(b), r, lo, hi, winner,
			g1 == "-" ? "-" : how " " g1 ": " y1, g2 == "-" ? "-" : how " " g2 ": " y2 }'
}
# app_cores VIA - what the applications used, out of the runs of the last comparison.
app_cores() {
	grep -o '"via":"'"$1"'"[^}]*}[^}]*}\|"via":"'"$1"'"[^}]*"rtt_us":null[^}]*}' "$dir/json" |
		sed 's/.*"seconds":\([0-9.]*\).*"client":\([0-9.]*\),"server":\([0-9.]*\).*/\1 \2 \3/' |
		awk '{ c += $2 / $1; s += $3 / $1 } END { printf "%.0f %% and %.0f %%", 100 * c / NR, 100 * s / NR }'
}
pin=(--client-cpu "$core_a" --server-cpu "$core_b")

streams() {
	compare ncd stream --size 131072 "${pin[@]}"
	line "one stream, 128 KiB writes" bytes_per_s ncd '>=' 1.0 1.15
	apps_ncd=$(app_cores ncd)
	compare ncd-zc stream --size 131072 "${pin[@]}"
	line "the same, zero copy" bytes_per_s ncd-zc '>=' 1.2 1.4
	apps_zc=$(app_cores ncd-zc)
	compare ncd stream --size 64 "${pin[@]}"
	line "64-byte writes, one flow" msgs_per_s ncd '>=' - 8
}
round_trips() {
	compare ncd rpc --flows 1 "${pin[@]}"
	line "64-byte round trips, 1 flow" p50_us ncd '<=' 0.5 0.4
	line "" p99_us ncd '<=' - 0.4
	compare ncd rpc --flows 1
	line "the same, anywhere" p50_us ncd '<=' - -
	compare ncd rpc --flows 8 "${pin[@]}"
	line "8 flows" msgs_per_s ncd '>=' - -
	compare ncd rpc --flows 64 "${pin[@]}"
	line "64 flows" msgs_per_s ncd '>=' 6 10
	line "" p99_us ncd '<=' - -
	compare ncd rpc --flows 512 "${pin[@]}"
	line "512 flows" msgs_per_s ncd '>=' 20 40
	rate_512=$(field msgs_per_s median_b)
	compare ncd rpc --flows 10000 "${pin[@]}"
	line "10,000 flows" msgs_per_s ncd '>=' - -
	of_512=$(awk -v n="$(field msgs_per_s median_b)" -v of="$rate_512" 'BEGIN { printf "%.2f", n / of }')
}
connections() {
	compare ncd connect --flows 1 "${pin[@]}"
	line "connect, round trip, close; 1 client" msgs_per_s ncd '>=' - 3
	compare ncd connect --flows 32 "${pin[@]}"
	line "32 clients" msgs_per_s ncd '>=' - 8
	compare ncd connect --flows 32 --threads 8 "${pin[@]}"
	line "the same, 8 threads each side" msgs_per_s ncd '>=' - 8
}
# Both applications at host a, wherever the kernel puts them.
same_host() {
	local server_host=a
	compare ncd stream --size 131072
	line "same host: one stream, 128 KiB writes" bytes_per_s ncd '>=' - 4
	compare ncd-zc stream --size 131072
	line "the same, zero copy" bytes_per_s ncd-zc '>=' - 4
	compare ncd rpc --flows 1
	line "same host: 64-byte round trips, 1 flow" p50_us ncd '<=' - 0.3
	compare ncd rpc --flows 64
	line "64 flows" msgs_per_s ncd '>=' - -
}
# CPU time of all threads of process $1, in ns.
cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f", n }'; }
idle() {
	local name before_a before_b
	echo "  idle daemons, an idle application attached to each" >&2
	for name in a b; do
		NCD_SOCKET=$dir/$name.sock "$bin/ncd-perf" server --via ncd --port 4799 >"$dir/$name.app.log" 2>&1 &
		pids+=($!)
		until_true 5 grep -q serving "$dir/$name.app.log" || fail "an application does not attach"
	done
	sleep 1 # spinning ends
	before_a=$(cpu_ns "${pids[0]}") before_b=$(cpu_ns "${pids[1]}")
	sleep "$idle_seconds"
	awk -v a=$(($(cpu_ns "${pids[0]}") - before_a)) -v b=$(($(cpu_ns "${pids[1]}") - before_b)) \
		-v s="$idle_seconds" 'BEGIN { printf "%.2f %% and %.2f %%", a / s / 1e7, b / s / 1e7 }'
}

start_hosts
{
	measured
	cat <<-T
		Kernel TCP: cubic; channels of ncd: as they are by default, cubic for bulk. $pairs pairs of $seconds s for each line.$note

		| workload | metric | via | kernel TCP | ncd | median ratio | min .. max | winner | goal of this stage | goal |
		|---|---|---|---|---|---|---|---|---|---|
	T
	streams
	round_trips
	connections
	same_host
	cat <<-T

		10,000 flows make $of_512 of the round trips of 512 (goal 0.8).
		Application threads in the 128 KiB stream, client and server, of a core: ncd $apps_ncd (goal 15 %), ncd-zc $apps_zc (goal 3 %).
		Idle daemons with an idle application attached, of a core: $(idle) (goal 0.0 %).
	T
} >"$dir/table.md"
cat "$dir/table.md"
if [ -n "$save" ]; then
	awk -v table="$dir/table.md" '
		/^<!-- measured -->$/ { print; print ""; while ((getline line <table) > 0) print line; skip = 1 }
		/^<!-- .measured -->$/ { skip = 0; print "" }
		!skip' bench/RESULTS.md >"$dir/results.md" && cp "$dir/results.md" bench/RESULTS.md
fi
