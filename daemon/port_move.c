/* SPDX-License-Identifier: MIT */
/*
 * port_move.c - a stream that nobody has accepted goes from one application's accept queue to
 * another's: of a listener of the same group, whose application waits while the first is busy, or
 * has gone.
 *
 * Its rings are exchanged for some in the other region, as when rings grow (port_ring.c); what has
 * been received is copied. Only what the application has not taken can go: whoever claims the word
 * in the queue has the stream (CLAIM in ncd/shm_abi.h).
 *
 *   in the queue of A --claimed--> FLOW_MOVE, in A's slot still --rings of B--> in the queue of B
 *                                      ^ | no memory yet, or a channel writes into its ring
 *                                      +-+ tried again each turn: what it waits for wakes us
 */
#include <errno.h>

#include "port_state.h"

#define MOVES_A_TURN 64u

/* What the application cannot have touched, and no other change is under way of. */
#define UNTOUCHED_NOT                                                                              \
	(FLOW_ENDED | FLOW_DONE | FLOW_RELEASED | FLOW_SHUTDOWN | FLOW_EXCHANGE | FLOW_RETIRE |    \
	 FLOW_GROW | FLOW_MOVE)

/* The stream at @index of the queue, taken out of it; or NULL: it is the application's. */
static struct flow *queue_claim(struct listener *l, uint32_t index)
{
	struct port *p = l->port;
	/* Relaxed: our own word, unless the application took it, or lies. */
	uint64_t word = atomic_load_explicit(
		&l->accept.shm->word[index & (l->accept.capacity - 1)], memory_order_relaxed);
	struct flow *f = word < p->layout.slots ? p->slot[word].flow : NULL;

	if (!f || f->listener != l->number || !(f->flags & FLOW_ACCEPT) ||
	    f->accept_at != index || f->flags & UNTOUCHED_NOT || f->cookie)
		return NULL;
	if (ring_claim(&l->accept, index) != word)
		return NULL;
	f->flags &= ~FLOW_ACCEPT;
	return f;
}

static void move_later(struct worker *w, struct flow *f, uint64_t title)
{
	f->title = title;
	f->flags |= FLOW_MOVE;
	f->move_next = NULL;
	*w->moving_end = f;
	w->moving_end = &f->move_next;
}

/* Rings of the same size in @p. 0, -EAGAIN: they have been asked for; -ENOBUFS. */
static int rings_like(struct worker *w, struct port *p, const struct flow *f,
		      struct arena_block *tx, struct arena_block *rx)
{
	if (arena_take(p->arena, f->tx.bytes, tx) == 0) {
		if (arena_take(p->arena, f->rx.bytes, rx) == 0)
			return 0;
		arena_give(p->arena, tx);
	}
	if (w->now_ns < p->grow_ns)
		return -ENOBUFS;
	memory_ask(w, p, (uint64_t)f->tx.bytes + f->rx.bytes);
	return -EAGAIN;
}

/* The stream receives to and sends from @tx and @rx, of another port. -EAGAIN. */
static int rings_change(struct worker *w, struct flow *f, const struct arena_block *tx,
			const struct arena_block *rx)
{
	struct ring_mem rx_ring = ring_of(rx), tx_ring = ring_of(tx);
	int ret = engine_rx_exchange(w->engine, f->stream, &rx_ring, w->now_ns);

	if (ret < 0)
		return -EAGAIN; /* a receive into it is under way */
	ret = engine_tx_exchange(w->engine, f->stream, &tx_ring);
	assert(ret == 0); /* the application has sent nothing */
	return 0;
}

/* 0; -EAGAIN: not yet; other: @to cannot have it. */
static int flow_move(struct worker *w, struct flow *f, struct listener *to)
{
	struct arena_block tx = { 0 }, rx = { 0 };
	struct port *from = f->port, *p = to->port;
	uint32_t slot = port_upper_take(p);
	int ret = slot == SLOT_NONE ? -ENOBUFS : rings_like(w, p, f, &tx, &rx);

	if (ret == 0)
		ret = rings_change(w, f, &tx, &rx);
	if (ret < 0) {
		arena_give(p->arena, &tx);
		arena_give(p->arena, &rx);
		if (slot != SLOT_NONE)
			upper_give(p, slot);
		return ret;
	}
	flow_stats_close(w, f);
	port_slot_free(from, f->slot);
	flow_unlink(f);
	f->rx_old = f->rx;
	f->tx_old = f->tx;
	f->old_port = from;
	from->retiring++;
	flow_retire(w, f);
	f->tx = tx;
	f->rx = rx;
	flow_link(w, p, f);
	flow_present(w, f, to, slot);
	return 0;
}

/* Where the stream is going to: by now it may be another than before, or none. */
static int move_try(struct worker *w, struct flow *f)
{
	struct listener *l = engine_stream_listening(w->engine, f->stream);
	int ret = 0;

	if (f->flags & (FLOW_ENDED | FLOW_DONE) || !l || l->title != f->title)
		return -ECONNRESET;
	l = group_pick(w, l);
	if (l->port->bad || l->port->removed || !listener_has_room(w, l))
		return -ENOBUFS;
	if (l->port != f->port)
		ret = flow_move(w, f, l);
	else
		listener_push(w, l, f); /* back to where it was */
	return ret;
}

bool listener_pass(struct worker *w, struct listener *from, struct listener *to)
{
	struct flow *f = NULL;

	for (int nr = listener_waiting(from); !f && nr > 0; nr--) {
		f = queue_claim(from, from->accept.own - (uint32_t)nr);
		from->taken_end = from->accept.own - (uint32_t)nr + 1;
	}
	if (!f)
		return false;
	if (flow_move(w, f, to) < 0)
		move_later(w, f, from->title);
	return true;
}

/* Parked before it had rings: it arrives again. */
static void arrive_again(struct worker *w, struct flow *f, struct listener *member)
{
	struct stream *s = f->stream;
	int ret;

	port_unpark_flow(f->port, f);
	flow_forget(f->port, f);
	engine_stream_set_user(s, NULL);
	ret = port_incoming(w, s, member);
	if (ret == 0)
		engine_stream_admit(w->engine, s, w->now_ns);
	else if (ret != -EAGAIN)
		engine_stream_refuse(w->engine, s, w->now_ns);
}

void listener_hand_over(struct worker *w, struct listener *l, struct listener *member)
{
	struct flow *f, *next;

	for (int nr = listener_waiting(l); nr > 0; nr--) {
		f = queue_claim(l, l->accept.own - (uint32_t)nr);
		if (f)
			move_later(w, f, l->title);
	}
	for (f = l->port->parked_flows; f; f = next) {
		next = f->parked_next;
		if (f->listener == l->number)
			arrive_again(w, f, member);
	}
}

uint32_t ports_move(struct worker *w)
{
	struct flow **at = &w->moving, *f;
	uint32_t did = 0;

	for (uint32_t nr = 0; (f = *at) && nr < MOVES_A_TURN; nr++) {
		int ret = f->flags & FLOW_RELEASED ? 0 : move_try(w, f);

		if (ret == -EAGAIN) {
			at = &f->move_next;
			continue;
		}
		f->flags &= ~FLOW_MOVE;
		*at = f->move_next;
		if (w->moving_end == &f->move_next)
			w->moving_end = at;
		if (ret < 0)
			flow_release(w, f, true, false);
		did++;
	}
	return did;
}
