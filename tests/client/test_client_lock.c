/* SPDX-License-Identifier: MIT */
/*
 * test_client_lock.c - what a signal handler puts off while its thread holds locks.
 *
 * Goal: it is done once, when the thread holds none any more, and never waited for. Method: the
 * handler's part is called in between, as a handler would.
 */
#include "../ncd_test.h"

#include "lock.h"

struct job {
	struct lock_later later;
	int times;
};

static void job_run(struct lock_later *l)
{
	struct job *job = (struct job *)(void *)l;
	struct lock own = { 0 };

	lock_take(&own); /* it may do what it likes */
	job->times++;
	lock_release(&own);
	errno = EBADF;
}

static void who_holds_no_lock_puts_off_nothing(void **state)
{
	struct job job = { .later.run = job_run };

	(void)state;
	assert_false(lock_put_off(&job.later));
	assert_int_equal(job.times, 0);
}

static void it_is_done_behind_the_last_lock(void **state)
{
	struct job job[2] = { { .later.run = job_run }, { .later.run = job_run } };
	struct lock outer = { 0 }, inner = { 0 };

	(void)state;
	lock_take(&outer);
	assert_true(lock_put_off(&job[0].later));
	lock_take(&inner);
	assert_true(lock_put_off(&job[1].later));
	lock_release(&inner);
	assert_int_equal(job[0].times + job[1].times, 0);
	errno = EAGAIN;
	lock_release(&outer);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(job[0].times, 1);
	assert_int_equal(job[1].times, 1);
	lock_take(&outer);
	lock_release(&outer);
	assert_int_equal(job[0].times, 1);
}

static void a_lock_that_was_not_to_be_had_counts_no_more(void **state)
{
	struct lock l = { 0 };
	struct job job = { .later.run = job_run };

	(void)state;
	lock_take(&l);
	assert_false(lock_try(&l));
	lock_release(&l);
	assert_false(lock_put_off(&job.later));
}

static void a_child_does_not_do_what_its_parent_put_off(void **state)
{
	struct lock l = { 0 };
	struct job job = { .later.run = job_run };

	(void)state;
	lock_take(&l);
	assert_true(lock_put_off(&job.later));
	lock_forget_later();
	lock_release(&l);
	assert_int_equal(job.times, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_holds_no_lock_puts_off_nothing),
		cmocka_unit_test(it_is_done_behind_the_last_lock),
		cmocka_unit_test(a_lock_that_was_not_to_be_had_counts_no_more),
		cmocka_unit_test(a_child_does_not_do_what_its_parent_put_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
