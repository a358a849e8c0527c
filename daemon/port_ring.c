/* SPDX-License-Identifier: MIT */
/*
 * port_ring.c - the rings of a stream: they begin small, and are exchanged for others (port_grow.c,
 * port_joint.c) as ncd/shm_abi.h draws it.
 */
#include <errno.h>

#include "port_calls.h"
#include "power_of_two.h"

#define RING_FLOOR        (16u << 10) /* first rings are not made smaller for want of memory */
#define RING_SHARES       64u   /* one ring takes at most this part of the region */
#define RING_SHARES_LATER 4096u /* and of what remains, when half of it is given out */
#define RETIRE_A_TURN     64u

uint32_t ring_limit(const struct port *p)
{
	uint64_t used = arena_used(p->arena), most = p->cfg.region_max;

	if (used >= most)
		return 0;
	return floor_power_of_two(used < most / 2 ? most / RING_SHARES
						  : (most - used) / RING_SHARES_LATER);
}

static uint32_t ring_most(uint32_t wanted, uint32_t configured)
{
	uint32_t most = power_of_two(wanted);

	if (!wanted || most > configured)
		return configured;
	return most < NCD_RING_MIN ? NCD_RING_MIN : most;
}

struct ring_wish ring_wish(const struct worker *w, uint32_t tx_wanted, uint32_t rx_wanted)
{
	return (struct ring_wish){ ring_most(tx_wanted, w->cfg.ring_send_bytes),
				   ring_most(rx_wanted, w->cfg.ring_receive_bytes) };
}

/* Size of a first ring that may become @most: as configured, less as the region fills. */
static uint32_t ring_first(const struct worker *w, const struct port *p, uint32_t most, bool least)
{
	uint32_t size = w->cfg.ring_initial_bytes, floor, limit;

	if (size < NCD_RING_MIN)
		size = NCD_RING_MIN;
	if (size > most)
		size = most;
	floor = size < RING_FLOOR ? size : RING_FLOOR;
	if (least)
		return floor;
	limit = ring_limit(p);
	if (limit < floor)
		limit = floor;
	return size < limit ? size : limit;
}

void memory_ask(struct worker *w, struct port *p, uint64_t bytes)
{
	struct worker_event ev = { .type = EVT_SEGMENT_WANTED, .port = p, .bytes = bytes };

	if (p->segment_wanted)
		return;
	p->segment_wanted = true;
	door_event(&w->door, &ev);
}

int rings_take(struct worker *w, struct port *p, const struct ring_wish *wish, bool least,
	       struct arena_block *tx, struct arena_block *rx)
{
	uint32_t tx_bytes = ring_first(w, p, wish->tx_most, least);
	uint32_t rx_bytes = ring_first(w, p, wish->rx_most, least);

	if (arena_take(p->arena, tx_bytes, tx) == 0) {
		if (arena_take(p->arena, rx_bytes, rx) == 0)
			return 0;
		arena_give(p->arena, tx);
	}
	if (least)
		return -ENOBUFS;
	memory_ask(w, p, (uint64_t)tx_bytes + rx_bytes);
	return -EAGAIN;
}

struct ring_mem ring_of(const struct arena_block *b)
{
	return (struct ring_mem){
		.base = b->base, .bytes = b->bytes, .file = b->file, .file_off = b->off
	};
}

/* ---- exchange ---- */

bool ring_lent(const struct worker *w, const struct arena_block *b)
{
	return b->base && engine_ring_lent(w->engine, b->base, b->bytes);
}

/* Old rings go back to the arena once no channel names them. */
static void flow_retire(struct worker *w, struct flow *f)
{
	if (f->flags & FLOW_RETIRE)
		return;
	f->flags |= FLOW_RETIRE;
	f->retire_next = w->retire;
	w->retire = f;
}

void flow_retire_end(struct worker *w, struct flow *f)
{
	struct flow **at = &w->retire;

	if (!(f->flags & FLOW_RETIRE))
		return;
	f->flags &= ~FLOW_RETIRE;
	while (*at != f)
		at = &(*at)->retire_next;
	*at = f->retire_next;
}

static void tx_taken(struct worker *w, struct flow *f)
{
	struct ring_mem ring = ring_of(&f->tx_next);
	int ret = f->tx_next.joint ? engine_tx_join(w->engine, f->stream, &ring)
				   : engine_tx_exchange(w->engine, f->stream, &ring);

	assert(ret == 0); /* it is larger than the one before */
	flow_bulk_new(w, f->port, f->tx_bytes, f->tx_next.bytes);
	f->tx_old = f->tx;
	f->tx = f->tx_next;
	f->tx_next = (struct arena_block){ 0 };
	f->tx_bytes = f->tx.bytes;
	f->tx_taken++;
	flow_tx_new(f);
	flow_retire(w, f);
	if (f->tx.joint)
		joint_taken(w, f);
	else
		joint_writer_leaves(w, f);
}

static void rx_left(struct worker *w, struct flow *f)
{
	f->rx_old = f->rx_prev;
	f->rx_prev = (struct arena_block){ 0 };
	flow_retire(w, f);
	if (f->rx_old.joint)
		joint_reader_leaves(w, f);
	else
		joint_followed(w, f);
}

int flow_exchange(struct worker *w, struct flow *f, const char **ret_why)
{
	/* TAKEN, daemon end. Each fetched once. */
	uint32_t tx = atomic_load_explicit(&f->shm->tx_taken, memory_order_acquire);
	uint32_t rx = atomic_load_explicit(&f->shm->rx_taken, memory_order_acquire);

	if (f->tx_next.base && tx == f->tx_taken + 1) {
		tx_taken(w, f);
	} else if (f->tx_next.base && tx != f->tx_taken) {
		*ret_why = "tx_taken is impossible";
		return -EPROTO;
	}
	if (f->rx_prev.base && rx == f->rx_given) {
		rx_left(w, f);
	} else if (f->rx_prev.base && rx != f->rx_given - 1) {
		*ret_why = "rx_taken is impossible";
		return -EPROTO;
	}
	if (!f->tx_next.base && !f->rx_prev.base)
		f->flags &= ~FLOW_EXCHANGE;
	return 0;
}

void flow_tx_give(struct worker *w, struct flow *f)
{
	struct slot_shm *shm = f->shm;

	f->flags |= FLOW_EXCHANGE;
	shm->tx_segment = f->tx_next.segment;
	shm->tx_off = f->tx_next.off;
	shm->tx_bytes = f->tx_next.bytes;
	/* GIVEN, daemon end. */
	atomic_store_explicit(&shm->tx_given, f->tx_taken + 1, memory_order_release);
	slot_notify(w, f->port, f->slot, shm, EV_OUT);
}

void flow_rx_give(struct worker *w, struct flow *f, const struct arena_block *block)
{
	struct slot_shm *shm = f->shm;

	flow_bulk_new(w, f->port, f->rx_bytes, block->bytes);
	f->rx_prev = f->rx;
	f->rx = *block;
	f->rx_bytes = block->bytes;
	if (!shm) { /* nobody looks there */
		rx_left(w, f);
		return;
	}
	if (f->rx_prev.joint) {
		f->rx_base = stream_rx_base(f->stream);
		/* Relaxed: GIVEN orders it; in the joined ring nobody looks at it. */
		atomic_store_explicit(&shm->rx_base, f->rx_base, memory_order_relaxed);
	}
	f->rx_given++;
	flow_rx_new(f);
	f->flags |= FLOW_EXCHANGE;
	shm->rx_segment = block->segment;
	shm->rx_off = block->off;
	shm->rx_bytes = block->bytes;
	/* Relaxed: GIVEN orders it. */
	atomic_store_explicit(&shm->rx_most, f->rx_most, memory_order_relaxed);
	/* GIVEN, daemon end. */
	atomic_store_explicit(&shm->rx_given, f->rx_given, memory_order_release);
}

/* False while a channel names an old ring. */
static bool retired(struct worker *w, struct flow *f)
{
	struct port *p = f->port;

	if (ring_lent(w, &f->tx_old) || ring_lent(w, &f->rx_old))
		return false;
	f->flags &= ~FLOW_RETIRE;
	/* As in flow_free: what is on its way out of these pages stays what it was. */
	if (f->tx_old.base && engine_stream_tx_exposed(f->stream))
		arena_discard(&f->tx_old);
	arena_give(p->arena, &f->tx_old);
	arena_give(p->arena, &f->rx_old);
	port_trim_later(w, p);
	/* The next step had to wait for this. */
	flow_grow(w, f);
	return true;
}

uint32_t ports_retire(struct worker *w)
{
	struct flow **at = &w->retire;
	uint32_t did = 0;

	for (uint32_t nr = 0; *at && nr < RETIRE_A_TURN; nr++) {
		struct flow *f = *at, *next = f->retire_next;

		if (!retired(w, f)) {
			at = &f->retire_next;
			continue;
		}
		*at = next;
		did++;
	}
	return did;
}

void flow_exchange_end(struct worker *w, struct flow *f)
{
	f->flags &= ~FLOW_EXCHANGE;
	arena_give(f->port->arena, &f->tx_next);
	if (f->rx_prev.base)
		rx_left(w, f);
}

void flow_rings_give(struct flow *f)
{
	struct port *p = f->port;

	flow_grow_end(f);
	arena_give(p->arena, &f->tx);
	arena_give(p->arena, &f->rx);
	arena_give(p->arena, &f->tx_next);
	arena_give(p->arena, &f->rx_prev);
}
