/* SPDX-License-Identifier: MIT */
/*
 * test_port_away.c - a listener beside a kernel's socket that a program without ncd has got.
 *
 * Goal: others are refused at once while nobody here accepts or waits, and what waited is reset;
 * who looks again in time has all of it. Who accepts, or waits, loses nothing. Method: host 0
 * connects; on host 1 the first application listens, another may join it.
 */
#define RIG_STALL_NS 3600000000000u /* not by that */
#include "worker_rig.h"

#define PORT    80
#define TITLE   4711u
#define AT_ONCE 1u             /* ns that what waits is held */
#define LONG    3600000000000u /* until it is asked for */

struct away {
	struct rig r;
	struct rig_host *client, *server, *child;
};

static void command(struct away *a, struct rig_host *h, struct worker_cmd *cmd)
{
	cmd->port = h->port;
	rig_command(&a->r, 1, cmd);
}

static void listen_as(struct away *a, struct rig_host *h, uint64_t title)
{
	struct worker_cmd cmd = {
		.type = CMD_LISTEN,
		.listen = { .port = PORT, .backlog = 16, .title = title },
	};

	command(a, h, &cmd);
	assert_int_equal(a->r.host[1].result, 0);
	ring_init(&h->accept, (uint8_t *)h->port_shm + h->layout.accept_off, NCD_BACKLOG_MAX);
}

/* A program without ncd has got its socket. */
static int goes_away(struct away *a, struct rig_host *h, uint32_t number)
{
	struct worker_cmd cmd = { .type = CMD_LISTENER_AWAY, .listen.listener = number };

	command(a, h, &cmd);
	return a->r.host[1].result;
}

static struct listener_shm *words(struct rig_host *h)
{
	return (void *)(h->seg[0].base + h->layout.listener_off);
}

/* As the library does before it sleeps, or to look. */
static void look(struct rig_host *h)
{
	if (atomic_load(&words(h)->elsewhere) & 1)
		app_submit(h, sq_word(SQ_SHARE, 0, 0));
}

static void begin_to_wait(struct rig_host *h)
{
	/* SHARE, app end, both. */
	atomic_fetch_add(&words(h)->waiting, 1);
	look(h);
}

/* What becomes of one that host 0 opens. */
static uint32_t opened(struct away *a, uint32_t slot)
{
	app_open(a->client, slot, a->server->addr, PORT, 0);
	rig_until(&a->r, app_state(a->client, slot) == SLOT_OPEN ||
				 app_state(a->client, slot) == SLOT_FAILED);
	return app_state(a->client, slot);
}

static void accepts(struct away *a, struct rig_host *h)
{
	rig_until(&a->r, app_accept(h) >= 0);
	atomic_store(&words(h)->accepted, 1);
}

static void set_up(struct away *a, uint64_t hold_ns)
{
	rig_start_holding(&a->r, IO_AUTO, 20, hold_ns);
	a->client = &a->r.host[0];
	a->server = &a->r.host[1];
	a->child = rig_more(&a->r, 0);
	listen_as(a, a->server, TITLE);
}

static void tear_down(struct away *a)
{
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE };

	command(a, a->child, &cmd);
	rig_until(&a->r, a->child->gone == 1);
	assert_int_equal(a->server->bad, 0);
	rig_stop(&a->r);
	free(a);
}

static struct away *create(uint64_t hold_ns)
{
	struct away *a = calloc(1, sizeof(*a));

	set_up(a, hold_ns);
	return a;
}

static void who_waits_there_is_reset_and_others_are_refused(void **state)
{
	struct away *a = create(AT_ONCE);

	(void)state;
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	assert_int_equal(opened(a, 2), SLOT_OPEN);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	rig_until(&a->r, app_flags(a->client, 1) & SLOT_F_RESET);
	rig_until(&a->r, app_flags(a->client, 2) & SLOT_F_RESET);
	assert_int_equal(opened(a, 3), SLOT_FAILED);
	assert_int_equal(opened(a, 4), SLOT_FAILED);
	assert_int_equal(app_accept(a->server), -EAGAIN);
	/* That it has passed over what was taken back is no accept. */
	assert_int_equal(opened(a, 5), SLOT_FAILED);
	tear_down(a);
}

static void who_looks_again_has_what_waited(void **state)
{
	struct away *a = create(LONG);

	(void)state;
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(goes_away(a, a->server, 0), 0); /* another */
	assert_int_equal(app_accept(a->server), -EAGAIN);
	assert_int_equal(opened(a, 2), SLOT_FAILED);
	look(a->server);
	accepts(a, a->server);
	assert_int_equal(opened(a, 3), SLOT_OPEN);
	accepts(a, a->server);
	tear_down(a);
}

static void who_begins_to_wait_gets_more(void **state)
{
	struct away *a = create(LONG);

	(void)state;
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(opened(a, 1), SLOT_FAILED);
	begin_to_wait(a->server);
	assert_int_equal(opened(a, 2), SLOT_OPEN);
	accepts(a, a->server);
	tear_down(a);
}

static void who_has_accepted_or_waits_is_not_away(void **state)
{
	struct away *a = create(AT_ONCE);

	(void)state;
	begin_to_wait(a->server);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	accepts(a, a->server);
	atomic_store(&words(a->server)->waiting, 0);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(opened(a, 2), SLOT_OPEN);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(opened(a, 3), SLOT_OPEN);
	accepts(a, a->server);
	accepts(a, a->server);
	tear_down(a);
}

static void others_of_its_group_go_on(void **state)
{
	struct away *a = create(AT_ONCE);

	(void)state;
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	listen_as(a, a->child, TITLE);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	begin_to_wait(a->child);
	accepts(a, a->child); /* what was the other's */
	assert_int_equal(opened(a, 2), SLOT_OPEN);
	accepts(a, a->child);
	tear_down(a);
}

static void who_joins_later_has_what_waited(void **state)
{
	struct away *a = create(LONG);

	(void)state;
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	listen_as(a, a->child, TITLE);
	accepts(a, a->child);
	assert_int_equal(opened(a, 2), SLOT_OPEN);
	accepts(a, a->child);
	tear_down(a);
}

static void a_group_that_is_away_resets_all_that_waits(void **state)
{
	struct away *a = create(AT_ONCE);

	(void)state;
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	listen_as(a, a->child, TITLE);
	assert_int_equal(opened(a, 2), SLOT_OPEN);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(app_state(a->client, 1), SLOT_OPEN);
	assert_int_equal(goes_away(a, a->child, 0), 0);
	rig_until(&a->r, app_flags(a->client, 1) & SLOT_F_RESET);
	rig_until(&a->r, app_flags(a->client, 2) & SLOT_F_RESET);
	assert_int_equal(opened(a, 3), SLOT_FAILED);
	tear_down(a);
}

static void nothing_happens_to_who_listens_by_ncd_alone(void **state)
{
	struct away *a = create(AT_ONCE);
	struct worker_cmd cmd = { .type = CMD_UNLISTEN };

	(void)state;
	command(a, a->server, &cmd);
	assert_int_equal(goes_away(a, a->server, 0), -EINVAL);
	assert_int_equal(goes_away(a, a->server, NCD_LISTENERS_MAX), -EINVAL);
	listen_as(a, a->server, 0);
	assert_int_equal(goes_away(a, a->server, 0), 0);
	assert_int_equal(opened(a, 1), SLOT_OPEN);
	accepts(a, a->server);
	tear_down(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_there_is_reset_and_others_are_refused),
		cmocka_unit_test(who_looks_again_has_what_waited),
		cmocka_unit_test(who_begins_to_wait_gets_more),
		cmocka_unit_test(who_has_accepted_or_waits_is_not_away),
		cmocka_unit_test(others_of_its_group_go_on),
		cmocka_unit_test(who_joins_later_has_what_waited),
		cmocka_unit_test(a_group_that_is_away_resets_all_that_waits),
		cmocka_unit_test(nothing_happens_to_who_listens_by_ncd_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
