/* SPDX-License-Identifier: MIT */
/*
 * interval.c - a sorted array: holes are few, since a stream changes channels rarely.
 */
#include <errno.h>
#include <string.h>

#include "interval.h"

static void remove_at(struct interval_set *set, uint32_t first, uint32_t nr)
{
	memmove(&set->at[first], &set->at[first + nr],
		(set->nr - first - nr) * sizeof(set->at[0]));
	set->nr -= nr;
}

/* Moves @contiguous over the interval it reaches: one, since intervals do not touch. */
void interval_absorb(struct interval_set *set, uint64_t *contiguous, uint64_t limit)
{
	uint64_t end;

	if (set->nr == 0 || set->at[0].start > *contiguous)
		return;
	end = set->at[0].end;
	if (end <= limit) {
		remove_at(set, 0, 1);
		*contiguous = end;
	} else if (limit > *contiguous) {
		set->at[0].start = *contiguous = limit;
	}
}

int64_t interval_add(struct interval_set *set, uint64_t *contiguous, uint64_t limit, uint64_t start,
		     uint64_t end)
{
	uint64_t added;
	uint32_t i, j;

	if (start < *contiguous)
		start = *contiguous;
	if (end <= start)
		return 0;
	/* [i, j): the intervals that the new one overlaps or touches. */
	for (i = 0; i < set->nr && set->at[i].end < start; i++)
		;
	added = end - start;
	for (j = i; j < set->nr && set->at[j].start <= end; j++) {
		uint64_t lo = set->at[j].start > start ? set->at[j].start : start;
		uint64_t hi = set->at[j].end < end ? set->at[j].end : end;

		added -= hi - lo;
	}

	if (i == j) {
		if (start == *contiguous && end <= limit) {
			*contiguous = end;
			return (int64_t)added;
		}
		if (set->nr + set->kept >= NCD_INTERVALS_MAX)
			return -ENOSPC;
		memmove(&set->at[i + 1], &set->at[i], (set->nr - i) * sizeof(set->at[0]));
		set->at[i] = (struct interval){ start, end };
		set->nr++;
		interval_absorb(set, contiguous, limit);
		return (int64_t)added;
	}
	if (set->at[i].start > start)
		set->at[i].start = start;
	if (set->at[j - 1].end > end)
		end = set->at[j - 1].end;
	set->at[i].end = end;
	remove_at(set, i + 1, j - i - 1);
	interval_absorb(set, contiguous, limit);
	return (int64_t)added;
}
