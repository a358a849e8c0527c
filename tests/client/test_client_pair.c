/* SPDX-License-Identifier: MIT */
/*
 * test_client_pair.c - Goal: the pair of a socket that nobody watched serves the next one, and no
 * other does: none that the daemon or another process may have, or that was changed for good.
 * Method: pairs are told apart by the kernel's cookie.
 */
#include <poll.h>

#include "client_test.h"
#include "pair.h"
#include "pollfd.h"
#include "share.h"

static uint64_t cookie(int fd)
{
	uint64_t c = 0;
	socklen_t len = sizeof(c);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &c, &len), 0);
	return c;
}

static short ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

/* Of a socket to which @change happens before it is closed: whether the next has its pair. */
static bool next_has_it(struct fake *f, void (*change)(struct fake *f, int s))
{
	struct fake_slot at;
	int s = connected(f, &at);
	uint64_t first = cookie(pollfd_unwatched(s)), second;

	change(f, s);
	closed(f, s);
	s = connected(f, &at);
	second = cookie(pollfd_unwatched(s));
	closed(f, s);
	return second == first;
}

static void none(struct fake *f, int s)
{
	(void)f;
	(void)s;
}

static void shuts(struct fake *f, int s)
{
	assert_int_equal(nc_shutdown(s, SHUT_RDWR), 0);
	(void)fake_expect(f, SQ_SHUTDOWN);
}

static void watches(struct fake *f, int s)
{
	(void)f;
	assert_true(pollfd_watch(s) >= 0);
	pollfd_unwatch(s);
}

static void gives(struct fake *f, int s)
{
	(void)f;
	assert_true(nc_pollfd(s) >= 0);
}

static void uses(struct fake *f, int s)
{
	(void)f;
	pollfd_use(s);
}

static void shares(struct fake *f, int s)
{
	(void)f;
	share_one(s);
}

static void forks(struct fake *f, int s)
{
	(void)f;
	(void)s;
	process_before_fork();
}

static void who_is_not_watched_leaves_its_pair(void **state)
{
	struct fake *f = *state;

	assert_true(next_has_it(f, none));
	assert_true(next_has_it(f, shuts));
	assert_false(next_has_it(f, watches));
	assert_false(next_has_it(f, gives));
	assert_false(next_has_it(f, uses));
	assert_false(next_has_it(f, shares));
	assert_false(next_has_it(f, forks));
	assert_true(next_has_it(f, none));
}

static void a_pair_that_is_used_again_is_as_new(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = connected(f, &at), fd;
	uint64_t first = cookie(pollfd_unwatched(s));
	char buf[8];

	fake_put(f, at, "abc", 3);
	assert_int_equal(nc_recv(s, buf, 8, 0), 3);
	closed(f, s);
	s = connected(f, &at);
	fd = nc_pollfd(s);
	assert_int_equal(cookie(fd), first);
	assert_int_equal(ready(fd), POLLOUT);
	fake_put(f, at, "abc", 3);
	assert_int_equal(ready(fd), POLLIN | POLLOUT);
	assert_int_equal(nc_recv(s, buf, 8, 0), 3);
	assert_int_equal(ready(fd), POLLOUT);
	closed(f, s);
}

static void the_first_watcher_hears_of_a_shutdown(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = connected(f, &at), fd = pollfd_unwatched(s);

	assert_int_equal(nc_shutdown(s, SHUT_RD), 0);
	assert_int_equal(pollfd_watch(s), fd);
	assert_int_equal(ready(fd), POLLIN | POLLOUT | POLLRDHUP);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_true(ready(fd) & POLLHUP);
	(void)fake_expect(f, SQ_SHUTDOWN);
	closed(f, s);
}

/* More than are kept are closed, and what is kept is given out once. */
static void many_at_a_time(void **state)
{
	int s[40], fd[40];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 40; i++) {
			s[i] = nc_socket(AF_INET, SOCK_STREAM, 0);
			fd[i] = pollfd_unwatched(s[i]);
			assert_true(fd[i] >= 0);
			for (int k = 0; k < i; k++)
				assert_int_not_equal(fd[k], fd[i]);
		}
		for (int i = 0; i < 40; i++)
			assert_int_equal(nc_close(s[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_not_watched_leaves_its_pair, start, stop),
		cmocka_unit_test_setup_teardown(a_pair_that_is_used_again_is_as_new, start, stop),
		cmocka_unit_test_setup_teardown(the_first_watcher_hears_of_a_shutdown, start, stop),
		cmocka_unit_test_setup_teardown(many_at_a_time, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
