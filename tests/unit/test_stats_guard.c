/* SPDX-License-Identifier: MIT */
/*
 * test_stats_guard.c - the counter page of a file that is cut under it: whoever counts goes on.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "stats.h"
#include "stats_guard.h"

static const struct stats_shape shape = {
	.workers = 2, .streams = 64, .channels = 8, .clients = 8, .listeners = 8, .left = 8
};

static void all_tables_go_on_when_the_file_is_cut(void **state)
{
	char dir[] = "/tmp/ncd-stats.XXXXXX", socket[64];
	struct stats s = { .head = NULL };
	struct stats_socket *left, *sockets;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(socket, sizeof(socket), "%s/ncd.sock", dir);
	assert_int_equal(stats_init(&s, socket, &shape), 0);
	assert_int_equal(stats_guard_lost(), 0);
	assert_int_equal(truncate(s.path, 0), 0);

	stats_count(&s.head->ctl_garbage);
	stats_count(&s.head->ctl_garbage);
	assert_int_equal(s.head->ctl_garbage, 2);
	assert_true(stats_guard_lost() > 0);
	sockets = stats_worker_sockets(&s, 1);
	memset(&sockets[63], 1, sizeof(sockets[63]));
	stats_worker_entry(&s, 1)->cpu = 7;
	assert_int_equal(stats_worker_entry(&s, 1)->cpu, 7);
	stats_show(&stats_channel_take(&s)->use);
	stats_show(&stats_client_take(&s)->use);
	stats_show(&stats_listener_take(&s)->use);
	left = stats_left_take(&s);
	assert_non_null(left);
	assert_true(left >= stats_worker_sockets(&s, 2));
	stats_left_give(&s, left);
	stats_state(&s, "stopped");

	assert_int_equal(unlink(s.path), 0);
	stats_fini(&s);
	assert_int_equal(rmdir(dir), 0);
}

/* Of another page it means what it always does. */
static void another_bus_error_ends_the_process(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		int fd = memfd_create("cut", MFD_CLOEXEC);
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		stats_guard_set(NULL, 0);
		*p = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_tables_go_on_when_the_file_is_cut),
		cmocka_unit_test(another_bus_error_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
