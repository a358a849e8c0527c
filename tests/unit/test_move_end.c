/* SPDX-License-Identifier: MIT */
/*
 * test_move_end.c - Goal: whatever dies while a stream moves, or lies about it, the stream goes on
 * at both ends, or ends at both, and nothing is left of it. Method: as test_move.c; a move is made
 * up to each of its steps, then something happens.
 */
#include "../ncd_test.h"

#include <stdlib.h>

#include "move_rig.h"

#define STEPS 9

static void set_up_as(struct moves *m, int mover, bool one)
{
	struct engine_config cfg = rig_config();

	move_set_up_as(m, mover, one, &cfg);
}

/* In half of the cases B's host has one worker. */
static void set_up(struct moves *m, int mover)
{
	static uint32_t times;

	set_up_as(m, mover, times++ / 2 % 2);
}

static void tear_down(struct moves *m)
{
	for (uint32_t i = 0; i < m->rings; i++)
		free(m->ring[i].base);
	for (int i = 0; i < 2; i++)
		rig_fini(&m->lane[i]);
}

/* The first @steps of a move. */
static void steps(struct moves *m, int nr)
{
	for (int i = 0; i < nr; i++) {
		if (i == 0)
			move_begin(m);
		else if (i % 2 == 0)
			move_serve(m);
		else
			assert_int_equal(move_carry(m, 1, i == 3 || i == 7), 0);
	}
}

/* Bytes of both are under way in the old lane, and written. */
static void traffic(struct moves *m)
{
	assert_int_equal(move_write(m, &m->a, 500), 0);
	assert_int_equal(move_write(m, &m->b, 600), 0);
	for (int w = 0; w < 2; w++)
		for (int h = 0; h < 2; h++)
			(void)rig_send(&m->lane[0], w, h);
	assert_int_equal(move_write(m, &m->a, 50), 0);
	assert_int_equal(move_write(m, &m->b, 60), 0);
}

static void later(struct moves *m, uint64_t ns)
{
	m->lane[0].now_ns += ns;
	m->lane[1].now_ns += ns;
}

/* ---- channels die ---- */

static void cut_one(struct moves *m, int lane, int w)
{
	rig_cut(&m->lane[lane], w);
	move_pump(m);
	move_up(m, lane, w);
}

static void cut_lane(struct moves *m, int lane)
{
	for (int w = 0; w < 2; w++)
		rig_cut(&m->lane[lane], w);
	move_pump(m);
	for (int w = 0; w < 2; w++)
		move_up(m, lane, w);
}

/* One end hears at once, the other after it has heard of all that the first then says. */
static void cut_unevenly(struct moves *m, int w, bool b_first)
{
	int first = b_first ? !m->mover : m->mover;

	rig_down_one(&m->lane[1], w, first);
	move_pump(m);
	rig_down_one(&m->lane[1], w, !first);
	move_pump(m);
	move_up(m, 1, w);
}

#define FAULTS 8

static void fault(struct moves *m, int which)
{
	switch (which) {
	case 0:
	case 1:
		cut_one(m, 1, which);
		break;
	case 2:
		cut_lane(m, 1);
		break;
	case 3:
		cut_lane(m, 0);
		break;
	default:
		cut_unevenly(m, which % 2, which / 2 % 2);
		break;
	}
}

static void channels_die_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < STEPS * FAULTS * 2; i++) {
		int step = i % STEPS, which = i / STEPS % FAULTS, mover = (step + which) % 2;
		struct moves m;

		set_up(&m, mover);
		m.no = i / STEPS / FAULTS == 1;
		traffic(&m);
		steps(&m, step);
		fault(&m, which);
		move_pump(&m);
		assert_int_equal(m.refused, m.no && step > 0);
		assert_true((m.a.e == move_engine(&m, 1, false)) == (!m.no && step > 0));
		move_goes_on(&m);
		move_nothing_left(&m);
		tear_down(&m);
	}
}

/* Two deaths, one after the other. */
static void channels_die_twice(void **state)
{
	(void)state;
	for (int i = 0; i < STEPS * FAULTS; i++) {
		int mover = i % 2, step = i % STEPS, which = i * 5 % (FAULTS * FAULTS);
		struct moves m;

		set_up(&m, mover);
		traffic(&m);
		steps(&m, step);
		for (int w = 0; w < 2; w++)
			for (int h = 0; h < 2; h++)
				(void)rig_send(&m.lane[1], w, h);
		rig_cut(&m.lane[1], which % 2);
		(void)move_carry(&m, 1, which % 3);
		fault(&m, which / FAULTS);
		move_up(&m, 1, which % 2);
		fault(&m, which % FAULTS);
		move_goes_on(&m);
		move_nothing_left(&m);
		tear_down(&m);
	}
}

/* ACCEPT goes on another channel than RESUME came on, and is lost with that. */
static void an_accept_is_lost_alone(void **state)
{
	struct moves *m = *state;

	rig_cut(&m->lane[1], 0);
	steps(m, 2);
	move_up(m, 1, 0);
	move_serve(m);
	assert_true(rig_send(&m->lane[1], 0, !m->mover) > 0);
	cut_one(m, 1, 0);
	move_pump(m);
	assert_true(m->a.e == move_engine(m, 1, false));
	move_goes_on(m);
	move_nothing_left(m);
}

/* Both ends of the stream have ended with an error, and nothing is left. */
static void is_over(struct moves *m)
{
	for (int i = 0; i < 4; i++)
		move_pump(m);
	assert_null(m->a.s);
	assert_null(m->b.s);
	assert_null(m->a1);
	assert_true(m->a.error == -ECONNRESET || m->a.error == -ETIMEDOUT);
	assert_true(m->b.error == -ECONNRESET || m->b.error == -ETIMEDOUT);
	move_nothing_left(m);
}

/* The new lane dies and does not come again. */
static void the_new_lane_dies_for_good(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * STEPS; i++) {
		struct moves m;

		/* A worker that hears of a peer in any lane gives up nothing. */
		set_up_as(&m, i % 2, false);
		traffic(&m);
		steps(&m, i / 2);
		for (int w = 0; w < 2; w++)
			rig_cut(&m.lane[1], w);
		move_pump(&m);
		later(&m, m.lane[0].cfg.unreachable_ns + 1000000000);
		move_pump(&m);
		if (i / 2 <= 1) { /* nobody was asked */
			assert_int_equal(m.refused, i / 2);
			move_goes_on(&m);
			move_nothing_left(&m);
		} else {
			is_over(&m);
		}
		tear_down(&m);
	}
}

/* B's end has come to lane 1 and was given up there. Then the lane is back, and A, which had more
 * patience, asks again and is refused: its end must not wait for ever. */
static void a_refusal_may_be_that_of_a_copy(void **state)
{
	struct moves m;

	(void)state;
	set_up_as(&m, 0, false);
	steps(&m, 3);
	rig_cut(&m.lane[1], 0);
	rig_cut(&m.lane[1], 1);
	m.lane[0].now_ns += m.lane[0].cfg.unreachable_ns + 1000000000;
	m.lane[1].now_ns = m.lane[0].now_ns;
	{
		struct channel *dead;

		engine_tick(m.b.e, m.lane[1].now_ns, &dead);
	}
	move_serve(&m);
	assert_int_equal(m.b.error, -ETIMEDOUT);
	assert_null(m.b.s);
	assert_int_equal(m.tombstone, 0);
	assert_non_null(m.a1);
	move_up(&m, 1, 0);
	move_pump(&m);
	assert_int_equal(m.refused, 1);
	assert_int_equal(m.a.error, -ECONNRESET);
	is_over(&m);
	tear_down(&m);
}

/* A cannot know whether B has heard of it, and gone. */
static void who_was_asked_may_have_gone(void **state)
{
	struct moves *m = *state;
	struct channel *dead;

	steps(m, 3);
	rig_cut(&m->lane[1], 0);
	rig_cut(&m->lane[1], 1);
	later(m, m->lane[0].cfg.unreachable_ns + 1000000000);
	engine_tick(move_engine(m, 1, false), m->lane[1].now_ns, &dead);
	move_serve(m);
	assert_int_equal(m->refused, 0);
	assert_int_equal(m->a.error, -ECONNRESET);
	move_pump(m);
	is_over(m);
}

/* ---- hosts and applications die ---- */

static void a_peer_restarts_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * STEPS * 2; i++) {
		bool old_first = i / 2 / STEPS;
		struct moves m;

		set_up(&m, i % 2);
		traffic(&m);
		steps(&m, i / 2 % STEPS);
		for (int k = 0; k < 2; k++) {
			int lane = k == old_first;

			for (int w = 0; w < 2; w++)
				rig_cut(&m.lane[lane], w);
			for (int h = 0; h < 2; h++)
				engine_peer_reset(m.lane[lane].host[h].engine, 1,
						  m.lane[0].now_ns);
			/* Workers do not hear of it at the same time. */
			move_serve(&m);
			for (int w = 0; w < 2; w++)
				move_up(&m, lane, w);
			move_pump(&m);
		}
		is_over(&m);
		tear_down(&m);
	}
}

static void a_peer_is_removed_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * STEPS; i++) {
		struct moves m;

		set_up(&m, i % 2);
		traffic(&m);
		steps(&m, i / 2 % STEPS);
		for (int k = 0; k < 4; k++)
			engine_peer_remove(m.lane[k / 2].host[k % 2].engine, 1, m.lane[0].now_ns);
		is_over(&m);
		tear_down(&m);
	}
}

static void applications_abort_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * STEPS * 3; i++) {
		int who = i / 2 / STEPS;
		struct moves m;

		set_up(&m, i % 2);
		traffic(&m);
		steps(&m, i / 2 % STEPS);
		for (int k = 0; k < 2; k++) {
			struct move_end *end = k ? &m.b : &m.a;

			if (who == !k) /* 2: both */
				continue;
			engine_stream_abort(end->e, end->s, WIRE_E_RESET, m.lane[0].now_ns);
			end->closed = true;
			end->error = -ECONNRESET;
		}
		is_over(&m);
		tear_down(&m);
	}
}

/* A daemon that lets go of the placeholder as soon as the stream is gone. */
static void a_placeholder_is_given_up_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * 4; i++) {
		struct moves m;

		set_up(&m, i % 2);
		traffic(&m);
		steps(&m, 1 + i / 2);
		engine_stream_abort(m.a.e, m.a.s, WIRE_E_RESET, m.lane[0].now_ns);
		m.a.closed = true;
		m.a.error = -ECONNRESET;
		engine_stream_abort(move_engine(&m, 1, false), m.a1, WIRE_E_RESET,
				    m.lane[0].now_ns);
		is_over(&m);
		tear_down(&m);
	}
}

/* ---- peers that lie ---- */

static const uint8_t zeros[8192];

static int says_resume(struct moves *m, uint64_t old, uint32_t lane, uint64_t id)
{
	uint8_t payload[8];

	wire_put64(payload, id);
	return move_says(m, 1, false, (struct frame){ .type = FRAME_RESUME, .length = 8,
						       .stream = old, .window = lane }, payload);
}

/* What B, or A, says in @lane now, on wire 0: the first frame. */
static struct frame heard(struct moves *m, int lane, bool b)
{
	int from = b ? !m->mover : m->mover;
	struct frame f = { 0 };

	if (rig_send(&m->lane[lane], 0, from) > 0)
		assert_int_equal(frame_decode(m->lane[lane].wire[0].bytes[from], &f), 0);
	m->lane[lane].wire[0].used[from] = 0;
	return f;
}

static void a_resume_that_cannot_be_costs_the_channel(void **state)
{
	struct moves *m = *state;
	uint64_t b0 = stream_id(m->b.s), id = UINT64_C(9) << 32;
	struct frame f = { .type = FRAME_RESUME, .length = 8, .stream = b0 };

	assert_int_equal(says_resume(m, b0, NCD_WORKERS_MAX, id), -EPROTO);
	assert_int_equal(says_resume(m, b0, 65536, id), -EPROTO);
	assert_int_equal(says_resume(m, b0, 1, id), -EPROTO);
	assert_int_equal(says_resume(m, 0, 0, id), -EPROTO);
	assert_int_equal(says_resume(m, b0, 0, 0), -EPROTO);
	f.length = 7;
	assert_int_equal(move_says(m, 1, false, f, zeros), -EPROTO);
	f.length = 9;
	assert_int_equal(move_says(m, 1, false, f, zeros), -EPROTO);
	f.length = 8;
	f.flags = FRAME_F_FIN;
	assert_int_equal(move_says(m, 1, false, f, zeros), -EPROTO);
	/* Between hosts that have not said that they know it. */
	rig_cut(&m->lane[1], 0);
	rig_up(&m->lane[1], 0, CLASS_LATENCY);
	assert_int_equal(says_resume(m, b0, 0, id), -EPROTO);
	assert_int_equal(move_asked(m)->resumed_nr, 0);
	assert_int_equal(engine_counters(move_engine(m, 1, true))->streams, 0);
}

static void a_resume_of_nothing_is_refused(void **state)
{
	struct moves *m = *state;
	uint64_t b0 = stream_id(m->b.s), id = UINT64_C(9) << 32;
	struct frame f;

	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(says_resume(m, i == 0 ? b0 + (UINT64_C(1) << 32) : b0 + i - 1,
					     i == 1 ? 5 : 0, id + i), 0);
		/* The last would be true, but it is another peer's. */
		if (i == 2)
			move_asked(m)->resumed_id++;
		move_serve(m);
		f = heard(m, 1, true);
		assert_int_equal(f.type, FRAME_REFUSE);
		assert_int_equal(f.stream, id + i);
	}
	assert_null(engine_stream_known(m->b.e, 1, 1, b0));
	assert_null(engine_stream_known(m->b.e, 2, 0, b0));
	assert_ptr_equal(engine_stream_known(m->b.e, 1, 0, b0), m->b.s);
	move_goes_on(m);
	move_nothing_left(m);
}

static void copies_of_a_resume_are_answered_as_it_was(void **state)
{
	struct moves *m = *state;
	struct rig_host *b = move_asked(m);
	uint64_t b0 = stream_id(m->b.s), a1;

	m->later = true;
	steps(m, 2);
	a1 = stream_id(m->a1);
	/* Before there is an answer. */
	assert_int_equal(says_resume(m, b0, 0, a1), 0);
	assert_int_equal(heard(m, 1, true).type, 0);
	m->later = false;
	move_serve(m);
	assert_int_equal(heard(m, 1, true).type, FRAME_ACCEPT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(says_resume(m, b0, 0, a1), 0);
		assert_int_equal(heard(m, 1, true).type, FRAME_ACCEPT);
	}
	assert_int_equal(says_resume(m, b0, 0, a1), 0);
	move_pump(m);
	/* While it lives, and is known. */
	assert_int_equal(says_resume(m, b0, 0, a1), 0);
	move_goes_on(m);
	move_nothing_left(m);
	/* When it is over. */
	assert_int_equal(says_resume(m, b0, 0, a1), 0);
	assert_int_equal(heard(m, 1, true).type, FRAME_REFUSE);
	assert_int_equal(b->resumed_nr, 1);
}

static void copies_of_a_refused_resume_are_refused(void **state)
{
	struct moves *m = *state;
	uint64_t b0 = stream_id(m->b.s), id = UINT64_C(9) << 32;

	m->no = true;
	assert_int_equal(says_resume(m, b0, 0, id), 0);
	move_serve(m);
	assert_int_equal(heard(m, 1, true).type, FRAME_REFUSE);
	m->no = false;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(says_resume(m, b0, 0, id), 0);
		assert_int_equal(heard(m, 1, true).type, FRAME_REFUSE);
		move_serve(m);
	}
	assert_int_equal(move_asked(m)->resumed_nr, 1);
	move_goes_on(m);
	move_nothing_left(m);
}

/* A placeholder is nobody's to speak to. */
static void frames_for_a_placeholder_do_nothing(void **state)
{
	struct moves *m = *state;
	struct frame f = { 0 };

	m->later = true;
	steps(m, 2);
	for (int known = 0; known < 2; known++) {
		f = (struct frame){ .type = FRAME_DATA, .length = 8000, .flags = FRAME_F_FIN,
				    .stream = stream_id(m->a1), .ack = 7, .window = 9 };
		assert_int_equal(move_says(m, 1, true, f, zeros), 0);
		f = (struct frame){ .type = FRAME_CREDIT, .stream = f.stream, .ack = 1u << 30 };
		assert_int_equal(move_says(m, 1, true, f, zeros), 0);
		f = (struct frame){ .type = FRAME_FIN, .stream = f.stream, .offset = 77 };
		assert_int_equal(move_says(m, 1, true, f, zeros), 0);
		f = (struct frame){ .type = FRAME_RESET_ACK, .stream = f.stream };
		assert_int_equal(move_says(m, 1, true, f, zeros), 0);
		if (known == 0) {
			m->later = false;
			move_serve(m);
			(void)move_carry(m, 1, true); /* ACCEPT */
		}
	}
	move_serve(m);
	move_goes_on(m);
	move_nothing_left(m);
}

static void an_accept_counts_once(void **state)
{
	struct moves *m = *state;

	steps(m, 4);
	assert_int_equal(move_says_accept(m, m->a1, UINT64_C(5) << 32, 1u << 30, 7), 0);
	assert_int_equal(move_says(m, 1, true, (struct frame){ .type = FRAME_REFUSE, .length = 4,
							   .stream = stream_id(m->a1) }, zeros), 0);
	move_goes_on(m);
	assert_int_equal(m->refused, 0);
	move_nothing_left(m);
}

static void an_accept_that_cannot_be_costs_the_channel(void **state)
{
	struct moves *m = *state;

	m->no = true;
	steps(m, 2);
	assert_int_equal(move_says_accept(m, m->a1, 0, 0, 0), -EPROTO);
	assert_int_equal(move_says_accept(m, m->a1, 5, UINT64_MAX, 1), -EPROTO);
	move_goes_on(m);
	move_nothing_left(m);
}

/* What was never sent is acknowledged: that is seen when A's end arrives. */
static void an_accept_that_lies_ends_the_stream(void **state)
{
	struct moves *m = *state;

	m->later = true;
	steps(m, 2);
	assert_int_equal(move_says_accept(m, m->a1, UINT64_C(5) << 32, m->a.written + 1, 100), 0);
	move_serve(m);
	assert_int_equal(m->a.error, -ECONNRESET);
	assert_null(m->a.s);
	assert_int_equal(heard(m, 1, false).type, FRAME_RESET);
}

static void an_accept_after_a_refusal_is_unknown(void **state)
{
	struct moves *m = *state;
	uint64_t a1;

	m->no = true;
	steps(m, 4);
	a1 = stream_id(m->a1);
	assert_int_equal(move_says_accept(m, m->a1, UINT64_C(5) << 32, 0, 0), 0);
	assert_int_equal(heard(m, 1, false).offset, a1);
	move_goes_on(m);
	assert_int_equal(m->refused, 1);
	move_nothing_left(m);
}

static void a_reset_of_the_placeholder_ends_the_stream(void **state)
{
	for (int known = 0; known < 2; known++) {
		struct moves m;

		(void)state;
		set_up(&m, known);
		m.later = true;
		steps(&m, 2);
		if (known)
			assert_int_equal(move_says_accept(&m, m.a1, UINT64_C(5) << 32, 0, 0), 0);
		assert_int_equal(move_says(&m, 1, true,
				      (struct frame){ .type = FRAME_RESET, .length = 4,
						      .offset = 99, .stream = stream_id(m.a1) },
				      zeros), 0);
		move_serve(&m);
		move_serve(&m);
		assert_int_equal(m.a.error, -ECONNRESET);
		assert_null(m.a1);
		assert_int_equal(engine_counters(move_engine(&m, 1, false))->streams, 0);
		tear_down(&m);
	}
}

/* B has let it go, and still ends a direction in the old lane. */
static void who_has_gone_cannot_end_the_stream(void **state)
{
	struct moves *m = *state;

	steps(m, 4);
	assert_int_equal(move_says(m, 0, true, (struct frame){ .type = FRAME_FIN, .ack = 0,
							   .stream = stream_id(m->a.s),
							   .offset = m->b.written }, zeros), 0);
	move_pump(m);
	assert_int_equal(m->a.error, -ECONNRESET);
	is_over(m);
}

static void who_has_gone_cannot_acknowledge_the_end(void **state)
{
	struct moves *m = *state;

	steps(m, 3);
	engine_stream_shutdown(m->a.e, m->a.s, m->lane[0].now_ns);
	(void)move_carry(m, 0, false);
	assert_int_equal(move_carry(m, 1, true), 0);
	assert_int_equal(move_says(m, 0, true, (struct frame){ .type = FRAME_CREDIT,
							   .stream = stream_id(m->a.s),
							   .ack = m->a.written + 1 }, zeros), 0);
	move_pump(m);
	assert_int_equal(m->a.error, -ECONNRESET);
	is_over(m);
}

/* What is not an answer to ACCEPT. */
static void frames_for_what_has_arrived_are_judged(void **state)
{
	struct moves *m = *state;
	struct frame f;

	steps(m, 3);
	f = (struct frame){ .stream = stream_id(m->b.s) };
	f.type = FRAME_ACCEPT;
	f.length = 8;
	assert_int_equal(move_says(m, 1, false, f, (const uint8_t *)"12345678"), -EPROTO);
	f.type = FRAME_REFUSE;
	f.length = 4;
	assert_int_equal(move_says(m, 1, false, f, zeros), 0);
	f.type = FRAME_RESET_ACK;
	f.length = 0;
	assert_int_equal(move_says(m, 1, false, f, zeros), 0);
	assert_false(m->b.seen & STREAM_EV_CONNECTED);
	move_serve(m);
	assert_false(m->b.seen & STREAM_EV_CONNECTED);
	move_goes_on(m);
	move_nothing_left(m);
}

static void what_has_arrived_keeps_its_limits(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct moves m;
		struct frame f;

		(void)state;
		set_up(&m, 0);
		steps(&m, 3);
		f = (struct frame){ .type = FRAME_CREDIT, .stream = stream_id(m.b.s),
				    .ack = m.b.written + 1 };
		if (i == 1)
			f = (struct frame){ .type = FRAME_DATA, .stream = f.stream, .length = 100,
					    .offset = m.a.written + RIG_RING };
		if (i == 2)
			f = (struct frame){ .type = FRAME_FIN, .stream = f.stream,
					    .offset = m.a.written - 10 };
		assert_int_equal(move_says(&m, 1, false, f, zeros), -EPROTO);
		tear_down(&m);
	}
}

static void frames_for_a_tombstone_do_nothing(void **state)
{
	static const uint8_t types[] = { FRAME_ACCEPT, FRAME_REFUSE, FRAME_DATA, FRAME_CREDIT,
					 FRAME_FIN, FRAME_RESET_ACK };
	struct moves *m = *state;
	struct frame f;

	steps(m, 3);
	for (size_t i = 0; i < sizeof(types); i++) {
		f = (struct frame){ .type = types[i], .stream = m->tombstone, .ack = 1u << 30 };
		if (f.type == FRAME_DATA)
			f.offset = 1u << 20;
		f.length = f.type == FRAME_ACCEPT ? 8 : f.type == FRAME_REFUSE ? 4 : 0;
		if (f.type == FRAME_DATA)
			f.length = 8000;
		assert_int_equal(move_says(m, 0, false, f, zeros), 0);
		assert_int_equal(heard(m, 0, true).type, 0);
	}
	f = (struct frame){ .type = FRAME_RESET, .length = 4, .stream = m->tombstone,
			    .offset = 321 };
	assert_int_equal(move_says(m, 0, false, f, zeros), 0);
	f = heard(m, 0, true);
	assert_int_equal(f.type, FRAME_RESET_ACK);
	assert_int_equal(f.stream, 321);
	/* It says that it knows nothing: of a0 here. */
	f = (struct frame){ .type = FRAME_RESET, .length = 4, .flags = FRAME_F_UNKNOWN,
			    .offset = m->pb.remote_id };
	assert_int_equal(move_says(m, 0, false, f, zeros), 0);
	assert_null(engine_stream_known(move_engine(m, 0, true), 1, 0, m->tombstone));
	assert_int_equal(engine_counters(move_engine(m, 0, true))->streams, 1);
	move_goes_on(m);
	move_nothing_left(m);
}

static void only_a_tombstone_is_forgotten(void **state)
{
	struct moves *m = *state;

	engine_stream_forget(m->b.e, stream_id(m->b.s));
	engine_stream_forget(m->b.e, stream_id(m->b.s) + (UINT64_C(1) << 32));
	engine_stream_forget(m->b.e, UINT64_MAX);
	move_goes_on(m);
	move_nothing_left(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(channels_die_at_each_step),
		cmocka_unit_test(channels_die_twice),
		MOVE_BOTH(an_accept_is_lost_alone),
		cmocka_unit_test(the_new_lane_dies_for_good),
		cmocka_unit_test(a_refusal_may_be_that_of_a_copy),
		MOVE_BOTH(who_was_asked_may_have_gone),
		cmocka_unit_test(a_peer_restarts_at_each_step),
		cmocka_unit_test(a_peer_is_removed_at_each_step),
		cmocka_unit_test(applications_abort_at_each_step),
		cmocka_unit_test(a_placeholder_is_given_up_at_each_step),
		MOVE_BOTH(a_resume_that_cannot_be_costs_the_channel),
		MOVE_BOTH(a_resume_of_nothing_is_refused),
		MOVE_BOTH(copies_of_a_resume_are_answered_as_it_was),
		MOVE_BOTH(copies_of_a_refused_resume_are_refused),
		MOVE_BOTH(frames_for_a_placeholder_do_nothing),
		MOVE_BOTH(an_accept_counts_once),
		MOVE_BOTH(an_accept_that_cannot_be_costs_the_channel),
		MOVE_BOTH(an_accept_that_lies_ends_the_stream),
		MOVE_BOTH(an_accept_after_a_refusal_is_unknown),
		cmocka_unit_test(a_reset_of_the_placeholder_ends_the_stream),
		MOVE_BOTH(who_has_gone_cannot_end_the_stream),
		MOVE_BOTH(who_has_gone_cannot_acknowledge_the_end),
		MOVE_BOTH(frames_for_what_has_arrived_are_judged),
		cmocka_unit_test(what_has_arrived_keeps_its_limits),
		MOVE_BOTH(frames_for_a_tombstone_do_nothing),
		MOVE_BOTH(only_a_tombstone_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
