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
 * A signal handler may interrupt a holder, and must not wait for what its own thread holds: the
 * preload library puts it off until the thread holds no lock.
 *
 * Order, outer to inner: attach; of a queue cq_lock, cq.lock; of a socket tx, rx, lock; table; of a
 * port slot, sq; control; memory. (The table lock is outside those of a socket that is free: nobody
 * waits for anything with one of those.)
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

struct lock_later {
	struct lock_later *next;
	void (*run)(struct lock_later *l);
};

/* How many locks this thread holds, or is taking; and what it has put off. Its handlers see them
 * too, nobody else does. */
extern _Thread_local _Atomic(uint32_t) lock_held __attribute__((tls_model("initial-exec")));
extern _Thread_local _Atomic(struct lock_later *) lock_later
	__attribute__((tls_model("initial-exec")));

/* False: the calling thread holds no lock. Else @l is run when it does no more. */
bool lock_put_off(struct lock_later *l);
/* Runs what was put off; errno stays. */
void lock_run_later(void);
/* In a forked child: what was put off is its parent's to do. */
void lock_forget_later(void);

static inline void lock_held_begin(void)
{
	/* Relaxed, both: of one thread. A handler in between leaves the number as it was. */
	atomic_store_explicit(&lock_held,
			      atomic_load_explicit(&lock_held, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static inline void lock_held_end(void)
{
	/* Relaxed: as above. */
	uint32_t rest = atomic_load_explicit(&lock_held, memory_order_relaxed) - 1;

	/* Relaxed, both: the store comes first, so that what is put off behind it is not missed. */
	atomic_store_explicit(&lock_held, rest, memory_order_relaxed);
	if (rest == 0 && atomic_load_explicit(&lock_later, memory_order_relaxed))
		lock_run_later();
}

static inline bool lock_word_try(struct lock *l)
{
	uint32_t expected = LOCK_FREE;

	/* LOCK, acquiring end. Relaxed on failure: nothing was acquired. */
	return atomic_compare_exchange_strong_explicit(&l->word, &expected, LOCK_HELD,
						       memory_order_acquire, memory_order_relaxed);
}

static inline bool lock_try(struct lock *l)
{
	lock_held_begin();
	if (lock_word_try(l))
		return true;
	lock_held_end();
	return false;
}

static inline void lock_take_slow(struct lock *l)
{
	/* LOCK, acquiring end. */
	while (atomic_exchange_explicit(&l->word, LOCK_WAITED, memory_order_acquire) != LOCK_FREE)
		(void)futex_wait_private(&l->word, LOCK_WAITED, NC_FOREVER); /* looks again */
}

static inline void lock_take(struct lock *l)
{
	lock_held_begin();
	if (!lock_word_try(l))
		lock_take_slow(l);
}

static inline void lock_release(struct lock *l)
{
	/* LOCK, releasing end. */
	if (atomic_exchange_explicit(&l->word, LOCK_FREE, memory_order_release) == LOCK_WAITED)
		futex_wake_private(&l->word, 1);
	lock_held_end();
}

#endif /* NC_LOCK_H */
