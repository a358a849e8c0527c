/* SPDX-License-Identifier: MIT */
/*
 * hist.h - latency histogram with log-linear buckets, as HdrHistogram: every power of two is cut
 * into 128 equal parts, so a percentile is at most 1/128 (0.8 %) above the value that was recorded.
 *
 *   value   0 .. 255      one bucket each
 *         256 .. 511      128 buckets of 2
 *         512 .. 1023     128 buckets of 4      and so on, up to 2^HIST_BITS - 1
 *
 * Ownership: the caller's memory; all zero is an empty histogram.
 * Threading: one thread records; merge after it has ended.
 */
#ifndef PERF_HIST_H
#define PERF_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 7
#define HIST_BITS     40 /* 2^40 ns is 18 minutes; longer values count as that */
#define HIST_BUCKETS  ((HIST_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t count;
	uint64_t sum;
	uint64_t max; /* exact */
	uint64_t bucket[HIST_BUCKETS];
};

static inline uint32_t hist_index(uint64_t value)
{
	uint32_t shift;

	if (value >> HIST_BITS)
		value = (1ull << HIST_BITS) - 1;
	if (value < (2u << HIST_SUB_BITS))
		return (uint32_t)value;
	shift = 63u - (uint32_t)__builtin_clzll(value) - HIST_SUB_BITS;
	return (shift << HIST_SUB_BITS) + (uint32_t)(value >> shift);
}

static inline void hist_record(struct hist *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	h->bucket[hist_index(value)]++;
}

void hist_merge(struct hist *into, const struct hist *from);

/* The highest value of bucket @index. */
uint64_t hist_bucket_top(uint32_t index);

/*
 * The smallest value that at least @percent of the recorded values do not exceed, rounded up to the
 * top of its bucket, never above the maximum. 0 if nothing was recorded.
 */
uint64_t hist_percentile(const struct hist *h, double percent);

#endif /* PERF_HIST_H */
