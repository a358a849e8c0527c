/* SPDX-License-Identifier: MIT */
/*
 * port_deliver.c - what happened to streams, told to the applications: offsets and states stored in
 * their slots, then whoever waits is woken.
 *
 * Events are taken in batches and their slots prefetched, as in port_submit.c: most lines were last
 * written or read by another core.
 */
#include <errno.h>

#include "port_calls.h"

#define BATCH         32u
#define EVENTS_A_TURN 1024u

/* The room that the kernel's sk_stream_write_space waits for: a third. */
bool flow_enough_room(const struct flow *f)
{
	uint64_t used = f->tx_tail - (f->tx.joint ? f->tx_read : f->tx_head);

	return 3 * (f->tx_bytes - used) >= f->tx_bytes;
}

/* A FIN has an offset too, but no byte. */
static uint64_t bytes_acked(const struct flow *f)
{
	uint64_t acked = stream_tx_acked(f->stream);

	return acked < f->tx_tail ? acked : f->tx_tail;
}

/* Bytes acknowledged: their space is free. Returns EV_OUT if that is worth a wake. */
static uint32_t show_tx(struct flow *f)
{
	uint64_t acked = bytes_acked(f);

	if (acked != f->tx_head) {
		f->tx_head = acked;
		/* TXSPACE, daemon end. */
		atomic_store_explicit(&f->shm->tx_head, acked, memory_order_release);
	}
	if (f->tx_joint)
		joint_show_read(f, acked);
	return flow_enough_room(f) ? EV_OUT : 0;
}

static void show_flags(struct flow *f, uint32_t flags)
{
	f->shm_flags |= flags;
	/* NOTIFY, daemon end. */
	atomic_store_explicit(&f->shm->flags, f->shm_flags, memory_order_seq_cst);
}

static uint32_t show_rx(struct flow *f)
{
	uint64_t base = stream_rx_base(f->stream);

	/* In a joined ring it is 0, and the application may have not yet come there. */
	if (base != f->rx_base && !f->rx.joint) {
		f->rx_base = base;
		/* Relaxed: RXBYTES orders it. */
		atomic_store_explicit(&f->shm->rx_base, base, memory_order_relaxed);
	}
	/* RXBYTES, daemon end. */
	atomic_store_explicit(&f->shm->rx_tail, stream_rx_contiguous(f->stream),
			      memory_order_release);
	if (!stream_rx_ended(f->stream))
		return EV_IN;
	show_flags(f, SLOT_F_EOF);
	return EV_IN | EV_HUP;
}

static void show_state(struct flow *f, enum slot_state state)
{
	/* STATE, NOTIFY, daemon ends. */
	atomic_store_explicit(&f->shm->state, state, memory_order_seq_cst);
}

static uint32_t show_error(struct worker *w, struct flow *f)
{
	struct stream_info i;

	engine_stream_info(f->stream, &i);
	if (!(f->flags & FLOW_OPEN) && engine_peer_down(w->engine, &i.remote))
		show_flags(f, SLOT_F_PEER_DOWN);
	/* Relaxed: the store of state or flags orders it. */
	atomic_store_explicit(&f->shm->error, stream_error(f->stream), memory_order_relaxed);
	if (!(f->flags & FLOW_OPEN))
		show_state(f, SLOT_FAILED);
	show_flags(f, SLOT_F_RESET);
	return EV_ERR | EV_IN | EV_OUT | EV_HUP;
}

static uint32_t show_rare(struct worker *w, struct flow *f, uint32_t events)
{
	uint32_t tell = 0;

	if (events & STREAM_EV_CONNECTED && !(f->flags & FLOW_OPEN)) {
		f->flags |= FLOW_OPEN;
		show_state(f, SLOT_OPEN);
		tell |= EV_OUT;
	}
	if (events & STREAM_EV_ERROR)
		tell |= show_error(w, f);
	if (events & STREAM_EV_TX_DONE) {
		show_flags(f, SLOT_F_TX_DONE);
		tell |= EV_OUT;
	}
	return tell;
}

/* The peer gave up before there was memory for the stream. */
static void parked_event(struct worker *w, struct flow *f, uint32_t events)
{
	struct stream *s = f->stream;

	if (!(events & STREAM_EV_DONE))
		return;
	port_unpark_flow(f->port, f);
	flow_forget(f->port, f);
	engine_stream_free(w->engine, s);
}

/* What a slot would say, of a stream that has none: for the process that takes it. */
static void note(struct flow *f, uint32_t events)
{
	f->tx_head = bytes_acked(f);
	if (events & STREAM_EV_CONNECTED)
		f->flags |= FLOW_OPEN;
	if (events & STREAM_EV_RX && stream_rx_ended(f->stream))
		f->shm_flags |= SLOT_F_EOF;
	if (events & STREAM_EV_ERROR)
		f->shm_flags |= SLOT_F_RESET;
	if (events & STREAM_EV_TX_DONE)
		f->shm_flags |= SLOT_F_TX_DONE;
}

static void deliver(struct worker *w, struct flow *f, uint32_t events)
{
	uint32_t tell = 0;

	if (f->flags & (FLOW_PARKED | FLOW_PLACE | FLOW_SETTLES)) {
		if (f->flags & FLOW_PARKED)
			parked_event(w, f, events);
		else if (f->flags & FLOW_PLACE)
			place_event(w, f, events);
		else if (events & (STREAM_EV_CONNECTED | STREAM_EV_DONE))
			flow_settled(w, f);
		if (f->flags & (FLOW_PARKED | FLOW_PLACE) || !f->stream)
			return;
	}
	if (events & STREAM_EV_ERROR)
		f->flags |= FLOW_ENDED;
	if (f->shm && !f->port->bad) {
		if (events & STREAM_EV_TX)
			tell |= show_tx(f);
		if (events & STREAM_EV_RX)
			tell |= show_rx(f);
		if (events & ~(STREAM_EV_TX | STREAM_EV_RX | STREAM_EV_DONE))
			tell |= show_rare(w, f, events);
		if (tell && f->moved)
			flow_call(w, f, tell);
		if (tell)
			slot_notify(w, f->port, f->slot, f->shm, tell);
	} else {
		note(f, events);
		if (f->moved)
			flow_call(w, f, flow_events(f));
	}
	flow_touch(w, f);
	if (events & STREAM_EV_DONE)
		flow_done(w, f);
}

uint32_t ports_deliver(struct worker *w)
{
	struct flow *flow[BATCH];
	uint32_t events[BATCH];
	uint32_t did = 0, nr;

	do {
		struct stream *s;

		for (nr = 0; nr < BATCH && (s = engine_next_event(w->engine, &events[nr]));) {
			struct flow *f = engine_stream_user(s);

			/* Refused for want of memory: nobody to tell, and nobody else frees it. */
			if (!f) {
				if (events[nr] & STREAM_EV_DONE)
					engine_stream_free(w->engine, s);
				continue;
			}
			__builtin_prefetch(f, 1);
			if (f->shm) {
				__builtin_prefetch(&f->shm->tx_head, 1);
				__builtin_prefetch(&f->shm->notify, 0);
			}
			flow[nr++] = f;
		}
		for (uint32_t i = 0; i < nr; i++)
			deliver(w, flow[i], events[i]);
		did += nr;
	} while (nr == BATCH && did < EVENTS_A_TURN);
	return did;
}
