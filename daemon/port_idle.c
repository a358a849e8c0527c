/* SPDX-License-Identifier: MIT */
/*
 * port_idle.c - rings that have hardly moved for [buffers] idle_seconds give back their pages.
 *
 * Who writes a ring does that (ncd/shm_abi.h says why): rx rings here, tx rings by the library,
 * which is told. No size, place or credit changes, so nothing has to be agreed on, and what the
 * application says is believed as far as ever: one that lies of rx_head loses its own bytes.
 *
 * The streams that have pages to give back are in a list, by the time when they are looked at next;
 * one that moves much stays and is looked at an idle time later, one that has given all leaves. It
 * comes back when it has moved enough bytes, which the statistics notice (worker_sweep): nothing of
 * this is on the way of a message, and nothing is done for a stream that is idle already.
 */
#include "ncd/ring_pages.h"

#include "port_calls.h"

#define LOOKS_A_TURN 64u
#define PIECE_BYTES  (256u << 10) /* of pages given back at once: some 30 us */
#define PACE_NS      1000000ull   /* between two of them */

enum look { LOOK_LEAVE, LOOK_AGAIN, LOOK_GO_ON };

void flow_tx_new(struct flow *f)
{
	f->tx_cold = f->tx_tail - f->tx_bytes;
}

void flow_rx_new(struct flow *f)
{
	f->rx_cold = stream_rx_contiguous(f->stream) - f->rx_bytes;
	f->rx_cooled = 0;
}

/* Bytes below @offset have pages that are worth giving back. */
static bool warm(uint32_t ring_bytes, uint64_t offset, uint64_t cold)
{
	return ring_bytes > NCD_IDLE_BYTES && offset - cold >= NCD_IDLE_BYTES;
}

static bool flow_is_warm(const struct flow *f)
{
	return warm(f->tx_bytes, f->tx_tail, f->tx_cold) ||
	       (!f->rx.joint && warm(f->rx_bytes, stream_rx_contiguous(f->stream), f->rx_cold));
}

/* A stream that has ended keeps its pages until it is closed. */
static bool flow_may_cool(const struct flow *f)
{
	return f->shm && !f->port->bad && !f->port->removed &&
	       !(f->flags & (FLOW_ENDED | FLOW_DONE | FLOW_PASS));
}

/* ---- the list ---- */

static void list_add(struct worker *w, struct flow *f, struct flow *behind)
{
	f->flags |= FLOW_WARM;
	f->warm_prev = behind;
	f->warm_next = behind ? behind->warm_next : w->warm;
	if (f->warm_next)
		f->warm_next->warm_prev = f;
	else
		w->warm_last = f;
	if (behind)
		behind->warm_next = f;
	else
		w->warm = f;
}

/* To be looked at last, an idle time from now. */
static void list_append(struct worker *w, struct flow *f)
{
	f->warm_moved = flow_moved(f);
	f->warm_ns = w->now_ns + w->cfg.idle_ns;
	list_add(w, f, w->warm_last);
	if (w->warm_ns == UINT64_MAX)
		w->warm_ns = f->warm_ns;
}

void flow_warm(struct worker *w, struct flow *f)
{
	if (!(f->flags & FLOW_WARM) && w->cfg.idle_ns && flow_may_cool(f) && flow_is_warm(f))
		list_append(w, f);
}

void flow_warm_end(struct worker *w, struct flow *f)
{
	if (!(f->flags & FLOW_WARM))
		return;
	f->flags &= ~FLOW_WARM;
	if (f->warm_prev)
		f->warm_prev->warm_next = f->warm_next;
	else
		w->warm = f->warm_next;
	if (f->warm_next)
		f->warm_next->warm_prev = f->warm_prev;
	else
		w->warm_last = f->warm_prev;
}

/* ---- giving back ---- */

/*
 * All of the ring before, if nothing in it is unread: the application leaves it only with the next
 * byte, which will be in the ring that it has by then.
 */
static void rx_prev_cool(struct flow *f)
{
	if (f->rx_prev.base && !f->rx_prev.joint && f->rx_head == stream_rx_contiguous(f->stream))
		ring_pages_drop(f->rx_prev.base, 0, f->rx_prev.bytes);
}

/* One piece of the rx ring. True: there are more. */
static bool rx_cool(struct flow *f)
{
	uint64_t unread = stream_rx_contiguous(f->stream) - f->rx_head;
	uint64_t to = f->rx_cooled + PIECE_BYTES;
	uint32_t at = (uint32_t)(f->rx_head - stream_rx_base(f->stream)) & (f->rx_bytes - 1);

	/* What comes from now on may be where all is given back already. */
	if (f->rx_cooled == 0) {
		f->rx_cold = f->rx_head;
		rx_prev_cool(f);
	}
	if (to > f->rx_bytes)
		to = f->rx_bytes;
	ring_pages_free(f->rx.base, f->rx_bytes, at, unread, f->rx_cooled, to);
	f->rx_cooled = to < f->rx_bytes ? (uint32_t)to : 0;
	return f->rx_cooled > 0;
}

/* Where what is of use in the tx ring begins. */
static uint64_t tx_begin(const struct flow *f)
{
	return f->tx.joint ? f->tx_read : f->tx_head;
}

/* The library is to do the same with the tx ring. */
static void tx_tell(struct flow *f)
{
	f->tx_cold = tx_begin(f);
	/* Relaxed: IDLE orders it. */
	atomic_store_explicit(&f->shm->tx_idle, f->tx_tail, memory_order_relaxed);
	/* IDLE, worker's end. */
	atomic_fetch_add_explicit(&f->port->idle_told, 1, memory_order_release);
}

static enum look flow_look(struct worker *w, struct flow *f)
{
	const char *why;

	if (!flow_may_cool(f))
		return LOOK_LEAVE;
	/* The application reads on without a word as long as that is not worth any credit. */
	if (flow_pull(w, f, &why) < 0) {
		port_bad(w, f->port, why);
		return LOOK_LEAVE;
	}
	joint_reader_look(w, f);
	if (flow_moved(f) - f->warm_moved >= NCD_IDLE_BYTES) {
		if (f->rx_cooled > 0)
			flow_rx_new(f); /* from the beginning */
		return LOOK_AGAIN;
	}
	/* Who writes a joined ring is the other application. */
	if (!f->rx.joint && (f->rx_cooled > 0 || warm(f->rx_bytes, f->rx_head, f->rx_cold)) &&
	    engine_rx_settled(f->stream) && !ring_lent(w, &f->rx) && rx_cool(f))
		return LOOK_GO_ON;
	if (warm(f->tx_bytes, tx_begin(f), f->tx_cold))
		tx_tell(f);
	return f->rx_cooled > 0 || flow_is_warm(f) ? LOOK_AGAIN : LOOK_LEAVE;
}

uint32_t flows_cool(struct worker *w)
{
	enum look look = LOOK_LEAVE;
	uint32_t did = 0;
	struct flow *f;

	while (did < LOOKS_A_TURN && look != LOOK_GO_ON && (f = w->warm) &&
	       f->warm_ns <= w->now_ns) {
		did++;
		flow_warm_end(w, f);
		look = flow_look(w, f);
		if (look == LOOK_AGAIN)
			list_append(w, f);
		if (look != LOOK_GO_ON)
			continue;
		f->warm_ns = w->now_ns + PACE_NS;
		list_add(w, f, NULL);
	}
	w->warm_ns = w->warm ? w->warm->warm_ns : UINT64_MAX;
	return did;
}
