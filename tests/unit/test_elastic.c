/* SPDX-License-Identifier: MIT */
/*
 * test_elastic.c - Goal: channels come while they help, and go when fewer would do, one at a time
 * and without swinging. Method: a path in simulated time that moves what so many channels can,
 * under a load that changes.
 */
#include "../ncd_test.h"

#include <string.h>

#include "core/elastic.h"

#define MS   1000000ull
#define STEP MS

struct path {
	struct elastic el;
	uint64_t now_ns;
	uint32_t nr, least, most;
	uint64_t each;  /* bytes a ms that one channel can move */
	uint64_t all;   /* and all together at most */
	uint64_t load;  /* bytes a ms that there are to move */
	uint32_t grown, shrunk, highest;
	bool deny;
	uint64_t denied;
	uint64_t changed_ns; /* the last time that their number was another */
};

static struct path path_of(uint64_t each, uint64_t all)
{
	struct path p = { .now_ns = 1000 * MS, .nr = 1, .least = 1, .most = 7, .each = each,
			  .all = all };

	elastic_init(&p.el, 0);
	return p;
}

static void look(struct path *p)
{
	struct elastic_view v = { .nr = p->nr, .extra = p->nr - p->least,
				  .may_grow = p->nr < p->most };

	switch (elastic_look(&p->el, &v, p->now_ns)) {
	case ELASTIC_GROW:
		assert_true(p->nr < p->most);
		if (p->deny) {
			p->denied++;
			elastic_answer(&p->el, false, p->nr, 0, p->now_ns);
			return;
		}
		elastic_answer(&p->el, true, p->nr, 50000, p->now_ns);
		p->nr++;
		p->grown++;
		p->changed_ns = p->now_ns;
		if (p->nr > p->highest)
			p->highest = p->nr;
		break;
	case ELASTIC_SHRINK:
		assert_true(p->nr > p->least);
		p->nr--;
		p->shrunk++;
		p->changed_ns = p->now_ns;
		break;
	case ELASTIC_STAY:
		break;
	}
}

static void run(struct path *p, uint64_t ms)
{
	uint64_t end_ns = p->now_ns + ms * MS;

	for (; p->now_ns < end_ns; p->now_ns += STEP) {
		uint64_t can = p->nr * p->each < p->all ? p->nr * p->each : p->all;

		elastic_moved(&p->el, p->load < can ? p->load : can, p->now_ns);
		if (p->load > can)
			elastic_blocked(&p->el, p->now_ns);
		if (elastic_due_ns(&p->el) <= p->now_ns)
			look(p);
	}
}

static void without_a_load_nothing_is_looked_at(void **state)
{
	struct path p = path_of(100, 100000);

	(void)state;
	run(&p, 1000);
	assert_true(elastic_due_ns(&p.el) == UINT64_MAX);
	assert_int_equal(p.grown, 0);
}

static void channels_come_one_by_one_while_they_help(void **state)
{
	struct path p = path_of(100, 100000);

	(void)state;
	p.load = 10000;
	run(&p, 250);
	assert_int_equal(p.nr, 2);
	run(&p, 500);
	assert_int_equal(p.nr, 2);
	run(&p, 8000);
	assert_int_equal(p.nr, p.most);
	assert_int_equal(p.shrunk, 0);
}

static void they_stop_where_the_load_is_met(void **state)
{
	struct path p = path_of(100, 100000);

	(void)state;
	p.load = 350;
	run(&p, 60000);
	assert_int_equal(p.nr, 4);
	assert_int_equal(p.highest, 4);
	assert_int_equal(p.shrunk, 0);
}

static void one_that_does_not_help_goes_and_is_tried_ever_less_often(void **state)
{
	struct path p = path_of(1000, 1000);
	uint32_t first;

	(void)state;
	p.load = 5000;
	run(&p, 10000);
	assert_int_equal(p.nr, 1);
	assert_int_equal(p.highest, 2);
	first = p.grown;
	assert_true(first >= 1 && first <= 2);
	run(&p, 600000);
	assert_int_equal(p.highest, 2);
	assert_int_equal(p.grown - p.shrunk, p.nr - 1);
	/* 600 s, one each 60 s in the end. */
	assert_true(p.grown - first <= 16);
}

static void a_shared_part_of_the_way_bounds_them(void **state)
{
	struct path p = path_of(100, 310);

	(void)state;
	p.load = 10000;
	run(&p, 5000);
	/* The fourth brings 3 %. */
	assert_true(p.nr == 3 || p.nr == 4);
	assert_int_equal(p.highest, 4);
	run(&p, 100000);
	assert_int_equal(p.highest, 4);
}

static void they_go_one_by_one_when_the_load_is_gone(void **state)
{
	struct path p = path_of(100, 100000);

	(void)state;
	p.load = 10000;
	run(&p, 8000);
	assert_int_equal(p.nr, p.most);
	p.load = 0;
	run(&p, 1500);
	assert_int_equal(p.nr, p.most);
	run(&p, 1000);
	assert_int_equal(p.nr, p.most - 1);
	run(&p, 15000);
	assert_int_equal(p.nr, p.least);
	assert_true(elastic_due_ns(&p.el) == UINT64_MAX);
	/* And come again. */
	p.load = 10000;
	run(&p, 8000);
	assert_int_equal(p.nr, p.most);
}

static void a_lighter_load_keeps_as_many_as_it_needs(void **state)
{
	struct path p = path_of(100, 100000);
	uint64_t after_ns;

	(void)state;
	p.load = 10000;
	run(&p, 8000);
	p.load = 260;
	run(&p, 20000);
	/* Three move it; with four there is some room, and neither is left for the other. */
	assert_true(p.nr == 3 || p.nr == 4);
	after_ns = p.now_ns;
	run(&p, 60000);
	assert_true(p.changed_ns < after_ns);
}

static void a_refusal_is_not_answered_with_another_question(void **state)
{
	struct path p = path_of(100, 100000);

	(void)state;
	p.load = 10000;
	p.deny = true;
	run(&p, 4000);
	assert_int_equal(p.denied, 1);
	run(&p, 60000);
	assert_true(p.denied >= 3 && p.denied <= 6);
	p.deny = false;
	run(&p, 80000);
	assert_int_equal(p.nr, p.most);
}

static void what_is_blocked_now_and_then_is_no_reason(void **state)
{
	struct path p = path_of(100, 100000);
	int i;

	(void)state;
	/* Half of the time: a processor that is too slow, not a network. */
	for (i = 0; i < 10000; i++) {
		p.load = i % 2 ? 10000 : 50;
		run(&p, 1);
	}
	assert_int_equal(p.grown, 0);
}

static void an_answer_that_nobody_waits_for_is_ignored(void **state)
{
	struct elastic el, before;

	(void)state;
	elastic_init(&el, 0);
	before = el;
	elastic_answer(&el, true, 1, 0, 5 * MS);
	elastic_answer(&el, false, 1, 0, 5 * MS);
	assert_memory_equal(&el, &before, sizeof(el));
}

static void channels_that_vanish_under_a_trial_end_it(void **state)
{
	struct path p = path_of(100, 100000);

	(void)state;
	p.load = 10000;
	run(&p, 250);
	assert_int_equal(p.nr, 2);
	p.nr = 1; /* it died */
	run(&p, 8000);
	assert_int_equal(p.nr, p.most);
	/* All but one are gone, and the last, too. */
	run(&p, 250);
	p.nr = p.least = 0;
	p.most = 1;
	run(&p, 8000);
	assert_true(p.nr <= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_load_nothing_is_looked_at),
		cmocka_unit_test(channels_come_one_by_one_while_they_help),
		cmocka_unit_test(they_stop_where_the_load_is_met),
		cmocka_unit_test(one_that_does_not_help_goes_and_is_tried_ever_less_often),
		cmocka_unit_test(a_shared_part_of_the_way_bounds_them),
		cmocka_unit_test(they_go_one_by_one_when_the_load_is_gone),
		cmocka_unit_test(a_lighter_load_keeps_as_many_as_it_needs),
		cmocka_unit_test(a_refusal_is_not_answered_with_another_question),
		cmocka_unit_test(what_is_blocked_now_and_then_is_no_reason),
		cmocka_unit_test(an_answer_that_nobody_waits_for_is_ignored),
		cmocka_unit_test(channels_that_vanish_under_a_trial_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
