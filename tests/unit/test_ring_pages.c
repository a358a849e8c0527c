/* SPDX-License-Identifier: MIT */
/*
 * test_ring_pages.c - Goal: of a ring exactly the pages without a byte in use are given back.
 * Method: random rings of a memfd, each page against its definition.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../ncd_test.h"
#include "ncd/ring_pages.h"
#include "region.h"

#define PAGES 16u
#define BYTES (PAGES * NCD_PAGE)

/* True if a byte of page @page is one of @used from place @at on. */
static bool page_used(uint32_t page, uint32_t at, uint64_t used)
{
	for (uint32_t i = page * NCD_PAGE; i < (page + 1) * NCD_PAGE; i++)
		if (((i - at) & (BYTES - 1)) < used)
			return true;
	return false;
}

static void check(const struct region_map *m, uint32_t at, uint64_t used, uint64_t from,
		  uint64_t to)
{
	memset(m->base, 1, m->bytes);
	ring_pages_free(m->base + BYTES, BYTES, at, used, from, to);
	for (uint32_t i = 0; i < 3 * BYTES; i++) {
		uint32_t page = i / NCD_PAGE - PAGES; /* of the ring, which lies in the middle */
		bool in = page < PAGES && (uint64_t)page * NCD_PAGE >= from &&
			  (page + 1ull) * NCD_PAGE <= to;

		if (i % NCD_PAGE)
			continue;
		if (m->base[i] != !(in && !page_used(page, at, used)))
			fail_msg("at %u, used %u, [%u, %u): page %u is %s", at, (unsigned int)used,
				 (unsigned int)from, (unsigned int)to, page,
				 m->base[i] ? "there" : "gone");
	}
}

static void pages_without_bytes_are_given_back(void **state)
{
	struct region_map m;
	unsigned int seed;

	(void)state;
	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	print_message("seed %u\n", seed);
	srand(seed);
	assert_int_equal(region_map_create("test", 3 * BYTES, &m), 0);
	check(&m, 0, 0, 0, BYTES);
	check(&m, 0, BYTES, 0, BYTES);
	check(&m, 5, BYTES, 0, BYTES);
	check(&m, 0, 1, 0, BYTES);
	check(&m, BYTES - 1, 1, 0, BYTES);
	check(&m, BYTES - 1, 2, 0, BYTES);
	for (int i = 0; i < 2000; i++) {
		uint32_t at = (uint32_t)rand() % BYTES;
		uint64_t used = (uint32_t)rand() % (BYTES + 1);
		uint64_t from = (uint32_t)rand() % PAGES * NCD_PAGE;
		uint64_t to = from + (uint32_t)rand() % (BYTES - from + 1);

		if (i % 3 == 0)
			at &= ~(NCD_PAGE - 1u);
		if (i % 5 == 0)
			used = 0;
		check(&m, at, used, from, to);
	}
	region_unmap(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_without_bytes_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
