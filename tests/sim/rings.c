/* SPDX-License-Identifier: MIT */
/*
 * rings.c - the memory of rings: it changes while bytes are under way, and is kept for as long as a
 * channel may touch it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "sim.h"

void ring_release(struct sim *s, uint32_t node, struct guarded *g)
{
	struct engine *e = s->node[node].engine;

	if (!g->block)
		return;
	if (e && engine_ring_lent(e, g->mem.base, g->mem.bytes)) {
		assert(s->zombies < sizeof(s->zombie) / sizeof(s->zombie[0]));
		s->zombie_node[s->zombies] = node;
		s->zombie[s->zombies++] = *g;
		*g = (struct guarded){ 0 };
		return;
	}
	guarded_fini(s, g, "a ring");
}

void zombies_reap(struct sim *s)
{
	for (uint32_t i = 0; i < s->zombies;) {
		struct guarded g = s->zombie[i];
		struct engine *e = s->node[s->zombie_node[i]].engine;

		if (e && engine_ring_lent(e, g.mem.base, g.mem.bytes)) {
			i++;
			continue;
		}
		guarded_fini(s, &g, "a ring that was lent");
		s->zombie[i] = s->zombie[--s->zombies];
		s->zombie_node[i] = s->zombie_node[s->zombies];
	}
}

void rings_plan(struct sim *s)
{
	rng_seed(&s->ring_rng, mix64(s->seed ^ 0x72696e6773u));
	if (rng_chance(&s->ring_rng, 600))
		s->exchange_permille = (uint32_t)rng_log(&s->ring_rng, 1, 300);
}

/* A ring of any size that is at least @least. */
static void ring_make(struct sim *s, struct guarded *g, uint64_t least)
{
	uint64_t bytes = rng_log(&s->ring_rng, NCD_RING_MIN, 4 * (uint64_t)s->plan.ring_max);

	bytes = UINT64_C(1) << (63 - __builtin_clzll(bytes));
	while (bytes < least)
		bytes *= 2;
	guarded_init(g, (uint32_t)bytes);
}

/* As the library does it: what is not acknowledged is copied, then the daemon is told. */
static void tx_exchange(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];
	uint64_t acked = stream_tx_acked(sd->stream);
	struct guarded g;

	ring_make(s, &g, sd->written > acked ? sd->written - acked : 1);
	g.mem.file = sd->tx.mem.file;
	for (uint64_t i = acked; i < sd->written; i++)
		g.mem.base[(i - sd->tx_base) & (g.mem.bytes - 1)] =
			sd->tx.mem.base[(i - sd->tx_base) & (sd->tx.mem.bytes - 1)];
	if (engine_tx_exchange(s->node[sd->node].engine, sd->stream, &g.mem) < 0)
		sim_fail(s, "flow %u side %u: engine_tx_exchange fails", flow, side);
	sd->tx.kept = engine_stream_tx_exposed(sd->stream);
	ring_release(s, sd->node, &sd->tx);
	sd->tx = g;
	/* What the old one held of acknowledged bytes is nobody's to spoil any more. */
	sd->acked = sd->poisoned = acked;
}

static void rx_exchange(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];
	struct engine *e = s->node[sd->node].engine;
	struct guarded g;
	int ret;

	ring_make(s, &g, sd->rx.mem.bytes);
	ret = engine_rx_exchange(e, sd->stream, &g.mem, node_now(s));
	if (ret == -EBUSY) {
		guarded_fini(s, &g, "a ring that was not taken");
		return;
	}
	ring_release(s, sd->node, &sd->rx);
	sd->rx = g;
	side_check_unread(s, flow, side, sd->read, stream_rx_contiguous(sd->stream));
}

void rings_exchange(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];

	if (s->exchange_permille == 0 || sd->error || sd->closed || s->zombies + 8 > ZOMBIES_MAX ||
	    !rng_chance(&s->ring_rng, s->exchange_permille))
		return;
	s->totals.exchanged++;
	sim_log(s, "flow %u side %u: other rings", flow, side);
	if (rng_chance(&s->ring_rng, 500))
		tx_exchange(s, flow, side);
	else
		rx_exchange(s, flow, side);
	node_touch(s, sd->node);
}
