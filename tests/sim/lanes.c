/* SPDX-License-Identifier: MIT */
/*
 * lanes.c - the lanes of one host: one has others send and receive for its streams (core/carry.h).
 * Messages of a pair come in order, each after a while; a box may be full for a time.
 */
#include "sim.h"

uint32_t lane_node(const struct sim *s, uint32_t host, uint32_t lane)
{
	return host * s->plan.lanes + lane;
}

void lanes_give(struct sim *s, uint32_t node)
{
	struct engine *e = s->node[node].engine;
	uint32_t peer, to = !s->node[node].lane;

	if (s->plan.give_max == 0)
		return;
	while ((peer = engine_carry_surplus(e)) != 0 &&
	       engine_carry_given(e, to) < s->plan.give_max &&
	       rng_chance(&s->carry_rng, 800)) {
		/* Whether the other has a channel is not always known. */
		uint32_t other = lane_node(s, s->node[node].host, to);

		if (engine_carry_channels(s->node[other].engine, peer) == 0 &&
		    rng_chance(&s->carry_rng, 900))
			return;
		if (engine_carry_give(e, to) < 0)
			return;
		sim_log(s, "node %u gives to %u", node, other);
	}
}

void lanes_post(struct sim *s, uint32_t node)
{
	const struct node *n = &s->node[node];
	struct carry_msg m;

	while (engine_carry_peek(n->engine, &m)) {
		uint32_t to = lane_node(s, n->host, m.to);
		struct box *b = &s->box[node][to];

		if (b->nr == BOX_MAX)
			return;
		b->msg[(b->first + b->nr++) % BOX_MAX] = m;
		engine_carry_pop(n->engine);
		s->totals.carried += m.type == CARRY_PLACED;
		s->totals.returned += m.type == CARRY_BACK;
		s->totals.lost += m.type == CARRY_LOST;
		sim_at(s, rng_below(&s->carry_rng, s->plan.carry_ns), EV_CARRY, node, to,
		       s->host[n->host].incarnation);
	}
}

void lanes_take(struct sim *s, uint32_t from, uint32_t to)
{
	struct node *n = &s->node[to];
	struct box *b = &s->box[from][to];
	struct carry_msg m = b->msg[b->first];
	struct channel *c;
	int r;

	b->first = (b->first + 1) % BOX_MAX;
	b->nr--;
	sim_log(s, "node %u > %u: message %u slot %u offset %lu bytes %u", from, to, m.type, m.slot,
		(unsigned long)m.offset, m.bytes);
	r = engine_carry_take(n->engine, &m, node_now(s), &c);
	if (r < 0)
		sim_fail(s, "node %u: engine_carry_take: %d, %s", to, r, engine_channel_error(c));
	if (c)
		end_resume(s, c);
	node_touch(s, to);
	node_touch(s, from);
}

void lanes_clear(struct sim *s, uint32_t node)
{
	for (uint32_t i = 0; i < NODES_MAX; i++)
		s->box[node][i].nr = s->box[i][node].nr = 0;
}
