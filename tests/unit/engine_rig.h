/* SPDX-License-Identifier: MIT */
/*
 * engine_rig.h - two engines and the wires between them, for tests that decide what arrives when.
 *
 *   rig.host[0].engine == rig.wire[i].channel[0]  ~~ bytes[0] ~~>  channel[1] == rig.host[1].engine
 *                                                <~~ bytes[1] ~~
 * Bytes move only when a test says so: rig_send() takes what an engine wants to send on a wire,
 * rig_deliver() gives it to the other engine, rig_cut() loses it.
 */
#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/frame.h"

#define RIG_WIRES   4
#define RIG_STAGING (64u << 10)
#define RIG_WIRE    (1u << 20)
#define RIG_RING    16384u
#define RIG_PORT    7

#define RIG_FILE_MIN 8192u /* of rings that are a file's; others have none */

struct rig_wire {
	struct channel *channel[2];
	enum stream_class class;
	uint16_t lane;
	uint8_t *staging[2][2];
	uint8_t *bytes[2]; /* [i]: from host i */
	size_t used[2];
};

struct rig_host {
	struct engine *engine;
	void *mem;
	int answer;               /* of incoming() */
	struct stream *incoming;  /* the last that came in */
	uint32_t incoming_nr;
	struct stream *resumed;   /* likewise, to go on here (core/move.h) */
	uint32_t resumed_nr;
	uint16_t resumed_lane;
	uint64_t resumed_id;
	uint32_t port_home;       /* of the last port that is counted elsewhere */
	uint16_t port_left;
	struct ring_mem tx, rx; /* for the stream that comes in */
};

struct rig {
	uint64_t now_ns;
	struct rig_host host[2];
	struct rig_wire wire[RIG_WIRES];
	struct ring_mem tx, rx; /* for the stream that connects */
	struct engine_config cfg;
};

static inline struct ring_mem rig_ring(uint32_t bytes)
{
	return (struct ring_mem){ .base = calloc(1, bytes), .bytes = bytes };
}

static inline int rig_incoming(void *ctx, struct stream *s, void *user)
{
	struct rig_host *h = ctx;

	(void)user;
	h->incoming = s;
	h->incoming_nr++;
	engine_stream_set_user(s, h);
	if (h->answer == 0)
		engine_stream_rings(s, &h->tx, &h->rx, h);
	return h->answer;
}

static inline void rig_resume(void *ctx, struct stream *s, uint16_t old_lane, uint64_t id)
{
	struct rig_host *h = ctx;

	h->resumed = s;
	h->resumed_nr++;
	h->resumed_lane = old_lane;
	h->resumed_id = id;
	engine_stream_set_user(s, h);
}

static inline void rig_port_left(void *ctx, uint32_t home, uint16_t port)
{
	struct rig_host *h = ctx;

	h->port_home = home;
	h->port_left = port;
}

static inline struct address rig_address(int host)
{
	struct address a = {
		.byte = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(host + 1) }
	};

	return a;
}

static inline struct engine *rig_engine(struct rig_host *h, const struct engine_config *cfg)
{
	static const struct engine_ops ops = { .incoming = rig_incoming, .resume = rig_resume,
					       .port_left = rig_port_left };
	/* Most of it is never touched: so calloc, and not memset. */
	h->mem = calloc(1, engine_bytes(cfg) + 64);
	return engine_create((void *)(((uintptr_t)h->mem + 63) & ~(uintptr_t)63), cfg, &ops, h);
}

static inline struct engine_config rig_config(void)
{
	return (struct engine_config){
		.streams = 64, .channels = 8, .listeners = 8, .frame_bytes = 64u << 10,
		.file_min = RIG_FILE_MIN,
		.policy = POLICY_LEAST_LOADED, .seed = 1, .ping_idle_ns = 1000000000,
		.ping_dead_ns = 3000000000, .unreachable_ns = 10000000000,
		.orphan_ns = 20000000000, .port_low = 20000, .port_high = 30000,
	};
}

static inline void rig_init_as(struct rig *r, struct engine_config cfg)
{
	*r = (struct rig){ .now_ns = 1000000000, .cfg = cfg };
	r->tx = rig_ring(RIG_RING);
	r->rx = rig_ring(RIG_RING);
	for (int i = 0; i < 2; i++) {
		struct rig_host *h = &r->host[i];
		struct address self = rig_address(i), other = rig_address(!i), any = { 0 };

		h->engine = rig_engine(h, &r->cfg);
		h->tx = rig_ring(RIG_RING);
		h->rx = rig_ring(RIG_RING);
		engine_peer_set(h->engine, 0, &self, 1);
		engine_peer_set(h->engine, 1, &other, 1);
		(void)engine_listen(h->engine, &any, RIG_PORT, h);
	}
}

static inline void rig_init(struct rig *r)
{
	rig_init_as(r, rig_config());
}

static inline void rig_fini(struct rig *r)
{
	for (int i = 0; i < 2; i++) {
		free(r->host[i].mem);
		free(r->host[i].tx.base);
		free(r->host[i].rx.base);
	}
	free(r->tx.base);
	free(r->rx.base);
	for (int w = 0; w < RIG_WIRES; w++)
		for (int i = 0; i < 2; i++) {
			free(r->wire[w].staging[i][0]);
			free(r->wire[w].staging[i][1]);
			free(r->wire[w].bytes[i]);
		}
}

/* Of a test: *state is a rig of its own. */
static inline int rig_set_up(void **state)
{
	*state = malloc(sizeof(struct rig));
	rig_init(*state);
	return 0;
}

static inline int rig_tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

/* One end of wire @w comes up. */
static inline void rig_up_one(struct rig *r, int w, int host, enum stream_class class)
{
	struct rig_wire *wire = &r->wire[w];
	struct ring_mem mem[2];

	for (int k = 0; k < 2; k++) {
		if (!wire->staging[host][k])
			wire->staging[host][k] = malloc(RIG_STAGING);
		mem[k] = (struct ring_mem){ .base = wire->staging[host][k],
					    .bytes = RIG_STAGING };
	}
	if (!wire->bytes[host])
		wire->bytes[host] = malloc(RIG_WIRE);
	wire->used[host] = 0;
	wire->class = class;
	wire->channel[host] = engine_channel_up(r->host[host].engine, 1, class, wire->lane,
						(uint16_t)w, &mem[0], &mem[1], wire, r->now_ns);
}

static inline void rig_up(struct rig *r, int w, enum stream_class class)
{
	rig_up_one(r, w, 0, class);
	rig_up_one(r, w, 1, class);
}

/* Takes all that host @from wants to send on wire @w. Returns how many bytes. */
static inline size_t rig_send(struct rig *r, int w, int from)
{
	struct rig_wire *wire = &r->wire[w];
	struct engine *e = r->host[from].engine;
	const struct tx_file *file;
	const struct iovec *iov;
	size_t total = 0;

	while (wire->channel[from] && engine_channel_wants_tx(wire->channel[from])) {
		int nr = engine_tx_iov(e, wire->channel[from], r->now_ns, &iov);
		int file_nr = engine_tx_files(wire->channel[from], &file);
		size_t sent = 0;

		for (int i = 0; i < nr; i++) {
			memcpy(wire->bytes[from] + wire->used[from], iov[i].iov_base,
			       iov[i].iov_len);
			wire->used[from] += iov[i].iov_len;
			sent += iov[i].iov_len;
		}
		for (int i = 0; i < file_nr; i++) {
			memcpy(wire->bytes[from] + wire->used[from], file[i].base, file[i].bytes);
			wire->used[from] += file[i].bytes;
			sent += file[i].bytes;
		}
		if (sent == 0)
			break;
		engine_sent(e, wire->channel[from], sent, r->now_ns);
		total += sent;
	}
	return total;
}

/* Gives raw bytes to the channel of host @to. */
static inline int rig_receive(struct rig *r, int w, int to, const uint8_t *at, size_t bytes)
{
	struct rig_wire *wire = &r->wire[w];
	int result = 0;

	while (bytes > 0 && result == 0) {
		const struct iovec *iov;
		int nr = engine_rx_iov(r->host[to].engine, wire->channel[to], &iov);
		size_t got = 0;

		for (int i = 0; i < nr && bytes > 0; i++) {
			size_t n = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;

			memcpy(iov[i].iov_base, at, n);
			at += n;
			bytes -= n;
			got += n;
		}
		result = engine_received(r->host[to].engine, wire->channel[to], got, r->now_ns);
	}
	return result;
}

/* Delivers the first @bytes of what is on the wire from host @from (all, if there are fewer). */
static inline int rig_deliver(struct rig *r, int w, int from, size_t bytes)
{
	struct rig_wire *wire = &r->wire[w];
	int result;

	if (bytes > wire->used[from])
		bytes = wire->used[from];
	result = rig_receive(r, w, !from, wire->bytes[from], bytes);
	wire->used[from] -= bytes;
	memmove(wire->bytes[from], wire->bytes[from] + bytes, wire->used[from]);
	return result;
}

/* One end hears that the wire is dead; what was on its way to it is lost. */
static inline void rig_down_one(struct rig *r, int w, int host)
{
	struct rig_wire *wire = &r->wire[w];

	if (wire->channel[host])
		engine_channel_down(r->host[host].engine, wire->channel[host], r->now_ns);
	wire->channel[host] = NULL;
	wire->used[!host] = 0;
}

static inline void rig_cut(struct rig *r, int w)
{
	rig_down_one(r, w, 0);
	rig_down_one(r, w, 1);
}

/* Everything on every wire, both ways, until nothing moves. */
static inline void rig_pump(struct rig *r)
{
	struct channel *dead;
	bool moved = true;

	for (int rounds = 0; moved && rounds < 1000; rounds++) {
		moved = false;
		/* Acknowledgements that wait. */
		for (int i = 0; i < 2; i++)
			engine_tick(r->host[i].engine, r->now_ns, &dead);
		for (int w = 0; w < RIG_WIRES; w++)
			for (int from = 0; from < 2; from++) {
				if (!r->wire[w].channel[from] || !r->wire[w].channel[!from])
					continue;
				moved |= rig_send(r, w, from) > 0 || r->wire[w].used[from] > 0;
				(void)rig_deliver(r, w, from, SIZE_MAX);
			}
	}
}

/* A connect from host 0 to host 1; NULL if it fails at once. */
static inline struct stream *rig_connect(struct rig *r)
{
	struct engine_connect args = { .remote = rig_address(1), .remote_port = RIG_PORT,
				       .tx = r->tx, .rx = r->rx, .user = r };
	struct stream *s;

	return engine_connect(r->host[0].engine, &args, r->now_ns, &s) == 0 ? s : NULL;
}

/* All events of one stream since the last call; those of others are lost. */
static inline uint32_t rig_events(struct rig *r, int host, const struct stream *of)
{
	uint32_t events, all = 0;
	struct stream *s;

	while ((s = engine_next_event(r->host[host].engine, &events)) != NULL)
		all |= s == of ? events : 0;
	return all;
}

/* The application at @host writes @bytes of a letter. */
static inline int rig_write(struct rig *r, int host, struct stream *s, uint32_t bytes, char letter)
{
	struct stream_info info;
	struct ring_mem ring = host == 0 ? r->tx : r->host[1].tx;

	engine_stream_info(s, &info);
	for (uint32_t i = 0; i < bytes; i++)
		ring.base[(info.tx_published + i) & (ring.bytes - 1)] = (uint8_t)letter;
	return engine_tx_published(r->host[host].engine, s, info.tx_published + bytes, r->now_ns);
}

/* The application reads all there is. Returns how many bytes. */
static inline uint64_t rig_read(struct rig *r, int host, struct stream *s)
{
	struct stream_info info;

	engine_stream_info(s, &info);
	(void)engine_rx_consumed(r->host[host].engine, s, info.rx_contiguous, r->now_ns);
	return info.rx_contiguous - info.rx_consumed;
}

/* Connects over one latency channel. Returns the opener's stream. */
static inline struct stream *rig_established(struct rig *r)
{
	struct stream *s;

	rig_up(r, 0, CLASS_LATENCY);
	s = rig_connect(r);
	assert_non_null(s);
	rig_pump(r);
	assert_non_null(r->host[1].incoming);
	assert_true(rig_events(r, 0, s) & STREAM_EV_CONNECTED);
	(void)rig_events(r, 1, NULL);
	return s;
}

#endif /* ENGINE_RIG_H */
