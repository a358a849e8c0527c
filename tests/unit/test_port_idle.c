/* SPDX-License-Identifier: MIT */
/*
 * test_port_idle.c - Goal: the rings of idle streams give back their pages, and no byte is lost or
 * wrong; the worker does that of rings that it writes, and leaves the others. Method: worker_rig.h
 * with a short idle time, over either back end; pages are looked at with mincore(2).
 */
#include <sys/mman.h>

#define RIG_IDLE_NS 30000000
#include "worker_rig.h"

#include "arena.h"
#include "port_calls.h"

#define MOST (1u << 20)
/* What a machine under load may leave: it stood still, and with it the stream, before its end. */
#define FEW  (NCD_IDLE_BYTES / NCD_PAGE + 2)

/* Of @bytes at @base, those that have memory. */
static uint32_t pages_of(uint8_t *base, size_t bytes)
{
	static unsigned char in[8u << 20 >> 12];
	uint32_t nr = 0;

	assert_int_equal(mincore(base, bytes, in), 0);
	for (size_t i = 0; i < bytes / NCD_PAGE; i++)
		nr += in[i] & 1;
	return nr;
}

static uint32_t pages(const struct rig_ring *ring)
{
	return pages_of(ring->base, ring->bytes);
}

static bool told(struct rig *r, uint32_t a, uint64_t tail)
{
	return tail - atomic_load(&r->host[0].slot[a].tx_idle) < NCD_IDLE_BYTES;
}

static void an_idle_rx_ring_gives_back_its_pages(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct rig_ring *rx = &r->host[1].rx[b];

	for (uint64_t round = 1; round <= 3; round++) {
		rig_transfer(r, 3, b, round * (8 << 20) + round * 777);
		assert_int_equal(rx->bytes, MOST);
		rig_until(r, pages(rx) <= FEW);
	}
	rig_free(r);
}

/* The application leaves it only when there is something to read in the next. */
static void so_does_one_that_was_exchanged_when_all_was_read(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct rig_host *h = &r->host[1];
	struct slot_shm *t = &h->slot[b];
	struct rig_ring old;
	uint64_t head = 0;

	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, head + RIG_RING);
			  head = app_read(h, b, 3);
			  h->rx[b].bytes > RIG_RING;
		  }));
	old = h->rx[b];
	assert_in_range(old.bytes, 4 * NCD_IDLE_BYTES, MOST / 2);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, head + old.bytes);
			  atomic_load(&t->rx_tail) == head + old.bytes;
		  }));
	assert_true(pages(&old) == old.bytes / NCD_PAGE);
	atomic_store(&t->rx_head, head + old.bytes);
	app_kick(h, b);
	rig_until(r, atomic_load(&t->rx_given) != atomic_load(&t->rx_taken));
	rig_until(r, pages(&old) <= FEW);
	rig_transfer(r, 3, b, 8 << 20);
	rig_free(r);
}

static void what_is_unread_stays(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct slot_shm *t = &r->host[1].slot[b];
	struct rig_ring *rx = &r->host[1].rx[b];
	uint64_t sent = 8 << 20;

	rig_transfer(r, 3, b, sent);
	assert_int_equal(rx->bytes, MOST);
	for (int i = 0; i < 5; i++) {
		/* Beyond the end of the ring, sooner or later. */
		sent += 300000;
		rig_until(r, ({
				  (void)app_write(&r->host[0], 3, 3, sent);
				  atomic_load(&t->rx_tail) == sent;
			  }));
		rig_until(r, pages(rx) <= 300000 / NCD_PAGE + FEW);
		assert_in_range(pages(rx), 300000 / NCD_PAGE, 300000 / NCD_PAGE + FEW);
		/* Checks all of them. */
		assert_int_equal(app_read(&r->host[1], b, 3), sent);
	}
	rig_until(r, pages(rx) <= FEW);
	rig_free(r);
}

/* The last quarter is read without a word: the worker looks by itself. */
static void what_was_read_without_a_word_counts(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct slot_shm *t = &r->host[1].slot[b];

	rig_transfer(r, 3, b, 8 << 20);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, (8 << 20) + 200000);
			  atomic_load(&t->rx_tail) == (8 << 20) + 200000;
		  }));
	atomic_store(&t->rx_head, (8 << 20) + 200000);
	rig_until(r, pages(&r->host[1].rx[b]) <= FEW);
	rig_free(r);
}

/* So does the credit for it: the sender waits for nothing else. */
static void what_was_read_without_a_word_gives_credit(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct slot_shm *t = &r->host[1].slot[b];
	uint64_t sent = (8 << 20) + MOST;

	rig_transfer(r, 3, b, 8 << 20);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, sent + MOST);
			  atomic_load(&t->rx_tail) == sent;
		  }));
	atomic_store(&t->rx_head, sent);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, sent + MOST);
			  atomic_load(&t->rx_tail) == sent + MOST;
		  }));
	rig_free(r);
}

static void the_worker_leaves_a_tx_ring_and_tells(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct rig_ring *tx = &r->host[0].tx[3];
	uint32_t before = port_idle_told(r->host[0].port), had;

	rig_transfer(r, 3, b, 8 << 20);
	assert_int_equal(tx->bytes, MOST);
	had = pages(tx);
	assert_true(had > MOST / NCD_PAGE / 2);
	rig_until(r, told(r, 3, 8 << 20));
	rig_until(r, port_idle_told(r->host[0].port) != before);
	assert_int_equal(pages(tx), had);
	rig_transfer(r, 3, b, 9 << 20);
	rig_until(r, told(r, 3, 9 << 20));
	rig_free(r);
}

static void many_may_be_idle_at_once(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b[20];

	for (uint32_t i = 0; i < 20; i++) {
		b[i] = rig_connect(r, i, 80);
		rig_transfer(r, i, b[i], (1 << 20) + i * 1000);
	}
	for (uint32_t i = 0; i < 20; i++) {
		rig_until(r, pages(&r->host[1].rx[b[i]]) <= FEW);
		rig_until(r, told(r, i, (1 << 20) + i * 1000));
	}
	/* And again, all at once. */
	for (uint32_t i = 0; i < 20; i++)
		rig_transfer(r, i, b[i], 3 << 20);
	for (uint32_t i = 0; i < 20; i++)
		rig_until(r, pages(&r->host[1].rx[b[i]]) <= FEW);
	rig_free(r);
}

/* Ends of all kinds, while the streams wait to be looked at. */
static void streams_may_end_meanwhile(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b[12];

	for (uint32_t i = 0; i < 12; i++) {
		b[i] = rig_connect(r, i, 80);
		rig_transfer(r, i, b[i], 1 << 20);
		if (i % 4 == 0)
			app_close(&r->host[0], i, CLOSE_GRACEFUL);
		if (i % 4 == 1)
			app_close(&r->host[1], b[i], CLOSE_ABORT);
		if (i % 4 == 2)
			app_shutdown(&r->host[0], i);
	}
	for (uint32_t i = 2; i < 12; i += i % 4 == 2 ? 1 : 3)
		rig_until(r, pages(&r->host[1].rx[b[i]]) <= FEW);
	rig_remove_client(r, 0);
	rig_remove_client(r, 1);
	assert_true(arena_used(r->host[0].port->arena) == 0);
	assert_true(arena_used(r->host[1].port->arena) == 0);
	rig_free(r);
}

static void what_is_free_goes_back_when_the_application_is_idle(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80), nr = 1;

	rig_transfer(r, 3, b, 2 << 20);
	app_close(&r->host[0], 3, CLOSE_GRACEFUL);
	app_close(&r->host[1], b, CLOSE_GRACEFUL);
	/* Of both there is less than what a port keeps while it is busy. */
	for (int i = 0; i < 2; i++)
		rig_until(r, ({
				  struct rig_host *h = &r->host[i];

				  nr = 0;
				  for (uint32_t k = 1; k < h->segments; k++)
					  nr += pages_of(h->seg[k].base, h->seg[k].bytes);
				  nr == 0;
			  }));
	rig_free(r);
}

/* Nobody has heard of it yet: the look itself must not believe it. */
static void a_lie_told_without_a_word_is_found(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);

	rig_transfer(r, 3, b, 1 << 20);
	atomic_store(&r->host[1].slot[b].rx_head, (1 << 20) + 1);
	rig_until(r, r->host[1].bad == 1);
	assert_string_equal(r->host[1].reason, "rx_head is impossible");
	assert_int_equal(r->host[0].bad, 0);
	rig_remove_client(r, 1);
	rig_free(r);
}

static void who_lies_of_what_he_has_read_hurts_himself(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80), c = rig_connect(r, 4, 80);
	struct rig_host *h = &r->host[1];
	struct slot_shm *t = &h->slot[b];

	rig_transfer(r, 3, b, 4 << 20);
	rig_transfer(r, 4, c, 4 << 20);
	for (uint64_t to = (4 << 20) + 100000; to < 5 << 20; to += 100000) {
		(void)app_write(&r->host[0], 3, 3, to);
		rig_until(r, ({
				  uint64_t tail = atomic_load(&t->rx_tail);

				  atomic_store(&t->rx_head, tail);
				  (void)app_write(&r->host[0], 3, 3, to);
				  tail == to;
			  }));
	}
	rig_until(r, pages(&h->rx[b]) <= FEW);
	rig_transfer(r, 4, c, 8 << 20);
	assert_int_equal(r->host[0].bad + h->bad, 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(an_idle_rx_ring_gives_back_its_pages),
		RIG_BOTH(so_does_one_that_was_exchanged_when_all_was_read),
		RIG_BOTH(what_is_unread_stays),
		RIG_BOTH(what_was_read_without_a_word_counts),
		RIG_BOTH(what_was_read_without_a_word_gives_credit),
		RIG_BOTH(the_worker_leaves_a_tx_ring_and_tells),
		RIG_BOTH(many_may_be_idle_at_once),
		RIG_BOTH(streams_may_end_meanwhile),
		RIG_BOTH(what_is_free_goes_back_when_the_application_is_idle),
		RIG_BOTH(a_lie_told_without_a_word_is_found),
		RIG_BOTH(who_lies_of_what_he_has_read_hurts_himself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
