/* SPDX-License-Identifier: MIT */
/*
 * test_client_environment.c - NCD_PORTS, NCD_EXCLUDE and NCD_CLASS.
 *
 * Goal: what is right is taken, what is wrong is named with what is wanted, and the rest still
 * holds. Method: the variables are set, and read.
 */
#include "../ncd_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "ncclient.h"

/* Global: why: what was last read, for the cases to look at. */
static struct environment env;
/* Global: why: as above. */
static char why[ENVIRONMENT_WHY_BYTES];

static bool reads(const char *class, const char *ports, const char *exclude)
{
	assert_int_equal(setenv("NCD_CLASS", class, 1), 0);
	assert_int_equal(setenv("NCD_PORTS", ports, 1), 0);
	assert_int_equal(setenv("NCD_EXCLUDE", exclude, 1), 0);
	return environment_read(&env, why);
}

static void bad_ports(const char *ports, const char *item)
{
	assert_false(reads("", ports, ""));
	assert_non_null(strstr(why, "NCD_PORTS: "));
	assert_non_null(strstr(why, item));
	assert_non_null(strstr(why, "give ports up to 65535"));
	assert_true(env.some_ports);
}

static void what_is_right_is_taken(void **state)
{
	char self[300];

	(void)state;
	assert_true(reads("", "", ""));
	assert_true(!env.some_ports && !env.off && env.class == 0);
	assert_true(reads("latency", "80, 8000-8010,,0", "22,7z,other"));
	assert_int_equal(env.class, NC_CLASS_LATENCY);
	assert_true(env.some_ports && !env.off);
	assert_true(environment_has_port(&env.ports, 80));
	assert_true(environment_has_port(&env.ports, 8010));
	assert_false(environment_has_port(&env.ports, 8011));
	assert_true(environment_has_port(&env.exclude, 22));
	(void)snprintf(self, sizeof(self), "other,%s", program_invocation_short_name);
	assert_true(reads("throughput", "", self));
	assert_true(env.off && env.class == NC_CLASS_THROUGHPUT);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	bad_ports("http", "'http'");
	bad_ports("80;81", "'80;81'");
	bad_ports("65536", "'65536'");
	bad_ports("4294967376", "'4294967376'");
	bad_ports("-1", "'-1'");
	bad_ports("90-80", "'90-80'");
	bad_ports("80-", "'80-'");
	bad_ports("70,80x,90", "'80x'");
	assert_true(environment_has_port(&env.ports, 70) && environment_has_port(&env.ports, 90));
	assert_false(reads("fast", "", ""));
	assert_string_equal(why, "NCD_CLASS: 'fast' is wrong: give latency or throughput");
	assert_false(reads("", "", "ssh,99999"));
	assert_non_null(strstr(why, "NCD_EXCLUDE: '99999'"));
	assert_false(reads("", "", "90-80"));
}

static void more_ranges_than_fit_are_wrong(void **state)
{
	char list[ENVIRONMENT_RANGES * 3 + 3] = "";

	(void)state;
	for (size_t i = 0; i < ENVIRONMENT_RANGES; i++)
		memcpy(list + 3 * i, "80,", 3);
	assert_true(reads("", list, list));
	memcpy(list + sizeof(list) - 3, "81", 2);
	bad_ports(list, "'81'");
	assert_false(reads("", "", list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right_is_taken),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(more_ranges_than_fit_are_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
