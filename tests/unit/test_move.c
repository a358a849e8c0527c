/* SPDX-License-Identifier: MIT */
/*
 * test_move.c - Goal: a stream that goes to another worker, with both of its ends, loses nothing
 * and doubles nothing, whatever its applications do meanwhile and whatever comes late in the old
 * lane. Method: two lanes of two engines each (move_rig.h); a test decides what arrives when. What
 * dies meanwhile, and peers that lie: test_move_end.c. At random: tests/sim.
 */
#include "../ncd_test.h"

#include <stdlib.h>

#include "core/carry.h"

#include "move_rig.h"

/* True if A (or B) has nothing to say in @lane now. */
static bool is_silent(struct moves *m, int lane, bool from_b)
{
	for (int w = 0; w < RIG_WIRES; w++)
		if (rig_send(&m->lane[lane], w, from_b ? !m->mover : m->mover) > 0)
			return false;
	return true;
}

/* Up to where B has gone, and A has not heard of it. */
static void until_b_has_gone(struct moves *m)
{
	move_begin(m);
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_non_null(move_asked(m)->resumed);
	move_serve(m);
	assert_non_null(m->b.s);
	assert_true(m->b.e == move_engine(m, 1, true));
}

static void until_a_has_gone(struct moves *m)
{
	until_b_has_gone(m);
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	assert_true(m->a.e == move_engine(m, 1, false));
}

static void a_stream_goes_on_in_the_other_lane(void **state)
{
	struct moves *m = *state;
	struct rig_host *b = move_asked(m);
	uint64_t b0 = stream_id(m->b.s);

	move_begin(m);
	assert_int_equal(engine_counters(move_engine(m, 1, false))->streams, 1);
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_int_equal(b->resumed_nr, 1);
	assert_int_equal(b->resumed_lane, 0);
	assert_int_equal(b->resumed_id, b0);
	move_serve(m);
	assert_true(is_silent(m, 0, true));
	assert_int_equal(m->tombstone, b0);
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	assert_null(m->a1);
	assert_int_equal(engine_counters(move_engine(m, 0, false))->streams, 0);
	assert_int_equal(move_carry(m, 1, false), 0);
	move_serve(m);
	assert_true(m->b.seen & STREAM_EV_CONNECTED);
	assert_int_equal(m->tombstone, 0);
	assert_int_equal(engine_counters(move_engine(m, 0, true))->streams, 0);
	/* B has said that it goes on. */
	assert_int_equal(move_carry(m, 1, true), 0);
	assert_int_equal(engine_stream_goes(m->a.e, m->a.s), 0);
	assert_int_equal(engine_stream_goes(m->b.e, m->b.s), 0);
	for (int w = 0; w < 2; w++) /* it is not needed any more */
		rig_cut(&m->lane[0], w);
	move_goes_on(m);
	move_nothing_left(m);
}

static void until_accept_it_goes_on_as_ever(void **state)
{
	struct moves *m = *state;

	m->later = true;
	move_begin(m);
	move_pump(m);
	assert_int_equal(move_write(m, &m->a, 1000), 0);
	assert_int_equal(move_write(m, &m->b, 2000), 0);
	move_pump(m);
	assert_int_equal(move_read(m, &m->b, 5000), 1000 + 70);
	assert_int_equal(move_read(m, &m->a, 5000), 2000 + 30);
	m->later = false;
	move_goes_on(m);
	assert_true(m->a.e == move_engine(m, 1, false));
	move_nothing_left(m);
}

/* Unread, unacknowledged, unsent: at both ends. */
static void what_lies_in_the_rings_goes_along(void **state)
{
	struct moves *m = *state;
	uint64_t a_unread = m->b.written - m->a.read, b_unread = m->a.written - m->b.read;

	move_begin(m);
	assert_int_equal(move_carry(m, 1, false), 0);
	/* Arrives, and the ack is lost with what else is said in the old lane. */
	assert_int_equal(move_write(m, &m->a, 1000), 0);
	assert_int_equal(move_write(m, &m->b, 2000), 0);
	assert_int_equal(move_carry(m, 0, false), 0);
	assert_int_equal(move_carry(m, 0, true), 0);
	/* Is under way. */
	assert_int_equal(move_write(m, &m->a, 300), 0);
	assert_int_equal(move_write(m, &m->b, 400), 0);
	for (int w = 0; w < 2; w++)
		for (int h = 0; h < 2; h++)
			(void)rig_send(&m->lane[0], w, h);
	/* Is not sent. */
	assert_int_equal(move_write(m, &m->a, 50), 0);
	assert_int_equal(move_write(m, &m->b, 60), 0);
	move_serve(m);
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	assert_int_equal(m->pb.rx_next, m->a.written - 350);
	assert_int_equal(m->pa.rx_next, m->b.written - 460);
	assert_int_equal(move_read(m, &m->a, UINT64_MAX), a_unread + 2000);
	assert_int_equal(move_read(m, &m->b, UINT64_MAX), b_unread + 1000);
	move_pump(m);
	assert_int_equal(move_read(m, &m->a, UINT64_MAX), 460);
	assert_int_equal(move_read(m, &m->b, UINT64_MAX), 350);
	move_goes_on(m);
	move_nothing_left(m);
}

/* B has left behind what A acknowledges in ACCEPT, and A what B does in its first frame. */
static void each_end_learns_what_the_other_left_with(void **state)
{
	struct moves *m = *state;

	move_begin(m);
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_int_equal(move_write(m, &m->b, 2000), 0);
	for (int w = 0; w < 2; w++)
		(void)rig_send(&m->lane[0], w, !m->mover);
	assert_int_equal(move_write(m, &m->a, 1000), 0);
	assert_int_equal(move_carry(m, 0, false), 0);
	move_serve(m);
	for (int w = 0; w < 2; w++) /* after B has gone */
		assert_int_equal(rig_deliver(&m->lane[0], w, !m->mover, SIZE_MAX), 0);
	move_serve(m);
	m->a.seen = 0;
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	assert_int_equal(m->pa.tx_acked, m->a.written - 1000);
	assert_int_equal(stream_tx_acked(m->a.s), m->a.written);
	assert_true(m->a.seen & STREAM_EV_TX);
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_int_equal(stream_tx_acked(m->b.s), m->b.written);
	assert_int_equal(engine_counters(m->a.e)->bytes_sent, 0);
	assert_int_equal(engine_counters(m->b.e)->bytes_sent, 0);
	move_goes_on(m);
	move_nothing_left(m);
}

/* ---- the old lane ---- */

static void what_comes_late_for_the_tombstone_is_dropped(void **state)
{
	struct moves *m = *state;

	move_begin(m);
	assert_int_equal(move_carry(m, 1, false), 0);
	move_serve(m);
	/* DATA, CREDIT and FIN: A does not know yet. */
	assert_int_equal(move_write(m, &m->a, 500), 0);
	assert_int_equal(move_carry(m, 0, false), 0);
	engine_stream_stays(m->a.e, m->a.s);
	assert_int_equal(move_carry(m, 0, false), 0);
	engine_stream_shutdown(m->a.e, m->a.s, m->lane[0].now_ns);
	assert_int_equal(move_carry(m, 0, false), 0);
	assert_true(is_silent(m, 0, true));
	assert_int_equal(engine_counters(move_engine(m, 0, true))->unknown_streams, 0);
	move_pump(m);
	move_read(m, &m->b, UINT64_MAX);
	assert_int_equal(m->b.read, m->a.written);
	assert_true(stream_rx_ended(m->b.s));
	engine_stream_shutdown(m->b.e, m->b.s, m->lane[0].now_ns);
	move_pump(m);
	assert_int_equal(m->a.error, 0);
	assert_int_equal(m->b.error, 0);
	move_nothing_left(m);
}

static void what_comes_later_still_names_nothing(void **state)
{
	struct moves *m = *state;
	uint64_t unknown[2];

	assert_int_equal(move_write(m, &m->a, 500), 0);
	assert_int_equal(move_write(m, &m->b, 600), 0);
	for (int w = 0; w < 2; w++)
		for (int h = 0; h < 2; h++)
			(void)rig_send(&m->lane[0], w, h);
	until_a_has_gone(m);
	for (int i = 0; i < 2; i++) {
		rig_pump(&m->lane[1]);
		move_serve(m);
	}
	assert_int_equal(m->tombstone, 0);
	/* Each is answered, and the answer, too, is about nothing. */
	rig_pump(&m->lane[0]);
	move_serve(m);
	for (int i = 0; i < 2; i++) {
		unknown[i] = engine_counters(move_engine(m, 0, i == 1))->unknown_streams;
		assert_int_equal(unknown[i], 1);
	}
	move_goes_on(m);
	move_nothing_left(m);
}

/* The rest of @to's large payload, on wire @w, comes when its stream has left. */
static void the_rest_comes(struct moves *m, struct move_end *to, int w, const struct ring_mem *ring)
{
	int from = to == &m->b ? m->mover : !m->mover;
	struct engine *old = move_engine(m, 0, to == &m->b);

	assert_true(engine_ring_lent(old, ring->base, ring->bytes));
	assert_true(m->lane[0].wire[w].used[from] > 0);
	assert_int_equal(rig_deliver(&m->lane[0], w, from, SIZE_MAX), 0);
	assert_false(engine_ring_lent(old, ring->base, ring->bytes));
}

/* @from writes it, and a part is there; the receive of the rest is posted. Returns the wire. */
static int a_part_comes(struct moves *m, struct move_end *from)
{
	int sender = from == &m->a ? m->mover : !m->mover;
	const struct iovec *iov;
	int w = 0;

	assert_int_equal(move_write(m, from, 12000), 0);
	while (rig_send(&m->lane[0], w, sender) == 0)
		w++;
	assert_int_equal(rig_deliver(&m->lane[0], w, sender, 4000), 0);
	(void)engine_rx_iov(move_engine(m, 0, from == &m->a),
			    m->lane[0].wire[w].channel[!sender], &iov);
	return w;
}

static void a_receive_that_is_under_way_is_nobodys(void **state)
{
	struct moves *m = *state;
	struct ring_mem a_rx = m->a.rx, b_rx = m->b.rx;
	int to_a, to_b;

	to_b = a_part_comes(m, &m->a);
	to_a = a_part_comes(m, &m->b);
	until_b_has_gone(m);
	the_rest_comes(m, &m->b, to_b, &b_rx);
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	the_rest_comes(m, &m->a, to_a, &a_rx);
	/* Some of it was there, and is not sent again. */
	assert_true(m->pa.rx_next > 3000 && m->pa.rx_next < 12000);
	assert_true(m->pb.rx_next > 3000 && m->pb.rx_next < 12000);
	move_pump(m);
	(void)move_read(m, &m->a, UINT64_MAX);
	(void)move_read(m, &m->b, UINT64_MAX);
	assert_int_equal(m->a.read, m->b.written);
	assert_int_equal(m->b.read, m->a.written);
	move_goes_on(m);
	move_nothing_left(m);
}

/* ---- what applications do meanwhile ---- */

static void both_write_and_read_while_neither_may_send(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->b, 3000), 0);
	(void)move_read(m, &m->b, UINT64_MAX);
	assert_int_equal(move_write(m, &m->a, 2000), 0);
	(void)move_read(m, &m->a, UINT64_MAX);
	assert_int_equal(move_carry(m, 1, true), 0); /* ACCEPT alone */
	assert_int_equal(stream_rx_contiguous(m->a.s), m->b.written - 3000);
	assert_true(is_silent(m, 1, true));
	move_serve(m);
	move_pump(m);
	assert_int_equal(move_read(m, &m->a, UINT64_MAX), 3000);
	assert_int_equal(move_read(m, &m->b, UINT64_MAX), 2000);
	move_goes_on(m);
	move_nothing_left(m);
}

/* Also in ACCEPT: A goes on with DATA. */
static void credit_comes_with_accept(void **state)
{
	struct moves *m = *state;
	uint32_t ring = m->b.rx.bytes;

	while (m->a.written - m->b.read < ring)
		assert_int_equal(move_write(m, &m->a, 1), 0);
	move_pump(m);
	assert_int_equal(move_write(m, &m->a, 1000), 0);
	move_pump(m);
	until_a_has_gone(m); /* the new ring is larger */
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_int_equal(stream_rx_contiguous(m->b.s), m->a.written);
	move_goes_on(m);
	move_nothing_left(m);
}

/* The room that B's application has made is told when B may speak again. */
static void credit_is_told_of_what_was_read_meanwhile(void **state)
{
	struct moves *m = *state;
	uint32_t ring = m->b.rx.bytes;

	while (m->a.written - m->b.read < ring)
		assert_int_equal(move_write(m, &m->a, 1), 0);
	move_pump(m);
	assert_int_equal(stream_rx_contiguous(m->b.s), m->a.written);
	until_b_has_gone(m);
	assert_int_equal(move_read(m, &m->b, UINT64_MAX), ring);
	assert_int_equal(move_write(m, &m->a, ring / 2), 0);
	move_pump(m);
	assert_int_equal(move_read(m, &m->b, UINT64_MAX), ring / 2);
	move_goes_on(m);
	move_nothing_left(m);
}

static void a_ends_its_direction_meanwhile(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->a, 700), 0);
	engine_stream_shutdown(m->a.e, m->a.s, m->lane[0].now_ns);
	(void)move_carry(m, 0, false); /* the FIN, to nobody */
	move_pump(m);
	(void)move_read(m, &m->b, UINT64_MAX);
	assert_int_equal(m->b.read, m->a.written);
	assert_true(stream_rx_ended(m->b.s));
	assert_true(m->a.seen & STREAM_EV_TX_DONE);
	assert_int_equal(move_write(m, &m->b, 800), 0);
	engine_stream_shutdown(m->b.e, m->b.s, m->lane[0].now_ns);
	move_pump(m);
	assert_int_equal(m->a.read, m->b.written);
	assert_int_equal(m->a.error, 0);
	assert_int_equal(m->b.error, 0);
	move_nothing_left(m);
}

static void b_ends_its_direction_meanwhile(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->b, 700), 0);
	engine_stream_shutdown(m->b.e, m->b.s, m->lane[0].now_ns);
	move_pump(m);
	(void)move_read(m, &m->a, UINT64_MAX);
	assert_int_equal(m->a.read, m->b.written);
	assert_true(stream_rx_ended(m->a.s));
	engine_stream_shutdown(m->a.e, m->a.s, m->lane[0].now_ns);
	move_pump(m);
	assert_int_equal(m->a.error, 0);
	assert_int_equal(m->b.error, 0);
	move_nothing_left(m);
}

/* Nobody reads what comes for it, where it is now. */
static void b_speaks_to_one_that_has_closed(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->a, 700), 0);
	move_close(m, &m->a, false);
	move_pump(m);
	assert_non_null(m->a.s);
	assert_int_equal(move_write(m, &m->b, 10), 0);
	move_pump(m);
	assert_int_equal(m->b.error, -ECONNRESET);
	move_nothing_left(m);
}

static void a_closes_meanwhile(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->a, 700), 0);
	move_close(m, &m->a, false);
	move_pump(m);
	assert_int_equal(move_read(m, &m->b, UINT64_MAX), 770);
	assert_true(stream_rx_ended(m->b.s));
	move_close(m, &m->b, false);
	move_pump(m);
	assert_int_equal(m->a.error, 0);
	assert_int_equal(m->b.error, 0);
	move_nothing_left(m);
}

/* A killed application's bytes still arrive, and then RESET. */
static void a_is_killed_meanwhile(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->a, 700), 0);
	move_close(m, &m->a, true);
	move_pump(m);
	assert_int_equal(m->b.error, -ECONNRESET);
	move_nothing_left(m);
}

/* As above, but all that it wrote is acknowledged: RESET at once, in the old lane. */
static void a_is_killed_and_has_nothing_to_say(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	move_close(m, &m->a, true);
	move_pump(m);
	assert_int_equal(m->b.error, -ECONNRESET);
	move_nothing_left(m);
}

/* What nobody takes is given up in time, there as here. */
static void an_orphan_is_given_up_where_it_is_now(void **state)
{
	struct moves *m = *state;
	uint32_t ring = m->b.rx.bytes;

	while (m->a.written - m->b.read < ring)
		assert_int_equal(move_write(m, &m->a, 1), 0);
	move_pump(m);
	assert_int_equal(move_write(m, &m->a, ring - 100), 0);
	until_b_has_gone(m);
	while (m->a.written - m->b.read < 2 * ring)
		assert_int_equal(move_write(m, &m->a, 1), 0);
	move_close(m, &m->a, false);
	move_pump(m);
	assert_true(m->a.e == move_engine(m, 1, false));
	assert_non_null(m->a.s);
	for (int i = 0; i < 2; i++)
		m->lane[i].now_ns += m->lane[i].cfg.orphan_ns + 1000000;
	move_pump(m);
	assert_int_equal(m->b.error, -ETIMEDOUT);
	move_nothing_left(m);
}

static void b_closes_meanwhile(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	assert_int_equal(move_write(m, &m->b, 700), 0);
	move_close(m, &m->b, false);
	move_pump(m);
	assert_int_equal(move_read(m, &m->a, UINT64_MAX), 730);
	assert_true(stream_rx_ended(m->a.s));
	move_close(m, &m->a, false);
	move_pump(m);
	assert_int_equal(m->a.error, 0);
	assert_int_equal(m->b.error, 0);
	move_nothing_left(m);
}

static void b_is_killed_meanwhile(void **state)
{
	struct moves *m = *state;

	until_b_has_gone(m);
	move_close(m, &m->b, true);
	move_pump(m);
	assert_int_equal(m->a.error, -ECONNRESET);
	move_nothing_left(m);
}

/* ---- refusals ---- */

static void what_is_refused_stays(void **state)
{
	struct moves *m = *state;

	m->no = true;
	for (uint32_t i = 1; i < 4; i++) {
		move_begin(m);
		move_pump(m);
		assert_int_equal(m->refused, i);
		assert_null(m->a1);
		assert_true(m->a.e == move_engine(m, 0, false));
		assert_int_equal(engine_counters(move_engine(m, 1, false))->streams, 0);
		assert_int_equal(engine_counters(move_engine(m, 1, true))->streams, 0);
	}
	/* And goes when it may. */
	m->no = false;
	move_begin(m);
	move_goes_on(m);
	assert_true(m->a.e == move_engine(m, 1, false));
	move_nothing_left(m);
}

static void two_that_begin_at_once_both_refuse(void **state)
{
	struct moves *m = *state;
	struct engine *eb = move_engine(m, 1, true);
	struct stream_info info;
	struct stream *b2;
	uint32_t events;

	engine_stream_info(m->b.s, &info);
	assert_int_equal(engine_resume(eb, 1, info.lane, info.remote_id, &b2, m->lane[0].now_ns,
				       &b2), 0);
	m->no = true; /* it is on its way, is what a daemon would say */
	move_begin(m);
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_int_equal(move_carry(m, 1, true), 0);
	assert_non_null(m->lane[1].host[0].resumed);
	assert_non_null(m->lane[1].host[1].resumed);
	engine_stream_refuse(move_engine(m, 1, false), m->lane[1].host[m->mover].resumed,
			     m->lane[0].now_ns);
	m->lane[1].host[m->mover].resumed = NULL;
	assert_int_equal(move_carry(m, 1, false), 0);
	assert_ptr_equal(engine_next_event(eb, &events), b2);
	assert_int_equal(events, STREAM_EV_ERROR | STREAM_EV_DONE);
	assert_int_equal(stream_error(b2), -ECONNREFUSED);
	engine_stream_free(eb, b2);
	engine_stream_stays(m->b.e, m->b.s);
	move_pump(m);
	assert_int_equal(m->refused, 1);
	move_goes_on(m);
	move_nothing_left(m);
}

static void what_is_ending_does_not_go(void **state)
{
	struct moves *m = *state;
	struct stream_parcel p;

	assert_int_equal(engine_stream_goes(m->b.e, m->b.s), 0);
	engine_stream_shutdown(m->b.e, m->b.s, m->lane[0].now_ns);
	assert_int_equal(engine_stream_goes(m->b.e, m->b.s), -EBUSY);
	assert_int_equal(engine_stream_leave(m->b.e, m->b.s, true, &p, m->lane[0].now_ns), -EBUSY);
	move_pump(m);
	/* The FIN has come. */
	assert_int_equal(engine_stream_goes(m->a.e, m->a.s), -EBUSY);
	assert_int_equal(engine_stream_leave(m->a.e, m->a.s, true, &p, m->lane[0].now_ns), -EBUSY);
	engine_stream_shutdown(m->a.e, m->a.s, m->lane[0].now_ns);
	move_pump(m);
	assert_null(m->a.s);
	assert_null(m->b.s);
	move_nothing_left(m);
}

static void what_closes_while_b_is_asked_stays(void **state)
{
	struct moves *m = *state;

	move_begin(m);
	assert_int_equal(move_carry(m, 1, false), 0);
	(void)move_read(m, &m->b, UINT64_MAX);
	move_close(m, &m->b, false);
	move_pump(m);
	assert_int_equal(m->refused, 1);
	move_close(m, &m->a, false);
	move_pump(m);
	assert_int_equal(m->a.error, 0);
	assert_int_equal(m->b.error, 0);
	move_nothing_left(m);
}

static void only_a_peer_that_knows_how_is_asked(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *placeholder;
	struct engine *e = r->host[0].engine;

	assert_int_equal(engine_stream_goes(e, s), -EOPNOTSUPP);
	assert_int_equal(engine_resume(e, 1, 1, 5, r, r->now_ns, &placeholder), -EHOSTUNREACH);
	engine_channel_moves(r->wire[0].channel[0]);
	assert_int_equal(engine_stream_goes(e, s), 0);
	/* The acceptor has not been heard of yet. */
	assert_int_equal(engine_stream_goes(r->host[1].engine, r->host[1].incoming), -EOPNOTSUPP);
	engine_channel_moves(r->wire[0].channel[1]);
	assert_int_equal(engine_stream_goes(r->host[1].engine, r->host[1].incoming), -EBUSY);
	/* While there is no channel it may go, but not there. */
	rig_cut(r, 0);
	assert_int_equal(engine_stream_goes(e, s), 0);
	assert_int_equal(engine_resume(e, 1, 1, 5, r, r->now_ns, &placeholder), -EHOSTUNREACH);
}

static void the_table_may_be_full(void **state)
{
	struct moves *m = *state;
	struct engine *e = move_engine(m, 1, false);
	struct stream *s;

	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(engine_resume(e, 1, 0, 77 + i, m, m->lane[0].now_ns, &s), 0);
	assert_int_equal(engine_resume(e, 1, 0, 5, m, m->lane[0].now_ns, &s), -ENOBUFS);
}

static void who_leaves_moves_nothing(void **state)
{
	struct moves *m = *state;
	struct stream *s;

	move_begin(m);
	engine_leave(move_engine(m, 1, true), m->lane[0].now_ns);
	move_pump(m);
	assert_int_equal(m->refused, 1);
	assert_int_equal(engine_resume(move_engine(m, 1, false), 1, 0, 5, m, m->lane[0].now_ns, &s),
			 -EHOSTUNREACH);
	assert_int_equal(engine_resume(move_engine(m, 1, true), 1, 0, 5, m, m->lane[0].now_ns, &s),
			 -EHOSTUNREACH);
	move_goes_on(m);
}

/* ---- what goes along ---- */

static void class_and_weight_go_along(void **state)
{
	struct moves *m = *state;
	struct stream_info info;

	engine_stream_class(m->a.e, m->a.s, CLASS_THROUGHPUT);
	engine_stream_weight(m->a.s, 7);
	until_a_has_gone(m);
	assert_int_equal(m->pa.weight, 7);
	engine_stream_info(m->a.s, &info);
	assert_int_equal(info.class, CLASS_THROUGHPUT);
	assert_int_equal(info.lane, 1);
	assert_int_equal(info.remote_id, stream_id(m->b.s));
	assert_true(info.connected);
	engine_stream_info(m->b.s, &info);
	assert_true(info.connected);
}

static void ports_go_home(void **state)
{
	struct moves *m = *state;
	struct engine *home = m->lane[0].host[0].engine;
	struct rig_host *away = &m->lane[1].host[0];
	struct move_end *opener = m->mover == 0 ? &m->a : &m->b;
	struct stream_info info;
	uint16_t port;

	engine_stream_info(opener->s, &info);
	port = info.local_port;
	move_begin(m);
	move_goes_on(m);
	assert_int_equal(away->port_home, 0);
	assert_int_equal(away->port_left, port);
	assert_int_equal(m->lane[1].host[1].port_left, 0);
	assert_int_equal(m->lane[0].host[0].port_left, 0);
	engine_port_release(home, port);
}

/* From worker 0 to worker 1 and back: worker 0 has counted the port all the time. */
static void what_comes_back_releases_its_port_itself(void **state)
{
	struct moves *m = *state;
	struct move_end *end = m->mover == 0 ? &m->a : &m->b;
	struct rig_host *home = &m->lane[0].host[0];
	struct stream_parcel p;
	struct stream *back;

	until_a_has_gone(m);
	assert_int_equal(engine_stream_leave(end->e, end->s, false, &p, m->lane[0].now_ns),
			 end == &m->a ? 0 : -ENOENT);
	if (end == &m->b) /* it has not gone on */
		return;
	assert_int_equal(p.port_home, 1);
	assert_int_equal(engine_resume(home->engine, 1, 1, p.remote_id, m, m->lane[0].now_ns,
				       &back), 0);
	assert_int_equal(move_carry(m, 0, false), 0);
	assert_non_null(m->lane[0].host[1].resumed);
	assert_int_equal(engine_stream_arrive(m->lane[0].host[1].engine,
					      m->lane[0].host[1].resumed, &m->pb, &m->b.tx,
					      &m->b.rx, m, m->lane[0].now_ns), 0);
	assert_int_equal(move_carry(m, 0, true), 0);
	assert_int_equal(engine_stream_arrive(home->engine, back, &p, &p.tx, &p.rx, m,
					      m->lane[0].now_ns), 0);
	engine_stream_free(home->engine, back);
	assert_int_equal(home->port_left, 0);
	assert_int_equal(m->lane[1].host[0].port_left, 0);
}

/* Pages of the old ring may be on their way still: who takes it must know. */
static void a_ring_that_is_exposed_is_said_to_be(void **state)
{
	struct moves *m = *state;
	struct ring_mem tx = move_ring(m, RIG_RING);

	move_begin(m);
	tx.file = 1;
	assert_int_equal(engine_tx_move(m->a.e, m->a.s, &tx), 0);
	m->a.tx = tx;
	m->later = true;
	move_pump(m);
	assert_int_equal(move_write(m, &m->a, RIG_FILE_MIN), 0);
	assert_true(rig_send(&m->lane[0], 0, m->mover) + rig_send(&m->lane[0], 1, m->mover) > 0);
	m->later = false;
	move_serve(m);
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	assert_true(m->pa.exposed);
	assert_false(m->pb.exposed);
	assert_false(engine_stream_tx_exposed(m->a.s));
	move_goes_on(m);
}

/* Bytes that others bring are dropped as long as B's end waits: ACCEPT does not tell that it goes
 * on, nor does a copy. */
static void others_carry_once_b_goes_on(void **state)
{
	struct engine_config cfg = rig_config();
	const struct iovec *iov;
	struct moves *m;

	cfg.carry = true;
	cfg.frame_bytes = 1024;
	*state = m = malloc(sizeof(*m));
	move_set_up_as(m, 0, false, &cfg);
	m->lane[1].wire[2].lane = 1;
	rig_up(&m->lane[1], 2, CLASS_THROUGHPUT);
	engine_channel_carries(m->lane[1].wire[2].channel[0]);
	engine_stream_class(m->a.e, m->a.s, CLASS_THROUGHPUT);
	engine_stream_class(m->b.e, m->b.s, CLASS_THROUGHPUT);
	assert_int_equal(move_write(m, &m->a, 12000), 0);
	assert_int_equal(move_write(m, &m->b, 10), 0);
	until_b_has_gone(m);
	/* PING and PONG: ACCEPT is urgent. */
	assert_int_equal(rig_send(&m->lane[1], 2, 1), 2 * WIRE_HEADER_BYTES);
	assert_int_equal(move_carry(m, 1, true), 0);
	move_serve(m);
	assert_int_equal(move_says_accept(m, m->a.s, stream_id(m->b.s), m->a.read, 16000), 0);
	for (int i = 0; i < 2; i++) {
		(void)engine_tx_iov(m->a.e, m->lane[1].wire[2].channel[0], m->lane[1].now_ns, &iov);
		assert_int_equal(engine_carry_surplus(m->a.e), i);
		(void)rig_send(&m->lane[1], 2, 0);
		assert_int_equal(rig_deliver(&m->lane[1], 2, 0, SIZE_MAX), 0);
		assert_int_equal(move_carry(m, 1, true), 0);
		(void)move_read(m, &m->b, UINT64_MAX);
		assert_int_equal(move_write(m, &m->a, 12000), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOVE_BOTH(a_stream_goes_on_in_the_other_lane),
		MOVE_BOTH(until_accept_it_goes_on_as_ever),
		MOVE_ONE(until_accept_it_goes_on_as_ever),
		MOVE_BOTH(what_lies_in_the_rings_goes_along),
		MOVE_ONE(what_lies_in_the_rings_goes_along),
		MOVE_BOTH(each_end_learns_what_the_other_left_with),
		MOVE_BOTH(what_comes_late_for_the_tombstone_is_dropped),
		MOVE_BOTH(what_comes_later_still_names_nothing),
		MOVE_BOTH(a_receive_that_is_under_way_is_nobodys),
		MOVE_ONE(a_receive_that_is_under_way_is_nobodys),
		MOVE_BOTH(both_write_and_read_while_neither_may_send),
		MOVE_BOTH(credit_comes_with_accept),
		MOVE_BOTH(credit_is_told_of_what_was_read_meanwhile),
		MOVE_BOTH(a_ends_its_direction_meanwhile),
		MOVE_ONE(a_ends_its_direction_meanwhile),
		MOVE_BOTH(b_ends_its_direction_meanwhile),
		MOVE_BOTH(b_speaks_to_one_that_has_closed),
		MOVE_BOTH(a_closes_meanwhile),
		MOVE_BOTH(a_is_killed_meanwhile),
		MOVE_BOTH(a_is_killed_and_has_nothing_to_say),
		MOVE_ONE(a_is_killed_and_has_nothing_to_say),
		MOVE_BOTH(an_orphan_is_given_up_where_it_is_now),
		MOVE_BOTH(b_closes_meanwhile),
		MOVE_ONE(b_closes_meanwhile),
		MOVE_BOTH(b_is_killed_meanwhile),
		MOVE_BOTH(what_is_refused_stays),
		MOVE_BOTH(two_that_begin_at_once_both_refuse),
		MOVE_BOTH(what_is_ending_does_not_go),
		MOVE_BOTH(what_closes_while_b_is_asked_stays),
		cmocka_unit_test_setup_teardown(only_a_peer_that_knows_how_is_asked, rig_set_up,
						rig_tear_down),
		MOVE_BOTH(the_table_may_be_full),
		MOVE_BOTH(who_leaves_moves_nothing),
		MOVE_BOTH(class_and_weight_go_along),
		MOVE_BOTH(ports_go_home),
		MOVE_ONE(ports_go_home),
		MOVE_BOTH(what_comes_back_releases_its_port_itself),
		MOVE_BOTH(a_ring_that_is_exposed_is_said_to_be),
		cmocka_unit_test_teardown(others_carry_once_b_goes_on, move_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
