/* SPDX-License-Identifier: MIT */
/*
 * port_grow.c - which rings of a stream are exchanged for larger ones, and when.
 *
 * A tx ring is too small when its application fills it, an rx ring when the peer fills it while the
 * application reads on. They grow by large steps, since a step costs a copy of what is in the ring.
 * A stream that cannot grow, for want of memory, goes on with what it has.
 */
#include <errno.h>

#include "port_calls.h"
#include "power_of_two.h"

#define GROWTH        16u
#define GROW_AGAIN_NS 1000000000ull /* between two questions for memory that were refused */

/* A block to grow to from @bytes, of at least @want if @most allows it. 0; -ENOSPC: none larger is
 * to be had; -EAGAIN: not yet. */
static int ring_larger(struct worker *w, struct flow *f, uint32_t bytes, uint32_t most,
		       uint32_t want, struct arena_block *ret_block)
{
	struct port *p = f->port;
	uint64_t size = (uint64_t)bytes * GROWTH;
	uint32_t limit = ring_limit(p), bulk = floor_power_of_two(bulk_ring_most(w, f));

	if (bulk < want)
		bulk = power_of_two(want);
	if (limit > bulk)
		limit = bulk;
	if (size < want)
		size = power_of_two(want);
	if (size > most)
		size = most;
	if (size > limit)
		size = limit;
	if (size <= bytes)
		return -ENOSPC;
	if (arena_take(p->arena, (uint32_t)size, ret_block) == 0)
		return 0;
	if (w->now_ns < p->grow_ns) {
		/* No more will come: whatever is left. */
		while ((size /= 4) > bytes)
			if (arena_take(p->arena, (uint32_t)size, ret_block) == 0)
				return 0;
		return -ENOSPC;
	}
	if (!(f->flags & FLOW_GROW)) {
		f->flags |= FLOW_GROW;
		f->grow_next = p->growing;
		p->growing = f;
	}
	memory_ask(w, p, size);
	return -EAGAIN;
}

static bool tx_full(const struct flow *f)
{
	return 4 * (f->tx_tail - f->tx_head) >= 3 * (uint64_t)f->tx_bytes;
}

static void grow_tx(struct worker *w, struct flow *f)
{
	if (!f->tx_next.base && !f->tx_old.base && !joint_instead_of_tx(w, f) &&
	    ring_larger(w, f, f->tx_bytes, f->tx_most, 0, &f->tx_next) == 0)
		flow_tx_give(w, f);
}

/* 0, or why not: -EBUSY: not now. */
static int grow_rx(struct worker *w, struct flow *f, uint32_t want)
{
	struct arena_block block;
	struct ring_mem ring;
	int ret;

	if (f->rx_prev.base || f->rx_old.base || (!want && joint_instead_of_rx(w, f)))
		return -EBUSY;
	if (joint_half(f))
		return -EAGAIN;
	ret = ring_larger(w, f, f->rx_bytes, f->rx_most, want, &block);
	if (ret < 0)
		return ret;
	ring = ring_of(&block);
	ret = engine_rx_exchange(w->engine, f->stream, &ring, w->now_ns);
	if (ret < 0) {
		arena_give(f->port->arena, &block);
		return ret;
	}
	flow_rx_give(w, f, &block);
	return 0;
}

/*
 * The application must see more than the ring holds before it can read on. It is told in any case:
 * that there is a larger ring now, or that this is the last.
 */
static void rx_wanted(struct worker *w, struct flow *f, uint32_t want)
{
	int ret;

	/* An old ring that is left already is gone soon: then again. */
	if (f->rx_refused == f->rx_bytes || f->rx_old.base ||
	    stream_rx_contiguous(f->stream) - f->rx_head < f->rx_bytes)
		return;
	ret = grow_rx(w, f, want);
	if (ret == -EAGAIN)
		return;
	if (ret < 0) {
		f->rx_refused = f->rx_bytes;
		/* NOTIFY, daemon end. */
		atomic_store_explicit(&f->shm->rx_most, f->rx_bytes, memory_order_release);
	}
	slot_notify(w, f->port, f->slot, f->shm, EV_IN);
}

void flow_grow(struct worker *w, struct flow *f)
{
	uint32_t want;

	if (!f->shm || f->going || f->flags & (FLOW_ENDED | FLOW_DONE))
		return;
	if (f->tx_bytes < f->tx_most && tx_full(f) && !(f->flags & FLOW_SHUTDOWN))
		grow_tx(w, f);
	if (f->rx_bytes >= f->rx_most)
		return;
	/* Relaxed: KICK orders it. Fetched once. */
	want = atomic_load_explicit(&f->shm->rx_want, memory_order_relaxed);
	if (want > f->rx_bytes)
		rx_wanted(w, f, want);
	if (engine_rx_pressed(f->stream) && f->rx_bytes < f->rx_most)
		(void)grow_rx(w, f, 0); /* tried again when more has been read */
}

void port_grow(struct worker *w, struct port *p, bool denied)
{
	struct flow *f = p->growing, *next;

	p->growing = NULL;
	if (denied)
		p->grow_ns = w->now_ns + GROW_AGAIN_NS;
	for (; f; f = next) {
		next = f->grow_next;
		f->flags &= ~FLOW_GROW;
		flow_grow(w, f);
	}
}

void flow_grow_end(struct flow *f)
{
	struct flow **at = &f->port->growing;

	if (!(f->flags & FLOW_GROW))
		return;
	f->flags &= ~FLOW_GROW;
	while (*at != f)
		at = &(*at)->grow_next;
	*at = f->grow_next;
}
