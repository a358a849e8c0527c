/* SPDX-License-Identifier: MIT */
/*
 * port_pass.c - a stream that nobody has accepted goes from one application's accept queue to
 * another's: of a listener of the same group, whose application waits while the first is busy, or
 * has gone.
 *
 * Only what the application has not taken can go: whoever claims the word in the queue has the
 * stream (CLAIM in ncd/shm_abi.h). From then on its old application has nothing of it.
 *
 *   in the queue of A --claimed--> without a slot, FLOW_PASS --port_move.c--> in the queue of B
 *                                      ^ | no memory yet, or a channel writes into its ring
 *                                      +-+ tried again each turn: what it waits for wakes us
 */
#include <errno.h>

#include "port_state.h"

#define PASSES_A_TURN 64u

/* Its application, if it is honest, cannot have touched it. */
static bool untouched(const struct flow *f)
{
	return !(f->flags & (FLOW_ENDED | FLOW_DONE | FLOW_RELEASED | FLOW_SHUTDOWN)) &&
	       !f->cookie && f->tx_tail == 0 && f->rx_head == 0;
}

/* The stream at @index of the queue, taken out of it; or NULL: it is the application's. */
static struct flow *queue_claim(struct listener *l, uint32_t index)
{
	struct port *p = l->port;
	/* Relaxed: our own word, unless the application took it, or lies. */
	uint64_t word = atomic_load_explicit(&l->accept.shm->word[index & (l->accept.capacity - 1)],
					     memory_order_relaxed);
	struct flow *f = word < p->layout.slots ? p->slot[word].flow : NULL;

	if (!f || f->listener != l->number || !(f->flags & FLOW_ACCEPT) || f->accept_at != index ||
	    !untouched(f))
		return NULL;
	if (ring_claim(&l->accept, index) != word)
		return NULL;
	f->flags &= ~FLOW_ACCEPT;
	flow_detach(f);
	return f;
}

static void pass_later(struct worker *w, struct flow *f, uint64_t title)
{
	f->title = title;
	f->flags |= FLOW_PASS;
	f->pass_next = NULL;
	*w->passing_end = f;
	w->passing_end = &f->pass_next;
}

/* 0; -EAGAIN: not yet; other: @to cannot have it. */
static int pass(struct worker *w, struct flow *f, struct listener *to)
{
	uint32_t slot;
	int ret = 0;

	if (to->port != f->port)
		ret = flow_move(w, f, to->port, &slot);
	else if ((slot = port_upper_take(f->port)) == SLOT_NONE) /* back to where it was */
		ret = -ENOBUFS;
	if (ret == 0)
		flow_present(w, f, to, slot);
	return ret;
}

/* Where the stream is going to: by now it may be another than before, or none. */
static int pass_try(struct worker *w, struct flow *f)
{
	struct listener *l = engine_stream_listening(w->engine, f->stream);

	if (f->flags & (FLOW_ENDED | FLOW_DONE) || !l || l->title != f->title)
		return -ECONNRESET;
	l = group_pick(w, l);
	if (l->port->bad || l->port->removed || !listener_has_room(w, l))
		return -ENOBUFS;
	return pass(w, f, l);
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
	if (pass(w, f, to) < 0)
		pass_later(w, f, from->title);
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
			pass_later(w, f, l->title);
	}
	for (f = l->port->parked_flows; f; f = next) {
		next = f->parked_next;
		if (f->listener == l->number)
			arrive_again(w, f, member);
	}
}

uint32_t ports_pass(struct worker *w)
{
	struct flow **at = &w->passing, *f;
	uint32_t did = 0;

	for (uint32_t nr = 0; (f = *at) && nr < PASSES_A_TURN; nr++) {
		int ret = f->flags & FLOW_RELEASED ? 0 : pass_try(w, f);

		if (ret == -EAGAIN) {
			at = &f->pass_next;
			continue;
		}
		f->flags &= ~FLOW_PASS;
		*at = f->pass_next;
		if (w->passing_end == &f->pass_next)
			w->passing_end = at;
		if (ret < 0)
			flow_release(w, f, true, false);
		did++;
	}
	return did;
}
