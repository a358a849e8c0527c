/* SPDX-License-Identifier: MIT */
/*
 * engine_tick.c - what time makes due.
 */
#include <errno.h>

#include "engine_state.h"

static void tick_acks(struct engine *e)
{
	while (e->ack_head != NULL && e->ack_head->ack_due_ns <= e->now_ns) {
		struct stream *s = e->ack_head;

		stream_ack_disarm(e, s);
		s->want |= WANT_CREDIT;
		sched_activate(e, s);
	}
}

static void tick_orphans(struct engine *e)
{
	while (e->orphan_head != NULL && e->orphan_head->orphan_due_ns <= e->now_ns) {
		struct stream *s = e->orphan_head;

		/* Never accepted: if it is after all, the answer is that nobody knows it. */
		if (s->state == STREAM_RESETTING)
			stream_die(e, s, 0);
		else
			stream_reset_begin(e, s, WIRE_E_TIMEDOUT, e->now_ns);
	}
}

static bool peer_times_out(const struct engine_peer *p)
{
	return p->streams > 0 && p->up == 0;
}

static void tick_peers(struct engine *e)
{
	uint32_t i;

	for (i = 1; i < e->peer_high; i++) {
		struct engine_peer *p = &e->peer[i];

		if (peer_times_out(p) && e->now_ns - p->down_ns >= e->cfg.unreachable_ns) {
			peer_end_streams(e, i, -ETIMEDOUT, true);
			p->down_ns = e->now_ns;
		}
	}
}

static void tick_channels(struct engine *e, struct channel **ret_dead)
{
	uint32_t i;

	for (i = 0; i < e->channel_high; i++) {
		struct channel *c = &e->channel[i];

		if (!c->up || c->peer == 0)
			continue;
		if (c->pinged_ns != 0 && e->now_ns - c->pinged_ns >= e->cfg.ping_dead_ns) {
			c->error = "no answer to a ping";
			*ret_dead = c;
			return;
		}
		if (c->draining && !channel_drain_tick(e, c)) {
			c->error = "takes too long to end";
			*ret_dead = c;
			return;
		}
		if (c->pinged_ns == 0 && e->now_ns - c->heard_ns >= e->cfg.ping_idle_ns) {
			c->pinged_ns = e->now_ns;
			c->tx.ping_due = true;
		}
	}
}

void engine_tick(struct engine *e, uint64_t now_ns, struct channel **ret_dead)
{
	*ret_dead = NULL;
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	tick_acks(e);
	tick_orphans(e);
	peer_load_tick(e);
	if (e->now_ns < e->slow_due_ns)
		return;
	tick_peers(e);
	tick_channels(e, ret_dead);
	if (*ret_dead == NULL)
		e->slow_due_ns = e->now_ns + SLOW_TICK_NS;
}

bool engine_tick_due(const struct engine *e, uint64_t now_ns)
{
	return (e->ack_head != NULL && e->ack_head->ack_due_ns <= now_ns) ||
	       (e->orphan_head != NULL && e->orphan_head->orphan_due_ns <= now_ns) ||
	       e->elastic_due_ns <= now_ns ||
	       e->slow_due_ns <= now_ns;
}

static void sooner(uint64_t *deadline, uint64_t due_ns)
{
	if (due_ns < *deadline)
		*deadline = due_ns;
}

uint64_t engine_deadline(const struct engine *e)
{
	uint64_t due = UINT64_MAX, slow = UINT64_MAX;
	uint32_t i;

	if (e->ack_head != NULL)
		sooner(&due, e->ack_head->ack_due_ns);
	if (e->orphan_head != NULL)
		sooner(&due, e->orphan_head->orphan_due_ns);
	for (i = 1; i < e->peer_high; i++) {
		if (peer_times_out(&e->peer[i]))
			sooner(&slow, e->peer[i].down_ns + e->cfg.unreachable_ns);
	}
	for (i = 0; i < e->channel_high; i++) {
		const struct channel *c = &e->channel[i];

		if (!c->up || c->peer == 0)
			continue;
		if (c->draining)
			sooner(&slow, e->now_ns + SLOW_TICK_NS);
		sooner(&slow, c->pinged_ns != 0 ? c->pinged_ns + e->cfg.ping_dead_ns :
						  c->heard_ns + e->cfg.ping_idle_ns);
	}
	sooner(&due, e->elastic_due_ns);
	/* The slow part runs no sooner than its own pace, so it is not due before. */
	if (slow != UINT64_MAX && slow < e->slow_due_ns)
		slow = e->slow_due_ns;
	sooner(&due, slow);
	return due;
}
