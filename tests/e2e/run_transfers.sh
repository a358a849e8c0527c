#!/bin/bash
# run_transfers.sh - programs that move files under ncd-run: git, rsync, FTP; each as server and as
# client, with the other side under ncd-run too, or plain.
. "$(dirname "$(readlink -f "$0")")/programs.sh"

# each_way PORT FETCH COMMAND... - the server that COMMAND is, on "there"; then the function FETCH,
# which gets "here" by what $by says; in all ways.
each_way() {
	local way p=$1 fetch=$2 server
	shift 2
	for way in "${ways[@]}"; do
		side "${way% *}"
		background there server "${by[@]}" "$@"
		server=$job
		expect 10 tcp_listens there "$p"
		: >"$dir/client.log"
		side "${way#* }"
		"$fetch"
		through "$way" client server
		end_job "$server"
	done
	expect_empty 5
}
# client COMMAND... - runs it here as $by says.
client() {
	(on here "${limit[@]}" "${by[@]}" "$@" >>"$dir/client.log" 2>&1 </dev/null) ||
		fail "$1 ended with status $?"
}

# Many small files and a large one: $dir/tree, and its place at the server.
tree() {
	mkdir -p "$dir/tree/small"
	local i
	for i in {1..200}; do echo "$i $RANDOM" >"$dir/tree/small/$i"; done
	random_file 30000000 tree/large
}
same_tree() { diff -rq --exclude .git "$dir/tree" "$1" || fail "$1 is not the tree"; }

# A daemon with a process for each connection; and a push, in which both send at once.
fetch_git() {
	local url=git://${address[there]}:8501/tree.git
	rm -rf "$dir/clone"
	client git clone -q "$url" "$dir/clone"
	same_tree "$dir/clone"
	random_file 3000000 clone/more
	(cd "$dir/clone" && git add more && git commit -qm more) || fail "git commit"
	client git -C "$dir/clone" push -q "$url" HEAD:refs/heads/more --force
	[ "$(git -C "$dir/tree.git" rev-parse more)" = "$(git -C "$dir/clone" rev-parse HEAD)" ] ||
		fail "the push has not arrived"
}
case_run_git() {
	needs git
	# The machine's and the user's own configurations stay out of it.
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
	both
	tree
	(cd "$dir/tree" && git init -q && git add . && git commit -qm all &&
		git clone -q --bare . ../tree.git) >"$dir/git.log" 2>&1 || fail "no repository"
	each_way 8501 fetch_git git daemon --reuseaddr --listen="${address[there]}" --port=8501 \
		--base-path="$dir" --export-all --enable=receive-pack
}

# Two processes use its connection: one receives, the other asks.
fetch_rsync() {
	local url=rsync://${address[there]}:8502/here
	rm -rf "$dir/got" "$dir/put"
	mkdir "$dir/got" "$dir/put"
	client rsync -a "$url/tree/" "$dir/got/"
	same_tree "$dir/got"
	client rsync -a "$dir/tree/" "$url/put/"
	same_tree "$dir/put"
}
case_run_rsync() {
	needs rsync
	both
	tree
	cat >"$dir/rsyncd.conf" <<-C
		use chroot = no
		$([ "$(id -u)" -ne 0 ] || printf 'uid = 0\ngid = 0')
		[here]
		path = $dir
		read only = no
	C
	each_way 8502 fetch_rsync rsync --daemon --no-detach --config="$dir/rsyncd.conf" --port=8502 \
		--address="${address[there]}"
}

# A process for each session, made by syscall(2), in a process namespace of its own; a connection for
# each file, which either side opens.
fetch_ftp() {
	local from
	for from in --ftp-pasv --ftp-port=-; do
		rm -f "$dir/got"
		# shellcheck disable=SC2086 # an option and its value
		client curl -sS ${from/=/ } "ftp://${address[there]}:8503/large" -o "$dir/got"
		same tree/large got
	done
}
case_run_vsftpd() { # quick
	needs vsftpd
	needs curl
	[ "$(id -u)" -eq 0 ] || skip "vsftpd needs root"
	both
	tree
	mkdir "$dir/empty"
	cat >"$dir/vsftpd.conf" <<-C
		listen=YES
		listen_address=${address[there]}
		listen_port=8503
		background=NO
		run_as_launching_user=YES
		anonymous_enable=YES
		no_anon_password=YES
		anon_root=$dir/tree
		secure_chroot_dir=$dir/empty
		seccomp_sandbox=NO
	C
	each_way 8503 fetch_ftp vsftpd "$dir/vsftpd.conf"
}

run_case "$@"
