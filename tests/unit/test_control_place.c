/* SPDX-License-Identifier: MIT */
/*
 * test_control_place.c - Goal: an application whose worker is overloaded is told of another for
 * what it opens, one a second; who cannot be told stays. Method: control_rig.h, whose two workers
 * say how long they were idle.
 */
#include "control_app.h"

#define HELD UINT32_MAX

static int rig_set_up(void **state)
{
	*state = rig_create(16);
	return 0;
}

static int rig_tear_down(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* A second passes, in which worker 0 had no time and worker 1 all of it. */
static void pass(struct rig *r)
{
	r->control.placement_ns -= 1000000000u;
	r->workers.worker[1]->idle_ns += 1000000000u;
	control_second(&r->control);
}

/* Where it was told to go; HELD: nothing was said. */
static uint32_t told(int fd)
{
	union ctl_message msg;
	uint32_t fds;

	if (receive(fd, &msg, &fds) < 0)
		return HELD;
	assert_int_equal(msg.head.type, CTL_PLACE);
	assert_int_equal(msg.head.tag, 0);
	assert_int_equal(fds, 0);
	return msg.number.number;
}

static void they_are_told_one_a_second(void **state)
{
	struct rig *r = *state;
	int fd[3];

	for (int i = 0; i < 3; i++)
		fd[i] = attach(r); /* at 0, 1, 0 */
	pass(r);
	assert_int_equal(told(fd[0]), 1); /* the first that came */
	assert_int_equal(told(fd[2]), HELD);
	pass(r);
	assert_int_equal(told(fd[0]), HELD);
	assert_int_equal(told(fd[2]), 1);
	pass(r);
	for (int i = 0; i < 3; i++)
		assert_int_equal(told(fd[i]), HELD);
	assert_int_equal(r->control.placement.worker[0].clients, 0);
	assert_in_range(counter(&stats_worker_entry(&r->stats, 0)->busy_permille), 990, 1000);
	assert_in_range(counter(&stats_worker_entry(&r->stats, 1)->busy_permille), 0, 10);
	assert_int_equal(r->control.placement.worker[1].clients, 3);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

static void new_ones_begin_where_there_is_time(void **state)
{
	struct rig *r = *state;
	int fd[3];

	pass(r);
	for (int i = 0; i < 3; i++) {
		fd[i] = attach(r);
		assert_int_equal(r->control.clients->default_worker, 1);
	}
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

static void who_does_not_listen_stays(void **state)
{
	const struct ctl_head idle = { .type = CTL_IDLE };
	struct rig *r = *state;
	int fd = attach(r);
	union ctl_message msg;
	uint32_t fds;

	assert_int_equal(send(r->control.clients->fd, &idle, sizeof(idle), 0), sizeof(idle));
	pass(r);
	assert_int_equal(r->control.clients->default_worker, 0);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(idle));
	pass(r);
	assert_int_equal(told(fd), 1);
	close(fd);
}

static void an_older_library_is_not_told(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	int fd = rig_connect(r);
	union ctl_message msg;
	uint32_t fds;

	hello.version_min = CTL_VERSION_MIN;
	hello.version_max = CTL_VERSION_PLACE - 1;
	assert_true(rig_send(fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(msg.welcome));
	pass(r);
	assert_int_equal(told(fd), HELD);
	assert_int_equal(r->control.clients->default_worker, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_are_told_one_a_second, rig_set_up,
						rig_tear_down),
		cmocka_unit_test_setup_teardown(new_ones_begin_where_there_is_time, rig_set_up,
						rig_tear_down),
		cmocka_unit_test_setup_teardown(who_does_not_listen_stays, rig_set_up,
						rig_tear_down),
		cmocka_unit_test_setup_teardown(an_older_library_is_not_told, rig_set_up,
						rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
