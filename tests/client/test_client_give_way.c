/* SPDX-License-Identifier: MIT */
/*
 * test_client_give_way.c - Goal: who copies bulk offers the core while the worker says that others
 * wait for round trips, and at no other time; who exchanges small messages never does.
 * Method: the fake plays the daemon; sched_yield(2) is the test's own, and counts.
 */
#include <sched.h>

#include "client_test.h"
#include "give_way.h"

#define EACH (128u << 10)
#define BULK (2 * EACH)

static uint32_t offers; /* Global: why: sched_yield has no argument */

int sched_yield(void)
{
	offers++;
	return 0;
}

static int set_up(void **state)
{
	*state = fake_start(&(struct fake_config){ .ring_bytes = 4 * BULK });
	return 0;
}

static int tear_down(void **state)
{
	fake_stop(*state);
	return 0;
}

/* Both in calls of @size; how often the core was offered. */
static uint32_t sending(struct fake *f, int s, struct fake_slot p, size_t size)
{
	uint8_t bytes[BULK] = { 0 };

	offers = 0;
	for (size_t done = 0; done < BULK; done += size)
		assert_int_equal(nc_send(s, bytes, size, 0), size);
	assert_int_equal(fake_take(f, p, bytes, sizeof(bytes)), BULK);
	return offers;
}

static uint32_t receiving(struct fake *f, int s, struct fake_slot p, size_t size)
{
	uint8_t bytes[BULK] = { 0 };

	assert_int_equal(fake_put(f, p, bytes, BULK), BULK);
	offers = 0;
	for (size_t done = 0; done < BULK; done += size)
		assert_int_equal(nc_recv(s, bytes, size, MSG_WAITALL), size);
	return offers;
}

static void bulk_gives_way_while_others_wait(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);

	assert_int_equal(sending(f, s, p, BULK), 0);
	assert_int_equal(receiving(f, s, p, BULK), 0);
	fake_give_way(f, p.worker, EACH);
	assert_in_range(sending(f, s, p, BULK), 1, 2);
	assert_int_equal(receiving(f, s, p, BULK), 2);
	/* In smaller calls as well. */
	assert_in_range(sending(f, s, p, BULK / 8), 1, 2);
	assert_in_range(receiving(f, s, p, BULK / 8), 1, 2);
	/* More often, but not for less than is worth it. */
	fake_give_way(f, p.worker, GIVE_WAY_LEAST);
	assert_int_equal(receiving(f, s, p, BULK), 4);
	assert_in_range(sending(f, s, p, BULK / 8), 3, 4);
	fake_give_way(f, p.worker, 1);
	assert_int_equal(receiving(f, s, p, BULK), 4);
	fake_give_way(f, p.worker, 0);
	assert_int_equal(sending(f, s, p, BULK), 0);
	assert_int_equal(receiving(f, s, p, BULK), 0);
	closed(f, s);
}

static void messages_do_not(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);

	fake_give_way(f, p.worker, EACH);
	assert_int_equal(sending(f, s, p, 4096), 0);
	assert_int_equal(receiving(f, s, p, 4096), 0);
	closed(f, s);
}

static void large_messages_in_turns_do_not(void **state)
{
	struct fake *f = *state;
	uint8_t bytes[16 << 10] = { 0 };
	struct fake_slot p;
	int s = connected(f, &p);

	fake_give_way(f, p.worker, EACH);
	offers = 0;
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(nc_send(s, bytes, sizeof(bytes), 0), sizeof(bytes));
		assert_int_equal(fake_take(f, p, bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(fake_put(f, p, bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(nc_recv(s, bytes, sizeof(bytes), 0), sizeof(bytes));
	}
	assert_int_equal(offers, 0);
	closed(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(bulk_gives_way_while_others_wait),
		T(messages_do_not),
		T(large_messages_in_turns_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
