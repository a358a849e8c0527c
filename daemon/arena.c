/* SPDX-License-Identifier: MIT */
/*
 * arena.c - a buddy system over the pages of a port's segments, its lists kept outside of them.
 *
 * Touched and untouched neighbours are joined only when a take would fail otherwise.
 */
#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ncd/huge_page.h"

#include "joint.h"

#define ORDERS 15 /* 4 KiB << 14 = NCD_RING_MAX */
#define NONE   UINT32_MAX
#define HUGE   9 /* the order of a huge page */
_Static_assert((uint64_t)NCD_RING_MIN << (ORDERS - 1) == NCD_RING_MAX, "orders cover all rings");
_Static_assert((uint64_t)NCD_RING_MIN << HUGE == HUGE_PAGE, "a huge page is a block");

enum block_state { BLOCK_INSIDE = 0, BLOCK_FREE, BLOCK_USED };

/* One per page; meaningful for the first page of a block. */
struct block {
	uint32_t next, prev; /* free list of its order */
	uint8_t state;
	uint8_t order;
	bool touched; /* its pages may take memory */
};

struct segment {
	uint8_t *base;
	uint32_t first; /* its first page's place in block[] */
	uint32_t pages;
	int file;
};

struct arena {
	struct block *block;
	uint32_t blocks_max, blocks;
	uint32_t free_head[ORDERS];
	uint64_t used, idle;
	struct segment segment[NCD_SEGMENTS_MAX];
	uint16_t order_of_add[NCD_SEGMENTS_MAX]; /* segment numbers as they came, by first */
	uint32_t segments;
	bool split; /* free neighbours may lie unjoined: one touched, one not */
};

static uint64_t order_bytes(uint32_t order)
{
	return (uint64_t)NCD_RING_MIN << order;
}

struct arena *arena_create(uint64_t bytes_max)
{
	struct arena *a = calloc(1, sizeof(*a));
	uint64_t pages = bytes_max / NCD_RING_MIN;

	if (!a)
		return NULL;
	a->blocks_max = pages < NONE ? (uint32_t)pages : NONE - 1;
	/* Large: comes as untouched zero pages, and takes memory as segments are added. */
	a->block = calloc(a->blocks_max ? a->blocks_max : 1, sizeof(*a->block));
	if (!a->block) {
		free(a);
		return NULL;
	}
	for (uint32_t k = 0; k < ORDERS; k++)
		a->free_head[k] = NONE;
	return a;
}

void arena_destroy(struct arena *a)
{
	if (!a)
		return;
	free(a->block);
	free(a);
}

static void list_push(struct arena *a, uint32_t i, uint32_t order, bool touched)
{
	struct block *b = &a->block[i];

	*b = (struct block){ .next = a->free_head[order], .prev = NONE, .state = BLOCK_FREE,
			     .order = (uint8_t)order, .touched = touched };
	if (b->next != NONE)
		a->block[b->next].prev = i;
	a->free_head[order] = i;
	if (touched)
		a->idle += order_bytes(order);
}

static void list_remove(struct arena *a, uint32_t i)
{
	struct block *b = &a->block[i];

	if (b->prev != NONE)
		a->block[b->prev].next = b->next;
	else
		a->free_head[b->order] = b->next;
	if (b->next != NONE)
		a->block[b->next].prev = b->prev;
	if (b->touched)
		a->idle -= order_bytes(b->order);
	b->state = BLOCK_INSIDE;
}

int arena_add(struct arena *a, uint32_t number, uint8_t *base, uint64_t bytes, int file)
{
	uint64_t pages = bytes / NCD_RING_MIN;
	struct segment *s;
	uint32_t page = 0;

	if (number >= NCD_SEGMENTS_MAX || bytes % NCD_RING_MIN || a->segment[number].base)
		return -EINVAL;
	if (pages > a->blocks_max - a->blocks)
		return -ENOBUFS;
	s = &a->segment[number];
	*s = (struct segment){
		.base = base, .first = a->blocks, .pages = (uint32_t)pages, .file = file
	};
	a->blocks += s->pages;
	a->order_of_add[a->segments++] = (uint16_t)number;

	while (page < s->pages) {
		uint32_t order = ORDERS - 1;

		while (page % (1u << order) || (1u << order) > s->pages - page)
			order--;
		list_push(a, s->first + page, order, false);
		page += 1u << order;
	}
	return 0;
}

/* The segment that block @i lies in: the last one added at or before it. */
static uint32_t segment_of(const struct arena *a, uint32_t i)
{
	uint32_t low = 0, high = a->segments;

	while (high - low > 1) {
		uint32_t mid = (low + high) / 2;

		if (a->segment[a->order_of_add[mid]].first <= i)
			low = mid;
		else
			high = mid;
	}
	return a->order_of_add[low];
}

static uint32_t bytes_order(uint32_t bytes)
{
	assert(bytes >= NCD_RING_MIN && bytes <= NCD_RING_MAX && (bytes & (bytes - 1)) == 0);
	return (uint32_t)__builtin_ctz(bytes / NCD_RING_MIN);
}

static bool is_free(const struct arena *a, const struct segment *s, uint32_t page, uint32_t order)
{
	const struct block *b;

	if (page + (1u << order) > s->pages)
		return false;
	b = &a->block[s->first + page];
	return b->state == BLOCK_FREE && b->order == order;
}

/* Joins all free neighbours, touched or not: when no block is large enough otherwise. */
static void join_all(struct arena *a)
{
	for (uint32_t k = 0; k < ORDERS - 1; k++) {
		uint32_t next;

		for (uint32_t i = a->free_head[k]; i != NONE; i = next) {
			const struct segment *s = &a->segment[segment_of(a, i)];
			uint32_t page = i - s->first, buddy = page ^ (1u << k);
			bool touched = a->block[i].touched;

			next = a->block[i].next;
			if (!is_free(a, s, buddy, k))
				continue;
			if (next == s->first + buddy)
				next = a->block[next].next;
			touched |= a->block[s->first + buddy].touched;
			list_remove(a, i);
			list_remove(a, s->first + buddy);
			list_push(a, s->first + (page & ~(1u << k)), k + 1, touched);
		}
	}
	a->split = false;
}

/*
 * Block @i may be a huge page, and is to become small rings. Of those one may be discarded while
 * bytes are on their way out of it: of a huge page the kernel would make that part zeros, in place.
 * True: it is gone.
 */
static bool huge_page_drop(const struct arena *a, uint32_t i)
{
	const struct segment *s = &a->segment[segment_of(a, i)];

	return madvise(s->base + (uint64_t)(i - s->first) * NCD_RING_MIN, HUGE_PAGE, MADV_REMOVE) ==
	       0;
}

int arena_take(struct arena *a, uint32_t bytes, struct arena_block *ret_block)
{
	uint32_t order = bytes_order(bytes), k = order;
	const struct segment *s;
	uint32_t i, number;
	bool touched;

	while (k < ORDERS && a->free_head[k] == NONE)
		k++;
	if (k == ORDERS) {
		if (!a->split)
			return -ENOBUFS;
		join_all(a);
		return arena_take(a, bytes, ret_block);
	}
	i = a->free_head[k];
	touched = a->block[i].touched;
	list_remove(a, i);
	while (k > order) {
		if (k == HUGE && touched)
			touched = !huge_page_drop(a, i);
		k--;
		list_push(a, i + (1u << k), k, touched);
	}
	a->block[i].state = BLOCK_USED;
	a->block[i].order = (uint8_t)order;
	a->used += bytes;

	number = segment_of(a, i);
	s = &a->segment[number];
	*ret_block = (struct arena_block){
		.off = (uint64_t)(i - s->first) * NCD_RING_MIN,
		.segment = number,
		.bytes = bytes,
		.file = s->file,
	};
	ret_block->base = s->base + ret_block->off;
	return 0;
}

void arena_give(struct arena *a, struct arena_block *block)
{
	uint32_t page = (uint32_t)(block->off / NCD_RING_MIN);
	const struct segment *s;
	uint32_t order;

	if (!block->base)
		return;
	if (block->joint) {
		joint_give(block->joint);
		*block = (struct arena_block){ 0 };
		return;
	}
	s = &a->segment[block->segment];
	order = a->block[s->first + page].order;
	assert(a->block[s->first + page].state == BLOCK_USED);
	assert(order_bytes(order) == block->bytes);
	a->used -= block->bytes;
	a->block[s->first + page].state = BLOCK_INSIDE;
	while (order < ORDERS - 1) {
		uint32_t buddy = page ^ (1u << order);

		if (!is_free(a, s, buddy, order))
			break;
		/* Joined with untouched pages it would look as if all of it took memory. */
		if (!a->block[s->first + buddy].touched) {
			a->split = true;
			break;
		}
		list_remove(a, s->first + buddy);
		page &= ~(1u << order);
		order++;
	}
	list_push(a, s->first + page, order, true);
	*block = (struct arena_block){ 0 };
}

void arena_discard(const struct arena_block *block)
{
	/* Cannot fail for pages of a memfd; others are not sent from. It is no part of a huge page:
	 * see huge_page_drop(). */
	(void)madvise(block->base, block->bytes, MADV_REMOVE);
}

uint64_t arena_used(const struct arena *a)
{
	return a->used;
}

uint64_t arena_idle(const struct arena *a)
{
	return a->idle;
}

bool arena_trim(struct arena *a, uint64_t keep, uint64_t bytes_max)
{
	uint64_t given = 0;

	for (uint32_t k = ORDERS; k-- > 0;) {
		for (uint32_t i = a->free_head[k]; i != NONE; i = a->block[i].next) {
			const struct segment *s = &a->segment[segment_of(a, i)];
			uint8_t *base = s->base + (uint64_t)(i - s->first) * NCD_RING_MIN;

			if (a->idle <= keep)
				return false;
			if (!a->block[i].touched)
				continue;
			if (given >= bytes_max)
				return true;
			given += order_bytes(k);
			a->block[i].touched = false;
			a->idle -= order_bytes(k);
			a->split = true;
			/* On failure (memory not of a memfd) the pages merely stay. */
			(void)madvise(base, order_bytes(k), MADV_REMOVE);
		}
	}
	return false;
}
