/* SPDX-License-Identifier: MIT */
/*
 * give_way.h - a thread that copies bulk offers the core while others wait for round trips.
 *
 * For one round trip four threads wake, one after the other. Where all cores are busy the kernel
 * lets whoever computes there go on to the end of a time slice before each of them: milliseconds in
 * all. Who copies for some 10 us and then offers the core gives nothing away that is not wanted,
 * and saves the others those slices. The worker says whether anybody waits (give_way in
 * ncd/shm_abi.h), since caches are cold for who comes back.
 *
 * Only between the pieces of large copies, and only who has as much under way as makes a stream one
 * of the throughput class: who exchanges messages is whom the core is for.
 *
 * Threading: under the lock of the direction, whose count it is.
 */
#ifndef NC_GIVE_WAY_H
#define NC_GIVE_WAY_H

#include <sched.h>

#include "attach.h"

#define GIVE_WAY_PIECE (16u << 10) /* smaller ones are no bulk */
#define GIVE_WAY_LEAST (64u << 10) /* copied between two offers, whatever is asked for */
#define GIVE_WAY_AHEAD (32u << 10) /* less in the ring is a message */

/* Bytes between two offers; 0: none is wanted. */
static inline uint32_t give_way_each(const struct app_port *p)
{
	/* Relaxed: advice. */
	uint32_t each = atomic_load_explicit(p->give_way, memory_order_relaxed);

	/* An older daemon says 1. */
	return each > 0 && each < GIVE_WAY_LEAST ? GIVE_WAY_LEAST : each;
}

/* How much of @bytes to copy before the next offer. Messages do not look at the worker's word. */
static inline size_t give_way_piece(const struct app_port *p, size_t bytes)
{
	uint32_t each;

	if (bytes <= GIVE_WAY_LEAST)
		return bytes;
	each = give_way_each(p);
	return each > 0 && bytes > each ? each : bytes;
}

/* A piece of @bytes has been copied, of @ahead that are in the ring; *copied: in all since the last
 * offer. */
static inline void give_way(const struct app_port *p, uint64_t *copied, uint64_t bytes,
			    uint64_t ahead)
{
	uint32_t each;

	if (bytes < GIVE_WAY_PIECE || ahead < GIVE_WAY_AHEAD)
		return;
	*copied += bytes;
	if (*copied < GIVE_WAY_LEAST)
		return;
	each = give_way_each(p);
	if (*copied < each)
		return;
	*copied = 0;
	if (each > 0)
		(void)sched_yield(); /* cannot fail */
}

#endif /* NC_GIVE_WAY_H */
