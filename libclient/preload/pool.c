/* SPDX-License-Identifier: MIT */
/*
 * pool.c - the memory of files that nobody names.
 *
 * No signals are blocked: a handler that opens something while its own thread is here gets one of
 * a few that lie beside, and what a handler gives back waits until the thread holds no lock.
 *
 * Ordering:
 *   SPARE  a file of which nothing is left is put there (release) -> taken (acquire): nor is seen.
 */
#include <stddef.h>
#include <stdlib.h>

#include "file.h"

#define CHUNK  64
#define SPARES 4 /* what handlers open while one thread is here once */

/* Global: why: descriptors are the process's, and so is what they name. */
static struct {
	struct lock lock;
	struct file *free;
} pool;
/* Global: why: as above; each is taken and put there by one exchange. */
static _Atomic(struct file *) spare[SPARES];
/* Global: why: of the thread: how often it has the lock, or is about to; a handler's is within its
 * own. */
static _Thread_local _Atomic uint32_t inside __attribute__((tls_model("initial-exec")));
/* Global: why: as above: it has it for a fork. */
static _Thread_local bool held_for_fork __attribute__((tls_model("initial-exec")));

static void enter(void)
{
	/* Relaxed: of this thread. Before the lock, so that a handler never waits for it. */
	atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
	lock_take(&pool.lock);
}

static void leave(void)
{
	lock_release(&pool.lock);
	/* Relaxed: as above. */
	atomic_fetch_sub_explicit(&inside, 1, memory_order_relaxed);
}

static bool is_inside(void)
{
	/* Relaxed: as above. */
	return atomic_load_explicit(&inside, memory_order_relaxed) > 0;
}

/* One of @chunk is the caller's. */
static struct file *chunk_add(struct file *chunk)
{
	enter();
	for (int i = 1; i < CHUNK; i++) {
		chunk[i].next_free = pool.free;
		pool.free = &chunk[i];
	}
	leave();
	return chunk;
}

static struct file *spare_take(void)
{
	struct file *f = NULL;

	for (int i = 0; i < SPARES && !f; i++)
		/* SPARE, taking end. */
		f = atomic_exchange_explicit(&spare[i], NULL, memory_order_acquire);
	return f;
}

static struct file *take(void)
{
	struct file *f;

	enter();
	f = pool.free;
	if (f)
		pool.free = f->next_free;
	leave();
	if (f)
		return f;
	f = calloc(CHUNK, sizeof(*f));
	return f ? chunk_add(f) : NULL;
}

static void spares_fill(void)
{
	for (int i = 0; i < SPARES; i++) {
		struct file *none = NULL, *f;

		/* Relaxed: a look first. */
		if (atomic_load_explicit(&spare[i], memory_order_relaxed))
			continue;
		f = take();
		/* SPARE, putting end. Relaxed on failure: another was faster. */
		if (f && !atomic_compare_exchange_strong_explicit(&spare[i], &none, f,
								  memory_order_release,
								  memory_order_relaxed))
			pool_put(f);
	}
}

struct file *pool_take(void)
{
	if (is_inside())
		return spare_take(); /* nor is memory to be had: that may have its locks, too */
	spares_fill();
	return take();
}

static void put_later(struct lock_later *l)
{
	pool_put((struct file *)(void *)((char *)l - offsetof(struct file, later)));
}

void pool_put(struct file *f)
{
	f->later.run = put_later;
	if (lock_put_off(&f->later))
		return; /* we are in a handler, perhaps of who is inside */
	enter();
	f->next_free = pool.free;
	pool.free = f;
	leave();
}

void pool_before_fork(void)
{
	held_for_fork = !is_inside();
	if (held_for_fork)
		enter();
}

void pool_behind_fork(void)
{
	if (held_for_fork)
		leave();
	held_for_fork = false;
}
