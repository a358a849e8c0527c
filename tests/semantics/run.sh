#!/bin/bash
# run.sh - socket semantics: every case on kernel TCP and under ncd-run, compared line by line.
#
#   tests/semantics/run.sh [--kernel N] [--under MODE] [--keep] [CASE...]      default: all of it
#
# --kernel N   only kernel TCP, N times in shuffled order: each run must print what the first did
# --under MODE only this way, of:  host      both ends in one program on one host
#                                  client    near end connects to another host, through a channel
#                                  accepted  near end is connected to from another host
#                                  mixed     the far end is a plain program on another host
# --keep       leaves what was printed where it says
#
# A case prints facts that two runs on kernel TCP share, so kernel TCP is the expectation. OUT names
# the build. Prints a diff for each case that differs, then a line for each case, as tests/steps.sh
# counts them: "ok", "FAIL" or "known"; the last line counts.
#
# Several cases run at a time, and share the ports of the host: one that differs beside others is run
# again alone, and that counts.
#
# `known` beside this file has the cases that may differ, "NAME reason" a line. One of them that does
# not differ any more, in any mode, fails: the file is to say what is so. "NAME ~ reason" is one that
# differs now and then, for what it needs is not there and time decides.
set -u
here=$(dirname "$(readlink -f "$0")")
: "${OUT:=$here/../../build/${BUILD:-release}}"
OUT=$(readlink -f "$OUT")
program=$OUT/tests/semantics/semantics
[ -x "$program" ] || { echo "run.sh: no $program: make check-semantics builds it" >&2; exit 1; }

a=127.0.0.1 b=127.0.0.2
rounds='' keep='' modes=(host client accepted mixed) cases=()
while [ $# -gt 0 ]; do
	case $1 in
	--kernel) rounds=${2:?} && shift ;;
	--under) modes=("${2:?}") && shift ;;
	--keep) keep=1 ;;
	-*) sed -n '4,22s/^# \?//p' "$0" >&2 && exit 2 ;;
	*) cases+=("$1") ;;
	esac
	shift
done
[ ${#cases[@]} -gt 0 ] || mapfile -t cases < <("$program" --list)
mapfile -t far_cases < <("$program" --list far)
[ -z "$("$program" --list | sort | uniq -d)" ] || { echo "run.sh: two cases of one name" >&2; exit 1; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/ncd-semantics.XXXXXX") || exit 1
pids=()
cleanup() {
	trap - EXIT
	trap '' INT TERM
	[ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}"; wait "${pids[@]}"; } 2>/dev/null
	if [ -n "$keep" ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM
exec {never}<> <(:)
until_true() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		read -rt .03 -u "$never"
	done
	return 0 # not what read said
}

# ---- running one case ----

is_far() { [[ " ${far_cases[*]} " == *" $1 "* ]]; }
# environment MODE - what the case is told; the same on kernel TCP and under ncd-run.
environment() {
	case $1 in
	host) echo "SEM_ADDR=$a" ;;
	client) echo "SEM_ADDR=$a SEM_FAR_ADDR=$b SEM_FAR=process" ;;
	accepted) echo "SEM_ADDR=$a SEM_FAR_ADDR=$b SEM_FAR=process SEM_NEAR=accepted" ;;
	mixed) echo "SEM_ADDR=$a SEM_FAR_ADDR=$b SEM_FAR=process SEM_FAR_PLAIN=1" ;;
	*) echo "run.sh: no mode $1" >&2; exit 2 ;;
	esac
}
# one MODE FILE CASE [RUNNER...] - what it printed, and how it ended.
one() {
	local mode=$1 file=$2 name=$3
	shift 3
	# shellcheck disable=SC2046 # several words
	{ timeout --kill-after=2 15 env $(environment "$mode") SEM_FAR_SOCKET="$dir/b.sock" \
		NCD_SOCKET="$dir/a.sock" TMPDIR="$dir" "$@" "$program" --run "$name" \
		>"$file" 2>"$file.err" </dev/null; } 2>/dev/null # what the shell says of signals
	echo "status $?" >>"$file"
}

# all MODE DIRECTORY [RUNNER] - each of the cases in `now`, several at a time: most of them wait.
all() {
	local mode=$1 where=$2 running=0 name
	shift 2
	for name in "${now[@]}"; do
		one "$mode" "$where/$name" "$name" "$@" &
		running=$((running + 1))
		if [ $running -ge 6 ]; then
			wait -n
			running=$((running - 1))
		fi
	done
	while [ $running -gt 0 ]; do
		wait -n
		running=$((running - 1))
	done
}

passed=0 failed=0 excused=0
declare -A known=() differs=() spoilt=()
while read -r name reason; do
	[[ -z "$name" || "$name" == '#'* ]] || known[$name]=$reason
done <"$here/known"

# alone MODE NAME - what differs may be another's doing: a port of a case that ended, taken again.
alone() {
	cmp -s "$dir/kernel.$1/$2" "$dir/$1/$2" && return
	[ -z "${known[$2]:-}" ] || return
	echo "again, alone: $2 ($1) differed beside others"
	diff "$dir/kernel.$1/$2" "$dir/$1/$2" | sed 's/^/    /'
	one "$1" "$dir/$1/$2" "$2" "$OUT/ncd-run"
}
# judge NAME WHERE EXPECTED GOT
judge() {
	cmp -s "$3" "$4" && return
	differs[$1]+=" $2"
	[ -z "${known[$1]:-}" ] || return
	echo "differs $1 ($2)"
	diff -U 100 "$3" "$4" | sed -e '1,3d' -e 's/^/    /'
	[ ! -s "$4.err" ] || tail -n 3 "$4.err" | sed 's/^/    stderr: /'
}
bad() {
	failed=$((failed + 1))
	echo "FAIL $*"
}
# verdict all|some - a line for each case, if all of its modes were run or some.
verdict() {
	local name
	for name in "${cases[@]}"; do
		if [ -n "${spoilt[$name]:-}" ]; then
			continue # has failed
		elif [ -z "${differs[$name]:-}" ]; then
			if [ "$1" = all ] && [ -n "${known[$name]:-}" ] && [[ ${known[$name]} != '~ '* ]]; then
				bad "$name: differs no more, but is in tests/semantics/known"
				continue
			fi
			passed=$((passed + 1))
			echo "ok $name"
		elif [ -n "${known[$name]:-}" ]; then
			excused=$((excused + 1))
			echo "known $name: ${known[$name]}"
		else
			bad "$name:${differs[$name]}"
		fi
	done
}
count() {
	echo "$passed passed, $failed failed, $excused known to differ"
	[ $failed -eq 0 ]
}
for name in "${!known[@]}"; do
	"$program" --list | grep -qx "$name" || bad "$name: in tests/semantics/known, but no case"
done

# ---- kernel TCP ----

# A case that did not come to its end on kernel TCP says nothing about ncd.
kernel() { # MODE
	local mode=$1 name
	mkdir -p "$dir/kernel.$mode"
	all "$mode" "$dir/kernel.$mode"
	for name in "${now[@]}"; do
		if ! grep -qx end "$dir/kernel.$mode/$name" ||
			grep -qE '^(waited in vain|cannot go on)' "$dir/kernel.$mode/$name"; then
			spoilt[$name]=1
			bad "$name ($mode, kernel TCP)"
			sed 's/^/    /' "$dir/kernel.$mode/$name"
		fi
	done
}
again() { # N - in any order, in every mode in turn
	local i name mode
	mkdir -p "$dir/again"
	for ((i = 2; i <= $1; i++)); do
		mode=${modes[i % ${#modes[@]}]}
		mapfile -t now < <(of_mode "$mode" | shuf)
		all "$mode" "$dir/again"
		for name in "${now[@]}"; do
			judge "$name" "$mode.$i" "$dir/kernel.$mode/$name" "$dir/again/$name"
		done
	done
}
of_mode() { # MODE - the cases that can run in it
	local name
	for name in "${cases[@]}"; do
		if [ "$1" = host ] || is_far "$name"; then echo "$name"; fi
	done
}

for mode in "${modes[@]}"; do
	mapfile -t now < <(of_mode "$mode")
	kernel "$mode"
done
if [ -n "$rounds" ]; then
	known=() # kernel TCP differs from itself nowhere
	again "$rounds"
	verdict some
	count
	exit
fi
if [ ! -x "$OUT/ncd-run" ]; then
	echo "no $OUT/ncd-run: only kernel TCP"
	verdict some
	count
	exit
fi

# ---- under ncd-run ----

host() { # NAME ADDRESS PEER PEER-ADDRESS
	cat >"$dir/$1.conf" <<-C
		[host]
		address = $2
		[daemon]
		socket = $dir/$1.sock
		[channels]
		port = $port
		[peer $3]
		address = $4
		port = $port
	C
	"$OUT/ncd" -c "$dir/$1.conf" >"$dir/$1.log" 2>&1 &
	pids+=($!)
}
channels_up() {
	[ "$("$OUT/ncd-stat" -s "$dir/$1.sock" --json channels | grep -o '"state":"up"' | wc -l)" -ge 3 ]
}
start_hosts() {
	local try
	for ((try = 0; try < 5; try++)); do
		port=$((16000 + RANDOM % 10000))
		pids=()
		host a $a b $b
		host b $b a $a
		until_true 10 channels_up a && until_true 10 channels_up b && return
		kill "${pids[@]}" 2>/dev/null
		wait "${pids[@]}" 2>/dev/null
	done
	echo "run.sh: the two daemons did not connect" >&2
	tail -n 5 "$dir"/*.log >&2
	exit 1
}

start_hosts
for mode in "${modes[@]}"; do
	mkdir -p "$dir/$mode"
	mapfile -t now < <(of_mode "$mode")
	all "$mode" "$dir/$mode" "$OUT/ncd-run"
	for name in "${now[@]}"; do
		alone "$mode" "$name"
		judge "$name" "$mode" "$dir/kernel.$mode/$name" "$dir/$mode/$name"
	done
done
verdict "$([ ${#modes[@]} -eq 4 ] && echo all || echo some)"
# Without daemons, or past them, everything would be as on kernel TCP.
if ! kill -0 "${pids[@]}" 2>/dev/null; then
	bad "an ncd ended before the cases did"
	tail -n 5 "$dir"/*.log
fi
if ! "$OUT/ncd-stat" -s "$dir/a.sock" --json | grep -q '"attach_accepted":[1-9]'; then
	bad "no case attached to its ncd"
fi
count
