#!/bin/bash
# systemd.sh - ncd as a service of a really booted systemd: start, status, traffic, reload, a worker
# that hangs, restart, stop. Boots systemd-nspawn on an overlay of / after make install; the machine's
# own files are not touched, the container has no network but its loopback, and nothing outlives this.
# Exits 77 where that cannot be done. Prints systemd-analyze's verdict on the units.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${OUT:=build/release}"
skip() { echo "skip systemd: $*"; exit 77; }

[ "$(id -u)" -eq 0 ] || skip "needs root"
for tool in systemd-nspawn systemd-analyze unshare gcc; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
# Mounts made in here end with this process, however it ends.
[ "${1:-}" = inside ] || exec unshare --mount --propagation private "$0" inside

dir=$(mktemp -d) || exit 1
trap 'umount -R "$dir/root" "$dir" 2>/dev/null; rmdir "$dir"' EXIT
mount -t tmpfs -o mode=755 tmpfs "$dir" || skip "cannot mount a tmpfs"
mkdir "$dir/root" "$dir/upper" "$dir/work"
mount -t overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/root" ||
	skip "cannot mount an overlay of /"
root=$dir/root

make -s --no-print-directory "OUT=$OUT" "DESTDIR=$root" install >"$dir/install.log" 2>&1 || {
	cat "$dir/install.log"
	echo "FAIL systemd: make install"
	exit 1
}
gcc -O1 -Wall -D_GNU_SOURCE -o "$root/stop_thread" tests/e2e/stop_thread.c || exit 1
cp tests/e2e/systemd-inside.sh "$root/systemd-inside.sh"
printf '[host]\naddress = 127.0.0.1\n' >"$root/etc/ncd.conf"
units=$root/etc/systemd/system
mkdir -p "$units/ncd.service.d"
# The watchdog of the unit as it is shipped is slower than a test wants to be.
printf '[Service]\nWatchdogSec=3s\n' >"$units/ncd.service.d/test.conf"
cat >"$units/ncd-test.target" <<-'U'
	[Unit]
	Requires=basic.target ncd-test.service
U
cat >"$units/ncd-test.service" <<-'U'
	[Unit]
	After=basic.target
	SuccessAction=exit
	FailureAction=exit
	[Service]
	Type=oneshot
	ExecStart=/bin/bash /systemd-inside.sh
	StandardOutput=file:/ncd-test.out
	StandardError=inherit
U
ldconfig -r "$root" 2>/dev/null

timeout --kill-after=15 150 systemd-nspawn --quiet --directory="$root" --boot --machine="ncd-test-$$" \
	--keep-unit --register=no --private-network --link-journal=no --console=pipe \
	systemd.unit=ncd-test.target >"$dir/console" 2>&1 </dev/null
status=$?
if [ ! -s "$root/ncd-test.out" ]; then
	tail -n 30 "$dir/console"
	grep -q 'Welcome to' "$dir/console" || skip "systemd-nspawn does not boot here"
	echo "FAIL systemd: booted, but the test inside said nothing (status $status)"
	exit 1
fi
cat "$root/ncd-test.out"
grep -q '^done$' "$root/ncd-test.out" || { echo "FAIL systemd: the test inside did not end"; exit 1; }
! grep -q '^FAIL ' "$root/ncd-test.out"
