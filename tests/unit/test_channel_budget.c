/* SPDX-License-Identifier: MIT */
/*
 * test_channel_budget.c - Goal: a connection of a short round trip has a small window, and no other
 * socket is touched. Method: sockets of this machine, asked for their options.
 */
#include "worker_rig.h"

#include "channel_budget.h"

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
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_round_trip_has_a_small_window),
		cmocka_unit_test(what_is_no_tcp_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
