/* SPDX-License-Identifier: MIT */
/*
 * test_hist.c - Goal: a percentile that ncd-perf prints is never below the true one and at most
 * 1/128 above it. Method: every bucket edge; samples whose sorted order is known.
 */
#include <stdlib.h>

#include "../../bench/perf/hist.h"
#include "../ncd_test.h"

static struct hist *hist_new(void)
{
	struct hist *h = calloc(1, sizeof(*h));

	if (!h)
		abort();
	return h;
}

static void every_value_is_within_its_bucket(void **state)
{
	(void)state;
	for (uint64_t v = 0; v < 1u << 20; v++) {
		uint32_t i = hist_index(v);
		uint64_t top = hist_bucket_top(i);

		assert_true(i < HIST_BUCKETS);
		assert_true(top >= v);
		assert_true((top - v) * 128 <= v);
		assert_true(i == 0 || hist_bucket_top(i - 1) < v);
	}
}

static void buckets_meet_at_every_power_of_two(void **state)
{
	(void)state;
	for (uint32_t bit = 8; bit < HIST_BITS; bit++) {
		uint64_t power = 1ull << bit;

		assert_int_equal(hist_index(power), hist_index(power - 1) + 1);
		assert_int_equal(hist_bucket_top(hist_index(power - 1)), power - 1);
	}
	assert_int_equal(hist_index((1ull << HIST_BITS) - 1), HIST_BUCKETS - 1);
	assert_int_equal(hist_index(UINT64_MAX), HIST_BUCKETS - 1);
}

static void an_empty_histogram_has_percentiles_of_zero(void **state)
{
	struct hist *h = hist_new();

	(void)state;
	assert_int_equal(hist_percentile(h, 50), 0);
	assert_int_equal(hist_percentile(h, 100), 0);
	free(h);
}

static void percentiles_of_small_numbers_are_exact(void **state)
{
	struct hist *h = hist_new();

	(void)state;
	for (uint64_t v = 1; v <= 100; v++)
		hist_record(h, v);
	assert_int_equal(hist_percentile(h, 50), 50);
	assert_int_equal(hist_percentile(h, 99), 99);
	assert_int_equal(hist_percentile(h, 99.9), 100);
	assert_int_equal(hist_percentile(h, 100), 100);
	assert_int_equal(hist_percentile(h, 0), 1);
	assert_int_equal(h->sum, 5050);
	free(h);
}

static void one_outlier_shows_only_where_it_should(void **state)
{
	struct hist *h = hist_new();

	(void)state;
	for (int i = 0; i < 999; i++)
		hist_record(h, 20000);
	hist_record(h, 7654321);
	assert_in_range(hist_percentile(h, 99.9), 20000, 20000 + 20000 / 128);
	assert_int_equal(hist_percentile(h, 99.91), 7654321);
	assert_int_equal(hist_percentile(h, 100), 7654321);
	free(h);
}

static void percentiles_never_exceed_the_maximum(void **state)
{
	struct hist *h = hist_new();

	(void)state;
	hist_record(h, 1000001);
	assert_int_equal(hist_percentile(h, 50), 1000001);
	free(h);
}

static void merging_is_the_same_as_recording_together(void **state)
{
	struct hist *a = hist_new(), *b = hist_new(), *both = hist_new();

	(void)state;
	for (uint64_t v = 1; v < 3000000; v = v * 5 / 4 + 1) {
		hist_record(v % 2 ? a : b, v);
		hist_record(both, v);
	}
	hist_merge(a, b);
	assert_memory_equal(a, both, sizeof(*a));
	free(a);
	free(b);
	free(both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_is_within_its_bucket),
		cmocka_unit_test(buckets_meet_at_every_power_of_two),
		cmocka_unit_test(an_empty_histogram_has_percentiles_of_zero),
		cmocka_unit_test(percentiles_of_small_numbers_are_exact),
		cmocka_unit_test(one_outlier_shows_only_where_it_should),
		cmocka_unit_test(percentiles_never_exceed_the_maximum),
		cmocka_unit_test(merging_is_the_same_as_recording_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
