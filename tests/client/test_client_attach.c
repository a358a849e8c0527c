/* SPDX-License-Identifier: MIT */
/*
 * test_client_attach.c - attaching: every way in which it fails, what a daemon's end does to who
 * sleeps, attaching again, fork and exit.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_test.h"
#include "process.h"

static int try_socket(void)
{
	return nc_socket(AF_INET, SOCK_STREAM, 0);
}

static void no_daemon_says_which_socket(void **state)
{
	char why[128];

	(void)state;
	setenv("NCD_SOCKET", "/nonexistent/ncd.sock", 1);
	assert_int_equal(try_socket(), -ENOENT);
	assert_true(nc_attach_why(why, sizeof(why)) > 0);
	assert_non_null(strstr(why, "/nonexistent/ncd.sock"));
	assert_int_equal(nc_attach_why(why, 0), strlen(why));
}

static void path_too_long_is_refused(void **state)
{
	char path[300];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	setenv("NCD_SOCKET", path, 1);
	assert_int_equal(try_socket(), -ENAMETOOLONG);
}

static void faulty_handshakes_are_refused(void **state)
{
	static const struct {
		enum fake_fault fault;
		int error;
	} cases[] = {
		{ FAKE_REFUSES, -EMFILE },
		{ FAKE_HANGS_UP, -ECONNREFUSED },
		{ FAKE_OTHER_VERSION, -EPROTONOSUPPORT },
		{ FAKE_OTHER_MAGIC, -EPROTO },
		{ FAKE_SHORT_REGION, -EPROTO },
		{ FAKE_BAD_OFFSETS, -EPROTO },
		{ FAKE_BAD_WORKERS, -EPROTO },
	};
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake *f = fake_start(&(struct fake_config){ .fault = cases[i].fault });

		assert_int_equal(try_socket(), cases[i].error);
		assert_true(nc_attach_why(why, sizeof(why)) > 0);
		if (cases[i].fault == FAKE_REFUSES)
			assert_non_null(strstr(why, "too many of everything"));
		fake_stop(f);
	}
}

/* A daemon that is hung: the kernel alone takes connections. */
static int hung_listen(char path[64])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	(void)snprintf(path, 64, "/tmp/ncd-hung.%d", (int)getpid());
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	setenv("NCD_SOCKET", path, 1);
	return fd;
}

/* In a child, since a process that hurries does so for good. */
static void hung_daemon_is_not_asked_again_by_who_can_do_without(void **state)
{
	char path[64];
	int status, fd = hung_listen(path);
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct attachment *att;

		process_hurry();
		if (try_socket() != -ETIMEDOUT)
			_exit(1);
		(void)unlink(path);
		if (try_socket() != -ETIMEDOUT) /* asked again, it would be -ENOENT */
			_exit(2);
		if (process_attach(&att) != -ENOENT) /* who has a stream there must ask */
			_exit(3);
		/* It has gone: that is another matter. */
		_exit(try_socket() == -ENOENT ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(fd);
}

/* The memory of its first stream comes when it has no descriptor left. */
static void full_table_of_descriptors_ends_nothing(void **state)
{
	struct fake *f = *state;
	int s = try_socket(), fd[256], nr = 0;
	struct rlimit before, few;
	struct fake_slot p;
	struct call connect_call = { .run = run_connect, .s = s };
	char byte;

	assert_true(s >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ .rlim_cur = 256, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while ((fd[nr] = dup(STDERR_FILENO)) >= 0)
		nr++;
	assert_true(nr > 0);
	call_start(&connect_call);
	p = fake_expect(f, SQ_OPEN);
	fake_open(f, p);
	assert_int_equal(call_end(&connect_call), 0);
	assert_int_equal(fake_put(f, p, "x", 1), 1);
	assert_int_equal(nc_recv(s, &byte, 1, 0), 1);
	while (nr > 0)
		assert_int_equal(close(fd[--nr]), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	closed(f, s);
}

static void bad_arguments_do_not_attach(void **state)
{
	(void)state;
	setenv("NCD_SOCKET", "/nonexistent/ncd.sock", 1);
	assert_int_equal(nc_socket(AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
	assert_int_equal(nc_socket(AF_INET, SOCK_DGRAM, 0), -EPROTOTYPE);
	assert_int_equal(nc_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
	assert_int_equal(nc_close(NC_SOCKET_BASE + 5), -EBADF);
	assert_int_equal(nc_close(3), -EBADF);
	assert_int_equal(nc_recv(-1, NULL, 0, 0), -EBADF);
	assert_int_equal(nc_send(NC_SOCKET_BASE - 1, NULL, 0, 0), -EBADF);
	assert_string_equal(nc_version(), "0.1.0");
}

static void daemon_death_wakes_all_sleepers(void **state)
{
	struct fake *f = *state;
	struct fake_slot p1, p2, p3;
	char big[2 * RING] = { 0 }, byte;
	struct nc_cq *cq;
	struct call recv_call = { .run = run_recv, .buf = &byte, .len = 1 };
	struct call send_call = { .run = run_send, .buf = big, .len = sizeof(big) };
	struct call accept_call = { .run = run_accept };
	struct call connect_call = { .run = run_connect };
	struct call cq_call = { .run = run_cq_wait, .timeout_ms = -1 };

	recv_call.s = connected(f, &p1);
	send_call.s = connected(f, &p2);
	accept_call.s = listening(81);
	connect_call.s = try_socket();
	assert_int_equal(nc_cq_create(&cq), 0);
	cq_call.cq = cq;
	call_start(&recv_call);
	call_start(&send_call);
	call_start(&accept_call);
	call_start(&cq_call);
	fake_await_wish(f, p1, NOTIFY_FUTEX(EV_IN));
	fake_await_wish(f, p2, NOTIFY_FUTEX(EV_OUT));
	fake_await_listener_wish(f, 0, NOTIFY_FUTEX(EV_IN));
	fake_await_qp(f, 1);
	fake_drain(f);
	call_start(&connect_call);
	p3 = fake_expect(f, SQ_OPEN);
	fake_await_wish(f, p3, NOTIFY_FUTEX(EV_OUT));

	fake_hang_up(f);
	assert_int_equal(call_end(&recv_call), -ECONNRESET);
	assert_int_equal(call_end(&send_call), RING);
	assert_int_equal(call_end(&accept_call), -ECONNRESET);
	assert_int_equal(call_end(&connect_call), -ECONNRESET);
	assert_int_equal(call_end(&cq_call), -ECONNRESET);
	assert_int_equal(nc_send(send_call.s, big, 1, 0), -ECONNRESET);
	assert_int_equal(nc_send(send_call.s, big, 1, 0), -EPIPE);
	assert_int_equal(nc_recv(recv_call.s, big, 1, 0), 0);

	nc_cq_destroy(cq);
	assert_int_equal(nc_close(recv_call.s), 0);
	assert_int_equal(nc_close(send_call.s), 0);
	assert_int_equal(nc_close(accept_call.s), 0);
	assert_int_equal(nc_close(connect_call.s), 0);
}

static void dead_attachment_fails_calls_and_next_socket_attaches(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in any = address("0.0.0.0", 0);
	struct fake_slot p;
	int old, fresh;
	char byte;

	old = try_socket();
	assert_true(old >= 0);
	fake_hang_up(f);
	FAKE_AWAIT(nc_recv(old, &byte, 1, 0) == -ECONNRESET);
	assert_int_equal(nc_bind(old, (struct sockaddr *)&any, sizeof(any)), -ECONNRESET);
	assert_int_equal(connect_to(old, 80), -ECONNRESET);
	assert_int_equal(nc_listen(old, 1), -ECONNRESET);

	fresh = connected(f, &p);
	assert_int_equal(fake_put(f, p, "x", 1), 1);
	assert_int_equal(nc_recv(fresh, &byte, 1, 0), 1);
	closed(f, fresh);
	assert_int_equal(nc_close(old), 0);
}

static void child_of_a_fork_has_none_of_it(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p), fd = nc_pollfd(s), status;
	pid_t pid = fork();

	if (pid == 0) {
		char byte;

		if (nc_recv(s, &byte, 1, 0) != -EBADF || nc_close(s) != -EBADF)
			_exit(1);
		_exit(fcntl(fd, F_GETFD) == -1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	fake_drain(f);
	assert_int_equal(nc_send(s, "x", 1, 0), 1);
	fake_expect(f, SQ_KICK);
	closed(f, s);
}

/* AWAY is for who was attached, its children included, and a daemon that knows it. */
static void away_is_said_where_it_was_attached(void **state)
{
	static const struct fake_config config[] = { { .version = CTL_VERSION_AWAY - 1 }, { 0 } };
	char path[PROCESS_PATH_BYTES];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fake *f = fresh(&config[i]);
		int status, s = nc_socket(AF_INET, SOCK_STREAM, 0);
		pid_t pid;

		assert_true(s >= 0);
		assert_true(process_away_path(path) == (i == 1));
		assert_true(i == 0 || strcmp(path, getenv("NCD_SOCKET")) == 0);
		pid = fork();
		if (pid == 0) {
			unsetenv("NCD_SOCKET");
			_exit(process_away_path(path) == (i == 1) ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		assert_int_equal(nc_close(s), 0);
		fake_stop(f);
	}
}

/* Where the next stream is opened. */
static uint32_t worker_of_next(struct fake *f)
{
	struct fake_slot p;
	int s = connected(f, &p);

	closed(f, s);
	fake_free(f, p);
	return p.worker;
}

/* An application is told where new streams go; a worker that is not there ends the attachment. */
static void new_streams_go_where_the_daemon_says(void **state)
{
	struct fake *f = fake_start(&(struct fake_config){ .workers = 3 });
	uint64_t give_up = clock_now_ns() + 10000000000ull;

	(void)state;
	assert_int_equal(worker_of_next(f), 0);
	fake_place(f, 2);
	while (worker_of_next(f) != 2)
		assert_true(clock_now_ns() < give_up);
	fake_place(f, 3);
	while (fake_attached(f))
		assert_true(clock_now_ns() < give_up);
	fake_stop(f);
}

#ifndef __SANITIZE_THREAD__
/* The child is the application: a process of its own with a fake in the parent. */
static void exit_closes_what_is_open(void **state)
{
	struct fake *f = fake_start(&(struct fake_config){ 0 });
	struct fake_slot p;
	uint32_t arg = 99;
	char got[8];
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		int s = nc_socket(AF_INET, SOCK_STREAM, 0);

		if (connect_to(s, 80) != 0 || nc_send(s, "last", 4, 0) != 4)
			_exit(1);
		exit(0);
	}
	p = fake_expect(f, SQ_OPEN);
	fake_open(f, p);
	fake_expect(f, SQ_KICK);
	assert_int_equal(fake_expect_arg(f, SQ_CLOSE, &arg).slot, p.slot);
	assert_int_equal(arg, CLOSE_GRACEFUL);
	assert_int_equal(fake_take(f, p, got, sizeof(got)), 4);
	assert_memory_equal(got, "last", 4);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	fake_stop(f);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_daemon_says_which_socket),
		cmocka_unit_test(path_too_long_is_refused),
		cmocka_unit_test(faulty_handshakes_are_refused),
		cmocka_unit_test(hung_daemon_is_not_asked_again_by_who_can_do_without),
		cmocka_unit_test_setup_teardown(full_table_of_descriptors_ends_nothing, start,
						stop),
		cmocka_unit_test(bad_arguments_do_not_attach),
		cmocka_unit_test_setup_teardown(daemon_death_wakes_all_sleepers, start, stop),
		cmocka_unit_test_setup_teardown(
			dead_attachment_fails_calls_and_next_socket_attaches, start, stop),
		cmocka_unit_test_setup_teardown(child_of_a_fork_has_none_of_it, start, stop),
		cmocka_unit_test(away_is_said_where_it_was_attached),
		cmocka_unit_test(new_streams_go_where_the_daemon_says),
#ifndef __SANITIZE_THREAD__ /* which allows a fork no threads of its own */
		cmocka_unit_test(exit_closes_what_is_open),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
