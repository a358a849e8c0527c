/* SPDX-License-Identifier: MIT */
/*
 * uring_raw.c - io_uring by syscall(2): the program maps its ring and fills it in itself.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sem.h"

#define HELLO "hello"
#define LEN   ((ssize_t)strlen(HELLO))

struct raw {
	struct io_uring_params p;
	int fd;
	uint8_t *at;
	size_t bytes;
	struct io_uring_sqe *sqe;
};

static bool raw_open(struct raw *r, unsigned flags)
{
	memset(r, 0, sizeof(*r));
	r->p.flags = flags;
	r->fd = (int)syscall(SYS_io_uring_setup, 8, &r->p);
	if (r->fd < 0) {
		fact("no such io_uring here"); /* then on both sides of the comparison */
		return false;
	}
	r->bytes = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->at = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->sqe = mmap(NULL, 8 * sizeof(*r->sqe), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		      IORING_OFF_SQES);
	return r->at != MAP_FAILED && r->sqe != MAP_FAILED;
}

static void raw_close(struct raw *r)
{
	(void)munmap(r->at, r->bytes);
	(void)munmap(r->sqe, 8 * sizeof(*r->sqe));
	(void)close(r->fd);
}

static _Atomic uint32_t *word(struct raw *r, uint32_t off)
{
	return (_Atomic uint32_t *)(void *)(r->at + off);
}

/* One SQE; it is submitted, and with @wait waited for. */
static int raw_do(struct raw *r, const struct io_uring_sqe *sqe, bool wait)
{
	uint32_t tail = *word(r, r->p.sq_off.tail), head;
	const struct io_uring_cqe *cqe;

	r->sqe[tail & 7] = *sqe;
	*word(r, r->p.sq_off.array + 4 * (tail & 7)) = tail & 7;
	*word(r, r->p.sq_off.tail) = tail + 1;
	if (syscall(SYS_io_uring_enter, r->fd, 1, wait ? 1 : 0, wait ? IORING_ENTER_GETEVENTS : 0,
		    NULL, 0) < 0)
		return -errno;
	if (!wait)
		return 0;
	head = *word(r, r->p.cq_off.head);
	cqe = (const void *)(r->at + r->p.cq_off.cqes);
	*word(r, r->p.cq_off.head) = head + 1;
	return cqe[head & (r->p.cq_entries - 1)].res;
}

static int raw_bytes(struct raw *r, uint8_t opcode, int fd, void *buf, size_t len)
{
	struct io_uring_sqe sqe = { .opcode = opcode, .fd = fd, .addr = (uintptr_t)buf,
				    .len = (uint32_t)len };

	return raw_do(r, &sqe, true);
}

static void raw_exchange(struct raw *r, struct pair *p)
{
	char buf[16] = "", hello[] = HELLO;

	fact("send %d", raw_bytes(r, IORING_OP_SEND, p->fd, hello, LEN));
	fact_bytes("there", far_recv(p, buf, sizeof(buf)), buf);
	(void)far_send(p, HELLO);
	fact_bytes("recv", raw_bytes(r, IORING_OP_RECV, p->fd, buf, sizeof(buf)), buf);
}

static void raw_uses_a_socket(unsigned flags)
{
	struct raw r;
	struct pair in = pair_open(), out = pair_open(), next;
	char buf[16] = "", hello[] = HELLO;
	ssize_t n;

	if (!raw_open(&r, flags))
		return;
	(void)far_send(&in, HELLO);
	(void)wait_for(in.fd, POLLIN);
	n = raw_bytes(&r, IORING_OP_RECV, in.fd, buf, sizeof(buf));
	if (n == -EOPNOTSUPP)
		n = recv(in.fd, buf, sizeof(buf), 0);
	fact_bytes("here", n, buf);
	n = raw_bytes(&r, IORING_OP_SEND, out.fd, hello, LEN);
	if (n == -EOPNOTSUPP)
		n = send(out.fd, hello, LEN, 0);
	fact("sent %zd", n);
	fact_bytes("there", far_recv(&out, buf, sizeof(buf)), buf);
	next = pair_open();
	raw_exchange(&r, &next);
	raw_close(&r);
}

static void uring_raw_uses_a_socket(void)
{
	raw_uses_a_socket(0);
}

static void uring_raw_with_a_thread_of_its_own(void)
{
	raw_uses_a_socket(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

static void uring_raw_closes(void)
{
	struct raw r;
	struct pair p = pair_open();
	char buf[16];

	if (!raw_open(&r, 0))
		return;
	fact("close %d", raw_bytes(&r, IORING_OP_CLOSE, p.fd, NULL, 0));
	fact("the end there %ld", far_recv(&p, buf, sizeof(buf)));
}

/* The kernel takes SQEs by itself: sockets that are made later work. */
static void uring_raw_with_a_kernel_thread(void)
{
	struct raw r;
	struct pair p;
	uint32_t tail, head;
	char buf[16] = "";

	if (!raw_open(&r, IORING_SETUP_SQPOLL))
		return;
	p = pair_open();
	(void)far_send(&p, HELLO);
	tail = *word(&r, r.p.sq_off.tail);
	head = *word(&r, r.p.cq_off.head);
	r.sqe[tail & 7] = (struct io_uring_sqe){ .opcode = IORING_OP_RECV, .fd = p.fd,
						 .addr = (uintptr_t)buf, .len = sizeof(buf) };
	*word(&r, r.p.sq_off.array + 4 * (tail & 7)) = tail & 7;
	*word(&r, r.p.sq_off.tail) = tail + 1;
	(void)syscall(SYS_io_uring_enter, r.fd, 1, 1,
		      IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0);
	fact("complete %d", *word(&r, r.p.cq_off.tail) != head);
	fact_bytes("here", (ssize_t)strnlen(buf, sizeof(buf)), buf);
}

static void uring_raw_connects(void)
{
	struct raw r;
	struct sockaddr_in to;
	struct pair p = pair_listening(&to);
	struct io_uring_sqe sqe = { .opcode = IORING_OP_CONNECT, .fd = p.fd,
				    .addr = (uintptr_t)&to, .off = sizeof(to) };

	if (!raw_open(&r, 0))
		return;
	fact("connect %d", raw_do(&r, &sqe, true));
	fact("accepted %d", far_accept(&p) >= 0);
	raw_exchange(&r, &p);
}

static void uring_raw_fixes_a_file(void)
{
	struct raw r;
	struct pair p = pair_open();
	struct io_uring_sqe sqe = { .opcode = IORING_OP_RECV, .flags = IOSQE_FIXED_FILE };
	char buf[16] = "";
	long n;

	if (!raw_open(&r, 0))
		return;
	(void)far_send(&p, HELLO);
	sqe.addr = (uintptr_t)buf;
	sqe.len = sizeof(buf);
	n = syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_FILES, &p.fd, 1);
	if (n == 0)
		n = raw_do(&r, &sqe, true);
	else if (errno == EOPNOTSUPP)
		n = recv(p.fd, buf, sizeof(buf), 0);
	fact_bytes("here", n, buf);
}

/* Closed and unmapped it lets go of what it waits at. */
static void uring_raw_ends(void)
{
	struct raw r;
	int ends[2];
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD, .poll32_events = POLLIN };
	int64_t until_ms = now_ms() + WAIT_MS;
	bool gone = false;

	if (!raw_open(&r, 0) || pipe(ends) < 0)
		return;
	sqe.fd = ends[0];
	fact("poll %d", raw_do(&r, &sqe, false));
	(void)close(ends[0]);
	fact("it waits %d", write(ends[1], "", 0) == 0 && wait_for(ends[1], POLLOUT) == POLLOUT);
	raw_close(&r);
	while (!gone && now_ms() < until_ms) {
		struct pollfd at = { ends[1], 0, 0 };

		gone = poll(&at, 1, 0) == 1 && at.revents & POLLERR;
		moment();
	}
	fact("it lets go %d", gone);
}

const struct sem_case cases_uring_raw[] = {
	FAR_CASE(uring_raw_uses_a_socket),
	FAR_CASE(uring_raw_with_a_thread_of_its_own),
	FAR_CASE(uring_raw_with_a_kernel_thread),
	FAR_CASE(uring_raw_closes),
	FAR_CASE(uring_raw_connects),
	FAR_CASE(uring_raw_fixes_a_file),
	CASE(uring_raw_ends),
	CASES_END,
};
