/* SPDX-License-Identifier: MIT */
/*
 * test_ratio.c - Goal: the median, the spread and the winner that ncd-perf compare prints are those
 * of the pairs. Method: pairs whose answer is plain.
 */
#include <errno.h>
#include <math.h>

#include "../../bench/perf/ratio.h"
#include "../ncd_test.h"

static void median_of_an_odd_number_is_the_middle_one(void **state)
{
	double values[] = { 9, 1, 5 };

	(void)state;
	assert_true(ratio_median(values, 3) == 5);
}

static void median_of_an_even_number_is_between_the_middle_two(void **state)
{
	double values[] = { 8, 1, 4, 100 };

	(void)state;
	assert_true(ratio_median(values, 4) == 6);
}

static void one_bad_pair_does_not_move_the_median(void **state)
{
	const struct ratio_pair pairs[] = {
		{ 10, 20 }, { 10, 21 }, { 10, 0.1 }, { 10, 22 }, { 10, 20.5 }
	};
	struct ratio_summary s = { .median = 0 };

	(void)state;
	assert_int_equal(ratio_summarise(pairs, 5, true, &s), 0);
	assert_true(fabs(s.median - 2.05) < 1e-9);
	assert_true(fabs(s.min - 0.01) < 1e-9);
	assert_true(fabs(s.max - 2.2) < 1e-9);
	assert_int_equal(s.b_better_nr, 4);
	assert_int_equal(s.a_better_nr, 1);
	assert_int_equal(s.winner, RATIO_UNDECIDED);
}

static void who_is_better_in_every_pair_wins(void **state)
{
	const struct ratio_pair pairs[] = { { 10, 20 }, { 10, 30 } };
	struct ratio_summary s = { .median = 0 };

	(void)state;
	assert_int_equal(ratio_summarise(pairs, 2, true, &s), 0);
	assert_int_equal(s.winner, RATIO_B);
	assert_int_equal(ratio_summarise(pairs, 2, false, &s), 0);
	assert_int_equal(s.winner, RATIO_A);
	assert_true(s.median == 2.5);
}

static void equal_is_nobodys_win(void **state)
{
	const struct ratio_pair pair = { 10, 10 };
	struct ratio_summary s = { .median = 0 };

	(void)state;
	assert_int_equal(ratio_summarise(&pair, 1, true, &s), 0);
	assert_int_equal(s.winner, RATIO_UNDECIDED);
	assert_int_equal(s.a_better_nr + s.b_better_nr, 0);
}

static void a_pair_without_a_value_counts_for_nobody(void **state)
{
	const struct ratio_pair pairs[] = { { NAN, 20 }, { 0, 30 }, { 10, 15 } };
	struct ratio_summary s = { .median = 0 };

	(void)state;
	assert_int_equal(ratio_summarise(pairs, 3, true, &s), 0);
	assert_true(s.median == 1.5);
	assert_int_equal(s.winner, RATIO_UNDECIDED);
	assert_int_equal(ratio_summarise(pairs, 2, true, &s), 0);
	assert_true(isnan(s.median));
}

static void no_pairs_are_refused(void **state)
{
	const struct ratio_pair pair = { 1, 1 };
	struct ratio_summary s;

	(void)state;
	assert_int_equal(ratio_summarise(&pair, 0, true, &s), -EINVAL);
	assert_int_equal(ratio_summarise(&pair, RATIO_PAIRS_MAX + 1, true, &s), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(median_of_an_odd_number_is_the_middle_one),
		cmocka_unit_test(median_of_an_even_number_is_between_the_middle_two),
		cmocka_unit_test(one_bad_pair_does_not_move_the_median),
		cmocka_unit_test(who_is_better_in_every_pair_wins),
		cmocka_unit_test(equal_is_nobodys_win),
		cmocka_unit_test(a_pair_without_a_value_counts_for_nobody),
		cmocka_unit_test(no_pairs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
