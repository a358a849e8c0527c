/* SPDX-License-Identifier: MIT */
/*
 * test_pattern.c - Goal: ncd-perf --verify sees a wrong, lost, repeated or misdirected byte however
 * the stream is cut. Method: fill in pieces of every length, check in others, then break it.
 */
#include <string.h>

#include "../../bench/perf/pattern.h"
#include "../ncd_test.h"

#define LEN 20000u

static void any_cut_gives_the_same_bytes(void **state)
{
	static unsigned char whole[LEN], pieces[LEN];

	(void)state;
	for (unsigned int sparse = 0; sparse < 2; sparse++) {
		struct pattern p = pattern_make(7, 3, PATTERN_TO_SERVER, !sparse);

		memset(whole, 0, LEN);
		pattern_fill(&p, 0, whole, LEN);
		for (size_t step = 1; step < 70; step++) {
			memset(pieces, 0, LEN);
			for (size_t off = 0; off < LEN; off += step)
				pattern_fill(&p, off, pieces + off,
					     off + step < LEN ? step : LEN - off);
			assert_memory_equal(whole, pieces, LEN);
			for (size_t off = 0; off + step <= LEN; off += step)
				assert_true(pattern_check(&p, off, whole + off, step));
		}
	}
}

static void whole_sees_each_flipped_byte(void **state)
{
	struct pattern p = pattern_make(7, 3, PATTERN_TO_SERVER, true);
	unsigned char buf[100];

	(void)state;
	for (size_t i = 0; i < sizeof(buf); i++) {
		pattern_fill(&p, 1003, buf, sizeof(buf));
		buf[i] ^= 0x10;
		assert_false(pattern_check(&p, 1003, buf, sizeof(buf)));
	}
}

static void both_see_bytes_that_are_not_at_their_place(void **state)
{
	static unsigned char buf[LEN];

	(void)state;
	for (unsigned int sparse = 0; sparse < 2; sparse++) {
		struct pattern p = pattern_make(7, 3, PATTERN_TO_SERVER, !sparse);

		memset(buf, 0, LEN);
		pattern_fill(&p, 0, buf, LEN);
		assert_false(pattern_check(&p, PATTERN_STRIDE, buf, LEN));
		assert_false(pattern_check(&p, 1, buf, LEN));
		assert_false(pattern_check(&p, 0, buf + 64, LEN - 64));
	}
}

static void flows_directions_and_sessions_differ(void **state)
{
	struct pattern p = pattern_make(7, 3, PATTERN_TO_SERVER, true);
	struct pattern others[] = {
		pattern_make(7, 4, PATTERN_TO_SERVER, true),
		pattern_make(7, 3, PATTERN_TO_CLIENT, true),
		pattern_make(8, 3, PATTERN_TO_SERVER, true),
	};
	unsigned char buf[64];

	(void)state;
	pattern_fill(&p, 640, buf, sizeof(buf));
	for (size_t i = 0; i < 3; i++)
		assert_false(pattern_check(&others[i], 640, buf, sizeof(buf)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cut_gives_the_same_bytes),
		cmocka_unit_test(whole_sees_each_flipped_byte),
		cmocka_unit_test(both_see_bytes_that_are_not_at_their_place),
		cmocka_unit_test(flows_directions_and_sessions_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
