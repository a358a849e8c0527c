/* SPDX-License-Identifier: MIT */
/*
 * peer_load.c - the throughput channels to a peer: which of them are stuck, and what elastic.c
 * makes of that. Another one is asked for; one that is too many is drained.
 */
#include "engine_state.h"

#define PACE_BYTES (16u << 10)  /* payload that is weighed together */
#define PACE_PARTS 4            /* the last counts for such a part */
#define EXTRA_USED (256u << 10) /* received since it was last asked for: the peer needs it */

static void look_due(struct engine *e, const struct engine_peer *p)
{
	uint64_t due_ns = elastic_due_ns(&p->elastic);

	if (due_ns < e->elastic_due_ns)
		e->elastic_due_ns = due_ns;
}

static bool is_elastic(const struct engine *e, uint32_t peer)
{
	return peer != 0 && e->cfg.throughput_max > e->cfg.throughput;
}

/* Does every channel of the class in @lane wait for its transport? */
static bool all_stuck(const struct engine_peer *p, uint16_t lane)
{
	uint32_t bits = p->usable;

	for (; bits != 0; bits &= bits - 1) {
		const struct channel *c = p->channel[__builtin_ctz(bits)];

		if (c->class == CLASS_THROUGHPUT && c->lane == lane && !c->stuck)
			return false;
	}
	return true;
}

uint32_t engine_channel_stuck(struct engine *e, struct channel *c, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[c->peer];
	uint32_t moved;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (c->class != CLASS_THROUGHPUT)
		return 0;
	if (!c->stuck)
		c->stuck_ns = e->now_ns;
	c->stuck = true;
	if (c->tx.queue.head == NULL)
		return 0;
	moved = sched_spread(e, c);
	if (moved == 0 && is_elastic(e, c->peer) && p->elastic.since_ns == 0 &&
	    all_stuck(p, c->lane)) {
		elastic_blocked(&p->elastic, e->now_ns);
		look_due(e, p);
	}
	return moved;
}

void peer_channel_moved(struct engine *e, struct channel *c, uint64_t bytes)
{
	if (c->class != CLASS_THROUGHPUT)
		return;
	if (c->stuck)
		c->waited_ns += e->now_ns - c->stuck_ns;
	c->stuck = false;
	elastic_moved(&e->peer[c->peer].elastic, bytes, e->now_ns);
}

void peer_channel_taken(struct channel *c)
{
	c->waited_bytes += c->tx.payload;
	if (c->waited_bytes < PACE_BYTES)
		return;
	c->pace = (PACE_PARTS - 1) * c->pace + c->waited_ns / (c->waited_bytes / 1024);
	c->pace /= PACE_PARTS;
	c->waited_ns = c->waited_bytes = 0;
}

void engine_channel_extra(struct engine *e, struct channel *c, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[c->peer];

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	c->extra = c->class == CLASS_THROUGHPUT && is_elastic(e, c->peer);
	if (!c->extra)
		return;
	elastic_begin(&p->elastic, e->now_ns);
	look_due(e, p);
}

static struct elastic_view view_of(const struct engine *e, const struct engine_peer *p)
{
	struct elastic_view v = { .nr = 0 };
	uint32_t bits = p->usable, lanes;
	uint64_t lane_bits = 0;

	for (; bits != 0; bits &= bits - 1) {
		const struct channel *c = p->channel[__builtin_ctz(bits)];

		v.nr += c->class == CLASS_THROUGHPUT;
		v.extra += c->extra;
		lane_bits |= 1ull << c->lane % 64;
	}
	lanes = (uint32_t)__builtin_popcountll(lane_bits);
	/* Configured ones that are missing are being dialled anyway. */
	v.may_grow = v.nr >= lanes * e->cfg.throughput && v.nr < lanes * e->cfg.throughput_max &&
		     __builtin_popcount(p->up) < PEER_CHANNELS - 1 && !e->leaving && p->known &&
		     !p->leaving;
	return v;
}

/* The last of those that may go, unless the peer needs it. */
static void shrink(struct engine *e, struct engine_peer *p)
{
	struct channel *last = NULL;
	uint32_t bits = p->usable;
	uint64_t bytes;

	for (; bits != 0; bits &= bits - 1) {
		struct channel *c = p->channel[__builtin_ctz(bits)];

		if (c->extra && (last == NULL || c->index >= last->index))
			last = c;
	}
	if (last == NULL)
		return;
	bytes = last->counters.bytes_received - last->extra_bytes;
	last->extra_bytes += bytes;
	if (bytes < EXTRA_USED)
		channel_drain(e, last);
}

static void peer_look(struct engine *e, struct engine_peer *p)
{
	struct elastic_view v = view_of(e, p);

	switch (elastic_look(&p->elastic, &v, e->now_ns)) {
	case ELASTIC_GROW:
		p->grow = true;
		break;
	case ELASTIC_SHRINK:
		shrink(e, p);
		break;
	case ELASTIC_STAY:
		break;
	}
}

void peer_load_tick(struct engine *e)
{
	uint32_t i;

	if (e->now_ns < e->elastic_due_ns)
		return;
	e->elastic_due_ns = UINT64_MAX;
	for (i = 1; i < e->peer_high; i++) {
		struct engine_peer *p = &e->peer[i];

		if (elastic_due_ns(&p->elastic) <= e->now_ns)
			peer_look(e, p);
		look_due(e, p);
	}
}

bool engine_peer_grows(struct engine *e, uint32_t peer)
{
	bool grow = e->peer[peer].grow;

	e->peer[peer].grow = false;
	return grow;
}

void engine_peer_grown(struct engine *e, uint32_t peer, bool up, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[peer];
	uint64_t rtt_ns = 0;
	uint32_t bits, nr;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	for (bits = p->usable; bits != 0; bits &= bits - 1) {
		const struct channel *c = p->channel[__builtin_ctz(bits)];

		if (c->counters.rtt_ns > rtt_ns)
			rtt_ns = c->counters.rtt_ns;
	}
	nr = view_of(e, p).nr;
	elastic_answer(&p->elastic, up, nr > 0 ? nr - 1 : 0, rtt_ns, e->now_ns);
	look_due(e, p);
}
