/* SPDX-License-Identifier: MIT */
/*
 * test_port_go.c - Goal: an open stream that goes to another worker has every byte there, and what
 * stops it on its way leaves all as it was, or ends it; its rings are given back, and not sooner
 * than they may be. Method: go_rig.h, over either back end.
 */
#include "go_rig.h"

static void every_byte_goes_along(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;
	uint64_t end;

	go_connect(g, 3, &a, &b);
	transfer(&b, &a, 5000);
	/* Unread there, unacknowledged here; and unread here. */
	end = fill(&a, &b);
	go_until(g, app_write(app_of(&b), b.slot, b.seed, 9000) == 9000);
	go_until(g, atomic_load(&slot_of(&a)->rx_tail) == 9000);
	go(&a, &b);
	assert_int_equal(app_state(app_of(&a), a.slot), SLOT_MOVED);
	assert_int_equal(app_flags(app_of(&a), a.slot) & (SLOT_F_CALLED_IN | SLOT_F_CALLED_OUT),
			 SLOT_F_CALLED_IN | SLOT_F_CALLED_OUT);
	assert_int_equal(atomic_load(&slot_of(&a)->moved_tail), end);
	assert_int_equal(atomic_load(&slot_of(&a)->moved_head), 5000);
	app_close(app_of(&a), a.slot, CLOSE_LET_GO);
	fetch(&a);
	fetch(&b);
	assert_int_equal(atomic_load(&slot_of(&a)->rx_head), 5000);
	assert_int_equal(atomic_load(&slot_of(&a)->tx_tail), end);
	goes_on(&a, &b);
	go_free(g);
}

/* And by either end. */
static void it_goes_to_and_fro(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	for (int i = 0; i < 6; i++) {
		uint32_t slot[2] = { a.slot, b.slot };
		struct end was[2] = { a, b };

		goes_on(&a, &b);
		if (i % 3 == 0)
			go(&b, &a);
		else
			go(&a, &b);
		fetch(&a);
		fetch(&b);
		for (int k = 0; k < 2; k++)
			app_close(app_of(&was[k]), slot[k], CLOSE_LET_GO);
	}
	goes_on(&a, &b);
	app_close(app_of(&a), a.slot, CLOSE_GRACEFUL);
	go_until(g, app_flags(app_of(&b), b.slot) & SLOT_F_EOF);
	go_free(g);
}

static void words_that_are_published_late_count(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	answer(&a, &b);
	/* Its word is on its way for ever. */
	go_until(g, atomic_load(&slot_of(&a)->kick) == 0);
	atomic_store(&slot_of(&a)->kick, 1);
	assert_int_equal(app_write(app_of(&a), a.slot, a.seed, 4000), 4000);
	assert_int_equal(step(&a, CMD_MOVE_OUT), 0);
	assert_int_equal(atomic_load(&slot_of(&a)->moved_tail), 4000);
	/* Behind that nobody looks. */
	atomic_store(&slot_of(&a)->tx_tail, 5000);
	assert_int_equal(step(&a, CMD_MOVE_IN), 0);
	step(&a, CMD_MOVE_OVER);
	fetch(&a);
	fetch(&b);
	go_until(g, app_read(app_of(&b), b.slot, a.seed) == 4000);
	goes_on(&a, &b);
	go_free(g);
}

static void rings_do_not_grow_until_it_stays(void **state)
{
	struct go *g = go_new(state);
	uint64_t at = 0;
	struct end a, b;
	uint32_t given;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	lend(&a);
	begin(&a);
	assert_int_equal(step(&a, CMD_MOVE_BEGIN), -EBUSY);
	given = atomic_load(&slot_of(&a)->tx_given);
	for (int i = 1; i < 40; i++)
		transfer(&a, &b, at = (uint64_t)i * 100000);
	assert_int_equal(atomic_load(&slot_of(&a)->tx_given), given);
	assert_int_equal(step(&a, CMD_MOVE_KEEP), 0);
	assert_int_equal(step(&a, CMD_MOVE_KEEP), -ENOENT);
	go_until(g, ({
			 transfer(&a, &b, at += 100000);
			 atomic_load(&slot_of(&a)->tx_given) != given;
		 }));
	goes_on(&a, &b);
	go_free(g);
}

static void lies_begin_nothing(void **state)
{
	struct go *g = go_new(state);
	struct end a, b, liar;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	lend(&a);
	liar = a;
	liar.cookie++;
	assert_int_equal(step(&liar, CMD_MOVE_BEGIN), -EBUSY);
	liar.stream = UINT32_MAX;
	liar.place = UINT32_MAX;
	assert_int_equal(step(&liar, CMD_MOVE_BEGIN), -EBUSY);
	assert_int_equal(step(&liar, CMD_MOVE_OUT), -ENOENT);
	assert_int_equal(step(&liar, CMD_MOVE_IN), -ENOENT);
	assert_int_equal(step(&liar, CMD_MOVE_REFUSE), -ENOENT);
	liar.asked = true;
	liar.tx_bytes = liar.rx_bytes = RIG_RING;
	assert_int_equal(step(&liar, CMD_MOVE_ROOM), -ENOENT);
	/* It has not begun. */
	assert_int_equal(step(&a, CMD_MOVE_OUT), -ENOENT);
	assert_int_equal(step(&a, CMD_MOVE_KEEP), -ENOENT);
	goes_on(&a, &b);
	go_free(g);
}

/* Its slot may have become another stream's between FIND and LEND. */
static void no_other_goes_than_the_peer_has_named(void **state)
{
	struct go *g = go_new(state);
	struct end a, b, other;
	uint32_t before;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	ask(&a, &b);
	lend(&b);
	/* It may go at all. */
	begin(&b);
	assert_int_equal(step(&b, CMD_MOVE_KEEP), 0);
	for (int i = 0; i < 3; i++) {
		other = b;
		other.at.id += i == 0;
		other.at.lane ^= i == 1;
		other.at.peer += i == 2;
		assert_int_equal(step(&other, CMD_MOVE_BEGIN), -EBUSY);
	}
	begin(&b);
	assert_int_equal(step(&b, CMD_MOVE_KEEP), 0);
	before = so_far(&a, ANSWERED);
	assert_int_equal(step(&b, CMD_MOVE_REFUSE), 0);
	assert_int_equal(heard(&a, ANSWERED, before).error, -ECONNREFUSED);
	assert_int_equal(step(&a, CMD_MOVE_KEEP), 0);
	goes_on(&a, &b);
	go_free(g);
}

static void what_a_peer_resumes_is_found(void **state)
{
	struct go *g = go_new(state);
	struct worker_cmd cmd;
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	cmd = go_cmd(&b, CMD_MOVE_FIND);
	assert_int_equal(go_command(&b, 0, &cmd), 0);
	assert_ptr_equal(cmd.move.port, app_of(&b)->port);
	assert_int_equal(cmd.move.slot, b.slot);
	cmd.move.at.lane = 1;
	assert_int_equal(go_command(&b, 0, &cmd), -EBUSY);
	cmd.move.at.lane = 0;
	cmd.move.at.id++;
	assert_int_equal(go_command(&b, 0, &cmd), -EBUSY);
	/* Shared, and ending. */
	cmd.move.at.id--;
	lend(&b);
	assert_int_equal(go_command(&b, 0, &cmd), -EBUSY);
	app_shutdown(app_of(&b), b.slot);
	go_until(g, app_flags(app_of(&a), a.slot) & SLOT_F_EOF);
	assert_int_equal(step(&b, CMD_MOVE_BEGIN), -EBUSY);
	assert_int_equal(step(&b, CMD_MOVE_REFUSE), 0);
	go_free(g);
}

static void who_is_refused_goes_on_where_he_was(void **state)
{
	struct go *g = go_new(state);
	struct worker_event ev;
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	for (uint32_t i = 0; i < 2; i++) {
		ask(&a, &b);
		/* The second time B has made room and gives it up. */
		if (i == 1) {
			lend(&b);
			begin(&b);
			assert_int_equal(step(&b, CMD_MOVE_ROOM), 0);
		}
		assert_int_equal(step(&b, CMD_MOVE_REFUSE), 0);
		ev = heard(&a, ANSWERED, i);
		assert_int_equal(ev.error, -ECONNREFUSED);
		assert_int_equal(step(&a, CMD_MOVE_KEEP), 0);
		goes_on(&a, &b);
		/* A is lent no more. */
		{
			struct worker_cmd cmd = { .type = CMD_LENT_END };

			cmd.share.stream = a.stream;
			cmd.share.cookie = a.cookie;
			cmd.share.back = true;
			go_command(&a, 0, &cmd);
		}
	}
	assert_int_equal(step(&b, CMD_MOVE_KEEP), 0);
	goes_on(&a, &b);
	go_free(g);
}

static void a_place_that_its_peer_gives_up_is_gone(void **state)
{
	struct go *g = go_new(state);
	struct worker_event ev;
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	lend(&b);
	begin(&b);
	assert_int_equal(step(&b, CMD_MOVE_ROOM), 0);
	assert_int_equal(step(&b, CMD_MOVE_OUT), 0);
	assert_int_equal(step(&b, CMD_MOVE_IN), 0);
	ev = heard(&a, ANSWERED, 0);
	assert_int_equal(ev.error, 0);
	/* A's end has died: B's is reset, and its tombstone forgotten. */
	assert_int_equal(step(&a, CMD_MOVE_REFUSE), 0);
	(void)heard(&b, SETTLED, 0);
	step(&b, CMD_MOVE_FORGET);
	step(&b, CMD_MOVE_OVER);
	fetch(&b);
	go_until(g, app_flags(app_of(&b), b.slot) & SLOT_F_RESET);
	/* And what is gone is not there. */
	go_until(g, step(&a, CMD_MOVE_IN) == -ENOENT);
	go_free(g);
}

static void an_engine_that_does_not_let_go_leaves_it_open(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	lend(&a);
	begin(&a);
	/* B never lets go of one that ends. */
	app_shutdown(app_of(&a), a.slot);
	go_until(g, app_flags(app_of(&b), b.slot) & SLOT_F_EOF);
	a.asked = true;
	assert_int_equal(step(&a, CMD_MOVE_OUT), -EBUSY);
	assert_int_equal(app_state(app_of(&a), a.slot), SLOT_OPEN);
	transfer(&b, &a, 100000);
	/* And A must, when B says that it has gone: this B lied. */
	go_connect(g, 4, &a, &b);
	transfer(&a, &b, 1000);
	lend(&a);
	begin(&a);
	app_shutdown(app_of(&b), b.slot);
	go_until(g, app_flags(app_of(&a), a.slot) & SLOT_F_EOF);
	assert_int_equal(step(&a, CMD_MOVE_OUT), -ENOENT);
	assert_int_equal(app_state(app_of(&a), a.slot), SLOT_OPEN);
	go_until(g, app_flags(app_of(&a), a.slot) & SLOT_F_RESET);
	go_free(g);
}

static void rings_are_kept_until_the_copy_is_made(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	answer(&a, &b);
	go_until(g, app_write(app_of(&a), a.slot, a.seed, 9000) == 9000);
	assert_int_equal(step(&a, CMD_MOVE_OUT), 0);
	app_close(app_of(&a), a.slot, CLOSE_LET_GO);
	go_until(g, app_state(app_of(&a), a.slot) == SLOT_FREE);
	go_remove(g, 0, 0);
	for (int i = 0; i < 20; i++) {
		rig_rest(&g->lane[0]);
		rig_pump(&g->lane[0]);
	}
	assert_int_equal(app_of(&a)->gone, 0);
	assert_int_equal(step(&a, CMD_MOVE_IN), 0);
	step(&a, CMD_MOVE_OVER);
	go_until(g, app_of(&a)->gone == 1);
	fetch(&a);
	fetch(&b);
	goes_on(&a, &b);
	go_free(g);
}

static void a_client_that_ends_before_it_goes_ends_it(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	answer(&a, &b);
	go_remove(g, 0, 0);
	assert_int_equal(step(&a, CMD_MOVE_OUT), -ENOENT);
	assert_int_equal(step(&a, CMD_MOVE_REFUSE), 0);
	fetch(&b);
	go_until(g, app_flags(app_of(&b), b.slot) & SLOT_F_RESET);
	go_free(g);
}

static void a_client_that_ends_on_the_way_ends_it_there(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	answer(&a, &b);
	assert_int_equal(step(&a, CMD_MOVE_OUT), 0);
	go_remove(g, 0, 0);
	go_remove(g, 1, 0);
	assert_int_equal(app_in(g, 1, 0)->gone, 0);
	assert_int_equal(step(&a, CMD_MOVE_IN), 0);
	step(&a, CMD_MOVE_OVER);
	fetch(&b);
	go_until(g, app_flags(app_of(&b), b.slot) & SLOT_F_RESET);
	go_until(g, app_in(g, 1, 0)->gone == 1);
	go_free(g);
}

static void one_that_is_closed_meanwhile_delivers_all(void **state)
{
	struct go *g = go_new(state);
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	ask(&a, &b);
	answer(&a, &b);
	go_until(g, app_write(app_of(&a), a.slot, a.seed, 9000) == 9000);
	app_close(app_of(&a), a.slot, CLOSE_GRACEFUL);
	go_until(g, app_state(app_of(&a), a.slot) == SLOT_FREE);
	assert_int_equal(step(&a, CMD_MOVE_OUT), 0);
	assert_int_equal(step(&a, CMD_MOVE_IN), 0);
	step(&a, CMD_MOVE_OVER);
	(void)heard(&b, SETTLED, 0);
	fetch(&b);
	go_until(g, app_flags(app_of(&b), b.slot) & SLOT_F_EOF);
	assert_int_equal(app_read(app_of(&b), b.slot, a.seed), 9000);
	app_close(app_of(&b), b.slot, CLOSE_GRACEFUL);
	/* Its port is counted where it was opened. */
	assert_int_equal(heard(&a, PORT, 0).worker, 0);
	go_free(g);
}

/* ---- room ---- */

/* Its answer, when the test says so. */
static struct worker_cmd room_of(struct go *g, struct end *a)
{
	struct worker_cmd cmd;
	struct end b;

	go_connect(g, 3, a, &b);
	transfer(a, &b, 1000);
	lend(a);
	begin(a);
	cmd = go_cmd(a, CMD_MOVE_ROOM);
	return cmd;
}

static void without_memory_there_is_no_room(void **state)
{
	struct go *g = go_new(state);
	struct worker_cmd cmd;
	struct end a;

	cmd = room_of(g, &a);
	app_in(g, 1, 0)->deny = true;
	assert_int_equal(go_command(&a, 1, &cmd), -ENOBUFS);
	assert_int_equal(step(&a, CMD_MOVE_KEEP), 0);
	go_free(g);
}

static void room_waits_for_memory(void **state)
{
	struct go *g = go_new(state);
	struct rig_host *h = app_in(g, 1, 0);
	struct worker_cmd cmd;
	struct end a;

	cmd = room_of(g, &a);
	h->slow = true;
	h->room = 1;
	rig_post(h, &cmd);
	for (int i = 0; i < 20; i++) {
		rig_rest(&g->lane[1]);
		rig_pump(&g->lane[1]);
	}
	assert_int_equal(h->room, 1);
	h->slow = false;
	rig_segment(h, h, 1 << 20);
	go_until(g, h->done == h->posted);
	assert_int_equal(h->room, 0);
	a.place = h->back.move.stream;
	a.place_id = h->back.move.id;
	assert_int_equal(step(&a, CMD_MOVE_REFUSE), 0);
	go_free(g);
}

static void who_waits_for_room_and_ends_hears_so(void **state)
{
	struct go *g = go_new(state);
	struct rig_host *h = app_in(g, 1, 0);
	struct worker_cmd cmd;
	struct end a;

	cmd = room_of(g, &a);
	h->slow = true;
	h->room = 1;
	rig_post(h, &cmd);
	go_remove(g, 1, 0);
	go_until(g, h->done == h->posted);
	assert_int_equal(h->room, -ECONNRESET);
	go_until(g, h->gone == 1);
	go_free(g);
}

/* ---- which ---- */

/* What PICK of @lane says, of at most @nr, while @busy write; all of these must be seen. */
static uint32_t pick(struct end *busy, uint32_t busy_nr, uint32_t most, bool seen[RIG_SLOTS])
{
	struct worker_cmd cmd = { .type = CMD_MOVE_PICK };
	struct rig_host *h = app_of(busy);

	for (uint32_t i = 0; i < busy_nr; i++) {
		uint64_t at = atomic_load(&slot_of(&busy[i])->tx_tail);

		(void)app_write(h, busy[i].slot, busy[i].seed, at + 10);
	}
	cmd.pick.nr = most;
	assert_int_equal(go_command(busy, busy->lane, &cmd), 0);
	assert_true(cmd.pick.nr <= most);
	for (uint32_t i = 0; i < cmd.pick.nr; i++) {
		assert_ptr_equal(cmd.pick.pick[i].port, h->port);
		seen[cmd.pick.pick[i].slot] = true;
	}
	return cmd.pick.nr;
}

static void half_of_those_that_are_busy_are_picked(void **state)
{
	struct go *g = go_new(state);
	bool seen[RIG_SLOTS] = { false };
	struct end a[6], b;

	for (uint32_t i = 0; i < 6; i++) {
		go_connect(g, 3 + i, &a[i], &b);
		transfer(&a[i], &b, 1000);
	}
	/* Not those of bulk, not the shared ones. */
	app_submit(app_of(&a[4]), sq_word(SQ_CLASS, a[4].slot, CLASS_THROUGHPUT));
	lend(&a[5]);
	go_until(g, pick(a, 6, 32, seen) == 2);
	for (int i = 0; i < 500; i++) {
		assert_true(pick(a, 6, 32, seen) <= 2);
		assert_true(pick(a, 6, 1, seen) <= 1);
	}
	assert_false(seen[a[4].slot] || seen[a[5].slot]);
	go_free(g);
}

static void what_has_just_come_is_not_picked(void **state)
{
	struct go *g = go_new(state);
	bool seen[RIG_SLOTS] = { false };
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	transfer(&b, &a, 1000);
	go_until(g, pick(&a, 1, 32, seen) == 1);
	go(&a, &b);
	fetch(&a);
	fetch(&b);
	for (int i = 0; i < 200; i++)
		assert_int_equal(pick(&a, 1, 32, seen), 0);
	/* It may go, if it is asked for. */
	lend(&a);
	assert_int_equal(step(&a, CMD_MOVE_BEGIN), 0);
	go_free(g);
}

static void what_is_quiet_is_not_picked(void **state)
{
	struct go *g = go_new(state);
	bool seen[RIG_SLOTS] = { false };
	struct end a, b;

	go_connect(g, 3, &a, &b);
	transfer(&a, &b, 1000);
	/* Until the worker has swept. */
	go_until(g, pick(&a, 0, 32, seen) == 0);
	assert_int_equal(pick(&a, 0, 32, seen), 0);
	go_free(g);
}

/* ---- ports ---- */

static uint16_t port_of(struct go *g, uint32_t slot, struct end *a, struct end *b)
{
	go_connect(g, slot, a, b);
	transfer(a, b, 1000);
	transfer(b, a, 1000);
	return slot_of(a)->local_port;
}

static void port_numbers_go_home(void **state)
{
	struct go *g = go_new(state);
	struct worker_cmd cmd = { .type = CMD_MOVE_PORT };
	struct worker_event ev;
	struct end a, b, other, far;
	uint16_t port;

	/* All three that there are; the next is the first of them again, or one that is free. */
	(void)port_of(g, 3, &other, &far);
	port = port_of(g, 4, &a, &b);
	(void)port_of(g, 5, &other, &far);
	go(&a, &b);
	fetch(&a);
	fetch(&b);
	assert_int_equal(slot_of(&a)->local_port, port);
	app_close(app_of(&a), a.slot, CLOSE_ABORT);
	a.lane = 0;
	ev = heard(&a, PORT, 0);
	assert_int_equal(ev.worker, 0);
	assert_int_equal(ev.number, port);
	cmd.move.number = ev.number;
	go_command(&a, 0, &cmd);
	assert_int_equal(port_of(g, 6, &other, &far), port);
	go_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(every_byte_goes_along),
		RIG_BOTH(it_goes_to_and_fro),
		RIG_BOTH(words_that_are_published_late_count),
		RIG_BOTH(rings_do_not_grow_until_it_stays),
		RIG_BOTH(lies_begin_nothing),
		RIG_BOTH(no_other_goes_than_the_peer_has_named),
		RIG_BOTH(what_a_peer_resumes_is_found),
		RIG_BOTH(who_is_refused_goes_on_where_he_was),
		RIG_BOTH(a_place_that_its_peer_gives_up_is_gone),
		RIG_BOTH(an_engine_that_does_not_let_go_leaves_it_open),
		RIG_BOTH(rings_are_kept_until_the_copy_is_made),
		RIG_BOTH(a_client_that_ends_before_it_goes_ends_it),
		RIG_BOTH(a_client_that_ends_on_the_way_ends_it_there),
		RIG_BOTH(one_that_is_closed_meanwhile_delivers_all),
		RIG_BOTH(without_memory_there_is_no_room),
		RIG_BOTH(room_waits_for_memory),
		RIG_BOTH(who_waits_for_room_and_ends_hears_so),
		RIG_BOTH(half_of_those_that_are_busy_are_picked),
		RIG_BOTH(what_has_just_come_is_not_picked),
		RIG_BOTH(what_is_quiet_is_not_picked),
		RIG_BOTH(port_numbers_go_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
