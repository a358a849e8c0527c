/* SPDX-License-Identifier: MIT */
/*
 * test_client_threads.c - many threads at once, against the fake that works by itself.
 *
 * The fake uses the library's own mapping: TSan goes by addresses, and would see nothing of what
 * two sides do to two mappings of the same memory.
 */
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "client_test.h"

#define PORT 81

static struct fake *pumped(uint32_t workers)
{
	/* The smallest rings: they grow often. */
	struct fake *f = fresh(&(struct fake_config){ .workers = workers, .slots = 256,
						      .ring_bytes = 4096 });

	fake_pump_start(f);
	return f;
}

/* ---- both directions of one stream, a thread each ---- */

#define STREAM_BYTES (4u << 20)

static void *stream_send(void *arg)
{
	const int *s = arg;
	uint8_t buf[10000];
	uint64_t at = 0;

	while (at < STREAM_BYTES) {
		size_t n = 1 + (size_t)(at * 7) % sizeof(buf);

		if (n > STREAM_BYTES - at)
			n = STREAM_BYTES - at;
		pattern_fill(buf, n, at);
		assert_int_equal(nc_send(*s, buf, n, 0), n);
		at += n;
	}
	assert_int_equal(nc_shutdown(*s, SHUT_WR), 0);
	return NULL;
}

static void *stream_receive(void *arg)
{
	const int *s = arg;
	uint8_t buf[7000];
	uint64_t at = 0;
	ssize_t n;

	while ((n = nc_recv(*s, buf, sizeof(buf), 0)) > 0) {
		pattern_check(buf, (size_t)n, at);
		at += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, STREAM_BYTES);
	return NULL;
}

static void *stream_send_views(void *arg)
{
	const int *s = arg;
	uint64_t at = 0;
	void *buf;

	while (at < STREAM_BYTES) {
		ssize_t n = nc_reserve(*s, STREAM_BYTES - at < 5000 ? STREAM_BYTES - at : 5000,
				       &buf, 0);

		assert_true(n > 0);
		pattern_fill(buf, (size_t)n, at);
		assert_int_equal(nc_commit(*s, (size_t)n), 0);
		at += (uint64_t)n;
	}
	assert_int_equal(nc_shutdown(*s, SHUT_WR), 0);
	return NULL;
}

static void *stream_receive_views(void *arg)
{
	const int *s = arg;
	const void *buf;
	uint64_t at = 0;
	ssize_t n;

	while ((n = nc_peek(*s, 5000, &buf, 0)) > 0) {
		pattern_check(buf, (size_t)n, at);
		assert_int_equal(nc_consume(*s, (size_t)n), 0);
		at += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, STREAM_BYTES);
	return NULL;
}

static void both_directions(void *(*send_run)(void *), void *(*receive_run)(void *), bool share)
{
	struct fake *f = pumped(2);
	int l = listening(PORT), c = nc_socket(AF_INET, SOCK_STREAM, 0), a;
	pthread_t t[4];

	if (share)
		one_mapping(f);
	assert_int_equal(connect_to(c, PORT), 0);
	a = nc_accept4(l, NULL, NULL, 0);
	assert_true(a >= NC_SOCKET_BASE);
	pthread_create(&t[0], NULL, send_run, &c);
	pthread_create(&t[1], NULL, receive_run, &c);
	pthread_create(&t[2], NULL, send_run, &a);
	pthread_create(&t[3], NULL, receive_run, &a);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(nc_close(c), 0);
	assert_int_equal(nc_close(a), 0);
	assert_int_equal(nc_close(l), 0);
	fake_stop(f);
}

static void streams_run_both_ways_at_once(void **state)
{
	(void)state;
	both_directions(stream_send, stream_receive, true);
}

static void views_run_both_ways_at_once(void **state)
{
	(void)state;
	both_directions(stream_send_views, stream_receive_views, false);
}

/* ---- several threads accept from one listener ---- */

#define ACCEPTORS 4
#define CLIENTS   4
#define EACH      50

struct crowd {
	int l;
	_Atomic int served;
};

/* Until its listener is closed under it. */
static void *acceptor_run(void *arg)
{
	struct crowd *cr = arg;
	char buf[64];

	for (;;) {
		int s = nc_accept4(cr->l, NULL, NULL, 0);

		if (s < 0) {
			assert_int_equal(s, -EBADF);
			return NULL;
		}
		assert_int_equal(nc_recv(s, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
		assert_int_equal(nc_send(s, buf, sizeof(buf), 0), sizeof(buf));
		assert_int_equal(nc_recv(s, buf, 1, 0), 0);
		assert_int_equal(nc_close(s), 0);
		atomic_fetch_add(&cr->served, 1);
	}
}

static void *client_run(void *arg)
{
	char buf[64] = { 0 };

	(void)arg;
	for (int i = 0; i < EACH; i++) {
		int s = nc_socket(AF_INET, SOCK_STREAM, 0);

		assert_int_equal(connect_to(s, PORT), 0);
		assert_int_equal(nc_send(s, buf, sizeof(buf), 0), sizeof(buf));
		assert_int_equal(nc_recv(s, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
		assert_int_equal(nc_close(s), 0);
	}
	return NULL;
}

static void four_threads_accept_from_one_listener(void **state)
{
	struct fake *f = pumped(2);
	struct crowd cr = { .l = listening(PORT) };
	pthread_t a[ACCEPTORS], c[CLIENTS];

	(void)state;
	one_mapping(f);
	for (int i = 0; i < ACCEPTORS; i++)
		pthread_create(&a[i], NULL, acceptor_run, &cr);
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&c[i], NULL, client_run, NULL);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(c[i], NULL);
	FAKE_AWAIT(atomic_load(&cr.served) == CLIENTS * EACH);
	assert_int_equal(nc_close(cr.l), 0);
	for (int i = 0; i < ACCEPTORS; i++)
		pthread_join(a[i], NULL);
	fake_stop(f);
}

/* ---- one thread, many sockets ---- */

#define FLOWS  64
#define ROUNDS 200

/* One message on each flow, and the next one when it has come back. */
static void echoes_by_queue(struct fake *f)
{
	int s[FLOWS], left[FLOWS], busy = FLOWS;
	struct nc_event e[16];
	char buf[64] = { 0 };
	struct nc_cq *cq;

	(void)f;
	assert_int_equal(nc_cq_create(&cq), 0);
	for (int i = 0; i < FLOWS; i++) {
		s[i] = nc_socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect_to(s[i], FAKE_ECHO_PORT), 0);
		assert_int_equal(nc_fcntl(s[i], F_SETFL, O_NONBLOCK), 0);
		assert_int_equal(nc_cq_add(cq, s[i], POLLIN, (uint64_t)i), 0);
		left[i] = ROUNDS;
		assert_int_equal(nc_send(s[i], buf, sizeof(buf), 0), sizeof(buf));
	}
	while (busy > 0) {
		int n = nc_cq_wait(cq, e, 16, 30000);

		assert_true(n > 0);
		for (int k = 0; k < n; k++) {
			uint64_t i = e[k].data;

			while (nc_recv(s[i], buf, sizeof(buf), 0) == sizeof(buf)) {
				if (--left[i] == 0)
					busy--;
				else
					assert_int_equal(nc_send(s[i], buf, sizeof(buf), 0),
							 sizeof(buf));
			}
		}
	}
	nc_cq_destroy(cq);
	for (int i = 0; i < FLOWS; i++)
		assert_int_equal(nc_close(s[i]), 0);
}

static void queue_serves_many_flows(void **state)
{
	struct fake *f = pumped(2);

	(void)state;
	one_mapping(f);
	echoes_by_queue(f);
	fake_stop(f);
}

/* The same through poll(2) and pollable descriptors, with messages larger than the ring. */
static void poll_serves_many_flows(void **state)
{
	struct fake *f = pumped(2);
	uint8_t out[8][3 * RING], in[RING];
	uint64_t sent[8] = { 0 }, got[8] = { 0 };
	struct pollfd p[8];
	int left = 8;

	(void)state;
	for (int i = 0; i < 8; i++) {
		int s = nc_socket(AF_INET, SOCK_STREAM, 0);

		assert_int_equal(connect_to(s, FAKE_ECHO_PORT), 0);
		assert_int_equal(nc_fcntl(s, F_SETFL, O_NONBLOCK), 0);
		p[i] = (struct pollfd){ .fd = s, .events = POLLIN | POLLOUT };
		pattern_fill(out[i], sizeof(out[i]), (uint64_t)i);
	}
	while (left > 0) {
		assert_true(nc_poll(p, 8, 30000) > 0);
		for (int i = 0; i < 8; i++) {
			ssize_t n;

			if (p[i].revents & POLLOUT) {
				n = nc_send(p[i].fd, out[i] + sent[i], sizeof(out[i]) - sent[i], 0);
				sent[i] += n > 0 ? (uint64_t)n : 0;
				if (sent[i] == sizeof(out[i]))
					p[i].events = POLLIN;
			}
			if (p[i].revents & POLLIN) {
				n = nc_recv(p[i].fd, in, 1000, 0);
				assert_true(n > 0 || n == -EAGAIN);
				if (n > 0)
					pattern_check(in, (size_t)n, (uint64_t)i + got[i]);
				got[i] += n > 0 ? (uint64_t)n : 0;
				if (n > 0 && got[i] == sizeof(out[i])) {
					left--;
					p[i].events = 0;
				}
			}
		}
	}
	for (int i = 0; i < 8; i++)
		assert_int_equal(nc_close(p[i].fd), 0);
	fake_stop(f);
}

/* ---- sockets closed and made while others use the same numbers ---- */

static void *churn_run(void *arg)
{
	_Atomic bool *stop_now = arg;
	char byte = 0;

	while (!atomic_load(stop_now)) {
		/* Numbers of sockets that other threads are just closing, or opening. */
		for (int n = NC_SOCKET_BASE; n < NC_SOCKET_BASE + 8; n++) {
			struct pollfd p = { .fd = n, .events = POLLIN };
			int v;

			(void)nc_recv(n, &byte, 1,
				      MSG_DONTWAIT | MSG_PEEK); /* any answer is right */
			(void)nc_ioctl(n, FIONREAD, &v);
			(void)nc_poll(&p, 1, 0);
		}
	}
	return NULL;
}

static void stale_numbers_harm_nobody(void **state)
{
	struct fake *f = pumped(1);
	int l = listening(PORT);
	struct crowd cr = { .l = l };
	_Atomic bool stop_now = false;
	pthread_t a, c, churn;

	(void)state;
	pthread_create(&a, NULL, acceptor_run, &cr);
	pthread_create(&churn, NULL, churn_run, &stop_now);
	pthread_create(&c, NULL, client_run, NULL);
	pthread_join(c, NULL);
	atomic_store(&stop_now, true);
	pthread_join(churn, NULL);
	FAKE_AWAIT(atomic_load(&cr.served) == EACH);
	assert_int_equal(nc_close(l), 0);
	pthread_join(a, NULL);
	fake_stop(f);
}

/* ---- the daemon dies under load ---- */

static void *until_reset(void *arg)
{
	_Atomic int *ended = arg;
	char buf[4096] = { 0 };
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);
	int ret = s < 0 ? s : connect_to(s, FAKE_ECHO_PORT);

	while (ret == 0 && nc_send(s, buf, sizeof(buf), 0) == sizeof(buf) &&
	       nc_recv(s, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf))
		;
	assert_int_equal(nc_close(s), s < 0 ? -EBADF : 0);
	atomic_fetch_add(ended, 1);
	return NULL;
}

/* One that was late has attached anew meanwhile, and is hung up on again. */
static bool hang_up_on_all(struct fake *f, _Atomic int *ended, int nr)
{
	fake_hang_up(f);
	return atomic_load(ended) == nr;
}

static void daemon_death_under_load_ends_all_calls(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct fake *f = pumped(2);
		_Atomic int ended = 0;
		pthread_t t[6];

		for (int k = 0; k < 6; k++)
			pthread_create(&t[k], NULL, until_reset, &ended);
		FAKE_AWAIT(hang_up_on_all(f, &ended, 6));
		for (int k = 0; k < 6; k++)
			pthread_join(t[k], NULL);
		fake_stop(f);
	}
}

/* ---- the last bytes and the end, while they are looked for ---- */

#define ENDS 100000u

struct ending {
	int s;
	_Atomic uint32_t begun, ended; /* rounds */
	uint32_t lost;
};

static void *ending_receive(void *arg)
{
	struct ending *e = arg;

	for (uint32_t round = 1; round <= ENDS; round++) {
		bool got = false;
		ssize_t n;
		char c;

		while (atomic_load(&e->begun) != round)
			sched_yield();
		while ((n = nc_recv(e->s, &c, 1, MSG_DONTWAIT)) != 0)
			got |= n == 1;
		e->lost += !got;
		atomic_store(&e->ended, round);
	}
	return NULL;
}

/* As the daemon does it: rx_tail, then the flag; at any moment of a receive. */
static void the_last_byte_comes_before_the_end(void **state)
{
	struct ending e = { .lost = 0 };
	struct fake_slot slot;
	struct slot_shm *shm;
	pthread_t thread;
	struct fake *f;

	(void)state;
	f = fresh(&(struct fake_config){ .workers = 1 });
	e.s = connected(f, &slot);
	shm = fake_shm(f, slot);
	assert_int_equal(pthread_create(&thread, NULL, ending_receive, &e), 0);
	for (uint32_t round = 1; round <= ENDS; round++) {
		atomic_store(&shm->flags, 0);
		atomic_store(&e.begun, round);
		for (volatile uint32_t i = round * 7 % 61; i > 0; i--)
			;
		atomic_store(&shm->rx_tail, atomic_load(&shm->rx_head) + 1);
		atomic_store(&shm->flags, SLOT_F_EOF);
		while (atomic_load(&e.ended) != round)
			sched_yield();
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(nc_close(e.s), 0);
	fake_stop(f);
	assert_int_equal(e.lost, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_run_both_ways_at_once),
		cmocka_unit_test(views_run_both_ways_at_once),
		cmocka_unit_test(the_last_byte_comes_before_the_end),
		cmocka_unit_test(four_threads_accept_from_one_listener),
		cmocka_unit_test(queue_serves_many_flows),
		cmocka_unit_test(poll_serves_many_flows),
		cmocka_unit_test(stale_numbers_harm_nobody),
		cmocka_unit_test(daemon_death_under_load_ends_all_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
