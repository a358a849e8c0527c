/* SPDX-License-Identifier: MIT */
/*
 * fork.c - fork(2), exec, and descriptors that other processes get.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

extern char **environ;

static void ended(pid_t child)
{
	int status = 0;

	(void)waitpid(child, &status, 0);
	fact("child: exited %d status %d", !!WIFEXITED(status), WEXITSTATUS(status));
}

static void fork_child_exit_keeps_the_connection(void)
{
	struct ends e = ends_open();
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	ended(child);
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
	fact_ready(e.c);
}

static void fork_child_close_keeps_the_connection(void)
{
	struct ends e = ends_open();
	pid_t child = fork();

	if (child == 0)
		_exit(close(e.c) == 0 && close(e.s) == 0 ? 0 : 1);
	ended(child);
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

static void fork_child_has_sockets_of_its_own(void)
{
	struct ends mine = ends_open();
	pid_t child = fork();

	if (child == 0) {
		struct ends e = ends_open();
		char c = 0;

		_exit(send(e.c, "z", 1, 0) == 1 && recv(e.s, &c, 1, 0) == 1 && c == 'z' ? 0 : 1);
	}
	ended(child);
	CALL(send(mine.c, "a", 1, 0));
	CALL(recv(mine.s, &(char){ 0 }, 1, 0));
}

static void fork_child_goes_on_with_a_connection(void)
{
	struct ends e = ends_open();
	char buf[8];
	pid_t child = fork();

	if (child == 0) {
		(void)close(e.s);
		_exit(send(e.c, "child", 5, 0) == 5 ? 0 : 1);
	}
	(void)close(e.c); /* the child's from now on */
	fact_bytes("recv", recv(e.s, buf, 5, MSG_WAITALL), buf);
	ended(child);
	CALL(recv(e.s, buf, 1, 0));
}

static void fork_server_child_answers(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s = accept(l, NULL, NULL);
	char buf[8];
	pid_t child = fork();

	if (child == 0) {
		ssize_t n = recv(s, buf, 4, MSG_WAITALL);

		_exit(n == 4 && send(s, buf, 4, 0) == 4 ? 0 : 1);
	}
	(void)close(s); /* the child's from now on */
	CALL(send(c, "ping", 4, 0));
	fact_bytes("recv", recv(c, buf, 4, MSG_WAITALL), buf);
	ended(child);
	CALL(recv(c, buf, 1, 0));
}

static void fork_children_accept(void)
{
	uint16_t port;
	int l = listener_open(&port), got = 0;
	pid_t children[2];

	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			int s = accept(l, NULL, NULL);

			_exit(s >= 0 && send(s, "x", 1, 0) == 1 ? 0 : 1);
		}
	}
	for (int i = 0; i < 2; i++)
		got += recv(client_open(port), &(char){ 0 }, 1, 0) == 1;
	fact("got %d", got);
	for (int i = 0; i < 2; i++)
		ended(children[i]);
}

static void fork_the_end_comes_when_both_have_closed(void)
{
	struct ends e = ends_open();
	int hold[2];
	pid_t child;

	(void)!pipe(hold);
	child = fork();
	if (child == 0) {
		(void)close(hold[1]);
		(void)!read(hold[0], &(char){ 0 }, 1); /* until the parent lets go */
		_exit(0);
	}
	CALL(close(e.c));
	fact_poll(e.s, POLLIN, 50);
	(void)close(hold[1]);
	ended(child);
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

static void fork_shutdown_in_the_child_is_for_both(void)
{
	struct ends e = ends_open();
	pid_t child = fork();

	if (child == 0)
		_exit(shutdown(e.c, SHUT_WR) == 0 ? 0 : 1);
	ended(child);
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
	CALL(send(e.c, "a", 1, MSG_NOSIGNAL));
}

/* Runs a shell command with the socket as its standard input and output. Returns the child. */
static pid_t spawn(int fd, const char *command)
{
	char sh[] = "sh", c[] = "-c", text[128];
	char *argv[] = { sh, c, text, NULL };
	posix_spawn_file_actions_t actions;
	pid_t child = -1;

	(void)snprintf(text, sizeof(text), "%s", command);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	CALL(posix_spawn(&child, "/bin/sh", &actions, NULL, argv, environ));
	(void)posix_spawn_file_actions_destroy(&actions);
	return child;
}

static void exec_program_writes_to_the_socket(void)
{
	struct ends e = ends_open();
	pid_t child = spawn(e.c, "echo hi");
	char buf[4];

	ended(child);
	fact_poll(e.s, POLLIN, 2000);
	fact("hi %d", recv(e.s, buf, 3, MSG_DONTWAIT) == 3 && memcmp(buf, "hi\n", 3) == 0);
}

static void exec_program_reads_from_the_socket(void)
{
	struct ends e = ends_open();
	char buf[8];
	pid_t child;

	CALL(send(e.s, "line\n", 5, 0));
	CALL(shutdown(e.s, SHUT_WR));
	wait_bytes(e.c, 5);
	child = spawn(e.c, "timeout 5 cat");
	ended(child);
	fact_poll(e.s, POLLIN, 2000);
	fact("back %d", recv(e.s, buf, 5, MSG_DONTWAIT) == 5 && memcmp(buf, "line\n", 5) == 0);
}

static void exec_closes_what_shall_be_closed(void)
{
	struct ends e = ends_open();
	char command[64];
	int status = -1;

	(void)fcntl(e.c, F_SETFD, FD_CLOEXEC);
	(void)snprintf(command, sizeof(command), "test ! -e /proc/self/fd/%d", e.c);
	status = system(command);
	fact("closed %d", WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

static void exec_beside_a_connection(void)
{
	struct ends e = ends_open();
	int status = system("exit 3");
	FILE *f = popen("echo out", "r");
	char line[8] = "";

	fact("system %d", WEXITSTATUS(status));
	fact("popen %d", f && fgets(line, sizeof(line), f) && strcmp(line, "out\n") == 0);
	CALL(pclose(f));
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

static void pass_descriptor_over_a_unix_socket(void)
{
	struct ends e = ends_open();
	int u[2], got = -1;

	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, u));
	CALL(rights_send(u[0], e.c));
	CALL(rights_receive(u[1], &got));
	fact("new number %d", got >= 0 && got != e.c);
	CALL(close(e.c));
	CALL(send(got, "x", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
	CALL(close(got));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

/* A child that connects, makes a child of its own, and is killed. */
static void killed_parent(uint16_t port)
{
	int c = client_open(port), lives[2];

	(void)!pipe(lives);
	if (fork() == 0) {
		(void)close(lives[1]);
		(void)!read(lives[0], &(char){ 0 }, 1); /* until it is dead */
		_exit(send(c, "after", 5, 0) == 5 ? 0 : 1);
	}
	(void)!send(c, "before ", 7, 0);
	(void)raise(SIGKILL);
}

static void fork_a_killed_parent_leaves_it_to_the_child(void)
{
	uint16_t port;
	int l = listener_open(&port), s;
	char buf[16];
	pid_t child = fork();

	if (child == 0) {
		killed_parent(port);
		_exit(1);
	}
	s = accept(l, NULL, NULL);
	fact_bytes("recv", recv(s, buf, 12, MSG_WAITALL), buf);
	CALL(recv(s, buf, 1, 0));
	(void)waitpid(child, NULL, 0);
}

static void fork_parent_and_child_take_turns(void)
{
	struct ends e = ends_open();
	int u[2];
	char buf[8] = "";
	pid_t child;

	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, u);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 20; i++) {
			if (read(u[1], buf, 1) != 1 || recv(e.c, buf, 3, MSG_WAITALL) != 3 ||
			    send(e.c, buf, 3, 0) != 3 || write(u[1], buf, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < 20; i++) {
		(void)!send(e.s, "abcdef", 6, 0);
		fact_bytes("mine", recv(e.c, buf, 3, MSG_WAITALL), buf);
		(void)!write(u[0], buf, 1);
		(void)!read(u[0], buf, 1);
		fact_bytes("the child's", recv(e.s, buf, 3, MSG_WAITALL), buf);
	}
	ended(child);
}

static void fork_the_parent_waits_while_the_child_has_it(void)
{
	struct ends e = ends_open();
	int u[2];
	char buf[8] = "";
	pid_t child;

	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, u);
	child = fork();
	if (child == 0) {
		if (send(e.c, "c", 1, 0) != 1 || write(u[1], "c", 1) != 1)
			_exit(1);
		(void)!read(u[1], buf, 1); /* until the parent is done */
		_exit(0);
	}
	(void)!read(u[0], buf, 1);
	fact_poll(e.c, POLLIN, 20);
	CALL(recv(e.s, buf, 1, 0));
	(void)!send(e.s, "to you", 6, 0);
	fact_poll(e.c, POLLIN, 2000);
	fact_bytes("recv", recv(e.c, buf, 6, MSG_WAITALL), buf);
	CALL(shutdown(e.s, SHUT_WR));
	CALL(recv(e.c, buf, 1, 0));
	(void)!write(u[0], buf, 1);
	ended(child);
}

static void fork_epoll_of_the_parent_is_told(void)
{
	struct ends e = ends_open();
	int epfd = epoll_create1(0), u[2];
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = e.c };
	char buf[8] = "";
	pid_t child;

	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, u);
	CALL(epoll_ctl(epfd, EPOLL_CTL_ADD, e.c, &ev));
	child = fork();
	if (child == 0)
		_exit(send(e.c, "c", 1, 0) == 1 ? 0 : 1);
	CALL(recv(e.s, buf, 1, 0));
	ended(child);
	(void)!send(e.s, "to you", 6, 0);
	fact("ready %d", epoll_wait(epfd, &ev, 1, 2000));
	fact_bytes("recv", recv(e.c, buf, 6, MSG_WAITALL), buf);
	fact("ready %d", epoll_wait(epfd, &ev, 1, 0));
}

const struct sem_case cases_fork[] = {
	CASE(fork_child_exit_keeps_the_connection),
	CASE(fork_child_close_keeps_the_connection),
	CASE(fork_child_has_sockets_of_its_own),
	CASE(fork_child_goes_on_with_a_connection),
	CASE(fork_server_child_answers),
	CASE(fork_children_accept),
	CASE(fork_the_end_comes_when_both_have_closed),
	CASE(fork_shutdown_in_the_child_is_for_both),
	CASE(fork_a_killed_parent_leaves_it_to_the_child),
	CASE(fork_parent_and_child_take_turns),
	CASE(fork_the_parent_waits_while_the_child_has_it),
	CASE(fork_epoll_of_the_parent_is_told),
	CASE(exec_program_writes_to_the_socket),
	CASE(exec_program_reads_from_the_socket),
	CASE(exec_closes_what_shall_be_closed),
	CASE(exec_beside_a_connection),
	CASE(pass_descriptor_over_a_unix_socket),
	CASES_END,
};
