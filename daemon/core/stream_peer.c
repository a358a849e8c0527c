/* SPDX-License-Identifier: MIT */
/*
 * stream_peer.c - what the frames of a peer do to streams.
 */
#include <errno.h>
#include <string.h>

#include "engine_state.h"

int wire_error_to_errno(uint32_t wire_error, bool connected)
{
	switch (wire_error) {
	case WIRE_E_REFUSED:
	case WIRE_E_NOBUFS:
		return -ECONNREFUSED;
	case WIRE_E_TIMEDOUT:
		return -ETIMEDOUT;
	case WIRE_E_LEAVING:
		return connected ? -ECONNRESET : -ECONNREFUSED;
	default:
		return -ECONNRESET;
	}
}

int stream_peer_ack(struct engine *e, struct stream *s, const struct frame *f)
{
	bool fin_before = s->fin_acked;
	int moved = stream_acked(s, f->ack, f->window);

	/* One that has been resumed has sent ACCEPT before it goes on. */
	s->confirmed |= f->type != FRAME_ACCEPT;
	if (moved < 0)
		return -EPROTO;
	if (moved > 0) {
		stream_event(e, s, STREAM_EV_TX);
		if (s->fin_acked && !fin_before)
			stream_event(e, s, STREAM_EV_TX_DONE);
		/* The FIN waits for what others have carried. */
		if (stream_sendable(s) > 0 || stream_fin_due(s))
			sched_activate(e, s);
		if (e->cfg.carry)
			carry_offer(e, s);
		stream_progress(e, s);
	}
	return 0;
}

int reply_unknown(struct engine *e, struct channel *c, uint64_t id)
{
	struct reply r = { .type = FRAME_RESET, .flags = FRAME_F_UNKNOWN, .offset = id };

	e->counters.unknown_streams++;
	return channel_reply(c, &r);
}

int reply_refuse(struct channel *c, uint64_t id, uint8_t code)
{
	struct reply r = { .type = FRAME_REFUSE, .code = code, .stream = id };

	return channel_reply(c, &r);
}

/* The data that rode with OPEN, as far as it has a place. */
static void take_open_data(struct engine *e, struct stream *s, const struct frame *f,
			   const uint8_t *data, uint64_t now_ns)
{
	uint32_t bytes = f->length - WIRE_OPEN_BYTES;
	bool all = bytes <= s->rx.bytes;

	if (!all)
		bytes = s->rx.bytes;
	memcpy(s->rx.base, data, bytes);
	if (bytes > 0)
		(void)stream_rx_bytes(e, NULL, s, 0, bytes, now_ns); /* no hole: cannot fail */
	if (all && (f->flags & FRAME_F_FIN))
		stream_rx_final(e, s, bytes);
}

int stream_open_again(struct engine *e, struct channel *c, struct stream *s)
{
	if (s->state == STREAM_INCOMING)
		s->used |= 1u << c->bit;
	if ((s->state == STREAM_ESTABLISHED || s->state == STREAM_ARRIVED) && !s->opener) {
		s->want |= WANT_ACCEPT;
		sched_activate(e, s);
	}
	/* As when it has been freed: a refusal may have been lost. */
	return s->state == STREAM_DEAD ? reply_refuse(c, s->remote_id, WIRE_E_REFUSED) : 0;
}

static struct stream *incoming_alloc(struct engine *e, const struct channel *c,
				     const struct open_info *o, const struct frame *f)
{
	struct stream *s = stream_alloc(e, c->peer);

	if (s == NULL)
		return NULL;
	s->lane = (uint16_t)(c->lane + 1);
	s->state = STREAM_INCOMING;
	s->remote_id = o->stream;
	s->local_addr = o->destination;
	s->local_port = o->destination_port;
	s->remote_addr = o->source;
	s->remote_port = o->source_port;
	s->class_set = o->class;
	s->tx_limit = f->window;
	stream_classify(s);
	id_table_insert(&e->ids, s);
	return s;
}

static int peer_open(struct engine *e, struct channel *c, const struct frame *f,
		     const uint8_t *payload, uint64_t now_ns)
{
	struct open_info o;
	struct listener *l;
	struct stream *s;
	int r;

	if (open_decode(payload, &o) != 0)
		return -EPROTO;
	s = id_table_find(&e->ids, c->peer, c->lane, o.stream);
	if (s != NULL)
		return stream_open_again(e, c, s);
	/* A copy that comes late. Its opener has heard the answer, unless that was a refusal. */
	if (!opened_first(&e->opened, c->peer, c->lane, e->peer[c->peer].epoch, o.stream))
		return reply_refuse(c, o.stream, WIRE_E_REFUSED);
	l = listener_find(&e->listeners, &o.destination, o.destination_port);
	if (l == NULL || e->leaving) {
		e->counters.refused++;
		return reply_refuse(c, o.stream, e->leaving ? WIRE_E_LEAVING : WIRE_E_REFUSED);
	}
	s = incoming_alloc(e, c, &o, f);
	if (s == NULL) {
		e->counters.refused++;
		return reply_refuse(c, o.stream, WIRE_E_NOBUFS);
	}
	s->used |= 1u << c->bit; /* where a refusal goes */
	r = e->ops->incoming(e->ctx, s, l->user);
	if (r == 0) {
		engine_stream_admit(e, s, now_ns);
		take_open_data(e, s, f, payload + WIRE_OPEN_BYTES, now_ns);
	} else if (r != -EAGAIN) {
		e->counters.refused++;
		engine_stream_free(e, s);
		return reply_refuse(c, o.stream, WIRE_E_NOBUFS);
	}
	return 0;
}

static int peer_accept(struct engine *e, struct channel *c, struct stream *s,
		       const struct frame *f, const uint8_t *payload)
{
	uint64_t id = wire_get64(payload);

	if (id == 0)
		return -EPROTO;
	if (s->state == STREAM_RESUMING)
		return move_accepted(e, s, f, id);
	/* What is to be reset, and was to be resumed, has never sent what this may name. */
	if (f->ack > s->tx_sent + 1 && s->state != STREAM_RESETTING)
		return -EPROTO;
	if (s->remote_id != 0)
		return s->state == STREAM_ESTABLISHED ? stream_peer_ack(e, s, f) : 0;
	s->remote_id = id;
	id_table_insert(&e->ids, s);
	if (s->state == STREAM_RESETTING) {
		stream_reset_say(e, s);
		return 0;
	}
	s->state = STREAM_ESTABLISHED;
	s->confirmed = true;
	s->want &= (uint8_t)~WANT_OPEN;
	/* What rode with OPEN and was not taken goes again. */
	s->tx_next = s->tx_acked;
	s->fin_sent = false;
	stream_event(e, s, STREAM_EV_CONNECTED | STREAM_EV_TX);
	if (stream_peer_ack(e, s, f) != 0)
		return -EPROTO;
	if (s->state != STREAM_ESTABLISHED)
		return 0;
	if (stream_ack_out(s) != s->rx_told)
		s->want |= WANT_CREDIT;
	if (stream_sendable(s) > 0 || stream_fin_due(s) || s->want != 0)
		sched_activate(e, s);
	/* All of the other direction may have overtaken the ACCEPT. */
	if (stream_rx_complete(s))
		return stream_rx_ack_end(e, c, s);
	stream_finish_if_done(e, s);
	return 0;
}

static int peer_refuse(struct engine *e, struct stream *s, const uint8_t *payload)
{
	if (s->state == STREAM_RESETTING && s->remote_id == 0) {
		stream_die(e, s, 0);
	} else if (s->state == STREAM_OPENING) {
		e->counters.refused++;
		stream_die(e, s, wire_error_to_errno(wire_get32(payload), false));
	} else if (s->state == STREAM_RESUMING && s->remote_id == 0) {
		stream_die(e, s, -ECONNREFUSED);
	}
	return 0;
}

static int peer_fin(struct engine *e, struct channel *c, struct stream *s, const struct frame *f)
{
	if (s->state != STREAM_ESTABLISHED && s->state != STREAM_OPENING)
		return 0;
	if (stream_check_data(s, f->offset, 0, true) != 0)
		return -EPROTO;
	if (s->state == STREAM_OPENING)
		stream_credit_early(s, f->ack, f->window);
	else if (stream_peer_ack(e, s, f) != 0)
		return -EPROTO;
	/* If that was the last thing to wait for, this is a copy, to be answered as one. */
	if (s->state != STREAM_ESTABLISHED && s->state != STREAM_OPENING)
		return reply_unknown(e, c, f->stream);
	stream_rx_final(e, s, f->offset);
	return stream_rx_ack_end(e, c, s);
}

/*
 * The peer no longer knows a stream of ours. If both sides had finished, its last ack to us was
 * lost with a channel: that is the normal end. Otherwise it has forgotten us.
 */
static int peer_unknown(struct engine *e, const struct channel *c, uint64_t remote_id)
{
	struct stream *s = id_table_find(&e->ids, c->peer, c->lane, remote_id);

	if (s == NULL || s->state == STREAM_DEAD)
		return 0;
	if (s->state == STREAM_ESTABLISHED && s->fin_said && stream_rx_complete(s)) {
		s->tx_acked = s->tx_next = s->tx_tail;
		s->fin_acked = true;
		s->rx_end_told = true;
		stream_event(e, s, STREAM_EV_TX | STREAM_EV_TX_DONE);
		stream_finish_if_done(e, s);
	} else if (s->state == STREAM_RESETTING) {
		stream_die(e, s, 0);
	} else {
		stream_die(e, s, -ECONNRESET);
	}
	return 0;
}

static int peer_reset(struct engine *e, struct channel *c, const struct frame *f,
		      const uint8_t *payload)
{
	struct reply r = { .type = FRAME_RESET_ACK, .stream = f->offset };
	struct stream *s;

	if (f->flags & FRAME_F_UNKNOWN)
		return peer_unknown(e, c, f->offset);
	s = stream_by_id(e, c->peer, f->stream);
	if (s != NULL && s->state != STREAM_DEAD && s->state != STREAM_TOMBSTONE) {
		e->counters.reset++;
		stream_die(e, s,
			   s->state == STREAM_RESETTING ?
				   0 :
				   wire_error_to_errno(wire_get32(payload), true));
	}
	return channel_reply(c, &r);
}

/* Frames that name a stream of ours. */
static int stream_frame(struct engine *e, struct channel *c, const struct frame *f,
			const uint8_t *payload)
{
	struct stream *s = stream_by_id(e, c->peer, f->stream);

	if (s == NULL || s->state == STREAM_DEAD) {
		if (f->type != FRAME_ACCEPT && f->type != FRAME_FIN && f->type != FRAME_CREDIT)
			return 0;
		return reply_unknown(e, c, f->stream);
	}
	if (s->state == STREAM_TOMBSTONE)
		return 0;
	if (s->state == STREAM_ARRIVED && (f->type == FRAME_CREDIT || f->type == FRAME_FIN))
		move_settle(e, s);
	switch (f->type) {
	case FRAME_ACCEPT:
		return s->opener ? peer_accept(e, c, s, f, payload) : -EPROTO;
	case FRAME_REFUSE:
		return peer_refuse(e, s, payload);
	case FRAME_CREDIT:
		if (s->state == STREAM_OPENING)
			stream_credit_early(s, f->ack, f->window);
		else if (s->state == STREAM_ESTABLISHED && stream_peer_ack(e, s, f) != 0)
			return -EPROTO;
		stream_finish_if_done(e, s);
		return 0;
	case FRAME_FIN:
		return peer_fin(e, c, s, f);
	default: /* RESET_ACK */
		if (s->state == STREAM_RESETTING)
			stream_die(e, s, 0);
		return 0;
	}
}

int stream_peer_frame(struct engine *e, struct channel *c, const struct frame *f,
		      const uint8_t *payload, uint64_t now_ns)
{
	struct reply pong = { .type = FRAME_PONG, .offset = f->offset };
	struct engine_peer *p = &e->peer[c->peer];

	switch (f->type) {
	case FRAME_OPEN:
		return peer_open(e, c, f, payload, now_ns);
	case FRAME_RESUME:
		return move_resume(e, c, f, payload);
	case FRAME_RESET:
		return peer_reset(e, c, f, payload);
	case FRAME_PING:
		return channel_reply(c, &pong);
	case FRAME_PONG:
		/* The peer may lie about what we sent: only a plausible time counts. */
		if (f->offset <= now_ns && now_ns - f->offset < e->cfg.ping_dead_ns)
			c->counters.rtt_ns = now_ns - f->offset;
		return 0;
	case FRAME_DRAIN:
		return channel_drain_step(e, c, f->offset);
	case FRAME_GOAWAY:
		p->left = p->left || !p->leaving;
		p->leaving = true;
		return 0;
	default:
		return stream_frame(e, c, f, payload);
	}
}
