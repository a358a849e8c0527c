/* SPDX-License-Identifier: MIT */
/*
 * move_rig.h - two hosts of two workers, and one stream that moves from lane 0 to lane 1.
 *
 *   lane[0]: engine of host 0, worker 0 ~~ wires 0, 1 ~~ engine of host 1, worker 0
 *   lane[1]: engine of host 0, worker 1 ~~ wires 0, 1 ~~ engine of host 1, worker 1
 *
 * If B's host has one worker, that has both lanes: its engine is lane[0]'s.
 *
 * Host m->mover begins: its end is A, and the other B, wherever they are. move_serve() does what
 * daemons would, move_step_*() single steps of it. Bytes are a function of key and offset, and are
 * checked as they are read; a ring that was left is spoilt.
 */
#ifndef MOVE_RIG_H
#define MOVE_RIG_H

#include <errno.h>

#include "core/move.h"

#include "engine_rig.h"

#define MOVE_RINGS 16

struct move_end {
	struct engine *e;
	struct stream *s; /* NULL: freed */
	struct ring_mem tx, rx;
	uint64_t written, read, tx_base;
	uint8_t key; /* of what it writes */
	int error;
	uint32_t seen; /* all its events */
	bool closed;
};

struct moves {
	struct rig lane[2];
	int mover;
	struct move_end a, b;
	struct stream *a1, *b1; /* in lane 1, until the ends have arrived */
	struct stream_parcel pa, pb;
	uint64_t tombstone; /* 0: none */
	bool no;            /* B refuses */
	bool later;         /* B does not answer */
	uint32_t refused;   /* what A has heard */
	struct ring_mem ring[MOVE_RINGS]; /* all but those of the rigs, to be freed */
	uint32_t rings;
};

static inline struct engine *move_engine(struct moves *m, int lane, bool b)
{
	return m->lane[lane].host[b ? !m->mover : m->mover].engine;
}

/* Whom B's engine in lane 1 asks. */
static inline struct rig_host *move_asked(struct moves *m)
{
	bool one = move_engine(m, 0, true) == move_engine(m, 1, true);

	return &m->lane[!one].host[!m->mover];
}

static inline struct ring_mem move_ring(struct moves *m, uint32_t bytes)
{
	assert_true(m->rings < MOVE_RINGS);
	m->ring[m->rings] = rig_ring(bytes);
	return m->ring[m->rings++];
}

static inline void move_up(struct moves *m, int lane, int w)
{
	struct rig_wire *wire = &m->lane[lane].wire[w];

	if (wire->channel[0])
		return;
	wire->lane = (uint16_t)lane;
	rig_up(&m->lane[lane], w, CLASS_LATENCY);
	for (int h = 0; h < 2; h++)
		engine_channel_moves(wire->channel[h]);
}

/* ---- applications ---- */

static inline uint8_t move_byte(uint8_t key, uint64_t offset)
{
	return (uint8_t)(key + offset * 7 + (offset >> 8));
}

static inline int move_write(struct moves *m, struct move_end *end, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++, end->written++)
		end->tx.base[(end->written - end->tx_base) & (end->tx.bytes - 1)] =
			move_byte(end->key, end->written);
	return engine_tx_published(end->e, end->s, end->written, m->lane[0].now_ns);
}

/* Reads @most of what is there. Returns how many bytes. */
static inline uint64_t move_read(struct moves *m, struct move_end *end, uint64_t most)
{
	const struct move_end *other = end == &m->a ? &m->b : &m->a;
	uint64_t n = stream_rx_contiguous(end->s) - end->read;

	if (n > most)
		n = most;
	for (uint64_t i = 0; i < n; i++, end->read++)
		assert_int_equal(end->rx.base[(end->read - stream_rx_base(end->s)) &
					      (end->rx.bytes - 1)],
				 move_byte(other->key, end->read));
	assert_int_equal(engine_rx_consumed(end->e, end->s, end->read, m->lane[0].now_ns), 0);
	return n;
}

/* @end, which is wherever it is, closes as one that has finished, or was killed. */
static inline void move_close(struct moves *m, struct move_end *end, bool killed)
{
	(void)move_read(m, end, UINT64_MAX);
	end->closed = true;
	engine_stream_close(end->e, end->s, killed, m->lane[0].now_ns);
}

/* ---- steps ---- */

static inline void move_begin(struct moves *m)
{
	struct stream_info info;

	engine_stream_info(m->a.s, &info);
	assert_int_equal(info.lane, 0);
	assert_int_equal(engine_stream_goes(m->a.e, m->a.s), 0);
	assert_int_equal(engine_resume(move_engine(m, 1, false), 1, info.lane, info.remote_id,
				       &m->a1, m->lane[0].now_ns, &m->a1), 0);
}

static inline void move_spoil(const struct ring_mem *ring)
{
	memset(ring->base, 0xee, ring->bytes);
}

/* @end goes on in lane 1 as @s, with rings of twice the size. */
static inline int move_arrive(struct moves *m, struct move_end *end, struct stream *s,
			      const struct stream_parcel *p)
{
	struct ring_mem tx = move_ring(m, 2 * p->tx.bytes), rx = move_ring(m, 2 * p->rx.bytes);
	struct engine *e = move_engine(m, 1, end == &m->b);
	int r;

	parcel_copy(p, &tx, &rx);
	r = engine_stream_arrive(e, s, p, &tx, &rx, end, m->lane[0].now_ns);
	move_spoil(&p->tx);
	move_spoil(&p->rx);
	end->s = NULL;
	if (r != 0)
		return r;
	end->e = e;
	end->s = s;
	end->tx = tx;
	end->rx = rx;
	return 0;
}

/* B, which was asked, goes or refuses. */
static inline void move_answer(struct moves *m)
{
	struct rig_host *h = move_asked(m);
	struct engine *old = move_engine(m, 0, true);
	struct stream *s, *b1 = h->resumed;

	h->resumed = NULL;
	s = engine_stream_known(old, 1, h->resumed_lane, h->resumed_id);
	if (m->no || !s || s != m->b.s ||
	    engine_stream_leave(old, s, true, &m->pb, m->lane[0].now_ns) != 0) {
		engine_stream_refuse(h->engine, b1, m->lane[0].now_ns);
		return;
	}
	m->tombstone = m->pb.id;
	if (move_arrive(m, &m->b, b1, &m->pb) == 0)
		return;
	/* b1 has ended meanwhile. */
	m->b.error = -ECONNRESET;
	engine_stream_forget(old, m->tombstone);
	m->tombstone = 0;
}

/* A has heard ACCEPT: it goes, or, if it has ended, B's end is reset. */
static inline void move_leave(struct moves *m)
{
	struct stream *a1 = m->a1;

	if (!m->a.s ||
	    engine_stream_leave(m->a.e, m->a.s, false, &m->pa, m->lane[0].now_ns) != 0) {
		engine_stream_abort(move_engine(m, 1, false), a1, WIRE_E_RESET, m->lane[0].now_ns);
		return;
	}
	m->a1 = NULL;
	if (move_arrive(m, &m->a, a1, &m->pa) == 0)
		return;
	m->a.error = -ECONNRESET;
	m->a1 = a1; /* to be freed when it is DONE */
}

/* ---- what is heard ---- */

static inline void move_end_event(struct moves *m, struct engine *e, struct move_end *end,
				  uint32_t events)
{
	end->seen |= events;
	if (end == &m->b && m->tombstone &&
	    (events & (STREAM_EV_CONNECTED | STREAM_EV_ERROR | STREAM_EV_DONE))) {
		engine_stream_forget(move_engine(m, 0, true), m->tombstone);
		m->tombstone = 0;
	}
	if (events & STREAM_EV_ERROR)
		end->error = stream_error(end->s);
	if (!(events & STREAM_EV_DONE))
		return;
	if (!end->error && !end->closed)
		(void)move_read(m, end, UINT64_MAX);
	engine_stream_free(e, end->s);
	end->s = NULL;
	/* Its placeholder has nothing to stand for. */
	if (end == &m->a && m->a1)
		engine_stream_abort(move_engine(m, 1, false), m->a1, WIRE_E_RESET,
				    m->lane[0].now_ns);
}

static inline void move_placeholder_event(struct moves *m, struct engine *e, uint32_t events)
{
	int error = stream_error(m->a1);

	if ((events & STREAM_EV_CONNECTED) && !(events & STREAM_EV_DONE))
		move_leave(m);
	if ((events & STREAM_EV_ERROR) && m->a.s) {
		if (error == -ECONNREFUSED) {
			m->refused++;
			engine_stream_stays(m->a.e, m->a.s);
		} else {
			engine_stream_abort(m->a.e, m->a.s, WIRE_E_RESET, m->lane[0].now_ns);
			m->a.error = -ECONNRESET;
		}
	}
	if (events & STREAM_EV_DONE) {
		engine_stream_free(e, m->a1);
		m->a1 = NULL;
	}
}

static inline void move_serve(struct moves *m)
{
	for (int k = 0; k < 4; k++) {
		struct rig_host *h = &m->lane[k / 2].host[k % 2];
		struct stream *s;
		uint32_t events;

		if (move_asked(m)->resumed && !m->later)
			move_answer(m);
		while ((s = engine_next_event(h->engine, &events)) != NULL) {
			if (m->a.s == s && m->a.e == h->engine) {
				move_end_event(m, h->engine, &m->a, events);
			} else if (m->b.s == s && m->b.e == h->engine) {
				move_end_event(m, h->engine, &m->b, events);
			} else if (m->a1 == s) {
				move_placeholder_event(m, h->engine, events);
			} else {
				/* An INCOMING that was refused, or has ended. */
				h = engine_stream_user(s);
				assert_true(h == move_asked(m) || h == &m->lane[1].host[m->mover]);
				if (events & STREAM_EV_DONE)
					engine_stream_free(h->engine, s);
				if (h->resumed == s)
					h->resumed = NULL;
			}
		}
	}
}

/* Everything, until nothing moves any more. */
static inline void move_pump(struct moves *m)
{
	for (int i = 0; i < 8; i++) {
		rig_pump(&m->lane[i % 2]);
		move_serve(m);
	}
}

/* One way of one lane, and nobody acts on it. */
static inline int move_carry(struct moves *m, int lane, bool from_b)
{
	int from = from_b ? !m->mover : m->mover, r = 0;

	for (int w = 0; w < RIG_WIRES; w++) {
		if (!m->lane[lane].wire[w].channel[0] || !m->lane[lane].wire[w].channel[1])
			continue;
		(void)rig_send(&m->lane[lane], w, from);
		r = r ? r : rig_deliver(&m->lane[lane], w, from, SIZE_MAX);
	}
	return r;
}

/* The host of B, or A, says @f in @lane, on wire 0. */
static inline int move_says(struct moves *m, int lane, bool b, struct frame f,
			    const uint8_t *payload)
{
	int to = b ? m->mover : !m->mover, r;
	uint8_t header[WIRE_HEADER_BYTES];

	frame_encode(&f, header);
	r = rig_receive(&m->lane[lane], 0, to, header, sizeof(header));
	return r ? r : rig_receive(&m->lane[lane], 0, to, payload, f.length);
}

/* B accepts A's @a1, as @id. */
static inline int move_says_accept(struct moves *m, const struct stream *a1, uint64_t id,
				   uint64_t ack, uint32_t window)
{
	uint8_t payload[8];

	wire_put64(payload, id);
	return move_says(m, 1, true, (struct frame){ .type = FRAME_ACCEPT, .length = 8, .ack = ack,
						      .stream = stream_id(a1), .window = window },
			 payload);
}

/* ---- set-up ---- */

static inline void move_set_up_as(struct moves *m, int mover, bool one,
				  const struct engine_config *like)
{
	struct engine_config cfg = *like;
	struct stream *s;

	*m = (struct moves){ .mover = mover };
	cfg.workers = 2;
	cfg.rebase = true;
	for (int i = 0; i < 2; i++) {
		cfg.worker = (uint32_t)i;
		rig_init_as(&m->lane[i], cfg);
		if (one)
			m->lane[i].host[!mover].engine = m->lane[0].host[!mover].engine;
		move_up(m, i, 0);
		move_up(m, i, 1);
	}
	s = rig_connect(&m->lane[0]);
	assert_non_null(s);
	for (int i = 0; i < 2; i++) {
		bool opener = i == (mover != 0);
		struct rig *r = &m->lane[0];
		struct move_end *end = i == 0 ? &m->a : &m->b;

		rig_pump(r);
		*end = (struct move_end){
			.e = move_engine(m, 0, i != 0),
			.s = opener ? s : r->host[1].incoming,
			.tx = opener ? r->tx : r->host[1].tx,
			.rx = opener ? r->rx : r->host[1].rx,
			.key = (uint8_t)(17 + 100 * i),
		};
	}
	/* The acceptor is to know that it was heard. */
	assert_int_equal(move_write(m, &m->a, 100), 0);
	assert_int_equal(move_write(m, &m->b, 50), 0);
	move_pump(m);
	move_read(m, &m->a, 20);
	move_read(m, &m->b, 30);
	move_pump(m);
	m->a.seen = m->b.seen = 0;
	for (int i = 0; i < 2; i++) {
		struct move_end *end = i == 0 ? &m->a : &m->b;

		end->tx_base = end->written - 77;
		assert_int_equal(engine_tx_rebase(end->e, end->s, end->tx_base), 0);
	}
}

static inline int move_set_up(void **state)
{
	struct engine_config cfg = rig_config();

	*state = malloc(sizeof(struct moves));
	move_set_up_as(*state, 0, false, &cfg);
	return 0;
}

static inline int move_set_up_acceptor(void **state)
{
	struct engine_config cfg = rig_config();

	*state = malloc(sizeof(struct moves));
	move_set_up_as(*state, 1, false, &cfg);
	return 0;
}

static inline int move_set_up_one(void **state)
{
	struct engine_config cfg = rig_config();

	*state = malloc(sizeof(struct moves));
	move_set_up_as(*state, 0, true, &cfg);
	return 0;
}

static inline int move_tear_down(void **state)
{
	struct moves *m = *state;

	for (uint32_t i = 0; i < m->rings; i++)
		free(m->ring[i].base);
	for (int i = 0; i < 2; i++)
		rig_fini(&m->lane[i]);
	free(m);
	return 0;
}

/* ---- what must be true ---- */

/* Both ends write and read, and then end as they should. */
static inline void move_goes_on(struct moves *m)
{
	struct move_end *end[2] = { &m->a, &m->b };

	assert_non_null(m->a.s);
	assert_non_null(m->b.s);
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 2; i++) {
			assert_int_equal(move_write(m, end[i], 3000), 0);
			move_pump(m);
			move_read(m, end[!i], 2000);
		}
	}
	for (int i = 0; i < 2; i++)
		engine_stream_shutdown(end[i]->e, end[i]->s, m->lane[0].now_ns);
	for (int i = 0; i < 8; i++) {
		move_pump(m);
		for (int k = 0; k < 2; k++)
			if (end[k]->s)
				move_read(m, end[k], SIZE_MAX);
	}
	assert_int_equal(m->a.read, m->b.written);
	assert_int_equal(m->b.read, m->a.written);
	for (int i = 0; i < 2; i++) {
		assert_null(end[i]->s);
		assert_int_equal(end[i]->error, 0);
	}
}

/* Nothing is left of it anywhere. */
static inline void move_nothing_left(struct moves *m)
{
	for (int k = 0; k < 4; k++)
		assert_int_equal(
			engine_counters(m->lane[k / 2].host[k % 2].engine)->streams, 0);
}

/* Tests, with a mover that opened the stream, one that accepted it, and B's host of one worker. */
#define MOVE_BOTH(name)                                                                       \
	{ #name, name, move_set_up, move_tear_down, NULL },                                   \
	{ #name " (acceptor)", name, move_set_up_acceptor, move_tear_down, NULL }
#define MOVE_ONE(name) { #name " (one)", name, move_set_up_one, move_tear_down, NULL }

#endif /* MOVE_RIG_H */
