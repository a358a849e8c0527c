#!/bin/bash
# deps.sh - .ci/deps asks for what is missing and for nothing else, and says how where it may not.
# dpkg-query, apt-get, id and sudo are fakes in front of the real ones: nothing is installed.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$(mktemp -d) || exit 1
trap 'rm -rf "$root"' EXIT
mkdir "$root/bin" || exit 1
failed=0

# fake NAME - an executable with the body that comes on stdin. Without it the real one would be run.
fake() {
	{ printf '#!/bin/bash\n' && cat; } >"$root/bin/$1" && chmod +x "$root/bin/$1" || exit 1
}
# "gone" was removed and left its config: dpkg-query knows it, and ends well. "both" is so of another
# architecture, and installed of ours.
fake dpkg-query <<-'BODY'
	for package; do :; done
	case $package in
	here | there) printf 'installed ' ;;
	gone) printf 'not-installed ' ;;
	both) printf 'not-installed installed ' ;;
	*) echo "dpkg-query: no packages found matching $package" >&2; exit 1 ;;
	esac
BODY
fake apt-get <<-BODY
	echo "\$*" >>"$root/asked"
	[ ! -e "$root/broken" ]
BODY
fake id <<-'BODY'
	echo "$FAKE_UID"
BODY
fake sudo <<-'BODY'
	[ -n "$FAKE_SUDO" ] || exit 1
	[ "$1" != -n ] || shift
	exec "$@"
BODY

# deps UID SUDO PACKAGE... - what it said is in "said", its questions to apt-get in "asked".
deps() {
	: >"$root/asked"
	FAKE_UID=$1 FAKE_SUDO=$2 PATH=$root/bin:$PATH .ci/deps "${@:3}" >"$root/said" 2>&1
}
asked() { grep -qE "(^| )install .*-recommends $1\$" "$root/asked"; }
asked_nothing() { [ ! -s "$root/asked" ]; }
said() { grep -qxF -- "$1" "$root/said"; }

nothing_missing() { deps 0 '' here both there && asked_nothing && [ ! -s "$root/said" ]; }
root_installs() { deps 0 '' here gone unheard-of there && asked 'gone unheard-of'; }
sudo_installs() { deps 1000 1 here gone && asked gone; }
others_are_told() {
	! deps 1000 '' here gone unheard-of && asked_nothing &&
		said '  sudo apt-get install gone unheard-of'
}
failure_is_told() {
	: >"$root/broken"
	! deps 0 '' gone && grep -q ' update$' "$root/asked" &&
		said '  sudo apt-get update && sudo apt-get install gone'
}

check() {
	if "$2"; then
		echo "ok   deps: $1"
	else
		echo "FAIL deps: $1"
		sed 's/^/     /' "$root/said" "$root/asked"
		failed=1
	fi
}
check "what is installed is not asked for" nothing_missing
check "root installs what is missing, removed packages too" root_installs
check "sudo without a password does as well" sudo_installs
check "without root and sudo the one command is printed" others_are_told
check "lists are read anew before it gives up" failure_is_told
exit $failed
