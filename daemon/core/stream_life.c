/* SPDX-License-Identifier: MIT */
/*
 * stream_life.c - the life of a stream as such: the pool, news, timers, how it ends.
 */
#include <string.h>

#include "engine_state.h"

/* ---- pool, events, timers ---- */

struct stream *stream_alloc(struct engine *e, uint32_t peer)
{
	struct stream *s = e->free_head;
	uint64_t index, generation;

	if (s != NULL) {
		e->free_head = s->next;
		if (e->free_head == NULL)
			e->free_tail = NULL;
	} else if (e->stream_high < e->cfg.streams) {
		s = &e->stream[e->stream_high++];
		s->id = (e->cfg.seed & 0x7fffffffu) << 32 | (uint64_t)(s - e->stream);
	} else {
		return NULL;
	}
	index = (uint64_t)(s - e->stream);
	generation = (s->id >> 32) + 1;
	if ((generation & UINT32_MAX) == 0)
		generation = 1;
	memset(s, 0, sizeof(*s));
	s->id = generation << 32 | index;
	s->peer = peer;
	s->rx_final = NO_OFFSET;
	s->class = CLASS_LATENCY;
	s->weight = 1;
	s->local = peer == 0;
	if (e->peer[peer].streams++ == 0)
		e->peer[peer].down_ns = e->now_ns;
	e->counters.streams++;
	return s;
}

struct stream *stream_by_id(const struct engine *e, uint32_t peer, uint64_t id)
{
	uint32_t index = (uint32_t)id;
	struct stream *s;

	if (index >= e->stream_high)
		return NULL;
	s = &e->stream[index];
	return s->id == id && s->peer == peer && s->state != STREAM_FREE ? s : NULL;
}

void stream_event(struct engine *e, struct stream *s, uint32_t events)
{
	s->events |= events;
	if (s->event_queued)
		return;
	s->event_queued = true;
	s->event_next = NULL;
	if (e->event_tail != NULL)
		e->event_tail->event_next = s;
	else
		e->event_head = s;
	e->event_tail = s;
}

struct stream *engine_next_event(struct engine *e, uint32_t *ret_events)
{
	struct stream *s = e->event_head;

	if (s == NULL)
		return NULL;
	e->event_head = s->event_next;
	if (e->event_head == NULL)
		e->event_tail = NULL;
	s->event_queued = false;
	*ret_events = s->events;
	s->events = 0;
	return s;
}

static void event_remove(struct engine *e, struct stream *s)
{
	struct stream **link = &e->event_head;
	struct stream *prev = NULL;

	if (!s->event_queued)
		return;
	while (*link != s) {
		prev = *link;
		link = &(*link)->event_next;
	}
	*link = s->event_next;
	if (e->event_tail == s)
		e->event_tail = prev;
	s->event_queued = false;
}

void stream_ack_arm(struct engine *e, struct stream *s, uint64_t now_ns)
{
	if (s->ack_armed || s->state != STREAM_ESTABLISHED)
		return;
	s->ack_armed = true;
	s->ack_due_ns = now_ns + e->cfg.ack_delay_ns;
	s->ack_next = NULL;
	s->ack_prev = e->ack_tail;
	if (e->ack_tail != NULL)
		e->ack_tail->ack_next = s;
	else
		e->ack_head = s;
	e->ack_tail = s;
}

void stream_ack_disarm(struct engine *e, struct stream *s)
{
	if (!s->ack_armed)
		return;
	s->ack_armed = false;
	if (s->ack_prev != NULL)
		s->ack_prev->ack_next = s->ack_next;
	else
		e->ack_head = s->ack_next;
	if (s->ack_next != NULL)
		s->ack_next->ack_prev = s->ack_prev;
	else
		e->ack_tail = s->ack_prev;
}

static void orphan_disarm(struct engine *e, struct stream *s)
{
	if (s->orphan_due_ns == 0)
		return;
	s->orphan_due_ns = 0;
	if (s->orphan_prev != NULL)
		s->orphan_prev->orphan_next = s->orphan_next;
	else
		e->orphan_head = s->orphan_next;
	if (s->orphan_next != NULL)
		s->orphan_next->orphan_prev = s->orphan_prev;
	else
		e->orphan_tail = s->orphan_prev;
}

void stream_orphan_arm(struct engine *e, struct stream *s, uint64_t now_ns)
{
	orphan_disarm(e, s);
	s->orphan_due_ns = now_ns + e->cfg.orphan_ns + 1;
	s->orphan_next = NULL;
	s->orphan_prev = e->orphan_tail;
	if (e->orphan_tail != NULL)
		e->orphan_tail->orphan_next = s;
	else
		e->orphan_head = s;
	e->orphan_tail = s;
}

/* ---- ends ---- */

static void release_holes(struct engine *e, struct stream *s)
{
	if (s->holes == NULL)
		return;
	e->set_free[e->set_free_nr++] = (uint32_t)(s->holes - e->sets);
	s->holes = NULL;
}

static void stop(struct engine *e, struct stream *s)
{
	s->state = STREAM_DEAD;
	sched_remove(e, s);
	stream_ack_disarm(e, s);
	orphan_disarm(e, s);
	carry_forget_stream(e, s);
	channel_forget_stream(e, s);
	release_holes(e, s);
}

void stream_die(struct engine *e, struct stream *s, int error)
{
	stop(e, s);
	if (error != 0 && s->error == 0)
		s->error = error;
	stream_event(e, s, STREAM_EV_DONE | (error != 0 ? STREAM_EV_ERROR : 0));
}

void stream_finish_if_done(struct engine *e, struct stream *s)
{
	if (s->state != STREAM_ESTABLISHED)
		return;
	if (s->reset_after && s->tx_acked == s->tx_tail) {
		stream_reset_begin(e, s, WIRE_E_RESET, e->now_ns);
		return;
	}
	if (s->fin_acked && s->rx_end_told) {
		stop(e, s);
		stream_event(e, s, STREAM_EV_DONE);
	}
}

void stream_progress(struct engine *e, struct stream *s)
{
	if (s->orphan_due_ns != 0)
		stream_orphan_arm(e, s, e->now_ns);
	stream_finish_if_done(e, s);
}

void stream_reset_say(struct engine *e, struct stream *s)
{
	orphan_disarm(e, s);
	s->want = WANT_RESET;
	sched_activate(e, s);
}

void stream_reset_begin(struct engine *e, struct stream *s, uint32_t wire_error, uint64_t now_ns)
{
	bool opens = s->state == STREAM_OPENING || s->state == STREAM_RESUMING;
	bool said = !opens || s->used != 0;

	if (s->state == STREAM_DEAD || s->state == STREAM_RESETTING || s->state == STREAM_REFUSING)
		return;
	e->counters.reset++;
	stop(e, s);
	if (!said) {
		/* The peer has never heard of it; if it has, its ACCEPT hears that nobody is here.
		 */
		stream_event(e, s, STREAM_EV_DONE);
		return;
	}
	s->state = STREAM_RESETTING;
	s->wire_error = (uint8_t)wire_error;
	s->want = 0;
	/* Until it is answered, however long: a peer that has nothing to send would never ask. */
	if (s->remote_id != 0)
		stream_reset_say(e, s);
	else
		stream_orphan_arm(e, s, now_ns);
}

static void unlink_all(struct engine *e, struct stream *s)
{
	stop(e, s);
	event_remove(e, s);
	if (s->remote_id != 0)
		id_table_remove(&e->ids, s);
	s->remote_id = 0;
}

void stream_bury(struct engine *e, struct stream *s)
{
	unlink_all(e, s);
	s->used = 0;
	s->carriers = 0;
	s->held_on = 0;
	s->dialled = false;
	s->user = NULL;
	s->state = STREAM_TOMBSTONE;
}

static void port_done(struct engine *e, const struct stream *s)
{
	if (s->port_home == 0 || s->port_home == e->cfg.worker + 1)
		port_pool_release(&e->ports, s->local_port);
	else
		e->ops->port_left(e->ctx, s->port_home - 1u, s->local_port);
}

void engine_stream_free(struct engine *e, struct stream *s)
{
	unlink_all(e, s);
	if (s->dialled)
		port_done(e, s);
	e->peer[s->peer].streams--;
	e->counters.streams--;
	s->state = STREAM_FREE;
	s->next = NULL;
	if (e->free_tail != NULL)
		e->free_tail->next = s;
	else
		e->free_head = s;
	e->free_tail = s;
}
