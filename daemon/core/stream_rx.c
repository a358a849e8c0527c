/* SPDX-License-Identifier: MIT */
/*
 * stream_rx.c - bytes of a stream that have come: which are contiguous, what may be told of them,
 * and the end.
 */
#include <assert.h>
#include <errno.h>

#include "engine_state.h"

static void release_empty_set(struct engine *e, struct stream *s)
{
	if (s->holes->nr > 0 || s->holes->kept > 0)
		return;
	e->set_free[e->set_free_nr++] = (uint32_t)(s->holes - e->sets);
	s->holes = NULL;
}

static bool take_set(struct engine *e, struct stream *s)
{
	if (s->holes != NULL)
		return true;
	if (e->set_free_nr == 0)
		return false;
	s->holes = &e->sets[e->set_free[--e->set_free_nr]];
	s->holes->nr = s->holes->kept = 0;
	return true;
}

bool stream_keep_hole(struct engine *e, struct stream *s)
{
	if (!take_set(e, s) || s->holes->nr + s->holes->kept >= NCD_INTERVALS_MAX)
		return false;
	s->holes->kept++;
	return true;
}

void stream_unkeep_hole(struct engine *e, struct stream *s)
{
	s->holes->kept--;
	release_empty_set(e, s);
}

/* The first hole of a stream takes a set from the pool; the last gives it back. */
static int64_t add_bytes(struct engine *e, struct stream *s, uint64_t limit, uint64_t start,
			 uint64_t end)
{
	int64_t added;

	if (end > s->rx_next && (start > s->rx_next || end > limit) && !take_set(e, s))
		return -ENOSPC;
	if (s->holes == NULL) {
		added = end > s->rx_next ? (int64_t)(end - s->rx_next) : 0;
		s->rx_next += (uint64_t)added;
		return added;
	}
	added = interval_add(s->holes, &s->rx_next, limit, start, end);
	release_empty_set(e, s);
	return added;
}

int stream_rx_bytes(struct engine *e, const struct channel *c, struct stream *s, uint64_t offset,
		    uint32_t bytes, uint64_t now_ns)
{
	uint64_t before = s->rx_next, limit = channel_hold(e, c, s);
	int64_t added = add_bytes(e, s, limit, offset, offset + bytes);

	if (added < 0)
		return (int)added;
	e->counters.bytes_received += (uint64_t)added;
	e->counters.duplicate_bytes += bytes - (uint64_t)added;
	if (offset + bytes > limit && c != NULL)
		s->held_on = (uint8_t)(c->bit + 1);
	else if (offset + bytes > limit && s->held_on == 0)
		s->held_on = HELD_CARRIED;
	if (s->rx_next != before) {
		s->rx_filled |= s->rx_next - s->rx_head >= s->rx.bytes / 2;
		stream_event(e, s, STREAM_EV_RX);
		stream_ack_arm(e, s, now_ns);
	}
	return 0;
}

static void say_credit(struct engine *e, struct stream *s)
{
	s->want |= WANT_CREDIT;
	if (s->state == STREAM_ESTABLISHED)
		sched_activate(e, s);
}

void stream_rx_final(struct engine *e, struct stream *s, uint64_t final)
{
	s->rx_final = final;
	if (stream_rx_complete(s))
		stream_event(e, s, STREAM_EV_RX);
}

int stream_rx_ack_end(struct engine *e, struct channel *c, struct stream *s)
{
	struct reply r = { .type = FRAME_CREDIT, .stream = s->remote_id };

	if (!stream_rx_complete(s) || s->state != STREAM_ESTABLISHED)
		return 0;
	r.offset = stream_ack_out(s);
	if (channel_reply(c, &r) != 0)
		return -EPROTO;
	s->rx_told = r.offset;
	s->rx_end_told = true;
	s->want &= (uint8_t)~WANT_CREDIT;
	stream_ack_disarm(e, s);
	stream_finish_if_done(e, s);
	return 0;
}

void stream_rx_end_asked(struct engine *e, struct stream *s)
{
	if (!stream_rx_complete(s) || s->state != STREAM_ESTABLISHED)
		return;
	s->rx_end_told = true;
	stream_finish_if_done(e, s);
}

int stream_rx_unhold(struct engine *e, struct stream *s, uint64_t now_ns)
{
	const struct engine_peer *p = &e->peer[s->peer];
	uint64_t before = s->rx_next, limit = channel_hold(e, NULL, s);
	uint8_t on = s->held_on;

	if (s->holes != NULL) {
		interval_absorb(s->holes, &s->rx_next, limit);
		release_empty_set(e, s);
	}
	if (limit == NO_OFFSET)
		s->held_on = 0;
	if (s->rx_next != before) {
		stream_event(e, s, STREAM_EV_RX);
		stream_ack_arm(e, s, now_ns);
	}
	if (on == HELD_CARRIED)
		return 0;
	/* The channel that brought the end is the one to be told on. */
	if (p->up >> (on - 1) & 1)
		return stream_rx_ack_end(e, p->channel[on - 1], s);
	stream_rx_end_asked(e, s);
	return 0;
}

void stream_rx_placed(struct engine *e, struct stream *s, uint64_t from, uint64_t end)
{
	int r = stream_rx_bytes(e, NULL, s, from, (uint32_t)(end - from), e->now_ns);

	assert(r == 0); /* there is room for the interval */
	if (s->held_on != 0)
		(void)stream_rx_unhold(e, s, e->now_ns); /* that channel says it */
	/* The application closed while the payload was coming. */
	if (s->closed && s->rx_head != s->rx_next) {
		stream_reset_begin(e, s, WIRE_E_RESET, e->now_ns);
		return;
	}
	say_credit(e, s); /* the peer's FIN may wait for it */
}

int stream_rx_data_end(struct engine *e, struct channel *c, struct stream *s,
		       const struct frame *f)
{
	/* The application closed while the payload was coming. */
	if (s->closed && s->rx_head != s->rx_next) {
		stream_reset_begin(e, s, WIRE_E_RESET, e->now_ns);
		return 0;
	}
	if (f->flags & FRAME_F_FIN)
		stream_rx_final(e, s, f->offset + f->length);
	if (stream_rx_complete(s))
		return stream_rx_ack_end(e, c, s);
	if (f->flags & FRAME_F_ACK)
		say_credit(e, s);
	return 0;
}
