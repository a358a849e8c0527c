/* SPDX-License-Identifier: MIT */
/*
 * test_client_batch.c - Goal: who deals with many events wakes a worker that dozes when it is done
 * with them, and at once one that sleeps; who has no more to come wakes either at once.
 * Method: the fake daemon's worker says how it sleeps; whether its eventfd was written is seen
 * behind each call.
 */
#include <poll.h>
#include <sys/time.h>

#include "../../libclient/cq.h"
#include "client_test.h"

#define SOCKETS 3

struct rig {
	struct fake *f;
	struct nc_cq *cq;
	struct fake_slot slot[SOCKETS];
	int sock[SOCKETS];
};

static void rig_up(struct rig *r, struct fake *f)
{
	r->f = f;
	assert_int_equal(nc_cq_create(&r->cq), 0);
	for (int i = 0; i < SOCKETS; i++) {
		struct nc_event none;

		r->sock[i] = connected(f, &r->slot[i]);
		assert_int_equal(nc_cq_add(r->cq, r->sock[i], POLLIN, 0), 0);
		assert_int_equal(nc_cq_wait(r->cq, &none, 1, 0), 0);
	}
}

static void rig_down(struct rig *r)
{
	struct nc_event none;

	(void)nc_cq_wait(r->cq, &none, 1, 0); /* the batch is over */
	for (int i = 0; i < SOCKETS; i++)
		closed(r->f, r->sock[i]);
	nc_cq_destroy(r->cq);
}

/* All have something, and are reported. */
static void all_ready(struct rig *r)
{
	struct nc_event e[SOCKETS];
	char c;

	for (int i = 0; i < SOCKETS; i++)
		fake_put(r->f, r->slot[i], "q", 1);
	assert_int_equal(nc_cq_wait(r->cq, e, SOCKETS, 0), SOCKETS);
	for (int i = 0; i < SOCKETS; i++)
		assert_int_equal(nc_recv(r->sock[i], &c, 1, 0), 1);
}

static bool rings(struct rig *r, int i)
{
	bool ret;

	assert_int_equal(nc_send(r->sock[i], "a", 1, 0), 1);
	ret = fake_rung(r->f, 0);
	fake_expect(r->f, SQ_KICK);
	return ret;
}

static void the_last_answer_wakes_a_worker_that_dozes(void **state)
{
	struct rig r;

	rig_up(&r, *state);
	all_ready(&r);
	fake_doze(r.f, 0);
	assert_false(rings(&r, 0));
	assert_false(rings(&r, 1));
	assert_true(rings(&r, 2));
	rig_down(&r);
}

static void fewer_answers_than_events_wake_it_before_the_next_wait(void **state)
{
	struct rig r;
	struct nc_event e;

	rig_up(&r, *state);
	all_ready(&r);
	fake_doze(r.f, 0);
	assert_false(rings(&r, 0));
	assert_int_equal(nc_cq_wait(r.cq, &e, 1, 0), 0);
	assert_true(fake_rung(r.f, 0));
	/* Once: nothing is owed any more. */
	fake_doze(r.f, 0);
	assert_int_equal(nc_cq_wait(r.cq, &e, 1, 0), 0);
	assert_false(fake_rung(r.f, 0));
	rig_down(&r);
}

static void who_waits_for_one_of_them_wakes_it_first(void **state)
{
	const struct timeval soon = { .tv_usec = 1000 };
	struct rig r;
	char c;

	rig_up(&r, *state);
	all_ready(&r);
	fake_doze(r.f, 0);
	assert_false(rings(&r, 0));
	assert_int_equal(nc_setsockopt(r.sock[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
	assert_int_equal(nc_recv(r.sock[0], &c, 1, 0), -EAGAIN);
	assert_true(fake_rung(r.f, 0));
	rig_down(&r);
}

static void a_worker_that_sleeps_is_woken_by_the_first(void **state)
{
	struct rig r;

	rig_up(&r, *state);
	all_ready(&r);
	fake_sleep(r.f, 0);
	assert_true(rings(&r, 0));
	assert_false(rings(&r, 1));
	rig_down(&r);
}

static void who_has_no_more_to_come_wakes_it_at_once(void **state)
{
	struct rig r;
	struct nc_event e;

	rig_up(&r, *state);
	fake_doze(r.f, 0);
	assert_true(rings(&r, 0));
	/* One event is no batch. */
	fake_put(r.f, r.slot[0], "q", 1);
	assert_int_equal(nc_cq_wait(r.cq, &e, 1, 0), 1);
	fake_doze(r.f, 0);
	assert_true(rings(&r, 0));
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_answer_wakes_a_worker_that_dozes, start,
						stop),
		cmocka_unit_test_setup_teardown(
			fewer_answers_than_events_wake_it_before_the_next_wait, start, stop),
		cmocka_unit_test_setup_teardown(who_waits_for_one_of_them_wakes_it_first, start,
						stop),
		cmocka_unit_test_setup_teardown(a_worker_that_sleeps_is_woken_by_the_first, start,
						stop),
		cmocka_unit_test_setup_teardown(who_has_no_more_to_come_wakes_it_at_once, start,
						stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
