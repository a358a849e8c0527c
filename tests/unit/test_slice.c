/* SPDX-License-Identifier: MIT */
/*
 * test_slice.c - Goal: a thread's slice is short while round trips pass beside bulk, and the
 * kernel's at any other time and for any other policy. Method: what sched_getattr(2) says of this
 * thread, at times that the test says; and of two workers that move both. Before Linux 6.12 only
 * that nothing happens.
 */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "slice.h"
#include "worker_rig.h"

#define MS     1000000ull
#define SECOND (1000 * MS)

/* In ns; 0: this kernel does not say. */
static uint64_t slice_of(long thread)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} a = { 0 };

	if (syscall(SYS_sched_getattr, thread, &a, sizeof(a), 0) < 0)
		return 0; /* it has ended */
	return a.policy == SCHED_OTHER || a.policy == SCHED_BATCH ? a.runtime : 0;
}

static bool kernel_has_slices(void)
{
	return slice_of(0) != 0;
}

static void a_slice_is_set_and_given_back(void **state)
{
	uint64_t before = slice_of(0), was = 0;

	(void)state;
	if (!kernel_has_slices()) {
		assert_int_equal(slice_set(SLICE_LEAST_NS, &was), -EOPNOTSUPP);
		skip();
	}
	assert_int_equal(slice_set(3 * SLICE_LEAST_NS, &was), 0);
	assert_int_equal(was, before);
	assert_int_equal(slice_of(0), 3 * SLICE_LEAST_NS);
	assert_int_equal(slice_set(before, &was), 0);
	assert_int_equal(was, 3 * SLICE_LEAST_NS);
	assert_int_equal(slice_of(0), before);
}

/* In a process of its own: the way back from SCHED_IDLE needs a right. */
static void another_policy_is_left_alone(void **state)
{
	struct sched_param p = { .sched_priority = 0 };
	uint64_t was;
	int status;
	pid_t child;

	(void)state;
	child = fork();
	if (child == 0)
		_exit(sched_setscheduler(0, SCHED_IDLE, &p) == 0 &&
				      slice_set(SLICE_LEAST_NS, &was) == -EOPNOTSUPP &&
				      sched_getscheduler(0) == SCHED_IDLE ?
			      0 :
			      1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* For @ms from *t on. */
static void both(struct slice *s, uint64_t *t, int ms)
{
	for (; ms > 0; ms--, *t += MS)
		slice_follow(s, *t - MS, *t, *t);
}

static void it_is_short_while_both_pass(void **state)
{
	struct slice s = { .short_ns = SLICE_LEAST_NS };
	uint64_t usual = slice_of(0), t = SECOND, was;

	(void)state;
	if (!kernel_has_slices())
		skip();
	for (int i = 0; i < 100; i++, t += MS) {
		slice_follow(&s, t, 0, t);
		slice_follow(&s, 0, t, t);
		slice_follow(&s, t, t - SECOND / 2, t);
		slice_follow(&s, t - SECOND / 2, t, t);
	}
	/* A connect, and bulk. */
	for (uint64_t i = 0; i < 100; i++)
		slice_follow(&s, t, t + i * MS, t + i * MS);
	assert_int_equal(slice_of(0), usual);
	t += SECOND;
	both(&s, &t, 49);
	assert_int_equal(slice_of(0), usual);
	both(&s, &t, 2);
	assert_int_equal(slice_of(0), SLICE_LEAST_NS);
	/* A pause changes nothing, each time anew. */
	for (int i = 0; i < 5; i++) {
		t += SECOND / 2;
		slice_follow(&s, t - SECOND / 2, t, t);
		assert_int_equal(slice_of(0), SLICE_LEAST_NS);
		slice_follow(&s, t, t, t);
	}
	slice_follow(&s, t, t, t + SECOND - 1);
	assert_int_equal(slice_of(0), SLICE_LEAST_NS);
	slice_follow(&s, t, t, t + SECOND);
	assert_int_equal(slice_of(0), usual);
	/* Nor does it come back at once. */
	t += SECOND;
	both(&s, &t, 900);
	assert_int_equal(slice_of(0), usual);
	both(&s, &t, 200);
	assert_int_equal(slice_of(0), SLICE_LEAST_NS);
	assert_int_equal(slice_set(usual, &was), 0);
}

static void it_may_be_off(void **state)
{
	struct slice s = { .short_ns = 0 };
	uint64_t usual = slice_of(0);

	(void)state;
	slice_follow(&s, SECOND, SECOND, SECOND);
	assert_int_equal(slice_of(0), usual);
	assert_false(s.is_short);
}

static bool is_worker(const char *thread)
{
	char path[300], comm[16] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", thread);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(comm, sizeof(comm), f))
		comm[0] = '\0'; /* it has ended */
	(void)fclose(f);
	return strncmp(comm, "ncd-worker", 10) == 0;
}

static uint32_t short_workers(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	uint32_t nr = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		nr += is_worker(e->d_name) &&
		      slice_of(strtol(e->d_name, NULL, 10)) == SLICE_LEAST_NS;
	(void)closedir(d);
	return nr;
}

/* A round trip on slot 4, which is new each time: as long as it is, its class is latency. */
static void round_trip(struct rig *r)
{
	uint32_t b = rig_connect(r, 4, 80);

	rig_transfer(r, 4, b, 100);
	app_close(&r->host[0], 4, CLOSE_GRACEFUL);
	app_close(&r->host[1], b, CLOSE_GRACEFUL);
	rig_until(r, app_state(&r->host[0], 4) == SLOT_FREE);
}

static void workers_that_move_both_have_a_short_one(void **state)
{
	uint64_t to;
	struct rig *r;
	uint32_t b;

	(void)state;
	if (!kernel_has_slices())
		skip();
	r = rig_new(IO_EPOLL, 50);
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	rig_transfer(r, 3, b, to = 64 << 20);
	assert_int_equal(short_workers(), 0);
	for (int i = 0; i < 20000 && short_workers() < 2; i++) {
		rig_transfer(r, 3, b, to += 256 << 10);
		round_trip(r);
	}
	assert_int_equal(short_workers(), 2);
	rig_remove_client(r, 0);
	rig_remove_client(r, 1);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slice_is_set_and_given_back),
		cmocka_unit_test(another_policy_is_left_alone),
		cmocka_unit_test(it_is_short_while_both_pass),
		cmocka_unit_test(it_may_be_off),
		cmocka_unit_test(workers_that_move_both_have_a_short_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
