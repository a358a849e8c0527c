/* SPDX-License-Identifier: MIT */
/*
 * test_port_ring.c - Goal: rings begin small, grow where that helps and nowhere else, and go back;
 * an application that lies about them hurts itself. Method: worker_rig.h, over either back end.
 */
#include "worker_rig.h"

#include "arena.h"
#include "port_calls.h"

#define MOST (1u << 20)

static void bulk_grows_both_rings_in_two_steps(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct slot_shm *s = &r->host[0].slot[3], *t = &r->host[1].slot[b];

	assert_int_equal(s->tx_bytes, RIG_RING);
	assert_int_equal(t->rx_bytes, RIG_RING);
	assert_int_equal(atomic_load(&s->tx_most), MOST);
	assert_int_equal(atomic_load(&t->rx_most), MOST);
	rig_transfer(r, 3, b, 8 << 20);
	assert_int_equal(r->host[0].tx[3].bytes, MOST);
	assert_int_equal(r->host[1].rx[b].bytes, MOST);
	assert_int_equal(atomic_load(&s->tx_taken), 2);
	assert_int_equal(atomic_load(&t->rx_taken), 2);
	/* The other direction was idle. */
	assert_int_equal(atomic_load(&s->rx_given), 0);
	assert_int_equal(atomic_load(&t->tx_given), 0);
	rig_free(r);
}

static void small_messages_leave_rings_small(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);

	for (uint64_t i = 1; i <= 2000; i++) {
		rig_transfer(r, 3, b, i * 64);
		(void)app_write(&r->host[1], b, b, i * 64);
		rig_until(r, app_read(&r->host[0], 3, b) == i * 64);
	}
	for (int i = 0; i < 2; i++) {
		struct slot_shm *s = &r->host[i].slot[i == 0 ? 3 : b];

		assert_int_equal(atomic_load(&s->tx_given), 0);
		assert_int_equal(atomic_load(&s->rx_given), 0);
	}
	rig_free(r);
}

static void a_wanted_size_is_the_most(void **state)
{
	struct rig *r = rig_of(state);
	int b = -EAGAIN;

	app_open(&r->host[0], 3, r->host[1].addr, 80, 100000);
	rig_until(r, app_state(&r->host[0], 3) == SLOT_OPEN);
	rig_until(r, (b = app_accept(&r->host[1])) >= 0);
	assert_int_equal(r->host[0].slot[3].tx_bytes, RIG_RING);
	assert_int_equal(atomic_load(&r->host[0].slot[3].tx_most), 131072);
	rig_transfer(r, 3, (uint32_t)b, 2 << 20);
	assert_int_equal(r->host[0].tx[3].bytes, 131072);
	rig_free(r);
}

static void who_sends_to_a_peer_that_does_not_read_grows_too(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);

	/* All of the largest tx ring, and the peer's first rx ring. */
	rig_until(r, app_write(&r->host[0], 3, 3, 8 << 20) == MOST + RIG_RING);
	assert_int_equal(atomic_load(&r->host[1].slot[b].rx_given), 0);
	rig_transfer(r, 3, b, 8 << 20);
	rig_free(r);
}

static void who_waits_for_room_is_told_of_a_larger_ring(void **state)
{
	struct rig *r = rig_of(state);
	struct rig_host *h = &r->host[0];
	uint64_t word;

	(void)rig_connect(r, 3, 80);
	atomic_fetch_or(&h->slot[3].notify, NOTIFY_CQ(EV_OUT));
	assert_int_equal(app_write(h, 3, 3, 8 << 20), RIG_RING);
	rig_until(r, ring_pop(&h->cq, &word) == 0);
	assert_true(word == cq_word(3, EV_OUT));
	rig_free(r);
}

static void rx_want_is_answered(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b = rig_connect(r, 3, 80);
	struct rig_host *h = &r->host[1];
	struct slot_shm *t = &h->slot[b];
	uint64_t word;

	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, 8 << 20);
			  atomic_load(&t->rx_tail) == RIG_RING;
		  }));
	assert_int_equal(atomic_load(&t->rx_given), 0);
	atomic_store(&t->rx_want, 300000);
	app_kick(h, b);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, 8 << 20);
			  atomic_load(&t->rx_tail) == 512 << 10;
		  }));
	assert_int_equal(t->rx_bytes, 512 << 10);
	/* The old ring is not left: the answer is that there is no larger one. */
	atomic_fetch_or(&t->notify, NOTIFY_CQ(EV_IN));
	rig_until(r, ring_pop(&h->cq, &word) == -EAGAIN);
	atomic_store(&t->rx_want, 600000);
	app_kick(h, b);
	rig_until(r, atomic_load(&t->rx_most) == 512 << 10);
	rig_until(r, ring_pop(&h->cq, &word) == 0);
	rig_transfer(r, 3, b, 8 << 20);
	assert_int_equal(h->rx[b].bytes, MOST);
	assert_int_equal(atomic_load(&t->rx_most), MOST);
	rig_free(r);
}

static void streams_that_cannot_grow_go_on(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t got[12] = { 0 };
	uint32_t b[12], done = 0;

	for (uint32_t i = 0; i < 12; i++)
		b[i] = rig_connect(r, i, 80);
	r->host[0].deny = r->host[1].deny = true;
	rig_until(r, ({
			  done = 0;
			  for (uint32_t i = 0; i < 12; i++) {
				  (void)app_write(&r->host[0], i, i, 4 << 20);
				  got[i] = app_read(&r->host[1], b[i], i);
				  done += got[i] == 4 << 20;
			  }
			  done == 12;
		  }));
	assert_int_equal(r->host[0].bad + r->host[1].bad, 0);
	rig_free(r);
}

static void growth_leaves_room_for_others(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t bytes = 0, got[48] = { 0 };
	uint32_t b[48], done = 0;

	for (uint32_t i = 0; i < 48; i++)
		b[i] = rig_connect(r, i, 80);
	rig_until(r, ({
			  done = 0;
			  for (uint32_t i = 0; i < 48; i++) {
				  (void)app_write(&r->host[0], i, i, 3 << 20);
				  got[i] = app_read(&r->host[1], b[i], i);
				  done += got[i] == 3 << 20;
			  }
			  done == 48;
		  }));
	for (uint32_t i = 0; i < 48; i++)
		bytes += r->host[0].tx[i].bytes;
	/* Of 64 MiB, half by growth without a limit. */
	assert_in_range(bytes, 12 << 20, 40 << 20);
	(void)rig_connect(r, 100, 80);
	assert_int_equal(r->host[0].slot[100].tx_bytes, RIG_RING);
	rig_free(r);
}

static void old_rings_and_new_go_back(void **state)
{
	struct rig *r = rig_of(state);
	uint32_t b[4];

	for (uint32_t i = 0; i < 4; i++) {
		b[i] = rig_connect(r, i, 80);
		rig_transfer(r, i, b[i], (4 << 20) >> (2 * i));
	}
	/* One with a ring given and not taken, one after the other's end. */
	(void)rig_connect(r, 5, 80);
	rig_until(r, ({
			  bool given = atomic_load(&r->host[0].slot[5].tx_given) == 1;

			  if (!given)
				  (void)app_write(&r->host[0], 5, 5, 8 << 20);
			  given;
		  }));
	app_close(&r->host[1], b[0], CLOSE_ABORT);
	rig_remove_client(r, 0);
	rig_remove_client(r, 1);
	for (int i = 0; i < 2; i++)
		assert_true(arena_used(r->host[i].port->arena) == 0);
	rig_free(r);
}

static void lies_about_rings_end_the_attachment(void **state)
{
	for (int lie = 0; lie < 4; lie++) {
		struct rig *r = rig_of(state);
		uint32_t b = rig_connect(r, 3, 80);
		struct rig_host *h = &r->host[lie < 2 ? 0 : 1];
		struct slot_shm *s = lie < 2 ? &h->slot[3] : &h->slot[b];

		if (lie == 1)
			atomic_store(&s->tx_taken, 1); /* before there is one */
		if (lie == 3)
			atomic_store(&s->rx_taken, 5);
		if (lie < 2) {
			h->tx[3] = app_tx_place(h, 3);
			(void)app_write(&r->host[0], 3, 3, 8 << 20);
			rig_until(r, atomic_load(&s->tx_given) == 1);
			if (lie == 0)
				atomic_store(&s->tx_taken, 2);
			app_kick(h, 3);
			/* Taken without a copy: its own bytes are wrong, no more. */
			if (lie == 1)
				rig_until(r, atomic_load(&s->tx_head) == RIG_RING);
		} else {
			rig_until(r, ({
					  (void)app_write(&r->host[0], 3, 3, 8 << 20);
					  atomic_load(&s->rx_tail) == RIG_RING;
				  }));
			/* Read without a word of the ring that is read. */
			atomic_store(&s->rx_head, RIG_RING);
			app_kick(h, b);
			rig_until(r, atomic_load(&s->rx_given) == 1);
			atomic_store(&s->rx_taken, 5);
			app_kick(h, b);
		}
		if (lie != 1) {
			rig_until(r, h->bad == 1);
			assert_string_equal(h->reason, lie < 2 ? "tx_taken is impossible"
							       : "rx_taken is impossible");
		}
		assert_int_equal(r->host[lie < 2 ? 1 : 0].bad, 0);
		rig_remove_client(r, lie < 2 ? 0 : 1);
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(bulk_grows_both_rings_in_two_steps),
		RIG_BOTH(small_messages_leave_rings_small),
		RIG_BOTH(a_wanted_size_is_the_most),
		RIG_BOTH(who_sends_to_a_peer_that_does_not_read_grows_too),
		RIG_BOTH(who_waits_for_room_is_told_of_a_larger_ring),
		RIG_BOTH(rx_want_is_answered),
		RIG_BOTH(streams_that_cannot_grow_go_on),
		RIG_BOTH(growth_leaves_room_for_others),
		RIG_BOTH(old_rings_and_new_go_back),
		RIG_BOTH(lies_about_rings_end_the_attachment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
