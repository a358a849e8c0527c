/* SPDX-License-Identifier: MIT */
/*
 * io_uring.c - the io_uring back end; the only file that includes liburing.h.
 *
 * A completion's user_data is the address of its link or watch, with what it was for in the low
 * bits.
 *
 * Behind a receive that was filled, and left more, the next is made at once: so a turn takes
 * several large frames, and who reads them is woken once. One receive may be held: the next of a
 * link that has just brought little, as in a ping-pong. It is tried with a plain recvmsg at each
 * poll, and goes to the ring before the worker sleeps: a receive that finds its bytes there costs
 * the kernel half of one that waits in a poll list and is woken.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>

#include "io_backend.h"

enum tag { TAG_RECV = 0, TAG_SEND, TAG_WATCH, TAG_NONE, TAG_MASK = 3 };

#define SQ_ENTRIES    256u
#define SMALL_RECEIVE 65536 /* held only after one of at most this */
#define HOLD_TRIES    4096u /* then others than this link are what the worker is busy with */

/* Not in older headers. */
#define ENTER_NO_IOWAIT (1u << 7)
#define FEAT_NO_IOWAIT  (1u << 17)

struct uring {
	struct io io;
	struct io_uring ring;
	uint32_t urgent;      /* queued, to be submitted at the next poll */
	struct io_link *held; /* its receive is tried at each poll */
	uint32_t tries;       /* of it, in vain */
	bool no_iowait; /* the kernel can sleep for us without calling it waiting for a disk */
};

static struct uring *uring_of(struct io *io)
{
	return (struct uring *)(void *)io;
}

static struct io_uring_sqe *uring_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	while (!sqe) {
		u->io.calls++;
		(void)io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static void sqe_tag(struct io_uring_sqe *sqe, const void *of, enum tag tag)
{
	sqe->user_data = (uint64_t)(uintptr_t)of | tag;
}

static int uring_link_add(struct io *io, struct io_link *l)
{
	(void)io;
	l->drained = true;
	return 0;
}

static void uring_cancel(struct uring *u, const void *of, enum tag tag)
{
	struct io_uring_sqe *sqe = uring_sqe(u);

	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)of | tag, 0);
	sqe_tag(sqe, NULL, TAG_NONE);
	u->urgent++;
}

static void uring_link_drop(struct io *io, struct io_link *l)
{
	struct uring *u = uring_of(io);

	if (u->held == l) {
		u->held = NULL;
		io_recv_done(io, l, -ECANCELED);
	}
	if (l->rx == IO_LENT)
		uring_cancel(u, l, TAG_RECV);
	if (l->tx == IO_LENT)
		uring_cancel(u, l, TAG_SEND);
}

static void uring_link_remove(struct io *io, struct io_link *l)
{
	(void)io;
	(void)l;
}

static void recv_submit(struct uring *u, struct io_link *l)
{
	struct io_uring_sqe *sqe = uring_sqe(u);

	io_uring_prep_recvmsg(sqe, l->fd, &l->rx_msg, MSG_NOSIGNAL);
	if (l->drained)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe_tag(sqe, l, TAG_RECV);
	u->urgent++;
}

/* Was the receive of @bytes as large as it could be? */
static bool filled(const struct io_link *l, size_t bytes)
{
	size_t room = 0;

	for (size_t i = 0; i < l->rx_msg.msg_iovlen; i++)
		room += l->rx_msg.msg_iov[i].iov_len;
	return bytes == room;
}

/* Bytes, or -errno: -EAGAIN if there is nothing yet, -EPIPE at the end. */
static int recv_now(struct uring *u, struct io_link *l)
{
	ssize_t n;

	u->io.calls++;
	n = recvmsg(l->fd, &l->rx_msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	/* A receive that was not filled has emptied the socket. */
	l->filled = filled(l, (size_t)n);
	l->drained = !l->filled;
	return n == 0 ? -EPIPE : (int)n;
}

static int uring_recv(struct io *io, struct io_link *l)
{
	struct uring *u = uring_of(io);

	if (l->filled && !l->drained) {
		int n = recv_now(u, l);

		if (n != -EAGAIN) {
			l->rx_result = n;
			return n;
		}
		l->filled = false;
		l->drained = true;
	}
	l->rx = IO_LENT;
	if (!u->held && l->drained && l->rx_result > 0 && l->rx_result <= SMALL_RECEIVE) {
		u->held = l;
		u->tries = 0;
	} else {
		recv_submit(u, l);
	}
	return 0;
}

static void held_submit(struct uring *u)
{
	struct io_link *l = u->held;

	u->held = NULL;
	if (l)
		recv_submit(u, l);
}

static void held_try(struct uring *u)
{
	struct io_link *l = u->held;
	int n = recv_now(u, l);

	if (n == -EAGAIN) {
		if (++u->tries == HOLD_TRIES)
			held_submit(u);
		return;
	}
	u->held = NULL;
	io_recv_done(&u->io, l, n);
}

/* What io_uring sends of a file goes by a pipe and a kernel thread, and what a send takes is not to
 * be seen: the call itself is made here, and the ring only waits for room. */
static void await_room(struct uring *u, struct io_link *l)
{
	struct io_uring_sqe *sqe = uring_sqe(u);

	io_uring_prep_poll_add(sqe, l->fd, POLLOUT);
	sqe_tag(sqe, l, TAG_SEND);
	l->tx = IO_LENT;
	l->tx_polled = true;
	u->urgent++;
}

static int send_now(struct uring *u, struct io_link *l)
{
	int n = io_send_now(&u->io, l);

	if (n != -EAGAIN)
		return n;
	await_room(u, l);
	return 0;
}

static void complete_send(struct uring *u, struct io_link *l, int result)
{
	if (l->tx_polled && result >= 0) {
		result = io_send_now(&u->io, l);
		if (result == -EAGAIN && !l->dropped) {
			await_room(u, l);
			return;
		}
	}
	l->tx_polled = false;
	io_send_done(&u->io, l, result);
}

static int uring_send(struct io *io, struct io_link *l)
{
	struct uring *u = uring_of(io);
	struct io_uring_sqe *sqe;

	if (l->tx_file_nr > 0 || l->tx_now)
		return send_now(u, l);
	sqe = uring_sqe(u);
	io_uring_prep_sendmsg(sqe, l->fd, &l->tx_msg, MSG_NOSIGNAL);
	sqe_tag(sqe, l, TAG_SEND);
	l->tx = IO_LENT;
	u->urgent++;
	return 0;
}

static int uring_watch_add(struct io *io, struct io_watch *w)
{
	struct uring *u = uring_of(io);
	struct io_uring_sqe *sqe = uring_sqe(u);

	io_uring_prep_poll_multishot(sqe, w->fd, POLLIN);
	sqe_tag(sqe, w, TAG_WATCH);
	w->lent = true;
	u->urgent++;
	return 0;
}

static void uring_watch_remove(struct io *io, struct io_watch *w)
{
	if (w->lent)
		uring_cancel(uring_of(io), w, TAG_WATCH);
}

static void complete_watch(struct uring *u, struct io_watch *w, const struct io_uring_cqe *cqe)
{
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		w->lent = false;
		/* Multishot ends when the completion queue was full, for one. */
		if (!w->removed && cqe->res != -ECANCELED)
			(void)uring_watch_add(&u->io, w);
	}
	if (cqe->res >= 0)
		io_watch_rung(&u->io, w);
}

/* A spurious end leaves the direction idle with nothing done: the caller simply starts again. */
static int uring_result(const struct io_uring_cqe *cqe)
{
	return cqe->res == -EINTR || cqe->res == -EAGAIN ? -EAGAIN : cqe->res;
}

static void uring_reap(struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe) {
		void *of = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
		struct io_link *l = of;

		seen++;
		switch ((enum tag)(cqe->user_data & TAG_MASK)) {
		case TAG_RECV:
			l->drained = !(cqe->flags & IORING_CQE_F_SOCK_NONEMPTY);
			l->filled = cqe->res > 0 && filled(l, (size_t)cqe->res);
			io_recv_done(&u->io, l, uring_result(cqe));
			break;
		case TAG_SEND:
			complete_send(u, l, uring_result(cqe));
			break;
		case TAG_WATCH:
			complete_watch(u, of, cqe);
			break;
		case TAG_NONE:
		default:
			break;
		}
	}
	io_uring_cq_advance(&u->ring, seen);
}

/* True if the kernel has work that only an enter makes it do. */
static bool uring_flagged(const struct uring *u)
{
	/* Relaxed: a flag seen late is seen at the next look; before sleeping, the wait itself
	 * runs the work. */
	unsigned int flags = __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);

	return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void uring_poll(struct io *io)
{
	struct uring *u = uring_of(io);

	if (u->urgent || uring_flagged(u)) {
		u->urgent = 0;
		io->calls++;
		(void)io_uring_submit_and_get_events(&u->ring);
	}
	uring_reap(u);
	if (u->held)
		held_try(u);
}

/*
 * liburing's wait makes an idle daemon look like one that waits for a disk all the time (iowait in
 * top, and in the frequency governor). Kernels from 6.15 on can be told otherwise.
 */
static void wait_without_iowait(struct uring *u, const struct __kernel_timespec *ts)
{
	struct io_uring_getevents_arg arg = { .ts = (uint64_t)(uintptr_t)ts };
	union {
		struct io_uring_getevents_arg *arg;
		sigset_t *sig;
	} u_arg = { .arg = &arg }; /* what EXT_ARG makes of the parameter */

	if (io_uring_sq_ready(&u->ring)) {
		u->io.calls++;
		(void)io_uring_submit_and_get_events(&u->ring);
		if (io_uring_cq_ready(&u->ring))
			return;
	}
	u->io.calls++;
	(void)io_uring_enter2((unsigned int)u->ring.ring_fd, 0, 1,
			      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | ENTER_NO_IOWAIT,
			      u_arg.sig, sizeof(arg));
}

static void uring_wait(struct io *io, uint64_t timeout_ns)
{
	struct uring *u = uring_of(io);
	struct __kernel_timespec ts = {
		.tv_sec = (int64_t)(timeout_ns / 1000000000u),
		.tv_nsec = (int64_t)(timeout_ns % 1000000000u),
	};
	struct __kernel_timespec *limit = timeout_ns == UINT64_MAX ? NULL : &ts;
	struct io_uring_cqe *cqe;

	held_submit(u);
	u->urgent = 0;
	/* -ETIME, -EINTR: the caller looks around either way. */
	if (u->no_iowait) {
		wait_without_iowait(u, limit);
	} else {
		io->calls++;
		(void)io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, limit, NULL);
	}
	uring_reap(u);
}

static bool uring_pending(struct io *io)
{
	struct uring *u = uring_of(io);

	return u->urgent || io_uring_cq_ready(&u->ring) || uring_flagged(u);
}

static void uring_destroy(struct io *io)
{
	struct uring *u = uring_of(io);

	io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct io_ops uring_ops = {
	.name = "io_uring",
	.destroy = uring_destroy,
	.link_add = uring_link_add,
	.link_drop = uring_link_drop,
	.link_remove = uring_link_remove,
	.recv = uring_recv,
	.send = uring_send,
	.watch_add = uring_watch_add,
	.watch_remove = uring_watch_remove,
	.poll = uring_poll,
	.wait = uring_wait,
	.pending = uring_pending,
};

int io_uring_create(uint32_t links_max, struct io **ret_io)
{
	/* Best first; which of them this kernel knows is found out by asking. */
	static const unsigned int modes[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	struct uring *u = calloc(1, sizeof(*u));
	int ret = -EINVAL;

	if (!u)
		return -ENOMEM;
	u->io.ops = &uring_ops;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && ret == -EINVAL; i++) {
		struct io_uring_params p = {
			.flags = modes[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = 4 * (links_max < 512 ? 512 : links_max),
		};

		ret = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &p);
		u->no_iowait = p.features & FEAT_NO_IOWAIT;
		/* Sleeping with a timeout needs it, and so do completions that must not be lost
		 * (5.11). */
		if (ret == 0 && (p.features & (IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP)) !=
					(IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP)) {
			io_uring_queue_exit(&u->ring);
			ret = -ENOSYS;
		}
	}
	if (ret < 0) {
		free(u);
		return ret;
	}
	*ret_io = &u->io;
	return 0;
}
