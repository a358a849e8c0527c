/* SPDX-License-Identifier: MIT */
/*
 * power_of_two.h - sizes of rings and queues: powers of two, at most NCD_RING_MAX.
 */
#ifndef NCD_POWER_OF_TWO_H
#define NCD_POWER_OF_TWO_H

#include "ncd/limits.h"

/* The largest that is not more than @n; 0 of 0. */
static inline uint32_t floor_power_of_two(uint64_t n)
{
	if (n > NCD_RING_MAX)
		return NCD_RING_MAX;
	return n ? (uint32_t)1 << (63 - __builtin_clzll(n)) : 0;
}

/* The smallest that is not less than @n; 1 of 0. */
static inline uint32_t power_of_two(uint64_t n)
{
	return n > 1 ? floor_power_of_two(2 * n - 1) : 1;
}

#endif /* NCD_POWER_OF_TWO_H */
