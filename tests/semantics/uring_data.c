/* SPDX-License-Identifier: MIT */
/*
 * uring_data.c - bytes, connects and closes by io_uring. What it does at a socket is done, or fails
 * with EOPNOTSUPP: then the program does it by a call, and nothing of it may have happened before.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

#define HELLO "hello"
#define LEN   ((ssize_t)strlen(HELLO))

static bool ring_open(struct io_uring *ring, unsigned flags)
{
	int r = io_uring_queue_init(8, ring, flags);

	if (r < 0)
		fact("no such io_uring here"); /* then on both sides of the comparison */
	return r == 0;
}

static struct io_uring_sqe *sqe_of(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe) {
		fact("cannot go on: no SQE"); /* all are free when a case asks */
		exit(EXIT_FAILURE);
	}
	return sqe;
}

/* Submits what is prepared, and waits for its one completion: the result. */
static int done(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	bool more;
	int res, submitted = io_uring_submit_and_wait(ring, 1);

	if (submitted < 0 || io_uring_wait_cqe(ring, &cqe) < 0)
		return -EIO;
	res = cqe->res;
	more = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(ring, cqe);
	if (more && io_uring_wait_cqe(ring, &cqe) == 0) /* of zero copy: it is given back */
		io_uring_cqe_seen(ring, cqe);
	return res;
}

enum way { /* of bytes */
	PLAIN,
	VECTOR,
	OF_SOCKET,
	MESSAGE,
	FIXED,
	WAYS
};

/* Global: why: the kernel reads them behind the call; one at a time. */
static struct iovec vector;
/* Global: why: as above. */
static struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

static void prep_in(struct io_uring_sqe *sqe, enum way way, int fd, char *buf, unsigned len)
{
	vector = (struct iovec){ buf, len };
	if (way == PLAIN)
		io_uring_prep_read(sqe, fd, buf, len, 0);
	else if (way == VECTOR)
		io_uring_prep_readv(sqe, fd, &vector, 1, 0);
	else if (way == OF_SOCKET)
		io_uring_prep_recv(sqe, fd, buf, len, 0);
	else if (way == MESSAGE)
		io_uring_prep_recvmsg(sqe, fd, &message, 0);
	else
		io_uring_prep_read_fixed(sqe, fd, buf, len, 0, 0);
}

static void prep_out(struct io_uring_sqe *sqe, enum way way, int fd, char *buf, unsigned len)
{
	vector = (struct iovec){ buf, len };
	if (way == PLAIN)
		io_uring_prep_write(sqe, fd, buf, len, 0);
	else if (way == VECTOR)
		io_uring_prep_writev(sqe, fd, &vector, 1, 0);
	else if (way == OF_SOCKET)
		io_uring_prep_send(sqe, fd, buf, len, 0);
	else if (way == MESSAGE)
		io_uring_prep_sendmsg(sqe, fd, &message, 0);
	else
		io_uring_prep_send_zc(sqe, fd, buf, len, 0, 0);
}

/* @res of what was to receive HELLO into @buf; refused: it is still there for a call. */
static void judge_in(const char *what, int res, int fd, char *buf, size_t room)
{
	ssize_t n = res == -EOPNOTSUPP ? recv(fd, buf, room, 0) : res;

	fact_bytes(what, n, buf);
}

/* @res of what was to send HELLO, of which the far end has received nothing yet. */
static void judge_out(const char *what, int res, struct pair *p)
{
	char buf[16] = "";
	ssize_t n = res == -EOPNOTSUPP ? send(p->fd, HELLO, LEN, 0) : res;

	fact("%s: %zd", what, n);
	n = far_recv(p, buf, sizeof(buf));
	fact_bytes("there", n, buf);
}

static void receives(unsigned flags)
{
	struct io_uring ring;
	struct pair p[WAYS];
	char buf[16];

	if (!ring_open(&ring, flags))
		return;
	for (int i = 0; i < WAYS; i++) /* all before one of them is refused */
		p[i] = pair_open();
	if (io_uring_register_buffers(&ring, &(struct iovec){ buf, sizeof(buf) }, 1) < 0)
		fact("no buffers");
	for (int i = 0; i < WAYS; i++) {
		memset(buf, 0, sizeof(buf));
		(void)far_send(&p[i], HELLO);
		(void)wait_for(p[i].fd, POLLIN);
		prep_in(sqe_of(&ring), i, p[i].fd, buf, sizeof(buf));
		judge_in("here", done(&ring), p[i].fd, buf, sizeof(buf));
	}
}

static void uring_receives(void)
{
	receives(0);
}

static void uring_receives_with_large_sqes(void)
{
	receives(IORING_SETUP_SQE128);
}

static void uring_receives_with_a_kernel_thread(void)
{
	receives(IORING_SETUP_SQPOLL);
}

static void sends(unsigned flags)
{
	struct io_uring ring;
	struct pair p[WAYS];
	char buf[] = HELLO;

	if (!ring_open(&ring, flags))
		return;
	for (int i = 0; i < WAYS; i++) /* as above */
		p[i] = pair_open();
	for (int i = 0; i < WAYS; i++) {
		prep_out(sqe_of(&ring), i, p[i].fd, buf, LEN);
		judge_out("sent", done(&ring), &p[i]);
	}
}

static void uring_sends(void)
{
	sends(0);
}

static void uring_sends_with_a_kernel_thread(void)
{
	sends(IORING_SETUP_SQPOLL);
}

/* Nothing has come yet, and what comes later is not taken by a request that was refused. */
static void uring_receives_later(void)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	struct pair p = pair_open();
	char buf[16] = "";

	if (!ring_open(&ring, 0))
		return;
	prep_in(sqe_of(&ring), OF_SOCKET, p.fd, buf, sizeof(buf));
	(void)io_uring_submit(&ring); /* judged by the completion */
	(void)far_send(&p, HELLO);
	if (io_uring_wait_cqe(&ring, &cqe) == 0)
		judge_in("here", cqe->res, p.fd, buf, sizeof(buf));
}

static void uring_splices(void)
{
	struct io_uring ring;
	struct pair in = pair_open(), out = pair_open();
	int ends[2], res;
	char buf[16] = "";
	ssize_t n;

	if (!ring_open(&ring, 0) || pipe(ends) < 0)
		return;
	(void)far_send(&in, HELLO);
	(void)wait_for(in.fd, POLLIN);
	io_uring_prep_splice(sqe_of(&ring), in.fd, -1, ends[1], -1, LEN, 0);
	n = done(&ring);
	if (n == -EOPNOTSUPP)
		n = splice(in.fd, NULL, ends[1], NULL, LEN, 0);
	fact("into a pipe %zd", n);
	n = read(ends[0], buf, sizeof(buf));
	fact_bytes("in it", n, buf);
	(void)!write(ends[1], HELLO, LEN);
	io_uring_prep_splice(sqe_of(&ring), ends[0], -1, out.fd, -1, LEN, 0);
	res = done(&ring);
	fact("emptied %d", wait_for(ends[1], POLLOUT) >= 0);
	judge_out("out of it", res, &out);
}

static void uring_shuts_down(void)
{
	struct io_uring ring;
	struct pair p = pair_open();
	char buf[16];
	int res;

	if (!ring_open(&ring, 0))
		return;
	io_uring_prep_shutdown(sqe_of(&ring), p.fd, SHUT_WR);
	res = done(&ring);
	if (res == -EOPNOTSUPP)
		res = shutdown(p.fd, SHUT_WR);
	fact("shutdown %d", res);
	fact("the end there %ld", far_recv(&p, buf, sizeof(buf)));
}

static void uring_closes(void)
{
	struct io_uring ring;
	struct pair p = pair_open();
	char buf[16] = "";

	if (!ring_open(&ring, 0))
		return;
	io_uring_prep_close(sqe_of(&ring), p.fd);
	fact("close %d", done(&ring));
	CALL(fcntl(p.fd, F_GETFD));
	fact("the end there %ld", far_recv(&p, buf, sizeof(buf)));
}

static void uring_closes_one_of_two(void)
{
	struct io_uring ring;
	struct pair p = pair_open();
	char buf[16] = "";
	int copy = dup(p.fd);

	if (!ring_open(&ring, 0))
		return;
	io_uring_prep_close(sqe_of(&ring), p.fd);
	fact("close %d", done(&ring));
	CALL(send(copy, HELLO, LEN, 0));
	fact_bytes("there", far_recv(&p, buf, sizeof(buf)), buf);
	CALL(close(copy));
	fact("the end there %ld", far_recv(&p, buf, sizeof(buf)));
}

/* Of each of two that are linked. */
static void uring_closes_behind_a_send(void)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	struct pair p = pair_open();
	char buf[16] = "", hello[] = HELLO;
	int res[2] = { -EIO, -EIO };

	if (!ring_open(&ring, 0))
		return;
	for (int i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe = sqe_of(&ring);

		if (i == 0)
			io_uring_prep_send(sqe, p.fd, hello, LEN, 0);
		else
			io_uring_prep_close(sqe, p.fd);
		sqe->flags = i == 0 ? IOSQE_IO_LINK : 0;
		sqe->user_data = (unsigned)i;
	}
	(void)io_uring_submit(&ring); /* judged by the completions */
	for (int i = 0; i < 2 && io_uring_wait_cqe(&ring, &cqe) == 0; i++) {
		res[cqe->user_data & 1] = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
	}
	fact("both, or none %d", (res[0] == LEN && res[1] == 0) ||
					 (res[0] == -EOPNOTSUPP && res[1] == -ECANCELED));
	if (res[0] == -EOPNOTSUPP) {
		(void)send(p.fd, HELLO, LEN, 0); /* judged there */
		(void)close(p.fd);
	}
	fact("closed %d", fcntl(p.fd, F_GETFD) < 0);
	fact_bytes("there", far_recv(&p, buf, sizeof(buf)), buf);
	fact("the end there %ld", far_recv(&p, buf, sizeof(buf)));
}

/* Bytes there and back by io_uring, and by calls: nothing is refused. */
static void exchange(struct io_uring *ring, struct pair *p)
{
	char buf[16] = "", hello[] = HELLO;
	ssize_t n;

	prep_out(sqe_of(ring), OF_SOCKET, p->fd, hello, LEN);
	fact("send by ring %d", done(ring));
	fact_bytes("there", far_recv(p, buf, sizeof(buf)), buf);
	(void)far_send(p, HELLO);
	prep_in(sqe_of(ring), OF_SOCKET, p->fd, buf, sizeof(buf));
	fact_bytes("recv by ring", done(ring), buf);
	CALL(send(p->fd, HELLO, LEN, 0));
	fact_bytes("there", far_recv(p, buf, sizeof(buf)), buf);
	(void)far_send(p, HELLO);
	n = recv(p->fd, buf, sizeof(buf), 0);
	fact_bytes("recv", n, buf);
}

static void uring_connects(void)
{
	struct io_uring ring;
	struct sockaddr_in to, from;
	struct pair p = pair_listening(&to);
	socklen_t len = sizeof(from);

	if (!ring_open(&ring, 0))
		return;
	io_uring_prep_connect(sqe_of(&ring), p.fd, (struct sockaddr *)&to, sizeof(to));
	fact("connect %d", done(&ring));
	fact("accepted %d", far_accept(&p) >= 0);
	CALL(getpeername(p.fd, (struct sockaddr *)&from, &len));
	exchange(&ring, &p);
	CALL(close(p.fd));
}

static void uring_goes_on_by_another_connection(void)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	struct pair p = pair_open(), q;
	char buf[16] = "";

	if (!ring_open(&ring, 0))
		return;
	(void)far_send(&p, HELLO);
	prep_in(sqe_of(&ring), OF_SOCKET, p.fd, buf, sizeof(buf));
	judge_in("here", done(&ring), p.fd, buf, sizeof(buf));
	q = pair_open();
	exchange(&ring, &q);
	/* The first is still good for who only waits. */
	io_uring_prep_poll_add(sqe_of(&ring), p.fd, POLLIN);
	(void)io_uring_submit(&ring); /* judged by the completion */
	fact("none yet %d", io_uring_peek_cqe(&ring, &cqe) == -EAGAIN);
	(void)far_send(&p, HELLO);
	if (io_uring_wait_cqe(&ring, &cqe) == 0)
		fact("poll %d", cqe->res == POLLIN);
	fact_bytes("here", recv(p.fd, buf, sizeof(buf), 0), buf);
}

static void uring_fixes_files(void)
{
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct sockaddr_in to;
	struct pair p = pair_open(), q = pair_listening(&to);
	int fds[2] = { p.fd, -1 }, res;
	char buf[16] = "", hello[] = HELLO;

	if (!ring_open(&ring, 0))
		return;
	(void)far_send(&p, HELLO);
	res = io_uring_register_files(&ring, fds, 2);
	if (res == 0) {
		prep_in(sqe_of(&ring), OF_SOCKET, 0, buf, sizeof(buf));
		ring.sq.sqes[(ring.sq.sqe_tail - 1) & *ring.sq.kring_mask].flags = IOSQE_FIXED_FILE;
		res = done(&ring);
	} else {
		fds[0] = -1;
		(void)io_uring_register_files(&ring, fds, 2); /* judged by what follows */
	}
	judge_in("here", res, p.fd, buf, sizeof(buf));
	fact("update %d", io_uring_register_files_update(&ring, 1, &q.fd, 1));
	sqe = sqe_of(&ring);
	io_uring_prep_connect(sqe, 1, (struct sockaddr *)&to, sizeof(to));
	sqe->flags = IOSQE_FIXED_FILE;
	fact("connect %d", done(&ring));
	fact("accepted %d", far_accept(&q) >= 0);
	sqe = sqe_of(&ring);
	prep_out(sqe, OF_SOCKET, 1, hello, LEN);
	sqe->flags = IOSQE_FIXED_FILE;
	fact("send %d", done(&ring));
	fact_bytes("there", far_recv(&q, buf, sizeof(buf)), buf);
}

static void uring_fixes_a_file_by_an_sqe(void)
{
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct pair p = pair_open();
	int none = -1, res;
	char buf[16] = "";

	if (!ring_open(&ring, 0) || io_uring_register_files(&ring, &none, 1) < 0)
		return;
	(void)far_send(&p, HELLO);
	io_uring_prep_files_update(sqe_of(&ring), &p.fd, 1, 0);
	res = done(&ring);
	if (res == 1) {
		sqe = sqe_of(&ring);
		prep_in(sqe, OF_SOCKET, 0, buf, sizeof(buf));
		sqe->flags = IOSQE_FIXED_FILE;
		res = done(&ring);
	}
	judge_in("here", res, p.fd, buf, sizeof(buf));
}

/* By io_uring, at a listener that ncd listens at, too. */
static void uring_accepts_after_a_poll(void)
{
	struct io_uring ring;
	uint16_t port;
	int l = listener_open(&port), c;
	char buf[16] = "";

	if (!ring_open(&ring, 0))
		return;
	fact_poll(l, POLLIN, 0);
	for (int i = 0; i < 2; i++) {
		io_uring_prep_accept(sqe_of(&ring), l, NULL, NULL, 0);
		(void)io_uring_submit(&ring); /* judged by the completion */
		c = client_open(port);
		CALL(send(c, HELLO, LEN, 0));
		c = done(&ring);
		fact("accepted %d", c >= 0);
		prep_in(sqe_of(&ring), OF_SOCKET, c, buf, sizeof(buf));
		fact_bytes("here", done(&ring), buf);
	}
}

/* Accepted by a call; then by io_uring. */
static void uring_receives_of_accepted(void)
{
	struct io_uring ring;
	uint16_t port;
	int l = listener_open(&port), c, s;
	char buf[16] = "";

	if (!ring_open(&ring, 0))
		return;
	fact_poll(l, POLLIN, 0);
	for (int i = 0; i < 2; i++) {
		c = client_open(port);
		fact_poll(l, POLLIN, WAIT_MS);
		s = accept(l, NULL, NULL);
		CALL(send(c, HELLO, LEN, 0));
		(void)wait_for(s, POLLIN);
		prep_in(sqe_of(&ring), OF_SOCKET, s, buf, sizeof(buf));
		if (i == 0)
			judge_in("here", done(&ring), s, buf, sizeof(buf));
		else
			fact_bytes("here", done(&ring), buf);
	}
}

const struct sem_case cases_uring_data[] = {
	FAR_CASE(uring_receives),
	FAR_CASE(uring_receives_with_large_sqes),
	FAR_CASE(uring_receives_with_a_kernel_thread),
	FAR_CASE(uring_sends),
	FAR_CASE(uring_sends_with_a_kernel_thread),
	FAR_CASE(uring_receives_later),
	FAR_CASE(uring_splices),
	FAR_CASE(uring_shuts_down),
	FAR_CASE(uring_closes),
	FAR_CASE(uring_closes_one_of_two),
	FAR_CASE(uring_closes_behind_a_send),
	FAR_CASE(uring_connects),
	FAR_CASE(uring_goes_on_by_another_connection),
	FAR_CASE(uring_fixes_files),
	FAR_CASE(uring_fixes_a_file_by_an_sqe),
	CASE(uring_accepts_after_a_poll),
	CASE(uring_receives_of_accepted),
	CASES_END,
};
