/* SPDX-License-Identifier: MIT */
/*
 * test_ring.c - ring.h: order, bounds, wrap of the indices, a hostile other side, two threads.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../ncd_test.h"
#include "ncd/ring.h"

#define CAPACITY 64u
#define WORDS    1000000u

struct pair {
	struct ring in, out;
	void *mem;
};

static void pair_start(struct pair *p)
{
	p->mem = aligned_alloc(64, ring_bytes(CAPACITY));
	assert_non_null(p->mem);
	memset(p->mem, 0, ring_bytes(CAPACITY));
	ring_init(&p->in, p->mem, CAPACITY);
	ring_init(&p->out, p->mem, CAPACITY);
}

static void words_come_out_in_order_until_empty(void **state)
{
	struct pair p;
	uint64_t word;

	(void)state;
	pair_start(&p);
	assert_true(ring_empty(&p.out));
	assert_int_equal(ring_pop(&p.out, &word), -EAGAIN);
	for (uint64_t i = 0; i < CAPACITY; i++)
		assert_int_equal(ring_push(&p.in, i), 0);
	assert_int_equal(ring_push(&p.in, 99), -EAGAIN);
	for (uint64_t i = 0; i < CAPACITY; i++) {
		assert_int_equal(ring_pop(&p.out, &word), 0);
		assert_int_equal(word, i);
	}
	assert_int_equal(ring_pop(&p.out, &word), -EAGAIN);
	assert_int_equal(ring_push(&p.in, 99), 0);
	free(p.mem);
}

static void indices_may_wrap(void **state)
{
	struct pair p;
	uint64_t word;

	(void)state;
	pair_start(&p);
	p.in.own = p.in.foreign = p.out.own = p.out.foreign = UINT32_MAX - 5;
	atomic_store(&p.in.shm->head, UINT32_MAX - 5);
	atomic_store(&p.in.shm->tail, UINT32_MAX - 5);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(ring_push(&p.in, i), 0);
		assert_int_equal(ring_pop(&p.out, &word), 0);
		assert_int_equal(word, i);
	}
	free(p.mem);
}

static void an_absurd_index_is_a_protocol_error(void **state)
{
	struct pair p;
	uint64_t word;

	(void)state;
	pair_start(&p);
	atomic_store(&p.in.shm->tail, CAPACITY + 1);
	assert_int_equal(ring_pop(&p.out, &word), -EPROTO);
	atomic_store(&p.in.shm->tail, UINT32_MAX);
	assert_int_equal(ring_pop(&p.out, &word), -EPROTO);
	for (uint64_t i = 0; i < CAPACITY; i++)
		assert_int_equal(ring_push(&p.in, i), 0);
	atomic_store(&p.in.shm->head, CAPACITY + 1);
	assert_int_equal(ring_push(&p.in, 0), -EPROTO);
	free(p.mem);
}

static void *produce(void *arg)
{
	struct pair *p = arg;

	for (uint64_t i = 0; i < WORDS;) {
		if (ring_push(&p->in, i) == 0)
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void two_threads_pass_every_word(void **state)
{
	struct pair p;
	pthread_t t;
	uint64_t word = 0;

	(void)state;
	pair_start(&p);
	assert_int_equal(pthread_create(&t, NULL, produce, &p), 0);
	for (uint64_t i = 0; i < WORDS;) {
		if (ring_pop(&p.out, &word) == 0) {
			assert_int_equal(word, i);
			i++;
		} else {
			sched_yield();
		}
	}
	pthread_join(t, NULL);
	free(p.mem);
}

static void what_the_producer_takes_back_is_passed_over(void **state)
{
	struct pair p;
	uint64_t word;

	(void)state;
	pair_start(&p);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(ring_push(&p.in, i), 0);
	assert_int_equal(ring_claim(&p.in, 0), 0);
	assert_int_equal(ring_claim(&p.in, 2), 2);
	assert_true(ring_claim(&p.in, 2) == RING_CLAIMED);
	assert_false(ring_empty_claim(&p.out));
	assert_int_equal(ring_pop_claim(&p.out, &word), 0);
	assert_int_equal(word, 1);
	assert_true(ring_claim(&p.in, 1) == RING_CLAIMED);
	assert_int_equal(ring_claim(&p.in, 3), 3);
	assert_true(ring_empty_claim(&p.out));
	assert_int_equal(ring_pop_claim(&p.out, &word), -EAGAIN);
	assert_int_equal(ring_push(&p.in, 4), 0);
	assert_int_equal(ring_pop_claim(&p.out, &word), 0);
	assert_int_equal(word, 4);
	/* Absurd: not empty, and an error. */
	atomic_store(&p.in.shm->tail, p.out.own + CAPACITY + 1);
	assert_false(ring_empty_claim(&p.out));
	assert_int_equal(ring_pop_claim(&p.out, &word), -EPROTO);
	free(p.mem);
}

/* Pushes, and takes back what lies in the middle; *ret is the sum of that. */
static void *produce_and_take_back(void *arg)
{
	struct pair *p = arg;
	uint64_t *sum = malloc(sizeof(*sum));

	*sum = 0;
	for (uint64_t i = 0; i < WORDS;) {
		uint64_t word;

		if (ring_push(&p->in, i) < 0) {
			sched_yield();
			continue;
		}
		i++;
		word = i % 3 ? RING_CLAIMED : ring_claim(&p->in, p->in.own - (uint32_t)(i % 2) - 1);
		*sum += word == RING_CLAIMED ? 0 : word;
	}
	return sum;
}

static void each_word_is_had_by_one_side(void **state)
{
	uint64_t sum = 0, word = 0, *back;
	struct pair p;
	bool over = false;
	pthread_t t;

	(void)state;
	pair_start(&p);
	assert_int_equal(pthread_create(&t, NULL, produce_and_take_back, &p), 0);
	while (!over) {
		/* Behind the last word nothing comes, and it may have been taken back. */
		over = atomic_load(&p.in.shm->tail) == WORDS;
		while (ring_pop_claim(&p.out, &word) == 0)
			sum += word;
		sched_yield();
	}
	pthread_join(t, (void **)&back);
	assert_true(sum + *back == (uint64_t)WORDS * (WORDS - 1) / 2);
	free(back);
	free(p.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_come_out_in_order_until_empty),
		cmocka_unit_test(indices_may_wrap),
		cmocka_unit_test(an_absurd_index_is_a_protocol_error),
		cmocka_unit_test(two_threads_pass_every_word),
		cmocka_unit_test(what_the_producer_takes_back_is_passed_over),
		cmocka_unit_test(each_word_is_had_by_one_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
