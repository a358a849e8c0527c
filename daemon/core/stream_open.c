/* SPDX-License-Identifier: MIT */
/*
 * stream_open.c - streams that applications open, listen for and accept.
 */
#include <errno.h>
#include <stddef.h>

#include "engine_state.h"

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
	s->opener = s->dialled = true;
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

void stream_undefer(struct engine *e, struct stream *s)
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
