/* SPDX-License-Identifier: MIT */
/*
 * engine.c - the engine as a whole: its memory, its peers and channels, what time makes due.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "engine_state.h"

#define OPENED_MIN 4096u /* openers' places remembered, at least */
#define SETS_MAX 4096u /* streams with holes at once; beyond: the channel is given up */

/* ---- memory ---- */

static size_t align64(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static uint32_t set_count(const struct engine_config *cfg)
{
	return cfg->streams < SETS_MAX ? cfg->streams : SETS_MAX;
}

/* Room for the openers' places of some peers; what is not used costs no memory. */
static uint32_t opened_count(const struct engine_config *cfg)
{
	return cfg->streams < OPENED_MIN / 4 ? OPENED_MIN : cfg->streams * 4;
}

static size_t client_count(const struct engine_config *cfg)
{
	return cfg->clients > 0 ? cfg->clients : 1;
}

size_t engine_bytes(const struct engine_config *cfg)
{
	return align64(sizeof(struct engine)) + align64(cfg->streams * sizeof(struct stream)) +
	       align64(cfg->streams * 2 * sizeof(struct stream *)) +
	       align64(opened_count(cfg) * sizeof(struct opened)) +
	       align64(cfg->channels * sizeof(struct channel)) +
	       align64(cfg->channels * client_count(cfg) * sizeof(struct share)) +
	       align64(cfg->listeners * sizeof(struct listener)) +
	       align64(set_count(cfg) * sizeof(struct interval_set)) +
	       align64(set_count(cfg) * sizeof(uint32_t));
}

static void *carve(uint8_t **mem, size_t bytes)
{
	void *p = *mem;

	*mem += align64(bytes);
	return p;
}

struct engine *engine_create(void *mem, const struct engine_config *cfg,
			     const struct engine_ops *ops, void *ctx)
{
	uint8_t *at = mem;
	struct engine *e = carve(&at, sizeof(*e));
	uint32_t i;

	e->cfg = *cfg;
	e->rx_most = NCD_FRAME_PAYLOAD_MAX;
	e->ops = ops;
	e->ctx = ctx;
	e->stream = carve(&at, cfg->streams * sizeof(struct stream));
	e->ids.place = carve(&at, cfg->streams * 2 * sizeof(struct stream *));
	e->ids.mask = cfg->streams * 2 - 1;
	e->opened.at = carve(&at, opened_count(cfg) * sizeof(struct opened));
	e->opened.mask = opened_count(cfg) - 1;
	e->channel = carve(&at, cfg->channels * sizeof(struct channel));
	e->share = carve(&at, cfg->channels * client_count(cfg) * sizeof(struct share));
	e->listeners.at = carve(&at, cfg->listeners * sizeof(struct listener));
	e->listeners.capacity = cfg->listeners;
	e->sets = carve(&at, set_count(cfg) * sizeof(struct interval_set));
	e->set_free = carve(&at, set_count(cfg) * sizeof(uint32_t));
	for (i = 0; i < set_count(cfg); i++)
		e->set_free[e->set_free_nr++] = i;
	e->elastic_due_ns = UINT64_MAX;
	for (i = 0; i < NCD_PEERS_MAX; i++)
		elastic_init(&e->peer[i].elastic, cfg->look_ns);
	port_pool_init(&e->ports, cfg->port_low, cfg->port_high, cfg->seed);
	engine_peer_set(e, 0, NULL, 0);
	return e;
}

/* ---- peers ---- */

void engine_peer_set(struct engine *e, uint32_t index, const struct address *addr, uint32_t addr_nr)
{
	struct engine_peer *p = &e->peer[index];

	if (addr_nr > NCD_ADDRS_MAX)
		addr_nr = NCD_ADDRS_MAX;
	if (!p->known)
		p->epoch++;
	p->known = true;
	p->addr_nr = addr_nr;
	if (addr_nr > 0)
		memcpy(p->addr, addr, addr_nr * sizeof(*addr));
	if (index >= e->peer_high)
		e->peer_high = index + 1;
}

/* @unsaid: also those of which the peer has never heard. */
static void end_streams(struct engine *e, uint32_t index, int error, bool unsaid)
{
	uint32_t i;

	if (e->peer[index].streams == 0)
		return;
	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];
		bool gone = s->state == STREAM_RESETTING || s->state == STREAM_REFUSING;

		if (s->peer != index || s->state == STREAM_FREE || s->state == STREAM_DEAD)
			continue;
		if (!unsaid && s->state == STREAM_OPENING && !s->said)
			continue;
		stream_die(e, s, gone ? 0 : error);
	}
}

void engine_peer_remove(struct engine *e, uint32_t index, uint64_t now_ns)
{
	(void)now_ns;
	end_streams(e, index, -ECONNRESET, true);
	e->peer[index].known = false;
	elastic_init(&e->peer[index].elastic, e->cfg.look_ns);
	e->peer[index].grow = false;
	e->peer[index].addr_nr = 0;
}

void engine_peer_reset(struct engine *e, uint32_t index, uint64_t now_ns)
{
	(void)now_ns;
	end_streams(e, index, -ECONNRESET, false);
	e->peer[index].epoch++;
	e->peer[index].leaving = false;
	e->peer[index].left = false;
}

void engine_peer_unreachable(struct engine *e, uint32_t index, int error, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[index];
	uint32_t i;

	(void)now_ns;
	p->error = error;
	if (error == 0 || p->up != 0 || p->streams == 0)
		return;
	/*
	 * Who only wanted to connect hears the truth now; who is connected waits for a channel, and
	 * so does who has closed, or has had bytes that overtook the ACCEPT.
	 */
	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];

		if (s->peer == index && s->state == STREAM_OPENING && !s->defer && !s->closed &&
		    s->rx_next == 0 && s->rx_final == NO_OFFSET)
			stream_die(e, s, error);
	}
}

static bool is_loopback(const struct address *a)
{
	static const struct address six = { { [15] = 1 } };

	return address_equal(a, &six) || (address_is_v4(a) && a->byte[12] == 127);
}

int engine_peer_find(const struct engine *e, const struct address *addr)
{
	uint32_t i, j;

	for (i = 0; i < e->peer_high; i++) {
		for (j = 0; e->peer[i].known && j < e->peer[i].addr_nr; j++) {
			if (address_equal(&e->peer[i].addr[j], addr))
				return (int)i;
		}
	}
	/* localhost, unless a peer has the very address. */
	if (is_loopback(addr) || address_is_any(addr))
		return 0;
	return -ENETUNREACH;
}

bool engine_peer_down(const struct engine *e, const struct address *addr)
{
	int peer = engine_peer_find(e, addr);

	return peer > 0 && e->peer[peer].up == 0;
}

bool engine_peer_left(struct engine *e, uint32_t peer)
{
	bool left = e->peer[peer].left;

	e->peer[peer].left = false;
	return left;
}

void engine_leave(struct engine *e, uint64_t now_ns)
{
	uint32_t i;

	(void)now_ns;
	e->leaving = true;
	for (i = 0; i < e->channel_high; i++)
		e->channel[i].tx.goaway_due = e->channel[i].up && e->channel[i].peer != 0;
}

/* ---- channels ---- */

static struct channel *channel_alloc(struct engine *e)
{
	uint32_t i;

	for (i = 0; i < e->cfg.channels; i++) {
		if (e->channel[i].up)
			continue;
		if (i >= e->channel_high)
			e->channel_high = i + 1;
		return &e->channel[i];
	}
	return NULL;
}

struct channel *engine_channel_up(struct engine *e, uint32_t peer, enum stream_class class,
				  uint16_t lane, uint16_t index, const struct ring_mem *rx_buf,
				  const struct ring_mem *tx_buf, void *user, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[peer];
	struct channel *c = channel_alloc(e);

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (c == NULL || p->up == UINT32_MAX)
		return NULL;
	memset(c, 0, offsetof(struct channel, tx));
	memset(&c->counters, 0, sizeof(c->counters));
	/* All but the large arrays at their ends. */
	memset(&c->tx, 0, offsetof(struct channel_tx, reply));
	memset(&c->rx, 0, offsetof(struct channel_rx, open));
	c->tx.buf = tx_buf->base;
	c->tx.buf_bytes = tx_buf->bytes;
	c->tx.queue.of = e->share + (size_t)(c - e->channel) * client_count(&e->cfg);
	c->rx.buf = rx_buf->base;
	c->rx.buf_bytes = rx_buf->bytes;
	c->up = true;
	c->class = (uint8_t)class;
	c->lane = lane;
	c->index = index;
	c->peer = peer;
	c->user = user;
	c->heard_ns = e->now_ns;
	c->tx.ping_due = peer != 0; /* a first measure of the RTT */
	c->pinged_ns = peer != 0 ? e->now_ns : 0;
	c->bit = (uint32_t)__builtin_ctz(~p->up);
	p->channel[c->bit] = c;
	p->up |= 1u << c->bit;
	p->usable |= 1u << c->bit;
	p->error = 0;
	p->leaving = false;
	sched_unwait(e, p);
	return c;
}

/* Streams that used the dead channel start again from what is acknowledged. */
static void rewind_streams(struct engine *e, const struct channel *c)
{
	uint32_t bit = 1u << c->bit;
	uint32_t i;

	if (e->peer[c->peer].streams == 0)
		return;
	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];

		if (s->peer != c->peer || !(s->used & bit) || s->state == STREAM_FREE ||
		    s->state == STREAM_DEAD)
			continue;
		s->used &= ~bit;
		if (s->state == STREAM_RESETTING && s->remote_id == 0) {
			/* Its OPEN may be lost. If not, the ACCEPT hears that nobody knows it. */
			stream_die(e, s, 0);
			continue;
		}
		if (stream_rewind(s))
			e->counters.retransmits++;
		sched_activate(e, s);
	}
}

void engine_channel_down(struct engine *e, struct channel *c, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[c->peer];

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	p->up &= ~(1u << c->bit);
	p->usable &= p->up;
	p->channel[c->bit] = NULL;
	if (c->rx.stream != NULL) {
		struct stream *s = c->rx.stream;

		c->rx.stream = NULL;
		s->placing--;
		if (s->held_on)
			(void)stream_peer_unhold(e, s, e->now_ns); /* that channel says it */
		stream_credit_check(e, s, e->now_ns);
	}
	if (p->up == 0)
		p->down_ns = e->now_ns;
	c->up = false;
	if (c->clean)
		channel_drain_forget(e, c);
	/* First forget that @c was the last one, or the scheduler may choose it again. */
	rewind_streams(e, c);
	sched_requeue(e, c);
}

void *engine_channel_user(const struct channel *c)
{
	return c->user;
}

const char *engine_channel_error(const struct channel *c)
{
	return c->error != NULL ? c->error : "";
}

const struct channel_counters *engine_channel_counters(const struct channel *c)
{
	return &c->counters;
}

const struct engine_counters *engine_counters(const struct engine *e)
{
	return &e->counters;
}

uint32_t engine_streams_free(const struct engine *e)
{
	return e->cfg.streams - (uint32_t)e->counters.streams;
}

uint32_t engine_channel_loop(struct engine *e, struct channel *c, uint32_t frames_max,
			     uint64_t now_ns)
{
	uint64_t first = c->counters.frames_sent;
	const struct iovec *from, *to;

	while (c->counters.frames_sent - first < frames_max &&
	       engine_tx_iov(e, c, now_ns, &from) > 0) {
		size_t n;

		(void)engine_rx_iov(e, c, &to);
		n = from->iov_len < to->iov_len ? from->iov_len : to->iov_len;
		memcpy(to->iov_base, from->iov_base, n);
		engine_sent(e, c, n, now_ns);
		/* Our own frames are never malformed; a flood of answers only drops answers. */
		(void)engine_received(e, c, n, now_ns);
	}
	return (uint32_t)(c->counters.frames_sent - first);
}

static bool overlaps(const uint8_t *p, size_t len, const uint8_t *base, size_t bytes)
{
	return p < base + bytes && base < p + len;
}

static bool overlaps_iov(const struct iovec *v, const uint8_t *base, size_t bytes)
{
	return overlaps(v->iov_base, v->iov_len, base, bytes);
}

bool engine_ring_lent(const struct engine *e, const uint8_t *base, size_t bytes)
{
	uint32_t i;
	int k;

	for (i = 0; i < e->channel_high; i++) {
		const struct channel *c = &e->channel[i];

		if (!c->up)
			continue;
		for (k = c->tx.iov_first; k < c->tx.iov_nr; k++) {
			if (overlaps_iov(&c->tx.iov[k], base, bytes))
				return true;
		}
		for (k = c->tx.file_first; k < c->tx.file_nr; k++) {
			if (overlaps(c->tx.file[k].base, c->tx.file[k].bytes, base, bytes))
				return true;
		}
		for (k = 0; c->rx.lent && c->rx.direct > 0 && k < c->rx.iov_nr; k++) {
			if (overlaps_iov(&c->rx.iov[k], base, bytes))
				return true;
		}
	}
	return false;
}

/* ---- time ---- */

static void tick_acks(struct engine *e)
{
	while (e->ack_head != NULL && e->ack_head->ack_due_ns <= e->now_ns) {
		struct stream *s = e->ack_head;

		stream_ack_disarm(e, s);
		s->want |= WANT_CREDIT;
		sched_activate(e, s);
	}
}

static void tick_orphans(struct engine *e)
{
	while (e->orphan_head != NULL && e->orphan_head->orphan_due_ns <= e->now_ns) {
		struct stream *s = e->orphan_head;

		/* Never accepted: if it is after all, the answer is that nobody knows it. */
		if (s->state == STREAM_RESETTING)
			stream_die(e, s, 0);
		else
			stream_reset_begin(e, s, WIRE_E_TIMEDOUT, e->now_ns);
	}
}

static bool peer_times_out(const struct engine_peer *p)
{
	return p->streams > 0 && p->up == 0;
}

static void tick_peers(struct engine *e)
{
	uint32_t i;

	for (i = 1; i < e->peer_high; i++) {
		struct engine_peer *p = &e->peer[i];

		if (peer_times_out(p) && e->now_ns - p->down_ns >= e->cfg.unreachable_ns) {
			end_streams(e, i, -ETIMEDOUT, true);
			p->down_ns = e->now_ns;
		}
	}
}

static void tick_channels(struct engine *e, struct channel **ret_dead)
{
	uint32_t i;

	for (i = 0; i < e->channel_high; i++) {
		struct channel *c = &e->channel[i];

		if (!c->up || c->peer == 0)
			continue;
		if (c->pinged_ns != 0 && e->now_ns - c->pinged_ns >= e->cfg.ping_dead_ns) {
			c->error = "no answer to a ping";
			*ret_dead = c;
			return;
		}
		if (c->draining && !channel_drain_tick(e, c)) {
			c->error = "takes too long to end";
			*ret_dead = c;
			return;
		}
		if (c->pinged_ns == 0 && e->now_ns - c->heard_ns >= e->cfg.ping_idle_ns) {
			c->pinged_ns = e->now_ns;
			c->tx.ping_due = true;
		}
	}
}

void engine_tick(struct engine *e, uint64_t now_ns, struct channel **ret_dead)
{
	*ret_dead = NULL;
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	tick_acks(e);
	tick_orphans(e);
	peer_load_tick(e);
	if (e->now_ns < e->slow_due_ns)
		return;
	tick_peers(e);
	tick_channels(e, ret_dead);
	if (*ret_dead == NULL)
		e->slow_due_ns = e->now_ns + SLOW_TICK_NS;
}

bool engine_tick_due(const struct engine *e, uint64_t now_ns)
{
	return (e->ack_head != NULL && e->ack_head->ack_due_ns <= now_ns) ||
	       (e->orphan_head != NULL && e->orphan_head->orphan_due_ns <= now_ns) ||
	       e->elastic_due_ns <= now_ns ||
	       e->slow_due_ns <= now_ns;
}

static void sooner(uint64_t *deadline, uint64_t due_ns)
{
	if (due_ns < *deadline)
		*deadline = due_ns;
}

uint64_t engine_deadline(const struct engine *e)
{
	uint64_t due = UINT64_MAX, slow = UINT64_MAX;
	uint32_t i;

	if (e->ack_head != NULL)
		sooner(&due, e->ack_head->ack_due_ns);
	if (e->orphan_head != NULL)
		sooner(&due, e->orphan_head->orphan_due_ns);
	for (i = 1; i < e->peer_high; i++) {
		if (peer_times_out(&e->peer[i]))
			sooner(&slow, e->peer[i].down_ns + e->cfg.unreachable_ns);
	}
	for (i = 0; i < e->channel_high; i++) {
		const struct channel *c = &e->channel[i];

		if (!c->up || c->peer == 0)
			continue;
		if (c->draining)
			sooner(&slow, e->now_ns + SLOW_TICK_NS);
		sooner(&slow, c->pinged_ns != 0 ? c->pinged_ns + e->cfg.ping_dead_ns :
						  c->heard_ns + e->cfg.ping_idle_ns);
	}
	sooner(&due, e->elastic_due_ns);
	/* The slow part runs no sooner than its own pace, so it is not due before. */
	if (slow != UINT64_MAX && slow < e->slow_due_ns)
		slow = e->slow_due_ns;
	sooner(&due, slow);
	return due;
}
