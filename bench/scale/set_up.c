/* SPDX-License-Identifier: MIT */
/*
 * set_up.c - hosts, lanes, channels and connected sockets, before time begins: none of this costs
 * anything.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define PORT          7
#define PIPE_BYTES    (2u << 20)   /* what a TCP connection takes before it is full */
#define STAGING_BYTES (256u << 10) /* as the daemon's channel_io.c */
#define RING_BYTES    (16u << 10)  /* [buffers] initial */
#define CONNECTS      256u         /* at once */
#define STAGGER_NS    50000u       /* applications begin so far apart at most */

static struct address address_of(uint32_t host)
{
	struct address a = {
		.byte = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(host + 1) }
	};

	return a;
}

static struct ring_mem ring_of(const struct model *m)
{
	return (struct ring_mem){ .base = m->ring, .bytes = m->ring_bytes };
}

static int incoming(void *ctx, struct stream *st, void *listener_user)
{
	struct end *e = ctx;
	struct ring_mem ring = ring_of(e->m);

	(void)listener_user;
	e->sock[e->sock_nr].stream = st;
	engine_stream_rings(st, &ring, &ring, &e->sock[e->sock_nr++]);
	return 0;
}

static uint32_t power_of_two(uint32_t n)
{
	return n > 1 ? 2u << (31 - __builtin_clz(n - 1)) : 1;
}

static int words_init(struct words *q, uint32_t nr)
{
	*q = (struct words){ .mask = power_of_two(nr) - 1 };
	q->at = calloc(q->mask + 1, sizeof(*q->at));
	return q->at ? 0 : -ENOMEM;
}

static int engine_init(struct model *m, struct end *e, uint32_t sockets)
{
	static const struct engine_ops ops = { .incoming = incoming };
	struct address self = address_of(e->host), other = address_of(!e->host), any = { 0 };
	struct engine_config cfg = {
		.streams = power_of_two(sockets + 64),
		.channels = 2 * m->lane_channels,
		.listeners = 8,
		.frame_bytes = 512u << 10,
		.throughput = m->lane_channels,
		.throughput_max = m->lane_channels,
		.policy = POLICY_LEAST_LOADED,
		.seed = rng_next(&m->rng),
		.ack_delay_ns = 10000000,
		.ping_idle_ns = 5000000000,
		.ping_dead_ns = 15000000000,
		.unreachable_ns = 30000000000,
		.orphan_ns = 60000000000,
		.rebase = true,
		.port_low = 32768,
		.port_high = 60999,
	};
	size_t bytes = (engine_bytes(&cfg) + 63) & ~(size_t)63;

	e->mem = aligned_alloc(64, bytes);
	if (!e->mem)
		return -ENOMEM;
	memset(e->mem, 0, bytes);
	e->engine = engine_create(e->mem, &cfg, &ops, e);
	engine_peer_set(e->engine, 0, &self, 1);
	engine_peer_set(e->engine, 1, &other, 1);
	return engine_listen(e->engine, &any, PORT, e);
}

static int chan_init(struct model *m, struct end *e, uint32_t i)
{
	struct chan *c = &e->chan[i];
	bool latency = i < m->lane_channels;
	struct ring_mem rx, tx;

	c->buf = malloc(2 * STAGING_BYTES);
	if (!c->buf)
		return -ENOMEM;
	rx = (struct ring_mem){ .base = c->buf, .bytes = STAGING_BYTES };
	tx = (struct ring_mem){ .base = c->buf + STAGING_BYTES, .bytes = STAGING_BYTES };
	pipe_init(&c->out, PIPE_BYTES, UINT64_MAX);
	c->other = &e->other->chan[i];
	c->channel = engine_channel_up(e->engine, 1, latency ? CLASS_LATENCY : CLASS_THROUGHPUT,
				       (uint16_t)((e - m->end) / 2),
				       (uint16_t)(i % m->lane_channels), &rx, &tx, c, m->now_ns);
	return c->channel ? 0 : -ENOMEM;
}

static int end_init(struct model *m, struct end *e, uint32_t sockets)
{
	uint32_t lane = (uint32_t)(e - m->end) / 2;
	uint32_t core = (e->host * m->p.workers + lane) % m->p.cores;
	int ret = engine_init(m, e, sockets);

	e->worker = (struct thread){ .end = e, .core = core };
	e->app = (struct thread){ .end = e, .core = core, .is_app = true };
	if (ret == 0)
		ret = words_init(&e->sq, NCD_SQ_ENTRIES);
	if (ret == 0)
		ret = words_init(&e->cq, NCD_CQ_ENTRIES);
	if (ret == 0)
		ret = words_init(&e->full, sockets);
	e->sock = calloc(sockets, sizeof(*e->sock));
	return ret == 0 && !e->sock ? -ENOMEM : ret;
}

/* All that both ends have to say now. */
static void talk(struct model *m, struct end *from)
{
	for (uint32_t i = 0; i < 2 * m->lane_channels; i++) {
		struct chan *c = &from->chan[i];
		const struct iovec *iov;
		uint64_t arrive_ns;
		size_t bytes;
		int nr;

		while (engine_channel_wants_tx(c->channel) &&
		       (nr = engine_tx_iov(from->engine, c->channel, m->now_ns, &iov)) > 0) {
			bytes = pipe_write(&c->out, iov, nr, pipe_room(&c->out), m->now_ns, 0,
					   &arrive_ns);
			engine_sent(from->engine, c->channel, bytes, m->now_ns);
			while ((bytes = pipe_ready(&c->out, m->now_ns)) > 0) {
				size_t room = 0;

				nr = engine_rx_iov(from->other->engine, c->other->channel, &iov);
				for (int k = 0; k < nr; k++)
					room += iov[k].iov_len;
				bytes = bytes < room ? bytes : room;
				pipe_read(&c->out, iov, nr, bytes);
				nr = engine_received(from->other->engine, c->other->channel, bytes,
						     m->now_ns);
				assert(nr == 0);
			}
		}
	}
}

static void settle(struct model *m, struct end *a)
{
	struct channel *dead;
	uint32_t events;

	for (int i = 0; i < 4; i++) {
		talk(m, a);
		talk(m, a->other);
	}
	engine_tick(a->engine, m->now_ns, &dead);
	engine_tick(a->other->engine, m->now_ns, &dead);
	while (engine_next_event(a->engine, &events) ||
	       engine_next_event(a->other->engine, &events))
		; /* sockets are connected: nobody waits for that */
}

static int connect_all(struct model *m, struct end *a, uint32_t sockets)
{
	struct engine_connect args = {
		.remote = address_of(1), .remote_port = PORT, .tx = ring_of(m), .rx = ring_of(m)
	};

	while (a->sock_nr < sockets) {
		args.user = &a->sock[a->sock_nr];
		if (engine_connect(a->engine, &args, m->now_ns, &a->sock[a->sock_nr].stream) < 0)
			return -ENOMEM;
		if (++a->sock_nr % CONNECTS == 0 || a->sock_nr == sockets)
			settle(m, a);
	}
	settle(m, a);
	assert(a->other->sock_nr == sockets);
	for (uint32_t i = 0; i < sockets; i++)
		a->sock[i].armed = a->other->sock[i].armed = true;
	return 0;
}

static void chan_count(struct chan *c)
{
	const struct channel_counters *n = engine_channel_counters(c->channel);

	c->frames = n->frames_sent;
	c->payload = n->bytes_sent;
}

static int lane_init(struct model *m, uint32_t lane)
{
	uint32_t nr = m->p.sockets / m->p.workers + (lane < m->p.sockets % m->p.workers);
	struct end *e = &m->end[2 * lane];
	int ret = 0;

	for (uint32_t h = 0; h < 2; h++) {
		e[h].m = m;
		e[h].host = h;
		e[h].other = &e[!h];
		e[h].chan = calloc(2 * m->lane_channels, sizeof(*e[h].chan));
		if (!e[h].chan || end_init(m, &e[h], nr) < 0)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < 2 * m->lane_channels && ret == 0; i++) {
		ret = chan_init(m, &e[0], i);
		if (ret == 0)
			ret = chan_init(m, &e[1], i);
	}
	if (ret == 0)
		ret = connect_all(m, e, nr);
	for (uint32_t i = 0; i < 2 * m->lane_channels && ret == 0; i++) {
		chan_count(&e[0].chan[i]);
		chan_count(&e[1].chan[i]);
	}
	/* The client begins: an application that sleeps is woken. */
	model_at(m, START_NS + rng_below(&m->rng, STAGGER_NS), EV_READY, 4 * lane + 1, 0);
	e->app.state = TH_WAKES;
	return ret;
}

int set_up(struct model *m)
{
	const struct scale_params *p = &m->p;
	int ret = 0;

	m->now_ns = START_NS;
	m->lane_channels = p->channels / p->workers;
	m->ring_bytes = power_of_two(4 * p->size);
	if (m->ring_bytes < RING_BYTES)
		m->ring_bytes = RING_BYTES;
	m->ring = calloc(1, m->ring_bytes);
	m->core = calloc(p->cores, sizeof(*m->core));
	m->end = calloc(2 * p->workers, sizeof(*m->end));
	if (!m->ring || !m->core || !m->end)
		return -ENOMEM;
	for (uint32_t h = 0; h < 2 && ret == 0; h++) {
		ret = rate_init(&m->link[h], p->link_bytes_per_s);
		if (ret == 0)
			ret = rate_init(&m->memory[h], p->memory_bytes_per_s);
	}
	for (uint32_t lane = 0; lane < p->workers && ret == 0; lane++)
		ret = lane_init(m, lane);
	return ret;
}

static void end_fini(struct model *m, struct end *e)
{
	for (uint32_t i = 0; e->chan && i < 2 * m->lane_channels; i++) {
		free(e->chan[i].buf);
		pipe_fini(&e->chan[i].out);
	}
	free(e->chan);
	free(e->sock);
	free(e->sq.at);
	free(e->cq.at);
	free(e->full.at);
	free(e->mem);
}

void tear_down(struct model *m)
{
	for (uint32_t i = 0; m->end && i < 2 * m->p.workers; i++)
		end_fini(m, &m->end[i]);
	for (uint32_t h = 0; h < 2; h++) {
		rate_fini(&m->link[h]);
		rate_fini(&m->memory[h]);
	}
	timeline_fini(&m->timeline);
	free(m->end);
	free(m->core);
	free(m->ring);
}
