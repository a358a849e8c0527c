/* SPDX-License-Identifier: MIT */
/*
 * test_control_idle.c - Goal: an application hears once of streams that workers have found idle,
 * and one that does not listen is not talked at. Method: control_rig.h, whose ports are counters.
 */
#include "control_app.h"

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

/* Messages IDLE that have come; nothing else has. */
static uint32_t heard(int fd)
{
	union ctl_message msg;
	uint32_t fds, nr = 0;

	while (receive(fd, &msg, &fds) == sizeof(msg.head)) {
		assert_int_equal(msg.head.type, CTL_IDLE);
		assert_int_equal(msg.head.tag, 0);
		assert_int_equal(fds, 0);
		nr++;
	}
	return nr;
}

static void an_application_is_told_once(void **state)
{
	struct rig *r = *state;
	int fd = attach(r), other = attach(r);
	struct client *c = r->control.clients->next; /* the newest is the first */

	control_second(&r->control);
	assert_int_equal(heard(fd), 0);
	c->port[0]->idle_told++;
	c->port[RIG_WORKERS - 1]->idle_told += 3;
	control_second(&r->control);
	control_second(&r->control);
	assert_int_equal(heard(fd), 1);
	assert_int_equal(heard(other), 0);
	c->port[RIG_WORKERS - 1]->idle_told++;
	control_second(&r->control);
	assert_int_equal(heard(fd), 1);
	close(fd);
	close(other);
}

static void who_does_not_listen_is_told_when_he_does(void **state)
{
	struct rig *r = *state;
	int fd = attach(r);
	struct client *c = r->control.clients;

	for (int i = 0; i < 10000; i++) {
		c->port[0]->idle_told++;
		control_second(&r->control);
	}
	assert_int_equal(r->control.attached, 1);
	assert_int_equal(heard(fd), 1);
	control_second(&r->control);
	assert_int_equal(heard(fd), 1);
	control_second(&r->control);
	assert_int_equal(heard(fd), 0);
	close(fd);
}

static void who_has_gone_is_not_told(void **state)
{
	struct rig *r = *state;
	int fd = attach(r);

	r->control.clients->port[0]->idle_told++;
	close(fd);
	control_second(&r->control);
	rig_pump(r);
	control_second(&r->control);
	assert_int_equal(r->control.attached, 0);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(an_application_is_told_once),
		RIG_TEST(who_does_not_listen_is_told_when_he_does),
		RIG_TEST(who_has_gone_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
