/* SPDX-License-Identifier: MIT */
/*
 * test_placement.c - new streams go where there is time: by how busy the workers were, then by who
 * has fewest applications; and nobody is sent from one overloaded worker to another.
 */
#include "../ncd_test.h"

#include "placement.h"

#define SECOND 1000000000ull

/* A second passes, of which @busy permille were work. */
static void pass(struct placement *p, uint32_t worker, uint32_t busy)
{
	placement_look(p, worker, p->worker[worker].idle_ns + SECOND / 1000 * (1000 - busy),
		       SECOND);
}

static void idle_workers_get_the_same_number(void **state)
{
	struct placement p = { .nr = 3 };

	(void)state;
	for (uint32_t i = 0; i < 9; i++)
		assert_int_equal(placement_add(&p), i % 3);
	placement_remove(&p, 1);
	assert_int_equal(placement_add(&p), 1);
}

static void who_is_busier_gets_none(void **state)
{
	struct placement p = { .nr = 2 };

	(void)state;
	pass(&p, 0, 250);
	pass(&p, 1, 20);
	for (int i = 0; i < 5; i++)
		assert_int_equal(placement_add(&p), 1);
	/* About alike again. */
	pass(&p, 0, 20);
	assert_int_equal(placement_add(&p), 0);
}

static void an_overloaded_worker_sends_on(void **state)
{
	struct placement p = { .nr = 3 };

	(void)state;
	for (int i = 0; i < 3; i++)
		(void)placement_add(&p);
	pass(&p, 0, 1000);
	pass(&p, 1, 400);
	pass(&p, 2, 100);
	assert_int_equal(placement_move(&p, 0), 2);
	assert_int_equal(p.worker[0].clients, 0);
	assert_int_equal(p.worker[2].clients, 2);
	assert_int_equal(placement_move(&p, 1), 1);
	assert_int_equal(p.worker[1].clients, 1);
}

static void nobody_is_sent_where_there_is_no_time(void **state)
{
	struct placement p = { .nr = 2 };

	(void)state;
	(void)placement_add(&p);
	pass(&p, 0, 1000);
	pass(&p, 1, 600);
	assert_int_equal(placement_move(&p, 0), 0);
	/* Busy, and not overloaded. */
	pass(&p, 0, 800);
	pass(&p, 1, 0);
	assert_int_equal(placement_move(&p, 0), 0);
	/* One alone. */
	p.nr = 1;
	pass(&p, 0, 1000);
	assert_int_equal(placement_move(&p, 0), 0);
}

static void times_that_do_not_fit_are_bounded(void **state)
{
	struct placement p = { .nr = 1 };

	(void)state;
	placement_look(&p, 0, 5 * SECOND, SECOND); /* it has slept for longer, and woke */
	assert_int_equal(p.worker[0].busy, 0);
	placement_look(&p, 0, 4 * SECOND, SECOND); /* seems to have gone back */
	assert_int_equal(p.worker[0].busy, 1000);
	placement_look(&p, 0, 5 * SECOND, 0); /* no time has passed: nothing is known */
	assert_int_equal(p.worker[0].busy, 1000);
	placement_look(&p, 0, 6 * SECOND, SECOND);
	assert_int_equal(p.worker[0].busy, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_workers_get_the_same_number),
		cmocka_unit_test(who_is_busier_gets_none),
		cmocka_unit_test(an_overloaded_worker_sends_on),
		cmocka_unit_test(nobody_is_sent_where_there_is_no_time),
		cmocka_unit_test(times_that_do_not_fit_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
