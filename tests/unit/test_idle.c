/* SPDX-License-Identifier: MIT */
/*
 * test_idle.c - Goal: a worker spins where that pays, never beside somebody who computes.
 * Method: the decisions on times that are made up.
 */
#include "../ncd_test.h"

#include "idle.h"

#define US   UINT64_C(1000)
#define MS   UINT64_C(1000000)
#define MOST (200 * US)

/* It is idle for @ns, looking around each microsecond. Returns how long it spun. */
static uint64_t idle_for(struct idle *i, uint64_t *now_ns, uint64_t ns)
{
	uint64_t end_ns = *now_ns + ns, spun_ns = 0;

	while (*now_ns < end_ns) {
		if (!idle_spins(i, *now_ns)) {
			*now_ns = end_ns; /* sleeps */
			break;
		}
		*now_ns += US;
		spun_ns += US;
		idle_yielded(i, US, *now_ns);
	}
	idle_ends(i, MOST, *now_ns);
	return spun_ns;
}

/* One whose budget has grown in a ping-pong. */
static uint64_t warm(struct idle *i)
{
	uint64_t now_ns = 1000 * MS;

	*i = (struct idle){ 0 };
	for (int n = 0; n < 20; n++)
		(void)idle_for(i, &now_ns, 50 * US);
	assert_true(idle_for(i, &now_ns, 50 * US) == 50 * US);
	return now_ns;
}

static void the_budget_follows_the_idle_times(void **state)
{
	struct idle i;
	uint64_t now_ns = warm(&i);

	(void)state;
	assert_true(i.budget_ns >= 50 * US && i.budget_ns <= MOST);
	for (int n = 0; n < 10; n++)
		(void)idle_for(&i, &now_ns, 100 * MS);
	assert_true(i.budget_ns == 0);
	assert_true(idle_for(&i, &now_ns, 100 * MS) == 0);
	for (int n = 0; n < 10; n++)
		(void)idle_for(&i, &now_ns, 150 * US);
	assert_true(idle_for(&i, &now_ns, 150 * US) == 150 * US);
}

static void who_uses_the_core_twice_ends_the_spin(void **state)
{
	struct idle i;
	uint64_t now_ns = warm(&i);

	(void)state;
	assert_true(idle_spins(&i, now_ns));
	idle_yielded(&i, 30 * US, now_ns += 30 * US);
	assert_true(idle_spins(&i, now_ns));
	idle_yielded(&i, 30 * US, now_ns += 30 * US);
	assert_false(idle_spins(&i, now_ns));
	idle_ends(&i, MOST, now_ns);
	/* That was somebody who answers: the next idle time is another matter. */
	assert_true(idle_spins(&i, now_ns));
}

/* Who computes has a slice each time that the core is offered; then it is spun no more. */
static void slices(struct idle *i, uint64_t *now_ns, uint32_t nr)
{
	for (uint32_t n = 0; n < nr; n++) {
		while (i->budget_ns < 50 * US)
			(void)idle_for(i, now_ns, 50 * US);
		assert_true(idle_spins(i, *now_ns));
		idle_yielded(i, 4 * MS, *now_ns += 4 * MS);
		assert_false(idle_spins(i, *now_ns));
		idle_ends(i, MOST, *now_ns);
	}
}

static void a_slice_now_and_then_is_nobodys(void **state)
{
	struct idle i;
	uint64_t now_ns = warm(&i);

	(void)state;
	for (int n = 0; n < 5; n++) {
		slices(&i, &now_ns, 1);
		assert_true(idle_for(&i, &now_ns, 10 * US) > 0);
		for (int k = 0; k < 300; k++)
			(void)idle_for(&i, &now_ns, 50 * US);
	}
}

static void beside_one_who_computes_nobody_spins_for_a_while(void **state)
{
	struct idle i;
	uint64_t now_ns = warm(&i), last_ns = 0;

	(void)state;
	for (int n = 0; n < 12; n++) {
		uint64_t begin_ns, shy_ns;

		slices(&i, &now_ns, 2);
		begin_ns = now_ns;
		/* Messages go on all the time; none is waited for by spinning. */
		while (idle_for(&i, &now_ns, 50 * US) == 0)
			assert_true(now_ns < begin_ns + 2000 * MS);
		shy_ns = now_ns - begin_ns;
		assert_true(shy_ns >= last_ns);
		last_ns = shy_ns;
	}
	/* Longer each time, up to a second. */
	assert_true(last_ns >= 1000 * MS && last_ns < 1100 * MS);
	/* Gone for long: the next one is somebody else. */
	for (int n = 0; n < 100000; n++)
		(void)idle_for(&i, &now_ns, 50 * US);
	slices(&i, &now_ns, 2);
	assert_true(i.shy_until_ns - now_ns <= 10 * MS);
}

/* Beside somebody who computes, with @words for each of many sleeps. */
static struct idle crowded(uint32_t words)
{
	struct idle i;
	uint64_t now_ns = warm(&i);

	slices(&i, &now_ns, 2);
	assert_false(idle_spins(&i, now_ns));
	for (int n = 0; n < 100; n++) {
		(void)idle_dozes(&i, words);
		i.dozed = false; /* something came */
	}
	return i;
}

static void on_a_crowded_core_it_dozes_for_programs_with_many_messages(void **state)
{
	struct idle i = crowded(2);

	(void)state;
	assert_true(idle_dozes(&i, 2));
	/* A word too many is no loss; after a while of single ones it is. */
	i = crowded(1);
	assert_false(idle_dozes(&i, 1));
	i = crowded(1000000);
	for (int n = 0; n < 60; n++) {
		(void)idle_dozes(&i, 1);
		i.dozed = false;
	}
	assert_false(idle_dozes(&i, 1));
}

static void it_dozes_once_until_something_comes(void **state)
{
	struct idle i = crowded(10);
	uint64_t now_ns = 1000 * MS;

	(void)state;
	for (int n = 0; n < 3; n++) {
		assert_true(idle_dozes(&i, 10));
		assert_false(idle_dozes(&i, 0));
	}
	/* Each time that something was done it may begin with a doze. */
	for (int n = 0; n < 3; n++) {
		assert_true(idle_dozes(&i, 10));
		idle_ends(&i, MOST, now_ns);
		i.crowded = true;
	}
}

static void it_sleeps_where_nobody_else_wants_the_core(void **state)
{
	struct idle i;

	(void)state;
	(void)warm(&i);
	for (int n = 0; n < 100; n++)
		assert_false(idle_dozes(&i, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_budget_follows_the_idle_times),
		cmocka_unit_test(who_uses_the_core_twice_ends_the_spin),
		cmocka_unit_test(a_slice_now_and_then_is_nobodys),
		cmocka_unit_test(beside_one_who_computes_nobody_spins_for_a_while),
		cmocka_unit_test(on_a_crowded_core_it_dozes_for_programs_with_many_messages),
		cmocka_unit_test(it_dozes_once_until_something_comes),
		cmocka_unit_test(it_sleeps_where_nobody_else_wants_the_core),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
