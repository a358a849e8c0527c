/* SPDX-License-Identifier: MIT */
/*
 * test_id_table.c - Goal: streams are found by their peer's id, whatever came and went before.
 * Method: random inserts and removals beside a plain list; the seed is printed.
 */
#include "../ncd_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/id_table.h"
#include "core/stream.h"

#define STREAMS 64

static void what_is_in_is_found_and_nothing_else(void **state)
{
	struct stream *s = calloc(STREAMS, sizeof(*s));
	struct stream *place[STREAMS * 2] = { 0 };
	struct id_table t = { .place = place, .mask = STREAMS * 2 - 1 };
	bool in[STREAMS] = { false };
	unsigned int seed = (unsigned int)time(NULL);

	(void)state;
	printf("seed %u\n", seed);
	srandom(seed);
	for (uint32_t i = 0; i < STREAMS; i++) {
		s[i].peer = i % 3;
		s[i].lane = (uint16_t)(1 + i / 3 % 2);
		s[i].remote_id = i % 6 == 0 ? (uint64_t)random() << 32 | (i / 6) :
					      s[i - i % 6].remote_id;
	}
	for (int round = 0; round < 20000; round++) {
		uint32_t i = (uint32_t)random() % STREAMS;

		if (in[i])
			id_table_remove(&t, &s[i]);
		else
			id_table_insert(&t, &s[i]);
		in[i] = !in[i];
		i = (uint32_t)random() % STREAMS;
		assert_ptr_equal(id_table_find(&t, s[i].peer, s[i].lane - 1, s[i].remote_id),
				 in[i] ? &s[i] : NULL);
		assert_null(id_table_find(&t, s[i].peer + 3, s[i].lane - 1,
					  s[i].remote_id));
		assert_null(id_table_find(&t, s[i].peer, s[i].lane + 1, s[i].remote_id));
	}
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_is_found_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
