/* SPDX-License-Identifier: MIT */
/*
 * test_client_left.c - goal: what was left to kernel TCP is in the region's table as long as a
 * descriptor names it, also if it was there before the region, and of no other process. Method: the
 * table's own calls, and the fake's look at its memory.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "client_test.h"
#include "left.h"
#include "sock_calls.h"

static struct left_shm *rows(struct fake *f)
{
	return (struct left_shm *)(void *)(fake_left(f) + 1);
}

static uint32_t said(struct fake *f)
{
	uint32_t top = atomic_load(&fake_left(f)->top), n = 0;

	for (uint32_t i = 0; i < top; i++)
		n += atomic_load(&rows(f)[i].kind) != LEFT_FREE;
	return n;
}

static int take(uint16_t port)
{
	struct endpoint local = { .port = 1000 }, peer = { .port = port };

	return left_take(LEFT_CONNECTION, LEFT_NO_LISTENER, &local, &peer);
}

static void attach_once(void)
{
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);

	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(nc_close(s), 0);
}

static void a_row_is_there_as_long_as_it_is_held(void **state)
{
	struct fake *f = *state;
	uint32_t changes;
	int row;

	attach_once();
	row = take(80);
	assert_int_equal(row, 0);
	assert_int_equal(said(f), 1);
	assert_int_equal(rows(f)[0].kind, LEFT_CONNECTION);
	assert_int_equal(rows(f)[0].why, LEFT_NO_LISTENER);
	assert_int_equal(rows(f)[0].peer_port, 80);
	assert_int_equal(rows(f)[0].local_port, 1000);
	left_get(row);
	left_put(row);
	changes = atomic_load(&fake_left(f)->changes);
	assert_int_equal(said(f), 1);
	left_put(row);
	assert_int_equal(said(f), 0);
	assert_int_not_equal(atomic_load(&fake_left(f)->changes), changes);
}

static void what_was_before_the_daemon_is_said_to_it(void **state)
{
	struct fake *f = *state;
	int one = take(1), two = take(2), s;
	char byte;

	left_put(one);
	s = nc_socket(AF_INET, SOCK_STREAM, 0);
	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(said(f), 1);
	assert_int_equal(rows(f)[two].peer_port, 2);
	fake_hang_up(f);
	FAKE_AWAIT(nc_recv(s, &byte, 1, 0) == -ECONNRESET);
	assert_int_equal(nc_close(s), 0);
	attach_once(); /* anew */
	assert_int_equal(said(f), 1);
	left_put(two);
	assert_int_equal(said(f), 0);
}

static void more_than_there_are_rows_are_not_shown(void **state)
{
	struct fake *f = *state;
	int row[NCD_LEFT_MAX];

	attach_once();
	for (uint32_t i = 0; i < NCD_LEFT_MAX; i++)
		row[i] = take(3);
	assert_int_equal(take(4), -1);
	assert_int_equal(said(f), NCD_LEFT_MAX);
	left_put(row[500]);
	assert_int_equal(take(5), row[500]);
	for (uint32_t i = 0; i < NCD_LEFT_MAX; i++)
		left_put(row[i]);
	assert_int_equal(said(f), 0);
	row[0] = take(6);
	assert_int_equal(row[0], 0); /* the lowest again: the daemon looks at few */
	left_put(row[0]);
}

/* Handlers of signals, and threads, take and put at once. */
static void *churn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++) {
		int a = take(7), b = take(8);

		left_get(a);
		left_put(b);
		left_put(a);
		left_put(a);
	}
	return NULL;
}

static void threads_take_rows_of_their_own(void **state)
{
	struct fake *f = *state;
	pthread_t thread[4];

	attach_once();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, churn, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(said(f), 0);
}

static void a_child_changes_nothing_of_its_parents(void **state)
{
	struct fake *f = *state;
	int row, status;
	pid_t pid;

	attach_once();
	row = take(9);
	pid = fork();
	if (pid == 0) {
		left_put(row);
		(void)take(10);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(said(f), 1);
	assert_int_equal(rows(f)[row].peer_port, 9);
	left_put(row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_row_is_there_as_long_as_it_is_held, start, stop),
		cmocka_unit_test_setup_teardown(what_was_before_the_daemon_is_said_to_it, start,
						stop),
		cmocka_unit_test_setup_teardown(more_than_there_are_rows_are_not_shown, start,
						stop),
		cmocka_unit_test_setup_teardown(threads_take_rows_of_their_own, start, stop),
		cmocka_unit_test_setup_teardown(a_child_changes_nothing_of_its_parents, start,
						stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
