/* SPDX-License-Identifier: MIT */
/*
 * cq_member.c - the sockets of a completion queue, and which of them may be ready.
 *
 * Whether a socket is writable is armed only when it was found full, by nc_send or here: otherwise
 * every acknowledgement would be an event.
 *
 * Locks: attachment.cq_lock, then cq.lock; both before those of a socket.
 */
#include <poll.h>
#include <sys/socket.h>

#include "cq.h"

#define CQ_ALWAYS ((uint32_t)(POLLERR | POLLHUP))
#define CQ_IN     ((uint32_t)(POLLIN | POLLRDNORM))
#define CQ_OUT    ((uint32_t)(POLLOUT | POLLWRNORM))
#define CQ_ASKED  ((uint32_t)(POLLIN | POLLOUT | POLLRDHUP)) /* by nc_cq_add */

void cq_wake(struct nc_cq *cq, uint32_t how)
{
	/* DEAD, setting end; NOTIFY, as a worker does it. */
	atomic_fetch_add_explicit(&cq->shm->seq, 1, memory_order_seq_cst);
	if (how != DOORBELL_FD)
		futex_wake_shared(&cq->shm->seq);
	if (how != DOORBELL_FUTEX && cq->fd >= 0) {
		cq->tokens++;
		(void)send(cq->fd_peer, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: readable */
	}
}

void ready_append(struct nc_cq *cq, struct nc_sock *s)
{
	if (s->ready_queued)
		return;
	s->ready_queued = true;
	s->ready_next = NULL;
	*cq->ready_end = s;
	cq->ready_end = &s->ready_next;
	/* Relaxed: it changes under cq->lock; ready_push orders it for who is about to sleep. */
	atomic_store_explicit(&cq->ready_nr, cq->ready_nr + 1, memory_order_relaxed);
}

void ready_push(struct nc_cq *cq, struct nc_sock *s)
{
	uint32_t how;

	if (s->ready_queued)
		return;
	ready_append(cq, s);
	/* DOORBELL, producer end. */
	atomic_store_explicit(&cq->ready_nr, cq->ready_nr, memory_order_seq_cst);
	how = doorbell_take(&cq->shm->need_wakeup);
	if (how)
		cq_wake(cq, how);
}

void ready_remove(struct nc_cq *cq, struct nc_sock *s)
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
	atomic_store_explicit(&cq->ready_nr, cq->ready_nr - 1, memory_order_relaxed);
}

/* A wish that is still there will be served by a word: it need not be said again. */
static void wish_arm(_Atomic uint32_t *notify, uint32_t wish)
{
	/* Relaxed: found set, nothing follows from it but that; NOTIFY orders what does. */
	if ((atomic_load_explicit(notify, memory_order_relaxed) & wish) != wish)
		/* NOTIFY, application end. */
		atomic_fetch_or_explicit(notify, wish, memory_order_seq_cst);
}

/* A wish of an earlier queue may be there: who serves it behind this sees the new one. */
static void wish_repeat(_Atomic uint32_t *notify)
{
	/* NOTIFY, application end. */
	atomic_fetch_or_explicit(notify, NOTIFY_CQ(EV_ERR), memory_order_seq_cst);
}

uint32_t cq_arm_and_look(struct nc_sock *s, uint32_t wanted)
{
	/* A lent one hears when it moves, too. */
	bool in = wanted & CQ_IN || flag_get(&s->lent);
	uint32_t wish = EV_ERR | EV_HUP | (in ? EV_IN : 0);
	uint32_t ready;

	if (wanted == 0)
		return 0;
	if (sock_phase(s) == PHASE_LISTENING)
		wish_arm(&s->acceptor->shm->notify, NOTIFY_CQ(EV_IN));
	else if (sock_slot(s))
		wish_arm(&sock_slot(s)->notify, NOTIFY_CQ(wish));
	ready = (uint32_t)(uint16_t)sock_poll(s, wanted) & wanted;
	if (wanted & CQ_OUT && !(ready & CQ_OUT) && sock_slot(s)) {
		wish_arm(&sock_slot(s)->notify, NOTIFY_CQ(EV_OUT));
		ready = (uint32_t)(uint16_t)sock_poll(s, wanted) & wanted;
	}
	return ready;
}

void cq_name(struct nc_cq *cq, struct nc_sock *s)
{
	/* Relaxed, all: NOTIFY orders qp, cq->lock the owner. */
	if (sock_phase(s) == PHASE_LISTENING) {
		atomic_store_explicit(&s->acceptor->shm->qp, cq->qp, memory_order_relaxed);
		atomic_store_explicit(&s->att->listener_owner[s->acceptor->number], s,
				      memory_order_relaxed);
		wish_repeat(&s->acceptor->shm->notify);
		return;
	}
	lock_take(&s->lock); /* another thread may just fetch it to another slot */
	if (sock_slot(s)) {
		atomic_store_explicit(&sock_slot(s)->qp, cq->qp, memory_order_relaxed);
		atomic_store_explicit(&s->port->owner[s->slot_nr], s, memory_order_relaxed);
		wish_repeat(&sock_slot(s)->notify);
	}
	lock_release(&s->lock);
}

/* Names the queue, arms, and reports at once what is true; with cq->lock held. */
static void cq_join(struct nc_cq *cq, struct nc_sock *s)
{
	/* Relaxed: cq->lock orders it. */
	uint32_t wanted = atomic_load_explicit(&s->cq_events, memory_order_relaxed);

	cq_name(cq, s);
	if (cq_arm_and_look(s, wanted) != 0 || sock_lent_away(s))
		ready_push(cq, s);
}

/* With both locks held. */
void cq_unlink(struct nc_cq *cq, struct nc_sock *s)
{
	ready_remove(cq, s);
	*s->cq_prev = s->cq_next;
	if (s->cq_next)
		s->cq_next->cq_prev = s->cq_prev;
	s->cq = NULL;
	/* Relaxed: cq->lock orders them for who hands out events. */
	atomic_store_explicit(&s->cq_events, 0, memory_order_relaxed);
	if (sock_phase(s) == PHASE_LISTENING) {
		atomic_store_explicit(&s->att->listener_owner[s->acceptor->number], NULL,
				      memory_order_relaxed);
		return;
	}
	lock_take(&s->lock); /* as in cq_name */
	if (sock_slot(s))
		atomic_store_explicit(&s->port->owner[s->slot_nr], NULL, memory_order_relaxed);
	lock_release(&s->lock);
}

void cq_refresh(struct nc_sock *s)
{
	struct attachment *att;

	/* Relaxed: nc_cq_add that comes later sees the slot. */
	if (atomic_load_explicit(&s->cq_events, memory_order_relaxed) == 0)
		return;
	att = s->att;
	lock_take(&att->cq_lock);
	if (s->cq) {
		lock_take(&s->cq->lock);
		cq_join(s->cq, s);
		lock_release(&s->cq->lock);
	}
	lock_release(&att->cq_lock);
}

void cq_look_again(struct nc_sock *s)
{
	struct attachment *att;

	/* Relaxed: nc_cq_add that comes later looks for itself. */
	if (atomic_load_explicit(&s->cq_events, memory_order_relaxed) == 0)
		return;
	att = s->att;
	if (!att)
		return; /* closed meanwhile */
	lock_take(&att->cq_lock);
	if (s->cq) {
		lock_take(&s->cq->lock);
		ready_push(s->cq, s);
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

void cq_hold(struct attachment *att, struct nc_sock *s)
{
	lock_take(&att->cq_lock);
	if (s->cq)
		lock_take(&s->cq->lock);
}

void cq_let_go(struct attachment *att, struct nc_sock *s)
{
	if (s->cq)
		lock_release(&s->cq->lock);
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
		cq_wake(cq, 0);
		lock_release(&cq->lock);
	}
	lock_release(&att->cq_lock);
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

/* What is reported of it; with cq->lock held. */
static void member_set(struct nc_sock *s, uint32_t events, uint32_t flags, uint64_t data)
{
	s->cq_data = data;
	s->cq_flags = (uint8_t)flags;
	/* Relaxed: nc_send that misses it is followed by the look of cq_join. */
	atomic_store_explicit(&s->cq_events, events | CQ_ALWAYS, memory_order_relaxed);
}

/* What @s is in it leaves for @to, if it may: who sleeps there looks again. With cq_lock held. */
static void weak_give_up(struct nc_sock *s, const struct nc_cq *to)
{
	struct nc_cq *cq = s->att == to->att ? s->cq : NULL;

	if (!cq || !cq->weak || cq == to)
		return;
	lock_take(&cq->lock);
	if (!cq->asleep || !to->weak)
		cq_unlink(cq, s);
	if (cq->asleep && !s->cq)
		cq_wake(cq, 0);
	lock_release(&cq->lock);
}

int cq_add(struct nc_cq *cq, int number, uint32_t events, uint32_t flags, uint64_t data)
{
	struct nc_sock *s = sock_find(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	lock_take(&cq->att->cq_lock);
	weak_give_up(s, cq);
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
		s->cq_next = cq->member;
		s->cq_prev = &cq->member;
		if (cq->member)
			cq->member->cq_prev = &s->cq_next;
		cq->member = s;
		member_set(s, events, flags, data);
		cq_join(cq, s);
	}
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return ret;
}

int nc_cq_add(struct nc_cq *cq, int number, uint32_t events, uint64_t data)
{
	return cq_add(cq, number, events & CQ_ASKED, 0, data);
}

int cq_modify(struct nc_cq *cq, int number, uint32_t events, uint32_t flags, uint64_t data)
{
	struct nc_sock *s;
	int ret = cq_member(cq, number, &s);

	if (ret < 0)
		return ret;
	member_set(s, events, flags, data);
	cq_join(cq, s);
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return 0;
}

int cq_want(struct nc_cq *cq, int number, uint32_t events)
{
	struct nc_sock *s;

	if (cq_member(cq, number, &s) < 0)
		return cq_add(cq, number, events, CQ_ONESHOT, 0);
	/* Relaxed: cq->lock orders it. The same, not reported since: it is armed. */
	if (atomic_load_explicit(&s->cq_events, memory_order_relaxed) != (events | CQ_ALWAYS)) {
		member_set(s, events, CQ_ONESHOT, 0);
		cq_join(cq, s);
	}
	lock_release(&cq->lock);
	lock_release(&cq->att->cq_lock);
	return 0;
}

int nc_cq_modify(struct nc_cq *cq, int number, uint32_t events, uint64_t data)
{
	return cq_modify(cq, number, events & CQ_ASKED, 0, data);
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
