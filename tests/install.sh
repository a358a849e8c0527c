#!/bin/bash
# install.sh - make install puts in place what a program, an operator and systemd need; make
# uninstall takes it away and leaves a config that somebody changed.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${OUT:=build/release}"
root=$(mktemp -d) || exit 1
trap 'rm -rf "$root"' EXIT
failed=0
check() {
	local what=$1
	shift
	if "$@" >"$root/log" 2>&1; then
		echo "ok   install: $what"
	else
		echo "FAIL install: $what"
		sed 's/^/     /' "$root/log"
		failed=1
	fi
}
d=$root/destination
put() { make -s --no-print-directory "OUT=$OUT" "DESTDIR=$d" PREFIX=/usr "$1"; }
files() { find "$d" ! -type d -printf '%P\n' | sort; }

there() {
	local f
	for f in usr/sbin/ncd usr/bin/ncd-stat usr/bin/ncd-cat usr/bin/ncd-perf \
		usr/bin/ncd-run usr/lib/ncd/libncpreload.so usr/share/man/man1/ncd-run.1 \
		usr/include/ncclient.h usr/lib/libncclient.a usr/lib/pkgconfig/ncclient.pc \
		usr/lib/systemd/system/ncd.service usr/lib/systemd/system/ncd.socket \
		usr/lib/sysusers.d/ncd.conf etc/ncd.conf usr/share/man/man1/ncd-stat.1 \
		usr/share/man/man8/ncd.8 usr/share/man/man5/ncd.conf.5; do
		[ -f "$d/$f" ] || { echo "missing: $f"; return 1; }
	done
	[ -L "$d/usr/lib/libncclient.so" ] && [ -L "$d/usr/lib/libncclient.so.0" ]
}

substituted() {
	! grep -r '@[A-Z]*@' "$d/usr/lib/systemd" "$d/usr/lib/pkgconfig" &&
		grep -q '^ExecStart=/usr/sbin/ncd -c /etc/ncd.conf$' \
			"$d/usr/lib/systemd/system/ncd.service"
}

only_header() { [ "$(ls "$d/usr/include")" = ncclient.h ]; }

# A program against what was installed, found by pkg-config alone, as somebody else would build it.
program() {
	local flags
	cat >"$root/p.c" <<-'C'
		#include <ncclient.h>
		#include <stdio.h>
		int main(void) { return puts(nc_version()) == EOF; }
	C
	cp "$root/p.c" "$root/p.cc"
	export PKG_CONFIG_PATH=$d/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$d
	flags=$(PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		pkg-config --cflags --libs ncclient) || return 1
	# shellcheck disable=SC2086 # flags are words
	gcc -Wall -Werror -pedantic -std=c11 "$root/p.c" $flags -o "$root/p" || return 1
	[ "$(LD_LIBRARY_PATH=$d/usr/lib "$root/p")" = "$(pkg-config --modversion ncclient)" ] ||
		return 1
	readelf -d "$root/p" | grep -q 'NEEDED.*libncclient.so.0' || return 1
	if command -v g++ >/dev/null; then
		# shellcheck disable=SC2086
		g++ -Wall -Werror -pedantic "$root/p.cc" $flags -o "$root/pp" || return 1
	fi
}

# synopsis PAGE... - what the pages declare, as C.
synopsis() {
	awk '/^\.Sh /{ inside = $2 == "SYNOPSIS" }
		inside && /^\.Ft / { sub(/^\.Ft /, ""); gsub(/"/, ""); type = $0 }
		inside && /^\.Fn / {
			name = $2; sub(/^\.Fn [^ ]+ ?/, ""); gsub(/" "/, ", "); gsub(/"/, "")
			print type " " name "(" ($0 == "" ? "void" : $0) ");"
		}' "$@"
}
# example PAGE - its first.
example() {
	awk '/^\.Sh EXAMPLES/ { inside = 1 } inside && /^\.Ed/ { exit } shown
		inside && /^\.Bd/ { shown = 1 }' "$1" | sed 's/\\e/\\/g'
}
# The pages declare what the header does, and all that the library exports.
pages() {
	local m=$d/usr/share/man i=$d/usr/include
	synopsis "$m"/man3/nc_*.3 >"$root/declared" || return 1
	{ echo '#include <ncclient.h>' && cat "$root/declared"; } >"$root/s.c"
	gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$i" -fsyntax-only "$root/s.c" || return 1
	diff <(grep -o 'nc_[a-z0-9_]*(' "$root/declared" | sort -u) \
		<(nm -D --defined-only "$d/usr/lib/libncclient.so" |
			awk '$3 ~ /^nc_/ { sub(/@.*/, "", $3); print $3 "(" }' | sort -u) || return 1
	example "$m/man7/ncclient.7" >"$root/e.c"
	grep -q nc_connect "$root/e.c" || return 1
	gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$i" -L"$d/usr/lib" "$root/e.c" -lncclient \
		-o "$root/e" || return 1
	if command -v g++ >/dev/null; then
		{ echo '#include <ncclient.h>' && echo 'extern "C" {' && cat "$root/declared" && echo '}'; } \
			>"$root/s.cc"
		g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -I"$i" -fsyntax-only "$root/s.cc"
	fi
}

# What ncd-run loads is where no program finds it by itself, and ncd-run finds it where it is put.
preloaded() {
	! ls "$d"/usr/lib/libncpreload* 2>/dev/null || return 1
	LC_ALL=C NCD_SOCKET="$root/none" "$d/usr/bin/ncd-run" env 2>"$root/said" |
		grep -qx "LD_PRELOAD=$d/usr/lib/ncd/libncpreload.so" || { cat "$root/said"; return 1; }
	readelf -dW "$d/usr/lib/ncd/libncpreload.so" | grep -q 'FLAGS.*NOW' || return 1
	! readelf -lW "$d/usr/lib/ncd/libncpreload.so" | grep GNU_STACK | grep -qE "RWE|RWX"
}

exports() {
	local other
	other=$(nm -D --defined-only "$d/usr/lib/libncclient.so" |
		awk '$2 != "A" { sub(/@.*/, "", $3); if ($3 !~ /^nc_/) print $3 }')
	[ -z "$other" ] || { echo "exported besides nc_*: $other"; return 1; }
	nm -D --defined-only "$d/usr/lib/libncclient.so" | grep -q ' nc_send@@'
}

config_is_good() { "$d/usr/sbin/ncd" -t -c "$d/etc/ncd.conf"; }

config_stays() {
	echo '# changed' >>"$d/etc/ncd.conf" && put install && tail -n 1 "$d/etc/ncd.conf" | grep -q changed
}

leaves_changed_config() { put uninstall && [ "$(files)" = etc/ncd.conf ]; }

leaves_nothing() { rm "$d/etc/ncd.conf" && put install && put uninstall && [ -z "$(files)" ]; }

check "make install" put install
check "everything is in its place" there
check "paths in units and ncclient.pc are substituted" substituted
check "only the public header is installed" only_header
check "a program builds and runs with pkg-config" program
check "man pages declare what there is, and their example builds" pages
check "ncd-run finds its library, outside the default path, bound and with no executable stack" preloaded
check "the library exports nc_* with a version and nothing else" exports
check "the installed config is accepted by ncd -t" config_is_good
check "a changed config survives install" config_stays
check "a changed config survives uninstall" leaves_changed_config
check "uninstall leaves nothing" leaves_nothing
exit $failed
