/* SPDX-License-Identifier: MIT */
/*
 * memory.c - blocks of powers of two, cut from pages, and lists of those that are free. What is
 * larger than the largest has pages of its own.
 */
#include "memory.h"

#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>

#include "lock.h"

#define SMALLEST_LOG 6 /* with its head */
#define LARGEST_LOG  16
#define CLASSES      (LARGEST_LOG - SMALLEST_LOG + 1)
#define LARGEST      (1ul << LARGEST_LOG)
#define CHUNK        (4 * LARGEST)

struct block {
	alignas(max_align_t) union {
		struct block *next; /* of one that is free */
		size_t bytes;       /* with the head, of one that is not */
	};
};

/* Global: why: the process's, as malloc's. */
static struct {
	struct lock lock;
	struct block *free[CLASSES];
	char *uncut, *end; /* of the newest chunk */
} self;

static unsigned int class_of(size_t bytes)
{
	unsigned int nr = 0;

	while ((size_t)1 << (SMALLEST_LOG + nr) < bytes)
		nr++;
	return nr;
}

static void *pages(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* With the lock held. What is left of a chunk and too small is lost. */
static struct block *cut(size_t bytes)
{
	struct block *b;

	if ((size_t)(self.end - self.uncut) < bytes) {
		self.uncut = pages(CHUNK);
		self.end = self.uncut ? self.uncut + CHUNK : NULL;
	}
	b = (struct block *)(void *)self.uncut;
	if (b)
		self.uncut += bytes;
	return b;
}

static struct block *block_take(unsigned int class)
{
	struct block *b;

	lock_take(&self.lock);
	b = self.free[class];
	if (b)
		self.free[class] = b->next;
	else
		b = cut((size_t)1 << (SMALLEST_LOG + class));
	lock_release(&self.lock);
	return b;
}

void *memory_take(size_t nr, size_t bytes)
{
	size_t used, whole;
	struct block *b;

	if (__builtin_mul_overflow(nr, bytes, &used) ||
	    __builtin_add_overflow(used, sizeof(*b), &whole))
		return NULL;
	if (whole > LARGEST) {
		b = pages(whole);
	} else {
		b = block_take(class_of(whole));
		if (b)
			memset(b + 1, 0, used);
	}
	if (!b)
		return NULL;
	b->bytes = whole;
	return b + 1;
}

void memory_give(void *memory)
{
	struct block *b = memory;
	unsigned int class;

	if (!b)
		return;
	b--;
	if (b->bytes > LARGEST) {
		(void)munmap(b, b->bytes); /* cannot fail: it is ours */
		return;
	}
	class = class_of(b->bytes);
	lock_take(&self.lock);
	b->next = self.free[class];
	self.free[class] = b;
	lock_release(&self.lock);
}

void memory_forget(void)
{
	memset(&self, 0, sizeof(self));
}
