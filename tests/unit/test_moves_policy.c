/* SPDX-License-Identifier: MIT */
/*
 * test_moves_policy.c - open streams leave a worker that is overloaded for one that has time, and
 * what cannot go is asked more and more seldom.
 */
#include "../ncd_test.h"

#include "moves_policy.h"

#define SECOND  1000000000ull
#define NEITHER 999u

/* From which worker to which, from * 100 + to; or NEITHER. */
static uint32_t look(const struct moves_policy *m, uint32_t percent, uint64_t now_ns, uint32_t b0,
		     uint32_t b1, uint32_t b2)
{
	struct placement p = { .worker = { { .busy = b0 }, { .busy = b1 }, { .busy = b2 } },
			       .nr = 3 };
	uint32_t from, to;

	return moves_policy_look(m, &p, percent, now_ns, &from, &to) ? from * 100 + to : NEITHER;
}

static void the_busiest_lets_streams_go_to_who_has_most_time(void **state)
{
	struct moves_policy m = { 0 };

	(void)state;
	assert_int_equal(look(&m, 90, 0, 950, 990, 100), 102);
	assert_int_equal(look(&m, 90, 0, 10, 900, 499), 100);
	assert_int_equal(look(&m, 90, 0, 1000, 400, 399), 2);
}

static void none_goes_without_need_or_to_who_has_no_time(void **state)
{
	struct moves_policy m = { 0 };

	(void)state;
	assert_int_equal(look(&m, 90, 0, 899, 0, 0), NEITHER);
	assert_int_equal(look(&m, 90, 0, 1000, 500, 500), NEITHER);
	assert_int_equal(look(&m, 0, 0, 1000, 0, 0), NEITHER);
	/* Nor to one that is about as busy, with a low threshold; nor to itself. */
	assert_int_equal(look(&m, 1, 0, 300, 151, 151), NEITHER);
	assert_int_equal(look(&m, 1, 0, 300, 150, 151), 1);
	assert_int_equal(look(&m, 1, 0, 0, 0, 0), NEITHER);
}

static void one_worker_has_no_other(void **state)
{
	struct placement p = { .worker = { { .busy = 1000 } }, .nr = 1 };
	struct moves_policy m = { 0 };
	uint32_t from, to;

	(void)state;
	assert_false(moves_policy_look(&m, &p, 90, 0, &from, &to));
}

static void what_cannot_go_is_left_alone_for_longer_and_longer(void **state)
{
	struct moves_policy m = { 0 };
	static const uint32_t wait[] = { 3, 6, 12, 24, 48, 60, 60 };
	uint64_t now = SECOND;

	(void)state;
	for (size_t i = 0; i < sizeof(wait) / sizeof(wait[0]); i++) {
		moves_policy_told(&m, 0, false, now, 250); /* 100 % */
		/* Those that were asked beside it count once. */
		moves_policy_told(&m, 0, false, now + 1, 0);
		assert_int_equal(look(&m, 90, now + wait[i] * SECOND - 1, 1000, 0, 0), NEITHER);
		now += wait[i] * SECOND;
		assert_int_equal(look(&m, 90, now, 1000, 0, 0), 1);
	}
	moves_policy_told(&m, 0, true, now, 0);
	moves_policy_told(&m, 0, false, now, 250);
	assert_int_equal(look(&m, 90, now + 3 * SECOND, 1000, 0, 0), 1);
}

static void the_next_busiest_goes_meanwhile(void **state)
{
	struct moves_policy m = { 0 };

	(void)state;
	moves_policy_told(&m, 0, false, 0, 0);
	assert_int_equal(look(&m, 90, SECOND, 1000, 950, 0), 102);
}

static void waits_differ_by_half(void **state)
{
	struct moves_policy m = { 0 };

	(void)state;
	moves_policy_told(&m, 0, false, 0, 0);
	assert_int_equal(m.worker[0].until_ns, 9 * SECOND / 4);
	m = (struct moves_policy){ 0 };
	moves_policy_told(&m, 0, false, 0, 500);
	assert_int_equal(m.worker[0].until_ns, 15 * SECOND / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_busiest_lets_streams_go_to_who_has_most_time),
		cmocka_unit_test(none_goes_without_need_or_to_who_has_no_time),
		cmocka_unit_test(one_worker_has_no_other),
		cmocka_unit_test(what_cannot_go_is_left_alone_for_longer_and_longer),
		cmocka_unit_test(the_next_busiest_goes_meanwhile),
		cmocka_unit_test(waits_differ_by_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
