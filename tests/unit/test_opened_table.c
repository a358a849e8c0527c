/* SPDX-License-Identifier: MIT */
/*
 * test_opened_table.c - Goal: an OPEN is new once, whatever copies of it come, from whichever life
 * of the peer. Method: a table of 16 places, given ids by hand.
 */
#include "../ncd_test.h"

#include "core/opened_table.h"

static uint64_t id(uint32_t generation, uint32_t place)
{
	return (uint64_t)generation << 32 | place;
}

static void an_open_is_new_once(void **state)
{
	struct opened at[16] = { 0 };
	struct opened_table t = { .at = at, .mask = 15 };

	(void)state;
	assert_true(opened_first(&t, 1, 0, 1, id(5, 3)));
	assert_false(opened_first(&t, 1, 0, 1, id(5, 3)));
	assert_false(opened_first(&t, 1, 0, 1, id(4, 3)));
	assert_true(opened_first(&t, 1, 0, 1, id(6, 3)));
	assert_true(opened_first(&t, 1, 0, 1, id(1, 4)));
	/* The peer has restarted: its generations begin anew. */
	assert_true(opened_first(&t, 1, 0, 2, id(2, 3)));
}

/* Several workers of a peer have lanes to one of ours: their ids are near each other. */
static void each_lane_has_ids_of_its_own(void **state)
{
	struct opened at[16] = { 0 };
	struct opened_table t = { .at = at, .mask = 15 };

	(void)state;
	assert_true(opened_first(&t, 1, 1, 1, id(6, 3)));
	assert_true(opened_first(&t, 1, 0, 1, id(5, 3)));
	assert_true(opened_first(&t, 1, 0, 1, id(6, 3)));
	assert_false(opened_first(&t, 1, 0, 1, id(6, 3)));
	assert_false(opened_first(&t, 1, 1, 1, id(6, 3)));
}

static void generations_may_wrap(void **state)
{
	struct opened at[16] = { 0 };
	struct opened_table t = { .at = at, .mask = 15 };

	(void)state;
	assert_true(opened_first(&t, 1, 0, 1, id(UINT32_MAX, 3)));
	assert_true(opened_first(&t, 1, 0, 1, id(1, 3)));
	assert_false(opened_first(&t, 1, 0, 1, id(UINT32_MAX, 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_is_new_once),
		cmocka_unit_test(each_lane_has_ids_of_its_own),
		cmocka_unit_test(generations_may_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
