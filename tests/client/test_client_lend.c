/* SPDX-License-Identifier: MIT */
/*
 * test_client_lend.c - Goal: a socket whose stream goes to another worker follows it without a byte
 * lost, a wake-up missed or a word to the program, is an ordinary one afterwards, and ends as one.
 * Method: the fake daemon asks for the stream, moves it at chosen moments, and gives it back.
 */
#include "client_test.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "share.h"
#include "sock_calls.h"

static int start_two(void **state)
{
	*state = fresh(&(struct fake_config){ .workers = 2 });
	return 0;
}

static int result_of_move(struct fake *f, struct fake_slot at)
{
	uint32_t nr = fake_asked(f, CTL_LEND) + 1;

	fake_tell(f, CTL_MOVE, at);
	return fake_lent(f, nr).result;
}

static void lend(struct fake *f, struct fake_slot at)
{
	assert_int_equal(result_of_move(f, at), 0);
}

static int lent(struct fake *f, struct fake_slot *ret_at)
{
	int s = connected(f, ret_at);

	lend(f, *ret_at);
	return s;
}

static bool is_ordinary(int s)
{
	return !flag_get(&sock_find(s)->shared) && !flag_get(&sock_find(s)->lent);
}

/* KEEP is not answered: what comes behind it is. */
static void await_told(struct fake *f)
{
	const struct fake_slot none = { 0, 63 };

	assert_int_equal(result_of_move(f, none), -EBADF);
}

/* ---- lending ---- */

static void one_without_a_pair_gets_one(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	struct ctl_lend msg;
	int s = connected(f, &at);

	fake_tell(f, CTL_MOVE, at);
	msg = fake_lent(f, 1);
	assert_int_equal(msg.result, 0);
	assert_int_equal(msg.worker, at.worker);
	assert_int_equal(msg.slot, at.slot);
	assert_int_equal(msg.flags, SHARE_END);
	assert_false(is_ordinary(s));
	/* Asked twice, it is lent as it was. */
	lend(f, at);
	closed(f, s);
}

static void what_cannot_move_is_not_lent(void **state)
{
	struct fake *f = *state;
	struct fake_slot at, other, open;
	const void *in;
	void *out;
	int s = connected(f, &at), c;

	/* Nobody's; one that connects. */
	assert_int_equal(result_of_move(f, (struct fake_slot){ 1, 60 }), -EBADF);
	c = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect_to(c, 80), -EINPROGRESS);
	other = fake_expect(f, SQ_OPEN);
	assert_int_equal(result_of_move(f, other), -EBADF);
	fake_open(f, other);
	closed(f, c);
	/* The program was shown memory of the rings. */
	assert_int_equal(nc_reserve(s, 8, &out, 0), 8);
	assert_int_equal(result_of_move(f, at), -EBUSY);
	assert_int_equal(nc_commit(s, 0), 0);
	assert_int_equal(fake_put(f, at, "ab", 2), 2);
	assert_int_equal(nc_peek(s, 8, &in, 0), 2);
	assert_int_equal(nc_consume(s, 1), 0);
	assert_int_equal(result_of_move(f, at), -EBUSY);
	assert_int_equal(nc_consume(s, 1), 0);
	lend(f, at);
	fake_tell(f, CTL_KEEP, at);
	await_told(f);
	/* It is about to end. */
	fake_drain(f);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_int_equal(result_of_move(f, at), -EBUSY);
	closed(f, s);
	assert_int_equal(result_of_move(f, at), -EBADF);
	/* Others may have it. */
	s = connected(f, &open);
	assert_true(nc_pollfd(s) >= 0);
	share_one(s);
	assert_int_equal(result_of_move(f, open), -EEXIST);
	closed(f, s);
}

/* A program that is told by its descriptor, and would wait in a call if that was for nothing. */
static void who_may_wait_in_vain_lends_nothing(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = connected(f, &at);

	assert_true(nc_pollfd(s) >= 0);
	assert_int_equal(result_of_move(f, at), -EBUSY);
	assert_int_equal(nc_fcntl(s, F_SETFL, O_NONBLOCK), 0);
	lend(f, at);
	closed(f, s);
}

static void what_is_in_use_is_not_lent(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = connected(f, &at);

	lock_take(&sock_find(s)->rx.lock);
	assert_int_equal(result_of_move(f, at), -EBUSY);
	lock_release(&sock_find(s)->rx.lock);
	lend(f, at);
	lock_take(&sock_find(s)->rx.lock);
	fake_tell(f, CTL_KEEP, at);
	await_told(f);
	assert_false(is_ordinary(s));
	lock_release(&sock_find(s)->rx.lock);
	closed(f, s);
}

static void what_is_kept_is_ordinary(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	uint32_t arg;
	int s = lent(f, &at);

	fake_tell(f, CTL_KEEP, at);
	await_told(f);
	assert_true(is_ordinary(s));
	/* Once more, of what is not lent. */
	fake_tell(f, CTL_KEEP, at);
	await_told(f);
	assert_int_equal(nc_close(s), 0);
	(void)fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_GRACEFUL);
	assert_int_equal(fake_asked(f, CTL_TAKE_BACK), 0);
	fake_free(f, at);
}

static void a_slot_that_there_is_not_ends_it(void **state)
{
	static const struct fake_slot bad[] = { { 2, 0 }, { 0, 64 }, { ~0u, ~0u } };
	static const enum ctl_type type[] = { CTL_MOVE, CTL_KEEP };
	struct fake *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (size_t k = 0; k < 2; k++) {
			struct fake_slot at;
			int s = connected(f, &at);
			char byte;

			fake_tell(f, type[k], bad[i]);
			assert_int_equal(nc_recv(s, &byte, 1, 0), -ECONNRESET);
			FAKE_AWAIT(!fake_attached(f));
			assert_int_equal(nc_close(s), 0);
		}
}

/* ---- following ---- */

static void what_has_moved_is_fetched_and_ordinary(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	char buf[8];
	int s = lent(f, &old);

	assert_int_equal(nc_send(s, "one", 3, 0), 3);
	assert_int_equal(fake_put(f, old, "abcd", 4), 4);
	assert_int_equal(nc_recv(s, buf, 2, 0), 2);
	fake_drain(f);
	at = fake_leave(f, old);
	assert_int_equal(at.worker, !old.worker);
	assert_int_equal(nc_send(s, "two", 3, 0), 3);
	assert_int_equal(fake_asked(f, CTL_TAKE_BACK), 1);
	assert_int_equal(fake_asked(f, CTL_TAKE), 0);
	assert_true(is_ordinary(s));
	assert_int_equal(fake_take(f, at, buf, 8), 6);
	assert_memory_equal(buf, "onetwo", 6);
	assert_int_equal(nc_recv(s, buf, 8, 0), 2);
	assert_memory_equal(buf, "cd", 2);
	fake_drain(f);
	/* And again. */
	lend(f, at);
	old = fake_leave(f, at);
	assert_int_equal(fake_put(f, old, "e", 1), 1);
	assert_int_equal(nc_recv(s, buf, 8, 0), 1);
	assert_true(is_ordinary(s));
	closed(f, s);
}

static void who_sleeps_in_recv_follows(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at, last;
	char buf[8];
	struct call c = { .run = run_recv, .buf = buf, .len = sizeof(buf) };

	c.s = connected(f, &old);
	call_start(&c);
	fake_await_wish(f, old, NOTIFY_FUTEX(EV_IN));
	lend(f, old);
	at = fake_leave(f, old);
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	assert_true(is_ordinary(c.s));
	/* As often as it moves: nobody calls. */
	lend(f, at);
	last = fake_leave(f, at);
	fake_await_wish(f, last, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_put(f, last, "late", 4), 4);
	assert_int_equal(call_end(&c), 4);
	assert_memory_equal(buf, "late", 4);
	assert_int_equal(fake_asked(f, CTL_TAKE_BACK), 2);
	closed(f, c.s);
}

static void who_sleeps_in_send_follows(void **state)
{
	static uint8_t bytes[3 * RING], got[3 * RING];
	struct fake *f = *state;
	struct fake_slot old, at;
	struct call c = { .run = run_send, .buf = bytes, .len = sizeof(bytes) };
	size_t n = 0;

	pattern_fill(bytes, sizeof(bytes), 0);
	c.s = connected(f, &old);
	call_start(&c);
	fake_await_wish(f, old, NOTIFY_FUTEX(EV_OUT));
	lend(f, old);
	at = fake_leave(f, old);
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_OUT));
	while (n < sizeof(bytes))
		n += fake_take(f, at, got + n, sizeof(got) - n);
	assert_int_equal(call_end(&c), sizeof(bytes));
	pattern_check(got, sizeof(got), 0);
	closed(f, c.s);
}

/* One waits to receive, and the other, who sends, fetches: the first is not left behind. */
static void another_thread_that_fetches_wakes_the_sleeper(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	char buf[8];
	struct call c = { .run = run_recv, .buf = buf, .len = sizeof(buf) };

	c.s = connected(f, &old);
	assert_true(nc_pollfd(c.s) >= 0);
	share_one(c.s);
	call_start(&c);
	fake_await_wish(f, old, NOTIFY_FUTEX(EV_IN));
	at = fake_leave(f, old);
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	old = fake_leave(f, at);
	/* It waits to be called, this being a shared one. */
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(nc_send(c.s, "x", 1, 0), 1);
	fake_await_wish(f, old, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_put(f, old, "ab", 2), 2);
	assert_int_equal(call_end(&c), 2);
	closed(f, c.s);
}

static void a_completion_queue_follows(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	struct nc_event e[2];
	struct nc_cq *cq;
	struct call c = { .run = run_cq_wait, .timeout_ms = -1 };
	int s = connected(f, &old);

	assert_int_equal(nc_fcntl(s, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 7), 0);
	c.cq = cq;
	call_start(&c);
	fake_await_wish(f, old, NOTIFY_CQ(EV_IN));
	lend(f, old);
	at = fake_leave(f, old);
	/* Nothing is reported: it is not readable. */
	fake_await_wish(f, at, NOTIFY_CQ(EV_IN));
	assert_true(is_ordinary(s));
	assert_int_equal(fake_put(f, at, "ab", 2), 2);
	assert_int_equal(call_end(&c), 1);
	/* Nor if only an error is waited for. */
	assert_int_equal(nc_cq_modify(cq, s, 0, 8), 0);
	assert_int_equal(nc_cq_wait(cq, e, 2, 0), 0);
	lend(f, at);
	assert_int_equal(fake_put(f, at, "c", 1), 1);
	assert_int_equal(nc_cq_wait(cq, e, 2, 0), 0);
	old = fake_leave(f, at);
	assert_int_equal(nc_cq_wait(cq, e, 2, 0), 0);
	assert_true(is_ordinary(s));
	fake_reset(f, old, -ECONNRESET);
	assert_int_equal(nc_cq_wait(cq, e, 2, 10000), 1);
	assert_int_equal(e[0].data, 8);
	nc_cq_destroy(cq);
	closed(f, s);
}

/* Joined while it is away. */
static void who_joins_a_queue_late_follows(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	struct nc_event e[2];
	struct nc_cq *cq;
	int s = lent(f, &old);

	at = fake_leave(f, old);
	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 7), 0);
	assert_int_equal(nc_cq_wait(cq, e, 2, 0), 0);
	assert_true(is_ordinary(s));
	assert_int_equal(fake_put(f, at, "ab", 2), 2);
	assert_int_equal(nc_cq_wait(cq, e, 2, 10000), 1);
	assert_int_equal(e[0].events, POLLIN);
	assert_int_equal(nc_cq_remove(cq, s), 0);
	lend(f, at);
	(void)fake_leave(f, at);
	assert_int_equal(nc_cq_wait(cq, e, 2, 0), 0); /* a word of before */
	assert_int_equal(nc_cq_add(cq, s, 0, 7), 0);
	assert_int_equal(nc_cq_wait(cq, e, 2, 0), 0);
	assert_true(is_ordinary(s));
	nc_cq_destroy(cq);
	closed(f, s);
}

static void an_epoll_of_the_kernel_follows(void **state)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct fake *f = *state;
	struct fake_slot old, at;
	int s = connected(f, &old), epfd = epoll_create1(EPOLL_CLOEXEC);
	char buf[8];

	assert_int_equal(nc_fcntl(s, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(epoll_ctl(epfd, EPOLL_CTL_ADD, nc_pollfd(s), &e), 0);
	assert_int_equal(nc_recv(s, buf, 8, 0), -EAGAIN);
	assert_int_equal(epoll_wait(epfd, &e, 1, 0), 0);
	lend(f, old);
	at = fake_leave(f, old);
	assert_int_equal(epoll_wait(epfd, &e, 1, 10000), 1);
	assert_int_equal(nc_recv(s, buf, 8, 0), -EAGAIN);
	assert_true(is_ordinary(s));
	assert_int_equal(epoll_wait(epfd, &e, 1, 0), 0);
	assert_int_equal(fake_put(f, at, "ab", 2), 2);
	assert_int_equal(epoll_wait(epfd, &e, 1, 10000), 1);
	assert_int_equal(nc_recv(s, buf, 8, 0), 2);
	close(epfd);
	closed(f, s);
}

static long run_poll(struct call *c)
{
	struct pollfd p = { .fd = c->s, .events = POLLIN };

	return nc_poll(&p, 1, c->timeout_ms);
}

static void a_poll_follows_and_tells_the_truth(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at, last;
	struct call c = { .run = run_poll, .timeout_ms = -1 };

	c.s = connected(f, &old);
	call_start(&c);
	fake_await_wish(f, old, NOTIFY_FUTEX(EV_IN));
	lend(f, old);
	at = fake_leave(f, old);
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_IN));
	assert_int_equal(fake_put(f, at, "ab", 2), 2);
	assert_int_equal(call_end(&c), 1);
	/* Who only looks. */
	assert_int_equal(nc_recv(c.s, (char[8]){ 0 }, 8, 0), 2);
	lend(f, at);
	last = fake_leave(f, at);
	c.timeout_ms = 0;
	assert_int_equal(run_poll(&c), 0);
	assert_true(is_ordinary(c.s));
	assert_int_equal(fake_put(f, last, "ab", 2), 2);
	assert_int_equal(run_poll(&c), 1);
	closed(f, c.s);
}

static void who_asks_for_a_number_follows(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	int s = lent(f, &old), nr = -1, error = -1;
	socklen_t len = sizeof(error);

	at = fake_leave(f, old);
	assert_int_equal(fake_put(f, at, "abc", 3), 3);
	assert_int_equal(nc_ioctl(s, FIONREAD, &nr), 0);
	assert_int_equal(nr, 3);
	lend(f, at);
	old = fake_leave(f, at);
	fake_reset(f, old, -ECONNRESET);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNRESET);
	closed(f, s);
}

/* ---- what cannot wait ---- */

static void what_is_shown_is_taken_back_before(void **state)
{
	struct fake *f = *state;
	struct fake_slot at, to;
	const void *in;
	void *out;
	int s = lent(f, &at);

	/* It has not moved: the answer is the slot that it has. */
	fake_take_is(f, at);
	assert_int_equal(nc_reserve(s, 8, &out, 0), 8);
	assert_true(is_ordinary(s));
	assert_int_equal(fake_asked(f, CTL_TAKE_BACK), 1);
	memcpy(out, "12345678", 8);
	assert_int_equal(nc_commit(s, 8), 0);
	assert_int_equal(fake_put(f, at, "ab", 2), 2);
	lend(f, at);
	to = fake_leave(f, at);
	assert_int_equal(nc_peek(s, 8, &in, 0), 2);
	assert_true(is_ordinary(s));
	assert_memory_equal(in, "ab", 2);
	assert_int_equal(result_of_move(f, to), -EBUSY);
	assert_int_equal(nc_consume(s, 2), 0);
	closed(f, s);
}

static void what_ncd_does_not_know_is_ordinary(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	void *out;
	int s = lent(f, &at);

	fake_answer(f, CTL_TAKE_BACK, -ENOENT);
	assert_int_equal(nc_reserve(s, 8, &out, 0), 8);
	assert_true(is_ordinary(s));
	assert_int_equal(nc_commit(s, 0), 0);
	/* Away, it is over. */
	lend(f, at);
	(void)fake_leave(f, at);
	assert_int_equal(nc_recv(s, (char[8]){ 0 }, 8, 0), -ECONNRESET);
	closed(f, s);
}

static void what_others_have_too_is_taken(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = lent(f, &at);

	fake_answer(f, CTL_TAKE_BACK, -EPERM);
	(void)fake_leave(f, at);
	assert_int_equal(nc_send(s, "a", 1, 0), 1);
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	assert_true(sock_is_common(sock_find(s)));
	closed(f, s);
}

static void a_fork_shares_it_for_good(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	uint32_t arg;
	int s = lent(f, &at);

	assert_false(share_kept(s));
	share_all();
	share_one(s);
	assert_int_equal(fake_asked(f, CTL_SHARE), 1);
	assert_true(share_kept(s));
	assert_true(sock_is_common(sock_find(s)));
	(void)fake_leave(f, at);
	assert_int_equal(nc_send(s, "a", 1, 0), 1);
	assert_int_equal(fake_asked(f, CTL_TAKE_BACK), 0);
	assert_int_equal(fake_asked(f, CTL_TAKE), 1);
	fake_drain(f);
	assert_int_equal(nc_close(s), 0);
	(void)fake_expect_arg(f, SQ_CLOSE, &arg);
	assert_int_equal(arg, CLOSE_LET_GO);
	fake_drain(f);
	/* Sent to another process. */
	s = lent(f, &at);
	share_one(s);
	assert_int_equal(fake_asked(f, CTL_SHARE), 2);
	assert_true(sock_is_common(sock_find(s)));
	closed(f, s);
}

/* ---- the end ---- */

static void expect_close(struct fake *f, struct fake_slot at, uint32_t how)
{
	uint32_t arg;
	struct fake_slot s = fake_expect_arg(f, SQ_CLOSE, &arg);

	assert_int_equal(s.worker, at.worker);
	assert_int_equal(s.slot, at.slot);
	assert_int_equal(arg, how);
	fake_free(f, s);
}

static void linger(int s, int seconds)
{
	struct linger l = { .l_onoff = 1, .l_linger = seconds };

	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
}

static void closing_one_that_is_here_closes_it(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = lent(f, &at);

	fake_take_is(f, at);
	assert_int_equal(nc_close(s), 0);
	expect_close(f, at, CLOSE_GRACEFUL);
	s = lent(f, &at);
	fake_take_is(f, at);
	linger(s, 0);
	assert_int_equal(nc_close(s), 0);
	expect_close(f, at, CLOSE_ABORT);
	assert_int_equal(fake_asked(f, CTL_TAKE_BACK), 2);
	assert_int_equal(fake_asked(f, CTL_SHARE), 0);
}

static void closing_one_that_has_moved_closes_it_there(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	int s = lent(f, &old);

	at = fake_leave(f, old);
	assert_int_equal(nc_close(s), 0);
	/* Two queues: in the order of the workers. */
	expect_close(f, old, CLOSE_LET_GO);
	expect_close(f, at, CLOSE_GRACEFUL);
	s = lent(f, &old);
	linger(s, 0);
	at = fake_leave(f, old);
	assert_int_equal(nc_close(s), 0);
	expect_close(f, old, CLOSE_LET_GO);
	expect_close(f, at, CLOSE_ABORT);
}

static void closing_waits_there_for_what_lingers(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	struct call c = { .run = run_close };

	c.s = lent(f, &old);
	linger(c.s, 1000);
	at = fake_leave(f, old);
	call_start(&c);
	fake_await_wish(f, at, NOTIFY_FUTEX(EV_OUT));
	fake_tx_done(f, at);
	assert_int_equal(call_end(&c), 0);
	fake_drain(f);
}

static void closing_one_that_cannot_be_had_leaves_it_to_ncd(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = lent(f, &at);

	fake_answer(f, CTL_TAKE_BACK, -ENOBUFS);
	(void)fake_leave(f, at);
	assert_int_equal(nc_close(s), 0);
	expect_close(f, at, CLOSE_GRACEFUL);
	FAKE_AWAIT(fake_asked(f, CTL_SHARE) == 1);
	/* One that is over is not said to be shared: its slot may be another's. */
	s = lent(f, &at);
	(void)fake_leave(f, at);
	fake_answer(f, CTL_TAKE_BACK, -ENOENT);
	assert_int_equal(nc_close(s), 0);
	expect_close(f, at, CLOSE_LET_GO);
	await_told(f);
	assert_int_equal(fake_asked(f, CTL_SHARE), 1);
}

static void what_exit_finds_lent_outlives_it(void **state)
{
	struct fake *f = *state;
	struct fake_slot at, other;
	int s = lent(f, &at), t = lent(f, &other);
	struct fake_slot first;
	uint32_t arg;

	linger(t, 0);
	(void)fake_leave(f, at);
	exit_close_sockets();
	FAKE_AWAIT(fake_asked(f, CTL_SHARE) == 1);
	for (int i = 0; i < 2; i++) {
		first = fake_expect_arg(f, SQ_CLOSE, &arg);
		assert_int_equal(arg, first.slot == at.slot ? CLOSE_GRACEFUL : CLOSE_ABORT);
	}
	/* They are as good as closed. */
	(void)s;
}

static void shutdown_goes_where_it_is(void **state)
{
	struct fake *f = *state;
	struct fake_slot old, at;
	int s = lent(f, &old);

	at = fake_leave(f, old);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_int_equal(fake_expect(f, SQ_CLOSE).slot, old.slot);
	fake_free(f, old);
	assert_int_equal(fake_expect(f, SQ_SHUTDOWN).slot, at.slot);
	closed(f, s);
}

static void a_daemon_that_dies_ends_it(void **state)
{
	struct fake *f = *state;
	struct fake_slot at;
	int s = lent(f, &at);

	(void)fake_leave(f, at);
	fake_hang_up(f);
	assert_int_equal(nc_recv(s, (char[8]){ 0 }, 8, 0), -ECONNRESET);
	assert_int_equal(nc_close(s), 0);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start_two, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(one_without_a_pair_gets_one),
		EACH(what_cannot_move_is_not_lent),
		EACH(who_may_wait_in_vain_lends_nothing),
		EACH(what_is_in_use_is_not_lent),
		EACH(what_is_kept_is_ordinary),
		EACH(a_slot_that_there_is_not_ends_it),
		EACH(what_has_moved_is_fetched_and_ordinary),
		EACH(who_sleeps_in_recv_follows),
		EACH(who_sleeps_in_send_follows),
		EACH(another_thread_that_fetches_wakes_the_sleeper),
		EACH(a_completion_queue_follows),
		EACH(who_joins_a_queue_late_follows),
		EACH(an_epoll_of_the_kernel_follows),
		EACH(a_poll_follows_and_tells_the_truth),
		EACH(who_asks_for_a_number_follows),
		EACH(what_is_shown_is_taken_back_before),
		EACH(what_ncd_does_not_know_is_ordinary),
		EACH(what_others_have_too_is_taken),
		EACH(a_fork_shares_it_for_good),
		EACH(closing_one_that_is_here_closes_it),
		EACH(closing_one_that_has_moved_closes_it_there),
		EACH(closing_waits_there_for_what_lingers),
		EACH(closing_one_that_cannot_be_had_leaves_it_to_ncd),
		EACH(what_exit_finds_lent_outlives_it),
		EACH(shutdown_goes_where_it_is),
		EACH(a_daemon_that_dies_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
