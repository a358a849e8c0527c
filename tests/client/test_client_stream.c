/* SPDX-License-Identifier: MIT */
/*
 * test_client_stream.c - bytes in and out of the rings: wrap-around, partial sends, flags,
 * timeouts, signals, half-close, resets, views, credit.
 */
#include <limits.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "client_test.h"

static void set_timeout(int s, int name, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, name, &tv, sizeof(tv)), 0);
}

static void sends_wrap_around_the_ring(void **state)
{
	struct fake *f = *state;
	uint8_t out[5000], in[5000];
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t at = 0;

	for (int i = 0; i < 200; i++) {
		size_t n = 1 + (size_t)(i * 977) % sizeof(out);

		pattern_fill(out, n, at);
		assert_int_equal(nc_send(s, out, n, 0), n);
		/* Something stays in the ring now and then, so that it is not begun anew. */
		assert_int_equal(fake_take(f, p, in, i % 3 ? n : n / 2), i % 3 ? n : n / 2);
		pattern_check(in, i % 3 ? n : n / 2, at);
		if (i % 3 == 0) {
			assert_int_equal(fake_take(f, p, in, sizeof(in)), n - n / 2);
			pattern_check(in, n - n / 2, at + n / 2);
		}
		at += n;
		fake_drain(f);
	}
	closed(f, s);
}

static void receives_wrap_around_the_ring(void **state)
{
	struct fake *f = *state;
	uint8_t out[5000], in[5000];
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t at = 0;

	for (int i = 0; i < 200; i++) {
		size_t n = 1 + (size_t)(i * 977) % sizeof(out), first = n / 3;

		pattern_fill(out, n, at);
		assert_int_equal(fake_put(f, p, out, n), n);
		if (first > 0)
			assert_int_equal(nc_recv(s, in, first, MSG_WAITALL), first);
		assert_int_equal(nc_recv(s, in + first, sizeof(in) - first, 0), n - first);
		pattern_check(in, n, at);
		at += n;
		fake_drain(f);
	}
	closed(f, s);
}

static void small_messages_stay_in_the_first_page(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	char buf[64] = { 0 };

	for (int i = 0; i < 1000; i++) {
		uint64_t base;

		assert_int_equal(nc_send(s, buf, sizeof(buf), 0), sizeof(buf));
		base = atomic_load(&fake_shm(f, p)->tx_base);
		assert_true(atomic_load(&fake_shm(f, p)->tx_tail) - base <= NCD_PAGE);
		assert_int_equal(fake_take(f, p, buf, sizeof(buf)), sizeof(buf));
		fake_drain(f);
	}
	closed(f, s);
}

static void kicks_only_if_the_last_was_seen(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);

	assert_int_equal(nc_send(s, "a", 1, 0), 1);
	assert_int_equal(nc_send(s, "b", 1, 0), 1);
	fake_expect(f, SQ_KICK);
	assert_true(fake_idle(f));
	assert_int_equal(nc_send(s, "c", 1, 0), 1);
	fake_expect(f, SQ_KICK);
	closed(f, s);
}

static void receives_kick_by_the_quarter(void **state)
{
	struct fake *f = *state;
	char buf[RING];
	struct fake_slot p;
	int s = connected(f, &p);

	memset(buf, 1, sizeof(buf));
	for (int i = 0; i < 63; i++) {
		assert_int_equal(fake_put(f, p, buf, 64), 64);
		assert_int_equal(nc_recv(s, buf, 64, 0), 64);
		assert_true(fake_idle(f));
	}
	assert_int_equal(fake_put(f, p, buf, 64), 64);
	assert_int_equal(nc_recv(s, buf, 64, 0), 64);
	fake_expect(f, SQ_KICK);
	/* A large receive tells on the way. */
	assert_int_equal(fake_put(f, p, buf, RING), RING);
	assert_int_equal(nc_recv(s, buf, RING, 0), RING);
	fake_expect(f, SQ_KICK);
	assert_int_equal(atomic_load(&fake_shm(f, p)->rx_head), 4096 + RING);
	closed(f, s);
}

static void non_blocking_send_is_partial_then_eagain(void **state)
{
	struct fake *f = *state;
	char *buf = calloc(1, 2 * RING);
	struct fake_slot p;
	int s = connected(f, &p);
	int n = 0;

	assert_int_equal(nc_send(s, buf, 2 * RING, MSG_DONTWAIT), RING);
	assert_int_equal(nc_send(s, buf, 1, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_ioctl(s, SIOCOUTQ, &n), 0);
	assert_int_equal(n, RING);
	/* A part of it goes only where an eighth of the ring is free, what fits in any case. */
	assert_int_equal(fake_take(f, p, buf, RING / 8 - 1), RING / 8 - 1);
	assert_int_equal(nc_send(s, buf, 2 * RING, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_send(s, buf, 100, MSG_DONTWAIT), 100);
	assert_int_equal(fake_take(f, p, buf, 101), 101);
	assert_int_equal(nc_send(s, buf, 2 * RING, MSG_DONTWAIT), RING / 8);
	n = 1;
	assert_int_equal(nc_ioctl(s, FIONBIO, &n), 0);
	assert_int_equal(nc_send(s, buf, 1, 0), -EAGAIN);
	free(buf);
	closed(f, s);
}

static void blocking_send_returns_when_all_is_in(void **state)
{
	struct fake *f = *state;
	struct call c = { .run = run_send, .len = 5 * RING };
	uint8_t *out = malloc(5 * RING), *in = malloc(5 * RING);
	struct fake_slot p;
	size_t got = 0;

	pattern_fill(out, 5 * RING, 0);
	c.buf = out;
	c.s = connected(f, &p);
	call_start(&c);
	FAKE_AWAIT((got += fake_take(f, p, in + got, 1000)) == 5 * RING);
	assert_int_equal(call_end(&c), 5 * RING);
	pattern_check(in, got, 0);
	free(out);
	free(in);
	closed(f, c.s);
}

static void receive_flags(void **state)
{
	struct fake *f = *state;
	char buf[RING];
	struct call c = { .run = run_recv, .buf = buf, .len = 6, .flags = MSG_WAITALL };
	struct fake_slot p;
	int n = 0;

	c.s = connected(f, &p);
	assert_int_equal(nc_recv(c.s, buf, 1, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_recv(c.s, buf, 1, MSG_OOB), -EINVAL);
	assert_int_equal(nc_recv(c.s, buf, 1, MSG_ERRQUEUE), -EAGAIN);
	/* It would wait for a byte that it leaves. */
	assert_int_equal(nc_recv(c.s, buf, 0, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_send(c.s, buf, 1, MSG_OOB), -EOPNOTSUPP);
	assert_int_equal(nc_send(c.s, buf, 0, 0), 0);
	fake_put(f, p, "abcdef", 6);
	assert_int_equal(nc_ioctl(c.s, FIONREAD, &n), 0);
	assert_int_equal(n, 6);
	assert_int_equal(nc_recv(c.s, buf, 0, 0), 0);
	assert_int_equal(nc_recv(c.s, buf, 3, MSG_PEEK), 3);
	assert_int_equal(nc_recv(c.s, buf, 10, MSG_PEEK), 6);
	assert_memory_equal(buf, "abcdef", 6);
	assert_int_equal(nc_recv(c.s, NULL, 2, MSG_TRUNC), 2);
	assert_int_equal(nc_recv(c.s, buf, 10, 0), 4);
	assert_memory_equal(buf, "cdef", 4);

	fake_put(f, p, "123", 3);
	call_start(&c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	fake_put(f, p, "456", 3);
	assert_int_equal(call_end(&c), 6);
	assert_memory_equal(buf, "123456", 6);

	c.flags = MSG_WAITALL | MSG_PEEK;
	fake_put(f, p, "123", 3);
	call_start(&c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	fake_put(f, p, "456", 3);
	assert_int_equal(call_end(&c), 6);
	/* As much as there can ever be. */
	fake_refuse_rx(f, p);
	c.len = RING + 1;
	memset(buf, 0, sizeof(buf));
	assert_int_equal(fake_put(f, p, buf, RING), RING - 6);
	assert_int_equal(nc_recv(c.s, buf, RING + 1, MSG_WAITALL | MSG_PEEK), RING);
	closed(f, c.s);
}

static void messages_gather_and_scatter(void **state)
{
	struct fake *f = *state;
	char a[] = "abc", b[] = "defgh", x[4], y[10], ctl[16];
	struct iovec out[] = { { a, 3 }, { NULL, 0 }, { b, 5 } };
	struct iovec in[] = { { x, 4 }, { y, 10 } };
	struct iovec huge[] = { { a, SSIZE_MAX }, { b, 1 } };
	struct msghdr mo = { .msg_iov = out, .msg_iovlen = 3 };
	struct msghdr mi = { .msg_iov = in, .msg_iovlen = 2, .msg_namelen = 9 };
	struct fake_slot p;
	int s = connected(f, &p);
	char got[8];

	assert_int_equal(nc_sendmsg(s, &mo, 0), 8);
	assert_int_equal(fake_take(f, p, got, 8), 8);
	assert_memory_equal(got, "abcdefgh", 8);
	assert_int_equal(fake_put(f, p, got, 8), 8);
	assert_int_equal(nc_recvmsg(s, &mi, 0), 8);
	assert_memory_equal(x, "abcd", 4);
	assert_memory_equal(y, "efgh", 4);
	assert_int_equal(mi.msg_namelen, 0);
	mo.msg_control = ctl;
	mo.msg_controllen = sizeof(ctl);
	assert_int_equal(nc_sendmsg(s, &mo, 0), -EOPNOTSUPP);
	mo.msg_controllen = 0;
	mo.msg_iov = huge;
	mo.msg_iovlen = 2;
	assert_int_equal(nc_sendmsg(s, &mo, 0), -EINVAL);
	mo.msg_iovlen = IOV_MAX + 1;
	assert_int_equal(nc_sendmsg(s, &mo, 0), -EMSGSIZE);
	assert_int_equal(nc_recvmsg(s, &mo, 0), -EMSGSIZE);
	closed(f, s);
	assert_int_equal(nc_sendmsg(s, &mo, 0), -EMSGSIZE);
	mo.msg_iovlen = 0;
	assert_int_equal(nc_sendmsg(s, &mo, 0), -EBADF);
	assert_int_equal(nc_recvmsg(s, &mo, 0), -EBADF);
}

static void timeouts_are_eagain(void **state)
{
	struct fake *f = *state;
	char *buf = calloc(1, RING + 1);
	struct fake_slot p;
	int s = connected(f, &p);

	set_timeout(s, SO_RCVTIMEO, 2);
	set_timeout(s, SO_SNDTIMEO, 2);
	assert_int_equal(nc_recv(s, buf, 1, 0), -EAGAIN);
	fake_put(f, p, "abc", 3);
	assert_int_equal(nc_recv(s, buf, 4, MSG_WAITALL), 3);
	assert_int_equal(nc_send(s, buf, RING + 1, 0), RING);
	assert_int_equal(nc_send(s, buf, 1, 0), -EAGAIN);
	free(buf);
	closed(f, s);
}

static void on_signal(int signo)
{
	(void)signo;
}

static void handle(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
}

/* Sends signals until the call, which sleeps, has ended. */
static void signals_end(struct call *c, struct fake *f, struct fake_slot p, long expected)
{
	call_start(c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	/* Armed is not yet asleep: one of the signals finds it there. */
	FAKE_AWAIT(pthread_kill(c->thread, SIGUSR1) == 0 &&
		   pthread_tryjoin_np(c->thread, NULL) == 0);
	assert_int_equal(c->ret, expected);
}

static void signal_handlers_interrupt(void **state)
{
	struct fake *f = *state;
	char buf[8];
	struct call c = { .run = run_recv, .buf = buf, .len = 4 };
	struct fake_slot p;

	c.s = connected(f, &p);
	handle(0);
	signals_end(&c, f, p, -EINTR);
	/* What had been received is returned. */
	fake_put(f, p, "ab", 2);
	c.flags = MSG_WAITALL;
	signals_end(&c, f, p, 2);
	/* SA_RESTART goes on, but not with a timeout. */
	handle(SA_RESTART);
	c.flags = 0;
	call_start(&c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	for (int i = 0; i < 100; i++)
		assert_int_equal(pthread_kill(c.thread, SIGUSR1), 0);
	fake_put(f, p, "x", 1);
	assert_int_equal(call_end(&c), 1);
	set_timeout(c.s, SO_RCVTIMEO, 60000);
	signals_end(&c, f, p, -EINTR);
	closed(f, c.s);
}

static void half_close(void **state)
{
	struct fake *f = *state;
	char buf[8];
	struct call c = { .run = run_recv, .buf = buf, .len = 8 };
	struct fake_slot p;

	c.s = connected(f, &p);
	assert_int_equal(nc_shutdown(c.s, 7), -EINVAL);
	assert_int_equal(nc_shutdown(c.s, SHUT_WR), 0);
	fake_expect(f, SQ_SHUTDOWN);
	assert_int_equal(nc_shutdown(c.s, SHUT_WR), 0);
	assert_true(fake_idle(f));
	assert_int_equal(nc_send(c.s, "x", 1, 0), -EPIPE);
	fake_put(f, p, "abc", 3);
	fake_eof(f, p);
	assert_int_equal(nc_recv(c.s, buf, 2, 0), 2);
	assert_int_equal(nc_recv(c.s, buf, 8, MSG_WAITALL), 1);
	assert_int_equal(nc_recv(c.s, buf, 8, 0), 0);
	assert_int_equal(nc_recv(c.s, buf, 8, MSG_PEEK), 0);
	closed(f, c.s);

	c.s = connected(f, &p);
	call_start(&c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	fake_eof(f, p);
	assert_int_equal(call_end(&c), 0);
	assert_int_equal(nc_send(c.s, "x", 1, 0), 1);
	closed(f, c.s);
}

static int error_of(int s)
{
	socklen_t len = sizeof(int);
	int error = -1;

	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

static void reset_behind_the_end_is_for_who_sends(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct fake_slot p;
	int s = connected(f, &p);
	char c;

	fake_eof(f, p);
	assert_int_equal(nc_getpeername(s, (struct sockaddr *)&a, &len), 0);
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(nc_recv(s, &c, 1, 0), 0);
	assert_int_equal(nc_getpeername(s, (struct sockaddr *)&a, &len), -ENOTCONN);
	assert_int_equal(nc_shutdown(s, SHUT_WR), -ENOTCONN);
	assert_int_equal(error_of(s), EPIPE);
	assert_int_equal(error_of(s), 0);
	assert_int_equal(nc_send(s, "x", 1, 0), -EPIPE);
	closed(f, s);
}

static void shutdown_of_reading_ends_receives(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	char buf[8];

	fake_put(f, p, "abc", 3);
	assert_int_equal(nc_shutdown(s, SHUT_RD), 0);
	assert_int_equal(nc_recv(s, buf, 8, 0), 3);
	assert_int_equal(nc_recv(s, buf, 8, 0), 0);
	assert_int_equal(nc_send(s, "x", 1, 0), 1);
	closed(f, s);
	assert_int_equal(nc_shutdown(s, SHUT_RD), -EBADF);
}

static void shutdown_wakes_who_waits(void **state)
{
	struct fake *f = *state;
	char *big = calloc(1, 2 * RING), buf[8];
	struct call out = { .run = run_send, .buf = big, .len = 2 * RING };
	struct call in = { .run = run_recv, .buf = buf, .len = 8 };
	struct fake_slot p;

	out.s = in.s = connected(f, &p);
	call_start(&out);
	call_start(&in);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_OUT));
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(nc_shutdown(out.s, SHUT_WR), 0);
	assert_int_equal(call_end(&out), RING);
	assert_int_equal(nc_shutdown(in.s, SHUT_RD), 0);
	assert_int_equal(call_end(&in), 0);
	fake_take(f, p, big, RING);
	closed(f, out.s);
	free(big);
}

static void reset_comes_after_the_data_and_once(void **state)
{
	struct fake *f = *state;
	char *big = calloc(1, 2 * RING), buf[8];
	struct call c = { .run = run_send, .buf = big, .len = 2 * RING };
	struct fake_slot p;
	int s = connected(f, &p);

	fake_put(f, p, "abc", 3);
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(nc_recv(s, buf, 8, 0), 3);
	assert_int_equal(nc_recv(s, buf, 8, 0), -ECONNRESET);
	assert_int_equal(nc_recv(s, buf, 8, 0), 0);
	assert_int_equal(nc_send(s, buf, 1, 0), -EPIPE);
	closed(f, s);

	s = connected(f, &p);
	fake_reset(f, p, -ETIMEDOUT);
	assert_int_equal(nc_send(s, buf, 1, 0), -ETIMEDOUT);
	assert_int_equal(nc_send(s, buf, 1, 0), -EPIPE);
	assert_int_equal(nc_recv(s, buf, 8, 0), 0);
	closed(f, s);

	c.s = connected(f, &p);
	call_start(&c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_OUT));
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(call_end(&c), RING);
	assert_int_equal(nc_send(c.s, buf, 1, 0), -ECONNRESET);
	closed(f, c.s);
	free(big);
}

static void reserve_and_commit_across_the_end(void **state)
{
	struct fake *f = *state;
	uint8_t in[4096];
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t at = 0;
	void *buf;

	for (int i = 0; i < 100; i++) {
		ssize_t n = nc_reserve(s, 3000, &buf, 0);

		assert_int_equal(n, 3000);
		pattern_fill(buf, 3000, at);
		assert_int_equal(nc_commit(s, 2500), 0);
		/* One byte stays, so that the ring is not begun anew. */
		assert_int_equal(fake_take(f, p, in, i == 0 ? 2499 : 2500), i == 0 ? 2499 : 2500);
		pattern_check(in, i == 0 ? 2499 : 2500, i == 0 ? 0 : at - 1);
		at += 2500;
		fake_drain(f);
	}
	assert_int_equal(nc_commit(s, 1), -EINVAL);
	assert_int_equal(nc_reserve(s, 100, &buf, 0), 100);
	assert_int_equal(nc_commit(s, 101), -EINVAL);
	assert_int_equal(nc_commit(s, 0), 0);
	assert_int_equal(nc_reserve(s, 0, &buf, 0), -EINVAL);
	assert_int_equal(nc_reserve(s, 2 * RING, &buf, 0), RING - 1);
	assert_int_equal(nc_commit(s, RING - 1), 0);
	assert_int_equal(nc_reserve(s, 1, &buf, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_int_equal(nc_reserve(s, 1, &buf, 0), -EPIPE);
	assert_int_equal(nc_commit(s, 0), -EPIPE);
	closed(f, s);
	assert_int_equal(nc_reserve(s, 1, &buf, 0), -EBADF);
	assert_int_equal(nc_commit(s, 0), -EBADF);
}

static void peek_and_consume_across_the_end(void **state)
{
	struct fake *f = *state;
	uint8_t out[3000];
	struct fake_slot p;
	int s = connected(f, &p);
	const void *buf;
	uint64_t at = 0;

	assert_int_equal(nc_peek(s, 10, &buf, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_consume(s, 1), -EINVAL);
	for (int i = 0; i < 100; i++) {
		pattern_fill(out, sizeof(out), at);
		assert_int_equal(fake_put(f, p, out, sizeof(out)), sizeof(out));
		assert_int_equal(nc_peek(s, 10, &buf, 0), 10);
		assert_int_equal(nc_peek(s, 9000, &buf, 0), sizeof(out));
		pattern_check(buf, sizeof(out), at);
		assert_int_equal(nc_consume(s, 1000), 0);
		assert_int_equal(nc_peek(s, 9000, &buf, 0), sizeof(out) - 1000);
		pattern_check(buf, sizeof(out) - 1000, at + 1000);
		assert_int_equal(nc_consume(s, sizeof(out)), -EINVAL);
		assert_int_equal(nc_consume(s, sizeof(out) - 1000), 0);
		at += sizeof(out);
		fake_drain(f);
	}
	assert_int_equal(nc_consume(s, 0), 0);
	assert_int_equal(nc_peek(s, 0, &buf, 0), -EINVAL);
	fake_eof(f, p);
	assert_int_equal(nc_peek(s, 10, &buf, 0), 0);
	closed(f, s);
	assert_int_equal(nc_peek(s, 10, &buf, 0), -EBADF);
	assert_int_equal(nc_consume(s, 0), -EBADF);
	s = nc_socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(nc_peek(s, 10, &buf, 0), -ENOTCONN);
	assert_int_equal(nc_consume(s, 0), -ENOTCONN);
	assert_int_equal(nc_close(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sends_wrap_around_the_ring, start, stop),
		cmocka_unit_test_setup_teardown(receives_wrap_around_the_ring, start, stop),
		cmocka_unit_test_setup_teardown(small_messages_stay_in_the_first_page, start, stop),
		cmocka_unit_test_setup_teardown(kicks_only_if_the_last_was_seen, start, stop),
		cmocka_unit_test_setup_teardown(receives_kick_by_the_quarter, start, stop),
		cmocka_unit_test_setup_teardown(non_blocking_send_is_partial_then_eagain, start,
						stop),
		cmocka_unit_test_setup_teardown(blocking_send_returns_when_all_is_in, start, stop),
		cmocka_unit_test_setup_teardown(receive_flags, start, stop),
		cmocka_unit_test_setup_teardown(messages_gather_and_scatter, start, stop),
		cmocka_unit_test_setup_teardown(timeouts_are_eagain, start, stop),
		cmocka_unit_test_setup_teardown(signal_handlers_interrupt, start, stop),
		cmocka_unit_test_setup_teardown(half_close, start, stop),
		cmocka_unit_test_setup_teardown(reset_behind_the_end_is_for_who_sends, start, stop),
		cmocka_unit_test_setup_teardown(shutdown_of_reading_ends_receives, start, stop),
		cmocka_unit_test_setup_teardown(shutdown_wakes_who_waits, start, stop),
		cmocka_unit_test_setup_teardown(reset_comes_after_the_data_and_once, start, stop),
		cmocka_unit_test_setup_teardown(reserve_and_commit_across_the_end, start, stop),
		cmocka_unit_test_setup_teardown(peek_and_consume_across_the_end, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
