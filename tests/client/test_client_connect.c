/* SPDX-License-Identifier: MIT */
/*
 * test_client_connect.c - binding, listening, accepting, connecting, closing: the happy path and
 * each error, as socket(2) and tcp(7) have them.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

#include "client_test.h"
#include "left.h"

static int stream_socket(int flags)
{
	int s = nc_socket(AF_INET, SOCK_STREAM | flags, 0);

	assert_true(s >= NC_SOCKET_BASE);
	return s;
}

static int so_error(int s)
{
	socklen_t len = sizeof(int);
	int error = 99;

	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(len, sizeof(int));
	return error;
}

static void set_timeout(int s, int name, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, name, &tv, sizeof(tv)), 0);
}

static void blocking_connect_waits_for_the_answer(void **state)
{
	struct fake *f = *state;
	struct call c = { .run = run_connect, .s = stream_socket(0) };
	struct sockaddr_in name;
	socklen_t len = sizeof(name);
	struct fake_slot p;

	call_start(&c);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(fake_shm(f, p)->open_peer_port, 80);
	assert_int_equal(fake_shm(f, p)->peer_addr[15], 2);
	fake_opening(f, p);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_OUT));
	fake_open(f, p);
	assert_int_equal(call_end(&c), 0);
	assert_int_equal(connect_to(c.s, 80), -EISCONN);
	assert_int_equal(nc_getsockname(c.s, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(ntohs(name.sin_port), 50000);
	len = sizeof(name);
	assert_int_equal(nc_getpeername(c.s, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(ntohs(name.sin_port), 80);
	assert_int_equal(len, sizeof(name));
	closed(f, c.s);
}

static void connect_errors_are_the_daemons(void **state)
{
	static const int errors[] = { -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH,
				      -ENETUNREACH,  -ENOBUFS,   -EADDRNOTAVAIL };
	struct fake *f = *state;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct call c = { .run = run_connect, .s = stream_socket(0) };
		struct fake_slot p;

		call_start(&c);
		p = fake_expect(f, SQ_OPEN);
		fake_fail(f, p, errors[i]);
		assert_int_equal(call_end(&c), errors[i]);
		assert_int_equal(so_error(c.s), 0);
		assert_int_equal(nc_send(c.s, "x", 1, 0), -EPIPE);
		assert_int_equal(nc_close(c.s), 0);
		assert_int_equal(fake_expect(f, SQ_CLOSE).slot, p.slot);
		fake_free(f, p);
	}
}

/* A blocking connect that has failed has said all; the next one tries again, as in Linux. */
static void a_refused_socket_tries_again_at_once(void **state)
{
	struct fake *f = *state;
	int s = stream_socket(0);

	for (int i = 0; i < 3; i++) {
		struct call c = { .run = run_connect, .s = s };
		struct fake_slot p;

		call_start(&c);
		if (i > 0)
			(void)fake_expect(f, SQ_CLOSE); /* of the slot before */
		p = fake_expect(f, SQ_OPEN);
		fake_fail(f, p, -ECONNREFUSED);
		assert_int_equal(call_end(&c), -ECONNREFUSED);
	}
	assert_int_equal(nc_close(s), 0);
	(void)fake_expect(f, SQ_CLOSE);
}

/* As in Linux; and a stream that waits is not lost for it. */
static void a_negative_length_of_a_name_is_refused(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in name = { 0 };
	struct sockaddr *at = (struct sockaddr *)&name;
	struct fake_slot p;
	int s = connected(f, &p), l = listening(81), c;
	socklen_t len = (socklen_t)-1;

	assert_int_equal(nc_getsockname(s, at, &len), -EINVAL);
	assert_int_equal(nc_getpeername(s, at, &len), -EINVAL);
	(void)fake_incoming(f, 0, 0);
	assert_int_equal(nc_accept4(l, at, &len, 0), -EINVAL);
	assert_int_equal(len, (socklen_t)-1);
	assert_int_equal(name.sin_family, 0);
	c = nc_accept4(l, NULL, &len, 0); /* nobody looks at it without an address */
	assert_true(c >= NC_SOCKET_BASE);
	closed(f, c);
	closed(f, l);
	closed(f, s);
}

static void non_blocking_connect_tells_later(void **state)
{
	struct fake *f = *state;
	int s = stream_socket(SOCK_NONBLOCK);
	struct pollfd pfd = { .fd = s, .events = POLLIN | POLLOUT };
	struct fake_slot p;
	char byte;

	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(connect_to(s, 80), -EALREADY);
	assert_int_equal(nc_send(s, "x", 1, 0), -EAGAIN);
	assert_int_equal(nc_recv(s, &byte, 1, 0), -EAGAIN);
	assert_int_equal(nc_poll(&pfd, 1, 0), 0);
	assert_int_equal(nc_shutdown(s, SHUT_WR), -ENOTCONN);
	fake_fail(f, p, -ECONNREFUSED);
	assert_int_equal(nc_poll(&pfd, 1, -1), 1);
	assert_int_equal(pfd.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
	assert_int_equal(so_error(s), ECONNREFUSED);
	assert_int_equal(so_error(s), 0);
	assert_int_equal(nc_poll(&pfd, 1, 0), 1);
	assert_int_equal(pfd.revents, POLLIN | POLLOUT | POLLHUP);

	/* The first connect after a failure takes it away, the next tries again, with another slot
	 * while the old one is not free. */
	assert_int_equal(connect_to(s, 80), -ECONNABORTED);
	assert_int_equal(fake_expect(f, SQ_CLOSE).slot, p.slot);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	assert_int_not_equal(fake_expect(f, SQ_OPEN).slot, p.slot);
	fake_free(f, p);
	p.slot++;
	fake_open(f, p);
	assert_int_equal(nc_poll(&pfd, 1, -1), 1);
	assert_int_equal(pfd.revents, POLLOUT);
	assert_int_equal(so_error(s), 0);
	assert_int_equal(connect_to(s, 80), 0);
	assert_int_equal(connect_to(s, 80), -EISCONN);
	closed(f, s);
}

static void connect_times_out_into_the_background(void **state)
{
	struct fake *f = *state;
	int s = stream_socket(0);
	struct fake_slot p;

	set_timeout(s, SO_SNDTIMEO, 1);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	fake_open(f, p);
	assert_int_equal(connect_to(s, 80), 0);
	closed(f, s);
}

static void no_slot_left_is_enobufs(void **state)
{
	struct fake *f = fresh(&(struct fake_config){ .slots = 4 });
	int s[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		s[i] = stream_socket(SOCK_NONBLOCK);
	assert_int_equal(connect_to(s[0], 80), -EINPROGRESS);
	assert_int_equal(connect_to(s[1], 80), -EINPROGRESS);
	assert_int_equal(connect_to(s[2], 80), -ENOBUFS);
	fake_open(f, (struct fake_slot){ 0, 0 });
	fake_open(f, (struct fake_slot){ 0, 1 });
	assert_int_equal(nc_close(s[0]), 0);
	assert_int_equal(connect_to(s[2], 80), -ENOBUFS);
	fake_free(f, (struct fake_slot){ 0, 0 });
	assert_int_equal(connect_to(s[2], 80), -EINPROGRESS);
	fake_open(f, (struct fake_slot){ 0, 0 });
	assert_int_equal(nc_close(s[1]), 0);
	assert_int_equal(nc_close(s[2]), 0);
	fake_stop(f);
}

static void close_of_a_connect_waits_until_it_is_taken(void **state)
{
	struct fake *f = *state;
	struct call c = { .run = run_close, .s = stream_socket(SOCK_NONBLOCK) };
	struct fake_slot p;

	assert_int_equal(connect_to(c.s, 80), -EINPROGRESS);
	call_start(&c);
	p = fake_expect(f, SQ_OPEN);
	assert_true(fake_idle(f));
	fake_opening(f, p);
	assert_int_equal(fake_expect(f, SQ_CLOSE).slot, p.slot);
	assert_int_equal(call_end(&c), 0);
}

static void fast_open_sends_before_the_answer(void **state)
{
	struct fake *f = *state;
	struct call c = { .run = run_connect, .s = stream_socket(0) };
	struct fake_slot p;
	int on = 1;
	char got[4];

	assert_int_equal(nc_setsockopt(c.s, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)), 0);
	call_start(&c);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(fake_shm(f, p)->open_flags, OPEN_F_DEFER);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_OUT));
	fake_opening(f, p);
	assert_int_equal(call_end(&c), 0);
	assert_int_equal(nc_send(c.s, "abc", 3, 0), 3);
	fake_expect(f, SQ_KICK);
	assert_int_equal(fake_take(f, p, got, sizeof(got)), 3);
	/* It is refused after all: the next call hears of it. */
	fake_fail(f, p, -ECONNREFUSED);
	assert_int_equal(nc_recv(c.s, got, 1, 0), -ECONNREFUSED);
	assert_int_equal(nc_recv(c.s, got, 1, 0), 0);
	assert_int_equal(nc_send(c.s, "x", 1, 0), -EPIPE);
	closed(f, c.s);
}

static void bind_errors(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in = address("127.0.0.1", 1234), name;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(name);
	int s = stream_socket(0);

	assert_int_equal(nc_bind(s, (struct sockaddr *)&in6, sizeof(in6)), -EAFNOSUPPORT);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, 4), -EINVAL);
	assert_int_equal(nc_bind(s, NULL, 0), -EINVAL);
	fake_answer(f, CTL_BIND, -EADDRINUSE);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), -EADDRINUSE);
	fake_answer(f, CTL_BIND, 0);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), -EINVAL);
	assert_int_equal(nc_getsockname(s, (struct sockaddr *)&name, &len), 0);
	assert_memory_equal(&name, &in, sizeof(in));
	len = 4;
	assert_int_equal(nc_getsockname(s, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(len, sizeof(in));
	assert_int_equal(nc_getpeername(s, (struct sockaddr *)&name, &len), -ENOTCONN);
	closed(f, s);
	assert_int_equal(fake_asked(f, CTL_UNBIND), 1);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), -EBADF);
}

static void bound_socket_connects_from_there(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in = address("127.0.0.1", 0);
	int s = stream_socket(SOCK_NONBLOCK);
	struct fake_slot p;

	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	/* The worker chooses the port: nobody was asked. */
	assert_int_equal(fake_asked(f, CTL_BIND), 0);
	assert_int_equal(fake_shm(f, p)->open_local_port, 0);
	assert_int_equal(fake_shm(f, p)->local_addr[12], 127);
	fake_open(f, p);
	closed(f, s);
	assert_int_equal(fake_asked(f, CTL_UNBIND), 0);
}

static void port_that_was_asked_for_is_kept(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in = address("127.0.0.1", 0);
	socklen_t len = sizeof(in);
	int s = stream_socket(SOCK_NONBLOCK);
	struct fake_slot p;

	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(nc_getsockname(s, (struct sockaddr *)&in, &len), 0);
		assert_int_equal(ntohs(in.sin_port), 40000);
	}
	assert_int_equal(fake_asked(f, CTL_BIND), 1);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(fake_shm(f, p)->open_local_port, 40000);
	fake_open(f, p);
	closed(f, s);
	assert_int_equal(fake_asked(f, CTL_UNBIND), 1);
}

static void ipv6_addresses_go_through(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) }, name;
	socklen_t len = sizeof(name);
	int s = nc_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
	struct fake_slot p;

	assert_int_equal(inet_pton(AF_INET6, "fd00::7", &in6.sin6_addr), 1);
	assert_int_equal(nc_connect(s, (struct sockaddr *)&in6, 8), -EINVAL);
	assert_int_equal(nc_connect(s, (struct sockaddr *)&in6, sizeof(in6)), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_memory_equal(fake_shm(f, p)->peer_addr, &in6.sin6_addr, 16);
	fake_open(f, p);
	assert_int_equal(nc_getpeername(s, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(name.sin6_family, AF_INET6);
	closed(f, s);
}

static void any_address_is_this_host(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in = address("0.0.0.0", 80);
	int s = stream_socket(SOCK_NONBLOCK);
	struct fake_slot p;

	assert_int_equal(nc_connect(s, (struct sockaddr *)&in, sizeof(in)), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(fake_shm(f, p)->peer_addr[12], 127);
	fake_open(f, p);
	closed(f, s);
}

static void listen_errors(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = stream_socket(0), c = connected(f, &p), a;
	socklen_t len = sizeof(int);

	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -EINVAL);
	assert_int_equal(nc_accept4(s, NULL, NULL, 1), -EINVAL);
	fake_answer(f, CTL_LISTEN, -EADDRINUSE);
	assert_int_equal(nc_listen(s, 5), -EADDRINUSE);
	fake_answer(f, CTL_LISTEN, 0);
	assert_int_equal(nc_listen(s, 5), 0);
	assert_int_equal(nc_listen(s, 5), 0);
	assert_int_equal(fake_asked(f, CTL_BIND), 1);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &a, &len), 0);
	assert_int_equal(a, 1);
	assert_int_equal(nc_listen(c, 5), -EINVAL);
	assert_int_equal(connect_to(s, 80), -EISCONN);
	assert_int_equal(nc_send(s, "x", 1, 0), -EPIPE);
	assert_int_equal(nc_recv(s, &a, 1, 0), -ENOTCONN);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	closed(f, c);
	closed(f, s);
	assert_int_equal(fake_asked(f, CTL_UNLISTEN), 1);
	assert_int_equal(nc_listen(s, 5), -EBADF);
	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -EBADF);
}

static void accept_gives_streams_and_names(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct call c = { .run = run_accept };
	int l = listening(81), s, flags;
	struct fake_slot p;

	fake_incoming(f, 0, 0);
	s = nc_accept4(l, (struct sockaddr *)&from, &len, SOCK_NONBLOCK);
	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(ntohs(from.sin_port), 60000);
	flags = nc_fcntl(s, F_GETFL, 0);
	assert_int_equal(flags, O_RDWR | O_NONBLOCK);
	closed(f, s);

	c.s = l;
	call_start(&c);
	fake_await_listener_wish(f, 0, NOTIFY_FUTEX(EV_IN));
	p = fake_incoming(f, 0, 0);
	s = (int)call_end(&c);
	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(fake_put(f, p, "hi", 2), 2);
	assert_int_equal(nc_recv(s, &from, 8, 0), 2);
	closed(f, s);

	assert_int_equal(nc_fcntl(l, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(nc_accept4(l, NULL, NULL, 0), -EAGAIN);
	assert_int_equal(nc_fcntl(l, F_SETFL, 0), 0);
	set_timeout(l, SO_RCVTIMEO, 1);
	assert_int_equal(nc_accept4(l, NULL, NULL, 0), -EAGAIN);
	closed(f, l);
}

static void accepted_socket_inherits_options(void **state)
{
	struct fake *f = *state;
	struct linger lg = { 1, 0 };
	int l = listening(81), s, on = 1, got = 0;
	socklen_t len = sizeof(got);
	uint32_t arg = 9;

	assert_int_equal(nc_setsockopt(l, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)), 0);
	assert_int_equal(nc_setsockopt(l, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	fake_incoming(f, 0, 0);
	s = nc_accept4(l, NULL, NULL, 0);
	assert_int_equal(nc_getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &got, &len), 0);
	assert_int_equal(got, 1);
	assert_int_equal(nc_close(s), 0);
	fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_ABORT);
	closed(f, l);
}

static void workers_are_accepted_from_in_turn(void **state)
{
	struct fake *f = fresh(&(struct fake_config){ .workers = 3 });
	int l = listening(81), s[6];

	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		fake_incoming(f, i % 3, 0);
	for (int i = 0; i < 6; i++) {
		s[i] = nc_accept4(l, NULL, NULL, 0);
		assert_true(s[i] >= NC_SOCKET_BASE);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(nc_close(s[i]), 0);
	closed(f, l);
	fake_stop(f);
}

static void close_lingers_until_all_is_acknowledged(void **state)
{
	struct fake *f = *state;
	struct linger lg = { 1, 30 };
	struct call c = { .run = run_close };
	struct fake_slot p;
	uint32_t arg = 9;

	c.s = connected(f, &p);
	assert_int_equal(nc_setsockopt(c.s, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)), 0);
	call_start(&c);
	fake_expect(f, SQ_SHUTDOWN);
	assert_true(fake_idle(f));
	fake_tx_done(f, p);
	assert_int_equal(call_end(&c), 0);
	fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_GRACEFUL);

	c.s = connected(f, &p);
	lg.l_linger = 1;
	assert_int_equal(nc_setsockopt(c.s, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)), 0);
	assert_int_equal(nc_close(c.s), -EWOULDBLOCK);
}

static void close_wakes_who_sleeps(void **state)
{
	struct fake *f = *state;
	char byte;
	struct call c = { .run = run_recv, .buf = &byte, .len = 1 };
	struct call a = { .run = run_accept };
	struct fake_slot p;

	c.s = connected(f, &p);
	a.s = listening(81);
	call_start(&c);
	call_start(&a);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	fake_await_listener_wish(f, 0, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(nc_close(c.s), 0);
	assert_int_equal(nc_close(a.s), 0);
	assert_int_equal(call_end(&c), -EBADF);
	assert_int_equal(call_end(&a), -EBADF);
	assert_int_equal(nc_close(c.s), -EBADF);
	fake_drain(f);
}

static void full_submission_queue_is_waited_for(void **state)
{
	struct fake *f = fresh(&(struct fake_config){ .slots = 16384 });
	struct call c = { .run = run_connect };
	int s[NCD_SQ_ENTRIES + 1];

	(void)state;
	for (uint32_t i = 0; i < NCD_SQ_ENTRIES; i++) {
		s[i] = stream_socket(SOCK_NONBLOCK);
		assert_int_equal(connect_to(s[i], 80), -EINPROGRESS);
	}
	c.s = stream_socket(SOCK_NONBLOCK);
	fake_sleep(f, 0);
	call_start(&c);
	fake_await_doorbell(f, 0);
	assert_int_equal(fake_expect(f, SQ_OPEN).slot, 0);
	assert_int_equal(call_end(&c), -EINPROGRESS);
	assert_int_equal(fake_drain(f), NCD_SQ_ENTRIES);
	fake_hang_up(f);
	for (uint32_t i = 0; i < NCD_SQ_ENTRIES; i++)
		assert_int_equal(nc_close(s[i]), 0);
	assert_int_equal(nc_close(c.s), 0);
	fake_stop(f);
}

static void sleeping_worker_is_rung(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);

	fake_sleep(f, 0);
	assert_int_equal(nc_send(s, "x", 1, 0), 1);
	fake_await_doorbell(f, 0);
	fake_expect(f, SQ_KICK);
	closed(f, s);
}

/* What ncd-run asks about a connect that it has begun for a program. */
static void the_outcome_of_a_connect_is_told_without_taking_it(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(connect_outcome(s, 0), -ENOTCONN);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	assert_int_equal(connect_outcome(s, 0), -EINPROGRESS); /* nobody has looked yet */
	assert_int_equal(connect_outcome(s, 1), -EINPROGRESS); /* that time is over */
	p = fake_expect(f, SQ_OPEN);
	fake_opening(f, p);
	assert_int_equal(connect_outcome_here(s), -EINPROGRESS);
	assert_int_equal(connect_outcome(s, 0), -EINPROGRESS);
	assert_true(connect_waits(s));
	fake_open(f, p);
	assert_false(connect_waits(s));
	assert_int_equal(connect_outcome(s, 0), 0);
	assert_int_equal(connect_to(s, 80), 0);
	assert_false(connect_waits(s));
	assert_int_equal(connect_to(s, 80), -EISCONN);
	closed(f, s);
	assert_false(connect_waits(s));
	assert_int_equal(connect_outcome(s, 0), -EBADF);

	s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	fake_opening(f, p);
	assert_false(connect_peer_down(s));
	atomic_store(&fake_shm(f, p)->flags, SLOT_F_PEER_DOWN);
	fake_fail(f, p, -ECONNREFUSED);
	assert_int_equal(connect_outcome(s, 0), -ECONNREFUSED);
	assert_int_equal(connect_outcome(s, 0), -ECONNREFUSED);
	assert_true(connect_peer_down(s));
	assert_int_equal(connect_to(s, 80), -ECONNREFUSED);
	closed(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_outcome_of_a_connect_is_told_without_taking_it, start, stop),
		cmocka_unit_test_setup_teardown(blocking_connect_waits_for_the_answer, start, stop),
		cmocka_unit_test_setup_teardown(connect_errors_are_the_daemons, start, stop),
		cmocka_unit_test_setup_teardown(a_refused_socket_tries_again_at_once, start, stop),
		cmocka_unit_test_setup_teardown(a_negative_length_of_a_name_is_refused, start,
						stop),
		cmocka_unit_test_setup_teardown(non_blocking_connect_tells_later, start, stop),
		cmocka_unit_test_setup_teardown(connect_times_out_into_the_background, start, stop),
		cmocka_unit_test(no_slot_left_is_enobufs),
		cmocka_unit_test_setup_teardown(close_of_a_connect_waits_until_it_is_taken, start,
						stop),
		cmocka_unit_test_setup_teardown(fast_open_sends_before_the_answer, start, stop),
		cmocka_unit_test_setup_teardown(bind_errors, start, stop),
		cmocka_unit_test_setup_teardown(bound_socket_connects_from_there, start, stop),
		cmocka_unit_test_setup_teardown(port_that_was_asked_for_is_kept, start, stop),
		cmocka_unit_test_setup_teardown(ipv6_addresses_go_through, start, stop),
		cmocka_unit_test_setup_teardown(any_address_is_this_host, start, stop),
		cmocka_unit_test_setup_teardown(listen_errors, start, stop),
		cmocka_unit_test_setup_teardown(accept_gives_streams_and_names, start, stop),
		cmocka_unit_test_setup_teardown(accepted_socket_inherits_options, start, stop),
		cmocka_unit_test(workers_are_accepted_from_in_turn),
		cmocka_unit_test_setup_teardown(close_lingers_until_all_is_acknowledged, start,
						stop),
		cmocka_unit_test_setup_teardown(close_wakes_who_sleeps, start, stop),
		cmocka_unit_test(full_submission_queue_is_waited_for),
		cmocka_unit_test_setup_teardown(sleeping_worker_is_rung, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
