/* SPDX-License-Identifier: MIT */
/*
 * port_move.c - a stream goes from one application's port to another's, with what is unread and
 * what is not acknowledged, and leaves a slot and rings behind. Why: port_share.c, port_pass.c.
 *
 *   port A                                     port B
 *   slot, LIVE --last words pulled-->  flow_move: rings, a slot --> shown by who moved it
 *     |
 *     MOVED: says so; keeps the old rings until its library has closed it; called (SLOT_F_CALLED_*)
 *     |      when something comes that nobody waits for where the stream is now
 *     FREE   (of a stream without a slot: at once); rings: to the arena when no channel names them
 */
#include <errno.h>

#include "port_calls.h"

#define MOVED_BLOCKS (sizeof(((struct moved *)0)->block) / sizeof(struct arena_block))

/* ---- what streams leave ---- */

struct moved *moved_take(struct worker *w)
{
	struct moved *m = w->moved_free;

	if (m)
		w->moved_free = m->next;
	else if (w->moved_high < w->cfg.engine.streams)
		m = &w->moved[w->moved_high++];
	if (m)
		*m = (struct moved){ .slot = SLOT_NONE };
	return m;
}

void moved_give(struct worker *w, struct moved *m)
{
	m->next = w->moved_free;
	w->moved_free = m;
}

/* Its rings are nobody's any more, but channels may still name them. */
static void moved_left(struct worker *w, struct moved *m)
{
	m->flow = NULL;
	m->slot = SLOT_NONE;
	m->port->left_nr++;
	m->next = w->left;
	w->left = m;
}

static void moved_leave(struct worker *w, struct moved *m)
{
	struct port *p = m->port;

	if (m->flow) {
		struct moved **at = &m->flow->moved;

		while (*at != m)
			at = &(*at)->flow_next;
		*at = m->flow_next;
	}
	if (m->prev)
		m->prev->next = m->next;
	else
		p->moved = m->next;
	if (m->next)
		m->next->prev = m->prev;
	port_slot_free(p, m->slot);
	moved_left(w, m);
}

void port_moved_leave(struct worker *w, struct port *p, uint32_t slot)
{
	moved_leave(w, &w->moved[p->slot[slot].next]);
}

void port_moved_leave_all(struct worker *w, struct port *p)
{
	while (p->moved)
		moved_leave(w, p->moved);
}

static bool moved_lent(const struct worker *w, const struct moved *m)
{
	if (m->held)
		return true;
	for (uint32_t i = 0; i < MOVED_BLOCKS; i++)
		if (ring_lent(w, &m->block[i]))
			return true;
	return false;
}

static void moved_rings_give(struct worker *w, struct moved *m)
{
	struct port *p = m->port;

	for (uint32_t i = 0; i < MOVED_BLOCKS; i++) {
		/* As in flow_free: what is on its way out of these pages stays what it was. */
		if (i < MOVED_BLOCKS / 2 && m->exposed && m->block[i].base)
			arena_discard(&m->block[i]);
		arena_give(p->arena, &m->block[i]);
	}
	port_trim_later(w, p);
}

uint32_t ports_left(struct worker *w)
{
	struct moved **at = &w->left;
	uint32_t did = 0;

	while (*at) {
		struct moved *m = *at;

		if (moved_lent(w, m)) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		m->port->left_nr--;
		moved_rings_give(w, m);
		moved_give(w, m);
		did++;
	}
	return did;
}

/* ---- who waits at them ---- */

static uint32_t wishes(struct slot_shm *shm)
{
	/* NOTIFY, daemon end. */
	uint32_t n = atomic_load_explicit(&shm->notify, memory_order_seq_cst);

	return (n | n >> 8 | n >> 16) & EV_ALL;
}

static uint32_t call_flags(uint32_t events)
{
	return (events & EV_IN ? SLOT_F_CALLED_IN : 0) | (events & EV_OUT ? SLOT_F_CALLED_OUT : 0);
}

static void moved_call(struct worker *w, struct moved *m, uint32_t events)
{
	struct slot_shm *shm = &m->port->slot_shm[m->slot];

	if (m->port->bad)
		return;
	/* NOTIFY, daemon end: before the look at who waits. */
	atomic_fetch_or_explicit(&shm->flags, call_flags(events), memory_order_seq_cst);
	slot_notify(w, m->port, m->slot, shm, events & (EV_IN | EV_OUT));
}

void flow_call(struct worker *w, struct flow *f, uint32_t events)
{
	/* An end is for all who wait, and stays. */
	if (f->shm && !(events & (EV_HUP | EV_ERR)))
		events &= ~wishes(f->shm);
	for (struct moved *m = f->moved; m && events; m = m->flow_next)
		moved_call(w, m, events);
}

void flow_moved_end(struct worker *w, struct flow *f)
{
	struct moved *next;

	for (struct moved *m = f->moved; m; m = next) {
		next = m->flow_next;
		m->flow = NULL;
		m->flow_next = NULL;
		moved_call(w, m, EV_IN | EV_OUT);
	}
	f->moved = NULL;
}

/* ---- moving ---- */

/* Rings in @p that hold what is in those of @f. 0; -EAGAIN: more memory was asked for; -ENOBUFS. */
static int rings_like(struct worker *w, struct port *p, const struct flow *f,
		      struct arena_block *tx_block, struct arena_block *rx_block)
{
	uint32_t tx = f->tx.bytes, rx = f->rx.bytes;

	/* The application may have taken it, and said so by the time that the stream moves. */
	if (f->tx_next.base && f->tx_next.bytes > tx)
		tx = f->tx_next.bytes;
	if (arena_take(p->arena, tx, tx_block) == 0) {
		if (arena_take(p->arena, rx, rx_block) == 0)
			return 0;
		arena_give(p->arena, tx_block);
	}
	if (w->now_ns < p->grow_ns)
		return -ENOBUFS;
	memory_ask(w, p, (uint64_t)tx + rx);
	return -EAGAIN;
}

void flow_last_words(struct worker *w, struct flow *f)
{
	const char *why;

	if (!f->shm)
		return;
	f->flags |= FLOW_MOVING;
	/* MOVE, daemon end. */
	atomic_store_explicit(&f->shm->state, SLOT_MOVING, memory_order_seq_cst);
	/* MOVE, daemon end: what is loaded behind these is at least as new. */
	(void)atomic_load_explicit(&f->shm->tx_tail, memory_order_seq_cst);
	(void)atomic_load_explicit(&f->shm->rx_head, memory_order_seq_cst);
	if (!f->port->bad && flow_pull(w, f, &why) < 0)
		port_bad(w, f->port, why);
	f->flags &= ~FLOW_MOVING;
}

void flow_stays_after_all(struct flow *f)
{
	/* MOVE, daemon end: what was published meanwhile counts as ever. */
	if (f->shm)
		atomic_store_explicit(&f->shm->state, SLOT_OPEN, memory_order_seq_cst);
}

/* What @f has in its port. */
static struct moved rings_of(const struct flow *f, bool exposed)
{
	return (struct moved){
		.port = f->port,
		.slot = SLOT_NONE,
		.exposed = exposed,
		.block = { f->tx, f->tx_next, f->tx_old, f->rx, f->rx_prev, f->rx_old },
	};
}

void flow_leave(struct worker *w, struct flow *f, struct moved *m, bool exposed)
{
	struct moved old = rings_of(f, exposed);
	struct port *p = f->port;

	f->tx_next = f->rx_prev = f->tx_old = f->rx_old = (struct arena_block){ 0 };
	flow_retire_end(w, f);
	flow_grow_end(f);
	flow_kept_end(f);
	flow_unlink(f);
	if (!m) {
		moved_rings_give(w, &old);
		return;
	}
	*m = old;
	if (!f->shm) {
		moved_left(w, m);
		return;
	}
	m->slot = f->slot;
	m->flow = f;
	m->flow_next = f->moved;
	f->moved = m;
	m->next = p->moved;
	if (m->next)
		m->next->prev = m;
	p->moved = m;
	p->slot[f->slot].use = SLOT_USE_MOVED;
	p->slot[f->slot].flow = NULL;
	p->slot[f->slot].next = (uint32_t)(m - w->moved);
}

static void flow_carry(struct worker *w, struct flow *f, const struct arena_block *tx,
		       const struct arena_block *rx)
{
	struct ring_mem tx_ring = ring_of(tx), rx_ring = ring_of(rx);
	int ret;

	flow_last_words(w, f);
	ret = engine_tx_move(w->engine, f->stream, &tx_ring);
	assert(ret == 0); /* as large as the one before */
	f->rx_base = stream_rx_base(f->stream);
	ret = engine_rx_exchange(w->engine, f->stream, &rx_ring, w->now_ns);
	assert(ret == 0); /* it was asked before */
	f->flags &= ~(FLOW_EXCHANGE | FLOW_ACCEPT);
}

static void flow_settle(struct worker *w, struct port *p, struct flow *f,
			const struct arena_block *tx, const struct arena_block *rx)
{
	uint64_t acked = stream_tx_acked(f->stream);

	f->tx_head = acked < f->tx_tail ? acked : f->tx_tail; /* a FIN has an offset too */
	f->tx = *tx;
	f->rx = *rx;
	f->tx_bytes = tx->bytes;
	f->rx_bytes = rx->bytes;
	if (f->tx_most < tx->bytes)
		f->tx_most = tx->bytes;
	f->tx_taken = f->rx_given = f->rx_refused = 0;
	f->flags &= ~(FLOW_JOIN_ASKED | FLOW_JOIN_NOT);
	f->shm = NULL;
	f->slot = SLOT_NONE;
	f->listener = UINT32_MAX;
	flow_link(w, p, f);
}

/* Tells the process that had it; @m is of its slot. @events: what to fetch it for. */
static void moved_tell(struct worker *w, const struct flow *f, struct moved *m, uint32_t events)
{
	struct slot_shm *shm = &m->port->slot_shm[m->slot];

	/* Relaxed, all: the state orders them. */
	atomic_fetch_or_explicit(&shm->flags, call_flags(events), memory_order_relaxed);
	atomic_store_explicit(&shm->moved_tail, f->tx_tail, memory_order_relaxed);
	atomic_store_explicit(&shm->moved_head, f->rx_head, memory_order_relaxed);
	/* MOVE, STATE, daemon ends; seq_cst for NOTIFY. */
	atomic_store_explicit(&shm->state, SLOT_MOVED, memory_order_seq_cst);
	slot_notify(w, m->port, m->slot, shm, EV_IN | EV_OUT);
}

void moved_alone(struct worker *w, struct flow *f, struct moved *m)
{
	if (!m->flow)
		return;
	/* Nobody here hears of what comes from now on: who waits has to fetch it. */
	moved_tell(w, f, m, EV_IN | EV_OUT);
	f->moved = m->flow_next; /* it was the last to be put there */
	m->flow = NULL;
	m->flow_next = NULL;
}

int flow_move(struct worker *w, struct flow *f, struct port *p, uint32_t *ret_slot)
{
	struct moved now = rings_of(f, engine_stream_tx_exposed(f->stream)), *m = NULL;
	bool keeps = f->shm || moved_lent(w, &now);
	struct arena_block tx, rx;
	uint32_t slot;
	int ret;

	if (engine_rx_busy(w->engine, f->stream))
		return -EAGAIN;
	ret = joint_part(w, f);
	if (ret == 0)
		ret = rings_like(w, p, f, &tx, &rx);
	if (ret < 0)
		return ret;
	slot = port_upper_take(p);
	if (slot == SLOT_NONE)
		goto err_rings;
	if (keeps && !(m = moved_take(w)))
		goto err_slot;
	flow_carry(w, f, &tx, &rx);
	joint_writer_leaves(w, f);
	joint_reader_leaves(w, f);
	flow_leave(w, f, m, engine_stream_tx_exposed(f->stream));
	flow_settle(w, p, f, &tx, &rx);
	if (m && m->flow)
		moved_tell(w, f, m, flow_events(f));
	*ret_slot = slot;
	return 0;

err_slot:
	upper_give(p, slot);
err_rings:
	arena_give(p->arena, &tx);
	arena_give(p->arena, &rx);
	return -ENOBUFS;
}
