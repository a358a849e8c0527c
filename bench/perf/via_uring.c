/* SPDX-License-Identifier: MIT */
/*
 * via_uring.c - kernel TCP driven by io_uring: each thread one ring (SINGLE_ISSUER | DEFER_TASKRUN
 * where offered); sends and receives of all connections of a turn go in with one io_uring_enter.
 *
 * A connection has a buffer for each direction. While an operation is in flight its buffer is lent
 * to the kernel (tx_busy, rx_busy): nobody touches it, and it is not freed before the completion.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "clock.h"
#include "via.h"
#include "via_kernel.h"

#define URING_BUF_MIN  4096u
#define URING_BUF_MAX  (1u << 20)
#define URING_SQ_MAX   4096u
#define URING_CQ_MAX   65536u
#define URING_DRAIN_MS 1000

/* In the low bits of user_data, below the address of the connection. */
enum uring_op {
	OP_SEND,
	OP_RECV,
	OP_POLL,
	OP_MASK = 3
};

struct uring_conn {
	TAILQ_ENTRY(uring_conn) link; /* in hub's ready list while queued */
	struct conn *conn;
	unsigned char *tx; /* rx follows in the same allocation */
	unsigned char *rx;
	size_t buf_len;
	size_t tx_off; /* of what is being sent */
	size_t tx_end;
	size_t rx_have;
	int err; /* first error of a send or receive */
	bool queued;
	bool tx_busy;
	bool rx_busy;
	bool poll_busy; /* a listener, waiting for connections */
	bool eof;
};

struct uring_hub {
	struct io_uring ring;
	TAILQ_HEAD(, uring_conn) ready;
	size_t buf_len;
};

static int ring_open(struct io_uring *ring, unsigned int entries)
{
	struct io_uring_params p = { .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
					      IORING_SETUP_DEFER_TASKRUN };
	int r;

	p.cq_entries = entries * 8 < URING_CQ_MAX ? entries * 8 : URING_CQ_MAX;
	r = io_uring_queue_init_params(entries, ring, &p);
	if (r != -EINVAL)
		return r;
	p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = p.cq_entries };
	return io_uring_queue_init_params(entries, ring, &p);
}

static int hub_open(struct hub *hub)
{
	unsigned int entries = 64;
	struct uring_hub *u;
	int r;

	while (entries < hub->conn_nr * 2 && entries < URING_SQ_MAX)
		entries *= 2;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	TAILQ_INIT(&u->ready);
	u->buf_len = hub->buf_len < URING_BUF_MIN ? URING_BUF_MIN : hub->buf_len;
	if (u->buf_len > URING_BUF_MAX)
		u->buf_len = URING_BUF_MAX;
	if (hub->conn_nr > 64 && u->buf_len > 64u << 10)
		u->buf_len = 64u << 10; /* thousands of them: bound the memory */
	r = ring_open(&u->ring, entries);
	if (r < 0) {
		free(u);
		return r;
	}
	hub->uring = u;
	hub->set_cubic = kernel_needs_cubic();
	return 0;
}

static void hub_close(struct hub *hub)
{
	if (!hub->uring)
		return;
	io_uring_queue_exit(&hub->uring->ring);
	free(hub->uring);
	hub->uring = NULL;
}

static uint64_t user_data(const struct uring_conn *uc, enum uring_op op)
{
	return (uint64_t)(uintptr_t)uc | (uint64_t)op;
}

/* A free SQE; submits if the queue is full. NULL if the kernel takes none. */
static struct io_uring_sqe *sqe_get(struct uring_hub *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		(void)io_uring_submit(&u->ring); /* the second try tells */
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static int send_start(struct uring_hub *u, struct uring_conn *uc)
{
	struct io_uring_sqe *sqe = sqe_get(u);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_send(sqe, uc->conn->fd, uc->tx + uc->tx_off, uc->tx_end - uc->tx_off,
			   MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, user_data(uc, OP_SEND));
	uc->tx_busy = true;
	return 0;
}

static int recv_start(struct uring_hub *u, struct uring_conn *uc, size_t want)
{
	struct io_uring_sqe *sqe = sqe_get(u);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_recv(sqe, uc->conn->fd, uc->rx, want < uc->buf_len ? want : uc->buf_len, 0);
	io_uring_sqe_set_data64(sqe, user_data(uc, OP_RECV));
	uc->rx_busy = true;
	return 0;
}

static int poll_start(struct uring_hub *u, struct uring_conn *uc)
{
	struct io_uring_sqe *sqe = sqe_get(u);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_poll_multishot(sqe, uc->conn->fd, POLLIN);
	io_uring_sqe_set_data64(sqe, user_data(uc, OP_POLL));
	uc->poll_busy = true;
	return 0;
}

static void send_completed(struct uring_hub *u, struct uring_conn *uc, int res)
{
	uc->tx_busy = false;
	if (res < 0) {
		uc->err = uc->err ? uc->err : res;
		return;
	}
	uc->tx_off += (size_t)res;
	if (uc->tx_off < uc->tx_end && send_start(u, uc) < 0)
		uc->err = uc->err ? uc->err : -EBUSY;
}

static void recv_completed(struct uring_conn *uc, int res)
{
	uc->rx_busy = false;
	if (res > 0)
		uc->rx_have = (size_t)res;
	else if (res == 0)
		uc->eof = true;
	else
		uc->err = uc->err ? uc->err : res;
}

static void ready_push(struct uring_hub *u, struct uring_conn *uc)
{
	if (uc->queued)
		return;
	uc->queued = true;
	TAILQ_INSERT_TAIL(&u->ready, uc, link);
}

static void cqe_handle(struct uring_hub *u, const struct io_uring_cqe *cqe)
{
	uint64_t data = io_uring_cqe_get_data64(cqe);
	struct uring_conn *uc = (struct uring_conn *)(uintptr_t)(data & ~(uint64_t)OP_MASK);

	if (!uc)
		return;
	switch ((enum uring_op)(data & OP_MASK)) {
	case OP_SEND:
		send_completed(u, uc, cqe->res);
		break;
	case OP_RECV:
		recv_completed(uc, cqe->res);
		break;
	case OP_POLL:
	case OP_MASK:
		if (!(cqe->flags & IORING_CQE_F_MORE)) {
			uc->poll_busy = false;
			if (cqe->res >= 0)
				(void)poll_start(u, uc); /* without it: no further connections */
		}
		break;
	}
	ready_push(u, uc);
}

/* Submits what is prepared, waits for a completion unless @timeout_ms is 0, handles all. */
static int uring_turn(struct uring_hub *u, int timeout_ms)
{
	struct __kernel_timespec ts = { .tv_sec = timeout_ms / 1000,
					.tv_nsec = timeout_ms % 1000 * 1000000ll };
	struct io_uring_cqe *cqe;
	unsigned int head, nr = 0;
	int r;

	if (timeout_ms == 0)
		r = io_uring_submit_and_get_events(&u->ring);
	else
		r = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
	if (r < 0 && r != -ETIME && r != -EINTR && r != -EAGAIN && r != -EBUSY)
		return r;
	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		cqe_handle(u, cqe);
		nr++;
	}
	io_uring_cq_advance(&u->ring, nr);
	return (int)nr;
}

static int hub_wait(struct hub *hub, struct conn **ret_ready, int max, int timeout_ms)
{
	struct uring_hub *u = hub->uring;
	struct uring_conn *uc;
	int nr = 0, r;

	r = uring_turn(u, TAILQ_EMPTY(&u->ready) ? timeout_ms : 0);
	if (r < 0)
		return r;
	while (nr < max && (uc = TAILQ_FIRST(&u->ready))) {
		TAILQ_REMOVE(&u->ready, uc, link);
		uc->queued = false;
		ret_ready[nr++] = uc->conn;
	}
	return nr;
}

/* Allocates what the kernel will write to and read from. */
static int conn_prepare(struct conn *c)
{
	struct uring_hub *u = c->hub->uring;
	struct uring_conn *uc;

	if (c->uring)
		return 0;
	uc = calloc(1, sizeof(*uc));
	if (!uc)
		return -ENOMEM;
	uc->tx = calloc(2, u->buf_len);
	if (!uc->tx) {
		free(uc);
		return -ENOMEM;
	}
	uc->rx = uc->tx + u->buf_len;
	uc->buf_len = u->buf_len;
	uc->conn = c;
	c->uring = uc;
	return 0;
}

static int conn_attach(struct conn *c)
{
	int r = conn_prepare(c);

	if (r < 0 || !c->uring)
		return r;
	if (c->kind == CONN_LISTENER)
		return poll_start(c->hub->uring, c->uring);
	/* Its first turn finds nothing there and posts the first receive. */
	if (c->kind == CONN_FLOW && !c->blocking)
		ready_push(c->hub->uring, c->uring);
	return 0;
}

static void conn_free(struct conn *c)
{
	struct uring_conn *uc = c->uring;

	if (uc->queued)
		TAILQ_REMOVE(&c->hub->uring->ready, uc, link);
	free(uc->tx);
	free(uc);
	c->uring = NULL;
}

/* Not while operations are in flight: only connections that were never used move to another hub. */
static void conn_detach(struct conn *c)
{
	struct uring_conn *uc = c->uring;

	if (uc && !uc->tx_busy && !uc->rx_busy && !uc->poll_busy)
		conn_free(c);
}

static int conn_connect(struct conn *c, const struct endpoint *ep, const struct endpoint *from)
{
	/* On loopback, where this is used, connect(2) never waits. */
	bool blocking = c->blocking;
	int r;

	c->blocking = true;
	r = kernel_connect(c, ep, from);
	c->blocking = blocking;
	return r;
}

/* Blocking connections: lets the ring turn until @busy is over, for at most VIA_BLOCK_MS. */
static int conn_settle(struct conn *c, const bool *busy)
{
	uint64_t deadline_ns = clock_now_ns() + VIA_BLOCK_MS * NS_PER_MS;
	int r;

	while (*busy) {
		r = uring_turn(c->hub->uring, VIA_BLOCK_MS);
		if (r < 0)
			return r;
		if (*busy && clock_now_ns() >= deadline_ns)
			return -EAGAIN;
	}
	return 0;
}

static ssize_t conn_tx_view(struct conn *c, size_t want, void **ret_buf)
{
	struct uring_conn *uc = c->uring;
	int r;

	if (uc->tx_busy && c->blocking) {
		r = conn_settle(c, &uc->tx_busy);
		if (r < 0)
			return r;
	}
	if (uc->err)
		return uc->err;
	if (uc->tx_busy)
		return -EAGAIN;
	*ret_buf = uc->tx;
	return (ssize_t)(want < uc->buf_len ? want : uc->buf_len);
}

/* Goes to the kernel with the next turn, together with what else was prepared. */
static ssize_t conn_tx_push(struct conn *c, size_t len)
{
	struct uring_conn *uc = c->uring;
	int r;

	uc->tx_off = 0;
	uc->tx_end = len;
	r = send_start(c->hub->uring, uc);
	return r < 0 ? r : (ssize_t)len;
}

static ssize_t conn_rx_view(struct conn *c, size_t want, const void **ret_buf)
{
	struct uring_conn *uc = c->uring;
	int r;

	if (uc->rx_have == 0 && !uc->rx_busy && !uc->eof && !uc->err) {
		r = recv_start(c->hub->uring, uc, want);
		if (r < 0)
			return r;
	}
	if (uc->rx_busy && c->blocking) {
		r = conn_settle(c, &uc->rx_busy);
		if (r < 0)
			return r;
	}
	if (uc->rx_have > 0) {
		*ret_buf = uc->rx;
		return (ssize_t)uc->rx_have;
	}
	if (uc->eof)
		return 0;
	return uc->err ? uc->err : -EAGAIN;
}

static int conn_rx_done(struct conn *c, size_t len)
{
	(void)len; /* always the whole view */
	c->uring->rx_have = 0;
	return 0;
}

/* Lets what was pushed go out. Returns -ETIMEDOUT if the other side does not take it. */
static int conn_flush(struct conn *c)
{
	uint64_t deadline_ns = clock_now_ns() + URING_DRAIN_MS * NS_PER_MS;

	while (c->uring && c->uring->tx_busy) {
		int r = uring_turn(c->hub->uring, 10);

		if (r < 0)
			return r;
		if (clock_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
	return 0;
}

static int conn_finish(struct conn *c)
{
	int r = conn_flush(c);

	return r < 0 ? r : kernel_finish(c);
}

static bool conn_lent(const struct uring_conn *uc)
{
	return uc->tx_busy || uc->rx_busy || uc->poll_busy;
}

/* Ends what is in flight, so that nothing is lent to the kernel any more. */
static void conn_quiesce(struct conn *c)
{
	uint64_t deadline_ns = clock_now_ns() + URING_DRAIN_MS * NS_PER_MS;
	struct uring_conn *uc = c->uring;
	struct io_uring_sqe *sqe;

	if (uc->poll_busy) {
		sqe = sqe_get(c->hub->uring);
		if (sqe) {
			io_uring_prep_poll_remove(sqe, user_data(uc, OP_POLL));
			io_uring_sqe_set_data64(sqe, 0);
		}
	}
	if (uc->rx_busy || uc->tx_busy)
		(void)shutdown(c->fd, SHUT_RDWR);
	while (conn_lent(uc) && clock_now_ns() < deadline_ns)
		if (uring_turn(c->hub->uring, 10) < 0)
			break;
}

static void conn_close(struct conn *c)
{
	struct uring_conn *uc = c->uring;

	if (c->fd < 0)
		return;
	if (uc) {
		(void)conn_flush(c); /* what does not go out is cut off */
		conn_quiesce(c);
		if (!conn_lent(uc))
			conn_free(c);
		else if (uc->queued) /* its memory stays with the kernel until the process ends */
			TAILQ_REMOVE(&c->hub->uring->ready, uc, link);
		c->uring = NULL;
	}
	kernel_close(c);
}

const struct via via_tcp_uring = {
	.name = "tcp-uring",
	.what = "kernel TCP through io_uring",
	.control = &via_tcp,
	.attach_first = true,
	.hub_open = hub_open,
	.hub_close = hub_close,
	.wait = hub_wait,
	.listen = kernel_listen,
	.accept = kernel_accept,
	.connect = conn_connect,
	.connected = kernel_connected,
	.bound = kernel_bound,
	.attach = conn_attach,
	.detach = conn_detach,
	.option = kernel_option,
	.tx_view = conn_tx_view,
	.tx_push = conn_tx_push,
	.rx_view = conn_rx_view,
	.rx_done = conn_rx_done,
	.finish = conn_finish,
	.close = conn_close,
};
