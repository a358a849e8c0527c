/* SPDX-License-Identifier: MIT */
/*
 * channel_rx.c - bytes of a channel to frames to streams. A large payload is received straight into
 * its place in the rx ring, followed by the next header; small frames come many to a read through
 * the staging buffer and are copied.
 *
 * A place in a ring is only written where the byte is still missing: offset >= rx_next. A payload
 * whose receive is under way holds back the stream's credit (channel_credit_cap), so that the same
 * place cannot come to mean a later byte meanwhile. Its bytes may also come by another channel, if
 * the peer has given this one up and sent them again: they are not acknowledged before that receive
 * is over (channel_hold). For once they are, the peer may write something else where it sent them
 * from, and what then arrives here of the first copy is no longer the same (struct tx_file).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine_state.h"

#define SMALL_MOST (16u << 10) /* payloads up to this come many to a read, and are copied */

static int fail(struct channel *c, const char *why)
{
	if (c->error == NULL)
		c->error = why;
	return -EPROTO;
}

static uint32_t payload_left(const struct channel_rx *rx)
{
	return rx->frame.length - rx->done;
}

void engine_rx_limit(struct engine *e, uint32_t bytes)
{
	e->rx_most = bytes;
}

/*
 * Where an empty ring is written from again: always the same place, so that small messages stay in
 * a few cache lines of one page; but another line of another page than other rings, whose places
 * would be one set of the cache, and of the TLB.
 */
static uint64_t ring_colour(const struct stream *s)
{
	return (s->id * (NCD_PAGE + NCD_CACHE_LINE)) & (s->rx.bytes - 1);
}

/* @placing: receives under way into it that are the caller's own. */
static void rebase(const struct engine *e, struct stream *s, uint32_t placing)
{
	if (e->cfg.rebase && !s->rx_fixed && s->placing == placing && s->holes == NULL &&
	    s->rx_head == s->rx_next)
		s->rx_base = s->rx_next - ring_colour(s);
}

/* Where the payload that is coming belongs; from NO_OFFSET: nowhere. */
static struct carry_target target(const struct channel_rx *rx)
{
	const struct stream *s = rx->stream;

	if (rx->frame.type == FRAME_CARRIED)
		return rx->carried;
	if (s == NULL)
		return (struct carry_target){ .from = NO_OFFSET };
	return (struct carry_target){ s->rx, s->rx_base, s->rx_next };
}

/* The ring's pieces for the payload that is coming, if it is large and missing. */
static int direct_iov(const struct engine *e, struct channel_rx *rx)
{
	uint32_t left = payload_left(rx);
	uint64_t offset = rx->frame.offset + rx->done;
	struct carry_target to;
	uint32_t pos, first;

	if (rx->stream != NULL)
		rebase(e, rx->stream, 1);
	to = target(rx);
	if (left < RX_DIRECT_MIN || offset < to.from || to.from == NO_OFFSET)
		return 0;
	if (left > e->rx_most)
		left = e->rx_most;
	pos = ring_place(&to.ring, to.base, offset);
	first = left < to.ring.bytes - pos ? left : to.ring.bytes - pos;
	rx->iov[0] = (struct iovec){ to.ring.base + pos, first };
	rx->iov[1] = (struct iovec){ to.ring.base, left - first };
	rx->direct = left;
	return first < left ? 2 : 1;
}

/* How much the staging buffer should take: not the payload that could go direct. */
static uint32_t staging_want(const struct channel_rx *rx)
{
	uint32_t room = rx->buf_bytes - rx->end;
	uint32_t want = room;

	if (rx->bulk && !rx->in_payload)
		want = WIRE_HEADER_BYTES - (rx->end - rx->start);
	else if (rx->bulk)
		want = payload_left(rx) + WIRE_HEADER_BYTES;
	return want < room ? want : room;
}

static void put_staging(struct channel_rx *rx, uint32_t bytes)
{
	rx->iov[rx->iov_nr++] = (struct iovec){ rx->buf + rx->end, bytes };
}

int engine_rx_iov(struct engine *e, struct channel *c, const struct iovec **ret_iov)
{
	struct channel_rx *rx = &c->rx;
	uint32_t pending = rx->end - rx->start;

	assert(!rx->waiting);
	if (!rx->lent) {
		if (rx->start > 0) {
			memmove(rx->buf, rx->buf + rx->start, pending);
			rx->start = 0;
			rx->end = pending;
		}
		rx->direct = 0;
		rx->iov_nr = rx->in_payload && pending == 0 ? direct_iov(e, rx) : 0;
		if (rx->direct == 0)
			put_staging(rx, staging_want(rx));
		else if (rx->direct == payload_left(rx))
			put_staging(rx, WIRE_HEADER_BYTES);
		rx->lent = true;
	}
	*ret_iov = rx->iov;
	return rx->iov_nr;
}

bool engine_channel_wants_rx(const struct channel *c)
{
	return !c->rx.waiting;
}

/* What of [offset, offset + bytes) has a place goes there. */
static void copy_to_ring(const struct carry_target *to, uint64_t offset, const uint8_t *data,
			 uint32_t bytes)
{
	uint64_t skip = offset < to->from ? to->from - offset : 0;
	uint32_t pos, first;

	if (skip >= bytes || to->from == NO_OFFSET)
		return;
	data += skip;
	bytes -= (uint32_t)skip;
	pos = ring_place(&to->ring, to->base, offset + skip);
	first = bytes < to->ring.bytes - pos ? bytes : to->ring.bytes - pos;
	memcpy(to->ring.base + pos, data, first);
	if (first < bytes)
		memcpy(to->ring.base, data + first, bytes - first);
}

/* @bytes of the payload under way lie at @data; where they belong depends on the frame. */
static int take_payload(struct engine *e, struct channel *c, const uint8_t *data, uint32_t bytes)
{
	struct channel_rx *rx = &c->rx;
	struct stream *s = rx->stream;
	uint64_t offset = rx->frame.offset + rx->done;
	struct carry_target to;

	if (rx->frame.type != FRAME_DATA && rx->frame.type != FRAME_CARRIED) {
		memcpy(rx->open + rx->done, data, bytes);
		return 0;
	}
	to = target(rx);
	copy_to_ring(&to, offset, data, bytes);
	if (s == NULL)
		return 0;
	if (stream_rx_bytes(e, c, s, offset, bytes, e->now_ns) != 0)
		return fail(c, "too many holes in a stream");
	return 0;
}

/* A DATA header: who gets the payload, and may it come? */
static int begin_data(struct engine *e, struct channel *c)
{
	struct channel_rx *rx = &c->rx;
	const struct frame *f = &rx->frame;
	struct stream *s = stream_by_id(e, c->peer, f->stream);

	if (s == NULL || s->state == STREAM_DEAD || s->state == STREAM_FREE)
		return reply_unknown(e, c, f->stream);
	if (s->state == STREAM_ARRIVED)
		move_settle(e, s);
	if (s->state != STREAM_ESTABLISHED && s->state != STREAM_OPENING)
		return 0;
	if (stream_check_data(s, f->offset, f->length, f->flags & FRAME_F_FIN) != 0)
		return fail(c, "data outside the credit or the end of the stream");
	if (s->state == STREAM_ESTABLISHED) {
		if (stream_peer_ack(e, s, f) != 0)
			return fail(c, "acknowledges what was not sent");
		/* If that was the last thing to wait for, this is a copy, to be answered as one. */
		if (s->state != STREAM_ESTABLISHED)
			return reply_unknown(e, c, f->stream);
	} else {
		stream_credit_early(s, f->ack, f->window);
	}
	/* What it has had before it closed may come again: that is only to be acknowledged. */
	if (s->closed && f->offset + f->length > s->rx_next) {
		stream_reset_begin(e, s, WIRE_E_RESET, e->now_ns);
		return 0;
	}
	rebase(e, s, 0);
	rx->stream = s;
	s->placing++;
	return 0;
}

static int end_frame(struct engine *e, struct channel *c)
{
	struct channel_rx *rx = &c->rx;
	struct stream *s = rx->stream;
	int r = 0;

	rx->in_payload = false;
	rx->stream = NULL;
	if (rx->frame.type == FRAME_CARRIED) {
		carry_payload_end(e, c);
	} else if (rx->frame.type != FRAME_DATA) {
		r = stream_peer_frame(e, c, &rx->frame, rx->open, e->now_ns);
	} else if (s != NULL) {
		s->placing--;
		r = stream_rx_data_end(e, c, s, &rx->frame);
		/* It may have held the credit back. */
		stream_credit_check(e, s, e->now_ns);
	}
	return r != 0 ? fail(c, "frame does not fit its stream") : 0;
}

static int begin_frame(struct engine *e, struct channel *c, const uint8_t *header)
{
	struct channel_rx *rx = &c->rx;

	if (frame_decode(header, &rx->frame) != 0)
		return fail(c, "malformed frame header");
	if (rx->frame.type == FRAME_HELLO)
		return fail(c, "hello on a channel that is up");
	c->counters.frames_received++;
	c->counters.frames_urgent += frame_urgent(rx->frame.type);
	e->counters.frames_received++;
	rx->in_payload = true;
	rx->done = 0;
	rx->bulk = rx->frame.length > SMALL_MOST;
	if (rx->frame.type == FRAME_DATA && begin_data(e, c) != 0)
		return fail(c, "answers overflow");
	if (rx->frame.type == FRAME_CARRIED && carry_ask(e, c) != 0)
		return fail(c, "carries for a lane that cannot be, or unasked");
	return rx->frame.length == 0 ? end_frame(e, c) : 0;
}

static int advance(struct engine *e, struct channel *c, uint32_t bytes)
{
	c->rx.done += bytes;
	return payload_left(&c->rx) == 0 ? end_frame(e, c) : 0;
}

/* Frames out of the staging buffer. */
static int parse(struct engine *e, struct channel *c)
{
	struct channel_rx *rx = &c->rx;
	int r = 0;

	while (r == 0 && rx->start < rx->end && !rx->waiting) {
		const uint8_t *p = rx->buf + rx->start;
		uint32_t avail = rx->end - rx->start;

		if (!rx->in_payload) {
			if (avail < WIRE_HEADER_BYTES)
				return 0;
			rx->start += WIRE_HEADER_BYTES;
			r = begin_frame(e, c, p);
			continue;
		}
		if (avail > payload_left(rx))
			avail = payload_left(rx);
		rx->start += avail;
		r = take_payload(e, c, p, avail);
		if (r == 0)
			r = advance(e, c, avail);
	}
	return r;
}

int engine_received(struct engine *e, struct channel *c, size_t bytes, uint64_t now_ns)
{
	struct channel_rx *rx = &c->rx;
	uint32_t placed = bytes < rx->direct ? (uint32_t)bytes : rx->direct;
	int r = 0;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	c->heard_ns = e->now_ns;
	c->pinged_ns = 0;
	c->counters.bytes_received += bytes;
	rx->lent = false;
	rx->direct = 0;
	rx->end += (uint32_t)bytes - placed;
	if (placed > 0) {
		uint64_t offset = rx->frame.offset + rx->done;

		if (rx->stream != NULL &&
		    stream_rx_bytes(e, c, rx->stream, offset, placed, e->now_ns) != 0)
			r = fail(c, "too many holes in a stream");
		if (r == 0 && rx->stream != NULL && rx->stream->held_on != 0 &&
		    stream_rx_unhold(e, rx->stream, e->now_ns) != 0)
			r = fail(c, "answers overflow");
		if (r == 0)
			r = advance(e, c, placed);
	}
	if (r == 0)
		r = parse(e, c);
	if (r != 0)
		e->counters.frame_errors++;
	return r;
}

int channel_resume(struct engine *e, struct channel *c)
{
	int r = parse(e, c);

	if (r != 0)
		e->counters.frame_errors++;
	return r;
}

void channel_forget_stream(struct engine *e, struct stream *s)
{
	const struct engine_peer *p = &e->peer[s->peer];
	uint32_t bits = p->up;

	if (s->placing == 0)
		return;
	while (bits != 0) {
		struct channel *c = p->channel[__builtin_ctz(bits)];

		bits &= bits - 1;
		if (c->rx.stream == s)
			c->rx.stream = NULL;
	}
	s->placing = 0;
}

uint64_t channel_hold(const struct engine *e, const struct channel *c, const struct stream *s)
{
	const struct engine_peer *p = &e->peer[s->peer];
	bool others = s->placing > (c != NULL);
	uint64_t hold = others ? carry_hold(e, s) : NO_OFFSET;
	uint32_t bits = others ? p->up : 0;

	while (bits != 0) {
		const struct channel *other = p->channel[__builtin_ctz(bits)];
		const struct channel_rx *rx = &other->rx;

		bits &= bits - 1;
		if (other == c || rx->stream != s || !rx->lent || rx->direct == 0)
			continue;
		if (rx->frame.offset + rx->done < hold)
			hold = rx->frame.offset + rx->done;
	}
	return hold;
}

uint64_t channel_credit_cap(const struct engine *e, const struct stream *s, uint64_t limit)
{
	const struct engine_peer *p = &e->peer[s->peer];
	uint64_t hold = carry_hold(e, s);
	uint32_t bits = p->up;

	if (hold < limit - s->rx.bytes)
		limit = hold + s->rx.bytes;
	while (bits != 0) {
		const struct channel_rx *rx = &p->channel[__builtin_ctz(bits)]->rx;
		uint64_t cap = rx->frame.offset + rx->done + s->rx.bytes;

		bits &= bits - 1;
		if (rx->stream == s && cap < limit)
			limit = cap;
	}
	return limit;
}
