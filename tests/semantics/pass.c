/* SPDX-License-Identifier: MIT */
/*
 * pass.c - descriptors of connections in messages, as SCM_RIGHTS: what becomes of them on the way.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

#define MOST 4

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(MOST * sizeof(int))];
};

static ssize_t send_some(int over, const int *fd, int nr)
{
	union control control;
	struct iovec v = { (char[]){ 'd' }, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = CMSG_SPACE((size_t)nr * sizeof(int)) };

	memset(&control, 0, sizeof(control));
	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN((size_t)nr * sizeof(int)),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.head), fd, (size_t)nr * sizeof(int));
	return sendmsg(over, &m, 0);
}

static ssize_t receive_some(int over, int *fd, int nr, int flags)
{
	union control control;
	struct iovec v = { (char[1]){ 0 }, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;

	memset(&control, 0, sizeof(control));
	n = recvmsg(over, &m, flags);
	if (n >= 0)
		memcpy(fd, CMSG_DATA(&control.head), (size_t)nr * sizeof(int));
	return n;
}

/* Nobody takes it: it is closed with the socket that it was sent over. */
static void pass_and_never_take(void)
{
	struct pair p = pair_open();
	int over[2];

	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	CALL(send_some(over[0], &p.fd, 1));
	CALL(close(p.fd));
	CALL(close(over[0]));
	CALL(close(over[1]));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void pass_to_close_on_exec(void)
{
	struct pair p = pair_open();
	int over[2], got = -1;

	CALL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, over));
	CALL(send_some(over[0], &p.fd, 1));
	CALL(receive_some(over[1], &got, 1, MSG_CMSG_CLOEXEC));
	CALL(fcntl(got, F_GETFD));
	CALL(send_some(over[0], &p.fd, 1));
	CALL(receive_some(over[1], &got, 1, 0));
	CALL(fcntl(got, F_GETFD));
}

static void pass_several(void)
{
	struct pair p = pair_open(), q = pair_open();
	int over[2], sent[3] = { p.fd, STDIN_FILENO, q.fd }, got[3] = { -1, -1, -1 };

	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, over));
	CALL(send_some(over[0], sent, 3));
	CALL(receive_some(over[1], got, 3, 0));
	CALL(close(p.fd));
	CALL(close(q.fd));
	CALL(send(got[0], "p", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
	CALL(send(got[2], "q", 1, 0));
	CALL(far_recv(&q, &(char){ 0 }, 1));
	CALL(close(got[0])); /* the agent of the second pair may have the first, too */
}

/* To another process, which waits for it in an epoll; bytes are on their way meanwhile. */
static void pass_to_a_process(void)
{
	struct pair p = pair_open();
	int over[2], got = -1, status = 0;
	char buf[8];
	pid_t child;

	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	child = fork();
	if (child == 0) {
		struct epoll_event e = { .events = EPOLLIN };
		int ep = epoll_create1(0);

		(void)close(p.fd);
		if (receive_some(over[1], &got, 1, 0) != 1)
			_exit(1);
		if (epoll_ctl(ep, EPOLL_CTL_ADD, got, &e) < 0 ||
		    epoll_wait(ep, &e, 1, WAIT_MS) != 1)
			_exit(2);
		_exit(recv(got, buf, 3, MSG_WAITALL) == 3 && send(got, "ok", 2, 0) == 2 ? 0 : 3);
	}
	CALL(far_send(&p, "abc"));
	CALL(send_some(over[0], &p.fd, 1));
	CALL(close(p.fd));
	(void)waitpid(child, &status, 0);
	fact("child: %d", WEXITSTATUS(status));
	CALL(far_recv(&p, buf, 2));
	CALL(far_recv(&p, buf, 2));
}

/* Only looked at: the descriptors come each time. */
static void pass_and_peek(void)
{
	struct pair p = pair_open();
	int over[2], first = -1, second = -1;

	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	CALL(send_some(over[0], &p.fd, 1));
	CALL(close(p.fd));
	CALL(receive_some(over[1], &first, 1, MSG_PEEK));
	CALL(receive_some(over[1], &second, 1, 0));
	CALL(close(first));
	CALL(send(second, "x", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

const struct sem_case cases_pass[] = {
	FAR_CASE(pass_and_never_take), FAR_CASE(pass_to_close_on_exec),
	FAR_CASE(pass_several),        FAR_CASE(pass_to_a_process),
	FAR_CASE(pass_and_peek),       CASES_END,
};
