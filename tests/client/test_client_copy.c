/* SPDX-License-Identifier: MIT */
/*
 * test_client_copy.c - Goal: large calls give the same bytes, in order, and return the same,
 * whether copy workers take pieces of them, do not, refuse, fault, or die meanwhile.
 * Method: the fake daemon's copy workers, by hand where the order of things matters.
 */
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client_test.h"
#include "share.h"

#define LARGE  (1u << 20) /* and the rings of these tests */
#define PIECE  (128u << 10)
#define PAGE   4096u

static int start_copying(void **state)
{
	*state = fresh(&(struct fake_config){ .ring_bytes = LARGE, .copy_workers = 2 });
	return 0;
}

static int start_plain(void **state)
{
	*state = fresh(&(struct fake_config){
		.ring_bytes = LARGE, .copy_workers = 2, .copy_plain = true });
	return 0;
}

static void *memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* A connected socket that sends @out, which is as large as its ring, or takes to @in. */
struct large {
	uint8_t *out, *in;
	struct fake_slot p;
	struct call c;
};

static struct large large(struct fake *f)
{
	struct large l = { .out = memory(LARGE), .in = memory(LARGE) };

	pattern_fill(l.out, LARGE, 0);
	l.c = (struct call){ .run = run_send, .buf = l.out, .len = LARGE };
	l.c.s = connected(f, &l.p);
	return l;
}

static void large_end(struct fake *f, struct large *l)
{
	fake_drain(f);
	closed(f, l->c.s);
	(void)munmap(l->out, LARGE);
	(void)munmap(l->in, LARGE);
}

/* Sends and takes @rounds times @bytes, wherever in the ring that begins. */
static void sends_arrive(struct fake *f, size_t bytes, int rounds)
{
	struct large l = large(f);
	uint64_t at = 0;

	for (int i = 0; i < rounds; i++) {
		/* One byte stays, so that the ring is not begun anew. */
		pattern_fill(l.out, bytes, at);
		assert_int_equal(nc_send(l.c.s, l.out, bytes, 0), bytes);
		assert_int_equal(fake_take(f, l.p, l.in, i == 0 ? bytes - 1 : bytes),
				 i == 0 ? bytes - 1 : bytes);
		pattern_check(l.in, bytes - 1, i == 0 ? at : at - 1);
		at += bytes;
		fake_drain(f);
		assert_true(fake_copy_idle(f));
	}
	large_end(f, &l);
}

static void receives_arrive(struct fake *f, size_t bytes, int rounds)
{
	struct large l = large(f);
	uint64_t at = 0;

	for (int i = 0; i < rounds; i++) {
		pattern_fill(l.out, bytes, at);
		assert_int_equal(fake_put(f, l.p, l.out, bytes), bytes);
		assert_int_equal(nc_recv(l.c.s, l.in, bytes, i % 2 ? MSG_WAITALL : 0), bytes);
		pattern_check(l.in, bytes, at);
		at += bytes;
		fake_drain(f);
		assert_true(fake_copy_idle(f));
	}
	large_end(f, &l);
}

static void copy_workers_take_their_share(void **state)
{
	struct fake *f = *state;

	fake_copy_start(f);
	for (int i = 0; i < 20 && fake_copied(f) == 0; i++)
		sends_arrive(f, 900001, 50);
	assert_true(fake_copied(f) > 0);
	sends_arrive(f, 256u << 10, 9);
	receives_arrive(f, 900001, 9);
	receives_arrive(f, LARGE, 9);
}

static void without_an_answer_the_caller_copies_all(void **state)
{
	sends_arrive(*state, 900001, 20);
	receives_arrive(*state, 900001, 20);
	sends_arrive(*state, LARGE - 1, 200); /* the queues are full of what was taken back */
}

static void small_calls_post_nothing(void **state)
{
	struct fake *f = *state;
	uint32_t piece;

	sends_arrive(f, (256u << 10) - 1, 9);
	receives_arrive(f, (256u << 10) - 1, 9);
	assert_false(fake_copy_take(f, &piece));
}

/* Runs the call until a piece of it is taken, and not before the caller came to it. */
static uint32_t call_with_piece(struct fake *f, struct large *l)
{
	uint32_t piece = UINT32_MAX;

	for (;;) {
		call_start(&l->c);
		for (int i = 0; i < 1000000 && piece == UINT32_MAX; i++)
			if (!fake_copy_take(f, &piece))
				piece = UINT32_MAX;
		if (piece != UINT32_MAX)
			return piece;
		assert_int_equal(call_end(&l->c), LARGE);
		for (size_t got = 0; got < LARGE;)
			got += fake_take(f, l->p, l->in, LARGE);
	}
}

/* What lies behind a piece that is being copied is not sent before it. */
static void bytes_are_published_in_order(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);
	uint32_t piece;
	size_t got = 0;

	piece = call_with_piece(f, &l);
	/* All before it comes, and nothing else however long one waits. */
	FAKE_AWAIT((got += fake_take(f, l.p, l.in + got, LARGE - got)) >= PIECE);
	for (int i = 0; i < 1000; i++)
		got += fake_take(f, l.p, l.in + got, LARGE - got);
	assert_int_equal(got % PIECE, 0);
	assert_true(got < LARGE);
	fake_copy_finish(f, piece, 0);
	FAKE_AWAIT((got += fake_take(f, l.p, l.in + got, LARGE - got)) == LARGE);
	assert_int_equal(call_end(&l.c), LARGE);
	pattern_check(l.in, LARGE, 0);
	large_end(f, &l);
}

static void a_daemon_that_dies_with_a_piece_lets_the_caller_go(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);

	(void)call_with_piece(f, &l);
	fake_hang_up(f);
	/* What there was room for is in the ring, and lost with it; the next call hears of it. */
	assert_int_equal(call_end(&l.c), LARGE);
	FAKE_AWAIT(nc_send(l.c.s, l.out, LARGE, MSG_DONTWAIT) == -ECONNRESET);
	large_end(f, &l);
}

static void who_is_refused_copies_and_asks_no_more(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);
	uint32_t piece;

	piece = call_with_piece(f, &l);
	fake_copy_finish(f, piece, -EPERM);
	assert_int_equal(call_end(&l.c), LARGE);
	assert_int_equal(fake_take(f, l.p, l.in, LARGE), LARGE);
	pattern_check(l.in, LARGE, 0);
	while (fake_copy_take(f, &piece))
		fake_copy_finish(f, piece, 0);
	assert_int_equal(nc_send(l.c.s, l.out, LARGE, 0), LARGE);
	assert_false(fake_copy_take(f, &piece));
	assert_int_equal(fake_take(f, l.p, l.in, LARGE), LARGE);
	pattern_check(l.in, LARGE, 0);
	large_end(f, &l);
}

/* Memory that only its own process can touch looks to a copy worker like none. */
static void a_fault_of_a_copy_worker_is_looked_at_again(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);
	uint32_t piece;

	piece = call_with_piece(f, &l);
	fake_copy_finish(f, piece, -EFAULT);
	assert_int_equal(call_end(&l.c), LARGE);
	assert_int_equal(fake_take(f, l.p, l.in, LARGE), LARGE);
	pattern_check(l.in, LARGE, 0);
	fake_drain(f);
	/* It is asked again. */
	piece = call_with_piece(f, &l);
	fake_copy_finish(f, piece, 0);
	assert_int_equal(call_end(&l.c), LARGE);
	large_end(f, &l);
}

/* A buffer that ends at @end: behind it there is no memory. */
static void faults(struct fake *f, size_t end)
{
	uint8_t *out = memory(LARGE), *in = memory(LARGE);
	struct fake_slot p;
	int s = connected(f, &p);

	pattern_fill(out, LARGE, 0);
	memcpy(in, out, LARGE);
	assert_int_equal(munmap(out + end, LARGE - end), 0);
	assert_int_equal(nc_send(s, out, LARGE, 0), end ? (long)end : -EFAULT);
	assert_int_equal(nc_send(s, out + end, LARGE - end, 0), -EFAULT);
	if (end) {
		memset(in, 0, LARGE);
		assert_int_equal(fake_take(f, p, in, LARGE), end);
		pattern_check(in, end, 0);
	}
	assert_int_equal(fake_take(f, p, in, LARGE), 0);
	/* The way back: what did not find its place can be read elsewhere. */
	pattern_fill(in, LARGE, 7);
	assert_int_equal(fake_put(f, p, in, LARGE), LARGE);
	assert_int_equal(nc_recv(s, out, LARGE, MSG_WAITALL), end ? (long)end : -EFAULT);
	if (end)
		pattern_check(out, end, 7);
	assert_int_equal(nc_recv(s, in, LARGE - end, MSG_WAITALL), LARGE - end);
	pattern_check(in, LARGE - end, 7 + end);
	assert_true(fake_copy_idle(f));
	fake_drain(f);
	closed(f, s);
	if (end)
		(void)munmap(out, end);
	(void)munmap(in, LARGE);
}

static void faults_everywhere(struct fake *f)
{
	faults(f, 0);
	faults(f, PAGE);
	faults(f, PIECE - PAGE);
	faults(f, PIECE);
	faults(f, 5 * PIECE + 3 * PAGE);
	faults(f, LARGE / 2);
}

static void a_wrong_address_is_an_error_after_what_was_right(void **state)
{
	faults_everywhere(*state);
	fake_copy_start(*state);
	for (int i = 0; i < 4; i++)
		faults_everywhere(*state);
}

/* Many buffers, large and small, empty ones between. */
static void lists_of_buffers_are_copied_as_they_come(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);
	static const size_t part[] = { 0, 7, 300000, 0, 1, 400000, 5000, 300000, 0 };
	struct iovec iov[9], back[9];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 9 };
	struct msghdr get = { .msg_iov = back, .msg_iovlen = 9 };
	size_t len = 0;

	fake_copy_start(f);
	for (int i = 0; i < 9; i++) {
		iov[i] = (struct iovec){ l.out + len, part[i] };
		back[8 - i] = (struct iovec){ NULL, part[i] };
		len += part[i];
	}
	assert_int_equal(nc_sendmsg(l.c.s, &msg, 0), len);
	assert_int_equal(fake_take(f, l.p, l.in, LARGE), len);
	pattern_check(l.in, len, 0);
	assert_int_equal(fake_put(f, l.p, l.in, len), len);
	memset(l.out, 0, len);
	for (size_t i = 0, at = 0; i < 9; at += back[i++].iov_len)
		back[i].iov_base = l.out + at;
	assert_int_equal(nc_recvmsg(l.c.s, &get, MSG_WAITALL), len);
	pattern_check(l.out, len, 0);
	large_end(f, &l);
}

static void a_call_that_may_not_wait_takes_what_there_is(void **state)
{
	struct fake *f = *state;
	uint8_t *out = memory(2 * LARGE);
	struct fake_slot p;
	int s = connected(f, &p);

	fake_copy_start(f);
	assert_int_equal(nc_recv(s, out, LARGE, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nc_send(s, out, 2 * LARGE, MSG_DONTWAIT), LARGE);
	assert_int_equal(nc_send(s, out, LARGE, MSG_DONTWAIT), -EAGAIN);
	fake_drain(f);
	closed(f, s);
	(void)munmap(out, 2 * LARGE);
}

/* A call that is about to move as much again as it has, with the caller asleep: its socket becomes
 * shared, and its stream goes away and comes back. Returns where it is then. */
static struct fake_slot shared_meanwhile(struct fake *f, const struct large *l, uint64_t tail,
					 uint64_t head)
{
	struct fake_slot at;
	uint32_t piece;

	assert_true(fake_copy_queued(f) > 0);
	assert_false(fake_copy_take(f, &piece)); /* the caller has copied them all */
	share_one(l->c.s);
	assert_int_equal(fake_asked(f, CTL_SHARE), 1);
	at = fake_take_next(f, tail, head, -1);
	fake_move(f, l->p, tail, head);
	return at;
}

static void a_send_goes_on_alone_when_its_socket_becomes_shared(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);
	uint8_t *out = memory(2 * LARGE);
	struct fake_slot at;
	size_t got = 0;

	pattern_fill(out, 2 * LARGE, 0);
	l.c.buf = out;
	l.c.len = 2 * LARGE;
	assert_true(nc_pollfd(l.c.s) >= 0);
	call_start(&l.c);
	fake_await_wish(f, l.p, NOTIFY_FUTEX(EV_OUT));
	at = shared_meanwhile(f, &l, LARGE, 0);
	FAKE_AWAIT((got += fake_take(f, at, l.in + got, LARGE - got)) == LARGE);
	assert_int_equal(call_end(&l.c), 2 * LARGE);
	pattern_check(l.in, LARGE, LARGE);
	assert_int_equal(fake_copy_queued(f), 0);
	large_end(f, &l);
	(void)munmap(out, 2 * LARGE);
}

static void a_receive_goes_on_alone_when_its_socket_becomes_shared(void **state)
{
	struct fake *f = *state;
	struct large l = large(f);
	uint8_t *in = memory(2 * LARGE);
	struct fake_slot at;

	assert_int_equal(fake_put(f, l.p, l.out, LARGE), LARGE);
	l.c = (struct call){ .run = run_recv, .s = l.c.s, .flags = MSG_WAITALL };
	l.c.buf = in;
	l.c.len = 2 * LARGE;
	assert_true(nc_pollfd(l.c.s) >= 0);
	call_start(&l.c);
	fake_await_wish(f, l.p, NOTIFY_FUTEX(EV_IN));
	at = shared_meanwhile(f, &l, 0, LARGE);
	pattern_fill(l.out, LARGE, LARGE);
	assert_int_equal(fake_put(f, at, l.out, LARGE), LARGE);
	assert_int_equal(call_end(&l.c), 2 * LARGE);
	pattern_check(in, 2 * LARGE, 0);
	assert_int_equal(fake_copy_queued(f), 0);
	large_end(f, &l);
	(void)munmap(in, 2 * LARGE);
}

/* Threads with a socket each, and one for two of them. */
static long echo_large(struct call *c)
{
	uint8_t *out = memory(LARGE), *in = memory(LARGE);

	for (uint64_t at = 0; at < 8 * (uint64_t)LARGE; at += LARGE) {
		pattern_fill(out, LARGE, at);
		assert_int_equal(nc_send(c->s, out, LARGE, 0), LARGE);
		assert_int_equal(nc_recv(c->s, in, LARGE, MSG_WAITALL), LARGE);
		pattern_check(in, LARGE, at);
	}
	(void)munmap(out, LARGE);
	(void)munmap(in, LARGE);
	return 0;
}

static void threads_share_the_copy_workers(void **state)
{
	struct fake *f = *state;
	struct call c[4];

	fake_pump_start(f);
	one_mapping(f);
	fake_copy_start(f);
	for (int i = 0; i < 4; i++) {
		c[i] = (struct call){ .run = echo_large, .s = nc_socket(AF_INET, SOCK_STREAM, 0) };
		assert_int_equal(connect_to(c[i].s, FAKE_ECHO_PORT), 0);
		call_start(&c[i]);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(call_end(&c[i]), 0);
		assert_int_equal(nc_close(c[i].s), 0);
	}
}

#define COPY_TEST(name) cmocka_unit_test_setup_teardown(name, start_copying, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COPY_TEST(copy_workers_take_their_share),
		COPY_TEST(without_an_answer_the_caller_copies_all),
		COPY_TEST(small_calls_post_nothing),
		COPY_TEST(bytes_are_published_in_order),
		COPY_TEST(a_daemon_that_dies_with_a_piece_lets_the_caller_go),
		COPY_TEST(who_is_refused_copies_and_asks_no_more),
		COPY_TEST(a_fault_of_a_copy_worker_is_looked_at_again),
		COPY_TEST(a_wrong_address_is_an_error_after_what_was_right),
		COPY_TEST(lists_of_buffers_are_copied_as_they_come),
		COPY_TEST(a_send_goes_on_alone_when_its_socket_becomes_shared),
		COPY_TEST(a_receive_goes_on_alone_when_its_socket_becomes_shared),
		COPY_TEST(a_call_that_may_not_wait_takes_what_there_is),
		cmocka_unit_test_setup_teardown(threads_share_the_copy_workers, start_plain, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
