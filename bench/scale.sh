#!/bin/bash
# scale.sh - what ncd would do with up to 64 workers and channels: simulated, from measured costs.
#
#   bench/scale.sh [--quick] [--costs FILE] [--keep FILE] [--sockets N] [--link GBIT] [--memory GB]
#                  [--size B] [--runs N] [--seconds S] [--cores A,B] [--png FILE]
#                  [--only costs|check|tables]
#
# Three steps. costs: what each operation of the kernel, of a worker and of the library costs here, is
# measured (or read from FILE) and kept (--keep FILE). check: round trips are measured with one worker
# a host and with two, N runs (3) of S s (0.7), beside what the model makes of them from the costs.
# tables: the model's rate and p99 for N sockets (100000), messages of B bytes (64, then 4096), 1 to 64
# workers, 1 to 64 channels of a class (ncd has 1 to 16 a worker), a core for each worker, a link of
# GBIT (100) each way, and hosts that copy GB (50) a second. --only does one step; for others than
# costs with --costs FILE. --png draws the tables, with gnuplot. A part of the runs is what --quick
# takes: to see that it works, not to quote.
set -u
. "$(dirname "$0")/hosts.sh"
costs='' keep='' sockets=100000 link=100 memory=50 runs=3 seconds=0.7 cores=0,1 png='' only='' note=''
workers=(1 2 4 8 16 32 64) channels=(1 2 4 8 16 32 64) sizes=(64 4096)
cases=("64 64" "512 64" "10000 64" "512 4096")

while [ $# -gt 0 ]; do
	case $1 in
	--quick)
		note=' **Quick run: not to be quoted.**' runs=1 seconds=0.4 sockets=20000
		workers=(1 4 16) channels=(1 4 16) sizes=(64) cases=("512 64")
		;;
	--costs) costs=$(realpath "${2:?}") && shift ;;
	--keep) keep=$(realpath "${2:?}") && shift ;;
	--sockets) sockets=${2:?} && shift ;;
	--link) link=${2:?} && shift ;;
	--memory) memory=${2:?} && shift ;;
	--size) sizes=("${2:?}") && shift ;;
	--runs) runs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	--png) png=$(realpath "${2:?}") && shift ;;
	--only) only=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
first=${cores%,*} second=${cores#*,}
case ${only:-costs} in costs | check | tables) ;; *) usage ;; esac
[ -z "$png" ] || command -v gnuplot >/dev/null || fail "no gnuplot, which --png needs (package gnuplot-nox)"
# The model's workers poll with epoll; its sockets are more than the default allows.
daemon_conf='sockets = 131072'
channels_conf='[workers]
io = epoll
[buffers]
region_max = 8G'

does() { [ -z "$only" ] || [ "$only" = "$1" ]; }

# hosts_with WORKERS - both hosts: with one, each has a core of its own; with two they share both.
hosts_with() {
	hosts_gone
	if [ "$1" = 1 ]; then core_a=$first core_b=$second; else core_a=$cores core_b=$cores; fi
	least=$((3 * $1))
	start_hosts
}

# ---- costs ----

measure_costs() {
	echo "  costs: kernel, worker, library" >&2
	hosts_with 1
	{
		echo "# Costs, in ns: bench/scale/cost.h. $(date -u +'%Y-%m-%d %H:%M UTC')"
		"$bin/bench/scale/measure_kernel" "$first" "$second" || fail "measure_kernel failed"
		"$bin/bench/scale/measure_worker" "$first" || fail "measure_worker failed"
		NCD_SOCKET=$dir/a.sock "$bin/bench/scale/measure_library" "$first" "$a" ||
			fail "measure_library failed"
	} >"$dir/costs"
	costs=$dir/costs
	[ -z "$keep" ] || cp "$costs" "$keep"
}
print_costs() {
	echo
	echo '| cost, ns | any | 64 sockets | 512 | 4096 | 32768 |'
	echo '|---|---|---|---|---|---|'
	awk '/^#/ { next }
		NF == 2 { printf $2 < 1 ? "| %s | %.3f | | | | |\n" : "| %s | %.0f | | | | |\n", $1, $2 }
		NF == 3 { if (!($1 in row)) order[++nr] = $1; row[$1] = row[$1] sprintf($3 < 1 ? " %.3f |" : " %.1f |", $3) }
		END { for (i = 1; i <= nr; i++) printf "| %s | |%s\n", order[i], row[order[i]] }' "$costs"
}

# ---- the model, and the real thing ----

# model OPTIONS... - leaves its answer in variables: m_ and the name.
model() {
	local out
	out=$(timeout 300 "$bin/bench/scale/scale" --costs "$costs" "$@") || fail "scale $* failed: $out"
	eval "$(sed 's/\([a-z0-9_]*\)=/m_\1=/g' <<<"$out")"
}
# client NUMBER FLOWS SIZE CORE - one ncd-perf to server NUMBER; its JSON goes to $dir/client.NUMBER.
client() {
	NCD_SOCKET=$dir/a.sock timeout 60 "$bin/ncd-perf" rpc --via ncd --to "$b" --port $((port + 1 + $1)) \
		--flows "$2" --size "$3" --seconds "$seconds" --no-verify --cpu "$4" --json \
		>"$dir/client.$1" 2>"$dir/client.log"
}
# real WORKERS FLOWS SIZE - one run: sets rate and p99, of all clients together the worst.
real() {
	local i all=()
	until_true 5 clients_are 0 || fail "a client does not go"
	for ((i = 0; i < $1; i++)); do
		client $i $(($2 / $1)) "$3" "$([ $i = 0 ] && echo "$first" || echo "$second")" &
		all+=($!)
		# In this order, so that each has the worker of its core.
		[ "$1" = 1 ] || until_true 5 clients_are $((i + 1)) || fail "a client does not attach"
	done
	wait "${all[@]}" || fail "ncd-perf rpc failed"
	rate=$(cat "$dir"/client.? | grep -o '"msgs_per_s":[0-9.]*' | cut -d: -f2 | awk '{ n += $1 } END { print n }')
	p99=$(cat "$dir"/client.? | grep -o '"p99":[0-9.]*' | cut -d: -f2 | sort -n | tail -n 1)
	rm "$dir"/client.?
}
clients_are() { # NUMBER - attached to host a
	[ "$("$bin/ncd-stat" -s "$dir/a.sock" --json clients | grep -o '"program":' | wc -l)" -eq "$1" ]
}
start_servers() { # WORKERS
	local i
	for ((i = 0; i < $1; i++)); do
		NCD_SOCKET=$dir/b.sock "$bin/ncd-perf" server --via ncd --listen "$b" --port $((port + 1 + i)) \
			--cpu "$([ "$1" = 2 ] && [ $i = 0 ] && echo "$first" || echo "$second")" \
			>"$dir/server.$i.log" 2>&1 &
		pids+=($!)
		until_true 5 grep -q serving "$dir/server.$i.log" || fail "a server does not start"
	done
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
check_one() { # WORKERS FLOWS SIZE
	local i rates='' p99s=''
	for ((i = 0; i < runs; i++)); do
		real "$@"
		rates+="$rate "
		p99s+="$p99 "
	done
	rate=$(tr ' ' '\n' <<<"${rates% }" | median) p99=$(tr ' ' '\n' <<<"${p99s% }" | median)
	model --workers "$1" --sockets "$2" --size "$3" --cores 2 --channels "$1"
	awk -v w="$1" -v f="$2" -v s="$3" -v r="$rate" -v m="$m_msgs_per_s" -v p="$p99" -v q="$m_p99_us" 'BEGIN {
		printf "| %d | %d | %d B | %.0f k | %.0f k | **%+.0f %%** | %.0f | %.0f | **%+.0f %%** |\n",
			w, f, s, r / 1e3, m / 1e3, 100 * (m / r - 1), p, q, 100 * (q / p - 1) }'
}
check() {
	local w case
	cat <<-T

		| workers a host | sockets | message | round trips/s, measured | simulated | error | p99 in us, measured | simulated | error |
		|---|---|---|---|---|---|---|---|---|
	T
	for w in 1 2; do
		hosts_with $w
		start_servers $w
		for case in "${cases[@]}"; do
			echo "  check: $w workers, ${case% *} sockets, ${case#* } bytes" >&2
			check_one $w ${case% *} ${case#* }
		done
	done
}

# ---- the tables ----

head_of() { # WORDS
	printf '\n| **simulated**, %s; workers a host, by channels |' "$1"
	printf ' %s |' "${channels[@]}"
	printf '\n|---|'
	printf -- '---|%.0s' "${channels[@]}"
	echo
}
# table SIZE - two tables; leaves numbers for gnuplot in $dir/SIZE.dat.
table() {
	local size=$1 w c rates='' p99s=''
	for w in "${workers[@]}"; do
		echo "  tables: $w workers, $size bytes" >&2
		rates+="| $w |" p99s+="| $w |"
		for c in "${channels[@]}"; do
			if [ "$c" -lt "$w" ] || [ "$c" -gt $((16 * w)) ]; then
				rates+=' - |' p99s+=' - |'
				continue
			fi
			model --workers "$w" --channels "$c" --sockets "$sockets" --size "$size" --link "$link" \
				--memory "$memory" --delay 5
			rates+=$(awk -v r="$m_msgs_per_s" 'BEGIN { printf " %.2f |", r / 1e6 }')
			p99s+=$(awk -v p="$m_p99_us" 'BEGIN { printf " %.1f |", p / 1e3 }')
			echo "$w $c $m_msgs_per_s $m_p99_us" >>"$dir/$size.dat"
		done
		rates+=$'\n' p99s+=$'\n'
	done
	head_of "$size B: million round trips/s"
	printf '%s' "$rates"
	head_of "$size B: p99 in ms"
	printf '%s' "$p99s"
}
draw() {
	gnuplot <<-G
		set terminal pngcairo size 1100,480
		set output "$png"
		set multiplot layout 1,2 title "simulated: $sockets sockets, from costs measured on $(nproc) cores"
		set logscale xy 2; set xlabel "workers of a host"; set key left top
		set ylabel "million round trips/s"
		plot $(for s in "${sizes[@]}"; do
			printf '"%s" using 1:($3/1e6) with points pt 7 title "%s B", ' "$dir/$s.dat" "$s"
		done)
		set ylabel "p99, ms"; set key right top
		plot $(for s in "${sizes[@]}"; do
			printf '"%s" using 1:($4/1e3) with points pt 7 title "%s B", ' "$dir/$s.dat" "$s"
		done)
	G
}

measured
echo "Everything marked simulated is a model's (\`bench/scale/model.h\`), from the costs below.$note"
if [ -z "$costs" ]; then
	[ -z "$only" ] || [ "$only" = costs ] || fail "--only $only needs --costs"
	measure_costs
fi
print_costs
! does check || check
if does tables; then
	hosts_gone
	echo
	echo "Link: $link Gbit/s each way, 5 us. Copies: $memory GB/s a host. $sockets sockets."
	for size in "${sizes[@]}"; do table "$size"; done
	[ -z "$png" ] || draw
fi
