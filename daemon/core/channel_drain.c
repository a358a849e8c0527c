/* SPDX-License-Identifier: MIT */
/*
 * channel_drain.c - a channel ends without a loss, so that nothing is sent again (wire.h,
 * WIRE_DRAIN_*). Should it die before it has ended, that is as any other channel's death.
 *
 *   we take it away                              the peer does
 *   channel_drain: no more streams, say ASK      hear ASK: no more streams, say READY
 *   hear READY: clean; say CLOSE                 hear CLOSE: clean, over
 *   (closed by the peer)
 *
 * CLOSE and READY come behind all answers to what the other has sent on the channel; so who hears
 * one knows more than that it has all arrived: there is nothing to be said about it on this channel
 * any more. What has still to be said there (the last ack of a stream, a refusal) holds them up.
 */
#include <errno.h>

#include "engine_state.h"

static void drain_begin(struct engine *e, struct channel *c)
{
	if (c->draining)
		return;
	c->draining = true;
	c->drain_ns = e->now_ns;
	e->peer[c->peer].usable &= ~(1u << c->bit);
	carry_requeue(e, c);
	sched_requeue(e, c);
}

void channel_drain(struct engine *e, struct channel *c)
{
	drain_begin(e, c);
	c->tx.drain_due = c->drain_said = WIRE_DRAIN_ASK;
}

int channel_drain_step(struct engine *e, struct channel *c, uint64_t step)
{
	if (c->peer == 0 || step <= c->drain_heard || step > WIRE_DRAIN_CLOSE)
		return -EPROTO;
	/* READY and CLOSE are answers to what we have said. */
	if (step > WIRE_DRAIN_ASK && c->drain_said + 1u < step)
		return -EPROTO;
	c->drain_heard = (uint8_t)step;
	if (step == WIRE_DRAIN_CLOSE) {
		c->clean = c->over = true;
		return 0;
	}
	c->clean |= step == WIRE_DRAIN_READY;
	drain_begin(e, c);
	/* The answer; what of our own was not said yet is in it. */
	c->drain_said = (uint8_t)(step + 1);
	c->tx.drain_due = c->drain_said;
	c->drain_held = 0;
	return 0;
}

bool channel_drain_ready(const struct engine *e, struct channel *c)
{
	uint32_t i;

	for (i = 0; c->tx.drain_due != WIRE_DRAIN_ASK && i < e->stream_high; i++) {
		const struct stream *s = &e->stream[i];

		if (s->peer != c->peer || s->state == STREAM_FREE || s->state == STREAM_DEAD)
			continue;
		if (s->held_on == c->bit + 1 ||
		    (s->state == STREAM_INCOMING && (s->used & 1u << c->bit))) {
			c->drain_held = c->tx.drain_due;
			c->tx.drain_due = 0;
			return false;
		}
	}
	return true;
}

bool channel_drain_tick(const struct engine *e, struct channel *c)
{
	if (c->drain_held != 0)
		c->tx.drain_due = c->drain_held;
	c->drain_held = 0;
	return e->now_ns - c->drain_ns < e->cfg.ping_dead_ns;
}

void channel_drain_forget(struct engine *e, const struct channel *c)
{
	uint32_t i;

	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];

		/* Of others it matters whether they have ever used a channel: those begin again. */
		if (s->peer != c->peer || s->state != STREAM_ESTABLISHED)
			continue;
		s->used &= ~(1u << c->bit);
		if (s->last != c)
			continue;
		s->last = NULL;
		if (s->tx_next > s->tx_acked)
			stream_switched(s);
	}
}

bool engine_channel_draining(const struct channel *c)
{
	return c->draining;
}

bool engine_channel_over(const struct channel *c)
{
	return c->over;
}

bool engine_channel_clean(const struct channel *c)
{
	return c->clean;
}
