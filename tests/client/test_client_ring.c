/* SPDX-License-Identifier: MIT */
/*
 * test_client_ring.c - Goal: rings give way to larger ones, and no byte is lost or wrong. Method:
 * the fake gives them at chosen moments and spoils the old ones.
 */
#include <poll.h>
#include <stdatomic.h>

#include "client_test.h"

#define LARGE (4 * RING)

/* Sends [*at, *at + bytes) of the pattern without waiting: how many go. */
static ssize_t put(int s, uint64_t *at, size_t bytes)
{
	static uint8_t buf[LARGE];
	ssize_t n;

	pattern_fill(buf, bytes, *at);
	n = nc_send(s, buf, bytes, MSG_DONTWAIT);
	*at += n > 0 ? (uint64_t)n : 0;
	return n;
}

/* The peer takes @bytes of the pattern. */
static void taken(struct fake *f, struct fake_slot p, uint64_t *at, size_t bytes)
{
	static uint8_t buf[LARGE];

	assert_int_equal(fake_take(f, p, buf, bytes), bytes);
	pattern_check(buf, bytes, *at);
	*at += bytes;
}

static void arrive(struct fake *f, struct fake_slot p, uint64_t *at, size_t bytes)
{
	static uint8_t buf[LARGE];

	pattern_fill(buf, bytes, *at);
	assert_int_equal(fake_put(f, p, buf, bytes), bytes);
	*at += bytes;
}

static void receive(int s, uint64_t *at, size_t bytes)
{
	static uint8_t buf[LARGE];

	assert_int_equal(nc_recv(s, buf, bytes, MSG_WAITALL), bytes);
	pattern_check(buf, bytes, *at);
	*at += bytes;
}

static void a_tx_ring_is_taken_when_room_is_lacking(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0, out = 0;

	assert_int_equal(put(s, &in, 5000), 5000);
	taken(f, p, &out, 4000);
	fake_give_tx(f, p, LARGE);
	assert_int_equal(put(s, &in, 1000), 1000);
	assert_int_equal(atomic_load(&fake_shm(f, p)->tx_taken), 0);
	/* What is not acknowledged goes along; the fake spoils the old ring. */
	assert_int_equal(put(s, &in, 30000), 30000);
	assert_int_equal(atomic_load(&fake_shm(f, p)->tx_taken), 1);
	taken(f, p, &out, 10000);
	assert_int_equal(put(s, &in, LARGE), LARGE - 22000);
	taken(f, p, &out, LARGE);
	closed(f, s);
}

static void a_tx_ring_is_taken_for_messages_that_fill_it(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0, out = 0;

	fake_give_tx(f, p, LARGE);
	/* Two go into it side by side. */
	assert_int_equal(put(s, &in, RING / 2 - 1), RING / 2 - 1);
	assert_int_equal(atomic_load(&fake_shm(f, p)->tx_taken), 0);
	taken(f, p, &out, RING / 2 - 1);
	/* There is room, but for no other. */
	assert_int_equal(put(s, &in, RING), RING);
	assert_int_equal(atomic_load(&fake_shm(f, p)->tx_taken), 1);
	taken(f, p, &out, RING);
	closed(f, s);
}

static void tx_rings_follow_each_other_while_they_are_full(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0, out = 0;

	for (uint32_t bytes = RING; bytes <= LARGE; bytes *= 2) {
		if (bytes > RING)
			fake_give_tx(f, p, bytes);
		assert_int_equal(put(s, &in, bytes / 2), bytes / 2);
		if (bytes == RING)
			assert_int_equal(put(s, &in, bytes / 2), bytes / 2);
		assert_int_equal(put(s, &in, 1), -EAGAIN);
	}
	assert_int_equal(atomic_load(&fake_shm(f, p)->tx_taken), 2);
	taken(f, p, &out, LARGE);
	closed(f, s);
}

static void a_sender_that_waits_wakes_for_a_larger_ring(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	static uint8_t buf[RING + 5000];
	struct call c = { .run = run_send, .buf = buf, .len = sizeof(buf) };
	struct nc_event e;
	struct nc_cq *cq;
	uint64_t out = 0;
	int s = connected(f, &p);

	pattern_fill(buf, sizeof(buf), 0);
	c.s = s;
	call_start(&c);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_OUT));
	fake_give_tx(f, p, 2 * RING);
	assert_int_equal(call_end(&c), sizeof(buf));
	taken(f, p, &out, sizeof(buf));
	/* And so it is with who waits on a queue. */
	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLOUT, 5), 0);
	assert_int_equal(nc_cq_wait(cq, &e, 1, 0), 1);
	out = 0;
	while (put(s, &out, 10000) > 0)
		;
	assert_int_equal(nc_cq_wait(cq, &e, 1, 0), 0);
	fake_give_tx(f, p, LARGE);
	assert_int_equal(nc_cq_wait(cq, &e, 1, 0), 1);
	assert_int_equal(e.events, POLLOUT);
	nc_cq_destroy(cq);
	closed(f, s);
}

static void what_is_reserved_keeps_its_place(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0, out = 0;
	void *first, *again;

	assert_int_equal(put(s, &in, RING - 100), RING - 100);
	assert_int_equal(nc_reserve(s, 50, &first, 0), 50);
	fake_give_tx(f, p, LARGE);
	assert_int_equal(nc_reserve(s, 5000, &again, 0), 100);
	assert_ptr_equal(first, again);
	pattern_fill(first, 100, in);
	assert_int_equal(nc_commit(s, 100), 0);
	in += 100;
	assert_int_equal(nc_reserve(s, 5000, &again, 0), 5000);
	pattern_fill(again, 5000, in);
	assert_int_equal(nc_commit(s, 5000), 0);
	taken(f, p, &out, RING + 5000);
	closed(f, s);
}

static void an_rx_ring_is_followed(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0, out = 0;

	arrive(f, p, &in, 10000);
	receive(s, &out, 4000);
	fake_give_rx(f, p, LARGE);
	arrive(f, p, &in, 50000);
	/* Known before the exchange, and the same there. */
	receive(s, &out, 6000);
	receive(s, &out, 50000);
	assert_int_equal(atomic_load(&fake_shm(f, p)->rx_taken), 1);
	fake_give_rx(f, p, 2 * LARGE);
	arrive(f, p, &in, LARGE);
	receive(s, &out, LARGE);
	assert_int_equal(atomic_load(&fake_shm(f, p)->rx_taken), 2);
	closed(f, s);
}

static void what_is_peeked_stays_until_it_is_consumed(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	const void *first, *again;
	uint64_t in = 0;

	arrive(f, p, &in, RING);
	assert_int_equal(nc_peek(s, 1000, &first, 0), 1000);
	fake_give_rx(f, p, LARGE);
	arrive(f, p, &in, RING);
	assert_int_equal(nc_peek(s, LARGE, &again, 0), 2 * RING);
	assert_ptr_not_equal(first, again);
	pattern_check(again, 2 * RING, 0);
	pattern_check(first, 1000, 0);
	assert_int_equal(atomic_load(&fake_shm(f, p)->rx_taken), 0);
	assert_int_equal(nc_consume(s, 1000), 0);
	assert_int_equal(nc_peek(s, LARGE, &again, 0), 2 * RING - 1000);
	pattern_check(again, 2 * RING - 1000, 1000);
	/* Of the first view not all is consumed. */
	pattern_check(first, RING, 0);
	assert_int_equal(nc_consume(s, RING - 1001), 0);
	assert_int_equal(atomic_load(&fake_shm(f, p)->rx_taken), 0);
	assert_int_equal(nc_consume(s, 1), 0);
	assert_int_equal(atomic_load(&fake_shm(f, p)->rx_taken), 1);
	closed(f, s);
}

static bool wants(struct fake *f, struct fake_slot p, uint32_t bytes)
{
	return atomic_load(&fake_shm(f, p)->rx_want) == bytes;
}

static void who_must_see_more_than_the_ring_asks_for_a_larger_one(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	static uint8_t buf[20000];
	struct call c = { .run = run_recv, .buf = buf, .len = sizeof(buf),
			  .flags = MSG_PEEK | MSG_WAITALL };
	int s = connected(f, &p);
	const void *view;
	uint64_t in = 0;

	c.s = s;
	arrive(f, p, &in, RING);
	fake_drain(f);
	call_start(&c);
	FAKE_AWAIT(wants(f, p, sizeof(buf)));
	assert_int_equal(fake_expect(f, SQ_KICK).slot, p.slot);
	fake_give_rx(f, p, LARGE);
	arrive(f, p, &in, 4000);
	assert_int_equal(call_end(&c), sizeof(buf));
	pattern_check(buf, sizeof(buf), 0);
	/* Who does not wait has what there is, and asks all the same. */
	arrive(f, p, &in, LARGE - RING - 4000);
	assert_int_equal(nc_peek(s, LARGE + 1, &view, 0), LARGE);
	assert_true(wants(f, p, LARGE + 1));
	closed(f, s);
}

static void who_gets_no_larger_ring_has_a_full_one(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	static uint8_t buf[20000];
	struct call c = { .run = run_recv, .buf = buf, .len = sizeof(buf),
			  .flags = MSG_PEEK | MSG_WAITALL };
	int s = connected(f, &p);
	uint64_t in = 0;

	c.s = s;
	arrive(f, p, &in, RING);
	call_start(&c);
	FAKE_AWAIT(wants(f, p, sizeof(buf)));
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	fake_refuse_rx(f, p);
	assert_int_equal(call_end(&c), RING);
	pattern_check(buf, RING, 0);
	closed(f, s);
}

static void who_has_not_consumed_what_he_peeked_at_has_a_full_one(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	static uint8_t buf[LARGE + 1];
	int s = connected(f, &p);
	const void *view;
	uint64_t in = 0;

	arrive(f, p, &in, RING);
	assert_int_equal(nc_peek(s, RING, &view, 0), RING);
	fake_give_rx(f, p, LARGE);
	arrive(f, p, &in, LARGE - RING);
	assert_int_equal(nc_recv(s, buf, sizeof(buf), MSG_PEEK | MSG_WAITALL), LARGE);
	pattern_check(buf, LARGE, 0);
	pattern_check(view, RING, 0);
	assert_int_equal(nc_consume(s, RING), 0);
	arrive(f, p, &in, RING);
	assert_int_equal(nc_peek(s, LARGE + 1, &view, 0), LARGE);
	assert_true(wants(f, p, LARGE + 1));
	closed(f, s);
}

struct idler {
	struct fake *f;
	struct fake_slot p;
	_Atomic bool enough;
};

/* The library has done what the stream's idleness asks for: it answers in order. */
static void found_idle(struct fake *f, struct fake_slot p, uint64_t tail)
{
	uint32_t asked = fake_asked(f, CTL_BIND);
	struct sockaddr_in in = address("0.0.0.0", 4711);
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);

	fake_found_idle(f, p, tail);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(fake_asked(f, CTL_BIND), asked + 1);
	assert_int_equal(nc_close(s), 0);
}

/* A connected socket with a tx ring of LARGE, all of which was used, up to *@at. */
static int connected_large(struct fake *f, struct fake_slot *ret_slot, uint64_t *at)
{
	int s = connected(f, ret_slot);
	uint64_t out = 0;

	*at = 0;
	assert_int_equal(put(s, at, RING), RING);
	fake_give_tx(f, *ret_slot, LARGE);
	assert_int_equal(put(s, at, LARGE), LARGE - RING);
	taken(f, *ret_slot, &out, LARGE);
	assert_int_equal(fake_tx_pages(f, *ret_slot), LARGE / NCD_PAGE);
	fake_drain(f);
	return s;
}

static void an_idle_tx_ring_gives_back_its_pages(void **state)
{
	struct fake *f = *state;
	struct fake_slot p, q;
	uint64_t in, out, other;
	int s = connected_large(f, &p, &in), t = connected_large(f, &q, &other);

	for (int i = 0; i < 3; i++) {
		out = in;
		found_idle(f, p, in);
		assert_int_equal(fake_tx_pages(f, p), 0);
		assert_int_equal(put(s, &in, LARGE), LARGE);
		taken(f, p, &out, LARGE);
	}
	/* The other one was not. */
	assert_int_equal(fake_tx_pages(f, q), LARGE / NCD_PAGE);
	closed(f, s);
	closed(f, t);
}

static void what_is_not_acknowledged_keeps_its_pages(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	uint64_t in, out;
	int s = connected_large(f, &p, &in);

	out = in;
	assert_int_equal(put(s, &in, LARGE - 9000), LARGE - 9000);
	taken(f, p, &out, 100);
	assert_int_equal(put(s, &in, 100), 100);
	taken(f, p, &out, LARGE - 9000 - 100);
	/* It lies over the end of the ring, or not, by the place where the ring began. */
	assert_int_equal(put(s, &in, 20000), 20000);
	found_idle(f, p, in);
	assert_in_range(fake_tx_pages(f, p), 20000 / NCD_PAGE, 20000 / NCD_PAGE + 2);
	assert_int_equal(put(s, &in, LARGE), LARGE - 20100);
	taken(f, p, &out, LARGE);
	closed(f, s);
}

static void what_is_reserved_keeps_its_pages(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	uint64_t in, out;
	int s = connected_large(f, &p, &in);
	void *view;

	out = in;
	assert_int_equal(nc_reserve(s, LARGE / 2, &view, 0), LARGE / 2);
	pattern_fill(view, LARGE / 2, in);
	found_idle(f, p, in);
	assert_int_equal(nc_commit(s, LARGE / 2), 0);
	in += LARGE / 2;
	/* The same with other mappings of the ring: they show its new pages. */
	taken(f, p, &out, LARGE / 2);
	found_idle(f, p, in);
	assert_int_equal(fake_tx_pages(f, p), 0);
	assert_int_equal(nc_reserve(s, LARGE, &view, 0), LARGE);
	pattern_fill(view, LARGE, in);
	assert_int_equal(nc_commit(s, LARGE), 0);
	in += LARGE;
	taken(f, p, &out, LARGE);
	closed(f, s);
}

static void who_moves_again_keeps_his_pages(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	uint64_t in, out;
	int s = connected_large(f, &p, &in);

	out = in;
	assert_int_equal(put(s, &in, NCD_IDLE_BYTES), NCD_IDLE_BYTES);
	taken(f, p, &out, NCD_IDLE_BYTES);
	found_idle(f, p, out - NCD_IDLE_BYTES);
	assert_int_equal(fake_tx_pages(f, p), LARGE / NCD_PAGE);
	found_idle(f, p, out - NCD_IDLE_BYTES + 1);
	assert_int_equal(fake_tx_pages(f, p), 0);
	closed(f, s);
}

static void *idle_again(void *arg)
{
	struct idler *i = arg;

	while (!atomic_load(&i->enough))
		fake_found_idle(i->f, i->p, atomic_load(&fake_shm(i->f, i->p)->tx_tail));
	return NULL;
}

/* A stream that is found idle in the middle of everything loses no byte. */
static void senders_do_not_mind(void **state)
{
	struct fake *f = *state;
	struct idler i = { .f = f };
	pthread_t thread;
	uint64_t in, out;
	int s = connected_large(f, &i.p, &in);

	out = in;
	assert_int_equal(pthread_create(&thread, NULL, idle_again, &i), 0);
	for (int k = 0; k < 300; k++) {
		ssize_t n = put(s, &in, LARGE);
		void *view;

		assert_true(n > 0);
		taken(f, i.p, &out, (size_t)n);
		n = nc_reserve(s, LARGE / 2, &view, 0);
		assert_true(n > 0);
		pattern_fill(view, (size_t)n, in);
		assert_int_equal(nc_commit(s, (size_t)n), 0);
		in += (uint64_t)n;
		taken(f, i.p, &out, (size_t)n);
	}
	atomic_store(&i.enough, true);
	pthread_join(thread, NULL);
	found_idle(f, i.p, in);
	closed(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_tx_ring_is_taken_when_room_is_lacking, start,
						stop),
		cmocka_unit_test_setup_teardown(a_tx_ring_is_taken_for_messages_that_fill_it,
						start, stop),
		cmocka_unit_test_setup_teardown(tx_rings_follow_each_other_while_they_are_full,
						start, stop),
		cmocka_unit_test_setup_teardown(a_sender_that_waits_wakes_for_a_larger_ring, start,
						stop),
		cmocka_unit_test_setup_teardown(what_is_reserved_keeps_its_place, start, stop),
		cmocka_unit_test_setup_teardown(an_rx_ring_is_followed, start, stop),
		cmocka_unit_test_setup_teardown(what_is_peeked_stays_until_it_is_consumed, start,
						stop),
		cmocka_unit_test_setup_teardown(
			who_must_see_more_than_the_ring_asks_for_a_larger_one, start, stop),
		cmocka_unit_test_setup_teardown(who_gets_no_larger_ring_has_a_full_one, start,
						stop),
		cmocka_unit_test_setup_teardown(
			who_has_not_consumed_what_he_peeked_at_has_a_full_one, start, stop),
		cmocka_unit_test_setup_teardown(an_idle_tx_ring_gives_back_its_pages, start, stop),
		cmocka_unit_test_setup_teardown(what_is_not_acknowledged_keeps_its_pages, start,
						stop),
		cmocka_unit_test_setup_teardown(what_is_reserved_keeps_its_pages, start, stop),
		cmocka_unit_test_setup_teardown(who_moves_again_keeps_his_pages, start, stop),
		cmocka_unit_test_setup_teardown(senders_do_not_mind, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
