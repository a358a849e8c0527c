/* SPDX-License-Identifier: MIT */
/*
 * lock.c - locks that are not, or no more, their owner's; and what a signal handler has put off
 * because its thread holds one.
 */
#include <linux/membarrier.h>

#include "lock.h"

#define OWN_TIMES      32u   /* in a row */
#define OWN_TIMES_LONG 4096u /* again, or if it is common */
#define TIMES_MASK     ((uint32_t)LOCK_SHUT - 1)
#define NAMELESS       0u /* the name of a thread that has taken none yet */
#define NAMES_MAX      0xffffu

/* Global: why: of the thread, as its locks are. */
_Thread_local uint32_t lock_self __attribute__((tls_model("initial-exec"))) = LOCK_OWNED;

/* Global: as above. */
static _Thread_local bool owns_nothing __attribute__((tls_model("initial-exec")));

enum barrier { BARRIER_UNKNOWN = 0, BARRIER_READY, BARRIER_NONE };

/* Global: why: of the process, and of each child of fork(2), which inherits what it stands for. */
static struct {
	_Atomic uint32_t names;   /* given to threads */
	_Atomic uint32_t barrier; /* enum barrier */
} locks;

/* ---- who owns ---- */

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* False: the kernel cannot do it, so that no lock has an owner. */
static bool barrier_ready(void)
{
	/* Relaxed, both: whoever is second does it once more. */
	uint32_t state = atomic_load_explicit(&locks.barrier, memory_order_relaxed);

	if (state == BARRIER_UNKNOWN) {
		state = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 ? BARRIER_READY
										  : BARRIER_NONE;
		atomic_store_explicit(&locks.barrier, state, memory_order_relaxed);
	}
	return state == BARRIER_READY;
}

/* OWN, the other's end. A filter of system calls may have come since it was ready. */
static void barrier_all(void)
{
	const struct timespec while_stores_drain = { .tv_nsec = 1000000 };

	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) < 0 &&
	    membarrier(MEMBARRIER_CMD_GLOBAL) < 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &while_stores_drain, NULL);
}

/* The name of the calling thread, which no other of this process has had. Threads beyond the first
 * 65,535 have none, and own nothing. */
static uint32_t name(void)
{
	/* Relaxed, both: a number. */
	uint32_t last = atomic_load_explicit(&locks.names, memory_order_relaxed);

	while (lock_self >> 16 == NAMELESS && last < NAMES_MAX)
		if (atomic_compare_exchange_weak_explicit(&locks.names, &last, last + 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			lock_self = (last + 1) << 16 | LOCK_OWNED;
	return lock_self >> 16;
}

void lock_own_nothing(void)
{
	owns_nothing = true;
}

/* ---- with the word ---- */

static bool word_try(struct lock *l)
{
	uint32_t expected = LOCK_FREE;

	/* LOCK, acquiring end. Relaxed on failure: nothing was acquired. */
	return atomic_compare_exchange_strong_explicit(&l->word, &expected, LOCK_HELD,
						       memory_order_acquire, memory_order_relaxed);
}

static void word_take(struct lock *l)
{
	if (word_try(l))
		return;
	/* LOCK, acquiring end. */
	while (atomic_exchange_explicit(&l->word, LOCK_WAITED, memory_order_acquire) != LOCK_FREE)
		(void)futex_wait_private(&l->word, LOCK_WAITED, NC_FOREVER); /* looks again */
}

/* What @bias, of a lock that is nobody's or shut, becomes as the calling thread takes the word. */
static uint32_t counted(uint32_t bias)
{
	bool ours = lock_is_named(bias, lock_self);
	uint32_t bits = bias & (LOCK_SHUT | LOCK_COMMON);
	uint32_t times = ours ? (bias & TIMES_MASK) + 1 : 1;

	if (bits & LOCK_SHUT && !ours)
		return bias & ~TIMES_MASK; /* its owner begins again */
	if (owns_nothing || name() == NAMELESS || !barrier_ready())
		return bias;
	bias = lock_self - LOCK_OWNED;
	return bias + (times < (bits ? OWN_TIMES_LONG : OWN_TIMES) ? bits + times : LOCK_CLAIMED);
}

/* With the word held; an owner exchanges it for its own. False: the owner has the lock. */
static bool settle(struct lock *l)
{
	/* Relaxed: only who holds the word writes it. */
	uint32_t bias = atomic_load_explicit(&l->bias, memory_order_relaxed);
	bool ours = bias == lock_self, owned = (bias & LOCK_OWNED) == LOCK_OWNED;

	if (!ours)
		/* Relaxed: OWN, the other's end. */
		atomic_store_explicit(&l->bias,
				      owned ? bias - LOCK_OWNED + LOCK_SHUT : counted(bias),
				      memory_order_relaxed);
	if (!ours && owned)
		barrier_all();
	/* OWN, the other's end; or the owner is in a signal handler. */
	if (atomic_load_explicit(&l->own, memory_order_acquire) != 0)
		return false;
	if (ours) {
		/* Relaxed: nobody else has the lock. */
		atomic_store_explicit(&l->own, 1, memory_order_relaxed);
		lock_release_word(l);
	}
	return true;
}

void lock_take_word(struct lock *l)
{
	word_take(l);
	/* In a signal handler of the owner: for ever, as with any lock that it interrupts. */
	while (!settle(l))
		(void)futex_wait_private(&l->own, 1, NC_FOREVER); /* looks again */
}

bool lock_try_word(struct lock *l)
{
	if (!word_try(l))
		return false;
	if (settle(l))
		return true;
	lock_release_word(l);
	return false;
}

void lock_release_word(struct lock *l)
{
	/* Relaxed, both: only who holds the word writes it. */
	if ((atomic_load_explicit(&l->bias, memory_order_relaxed) & LOCK_OWNED) == LOCK_CLAIMED)
		atomic_store_explicit(&l->bias, lock_self, memory_order_relaxed);
	/* LOCK, releasing end. */
	if (atomic_exchange_explicit(&l->word, LOCK_FREE, memory_order_release) == LOCK_WAITED)
		futex_wake_private(&l->word, 1);
}

void lock_wake_other(struct lock *l)
{
	futex_wake_private(&l->own, 1);
}

/* ---- what is put off ---- */

/* Global: why: of the thread, as its locks are. */
_Thread_local _Atomic(uint32_t) lock_held __attribute__((tls_model("initial-exec")));
/* Global: as above. */
_Thread_local _Atomic(struct lock_later *) lock_later __attribute__((tls_model("initial-exec")));

bool lock_put_off(struct lock_later *l)
{
	/* Relaxed: of this thread. */
	if (atomic_load_explicit(&lock_held, memory_order_relaxed) == 0)
		return false;
	/* Relaxed, all: as above; another handler may come in between. */
	l->next = atomic_load_explicit(&lock_later, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&lock_later, &l->next, l,
						      memory_order_relaxed, memory_order_relaxed))
		;
	return true;
}

static struct lock_later *later_take(void)
{
	/* Relaxed, all: as above. */
	struct lock_later *l = atomic_load_explicit(&lock_later, memory_order_relaxed);

	while (l && !atomic_compare_exchange_weak_explicit(&lock_later, &l, l->next,
							   memory_order_relaxed,
							   memory_order_relaxed))
		;
	return l;
}

void lock_run_later(void)
{
	struct lock_later *l;
	int err = errno;

	/* One by one: a handler may jump out of it, and the next unlock goes on. */
	while ((l = later_take()))
		l->run(l);
	errno = err;
}

void lock_forget_later(void)
{
	/* Relaxed: as above. */
	atomic_store_explicit(&lock_later, NULL, memory_order_relaxed);
}
