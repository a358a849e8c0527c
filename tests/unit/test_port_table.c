/* SPDX-License-Identifier: MIT */
/*
 * test_port_table.c - goal: bind and listen conflict as in the kernel. Method: claims by two
 * owners.
 */
#include <errno.h>

#include "../ncd_test.h"
#include "port_table.h"

static const struct address any6;
static const struct address any4 = { .byte = { [10] = 0xff, [11] = 0xff } };
static const struct address one = { .byte = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 } };
static const struct address two = { .byte = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 2 } };
static const struct address six = { .byte = { 0x20, 0x01, [15] = 1 } };

static const int alice, bob;

static int table_create(void **state)
{
	*state = port_table_create();
	return *state ? 0 : -1;
}

static int table_destroy(void **state)
{
	port_table_destroy(*state);
	return 0;
}

static int claim(struct port_table *t, const void *owner, const struct address *addr, uint16_t port)
{
	const struct port_claim_args args = {
		.owner = owner, .uid = 1000, .addr = *addr, .port = port
	};
	uint16_t got = 0;

	return port_table_claim(t, &args, &got);
}

static void one_address_and_port_has_one_owner(void **state)
{
	assert_int_equal(claim(*state, &alice, &one, 5000), 0);
	assert_int_equal(claim(*state, &bob, &one, 5000), -EADDRINUSE);
	assert_int_equal(claim(*state, &alice, &one, 5000), -EADDRINUSE);
	assert_int_equal(claim(*state, &bob, &two, 5000), 0);
	assert_int_equal(claim(*state, &bob, &one, 5001), 0);
}

static void wildcards_conflict_within_their_families(void **state)
{
	assert_int_equal(claim(*state, &alice, &any4, 5000), 0);
	assert_int_equal(claim(*state, &bob, &one, 5000), -EADDRINUSE);
	assert_int_equal(claim(*state, &bob, &six, 5000), 0);
	assert_int_equal(claim(*state, &bob, &any6, 5000), -EADDRINUSE);
	assert_int_equal(claim(*state, &alice, &six, 5001), 0);
	assert_int_equal(claim(*state, &bob, &any4, 5001), 0);
	assert_int_equal(claim(*state, &bob, &any6, 5001), -EADDRINUSE);
}

static void low_ports_are_for_who_is_entitled(void **state)
{
	struct port_claim_args root = {
		.owner = &bob, .addr = one, .port = 80, .entitled = true
	};
	uint16_t port = 0;

	assert_int_equal(claim(*state, &alice, &one, 1023), -EACCES);
	assert_int_equal(claim(*state, &alice, &one, 1024), 0);
	assert_int_equal(port_table_claim(*state, &root, &port), 0);
	assert_int_equal(port, 80);
}

static void reuseport_needs_all_to_ask_and_one_user(void **state)
{
	struct port_claim_args args = {
		.owner = &alice, .uid = 1000, .addr = one, .port = 5000, .reuseport = true
	};
	uint16_t port = 0;

	assert_int_equal(port_table_claim(*state, &args, &port), 0);
	args.owner = &bob;
	assert_int_equal(port_table_claim(*state, &args, &port), 0);
	args.uid = 1001;
	assert_int_equal(port_table_claim(*state, &args, &port), -EADDRINUSE);
	args.uid = 1000;
	args.network = 4711; /* a container's, whose root is no other */
	assert_int_equal(port_table_claim(*state, &args, &port), -EADDRINUSE);
	args.network = 0;
	args.reuseport = false;
	assert_int_equal(port_table_claim(*state, &args, &port), -EADDRINUSE);
}

static void port_0_gets_each_free_port_once(void **state)
{
	struct port_claim_args args = { .owner = &alice, .uid = 1000, .addr = any6 };
	uint32_t i, all = PORT_BIND_HIGH - PORT_BIND_LOW + 1 + PORT_EPHEMERAL_HIGH -
			  PORT_EPHEMERAL_LOW + 1;
	uint16_t port = 0;

	for (i = 0; i < all; i++) {
		assert_int_equal(port_table_claim(*state, &args, &port), 0);
		assert_true(port >= PORT_EPHEMERAL_LOW);
	}
	assert_int_equal(port_table_claim(*state, &args, &port), -EADDRINUSE);
	assert_int_equal(port_table_release(*state, &alice, &any6, 40000, 0, false), 0);
	assert_int_equal(port_table_claim(*state, &args, &port), 0);
	assert_int_equal(port, 40000);
}

static void listening_takes_the_claim_over(void **state)
{
	assert_int_equal(port_table_listen(*state, &alice, &one, 5000, 0), -EINVAL);
	assert_int_equal(claim(*state, &alice, &one, 5000), 0);
	assert_int_equal(port_table_listen(*state, &bob, &one, 5000, 0), -EINVAL);
	assert_int_equal(port_table_listen(*state, &alice, &one, 5000, 0), 0);
	assert_int_equal(port_table_listen(*state, &alice, &one, 5000, 0), -EINVAL);
	assert_int_equal(port_table_release(*state, &alice, &one, 5000, 0, false), -ENOENT);
	assert_int_equal(claim(*state, &bob, &one, 5000), -EADDRINUSE);
	assert_int_equal(port_table_release(*state, &alice, &one, 5000, 0, true), 0);
	assert_int_equal(claim(*state, &bob, &one, 5000), 0);
}

static void all_claims_of_an_owner_go_at_once(void **state)
{
	uint16_t port;

	for (port = 5000; port < 5100; port++)
		assert_int_equal(claim(*state, port % 2 ? &alice : &bob, &one, port), 0);
	port_table_release_all(*state, &alice);
	for (port = 5000; port < 5100; port++)
		assert_int_equal(claim(*state, &alice, &one, port), port % 2 ? 0 : -EADDRINUSE);
}

static int claim_titled(struct port_table *t, const void *owner, uint32_t uid, uint64_t title,
			bool entitled)
{
	struct port_claim_args args = {
		.owner = owner, .uid = uid, .addr = one, .port = 80, .title = title,
		.entitled = entitled,
	};
	uint16_t port;

	return port_table_claim(t, &args, &port);
}

static void those_of_one_title_share_whoever_they_are(void **state)
{
	struct port_table *t = *state;

	assert_int_equal(claim_titled(t, &alice, 33, 7, false), -EACCES);
	assert_int_equal(claim_titled(t, &alice, 0, 7, true), 0);
	assert_int_equal(claim_titled(t, &bob, 33, 7, false), 0); /* it had root, once */
	assert_int_equal(claim_titled(t, &bob, 33, 8, true), -EADDRINUSE);
	assert_int_equal(claim_titled(t, &bob, 0, 0, true), -EADDRINUSE);
	port_table_release_all(t, &alice);
	assert_int_equal(claim_titled(t, &alice, 0, 8, true), -EADDRINUSE);
	port_table_release_all(t, &bob);
	assert_int_equal(claim_titled(t, &alice, 33, 8, false), -EACCES);
	assert_int_equal(claim_titled(t, &alice, 33, 8, true), 0);
}

/* A server that holds several of its own gives back the one that it means. */
static void a_claim_is_known_by_its_title(void **state)
{
	struct port_table *t = *state;
	struct port_claim_args args = {
		.owner = &alice, .uid = 1000, .addr = one, .port = 5000, .reuseport = true
	};
	uint16_t port;

	for (args.title = 7; args.title <= 8; args.title++) {
		assert_int_equal(port_table_claim(t, &args, &port), 0);
		assert_int_equal(port_table_listen(t, &alice, &one, 5000, args.title), 0);
	}
	assert_int_equal(port_table_release(t, &alice, &one, 5000, 0, true), -ENOENT);
	assert_int_equal(port_table_release(t, &alice, &one, 5000, 7, true), 0);
	assert_int_equal(port_table_release(t, &alice, &one, 5000, 7, true), -ENOENT);
	args = (struct port_claim_args){ .owner = &bob, .uid = 33, .addr = one, .port = 5000 };
	args.title = 7;
	assert_int_equal(port_table_claim(t, &args, &port), -EADDRINUSE);
	args.title = 8; /* its one claim is that of the same socket */
	assert_int_equal(port_table_claim(t, &args, &port), 0);
}

int main(void)
{
#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, table_create, table_destroy)
	const struct CMUnitTest tests[] = {
		TABLE_TEST(one_address_and_port_has_one_owner),
		TABLE_TEST(wildcards_conflict_within_their_families),
		TABLE_TEST(low_ports_are_for_who_is_entitled),
		TABLE_TEST(reuseport_needs_all_to_ask_and_one_user),
		TABLE_TEST(port_0_gets_each_free_port_once),
		TABLE_TEST(listening_takes_the_claim_over),
		TABLE_TEST(all_claims_of_an_owner_go_at_once),
		TABLE_TEST(those_of_one_title_share_whoever_they_are),
		TABLE_TEST(a_claim_is_known_by_its_title),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
