/* SPDX-License-Identifier: MIT */
/*
 * test_channel_drain.c - Goal: a channel that goes takes nothing with it: nothing is sent again, no
 * answer is missed, and one that dies meanwhile is as any other. Method: two engines, the first of
 * which finds one of its channels idle for too long; wires that a test moves or cuts.
 */
#include "../ncd_test.h"

#include <errno.h>

#include "engine_rig.h"

#define FIRST  0 /* wires: a latency and a throughput channel, and the one that goes */
#define SECOND 1
#define EXTRA  2
#define LOOK   1000000ull

static int set_up(void **state)
{
	struct rig *r = malloc(sizeof(*r));
	struct engine_config cfg = rig_config();

	cfg.throughput = 1;
	cfg.throughput_max = 3;
	cfg.look_ns = LOOK;
	rig_init_as(r, cfg);
	rig_up(r, FIRST, CLASS_LATENCY);
	rig_up(r, SECOND, CLASS_THROUGHPUT);
	rig_up(r, EXTRA, CLASS_THROUGHPUT);
	engine_channel_extra(r->host[0].engine, r->wire[EXTRA].channel[0], r->now_ns);
	rig_pump(r);
	*state = r;
	return 0;
}

/* Looks, until the extra channel has been idle for long enough. */
static void let_it_go(struct rig *r)
{
	struct channel *dead;

	for (int i = 0; i < 100 && !engine_channel_draining(r->wire[EXTRA].channel[0]); i++) {
		r->now_ns += LOOK;
		engine_tick(r->host[0].engine, r->now_ns, &dead);
		assert_null(dead);
	}
	assert_true(engine_channel_draining(r->wire[EXTRA].channel[0]));
}

/* Closed as the workers do it: by whoever hears that it is over. */
static void close_extra(struct rig *r)
{
	assert_true(engine_channel_over(r->wire[EXTRA].channel[1]));
	rig_down_one(r, EXTRA, 1);
	rig_down_one(r, EXTRA, 0);
}

static uint64_t retransmits(const struct rig *r)
{
	return engine_counters(r->host[0].engine)->retransmits +
	       engine_counters(r->host[1].engine)->retransmits;
}

static struct stream *connected(struct rig *r)
{
	struct stream *s = rig_connect(r);

	assert_non_null(s);
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	rig_pump(r);
	assert_int_equal(r->host[1].incoming_nr, 1);
	return s;
}

static void an_idle_channel_goes_in_three_steps(void **state)
{
	struct rig *r = *state;

	let_it_go(r);
	assert_false(engine_channel_draining(r->wire[EXTRA].channel[1]));
	rig_send(r, EXTRA, 0);
	assert_int_equal(rig_deliver(r, EXTRA, 0, SIZE_MAX), 0);
	assert_true(engine_channel_draining(r->wire[EXTRA].channel[1]));
	assert_false(engine_channel_clean(r->wire[EXTRA].channel[0]));
	rig_send(r, EXTRA, 1);
	assert_int_equal(rig_deliver(r, EXTRA, 1, SIZE_MAX), 0);
	assert_true(engine_channel_clean(r->wire[EXTRA].channel[0]));
	assert_false(engine_channel_over(r->wire[EXTRA].channel[0]));
	assert_false(engine_channel_clean(r->wire[EXTRA].channel[1]));
	rig_send(r, EXTRA, 0);
	assert_int_equal(rig_deliver(r, EXTRA, 0, SIZE_MAX), 0);
	close_extra(r);
	assert_true(retransmits(r) == 0);
}

static void bytes_on_it_arrive_before_it_goes_and_are_not_sent_again(void **state)
{
	struct rig *r = *state;
	struct stream *s = connected(r);

	rig_write(r, 0, s, 8000, 'a');
	rig_send(r, EXTRA, 0);
	rig_send(r, SECOND, 0);
	let_it_go(r);
	rig_write(r, 0, s, 4000, 'b');
	rig_send(r, EXTRA, 0);
	rig_send(r, SECOND, 0);
	assert_true(r->wire[SECOND].used[0] > 4000);
	rig_pump(r);
	close_extra(r);
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 12000);
	assert_true(retransmits(r) == 0);
	assert_true(engine_counters(r->host[1].engine)->duplicate_bytes == 0);
}

/* Bytes of a stream on the extra channel only: it is the only one of its class for a moment. */
static struct stream *writes_on_extra(struct rig *r, uint32_t bytes)
{
	struct stream *s = connected(r);

	rig_cut(r, SECOND);
	rig_write(r, 0, s, bytes, 'a');
	rig_send(r, EXTRA, 0);
	assert_true(r->wire[EXTRA].used[0] > bytes);
	rig_up(r, SECOND, CLASS_THROUGHPUT);
	return s;
}

static void bytes_under_way_on_it_are_kept(void **state)
{
	struct rig *r = *state;
	struct stream *s = writes_on_extra(r, 8000);
	uint64_t before = retransmits(r);

	let_it_go(r);
	rig_write(r, 0, s, 4000, 'b');
	rig_send(r, SECOND, 0);
	/* The second part overtakes the first. */
	assert_int_equal(rig_deliver(r, SECOND, 0, SIZE_MAX), 0);
	rig_pump(r);
	close_extra(r);
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 12000);
	assert_true(retransmits(r) == before);
}

static void one_that_dies_while_it_drains_loses_nothing(void **state)
{
	struct rig *r = *state;
	struct stream *s = writes_on_extra(r, 8000);

	let_it_go(r);
	rig_send(r, EXTRA, 0);
	/* Half of the bytes arrive, the question does not. */
	(void)rig_deliver(r, EXTRA, 0, 4000);
	rig_cut(r, EXTRA);
	rig_write(r, 0, s, 4000, 'b');
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 12000);
}

static void one_that_dies_behind_the_answer_is_clean_on_one_side(void **state)
{
	struct rig *r = *state;
	struct stream *s = writes_on_extra(r, 8000);
	uint64_t before = retransmits(r);

	let_it_go(r);
	rig_send(r, EXTRA, 0);
	assert_int_equal(rig_deliver(r, EXTRA, 0, SIZE_MAX), 0);
	rig_send(r, EXTRA, 1);
	assert_int_equal(rig_deliver(r, EXTRA, 1, SIZE_MAX), 0);
	assert_true(engine_channel_clean(r->wire[EXTRA].channel[0]));
	rig_cut(r, EXTRA);
	rig_write(r, 0, s, 4000, 'b');
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 12000);
	assert_true(engine_counters(r->host[0].engine)->retransmits == before);
}

static void a_connect_that_waits_for_its_listener_holds_it_up(void **state)
{
	struct rig *r = *state;
	struct channel *dead;
	struct stream *s;

	rig_cut(r, FIRST);
	rig_cut(r, SECOND);
	r->host[1].answer = -EAGAIN;
	s = rig_connect(r);
	rig_pump(r);
	assert_int_equal(r->host[1].incoming_nr, 1);
	rig_up(r, FIRST, CLASS_LATENCY);
	rig_up(r, SECOND, CLASS_THROUGHPUT);
	rig_pump(r);
	let_it_go(r);
	rig_pump(r);
	/* A refusal would have to go on the channel that brought the OPEN. */
	assert_false(engine_channel_clean(r->wire[EXTRA].channel[0]));
	engine_stream_refuse(r->host[1].engine, r->host[1].incoming, r->now_ns);
	r->now_ns += 100000000;
	engine_tick(r->host[1].engine, r->now_ns, &dead);
	assert_null(dead);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_ERROR);
	assert_int_equal(stream_error(s), -ECONNREFUSED);
	close_extra(r);
}

static void one_that_never_ends_is_given_up(void **state)
{
	struct rig *r = *state;
	struct channel *dead;

	let_it_go(r);
	r->now_ns += r->cfg.ping_dead_ns + 1;
	engine_tick(r->host[0].engine, r->now_ns, &dead);
	assert_non_null(dead);
}

/* What a peer that does not keep the rules may say. */
static void steps_out_of_order_are_errors(void **state)
{
	static const uint64_t bad[] = { 0, WIRE_DRAIN_READY, WIRE_DRAIN_CLOSE, 4, UINT64_MAX };
	struct rig *r = *state;
	uint8_t frame[WIRE_HEADER_BYTES];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame f = { .type = FRAME_DRAIN, .offset = bad[i] };

		frame_encode(&f, frame);
		assert_int_equal(rig_receive(r, EXTRA, 0, frame, sizeof(frame)), -EPROTO);
		rig_cut(r, EXTRA);
		rig_up(r, EXTRA, CLASS_THROUGHPUT);
	}
}

static void the_same_step_twice_is_an_error(void **state)
{
	struct frame f = { .type = FRAME_DRAIN, .offset = WIRE_DRAIN_ASK };
	struct rig *r = *state;
	uint8_t frame[WIRE_HEADER_BYTES];

	frame_encode(&f, frame);
	assert_int_equal(rig_receive(r, EXTRA, 0, frame, sizeof(frame)), 0);
	assert_int_equal(rig_receive(r, EXTRA, 0, frame, sizeof(frame)), -EPROTO);
}

static void a_peer_may_let_its_last_channel_go(void **state)
{
	struct frame f = { .type = FRAME_DRAIN, .offset = WIRE_DRAIN_ASK };
	struct rig *r = *state;
	struct stream *s = connected(r);
	uint8_t frame[WIRE_HEADER_BYTES];

	frame_encode(&f, frame);
	rig_cut(r, SECOND);
	rig_cut(r, EXTRA);
	assert_int_equal(rig_receive(r, FIRST, 0, frame, sizeof(frame)), 0);
	rig_write(r, 0, s, 100, 'a');
	rig_up(r, SECOND, CLASS_THROUGHPUT);
	rig_send(r, FIRST, 0);
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_idle_channel_goes_in_three_steps),
		TEST(bytes_on_it_arrive_before_it_goes_and_are_not_sent_again),
		TEST(bytes_under_way_on_it_are_kept),
		TEST(one_that_dies_while_it_drains_loses_nothing),
		TEST(one_that_dies_behind_the_answer_is_clean_on_one_side),
		TEST(a_connect_that_waits_for_its_listener_holds_it_up),
		TEST(one_that_never_ends_is_given_up),
		TEST(steps_out_of_order_are_errors),
		TEST(the_same_step_twice_is_an_error),
		TEST(a_peer_may_let_its_last_channel_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
