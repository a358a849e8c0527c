/* SPDX-License-Identifier: MIT */
/*
 * stream_app.c - what applications do to streams, and the life of a stream as such.
 */
#include <errno.h>
#include <stddef.h>
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

static void orphan_arm(struct engine *e, struct stream *s, uint64_t now_ns)
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
		orphan_arm(e, s, e->now_ns);
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
	bool said = s->state != STREAM_OPENING || s->used != 0;

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
		orphan_arm(e, s, now_ns);
}

void engine_stream_free(struct engine *e, struct stream *s)
{
	stop(e, s);
	event_remove(e, s);
	if (s->remote_id != 0)
		id_table_remove(&e->ids, s);
	if (s->dialled)
		port_pool_release(&e->ports, s->local_port);
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

/* ---- opening ---- */

void stream_open_window(struct stream *s)
{
	s->rx_limit = s->rx.bytes;
}

static int local_address(const struct engine *e, uint32_t peer, const struct engine_connect *args,
			 struct address *ret_addr)
{
	const struct engine_peer *self = &e->peer[0];
	uint32_t i;

	if (!address_is_any(&args->local)) {
		/* Nobody may speak in another host's name. */
		if (engine_peer_find(e, &args->local) != 0)
			return -EADDRNOTAVAIL;
		*ret_addr = args->local;
		return 0;
	}
	if (peer == 0) {
		*ret_addr = args->remote;
		return 0;
	}
	for (i = 0; i < self->addr_nr; i++) {
		if (address_is_v4(&self->addr[i]) == address_is_v4(&args->remote)) {
			*ret_addr = self->addr[i];
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

static int check_reachable(const struct engine *e, uint32_t peer)
{
	const struct engine_peer *p = &e->peer[peer];

	if (e->leaving)
		return -ENETDOWN;
	if (p->up == 0 && p->error != 0)
		return p->error;
	return p->leaving ? -ECONNREFUSED : 0;
}

int engine_connect(struct engine *e, const struct engine_connect *args, uint64_t now_ns,
		   struct stream **ret_stream)
{
	int peer = engine_peer_find(e, &args->remote);
	struct address local;
	struct stream *s;
	int r;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (peer < 0)
		return peer;
	/* Nobody listens on port 0, and the peer would close the channel that asks for it. */
	r = args->remote_port == 0 ? -ECONNREFUSED : check_reachable(e, (uint32_t)peer);
	if (r == 0)
		r = local_address(e, (uint32_t)peer, args, &local);
	if (r != 0)
		return r;
	s = stream_alloc(e, (uint32_t)peer);
	if (s == NULL)
		return -ENOBUFS;
	s->state = STREAM_OPENING;
	s->dialled = true;
	s->local_addr = local;
	s->remote_addr = args->remote;
	s->remote_port = args->remote_port;
	s->local_port = args->local_port;
	if (s->local_port == 0)
		s->local_port = port_pool_take(&e->ports);
	else
		port_pool_hold(&e->ports, s->local_port);
	s->class_set = (uint8_t)args->class;
	stream_classify(s);
	engine_stream_rings(s, &args->tx, &args->rx, args->user);
	s->defer = args->defer;
	if (!s->defer) {
		s->want = WANT_OPEN;
		sched_activate(e, s);
	}
	e->counters.opened++;
	*ret_stream = s;
	return 0;
}

static void undefer(struct engine *e, struct stream *s)
{
	if (!s->defer)
		return;
	s->defer = false;
	s->want |= WANT_OPEN;
	sched_activate(e, s);
}

int engine_listen(struct engine *e, const struct address *addr, uint16_t port, void *user)
{
	return listener_add(&e->listeners, addr, port, user);
}

void engine_unlisten(struct engine *e, const struct address *addr, uint16_t port)
{
	listener_remove(&e->listeners, addr, port);
}

void *engine_listening(const struct engine *e, const struct address *addr, uint16_t port)
{
	const struct listener *l = listener_exact(&e->listeners, addr, port);

	return l ? l->user : NULL;
}

void *engine_stream_listening(const struct engine *e, const struct stream *s)
{
	const struct listener *l = listener_find(&e->listeners, &s->local_addr, s->local_port);

	return l ? l->user : NULL;
}

void engine_stream_rings(struct stream *s, const struct ring_mem *tx, const struct ring_mem *rx,
			 void *user)
{
	s->tx = *tx;
	s->rx = *rx;
	s->user = user;
	stream_open_window(s);
}

void engine_stream_admit(struct engine *e, struct stream *s, uint64_t now_ns)
{
	(void)now_ns;
	if (s->state != STREAM_INCOMING)
		return;
	s->state = STREAM_ESTABLISHED;
	s->want |= WANT_ACCEPT;
	e->counters.accepted++;
	sched_activate(e, s);
}

void engine_stream_refuse(struct engine *e, struct stream *s, uint64_t now_ns)
{
	struct reply r = { .type = FRAME_REFUSE, .code = WIRE_E_NOBUFS, .stream = s->remote_id };
	uint32_t bits = s->used;
	bool said = true;

	(void)now_ns;
	if (s->state != STREAM_INCOMING)
		return;
	e->counters.refused++;
	/*
	 * On every channel that brought the OPEN: of one that dies the opener knows that it had
	 * used it, and opens again.
	 */
	for (; bits != 0; bits &= bits - 1)
		said &= channel_reply(e->peer[s->peer].channel[__builtin_ctz(bits)], &r) == 0;
	if (said) {
		stream_die(e, s, 0);
		return;
	}
	s->state = STREAM_REFUSING;
	s->wire_error = WIRE_E_NOBUFS;
	s->want = WANT_REFUSE;
	sched_activate(e, s);
}

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
		undefer(e, s);
	else if (s->state == STREAM_ESTABLISHED && s->channel == NULL && stream_sendable(s) > 0)
		sched_activate(e, s);
	return 0;
}

void stream_credit_check(struct engine *e, struct stream *s, uint64_t now_ns)
{
	(void)now_ns;
	if (s->state != STREAM_ESTABLISHED || s->closed || s->rx_final != NO_OFFSET)
		return;
	if (s->rx_head + s->rx.bytes - s->rx_limit < s->rx.bytes / 2)
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
		undefer(e, s);
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
		if (s->rx_head != s->rx_next) {
			stream_reset_begin(e, s, WIRE_E_RESET, now_ns);
			return;
		}
		break;
	case STREAM_FREE:
	case STREAM_RESETTING:
	case STREAM_REFUSING:
		return;
	}
	orphan_arm(e, s, now_ns);
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
		.class = (enum stream_class)s->class,
		.tx_published = s->tx_tail,
		.tx_acked = s->tx_acked,
		.rx_contiguous = s->rx_next,
		.rx_consumed = s->rx_head,
		.error = s->error,
		.connected = s->state == STREAM_ESTABLISHED,
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

uint32_t stream_index(const struct stream *s)
{
	return (uint32_t)s->id;
}
