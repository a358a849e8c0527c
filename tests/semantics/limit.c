/* SPDX-License-Identifier: MIT */
/*
 * limit.c - RLIMIT_NOFILE: what a program may have of descriptors, is told of it, and hands on.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

static void set(rlim_t cur, rlim_t max)
{
	struct rlimit r = { cur, max };

	CALL(setrlimit(RLIMIT_NOFILE, &r));
}

static void told(void)
{
	struct rlimit r = { 0 }, other = { 0 };

	CALL(getrlimit(RLIMIT_NOFILE, &r));
	CALL(prlimit(0, RLIMIT_NOFILE, NULL, &other));
	fact("cur %ld max %ld, the same %d", (long)r.rlim_cur, (long)r.rlim_max,
	     r.rlim_cur == other.rlim_cur && r.rlim_max == other.rlim_max);
	fact("open max %ld table %d", sysconf(_SC_OPEN_MAX), getdtablesize());
}

static void limit_is_told(void)
{
	struct rlimit old, r = { 500, 600 };

	set(1000, 2000);
	told();
	CALL(prlimit(getpid(), RLIMIT_NOFILE, &r, &old));
	fact("old %ld %ld", (long)old.rlim_cur, (long)old.rlim_max);
	told();
	set(600, 500);
	told();
	set(500, 500);
	told();
	(void)ends_open();
	told();
	set(0, 0);
	told();
	CALL(getrlimit(RLIMIT_STACK, &r));
	CALL(getrlimit(99, &r));
}

/* Who is not root may lower the higher one, and has it lowered. */
static void limit_is_not_raised_again(void)
{
	set(100, 200);
	(void)ends_open();
	if (geteuid() == 0 && setuid(65534) < 0)
		fact("not another");
	set(200, 200);
	set(100, 201);
	told();
	set(100, 150);
	set(100, 200);
	told();
}

static void limit_is_reached(void)
{
	uint16_t port;
	int l, c, top = -1, fd;

	set(80, 2000);
	l = listener_open(&port);
	c = client_open(port);
	while ((fd = dup(l)) >= 0)
		top = fd;
	fact("the last %d %s", top, strerrorname_np(errno));
	CALL(dup(c));
	CALL(socket(AF_INET, SOCK_STREAM, 0));
	CALL(socket(AF_UNIX, SOCK_STREAM, 0));
	CALL(accept(l, NULL, NULL));
	CALL(epoll_create1(0));
	CALL(fcntl(c, F_DUPFD, 0));
	CALL(fcntl(l, F_DUPFD_CLOEXEC, 80));
	CALL(dup2(c, 80));
	CALL(dup3(l, 200, 0));
	CALL(close(top));
	CALL(accept(l, NULL, NULL) == top);
	CALL(recv(top, &(char){ 0 }, 1, MSG_DONTWAIT));
}

/* As many connections as there are numbers: none of the program's is another's. */
static void limit_is_all_for_connections(void)
{
	struct ends e[64];
	int n = 0, good = 0;
	uint16_t port;
	int l;

	set(160, 160);
	l = listener_open(&port);
	for (; n < 64; n++) {
		e[n].c = client_open(port);
		e[n].s = accept(l, NULL, NULL);
		good += send(e[n].c, "x", 1, 0) == 1 && recv(e[n].s, &(char){ 0 }, 1, 0) == 1;
	}
	fact("good %d numbers below %d", good, e[63].s < 140);
}

static void limit_of_what_is_started(void)
{
	char line[64] = "", path[] = "/bin/sh";
	struct pair p = pair_open();
	FILE *f;
	pid_t child;
	int status = 0;

	set(300, 700);
	f = popen("ulimit -Sn; ulimit -Hn | sed 's/^/of /'", "r");
	while (f && fgets(line, sizeof(line), f))
		fact("popen: %d", strtol(line[0] == 'o' ? line + 3 : line, NULL, 10) <= 700);
	CALL(f ? pclose(f) : -1);
	child = fork();
	if (child == 0) {
		(void)execl(path, path, "-c", "exit $(($(ulimit -Hn) / 100 + $(ulimit -Sn) / 300))",
			    (char *)NULL);
		_exit(99);
	}
	(void)waitpid(child, &status, 0);
	fact("execl: %d", WEXITSTATUS(status));
	child = vfork();
	if (child == 0) {
		(void)execl(path, path, "-c", "exit $(($(ulimit -Hn) / 100 + $(ulimit -Sn) / 300))",
			    (char *)NULL);
		_exit(99);
	}
	(void)waitpid(child, &status, 0);
	fact("vfork: %d", WEXITSTATUS(status));
	CALL(execl("/nowhere", "nowhere", (char *)NULL));
	told();
	CALL(send(p.fd, "x", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void *asker(void *arg)
{
	atomic_bool *enough = arg;
	struct rlimit r;

	/* Relaxed: nothing but the flag itself matters. */
	while (!atomic_load_explicit(enough, memory_order_relaxed)) {
		(void)getrlimit(RLIMIT_NOFILE, &r);
		(void)close(epoll_create1(0));
		(void)!fileno(stdin);
	}
	return NULL;
}

/* What a thread is in the middle of must not be missing in the child. */
static void limit_in_a_child_beside_a_thread(void)
{
	struct pair p = pair_open();
	atomic_bool enough = false;
	int well = 0;
	pthread_t thread;

	(void)pthread_create(&thread, NULL, asker, &enough);
	for (int i = 0; i < 200; i++) {
		int status = -1;
		pid_t child = fork();

		if (child == 0) {
			struct rlimit r;

			_exit(getrlimit(RLIMIT_NOFILE, &r) == 0 && epoll_create1(0) >= 0 &&
			      fileno(stdin) == 0 ? 7 : 1);
		}
		(void)waitpid(child, &status, 0);
		well += WIFEXITED(status) && WEXITSTATUS(status) == 7;
	}
	atomic_store_explicit(&enough, true, memory_order_relaxed);
	(void)pthread_join(thread, NULL);
	fact("well %d", well);
	CALL(send(p.fd, "x", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

const struct sem_case cases_limit[] = {
	CASE(limit_is_told),
	CASE(limit_is_not_raised_again),
	CASE(limit_is_reached),
	CASE(limit_is_all_for_connections),
	FAR_CASE(limit_of_what_is_started),
	FAR_CASE(limit_in_a_child_beside_a_thread),
	CASES_END,
};
