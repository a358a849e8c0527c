/* SPDX-License-Identifier: MIT */
/*
 * test_client_lend_busy.c - Goal: no byte is lost or comes twice while a stream moves to and fro
 * and both its directions are in use. Method: the fake daemon sends back what it gets, and moves
 * the stream as often as it is lent; ThreadSanitizer sees both sides.
 */
#include "client_test.h"

#include "fake_state.h"
#include "sock_calls.h"

#define ECHO_BYTES (4u << 20)

static int start_two(void **state)
{
	*state = fresh(&(struct fake_config){ .workers = 2 });
	return 0;
}

static void *echo_send(void *arg)
{
	static uint8_t bytes[5000];
	uint64_t at = 0;

	while (at < ECHO_BYTES) {
		size_t n = at % 7 == 0 ? 1 : sizeof(bytes);
		long done;

		n = n < ECHO_BYTES - at ? n : (size_t)(ECHO_BYTES - at);
		pattern_fill(bytes, n, at);
		done = nc_send(*(int *)arg, bytes, n, 0);
		assert_true(done > 0);
		at += (uint64_t)done;
	}
	return NULL;
}

static void *echo_receive(void *arg)
{
	static uint8_t bytes[7000];
	uint64_t at = 0;

	while (at < ECHO_BYTES) {
		long n = nc_recv(*(int *)arg, bytes, at % 3 == 0 ? 100 : sizeof(bytes), 0);

		assert_true(n > 0);
		pattern_check(bytes, (size_t)n, at);
		at += (uint64_t)n;
	}
	return NULL;
}

/* The socket is also a queue's: who fetches it names that, and is not alone. */
struct watched {
	struct nc_cq *cq;
	_Atomic bool done;
	uint64_t events;
};

static void *echo_watch(void *arg)
{
	struct watched *w = arg;

	/* Relaxed: nothing else is said with it. */
	while (!atomic_load_explicit(&w->done, memory_order_relaxed)) {
		struct nc_event event;
		int n = nc_cq_wait(w->cq, &event, 1, 10);

		assert_true(n >= 0);
		w->events += (uint64_t)n;
	}
	return NULL;
}

/* What the library posts; slots that it has left are free. */
static void echo_words(struct fake *f)
{
	uint32_t worker;
	uint64_t word;

	pthread_mutex_lock(&f->lock);
	while (slot_pop(f, &word, &worker)) {
		struct fake_slot at = { worker, (uint32_t)word };

		if ((word >> 32 & 0xff) == SQ_KICK)
			atomic_exchange(&fake_shm(f, at)->kick, 0);
		else
			slot_free(f, at);
	}
	pthread_mutex_unlock(&f->lock);
}

/* Sends back what came, as far as there is room. */
static uint64_t echo_bytes(struct fake *f, struct fake_slot at)
{
	static uint8_t held[RING];
	static size_t nr, from;
	uint64_t did = 0;
	size_t n;

	if (from == nr) {
		from = 0;
		nr = fake_take(f, at, held, sizeof(held));
	}
	n = fake_put(f, at, held + from, nr - from);
	from += n;
	did += n;
	return did;
}

/* Both directions of one are in use all the time while it moves to and fro. */
static void no_byte_is_lost_on_the_way(void **state)
{
	struct fake *f = *state;
	struct attachment *att;
	struct segment *seg;
	struct fake_slot at;
	pthread_t sender, receiver, watcher;
	struct watched watched = { .events = 0 };
	uint32_t moves = 0, asked = 0;
	uint64_t done = 0;
	int s = connected(f, &at);

	/* As one_mapping does. */
	assert_int_equal(process_attach(&att), 0);
	assert_int_equal(attachment_segment(att, 1, &seg), 0);
	fake_adopt(f, att->segment[0].base, seg->base);
	attachment_put(att);
	assert_int_equal(nc_cq_create(&watched.cq), 0);
	assert_int_equal(nc_cq_add(watched.cq, s, POLLIN | POLLOUT, 0), 0);
	assert_int_equal(pthread_create(&watcher, NULL, echo_watch, &watched), 0);
	assert_int_equal(pthread_create(&sender, NULL, echo_send, &s), 0);
	assert_int_equal(pthread_create(&receiver, NULL, echo_receive, &s), 0);
	while (done < ECHO_BYTES) {
		echo_words(f);
		done += echo_bytes(f, at);
		if (fake_asked(f, CTL_LEND) < asked)
			continue;
		if (asked > 0 && fake_lent(f, asked).result == 0 &&
		    flag_get(&sock_find(s)->lent)) {
			at = fake_leave(f, at);
			moves++;
		}
		asked++;
		fake_tell(f, CTL_MOVE, at);
	}
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	atomic_store_explicit(&watched.done, true, memory_order_relaxed);
	pthread_join(watcher, NULL);
	assert_true(watched.events > 0);
	nc_cq_destroy(watched.cq);
	assert_true(moves > 0);
	print_message("%u moves, %u asked\n", moves, asked);
	closed(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_byte_is_lost_on_the_way, start_two, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
