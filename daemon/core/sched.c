/* SPDX-License-Identifier: MIT */
/*
 * sched.c - which stream's bytes go next, on which channel. Each channel has a queue of the streams
 * that have something to say; only those are ever looked at. Between classes the worker serves
 * latency channels first.
 *
 *   channel_queue --> share of client 3 --> share of client 8 --> ...       (round)
 *                        |                     |
 *                     stream, stream, ...   stream                          (round, each)
 *
 * Deficit round robin twice: clients take turns, and within its turn so do the streams of a client.
 * So who has a thousand streams gets no more than who has one, if both have something to send, and
 * nobody's streams wait for more than a turn of each other client. A decision looks at two heads,
 * however many streams and clients there are.
 */
#include <assert.h>
#include <stddef.h>

#include "engine_state.h"

#define LATENCY_QUANTUM (16u << 10)
#define FRAME_COST      256u        /* a frame takes about as long as that many bytes of payload */
#define LEFT_NS         5000000u    /* a client that ran dry so lately counts as one that waits */
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

/* What a stream sends in its turn, and a client. */
static uint32_t quantum(const struct engine *e, const struct channel *c)
{
	return c->class == CLASS_LATENCY ? LATENCY_QUANTUM : e->cfg.frame_bytes;
}

/* Not less than any frame costs: who has overdrawn its turn by one is in credit at the next. */
static int32_t share_quantum(const struct engine *e, const struct channel *c)
{
	uint32_t bytes = quantum(e, c);

	return (int32_t)((bytes > NCD_OPEN_DATA_MAX ? bytes : NCD_OPEN_DATA_MAX) + FRAME_COST);
}

static void stream_refill(const struct engine *e, const struct channel *c, struct stream *s)
{
	s->deficit = quantum(e, c) * s->weight;
}

static void share_enter(struct channel_queue *q, struct share *h)
{
	if (q->head == NULL) {
		q->head = h->prev = h->next = h;
	} else {
		h->next = q->head;
		h->prev = q->head->prev;
		h->prev->next = h;
		q->head->prev = h;
	}
	q->clients++;
}

static void share_leave(struct channel_queue *q, struct share *h)
{
	if (h->next == h) {
		q->head = NULL;
	} else {
		h->prev->next = h->next;
		h->next->prev = h->prev;
		if (q->head == h)
			q->head = h->next;
	}
	q->clients--;
}

static void channel_push(const struct engine *e, struct channel *c, struct stream *s)
{
	struct channel_queue *q = &c->tx.queue;
	struct share *h = &q->of[s->client];

	if (h->streams.head == NULL) {
		h->deficit = share_quantum(e, c);
		share_enter(q, h);
	}
	stream_refill(e, c, s);
	queue_push(&h->streams, s);
	q->streams++;
	s->channel = c;
}

static void channel_remove(const struct engine *e, struct stream *s)
{
	struct channel_queue *q = &s->channel->tx.queue;
	struct share *h = &q->of[s->client];

	queue_remove(&h->streams, s);
	q->streams--;
	if (h->streams.head == NULL) {
		share_leave(q, h);
		q->left = s->client;
		q->left_ns = e->now_ns;
	}
	s->channel = NULL;
}

/* Channels of @class that take @s, in order of their places; returns how many. */
static uint32_t candidates(const struct engine_peer *p, const struct stream *s, uint8_t class,
			   struct channel **out)
{
	uint32_t bits = p->usable & p->of_class[class], nr = 0;

	while (bits != 0) {
		struct channel *c = p->channel[__builtin_ctz(bits)];

		bits &= bits - 1;
		if (s->lane == 0 || s->lane == c->lane + 1)
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

/*
 * Less is better: clients that the client of @s would take turns with, then its own streams. How
 * many the others have there makes no difference to it. Who has just run dry comes back: a place
 * that is taken by a hundred streams each time would be lost to it.
 */
static uint64_t load(const struct engine *e, const struct channel *c, const struct stream *s)
{
	const struct channel_queue *q = &c->tx.queue;
	uint32_t own = q->of[s->client].streams.nr, others = q->clients - (own > 0);

	if (q->left != s->client && q->of[q->left].streams.nr == 0 &&
	    e->now_ns - q->left_ns < LEFT_NS)
		others++;
	return (uint64_t)others << 32 | own;
}

static struct channel *least_loaded(const struct engine *e, struct channel **c, uint32_t nr,
				    const struct stream *s)
{
	struct channel *best = c[0];
	uint64_t least = load(e, best, s);
	uint32_t i;

	for (i = 1; i < nr; i++) {
		uint64_t l = load(e, c[i], s);

		/* A tie goes to where the stream was: its bytes stay in order, the caches warm. */
		if (l < least || (l == least && c[i] == s->last)) {
			best = c[i];
			least = l;
		}
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
		return least_loaded(e, c, nr, s);
	}
}

/* Where @s goes on now; NULL: no channel to its peer is up. */
static struct channel *choose(struct engine *e, struct stream *s)
{
	struct engine_peer *p = &e->peer[s->peer];
	bool data = s->tx_next < s->tx_tail && s->tx.base != NULL && s->state != STREAM_ARRIVED;
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
	channel_push(e, c, s);
}

void sched_remove(struct engine *e, struct stream *s)
{
	if (s->channel != NULL)
		channel_remove(e, s);
	else if (s->waiting)
		queue_remove(&e->peer[s->peer].waiting, s);
	s->waiting = false;
}

void engine_stream_client(struct engine *e, struct stream *s, uint32_t client)
{
	struct channel *c = s->channel;

	assert(client < e->cfg.clients || client == 0);
	if (s->client == client)
		return;
	if (c != NULL)
		channel_remove(e, s);
	s->client = (uint16_t)client;
	if (c != NULL)
		channel_push(e, c, s);
}

/* Is it worth while to send @s on another channel than the one where it waits? */
static bool spreads(const struct stream *s)
{
	return s->state == STREAM_ESTABLISHED && s->class == CLASS_THROUGHPUT &&
	       stream_sendable(s) >= SPREAD_MIN && stream_switches(s) < NCD_SWITCHES_MAX;
}

/* The turn of @s on @c is over: it goes on where its share would be larger, if it is not here. */
static void settle(const struct engine *e, struct channel *c, struct stream *s)
{
	struct channel *all[PEER_CHANNELS], *to;
	uint32_t nr;

	if (e->cfg.policy != POLICY_LEAST_LOADED || c->class != CLASS_THROUGHPUT || !spreads(s))
		return;
	nr = candidates(&e->peer[s->peer], s, c->class, all);
	if (nr < 2)
		return;
	to = least_loaded(e, all, nr, s);
	/* By one more there than here nothing would be won: @s itself is counted here. */
	if (load(e, to, s) + 1 >= load(e, c, s))
		return;
	channel_remove(e, s);
	channel_push(e, to, s);
}

void sched_sent(const struct engine *e, struct channel *c, struct stream *s, uint32_t bytes)
{
	struct channel_queue *q = &c->tx.queue;
	struct share *h = &q->of[s->client];
	bool over = false;

	if (s->channel == c) { /* else that was its last frame */
		s->deficit -= bytes < s->deficit ? bytes : s->deficit;
		if (s->deficit == 0) {
			stream_refill(e, c, s);
			h->streams.head = s->next;
			over = true;
		}
	}
	if (h->streams.head == NULL)
		return;
	h->deficit -= (int32_t)(bytes / s->weight + FRAME_COST);
	if (h->deficit <= 0) {
		h->deficit += share_quantum(e, c);
		q->head = h->next;
	}
	if (over)
		settle(e, c, s);
}

bool sched_data_fits(const struct engine *e, const struct channel *c, const struct stream *s)
{
	const struct engine_peer *p = &e->peer[s->peer];
	uint32_t bits;

	if (c->class == s->class)
		return true;
	for (bits = p->usable & p->of_class[s->class]; bits != 0; bits &= bits - 1)
		if (p->channel[__builtin_ctz(bits)]->lane == c->lane)
			return false;
	return true;
}

static bool idle(const struct channel *c)
{
	return c->tx.queue.head == NULL && channel_tx_taken(c) && c->tx.orders == NULL;
}

uint32_t sched_spread(struct engine *e, struct channel *c)
{
	const struct engine_peer *p = &e->peer[c->peer];
	uint32_t bits = p->usable, moved = 0;

	if (e->cfg.policy == POLICY_SOURCE_PORT)
		return 0;
	for (; bits != 0 && c->tx.queue.head != NULL; bits &= bits - 1) {
		struct channel *to = p->channel[__builtin_ctz(bits)];
		struct stream *s = sched_next(c);

		if (to->class != c->class || to->lane != c->lane || !idle(to))
			continue;
		if (!spreads(s)) {
			/* The next one may; it is looked at the next time. */
			c->tx.queue.head->streams.head = s->next;
			c->tx.queue.head = c->tx.queue.head->next;
			break;
		}
		channel_remove(e, s);
		channel_push(e, to, s);
		moved++;
	}
	return moved;
}

void sched_requeue(struct engine *e, struct channel *c)
{
	struct stream *s;

	/* None of them comes back to it: it takes none. */
	while ((s = sched_next(c)) != NULL) {
		channel_remove(e, s);
		sched_activate(e, s);
	}
}

void sched_unwait(struct engine *e, struct engine_peer *p)
{
	uint32_t nr = p->waiting.nr;

	while (nr-- > 0) {
		struct stream *s = p->waiting.head;

		queue_remove(&p->waiting, s);
		s->waiting = false;
		sched_activate(e, s);
	}
}
