/* SPDX-License-Identifier: MIT */
/*
 * test_client_share.c - Goal: a shared socket lets go instead of closing, fetches its stream when
 * that is elsewhere, and says what it sent and received exactly once. Method: the fake daemon moves
 * the stream away at chosen moments, and gives it back.
 */
#include "client_test.h"

#include <sys/un.h>
#include <unistd.h>

#include "ncd/descriptor_name.h"
#include "share.h"

/* A connected socket that is shared; the fake's side through @ret_slot. */
static int shared(struct fake *f, struct fake_slot *ret_slot)
{
	int s = connected(f, ret_slot);

	assert_true(nc_pollfd(s) >= 0);
	share_one(s);
	assert_int_equal(fake_asked(f, CTL_SHARE), 1);
	return s;
}

static void it_is_told_once_and_lets_go(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = shared(f, &at);

	share_one(s);
	share_all();
	assert_int_equal(fake_asked(f, CTL_SHARE), 1);
	assert_true(share_kept(s));
	closed(f, s);
}

static void closing_lets_go(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	uint32_t arg;
	int s = shared(f, &at);

	assert_int_equal(nc_close(s), 0);
	(void)fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_LET_GO);
	fake_free(f, at);
}

static void without_a_descriptor_nothing_is_shared(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	uint32_t arg;
	int s = connected(f, &at);

	share_all();
	assert_int_equal(fake_asked(f, CTL_SHARE), 0);
	assert_false(share_kept(s));
	assert_int_equal(nc_close(s), 0);
	(void)fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_GRACEFUL);
	fake_free(f, at);
}

static void what_is_used_elsewhere_is_fetched(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	char buf[8];
	int s = shared(f, &old);

	assert_int_equal(nc_send(s, "one", 3, 0), 3);
	(void)fake_expect(f, SQ_KICK);
	fake_move(f, old, 3, 0);
	assert_true(share_away(s));
	at = fake_take_next(f, 10, 20, -1);
	assert_int_equal(nc_send(s, "two", 3, 0), 3);
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	assert_false(share_away(s));
	assert_int_equal(fake_expect(f, SQ_CLOSE).slot, old.slot);
	fake_free(f, old);
	assert_int_equal(fake_expect(f, SQ_KICK).slot, at.slot);
	assert_int_equal(fake_take(f, at, buf, 8), 3);
	assert_memory_equal(buf, "two", 3);
	assert_int_equal(fake_put(f, at, "three", 5), 5);
	assert_int_equal(nc_recv(s, buf, 8, 0), 5);
	assert_memory_equal(buf, "three", 5);
	assert_int_equal(nc_close(s), 0);
}

static void one_that_is_over_is_reset(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	char buf[8];
	int s = shared(f, &at);

	fake_move(f, at, 0, 0);
	fake_answer(f, CTL_TAKE, -ENOBUFS);
	assert_int_equal(nc_recv(s, buf, 8, 0), -ENOBUFS);
	fake_answer(f, CTL_TAKE, -ENOENT);
	assert_int_equal(nc_recv(s, buf, 8, 0), -ECONNRESET);
	assert_int_equal(fake_expect(f, SQ_CLOSE).slot, at.slot);
	fake_free(f, at);
	fake_answer(f, CTL_TAKE, 0);
	assert_int_equal(nc_send(s, "a", 1, 0), -EPIPE);
	assert_int_equal(nc_close(s), 0);
}

static void who_waits_fetches_once_and_then_when_called(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at, last;
	char buf[8];
	struct call c = { .run = run_recv, .buf = buf, .len = sizeof(buf) };

	c.s = shared(f, &old);
	call_start(&c);
	fake_await_wish(f, old, NOTIFY_FUTEX(EV_IN));
	at = fake_take_next(f, 0, 0, -1);
	fake_move(f, old, 0, 0);
	/* It comes back at once, the first time. */
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	last = fake_take_next(f, 0, 0, -1);
	fake_move(f, at, 0, 0);
	/* The second time it waits. */
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	fake_call(f, at, SLOT_F_CALLED_OUT);
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	fake_call(f, at, SLOT_F_CALLED_IN);
	fake_await_wish(f, last, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_put(f, last, "late", 4), 4);
	assert_int_equal(call_end(&c), 4);
	assert_memory_equal(buf, "late", 4);
	closed(f, c.s);
}

static void what_another_has_taken_is_not_read(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	char buf[8];
	int s = shared(f, &old);

	assert_int_equal(fake_put(f, old, "abcd", 4), 4);
	at = fake_take_next(f, 0, 2, -1);
	fake_move(f, old, 0, 0);
	assert_int_equal(fake_put(f, at, "cd", 2), 2);
	assert_int_equal(nc_recv(s, buf, 8, 0), 2);
	assert_memory_equal(buf, "cd", 2);
	closed(f, s);
}

/* The stream moves between the look and the store, as it may in any nc_send and nc_recv; what is
 * stored is in time, and counts, or not. */
static void stored_beside_a_move(struct fake *f, bool in_time)
{
	struct fake_slot old;
	const void *in;
	void *out;
	int s = shared(f, &old);

	assert_int_equal(fake_put(f, old, "abcd", 4), 4);
	assert_int_equal(nc_reserve(s, 8, &out, 0), 8);
	assert_int_equal(nc_peek(s, 8, &in, 0), 4);
	fake_move(f, old, in_time ? 8 : 0, in_time ? 4 : 0);
	assert_int_equal(nc_commit(s, 8), in_time ? 0 : -EAGAIN);
	assert_int_equal(nc_consume(s, 4), in_time ? 0 : -EAGAIN);
	closed(f, s);
}

static void what_is_stored_too_late_does_not_count(void **state)
{
	stored_beside_a_move(*state, false);
}

static void what_was_stored_in_time_counts(void **state)
{
	stored_beside_a_move(*state, true);
}

/* As the daemon names its end, @pair[1]. */
static void name(const int pair[2], int domain, uint32_t stream)
{
	struct sockaddr_un sun;
	socklen_t len = descriptor_name(&sun, DESCRIPTOR_STREAM, domain, descriptor_cookie(pair[0]),
					(uint64_t)getpid() << 32 | stream);

	assert_int_equal(bind(pair[1], (struct sockaddr *)&sun, len), 0);
}

static void a_descriptor_is_known_by_its_name(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in;
	struct fake_slot at;
	socklen_t len = sizeof(in);
	int pair[2], domain = 0, s;
	char buf[8];
	uint32_t arg;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(share_adopt(pair[0], &domain), -ENOENT);
	name(pair, AF_INET, 5);
	s = share_adopt(pair[0], &domain);
	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(domain, AF_INET);
	assert_int_equal(fake_asked(f, CTL_TAKE), 0);
	at = fake_take_next(f, 7, 9, pair[1]);
	len = sizeof(in);
	assert_int_equal(nc_getpeername(s, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(ntohs(in.sin_port), 60000);
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	assert_int_equal(fake_put(f, at, "hello", 5), 5);
	assert_int_equal(nc_recv(s, buf, 8, 0), 5);
	assert_int_equal(nc_close(s), 0);
	(void)fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_LET_GO);
	close(pair[0]);
	close(pair[1]);
}

static void one_that_was_never_used_is_closed_without_a_word(void **state)
{
	struct fake *f = *state;
	int pair[2], domain, s;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	name(pair, AF_INET6, 6);
	s = share_adopt(pair[0], &domain);
	assert_int_equal(domain, AF_INET6);
	close(pair[0]);
	/* Its own copy holds the other end up; with that gone it hangs up. */
	assert_int_equal(send(pair[1], "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(nc_close(s), 0);
	assert_int_equal(send(pair[1], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(fake_asked(f, CTL_TAKE), 0);
	close(pair[1]);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(it_is_told_once_and_lets_go),
		EACH(closing_lets_go),
		EACH(without_a_descriptor_nothing_is_shared),
		EACH(what_is_used_elsewhere_is_fetched),
		EACH(one_that_is_over_is_reset),
		EACH(who_waits_fetches_once_and_then_when_called),
		EACH(what_another_has_taken_is_not_read),
		EACH(what_is_stored_too_late_does_not_count),
		EACH(what_was_stored_in_time_counts),
		EACH(a_descriptor_is_known_by_its_name),
		EACH(one_that_was_never_used_is_closed_without_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
