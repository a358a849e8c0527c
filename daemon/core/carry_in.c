/* SPDX-License-Identifier: MIT */
/*
 * carry_in.c - bytes of a stream come in on channels of another worker than its owner (carry.h).
 *
 * The owner judges a CARRIED header as it would a DATA header of its own, and lends the place.
 * Until the carrier says that the payload is there, or will never be, it may be written at any
 * time: so contiguous bytes, acknowledgement and credit stop there, and the ring is not given back.
 * If the ring has been exchanged meanwhile, the bytes are copied to where they belong now.
 */
#include <assert.h>
#include <errno.h>

#include "engine_state.h"

/* ---- the carrier ---- */

static struct carry_ask *ask_of(struct engine *e, const struct channel *c)
{
	return &e->carry.ask[c - e->channel];
}

static void say_ask(struct engine *e, struct carry_ask *a, enum carry_type type)
{
	a->msg.type = (uint8_t)type;
	carry_say(e, CARRY_OF_ASK, (uint32_t)(a - e->carry.ask));
}

static void ask(struct engine *e, struct carry_ask *a, struct channel *c)
{
	const struct frame *f = &c->rx.frame;

	a->state = ASK_OUT;
	a->channel = c;
	a->msg = (struct carry_msg){
		.to = (uint16_t)(f->window % worker_count(&e->cfg)),
		.lane = (uint16_t)f->window,
		.slot = (uint32_t)(a - e->carry.ask),
		.peer = c->peer,
		.epoch = e->peer[c->peer].epoch,
		.bytes = f->length,
		.stream = f->stream,
		.offset = f->offset,
	};
	say_ask(e, a, CARRY_ASK);
}

int carry_ask(struct engine *e, struct channel *c)
{
	struct carry_ask *a = ask_of(e, c);

	if (c->rx.frame.window >= NCD_WORKERS_MAX || !c->carries)
		return -EPROTO;
	c->rx.waiting = true;
	/* Else a channel that died here waits for its answer; then it is our turn. */
	if (a->state == ASK_FREE)
		ask(e, a, c);
	return 0;
}

void carry_ask_over(struct engine *e, struct carry_ask *a)
{
	struct channel *c = &e->channel[a - e->carry.ask];

	a->state = ASK_FREE;
	a->channel = NULL;
	if (c->up && c->rx.waiting)
		ask(e, a, c);
}

static void ask_end(struct engine *e, struct carry_ask *a, enum carry_type type)
{
	a->state = ASK_OVER;
	say_ask(e, a, type);
}

void carry_payload_end(struct engine *e, struct channel *c)
{
	struct carry_ask *a = ask_of(e, c);

	c->counters.carried_received += c->rx.frame.length;
	if (a->state == ASK_PLACED)
		ask_end(e, a, CARRY_PLACED);
}

void carry_rx_down(struct engine *e, struct channel *c)
{
	struct carry_ask *a = ask_of(e, c);

	c->rx.waiting = false;
	if (a->channel != c)
		return;
	a->channel = NULL;
	if (a->state == ASK_PLACED)
		ask_end(e, a, CARRY_FAILED);
}

int carry_place_take(struct engine *e, const struct carry_msg *m, struct channel **ret_channel)
{
	struct carry_ask *a = &e->carry.ask[m->slot];
	struct channel *c = a->channel;

	if (c == NULL && m->type == CARRY_PLACE) {
		ask_end(e, a, CARRY_FAILED);
		return 0;
	}
	if (c != NULL)
		c->rx.waiting = false;
	if (m->type == CARRY_PLACE)
		a->state = ASK_PLACED;
	else
		carry_ask_over(e, a);
	if (c == NULL)
		return 0;
	*ret_channel = c;
	c->rx.carried = (struct carry_target){ m->ring, m->base, NO_OFFSET };
	if (m->type == CARRY_PLACE)
		c->rx.carried.from = m->from_offset;
	if (m->type != CARRY_BAD)
		return channel_resume(e, c);
	c->error = "carries data outside the credit of its stream, or with too many holes";
	e->counters.frame_errors++;
	return -EPROTO;
}

/* ---- the owner ---- */

/* Whether and where the payload may come; as begin_data() of channel_rx.c. */
static enum carry_type judge(struct engine *e, const struct carry_msg *m,
			     struct stream **ret_stream)
{
	struct stream *s = stream_by_id(e, m->peer, m->stream);

	if (s == NULL || m->epoch != e->peer[m->peer].epoch ||
	    (s->state != STREAM_ESTABLISHED && s->state != STREAM_OPENING))
		return CARRY_DROP;
	if (stream_check_data(s, m->offset, m->bytes, false) != 0)
		return CARRY_BAD;
	if (m->offset + m->bytes <= s->rx_next) {
		e->counters.duplicate_bytes += m->bytes;
		return CARRY_DROP;
	}
	if (s->closed) {
		stream_reset_begin(e, s, WIRE_E_RESET, e->now_ns);
		return CARRY_DROP;
	}
	if (!stream_keep_hole(e, s))
		return CARRY_BAD;
	*ret_stream = s;
	return CARRY_PLACE;
}

static void lend(struct engine *e, struct carry_place *pl, struct stream *s)
{
	struct carry *k = &e->carry;

	pl->stream = s;
	pl->msg.ring = s->rx;
	pl->msg.base = s->rx_base;
	pl->msg.from_offset = pl->msg.offset > s->rx_next ? pl->msg.offset : s->rx_next;
	s->placing++;
	pl->prev = NULL;
	pl->next = k->places;
	if (pl->next != NULL)
		pl->next->prev = pl;
	k->places = pl;
}

void carry_ask_take(struct engine *e, const struct carry_msg *m)
{
	uint32_t index = m->from * e->cfg.channels + m->slot;
	struct carry_place *pl = &e->carry.place[index];
	struct stream *s = NULL;

	assert(pl->msg.type == 0);
	pl->msg = *m;
	pl->msg.to = m->from;
	pl->msg.type = (uint8_t)judge(e, m, &s);
	if (pl->msg.type == CARRY_PLACE)
		lend(e, pl, s);
	carry_say(e, CARRY_OF_PLACE, index);
}

static void take_back(struct engine *e, struct carry_place *pl)
{
	if (pl->prev != NULL)
		pl->prev->next = pl->next;
	else
		e->carry.places = pl->next;
	if (pl->next != NULL)
		pl->next->prev = pl->prev;
	pl->msg.type = 0;
}

void carry_placed_take(struct engine *e, const struct carry_msg *m)
{
	struct carry_place *pl = &e->carry.place[m->from * e->cfg.channels + m->slot];
	uint64_t from = pl->msg.from_offset, end = pl->msg.offset + pl->msg.bytes;
	struct stream *s = pl->stream;

	take_back(e, pl);
	pl->stream = NULL;
	if (s == NULL)
		return;
	s->placing--;
	stream_unkeep_hole(e, s);
	if (m->type == CARRY_PLACED) {
		if (s->rx.base != pl->msg.ring.base)
			ring_copy(&pl->msg.ring, pl->msg.base, &s->rx, s->rx_base, from, end);
		stream_rx_placed(e, s, from, end);
		return;
	}
	if (s->held_on != 0)
		(void)stream_rx_unhold(e, s, e->now_ns); /* that channel says it */
	stream_credit_check(e, s, e->now_ns);
}

uint64_t carry_hold(const struct engine *e, const struct stream *s)
{
	const struct carry_place *pl;
	uint64_t hold = NO_OFFSET;

	for (pl = e->carry.places; pl != NULL; pl = pl->next)
		if (pl->stream == s && pl->msg.from_offset < hold)
			hold = pl->msg.from_offset;
	return hold;
}

void carry_forget_stream(struct engine *e, const struct stream *s)
{
	struct carry *k = &e->carry;
	struct carry_place *pl;
	uint32_t i;

	if (k->surplus == s)
		k->surplus = NULL;
	for (i = 0; s->carry_end > 0 && i < NCD_CARRY_ORDERS; i++)
		if (k->give[i].stream == s)
			k->give[i].stream = NULL;
	for (pl = s->placing > 0 ? k->places : NULL; pl != NULL; pl = pl->next)
		if (pl->stream == s)
			pl->stream = NULL;
}

bool carry_ring_lent(const struct engine *e, const uint8_t *base, size_t bytes)
{
	const struct carry *k = &e->carry;
	const struct carry_place *pl;
	uint32_t i;

	for (i = 0; i < NCD_CARRY_ORDERS; i++) {
		const struct ring_mem *ring = &k->give[i].msg.ring;

		if (k->give[i].used && memory_overlaps(ring->base, ring->bytes, base, bytes))
			return true;
	}
	for (pl = k->places; pl != NULL; pl = pl->next)
		if (memory_overlaps(pl->msg.ring.base, pl->msg.ring.bytes, base, bytes))
			return true;
	return false;
}
