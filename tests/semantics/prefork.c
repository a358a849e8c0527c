/* SPDX-License-Identifier: MIT */
/*
 * prefork.c - servers whose children accept on the listening socket that their parent made.
 *
 * Children answer each client with one byte, or end with a status that says what went wrong; only
 * the parent prints.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

static void child_ended(pid_t child)
{
	int status = 0;

	(void)waitpid(child, &status, 0);
	fact("child: exited %d status %d", !!WIFEXITED(status), WEXITSTATUS(status));
}

static void child_killed(pid_t child)
{
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
}

/* What a child does with a client. */
static bool serve(int s)
{
	bool well = s >= 0 && send(s, "x", 1, MSG_NOSIGNAL) == 1;

	(void)close(s);
	return well;
}

static bool serves_one(int l)
{
	return serve(accept(l, NULL, NULL));
}

/* A child that serves @nr clients, each as @one does. */
static pid_t child_of(int l, int nr, bool (*one)(int l))
{
	pid_t child = fork();

	if (child != 0)
		return child;
	for (int i = 0; i < nr; i++)
		if (!one(l))
			_exit(10 + i);
	_exit(0);
}

/* How many of @nr clients, one after the other, are served. */
static int served(uint16_t port, int nr)
{
	int got = 0;

	for (int i = 0; i < nr; i++) {
		int c = client_open(port);

		got += recv(c, &(char){ 0 }, 1, 0) == 1;
		(void)close(c);
	}
	return got;
}

static void prefork_many_clients_of_two_children(void)
{
	uint16_t port;
	int l = listener_open(&port);
	pid_t child[2];

	for (int i = 0; i < 2; i++)
		child[i] = child_of(l, 1000, serves_one);
	fact("served %d", served(port, 40));
	for (int i = 0; i < 2; i++)
		child_killed(child[i]);
}

static void prefork_parent_closes_its_listener(void)
{
	uint16_t port;
	int l = listener_open(&port);
	pid_t child = child_of(l, 3, serves_one);

	/* One is served: the child has the socket, whatever the parent does. */
	fact("served %d", served(port, 1));
	CALL(close(l));
	fact("served %d", served(port, 2));
	child_ended(child);
}

static void prefork_client_before_the_child(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port);
	char buf[5] = "";
	pid_t child;

	CALL(send(c, "hello", 5, 0));
	child = fork();
	if (child == 0) {
		int s = accept(l, NULL, NULL);

		_exit(recv(s, buf, 5, MSG_WAITALL) == 5 && memcmp(buf, "hello", 5) == 0 &&
				      serve(s) ? 0 : 1);
	}
	CALL(recv(c, buf, 1, 0));
	CALL(recv(c, buf, 1, 0));
	child_ended(child);
}

static bool polls_one(int l)
{
	struct pollfd p = { .fd = l, .events = POLLIN };

	return poll(&p, 1, WAIT_MS) == 1 && p.revents == POLLIN && serves_one(l);
}

static bool selects_one(int l)
{
	struct timeval limit = { .tv_sec = WAIT_MS / 1000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(l, &set);
	return select(l + 1, &set, NULL, NULL, &limit) == 1 && FD_ISSET(l, &set) && serves_one(l);
}

static bool epolls_one(int l)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int ep = epoll_create1(0), nr = 0;

	if (epoll_ctl(ep, EPOLL_CTL_ADD, l, &e) == 0)
		nr = epoll_wait(ep, &e, 1, WAIT_MS);
	(void)close(ep);
	return nr == 1 && serves_one(l);
}

static void prefork_child_polls(void)
{
	uint16_t port;
	pid_t child = child_of(listener_open(&port), 3, polls_one);

	fact("served %d", served(port, 3));
	child_ended(child);
}

static void prefork_child_selects(void)
{
	uint16_t port;
	pid_t child = child_of(listener_open(&port), 3, selects_one);

	fact("served %d", served(port, 3));
	child_ended(child);
}

static void prefork_child_has_an_epoll(void)
{
	uint16_t port;
	pid_t child = child_of(listener_open(&port), 3, epolls_one);

	fact("served %d", served(port, 3));
	child_ended(child);
}

static bool looks_until_one(int l)
{
	for (int64_t end = now_ms() + WAIT_MS; now_ms() < end; moment()) {
		int s = accept(l, NULL, NULL);

		if (s >= 0 || errno != EAGAIN)
			return serve(s);
	}
	return false;
}

static void prefork_child_looks_and_never_waits(void)
{
	uint16_t port;
	int l = listener_open(&port);
	pid_t child;

	set_nonblocking(l, true);
	child = child_of(l, 3, looks_until_one);
	fact("served %d", served(port, 3));
	child_ended(child);
}

static void prefork_epoll_of_the_parent(void)
{
	uint16_t port;
	int l = listener_open(&port), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 4711 };
	pid_t child;

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, l, &e));
	set_nonblocking(l, true);
	child = fork();
	if (child == 0) {
		e.data.u64 = 0;
		if (epoll_wait(ep, &e, 1, WAIT_MS) != 1 || e.data.u64 != 4711)
			_exit(1);
		_exit(looks_until_one(l) ? 0 : 2);
	}
	fact("served %d", served(port, 1));
	child_ended(child);
}

static void prefork_grandchild_accepts(void)
{
	uint16_t port;
	int l = listener_open(&port);
	pid_t child = fork();

	if (child == 0) {
		int status = 1;
		pid_t grandchild;

		if (!serves_one(l))
			_exit(1);
		grandchild = child_of(l, 2, serves_one);
		(void)waitpid(grandchild, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
	}
	fact("served %d", served(port, 3));
	child_ended(child);
}

static void prefork_parent_accepts_when_the_child_has_gone(void)
{
	uint16_t port;
	int l = listener_open(&port), c;
	pid_t child = child_of(l, 1, serves_one);

	fact("served %d", served(port, 1));
	child_ended(child);
	c = client_open(port);
	fact("parent serves %d", serves_one(l));
	CALL(recv(c, &(char){ 0 }, 1, 0));
}

/* A child that takes one client and then does nothing; the clients behind are the other's. */
static void prefork_busy_child_is_killed(void)
{
	uint16_t port;
	int l = listener_open(&port), got = 0, c[4];
	pid_t busy = fork(), child;
	char buf;

	if (busy == 0) {
		int s = accept(l, NULL, NULL);

		(void)send(s, "b", 1, 0);
		for (;;)
			(void)pause();
	}
	c[0] = client_open(port);
	CALL(recv(c[0], &buf, 1, 0));
	for (int i = 1; i < 4; i++)
		c[i] = client_open(port);
	child = child_of(l, 3, serves_one);
	child_killed(busy);
	for (int i = 1; i < 4; i++)
		got += recv(c[i], &buf, 1, 0) == 1;
	fact("served %d", got);
	child_ended(child);
}

/* Sees a client, and is busy with something else. */
static pid_t child_that_only_polls(int l)
{
	struct pollfd p = { .fd = l, .events = POLLIN };
	pid_t child = fork();

	if (child != 0)
		return child;
	(void)poll(&p, 1, -1);
	for (;;)
		(void)pause();
}

static void prefork_busy_beside_an_idle_one(void)
{
	uint16_t port;
	int l = listener_open(&port);
	pid_t busy = child_that_only_polls(l), idle = child_of(l, 6, serves_one);

	fact("served %d", served(port, 6));
	child_ended(idle);
	child_killed(busy);
}

static void prefork_who_has_polled_is_killed(void)
{
	uint16_t port;
	int l = listener_open(&port), c[3], got = 0;
	pid_t busy = child_that_only_polls(l), child;

	for (int i = 0; i < 3; i++)
		c[i] = client_open(port);
	child_killed(busy);
	child = child_of(l, 3, serves_one);
	for (int i = 0; i < 3; i++)
		got += recv(c[i], &(char){ 0 }, 1, 0) == 1;
	fact("served %d", got);
	child_ended(child);
}

/* A child that says on @to what each client sends first; a client it has to wait for keeps it. */
static pid_t child_that_tells(int l, int to)
{
	pid_t child = fork();

	if (child != 0)
		return child;
	for (;;) {
		int s = accept(l, NULL, NULL);
		char c;

		if (send(s, "a", 1, 0) != 1 || recv(s, &c, 1, 0) != 1 || write(to, &c, 1) != 1)
			_exit(1);
		(void)close(s);
	}
}

/* Clients come while all are busy: in which order are they served by who is free first? */
static void prefork_order_of_arrival(void)
{
	char told[10] = "", a;
	pid_t child[3];
	uint16_t port;
	int l = listener_open(&port), first[3], later[8], pipe_fd[2];

	CALL(pipe(pipe_fd));
	for (int i = 0; i < 3; i++) {
		child[i] = child_that_tells(l, pipe_fd[1]);
		first[i] = client_open(port);
		CALL(recv(first[i], &a, 1, 0)); /* it has been accepted */
	}
	for (int i = 0; i < 8; i++) {
		later[i] = client_open(port);
		(void)send(later[i], &"12345678"[i], 1, 0);
	}
	(void)send(first[1], "0", 1, 0);
	for (int i = 0; i < 9; i++)
		(void)!read(pipe_fd[0], &told[i], 1);
	fact("told %s", told);
	for (int i = 0; i < 3; i++)
		child_killed(child[i]);
}

static bool serves_by_epoll(int ep, int l)
{
	struct epoll_event e;
	int s;

	if (epoll_wait(ep, &e, 1, WAIT_MS) != 1)
		return false;
	s = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	return s < 0 ? errno == EAGAIN : serve(s); /* another was faster */
}

static pid_t child_with_an_epoll(int l)
{
	pid_t child = fork();
	struct epoll_event e = { .events = EPOLLIN };
	int ep;

	if (child != 0)
		return child;
	ep = epoll_create1(0);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, l, &e) < 0)
		_exit(2);
	while (serves_by_epoll(ep, l))
		;
	_exit(1);
}

static void prefork_epolls_of_several_children(void)
{
	uint16_t port;
	int l = listener_open(&port), got = 0, c[4];
	pid_t child[3];

	set_nonblocking(l, true);
	for (int i = 0; i < 3; i++)
		child[i] = child_with_an_epoll(l);
	for (int i = 0; i < 40; i++) {
		for (int k = 0; k < 4; k++)
			c[k] = client_open(port);
		for (int k = 0; k < 4; k++) {
			got += recv(c[k], &(char){ 0 }, 1, 0) == 1;
			(void)close(c[k]);
		}
	}
	fact("served %d", got);
	for (int i = 0; i < 3; i++)
		child_killed(child[i]);
}

const struct sem_case cases_prefork[] = {
	CASE(prefork_many_clients_of_two_children),
	CASE(prefork_parent_closes_its_listener),
	CASE(prefork_client_before_the_child),
	CASE(prefork_child_polls),
	CASE(prefork_child_selects),
	CASE(prefork_child_has_an_epoll),
	CASE(prefork_child_looks_and_never_waits),
	CASE(prefork_epoll_of_the_parent),
	CASE(prefork_grandchild_accepts),
	CASE(prefork_parent_accepts_when_the_child_has_gone),
	CASE(prefork_busy_child_is_killed),
	CASE(prefork_busy_beside_an_idle_one),
	CASE(prefork_who_has_polled_is_killed),
	CASE(prefork_order_of_arrival),
	CASE(prefork_epolls_of_several_children),
	CASES_END,
};
