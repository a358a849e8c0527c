/* SPDX-License-Identifier: MIT */
/*
 * test_budget.c - Goal: the budget keeps a link full and its queue short, whatever the link
 * becomes, and leaves alone what needs none. Method: a link with one queue in simulated time, whose
 * sender always has as much below as it may.
 */
#include "../ncd_test.h"

#include <string.h>

#include "core/budget.h"

#define US 1000ull
#define MS 1000000ull

#define UNBOUND (4u << 20) /* what lies below without a budget */

struct path {
	struct budget budget;
	uint64_t now_ns;
	uint64_t bytes_per_ms;
	uint64_t way_ns;    /* a round trip through empty queues */
	uint64_t others_ns; /* what the queue of others adds */
	uint64_t min_ns;    /* the shortest so far */
	uint64_t srtt_ns;
	uint64_t want;      /* most that the sender has */
};

static struct path path_of(uint64_t bits_per_s)
{
	return (struct path){
		.bytes_per_ms = bits_per_s / 8000,
		.way_ns = 30 * US,
		.min_ns = UINT64_MAX,
		.want = UNBOUND,
	};
}

static uint64_t path_below(const struct path *p)
{
	uint64_t may = p->budget.bytes ? p->budget.bytes : UNBOUND;

	return may < p->want ? may : p->want;
}

/* How long a round trip takes with what is below now. */
static uint64_t path_rtt_ns(const struct path *p)
{
	uint64_t drain_ns = path_below(p) * MS / p->bytes_per_ms;

	return (drain_ns > p->way_ns ? drain_ns : p->way_ns) + p->others_ns;
}

static void path_run(struct path *p, uint64_t ns)
{
	uint64_t end_ns = p->now_ns + ns;

	for (; p->now_ns < end_ns; p->now_ns += 100 * US) {
		uint64_t rtt_ns = path_rtt_ns(p);
		struct budget_sample s;

		p->srtt_ns = p->srtt_ns ? (7 * p->srtt_ns + rtt_ns) / 8 : p->way_ns;
		if (p->srtt_ns < p->min_ns)
			p->min_ns = p->srtt_ns;
		if (!budget_due(&p->budget, p->now_ns))
			continue;
		s = (struct budget_sample){ p->srtt_ns, p->min_ns, path_below(p), 1448 };
		(void)budget_update(&p->budget, &s, p->now_ns);
	}
}

/* Never idle, and what waits in the network waits about BUDGET_QUEUE_NS, besides what is sent at
 * the least. */
static void assert_settled(const struct path *p)
{
	uint64_t least_ns = BUDGET_LEAST * MS / p->bytes_per_ms;
	uint64_t most_ns = p->way_ns + 2 * BUDGET_QUEUE_NS;

	assert_true(path_below(p) * MS >= p->bytes_per_ms * p->way_ns);
	assert_true(path_rtt_ns(p) <= most_ns + least_ns);
}

static void a_link_is_full_and_its_queue_short(void **state)
{
	static const uint64_t gbit_per_s[] = { 1, 2, 5, 10, 25, 40 };

	(void)state;
	for (size_t i = 0; i < sizeof(gbit_per_s) / sizeof(gbit_per_s[0]); i++) {
		struct path p = path_of(gbit_per_s[i] * 1000000000);

		path_run(&p, 500 * MS);
		assert_true(p.budget.bytes != 0);
		assert_settled(&p);
	}
}

static void a_rate_that_changes_tenfold_is_followed_within_a_second(void **state)
{
	struct path p = path_of(10000000000);

	(void)state;
	path_run(&p, 500 * MS);
	for (int i = 0; i < 3; i++) {
		p.bytes_per_ms /= 10;
		path_run(&p, 1000 * MS);
		assert_settled(&p);
		p.bytes_per_ms *= 10;
		path_run(&p, 1000 * MS);
		assert_settled(&p);
	}
}

static void what_does_not_queue_has_no_budget(void **state)
{
	struct path p = path_of(100000000000);

	(void)state;
	path_run(&p, 1000 * MS);
	assert_int_equal(p.budget.bytes, 0);
	p = path_of(1000000000);
	p.want = 16 << 10; /* little at a time */
	path_run(&p, 1000 * MS);
	assert_int_equal(p.budget.bytes, 0);
}

static void a_link_that_becomes_fast_has_no_budget_any_more(void **state)
{
	struct path p = path_of(1000000000);

	(void)state;
	path_run(&p, 500 * MS);
	assert_true(p.budget.bytes != 0);
	p.bytes_per_ms *= 1000;
	path_run(&p, 500 * MS);
	assert_int_equal(p.budget.bytes, 0);
}

static void what_is_not_used_up_does_not_grow(void **state)
{
	struct path p = path_of(10000000000);
	uint32_t before;

	(void)state;
	path_run(&p, 500 * MS);
	before = p.budget.bytes;
	p.want = 4096;
	path_run(&p, 500 * MS);
	assert_true(p.budget.bytes <= before);
}

static void a_way_that_becomes_longer_is_filled_again(void **state)
{
	struct path p = path_of(1000000000);

	(void)state;
	path_run(&p, 500 * MS);
	p.way_ns = 5 * MS;
	path_run(&p, 5000 * MS);
	assert_true(path_below(&p) * MS >= p.bytes_per_ms * p.way_ns * 9 / 10);
}

static void beside_the_queue_of_others_it_does_not_stay_at_the_least(void **state)
{
	struct path p = path_of(1000000000);

	(void)state;
	path_run(&p, 500 * MS);
	p.others_ns = 3 * MS;
	path_run(&p, 5000 * MS);
	assert_true(p.budget.bytes == 0 || p.budget.bytes > BUDGET_LEAST);
}

static void some_segments_are_always_under_way(void **state)
{
	struct budget_sample s = { 40 * MS, 10 * US, 64 << 10, 9000 };
	struct budget b = { .bytes = 0 };

	(void)state;
	for (uint64_t now_ns = 0; now_ns < 1000 * MS; now_ns += MS) {
		(void)budget_update(&b, &s, now_ns);
		assert_true(b.bytes == 0 || b.bytes >= BUDGET_SEGMENTS * s.segment);
	}
}

static void loopback_has_no_budget(void **state)
{
	struct budget_sample s = { 40 * MS, 10 * US, 1 << 20, 65483 };
	struct budget b = { .bytes = 0 };

	(void)state;
	for (uint64_t now_ns = 0; now_ns < 1000 * MS; now_ns += MS)
		assert_false(budget_update(&b, &s, now_ns));
}

static void without_times_nothing_is_decided(void **state)
{
	struct budget b = { .bytes = 0 };
	struct budget_sample s = { .below = 1 << 20 };

	(void)state;
	for (uint64_t now_ns = 0; now_ns < 100 * MS; now_ns += MS)
		assert_false(budget_update(&b, &s, now_ns));
	assert_int_equal(b.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_is_full_and_its_queue_short),
		cmocka_unit_test(a_rate_that_changes_tenfold_is_followed_within_a_second),
		cmocka_unit_test(what_does_not_queue_has_no_budget),
		cmocka_unit_test(a_link_that_becomes_fast_has_no_budget_any_more),
		cmocka_unit_test(what_is_not_used_up_does_not_grow),
		cmocka_unit_test(a_way_that_becomes_longer_is_filled_again),
		cmocka_unit_test(beside_the_queue_of_others_it_does_not_stay_at_the_least),
		cmocka_unit_test(some_segments_are_always_under_way),
		cmocka_unit_test(loopback_has_no_budget),
		cmocka_unit_test(without_times_nothing_is_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
