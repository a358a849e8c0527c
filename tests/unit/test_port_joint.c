/* SPDX-License-Identifier: MIT */
/*
 * test_port_joint.c - Goal: a stream of bulk within one host gets one ring for both ends, no byte
 * is lost or wrong on the way there and away, and the memory goes back whoever ends first. Method:
 * worker_rig.h, two applications of host 1; each byte is checked.
 */
#include "joint_pair.h"

#include "port_calls.h"

static void bulk_within_a_host_has_one_ring(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p);
	move(&p, at + BULK);
	assert_int_equal(p.r->joints, 1);
	assert_int_equal(p.b->bad + p.a->bad, 0);
	/* All of it is room again: nothing was kept for the ring before. */
	rig_until(p.r, atomic_load(&p.s->tx_read) == at + BULK);
	rig_until(p.r, app_write(p.a, SLOT, SLOT, UINT64_MAX) == at + BULK + joint_size(&p));
	assert_int_equal(app_write(p.a, SLOT, SLOT, UINT64_MAX), at + BULK + joint_size(&p));
	rig_until(p.r, app_read(p.b, p.slot, SLOT) == at + BULK + joint_size(&p));
	rig_free(p.r);
}

/* Or the stream could not be taken by another process before a reader that sleeps has more. */
static void the_writer_comes_when_its_reader_has_followed(void **state)
{
	struct pair p;
	uint64_t at = 0;
	uint32_t given;

	pair_open(state, &p);
	rig_until(p.r, ({
			  at = app_write(p.a, SLOT, SLOT, at + 1500000);
			  given = atomic_load(&p.s->tx_given);
			  rig_pump(p.r);
			  if (p.r->joints == 0)
				  (void)app_read(p.b, p.slot, SLOT);
			  p.r->joints > 0;
		  }));
	/* From now on it does not read. */
	rig_until(p.r, atomic_load(&p.t->rx_given) != atomic_load(&p.t->rx_taken));
	assert_true(p.t->rx_segment & JOINT_FLAG);
	at = app_write(p.a, SLOT, SLOT, UINT64_MAX);
	rig_rest(p.r);
	assert_int_equal(atomic_load(&p.s->tx_given), given);
	rig_until(p.r, ({
			  at = app_write(p.a, SLOT, SLOT, at + 1500000);
			  (void)app_read(p.b, p.slot, SLOT);
			  joined(&p);
		  }));
	move(&p, at);
	rig_free(p.r);
}

static void a_reader_that_ends_before_it_has_followed_leaves_nothing(void **state)
{
	struct pair p;

	pair_open(state, &p);
	(void)join_half(&p);
	app_close(p.b, p.slot, CLOSE_GRACEFUL);
	rig_until(p.r, p.r->joints_over == 1);
	/* Its memory is gone, and the writer's end is not. */
	rig_until(p.r, app_flags(p.a, SLOT) & SLOT_F_RESET);
	app_close(p.a, SLOT, CLOSE_GRACEFUL);
	rig_until(p.r, app_state(p.a, SLOT) == SLOT_FREE);
	rig_free(p.r);
}

/* Nobody keeps room for it: the reader may want to see all that its ring holds, and more. */
static void a_writer_that_is_shared_before_it_is_let_in_stays_outside(void **state)
{
	struct pair p;
	uint64_t at;
	uint32_t want;

	pair_open(state, &p);
	at = join_half(&p);
	share(&p);
	move(&p, at += 1500000);
	assert_true(p.b->rx[p.slot].joined && !p.a->tx[SLOT].joined);
	want = p.b->rx[p.slot].bytes + (1u << 20);
	atomic_store(&p.t->rx_want, want);
	rig_until(p.r, (app_follow_rx(p.b, p.slot), app_kick(p.b, p.slot),
			(void)app_write(p.a, SLOT, SLOT, at + want),
			atomic_load(&p.t->rx_tail) == at + want));
	atomic_store(&p.t->rx_want, 0);
	move(&p, at + BULK);
	assert_false(p.a->tx[SLOT].joined);
	rig_free(p.r);
}

static void who_does_not_read_stops_the_writer_and_loses_nothing(void **state)
{
	struct pair p;
	uint64_t at = 0, to = 0, seen;

	pair_open(state, &p);
	/* It reads now and then only, before, while and after they are joined. */
	for (int i = 0; i < 200; i++) {
		to = app_write(p.a, SLOT, SLOT, UINT64_MAX);
		rig_pump(p.r);
		if (i % 3 == 0)
			at = app_read(p.b, p.slot, SLOT);
		assert_true(to - at <= 2 * RIG_MOST);
	}
	rig_until(p.r, (seen = app_read(p.b, p.slot, SLOT)) == to);
	move(&p, to + BULK);
	rig_free(p.r);
}

static void a_writer_that_closes_leaves_its_bytes(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p) + 3000000;
	rig_until(p.r, app_write(p.a, SLOT, SLOT, at) == at);
	app_close(p.a, SLOT, CLOSE_GRACEFUL);
	rig_until(p.r, app_state(p.a, SLOT) == SLOT_FREE);
	assert_int_equal(p.r->joints_over, 0);
	rig_until(p.r, app_read(p.b, p.slot, SLOT) == at);
	rig_until(p.r, app_flags(p.b, p.slot) & SLOT_F_EOF);
	app_close(p.b, p.slot, CLOSE_GRACEFUL);
	rig_until(p.r, p.r->joints_over == 1);
	rig_free(p.r);
}

static void a_writer_that_is_killed_leaves_its_bytes(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p) + 3000000;
	rig_until(p.r, app_write(p.a, SLOT, SLOT, at) == at);
	/* What it was putting there when it died. */
	memset(p.a->tx[SLOT].base + (at & (joint_size(&p) - 1)), 0x55, 1000);
	app_shutdown(p.a, SLOT);
	{
		struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = p.a->port };

		rig_command(p.r, 1, &cmd);
	}
	rig_until(p.r, app_read(p.b, p.slot, SLOT) == at);
	rig_until(p.r, app_flags(p.b, p.slot) & SLOT_F_EOF);
	app_close(p.b, p.slot, CLOSE_GRACEFUL);
	rig_until(p.r, p.r->joints_over == 1);
	rig_until(p.r, p.a->gone == 1);
	rig_free(p.r);
}

static void a_reader_that_ends_gives_its_half_back(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p);
	rig_until(p.r, app_write(p.a, SLOT, SLOT, at + 100000) == at + 100000);
	rig_until(p.r, atomic_load(&p.t->rx_tail) == at + 100000);
	app_close(p.b, p.slot, CLOSE_GRACEFUL);
	rig_until(p.r, app_flags(p.a, SLOT) & SLOT_F_RESET);
	assert_int_equal(p.r->joints_over, 0);
	app_close(p.a, SLOT, CLOSE_GRACEFUL);
	rig_until(p.r, p.r->joints_over == 1);
	rig_free(p.r);
}

static void without_memory_the_rings_grow_as_ever(void **state)
{
	struct pair p;

	pair_open(state, &p);
	p.r->no_joints = true;
	move(&p, BULK);
	assert_true(p.a->tx[SLOT].bytes > 256u << 10);
	assert_false(p.a->tx[SLOT].joined || p.b->rx[p.slot].joined);
	rig_free(p.r);
}

static void who_lies_about_a_joined_ring_is_detached(void **state)
{
	for (int lie = 0; lie < 3; lie++) {
		struct pair p;
		uint64_t at;

		pair_open(state, &p);
		at = join(&p);
		if (lie == 0)
			atomic_store(&p.s->tx_tail, at + 2 * joint_size(&p));
		else if (lie == 1)
			atomic_store(&p.s->tx_tail, at - 1);
		else
			atomic_store(&p.t->rx_head, at + 1);
		app_kick(lie < 2 ? p.a : p.b, lie < 2 ? SLOT : p.slot);
		rig_until(p.r, (lie < 2 ? p.a : p.b)->bad == 1);
		assert_int_equal((lie < 2 ? p.b : p.a)->bad, 0);
		rig_free(p.r);
	}
}

static void one_that_goes_back_to_what_was_read_hurts_its_stream_only(void **state)
{
	struct pair p;
	uint64_t at;

	pair_open(state, &p);
	at = join(&p);
	/* Room that it has not: what is unread changes under the reader. */
	rig_until(p.r, app_write(p.a, SLOT, SLOT, at + joint_size(&p)) == at + joint_size(&p));
	rig_until(p.r, atomic_load(&p.t->rx_tail) == at + joint_size(&p));
	rig_until(p.r, atomic_load(&p.s->tx_head) == at + joint_size(&p));
	atomic_store(&p.s->tx_tail, at + joint_size(&p) + 1000);
	app_kick(p.a, SLOT);
	atomic_store(&p.t->rx_head, at + joint_size(&p) / 2);
	app_kick(p.b, p.slot);
	rig_until(p.r, atomic_load(&p.t->rx_tail) == at + joint_size(&p) + 1000);
	assert_int_equal(p.a->bad + p.b->bad, 0);
	rig_free(p.r);
}


/* More than the ring holds is to be seen at once; not before the writer has come there too. */
static void a_reader_that_wants_more_leaves(void **state)
{
	struct pair p;
	uint64_t at = 0;
	uint32_t want;

	pair_open(state, &p);
	while (!p.b->rx[p.slot].joined)
		move(&p, at += 100000);
	want = p.b->rx[p.slot].bytes + (1u << 20);
	atomic_store(&p.t->rx_want, want);
	/* The writer fills what it has, and comes; what is unread stays so. */
	rig_until(p.r, (app_follow_rx(p.b, p.slot), app_kick(p.b, p.slot),
			(void)app_write(p.a, SLOT, SLOT, at + want),
			atomic_load(&p.t->rx_tail) == at + want));
	assert_false(p.b->rx[p.slot].joined);
	atomic_store(&p.t->rx_want, 0);
	move(&p, at + BULK);
	assert_int_equal(p.a->bad + p.b->bad, 0);
	app_close(p.a, SLOT, CLOSE_GRACEFUL);
	app_close(p.b, p.slot, CLOSE_GRACEFUL);
	rig_until(p.r, p.r->joints_over == 1);
	rig_free(p.r);
}

/* An application that says version 4. */
static void who_does_not_know_joined_rings_gets_none(void **state)
{
	struct pair p;

	pair_open(state, &p);
	p.a->port->cfg.joins = false; /* the worker has read nothing of it yet */
	move(&p, BULK);
	assert_int_equal(p.r->joints, 0);
	rig_free(p.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(bulk_within_a_host_has_one_ring),
		RIG_BOTH(the_writer_comes_when_its_reader_has_followed),
		RIG_BOTH(a_reader_that_ends_before_it_has_followed_leaves_nothing),
		RIG_BOTH(a_writer_that_is_shared_before_it_is_let_in_stays_outside),
		RIG_BOTH(who_does_not_read_stops_the_writer_and_loses_nothing),
		RIG_BOTH(a_writer_that_closes_leaves_its_bytes),
		RIG_BOTH(a_writer_that_is_killed_leaves_its_bytes),
		RIG_BOTH(a_reader_that_ends_gives_its_half_back),
		RIG_BOTH(without_memory_the_rings_grow_as_ever),
		RIG_BOTH(who_lies_about_a_joined_ring_is_detached),
		RIG_BOTH(a_reader_that_wants_more_leaves),
		RIG_BOTH(who_does_not_know_joined_rings_gets_none),
		RIG_BOTH(one_that_goes_back_to_what_was_read_hurts_its_stream_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
