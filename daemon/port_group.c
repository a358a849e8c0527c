/* SPDX-License-Identifier: MIT */
/*
 * port_group.c - listeners of several applications on one address: who of them gets a stream.
 *
 * They are a group because each has shown the same title (ncd/ctl_proto.h), as processes that
 * forked from the one that made the listening socket, or because all have SO_REUSEPORT and one
 * user. With kernel sockets the former would share one queue; here each has its own, in its own
 * region. So a stream goes to a member that waits with an empty queue. While there is none, all go
 * to the queue of one that has waited before: of whoever waits or looks first then, be it that one
 * or not, the oldest is (port_pass.c). One that never waits, as the parent of such processes, gets
 * nothing while others do.
 *
 * Who was given a stream because it waited may have woken for something else, and be busy with it,
 * or be stopped: what it does not take at once is for others that wait.
 *
 * The members are a ring; the engine knows one of them.
 */
#include <errno.h>

#include "port_calls.h"

#define SHARE_AT_ONCE 16u      /* streams moved for one question; who still waits asks again */
#define OFFER_NS      2000000u /* in which who waits takes a stream, if it runs */

static bool group_alone(const struct listener *l)
{
	return l->group_next == l;
}

static struct listener_shm *listener_words(const struct listener *l)
{
	return &l->port->listener_shm[l->number];
}

static uint64_t worker_bit(const struct worker *w)
{
	return (uint64_t)1 << (w->cfg.index % NCD_WORKERS_MAX);
}

/* Streams in its queue; 0 also if the application's index is impossible. */
static uint32_t queued(struct listener *l)
{
	int nr = listener_waiting(l);

	return nr < 0 ? 0 : (uint32_t)nr;
}

static uint32_t head_of(const struct listener *l)
{
	/* Relaxed: whether it moves. */
	return atomic_load_explicit(&l->accept.shm->head, memory_order_relaxed);
}

/* It has left a stream where it was for too long, and has not looked since. */
static bool late(struct listener *l)
{
	if (l->late && head_of(l) != l->late_head)
		l->late = false;
	return l->late;
}

bool listener_waits(struct listener *l)
{
	/* SHARE, daemon end. */
	if (atomic_load_explicit(&listener_words(l)->waiting, memory_order_seq_cst) == 0)
		return false;
	l->active = true;
	return true;
}

/* It has waited for streams before, or accepted one. */
static bool active(struct listener *l)
{
	if (!l->active && (l->pollfd || head_of(l) != 0))
		l->active = true;
	return l->active;
}

static void shared_set(const struct listener *l)
{
	/* Relaxed: advice. Every worker comes to the same. */
	atomic_store_explicit(&listener_words(l)->shared, !group_alone(l), memory_order_relaxed);
}

static bool may_share(const struct listener *a, const struct listener *b)
{
	return (a->title != 0 && a->title == b->title) ||
	       (a->reuseport && b->reuseport && a->uid == b->uid);
}

/* Of another application too. */
static bool title_shared(const struct listener *l)
{
	for (const struct listener *m = l->group_next; m != l; m = m->group_next)
		if (l->title != 0 && m->title == l->title)
			return true;
	return false;
}

int group_join(struct worker *w, struct listener *l)
{
	struct listener *member = engine_listening(w->engine, &l->addr, l->port_nr);

	l->group_next = l->group_prev = l;
	l->group = ++w->groups;
	/* Nobody else can accept for it: who listens so is going to. */
	l->active = l->title == 0;
	shared_set(l);
	if (!member)
		return engine_listen(w->engine, &l->addr, l->port_nr, l);
	if (!may_share(l, member))
		return -EADDRINUSE;
	l->group = member->group;
	l->group_next = member->group_next;
	l->group_prev = member;
	member->group_next->group_prev = l;
	member->group_next = l;
	shared_set(member);
	shared_set(l);
	if (title_shared(l))
		l->active = true; /* who listens too does so because it is going to accept */
	/* It will ask when it waits, for what came before it. Relaxed: it waits later than this. */
	l->elsewhere = true;
	atomic_fetch_or_explicit(&listener_words(l)->elsewhere, worker_bit(w),
				 memory_order_relaxed);
	return 0;
}

static void offer_end(struct worker *w, struct listener **at)
{
	struct listener *l = *at;

	*at = l->offer_next;
	if (w->offers_end == &l->offer_next)
		w->offers_end = at;
	l->offered = false;
}

static void offer_forget(struct worker *w, struct listener *l)
{
	struct listener **at = &w->offers;

	if (!l->offered)
		return;
	while (*at != l)
		at = &(*at)->offer_next;
	offer_end(w, at);
}

struct listener *group_leave(struct worker *w, struct listener *l)
{
	struct listener *next = l->group_next;
	int ret;

	if (engine_listening(w->engine, &l->addr, l->port_nr) == l) {
		engine_unlisten(w->engine, &l->addr, l->port_nr);
		if (next != l) {
			ret = engine_listen(w->engine, &l->addr, l->port_nr, next);
			assert(ret == 0); /* in the place that was just given back */
		}
	}
	offer_forget(w, l);
	next->group_prev = l->group_prev;
	l->group_prev->group_next = next;
	l->group_next = l->group_prev = l;
	shared_set(next);
	return next == l ? NULL : next;
}

/* 3: waits, with an empty queue; 2: waits or has waited; 1: never has, or is late; 0: no room, or
 * away. */
static int rank(struct worker *w, struct listener *l)
{
	if (l->port->bad || l->port->removed || !listener_has_room(w, l))
		return 0;
	if (listener_away(w, l))
		return 0;
	if (late(l))
		return 1;
	if (listener_waits(l))
		return queued(l) == 0 ? 3 : 2;
	return active(l) ? 2 : 1;
}

/* Of two of one rank: for those that would share a queue, what waits is in one, in its order. */
static bool better(struct listener *l, struct listener *than)
{
	uint32_t nr = queued(l), than_nr = queued(than);

	if (l->title != 0 && l->title == than->title && nr != than_nr)
		return nr > than_nr;
	return l->served < than->served;
}

struct listener *group_pick(struct worker *w, struct listener *member)
{
	struct listener *l = member, *best = member;
	int best_rank = 0;

	if (group_alone(member))
		return member;
	do {
		int r = rank(w, l);

		if (r > best_rank || (r == best_rank && better(l, best))) {
			best = l;
			best_rank = r;
		}
		l = l->group_next;
	} while (l != member);
	best->served = ++w->served;
	return best;
}

/* One that waits, with nothing in its queue; or NULL. */
static struct listener *one_idle(struct worker *w, struct listener *member)
{
	struct listener *l = member, *best = NULL;

	do {
		if ((!best || l->served < best->served) && rank(w, l) == 3)
			best = l;
		l = l->group_next;
	} while (l != member);
	return best;
}

/* The one in whose queue the oldest stream is, beside what one is just being woken for; or NULL. */
static struct listener *one_behind(struct listener *member)
{
	struct listener *l = member, *best = NULL;
	uint64_t oldest = UINT64_MAX;

	do {
		uint32_t nr = queued(l);

		if (nr > 1 || (nr == 1 && (late(l) || !listener_waits(l)))) {
			uint64_t arrived = listener_oldest(l);

			if (!best || arrived < oldest) {
				best = l;
				oldest = arrived;
			}
		}
		l = l->group_next;
	} while (l != member);
	return best;
}

static void elsewhere_clear(struct worker *w, struct listener *l)
{
	if (!l->elsewhere)
		return;
	l->elsewhere = false;
	/* SHARE, daemon end: what comes later sets it again. */
	atomic_fetch_and_explicit(&listener_words(l)->elsewhere, ~worker_bit(w),
				  memory_order_seq_cst);
}

void listener_elsewhere(struct worker *w, struct listener *l)
{
	if (l->elsewhere)
		return;
	l->elsewhere = true;
	/* SHARE, daemon end. */
	atomic_fetch_or_explicit(&listener_words(l)->elsewhere, worker_bit(w),
				 memory_order_seq_cst);
}

/* For all of the group. */
static void group_mark(struct worker *w, struct listener *member,
		       void (*mark)(struct worker *w, struct listener *l))
{
	struct listener *l = member;

	do {
		mark(w, l);
		l = l->group_next;
	} while (l != member);
}

/* Moves streams from those that are busy to those that wait. */
static void group_even(struct worker *w, struct listener *member)
{
	for (uint32_t nr = 0; nr < SHARE_AT_ONCE; nr++) {
		struct listener *from = one_behind(member);
		struct listener *to = from ? one_idle(w, member) : NULL;

		if (!from)
			group_mark(w, member, elsewhere_clear);
		if (!to || !listener_pass(w, from, to))
			return;
	}
}

void group_share(struct worker *w, struct listener *l)
{
	struct listener *from;

	l->active = true;
	l->late = false;
	listener_back(w, l);
	if (group_alone(l)) {
		elsewhere_clear(w, l);
	} else if (queued(l) > 0) {
		group_pushed(w, l); /* it is busy with something else */
	} else if (l->elsewhere) {
		/* Whether it waits, or only looks now and then. */
		from = rank(w, l) > 0 ? one_behind(l) : NULL;
		if (from)
			(void)listener_pass(w, from, l); /* else its application had it */
		group_even(w, l);
	}
}

/* ---- what was given to who waits, and is not taken ---- */

static bool others_active(struct listener *l)
{
	for (struct listener *m = l->group_next; m != l; m = m->group_next)
		if (active(m))
			return true;
	return false;
}

static void offer_begin(struct worker *w, struct listener *l)
{
	if (l->offered || !others_active(l))
		return;
	l->offered = true;
	l->offer_ns = w->now_ns + OFFER_NS;
	l->offer_head = head_of(l);
	l->offer_next = NULL;
	*w->offers_end = l;
	w->offers_end = &l->offer_next;
}

uint64_t offers_deadline(const struct worker *w)
{
	return w->offers ? w->offers->offer_ns : UINT64_MAX;
}

uint32_t offers_late(struct worker *w)
{
	struct listener *l;
	uint32_t did = 0;

	while ((l = w->offers) && l->offer_ns <= w->now_ns) {
		offer_end(w, &w->offers);
		if (queued(l) == 0)
			continue;
		if (head_of(l) != l->offer_head) { /* it runs, and has another by now */
			offer_begin(w, l);
			continue;
		}
		l->late = true;
		l->late_head = head_of(l);
		group_mark(w, l, listener_elsewhere);
		/* SHARE, daemon end. */
		group_even(w, l);
		did++;
	}
	return did;
}

void group_pushed(struct worker *w, struct listener *l)
{
	if (group_alone(l))
		return;
	if (queued(l) == 1 && listener_waits(l) && !late(l)) {
		offer_begin(w, l);
		return;
	}
	group_mark(w, l, listener_elsewhere);
	/* SHARE, daemon end: one that began to wait before it could see that is seen here. */
	group_even(w, l);
}
