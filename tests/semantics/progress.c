/* SPDX-License-Identifier: MIT */
/*
 * progress.c - connects that do not wait: in progress, found by whoever waits, whoever carries them
 * in the end. Where the far end is plain, its ncd refuses and kernel TCP connects.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

static int begin(int s, const struct sockaddr_in *to)
{
	return connect(s, (const struct sockaddr *)to, sizeof(*to));
}

/* Both directions work. */
static void talk(struct pair *p)
{
	char buf[16];
	ssize_t n;

	CALL(far_accept(p));
	CALL(send(p->fd, "ping", 4, 0));
	n = far_recv(p, buf, sizeof(buf));
	fact_bytes("there", n, buf);
	CALL(far_send(p, "pong"));
	wait_bytes(p->fd, 4);
	n = recv(p->fd, buf, sizeof(buf), 0);
	fact_bytes("here", n, buf);
}

static struct pair begun(struct sockaddr_in *to)
{
	struct pair p = pair_listening(to);

	set_nonblocking(p.fd, true);
	CALL(begin(p.fd, to));
	return p;
}

static void progress_found_by_poll(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);

	fact("events %d", wait_for(p.fd, POLLOUT | POLLIN) & ~(POLLRDNORM | POLLWRNORM));
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	talk(&p);
}

static void progress_found_by_select(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	struct timeval limit = { .tv_sec = 5 };
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(p.fd, &in);
	FD_SET(p.fd, &out);
	CALL(select(p.fd + 1, &in, &out, NULL, &limit));
	fact("in %d out %d", !!FD_ISSET(p.fd, &in), !!FD_ISSET(p.fd, &out));
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	talk(&p);
}

static void fact_event(int ep, int timeout_ms)
{
	struct epoll_event e = { 0 };
	char name[EVENTS_LEN];
	int n = epoll_wait(ep, &e, 1, timeout_ms);

	fact("epoll %d: %s, %u", n, n > 0 ? events_name(e.events, name) : "nothing",
	     n > 0 ? e.data.u32 : 0);
}

static void watch(int ep, int fd, uint32_t events, uint32_t data)
{
	struct epoll_event e = { .events = events, .data.u32 = data };

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

static void progress_found_by_epoll(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	int ep = epoll_create1(0);

	watch(ep, p.fd, EPOLLIN | EPOLLOUT, 7);
	fact_event(ep, WAIT_MS);
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	talk(&p);
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, p.fd, NULL));
	fact_event(ep, 0);
}

static void progress_found_by_edge(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	int ep = epoll_create1(0);

	watch(ep, p.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 8);
	fact_event(ep, WAIT_MS);
	fact_event(ep, 0);
	talk(&p);
}

/* Registered before: an unconnected socket is hung up, which is told at once. */
static void progress_registered_before(void)
{
	struct sockaddr_in to;
	struct pair p = pair_listening(&to);
	int ep = epoll_create1(0);

	watch(ep, p.fd, EPOLLIN | EPOLLOUT | EPOLLET, 9);
	fact_event(ep, 0);
	set_nonblocking(p.fd, true);
	CALL(begin(p.fd, &to));
	fact_event(ep, WAIT_MS);
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	talk(&p);
}

static void progress_in_two_epolls(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	int a = epoll_create1(0), b = epoll_create1(0);

	watch(a, p.fd, EPOLLOUT, 1);
	watch(b, p.fd, EPOLLOUT, 2);
	fact_event(a, WAIT_MS);
	fact_event(b, WAIT_MS);
	talk(&p);
}

static void progress_in_a_nested_epoll(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	int outer = epoll_create1(0), inner = epoll_create1(0);

	watch(inner, p.fd, EPOLLOUT, 3);
	watch(outer, inner, EPOLLIN, 4);
	fact_event(outer, WAIT_MS);
	fact_event(inner, WAIT_MS);
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	talk(&p);
}

/* More epolls than ncd has queues for: some are left to the kernel. */
static void progress_beside_many_epolls(void)
{
	struct sockaddr_in to;
	struct ends e = ends_open();
	struct pair p;
	int last = -1, early;

	for (uint32_t i = 0; i < 20; i++) {
		struct ends more = ends_open();
		struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };

		last = epoll_create1(0);
		if (epoll_ctl(last, EPOLL_CTL_ADD, more.c, &ev) < 0)
			fact("epoll_ctl: %s", strerrorname_np(errno));
	}
	CALL(send(e.c, "x", 1, 0));
	p = begun(&to);
	watch(last, p.fd, EPOLLOUT, 11);
	fact_event(last, WAIT_MS);
	talk(&p);
	/* Registered before it connects. */
	p = pair_listening(&to);
	early = epoll_create1(0);
	watch(early, p.fd, EPOLLOUT | EPOLLET, 12);
	fact_event(early, 0);
	set_nonblocking(p.fd, true);
	CALL(begin(p.fd, &to));
	fact_event(early, WAIT_MS);
	talk(&p);
}

static void *waiter(void *arg)
{
	struct epoll_event e = { 0 };
	int n = epoll_wait(*(int *)arg, &e, 1, WAIT_MS);

	return (void *)(intptr_t)(n == 1 && e.data.u32 == 5 && e.events == EPOLLOUT);
}

/* Somebody sleeps in the epoll already when another thread begins. */
static void progress_while_another_waits(void)
{
	struct sockaddr_in to;
	struct pair p = pair_listening(&to);
	int ep = epoll_create1(0);
	pthread_t thread;
	void *well;

	(void)pthread_create(&thread, NULL, waiter, &ep); /* fails: seen at the join */
	moment();
	set_nonblocking(p.fd, true);
	CALL(begin(p.fd, &to));
	watch(ep, p.fd, EPOLLOUT, 5);
	(void)pthread_join(thread, &well); /* cannot fail */
	fact("it was told %d", (int)(intptr_t)well);
	talk(&p);
}

static void progress_asked_by_calls(void)
{
	struct sockaddr_in to, name;
	struct pair p = begun(&to);
	socklen_t len = sizeof(name);
	int on = 1;

	CALL(set_option(p.fd, SOL_SOCKET, SO_KEEPALIVE, 1));
	(void)wait_for(p.fd, POLLOUT);
	CALL(begin(p.fd, &to));
	CALL(begin(p.fd, &to));
	CALL(getpeername(p.fd, (struct sockaddr *)&name, &len));
	fact("the port is right %d", name.sin_port == to.sin_port);
	CALL(option(p.fd, SOL_SOCKET, SO_KEEPALIVE));
	CALL(ioctl(p.fd, FIONBIO, &on));
	talk(&p);
}

static void progress_of_a_copy(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	int copy = dup(p.fd);

	(void)wait_for(copy, POLLOUT);
	CALL(option(copy, SOL_SOCKET, SO_ERROR));
	CALL(close(p.fd));
	p.fd = copy;
	fact("nonblock %d", !!(fcntl(p.fd, F_GETFL) & O_NONBLOCK));
	talk(&p);
}

static void progress_made_blocking(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);

	set_nonblocking(p.fd, false);
	talk(&p);
	fact("nonblock %d", !!(fcntl(p.fd, F_GETFL) & O_NONBLOCK));
}

static void progress_given_up(void)
{
	struct sockaddr_in to;
	struct pair p = begun(&to);
	int ep = epoll_create1(0);

	watch(ep, p.fd, EPOLLIN, 6);
	CALL(close(p.fd));
	fact_event(ep, 50);
	p.fd = tcp_socket();
	CALL(begin(p.fd, &to));
}

/* Nobody listens there at all: told as ever, once it is known. */
static void progress_refused_by_all(void)
{
	struct sockaddr_in to;
	struct pair p = pair_listening(&to);
	int ep = epoll_create1(0);

	CALL(far_close(&p)); /* its listener, too */
	set_nonblocking(p.fd, true);
	to.sin_port = (uint16_t)(to.sin_port ^ 0x0100); /* another, which is free or we see it */
	CALL(begin(p.fd, &to));
	watch(ep, p.fd, EPOLLIN | EPOLLOUT, 10);
	fact_event(ep, WAIT_MS);
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	fact_ready(p.fd);
}

/* Once a host is known: one that answers, one where nobody does, one that answers. */
static void progress_one_after_the_other(void)
{
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in to;
		struct pair p = begun(&to);
		int ep = epoll_create1(0);

		if (i == 2) {
			p.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
			to.sin_port = (uint16_t)(to.sin_port ^ 0x0100); /* as above */
			CALL(begin(p.fd, &to));
		}
		watch(ep, p.fd, EPOLLIN | EPOLLOUT, 2);
		fact_event(ep, WAIT_MS);
		CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
		if (i != 2)
			talk(&p);
	}
}

static void child_goes_on(int over, const struct sockaddr_in *to)
{
	struct sockaddr_in peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd = -1;
	char go;

	(void)rights_receive(over, &fd);
	(void)!read(over, &go, 1);
	wait_for(fd, POLLOUT);
	CALL(option(fd, SOL_SOCKET, SO_ERROR));
	CALL(getpeername(fd, (struct sockaddr *)&peer, &len));
	fact("family %d, the peer's %d", peer.sin_family, peer.sin_port == to->sin_port);
	CALL(send(fd, "child", 5, 0));
	(void)fflush(stdout);
	_exit(0);
}

/* dante's danted: one process connects, another goes on. */
static void progress_passed_to_a_child(void)
{
	struct sockaddr_in to;
	struct pair p = pair_listening(&to);
	int u[2];
	char buf[16];
	ssize_t n;
	pid_t child;

	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, u);
	(void)fflush(stdout);
	child = fork();
	if (child == 0) {
		(void)close(p.fd);
		child_goes_on(u[1], &to);
	}
	set_nonblocking(p.fd, true);
	CALL(begin(p.fd, &to));
	CALL(rights_send(u[0], p.fd));
	(void)fflush(stdout);
	(void)close(p.fd);
	(void)!write(u[0], "", 1); /* what it says comes behind what we have said */
	(void)waitpid(child, NULL, 0);
	CALL(far_accept(&p));
	n = far_recv(&p, buf, sizeof(buf));
	fact_bytes("there", n, buf);
}

#define MANY 60

/* As a load generator does. */
static void progress_many_at_once(void)
{
	struct sockaddr_in to;
	struct pair p = pair_listening(&to);
	int fd[MANY], ep = epoll_create1(0), well = 0, errors = 0;

	for (int i = 0; i < MANY; i++) {
		struct epoll_event e = { .events = EPOLLOUT, .data.u32 = (uint32_t)i };

		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		errors += begin(fd[i], &to) == 0 || errno != EINPROGRESS;
		errors += epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &e) < 0;
		if (i == 0)
			fact("accepted %ld", far_accept(&p));
	}
	fact("errors %d", errors);
	/* One was accepted, the far backlog has room for few: those are enough. */
	for (int64_t end = now_ms() + WAIT_MS; well == 0 && now_ms() < end;) {
		struct epoll_event e;

		if (epoll_wait(ep, &e, 1, 100) == 1)
			well += e.events == EPOLLOUT &&
				option(fd[e.data.u32], SOL_SOCKET, SO_ERROR) == 0;
	}
	fact("well %d", well > 0);
}

const struct sem_case cases_progress[] = {
	FAR_CASE(progress_found_by_poll),
	FAR_CASE(progress_found_by_select),
	FAR_CASE(progress_found_by_epoll),
	FAR_CASE(progress_found_by_edge),
	FAR_CASE(progress_registered_before),
	FAR_CASE(progress_in_two_epolls),
	FAR_CASE(progress_in_a_nested_epoll),
	FAR_CASE(progress_beside_many_epolls),
	FAR_CASE(progress_while_another_waits),
	FAR_CASE(progress_asked_by_calls),
	FAR_CASE(progress_of_a_copy),
	FAR_CASE(progress_made_blocking),
	FAR_CASE(progress_given_up),
	FAR_CASE(progress_refused_by_all),
	FAR_CASE(progress_one_after_the_other),
	FAR_CASE(progress_passed_to_a_child),
	FAR_CASE(progress_many_at_once),
	CASES_END,
};
