/* SPDX-License-Identifier: MIT */
/*
 * port_close.c - the ends: an application closes, dies or lied; a stream is finished; its memory
 * comes back.
 *
 * The slot is given back as soon as the application has let go of it: the stream goes on without,
 * an orphan, until all its bytes are delivered. Its rings are given back when no channel can touch
 * them any more.
 */
#include <errno.h>

#include "ncd/wire.h"

#include "port_calls.h"

#define RECLAIM_A_TURN 64

void upper_give(struct port *p, uint32_t slot)
{
	p->slot[slot].next = p->upper_free;
	p->upper_free = slot;
}

void port_slot_free(struct port *p, uint32_t slot)
{
	struct slot *sl = &p->slot[slot];

	pollfd_close(&sl->pollfd);
	sl->flow = NULL;
	sl->use = SLOT_USE_FREE;
	/* STATE, daemon end: the library may use a lower slot again. */
	atomic_store_explicit(&p->slot_shm[slot].state, SLOT_FREE, memory_order_release);
	if (slot >= p->layout.slots / 2)
		upper_give(p, slot);
}

void flow_detach(struct flow *f)
{
	if (!f->shm)
		return;
	port_slot_free(f->port, f->slot);
	f->shm = NULL;
	f->slot = SLOT_NONE;
}

static void reclaim(struct worker *w, struct flow *f)
{
	if (f->flags & FLOW_RECLAIM)
		return;
	f->flags |= FLOW_RECLAIM;
	f->reclaim_next = w->reclaim;
	w->reclaim = f;
}

void flow_release(struct worker *w, struct flow *f, bool abort, bool reset_after)
{
	struct port *p = f->port;
	const char *why;

	if (f->flags & FLOW_RELEASED)
		return;
	f->flags |= FLOW_RELEASED;
	if (f->flags & FLOW_PARKED) {
		struct stream *s = f->stream;

		port_unpark_flow(p, f);
		flow_forget(p, f);
		engine_stream_set_user(s, NULL);
		engine_stream_refuse(w->engine, s, w->now_ns);
		return;
	}
	/* The last bytes before close, or before death, count. */
	if (f->shm && !abort && flow_pull(w, f, &why) < 0) {
		port_bad(w, p, why);
		abort = true;
	}
	flow_detach(f);
	joint_reader_leaves(w, f);
	flow_touch(w, f);
	if (f->flags & FLOW_DONE)
		reclaim(w, f);
	else if (abort)
		engine_stream_abort(w->engine, f->stream, WIRE_E_RESET, w->now_ns);
	else
		engine_stream_close(w->engine, f->stream, reset_after, w->now_ns);
}

/* This process is done with it; perhaps another has its descriptor. */
static void flow_let_go(struct worker *w, struct flow *f)
{
	const char *why;

	if (f->flags & FLOW_HUNG) {
		flow_release(w, f, false, false);
		return;
	}
	if (f->shm && !f->port->bad && flow_pull(w, f, &why) < 0)
		port_bad(w, f->port, why);
	flow_detach(f);
	flow_exchange_end(w, f);
	flow_call(w, f, flow_events(f));
}

void flow_done(struct worker *w, struct flow *f)
{
	f->flags |= FLOW_DONE;
	if (f->flags & FLOW_RELEASED)
		reclaim(w, f);
}

void port_close_slot(struct worker *w, struct port *p, uint32_t slot, uint32_t how)
{
	struct flow *f = p->slot[slot].flow;

	switch ((enum slot_use)p->slot[slot].use) {
	case SLOT_USE_LIVE:
		if (how == CLOSE_LET_GO && f->cookie && !(f->flags & FLOW_LENT))
			flow_let_go(w, f);
		else
			flow_release(w, f, how == CLOSE_ABORT, false);
		break;
	case SLOT_USE_PARKED:
		port_unpark_slot(p, slot);
		port_slot_free(p, slot);
		break;
	case SLOT_USE_FAILED:
		port_slot_free(p, slot);
		break;
	case SLOT_USE_MOVED:
		port_moved_leave(w, p, slot);
		break;
	case SLOT_USE_FREE:
	default:
		port_bad(w, p, "SQ_CLOSE of a slot that is free");
		break;
	}
}

void port_remove(struct worker *w, struct port *p)
{
	struct flow *next;

	if (p->removed)
		return;
	/* What it had posted before it died still counts. */
	port_drain(w, p);
	p->removed = true;
	w->removed_ports++;
	for (uint32_t i = 0; i < NCD_LISTENERS_MAX; i++)
		if (p->listener[i].used)
			(void)port_unlisten(w, p, i); /* fails only for unused ones */
	while (p->parked_head != SLOT_NONE)
		port_unpark_slot(p, p->parked_head);
	port_take_cancel(w, p);
	port_moved_leave_all(w, p);
	for (struct flow *f = p->flows; f; f = next) {
		next = f->next;
		if (f->flags & (FLOW_PASS | FLOW_PLACE))
			continue; /* it goes to another application; flow_in() sees to it */
		if (f->cookie && !(f->flags & (FLOW_RELEASED | FLOW_LENT)))
			flow_let_go(w, f);
		else
			flow_release(w, f, p->bad, !(f->flags & FLOW_SHUTDOWN));
	}
	io_watch_remove(w->io, &p->doorbell);
}

static void flow_free(struct worker *w, struct flow *f)
{
	struct port *p = f->port;

	/* What is on its way out of these pages must not become another stream's bytes. */
	if (engine_stream_tx_exposed(f->stream))
		arena_discard(&f->tx);
	flow_stats_close(w, f);
	flow_warm_end(w, f);
	flow_moved_end(w, f);
	flow_kept_end(f);
	flow_going_end(w, f);
	joint_writer_leaves(w, f);
	joint_reader_leaves(w, f);
	engine_stream_free(w->engine, f->stream);
	flow_forget(p, f);
	flow_rings_give(f);
	f->flags &= FLOW_TOUCHED;
	port_trim_later(w, p);
	if (!p->removed)
		port_unpark(w, p, false);
}

static bool port_gone(const struct port *p)
{
	return p->removed && p->flow_nr == 0 && p->left_nr == 0 &&
	       !p->doorbell.lent && !p->active && !p->dirty;
}

/* Ports whose last stream is done go back to control. */
static void ports_gone(struct worker *w)
{
	struct port **at = &w->ports;

	while (*at) {
		struct port *p = *at;
		struct worker_event ev = { .type = EVT_CLIENT_GONE, .port = p };

		if (!port_gone(p)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		w->removed_ports--;
		w->numbers[p->number]--;
		door_event(&w->door, &ev);
	}
}

uint32_t ports_reclaim(struct worker *w)
{
	struct flow **at = &w->reclaim;
	uint32_t did = offers_late(w) + ports_retire(w) + ports_pass(w) + ports_take(w) +
		       ports_left(w);

	for (uint32_t nr = 0; *at && nr < RECLAIM_A_TURN; nr++) {
		struct flow *f = *at;

		if (f->flags & (FLOW_RETIRE | FLOW_PASS) || ring_lent(w, &f->tx) ||
		    ring_lent(w, &f->rx)) {
			at = &f->reclaim_next;
			continue;
		}
		*at = f->reclaim_next;
		flow_free(w, f);
		did++;
	}
	did += joints_over(w);
	if (w->removed_ports) {
		ports_rest(w);
		ports_gone(w);
	}
	return did;
}
