/* SPDX-License-Identifier: MIT */
/*
 * cq.c - completion queues: one thread waits for thousands of sockets.
 *
 * A word in the queue of a worker names a slot that the worker has just unarmed. Handing the event
 * out arms it again first and looks at the slot behind that, so what happens later makes a new
 * word. Whether a socket is writable is armed only when it was found full, by nc_send or here:
 * otherwise every acknowledgement would be an event.
 *
 * Locks: attachment.cq_lock, then cq.lock; both before those of a socket.
 */
#include "cq.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ncclient.h"
#include "process.h"

#define CQ_ALWAYS ((uint32_t)(POLLERR | POLLHUP))
#define CQ_BATCH  32

static void cq_wake(struct nc_cq *cq)
{
	/* NOTIFY, as a worker does it. */
	/* DEAD, setting end. */
	atomic_fetch_add_explicit(&cq->shm->seq, 1, memory_order_seq_cst);
	futex_wake_shared(&cq->shm->seq);
	if (cq->fd >= 0)
		(void)send(cq->fd_peer, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: readable */
}

/* To be reported by the next nc_cq_wait; with cq->lock held. */
static void ready_push(struct nc_cq *cq, struct nc_sock *s)
{
	if (s->ready_queued)
		return;
	s->ready_queued = true;
	s->ready_next = NULL;
	*cq->ready_end = s;
	cq->ready_end = &s->ready_next;
	/* DOORBELL, producer end. */
	atomic_fetch_add_explicit(&cq->ready_nr, 1, memory_order_seq_cst);
	if (doorbell_due(&cq->shm->need_wakeup))
		cq_wake(cq);
}

static void ready_remove(struct nc_cq *cq, struct nc_sock *s)
{
	struct nc_sock **at = &cq->ready;

	if (!s->ready_queued)
		return;
	while (*at != s)
		at = &(*at)->ready_next;
	*at = s->ready_next;
	if (cq->ready_end == &s->ready_next)
		cq->ready_end = at;
	s->ready_queued = false;
	/* Relaxed: under cq->lock; the waiter's look may err on the side of looking again. */
	atomic_fetch_sub_explicit(&cq->ready_nr, 1, memory_order_relaxed);
}

/* Arms what @s waits for and returns which of it is true now; with cq->lock held. */
static uint32_t cq_arm_and_look(struct nc_sock *s, uint32_t wanted)
{
	uint32_t wish = EV_ERR | EV_HUP | (wanted & POLLIN ? EV_IN : 0);
	uint32_t ready;

	if (sock_phase(s) == PHASE_LISTENING)
		/* NOTIFY, application end. */
		atomic_fetch_or_explicit(&s->acceptor->shm->notify, NOTIFY_CQ(EV_IN),
					 memory_order_seq_cst);
	else if (sock_slot(s))
		sock_notify(s, NOTIFY_CQ(wish));
	ready = (uint32_t)sock_poll(s, wanted) & wanted;
	if (wanted & POLLOUT && !(ready & POLLOUT) && sock_slot(s)) {
		sock_notify(s, NOTIFY_CQ(EV_OUT));
		ready = (uint32_t)sock_poll(s, wanted) & wanted;
	}
	return ready;
}

/* Names the queue in the shared memory, arms, and reports at once what is true; with cq->lock held.
 */
static void cq_join(struct nc_cq *cq, struct nc_sock *s)
{
	/* Relaxed, here and below: NOTIFY orders qp, cq->lock the owner. */
	uint32_t wanted = atomic_load_explicit(&s->cq_events, memory_order_relaxed);

	if (sock_phase(s) == PHASE_LISTENING) {
		atomic_store_explicit(&s->acceptor->shm->qp, cq->qp, memory_order_relaxed);
		atomic_store_explicit(&s->att->listener_owner[s->acceptor->number], s,
				      memory_order_relaxed);
	} else if (sock_slot(s)) {
		atomic_store_explicit(&sock_slot(s)->qp, cq->qp, memory_order_relaxed);
		atomic_store_explicit(&s->port->owner[s->slot_nr], s, memory_order_relaxed);
	}
	if (cq_arm_and_look(s, wanted) != 0)
		ready_push(cq, s);
}

/* With both locks held. */
static void cq_unlink(struct nc_cq *cq, struct nc_sock *s)
{
	ready_remove(cq, s);
	*s->cq_prev = s->cq_next;
	if (s->cq_next)
		s->cq_next->cq_prev = s->cq_prev;
	s->cq = NULL;
	/* Relaxed: cq->lock orders them for who hands out events. */
	atomic_store_explicit(&s->cq_events, 0, memory_order_relaxed);
	if (sock_phase(s) == PHASE_LISTENING)
		atomic_store_explicit(&s->att->listener_owner[s->acceptor->number], NULL,
				      memory_order_relaxed);
	else if (sock_slot(s))
		atomic_store_explicit(&s->port->owner[s->slot_nr], NULL, memory_order_relaxed);
}

void cq_refresh(struct nc_sock *s)
{
	struct attachment *att = s->att;

	/* Relaxed: nc_cq_add that comes later sees the slot. */
	if (atomic_load_explicit(&s->cq_events, memory_order_relaxed) == 0)
		return;
	lock_take(&att->cq_lock);
	if (s->cq) {
		lock_take(&s->cq->lock);
		cq_join(s->cq, s);
		lock_release(&s->cq->lock);
	}
	lock_release(&att->cq_lock);
}

void cq_detach(struct nc_sock *s)
{
	struct attachment *att = s->att;
	struct nc_cq *cq;

	lock_take(&att->cq_lock);
	cq = s->cq;
	if (cq) {
		lock_take(&cq->lock);
		cq_unlink(cq, s);
		lock_release(&cq->lock);
	}
	lock_release(&att->cq_lock);
}

void cq_wake_all(struct attachment *att)
{
	lock_take(&att->cq_lock);
	for (uint32_t i = 1; i < NCD_QP_NR; i++) {
		struct nc_cq *cq = &att->cq[i];

		if (!cq->used)
			continue;
		lock_take(&cq->lock);
		for (struct nc_sock *s = cq->member; s; s = s->cq_next)
			ready_push(cq, s);
		lock_release(&cq->lock);
		cq_wake(cq);
	}
	lock_release(&att->cq_lock);
}

int nc_cq_create(struct nc_cq **ret_cq)
{
	struct attachment *att;
	struct nc_cq *cq = NULL;
	int ret = process_attach(&att);

	if (ret < 0)
		return ret;
	lock_take(&att->cq_lock);
	for (uint32_t i = 1; i < NCD_QP_NR && !cq; i++)
		if (!att->cq[i].used)
			cq = &att->cq[i];
	if (cq) {
		for (uint32_t w = 0; w < att->layout.workers; w++) {
			const struct region_shm *l = &att->layout;
			struct ring *r = &cq->ring[w];

			ring_init(r,
				  att->segment[0].base + l->port_off + w * l->port_bytes +
					  l->cq_off + cq->qp * l->cq_bytes,
				  NCD_CQ_ENTRIES);
			/* Relaxed: this side wrote it last, for an earlier queue. */
			r->own = atomic_load_explicit(&r->shm->head, memory_order_relaxed);
			r->foreign = r->own;
		}
		cq->member = cq->ready = NULL;
		cq->ready_end = &cq->ready;
		cq->ready_nr = 0;
		cq->used = true;
	}
	lock_release(&att->cq_lock);
	if (!cq) {
		attachment_put(att);
		return -EMFILE;
	}
	*ret_cq = cq; /* with the reference */
	return 0;
}

void nc_cq_destroy(struct nc_cq *cq)
{
	if (!cq)
		return;
	lock_take(&cq->att->cq_lock);
	lock_take(&cq->lock);
	while (cq->member)
		cq_unlink(cq, cq->member);
	/* fd stays: the daemon knows it, and would wake the next user of the queue pair by it. */
	cq->used = false;
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	attachment_put(cq->att);
}

/* The member @number, with both locks held on success. -EBADF. */
static int cq_member(struct nc_cq *cq, int number, struct nc_sock **ret_sock)
{
	struct nc_sock *s = sock_find(number);

	if (!s)
		return -EBADF;
	lock_take(&cq->att->cq_lock);
	lock_take(&cq->lock);
	if (sock_open(s) && s->cq == cq) {
		*ret_sock = s;
		return 0;
	}
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return -EBADF;
}

int nc_cq_add(struct nc_cq *cq, int number, uint32_t events, uint64_t data)
{
	struct nc_sock *s = sock_find(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	lock_take(&cq->att->cq_lock);
	lock_take(&cq->lock);
	/* A closer sets `closing` before it takes cq_lock: we see it, or it sees us. */
	if (!sock_open(s))
		ret = -EBADF;
	else if (s->cq)
		ret = -EEXIST;
	else if (s->att != cq->att || attachment_dead(cq->att))
		ret = -ECONNRESET;
	if (ret == 0) {
		s->cq = cq;
		s->cq_data = data;
		s->cq_next = cq->member;
		s->cq_prev = &cq->member;
		if (cq->member)
			cq->member->cq_prev = &s->cq_next;
		cq->member = s;
		/* Relaxed: nc_send that misses it is followed by the look of cq_join. */
		atomic_store_explicit(&s->cq_events, (events & (POLLIN | POLLOUT)) | CQ_ALWAYS,
				      memory_order_relaxed);
		cq_join(cq, s);
	}
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return ret;
}

int nc_cq_modify(struct nc_cq *cq, int number, uint32_t events, uint64_t data)
{
	struct nc_sock *s;
	int ret = cq_member(cq, number, &s);

	if (ret < 0)
		return ret;
	s->cq_data = data;
	/* Relaxed: as in nc_cq_add. */
	atomic_store_explicit(&s->cq_events, (events & (POLLIN | POLLOUT)) | CQ_ALWAYS,
			      memory_order_relaxed);
	cq_join(cq, s);
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return 0;
}

int nc_cq_remove(struct nc_cq *cq, int number)
{
	struct nc_sock *s;
	int ret = cq_member(cq, number, &s);

	if (ret < 0)
		return ret;
	cq_unlink(cq, s);
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return 0;
}

/* One event of @s, if there is any truth in it. */
static int cq_report(struct nc_sock *s, struct nc_event *ret_event)
{
	/* Relaxed: cq->lock orders it. */
	uint32_t ready =
		cq_arm_and_look(s, atomic_load_explicit(&s->cq_events, memory_order_relaxed));

	if (ready == 0)
		return 0;
	ret_event->data = s->cq_data;
	ret_event->socket = s->number;
	ret_event->events = ready;
	return 1;
}

/* Whose completion @word is; NULL if it is nobody's any more. */
static struct nc_sock *cq_word_owner(struct nc_cq *cq, uint32_t worker, uint64_t word)
{
	uint32_t nr = (uint32_t)word & ~CQ_LISTENER;
	struct nc_sock *s = NULL;

	/* Relaxed: cq->lock orders both tables. */
	if ((uint32_t)word & CQ_LISTENER) {
		if (nr < cq->att->layout.listeners)
			s = atomic_load_explicit(&cq->att->listener_owner[nr],
						 memory_order_relaxed);
	} else if (nr < cq->att->layout.slots) {
		s = atomic_load_explicit(&cq->att->port[worker].owner[nr], memory_order_relaxed);
	}
	return s && s->cq == cq ? s : NULL;
}

/* The lines that reporting it, and the receive and send that follow, will want. */
static void cq_prefetch(const struct nc_cq *cq, uint32_t worker, uint64_t word)
{
	uint32_t nr = (uint32_t)word;
	const struct slot_shm *slot;
	const struct nc_sock *s;

	if (nr >= cq->att->layout.slots)
		return;
	slot = &cq->att->port[worker].slot[nr];
	__builtin_prefetch(&slot->tx_tail, 1);
	__builtin_prefetch(&slot->tx_head, 0);
	/* Relaxed: cq->lock orders the table. */
	s = atomic_load_explicit(&cq->att->port[worker].owner[nr], memory_order_relaxed);
	if (!s)
		return;
	__builtin_prefetch(s, 0);
	__builtin_prefetch(&s->tx, 1);
	__builtin_prefetch(&s->rx, 1);
	__builtin_prefetch(&s->cq, 0);
}

static void cq_prefetch_bytes(struct nc_sock *s)
{
	if (sock_phase(s) != PHASE_CONNECTED)
		return;
	__builtin_prefetch(s->rx.base + rx_place(s), 0);
	__builtin_prefetch(s->tx.base + tx_place(s), 1);
}

/* Words are taken in batches: the worker has just written all their slots, from another core. */
static int cq_collect_worker(struct nc_cq *cq, uint32_t worker, struct nc_event *events, int max)
{
	uint64_t word[CQ_BATCH];
	int n = 0, nr;

	do {
		for (nr = 0; nr < CQ_BATCH && nr < max - n; nr++) {
			if (ring_pop(&cq->ring[worker], &word[nr]) < 0)
				break;
			cq_prefetch(cq, worker, word[nr]);
		}
		for (int i = 0; i < nr; i++) {
			struct nc_sock *s = cq_word_owner(cq, worker, word[i]);

			if (s && cq_report(s, &events[n])) {
				cq_prefetch_bytes(s);
				n++;
			}
		}
	} while (nr == CQ_BATCH && n < max);
	return n;
}

static int cq_collect(struct nc_cq *cq, struct nc_event *events, int max)
{
	int n = 0;

	while (n < max && cq->ready) {
		struct nc_sock *s = cq->ready;

		ready_remove(cq, s);
		n += cq_report(s, &events[n]);
	}
	/* Another worker first each time, so that none fills all the caller's room for ever. */
	cq->turn++;
	for (uint32_t i = 0; i < cq->att->layout.workers && n < max; i++) {
		uint32_t w = (cq->turn + i) % cq->att->layout.workers;

		n += cq_collect_worker(cq, w, &events[n], max - n);
	}
	return n;
}

/* Announces sleep. False, and not announced, if there is something to do. */
static bool cq_arm_sleep(struct nc_cq *cq)
{
	doorbell_arm(&cq->shm->need_wakeup);
	for (uint32_t w = 0; w < cq->att->layout.workers; w++)
		if (!ring_empty(&cq->ring[w]))
			goto err_awake;
	/* DOORBELL, waiter end. */
	if (atomic_load_explicit(&cq->ready_nr, memory_order_seq_cst) > 0 ||
	    attachment_dead(cq->att))
		goto err_awake;
	return true;

err_awake:
	doorbell_disarm(&cq->shm->need_wakeup);
	return false;
}

/* Sleeps until something may have come: 0, -EINTR, -ETIMEDOUT. */
static int cq_sleep(struct nc_cq *cq, uint64_t until_ns)
{
	/* DOORBELL, waiter end: before arming, so that the wake moves it. */
	uint32_t value = atomic_load_explicit(&cq->shm->seq, memory_order_seq_cst);
	int ret;

	if (!cq_arm_sleep(cq))
		return 0;
	/* A worker wakes by both, number and descriptor; the number is cheaper. */
	ret = futex_wait_shared(&cq->shm->seq, value, until_ns);
	doorbell_disarm(&cq->shm->need_wakeup);
	return ret;
}

int nc_cq_wait(struct nc_cq *cq, struct nc_event *events, int max, int timeout_ms)
{
	uint64_t until_ns = 0;
	char bytes[64];
	int ret = 0;

	if (max <= 0)
		return -EINVAL;
	for (;;) {
		int n;

		lock_take(&cq->lock);
		n = cq_collect(cq, events, max);
		lock_release(&cq->lock);
		if (n > 0)
			return n;
		if (attachment_dead(cq->att))
			return -ECONNRESET;
		if (ret < 0)
			return ret == -ETIMEDOUT ? 0 : ret;
		if (timeout_ms == 0) {
			if (cq->fd < 0)
				return 0;
			/* Emptied before it is armed: a later byte stays in it. */
			while (recv(cq->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
				;
			if (cq_arm_sleep(cq))
				return 0;
			continue;
		}
		if (until_ns == 0)
			until_ns = timeout_ms < 0 ? NC_FOREVER
						  : wait_until((uint64_t)timeout_ms * 1000000u);
		ret = cq_sleep(cq, until_ns);
	}
}

int nc_cq_fd(struct nc_cq *cq)
{
	struct ctl_number msg = { .head.type = CTL_CQFD, .number = cq->qp };
	int pair[2], ret;

	lock_take(&cq->lock);
	ret = cq->fd;
	if (ret < 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		ret = -errno;
	} else if (ret < 0) {
		ret = control_ask(cq->att, &msg, sizeof(msg), pair[1], NULL);
		if (ret == 0) {
			/* Readable: to be looked at once before it is trusted. */
			(void)send(pair[1], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
			cq->fd_peer = pair[1];
			ret = pair[0];
			cq->fd = ret;
		} else {
			close(pair[0]);
			close(pair[1]);
		}
	}
	lock_release(&cq->lock);
	return ret;
}
