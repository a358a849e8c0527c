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

/*
 * The last bytes and the FIN came on wire 1, while wire 0 still held a copy of them: both die here,
 * and then the sender hears by another what has come. It has no reason to ask any more.
 */
static void an_end_that_was_held_back_needs_no_channel_that_is_dead(void **state)
{
	struct rig *r = *state;
	struct stream *s = established(r), *t = r->host[1].incoming;
	uint32_t events;

	engine_stream_shutdown(r->host[1].engine, t, r->now_ns);
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, 12000, '1'), 0);
	engine_stream_shutdown(r->host[0].engine, s, r->now_ns);
	assert_true(rig_send(r, 0, 0) > 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES + 100), 0);
	(void)next_place(r, 0); /* the rest is to be received there */
	rig_up(r, 1, CLASS_THROUGHPUT);
	rig_down_one(r, 0, 0);
	assert_true(rig_send(r, 1, 0) > 0);
	assert_int_equal(rig_deliver(r, 1, 0, SIZE_MAX), 0);
	assert_true(stream_rx_contiguous(t) == 100);
	rig_down_one(r, 1, 1);
	rig_down_one(r, 0, 1);
	assert_true(stream_rx_ended(t));
	assert_true(rig_events(r, 1, t) & STREAM_EV_DONE);
	engine_stream_free(r->host[1].engine, t);
	/* If it asks after all. */
	rig_up(r, 2, CLASS_THROUGHPUT);
	rig_down_one(r, 1, 0);
	rig_pump(r);
	events = rig_events(r, 0, s);
	assert_true(events & STREAM_EV_DONE);
	assert_int_equal(stream_error(s), 0);
}

/* Raw: the first @most bytes of a DATA for @t, all of it in letters, with FIN, on wire @w. */
static void inject(struct rig *r, int w, struct stream *t, uint64_t offset, uint32_t length,
		   size_t most)
{
	struct frame f = { .type = FRAME_DATA, .flags = FRAME_F_FIN, .length = length, .ack = 1,
			   .offset = offset, .stream = stream_id(t), .window = RIG_RING };
	uint8_t bytes[WIRE_HEADER_BYTES + RIG_RING];

	frame_encode(&f, bytes);
	memset(bytes + WIRE_HEADER_BYTES, '1', length);
	assert_int_equal(rig_receive(r, w, 1, bytes, WIRE_HEADER_BYTES + most), 0);
}

/* The last byte that was missing comes with a payload that never ends: its channel dies. */
static void an_end_within_a_payload_is_told_when_its_channel_dies(void **state)
{
	struct rig *r = *state;
	struct stream *t;

	(void)established(r);
	t = r->host[1].incoming;
	rig_up(r, 1, CLASS_LATENCY);
	engine_stream_shutdown(r->host[1].engine, t, r->now_ns);
	rig_pump(r);
	inject(r, 1, t, 6000, 6000, 6000);
	inject(r, 0, t, 0, 12000, 6001);
	assert_true(stream_rx_ended(t));
	assert_false(rig_events(r, 1, t) & STREAM_EV_DONE);
	rig_cut(r, 0);
	assert_true(rig_events(r, 1, t) & STREAM_EV_DONE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_ring_read_empty_within_a_payload_begins_again),
		CASE(unread_bytes_stay_where_they_are),
		CASE(a_payload_on_another_channel_keeps_the_ring_where_it_is),
		CASE(an_end_that_was_held_back_needs_no_channel_that_is_dead),
		CASE(an_end_within_a_payload_is_told_when_its_channel_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
