/* SPDX-License-Identifier: MIT */
/*
 * cq.c - completion queues: what is ready of thousands of sockets.
 *
 * A word in the queue of a worker names a slot that the worker has just unarmed. Its socket goes to
 * the ready list; reporting it arms it again first and looks at the slot behind that.
 *
 * Locks: attachment.cq_lock, then cq.lock; both before those of a socket.
 */
#include "cq.h"

#include "process.h"

#define CQ_BATCH 32
#define WEAK_MAX 4 /* queues of threads' polls: there are NCD_QP_NR for everything */

/* A queue that nobody has, or NULL. With cq_lock held. */
static struct nc_cq *cq_unused(struct attachment *att, bool weak)
{
	struct nc_cq *cq = NULL;
	uint32_t weaks = 0;

	for (uint32_t i = NCD_QP_NR - 1; i > 0; i--) {
		if (!att->cq[i].used)
			cq = &att->cq[i];
		else
			weaks += att->cq[i].weak;
	}
	return weak && weaks >= WEAK_MAX ? NULL : cq;
}

static int cq_create(bool weak, struct nc_cq **ret_cq)
{
	struct attachment *att;
	struct nc_cq *cq;
	int ret = process_attach(&att);

	if (ret < 0)
		return ret;
	lock_take(&att->cq_lock);
	cq = cq_unused(att, weak);
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
		cq->sleepers = 0;
		cq->asleep = false;
		cq->weak = weak;
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

int nc_cq_create(struct nc_cq **ret_cq)
{
	return cq_create(false, ret_cq);
}

int cq_create_weak(struct nc_cq **ret_cq)
{
	return cq_create(true, ret_cq);
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

bool cq_in_use(struct nc_cq *cq)
{
	bool used;

	lock_take(&cq->lock);
	used = cq->member != NULL;
	lock_release(&cq->lock);
	return used;
}

bool cq_has(struct nc_cq *cq, int number)
{
	struct nc_sock *s = sock_find(number);
	bool has;

	lock_take(&cq->lock);
	has = s && s->cq == cq;
	lock_release(&cq->lock);
	return has;
}

void cq_ring(struct nc_cq *cq)
{
	lock_take(&cq->lock);
	cq_wake(cq, DOORBELL_FD);
	lock_release(&cq->lock);
}

bool cq_dead(struct nc_cq *cq)
{
	return attachment_dead(cq->att);
}

/* Fetches @s, which ncd has moved: only here it can be looked at. False: a call is to tell why. */
static bool cq_bring(struct nc_cq *cq, struct nc_sock *s)
{
	int ret = -EBADF;

	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	if (sock_open(s))
		ret = sock_lent_away(s) ? sock_fetch_locked(s) : 0;
	sock_release_all(s);
	if (ret == 0)
		cq_name(cq, s);
	return ret == 0;
}

/* One event of @s, if there is any truth in it. */
static int cq_report(struct nc_cq *cq, struct nc_sock *s, struct nc_event *ret_event)
{
	/* Relaxed: cq->lock orders it. */
	uint32_t wanted = atomic_load_explicit(&s->cq_events, memory_order_relaxed);
	uint32_t ready = cq_arm_and_look(s, wanted);

	while (wanted && sock_lent_away(s) && cq_bring(cq, s))
		ready = cq_arm_and_look(s, wanted);
	if (ready == 0)
		return 0;
	ret_event->data = s->cq_data;
	ret_event->socket = s->number;
	ret_event->events = ready;
	if (s->cq_flags & CQ_ONESHOT)
		/* Relaxed: as above. It stays a member, of which nothing is wanted. */
		atomic_store_explicit(&s->cq_events, 0, memory_order_relaxed);
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

/* Not seen by ThreadSanitizer: another thread may be using it, and change its rings; then these are
 * of no use, and do no harm. */
__attribute__((no_sanitize("thread"))) static void cq_prefetch_bytes(struct nc_sock *s)
{
	const struct slot_shm *slot = sock_slot(s);

	if (sock_phase(s) != PHASE_CONNECTED)
		return;
	__builtin_prefetch(s->rx.base + ((rx_head(slot) - s->rx.origin) & (s->rx.bytes - 1)), 0);
	__builtin_prefetch(s->tx.base + ((tx_tail(slot) - s->tx.origin) & (tx_ring_bytes(s) - 1)),
			   1);
}

/* Words are taken in batches: the worker has just written all their slots, from another core. */
static bool cq_take_words(struct nc_cq *cq, uint32_t worker)
{
	uint64_t word[CQ_BATCH];
	int nr;

	for (nr = 0; nr < CQ_BATCH; nr++) {
		if (ring_pop(&cq->ring[worker], &word[nr]) < 0)
			break;
		cq_prefetch(cq, worker, word[nr]);
	}
	for (int i = 0; i < nr; i++) {
		struct nc_sock *s = cq_word_owner(cq, worker, word[i]);

		if (s)
			ready_append(cq, s);
	}
	return nr > 0;
}

/* Another worker first each time, so that none fills all the caller's room for ever. */
static bool cq_take_all_words(struct nc_cq *cq)
{
	uint32_t nr = cq->att->layout.workers;
	bool some = false;

	cq->turn++;
	for (uint32_t i = 0; i < nr; i++)
		if (cq_take_words(cq, (cq->turn + i) % nr))
			some = true;
	return some;
}

/*
 * What is of level goes to the end of the list once it is reported, behind what there was no room
 * for; each is reported once in a call. Bounded: a queue holds so many words.
 */
static int cq_collect(struct nc_cq *cq, struct nc_event *events, int max)
{
	struct nc_sock *level = NULL, **end = &level, *s;
	int n = 0;

	for (int i = 0; i < NCD_CQ_ENTRIES / CQ_BATCH && n < max; i++) {
		if (!cq_take_all_words(cq) && !cq->ready)
			break;
		while (n < max && (s = cq->ready)) {
			ready_remove(cq, s);
			if (!cq_report(cq, s, &events[n]))
				continue;
			n++;
			cq_prefetch_bytes(s);
			if ((s->cq_flags & (CQ_LEVEL | CQ_ONESHOT)) != CQ_LEVEL)
				continue;
			s->ready_queued = true; /* not again in this call */
			*end = s;
			end = &s->ready_next;
		}
	}
	*end = NULL;
	while ((s = level)) {
		level = s->ready_next;
		s->ready_queued = false;
		ready_append(cq, s);
	}
	return n;
}

int cq_poll(struct nc_cq *cq, struct nc_event *events, int max)
{
	int n;

	batch_pay(cq->att);
	lock_take(&cq->lock);
	n = cq_collect(cq, events, max);
	lock_release(&cq->lock);
	batch_begin((uint32_t)n);
	return n;
}
