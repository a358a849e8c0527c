/* SPDX-License-Identifier: MIT */
/*
 * test_client_poll.c - waiting for several things at once: nc_poll, pollable descriptors,
 * completion queues. Readiness must be level for descriptors, an edge for queues, and never lost.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "client_test.h"

#define IN_OUT (POLLIN | POLLOUT)

/* What the kernel says of @fd now. */
static short ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = IN_OUT };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static int pollfd_of(int s)
{
	int fd = nc_pollfd(s);

	assert_true(fd >= 0 && fd < NC_SOCKET_BASE);
	assert_int_equal(nc_pollfd(s), fd);
	return fd;
}

static void descriptor_is_readable_as_long_as_bytes_are(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p), fd = pollfd_of(s);
	char buf[8];

	assert_int_equal(ready(fd), POLLOUT);
	for (int i = 0; i < 20; i++) {
		fake_put(f, p, "abcd", 4);
		assert_int_equal(ready(fd), IN_OUT);
		assert_int_equal(nc_recv(s, buf, 3, 0), 3);
		assert_int_equal(ready(fd), IN_OUT);
		/* More while it is readable: no more than one token need be there. */
		fake_put(f, p, "ef", 2);
		assert_int_equal(nc_recv(s, buf, 8, 0), 3);
		assert_int_equal(ready(fd), POLLOUT);
		assert_int_equal(nc_recv(s, buf, 8, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(ready(fd), POLLOUT);
	}
	fake_eof(f, p);
	assert_true(ready(fd) & POLLIN);
	assert_int_equal(nc_recv(s, buf, 8, 0), 0);
	assert_true(ready(fd) & POLLIN);
	assert_false(ready(fd) & POLLHUP);
	closed(f, s);
	assert_int_equal(nc_pollfd(s), -EBADF);
}

static void descriptor_tells_the_truth_from_the_start(void **state)
{
	struct fake *f = *state;
	char *buf = calloc(1, RING);
	struct fake_slot p;
	int s = connected(f, &p), fd;

	fake_put(f, p, "x", 1);
	assert_int_equal(nc_send(s, buf, RING, 0), RING);
	fd = pollfd_of(s);
	assert_int_equal(ready(fd), POLLIN);
	assert_int_equal(nc_recv(s, buf, 1, 0), 1);
	assert_int_equal(ready(fd), 0);
	assert_int_equal(fake_take(f, p, buf, RING), RING);
	assert_int_equal(ready(fd), POLLOUT);
	free(buf);
	closed(f, s);
}

static void descriptor_is_writable_as_long_as_there_is_room(void **state)
{
	struct fake *f = *state;
	char *buf = calloc(1, RING);
	struct fake_slot p;
	int s = connected(f, &p), fd = pollfd_of(s);

	for (int i = 0; i < 20; i++) {
		assert_int_equal(nc_send(s, buf, RING / 8 * 7, 0), RING / 8 * 7);
		assert_int_equal(ready(fd), POLLOUT);
		assert_int_equal(nc_send(s, buf, RING, MSG_DONTWAIT), RING / 8);
		assert_int_equal(ready(fd), 0);
		assert_int_equal(nc_send(s, buf, 1, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(ready(fd), 0);
		assert_int_equal(fake_take(f, p, buf, RING), RING);
		assert_int_equal(ready(fd), POLLOUT);
		fake_drain(f);
	}
	assert_int_equal(nc_send(s, buf, RING, 0), RING);
	assert_int_equal(ready(fd), 0);
	/* Sending would fail, but not block. */
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_int_equal(ready(fd), POLLOUT);
	assert_int_equal(nc_shutdown(s, SHUT_RD), 0);
	assert_true(ready(fd) & POLLIN);
	free(buf);
	closed(f, s);
}

static void descriptor_follows_a_connect(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fd = pollfd_of(s);
	struct fake_slot p;

	assert_int_equal(ready(fd), POLLOUT);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(ready(fd) & POLLOUT, 0);
	fake_open(f, p);
	assert_int_equal(ready(fd) & POLLOUT, POLLOUT);
	assert_int_equal(connect_to(s, 80), 0);
	closed(f, s);

	s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	fd = pollfd_of(s);
	assert_int_equal(ready(fd) & POLLOUT, 0);
	p = fake_expect(f, SQ_OPEN);
	fake_fail(f, p, -ECONNREFUSED);
	assert_int_equal(ready(fd) & IN_OUT, IN_OUT);
	closed(f, s);
}

static void descriptor_follows_the_connect_after_a_refused_one(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fd = pollfd_of(s);
	struct epoll_event ev = { .events = IN_OUT };
	int ep = epoll_create1(0);
	struct fake_slot p;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(connect_to(s, 80), -EINPROGRESS);
		p = fake_expect(f, SQ_OPEN);
		assert_int_equal(ready(fd) & (POLLOUT | POLLHUP | POLLERR), 0);
		fake_fail(f, p, -ECONNREFUSED);
		assert_int_equal(ready(fd) & IN_OUT, IN_OUT);
		assert_int_equal(connect_to(s, 80), -ECONNREFUSED);
		fake_free(f, fake_expect(f, SQ_CLOSE));
	}
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(nc_pollfd(s), fd);
	/* What was hung up has left epoll with its file: it can be added. */
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	fake_open(f, p);
	assert_int_equal(connect_to(s, 80), 0);
	assert_int_equal(ready(fd), POLLOUT);
	assert_int_equal(epoll_wait(ep, &ev, 1, 0), 1);
	assert_int_equal(ev.events, EPOLLOUT);
	assert_int_equal(fake_put(f, p, "x", 1), 1);
	assert_int_equal(ready(fd), IN_OUT);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(ep);
	closed(f, s);
}

static void descriptor_hangs_up_with_the_stream_or_daemon(void **state)
{
	static char big[RING];
	struct fake *f = *state;
	struct fake_slot p, q;
	int s = connected(f, &p), t = connected(f, &q), fd = pollfd_of(s), ft = pollfd_of(t);
	int l = listening(81), fl = pollfd_of(l);
	struct pollfd both = { .fd = fd, .events = POLLRDHUP };
	char buf[4];

	/* The byte that stays does so, however often it was filled. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(nc_send(s, big, RING, 0), RING);
		assert_int_equal(nc_send(s, big, 1, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(ready(fd), 0);
		assert_int_equal(fake_take(f, p, big, RING), RING);
		assert_int_equal(ready(fd), POLLOUT);
	}
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(ready(fd) & IN_OUT, IN_OUT);
	assert_int_equal(poll(&both, 1, 0), 1);
	assert_int_equal(both.revents, POLLERR | POLLHUP | POLLRDHUP);
	assert_int_equal(nc_recv(s, buf, 4, 0), -ECONNRESET);
	assert_int_equal(poll(&both, 1, 0), 1);
	assert_int_equal(both.revents, POLLHUP | POLLRDHUP);
	assert_int_equal(nc_recv(s, buf, 4, 0), 0);
	assert_true(ready(fd) & POLLIN);
	fake_hang_up(f);
	FAKE_AWAIT(ready(ft) & POLLHUP);
	FAKE_AWAIT(ready(fl) & POLLHUP);
	assert_int_equal(nc_close(s), 0);
	assert_int_equal(nc_close(t), 0);
	assert_int_equal(nc_close(l), 0);
}

static void descriptor_of_a_listener(void **state)
{
	struct fake *f = *state;
	int l = listening(81), fd, a;

	fake_incoming(f, 0, 0);
	fd = pollfd_of(l);
	assert_int_equal(ready(fd), POLLIN);
	fake_incoming(f, 0, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ready(fd), POLLIN);
		a = nc_accept4(l, NULL, NULL, 0);
		assert_true(a >= NC_SOCKET_BASE);
		assert_int_equal(nc_close(a), 0);
	}
	assert_int_equal(ready(fd), 0);
	fake_incoming(f, 0, 0);
	assert_int_equal(ready(fd), POLLIN);
	closed(f, l);
}

static void epoll_sees_edges(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	char buf[8];

	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, pollfd_of(s), &ev), 0);
	assert_int_equal(epoll_wait(ep, &ev, 1, 0), 0);
	for (int i = 0; i < 10; i++) {
		fake_put(f, p, "ab", 2);
		assert_int_equal(epoll_wait(ep, &ev, 1, 0), 1);
		assert_int_equal(epoll_wait(ep, &ev, 1, 0), 0);
		assert_int_equal(nc_recv(s, buf, 8, MSG_DONTWAIT), 2);
		assert_int_equal(nc_recv(s, buf, 8, MSG_DONTWAIT), -EAGAIN);
	}
	close(ep);
	closed(f, s);
}

static void poll_mixes_both_kinds(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p), n = nc_socket(AF_INET, SOCK_STREAM, 0), ends[2];
	struct pollfd fds[4] = { { .fd = s, .events = POLLIN }, { .fd = -1 } };
	char buf[4];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fds[1].fd = ends[0];
	fds[1].events = POLLIN;
	assert_int_equal(nc_poll(fds, 2, 0), 0);
	assert_int_equal(nc_poll(fds, 2, 1), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(nc_poll(fds, 2, -1), 1);
	assert_int_equal(fds[1].revents, POLLIN);
	fake_put(f, p, "y", 1);
	assert_int_equal(nc_poll(fds, 2, -1), 2);
	assert_int_equal(fds[0].revents, POLLIN);
	assert_int_equal(read(ends[0], buf, 1), 1);
	assert_int_equal(nc_poll(fds, 2, -1), 1);
	fds[2] = (struct pollfd){ .fd = NC_SOCKET_BASE + 200, .events = POLLIN };
	fds[3] = (struct pollfd){ .fd = n, .events = POLLIN | POLLOUT };
	assert_int_equal(nc_poll(fds, 4, -1), 3);
	assert_int_equal(fds[2].revents, POLLNVAL);
	assert_int_equal(fds[3].revents, POLLOUT | POLLHUP);
	fake_eof(f, p);
	assert_int_equal(nc_recv(s, buf, 4, 0), 1);
	fds[0].events = POLLIN | POLLRDHUP;
	assert_int_equal(nc_poll(fds, 1, -1), 1);
	assert_int_equal(fds[0].revents, POLLIN | POLLRDHUP);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_int_equal(nc_poll(fds, 1, -1), 1);
	assert_int_equal(fds[0].revents, POLLIN | POLLRDHUP | POLLHUP);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(nc_close(n), 0);
	closed(f, s);
}

/* ---- completion queues ---- */

static void queue_reports_what_is_true_and_then_edges(void **state)
{
	struct fake *f = *state;
	struct nc_event e[8];
	struct fake_slot p;
	int s = connected(f, &p);
	struct nc_cq *cq;
	char buf[8];

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_wait(cq, e, 0, 0), -EINVAL);
	fake_put(f, p, "abc", 3);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 77), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 77), -EEXIST);
	assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
	assert_int_equal(e[0].data, 77);
	assert_int_equal(e[0].socket, s);
	assert_int_equal(e[0].events, POLLIN);
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
	/* Not read, but something new. */
	fake_put(f, p, "d", 1);
	assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
	assert_int_equal(nc_recv(s, buf, 8, MSG_DONTWAIT), 4);
	fake_put(f, p, "e", 1);
	assert_int_equal(nc_recv(s, buf, 8, MSG_DONTWAIT), 1);
	/* Read before it is reported: no event without truth. */
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
	fake_put(f, p, "f", 1);
	assert_int_equal(nc_cq_wait(cq, e, 8, 1), 1);
	assert_int_equal(nc_cq_modify(cq, s, POLLIN | POLLOUT, 78), 0);
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 1);
	assert_int_equal(e[0].data, 78);
	assert_int_equal(e[0].events, POLLIN | POLLOUT);
	assert_int_equal(nc_cq_remove(cq, s), 0);
	assert_int_equal(nc_cq_remove(cq, s), -EBADF);
	assert_int_equal(nc_cq_modify(cq, s, POLLIN, 0), -EBADF);
	fake_put(f, p, "g", 1);
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
	assert_int_equal(nc_cq_wait(cq, e, 8, 1), 0);
	closed(f, s);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 0), -EBADF);
	nc_cq_destroy(cq);
	nc_cq_destroy(NULL);
}

static void queue_reports_room_only_after_it_was_full(void **state)
{
	struct fake *f = *state;
	char *buf = calloc(1, RING);
	struct nc_event e[8];
	struct fake_slot p;
	int s = connected(f, &p);
	struct nc_cq *cq;

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN | POLLOUT, 1), 0);
	assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
	assert_int_equal(e[0].events, POLLOUT);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(nc_send(s, buf, 100, MSG_DONTWAIT), 100);
		assert_int_equal(fake_take(f, p, buf, 100), 100);
		assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
		fake_drain(f);
	}
	for (int i = 0; i < 10; i++) {
		assert_int_equal(nc_send(s, buf, RING, MSG_DONTWAIT), RING);
		assert_int_equal(nc_send(s, buf, 1, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
		assert_int_equal(fake_take(f, p, buf, RING), RING);
		assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
		assert_int_equal(e[0].events, POLLOUT);
		fake_drain(f);
	}
	nc_cq_destroy(cq);
	free(buf);
	closed(f, s);
}

static void queue_follows_connects_listeners_and_ends(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), l, a;
	struct sockaddr_in any = address("0.0.0.0", 81);
	struct nc_event e[8];
	struct fake_slot p;
	struct nc_cq *cq;

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLOUT, 1), 0);
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 1);
	assert_int_equal(e[0].events, POLLOUT | POLLHUP);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
	fake_open(f, p);
	assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
	assert_int_equal(e[0].events, POLLOUT);

	l = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(nc_bind(l, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(nc_listen(l, 5), 0);
	assert_int_equal(nc_cq_add(cq, l, POLLIN, 2), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
		fake_incoming(f, 0, 0);
		assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
		assert_int_equal(e[0].data, 2);
		a = nc_accept4(l, NULL, NULL, 0);
		assert_true(a >= NC_SOCKET_BASE);
		assert_int_equal(nc_accept4(l, NULL, NULL, 0), -EAGAIN);
		assert_int_equal(nc_close(a), 0);
	}
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(nc_cq_wait(cq, e, 8, -1), 1);
	assert_int_equal(e[0].data, 1);
	assert_int_equal(e[0].events, POLLOUT | POLLERR | POLLHUP);
	closed(f, s);
	assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
	nc_cq_destroy(cq);
	closed(f, l);
}

static void sleeping_queue_is_woken(void **state)
{
	struct fake *f = *state;
	struct call c = { .run = run_cq_wait, .timeout_ms = -1 };
	struct fake_slot p, q;
	int s = connected(f, &p), t = connected(f, &q);
	struct nc_event e[2];

	assert_int_equal(nc_cq_create(&c.cq), 0);
	assert_int_equal(nc_cq_add(c.cq, s, POLLIN, 1), 0);
	call_start(&c);
	fake_await_qp(f, 1);
	fake_put(f, p, "x", 1);
	assert_int_equal(call_end(&c), 1);
	/* By a socket that another thread adds. */
	fake_put(f, q, "x", 1);
	call_start(&c);
	fake_await_qp(f, 1);
	assert_int_equal(nc_cq_add(c.cq, t, POLLIN, 2), 0);
	assert_int_equal(call_end(&c), 1);
	c.timeout_ms = 2;
	call_start(&c);
	assert_int_equal(call_end(&c), 0);
	fake_hang_up(f);
	FAKE_AWAIT(nc_send(s, "x", 1, 0) < 0);
	FAKE_AWAIT(nc_cq_wait(c.cq, e, 2, 0) == -ECONNRESET);
	nc_cq_destroy(c.cq);
	assert_int_equal(nc_close(s), 0);
	assert_int_equal(nc_close(t), 0);
}

static void queue_has_a_descriptor(void **state)
{
	struct fake *f = *state;
	struct nc_event e[8];
	struct fake_slot p;
	int s = connected(f, &p), fd;
	struct nc_cq *cq;
	char buf[4];

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 1), 0);
	fd = nc_cq_fd(cq);
	assert_true(fd >= 0);
	assert_int_equal(nc_cq_fd(cq), fd);
	assert_true(ready(fd) & POLLIN);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(nc_cq_wait(cq, e, 8, 0), 0);
		assert_int_equal(ready(fd) & POLLIN, 0);
		fake_put(f, p, "x", 1);
		assert_int_equal(ready(fd) & POLLIN, POLLIN);
		assert_int_equal(nc_cq_wait(cq, e, 8, 0), 1);
		assert_int_equal(nc_recv(s, buf, 4, 0), 1);
	}
	nc_cq_destroy(cq);
	closed(f, s);
}

static void there_are_fifteen_queues(void **state)
{
	struct fake *f = *state;
	struct nc_cq *cq[15], *more;
	struct nc_event e[2];
	struct fake_slot p;
	int s = connected(f, &p);

	for (int i = 0; i < 15; i++)
		assert_int_equal(nc_cq_create(&cq[i]), 0);
	assert_int_equal(nc_cq_create(&more), -EMFILE);
	/* A queue pair is used again with what its rings are at. */
	assert_int_equal(nc_cq_add(cq[3], s, POLLIN, 1), 0);
	fake_put(f, p, "x", 1);
	assert_int_equal(nc_cq_wait(cq[3], e, 2, -1), 1);
	fake_put(f, p, "y", 1);
	nc_cq_destroy(cq[3]);
	assert_int_equal(nc_cq_create(&cq[3]), 0);
	assert_int_equal(nc_cq_wait(cq[3], e, 2, 0), 0);
	assert_int_equal(nc_cq_add(cq[3], s, POLLIN, 5), 0);
	assert_int_equal(nc_cq_wait(cq[3], e, 2, -1), 1);
	assert_int_equal(e[0].data, 5);
	for (int i = 0; i < 15; i++)
		nc_cq_destroy(cq[i]);
	closed(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(descriptor_is_readable_as_long_as_bytes_are, start,
						stop),
		cmocka_unit_test_setup_teardown(descriptor_tells_the_truth_from_the_start, start,
						stop),
		cmocka_unit_test_setup_teardown(descriptor_is_writable_as_long_as_there_is_room,
						start, stop),
		cmocka_unit_test_setup_teardown(descriptor_follows_a_connect, start, stop),
		cmocka_unit_test_setup_teardown(descriptor_follows_the_connect_after_a_refused_one,
						start, stop),
		cmocka_unit_test_setup_teardown(descriptor_hangs_up_with_the_stream_or_daemon,
						start, stop),
		cmocka_unit_test_setup_teardown(descriptor_of_a_listener, start, stop),
		cmocka_unit_test_setup_teardown(epoll_sees_edges, start, stop),
		cmocka_unit_test_setup_teardown(poll_mixes_both_kinds, start, stop),
		cmocka_unit_test_setup_teardown(queue_reports_what_is_true_and_then_edges, start,
						stop),
		cmocka_unit_test_setup_teardown(queue_reports_room_only_after_it_was_full, start,
						stop),
		cmocka_unit_test_setup_teardown(queue_follows_connects_listeners_and_ends, start,
						stop),
		cmocka_unit_test_setup_teardown(sleeping_queue_is_woken, start, stop),
		cmocka_unit_test_setup_teardown(queue_has_a_descriptor, start, stop),
		cmocka_unit_test_setup_teardown(there_are_fifteen_queues, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
