/* SPDX-License-Identifier: MIT */
/*
 * test_stream_ring.c - Goal: a stream goes on in another ring, whatever of it is where. Method:
 * engine_rig.h; the simulator does the same at random moments.
 */
#include "../ncd_test.h"

#include <errno.h>

#include "engine_rig.h"

#define LARGE (4 * RIG_RING)

/* Connects over one channel of @class. Returns the opener's stream. */
static struct stream *established(struct rig *r, enum stream_class class)
{
	struct stream *s;

	rig_up(r, 0, class);
	s = rig_connect(r);
	rig_pump(r);
	assert_non_null(r->host[1].incoming);
	(void)rig_events(r, 0, s);
	(void)rig_events(r, 1, NULL);
	return s;
}

/* Host 1's stream gets a larger rx ring; the old one is spoiled. */
static int rx_exchange(struct rig *r, struct stream *t)
{
	struct ring_mem ring = rig_ring(LARGE);
	int ret = engine_rx_exchange(r->host[1].engine, t, &ring, r->now_ns);

	if (ret < 0) {
		free(ring.base);
		return ret;
	}
	memset(r->host[1].rx.base, '!', r->host[1].rx.bytes);
	free(r->host[1].rx.base);
	r->host[1].rx = ring;
	return 0;
}

/* Host 0's stream gets a larger tx ring, as the library does it. The old one is the caller's. */
static struct ring_mem tx_exchange(struct rig *r, struct stream *s)
{
	struct ring_mem ring = rig_ring(LARGE), old = r->tx;
	struct stream_info i;

	engine_stream_info(s, &i);
	for (uint64_t k = i.tx_acked; k < i.tx_published; k++)
		ring.base[k & (ring.bytes - 1)] = old.base[k & (old.bytes - 1)];
	assert_int_equal(engine_tx_exchange(r->host[0].engine, s, &ring), 0);
	r->tx = ring;
	return old;
}

static void expect(const struct ring_mem *ring, uint64_t from, uint64_t to, char letter)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(ring->base[i & (ring->bytes - 1)], letter);
}

static void unread_bytes_move_to_the_larger_rx_ring(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, 10000, '1'), 0);
	rig_pump(r);
	assert_int_equal(rig_read(r, 1, t), 10000);
	assert_int_equal(rig_write(r, 0, s, 12000, '2'), 0); /* across the end of the old ring */
	rig_pump(r);
	assert_int_equal(rx_exchange(r, t), 0);
	expect(&r->host[1].rx, 10000, 22000, '2');
	assert_int_equal(rig_write(r, 0, s, 3000, '3'), 0);
	rig_pump(r);
	expect(&r->host[1].rx, 22000, 25000, '3');
	assert_int_equal(rig_read(r, 1, t), 15000);
}

static void a_larger_rx_ring_is_credit_at_once(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, '1'), 0);
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, '2'), 0);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	assert_int_equal(rx_exchange(r, t), 0);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == 2 * RIG_RING);
	expect(&r->host[1].rx, 0, RIG_RING, '1');
	expect(&r->host[1].rx, RIG_RING, 2 * RIG_RING, '2');
}

static void a_ring_that_is_received_into_stays(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY), *t = r->host[1].incoming;
	const struct iovec *iov;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, '1'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES + 2000), 0);
	assert_true(engine_rx_iov(r->host[1].engine, r->wire[0].channel[1], &iov) > 1);
	assert_true(engine_rx_busy(r->host[1].engine, t));
	assert_int_equal(rx_exchange(r, t), -EBUSY);
	assert_int_equal(rig_deliver(r, 0, 0, 5000), 0);
	/* Between two receives the rest of the payload may as well come elsewhere. */
	assert_int_equal(rx_exchange(r, t), 0);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	expect(&r->host[1].rx, 0, RIG_RING, '1');
	assert_int_equal(rig_read(r, 1, t), RIG_RING);
}

static void bytes_behind_a_hole_move_too(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY), *t = r->host[1].incoming;

	rig_up(r, 1, CLASS_THROUGHPUT);
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, 4000, '1'), 0);
	rig_send(r, 0, 0);
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	assert_int_equal(rig_write(r, 0, s, 4000, '2'), 0);
	rig_send(r, 1, 0);
	assert_int_equal(rig_deliver(r, 1, 0, SIZE_MAX), 0);
	assert_true(stream_rx_contiguous(t) == 0);
	assert_int_equal(rx_exchange(r, t), 0);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == 8000);
	expect(&r->host[1].rx, 0, 4000, '1');
	expect(&r->host[1].rx, 4000, 8000, '2');
}

static void what_is_lost_goes_again_from_the_new_tx_ring(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY), *t = r->host[1].incoming;
	struct ring_mem old;

	assert_int_equal(rig_write(r, 0, s, 12000, '1'), 0);
	rig_send(r, 0, 0);
	old = tx_exchange(r, s);
	memset(old.base, '!', old.bytes);
	free(old.base);
	rig_cut(r, 0);
	rig_up(r, 1, CLASS_LATENCY);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == 12000);
	expect(&r->host[1].rx, 0, 12000, '1');
	assert_int_equal(rig_read(r, 1, t), 12000);
	assert_int_equal(rig_write(r, 0, s, 2 * RIG_RING, '2'), 0);
	rig_pump(r);
	expect(&r->host[1].rx, 12000, 12000 + RIG_RING, '2');
}

static void the_old_tx_ring_is_lent_until_the_transport_has_it(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY);
	struct channel *c = r->wire[0].channel[0];
	struct engine *e = r->host[0].engine;
	const struct iovec *iov;
	struct ring_mem old;
	size_t bytes = 0;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'l'), 0);
	for (int i = 0, nr = engine_tx_iov(e, c, r->now_ns, &iov); i < nr; i++)
		bytes += iov[i].iov_len;
	old = tx_exchange(r, s);
	assert_true(engine_ring_lent(e, old.base, old.bytes));
	engine_sent(e, c, bytes, r->now_ns);
	assert_false(engine_ring_lent(e, old.base, old.bytes));
	free(old.base);
}

/* By file the transport reads the old pages for as long as it likes, also for a second copy. */
static void the_old_tx_ring_is_exposed_until_what_went_by_file_is_acknowledged(void **state)
{
	struct rig *r = *state;
	struct engine *e = r->host[0].engine;
	struct ring_mem old;
	struct stream *s;

	r->tx.file = 7;
	s = established(r, CLASS_LATENCY);
	assert_int_equal(rig_write(r, 0, s, 12000, 'f'), 0);
	rig_send(r, 0, 0);
	old = tx_exchange(r, s);
	assert_false(engine_ring_lent(e, old.base, old.bytes));
	assert_true(engine_stream_tx_exposed(s));
	/* The second copy goes out of the new ring, which is no file's: that exposes nothing. */
	rig_cut(r, 0);
	assert_true(engine_stream_tx_exposed(s));
	rig_up(r, 1, CLASS_LATENCY);
	rig_pump(r);
	assert_true(stream_tx_acked(s) == 12000);
	assert_false(engine_stream_tx_exposed(s));
	free(old.base);
}

static void a_tx_ring_that_cannot_hold_what_is_under_way_is_refused(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY);
	struct ring_mem small = rig_ring(4096);

	assert_int_equal(rig_write(r, 0, s, 4097, '1'), 0);
	assert_int_equal(engine_tx_exchange(r->host[0].engine, s, &small), -EPROTO);
	rig_pump(r);
	assert_int_equal(engine_tx_exchange(r->host[0].engine, s, &small), 0);
	assert_int_equal(engine_tx_exchange(r->host[0].engine, s, &r->tx), 0);
	free(small.base);
}

static void an_rx_ring_is_pressed_when_it_is_filled_and_read(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r, CLASS_LATENCY), *t = r->host[1].incoming;

	/* Small messages, however many, do not press. */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(rig_write(r, 0, s, 1000, 'm'), 0);
		rig_pump(r);
		assert_int_equal(rig_read(r, 1, t), 1000);
	}
	assert_false(engine_rx_pressed(t));
	/* Full, and nobody reads: no larger ring would help. */
	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'f'), 0);
	rig_pump(r);
	assert_int_equal(rx_exchange(r, t), 0);
	assert_int_equal(rig_write(r, 0, s, LARGE / 4, 'f'), 0);
	rig_pump(r);
	assert_false(engine_rx_pressed(t));
	assert_int_equal(rig_read(r, 1, t), RIG_RING + LARGE / 4);
	assert_true(engine_rx_pressed(t));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(unread_bytes_move_to_the_larger_rx_ring),
		CASE(a_larger_rx_ring_is_credit_at_once),
		CASE(a_ring_that_is_received_into_stays),
		CASE(bytes_behind_a_hole_move_too),
		CASE(what_is_lost_goes_again_from_the_new_tx_ring),
		CASE(the_old_tx_ring_is_lent_until_the_transport_has_it),
		CASE(the_old_tx_ring_is_exposed_until_what_went_by_file_is_acknowledged),
		CASE(a_tx_ring_that_cannot_hold_what_is_under_way_is_refused),
		CASE(an_rx_ring_is_pressed_when_it_is_filled_and_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
