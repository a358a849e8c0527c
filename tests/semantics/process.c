/* SPDX-License-Identifier: MIT */
/*
 * process.c - processes made past fork(2), by _Fork(3) and clone(2); and epolls that a child has
 * from its parent, as a program has that becomes a daemon when its event loop stands already.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

static void ended(pid_t child)
{
	int status = 0;

	(void)waitpid(child, &status, 0);
	fact("child: exited %d status %d", !!WIFEXITED(status), WEXITSTATUS(status));
}

/* A status: it has sent two bytes and received one. */
static int talk(void *arg)
{
	const struct pair *p = arg;
	char byte;

	return send(p->fd, "ab", 2, 0) == 2 && recv(p->fd, &byte, 1, 0) == 1 ? 0 : 1;
}

static void child_talks(struct pair *p, pid_t child)
{
	char buf[8];

	CALL(close(p->fd));
	CALL(far_recv(p, buf, 2));
	CALL(far_send(p, "x"));
	ended(child);
	CALL(far_recv(p, buf, 2));
}

static void process_by__Fork(void)
{
	struct pair p = pair_open();
	pid_t child = _Fork();

	if (child == 0)
		_exit(talk(&p));
	child_talks(&p, child);
}

static void process_by_clone(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));
	struct pair p = pair_open();

	child_talks(&p, clone(talk, stack + sizeof(stack), SIGCHLD, &p));
}

static int sockets_of_its_own(void *arg)
{
	struct ends e = ends_open();
	char byte;

	(void)arg;
	return send(e.c, "a", 1, 0) == 1 && recv(e.s, &byte, 1, 0) == 1 ? 0 : 1;
}

static void process_by_clone_has_sockets_of_its_own(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));
	struct pair p = pair_open();

	ended(clone(sockets_of_its_own, stack + sizeof(stack), SIGCHLD, NULL));
	CALL(send(p.fd, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

/* ---- an epoll of the parent's ---- */

static void add(int ep, int fd, uint32_t data)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = data };

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

/* True if it is told of @events of @data alone. */
static bool told(int ep, uint32_t events, uint32_t data)
{
	struct epoll_event e;

	return epoll_wait(ep, &e, 1, WAIT_MS) == 1 && e.events == events && e.data.u32 == data;
}

static bool ctl(int ep, int op, int fd, uint32_t events, uint32_t data, int error)
{
	struct epoll_event e = { .events = events, .data.u32 = data };

	return epoll_ctl(ep, op, fd, &e) == 0 ? error == 0 : errno == error;
}

/* As daemon(3), twice; what it was started with is closed by the ones who end. */
static void process_goes_on_with_an_epoll(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);
	char buf[8];
	pid_t child;

	add(ep, p.fd, 5);
	child = fork();
	if (child == 0) {
		struct epoll_event e;

		if (fork() != 0)
			_exit(0);
		if (told(ep, EPOLLIN, 5) && recv(p.fd, buf, 8, 0) == 2 &&
		    epoll_wait(ep, &e, 1, 0) == 0 && ctl(ep, EPOLL_CTL_DEL, p.fd, 0, 0, 0))
			(void)!send(p.fd, "ok", 2, 0);
		_exit(0);
	}
	ended(child);
	CALL(close(p.fd));
	CALL(close(ep));
	CALL(far_send(&p, "ab"));
	CALL(far_recv(&p, buf, 2));
	CALL(far_recv(&p, buf, 2));
}

static int change(int ep, int one, int two)
{
	char buf[8];

	if (!ctl(ep, EPOLL_CTL_MOD, one, EPOLLIN | EPOLLOUT, 7, 0))
		return 1;
	if (!told(ep, EPOLLOUT, 7))
		return 2;
	if (!ctl(ep, EPOLL_CTL_MOD, one, EPOLLIN, 8, 0) ||
	    !ctl(ep, EPOLL_CTL_ADD, two, EPOLLIN, 9, EEXIST))
		return 3;
	if (send(one, "go", 2, 0) != 2 || !told(ep, EPOLLIN, 6) || recv(two, buf, 8, 0) != 2)
		return 4;
	if (!ctl(ep, EPOLL_CTL_DEL, two, 0, 0, 0) || !ctl(ep, EPOLL_CTL_DEL, two, 0, 0, ENOENT))
		return 5;
	return 0;
}

static void process_changes_an_epoll(void)
{
	struct pair p = pair_open(), q = pair_open();
	int ep = epoll_create1(0);
	char buf[8];
	pid_t child;

	add(ep, p.fd, 5);
	add(ep, q.fd, 6);
	child = fork();
	if (child == 0)
		_exit(change(ep, p.fd, q.fd));
	CALL(far_recv(&p, buf, 2));
	CALL(far_send(&q, "ab"));
	ended(child);
	CALL(far_send(&p, "x"));
	CALL(recv(p.fd, buf, 8, 0)); /* what it left is the parent's again */
}

static void process_leaves_an_epoll_to_the_parent(void)
{
	struct pair p = pair_open(), q = pair_open();
	int ep = epoll_create1(0);
	char buf[8];
	pid_t child;

	add(ep, p.fd, 5);
	add(ep, q.fd, 6);
	child = fork();
	if (child == 0) {
		struct epoll_event e;

		_exit(epoll_wait(ep, &e, 1, 20));
	}
	ended(child);
	CALL(far_send(&q, "ab"));
	fact("told of the second: %d", told(ep, EPOLLIN, 6));
	CALL(recv(q.fd, buf, 8, 0));
	CALL(far_send(&p, "ab"));
	fact("told of the first: %d", told(ep, EPOLLIN, 5));
	CALL(recv(p.fd, buf, 8, 0));
}

static void process_goes_on_with_a_nested_epoll(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0), outer = epoll_create1(0);
	char buf[8];
	pid_t child;

	add(ep, p.fd, 5);
	add(outer, ep, 6);
	child = fork();
	if (child == 0) {
		struct epoll_event e;

		if (send(p.fd, "go", 2, 0) != 2)
			_exit(1);
		if (!told(ep, EPOLLIN, 5) || !told(outer, EPOLLIN, 6))
			_exit(2);
		_exit(recv(p.fd, buf, 8, 0) == 2 && epoll_wait(outer, &e, 1, 0) == 0 ? 0 : 3);
	}
	CALL(far_recv(&p, buf, 2));
	CALL(far_send(&p, "ab"));
	ended(child);
}

const struct sem_case cases_process[] = {
	FAR_CASE(process_by__Fork),
	FAR_CASE(process_by_clone),
	FAR_CASE(process_by_clone_has_sockets_of_its_own),
	FAR_CASE(process_goes_on_with_an_epoll),
	FAR_CASE(process_changes_an_epoll),
	FAR_CASE(process_leaves_an_epoll_to_the_parent),
	FAR_CASE(process_goes_on_with_a_nested_epoll),
	CASES_END,
};
