/* SPDX-License-Identifier: MIT */
/*
 * test_doorbell.c - doorbell.h: of several producers one rings, and no wake is lost.
 *
 * Method of the second: a waiter that sleeps whenever it finds nothing, and a producer that rings
 * only when asked to; a lost wake shows as a poll that times out.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "ncd/doorbell.h"
#include "ncd/ring.h"

#define CAPACITY 64u
#define WORDS    200000u

struct stress {
	struct ring in, out;
	_Atomic uint32_t need_wakeup;
	int fd;
	uint32_t rung;
};

static void only_one_of_several_rings(void **state)
{
	_Atomic uint32_t word = 0;

	(void)state;
	assert_false(doorbell_due(&word));
	doorbell_arm(&word);
	assert_true(doorbell_due(&word));
	assert_false(doorbell_due(&word));
	doorbell_arm(&word);
	doorbell_disarm(&word);
	assert_false(doorbell_due(&word));
}

static void *produce(void *arg)
{
	struct stress *s = arg;

	for (uint64_t i = 0; i < WORDS;) {
		if (ring_push(&s->in, i) < 0)
			continue;
		i++;
		ring_publish(&s->in);
		if (doorbell_due(&s->need_wakeup)) {
			s->rung++;
			(void)eventfd_write(s->fd, 1);
		}
	}
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	struct stress s = { .fd = eventfd(0, EFD_NONBLOCK) };
	void *mem = aligned_alloc(64, ring_bytes(CAPACITY));
	struct pollfd p = { .fd = s.fd, .events = POLLIN };
	uint64_t word, next = 0;
	eventfd_t n;
	pthread_t t;

	(void)state;
	assert_non_null(mem);
	memset(mem, 0, ring_bytes(CAPACITY));
	ring_init(&s.in, mem, CAPACITY);
	ring_init(&s.out, mem, CAPACITY);
	assert_int_equal(pthread_create(&t, NULL, produce, &s), 0);
	while (next < WORDS) {
		if (ring_pop(&s.out, &word) == 0) {
			assert_int_equal(word, next++);
			continue;
		}
		doorbell_arm(&s.need_wakeup);
		if (ring_empty(&s.out)) {
			assert_int_equal(poll(&p, 1, 10000), 1);
			(void)eventfd_read(s.fd, &n);
		}
		doorbell_disarm(&s.need_wakeup);
	}
	pthread_join(t, NULL);
	close(s.fd);
	free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_one_of_several_rings),
		cmocka_unit_test(no_wake_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
