/* SPDX-License-Identifier: MIT */
/*
 * doorbell.h - how a side that sleeps is woken, and a side that is awake costs nobody a syscall.
 *
 * Ownership: the word lives where both sides see it; this header owns nothing.
 * Threading: the waiter arms and disarms; producers ask whether a wake is due, and then wake by
 *   whatever the word stands for (eventfd, futex).
 * Trust: a lying word costs a needless wake, or the liar's own sleep.
 *
 * Ordering:
 *   DOORBELL  waiter: word = 1 (seq_cst), then looks at its queues (seq_cst loads).
 *             producer: publishes (seq_cst store), then looks at the word (seq_cst load).
 *             The waiter's value says how it is to be woken.
 *             In the one order of all seq_cst operations one of the two looks comes last, and sees
 *             the other side: no wake is lost. Checked by tests/model/doorbell.pml.
 */
#ifndef NCD_DOORBELL_H
#define NCD_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum doorbell_how {
	DOORBELL_NONE = 0, /* it is awake */
	DOORBELL_FUTEX,    /* by all that it has: it may not know any other value */
	DOORBELL_FD,       /* by its descriptor alone */
	/* As DOORBELL_FUTEX, but who has more to come may ring behind that: it looks by itself
	 * before long, and arms otherwise if there is nothing. */
	DOORBELL_SOON,
};

/* Waiter: announces sleep. It must look at its queues once more behind this, then may sleep. */
static inline void doorbell_arm_as(_Atomic uint32_t *word, uint32_t how)
{
	/* DOORBELL, waiter end. */
	atomic_store_explicit(word, how, memory_order_seq_cst);
}

static inline void doorbell_arm(_Atomic uint32_t *word)
{
	doorbell_arm_as(word, 1);
}

/* Producer, after a seq_cst publish: true if it may ring later. */
static inline bool doorbell_has_time(_Atomic uint32_t *word)
{
	/* DOORBELL, producer end: if the waiter arms otherwise behind this, it looks again, too. */
	return atomic_load_explicit(word, memory_order_seq_cst) == DOORBELL_SOON;
}

/* Waiter: awake again. */
static inline void doorbell_disarm(_Atomic uint32_t *word)
{
	/* Relaxed: a producer that still sees 1 wakes once too often, no more. */
	atomic_store_explicit(word, 0, memory_order_relaxed);
}

/* Producer, after a seq_cst publish: not DOORBELL_NONE for exactly one caller if the waiter must be
 * woken, but how. */
static inline uint32_t doorbell_take(_Atomic uint32_t *word)
{
	/* DOORBELL, producer end. */
	if (atomic_load_explicit(word, memory_order_seq_cst) == DOORBELL_NONE)
		return DOORBELL_NONE;
	/* DOORBELL, producer end: of several producers one rings. */
	return atomic_exchange_explicit(word, DOORBELL_NONE, memory_order_seq_cst);
}

static inline bool doorbell_due(_Atomic uint32_t *word)
{
	return doorbell_take(word) != DOORBELL_NONE;
}

#endif /* NCD_DOORBELL_H */
