/* SPDX-License-Identifier: MIT */
/*
 * test_channel.c - Goal: a peer that breaks a rule of wire.h costs its channel and nothing else.
 * Method: frames made by hand, given to an engine with one stream.
 */
#include "../ncd_test.h"

#include <errno.h>

#include "engine_rig.h"

struct case_state {
	struct rig rig;
	struct stream *s;   /* of host 0 */
	uint64_t id, other; /* its id, and that of its peer */
};

/* Reads the two ids off the OPEN and the ACCEPT. */
static void learn_ids(struct case_state *c)
{
	struct rig *r = &c->rig;
	struct open_info info;
	struct frame f;
	size_t at = 0;

	rig_send(r, 0, 0);
	while (frame_decode(r->wire[0].bytes[0] + at, &f) == 0 && f.type != FRAME_OPEN)
		at += WIRE_HEADER_BYTES + f.length;
	assert_int_equal(open_decode(r->wire[0].bytes[0] + at + WIRE_HEADER_BYTES, &info), 0);
	c->id = info.stream;
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	rig_send(r, 0, 1);
	for (at = 0; frame_decode(r->wire[0].bytes[1] + at, &f) == 0 && f.type != FRAME_ACCEPT;)
		at += WIRE_HEADER_BYTES + f.length;
	c->other = wire_get64(r->wire[0].bytes[1] + at + WIRE_HEADER_BYTES);
	rig_pump(r);
}

static int set_up(void **state)
{
	struct case_state *c = calloc(1, sizeof(*c));

	rig_init(&c->rig);
	rig_up(&c->rig, 0, CLASS_LATENCY);
	c->s = rig_connect(&c->rig);
	learn_ids(c);
	*state = c;
	return 0;
}

static int tear_down(void **state)
{
	struct case_state *c = *state;

	rig_fini(&c->rig);
	free(c);
	return 0;
}

/* Gives host 0 a frame, with a payload of zeros. */
static int give(struct case_state *c, struct frame f)
{
	uint8_t *bytes = calloc(1, WIRE_HEADER_BYTES + f.length + 1);
	int r;

	frame_encode(&f, bytes);
	r = rig_receive(&c->rig, 0, 0, bytes, WIRE_HEADER_BYTES + f.length);
	free(bytes);
	return r;
}

/* The next frame that host 0 sends. */
static struct frame answer(struct case_state *c)
{
	struct frame f = { 0 };

	c->rig.wire[0].used[0] = 0;
	if (rig_send(&c->rig, 0, 0) >= WIRE_HEADER_BYTES)
		(void)frame_decode(c->rig.wire[0].bytes[0], &f);
	return f;
}

static void garbage_costs_the_channel(void **state)
{
	struct case_state *c = *state;
	uint8_t garbage[200];

	memset(garbage, 0x5a, sizeof(garbage));
	assert_int_equal(rig_receive(&c->rig, 0, 0, garbage, sizeof(garbage)), -EPROTO);
	assert_string_not_equal(engine_channel_error(c->rig.wire[0].channel[0]), "");
	assert_true(engine_counters(c->rig.host[0].engine)->frame_errors == 1);
	assert_int_equal(stream_error(c->s), 0);
}

static void a_hello_on_a_channel_that_is_up_costs_it(void **state)
{
	assert_int_equal(give(*state, (struct frame){ .type = FRAME_HELLO,
						      .length = WIRE_HELLO_BYTES }), -EPROTO);
}

static void data_beyond_the_credit_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_DATA, .stream = c->id,
						 .offset = 0, .length = RIG_RING + 1 }), -EPROTO);
}

static void data_at_absurd_offsets_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_DATA,
						 .stream = c->id,
						 .offset = UINT64_MAX - 4,
						 .length = 10 }),
			 -EPROTO);
}

static void data_behind_the_fin_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_FIN, .stream = c->id,
						 .offset = 10 }), 0);
	assert_int_equal(give(c, (struct frame){ .type = FRAME_DATA, .stream = c->id,
						 .offset = 5, .length = 6 }), -EPROTO);
}

static void a_fin_that_moves_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_FIN, .stream = c->id,
						 .offset = 10 }), 0);
	assert_int_equal(give(c, (struct frame){ .type = FRAME_FIN, .stream = c->id,
						 .offset = 11 }), -EPROTO);
}

static void a_fin_before_what_has_come_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_DATA, .stream = c->id,
						 .length = 10 }), 0);
	assert_int_equal(give(c, (struct frame){ .type = FRAME_FIN, .stream = c->id,
						 .offset = 5 }), -EPROTO);
}

static void an_ack_of_what_was_never_sent_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_CREDIT, .stream = c->id, .ack = 1 }),
			 -EPROTO);
}

static void a_credit_that_wraps_costs_the_channel(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_CREDIT, .stream = c->id,
						 .ack = UINT64_MAX, .window = 2 }), -EPROTO);
}

static void more_holes_than_can_be_remembered_cost_the_channel(void **state)
{
	struct case_state *c = *state;
	int r = 0;

	for (uint64_t i = 0; i <= NCD_INTERVALS_MAX && r == 0; i++)
		r = give(c, (struct frame){ .type = FRAME_DATA, .stream = c->id,
					    .offset = 2 * i + 1, .length = 1 });
	assert_int_equal(r, -EPROTO);
	assert_true(stream_rx_contiguous(c->s) == 0);
}

static void data_for_an_unknown_stream_is_answered_and_forgotten(void **state)
{
	struct case_state *c = *state;
	struct frame f;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_DATA, .stream = c->id + 1,
						 .length = 5000 }), 0);
	f = answer(c);
	assert_int_equal(f.type, FRAME_RESET);
	assert_int_equal(f.flags, FRAME_F_UNKNOWN);
	assert_true(f.offset == c->id + 1);
	assert_int_equal(stream_error(c->s), 0);
}

static void an_unknown_of_ours_ends_our_stream(void **state)
{
	struct case_state *c = *state;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_RESET, .flags = FRAME_F_UNKNOWN,
						 .length = 4, .offset = c->other }), 0);
	assert_int_equal(stream_error(c->s), -ECONNRESET);
}

static void a_reset_is_answered_with_the_senders_id(void **state)
{
	struct case_state *c = *state;
	struct frame f;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_RESET, .length = 4,
						 .stream = c->id, .offset = c->other }), 0);
	assert_int_equal(stream_error(c->s), -ECONNRESET);
	f = answer(c);
	assert_int_equal(f.type, FRAME_RESET_ACK);
	assert_true(f.stream == c->other);
}

static void a_ping_is_answered(void **state)
{
	struct case_state *c = *state;
	struct frame f;

	assert_int_equal(give(c, (struct frame){ .type = FRAME_PING, .offset = 4711 }), 0);
	f = answer(c);
	assert_int_equal(f.type, FRAME_PONG);
	assert_true(f.offset == 4711);
}

static uint64_t urgent(const struct case_state *c)
{
	return engine_channel_counters(c->rig.wire[0].channel[0])->frames_urgent;
}

/* Or bulk would never be served in long turns: its credit comes on a latency channel. */
static void credit_and_pings_are_not_urgent(void **state)
{
	struct case_state *c = *state;
	uint64_t before = urgent(c);

	assert_int_equal(give(c, (struct frame){ .type = FRAME_CREDIT, .stream = c->id }), 0);
	assert_int_equal(give(c, (struct frame){ .type = FRAME_PING, .offset = 7 }), 0);
	assert_int_equal(answer(c).type, FRAME_PONG);
	assert_int_equal(urgent(c), before);
	assert_int_equal(give(c, (struct frame){ .type = FRAME_DATA, .stream = c->id,
						 .length = 1 }), 0);
	assert_int_equal(urgent(c), before + 1);
}

static void questions_without_reading_answers_cost_the_channel(void **state)
{
	struct case_state *c = *state;
	int r = 0;

	for (int i = 0; i < 100000 && r == 0; i++)
		r = give(c, (struct frame){ .type = FRAME_PING });
	assert_int_equal(r, -EPROTO);
}

static void an_accept_for_what_was_accepted_here_costs_the_channel(void **state)
{
	struct case_state *c = *state;
	struct frame f = { .type = FRAME_ACCEPT, .stream = c->other, .length = 8 };
	uint8_t bytes[WIRE_HEADER_BYTES + 8] = { 0 };

	frame_encode(&f, bytes);
	bytes[WIRE_HEADER_BYTES] = 1;
	assert_int_equal(rig_receive(&c->rig, 0, 1, bytes, sizeof(bytes)), -EPROTO);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(garbage_costs_the_channel),
		CASE(a_hello_on_a_channel_that_is_up_costs_it),
		CASE(data_beyond_the_credit_costs_the_channel),
		CASE(data_at_absurd_offsets_costs_the_channel),
		CASE(data_behind_the_fin_costs_the_channel),
		CASE(a_fin_that_moves_costs_the_channel),
		CASE(a_fin_before_what_has_come_costs_the_channel),
		CASE(an_ack_of_what_was_never_sent_costs_the_channel),
		CASE(a_credit_that_wraps_costs_the_channel),
		CASE(more_holes_than_can_be_remembered_cost_the_channel),
		CASE(data_for_an_unknown_stream_is_answered_and_forgotten),
		CASE(an_unknown_of_ours_ends_our_stream),
		CASE(a_reset_is_answered_with_the_senders_id),
		CASE(a_ping_is_answered),
		CASE(credit_and_pings_are_not_urgent),
		CASE(questions_without_reading_answers_cost_the_channel),
		CASE(an_accept_for_what_was_accepted_here_costs_the_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
