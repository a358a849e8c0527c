/* SPDX-License-Identifier: MIT */
/*
 * submit.c - the submission queue to a worker, and the slots that are ours to give out.
 */
#include <sched.h>
#include <sys/eventfd.h>

#include "sock_calls.h"

#define SLOT_TRIES 8u /* slots of the queue looked at before a fresh one is taken */

/* Global: why: a thread deals with what a wait reported in its own calls of this library. */
static _Thread_local struct {
	uint32_t rest; /* events that it has not dealt with; each is taken to have one submission */
	bool owes;     /* a worker has not been woken for what was submitted */
} batch __attribute__((tls_model("initial-exec")));

static bool batch_goes_on(void)
{
	if (batch.rest > 0)
		batch.rest--;
	return batch.rest > 0;
}

void batch_begin(uint32_t events)
{
	batch.rest = events;
}

void batch_pay(struct attachment *att)
{
	if (!batch.owes)
		return;
	batch.owes = false;
	for (uint32_t w = 0; w < att->layout.workers; w++) {
		struct app_port *p = &att->port[w];

		/* Relaxed: who owes it is this thread, or one that pays, too. */
		if (!atomic_exchange_explicit(&p->owed, false, memory_order_relaxed))
			continue;
		if (doorbell_due(p->need_wakeup))
			(void)eventfd_write(p->doorbell_fd, 1); /* full: awake */
	}
}

static void port_ring_doorbell(struct app_port *p, bool goes_on)
{
	ring_publish(&p->sq);
	if (goes_on && doorbell_has_time(p->need_wakeup)) {
		batch.owes = true;
		/* Relaxed: as in batch_pay. */
		atomic_store_explicit(&p->owed, true, memory_order_relaxed);
		return;
	}
	if (doorbell_due(p->need_wakeup))
		(void)eventfd_write(p->doorbell_fd,
				    1); /* fails only when the counter is full: awake */
}

/* How many words the worker has not taken; looked at only if it may be @want. Under sq_lock. */
static uint32_t backlog(struct app_port *p, uint32_t want)
{
	if (p->sq.own - p->sq.foreign >= want) {
		/* RECYCLE, producer end. */
		uint32_t head = atomic_load_explicit(&p->sq.shm->head, memory_order_acquire);

		if (p->sq.own - head <= p->sq.capacity)
			p->sq.foreign = head;
	}
	return p->sq.own - p->sq.foreign;
}

/* Lets the worker have the core, and learns from what comes of it. */
static void hand_over(struct app_port *p, uint32_t due)
{
	uint64_t start_ns = clock_now_ns(), away_ns;

	(void)sched_yield(); /* cannot fail */
	away_ns = clock_now_ns() - start_ns;
	lock_take(&p->sq_lock);
	handover_done(&p->handover, away_ns, backlog(p, due) < due);
	lock_release(&p->sq_lock);
}

void port_submit(struct app_port *p, uint64_t word)
{
	uint32_t due;
	bool over;

	lock_take(&p->sq_lock);
	while (ring_push(&p->sq, word) == -EAGAIN) {
		port_ring_doorbell(p, false);
		if (attachment_dead(p->att))
			break;
		lock_release(&p->sq_lock);
		(void)sched_yield(); /* the worker wants the core */
		lock_take(&p->sq_lock);
	}
	port_ring_doorbell(p, batch_goes_on());
	handover_count(&p->handover, (uint32_t)word);
	due = handover_due(&p->handover);
	over = backlog(p, due) >= due;
	lock_release(&p->sq_lock);
	if (over)
		hand_over(p, due);
}

static bool slot_free(struct app_port *p, uint32_t nr)
{
	/* STATE, application end: the daemon has let go of it. */
	return atomic_load_explicit(&p->slot[nr].state, memory_order_acquire) == SLOT_FREE;
}

/* Takes the first of the queue, or with @tries more the first that is free; under slot_lock. */
static bool fifo_take(struct app_port *p, uint32_t tries, uint32_t *ret_slot)
{
	uint32_t size = p->att->layout.slots / 2;

	for (uint32_t i = 0; i < tries && p->fifo_nr > 0; i++) {
		uint32_t nr = p->fifo[p->fifo_head % size];

		p->fifo_head = (p->fifo_head + 1) % size;
		if (slot_free(p, nr)) {
			p->fifo_nr--;
			*ret_slot = nr;
			return true;
		}
		/* Still finishing: to the end of the queue. */
		p->fifo[(p->fifo_head + p->fifo_nr - 1) % size] = nr;
	}
	return false;
}

int port_slot_take(struct app_port *p, uint32_t *ret_slot)
{
	uint32_t half = p->att->layout.slots / 2;
	int ret = 0;

	lock_take(&p->slot_lock);
	if (!fifo_take(p, p->fifo_nr < SLOT_TRIES ? p->fifo_nr : SLOT_TRIES, ret_slot)) {
		if (p->fresh < half)
			*ret_slot = p->fresh++;
		else if (!fifo_take(p, p->fifo_nr, ret_slot))
			ret = -ENOBUFS;
	}
	lock_release(&p->slot_lock);
	return ret;
}

void port_slot_give(struct app_port *p, uint32_t slot)
{
	uint32_t size = p->att->layout.slots / 2;

	lock_take(&p->slot_lock);
	p->fifo[(p->fifo_head + p->fifo_nr) % size] = slot;
	p->fifo_nr++;
	lock_release(&p->slot_lock);
}
