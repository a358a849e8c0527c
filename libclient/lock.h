/* SPDX-License-Identifier: MIT */
/*
 * lock.h - mutual exclusion between the threads of this process; never in shared memory.
 *
 * Uncontended it is one compare-and-swap and one swap, inline: nc_send and nc_recv take it per
 * call.
 *
 * Ownership: the struct is the caller's; all zero is a free lock.
 * Threading: any thread. A holder sleeps only on another lock, or for an answer of the daemon.
 *
 * Order, outer to inner: attach; of a queue cq_lock, cq.lock; of a socket tx, rx, lock; table; of a
 * port slot, sq; control. (The table lock is outside those of a socket that is free: nobody waits
 * for anything with one of those.)
 *
 * Ordering:
 *   LOCK  the releasing swap -> the acquiring swap: what the last holder wrote is seen.
 */
#ifndef NC_LOCK_H
#define NC_LOCK_H

#include <stdbool.h>

#include "futex.h"

enum lock_word {
	LOCK_FREE = 0,
	LOCK_HELD,
	LOCK_WAITED
};

struct lock {
	_Atomic uint32_t word; /* enum lock_word */
};

static inline bool lock_try(struct lock *l)
{
	uint32_t expected = LOCK_FREE;

	/* LOCK, acquiring end. Relaxed on failure: nothing was acquired. */
	return atomic_compare_exchange_strong_explicit(&l->word, &expected, LOCK_HELD,
						       memory_order_acquire, memory_order_relaxed);
}

static inline void lock_take_slow(struct lock *l)
{
	/* LOCK, acquiring end. */
	while (atomic_exchange_explicit(&l->word, LOCK_WAITED, memory_order_acquire) != LOCK_FREE)
		(void)futex_wait_private(&l->word, LOCK_WAITED, NC_FOREVER); /* looks again */
}

static inline void lock_take(struct lock *l)
{
	if (!lock_try(l))
		lock_take_slow(l);
}

static inline void lock_release(struct lock *l)
{
	/* LOCK, releasing end. */
	if (atomic_exchange_explicit(&l->word, LOCK_FREE, memory_order_release) == LOCK_WAITED)
		futex_wake_private(&l->word, 1);
}

#endif /* NC_LOCK_H */
