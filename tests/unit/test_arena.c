/* SPDX-License-Identifier: MIT */
/*
 * test_arena.c - ring blocks: none overlaps another, all come back, memory follows use.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ncd/huge_page.h"

#include "../ncd_test.h"
#include "arena.h"
#include "region.h"

static void a_block_lies_at_a_multiple_of_its_size(void **state)
{
	struct arena *a = arena_create(8u << 20);
	static uint8_t mem[8];
	struct arena_block b[3];

	(void)state;
	assert_int_equal(arena_take(a, NCD_RING_MIN, &b[0]), -ENOBUFS);
	assert_int_equal(arena_add(a, 1, mem, (4u << 20) + 3 * NCD_RING_MIN, 0), 0);
	assert_int_equal(arena_take(a, NCD_RING_MIN, &b[0]), 0);
	assert_int_equal(arena_take(a, 1u << 20, &b[1]), 0);
	assert_int_equal(arena_take(a, 64u << 10, &b[2]), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(b[i].off % b[i].bytes, 0);
		assert_ptr_equal(b[i].base, mem + b[i].off);
		assert_int_equal(b[i].segment, 1);
	}
	assert_int_equal(arena_used(a), NCD_RING_MIN + (1u << 20) + (64u << 10));
	for (int i = 0; i < 3; i++)
		arena_give(a, &b[i]);
	assert_null(b[0].base);
	arena_give(a, &b[0]); /* cleared: nothing happens */
	assert_int_equal(arena_used(a), 0);
	arena_destroy(a);
}

static void the_block_given_last_is_taken_first(void **state)
{
	struct arena *a = arena_create(8u << 20);
	static uint8_t mem[8];
	struct arena_block b, c;
	uint64_t off;

	(void)state;
	assert_int_equal(arena_add(a, 1, mem, 8u << 20, 0), 0);
	assert_int_equal(arena_take(a, 64u << 10, &b), 0);
	assert_int_equal(arena_take(a, 64u << 10, &c), 0);
	off = b.off;
	arena_give(a, &b);
	assert_int_equal(arena_take(a, 64u << 10, &b), 0);
	assert_int_equal(b.off, off);
	arena_destroy(a);
}

static void segments_have_their_limits(void **state)
{
	struct arena *a = arena_create(1u << 20);
	static uint8_t mem[8];

	(void)state;
	assert_int_equal(arena_add(a, NCD_SEGMENTS_MAX, mem, NCD_RING_MIN, 0), -EINVAL);
	assert_int_equal(arena_add(a, 1, mem, 100, 0), -EINVAL);
	assert_int_equal(arena_add(a, 1, mem, 2u << 20, 0), -ENOBUFS);
	assert_int_equal(arena_add(a, 1, mem, 1u << 20, 0), 0);
	assert_int_equal(arena_add(a, 1, mem, 1u << 20, 0), -EINVAL);
	assert_int_equal(arena_add(a, 2, mem, 1u << 20, 0), -ENOBUFS);
	arena_destroy(a);
	arena_destroy(NULL);
}

/* A random history against a map of pages: nothing overlaps, and all of it can be had again. */
static void a_random_history_never_overlaps(void **state)
{
	enum { PAGES = 3 * 1024, LIVE = 200 };
	struct arena *a = arena_create((uint64_t)PAGES * NCD_RING_MIN);
	static uint8_t mem[8], used[4][1024];
	struct arena_block b[LIVE] = { 0 };
	unsigned int seed = (unsigned int)(uintptr_t)a;

	(void)state;
	print_message("seed %u\n", seed);
	for (uint32_t s = 1; s <= 3; s++)
		assert_int_equal(arena_add(a, s, mem, 1024 * NCD_RING_MIN, 0), 0);
	for (int n = 0; n < 200000; n++) {
		struct arena_block *x = &b[rand_r(&seed) % LIVE];
		uint32_t bytes = NCD_RING_MIN << rand_r(&seed) % 9;

		if (x->base) {
			memset(&used[x->segment][x->off / NCD_RING_MIN], 0,
			       x->bytes / NCD_RING_MIN);
			arena_give(a, x);
		} else if (arena_take(a, bytes, x) == 0) {
			uint8_t *u = &used[x->segment][x->off / NCD_RING_MIN];

			assert_int_equal(x->bytes, bytes);
			for (uint32_t i = 0; i < bytes / NCD_RING_MIN; i++) {
				assert_int_equal(u[i], 0);
				u[i] = 1;
			}
		}
	}
	for (int i = 0; i < LIVE; i++)
		arena_give(a, &b[i]);
	assert_int_equal(arena_used(a), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(arena_take(a, 1024 * NCD_RING_MIN, &b[i]), 0);
	arena_destroy(a);
}

static void trimmed_blocks_lose_their_pages(void **state)
{
	struct arena *a = arena_create(4u << 20);
	struct region_map m;
	struct arena_block b;
	unsigned char in[16];

	(void)state;
	assert_int_equal(region_map_create("test", 4u << 20, &m), 0);
	assert_int_equal(arena_add(a, 1, m.base, m.bytes, 0), 0);
	assert_int_equal(arena_take(a, 64u << 10, &b), 0);
	memset(b.base, 1, b.bytes);
	arena_give(a, &b);
	assert_int_equal(arena_idle(a), 64u << 10);
	assert_false(arena_trim(a, 64u << 10, 1u << 20)); /* not more than what may be kept */
	assert_int_equal(arena_idle(a), 64u << 10);
	assert_true(arena_trim(a, 0, 0));
	assert_int_equal(arena_idle(a), 64u << 10);
	assert_false(arena_trim(a, 0, 4096)); /* the first one is given whole */
	assert_int_equal(arena_idle(a), 0);
	assert_int_equal(mincore(m.base, 16 * 4096, in), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(in[i] & 1, 0);
	/* All of it is one block again when it must be. */
	assert_int_equal(arena_take(a, 4u << 20, &b), 0);
	arena_destroy(a);
	region_unmap(&m);
}

/* Pages that are on their way elsewhere keep what was in them; the ring gets others. */
static void discard_under_way(struct arena *a, const struct region_map *m)
{
	struct arena_block b;
	uint8_t in[4096];
	int on_the_way[2];
	loff_t off;

	assert_int_equal(arena_take(a, 64u << 10, &b), 0);
	assert_int_equal(b.file, m->fd + 1);
	memset(b.base, 1, b.bytes);
	off = (loff_t)b.off;
	assert_int_equal(pipe(on_the_way), 0);
	assert_int_equal(splice(m->fd, &off, on_the_way[1], NULL, sizeof(in), 0), sizeof(in));
	arena_discard(&b);
	memset(b.base, 2, 1);
	assert_int_equal(b.base[1], 0);
	assert_int_equal(read(on_the_way[0], in, sizeof(in)), sizeof(in));
	assert_int_equal(in[0], 1);
	assert_int_equal(in[4095], 1);
	close(on_the_way[0]);
	close(on_the_way[1]);
	arena_give(a, &b);
}

static void discarded_blocks_read_as_zeros(void **state)
{
	struct arena *a = arena_create(4u << 20);
	struct region_map m;

	(void)state;
	assert_int_equal(region_map_create("test", 4u << 20, &m), 0);
	assert_int_equal(arena_add(a, 1, m.base, m.bytes, m.fd + 1), 0);
	discard_under_way(a, &m);
	arena_destroy(a);
	region_unmap(&m);
}

/* The library may have gathered a large ring; then it is another's, in parts. */
static void so_do_parts_of_what_was_huge_pages(void **state)
{
	struct arena *a = arena_create(4u << 20);
	struct region_map m;
	struct arena_block b;

	(void)state;
	assert_int_equal(region_map_create("test", 4u << 20, &m), 0);
	assert_int_equal(arena_add(a, 1, m.base, m.bytes, m.fd + 1), 0);
	assert_int_equal(arena_take(a, 4u << 20, &b), 0);
	memset(b.base, 1, b.bytes);
	/* Where the kernel cannot, this is the test before it. */
	huge_page_gather(b.base, b.bytes);
	arena_give(a, &b);
	discard_under_way(a, &m);
	arena_destroy(a);
	region_unmap(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_lies_at_a_multiple_of_its_size),
		cmocka_unit_test(the_block_given_last_is_taken_first),
		cmocka_unit_test(segments_have_their_limits),
		cmocka_unit_test(a_random_history_never_overlaps),
		cmocka_unit_test(trimmed_blocks_lose_their_pages),
		cmocka_unit_test(discarded_blocks_read_as_zeros),
		cmocka_unit_test(so_do_parts_of_what_was_huge_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
