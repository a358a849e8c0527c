/* SPDX-License-Identifier: MIT */
/*
 * budget.c - the decision how much of a throughput channel lies below ncd: from delay, as FAST TCP
 * does, since a loss is too late a sign: the queue that latency frames stand in is full by then.
 */
#include "budget.h"

#define STUCK_MAX 50 /* samples at the least before the way is taken to be longer than it was */

/* The round trip without queues, as far as it is known. */
static void base_learn(struct budget *b, const struct budget_sample *s)
{
	if (b->base_ns == 0 || s->rtt_ns < b->base_ns)
		b->base_ns = s->rtt_ns;
	if (s->min_rtt_ns != 0 && s->min_rtt_ns < b->base_ns && !b->follow)
		b->base_ns = s->min_rtt_ns;
}

/*
 * A receiver waits up to 40 ms before it acknowledges less than two segments: with less than that
 * under way, round trips would look long, and the budget would never grow again.
 */
static uint32_t least(const struct budget_sample *s)
{
	uint64_t bytes = (uint64_t)s->segment * BUDGET_SEGMENTS;

	if (bytes > BUDGET_MOST / 2)
		return BUDGET_MOST / 2;
	return bytes < BUDGET_LEAST ? BUDGET_LEAST : (uint32_t)bytes;
}

static uint32_t bounded(uint64_t bytes, const struct budget_sample *s)
{
	if (bytes < least(s))
		return least(s);
	return bytes > BUDGET_MOST ? BUDGET_MOST : (uint32_t)bytes;
}

/*
 * At the least, and round trips are as long as before: the queue is that of others, or the way has
 * changed. To give way any further would be to stop.
 */
static void stuck(struct budget *b, const struct budget_sample *s)
{
	if (++b->stuck < STUCK_MAX)
		return;
	b->stuck = 0;
	b->follow = true;
	b->base_ns = s->rtt_ns;
}

bool budget_update(struct budget *b, const struct budget_sample *s, uint64_t now_ns)
{
	uint32_t before = b->bytes;
	uint64_t target_ns, next;

	/* What was decided last shows after a round trip, and in a smoothed time after some. */
	b->next_ns = now_ns + (2 * s->rtt_ns > BUDGET_EVERY_NS ? 2 * s->rtt_ns : BUDGET_EVERY_NS);
	/* Within a host nothing queues: long round trips there are processors that are busy. */
	if (s->rtt_ns == 0 || s->segment > BUDGET_SEGMENT_MOST)
		return false;
	base_learn(b, s);
	target_ns = b->base_ns + BUDGET_QUEUE_NS;
	if (b->bytes == 0) {
		if (s->rtt_ns < b->base_ns + BUDGET_ONSET_NS || s->below == 0)
			return false;
		b->bytes = bounded(s->below * target_ns / s->rtt_ns, s);
		return true;
	}
	/* Half of the way at once: smoothed times come late, and the whole of it would swing. */
	next = b->bytes * target_ns / s->rtt_ns;
	if (next > 2ull * b->bytes)
		next = 2ull * b->bytes;
	next = (b->bytes + next) / 2;
	/* Nobody needs more of what is not used up. */
	if (next > b->bytes && s->below < b->bytes / 2)
		next = b->bytes;
	b->bytes = bounded(next, s);
	if (b->bytes == least(s) && s->rtt_ns > target_ns)
		stuck(b, s);
	else
		b->stuck = 0;
	if (b->bytes == BUDGET_MOST) {
		b->bytes = 0;
		b->follow = false;
	}
	return b->bytes != before;
}
