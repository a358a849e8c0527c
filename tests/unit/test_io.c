/* SPDX-License-Identifier: MIT */
/*
 * test_io.c - both back ends of io.h, on socket pairs and eventfds: they must behave alike.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "clock.h"
#include "io.h"

struct bench {
	struct io *io;
	struct io_link link;
	int far; /* the other end */
	uint8_t buf[256];
	struct iovec iov[2];
	uint8_t *in; /* what the other end has taken */
	size_t got;
};

static void bench_start(struct bench *b, void **state)
{
	const char *why;
	int fd[2];

	memset(b, 0, sizeof(*b));
	assert_int_equal(io_create(*state ? IO_EPOLL : IO_URING, 4, &b->io, &why), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	b->link.fd = fd[0];
	b->far = fd[1];
	b->link.user = b;
	assert_int_equal(io_link_add(b->io, &b->link), 0);
	b->iov[0] = (struct iovec){ b->buf, 10 };
	b->iov[1] = (struct iovec){ b->buf + 100, 100 };
}

static void bench_end(struct bench *b)
{
	io_link_drop(b->io, &b->link);
	while (!io_link_quiet(&b->link))
		io_wait(b->io, 1000000);
	io_link_remove(b->io, &b->link);
	io_destroy(b->io);
	close(b->link.fd);
	if (b->far >= 0)
		close(b->far);
}

/* The other end takes what there is. */
static void take_all(struct bench *b)
{
	ssize_t n;

	while ((n = recv(b->far, b->in + b->got, 1 << 20, MSG_DONTWAIT)) > 0)
		b->got += (size_t)n;
}

/* Waits for the link's next result. */
static void until_next(struct bench *b)
{
	uint64_t give_up = clock_monotonic_ns() + 10000000000ull;
	struct io_link *l;

	while (!(l = io_next(b->io, b->link.rank))) {
		assert_true(clock_monotonic_ns() < give_up);
		if (!io_ready(b->io))
			io_wait(b->io, 100000000);
		else
			io_poll(b->io);
	}
	assert_ptr_equal(l, &b->link);
}

static int receive(struct bench *b)
{
	int n = io_recv(b->io, &b->link, b->iov, 2);

	while (n == 0) {
		until_next(b);
		n = io_take_recv(&b->link);
	}
	return n;
}

static void bytes_are_scattered_over_the_vector(void **state)
{
	struct bench b;

	bench_start(&b, state);
	assert_int_equal(send(b.far, "0123456789abcdef", 16, 0), 16);
	assert_int_equal(receive(&b), 16);
	assert_memory_equal(b.buf, "0123456789", 10);
	assert_memory_equal(b.buf + 100, "abcdef", 6);
	bench_end(&b);
}

static void a_receive_waits_for_bytes_that_come_later(void **state)
{
	struct bench b;

	bench_start(&b, state);
	assert_int_equal(io_recv(b.io, &b.link, b.iov, 2), 0);
	io_poll(b.io);
	assert_null(io_next(b.io, 0));
	assert_int_equal(io_take_recv(&b.link), 0);
	assert_int_equal(send(b.far, "xyz", 3, 0), 3);
	until_next(&b);
	assert_int_equal(io_take_recv(&b.link), 3);
	assert_memory_equal(b.buf, "xyz", 3);
	bench_end(&b);
}

/* Whether the next is made at once or waits, nothing is lost, doubled or out of order. */
static void what_a_filled_receive_has_left_follows(void **state)
{
	uint8_t out[300];
	struct bench b;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)i;
	bench_start(&b, state);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(send(b.far, out, sizeof(out), 0), sizeof(out));
		for (size_t at = 0; at < sizeof(out); at += 110) {
			size_t left = sizeof(out) - at < 110 ? sizeof(out) - at : 110;

			assert_int_equal(receive(&b), left);
			assert_memory_equal(b.buf, out + at, 10);
			assert_memory_equal(b.buf + 100, out + at + 10, left - 10);
		}
	}
	assert_int_equal(send(b.far, out, 220, 0), 220);
	assert_int_equal(receive(&b), 110);
	assert_int_equal(receive(&b), 110);
	assert_int_equal(io_recv(b.io, &b.link, b.iov, 2), 0);
	close(b.far);
	b.far = -1;
	until_next(&b);
	assert_int_equal(io_take_recv(&b.link), -EPIPE);
	bench_end(&b);
}

/* A back end may expect the next of a ping-pong in a way of its own. */
static void ping(struct bench *b)
{
	assert_int_equal(send(b->far, "ping", 4, 0), 4);
	assert_int_equal(receive(b), 4);
	assert_memory_equal(b->buf, "ping", 4);
	assert_int_equal(io_recv(b->io, &b->link, b->iov, 2), 0);
	io_poll(b->io);
	assert_null(io_next(b->io, 0));
}

static void the_next_of_a_ping_pong_comes_by_poll_or_wait(void **state)
{
	struct bench b;

	bench_start(&b, state);
	for (int i = 0; i < 100; i++) {
		ping(&b);
		assert_int_equal(send(b.far, "pong!", 5, 0), 5);
		if (i % 2)
			io_wait(b.io, 10000000000ull);
		else
			io_poll(b.io);
		until_next(&b);
		assert_int_equal(io_take_recv(&b.link), 5);
		assert_memory_equal(b.buf, "pong!", 5);
	}
	bench_end(&b);
}

static void a_ping_pong_wakes_a_sleeper(void **state)
{
	struct pollfd quiet = { .events = POLLIN };
	struct bench b;

	bench_start(&b, state);
	ping(&b);
	/* Beyond any patience of the back end. */
	for (int i = 0; i < 10000; i++)
		io_poll(b.io);
	io_wait(b.io, 1000000);
	quiet.fd = b.link.fd;
	assert_int_equal(poll(&quiet, 1, 0), 0);
	assert_int_equal(send(b.far, "pong!", 5, 0), 5);
	until_next(&b);
	assert_int_equal(io_take_recv(&b.link), 5);
	bench_end(&b);
}

static void a_ping_pong_ends(void **state)
{
	struct bench b;

	bench_start(&b, state);
	ping(&b);
	close(b.far);
	b.far = -1;
	until_next(&b);
	assert_int_equal(io_take_recv(&b.link), -EPIPE);
	bench_end(&b);

	bench_start(&b, state);
	ping(&b);
	io_link_drop(b.io, &b.link);
	until_next(&b);
	while (!io_link_quiet(&b.link))
		until_next(&b);
	memset(b.buf, 0x5a, sizeof(b.buf));
	assert_int_equal(send(b.far, "xyz", 3, 0), 3);
	io_poll(b.io);
	assert_int_equal(b.buf[0], 0x5a);
	bench_end(&b);
}

static void the_end_of_the_other_side_is_epipe(void **state)
{
	struct bench b;

	bench_start(&b, state);
	close(b.far);
	b.far = -1;
	assert_int_equal(receive(&b), -EPIPE);
	bench_end(&b);
}

static void a_send_that_does_not_fit_is_taken_in_parts(void **state)
{
	size_t bytes = 4u << 20, sent = 0, got = 0;
	uint8_t *out = malloc(bytes), *in = malloc(bytes);
	struct bench b;

	bench_start(&b, state);
	assert_true(out && in);
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(i * 31 >> 3);
	while (sent < bytes) {
		struct iovec rest = { out + sent, bytes - sent };
		int n = io_send(b.io, &b.link, &rest, 1, NULL, 0);

		while (n == 0) {
			ssize_t k;

			io_poll(b.io);
			k = recv(b.far, in + got, bytes - got, MSG_DONTWAIT);
			if (k > 0)
				got += (size_t)k;
			if (io_next(b.io, 0))
				n = io_take_send(&b.link);
		}
		if (n != -EAGAIN) {
			assert_true(n > 0);
			sent += (size_t)n;
		}
	}
	while (got < bytes) {
		ssize_t k = recv(b.far, in + got, bytes - got, MSG_DONTWAIT);

		assert_true(k > 0);
		got += (size_t)k;
	}
	assert_memory_equal(in, out, bytes);
	free(in);
	free(out);
	bench_end(&b);
}

/* A file of @bytes, and the same bytes in memory. */
static int file_of(uint8_t *out, size_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(write(fd, out, bytes), (ssize_t)bytes);
	return fd;
}

/* What is left of a message: @head bytes by address, then two pieces of a file, swapped. */
static int send_rest(struct bench *b, uint8_t *out, size_t head, size_t bytes, int fd, size_t sent)
{
	struct iovec iov = { out, head };
	struct tx_file file[2] = {
		{ .bytes = (uint32_t)(bytes / 2), .file = fd + 1, .file_off = bytes - bytes / 2 },
		{ .bytes = (uint32_t)(bytes - bytes / 2), .file = fd + 1 },
	};
	int first = 0, iov_nr = 1, n;

	if (sent < head) {
		iov.iov_base = out + sent;
		iov.iov_len -= sent;
	} else {
		iov_nr = 0;
		sent -= head;
		if (sent >= file[0].bytes) {
			sent -= file[0].bytes;
			first = 1;
		}
		file[first].bytes -= (uint32_t)sent;
		file[first].file_off += sent;
	}
	n = io_send(b->io, &b->link, &iov, iov_nr, &file[first], 2 - first);
	while (n == 0) {
		io_poll(b->io);
		take_all(b);
		if (io_next(b->io, 0))
			n = io_take_send(&b->link);
	}
	return n;
}

static void pieces_of_a_file_follow_what_is_sent_by_address(void **state)
{
	size_t bytes = (4u << 20) + 12345, head = 40, sent = 0;
	uint8_t *out = malloc(bytes), *in = malloc(bytes + head + (1 << 20));
	int fd = file_of(out, bytes);
	struct bench b;

	bench_start(&b, state);
	b.in = in;
	while (sent < bytes + head) {
		int n = send_rest(&b, out, head, bytes, fd, sent);

		assert_true(n > 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
	}
	while (b.got < bytes + head)
		take_all(&b);
	assert_memory_equal(in, out, head);
	assert_memory_equal(in + head, out + bytes - bytes / 2, bytes / 2);
	assert_memory_equal(in + head + bytes / 2, out, bytes - bytes / 2);
	bench_end(&b);
	close(fd);
	free(in);
	free(out);
}

static void a_send_that_is_wanted_now_is_made_by_the_call(void **state)
{
	size_t bytes = 8u << 20, sent = 0;
	uint8_t *out = calloc(1, bytes), *in = malloc(bytes);
	struct iovec iov = { out, 1000 };
	struct bench b;

	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(i * 31 >> 3);
	bench_start(&b, state);
	b.in = in;
	b.link.tx_now = true;
	assert_int_equal(io_send(b.io, &b.link, &iov, 1, NULL, 0), 1000);
	/* More than there is room for: taken in parts, as it becomes free. */
	for (sent = 1000; sent < bytes;) {
		int n;

		iov = (struct iovec){ out + sent, bytes - sent };
		n = io_send(b.io, &b.link, &iov, 1, NULL, 0);
		while (n == 0) {
			io_poll(b.io);
			take_all(&b);
			if (io_next(b.io, 0))
				n = io_take_send(&b.link);
		}
		assert_true(n > 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
	}
	while (b.got < bytes)
		take_all(&b);
	assert_memory_equal(in, out, bytes);
	bench_end(&b);
	free(in);
	free(out);
}

static void a_file_that_waits_for_room_is_let_go(void **state)
{
	size_t bytes = 4u << 20;
	uint8_t *out = malloc(bytes);
	int fd = file_of(out, bytes), n;
	struct tx_file file = { .bytes = (uint32_t)bytes, .file = fd + 1 };
	struct bench b;

	bench_start(&b, state);
	while ((n = io_send(b.io, &b.link, NULL, 0, &file, 1)) > 0)
		;
	assert_int_equal(n, 0);
	io_poll(b.io);
	assert_false(io_link_quiet(&b.link));
	io_link_drop(b.io, &b.link);
	while (!io_link_quiet(&b.link))
		until_next(&b);
	bench_end(&b);

	bench_start(&b, state);
	while ((n = io_send(b.io, &b.link, NULL, 0, &file, 1)) > 0)
		;
	close(b.far);
	b.far = -1;
	until_next(&b);
	assert_int_equal(io_take_send(&b.link), -EPIPE);
	bench_end(&b);
	close(fd);
	free(out);
}

static void a_dropped_link_gives_its_memory_back(void **state)
{
	struct bench b;

	bench_start(&b, state);
	assert_int_equal(io_recv(b.io, &b.link, b.iov, 2), 0);
	io_poll(b.io);
	assert_false(io_link_quiet(&b.link));
	io_link_drop(b.io, &b.link);
	until_next(&b);
	while (!io_link_quiet(&b.link))
		until_next(&b);
	/* Nothing writes to it any more. */
	memset(b.buf, 0x5a, sizeof(b.buf));
	assert_int_equal(send(b.far, "xyz", 3, 0), 3);
	io_poll(b.io);
	io_poll(b.io);
	assert_int_equal(b.buf[0], 0x5a);
	bench_end(&b);
}

static void every_write_to_an_eventfd_is_heard(void **state)
{
	struct io_watch w = { .fd = eventfd(0, EFD_NONBLOCK), .user = &w };
	struct bench b;

	bench_start(&b, state);
	assert_int_equal(io_watch_add(b.io, &w), 0);
	io_poll(b.io);
	assert_null(io_next_watch(b.io));
	for (int i = 0; i < 100; i++) {
		assert_int_equal(eventfd_write(w.fd, 1), 0);
		io_wait(b.io, 10000000000ull);
		assert_ptr_equal(io_next_watch(b.io), &w);
		assert_null(io_next_watch(b.io));
	}
	io_watch_remove(b.io, &w);
	while (w.lent)
		io_wait(b.io, 100000000);
	assert_int_equal(eventfd_write(w.fd, 1), 0);
	io_poll(b.io);
	assert_null(io_next_watch(b.io));
	close(w.fd);
	bench_end(&b);
}

static void a_wait_ends_at_its_deadline(void **state)
{
	struct bench b;
	uint64_t t = 0;

	bench_start(&b, state);
	io_poll(b.io);
	/*
	 * A new link becomes writable, at either end: that is news, and ends a wait early. So does
	 * what the kernel still clears away of an io_uring that the test before this one closed.
	 */
	for (int i = 0; i < 1000 && t < 2900000; i++) {
		t = clock_monotonic_ns();
		io_wait(b.io, 3000000);
		t = clock_monotonic_ns() - t;
	}
	assert_true(t >= 2900000 && t < 3000000000ull);
	bench_end(&b);
}

static void auto_says_why_it_chose(void **state)
{
	const char *why;
	struct io *io;

	(void)state;
	assert_int_equal(io_create(IO_EPOLL, 4, &io, &why), 0);
	assert_string_equal(io_name(io), "epoll");
	assert_string_equal(why, "configured");
	io_destroy(io);
	assert_int_equal(io_create(IO_AUTO, 4, &io, &why), 0);
	assert_true((strcmp(io_name(io), "io_uring") == 0) == (*why == '\0'));
	io_destroy(io);
	io_destroy(NULL);
}

#define EACH(test) cmocka_unit_test(test), { #test "_epoll", test, NULL, NULL, &epoll }

int main(void)
{
	static int epoll = 1;
	const struct CMUnitTest tests[] = {
		EACH(bytes_are_scattered_over_the_vector),
		EACH(a_receive_waits_for_bytes_that_come_later),
		EACH(what_a_filled_receive_has_left_follows),
		EACH(the_next_of_a_ping_pong_comes_by_poll_or_wait),
		EACH(a_ping_pong_wakes_a_sleeper),
		EACH(a_ping_pong_ends),
		EACH(the_end_of_the_other_side_is_epipe),
		EACH(a_send_that_does_not_fit_is_taken_in_parts),
		EACH(pieces_of_a_file_follow_what_is_sent_by_address),
		EACH(a_send_that_is_wanted_now_is_made_by_the_call),
		EACH(a_file_that_waits_for_room_is_let_go),
		EACH(a_dropped_link_gives_its_memory_back),
		EACH(every_write_to_an_eventfd_is_heard),
		EACH(a_wait_ends_at_its_deadline),
		cmocka_unit_test(auto_says_why_it_chose),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* as io.h wants it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
