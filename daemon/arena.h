/* SPDX-License-Identifier: MIT */
/*
 * arena.h - hands out power-of-two ring blocks from the segments of one port.
 *
 * A buddy system: a block of 2^k pages starts at a multiple of its size within its segment; a freed
 * block joins its free neighbour. The block freed last is handed out first, since its pages are
 * likely still in the cache.
 *
 * Ownership: segments are mapped by control and stay mapped while the arena lives; all bookkeeping
 *   is private memory, allocated at arena_create for the largest size it may reach.
 * Threading: create and destroy: control. The rest: the worker. Nothing here allocates.
 */
#ifndef NCD_ARENA_H
#define NCD_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/limits.h"

struct arena;
struct joint;

struct arena_block {
	struct joint *joint; /* it is all of that, and no arena's; NULL: an arena's */
	uint8_t *base; /* NULL: none */
	uint64_t off;  /* in its segment */
	uint32_t segment;
	uint32_t bytes;
	int file; /* descriptor + 1 of the segment's memfd; 0: none */
};

/* For up to @bytes_max of segments. NULL: out of memory. */
struct arena *arena_create(uint64_t bytes_max);
void arena_destroy(struct arena *a);

/* Adds segment @number (1..NCD_SEGMENTS_MAX - 1), all of @file (as in a block). -ENOBUFS: beyond
 * bytes_max; -EINVAL: number in use, or @bytes not a multiple of the page. */
int arena_add(struct arena *a, uint32_t number, uint8_t *base, uint64_t bytes, int file);

/* A block of @bytes (a power of two, NCD_RING_MIN..NCD_RING_MAX). -ENOBUFS: none is free. */
int arena_take(struct arena *a, uint32_t bytes, struct arena_block *ret_block);
/* Gives *block back, to the joint if it is one's, and clears it; a cleared block is allowed. */
void arena_give(struct arena *a, struct arena_block *block);

/* Gives up @block's pages: it reads as zeros, and whoever still has the pages keeps what was there.
 * A syscall. */
void arena_discard(const struct arena_block *block);

/* Bytes handed out now; bytes free whose pages may still take memory. */
uint64_t arena_used(const struct arena *a);
uint64_t arena_idle(const struct arena *a);
/*
 * Returns the pages of free blocks to the kernel while arena_idle() is above @keep bytes, up to the
 * one that makes @bytes_max. Costs a syscall a block. True if there is more to do.
 */
bool arena_trim(struct arena *a, uint64_t keep, uint64_t bytes_max);

#endif /* NCD_ARENA_H */
