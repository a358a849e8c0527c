/* SPDX-License-Identifier: MIT */
/*
 * test_port_joint_end.c - Goal: whenever one end of a stream dies or lies on its way into a joined
 * ring and out of it, the other loses no byte that was published, and the ring goes back. Method:
 * joint_pair.h; an application that dies stops between two of its stores.
 */
#include "joint_pair.h"

#define SEED_BACK 77 /* of the bytes from the reader to the writer */

static void kill_end(const struct pair *p, const struct rig_host *who)
{
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = who->port };

	rig_command(p->r, 1, &cmd);
}

/* The writer is dead: what it had published is read, and all goes back. */
static void reader_ends_well(const struct pair *p, uint64_t to)
{
	rig_until(p->r, app_read(p->b, p->slot, SLOT) == to);
	rig_until(p->r, app_flags(p->b, p->slot) & (SLOT_F_RESET | SLOT_F_EOF));
	assert_true(app_read(p->b, p->slot, SLOT) == to);
	app_close(p->b, p->slot, CLOSE_GRACEFUL);
	rig_until(p->r, p->r->joints_over == p->r->joints);
	assert_int_equal(p->a->bad + p->b->bad, 0);
}

static void writer_ends_well(const struct pair *p)
{
	rig_until(p->r, app_flags(p->a, SLOT) & SLOT_F_RESET);
	app_close(p->a, SLOT, CLOSE_GRACEFUL);
	rig_until(p->r, p->r->joints_over == p->r->joints);
	assert_int_equal(p->a->bad + p->b->bad, 0);
}

/* Until a joined ring is asked for. */
static uint64_t wanted(const struct pair *p)
{
	uint64_t at = 0;

	rig_until(p->r, ({
			  at = app_write(p->a, SLOT, SLOT, at + 400000);
			  rig_pump(p->r);
			  if (p->r->joints == 0)
				  (void)app_read(p->b, p->slot, SLOT);
			  p->r->joints > 0;
		  }));
	return at;
}

static void one_may_be_killed_after_any_step(void **state)
{
	for (int steps = 0; steps < 24; steps++) {
		for (int who = 0; who < 2; who++) {
			struct pair p;
			uint64_t at;

			pair_open(state, &p);
			at = wanted(&p);
			for (int i = 0; i < steps; i++) {
				if (i % 2)
					(void)app_read(p.b, p.slot, SLOT);
				else
					at = app_write(p.a, SLOT, SLOT, at + 400000);
				rig_rest(p.r);
				rig_pump(p.r);
			}
			kill_end(&p, who ? p.b : p.a);
			if (who)
				writer_ends_well(&p);
			else
				reader_ends_well(&p, at);
			rig_free(p.r);
		}
	}
}

/* The writer is let in, and has not come. Returns how far it wrote. */
static uint64_t let_in(const struct pair *p)
{
	uint64_t at = join_half(p);

	rig_until(p->r, ({
			  (void)app_read(p->b, p->slot, SLOT);
			  atomic_load(&p->s->tx_given) != atomic_load(&p->s->tx_taken);
		  }));
	assert_true(p->s->tx_segment & JOINT_FLAG);
	return at;
}

static void a_writer_may_be_killed_within_the_exchange(void **state)
{
	for (int done = 0; done < 5; done++) {
		struct rig_ring ring;
		struct pair p;
		uint64_t at, acked;

		pair_open(state, &p);
		at = let_in(&p);
		acked = atomic_load(&p.s->tx_head);
		ring = app_tx_place(p.a, SLOT);
		if (done == 1) /* a part of the copy, and rubbish where it has room */
			memset(ring.base + (at & (ring.bytes - 1)), 0x55, 1000);
		if (done >= 2)
			rig_carry(ring, 0, p.a->tx[SLOT], atomic_load(&p.s->tx_base), acked, at);
		if (done >= 3)
			atomic_store(&p.s->tx_taken, atomic_load(&p.s->tx_given));
		if (done == 4) { /* without a kick */
			for (uint64_t i = at; i < at + 5000; i++)
				ring.base[i & (ring.bytes - 1)] = app_byte(SLOT, i);
			atomic_store(&p.s->tx_tail, at += 5000);
		}
		kill_end(&p, p.a);
		reader_ends_well(&p, at);
		rig_free(p.r);
	}
}

static void a_reader_may_be_killed_within_the_exchange(void **state)
{
	for (int done = 0; done < 3; done++) {
		struct pair p;
		uint64_t at;

		pair_open(state, &p);
		at = join_half(&p);
		if (done >= 1)
			atomic_store(&p.t->rx_taken, atomic_load(&p.t->rx_given));
		if (done >= 2)
			atomic_store(&p.t->rx_head, atomic_load(&p.t->rx_tail));
		kill_end(&p, p.b);
		(void)app_write(p.a, SLOT, SLOT, at + 100000);
		writer_ends_well(&p);
		rig_free(p.r);
	}
}

/* Each of them in the middle, when the other has not seen all of it. */
static void both_may_be_killed(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct pair p;

		pair_open(state, &p);
		(void)app_write(p.a, SLOT, SLOT, join(&p) + 3000000);
		kill_end(&p, first ? p.b : p.a);
		kill_end(&p, first ? p.a : p.b);
		rig_until(p.r, p.r->joints_over == 1);
		rig_until(p.r, p.a->gone == 1 && p.b->gone == 1);
		rig_free(p.r);
	}
}

/* Of rx_head, and of the rings that they have taken or left. */
static void who_lies_is_detached_and_the_other_is_not(void **state)
{
	for (int lie = 0; lie < 6; lie++) {
		bool reader = lie < 3;
		struct pair p;
		uint64_t at;

		pair_open(state, &p);
		if (lie == 1)
			(void)join_half(&p);
		else if (lie == 4)
			(void)let_in(&p);
		else
			at = join(&p);
		switch (lie) {
		case 0: /* it goes back, from where the worker knows it to be */
			rig_until(p.r, atomic_load(&p.s->tx_read) == at);
			atomic_store(&p.t->rx_head, at - 1);
			break;
		case 1:
			atomic_store(&p.t->rx_taken, atomic_load(&p.t->rx_given) + 1);
			break;
		case 2:
			atomic_store(&p.t->rx_head, at + joint_size(&p) + 1);
			break;
		case 3:
			atomic_store(&p.s->tx_tail, at + joint_size(&p) + 1);
			break;
		case 4:
			atomic_store(&p.s->tx_taken, atomic_load(&p.s->tx_given) + 1);
			break;
		default:
			atomic_store(&p.s->tx_tail, UINT64_MAX);
			break;
		}
		app_kick(reader ? p.b : p.a, reader ? p.slot : SLOT);
		rig_until(p.r, (reader ? p.b : p.a)->bad == 1);
		/* As control does then. */
		kill_end(&p, reader ? p.b : p.a);
		if (reader) {
			rig_until(p.r, app_flags(p.a, SLOT) & SLOT_F_RESET);
			app_close(p.a, SLOT, CLOSE_GRACEFUL);
		} else {
			rig_until(p.r, app_flags(p.b, p.slot) & SLOT_F_RESET);
			app_close(p.b, p.slot, CLOSE_GRACEFUL);
		}
		rig_until(p.r, p.r->joints_over == 1);
		assert_int_equal((reader ? p.a : p.b)->bad, 0);
		rig_free(p.r);
	}
}

/* Says that it has read what it has not: its bytes are written over, and nobody else's. */
static void a_reader_that_has_not_read_loses_its_own_bytes(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p);
	for (int i = 0; i < 40; i++) {
		at = app_write(p.a, SLOT, SLOT, UINT64_MAX);
		atomic_store(&p.t->rx_head, atomic_load(&p.t->rx_tail));
		app_kick(p.b, p.slot);
		rig_rest(p.r);
		rig_pump(p.r);
	}
	rig_until(p.r, ({
			  atomic_store(&p.t->rx_head, atomic_load(&p.t->rx_tail));
			  app_kick(p.b, p.slot);
			  atomic_load(&p.t->rx_head) == at;
		  }));
	move(&p, at + BULK);
	assert_int_equal(p.a->bad + p.b->bad, 0);
	rig_free(p.r);
}

/* Both ways, up to @to at least. */
static void move_both(const struct pair *p, uint64_t to)
{
	rig_until(p->r, ({
			  (void)app_write(p->a, SLOT, SLOT, to);
			  (void)app_write(p->b, p->slot, SEED_BACK, to);
			  uint64_t here = app_read(p->a, SLOT, SEED_BACK);
			  uint64_t there = app_read(p->b, p->slot, SLOT);
			  here >= to && there >= to;
		  }));
}

/* A ring for each direction, exchanged while the other is full, and given back. */
static void both_directions_are_joined_under_load(void **state)
{
	uint64_t to = 0;
	struct pair p;

	pair_open(state, &p);
	for (int i = 0; i < 200 && !(joined(&p) && p.b->tx[p.slot].joined &&
				     p.a->rx[SLOT].joined); i++)
		move_both(&p, to += 1500000);
	assert_true(joined(&p) && p.b->tx[p.slot].joined && p.a->rx[SLOT].joined);
	assert_int_equal(p.r->joints, 2);
	move_both(&p, to += BULK);
	/* One direction goes on where the other has ended. */
	app_shutdown(p.a, SLOT);
	rig_until(p.r, app_flags(p.b, p.slot) & SLOT_F_EOF);
	to += BULK;
	rig_until(p.r, ({
			  (void)app_write(p.b, p.slot, SEED_BACK, to);
			  app_read(p.a, SLOT, SEED_BACK) == to;
		  }));
	app_close(p.b, p.slot, CLOSE_GRACEFUL);
	app_close(p.a, SLOT, CLOSE_GRACEFUL);
	rig_until(p.r, p.r->joints_over == 2);
	assert_int_equal(p.a->bad + p.b->bad, 0);
	rig_free(p.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(one_may_be_killed_after_any_step),
		RIG_BOTH(a_writer_may_be_killed_within_the_exchange),
		RIG_BOTH(a_reader_may_be_killed_within_the_exchange),
		RIG_BOTH(both_may_be_killed),
		RIG_BOTH(who_lies_is_detached_and_the_other_is_not),
		RIG_BOTH(a_reader_that_has_not_read_loses_its_own_bytes),
		RIG_BOTH(both_directions_are_joined_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
