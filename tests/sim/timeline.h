/* SPDX-License-Identifier: MIT */
/*
 * timeline.h - what happens when, in virtual time: a binary heap of events.
 *
 * Events of the same time come out in the order in which they were added, so that a run depends on
 * the seed alone.
 */
#ifndef SIM_TIMELINE_H
#define SIM_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

struct event {
	uint64_t at_ns, order;
	uint32_t kind;       /* enum event_kind of who uses it: sim.h, bench/scale/state.h */
	uint32_t a, b;       /* which node, connection, flow; which end */
	uint32_t generation; /* of that: what is older is stale and ignored */
};

struct timeline {
	struct event *heap;
	uint32_t nr, room;
	uint64_t order;
};

void timeline_fini(struct timeline *t);
void timeline_add(struct timeline *t, const struct event *ev);
/* Takes the earliest; false if there is none. */
bool timeline_next(struct timeline *t, struct event *ret_event);

#endif /* SIM_TIMELINE_H */
