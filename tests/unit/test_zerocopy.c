/* SPDX-License-Identifier: MIT */
/*
 * test_zerocopy.c - Goal: a channel sends each size the way that costs less, whatever the device
 * becomes, and pays little to know it. Method: a device whose costs the test sets.
 */
#include "../ncd_test.h"

#include "core/zerocopy.h"

#define KIB 1024u

struct device {
	uint64_t copy_ns, pages_ns; /* for 64 KiB */
	uint64_t call_ns;           /* of pages, for each send */
	uint32_t sends, by_page;
};

/* A send of one payload, of which all was taken. */
static bool sent(struct zerocopy *z, uint32_t bytes, bool pages, uint64_t ns)
{
	return zerocopy_sent(z, &(struct zerocopy_send){ bytes, bytes, bytes, pages, ns });
}

/* @nr sends of @bytes, as the channel says; true if the last went by page. */
static bool run(struct zerocopy *z, struct device *d, uint32_t bytes, uint32_t nr)
{
	uint32_t bits = zerocopy_pages(z);
	bool pages = false;

	d->sends = d->by_page = 0;
	for (; nr > 0; nr--) {
		uint64_t ns;

		pages = bits >> (31 - __builtin_clz(bytes)) & 1;
		ns = (pages ? d->pages_ns : d->copy_ns) * bytes / (64 * KIB);
		if (pages)
			ns += d->call_ns;
		d->sends++;
		d->by_page += pages;
		if (sent(z, bytes, pages, ns))
			bits = zerocopy_pages(z);
		else
			assert_int_equal(bits, zerocopy_pages(z));
	}
	return pages;
}

static struct zerocopy fresh(void)
{
	struct zerocopy z;

	zerocopy_init(&z);
	return z;
}

static void at_first_large_payloads_go_by_page(void **state)
{
	struct zerocopy z = fresh();

	(void)state;
	assert_int_equal(zerocopy_pages(&z), UINT32_MAX << 17);
	assert_int_equal(zerocopy_from(&z), 128 * KIB);
}

static void a_device_without_copies_takes_all_by_page(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 1000, .call_ns = 500 };
	struct zerocopy z = fresh();

	(void)state;
	for (uint32_t size = ZEROCOPY_LEAST; size <= 64 * KIB; size *= 2)
		(void)run(&z, &d, size + size / 2, 20 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), ZEROCOPY_LEAST);
	(void)run(&z, &d, ZEROCOPY_LEAST, 10 * ZEROCOPY_EVERY);
	assert_int_equal(d.sends - d.by_page, 10);
}

static void a_device_that_copies_after_all_gets_no_pages(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 12000 };
	struct zerocopy z = fresh();

	(void)state;
	for (uint32_t size = 128 * KIB; size <= 512 * KIB; size *= 2)
		(void)run(&z, &d, size, 20 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 0);
	(void)run(&z, &d, 512 * KIB, 10 * ZEROCOPY_EVERY);
	assert_int_equal(d.by_page, 10);
}

static void each_size_is_learnt_by_itself(void **state)
{
	/* A call is worth it from 32 KiB on. */
	struct device d = { .copy_ns = 9000, .pages_ns = 1000, .call_ns = 3000 };
	struct zerocopy z = fresh();

	(void)state;
	for (uint32_t size = ZEROCOPY_LEAST; size <= 512 * KIB; size *= 2)
		(void)run(&z, &d, size, 20 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 32 * KIB);
	(void)run(&z, &d, 4096 * KIB, 10 * ZEROCOPY_EVERY); /* as the largest */
	assert_true(d.by_page > 9 * ZEROCOPY_EVERY);
}

static void what_is_new_is_learnt_again(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 2000 };
	struct zerocopy z = fresh();

	(void)state;
	(void)run(&z, &d, 32 * KIB, 20 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 32 * KIB);
	d.pages_ns = 30000;
	(void)run(&z, &d, 32 * KIB, 40 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 128 * KIB);
}

static void about_the_same_is_copied(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 8500 };
	struct zerocopy z = fresh();

	(void)state;
	(void)run(&z, &d, 64 * KIB, 40 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 128 * KIB);
	d.pages_ns = 8900;
	(void)run(&z, &d, 128 * KIB, 40 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 256 * KIB);
}

static void a_little_dearer_than_before_changes_nothing(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 7500 };
	struct zerocopy z = fresh();

	(void)state;
	(void)run(&z, &d, 64 * KIB, 40 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 64 * KIB);
	d.pages_ns = 8100;
	for (uint32_t i = 0; i < 40 * ZEROCOPY_EVERY; i++) {
		(void)run(&z, &d, 64 * KIB, 1);
		assert_true(z.size[2].pages);
	}
}

static void who_is_put_off_the_core_learns_nothing_wrong(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 12000 };
	struct zerocopy z = fresh();

	(void)state;
	/* One send in four takes a time slice; among them the first of either kind. */
	for (uint32_t i = 0; i < 40 * ZEROCOPY_EVERY; i++) {
		uint32_t pages = zerocopy_pages(&z) >> 16 & 1;
		uint64_t ns = i % 4 == 0 ? 3000000 : pages ? d.pages_ns : d.copy_ns;

		(void)sent(&z, 64 * KIB, pages, ns);
		assert_false(z.size[2].pages);
	}
	assert_in_range(z.size[2].cost[0], 8000, 10500);
	assert_in_range(z.size[2].cost[1], 10500, 14000);
}

static void parts_and_small_payloads_say_nothing(void **state)
{
	static const struct zerocopy_send send[] = {
		{ .largest = ZEROCOPY_LEAST - 1, .asked = 1 << 20, .bytes = 1 << 20, .ns = 1 },
		{ .largest = 64 * KIB, .asked = 64 * KIB, .bytes = 32 * KIB - 1, .ns = 1 },
		{ .largest = 64 * KIB, .asked = 1 << 20, .bytes = 512 * KIB - 1, .ns = 1 },
		{ .largest = 512 * KIB, .asked = 64 * KIB - 1, .bytes = 64 * KIB - 1, .ns = 1 },
		{ .ns = 0 },
	};
	struct zerocopy z = fresh();

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		assert_false(zerocopy_sent(&z, &send[i % (sizeof(send) / sizeof(send[0]))]));
	for (uint32_t i = 0; i < ZEROCOPY_SIZES; i++)
		assert_int_equal(z.size[i].seen[0], 0);
}

static void a_piece_of_a_large_payload_says_what_it_took(void **state)
{
	struct zerocopy_send send = { .largest = 512 * KIB, .asked = 128 * KIB,
				      .bytes = 128 * KIB };
	struct zerocopy z = fresh();

	(void)state;
	for (uint32_t i = 0; i < 20 * ZEROCOPY_EVERY; i++) {
		send.pages = zerocopy_pages(&z) >> 19 & 1;
		send.ns = send.pages ? 24000 : 18000;
		(void)zerocopy_sent(&z, &send);
	}
	assert_false(z.size[5].pages);
}

static void a_clock_that_stood_at_first_is_forgotten(void **state)
{
	struct device d = { .copy_ns = 9000, .pages_ns = 2000 };
	struct zerocopy z = fresh();

	(void)state;
	for (int i = 0; i < 100; i++)
		(void)sent(&z, 64 * KIB, false, 0);
	(void)run(&z, &d, 64 * KIB, 40 * ZEROCOPY_EVERY);
	assert_int_equal(zerocopy_from(&z), 64 * KIB);
}

static void any_time_is_borne(void **state)
{
	struct zerocopy z = fresh();

	(void)state;
	/* A clock that stands, and one that jumps. */
	for (uint32_t i = 0; i < 10000; i++)
		(void)sent(&z, 128 * KIB, zerocopy_pages(&z) >> 17 & 1,
			   i % 3 ? 0 : UINT64_MAX >> 17);
	for (uint32_t i = 0; i < 10000; i++)
		(void)sent(&z, UINT32_MAX, false, UINT64_MAX >> 17);
	assert_in_range(z.size[5].cost[0], 1, 2000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_first_large_payloads_go_by_page),
		cmocka_unit_test(a_device_without_copies_takes_all_by_page),
		cmocka_unit_test(a_device_that_copies_after_all_gets_no_pages),
		cmocka_unit_test(each_size_is_learnt_by_itself),
		cmocka_unit_test(what_is_new_is_learnt_again),
		cmocka_unit_test(about_the_same_is_copied),
		cmocka_unit_test(a_little_dearer_than_before_changes_nothing),
		cmocka_unit_test(who_is_put_off_the_core_learns_nothing_wrong),
		cmocka_unit_test(parts_and_small_payloads_say_nothing),
		cmocka_unit_test(a_piece_of_a_large_payload_says_what_it_took),
		cmocka_unit_test(a_clock_that_stood_at_first_is_forgotten),
		cmocka_unit_test(any_time_is_borne),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
