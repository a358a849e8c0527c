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
 *
 * The last of a group that goes may have a successor who has its title, but does not listen yet (a
 * server that is reloaded): its queue is held for a while, as the kernel's lives on with its
 * socket.
 */
#include <errno.h>

#include "port_calls.h"

#define PASSES_A_TURN 64u

/* Its application, if it is honest, cannot have touched it. */
static bool untouched(const struct flow *f)
{
	return !(f->flags & (FLOW_ENDED | FLOW_DONE | FLOW_RELEASED | FLOW_SHUTDOWN)) &&
	       !f->cookie && f->tx_tail == 0 && f->rx_head == 0;
}

/* The stream at @index of the queue; or NULL: it is the application's. */
static struct flow *queue_look(const struct listener *l, uint32_t index)
{
	struct port *p = l->port;
	/* Relaxed: our own word, unless the application took it, or lies. */
	uint64_t word = atomic_load_explicit(&l->accept.shm->word[index & (l->accept.capacity - 1)],
					     memory_order_relaxed);
	struct flow *f = word < p->layout.slots ? p->slot[word].flow : NULL;

	return f && f->listener == l->number && f->flags & FLOW_ACCEPT && f->accept_at == index &&
			       untouched(f)
		       ? f
		       : NULL;
}

uint64_t listener_oldest(struct listener *l)
{
	for (int nr = listener_waiting(l); nr > 0; nr--) {
		struct flow *f = queue_look(l, l->accept.own - (uint32_t)nr);

		if (f)
			return f->arrived;
	}
	return UINT64_MAX;
}

/* The same, taken out of the queue. */
static struct flow *queue_claim(struct listener *l, uint32_t index)
{
	struct flow *f = queue_look(l, index);

	if (!f || ring_claim(&l->accept, index) != f->slot)
		return NULL;
	f->flags &= ~FLOW_ACCEPT;
	flow_detach(f);
	return f;
}

/* Puts @f behind *@end. */
static void flow_append(struct flow ***end, struct flow *f)
{
	f->pass_next = NULL;
	**end = f;
	*end = &f->pass_next;
}

static void pass_later(struct worker *w, struct flow *f, uint64_t group)
{
	f->group = group;
	f->flags |= FLOW_PASS;
	flow_append(&w->passing_end, f);
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

	if (f->flags & (FLOW_ENDED | FLOW_DONE) || !l || l->group != f->group)
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
		pass_later(w, f, from->group);
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
			pass_later(w, f, l->group);
	}
	for (f = l->port->parked_flows; f; f = next) {
		next = f->parked_next;
		if (f->listener == l->number)
			arrive_again(w, f, member);
	}
}

void listener_hold(struct worker *w, struct listener *l)
{
	for (int nr = listener_waiting(l); nr > 0; nr--) {
		struct flow *f = queue_claim(l, l->accept.own - (uint32_t)nr);

		if (!f)
			continue;
		f->title = l->title;
		f->until_ns = w->now_ns + w->cfg.hold_ns;
		f->flags |= FLOW_PASS;
		flow_append(&w->held_end, f);
	}
	l->taken_end = l->accept.own;
}

void listener_take_held(struct worker *w, const struct listener *l)
{
	struct flow *f, *next = w->held;

	w->held = NULL;
	w->held_end = &w->held;
	while ((f = next)) {
		next = f->pass_next;
		if (f->title == l->title)
			pass_later(w, f, l->group);
		else
			flow_append(&w->held_end, f);
	}
}

uint64_t held_deadline(const struct worker *w)
{
	return w->held ? w->held->until_ns : UINT64_MAX;
}

static uint32_t held_give_up(struct worker *w)
{
	struct flow *f;
	uint32_t did = 0;

	while ((f = w->held) && f->until_ns <= w->now_ns) {
		w->held = f->pass_next;
		if (!w->held)
			w->held_end = &w->held;
		f->flags &= ~FLOW_PASS;
		if (!(f->flags & FLOW_RELEASED))
			flow_release(w, f, true, false);
		did++;
	}
	return did;
}

uint32_t ports_pass(struct worker *w)
{
	struct flow **at = &w->passing, *f;
	uint32_t did = held_give_up(w);

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
