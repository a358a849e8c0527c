/* SPDX-License-Identifier: MIT */
/* hist.c - reading the latency histogram. */
#include "hist.h"

void hist_merge(struct hist *into, const struct hist *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

uint64_t hist_bucket_top(uint32_t index)
{
	uint32_t shift;
	uint64_t bottom;

	if (index < (2u << HIST_SUB_BITS))
		return index;
	shift = (index >> HIST_SUB_BITS) - 1;
	bottom = (uint64_t)(index - (shift << HIST_SUB_BITS)) << shift;
	return bottom + (1ull << shift) - 1;
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
	/* 99.9 has no exact double: without the slack, 99.9 % of 1000 would be 999.0000000000001.
	 */
	double exact = percent * (double)h->count / 100 * (1 - 1e-12);
	uint64_t rank = (uint64_t)exact, seen = 0;

	if (h->count == 0)
		return 0;
	if ((double)rank < exact || rank == 0)
		rank++;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank) {
			uint64_t top = hist_bucket_top(i);

			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}
