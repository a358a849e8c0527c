/* SPDX-License-Identifier: MIT */
/*
 * sched.c - which stream's bytes go next, on which channel. Each channel has a queue of the streams
 * that have something to say; only those are ever looked at. Deficit round robin within a queue;
 * between classes the worker serves latency channels first.
 */
#include <stddef.h>

#include "engine_state.h"

#define LATENCY_QUANTUM (16u << 10)
#define SPREAD_MIN      (32u << 10) /* what waits, for another channel to be worth while */

static void queue_push(struct stream_queue *q, struct stream *s)
{
	if (q->head == NULL) {
		q->head = s->prev = s->next = s;
	} else {
		s->next = q->head;
		s->prev = q->head->prev;
		s->prev->next = s;
		q->head->prev = s;
	}
	q->nr++;
}

static void queue_remove(struct stream_queue *q, struct stream *s)
{
	if (s->next == s) {
		q->head = NULL;
	} else {
		s->prev->next = s->next;
		s->next->prev = s->prev;
		if (q->head == s)
			q->head = s->next;
	}
	s->prev = s->next = NULL;
	q->nr--;
}

/* Channels of @class that take @s, in order of their places; returns how many. */
static uint32_t candidates(const struct engine_peer *p, const struct stream *s, uint8_t class,
			   struct channel **out)
{
	uint32_t bits = p->usable, nr = 0;

	while (bits != 0) {
		struct channel *c = p->channel[__builtin_ctz(bits)];

		bits &= bits - 1;
		if (c->class == class && (s->lane == 0 || s->lane == c->lane + 1))
			out[nr++] = c;
	}
	return nr;
}

/* Leaves only those of one lane, each time of another: streams are opened to all workers there. */
static uint32_t one_lane(struct engine_peer *p, struct channel **c, uint32_t nr)
{
	uint32_t i, left = 0;
	uint16_t lane;

	for (i = 1; i < nr && c[i]->lane == c[0]->lane; i++)
		;
	if (i >= nr)
		return nr;
	lane = c[p->lane_turn++ % nr]->lane;
	for (i = 0; i < nr; i++)
		if (c[i]->lane == lane)
			c[left++] = c[i];
	return left;
}

static struct channel *least_loaded(struct channel **c, uint32_t nr, const struct channel *last)
{
	struct channel *best = c[0];
	uint32_t i;

	for (i = 1; i < nr; i++) {
		/* A tie goes to where the stream was: its bytes stay in order, the caches warm. */
		if (c[i]->tx.queue.nr < best->tx.queue.nr ||
		    (c[i]->tx.queue.nr == best->tx.queue.nr && c[i] == last))
			best = c[i];
	}
	return best;
}

static struct channel *by_policy(struct engine *e, struct stream *s, struct channel **c,
				 uint32_t nr)
{
	switch (e->cfg.policy) {
	case POLICY_ROUND_ROBIN:
		return c[e->peer[s->peer].turn[s->class]++ % nr];
	case POLICY_SOURCE_PORT:
		return c[s->local_port % nr];
	case POLICY_LEAST_LOADED:
	default:
		return least_loaded(c, nr, s->last);
	}
}

/* Where @s goes on now; NULL: no channel to its peer is up. */
static struct channel *choose(struct engine *e, struct stream *s)
{
	struct engine_peer *p = &e->peer[s->peer];
	bool data = s->tx_next < s->tx_tail && s->tx.base != NULL;
	/* What carries no data is short and urgent. */
	uint8_t class = data ? s->class : CLASS_LATENCY;
	struct channel *c[PEER_CHANNELS];
	uint32_t nr = candidates(p, s, class, c);

	if (nr == 0) {
		class = class == CLASS_LATENCY ? CLASS_THROUGHPUT : CLASS_LATENCY;
		nr = candidates(p, s, class, c);
	}
	if (nr == 0)
		return NULL;
	if (s->lane == 0)
		nr = one_lane(p, c, nr);
	if (nr == 1 || !data)
		return c[0];
	/* The receiver must be able to remember every hole that changes of channel make. */
	if (stream_switches(s) >= NCD_SWITCHES_MAX && s->last != NULL && s->last->class == class &&
	    !s->last->draining)
		return s->last;
	return by_policy(e, s, c, nr);
}

void sched_activate(struct engine *e, struct stream *s)
{
	struct engine_peer *p = &e->peer[s->peer];
	struct channel *c;

	if (s->channel != NULL)
		return;
	c = choose(e, s);
	if (c == NULL) {
		if (!s->waiting)
			queue_push(&p->waiting, s);
		s->waiting = true;
		return;
	}
	if (s->waiting)
		queue_remove(&p->waiting, s);
	s->waiting = false;
	s->channel = c;
	s->deficit = 0;
	queue_push(&c->tx.queue, s);
}

void sched_remove(struct engine *e, struct stream *s)
{
	if (s->channel != NULL)
		queue_remove(&s->channel->tx.queue, s);
	else if (s->waiting)
		queue_remove(&e->peer[s->peer].waiting, s);
	s->channel = NULL;
	s->waiting = false;
}

void sched_refill(const struct engine *e, const struct channel *c, struct stream *s)
{
	uint32_t quantum = c->class == CLASS_LATENCY ? LATENCY_QUANTUM : e->cfg.frame_bytes;

	if (s->deficit == 0)
		s->deficit = quantum;
}

void sched_rotate(struct channel *c)
{
	c->tx.queue.head = c->tx.queue.head->next;
}

bool sched_data_fits(const struct engine *e, const struct channel *c, const struct stream *s)
{
	const struct engine_peer *p = &e->peer[s->peer];
	uint32_t bits = p->usable;

	if (c->class == s->class)
		return true;
	while (bits != 0) {
		const struct channel *other = p->channel[__builtin_ctz(bits)];

		if (other->class == s->class && other->lane == c->lane)
			return false;
		bits &= bits - 1;
	}
	return true;
}

static bool idle(const struct channel *c)
{
	return c->tx.queue.head == NULL && c->tx.iov_first == c->tx.iov_nr &&
	       c->tx.file_first == c->tx.file_nr;
}

/* Is it worth while to send @s on another channel than the one where it waits? */
static bool spreads(const struct stream *s)
{
	return s->state == STREAM_ESTABLISHED && s->class == CLASS_THROUGHPUT &&
	       stream_sendable(s) >= SPREAD_MIN && stream_switches(s) < NCD_SWITCHES_MAX;
}

uint32_t sched_spread(struct engine *e, struct channel *c)
{
	const struct engine_peer *p = &e->peer[c->peer];
	uint32_t bits = p->usable, moved = 0;

	if (e->cfg.policy == POLICY_SOURCE_PORT)
		return 0;
	for (; bits != 0 && c->tx.queue.head != NULL; bits &= bits - 1) {
		struct channel *to = p->channel[__builtin_ctz(bits)];
		struct stream *s = c->tx.queue.head;

		if (to->class != c->class || to->lane != c->lane || !idle(to))
			continue;
		if (!spreads(s)) {
			/* The next one may; it is looked at the next time. */
			sched_rotate(c);
			break;
		}
		queue_remove(&c->tx.queue, s);
		s->channel = to;
		queue_push(&to->tx.queue, s);
		moved++;
	}
	return moved;
}

void sched_requeue(struct engine *e, struct stream_queue *q)
{
	uint32_t nr = q->nr;

	while (nr-- > 0) {
		struct stream *s = q->head;

		queue_remove(q, s);
		s->channel = NULL;
		s->waiting = false;
		sched_activate(e, s);
	}
}
