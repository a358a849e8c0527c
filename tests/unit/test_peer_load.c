/* SPDX-License-Identifier: MIT */
/*
 * test_peer_load.c - Goal: a stream that waits for a channel that is stuck goes on on an idle one;
 * if there is none for long enough, another channel is asked for, once. Method: an engine whose
 * transport takes what the test lets it.
 */
#include "../ncd_test.h"

#include "engine_rig.h"

#define LOOK  1000000ull
#define BYTES (4u << 20)

static int set_up(void **state)
{
	struct rig *r = malloc(sizeof(*r));
	struct engine_config cfg = rig_config();

	cfg.throughput = 1;
	cfg.throughput_max = 3;
	cfg.look_ns = LOOK;
	rig_init_as(r, cfg);
	for (int i = 0; i < 2; i++) {
		free(r->host[i].rx.base);
		r->host[i].rx = rig_ring(BYTES);
	}
	free(r->tx.base);
	r->tx = rig_ring(BYTES);
	rig_up(r, 0, CLASS_LATENCY);
	rig_up(r, 1, CLASS_THROUGHPUT);
	rig_pump(r);
	*state = r;
	return 0;
}

static struct stream *connected(struct rig *r)
{
	struct stream *s = rig_connect(r);

	assert_non_null(s);
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	rig_pump(r);
	return s;
}

/* The transport is given what there is on wire @w, and takes none of it. */
static bool give(struct rig *r, int w)
{
	const struct iovec *iov;

	return engine_channel_wants_tx(r->wire[w].channel[0]) &&
	       engine_tx_iov(r->host[0].engine, r->wire[w].channel[0], r->now_ns, &iov) > 0;
}

static uint32_t stuck(struct rig *r, int w)
{
	return engine_channel_stuck(r->host[0].engine, r->wire[w].channel[0], r->now_ns);
}

/* So many looks, with all throughput channels stuck in each. True if one more is wanted. */
static bool looks(struct rig *r, int nr, int wires)
{
	struct channel *dead;
	bool grows = false;

	for (int i = 0; i < nr; i++) {
		for (int w = 1; w <= wires; w++)
			(void)stuck(r, w);
		r->now_ns += LOOK;
		engine_tick(r->host[0].engine, r->now_ns, &dead);
		grows |= engine_peer_grows(r->host[0].engine, 1);
	}
	return grows;
}

static void what_waits_for_a_stuck_channel_goes_on_on_an_idle_one(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	rig_up(r, 2, CLASS_THROUGHPUT);
	s = connected(r);
	rig_write(r, 0, s, 1 << 20, 'a');
	assert_true(give(r, 1) != give(r, 2));
	/* Whichever has it: the other gets the rest. */
	assert_int_equal(stuck(r, 1) + stuck(r, 2), 1);
	(void)give(r, 1);
	(void)give(r, 2);
	/* Both are stuck now: it stays. */
	assert_int_equal(stuck(r, 1) + stuck(r, 2), 0);
	rig_pump(r);
	assert_true(rig_read(r, 1, r->host[1].incoming) == 1 << 20);
	assert_int_equal(engine_counters(r->host[0].engine)->retransmits, 0);
}

static void a_short_rest_stays_where_it_is(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	rig_up(r, 2, CLASS_THROUGHPUT);
	s = connected(r);
	rig_write(r, 0, s, (64 << 10) + 8000, 'a');
	(void)give(r, 1);
	(void)give(r, 2);
	assert_int_equal(stuck(r, 1) + stuck(r, 2), 0);
}

static void channels_that_are_blocked_long_enough_want_another(void **state)
{
	struct rig *r = *state;
	struct stream *s = connected(r);

	rig_write(r, 0, s, 1 << 20, 'a');
	assert_true(give(r, 1));
	assert_false(looks(r, 1, 1));
	assert_true(looks(r, 1, 1));
	/* Once, until that has been answered. */
	assert_false(looks(r, 100, 1));
	engine_peer_grown(r->host[0].engine, 1, false, r->now_ns);
	assert_false(looks(r, 10, 1));
	assert_true(looks(r, 100, 1));
}

static void without_anything_that_waits_they_are_enough(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	rig_up(r, 2, CLASS_THROUGHPUT);
	s = connected(r);
	rig_write(r, 0, s, 100000, 'a');
	/* One takes a frame, the other the rest. */
	if (give(r, 1)) {
		assert_int_equal(stuck(r, 1), 1);
		assert_true(give(r, 2));
	} else {
		assert_true(give(r, 2));
		assert_int_equal(stuck(r, 2), 1);
		assert_true(give(r, 1));
	}
	assert_false(looks(r, 20, 2));
}

static void at_the_most_nothing_is_asked_for(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	rig_up(r, 2, CLASS_THROUGHPUT);
	rig_up(r, 3, CLASS_THROUGHPUT);
	s = connected(r);
	rig_write(r, 0, s, 1 << 20, 'a');
	for (int i = 0; i < 4; i++)
		for (int w = 1; w <= 3; w++) {
			(void)give(r, w);
			(void)stuck(r, w);
		}
	assert_false(looks(r, 20, 3));
}

static void a_removed_peer_is_forgotten(void **state)
{
	struct rig *r = *state;
	struct address other = rig_address(1);
	struct stream *s = connected(r);

	rig_write(r, 0, s, 1 << 20, 'a');
	assert_true(give(r, 1));
	(void)looks(r, 1, 1);
	engine_peer_remove(r->host[0].engine, 1, r->now_ns);
	engine_peer_set(r->host[0].engine, 1, &other, 1);
	assert_false(engine_peer_grows(r->host[0].engine, 1));
	assert_true(engine_deadline(r->host[0].engine) > r->now_ns);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_waits_for_a_stuck_channel_goes_on_on_an_idle_one),
		TEST(a_short_rest_stays_where_it_is),
		TEST(channels_that_are_blocked_long_enough_want_another),
		TEST(without_anything_that_waits_they_are_enough),
		TEST(at_the_most_nothing_is_asked_for),
		TEST(a_removed_peer_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
