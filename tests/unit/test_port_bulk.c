/* SPDX-License-Identifier: MIT */
/*
 * test_port_bulk.c - Goal: the rings of all streams that move bulk stay in the caches together,
 * however slowly each moves. Method: flows without a port, on the streams of engine_rig.h, and a
 * clock that the test moves.
 */
#include "../ncd_test.h"

#include "engine_rig.h"
#include "port_calls.h"

#define FLOWS  1000u
#define LARGE  (256u << 10)
#define LITTLE (64u << 10)

struct bulk {
	struct rig rig;
	struct worker *w;
	struct port port[2];
	struct flow flow[FLOWS]; /* of the first port */
};

static int set_up(void **state)
{
	struct bulk *b = calloc(1, sizeof(*b));

	rig_init(&b->rig);
	rig_up(&b->rig, 0, CLASS_THROUGHPUT);
	b->w = aligned_alloc(64, (sizeof(*b->w) + 63) & ~(size_t)63);
	memset(b->w, 0, sizeof(*b->w));
	b->w->bulk_period = 1;
	b->w->ports = &b->port[0];
	b->port[0].next = &b->port[1];
	for (uint32_t i = 0; i < FLOWS; i++)
		b->flow[i] = (struct flow){ .port = &b->port[0], .tx_bytes = LARGE,
					    .rx_bytes = 16384 };
	b->flow[0].stream = rig_connect(&b->rig);
	for (uint32_t i = 1; i < FLOWS; i++)
		b->flow[i].stream = b->flow[0].stream;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bulk *b = *state;

	rig_fini(&b->rig);
	free(b->w);
	free(b);
	return 0;
}

/* A second, in which each of @nr streams moves @bytes and is looked at @looks times. */
static void second(struct bulk *b, uint32_t nr, uint64_t bytes, uint32_t looks)
{
	for (uint32_t look = 0; look < looks; look++) {
		for (uint32_t i = 0; i < nr; i++) {
			b->flow[i].tx_tail += bytes / looks;
			flow_bulk_count(b->w, &b->flow[i]);
		}
		bulk_counted(b->w);
	}
	b->w->now_ns += 1000000000;
	bulk_counted(b->w);
}

static void the_more_move_bulk_the_smaller_the_ring_of_each(void **state)
{
	(void)state;
	assert_true(bulk_ring_share(0, 0, 0) == 8 << 20);
	assert_true(bulk_ring_share(0, 1, 1) == 8 << 20);
	assert_true(bulk_ring_share(50000, 2, 2) == 2 << 20);
	assert_true(bulk_ring_share(50000, 1, 64) == 256 << 10);
	assert_true(bulk_ring_share(50000, 100000, 1) == 256 << 10);
	/* On a long way they fill 100 Gbit/s together. */
	assert_in_range(bulk_ring_share(20000000, 8, 8) * 64, 200000000, 300000000);
}

static void each_counts_once_in_a_period(void **state)
{
	struct bulk *b = *state;

	second(b, 40, 10 << 20, 10);
	assert_int_equal(b->port[0].bulk, 40);
	second(b, 7, 10 << 20, 10);
	assert_int_equal(b->port[0].bulk, 7);
	second(b, 0, 0, 1);
	assert_int_equal(b->port[0].bulk, 0);
}

static void a_thousand_that_share_a_slow_link_count(void **state)
{
	struct bulk *b = *state;

	second(b, FLOWS, LITTLE, 8);
	assert_int_equal(b->port[0].bulk, FLOWS);
	assert_true(bulk_ring_most(b->w, &b->flow[0]) == LARGE);
	second(b, FLOWS, LITTLE, 8);
	assert_int_equal(b->port[0].bulk, FLOWS);
}

static void small_rings_do_not_count(void **state)
{
	struct bulk *b = *state;

	for (uint32_t i = 0; i < FLOWS; i++)
		b->flow[i].tx_bytes = 16384;
	second(b, FLOWS, 10 << 20, 10);
	assert_int_equal(b->port[0].bulk, 0);
}

static void those_that_begin_count_at_once(void **state)
{
	struct bulk *b = *state;

	flow_bulk_new(b->w, &b->port[0], 16384, LARGE);
	flow_bulk_new(b->w, &b->port[0], 16384, 65536);
	flow_bulk_new(b->w, &b->port[0], LARGE, 4 * LARGE);
	assert_true(bulk_ring_most(b->w, &b->flow[0]) == 8 << 20);
	for (uint32_t i = 0; i < 31; i++)
		flow_bulk_new(b->w, &b->port[0], 16384, LARGE);
	assert_true(bulk_ring_most(b->w, &b->flow[0]) == LARGE);
}

static void one_stream_beside_a_clients_thousand_has_half(void **state)
{
	struct bulk *b = *state;
	struct flow other = b->flow[0];

	other.port = &b->port[1];
	second(b, FLOWS, LITTLE, 8);
	assert_true(bulk_ring_most(b->w, &b->flow[0]) == LARGE);
	assert_true(bulk_ring_most(b->w, &other) == 4 << 20);
	flow_bulk_new(b->w, &b->port[1], 16384, LARGE);
	assert_true(bulk_ring_most(b->w, &other) == 4 << 20);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_more_move_bulk_the_smaller_the_ring_of_each),
		CASE(each_counts_once_in_a_period),
		CASE(a_thousand_that_share_a_slow_link_count),
		CASE(small_rings_do_not_count),
		CASE(those_that_begin_count_at_once),
		CASE(one_stream_beside_a_clients_thousand_has_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
