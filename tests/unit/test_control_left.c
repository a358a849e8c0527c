/* SPDX-License-Identifier: MIT */
/*
 * test_control_left.c - the table of what applications have left to kernel TCP: shown as far as it
 * can be believed.
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

/* The application's view of its table: the client's own mapping, written as it would. */
static struct left_shm *left_table(struct client *c, struct left_table_shm **ret_head)
{
	*ret_head = (void *)(c->segment0.base + c->layout.left_off);
	return (void *)(*ret_head + 1);
}

static uint32_t left_shown(struct rig *r)
{
	struct stats_socket *s = stats_worker_sockets(&r->stats, RIG_WORKERS) + 4;
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->stats.shape.left; i++)
		n += atomic_load(&s[i].use) == STATS_USED;
	return n;
}

static void kernel_sockets_are_shown_until_they_are_gone(void **state)
{
	struct rig *r = *state;
	int fd = attach(r);
	struct client *c = r->control.clients;
	struct stats_socket *s = stats_worker_sockets(&r->stats, RIG_WORKERS) + 4;
	struct left_table_shm *head;
	struct left_shm *row = left_table(c, &head);

	row[1].why = LEFT_NO_LISTENER;
	row[1].peer_port = 80;
	row[1].peer_addr[15] = 9;
	atomic_store(&row[1].kind, LEFT_CONNECTION);
	atomic_store(&head->top, 2);
	control_second(&r->control);
	assert_int_equal(left_shown(r), 0); /* nothing was said to have changed */
	atomic_fetch_add(&head->changes, 1);
	control_second(&r->control);
	assert_int_equal(left_shown(r), 1);
	assert_int_equal(s->state, STATS_S_KERNEL);
	assert_int_equal(s->path, 3);
	assert_int_equal(s->why, LEFT_NO_LISTENER);
	assert_int_equal(s->peer_port, 80);
	assert_int_equal(s->peer_addr[15], 9);
	assert_int_equal(s->client_pid, getpid());
	assert_int_equal(counter(&c->stats->left), 1);
	atomic_store(&row[1].kind, LEFT_FREE);
	atomic_fetch_add(&head->changes, 1);
	control_second(&r->control);
	assert_int_equal(left_shown(r), 0);
	assert_int_equal(counter(&c->stats->left), 0);
	/* With the process, too. */
	atomic_store(&row[0].kind, LEFT_LISTEN);
	atomic_fetch_add(&head->changes, 1);
	control_second(&r->control);
	assert_int_equal(left_shown(r), 1);
	assert_int_equal(s->state, STATS_S_LISTEN);
	close(fd);
	rig_pump(r);
	assert_int_equal(left_shown(r), 0);
}

static void a_table_that_lies_is_shown_as_far_as_it_goes(void **state)
{
	struct rig *r = *state;
	int fd = attach(r);
	struct client *c = r->control.clients;
	struct stats_socket *s = stats_worker_sockets(&r->stats, RIG_WORKERS) + 4;
	struct left_table_shm *head;
	struct left_shm *row = left_table(c, &head);

	memset(row, 0xff, NCD_LEFT_MAX * sizeof(*row));
	atomic_store(&head->top, UINT32_MAX);
	atomic_store(&head->changes, 1);
	control_second(&r->control);
	assert_int_equal(left_shown(r), 0); /* such kinds there are not */
	for (uint32_t i = 0; i < NCD_LEFT_MAX; i++)
		atomic_store(&row[i].kind, LEFT_CONNECTION);
	atomic_store(&head->changes, 2);
	control_second(&r->control);
	assert_int_equal(left_shown(r), r->stats.shape.left); /* no more than there is room for */
	assert_int_equal(s->why, LEFT_OTHER);
	/* The top falls: what is above is gone. */
	atomic_store(&head->top, 1);
	atomic_store(&head->changes, 3);
	control_second(&r->control);
	assert_int_equal(left_shown(r), 1);
	assert_int_equal(r->control.attached, 1);
	close(fd);
	rig_pump(r);
	assert_int_equal(left_shown(r), 0);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(kernel_sockets_are_shown_until_they_are_gone),
		RIG_TEST(a_table_that_lies_is_shown_as_far_as_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
