/* SPDX-License-Identifier: MIT */
/*
 * test_channel_cork.c - Goal: what is sent on a corked channel waits for more, and nothing waits
 * once there is no more. Method: a TCP connection of this machine, whose bytes are there as soon as
 * they are sent; and two workers, of whose streams one loses its reader in the middle of bulk.
 */
#include "worker_rig.h"

#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "channel_cork.h"

static bool corked(int fd)
{
	socklen_t len = sizeof(int);
	int on = -1;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, &len), 0);
	return on != 0;
}

static int there(int fd)
{
	int bytes = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &bytes), 0);
	return bytes;
}

static void what_is_corked_waits_for_more_or_for_the_end(void **state)
{
	struct channel_io c = { .corked = false };
	int fd[2];

	(void)state;
	rig_tcp_pair(fd);
	c.io.fd = fd[0];
	channel_uncork(&c); /* it is */
	channel_cork(&c);
	channel_cork(&c);
	assert_int_equal(send(fd[0], "ab", 2, 0), 2);
	assert_int_equal(there(fd[1]), 0);
	channel_uncork(&c);
	assert_int_equal(there(fd[1]), 2);
	assert_false(corked(fd[0]));
	close(fd[0]);
	close(fd[1]);
}

static void a_channel_with_a_budget_is_not_corked(void **state)
{
	struct channel_io c = { .corked = false };
	int fd[2];

	(void)state;
	rig_tcp_pair(fd);
	c.io.fd = fd[0];
	channel_cork(&c);
	assert_int_equal(send(fd[0], "ab", 2, 0), 2);
	c.budget.bytes = 32 << 10; /* it comes while it is */
	channel_cork(&c);
	assert_int_equal(there(fd[1]), 2);
	channel_cork(&c);
	assert_false(corked(fd[0]));
	close(fd[0]);
	close(fd[1]);
}

static bool any_corked(const struct rig *r)
{
	for (uint32_t i = 0; i < r->links; i++)
		if (corked(r->link[0][i].fd))
			return true;
	return false;
}

static void bulk_that_vanishes_leaves_nothing_corked(void **state)
{
	struct rig *r = rig_new(*state ? IO_EPOLL : IO_URING, 50);
	uint32_t b;

	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	for (int i = 0; i < 8; i++) {
		b = rig_connect(r, 3, 80);
		/* There is more, wherever it ends. */
		rig_until(r, ({
				  (void)app_write(&r->host[0], 3, 3, UINT64_MAX);
				  app_read(&r->host[1], b, 3) > 4 << 20;
			  }));
		app_close(&r->host[1], b, CLOSE_ABORT);
		rig_until(r, app_flags(&r->host[0], 3) & SLOT_F_RESET);
		app_close(&r->host[0], 3, CLOSE_GRACEFUL);
		rig_until(r, app_state(&r->host[0], 3) == SLOT_FREE);
		rig_until(r, !any_corked(r));
	}
	rig_remove_client(r, 0);
	rig_remove_client(r, 1);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_corked_waits_for_more_or_for_the_end),
		cmocka_unit_test(a_channel_with_a_budget_is_not_corked),
		cmocka_unit_test(bulk_that_vanishes_leaves_nothing_corked),
		cmocka_unit_test_prestate(bulk_that_vanishes_leaves_nothing_corked,
					  (void *)1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
