/* SPDX-License-Identifier: MIT */
/*
 * port_wake.c - wakes applications: by futex, by a word on a completion queue, by the pollable
 * descriptor of a socket.
 *
 * Wishes are cleared before they are served, so that one renewed meanwhile is not lost. Completion
 * queues and listeners are rung once a turn, behind the last of a batch.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ncd/doorbell.h"

#include "port_calls.h"

#define PENDING_A_TURN 256

static void futex_wake(_Atomic uint32_t *seq)
{
	/* Not FUTEX_PRIVATE: the sleeper is another process. If it fails it is its own fault. */
	(void)syscall(SYS_futex, seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void slot_wake(struct slot_shm *shm)
{
	/* NOTIFY, daemon end. */
	uint32_t n = atomic_load_explicit(&shm->notify, memory_order_seq_cst);

	if (!(n & NOTIFY_FUTEX(EV_ALL)))
		return;
	/* NOTIFY, daemon end: a sleeper that sees the new number sees the state. */
	atomic_fetch_add_explicit(&shm->seq, 1, memory_order_release);
	futex_wake(&shm->seq);
}

void pollfd_close(int *pollfd)
{
	if (*pollfd)
		close(*pollfd - 1);
	*pollfd = 0;
}

/* Takes out what makes it full, but for the last byte: libclient/pollfd.c says why. */
static void pollfd_drain(int fd)
{
	char buf[4096];
	int have = 0;

	/* Bounded: the application may fill it again meanwhile, then it is signalled again. */
	for (int i = 0; i < 256 && ioctl(fd, FIONREAD, &have) == 0 && have > 1; i++) {
		size_t nr = (size_t)have - 1 < sizeof(buf) ? (size_t)have - 1 : sizeof(buf);

		if (recv(fd, buf, nr, MSG_DONTWAIT) <= 0)
			break;
	}
}

/*
 * All of these work on a non-blocking socket; what fails was already as it should be. The end of a
 * stream is told by one call, so that who waits sees POLLRDHUP and the POLLIN that it implies at
 * once; POLLERR follows POLLHUP as fast as two calls do.
 */
static void pollfd_signal(int *pollfd, uint32_t events)
{
	int fd = *pollfd - 1;

	if (events & EV_ERR) {
		/* The library may have the same end: then this is what wakes. */
		(void)shutdown(fd, SHUT_RDWR);
		pollfd_close(pollfd);
		return;
	}
	if (events & EV_HUP)
		(void)shutdown(fd, SHUT_WR);
	else if (events & EV_IN)
		(void)send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (events & EV_OUT)
		pollfd_drain(fd);
}

static void port_mark(struct worker *w, struct port *p)
{
	if (p->dirty)
		return;
	p->dirty = true;
	p->dirty_next = w->dirty_ports;
	w->dirty_ports = p;
}

/* Where wishes and their waiters are: the same for slots and listeners. */
struct waiters {
	_Atomic uint32_t *notify, *seq, *qp;
	int *pollfd;
	uint32_t word; /* slot, or listener | CQ_LISTENER */
};

/* A completion for the wishes @got. -EAGAIN: the queue is full. */
static int notify_cq(struct worker *w, struct port *p, const struct waiters *wt, uint32_t got,
		     uint32_t events)
{
	/* Relaxed: the application stored it before its wish. Fetched once. */
	uint32_t qp = atomic_load_explicit(wt->qp, memory_order_relaxed);
	int ret;

	if (qp >= NCD_QP_NR) {
		port_bad(w, p, "queue pair out of range");
		return 0;
	}
	/* An error or the end is said along with whatever was asked for. */
	ret = ring_push(&p->cq[qp], cq_word(wt->word, got | (events & (EV_ERR | EV_HUP))));
	if (ret == -EPROTO) {
		port_bad(w, p, "completion queue's head is impossible");
		return 0;
	}
	if (ret == 0) {
		p->cq_dirty |= 1u << qp;
		port_mark(w, p);
	}
	return ret;
}

/* -EAGAIN: to be tried again, the completion queue is full; the wish stays. */
static int notify(struct worker *w, struct port *p, const struct waiters *wt, uint32_t events)
{
	uint32_t mask = NOTIFY_FUTEX(events) | NOTIFY_CQ(events) | NOTIFY_FD(events);
	/* NOTIFY, daemon end: looks, and clears what is served, in one. */
	uint32_t got = atomic_fetch_and_explicit(wt->notify, ~mask, memory_order_seq_cst) & mask;
	uint32_t tell;
	int ret = 0;

	if (got & NOTIFY_CQ(EV_ALL)) {
		ret = notify_cq(w, p, wt, got >> 8 & EV_ALL, events);
		if (ret == -EAGAIN)
			/* Relaxed: put back for our own next try. */
			atomic_fetch_or_explicit(wt->notify, got & NOTIFY_CQ(EV_ALL),
						 memory_order_relaxed);
	}
	if (got & NOTIFY_FUTEX(EV_ALL)) {
		/* NOTIFY, daemon end: who sees the new number sees what it waited for. */
		atomic_fetch_add_explicit(wt->seq, 1, memory_order_release);
		futex_wake(wt->seq);
		w->wakes_sent++;
	}
	/* An end is told whether it was asked for or not: the library waits for it. Without a
	 * descriptor the wish is for one that comes, and is then told what is true. */
	tell = (got >> 16 & EV_ALL) | (events & (EV_ERR | EV_HUP));
	if (tell && *wt->pollfd) {
		pollfd_signal(wt->pollfd, tell);
		w->wakes_sent++;
	}
	return ret;
}

static struct waiters slot_waiters(struct port *p, uint32_t slot, struct slot_shm *shm)
{
	return (struct waiters){ &shm->notify, &shm->seq, &shm->qp, &p->slot[slot].pollfd, slot };
}

static void pending_add(struct worker *w, struct port *p)
{
	if (p->pending_nr++ == 0)
		w->pending_ports++;
}

static void pending_done(struct worker *w, struct port *p)
{
	if (--p->pending_nr == 0)
		w->pending_ports--;
}

static void slot_pend(struct worker *w, struct port *p, uint32_t slot, uint32_t events)
{
	struct slot *sl = &p->slot[slot];
	bool queued = sl->pending;

	sl->pending |= (uint8_t)events;
	if (queued)
		return;
	sl->pending_next = SLOT_NONE;
	if (p->pending_tail != SLOT_NONE)
		p->slot[p->pending_tail].pending_next = slot;
	else
		p->pending_head = slot;
	p->pending_tail = slot;
	pending_add(w, p);
}

void slot_notify(struct worker *w, struct port *p, uint32_t slot, struct slot_shm *shm,
		 uint32_t events)
{
	struct waiters wt = slot_waiters(p, slot, shm);

	if (notify(w, p, &wt, events) == -EAGAIN)
		slot_pend(w, p, slot, events);
}

static int listener_notify(struct worker *w, struct listener *l)
{
	struct listener_shm *shm = &l->port->listener_shm[l->number];
	struct waiters wt = { &shm->notify, &shm->seq, &shm->qp, &l->pollfd,
			      l->number | CQ_LISTENER };

	return notify(w, l->port, &wt, EV_IN);
}

void listener_mark(struct worker *w, struct listener *l)
{
	if (l->dirty)
		return;
	l->dirty = true;
	l->dirty_next = l->port->dirty_listeners;
	l->port->dirty_listeners = l;
	port_mark(w, l->port);
}

static void wake_listeners(struct worker *w, struct port *p)
{
	struct listener *l = p->dirty_listeners, *next;

	p->dirty_listeners = NULL;
	for (; l; l = next) {
		next = l->dirty_next;
		l->dirty = false;
		if (!l->used || p->bad)
			continue;
		ring_publish(&l->accept);
		group_pushed(w, l);
		if (listener_notify(w, l) == -EAGAIN && !l->pending) {
			l->pending = true;
			p->pending_listeners++;
			pending_add(w, p);
		}
	}
}

static void wake_cq(struct worker *w, struct port *p, uint32_t i)
{
	struct qp_shm *qp = &p->qp_shm[i];
	uint32_t how;

	ring_publish(&p->cq[i]);
	how = doorbell_take(&qp->need_wakeup);
	if (how == DOORBELL_NONE)
		return;
	w->wakes_sent++;
	/* NOTIFY, daemon end: as for a slot. */
	atomic_fetch_add_explicit(&qp->seq, 1, memory_order_release);
	if (how != DOORBELL_FD)
		futex_wake(&qp->seq);
	if (p->cqfd[i])
		pollfd_signal(&p->cqfd[i], EV_IN);
}

static void retry_slots(struct worker *w, struct port *p)
{
	for (uint32_t nr = 0; p->pending_head != SLOT_NONE && nr < PENDING_A_TURN; nr++) {
		uint32_t slot = p->pending_head;
		struct slot *sl = &p->slot[slot];
		struct waiters wt = slot_waiters(p, slot, &p->slot_shm[slot]);

		if (!p->bad && !p->removed && sl->use != SLOT_USE_FREE &&
		    notify(w, p, &wt, sl->pending) == -EAGAIN)
			break;
		sl->pending = 0;
		p->pending_head = sl->pending_next;
		if (p->pending_head == SLOT_NONE)
			p->pending_tail = SLOT_NONE;
		pending_done(w, p);
	}
}

static void retry_listeners(struct worker *w, struct port *p)
{
	for (uint32_t i = 0; p->pending_listeners && i < NCD_LISTENERS_MAX; i++) {
		struct listener *l = &p->listener[i];

		if (!l->pending)
			continue;
		if (l->used && !p->bad && !p->removed && listener_notify(w, l) == -EAGAIN)
			return;
		l->pending = false;
		p->pending_listeners--;
		pending_done(w, p);
	}
}

/* What found its completion queue full is tried again. */
static void retry_pending(struct worker *w)
{
	for (struct port *p = w->ports; p && w->pending_ports; p = p->next) {
		retry_slots(w, p);
		retry_listeners(w, p);
	}
}

uint32_t ports_wake(struct worker *w)
{
	struct port *p, *next;
	uint32_t did = 0;

	if (w->pending_ports)
		retry_pending(w);
	p = w->dirty_ports;
	w->dirty_ports = NULL;
	for (; p; p = next) {
		uint32_t dirty;

		next = p->dirty_next;
		wake_listeners(w, p);
		dirty = p->bad ? 0 : p->cq_dirty;
		p->cq_dirty = 0;
		for (; dirty; dirty &= dirty - 1)
			wake_cq(w, p, (uint32_t)__builtin_ctz(dirty));
		p->dirty = false;
		/* A stream came to it from another queue meanwhile. */
		if (p->dirty_listeners)
			port_mark(w, p);
		did++;
	}
	return did;
}

/* What is true now is signalled at once. */
uint32_t flow_events(const struct flow *f)
{
	uint32_t events = 0;

	if (f->flags & FLOW_ENDED)
		return EV_IN | EV_OUT | EV_ERR | EV_HUP;
	if (stream_rx_contiguous(f->stream) > f->rx_head)
		events |= EV_IN;
	if (stream_rx_ended(f->stream))
		events |= EV_IN | EV_HUP;
	if (f->flags & FLOW_OPEN &&
	    (f->tx_tail - (f->tx.joint ? f->tx_read : f->tx_head) < f->tx_bytes ||
	     f->tx_next.base))
		events |= EV_OUT;
	return events;
}

static int listener_pollfd(struct port *p, uint32_t number, int fd)
{
	struct listener *l;

	if (number >= NCD_LISTENERS_MAX || !p->listener[number].used)
		return -EBADF;
	l = &p->listener[number];
	pollfd_close(&l->pollfd);
	l->pollfd = fd + 1;
	/* Relaxed: a signal too many is harmless, and a stream that comes later signals itself. */
	if (l->accept.own != atomic_load_explicit(&l->accept.shm->head, memory_order_relaxed))
		pollfd_signal(&l->pollfd, EV_IN);
	return 0;
}

int port_pollfd(struct port *p, uint32_t slot, int fd)
{
	struct slot *sl;

	if (slot & CQ_LISTENER)
		return listener_pollfd(p, slot & ~CQ_LISTENER, fd);
	if (slot >= p->layout.slots || p->slot[slot].use == SLOT_USE_FREE || p->removed)
		return -EBADF;
	sl = &p->slot[slot];
	pollfd_close(&sl->pollfd);
	sl->pollfd = fd + 1;
	if (sl->use == SLOT_USE_FAILED)
		pollfd_signal(&sl->pollfd, EV_ERR);
	else if (sl->use == SLOT_USE_LIVE)
		pollfd_signal(&sl->pollfd, flow_events(sl->flow));
	return 0;
}

int port_cqfd(struct port *p, uint32_t qp, int fd)
{
	if (qp >= NCD_QP_NR || p->removed)
		return -EBADF;
	pollfd_close(&p->cqfd[qp]);
	p->cqfd[qp] = fd + 1;
	return 0;
}
