/* SPDX-License-Identifier: MIT */
/*
 * interval.h - which bytes of a stream have arrived beyond the contiguous ones.
 *
 *   0 ........ contiguous    [start0, end0)   [start1, end1)         credit
 *   |##############|............|######|.........|####|................|
 *
 * Invariant: contiguous < start0, end(i) < start(i+1): intervals never touch. Only where a limit
 * holds contiguous back start0 may be equal to it, and both to the limit.
 */
#ifndef NCD_CORE_INTERVAL_H
#define NCD_CORE_INTERVAL_H

#include <stdint.h>

#include "ncd/limits.h"

struct interval {
	uint64_t start, end;
};

/* The pieces beyond the contiguous part. Kept outside the stream: most streams never have any. */
struct interval_set {
	uint32_t nr;
	uint32_t kept; /* places for intervals that will come: others may not take them */
	struct interval at[NCD_INTERVALS_MAX];
};

/*
 * Bytes [start, end) have arrived; @contiguous moves if they join it, but not beyond @limit.
 * Returns how many of the bytes are new, or -ENOSPC if there would be too many holes (nothing is
 * changed).
 */
int64_t interval_add(struct interval_set *set, uint64_t *contiguous, uint64_t limit, uint64_t start,
		     uint64_t end);
/* The limit is another: moves @contiguous as far as it may. */
void interval_absorb(struct interval_set *set, uint64_t *contiguous, uint64_t limit);

#endif /* NCD_CORE_INTERVAL_H */
