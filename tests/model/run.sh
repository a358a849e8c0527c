#!/bin/bash
# run.sh - checks the models with spin: each model must hold, each mutant of it must fail. A mutant
# that passes means that the model does not see what it is there to see.
set -u
cd "$(dirname "$0")" || exit 1
model=$PWD/doorbell.pml
for tool in spin gcc; do
	command -v "$tool" >/dev/null || { echo "skip model: $tool is not installed"; exit 77; }
done
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
failed=0

# verify NAME held|found DEFINES... - runs the whole search and compares what it says.
verify() {
	local name=$1 want=$2 got states
	shift 2
	if ! spin -a "$@" "$model" >spin.log 2>&1 || ! gcc -O2 -w -DSAFETY -DVECTORSZ=256 -o pan pan.c; then
		echo "FAIL model $name: does not build"
		cat spin.log
		failed=1
		return
	fi
	timeout 120 ./pan -m100000 -w22 >pan.log 2>&1
	case $(cat pan.log) in
	*"max search depth too small"* | *"out of memory"*) got=incomplete ;;
	*"errors: 0"*) got=held ;;
	*"errors: "*) got=found ;;
	*) got=incomplete ;;
	esac
	states=$(awk '/states, stored/ { print $1 }' pan.log)
	if [ "$got" = "$want" ]; then
		echo "ok   model $name: $got, $states states"
	else
		echo "FAIL model $name: $got instead of $want"
		tail -n 40 pan.log
		failed=1
	fi
}

verify doorbell held -DDOORBELL
verify kick held -DKICK
verify notify held -DNOTIFY
verify notify-same held -DNOTIFY -DSAME
verify share held -DSHARE
for m in 1 2 3 4 5 6; do verify "doorbell-mutant-$m" found -DDOORBELL -DMUTANT=$m; done
for m in 1 2 3; do verify "kick-mutant-$m" found -DKICK -DMUTANT=$m; done
for m in 1 2 3 4 5; do verify "notify-mutant-$m" found -DNOTIFY -DMUTANT=$m; done
for m in 1 2 3 4; do verify "share-mutant-$m" found -DSHARE -DMUTANT=$m; done
model=${model%/*}/piece.pml
verify piece held
for m in 1 2 3 4 5 6; do verify "piece-mutant-$m" found -DMUTANT=$m; done
model=${model%/*}/lock.pml
verify lock held
for m in 1 2 3 4 5; do verify "lock-mutant-$m" found -DMUTANT=$m; done
exit $failed
