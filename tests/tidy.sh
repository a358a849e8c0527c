#!/bin/bash
# tidy.sh - the house rules that a machine can check. Prints file:line: rule; exits 1 if there is any.
# Usage: tests/tidy.sh [FILE...]   (default: every tracked file)
set -u
cd "$(dirname "$0")/.." || exit 1
if (($# > 0)); then
	mapfile -t all < <(printf '%s\n' "$@")
elif git rev-parse --git-dir >/dev/null 2>&1; then
	mapfile -t all < <(git ls-files)
else
	mapfile -t all < <(find . -path ./build -prune -o -type f -print | sed 's|^\./||')
fi
c=() scripts=() text=()
for f in "${all[@]}"; do
	[ -f "$f" ] || continue # removed, not yet committed
	case $f in
	*.c | *.h) c+=("$f") ;;
	*.sh | .ci/*) scripts+=("$f") ;;
	esac
	case $f in
	tests/fuzz/corpus/*) ;;
	*) text+=("$f") ;;
	esac
done
bad=0

awk -v line_max=100 -v file_max=800 -v fn_max=70 '
function bad(rule) { printf "%s:%d: %s\n", FILENAME, FNR, rule; n++ }
function width(s,   i, w) {
	if (s !~ /\t/) return length(s)
	for (i = 1; i <= length(s); i++) w += substr(s, i, 1) == "\t" ? 8 - w % 8 : 1
	return w
}
FNR == 1 { head = ""; in_fn = 0; in_comment = 0; r1 = r2 = r3 = ""; here = FILENAME ~ /include\/ncd\// }
FNR <= 40 { head = head $0 "\n" }
FNR == 1 && !/^\/\* SPDX-License-Identifier: MIT \*\/$/ { bad("first line must be the SPDX tag") }
FNR == 2 && !/^\/\*/ { bad("the file must open with its purpose") }
FNR == 40 && here && head !~ /Ownership:/ { bad("header lacks Ownership:") }
FNR == 40 && here && head !~ /Threading:/ { bad("header lacks Threading:") }
width($0) > line_max { bad("line over " line_max " columns") }
FNR == file_max + 1 { bad("file over " file_max " lines: two nouns?") }
/[ \t]+$/ { bad("trailing blanks") }
/^    / && !in_comment { bad("indent with tabs") }
/^\{/ { in_fn = FNR }
/^\}/ { if (in_fn && FNR - in_fn - 1 > fn_max) bad("function over " fn_max " lines"); in_fn = 0 }
{
	code = $0
	gsub(/"([^"\\]|\\.)*"/, "\"\"", code)      # what strings and comments say is no code
	gsub(/\/\*([^*]|\*[^\/])*\*\//, "", code)
	if (in_comment) {
		if (code ~ /\*\//) { sub(/^.*\*\//, "", code); in_comment = 0 } else code = ""
	} else if (code ~ /\/\*/) { sub(/\/\*.*$/, "", code); in_comment = 1 }
}
code ~ /(^|[^A-Za-z0-9_.>])(strcat|sprintf|vsprintf|gets|atoi|atol|alloca|usleep|sleep|atomic_thread_fence)[ \t]*\(/ \
	{ bad("banned call") }
code ~ /(^|[^A-Za-z0-9_])(strcpy)[ \t]*\(/ && FILENAME !~ /^tests\// { bad("banned call") }
code ~ /(^|[^A-Za-z0-9_])__sync_/ { bad("C11 atomics only") }
code ~ /^[ \t]*\/\// { bad("use /* */; commented-out code is deleted, not kept") }
code ~ /^#[ \t]*if 0/ { bad("dead code") }
code ~ /^typedef struct/ { bad("struct x without typedef") }
FILENAME ~ /\.h$/ && code ~ /^extern [^(]*;/ && code !~ /const/ { bad("no global variables in headers") }
code ~ /^static [^()]*[=;]/ && code !~ /const|_Static_assert|_Thread_local/ && ($0 r1) !~ /Global:/ {
	bad("mutable global; if it must be, a comment says \"Global: why\"")
}
code ~ /memory_order_(acquire|release|acq_rel|seq_cst)/ &&
	(r4 "\n" r3 "\n" r2 "\n" r1 "\n" $0) !~ /\/\* [A-Z][A-Z][A-Z]+[^*]* end/ {
	bad("ordered atomic without a named edge comment")
}
{ r4 = r3; r3 = r2; r2 = r1; r1 = $0 }
END { exit n > 0 }
' "${c[@]}" /dev/null || bad=1

for f in "${all[@]}"; do
	case ${f##*/} in
	*util* | common.* | *_common.* | misc.* | *helper*)
		echo "$f:1: a name that says nothing"
		bad=1
		;;
	*.orig | *.rej | *~)
		[ ! -f "$f" ] && continue
		echo "$f:1: what patch(1), a merge or an editor left behind"
		bad=1
		;;
	esac
done

rule() {
	local what=$1 pattern=$2 hits
	shift 2
	[ $# -gt 0 ] || return 0
	hits=$(grep -InE -- "$pattern" "$@" /dev/null | grep -v '^tests/tidy.sh:' | sed "s|\$|   <- $what|")
	[ -z "$hits" ] && return 0
	printf '%s\n' "$hits"
	bad=1
}
rule "unfinished work" '\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b|not implemente[d]' "${c[@]}" "${scripts[@]}"
rule "a path of one machine" '(^|[^[:alnum:]_.])(/[w]ork/|/home/[a-z]|/root/)' "${text[@]}"
mapfile -t test_scripts < <(printf '%s\n' "${scripts[@]}" | grep '^tests/')
rule "a fixed sleep: wait for the condition" '(^|[;&|[:space:]])sleep [0-9]' "${test_scripts[@]}"

for s in "${scripts[@]}"; do
	if [ "$(sed -n 1p "$s")" != '#!/bin/bash' ] || ! sed -n 2p "$s" | grep -q "^# .*${s##*/}"; then
		echo "$s:1: a script opens with #!/bin/bash and, in its second line, '# name - purpose'"
		bad=1
	fi
done
# Excluded: what it cannot know of a script that is sourced by others.
if command -v shellcheck >/dev/null && [ ${#scripts[@]} -gt 0 ]; then
	shellcheck -x -S warning -e SC2154,SC2034,SC2120 -f gcc "${scripts[@]}" || bad=1
fi
[ $bad -eq 0 ] && echo "tidy: ${#c[@]} C files and ${#scripts[@]} scripts keep the house rules"
exit $bad
