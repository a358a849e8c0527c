/* SPDX-License-Identifier: MIT */
/*
 * lock.h - mutual exclusion between the threads of this process; never in shared memory.
 *
 * A thread that takes a lock many times in a row becomes its owner, and has it for two stores from
 * then on: nc_send and nc_recv take three, and most sockets are one thread's. Another thread takes
 * the word, and shuts the lock for its owner, who takes the word, too, until it has been alone with
 * it for a long time. No other becomes the owner: what the first is about to store may come late.
 *
 *        owner                                    another thread
 *   own = 1                                  word: compare and swap, sleeps until it is free
 *   bias?  -- ours: has the lock             bias = shut, membarrier(2)
 *          -- shut: own = 0, wakes; word     sleeps while own = 1, then has the lock
 *   releases: own = 0; shut? wakes           releases the word
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
 *   OWN   owner: stores own, then loads bias, in the order of the program only; the other: stores
 *         bias, has membarrier(2) make every running thread's order everybody's, loads own. So the
 *         owner sees bias, or the other sees own. What lets the lock go is released, and acquired.
 *         Checked by tests/model/lock.pml.
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

/* The lower half of bias; the upper one is the name of a thread: the owner, or who took it last. */
enum lock_bias {
	/* Bits beside how often that thread has taken it in a row. */
	LOCK_SHUT = 0x4000,   /* for its owner; else it has none yet */
	LOCK_COMMON = 0x8000, /* it has none, and it takes longer to get one */

	LOCK_CLAIMED = 0xfffe, /* the holder of the word owns it when it releases that */
	LOCK_OWNED
};

struct lock {
	_Atomic uint32_t word; /* enum lock_word */
	_Atomic uint32_t own;  /* owner; 1: it has the lock */
	_Atomic uint32_t bias; /* holder of the word */
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

/* What bias is of a lock that the calling thread owns. */
extern _Thread_local uint32_t lock_self __attribute__((tls_model("initial-exec")));

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

/* For all but an owner. */
void lock_take_word(struct lock *l);
bool lock_try_word(struct lock *l);
void lock_release_word(struct lock *l);
void lock_wake_other(struct lock *l);

/* For a lock that all sockets of the process have in common: who opens some does not own it yet.
 * Before anybody takes it. */
static inline void lock_init_common(struct lock *l)
{
	atomic_init(&l->bias, LOCK_COMMON);
}

/* The calling thread only looks after what is other threads'. */
void lock_own_nothing(void);

static inline bool lock_is_named(uint32_t bias, uint32_t self)
{
	return (bias ^ self) >> 16 == 0;
}

static inline void lock_own_leave(struct lock *l)
{
	/* OWN, owner's end. */
	atomic_store_explicit(&l->own, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	/* Relaxed: OWN orders it. */
	if (atomic_load_explicit(&l->bias, memory_order_relaxed) != lock_self)
		lock_wake_other(l);
}

/* False: the calling thread does not own it, or is in a signal handler that interrupts it. */
static inline bool lock_own_take(struct lock *l)
{
	/* Relaxed, both: a look beforehand, and what this thread wrote. */
	if (atomic_load_explicit(&l->bias, memory_order_relaxed) != lock_self ||
	    atomic_load_explicit(&l->own, memory_order_relaxed) != 0)
		return false;
	/* Relaxed: OWN, owner's end. */
	atomic_store_explicit(&l->own, 1, memory_order_relaxed);
	/* OWN, owner's end: the order of the program. */
	atomic_signal_fence(memory_order_seq_cst);
	/* OWN, owner's end. */
	if (atomic_load_explicit(&l->bias, memory_order_acquire) == lock_self)
		return true;
	lock_own_leave(l);
	return false;
}

static inline bool lock_try(struct lock *l)
{
	lock_held_begin();
	if (lock_own_take(l) || lock_try_word(l))
		return true;
	lock_held_end();
	return false;
}

static inline void lock_take(struct lock *l)
{
	lock_held_begin();
	if (!lock_own_take(l))
		lock_take_word(l);
}

static inline void lock_release(struct lock *l)
{
	/* Relaxed, both: of the owner, only this thread writes them. */
	if (atomic_load_explicit(&l->own, memory_order_relaxed) != 0 &&
	    lock_is_named(atomic_load_explicit(&l->bias, memory_order_relaxed), lock_self))
		lock_own_leave(l);
	else
		lock_release_word(l);
	lock_held_end();
}

#endif /* NC_LOCK_H */
