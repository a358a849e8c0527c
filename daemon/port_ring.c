/* SPDX-License-Identifier: MIT */
/*
 * port_ring.c - how large the rings of a stream are: they begin small, and are exchanged for larger
 * ones as the stream needs them (ncd/shm_abi.h draws how).
 *
 * A tx ring is too small when its application fills it, an rx ring when the peer fills it while the
 * application reads on. They grow by large steps, since a step costs a copy of what is in the ring.
 * A stream that cannot grow, for want of memory, goes on with what it has.
 */
#include <errno.h>

#include "port_state.h"

#define RING_FLOOR        (16u << 10) /* first rings are not made smaller for want of memory */
#define RING_SHARES       64u   /* one ring takes at most this part of the region */
#define RING_SHARES_LATER 4096u /* and of what remains, when half of it is given out */
#define GROWTH            16u
#define GROW_AGAIN_NS     1000000000ull /* between two questions for memory that were refused */
#define RETIRE_A_TURN     64u

static uint32_t floor_power_of_two(uint64_t n)
{
	if (n > NCD_RING_MAX)
		return NCD_RING_MAX;
	return n ? (uint32_t)1 << (63 - __builtin_clzll(n)) : 0;
}

static uint32_t power_of_two(uint64_t n)
{
	return n > 1 ? floor_power_of_two(2 * n - 1) : 1;
}

/*
 * The largest ring that may be taken now. Rings cost memory only where they were written, so they
 * are generous until half of the region is given out; from then on enough is left for thousands.
 */
static uint32_t ring_limit(const struct port *p)
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

/* ---- growth ---- */

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

static bool flow_may_grow(const struct flow *f)
{
	return f->shm && !(f->flags & (FLOW_ENDED | FLOW_DONE));
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
	if (flow_may_grow(f))
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

void port_grow(struct worker *w, struct port *p, bool denied)
{
	struct flow *f = p->growing, *next;

	p->growing = NULL;
	if (denied)
		p->grow_ns = w->now_ns + GROW_AGAIN_NS;
	for (; f; f = next) {
		next = f->grow_next;
		f->flags &= ~FLOW_GROW;
		if (flow_may_grow(f))
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
