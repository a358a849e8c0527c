/* SPDX-License-Identifier: MIT */
/*
 * test_channel_budget.c - Goal: a latency channel of a short round trip has a small window, one of
 * bulk a large one that may grow, and no other socket is touched. Method: sockets of this machine,
 * asked for their options.
 */
#include "worker_rig.h"

#include "channel_budget.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

static int receive_buffer(int fd)
{
	socklen_t len = sizeof(int);
	int bytes = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len), 0);
	return bytes;
}

static void a_short_round_trip_has_a_small_window(void **state)
{
	int fd[2];

	(void)state;
	rig_tcp_pair(fd);
	channel_receive_bound(fd[1]);
	assert_int_equal(receive_buffer(fd[1]), 2 * (256 << 10));
	assert_in_range(channel_round_trip_ns(fd[0]), 1, 1000000000);
	close(fd[0]);
	close(fd[1]);
}

/* net.core.rmem_max */
static int most_of_the_system(void)
{
	FILE *f = fopen("/proc/sys/net/core/rmem_max", "r");
	int bytes = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &bytes), 1);
	fclose(f);
	return bytes;
}

static void bulk_has_room_that_may_grow(void **state)
{
	int fd[2], before, after, locks = -1;
	socklen_t len = sizeof(locks);

	(void)state;
	rig_tcp_pair(fd);
	before = receive_buffer(fd[1]);
	channel_receive_room(fd[1]);
	after = receive_buffer(fd[1]);
	if (getsockopt(fd[1], SOL_SOCKET, SO_BUF_LOCK, &locks, &len) < 0) {
		assert_int_equal(after, before);
	} else {
		assert_int_equal(locks, 0);
		if (after != 4 << 20)
			assert_int_equal(after, 2 * most_of_the_system());
	}
	close(fd[0]);
	close(fd[1]);
}

static void what_is_no_tcp_stays_as_it_is(void **state)
{
	int fd[2], before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	before = receive_buffer(fd[0]);
	channel_receive_bound(fd[0]);
	assert_int_equal(receive_buffer(fd[0]), before);
	assert_true(channel_round_trip_ns(fd[0]) == 0);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_round_trip_has_a_small_window),
		cmocka_unit_test(bulk_has_room_that_may_grow),
		cmocka_unit_test(what_is_no_tcp_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
