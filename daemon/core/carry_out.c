/* SPDX-License-Identifier: MIT */
/*
 * carry_out.c - bytes of a stream go out on channels of another worker than its owner (carry.h).
 *
 * The owner gives a frame's worth at a time, of a stream that has more to send than its own lane
 * has just taken, and counts it as sent. It does so only where that lane is slow: where what may be
 * under way keeps the stream waiting for the transport for longer than slow_ns. Credit is often no
 * more than a frame, which the lane would take whole: so a slow lane has smaller frames.
 *
 * What a carrier cannot send, or may have lost with a channel, is sent again from what is
 * acknowledged on, as if a channel of the owner had died: the receiver ignores what it has. The
 * memory is lent until the carrier says that it has let go.
 */
#include <errno.h>

#include "engine_state.h"

#define SURPLUS_FRAMES 2         /* that must be left to send, for one to be given away */
#define SLOW_PARTS     8           /* of what may be under way, a slow lane takes one at a time */
#define SLOW_LEAST     (32u << 10) /* but no less */
#define SLOWER         3           /* than our own lane by so much: such a carrier holds it up */
#define SLOWER_NS      1000000000u /* until then it may have changed */
#define AGAIN_NS       10000000u   /* after an order came back: a worker's channels have gone */

static bool may_carry(const struct channel *c)
{
	return c->carries && c->class == CLASS_THROUGHPUT;
}

/* ---- the owner ---- */

/* How much may be under way. */
static uint64_t window(const struct stream *s)
{
	uint64_t credit = s->tx_limit - s->tx_acked;

	return credit < s->tx.bytes ? credit : s->tx.bytes;
}

uint32_t carry_frame_bytes(const struct engine *e, const struct stream *s)
{
	uint64_t part = window(s) / SLOW_PARTS;

	if (part < SLOW_LEAST)
		part = SLOW_LEAST;
	return s->slow && part < e->cfg.frame_bytes ? (uint32_t)part : e->cfg.frame_bytes;
}

static bool has_surplus(const struct engine *e, const struct stream *s)
{
	return s->slow && s->state == STREAM_ESTABLISHED && s->class == CLASS_THROUGHPUT &&
	       s->last != NULL && may_carry(s->last) &&
	       stream_sendable(s) >= SURPLUS_FRAMES * (uint64_t)carry_frame_bytes(e, s) &&
	       s->confirmed && !s->fin_said &&
	       stream_switches(s) + 2 <= NCD_SWITCHES_MAX;
}

void carry_offer(struct engine *e, struct stream *s)
{
	uint64_t wait_ns = s->last != NULL ? window(s) / 1024 * s->last->pace : 0;

	s->slow = wait_ns >= (s->slow ? e->cfg.slow_ns / 2 : e->cfg.slow_ns);
	if (has_surplus(e, s))
		e->carry.surplus = s;
}

uint32_t engine_carry_surplus(const struct engine *e)
{
	return e->carry.surplus && e->now_ns >= e->carry.again_ns ? e->carry.surplus->peer : 0;
}

uint32_t engine_carry_given(const struct engine *e, uint32_t to)
{
	return e->carry.given[to];
}

/* What is given counts as sent, on channels that the stream has changed to and will change from. */
static void note_given(struct engine *e, struct stream *s, uint32_t to, uint32_t bytes)
{
	s->tx_next += bytes;
	if (s->tx_next > s->tx_sent)
		s->tx_sent = s->tx_next;
	s->carriers |= UINT64_C(1) << to;
	if (s->carry_end < s->tx_next)
		s->carry_end = s->tx_next;
	stream_switched(s);
	stream_switched(s);
	if (s->tx.file && e->cfg.file_min && bytes >= e->cfg.file_min &&
	    s->tx_exposed < s->tx_next)
		s->tx_exposed = s->tx_next;
}

/* Bytes that wait there would hold up all that is behind them. */
static bool is_slower(const struct engine *e, const struct stream *s, uint32_t to)
{
	const struct carrier_pace *p = &e->peer[s->peer].carrier[to];

	return p->pace > SLOWER * s->last->pace && e->now_ns - p->heard_ns < SLOWER_NS;
}

int engine_carry_give(struct engine *e, uint32_t to)
{
	struct stream *s = e->carry.surplus;
	struct carry_give *g;
	uint32_t slot;

	if (s == NULL || !has_surplus(e, s)) {
		e->carry.surplus = NULL;
		return -EAGAIN;
	}
	if (is_slower(e, s, to))
		return -EBUSY;
	for (slot = 0; slot < NCD_CARRY_ORDERS && e->carry.give[slot].used; slot++)
		;
	if (slot == NCD_CARRY_ORDERS)
		return -ENOBUFS;
	g = &e->carry.give[slot];
	g->used = true;
	g->stream = s;
	g->msg = (struct carry_msg){
		.type = CARRY_ORDER,
		.to = (uint16_t)to,
		.lane = (uint16_t)(s->lane - 1),
		.slot = slot,
		.peer = s->peer,
		.epoch = e->peer[s->peer].epoch,
		.bytes = carry_frame_bytes(e, s),
		.stream = s->remote_id,
		.offset = s->tx_next,
		.base = s->tx_base,
		.ring = s->tx,
	};
	e->carry.given[to]++;
	note_given(e, s, to, g->msg.bytes);
	carry_say(e, CARRY_OF_GIVE, slot);
	return 0;
}

static void send_again(struct engine *e, struct stream *s)
{
	if (s->state != STREAM_ESTABLISHED)
		return;
	if (stream_rewind(s))
		e->counters.retransmits++;
	sched_activate(e, s);
}

void carry_answer_take(struct engine *e, const struct carry_msg *m)
{
	struct carry_give *g = &e->carry.give[m->slot];
	struct stream *s = g->stream;

	g->used = false;
	g->stream = NULL;
	e->carry.given[m->from]--;
	if (m->type == CARRY_SENT)
		e->peer[g->msg.peer].carrier[m->from] =
			(struct carrier_pace){ m->pace, e->now_ns };
	else
		e->carry.again_ns = e->now_ns + AGAIN_NS;
	if (m->type == CARRY_BACK && s != NULL && s->tx_acked < g->msg.offset + g->msg.bytes)
		send_again(e, s);
}

/* True if @worker has not said yet that bytes of @s are sent. */
static bool is_given(const struct engine *e, const struct stream *s, uint32_t worker)
{
	uint32_t i;

	for (i = 0; i < NCD_CARRY_ORDERS; i++)
		if (e->carry.give[i].used && e->carry.give[i].stream == s &&
		    e->carry.give[i].msg.to == worker)
			return true;
	return false;
}

void carry_lost_take(struct engine *e, const struct carry_msg *m)
{
	uint64_t bit = UINT64_C(1) << m->from;
	uint32_t i;

	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];

		if (s->state == STREAM_FREE || s->peer != m->peer || !(s->carriers & bit))
			continue;
		if (!is_given(e, s, m->from))
			s->carriers &= ~bit;
		send_again(e, s);
	}
}

/* ---- the carrier ---- */

void engine_channel_carries(struct channel *c)
{
	c->carries = true;
}

uint32_t engine_carry_channels(const struct engine *e, uint32_t peer)
{
	const struct engine_peer *p = &e->peer[peer];
	uint32_t bits = p->usable, nr = 0;

	for (; bits != 0; bits &= bits - 1)
		nr += may_carry(p->channel[__builtin_ctz(bits)]);
	return nr;
}

uint64_t engine_bulk_ns(const struct engine *e)
{
	return e->carry.bulk_ns;
}

static bool quiet(const struct channel *c)
{
	return c->tx.queue.head == NULL && channel_tx_taken(c);
}

/* Where the fewest orders wait; of those, where nothing else does. */
static struct channel *choose(const struct engine_peer *p)
{
	struct channel *best = NULL;
	uint32_t bits = p->usable, least = UINT32_MAX;

	for (; bits != 0; bits &= bits - 1) {
		struct channel *c = p->channel[__builtin_ctz(bits)];
		const struct carry_order *o;
		uint32_t load = !quiet(c);

		if (!may_carry(c))
			continue;
		for (o = c->tx.orders; o != NULL; o = o->next)
			load += 2;
		if (load < least) {
			least = load;
			best = c;
		}
	}
	return best;
}

static void answer(struct engine *e, struct carry_order *o, enum carry_type type)
{
	o->msg.to = o->msg.from;
	o->msg.type = (uint8_t)type;
	carry_say(e, CARRY_OF_ORDER, (uint32_t)(o - e->carry.order));
}

static void assign(struct engine *e, struct carry_order *o)
{
	const struct engine_peer *p = &e->peer[o->msg.peer];
	struct channel *c = p->epoch == o->msg.epoch ? choose(p) : NULL;

	if (c == NULL) {
		answer(e, o, CARRY_BACK);
		return;
	}
	o->next = NULL;
	if (c->tx.orders != NULL)
		c->tx.orders_tail->next = o;
	else
		c->tx.orders = o;
	c->tx.orders_tail = o;
}

void carry_order_take(struct engine *e, const struct carry_msg *m)
{
	struct carry_order *o = &e->carry.order[m->from * NCD_CARRY_ORDERS + m->slot];

	o->msg = *m;
	assign(e, o);
}

void carry_requeue(struct engine *e, struct channel *c)
{
	struct carry_order *o = c->tx.orders, *next;

	c->tx.orders = c->tx.orders_tail = NULL;
	for (; o != NULL; o = next) {
		next = o->next;
		assign(e, o);
	}
}

void carry_order_sent(struct engine *e, struct channel *c)
{
	c->tx.carrying->msg.pace = c->pace;
	answer(e, c->tx.carrying, CARRY_SENT);
	c->tx.carrying = NULL;
}

static void say_lost(struct engine *e, uint32_t peer, uint64_t workers)
{
	struct engine_peer *p = &e->peer[peer];

	for (; workers != 0; workers &= workers - 1) {
		uint64_t bit = workers & -workers;

		/* Behind what has been said of later orders meanwhile. */
		if (p->lost_said & bit) {
			p->lost_again |= bit;
			continue;
		}
		p->lost_said |= bit;
		carry_say(e, CARRY_OF_PEER,
			  peer * NCD_WORKERS_MAX + (uint32_t)__builtin_ctzll(bit));
	}
}

void carry_lost_said(struct engine *e, uint32_t index)
{
	struct engine_peer *p = &e->peer[index / NCD_WORKERS_MAX];
	uint64_t bit = UINT64_C(1) << index % NCD_WORKERS_MAX;

	p->lost_said &= ~bit;
	if (!(p->lost_again & bit))
		return;
	p->lost_again &= ~bit;
	say_lost(e, index / NCD_WORKERS_MAX, bit);
}

void carry_tx_down(struct engine *e, struct channel *c)
{
	if (c->tx.carrying != NULL)
		answer(e, c->tx.carrying, CARRY_BACK);
	c->tx.carrying = NULL;
	carry_requeue(e, c);
	if (!c->clean)
		say_lost(e, c->peer, c->carried_for);
}
