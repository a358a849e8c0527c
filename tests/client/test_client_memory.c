/* SPDX-License-Identifier: MIT */
/*
 * test_client_memory.c - what is taken is zeroed, aligned, nobody else's, and used again.
 */
#include "../ncd_test.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

static const size_t sizes[] = { 0, 1, 48, 49, 64, 1000, 65520, 65521, 65536, 1000000 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static bool holds(const uint8_t *at, size_t bytes, uint8_t what)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i] != what)
			return false;
	return true;
}

/* Two rounds: the second is given what the first has written to. */
static void each_size_is_zeroed_and_aligned(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		uint8_t *at[SIZES];

		for (size_t i = 0; i < SIZES; i++) {
			at[i] = memory_take(1, sizes[i]);
			assert_non_null(at[i]);
			assert_int_equal((uintptr_t)at[i] % alignof(max_align_t), 0);
			assert_true(holds(at[i], sizes[i], 0));
			memset(at[i], (int)i + 1, sizes[i]);
		}
		for (size_t i = 0; i < SIZES; i++) {
			assert_true(holds(at[i], sizes[i], (uint8_t)(i + 1)));
			memory_give(at[i]);
		}
	}
	memory_give(NULL);
}

static void what_is_given_back_is_used_again(void **state)
{
	void *first = memory_take(3, 100);

	(void)state;
	for (int i = 0; i < 100000; i++) {
		void *again;

		memory_give(first);
		again = memory_take(1, 290); /* of the same class */
		assert_ptr_equal(again, first);
	}
	memory_give(first);
}

static void too_much_is_refused(void **state)
{
	(void)state;
	assert_null(memory_take(SIZE_MAX, 2));
	assert_null(memory_take(1, SIZE_MAX));
	assert_null(memory_take(1, SIZE_MAX / 2));
}

/* Without memory: nothing, and later as before. */
static void none_left(void)
{
	struct rlimit limit = { 0, RLIM_INFINITY };
	void *small[4096];
	size_t nr = 0;
	bool well;

	(void)setrlimit(RLIMIT_AS, &limit);
	while (nr < 4096 && (small[nr] = memory_take(1, 60000)))
		nr++;
	well = nr < 4096 && !memory_take(1, 1000000);
	limit.rlim_cur = RLIM_INFINITY;
	(void)setrlimit(RLIMIT_AS, &limit);
	well = well && (small[nr] = memory_take(1, 60000)) && holds(small[nr], 60000, 0);
	_exit(well ? 0 : 1);
}

static void no_memory_is_said(void **state)
{
	int status = -1;
	pid_t child;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their shadows are memory, too */
#endif
	child = fork();
	if (child == 0)
		none_left();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define TURNS 20000
static void *taker(void *arg)
{
	uint8_t mark = *(const uint8_t *)arg;
	uint8_t *at[8] = { NULL };
	size_t bytes[8] = { 0 };
	uintptr_t wrong = 0;

	for (uint32_t i = 0; i < TURNS; i++) {
		uint32_t k = i % 8;

		wrong += at[k] && !holds(at[k], bytes[k], mark);
		memory_give(at[k]);
		bytes[k] = (i * 37) % 700;
		at[k] = memory_take(1, bytes[k]);
		wrong += !at[k] || !holds(at[k], bytes[k], 0);
		if (at[k])
			memset(at[k], mark, bytes[k]);
	}
	for (int k = 0; k < 8; k++)
		memory_give(at[k]);
	return (void *)wrong;
}

static void threads_are_given_different_memory(void **state)
{
	uint8_t mark[4] = { 1, 2, 3, 4 };
	pthread_t thread[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, taker, &mark[i]), 0);
	for (int i = 0; i < 4; i++) {
		void *wrong;

		assert_int_equal(pthread_join(thread[i], &wrong), 0);
		assert_null(wrong);
	}
}

/* What the parent has stays in the child, as malloc's does. */
static void a_forked_child_goes_on(void **state)
{
	uint8_t *at = memory_take(1, 200);
	int status = -1;
	pid_t child;

	(void)state;
	memory_give(memory_take(1, 200));
	memset(at, 9, 200);
	child = fork();
	if (child == 0) {
		uint8_t *own;

		memory_forget();
		own = memory_take(1, 200);
		memset(own, 5, 200);
		_exit(holds(at, 200, 9) && (memory_give(at), holds(own, 200, 5)) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	memory_give(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_size_is_zeroed_and_aligned),
		cmocka_unit_test(what_is_given_back_is_used_again),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(no_memory_is_said),
		cmocka_unit_test(threads_are_given_different_memory),
		cmocka_unit_test(a_forked_child_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
