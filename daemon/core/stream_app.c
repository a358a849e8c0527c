/* SPDX-License-Identifier: MIT */
/*
 * stream_app.c - what applications do to streams that they have, and what they may ask.
 */
#include <errno.h>

#include "engine_state.h"

/* ---- bytes ---- */

int engine_tx_published(struct engine *e, struct stream *s, uint64_t tail, uint64_t now_ns)
{
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (tail == s->tx_tail)
		return 0;
	if (tail < s->tx_tail || tail - s->tx_acked > s->tx.bytes || s->shutdown)
		return -EPROTO;
	s->tx_tail = tail;
	stream_classify(s);
	if (s->state == STREAM_OPENING)
		stream_undefer(e, s);
	else if (s->state == STREAM_ESTABLISHED && s->channel == NULL && stream_sendable(s) > 0)
		sched_activate(e, s);
	return 0;
}

void stream_credit_check(struct engine *e, struct stream *s, uint64_t now_ns)
{
	(void)now_ns;
	if (s->state != STREAM_ESTABLISHED || s->closed || s->rx_final != NO_OFFSET)
		return;
	if (s->rx_head + stream_rx_window(s) - s->rx_limit < stream_rx_window(s) / 2)
		return;
	s->want |= WANT_CREDIT;
	sched_activate(e, s);
}

int engine_rx_consumed(struct engine *e, struct stream *s, uint64_t head, uint64_t now_ns)
{
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (head < s->rx_head || head > s->rx_next)
		return -EPROTO;
	s->rx_head = head;
	stream_credit_check(e, s, now_ns);
	return 0;
}

void engine_stream_shutdown(struct engine *e, struct stream *s, uint64_t now_ns)
{
	(void)now_ns;
	if (s->shutdown || s->reset_after)
		return;
	s->shutdown = true;
	if (s->state == STREAM_OPENING)
		stream_undefer(e, s);
	else if (s->state == STREAM_ESTABLISHED)
		sched_activate(e, s);
}

void engine_stream_close(struct engine *e, struct stream *s, bool reset_after, uint64_t now_ns)
{
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	s->closed = true;
	switch ((enum stream_state)s->state) {
	case STREAM_DEAD:
		stream_event(e, s, STREAM_EV_DONE);
		return;
	case STREAM_INCOMING:
		engine_stream_refuse(e, s, now_ns);
		return;
	case STREAM_OPENING:
		/*
		 * Deferred and never spoken of: nobody is to hear of it. Or bytes have overtaken
		 * the ACCEPT, and nobody will read them.
		 */
		if (s->defer || s->rx_head != s->rx_next) {
			stream_reset_begin(e, s, WIRE_E_RESET, now_ns);
			return;
		}
		break;
	case STREAM_ESTABLISHED:
	case STREAM_ARRIVED:
		if (s->rx_head != s->rx_next) {
			stream_reset_begin(e, s, WIRE_E_RESET, now_ns);
			return;
		}
		break;
	case STREAM_RESUMING:
		stream_reset_begin(e, s, WIRE_E_RESET, now_ns);
		return;
	case STREAM_FREE:
	case STREAM_RESETTING:
	case STREAM_REFUSING:
	case STREAM_TOMBSTONE:
		return;
	}
	stream_orphan_arm(e, s, now_ns);
	if (reset_after && !s->shutdown)
		s->reset_after = true;
	else
		engine_stream_shutdown(e, s, now_ns);
	stream_finish_if_done(e, s);
}

void engine_stream_abort(struct engine *e, struct stream *s, uint32_t wire_error, uint64_t now_ns)
{
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	s->closed = true;
	if (s->state == STREAM_INCOMING)
		engine_stream_refuse(e, s, now_ns);
	else if (s->state == STREAM_DEAD)
		stream_event(e, s, STREAM_EV_DONE);
	else
		stream_reset_begin(e, s, wire_error, now_ns);
}

void engine_stream_weight(struct stream *s, uint32_t weight)
{
	s->weight = (uint8_t)weight;
}

void engine_stream_class(struct engine *e, struct stream *s, enum stream_class class)
{
	(void)e;
	s->class_set = (uint8_t)class;
	stream_classify(s);
}

/* ---- facts ---- */

void engine_stream_info(const struct stream *s, struct stream_info *ret_info)
{
	*ret_info = (struct stream_info){
		.local = s->local_addr,
		.remote = s->remote_addr,
		.local_port = s->local_port,
		.remote_port = s->remote_port,
		.peer = s->peer,
		.lane = (uint16_t)(s->lane - 1),
		.remote_id = s->remote_id,
		.class = (enum stream_class)s->class,
		.tx_published = s->tx_tail,
		.tx_acked = s->tx_acked,
		.rx_contiguous = s->rx_next,
		.rx_consumed = s->rx_head,
		.error = s->error,
		.connected = s->state == STREAM_ESTABLISHED || s->state == STREAM_ARRIVED,
		.rx_ended = stream_rx_complete(s),
		.tx_ended = s->shutdown,
	};
}

void *engine_stream_user(const struct stream *s)
{
	return s->user;
}

void engine_stream_set_user(struct stream *s, void *user)
{
	s->user = user;
}

uint64_t stream_tx_acked(const struct stream *s)
{
	return s->tx_acked;
}

uint64_t stream_rx_contiguous(const struct stream *s)
{
	return s->rx_next;
}

uint64_t stream_rx_base(const struct stream *s)
{
	return s->rx_base;
}

bool stream_rx_ended(const struct stream *s)
{
	return stream_rx_complete(s);
}

bool engine_stream_tx_exposed(const struct stream *s)
{
	return s->tx_exposed > s->tx_acked;
}

int stream_error(const struct stream *s)
{
	return s->error;
}

uint64_t stream_id(const struct stream *s)
{
	return s->id;
}

struct stream *engine_stream_local(const struct engine *e, uint64_t id)
{
	return stream_by_id(e, 0, id);
}

struct stream *engine_stream_twin(const struct engine *e, const struct stream *s)
{
	struct stream *twin;

	if (!s->local || s->state != STREAM_ESTABLISHED)
		return NULL;
	twin = stream_by_id(e, 0, s->remote_id);
	return twin && twin->remote_id == s->id && twin->state == STREAM_ESTABLISHED ? twin : NULL;
}

uint32_t stream_index(const struct stream *s)
{
	return (uint32_t)s->id;
}
