/* SPDX-License-Identifier: MIT */
/*
 * idle.h - how long a thread without work spins before it sleeps: decided on times alone.
 *
 * Ownership: the struct is its thread's; all zero is the start.
 * Threading: that thread.
 */
#ifndef NCD_IDLE_H
#define NCD_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct idle {
	uint64_t since_ns;  /* start of this idle time, 0: busy */
	uint64_t budget_ns; /* to spin */
	uint32_t slow_yields;
	bool crowded;       /* others want the core */
	uint64_t slice_begin_ns, slice_end_ns; /* somebody had the core for so long, or again */
	uint64_t shy_until_ns; /* no spinning at all before: somebody computes on the core */
	uint64_t shy_ns;       /* for how long, the last time */
	uint32_t words;        /* of programs for each sleep of late, in 1/16 */
	bool dozed;            /* nothing was done since it last dozed */
};

/* Nothing was done: true if it spins on (offers the core to others and looks again). */
bool idle_spins(struct idle *i, uint64_t now_ns);
/* Others, who were offered the core, have used it for @away_ns. */
void idle_yielded(struct idle *i, uint64_t away_ns, uint64_t now_ns);
/* It sleeps, and has had @words of programs since the last time: true if it is to sleep only for a
 * moment, in which they may hold back their wakes (DOORBELL_SOON). */
bool idle_dozes(struct idle *i, uint32_t words);
/* Something was done; a spin may never last longer than @most_ns. */
void idle_ends(struct idle *i, uint64_t most_ns, uint64_t now_ns);

#endif /* NCD_IDLE_H */
