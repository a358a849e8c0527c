/* SPDX-License-Identifier: MIT */
/*
 * test_client_lock.c - Goal: one thread at a time has a lock, whoever owns it, and nobody waits for
 * ever; what a signal handler puts off is done once, when its thread holds none any more. Method:
 * threads that stop where the test wants them, and some that do not; the handler's part is called
 * in between, as a handler would.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

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

/* ---- locks that are owned ---- */

#define UNTIL(condition)                                                  \
	for (uint64_t end_ns = clock_now_ns() + 20000000000u; !(condition);) { \
		assert_true(clock_now_ns() < end_ns);                     \
		(void)sched_yield();                                      \
	}

static uint32_t bias_of(struct lock *l)
{
	return atomic_load_explicit(&l->bias, memory_order_relaxed);
}

/* Taken often enough. */
static void make_own(struct lock *l)
{
	for (int i = 0; i < 10000 && bias_of(l) != lock_self; i++) {
		lock_take(l);
		assert_false(lock_try(l));
		lock_release(l);
	}
	if (bias_of(l) != lock_self)
		skip(); /* a kernel without membarrier(2) */
}

static void who_takes_it_many_times_owns_it(void **state)
{
	struct lock l = { 0 };

	(void)state;
	make_own(&l);
	for (int i = 0; i < 3; i++) {
		lock_take(&l);
		assert_int_equal(atomic_load(&l.word), LOCK_FREE);
		assert_false(lock_try(&l));
		lock_release(&l);
		assert_true(lock_try(&l));
		lock_release(&l);
	}
}

static void one_of_many_sockets_takes_more(void **state)
{
	struct lock l = { 0 };

	(void)state;
	lock_init_common(&l);
	for (int i = 0; i < 1000; i++) {
		lock_take(&l);
		assert_int_equal(atomic_load(&l.word), LOCK_HELD);
		lock_release(&l);
	}
	make_own(&l);
}

/* Another thread, which does one thing with a lock of somebody else's. */
struct other {
	struct lock *lock;
	bool tries;
	bool owns_nothing;
	bool had;
	uint32_t times;            /* that it takes it before */
	_Atomic bool has, release; /* if it is to hold it for a while */
	bool holds;
	pthread_t thread;
};

static void *other_run(void *arg)
{
	struct other *o = arg;

	if (o->owns_nothing)
		lock_own_nothing();
	for (uint32_t i = 0; i < o->times; i++) {
		lock_take(o->lock);
		lock_release(o->lock);
	}
	o->had = true;
	if (o->tries)
		o->had = lock_try(o->lock);
	else
		lock_take(o->lock);
	atomic_store(&o->has, true);
	while (o->holds && !atomic_load(&o->release))
		(void)sched_yield();
	if (o->had)
		lock_release(o->lock);
	return NULL;
}

static void other_begins(struct other *o)
{
	assert_int_equal(pthread_create(&o->thread, NULL, other_run, o), 0);
}

static void other_ends(struct other *o)
{
	assert_int_equal(pthread_join(o->thread, NULL), 0);
}

static void other_does(struct other *o)
{
	other_begins(o);
	other_ends(o);
}

static void another_thread_waits_for_the_owner(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l };

	(void)state;
	make_own(&l);
	lock_take(&l);
	other_begins(&o);
	UNTIL((bias_of(&l) & LOCK_OWNED) == LOCK_SHUT);
	assert_false(atomic_load(&o.has));
	lock_release(&l);
	other_ends(&o);
	assert_true(o.had);
}

static void the_owner_has_it_again_when_it_was_alone_for_long(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l };

	(void)state;
	make_own(&l);
	other_does(&o);
	for (int i = 0; i < 100; i++) {
		lock_take(&l);
		assert_int_equal(atomic_load(&l.word), LOCK_HELD);
		assert_false(lock_try(&l));
		lock_release(&l);
	}
	other_does(&o);
	make_own(&l);
}

/* What the owner is about to do may come late: it is never another's. */
static void no_other_becomes_the_owner(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l, .times = 20000 };

	(void)state;
	make_own(&l);
	other_does(&o);
	assert_true(lock_is_named(bias_of(&l), lock_self));
	make_own(&l);
}

static void who_owns_nothing_is_in_nobodys_way(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l, .times = 100, .owns_nothing = true };

	(void)state;
	other_does(&o);
	assert_int_equal(bias_of(&l), 0);
	lock_take(&l);
	lock_release(&l);
	other_does(&o);
	assert_true(lock_is_named(bias_of(&l), lock_self));
	make_own(&l);
}

static void who_tries_does_not_wait_for_the_owner(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l, .tries = true };

	(void)state;
	make_own(&l);
	lock_take(&l);
	other_does(&o);
	assert_false(o.had);
	assert_false(lock_try(&l)); /* nor does a handler get it */
	other_does(&o);
	assert_false(o.had);
	lock_release(&l);
	other_does(&o);
	assert_true(o.had);
	make_own(&l);
}

static void the_owner_waits_for_another(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l, .holds = true };

	(void)state;
	make_own(&l);
	other_begins(&o);
	UNTIL(atomic_load(&o.has));
	assert_false(lock_try(&l));
	atomic_store(&o.release, true);
	lock_take(&l);
	assert_false(lock_try(&l));
	lock_release(&l);
	other_ends(&o);
}

/* The calling thread, and those it begins, are told that there is no membarrier(2). */
static bool filter_membarrier(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void behind_a_filter_another_thread_waits_too(void **state)
{
	struct lock l = { 0 };
	struct other o = { .lock = &l };
	int status;
	pid_t pid;

	(void)state;
	make_own(&l);
	lock_take(&l);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)alarm(20);
		if (!filter_membarrier())
			_exit(77);
		if (pthread_create(&o.thread, NULL, other_run, &o) != 0)
			_exit(1);
		while ((bias_of(&l) & LOCK_OWNED) != LOCK_SHUT)
			(void)sched_yield();
		if (atomic_load(&o.has))
			_exit(2);
		lock_release(&l);
		_exit(pthread_join(o.thread, NULL) == 0 && o.had ? 0 : 3);
	}
	lock_release(&l);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* a kernel without filters */
	assert_int_equal(status, 0);
}

/* Global: a handler has no argument. */
static struct lock *interrupted_lock;
/* Global: as above. */
static bool handler_had;

static void on_signal(int nr)
{
	(void)nr;
	handler_had = lock_try(interrupted_lock);
}

static void a_handler_does_not_get_what_its_thread_holds(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, before;
	struct lock l = { 0 };

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	interrupted_lock = &l;
	/* By the word, by the word for the last time, as its owner's. */
	for (int i = 0; i < 100; i++) {
		lock_take(&l);
		assert_int_equal(raise(SIGUSR1), 0);
		assert_false(handler_had);
		lock_release(&l);
	}
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* ---- threads that do not stop ---- */

#define ADDS 100000

struct adder {
	struct lock *lock;
	uint64_t *sum;
	uint32_t every; /* it takes it one time of so many */
	uint64_t added;
	pthread_t thread;
};

static void *adder_run(void *arg)
{
	struct adder *a = arg;

	for (uint32_t i = 1; i <= ADDS; i++) {
		if (i % a->every)
			continue;
		if (i % 3 == 0 && lock_try(a->lock)) {
			++*a->sum;
			a->added++;
			lock_release(a->lock);
		}
		lock_take(a->lock);
		++*a->sum;
		a->added++;
		lock_release(a->lock);
	}
	return NULL;
}

/* By four threads; three of them come one time of @every. */
static void add(uint32_t every)
{
	uint64_t sum = 0, added = 0;
	struct lock l = { 0 };
	struct adder a[4];

	for (int i = 0; i < 4; i++) {
		a[i] = (struct adder){ .lock = &l, .sum = &sum, .every = i == 0 ? 1 : every };
		assert_int_equal(pthread_create(&a[i].thread, NULL, adder_run, &a[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(a[i].thread, NULL), 0);
		added += a[i].added;
	}
	assert_true(added >= ADDS + 3 * (ADDS / every));
	assert_int_equal(sum, added);
}

static void none_of_many_additions_is_lost(void **state)
{
	(void)state;
	add(10000);
	add(100);
	add(7);
	add(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_takes_it_many_times_owns_it),
		cmocka_unit_test(one_of_many_sockets_takes_more),
		cmocka_unit_test(another_thread_waits_for_the_owner),
		cmocka_unit_test(the_owner_has_it_again_when_it_was_alone_for_long),
		cmocka_unit_test(no_other_becomes_the_owner),
		cmocka_unit_test(who_owns_nothing_is_in_nobodys_way),
		cmocka_unit_test(who_tries_does_not_wait_for_the_owner),
		cmocka_unit_test(the_owner_waits_for_another),
		cmocka_unit_test(behind_a_filter_another_thread_waits_too),
		cmocka_unit_test(a_handler_does_not_get_what_its_thread_holds),
		cmocka_unit_test(none_of_many_additions_is_lost),
		cmocka_unit_test(who_holds_no_lock_puts_off_nothing),
		cmocka_unit_test(it_is_done_behind_the_last_lock),
		cmocka_unit_test(a_lock_that_was_not_to_be_had_counts_no_more),
		cmocka_unit_test(a_child_does_not_do_what_its_parent_put_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
