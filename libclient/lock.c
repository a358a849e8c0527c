/* SPDX-License-Identifier: MIT */
/*
 * lock.c - what a signal handler has put off because its thread holds a lock.
 */
#include "lock.h"

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
