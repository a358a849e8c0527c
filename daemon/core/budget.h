/* SPDX-License-Identifier: MIT */
/*
 * budget.h - how many bytes of a throughput channel may lie below ncd, in the kernel and in the
 * network. What is more waits in ncd, where a latency frame overtakes it.
 *
 *   FREE --round trips take much longer than the shortest--> BOUND --larger than any--> FREE
 *
 * While BOUND the budget is moved towards bandwidth x (shortest round trip + BUDGET_QUEUE_NS), by
 * what round trips take now: the bandwidth itself need not be known.
 *
 * Ownership: the caller's memory. Threading: none of its own.
 */
#ifndef NCD_CORE_BUDGET_H
#define NCD_CORE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_EVERY_NS 2000000ull  /* shortest time between two samples */
#define BUDGET_QUEUE_NS 100000ull   /* what may queue in the network, as time */
#define BUDGET_ONSET_NS 400000ull   /* a queue from which on there is a budget at all */
#define BUDGET_LEAST    (32u << 10) /* below it a byte costs the kernel much */
#define BUDGET_SEGMENTS 4           /* fewer under way are acknowledged late */
#define BUDGET_SEGMENT_MOST (16u << 10) /* larger ones has loopback only */
#define BUDGET_MOST     (4u << 20)  /* beyond: none */

/* What the transport says of a connection. */
struct budget_sample {
	uint64_t rtt_ns;     /* smoothed, as it is now; 0: unknown */
	uint64_t min_rtt_ns; /* the shortest that it has seen; 0: unknown */
	uint64_t below;      /* bytes given to it and not acknowledged */
	uint32_t segment;    /* bytes that it sends in one piece, at most */
};

/* All zero: FREE, nothing known. */
struct budget {
	uint64_t base_ns;  /* a round trip through empty queues */
	uint64_t next_ns;  /* when the next sample is due */
	uint32_t bytes;    /* 0: FREE */
	uint32_t stuck;    /* samples in a row at the least, with a queue that is not ours */
	bool follow;       /* base_ns is another than the transport's: the way has changed */
};

static inline bool budget_due(const struct budget *b, uint64_t now_ns)
{
	return now_ns >= b->next_ns;
}

/* Takes a sample. Returns true if the budget is another now. */
bool budget_update(struct budget *b, const struct budget_sample *s, uint64_t now_ns);

#endif /* NCD_CORE_BUDGET_H */
