/* SPDX-License-Identifier: MIT */
/*
 * peer.c - the places of the channels to one peer: dialling, answering, collisions, backoff.
 */
#include "peer.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define FULL_MS   30000u /* before a peer is asked again that had no room */

#define PLACES_A_LANE (2u * NCD_LANE_CHANNELS_MAX)

static struct place *peer_place(struct peer *p, uint32_t lane, uint32_t class, uint32_t index)
{
	return &p->place[lane * PLACES_A_LANE + (class - 1) * NCD_LANE_CHANNELS_MAX + index];
}

static void peer_set_lanes(struct peer *p, uint16_t workers)
{
	p->workers = workers;
	p->lanes = workers > p->cfg.workers ? workers : p->cfg.workers;
	p->places = p->lanes * PLACES_A_LANE;
}

void peer_init(struct peer *p, const struct peer_config *cfg)
{
	uint32_t i;

	assert(cfg->workers >= 1 && cfg->workers <= NCD_WORKERS_MAX);
	assert(cfg->latency <= NCD_LANE_CHANNELS_MAX && cfg->throughput <= NCD_LANE_CHANNELS_MAX);
	memset(p, 0, sizeof(*p));
	p->cfg = *cfg;
	p->random = cfg->seed | 1;
	p->lanes = 1;
	p->places = PLACES_A_LANE;
	for (i = 0; i < NCD_WORKERS_MAX * PLACES_A_LANE; i++) {
		p->place[i].lane = (uint16_t)(i / PLACES_A_LANE);
		p->place[i].class = i % PLACES_A_LANE < NCD_LANE_CHANNELS_MAX ? CLASS_LATENCY
									      : CLASS_THROUGHPUT;
		p->place[i].index = (uint16_t)(i % NCD_LANE_CHANNELS_MAX);
	}
}

uint32_t peer_up(const struct peer *p)
{
	uint32_t i, up = 0;

	for (i = 0; i < p->places; i++)
		up += p->place[i].state == PLACE_UP;
	return up;
}

static bool place_configured(const struct peer *p, const struct place *pl)
{
	return pl->index < (pl->class == CLASS_LATENCY ? p->cfg.latency : p->cfg.throughput);
}

/* True if this host keeps @pl filled; others are only taken when the peer dials them. */
static bool place_wanted(const struct peer *p, const struct place *pl)
{
	return pl->elastic || place_configured(p, pl);
}

/* True if @pl, not a configured place, would be more than its lane may have. */
static bool lane_full(struct peer *p, const struct place *pl)
{
	const struct place *first = peer_place(p, pl->lane, CLASS_LATENCY, 0);
	uint32_t i, nr = p->cfg.latency + p->cfg.throughput;

	for (i = 0; i < PLACES_A_LANE; i++)
		nr += first + i != pl && first[i].state != PLACE_EMPTY &&
		      !place_configured(p, first + i);
	return p->cfg.max != 0 && nr >= p->cfg.max;
}

struct place *peer_next_dial(struct peer *p, uint64_t now_ns, uint64_t *ret_next_ns)
{
	bool probe = peer_up(p) == 0;
	uint64_t next_ns = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < p->places; i++) {
		struct place *pl = &p->place[i];

		if (!place_wanted(p, pl))
			continue;
		if (pl->state == PLACE_EMPTY && pl->retry_ns <= now_ns) {
			pl->state = PLACE_DIALLING;
			pl->attempt = ++p->attempts;
			*ret_next_ns = now_ns;
			return pl;
		}
		if (pl->state == PLACE_EMPTY && pl->retry_ns < next_ns)
			next_ns = pl->retry_ns;
		if (probe)
			break;
	}
	*ret_next_ns = next_ns;
	return NULL;
}

static struct hello peer_own_hello(const struct peer *p, const struct place *pl)
{
	return (struct hello){
		.host_id = p->cfg.host_id,
		.incarnation = p->cfg.incarnation,
		.attempt = pl->attempt,
		.version_min = WIRE_VERSION,
		.version_max = WIRE_VERSION,
		.class = pl->class,
		.reply = WIRE_DIAL,
		.lane = pl->lane,
		.index = pl->index,
		.workers = p->cfg.workers,
		.features = WIRE_FEATURE_DRAIN | (p->cfg.carry ? WIRE_FEATURE_CARRY : 0) |
			    (p->cfg.move ? WIRE_FEATURE_MOVE : 0),
	};
}

void peer_connected(struct peer *p, struct place *pl, struct hello *ret_hello)
{
	assert(pl->state == PLACE_DIALLING);
	pl->state = PLACE_HELLO_SENT;
	*ret_hello = peer_own_hello(p, pl);
}

/* 0.75 to 1.25 of @ms, in ns: hosts that lost each other at once do not dial in step. */
static uint64_t peer_jitter_ns(struct peer *p, uint32_t ms)
{
	uint64_t span_ns = (uint64_t)ms * NS_PER_MS;

	/* xorshift64 (Marsaglia 2003): never 0 from a seed that is not. */
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return span_ns - span_ns / 4 + p->random % (span_ns / 2 + 1);
}

void peer_failed(struct peer *p, struct place *pl, uint64_t now_ns)
{
	uint64_t calm_ns = (uint64_t)p->cfg.backoff_max_ms * NS_PER_MS;
	bool was_up = pl->state == PLACE_UP;
	bool calm = was_up && (pl->lost_ns == 0 || now_ns - pl->lost_ns >= calm_ns);

	pl->state = PLACE_EMPTY;
	pl->user = NULL;
	pl->elastic = pl->asked = false;
	if (was_up)
		pl->lost_ns = now_ns;
	if (calm) {
		pl->backoff_ms = 0;
		pl->retry_ns = now_ns;
		return;
	}
	if (pl->backoff_ms == 0)
		pl->backoff_ms = p->cfg.backoff_min_ms;
	else if (pl->backoff_ms < p->cfg.backoff_max_ms / 2)
		pl->backoff_ms *= 2;
	else
		pl->backoff_ms = p->cfg.backoff_max_ms;
	pl->retry_ns = now_ns + peer_jitter_ns(p, pl->backoff_ms);
}

void peer_full(struct peer *p, struct place *pl, uint64_t now_ns)
{
	peer_failed(p, pl, now_ns);
	pl->retry_ns = now_ns + peer_jitter_ns(p, FULL_MS);
}

void peer_drained(struct place *pl)
{
	pl->state = PLACE_EMPTY;
	pl->user = NULL;
	pl->elastic = pl->asked = false;
	pl->backoff_ms = 0;
	pl->retry_ns = 0;
}

/* The first throughput place of @lane that may be dialled now and is not configured, or NULL. */
static struct place *lane_grows(struct peer *p, uint32_t lane, uint64_t now_ns)
{
	uint32_t i;

	for (i = p->cfg.throughput; i < NCD_LANE_CHANNELS_MAX; i++) {
		struct place *pl = peer_place(p, lane, CLASS_THROUGHPUT, i);

		if (pl->state == PLACE_EMPTY && pl->retry_ns <= now_ns)
			return lane_full(p, pl) ? NULL : pl;
	}
	return NULL;
}

struct place *peer_grow(struct peer *p, uint32_t worker, uint64_t now_ns)
{
	struct place *best = NULL;
	uint32_t lane;

	if (!(p->features & WIRE_FEATURE_DRAIN) || peer_up(p) == 0)
		return NULL;
	/* Of the worker's lanes, the one with the fewest. */
	for (lane = worker; lane < p->lanes; lane += p->cfg.workers) {
		struct place *pl = lane_grows(p, lane, now_ns);

		if (pl != NULL && (best == NULL || pl->index < best->index))
			best = pl;
	}
	if (best != NULL)
		best->elastic = true;
	return best;
}

static bool versions_meet(const struct hello *h)
{
	return h->version_min <= WIRE_VERSION && h->version_max >= WIRE_VERSION;
}

static bool peer_changed(const struct peer *p, const struct hello *h)
{
	return p->incarnation != 0 &&
	       (p->incarnation != h->incarnation || p->host_id != h->host_id);
}

/*
 * True if @h is from a process that a live one has followed. Without a live channel an older
 * incarnation is believed: the peer's clock may have been set back.
 */
static bool peer_outdated(const struct peer *p, const struct hello *h)
{
	return peer_changed(p, h) && p->host_id == h->host_id && h->incarnation < p->incarnation &&
	       peer_up(p) > 0;
}

/* Fills @pl with an accepted connection, after taking over what @h tells about the peer. */
static enum peer_verdict peer_take(struct peer *p, struct place *pl, const struct hello *h,
				   bool dialled)
{
	bool restart = peer_changed(p, h);
	uint32_t i;

	for (i = 0; restart && i < NCD_WORKERS_MAX * PLACES_A_LANE; i++) {
		struct place *other = &p->place[i];

		/* Dials under way may well reach the new process: they stay. */
		other->heard = 0;
		if (other->state != PLACE_UP)
			continue;
		peer_drained(other);
	}
	p->host_id = h->host_id;
	p->incarnation = h->incarnation;
	p->features = h->features;
	peer_set_lanes(p, h->workers);
	pl->state = PLACE_UP;
	pl->dialled = dialled;
	if (h->attempt > pl->heard)
		pl->heard = h->attempt;
	return restart ? PEER_RESTART : PEER_UP;
}

enum peer_verdict peer_answered(struct peer *p, struct place *pl, const struct hello *h)
{
	assert(pl->state == PLACE_HELLO_SENT);
	if (h->reply != WIRE_ACCEPTED || !versions_meet(h))
		return PEER_REFUSE;
	if (h->host_id == p->cfg.host_id || peer_outdated(p, h))
		return PEER_REFUSE;
	if (h->workers < 1 || h->workers > NCD_WORKERS_MAX)
		return PEER_REFUSE;
	if (h->lane != pl->lane || h->class != pl->class || h->index != pl->index)
		return PEER_REFUSE;
	if (pl->lane >= p->cfg.workers && pl->lane >= h->workers)
		return PEER_REFUSE;
	return peer_take(p, pl, h, true);
}

/* Why @h cannot have the place it asks for; WIRE_R_NONE if it can, then *ret_place is that. */
static enum wire_reason peer_judge(struct peer *p, const struct hello *h, struct place **ret_place)
{
	uint16_t lanes = h->workers > p->cfg.workers ? h->workers : p->cfg.workers;
	struct place *pl;

	if (!versions_meet(h))
		return WIRE_R_VERSION;
	if (h->host_id == p->cfg.host_id)
		return WIRE_R_SELF;
	if (h->reply != WIRE_DIAL || h->workers < 1 || h->workers > NCD_WORKERS_MAX ||
	    h->lane >= lanes || h->index >= NCD_LANE_CHANNELS_MAX ||
	    (h->class != CLASS_LATENCY && h->class != CLASS_THROUGHPUT))
		return WIRE_R_SLOT;
	if (peer_outdated(p, h))
		return WIRE_R_STALE;
	pl = peer_place(p, h->lane, h->class, h->index);
	if (pl->state == PLACE_HELLO_SENT && p->cfg.host_id < h->host_id)
		return WIRE_R_COLLISION;
	if (pl->state == PLACE_UP && !peer_changed(p, h) && h->attempt <= pl->heard)
		return WIRE_R_STALE;
	if (!place_configured(p, pl) && !peer_changed(p, h) && lane_full(p, pl))
		return WIRE_R_FULL;
	*ret_place = pl;
	return WIRE_R_NONE;
}

enum peer_verdict peer_hello(struct peer *p, const struct hello *h, struct place **ret_place,
			     void **ret_old, struct hello *ret_reply)
{
	const struct place asked = {
		.lane = h->lane, .index = h->index, .class = h->class, .attempt = p->attempts
	};
	enum peer_verdict verdict;
	enum wire_reason reason;
	struct place *pl = NULL;
	void *old;

	*ret_reply = peer_own_hello(p, &asked);
	reason = peer_judge(p, h, &pl);
	if (pl == NULL) {
		ret_reply->reply = WIRE_REFUSED;
		ret_reply->reason = (uint16_t)reason;
		return PEER_REFUSE;
	}
	ret_reply->reply = WIRE_ACCEPTED;
	/* After a restart the old channel is among those that the caller drops anyway. */
	old = pl->state == PLACE_UP && peer_changed(p, h) ? NULL : pl->user;
	verdict = peer_take(p, pl, h, false);
	pl->user = NULL;
	*ret_place = pl;
	*ret_old = old;
	return verdict;
}
