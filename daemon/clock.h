/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the two clocks, in nanoseconds.
 */
#ifndef NCD_CLOCK_H
#define NCD_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read_ns(clockid_t id)
{
	struct timespec t = { 0 };

	/* Cannot fail for the two clocks below. */
	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_realtime_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}

#endif /* NCD_CLOCK_H */
