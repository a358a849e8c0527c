/* SPDX-License-Identifier: MIT */
/*
 * test_port_group.c - listeners of several applications on one address.
 *
 * Goal: a stream goes to who waits, or will; none is lost when one of the group is busy, closes or
 * dies, and none is had by two. Method: host 0 connects; on host 1 the first application (the
 * "parent") listens and never waits, two more are in its group.
 */
#define RIG_STREAMS 256u
#include "worker_rig.h"

#define PORT  80
#define TITLE 4711u

struct group {
	struct rig r;
	struct rig_host *client, *parent, *child[2];
};

static int listen_by(struct group *g, struct rig_host *h, const struct worker_cmd *how)
{
	struct worker_cmd cmd = *how;

	cmd.type = CMD_LISTEN;
	cmd.port = h->port;
	cmd.listen.port = PORT;
	rig_command(&g->r, 1, &cmd);
	ring_init(&h->accept, (uint8_t *)h->port_shm + h->layout.accept_off, NCD_BACKLOG_MAX);
	return g->r.host[1].result;
}

static int listen_as(struct group *g, struct rig_host *h, uint64_t title, uint32_t backlog)
{
	struct worker_cmd cmd = { .listen = { .backlog = backlog, .title = title } };

	return listen_by(g, h, &cmd);
}

/* By SO_REUSEPORT. */
static int listen_too(struct group *g, struct rig_host *h, uint64_t title, uint32_t uid)
{
	struct worker_cmd cmd = {
		.listen = { .backlog = 16, .title = title, .reuseport = true, .uid = uid }
	};

	return listen_by(g, h, &cmd);
}

static void unlisten(struct group *g, struct rig_host *h)
{
	struct worker_cmd cmd = { .type = CMD_UNLISTEN, .port = h->port };

	rig_command(&g->r, 1, &cmd);
	assert_int_equal(g->r.host[1].result, 0);
}

static struct listener_shm *words(struct rig_host *h)
{
	return (void *)(h->seg[0].base + h->layout.listener_off);
}

/* As the library does before it sleeps. */
static void begin_to_wait(struct rig_host *h)
{
	/* SHARE, app end, both. */
	atomic_fetch_add(&words(h)->waiting, 1);
	if (atomic_load(&words(h)->elsewhere) & 1)
		app_submit(h, sq_word(SQ_SHARE, 0, 0));
}

static void stop_waiting(struct rig_host *h)
{
	atomic_fetch_sub(&words(h)->waiting, 1);
}

static uint32_t waiting_in(const struct rig_host *h)
{
	return atomic_load(&h->accept.shm->tail) - atomic_load(&h->accept.shm->head);
}

/* Host 0 opens @slot, and sends ten bytes that tell it apart. */
static void open_and_send(struct group *g, uint32_t slot)
{
	app_open(g->client, slot, g->r.host[1].addr, PORT, 0);
	rig_until(&g->r, app_state(g->client, slot) == SLOT_OPEN);
	(void)app_write(g->client, slot, slot, 10);
	rig_until(&g->r, atomic_load(&g->client->slot[slot].tx_head) == 10);
}

/* @h accepts a stream and finds the bytes of one that was opened; its slot. */
static uint32_t accept_and_read(struct group *g, struct rig_host *h, uint32_t seed)
{
	int slot = -EAGAIN;

	rig_until(&g->r, (slot = app_accept(h)) >= 0);
	rig_until(&g->r, app_read(h, (uint32_t)slot, seed) == 10);
	return (uint32_t)slot;
}

/* Both ways, and the end: it is a whole stream. */
static void finish(struct group *g, uint32_t slot, struct rig_host *h, uint32_t accepted)
{
	(void)app_write(h, accepted, 99, 5000);
	rig_until(&g->r, app_read(g->client, slot, 99) == 5000);
	(void)app_write(g->client, slot, slot, 3000);
	rig_until(&g->r, app_read(h, accepted, slot) == 3000);
	app_close(h, accepted, CLOSE_GRACEFUL);
	rig_until(&g->r, app_flags(g->client, slot) & SLOT_F_EOF);
	app_close(g->client, slot, CLOSE_GRACEFUL);
	rig_until(&g->r, app_state(g->client, slot) == SLOT_FREE);
}

static int set_up_holding(void **state, uint64_t hold_ns)
{
	struct group *g = calloc(1, sizeof(*g));

	rig_start_holding(&g->r, IO_AUTO, 20, hold_ns);
	g->client = &g->r.host[0];
	g->parent = &g->r.host[1];
	for (int i = 0; i < 2; i++)
		g->child[i] = rig_more(&g->r, i);
	assert_int_equal(listen_as(g, g->parent, TITLE, 16), 0);
	*state = g;
	return 0;
}

static int set_up(void **state)
{
	return set_up_holding(state, 1000000);
}

static int set_up_patient(void **state)
{
	return set_up_holding(state, 3600000000000);
}

static int tear_down(void **state)
{
	struct group *g = *state;

	for (int i = 0; i < 2; i++) {
		struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = g->child[i]->port };

		if (g->child[i]->gone)
			continue;
		rig_command(&g->r, 1, &cmd);
		rig_until(&g->r, g->child[i]->gone == 1);
	}
	assert_int_equal(g->parent->bad, 0);
	rig_stop(&g->r);
	free(g);
	return 0;
}

static void a_place_is_shared_by_those_with_its_title_alone(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], 0, 16), -EADDRINUSE);
	assert_int_equal(listen_as(g, g->child[0], TITLE + 1, 16), -EADDRINUSE);
	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	unlisten(g, g->parent);
	assert_int_equal(listen_as(g, g->child[1], TITLE + 1, 16), -EADDRINUSE);
	unlisten(g, g->child[0]);
	assert_int_equal(listen_as(g, g->child[1], TITLE + 1, 16), 0);
}

static void what_came_before_the_first_child_waits_for_it(void **state)
{
	struct group *g = *state;
	uint32_t slot[2];

	open_and_send(g, 1);
	open_and_send(g, 2);
	assert_int_equal(waiting_in(g->parent), 2);
	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	slot[0] = accept_and_read(g, g->child[0], 1);
	stop_waiting(g->child[0]);
	begin_to_wait(g->child[0]);
	slot[1] = accept_and_read(g, g->child[0], 2);
	finish(g, 1, g->child[0], slot[0]);
	finish(g, 2, g->child[0], slot[1]);
	assert_int_equal(app_accept(g->parent), -EAGAIN);
}

static void who_waits_gets_it_and_the_parent_nothing(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	for (uint32_t i = 1; i <= 6; i++) {
		begin_to_wait(g->child[i % 2]);
		open_and_send(g, i);
		finish(g, i, g->child[i % 2], accept_and_read(g, g->child[i % 2], i));
		stop_waiting(g->child[i % 2]);
	}
	/* Nobody waits: one of those that did. */
	open_and_send(g, 7);
	assert_int_equal(waiting_in(g->parent), 0);
	begin_to_wait(g->child[0]);
	finish(g, 7, g->child[0], accept_and_read(g, g->child[0], 7));
}

static void the_queue_of_a_busy_one_goes_to_one_that_waits(void **state)
{
	struct group *g = *state;
	uint32_t slot[2];

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	stop_waiting(g->child[0]); /* and does something else */
	open_and_send(g, 2);
	assert_int_equal(waiting_in(g->child[0]), 2);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	begin_to_wait(g->child[1]);
	slot[0] = accept_and_read(g, g->child[1], 1);
	stop_waiting(g->child[1]);
	begin_to_wait(g->child[1]);
	slot[1] = accept_and_read(g, g->child[1], 2);
	assert_int_equal(app_accept(g->child[0]), -EAGAIN);
	finish(g, 1, g->child[1], slot[0]);
	finish(g, 2, g->child[1], slot[1]);
}

static void who_asks_first_has_the_oldest(void **state)
{
	struct group *g = *state;
	uint32_t slot[7], turn[] = { 0, 1, 1, 0, 1, 0 };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(listen_as(g, g->child[i], TITLE, 16), 0);
		begin_to_wait(g->child[i]);
		open_and_send(g, 1);
		finish(g, 1, g->child[i], accept_and_read(g, g->child[i], 1));
		stop_waiting(g->child[i]);
	}
	for (uint32_t i = 1; i <= 6; i++)
		open_and_send(g, i);
	for (uint32_t i = 1; i <= 6; i++) {
		struct rig_host *h = g->child[turn[i - 1]];

		begin_to_wait(h);
		slot[i] = accept_and_read(g, h, i);
		stop_waiting(h);
	}
	for (uint32_t i = 1; i <= 6; i++)
		finish(g, i, g->child[turn[i - 1]], slot[i]);
}

/* Both wait; who is given a stream is stopped, or busy with something else. */
static void what_is_not_taken_goes_to_another_that_waits(void **state)
{
	struct group *g = *state;
	struct rig_host *late, *other;
	uint32_t tail;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(listen_as(g, g->child[i], TITLE, 16), 0);
		begin_to_wait(g->child[i]);
	}
	open_and_send(g, 1);
	late = g->child[atomic_load(&g->child[1]->accept.shm->tail) != 0];
	other = g->child[late == g->child[0]];
	finish(g, 1, other, accept_and_read(g, other, 1));
	/* No more for it, until it looks. */
	tail = atomic_load(&late->accept.shm->tail);
	for (uint32_t i = 2; i <= 4; i++) {
		open_and_send(g, i);
		finish(g, i, other, accept_and_read(g, other, i));
	}
	assert_int_equal(atomic_load(&late->accept.shm->tail), tail);
	assert_int_equal(app_accept(late), -EAGAIN);
	stop_waiting(other);
	open_and_send(g, 5);
	finish(g, 5, late, accept_and_read(g, late, 5));
}

static void what_is_accepted_is_not_taken_away(void **state)
{
	struct group *g = *state;
	uint32_t first;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	stop_waiting(g->child[0]);
	open_and_send(g, 2);
	first = accept_and_read(g, g->child[0], 1);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	begin_to_wait(g->child[1]);
	finish(g, 2, g->child[1], accept_and_read(g, g->child[1], 2));
	finish(g, 1, g->child[0], first);
	/* The queue it was taken from goes on. */
	stop_waiting(g->child[1]);
	begin_to_wait(g->child[0]);
	open_and_send(g, 3);
	finish(g, 3, g->child[0], accept_and_read(g, g->child[0], 3));
}

/* An application that lies: it writes to what it has not accepted. */
static void what_its_application_has_touched_is_not_taken_away(void **state)
{
	struct group *g = *state;
	uint32_t slot;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	begin_to_wait(g->child[1]);
	open_and_send(g, 3);
	finish(g, 3, g->child[1], accept_and_read(g, g->child[1], 3)); /* it has memory now */
	stop_waiting(g->child[1]);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	stop_waiting(g->child[0]);
	slot = (uint32_t)atomic_load(&g->child[0]->accept.shm->word[0]);
	assert_int_equal(app_write(g->child[0], slot, 99, 10), 10);
	rig_until(&g->r, app_read(g->client, 1, 99) == 10);
	/* Another that waits has the next, and only that. */
	begin_to_wait(g->child[1]);
	open_and_send(g, 2);
	finish(g, 2, g->child[1], accept_and_read(g, g->child[1], 2));
	finish(g, 1, g->child[0], accept_and_read(g, g->child[0], 1));
	assert_int_equal(g->child[0]->bad + g->child[1]->bad, 0);
}

static void the_queue_of_a_dead_one_goes_to_another(void **state)
{
	struct group *g = *state;
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = g->child[0]->port };

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	open_and_send(g, 2);
	assert_int_equal(waiting_in(g->child[0]), 2);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	begin_to_wait(g->child[1]);
	rig_command(&g->r, 1, &cmd);
	rig_until(&g->r, g->child[0]->gone == 1);
	for (uint32_t i = 1; i <= 2; i++)
		finish(g, i, g->child[1], accept_and_read(g, g->child[1], i));
}

static void the_queue_of_one_that_closes_goes_to_the_parent_if_it_must(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	unlisten(g, g->child[0]);
	rig_until(&g->r, waiting_in(g->parent) == 1);
	finish(g, 1, g->parent, accept_and_read(g, g->parent, 1));
}

static void what_the_last_one_leaves_waits_for_a_successor(void **state)
{
	struct group *g = *state;
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = g->child[0]->port };

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	unlisten(g, g->parent);
	open_and_send(g, 1);
	open_and_send(g, 2);
	unlisten(g, g->child[0]);
	rig_command(&g->r, 1, &cmd);
	/* Not for who has shown something else. */
	assert_int_equal(listen_as(g, g->parent, TITLE + 1, 16), 0);
	unlisten(g, g->parent);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	for (uint32_t i = 1; i <= 2; i++)
		finish(g, i, g->child[1], accept_and_read(g, g->child[1], i));
	rig_until(&g->r, g->child[0]->gone == 1);
}

static void the_last_one_resets_what_nobody_accepts(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	unlisten(g, g->parent);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	unlisten(g, g->child[0]);
	rig_until(&g->r, app_flags(g->client, 1) & SLOT_F_RESET);
	app_open(g->client, 2, g->r.host[1].addr, PORT, 0);
	rig_until(&g->r, app_state(g->client, 2) == SLOT_FAILED);
}

static void all_full_is_refused(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 1), 0);
	unlisten(g, g->parent);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 1), 0);
	for (uint32_t i = 1; i <= 4; i++) /* one more than the backlog, each */
		open_and_send(g, i);
	assert_int_equal(waiting_in(g->child[0]) + waiting_in(g->child[1]), 4);
	app_open(g->client, 5, g->r.host[1].addr, PORT, 0);
	rig_until(&g->r, app_state(g->client, 5) == SLOT_FAILED);
}

static void without_memory_there_it_is_reset(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	unlisten(g, g->parent);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	g->child[1]->deny = true;
	unlisten(g, g->child[0]);
	rig_until(&g->r, app_flags(g->client, 1) & SLOT_F_RESET);
}

static void what_waits_for_memory_there_arrives_again(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	g->child[0]->slow = true;
	app_open(g->client, 1, g->r.host[1].addr, PORT, 0);
	rig_until(&g->r, app_state(g->client, 1) == SLOT_OPENING);
	unlisten(g, g->child[0]);
	rig_until(&g->r, app_state(g->client, 1) == SLOT_OPEN);
	(void)app_write(g->client, 1, 1, 10);
	finish(g, 1, g->parent, accept_and_read(g, g->parent, 1));
}

static void what_may_not_be_moved_yet_is_moved_later(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	begin_to_wait(g->child[1]);
	unlisten(g, g->parent);
	g->child[1]->slow = true; /* it has no memory yet */
	unlisten(g, g->child[0]);
	rig_pump(&g->r);
	assert_int_equal(waiting_in(g->child[1]), 0);
	g->child[1]->slow = false;
	rig_segment(&g->r.host[1], g->child[1], 1 << 20);
	finish(g, 1, g->child[1], accept_and_read(g, g->child[1], 1));
}

static void who_had_it_has_nothing_of_what_is_on_its_way(void **state)
{
	struct group *g = *state;
	uint32_t slot;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	slot = (uint32_t)atomic_load(&g->child[0]->accept.shm->word[0]);
	assert_int_equal(listen_as(g, g->child[1], TITLE, 16), 0);
	begin_to_wait(g->child[1]);
	unlisten(g, g->parent);
	g->child[1]->slow = true; /* it has no memory yet */
	unlisten(g, g->child[0]);
	rig_pump(&g->r);
	assert_int_equal(app_write(g->child[0], slot, 7, 10), 10);
	app_shutdown(g->child[0], slot);
	rig_pump(&g->r);
	g->child[1]->slow = false;
	rig_segment(&g->r.host[1], g->child[1], 1 << 20);
	finish(g, 1, g->child[1], accept_and_read(g, g->child[1], 1));
	assert_int_equal(g->child[0]->bad + g->child[1]->bad, 0);
}

static void one_that_lies_about_its_queue_is_left_out(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	atomic_store(&g->child[0]->accept.shm->head, 1u << 31);
	open_and_send(g, 1);
	rig_until(&g->r, g->child[0]->bad == 1);
	assert_string_equal(g->child[0]->reason, "accept queue's head is impossible");
	finish(g, 1, g->parent, accept_and_read(g, g->parent, 1));
}

static void words_in_the_queue_are_not_believed(void **state)
{
	struct group *g = *state;

	assert_int_equal(listen_as(g, g->child[0], TITLE, 16), 0);
	begin_to_wait(g->child[0]);
	for (uint32_t i = 1; i <= 3; i++)
		open_and_send(g, i);
	/* The first names another's slot, the second none; the third is as it was. */
	atomic_store(&g->child[0]->accept.shm->word[0], 1);
	atomic_store(&g->child[0]->accept.shm->word[1], 1u << 31);
	unlisten(g, g->child[0]);
	rig_until(&g->r, waiting_in(g->parent) == 1);
	finish(g, 3, g->parent, accept_and_read(g, g->parent, 3));
	rig_until(&g->r, app_flags(g->client, 1) & SLOT_F_RESET);
	rig_until(&g->r, app_flags(g->client, 2) & SLOT_F_RESET);
}

static void a_question_for_no_listener_ends_the_attachment(void **state)
{
	struct group *g = *state;

	app_submit(g->child[0], sq_word(SQ_SHARE, 5, 0)); /* of one that is closed: nothing */
	app_submit(g->child[0], sq_word(SQ_SHARE, NCD_LISTENERS_MAX, 0));
	rig_until(&g->r, g->child[0]->bad == 1);
	assert_string_equal(g->child[0]->reason, "listener out of range");
	open_and_send(g, 1);
	finish(g, 1, g->parent, accept_and_read(g, g->parent, 1));
}

static void reuseport_is_shared_by_those_of_one_user_that_all_have_it(void **state)
{
	struct group *g = *state;

	/* The parent has not asked for it. */
	assert_int_equal(listen_too(g, g->child[0], TITLE + 1, 33), -EADDRINUSE);
	unlisten(g, g->parent);
	assert_int_equal(listen_too(g, g->parent, TITLE, 33), 0);
	assert_int_equal(listen_too(g, g->child[0], TITLE + 1, 34), -EADDRINUSE);
	assert_int_equal(listen_as(g, g->child[0], TITLE + 1, 16), -EADDRINUSE);
	assert_int_equal(listen_too(g, g->child[0], TITLE + 1, 33), 0);
	assert_int_equal(listen_too(g, g->child[1], 0, 33), 0);
}

static void those_of_a_reuseport_take_turns(void **state)
{
	struct group *g = *state;

	unlisten(g, g->parent);
	/* Whether they wait is not known of two, and the third never does. */
	assert_int_equal(listen_too(g, g->child[0], 0, 33), 0);
	assert_int_equal(listen_too(g, g->child[1], 0, 33), 0);
	assert_int_equal(listen_too(g, g->parent, TITLE, 33), 0);
	for (uint32_t i = 1; i <= 6; i++)
		open_and_send(g, i);
	assert_int_equal(waiting_in(g->parent), 0);
	assert_int_equal(waiting_in(g->child[0]), 3);
	assert_int_equal(waiting_in(g->child[1]), 3);
}

static void the_queue_of_one_goes_to_another_of_another_title(void **state)
{
	struct group *g = *state;

	unlisten(g, g->parent);
	assert_int_equal(listen_too(g, g->child[0], TITLE, 33), 0);
	assert_int_equal(listen_too(g, g->child[1], TITLE + 1, 33), 0);
	begin_to_wait(g->child[0]);
	open_and_send(g, 1);
	unlisten(g, g->child[0]);
	finish(g, 1, g->child[1], accept_and_read(g, g->child[1], 1));
}

static void two_of_one_application_are_two_queues(void **state)
{
	struct group *g = *state;
	struct rig_host *h = g->child[0];
	struct worker_cmd second = {
		.listen = { .listener = 1, .backlog = 16, .reuseport = true }
	};
	struct worker_cmd end = { .type = CMD_UNLISTEN, .port = h->port };

	unlisten(g, g->parent);
	assert_int_equal(listen_too(g, h, 0, 0), 0);
	assert_int_equal(listen_by(g, h, &second), 0);
	open_and_send(g, 1);
	open_and_send(g, 2);
	assert_int_equal(waiting_in(h), 1);
	/* What the second has goes to the first when it is closed, in the slot where it is. */
	end.listen.listener = 1;
	rig_command(&g->r, 1, &end);
	rig_until(&g->r, waiting_in(h) == 2);
	for (uint32_t i = 1; i <= 2; i++)
		finish(g, i, h, accept_and_read(g, h, i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_place_is_shared_by_those_with_its_title_alone),
		T(what_came_before_the_first_child_waits_for_it),
		T(who_waits_gets_it_and_the_parent_nothing),
		T(the_queue_of_a_busy_one_goes_to_one_that_waits),
		T(who_asks_first_has_the_oldest),
		T(what_is_not_taken_goes_to_another_that_waits),
		T(what_is_accepted_is_not_taken_away),
		T(what_its_application_has_touched_is_not_taken_away),
		T(the_queue_of_a_dead_one_goes_to_another),
		T(the_queue_of_one_that_closes_goes_to_the_parent_if_it_must),
		cmocka_unit_test_setup_teardown(what_the_last_one_leaves_waits_for_a_successor,
						set_up_patient, tear_down),
		T(the_last_one_resets_what_nobody_accepts),
		T(all_full_is_refused),
		T(without_memory_there_it_is_reset),
		T(what_waits_for_memory_there_arrives_again),
		T(what_may_not_be_moved_yet_is_moved_later),
		T(who_had_it_has_nothing_of_what_is_on_its_way),
		T(one_that_lies_about_its_queue_is_left_out),
		T(words_in_the_queue_are_not_believed),
		T(a_question_for_no_listener_ends_the_attachment),
		T(reuseport_is_shared_by_those_of_one_user_that_all_have_it),
		T(those_of_a_reuseport_take_turns),
		T(the_queue_of_one_goes_to_another_of_another_title),
		T(two_of_one_application_are_two_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
