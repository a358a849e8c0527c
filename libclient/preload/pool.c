/* SPDX-License-Identifier: MIT */
/*
 * pool.c - the memory of files that nobody names.
 */
#include "../memory.h"
#include "file.h"

#define CHUNK 64

/* Global: why: descriptors are the process's, and so is what they name. */
static struct {
	struct lock lock;
	struct file *free;
} pool;

/* One of @chunk is the caller's. */
static struct file *chunk_add(struct file *chunk)
{
	lock_take(&pool.lock);
	for (int i = 1; i < CHUNK; i++) {
		chunk[i].next_free = pool.free;
		pool.free = &chunk[i];
	}
	lock_release(&pool.lock);
	return chunk;
}

struct file *pool_take(void)
{
	struct file *f;

	lock_take(&pool.lock);
	f = pool.free;
	if (f)
		pool.free = f->next_free;
	lock_release(&pool.lock);
	if (f)
		return f;
	f = memory_take(CHUNK, sizeof(*f));
	return f ? chunk_add(f) : NULL;
}

void pool_put(struct file *f)
{
	lock_take(&pool.lock);
	f->next_free = pool.free;
	pool.free = f;
	lock_release(&pool.lock);
}

void pool_before_fork(void)
{
	lock_take(&pool.lock);
}

void pool_behind_fork(void)
{
	lock_release(&pool.lock);
}
