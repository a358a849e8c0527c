/* SPDX-License-Identifier: MIT */
/*
 * moves.c - streams go to the other lane of their host and back (core/move.h), at random times,
 * begun by either end or both. Each step is an event of its own, a while after the one before: as
 * commands between workers, and anything may happen between two.
 *
 *   the side that begins    ROOM: engine_resume --> WAIT --CONNECTED--> LEAVE --> COME
 *                             refused: STAYS        the stream is gone: OVER
 *   the side that is asked  a visit: FIND ----------------------------> LEAVE --> COME
 *                             no: engine_stream_refuse
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "sim.h"

#define PLACE_USER (2u * FLOWS_MAX) /* + 1 + flow and side: a placeholder */
#define VISIT_USER (2u * PLACE_USER) /* + 1 + index */

static struct side *side_of(struct sim *s, uint32_t who)
{
	return &s->flow[who / 2].side[who % 2];
}

static void soon(struct sim *s, enum event_kind kind, uint32_t node, uint32_t a, uint32_t b)
{
	sim_at(s, rng_below(&s->move_rng, s->plan.move_step_ns), kind, a, b,
	       s->host[s->node[node].host].incarnation);
}

static void step_soon(struct sim *s, uint32_t who, enum move_step step)
{
	struct side *sd = side_of(s, who);

	sd->move.step = step;
	soon(s, EV_MOVE, sd->node, who, ++sd->move.serial);
}

static uint32_t other_lane(const struct sim *s, uint32_t node)
{
	return lane_node(s, s->node[node].host, !s->node[node].lane);
}

/* ---- the side that begins ---- */

static bool begin(struct sim *s, uint32_t who)
{
	struct side *sd = side_of(s, who), *other = side_of(s, who ^ 1);

	if (sd->move.step != MOVE_NONE || !sd->stream || sd->pending ||
	    s->node[sd->node].host == s->node[other->node].host ||
	    engine_stream_goes(s->node[sd->node].engine, sd->stream) != 0)
		return false;
	sd->move = (struct move){ .to = other_lane(s, sd->node), .serial = sd->move.serial };
	step_soon(s, who, MOVE_ROOM);
	return true;
}

void moves_pick(struct sim *s)
{
	/* Each move has new ids, which the spy remembers. */
	if (s->quiet || s->ids > ID_MAP_SIZE / 2)
		return;
	for (int tries = 0; tries < 8 && s->flows > 0; tries++) {
		uint32_t who = (uint32_t)rng_below(&s->move_rng, 2 * (uint64_t)s->flows);

		if (!begin(s, who))
			continue;
		if (rng_chance(&s->move_rng, 50))
			(void)begin(s, who ^ 1);
		break;
	}
	sim_at(s, rng_below(&s->move_rng, 2 * s->plan.move_ns), EV_PICK, 0, 0, 0);
}

static void make_room(struct sim *s, uint32_t who)
{
	struct side *sd = side_of(s, who);
	struct stream_info info;
	int r;

	sd->move.step = MOVE_NONE;
	if (!sd->stream || engine_stream_goes(s->node[sd->node].engine, sd->stream) != 0)
		return;
	engine_stream_info(sd->stream, &info);
	r = engine_resume(s->node[sd->move.to].engine, info.peer, info.lane, info.remote_id,
			  (void *)(uintptr_t)(PLACE_USER + who + 1), node_now(s),
			  &sd->move.place);
	sim_log(s, "flow %u side %u wants to go to node %u: %d", who / 2, who % 2, sd->move.to, r);
	if (r == 0)
		sd->move.step = MOVE_WAIT;
	else if (r != -EHOSTUNREACH && r != -ENOBUFS)
		sim_fail(s, "flow %u side %u: engine_resume: %d", who / 2, who % 2, r);
	node_touch(s, sd->move.to);
}

static void abort_place(struct sim *s, struct side *sd)
{
	if (!sd->move.place)
		return;
	sd->move.step = MOVE_OVER;
	engine_stream_abort(s->node[sd->move.to].engine, sd->move.place, WIRE_E_RESET,
			    node_now(s));
	node_touch(s, sd->move.to);
}

void moves_stream_freed(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];

	/* At once, or when it is to leave. */
	if (sd->move.step == MOVE_WAIT && rng_chance(&s->move_rng, 500))
		abort_place(s, sd);
}

static void place_event(struct sim *s, uint32_t who, struct stream *st, uint32_t events)
{
	struct side *sd = side_of(s, who);
	struct move *m = &sd->move;
	int error = stream_error(st);

	sim_log(s, "flow %u side %u: placeholder hears %x, error %d", who / 2, who % 2, events,
		error);
	if (st != m->place)
		sim_fail(s, "flow %u side %u: event of another placeholder", who / 2, who % 2);
	if ((events & STREAM_EV_CONNECTED) && m->step == MOVE_WAIT)
		step_soon(s, who, MOVE_LEAVE);
	if (error == -ETIMEDOUT)
		s->flow[who / 2].why |= WHY_UNREACHABLE;
	s->totals.moves_refused += error == -ECONNREFUSED;
	if ((events & STREAM_EV_ERROR) && (m->step == MOVE_WAIT || m->step == MOVE_LEAVE))
		step_soon(s, who, error == -ECONNREFUSED && m->step == MOVE_WAIT ? MOVE_STAYS :
										    MOVE_END);
	if (!(events & STREAM_EV_DONE))
		return;
	engine_stream_free(s->node[m->to].engine, st);
	m->place = NULL;
	if (m->step == MOVE_OVER)
		m->step = MOVE_NONE;
}

/* ---- the side that is asked ---- */

void moves_resume(void *ctx, struct stream *stream, uint16_t old_lane, uint64_t id)
{
	struct node *n = ctx;
	struct sim *s = n->sim;
	struct stream_info info;
	uint32_t i;

	for (i = 0; i < VISITS_MAX && s->visit[i].used; i++)
		;
	assert(i < VISITS_MAX);
	engine_stream_info(stream, &info);
	s->visit[i] = (struct visit){ .used = true, .node = (uint32_t)(n - s->node),
				      .stream = stream, .lane = old_lane, .id = id,
				      .peer = info.peer, .serial = s->visit[i].serial + 1 };
	engine_stream_set_user(stream, (void *)(uintptr_t)(VISIT_USER + i + 1));
	soon(s, EV_VISIT, s->visit[i].node, i, s->visit[i].serial);
}

static void visit_refuse(struct sim *s, struct visit *v)
{
	if (!v->stream)
		return;
	v->refuse = true;
	soon(s, EV_VISIT, v->node, (uint32_t)(v - s->visit), v->serial);
}

static bool visit_find(struct sim *s, struct visit *v)
{
	uint32_t old = lane_node(s, s->node[v->node].host, v->lane), who;
	struct engine *e = s->node[old].engine;
	struct stream *st = v->lane < s->plan.lanes ?
				    engine_stream_known(e, v->peer, v->lane, v->id) : NULL;
	struct side *sd;

	if (!st)
		return false;
	who = (uint32_t)((uintptr_t)engine_stream_user(st) - 1);
	sd = side_of(s, who);
	if (who >= 2 * s->flows || sd->stream != st)
		sim_fail(s, "node %u: a stream is known that is not there", old);
	if (sd->move.step != MOVE_NONE || engine_stream_goes(e, st) != 0 ||
	    rng_chance(&s->move_rng, s->plan.move_refuse_permille))
		return false;
	sd->move = (struct move){ .to = v->node, .visit = v, .serial = sd->move.serial };
	sim_log(s, "flow %u side %u is asked to go to node %u", who / 2, who % 2, v->node);
	step_soon(s, who, MOVE_LEAVE);
	return true;
}

void moves_visit(struct sim *s, uint32_t index, uint32_t serial)
{
	struct visit *v = &s->visit[index];

	if (!v->used || v->serial != serial || !v->stream)
		return;
	if (v->refuse) {
		engine_stream_refuse(s->node[v->node].engine, v->stream, node_now(s));
		node_touch(s, v->node);
	} else if (!visit_find(s, v)) {
		visit_refuse(s, v);
	}
}

static void visit_event(struct sim *s, struct visit *v, struct stream *st, uint32_t events)
{
	if (!v->used || v->stream != st)
		sim_fail(s, "node %u: event of a visit that is over", v->node);
	if (!(events & STREAM_EV_DONE))
		return;
	engine_stream_free(s->node[v->node].engine, st);
	v->stream = NULL;
	v->used = false;
}

bool moves_event(struct sim *s, struct stream *st, uint64_t user, uint32_t events)
{
	if (user <= PLACE_USER)
		return false;
	if (user <= VISIT_USER)
		place_event(s, (uint32_t)(user - 1 - PLACE_USER), st, events);
	else
		visit_event(s, &s->visit[user - 1 - VISIT_USER], st, events);
	return true;
}

static void tombstone_set(struct sim *s, struct side *sd, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < TOMBS_MAX && s->tomb[i].id != 0; i++)
		;
	assert(i < TOMBS_MAX);
	s->tomb[i] = (struct tomb){ sd->node, id };
	sd->tomb = i + 1;
}

void moves_settled(struct sim *s, struct side *sd)
{
	if (sd->tomb)
		soon(s, EV_FORGET, sd->node, sd->tomb - 1, 0);
	sd->tomb = 0;
}

void moves_forget(struct sim *s, uint32_t index)
{
	struct tomb *t = &s->tomb[index];

	engine_stream_forget(s->node[t->node].engine, t->id);
	t->id = 0;
}

/* ---- both ---- */

static void leave(struct sim *s, uint32_t who)
{
	struct side *sd = side_of(s, who);
	struct move *m = &sd->move;
	struct engine *e = s->node[sd->node].engine;
	int r = -ENOENT;

	m->step = MOVE_NONE;
	if (m->visit && !m->visit->stream)
		return; /* A's end has gone */
	if (sd->stream)
		r = engine_stream_leave(e, sd->stream, m->visit != NULL, &m->parcel, node_now(s));
	sim_log(s, "flow %u side %u leaves node %u: %d", who / 2, who % 2, sd->node, r);
	if (r != 0 && r != (m->visit ? -EBUSY : -ENOENT) && sd->stream)
		sim_fail(s, "flow %u side %u: engine_stream_leave: %d", who / 2, who % 2, r);
	if (r != 0 && m->visit)
		visit_refuse(s, m->visit);
	else if (r != 0)
		abort_place(s, sd);
	if (r != 0)
		return;
	sd->stream = NULL;
	if (m->visit)
		tombstone_set(s, sd, m->parcel.id);
	step_soon(s, who, MOVE_COME);
}

static void new_ring(struct sim *s, struct guarded *g, const struct ring_mem *old)
{
	bool grow = old->bytes < 2 * s->plan.ring_max && rng_chance(&s->move_rng, 300);

	guarded_init(g, grow ? 2 * old->bytes : old->bytes);
	g->mem.file = old->file;
}

static void come(struct sim *s, uint32_t who)
{
	struct side *sd = side_of(s, who);
	struct move *m = &sd->move;
	struct stream *place = m->visit ? m->visit->stream : m->place;
	struct engine *e = s->node[m->to].engine;
	struct guarded tx, rx;
	int r;

	m->step = MOVE_NONE;
	new_ring(s, &tx, &sd->tx.mem);
	new_ring(s, &rx, &sd->rx.mem);
	parcel_copy(&m->parcel, &tx.mem, &rx.mem);
	r = place ? engine_stream_arrive(e, place, &m->parcel, &tx.mem, &rx.mem,
					 (void *)(uintptr_t)(who + 1), node_now(s)) : -ENOENT;
	sim_log(s, "flow %u side %u comes to node %u: %d", who / 2, who % 2, m->to, r);
	if (r != 0 && r != -ENOENT)
		sim_fail(s, "flow %u side %u: engine_stream_arrive: %d", who / 2, who % 2, r);
	sd->tx.kept = m->parcel.exposed;
	if (r != 0) {
		guarded_fini(s, &tx, "a ring that was not taken");
		guarded_fini(s, &rx, "a ring that was not taken");
		moves_settled(s, sd);
		m->step = m->place ? MOVE_OVER : MOVE_NONE;
		side_lost(s, who / 2, who % 2);
		return;
	}
	ring_release(s, sd->node, &sd->tx);
	ring_release(s, sd->node, &sd->rx);
	sd->tx = tx;
	sd->rx = rx;
	sd->acked = sd->poisoned = m->parcel.tx_acked;
	sd->stream = place;
	if (m->visit)
		m->visit->used = false;
	m->place = NULL;
	s->totals.moved++;
	sd->node = m->to;
	engine_stream_client(e, place, who / 2 % CLIENTS);
	side_check_unread(s, who / 2, who % 2, sd->read, stream_rx_contiguous(place));
	node_touch(s, sd->node);
	side_act_soon(s, who / 2, who % 2, 0);
}

void moves_step(struct sim *s, uint32_t who, uint32_t serial)
{
	struct side *sd = side_of(s, who);
	struct move *m = &sd->move;

	if (m->serial != serial)
		return;
	switch (m->step) {
	case MOVE_ROOM:
		make_room(s, who);
		break;
	case MOVE_LEAVE:
		leave(s, who);
		break;
	case MOVE_COME:
		come(s, who);
		break;
	case MOVE_STAYS:
	case MOVE_END:
		if (sd->stream && m->step == MOVE_STAYS)
			engine_stream_stays(s->node[sd->node].engine, sd->stream);
		else if (sd->stream)
			side_end(s, who / 2, who % 2);
		node_touch(s, sd->node);
		m->step = m->place ? MOVE_OVER : MOVE_NONE;
		break;
	case MOVE_NONE:
	case MOVE_WAIT:
	case MOVE_OVER:
		break;
	}
}

void moves_port_left(void *ctx, uint32_t home, uint16_t port)
{
	struct node *n = ctx;
	struct sim *s = n->sim;
	uint32_t node = lane_node(s, n->host, home);

	if (home == n->lane)
		sim_fail(s, "node %u: port %u has left home for home", node, port);
	soon(s, EV_PORT, node, node, port);
}

void moves_host_died(struct sim *s, uint32_t host)
{
	for (uint32_t who = 0; who < 2 * s->flows; who++) {
		struct side *sd = side_of(s, who);

		if (s->node[sd->node].host != host)
			continue;
		sd->move = (struct move){ .serial = sd->move.serial + 1 };
		sd->tomb = 0;
	}
	for (uint32_t i = 0; i < VISITS_MAX; i++)
		if (s->node[s->visit[i].node].host == host)
			s->visit[i].used = false;
	for (uint32_t i = 0; i < TOMBS_MAX; i++)
		if (s->node[s->tomb[i].node].host == host)
			s->tomb[i].id = 0;
}

void moves_plan(struct sim *s)
{
	rng_seed(&s->move_rng, mix64(s->seed ^ 0x6d6f766573u));
	if (s->plan.move_ns > 0)
		sim_at(s, rng_below(&s->move_rng, 2 * s->plan.move_ns), EV_PICK, 0, 0, 0);
}
