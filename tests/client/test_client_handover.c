/* SPDX-License-Identifier: MIT */
/*
 * test_client_handover.c - Goal: the core is offered to the worker after half of a round, where
 * that brings something, and seldom where it does not.
 * Method: the decisions, on submissions and times that are made up.
 */
#include "../ncd_test.h"

#include "handover.h"

#define NEVER UINT32_MAX
#define US    UINT64_C(1000)

/* @rounds in which each of @sockets submits once. */
static void rounds(struct handover *h, uint32_t rounds, uint32_t sockets)
{
	for (uint32_t i = 0; i < rounds; i++)
		for (uint32_t slot = 0; slot < sockets; slot++)
			handover_count(h, slot);
}

static void half_of_a_round(void **state)
{
	struct handover h = { 0 };

	(void)state;
	assert_true(handover_due(&h) == NEVER);
	rounds(&h, 3, 64);
	assert_true(handover_due(&h) == 32);
}

static void few_sockets_are_one_part(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 100, 1);
	assert_true(handover_due(&h) == NEVER);
	rounds(&h, 100, 7);
	assert_true(handover_due(&h) == NEVER);
}

static void many_are_served_all_the_time(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 3, 10000);
	assert_true(handover_due(&h) == NEVER);
}

static void it_follows(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 3, 64);
	rounds(&h, 30, 16);
	assert_in_range(handover_due(&h), 7, 9);
	rounds(&h, 30, 256);
	assert_in_range(handover_due(&h), 125, 131);
}

static void another_is_looked_at_when_one_is_gone(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 3, 64);
	for (uint32_t i = 0; i < 10000; i++)
		handover_count(&h, 100 + i % 20);
	assert_in_range(handover_due(&h), 9, 11);
}

/* Submissions until it is due again. */
static uint32_t pause_length(struct handover *h)
{
	uint32_t n = 0;

	while (handover_due(h) == NEVER) {
		handover_count(h, n % 64);
		n++;
	}
	return n;
}

static void a_worker_elsewhere_is_left_alone(void **state)
{
	struct handover h = { 0 };
	uint32_t first, n = 0;

	(void)state;
	rounds(&h, 3, 64);
	handover_done(&h, US / 2, true); /* nobody ran here; it takes them by itself */
	first = pause_length(&h);
	assert_in_range(first, 64, 128);
	for (int i = 0; i < 20; i++) {
		handover_done(&h, US / 2, true);
		n = pause_length(&h);
	}
	assert_in_range(n, 200000, 300000);
}

static void a_worker_that_does_not_come_too(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 3, 64);
	handover_done(&h, 50 * US, false);
	assert_true(pause_length(&h) >= 64);
}

static void not_beside_somebody_who_computes(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 3, 64);
	handover_done(&h, 1000 * US, true);
	assert_true(pause_length(&h) >= 4096);
	handover_done(&h, 1000 * US, true);
	assert_true(pause_length(&h) >= 65536);
}

static void it_comes_back(void **state)
{
	struct handover h = { 0 };

	(void)state;
	rounds(&h, 3, 64);
	handover_done(&h, 1000 * US, true);
	(void)pause_length(&h);
	for (int i = 0; i < 100; i++) {
		handover_done(&h, 10 * US, true);
		assert_true(handover_due(&h) == 32);
	}
	handover_done(&h, US / 2, true);
	assert_in_range(pause_length(&h), 64, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_of_a_round),
		cmocka_unit_test(few_sockets_are_one_part),
		cmocka_unit_test(many_are_served_all_the_time),
		cmocka_unit_test(it_follows),
		cmocka_unit_test(another_is_looked_at_when_one_is_gone),
		cmocka_unit_test(a_worker_elsewhere_is_left_alone),
		cmocka_unit_test(a_worker_that_does_not_come_too),
		cmocka_unit_test(not_beside_somebody_who_computes),
		cmocka_unit_test(it_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
