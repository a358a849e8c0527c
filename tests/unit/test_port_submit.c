/* SPDX-License-Identifier: MIT */
/*
 * test_port_submit.c - Goal: what an application has posted takes only so much of a worker's turn,
 * and all of its queues go on. Method: a port without a worker's thread; the test takes the turns.
 */
#include "worker_rig.h"

#include "port_calls.h"

#define QUEUES       3u
#define WORDS        1000u
#define WORDS_A_TURN 256u /* begun; a batch of 32 is finished */

struct queues {
	struct region_shm layout;
	struct region_map seg;
	struct port *port;
	struct worker *worker;
	struct ring sq[QUEUES]; /* the application's ends */
};

static void queues_init(struct queues *q)
{
	struct port_config cfg = { .layout = &q->layout, .doorbell_fd = -1,
				   .region_max = 1u << 20 };
	uint8_t *base;

	assert_int_equal(region_create(1, RIG_SLOTS, 0, &q->layout, &q->seg), 0);
	cfg.segment0 = q->seg.base;
	cfg.segment0_bytes = q->seg.bytes;
	q->port = port_create(&cfg);
	q->worker = calloc(1, sizeof(*q->worker));
	assert_true(q->port && q->worker);
	q->worker->active_ports = q->port;
	base = q->seg.base + q->layout.port_off + q->layout.sq_off;
	for (uint32_t i = 0; i < QUEUES; i++)
		ring_init(&q->sq[i], base + i * q->layout.sq_bytes, NCD_SQ_ENTRIES);
}

static void queues_fini(struct queues *q)
{
	free(q->worker);
	port_destroy(q->port);
	region_unmap(&q->seg);
}

/* Words that do nothing: of a slot without a stream. */
static void post(struct queues *q, uint32_t i, uint32_t words)
{
	while (words-- > 0)
		assert_int_equal(ring_push(&q->sq[i], sq_word(SQ_KICK, 0, 0)), 0);
	ring_publish(&q->sq[i]);
}

static void a_turn_takes_so_many_words_of_one_application(void **state)
{
	struct queues q;
	uint32_t turns = 0, taken = 0, nr;

	(void)state;
	queues_init(&q);
	for (uint32_t i = 0; i < QUEUES; i++)
		post(&q, i, WORDS);
	while ((nr = ports_submit(q.worker)) > 0) {
		assert_true(nr < WORDS_A_TURN + 32);
		taken += nr;
		turns++;
	}
	assert_int_equal(taken, QUEUES * WORDS);
	assert_true(turns <= QUEUES * (WORDS / WORDS_A_TURN + 1));
	queues_fini(&q);
}

static void a_full_queue_does_not_keep_another_waiting(void **state)
{
	struct queues q;
	uint32_t turns = 0;

	(void)state;
	queues_init(&q);
	post(&q, 0, 4 * WORDS);
	post(&q, 1, 4 * WORDS);
	post(&q, 2, 1);
	while (!ring_empty(&q.port->sq[2])) {
		(void)ports_submit(q.worker);
		turns++;
	}
	assert_true(turns <= QUEUES);
	queues_fini(&q);
}

static uint32_t told(struct queues *q)
{
	const uint8_t *base = q->seg.base + q->layout.port_off;
	const struct port_shm *shm = (const struct port_shm *)(const void *)base;

	post(q, 0, 1);
	(void)ports_submit(q->worker);
	return atomic_load(&shm->give_way);
}

static void who_posts_is_told_whether_round_trips_are_under_way(void **state)
{
	struct queues q;

	(void)state;
	queues_init(&q);
	q.worker->now_ns = UINT64_C(1000000000);
	assert_int_equal(told(&q), 0);
	q.worker->latency_ns = q.worker->now_ns;
	assert_int_equal(told(&q), 64 << 10);
	q.worker->now_ns += 10000000;
	assert_int_equal(told(&q), 64 << 10);
	q.worker->slice.is_short = true;
	assert_int_equal(told(&q), 128 << 10);
	q.worker->now_ns += 20000000;
	assert_int_equal(told(&q), 0);
	queues_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_takes_so_many_words_of_one_application),
		cmocka_unit_test(a_full_queue_does_not_keep_another_waiting),
		cmocka_unit_test(who_posts_is_told_whether_round_trips_are_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
