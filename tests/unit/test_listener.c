/* SPDX-License-Identifier: MIT */
/*
 * test_listener.c - Goal: who hears which address and port; ephemeral ports are used in turn.
 * Method: a table and a pool of their own.
 */
#include "../ncd_test.h"

#include <errno.h>
#include <stdlib.h>

#include "core/listener.h"

#define LISTENERS 4

static const struct address any;
static const struct address any4 = { { [10] = 0xff, [11] = 0xff } };
static const struct address one4 = { { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 } };
static const struct address one6 = { { 0xfd, [15] = 1 } };

static int set_up(void **state)
{
	struct listener_table *t = calloc(1, sizeof(*t));

	t->at = calloc(LISTENERS, sizeof(t->at[0]));
	t->capacity = LISTENERS;
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct listener_table *t = *state;

	free(t->at);
	free(t);
	return 0;
}

static void an_exact_address_goes_before_a_wildcard(void **state)
{
	struct listener_table *t = *state;
	int wild, exact;

	assert_int_equal(listener_add(t, &any, 80, &wild), 0);
	assert_int_equal(listener_add(t, &one4, 80, &exact), 0);
	assert_ptr_equal(listener_find(t, &one4, 80)->user, &exact);
	assert_ptr_equal(listener_find(t, &one6, 80)->user, &wild);
	assert_null(listener_find(t, &one4, 81));
	assert_ptr_equal(listener_exact(t, &one4, 80)->user, &exact);
	assert_ptr_equal(listener_exact(t, &any, 80)->user, &wild);
	assert_null(listener_exact(t, &one6, 80));
	listener_remove(t, &one4, 80);
	assert_ptr_equal(listener_find(t, &one4, 80)->user, &wild);
	assert_null(listener_exact(t, &one4, 80));
}

static void a_wildcard_of_ipv4_hears_ipv4_only(void **state)
{
	struct listener_table *t = *state;

	assert_int_equal(listener_add(t, &any4, 80, t), 0);
	assert_non_null(listener_find(t, &one4, 80));
	assert_null(listener_find(t, &one6, 80));
}

static void the_same_twice_is_in_use_and_a_full_table_says_so(void **state)
{
	struct listener_table *t = *state;

	assert_int_equal(listener_add(t, &any, 1, t), 0);
	assert_int_equal(listener_add(t, &any, 1, t), -EADDRINUSE);
	for (uint16_t port = 2; port <= LISTENERS; port++)
		assert_int_equal(listener_add(t, &any, port, t), 0);
	assert_int_equal(listener_add(t, &any, 100, t), -ENOBUFS);
	listener_remove(t, &any, 2);
	assert_int_equal(listener_add(t, &any, 100, t), 0);
	listener_remove(t, &any, 4711); /* nobody: nothing happens */
}

static void ports_are_used_in_turn_and_twice_only_when_all_are(void **state)
{
	struct port_pool *p = calloc(1, sizeof(*p));
	uint32_t uses[10] = { 0 };

	(void)state;
	port_pool_init(p, 100, 109, 12345);
	for (int i = 0; i < 10; i++)
		uses[port_pool_take(p) - 100]++;
	for (int i = 0; i < 10; i++)
		assert_int_equal(uses[i], 1);
	port_pool_release(p, 105);
	assert_int_equal(port_pool_take(p), 105);
	assert_in_range(port_pool_take(p), 100, 109);
	free(p);
}

static void a_port_just_given_back_is_not_the_next(void **state)
{
	struct port_pool *p = calloc(1, sizeof(*p));
	uint16_t first;

	(void)state;
	port_pool_init(p, 100, 109, 0);
	first = port_pool_take(p);
	port_pool_release(p, first);
	assert_int_not_equal(port_pool_take(p), first);
	free(p);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_exact_address_goes_before_a_wildcard),
		CASE(a_wildcard_of_ipv4_hears_ipv4_only),
		CASE(the_same_twice_is_in_use_and_a_full_table_says_so),
		CASE(ports_are_used_in_turn_and_twice_only_when_all_are),
		CASE(a_port_just_given_back_is_not_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
