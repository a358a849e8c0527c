/* SPDX-License-Identifier: MIT */
/*
 * test_port_joint_idle.c - Goal: an idle joined ring gives back its pages by its writer, but those
 * that are unread; and when they are read, the rest. Method: joint_pair.h with a short idle time;
 * pages are looked at with mincore(2); the test does what the library does at IDLE.
 */
#include <sys/mman.h>

#include "ncd/ring_pages.h"

#define RIG_IDLE_NS 30000000
#include "joint_pair.h"

#define UNREAD (2u << 20)
#define READ   (1u << 20)
#define FEW    (NCD_IDLE_BYTES / NCD_PAGE + 2)

static uint32_t pages(const struct rig_ring *ring)
{
	static unsigned char in[2 * RIG_MOST >> 12];
	uint32_t nr = 0;

	assert_int_equal(mincore(ring->base, ring->bytes, in), 0);
	for (size_t i = 0; i < ring->bytes / NCD_PAGE; i++)
		nr += in[i] & 1;
	return nr;
}

/* libclient/ring.c */
static void give_back(const struct pair *p)
{
	const struct rig_ring *ring = &p->a->tx[SLOT];
	uint64_t tail = atomic_load(&p->s->tx_tail), head = atomic_load(&p->s->tx_read);

	assert_true(tail - atomic_load(&p->s->tx_idle) < NCD_IDLE_BYTES);
	ring_pages_free(ring->base, ring->bytes, (uint32_t)head & (ring->bytes - 1), tail - head, 0,
			ring->bytes);
}

static void what_is_unread_stays_and_goes_when_it_is_read(void **state)
{
	uint32_t all, told;
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p);
	/* All of the ring has pages. */
	move(&p, at += 2 * joint_size(&p));
	at += READ + UNREAD;
	rig_until(p.r, app_write(p.a, SLOT, SLOT, at) == at);
	rig_until(p.r, atomic_load(&p.t->rx_tail) == at);
	/* Last, however long the rest took: it was perhaps idle before. */
	told = port_idle_told(p.a->port);
	atomic_store(&p.t->rx_head, at - UNREAD);
	app_kick(p.b, p.slot);
	rig_until(p.r, port_idle_told(p.a->port) != told &&
			       at - atomic_load(&p.s->tx_idle) < NCD_IDLE_BYTES);
	/* The worker has not touched them. */
	all = pages(&p.a->tx[SLOT]);
	assert_int_equal(all, joint_size(&p) / NCD_PAGE);
	told = port_idle_told(p.a->port);
	give_back(&p);
	assert_in_range(pages(&p.a->tx[SLOT]), UNREAD / NCD_PAGE, UNREAD / NCD_PAGE + FEW);
	/* Read, and without a word: it would not be worth one. */
	for (uint64_t i = at - UNREAD; i < at; i++)
		assert_true(p.b->rx[p.slot].base[i & (joint_size(&p) - 1)] == app_byte(SLOT, i));
	atomic_store(&p.t->rx_head, at);
	rig_until(p.r, port_idle_told(p.a->port) != told);
	assert_true(atomic_load(&p.s->tx_read) == at);
	give_back(&p);
	assert_true(pages(&p.a->tx[SLOT]) <= FEW);
	/* And then no more is said. */
	told = port_idle_told(p.a->port);
	move(&p, at + 1000);
	assert_int_equal(port_idle_told(p.a->port), told);
	move(&p, at + BULK);
	rig_free(p.r);
}

static void a_reader_that_lies_meanwhile_is_found_out(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p) + joint_size(&p);
	move(&p, at);
	/* For as long as this is unread the worker looks again and again. */
	at += UNREAD;
	rig_until(p.r, app_write(p.a, SLOT, SLOT, at) == at);
	rig_until(p.r, atomic_load(&p.t->rx_tail) == at);
	atomic_store(&p.t->rx_head, at + 1);
	rig_until(p.r, p.b->bad == 1);
	assert_int_equal(p.a->bad, 0);
	rig_free(p.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(what_is_unread_stays_and_goes_when_it_is_read),
		RIG_BOTH(a_reader_that_lies_meanwhile_is_found_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
