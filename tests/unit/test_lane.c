/* SPDX-License-Identifier: MIT */
/*
 * test_lane.c - Goal: where one worker has lanes to several workers of a peer, a stream always
 * meets the same of them. Method: two engines, four wires in two lanes.
 */
#include "../ncd_test.h"

#include <errno.h>

#include "engine_rig.h"

static int set_up(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	rig_init(r);
	for (int w = 0; w < 4; w++) {
		r->wire[w].lane = (uint16_t)(w / 2);
		rig_up(r, w, w % 2 ? CLASS_THROUGHPUT : CLASS_LATENCY);
	}
	rig_pump(r);
	*state = r;
	return 0;
}

/* Two workers of the peer, each behind the wires of one lane. */
static void a_stream_stays_in_the_lane_of_its_open(void **state)
{
	struct rig *r = *state;
	struct stream *s;
	int lane, other;

	s = rig_connect(r);
	assert_non_null(s);
	lane = rig_send(r, 0, 0) > 0 ? 0 : 1;
	if (lane == 1)
		assert_true(rig_send(r, 2, 0) > 0);
	other = !lane;
	rig_pump(r);
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	engine_stream_class(r->host[1].engine, r->host[1].incoming, CLASS_THROUGHPUT);
	rig_cut(r, 2 * lane);
	rig_cut(r, 2 * lane + 1);
	/* The other lane leads to a worker that does not know it, both ways. */
	rig_write(r, 0, s, 100, 'a');
	rig_write(r, 1, r->host[1].incoming, 200, 'b');
	for (int i = 0; i < 2; i++)
		for (int w = 2 * other; w < 2 * other + 2; w++)
			assert_true(rig_send(r, w, i) == 0);
	rig_up(r, 2 * lane, CLASS_LATENCY);
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 100);
	assert_true(rig_read(r, 0, s) == 200);
}

static void streams_are_opened_in_all_lanes(void **state)
{
	struct rig *r = *state;
	size_t sent[4];

	for (int i = 0; i < 8; i++)
		assert_non_null(rig_connect(r));
	for (int w = 0; w < 4; w++)
		sent[w] = rig_send(r, w, 0);
	assert_true(sent[0] > 0 && sent[0] == sent[2]);
}

/* Host 0 sends @f with @payload, on wire @w. */
static void inject(struct rig *r, int w, struct frame f, const uint8_t *payload)
{
	uint8_t header[WIRE_HEADER_BYTES];

	frame_encode(&f, header);
	assert_int_equal(rig_receive(r, w, 1, header, sizeof(header)), 0);
	assert_int_equal(rig_receive(r, w, 1, payload, f.length), 0);
}

/* The peer's workers have ids of their own, which may be the same. */
static void two_lanes_have_streams_of_the_same_id(void **state)
{
	struct open_info o = { .stream = UINT64_C(7) << 32 | 1, .destination_port = RIG_PORT,
			       .source = rig_address(0), .destination = rig_address(1) };
	uint8_t open[WIRE_OPEN_BYTES], code[4] = { 0 };
	struct rig *r = *state;
	struct stream *s[2];

	open_encode(&o, open);
	for (int lane = 0; lane < 2; lane++) {
		inject(r, 2 * lane, (struct frame){ .type = FRAME_OPEN, .length = sizeof(open),
						    .window = 100 }, open);
		assert_int_equal(r->host[1].incoming_nr, lane + 1);
		s[lane] = r->host[1].incoming;
	}
	/* The one that is not known there any more is the one in that lane. */
	inject(r, 2, (struct frame){ .type = FRAME_RESET, .flags = FRAME_F_UNKNOWN, .length = 4,
				     .offset = o.stream }, code);
	assert_int_equal(stream_error(s[0]), 0);
	assert_int_equal(stream_error(s[1]), -ECONNRESET);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stream_stays_in_the_lane_of_its_open),
		TEST(streams_are_opened_in_all_lanes),
		TEST(two_lanes_have_streams_of_the_same_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
