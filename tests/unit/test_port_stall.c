/* SPDX-License-Identifier: MIT */
/*
 * test_port_stall.c - a listener beside a kernel's socket, whose application accepts nothing.
 *
 * Goal: clients that come later are refused, which brings them to the kernel's socket, until it
 * accepts again; what is in the queue stays there, and who listens through ncd alone is left alone.
 */
#define RIG_STALL_NS 1u /* the next that comes is too late */
#include "worker_rig.h"

#define PORT 80

static void listen_as(struct rig *r, uint64_t title)
{
	struct rig_host *h = &r->host[1];
	struct worker_cmd cmd = {
		.type = CMD_LISTEN,
		.port = h->port,
		.listen = { .port = PORT, .backlog = 16, .title = title },
	};

	rig_command(r, 1, &cmd);
	assert_int_equal(h->result, 0);
	ring_init(&h->accept, (uint8_t *)h->port_shm + h->layout.accept_off, NCD_BACKLOG_MAX);
}

/* What becomes of one that host 0 opens. */
static uint32_t opened(struct rig *r, uint32_t slot)
{
	struct rig_host *h = &r->host[0];

	app_open(h, slot, r->host[1].addr, PORT, 0);
	rig_until(r, app_state(h, slot) == SLOT_OPEN || app_state(h, slot) == SLOT_FAILED);
	return app_state(h, slot);
}

static void accepts(struct rig *r)
{
	int slot = -EAGAIN;

	rig_until(r, (slot = app_accept(&r->host[1])) >= 0);
}

static void who_accepts_nothing_gets_no_more(void **state)
{
	struct rig *r = *state;

	listen_as(r, 4711);
	assert_int_equal(opened(r, 1), SLOT_OPEN);
	assert_int_equal(opened(r, 2), SLOT_OPEN); /* from now on it is looked at */
	assert_int_equal(opened(r, 3), SLOT_FAILED);
	assert_int_equal(opened(r, 4), SLOT_FAILED);
	accepts(r); /* one */
	assert_int_equal(opened(r, 5), SLOT_OPEN);
	assert_int_equal(opened(r, 6), SLOT_FAILED);
	accepts(r);
	accepts(r); /* all */
	assert_int_equal(opened(r, 7), SLOT_OPEN);
	assert_int_equal(opened(r, 8), SLOT_OPEN);
	assert_int_equal(opened(r, 9), SLOT_FAILED);
}

static void who_listens_by_ncd_alone_gets_all(void **state)
{
	struct rig *r = *state;

	listen_as(r, 0);
	for (uint32_t i = 1; i <= 6; i++)
		assert_int_equal(opened(r, i), SLOT_OPEN);
}

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_start(r, IO_AUTO, 20);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	rig_stop(*state);
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(who_accepts_nothing_gets_no_more),
		T(who_listens_by_ncd_alone_gets_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
