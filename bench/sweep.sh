#!/bin/bash
# sweep.sh - where ncd wins and where it loses: ratios to kernel TCP over sizes and numbers of flows.
#
#   bench/sweep.sh [--quick] [--pairs N] [--seconds S] [--cores A,B] [--png FILE] [--via V]
#
# Two grids, as tables in markdown: streams (one way; messages of 1 B to 16 MiB in 1 to 64 flows) and
# round trips (1 B to 64 KiB in 1 to 10,000 flows). Each cell is the median ratio of the rate over N
# pairs (3) of S s (0.5; the largest 2); losing ones are bold. --png also draws them, with gnuplot.
# --via takes ncd or ncd-zc. A smaller grid is what --quick takes: to see that it works, not to quote.
set -u
. "$(dirname "$0")/hosts.sh"
pairs=3 seconds=0.5 cores=0,1 png='' via=ncd
stream_sizes=(1 64 1024 16384 131072 1048576 16777216) stream_flows=(1 4 16 64)
rpc_sizes=(1 64 1024 16384 65536) rpc_flows=(1 8 64 512 2000 10000)

while [ $# -gt 0 ]; do
	case $1 in
	--quick)
		pairs=1 seconds=0.3
		stream_sizes=(64 131072) stream_flows=(1 16) rpc_sizes=(64 16384) rpc_flows=(1 64)
		;;
	--pairs) pairs=${2:?} && shift ;;
	--seconds) seconds=${2:?} && shift ;;
	--cores) cores=${2:?} && shift ;;
	--png) png=$(realpath "${2:?}") && shift ;;
	--via) via=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
core_a=${cores%,*} core_b=${cores#*,}

words() { # BYTES
	if [ "$1" -ge 1048576 ]; then echo "$(($1 / 1048576)) MiB"; elif [ "$1" -ge 1024 ]; then
		echo "$(($1 / 1024)) KiB"; else echo "$1 B"; fi
}
# grid MODE SIZES FLOWS - the names of the two arrays; leaves numbers for gnuplot in $dir/MODE.dat.
grid() {
	local mode=$1 size flows ratio row limit
	local -n sizes=$2 columns=$3
	printf '\n| %s | ' "$mode"
	printf '%s flows | ' "${columns[@]}"
	printf '\n|---|'
	printf -- '---|%.0s' "${columns[@]}"
	echo
	for size in "${sizes[@]}"; do
		row="| $(words "$size") |"
		for flows in "${columns[@]}"; do
			# Of so many bytes under way a round trip takes its time.
			limit=$seconds
			[ $((size * flows)) -lt 100000000 ] || limit=2
			seconds=$limit compare "$via" "$mode" --size "$size" --flows "$flows" --client-cpu "$core_a" \
				--server-cpu "$core_b"
			ratio=$(field msgs_per_s median_ratio)
			row="$row $(awk -v r="$ratio" 'BEGIN { printf r < 1 ? "**%.2f**" : "%.2f", r }') |"
			echo "\"$(words "$size")\" \"$flows\" $ratio" >>"$dir/$mode.dat"
		done
		echo "$row"
	done
}
# Colour goes by the logarithm: red is as far from white as its inverse in blue.
draw() {
	gnuplot <<-G
		set terminal pngcairo size 1200,520
		set output "$png"
		set multiplot layout 1,2 title "$via against kernel TCP: ratio of the rate"
		set palette defined (-5 "#b2182b", 0 "#f7f7f7", 5 "#2166ac")
		set cbrange [-5:5]; unset colorbox; unset key; set xlabel "flows"
		$(for mode in stream rpc; do
			awk -v m="$mode" -F'"' '
				!($2 in y) { y[$2] = ny++; ty = ty (ny > 1 ? "," : "") "\"" $2 "\" " y[$2] }
				!($4 in x) { x[$4] = nx++; tx = tx (nx > 1 ? "," : "") "\"" $4 "\" " x[$4] }
				{ r = $5 + 0; d = d x[$4] " " y[$2] " " log(r) / log(2) " " sprintf("%.2f", r) "\n" }
				END { printf "$%s << EOD\n%sEOD\nset title \"%s\"; set xtics (%s); set ytics (%s)\n", m, d, m, tx, ty
					printf "set xrange [-0.5:%d.5]; set yrange [-0.5:%d.5]\n", nx - 1, ny - 1
					printf "plot $%s using 1:2:3 with image, $%s using 1:2:4 with labels\n", m, m }' "$dir/$mode.dat"
		done)
	G
}

[ -z "$png" ] || command -v gnuplot >/dev/null || fail "no gnuplot, which --png needs (package gnuplot-nox)"
start_hosts
measured
echo "$pairs pairs of $seconds s for each cell, via $via."
grid stream stream_sizes stream_flows
grid rpc rpc_sizes rpc_flows
[ -z "$png" ] || draw
