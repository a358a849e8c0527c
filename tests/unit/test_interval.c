/* SPDX-License-Identifier: MIT */
/*
 * test_interval.c - Goal: intervals are what a set of bytes would be. Method: random pieces beside
 * a bitmap, and the limits one by one. The seed is printed.
 */
#include "../ncd_test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/interval.h"

#define SPACE 400

static void check_shape(const struct interval_set *set, uint64_t contiguous)
{
	uint64_t last = contiguous;

	for (uint32_t i = 0; i < set->nr; i++) {
		assert_true(set->at[i].start > last);
		assert_true(set->at[i].end > set->at[i].start);
		last = set->at[i].end;
	}
}

static void check_bytes(const struct interval_set *set, uint64_t contiguous, const uint8_t *have)
{
	for (uint64_t b = 0; b < SPACE; b++) {
		bool in = b < contiguous;

		for (uint32_t i = 0; i < set->nr; i++)
			in |= b >= set->at[i].start && b < set->at[i].end;
		assert_int_equal(in, have[b]);
	}
}

static void a_set_is_what_a_bitmap_is(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < 300; round++) {
		struct interval_set set = { 0 };
		uint8_t have[SPACE] = { 0 };
		uint64_t contiguous = 0;

		while (contiguous < SPACE) {
			uint64_t start = (uint64_t)random() % SPACE;
			uint64_t end = start + 1 + (uint64_t)random() % ((uint64_t)round % 40 + 1);
			int64_t added, fresh = 0;

			end = end > SPACE ? SPACE : end;
			added = interval_add(&set, &contiguous, UINT64_MAX, start, end);
			if (added == -ENOSPC) {
				assert_int_equal(set.nr, NCD_INTERVALS_MAX);
				check_bytes(&set, contiguous, have);
				break;
			}
			for (uint64_t b = start; b < end; b++) {
				fresh += !have[b];
				have[b] = 1;
			}
			assert_int_equal(added, fresh);
			check_shape(&set, contiguous);
			check_bytes(&set, contiguous, have);
		}
	}
}

static void a_limit_holds_back_what_has_come(void **state)
{
	struct interval_set set = { 0 };
	uint64_t contiguous = 0;

	(void)state;
	assert_int_equal(interval_add(&set, &contiguous, 40, 0, 100), 100);
	assert_true(contiguous == 40 && set.nr == 1);
	/* Copies add nothing, neighbours join what is held. */
	assert_int_equal(interval_add(&set, &contiguous, 40, 20, 60), 0);
	assert_int_equal(interval_add(&set, &contiguous, 40, 100, 120), 20);
	assert_int_equal(interval_add(&set, &contiguous, 40, 130, 140), 10);
	assert_true(contiguous == 40 && set.nr == 2);
	interval_absorb(&set, &contiguous, 50);
	assert_true(contiguous == 50 && set.nr == 2);
	interval_absorb(&set, &contiguous, UINT64_MAX);
	assert_true(contiguous == 120 && set.nr == 1);
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 110, 130), 10);
	assert_true(contiguous == 140 && set.nr == 0);
	interval_absorb(&set, &contiguous, UINT64_MAX);
	assert_true(contiguous == 140);
}

static void too_many_holes_are_refused_and_change_nothing(void **state)
{
	struct interval_set set = { 0 }, before;
	uint64_t contiguous = 0;

	(void)state;
	for (uint64_t i = 0; i < NCD_INTERVALS_MAX; i++)
		assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 2 * i + 1, 2 * i + 2),
				 1);
	before = set;
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 1000, 1001), -ENOSPC);
	assert_memory_equal(&set, &before, sizeof(set));
	assert_true(contiguous == 0);
	/* What fills a hole still fits. */
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 2, 3), 1);
	assert_int_equal(set.nr, NCD_INTERVALS_MAX - 1);
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 0, 1000),
			 1000 - NCD_INTERVALS_MAX - 1);
	assert_int_equal(set.nr, 0);
	assert_true(contiguous == 1000);
}

static void old_and_empty_pieces_add_nothing(void **state)
{
	struct interval_set set = { 0 };
	uint64_t contiguous = 100;

	(void)state;
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 0, 100), 0);
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 120, 120), 0);
	assert_int_equal(interval_add(&set, &contiguous, UINT64_MAX, 90, 110), 10);
	assert_true(contiguous == 110 && set.nr == 0);
}

static void offsets_near_the_end_of_64_bits_work(void **state)
{
	struct interval_set set = { 0 };
	uint64_t contiguous = UINT64_MAX - 100;

	(void)state;
	assert_int_equal(
		interval_add(&set, &contiguous, UINT64_MAX, UINT64_MAX - 50, UINT64_MAX - 10), 40);
	assert_int_equal(
		interval_add(&set, &contiguous, UINT64_MAX, UINT64_MAX - 100, UINT64_MAX - 50), 50);
	assert_true(contiguous == UINT64_MAX - 10 && set.nr == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_is_what_a_bitmap_is),
		cmocka_unit_test(a_limit_holds_back_what_has_come),
		cmocka_unit_test(too_many_holes_are_refused_and_change_nothing),
		cmocka_unit_test(old_and_empty_pieces_add_nothing),
		cmocka_unit_test(offsets_near_the_end_of_64_bits_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
