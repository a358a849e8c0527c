/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - pthread_cancel(3) of a thread that waits: in every call that may wait and is a
 * cancellation point. Afterwards the socket is as it was.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sem.h"

struct waiter {
	void (*wait)(int fd);
	int fd;
};

static void *waiter_main(void *arg)
{
	const struct waiter *w = arg;

	w->wait(w->fd);
	return NULL;
}

static void cancelled(int fd, void (*wait)(int fd))
{
	struct waiter w = { wait, fd };
	pthread_t thread;
	void *how;

	(void)pthread_create(&thread, NULL, waiter_main, &w);
	(void)poll(NULL, 0, 5); /* it may have come to sleep, or not */
	(void)pthread_cancel(thread);
	(void)pthread_join(thread, &how);
	fact("cancelled %d", how == PTHREAD_CANCELED);
}

static void cancelled_at_a_connection(void (*wait)(int fd))
{
	struct pair p = pair_open();

	cancelled(p.fd, wait);
	(void)far_send(&p, "x");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(close(p.fd));
}

static void by_read(int fd)
{
	(void)!read(fd, &(char){ 0 }, 1);
}

static void cancel_read(void)
{
	cancelled_at_a_connection(by_read);
}

static void by_readv(int fd)
{
	struct iovec v = { &(char){ 0 }, 1 };

	(void)!readv(fd, &v, 1);
}

static void cancel_readv(void)
{
	cancelled_at_a_connection(by_readv);
}

static void by_recvmsg(int fd)
{
	struct iovec v = { &(char){ 0 }, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	(void)recvmsg(fd, &m, 0);
}

static void cancel_recvmsg(void)
{
	cancelled_at_a_connection(by_recvmsg);
}

static void by_recvmmsg(int fd)
{
	struct iovec v = { &(char){ 0 }, 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };

	(void)recvmmsg(fd, &m, 1, 0, NULL);
}

static void cancel_recvmmsg(void)
{
	cancelled_at_a_connection(by_recvmmsg);
}

static void by_recvfrom(int fd)
{
	(void)recvfrom(fd, &(char){ 0 }, 1, MSG_WAITALL, NULL, NULL);
}

static void cancel_recvfrom(void)
{
	cancelled_at_a_connection(by_recvfrom);
}

static void by_ppoll(int fd)
{
	(void)ppoll(&(struct pollfd){ fd, POLLIN, 0 }, 1, NULL, NULL);
}

static void cancel_ppoll(void)
{
	cancelled_at_a_connection(by_ppoll);
}

static void by_select(int fd)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	(void)select(fd + 1, &set, NULL, NULL, NULL);
}

static void cancel_select(void)
{
	cancelled_at_a_connection(by_select);
}

static void by_epoll_wait(int fd)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0);

	(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	(void)epoll_wait(ep, &e, 1, -1);
}

static void cancel_epoll_wait(void)
{
	cancelled_at_a_connection(by_epoll_wait);
}

static void by_epoll_pwait(int fd)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0);

	(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	(void)epoll_pwait(ep, &e, 1, -1, NULL);
}

static void cancel_epoll_pwait(void)
{
	cancelled_at_a_connection(by_epoll_pwait);
}

static void by_accept(int fd)
{
	(void)accept(fd, NULL, NULL);
}

static void cancel_accept(void)
{
	uint16_t port;
	int l = listener_open(&port), c, s;

	cancelled(l, by_accept);
	c = client_open(port);
	s = accept(l, NULL, NULL);
	CALL(send(c, "x", 1, 0));
	CALL(recv(s, &(char){ 0 }, 1, 0));
	CALL(close(l));
}

const struct sem_case cases_cancel[] = {
	FAR_CASE(cancel_read),
	FAR_CASE(cancel_readv),
	FAR_CASE(cancel_recvmsg),
	FAR_CASE(cancel_recvmmsg),
	FAR_CASE(cancel_recvfrom),
	FAR_CASE(cancel_ppoll),
	FAR_CASE(cancel_select),
	FAR_CASE(cancel_epoll_wait),
	FAR_CASE(cancel_epoll_pwait),
	CASE(cancel_accept),
	CASES_END,
};
