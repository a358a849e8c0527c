/* SPDX-License-Identifier: MIT */
/*
 * test_channel_rx.c - Goal: an rx ring that was read empty is written from its first place again,
 * also within a payload, and never while bytes of it are unread or on their way. Method:
 * engine_rig.h, with a look at where the next receive goes.
 */
#include "../ncd_test.h"

#include "engine_rig.h"

static int set_up(void **state)
{
	struct engine_config cfg = rig_config();

	cfg.rebase = true;
	*state = malloc(sizeof(struct rig));
	rig_init_as(*state, cfg);
	return 0;
}

static struct stream *established(struct rig *r)
{
	struct stream *s;

	rig_up(r, 0, CLASS_THROUGHPUT);
	s = rig_connect(r);
	rig_pump(r);
	assert_non_null(r->host[1].incoming);
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	return s;
}

/* Where in its ring host 1 receives the next bytes of its stream, on wire @w. */
static uint32_t next_place(struct rig *r, int w)
{
	const struct iovec *iov;

	assert_true(engine_rx_iov(r->host[1].engine, r->wire[w].channel[1], &iov) > 0);
	return (uint32_t)((uint8_t *)iov[0].iov_base - r->host[1].rx.base);
}

static uint32_t place_of(struct stream *t, uint64_t offset)
{
	return (uint32_t)(offset - stream_rx_base(t)) & (RIG_RING - 1);
}

/* All of the letter at @from to @to, read where the library would. */
static void expect(struct rig *r, struct stream *t, uint64_t from, uint64_t to, char letter)
{
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(r->host[1].rx.base[place_of(t, i)], letter);
}

static void a_ring_read_empty_within_a_payload_begins_again(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r), *t = r->host[1].incoming;
	uint32_t first;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, '1'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES), 0);
	first = next_place(r, 0);
	assert_int_equal(rig_deliver(r, 0, 0, 6000), 0);
	assert_int_equal(next_place(r, 0), (first + 6000) & (RIG_RING - 1));
	assert_int_equal(rig_deliver(r, 0, 0, 1000), 0);
	expect(r, t, 0, 7000, '1');
	assert_int_equal(rig_read(r, 1, t), 7000);
	assert_int_equal(next_place(r, 0), first);
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	expect(r, t, 7000, RIG_RING, '1');
}

static void unread_bytes_stay_where_they_are(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r), *t = r->host[1].incoming;
	uint64_t base;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, '1'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES + 6000), 0);
	base = stream_rx_base(t);
	assert_int_equal(engine_rx_consumed(r->host[1].engine, t, 5999, r->now_ns), 0);
	assert_int_equal(next_place(r, 0), place_of(t, 6000));
	assert_true(stream_rx_base(t) == base);
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	expect(r, t, 5999, RIG_RING, '1');
}

/* Another channel is in the middle of a payload: what it places has its place already. */
static void a_payload_on_another_channel_keeps_the_ring_where_it_is(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r), *t = r->host[1].incoming;
	uint64_t base;

	rig_up(r, 1, CLASS_LATENCY);
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, 6000, '1'), 0);
	rig_send(r, 0, 0);
	engine_stream_class(r->host[0].engine, s, CLASS_LATENCY);
	assert_int_equal(rig_write(r, 0, s, 6000, '2'), 0);
	rig_send(r, 1, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES + 100), 0);
	assert_int_equal(rig_deliver(r, 1, 0, WIRE_HEADER_BYTES), 0);
	assert_int_equal(rig_read(r, 1, t), 100);
	base = stream_rx_base(t);
	assert_int_equal(next_place(r, 1), place_of(t, 6000));
	assert_int_equal(next_place(r, 0), place_of(t, 100));
	assert_true(stream_rx_base(t) == base);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == 12000);
	expect(r, t, 100, 6000, '1');
	expect(r, t, 6000, 12000, '2');
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_ring_read_empty_within_a_payload_begins_again),
		CASE(unread_bytes_stay_where_they_are),
		CASE(a_payload_on_another_channel_keeps_the_ring_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
