/* SPDX-License-Identifier: MIT */
/*
 * listener.c - a listener that shares what arrives with those of other processes: the daemon is
 * told who waits, and asked for what others have in their queues (SHARE in ncd/shm_abi.h).
 */
#include "listener.h"
#include "sock_calls.h"

/* To the workers whose bits are set in @workers: look at the group. Under rx.lock. */
static void share_ask(struct nc_sock *s, uint64_t workers)
{
	for (uint32_t i = 0; i < s->att->layout.workers && workers >> i; i++)
		if (workers >> i & 1)
			port_submit(&s->att->port[i], sq_word(SQ_SHARE, s->acceptor->number, 0));
}

/* With its rx.lock taken, if it listens; else NULL. */
static struct nc_sock *listening_locked(int number)
{
	struct nc_sock *s = sock_find(number);

	if (!s)
		return NULL;
	lock_take(&s->rx.lock);
	if (sock_open(s) && sock_phase(s) == PHASE_LISTENING && !attachment_dead(s->att))
		return s;
	lock_release(&s->rx.lock);
	return NULL;
}

/* Under rx.lock. */
static void share_look(struct nc_sock *s)
{
	/* SHARE, application end. */
	uint64_t elsewhere = atomic_load_explicit(&s->acceptor->shm->elsewhere,
						  memory_order_seq_cst);

	if (elsewhere && !acceptor_look(s))
		share_ask(s, elsewhere);
}

void listener_ask(int number)
{
	struct nc_sock *s = listening_locked(number);

	if (!s)
		return;
	share_look(s);
	lock_release(&s->rx.lock);
}

void listener_wait_begin(int number)
{
	struct nc_sock *s = listening_locked(number);

	if (!s)
		return;
	/* SHARE, application end. */
	atomic_store_explicit(&s->acceptor->shm->waiting, ++s->acceptor->waiting,
			      memory_order_seq_cst);
	share_look(s);
	lock_release(&s->rx.lock);
}

void listener_wait_end(int number)
{
	struct nc_sock *s = listening_locked(number);

	if (!s)
		return;
	/* 0: another has the number by now, and was not waited for. */
	if (s->acceptor->waiting > 0)
		/* SHARE, application end: before listener_busy looks at the queue. */
		atomic_store_explicit(&s->acceptor->shm->waiting, --s->acceptor->waiting,
				      memory_order_seq_cst);
	lock_release(&s->rx.lock);
}

void listener_busy(int number)
{
	struct nc_sock *s = listening_locked(number);
	uint64_t workers = 0;

	if (!s)
		return;
	/* Relaxed: advice. */
	if (atomic_load_explicit(&s->acceptor->shm->shared, memory_order_relaxed))
		for (uint32_t i = 0; i < s->att->layout.workers; i++)
			if (!ring_empty_claim(&s->acceptor->ring[i]))
				workers |= (uint64_t)1 << i;
	share_ask(s, workers);
	lock_release(&s->rx.lock);
}

bool listener_dead(int number)
{
	struct nc_sock *s = listening_locked(number);

	if (!s)
		return true;
	lock_release(&s->rx.lock);
	return false;
}
