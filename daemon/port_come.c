/* SPDX-License-Identifier: MIT */
/*
 * port_come.c - an open stream comes from another worker (moves.h).
 *
 *   a peer's RESUME ------> place without a port --ROOM--+      REFUSE, or the peer's: gone
 *   ROOM, to be resumed --> RESUME, place with rings ----+--IN--> a stream without a slot: its
 *                                                           library fetches it (port_share.c)
 */
#include <errno.h>

#include "ncd/wire.h"

#include "parcel.h"
#include "port_calls.h"

static void place_init(struct worker *w, struct stream *s)
{
	struct flow *f = &w->flow[stream_index(s)];

	assert(!f->stream);
	*f = (struct flow){ .stream = s, .slot = SLOT_NONE, .listener = UINT32_MAX,
			    .flags = FLOW_PLACE | (f->flags & FLOW_TOUCHED),
			    .touched_next = f->touched_next };
	engine_stream_set_user(s, f);
}

void port_resume(void *ctx, struct stream *s, uint16_t lane, uint64_t id)
{
	struct worker *w = ctx;
	struct worker_event ev = { .type = EVT_MOVE_ASKED, .stream = stream_id(s),
				   .place = stream_index(s) };
	struct stream_info i;

	/* It does not ask for more than control can read, nor before what waits (LATER_EACH). */
	if (w->later_head != w->later_tail || !door_has_room(&w->door)) {
		engine_stream_refuse(w->engine, s, w->now_ns);
		return;
	}
	engine_stream_info(s, &i);
	place_init(w, s);
	ev.at = (struct move_at){ .peer = i.peer, .lane = lane, .id = id };
	door_event(&w->door, &ev);
}

void port_number_left(void *ctx, uint32_t home, uint16_t number)
{
	struct worker *w = ctx;
	struct worker_event ev = { .type = EVT_MOVE_PORT, .worker = home, .number = number };

	worker_say(w, &ev);
}

/* The place that @cmd names, NULL: it has gone. */
static struct flow *place_named(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f;

	if (cmd->move.stream >= w->cfg.engine.streams)
		return NULL;
	f = &w->flow[cmd->move.stream];
	return f->stream && f->flags & FLOW_PLACE && stream_id(f->stream) == cmd->move.id ? f
											 : NULL;
}

/* 0; -EAGAIN: more memory was asked for; -ENOBUFS. */
static int rings_as_large(struct worker *w, const struct worker_cmd *cmd, struct arena_block *tx,
			  struct arena_block *rx)
{
	struct port *p = cmd->port;

	if (arena_take(p->arena, cmd->move.tx_bytes, tx) == 0) {
		if (arena_take(p->arena, cmd->move.rx_bytes, rx) == 0)
			return 0;
		arena_give(p->arena, tx);
	}
	if (w->now_ns < p->grow_ns)
		return -ENOBUFS;
	memory_ask(w, p, (uint64_t)cmd->move.tx_bytes + cmd->move.rx_bytes);
	return -EAGAIN;
}

static int resume(struct worker *w, struct worker_cmd *cmd)
{
	struct stream *s;
	int ret = engine_resume(w->engine, cmd->move.at.peer, cmd->move.at.lane,
				cmd->move.remote_id, NULL, w->now_ns, &s);

	if (ret < 0)
		return ret;
	cmd->move.stream = stream_index(s);
	cmd->move.id = stream_id(s);
	place_init(w, s);
	return 0;
}

int place_room(struct worker *w, struct worker_cmd *cmd)
{
	struct port *p = cmd->port;
	struct arena_block tx, rx;
	struct flow *f;
	uint32_t slot;
	int ret;

	if (p->removed || p->bad)
		return -ECONNRESET;
	if (cmd->move.asked && !place_named(w, cmd))
		return -ENOENT;
	ret = rings_as_large(w, cmd, &tx, &rx);
	if (ret < 0)
		return ret;
	/* Its application must not find, when it fetches it, that it cannot have it. */
	slot = port_upper_take(p);
	if (slot == SLOT_NONE)
		ret = -ENOBUFS;
	else if (!cmd->move.asked)
		ret = resume(w, cmd);
	if (ret < 0) {
		if (slot != SLOT_NONE)
			upper_give(p, slot);
		arena_give(p->arena, &tx);
		arena_give(p->arena, &rx);
		return ret;
	}
	f = &w->flow[cmd->move.stream];
	f->kept_slot = slot + 1;
	f->tx = tx;
	f->rx = rx;
	flow_link(w, p, f);
	return 0;
}

int place_refuse(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = place_named(w, cmd);

	if (!f)
		return -ENOENT;
	if (cmd->move.asked)
		engine_stream_refuse(w->engine, f->stream, w->now_ns);
	else
		engine_stream_abort(w->engine, f->stream, WIRE_E_RESET, w->now_ns);
	return 0;
}

uint32_t flow_kept_take(struct flow *f)
{
	uint32_t slot = f->kept_slot - 1;

	if (f->kept_slot == 0)
		return port_upper_take(f->port);
	f->kept_slot = 0;
	return slot;
}

void flow_kept_end(struct flow *f)
{
	if (f->kept_slot)
		upper_give(f->port, f->kept_slot - 1);
	f->kept_slot = 0;
}

/* No byte has been in its rings. */
static void place_free(struct worker *w, struct flow *f)
{
	struct port *p = f->port;

	engine_stream_free(w->engine, f->stream);
	f->flags &= FLOW_TOUCHED;
	if (!p) {
		f->stream = NULL;
		return;
	}
	flow_kept_end(f);
	flow_forget(p, f);
	flow_rings_give(f);
	port_trim_later(w, p);
}

void place_event(struct worker *w, struct flow *f, uint32_t events)
{
	struct worker_event ev = { .type = EVT_MOVE_ANSWERED, .stream = stream_id(f->stream),
				   .place = stream_index(f->stream) };

	if (events & (STREAM_EV_ERROR | STREAM_EV_DONE))
		ev.error = stream_error(f->stream) < 0 ? stream_error(f->stream) : -ECONNRESET;
	if (events & (STREAM_EV_CONNECTED | STREAM_EV_ERROR | STREAM_EV_DONE))
		worker_say(w, &ev);
	if (events & STREAM_EV_DONE)
		place_free(w, f);
}

static void unpack(struct worker *w, struct flow *f, const struct parcel *p)
{
	f->flags = (f->flags & FLOW_TOUCHED) | p->flags;
	f->cookie = p->cookie;
	f->shm_flags = p->shm_flags & ~(SLOT_F_CALLED_IN | SLOT_F_CALLED_OUT);
	f->tx_tail = p->tx_tail;
	f->tx_head = p->tx_head;
	f->tx_base = p->stream.tx_base;
	f->rx_head = p->stream.rx_head;
	f->rx_base = p->stream.rx_base;
	f->tx_bytes = f->tx.bytes;
	f->rx_bytes = f->rx.bytes;
	f->tx_most = p->tx_most;
	f->rx_most = p->rx_most;
	f->came_ns = w->now_ns;
}

int flow_in(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = place_named(w, cmd);
	const struct parcel *p = cmd->move.parcel;
	struct ring_mem tx, rx;
	int ret;

	if (!f)
		return -ENOENT;
	tx = ring_of(&f->tx);
	rx = ring_of(&f->rx);
	parcel_copy(&p->stream, &tx, &rx);
	ret = engine_stream_arrive(w->engine, f->stream, &p->stream, &tx, &rx, f, w->now_ns);
	if (ret < 0)
		return ret;
	unpack(w, f, p);
	if (cmd->move.asked) {
		f->flags |= FLOW_SETTLES;
		f->from = (struct move_at){ .peer = p->stream.peer, .lane = p->stream.lane,
					    .id = p->stream.id };
	}
	w->streams_came++;
	flow_touch(w, f);
	/* Its process has ended meanwhile: as port_remove does, which passes places by. */
	if (f->port->removed && (f->flags & FLOW_LENT || !f->cookie))
		flow_release(w, f, f->port->bad, !(f->flags & FLOW_SHUTDOWN));
	return 0;
}

void flow_settled(struct worker *w, struct flow *f)
{
	struct worker_event ev = { .type = EVT_MOVE_SETTLED, .at = f->from };

	f->flags &= ~FLOW_SETTLES;
	worker_say(w, &ev);
}
