/* SPDX-License-Identifier: MIT */
/*
 * test_peer.c - goal: two hosts that dial each other end with one connection a place, whatever the
 * order of events, and a host that is down is not hammered. Method: two struct peer against each
 * other, hellos passed by hand, virtual time; at last in random orders from a printed seed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../ncd_test.h"
#include "core/peer.h"

#define MS 1000000ull

struct pair {
	struct peer low, high; /* by identity: each host's view of the other */
};

static struct peer_config host_config(uint64_t host_id, uint64_t incarnation, uint16_t workers)
{
	return (struct peer_config){
		.host_id = host_id,
		.incarnation = incarnation,
		.workers = workers,
		.latency = 1,
		.throughput = 2,
		.backoff_min_ms = 100,
		.backoff_max_ms = 5000,
		.seed = host_id * 977,
	};
}

static int pair_create(void **state)
{
	struct peer_config low = host_config(10, 1000, 1), high = host_config(20, 2000, 1);
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -1;
	peer_init(&p->low, &low);
	peer_init(&p->high, &high);
	*state = p;
	return 0;
}

static int pair_destroy(void **state)
{
	free(*state);
	return 0;
}

/* One whole dial of @from, answered by @to. */
static struct place *dial(struct peer *from, struct peer *to, uint64_t now_ns,
			  enum peer_verdict want)
{
	uint64_t next_ns;
	struct place *pl = peer_next_dial(from, now_ns, &next_ns), *place = NULL;
	struct hello h, reply;
	void *old = NULL;

	assert_non_null(pl);
	peer_connected(from, pl, &h);
	assert_int_equal(peer_hello(to, &h, &place, &old, &reply), want);
	if (want == PEER_REFUSE) {
		assert_int_equal(peer_answered(from, pl, &reply), PEER_REFUSE);
		peer_failed(from, pl, now_ns);
	} else {
		assert_int_equal(place->lane, pl->lane);
		assert_int_equal(place->class, pl->class);
		assert_int_equal(place->index, pl->index);
		assert_int_not_equal(peer_answered(from, pl, &reply), PEER_REFUSE);
	}
	return pl;
}

static void one_place_is_dialled_until_it_is_up(void **state)
{
	struct pair *p = *state;
	uint64_t next_ns = 0;

	assert_non_null(peer_next_dial(&p->low, 0, &next_ns));
	assert_null(peer_next_dial(&p->low, 0, &next_ns));
	assert_true(next_ns == UINT64_MAX);
}

static void all_places_come_up_after_the_first(void **state)
{
	struct pair *p = *state;
	uint64_t next_ns;
	uint32_t i;

	for (i = 0; i < 3; i++)
		(void)dial(&p->low, &p->high, 0, PEER_UP);
	assert_null(peer_next_dial(&p->low, 0, &next_ns));
	assert_null(peer_next_dial(&p->high, 0, &next_ns));
	assert_int_equal(peer_up(&p->low), 3);
	assert_int_equal(peer_up(&p->high), 3);
}

static void lanes_follow_the_host_with_more_workers(void **state)
{
	struct peer_config many = host_config(20, 2000, 4);
	struct pair *p = *state;
	uint32_t i;

	peer_init(&p->high, &many);
	for (i = 0; i < 12; i++)
		(void)dial(&p->low, &p->high, 0, PEER_UP);
	assert_int_equal(p->low.lanes, 4);
	assert_int_equal(peer_up(&p->low), 12);
	assert_int_equal(peer_up(&p->high), 12);
}

static void the_lower_identity_wins_a_collision(void **state)
{
	struct pair *p = *state;
	struct hello low_hello, high_hello, reply;
	struct place *low_place, *high_place, *place = NULL;
	uint64_t next_ns;
	int marker;
	void *old = NULL;

	low_place = peer_next_dial(&p->low, 0, &next_ns);
	high_place = peer_next_dial(&p->high, 0, &next_ns);
	peer_connected(&p->low, low_place, &low_hello);
	peer_connected(&p->high, high_place, &high_hello);
	high_place->user = &marker;

	assert_int_equal(peer_hello(&p->low, &high_hello, &place, &old, &reply), PEER_REFUSE);
	assert_int_equal(reply.reason, WIRE_R_COLLISION);
	assert_int_equal(peer_hello(&p->high, &low_hello, &place, &old, &reply), PEER_UP);
	assert_ptr_equal(old, &marker);
	assert_int_equal(peer_answered(&p->low, low_place, &reply), PEER_UP);
	assert_true(low_place->dialled);
	assert_false(place->dialled);
}

static void a_hello_that_the_winner_overtook_is_stale(void **state)
{
	struct pair *p = *state;
	struct hello low_hello, high_hello, reply;
	struct place *low_place, *high_place, *place = NULL;
	uint64_t next_ns;
	void *old = NULL;

	low_place = peer_next_dial(&p->low, 0, &next_ns);
	high_place = peer_next_dial(&p->high, 0, &next_ns);
	peer_connected(&p->low, low_place, &low_hello);
	peer_connected(&p->high, high_place, &high_hello);
	assert_int_equal(peer_hello(&p->high, &low_hello, &place, &old, &reply), PEER_UP);
	assert_int_equal(peer_answered(&p->low, low_place, &reply), PEER_UP);
	/* Late: high has dropped that connection when it took ours. */
	assert_int_equal(peer_hello(&p->low, &high_hello, &place, &old, &reply), PEER_REFUSE);
	assert_int_equal(reply.reason, WIRE_R_STALE);
	assert_int_equal(peer_up(&p->low), 1);
}

static void a_newer_dial_replaces_a_connection_that_is_dead_there(void **state)
{
	struct pair *p = *state;
	struct place *there = dial(&p->low, &p->high, 0, PEER_UP), *place = NULL;
	struct hello h, reply;
	uint64_t next_ns;
	int marker;
	void *old = NULL;

	p->high.place[0].user = &marker;
	peer_failed(&p->low, there, 5 * MS);
	there = peer_next_dial(&p->low, 5 * MS, &next_ns);
	assert_non_null(there);
	peer_connected(&p->low, there, &h);
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_UP);
	assert_ptr_equal(old, &marker);
}

static void a_new_incarnation_empties_all_places(void **state)
{
	struct peer_config again = host_config(10, 1001, 1);
	struct pair *p = *state;
	uint32_t i;

	for (i = 0; i < 3; i++)
		(void)dial(&p->low, &p->high, 0, PEER_UP);
	peer_init(&p->low, &again);
	(void)dial(&p->low, &p->high, 0, PEER_RESTART);
	assert_int_equal(peer_up(&p->high), 1);
	assert_int_equal(p->high.incarnation, 1001);
}

static void an_older_incarnation_is_believed_only_without_a_live_one(void **state)
{
	struct peer_config older = host_config(10, 999, 1);
	struct pair *p = *state;
	struct place *pl;

	pl = dial(&p->low, &p->high, 0, PEER_UP);
	peer_init(&p->low, &older);
	(void)dial(&p->low, &p->high, 0, PEER_REFUSE);
	pl = &p->high.place[0];
	assert_int_equal(pl->state, PLACE_UP);
	peer_failed(&p->high, pl, 0);
	(void)dial(&p->low, &p->high, 10000 * MS, PEER_RESTART);
}

static void hellos_out_of_range_are_refused_with_the_reason(void **state)
{
	static const struct {
		struct hello h;
		enum wire_reason reason;
	} cases[] = {
		{ { .host_id = 10, .version_min = 2, .version_max = 3, .class = 1, .workers = 1 },
		  WIRE_R_VERSION },
		{ { .host_id = 20, .version_min = 1, .version_max = 1, .class = 1, .workers = 1 },
		  WIRE_R_SELF },
		{ { .host_id = 10, .version_min = 1, .version_max = 1, .class = 0, .workers = 1 },
		  WIRE_R_SLOT },
		{ { .host_id = 10, .version_min = 1, .version_max = 1, .class = 3, .workers = 1 },
		  WIRE_R_SLOT },
		{ { .host_id = 10, .version_min = 1, .version_max = 1, .class = 1, .workers = 0 },
		  WIRE_R_SLOT },
		{ { .host_id = 10, .version_min = 1, .version_max = 1, .class = 1, .workers = 65 },
		  WIRE_R_SLOT },
		{ { .host_id = 10,
		    .version_min = 1,
		    .version_max = 1,
		    .class = 1,
		    .workers = 2,
		    .lane = 2 },
		  WIRE_R_SLOT },
		{ { .host_id = 10,
		    .version_min = 1,
		    .version_max = 1,
		    .class = 1,
		    .workers = 1,
		    .index = NCD_LANE_CHANNELS_MAX },
		  WIRE_R_SLOT },
		{ { .host_id = 10,
		    .version_min = 1,
		    .version_max = 1,
		    .class = 1,
		    .workers = 1,
		    .reply = WIRE_ACCEPTED },
		  WIRE_R_SLOT },
	};
	struct pair *p = *state;
	struct place *place = NULL;
	struct hello reply;
	void *old = NULL;
	uint32_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(peer_hello(&p->high, &cases[i].h, &place, &old, &reply),
				 PEER_REFUSE);
		assert_int_equal(reply.reason, cases[i].reason);
		assert_int_equal(reply.reply, WIRE_REFUSED);
		assert_int_equal(reply.version_max, WIRE_VERSION);
		assert_int_equal(reply.host_id, 20);
	}
}

static void an_answer_for_another_place_is_refused(void **state)
{
	struct pair *p = *state;
	struct place *pl, *place = NULL;
	struct hello h, reply;
	uint64_t next_ns;
	void *old = NULL;

	pl = peer_next_dial(&p->low, 0, &next_ns);
	peer_connected(&p->low, pl, &h);
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_UP);
	reply.index = 1;
	assert_int_equal(peer_answered(&p->low, pl, &reply), PEER_REFUSE);
}

static void backoff_grows_to_its_limit_with_jitter(void **state)
{
	uint64_t now_ns = 1, next_ns = 0, wait_ns, least_ns = 75 * MS, most_ns = 125 * MS;
	struct pair *p = *state;
	struct place *pl;
	uint32_t i;

	for (i = 0; i < 12; i++) {
		pl = peer_next_dial(&p->low, now_ns, &next_ns);
		assert_non_null(pl);
		peer_failed(&p->low, pl, now_ns);
		assert_null(peer_next_dial(&p->low, now_ns, &next_ns));
		wait_ns = next_ns - now_ns;
		assert_true(wait_ns >= least_ns && wait_ns <= most_ns);
		least_ns = least_ns * 2 > 3750 * MS ? 3750 * MS : least_ns * 2;
		most_ns = most_ns * 2 > 6250 * MS ? 6250 * MS : most_ns * 2;
		now_ns = next_ns;
	}
}

static void a_lost_channel_is_dialled_at_once_but_not_over_and_over(void **state)
{
	struct pair *p = *state;
	struct place *pl = dial(&p->low, &p->high, 0, PEER_UP);
	uint64_t next_ns = 0;

	peer_failed(&p->low, pl, 1000 * MS);
	assert_ptr_equal(dial(&p->low, &p->high, 1000 * MS, PEER_UP), pl);
	peer_failed(&p->low, pl, 1001 * MS);
	assert_null(peer_next_dial(&p->low, 1001 * MS, &next_ns));
	assert_true(next_ns > 1001 * MS);
}

/* ---- random orders ---- */

struct flight { /* one TCP connection */
	struct peer *from, *to;
	struct place *dialler, *acceptor;
	struct hello h, reply;
	enum {
		FLIGHT_NONE,
		FLIGHT_ASKED,
		FLIGHT_ANSWERED,
		FLIGHT_DONE,
		FLIGHT_CUT
	} step;
	bool accepted;
};
#define FLIGHTS 64

static void flight_close(struct flight *f, uint64_t now_ns)
{
	/* Both ends notice; whoever still has it in a place starts again. */
	if (f->dialler && f->dialler->user == f)
		peer_failed(f->from, f->dialler, now_ns);
	if (f->acceptor && f->acceptor->user == f)
		peer_failed(f->to, f->acceptor, now_ns);
	f->step = FLIGHT_NONE;
}

static void flight_step(struct flight *f, uint64_t now_ns)
{
	struct place *place = NULL;
	void *old = NULL;

	if (f->step == FLIGHT_ASKED) {
		f->accepted = peer_hello(f->to, &f->h, &place, &old, &f->reply) != PEER_REFUSE;
		if (f->accepted) {
			f->acceptor = place;
			place->user = f;
			if (old)
				((struct flight *)old)->step = FLIGHT_CUT;
		}
		f->step = FLIGHT_ANSWERED;
	} else if (f->step == FLIGHT_ANSWERED) {
		/* Its place may have been taken by another meanwhile: then this one is closed. */
		if (f->dialler->user != f ||
		    peer_answered(f->from, f->dialler, &f->reply) == PEER_REFUSE)
			flight_close(f, now_ns);
		else
			f->step = FLIGHT_DONE;
	} else if (f->step == FLIGHT_CUT) {
		flight_close(f, now_ns);
	}
}

static void any_order_of_events_ends_with_one_set_of_channels(void **state)
{
	struct pair *p = *state;
	struct flight flights[FLIGHTS];
	uint64_t now_ns = 1, next_ns;
	uint32_t round, i, seed = (uint32_t)time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	memset(flights, 0, sizeof(flights));
	for (round = 0; round < 20000; round++) {
		struct flight *f = &flights[rand() % FLIGHTS];
		struct peer *from = rand() % 2 ? &p->low : &p->high;

		now_ns += (uint32_t)(rand() % 50) * MS;
		/* Faults in the first half only. */
		if (round < 10000 && rand() % 20 == 0 && f->step != FLIGHT_NONE) {
			flight_close(f, now_ns);
		} else if (f->step != FLIGHT_NONE) {
			flight_step(f, now_ns);
		} else {
			f->dialler = peer_next_dial(from, now_ns, &next_ns);
			if (f->dialler == NULL)
				continue;
			f->from = from;
			f->to = from == &p->low ? &p->high : &p->low;
			f->acceptor = NULL;
			f->dialler->user = f;
			peer_connected(from, f->dialler, &f->h);
			f->step = FLIGHT_ASKED;
		}
	}
	assert_int_equal(peer_up(&p->low), 3);
	assert_int_equal(peer_up(&p->high), 3);
	/* The same connection at both ends. */
	for (i = 0; i < 2 * NCD_LANE_CHANNELS_MAX; i++)
		assert_ptr_equal(p->low.place[i].user, p->high.place[i].user);
}

/* Both hosts up, with all configured places. */
static void all_up(struct pair *p)
{
	uint32_t i;

	for (i = 0; i < 3; i++)
		(void)dial(&p->low, &p->high, 0, PEER_UP);
}

static void set_max(struct pair *p, uint16_t low, uint16_t high)
{
	p->low.cfg.max = low;
	p->high.cfg.max = high;
}

static void a_grown_place_is_dialled_once(void **state)
{
	struct pair *p = *state;
	struct place *pl;
	uint64_t next_ns;

	set_max(p, 8, 8);
	all_up(p);
	assert_null(peer_next_dial(&p->low, 0, &next_ns));
	pl = peer_grow(&p->low, 0, 0);
	assert_non_null(pl);
	assert_int_equal(pl->class, CLASS_THROUGHPUT);
	assert_int_equal(pl->index, 2);
	assert_ptr_equal(dial(&p->low, &p->high, 0, PEER_UP), pl);
	assert_true(pl->elastic && pl->dialled);
	assert_int_equal(peer_up(&p->high), 4);
	/* Lost: neither host dials it again by itself. */
	peer_failed(&p->low, pl, 1000 * MS);
	peer_failed(&p->high, &p->high.place[NCD_LANE_CHANNELS_MAX + 2], 1000 * MS);
	assert_null(peer_next_dial(&p->low, 100000 * MS, &next_ns));
	assert_null(peer_next_dial(&p->high, 100000 * MS, &next_ns));
	assert_false(pl->elastic);
}

static void a_drained_place_may_grow_again_at_once(void **state)
{
	struct pair *p = *state;
	struct place *pl;

	set_max(p, 8, 8);
	all_up(p);
	assert_non_null(peer_grow(&p->low, 0, 0));
	pl = dial(&p->low, &p->high, 0, PEER_UP);
	peer_drained(pl);
	assert_int_equal(pl->state, PLACE_EMPTY);
	assert_ptr_equal(peer_grow(&p->low, 0, 1), pl);
}

static void nothing_grows_beyond_the_own_max(void **state)
{
	struct pair *p = *state;

	set_max(p, 5, 8);
	all_up(p);
	assert_non_null(peer_grow(&p->low, 0, 0));
	(void)dial(&p->low, &p->high, 0, PEER_UP);
	assert_non_null(peer_grow(&p->low, 0, 0));
	(void)dial(&p->low, &p->high, 0, PEER_UP);
	assert_null(peer_grow(&p->low, 0, 0));
	assert_int_equal(peer_up(&p->low), 5);
}

static void a_host_takes_no_more_than_its_max_and_says_so(void **state)
{
	struct place *pl, *place = NULL;
	struct pair *p = *state;
	struct hello h, reply;
	void *old = NULL;
	uint64_t next_ns;

	set_max(p, 8, 4);
	all_up(p);
	assert_non_null(peer_grow(&p->low, 0, 0));
	(void)dial(&p->low, &p->high, 0, PEER_UP);
	pl = peer_grow(&p->low, 0, 0);
	assert_non_null(pl);
	assert_ptr_equal(peer_next_dial(&p->low, 0, &next_ns), pl);
	peer_connected(&p->low, pl, &h);
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_REFUSE);
	assert_int_equal(reply.reason, WIRE_R_FULL);
	assert_int_equal(peer_answered(&p->low, pl, &reply), PEER_REFUSE);
	peer_full(&p->low, pl, 0);
	assert_null(peer_next_dial(&p->low, 100000 * MS, &next_ns));
	/* That place is not asked for again for long. */
	assert_ptr_not_equal(peer_grow(&p->low, 0, 10000 * MS), pl);
	/* The one that is up may be dialled anew: it is no further one. */
	h.index = 2;
	h.attempt = 100;
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_UP);
}

static void configured_places_are_kept_free(void **state)
{
	struct pair *p = *state;
	struct hello h = { .host_id = 10, .incarnation = 1000, .attempt = 1, .version_min = 1,
			   .version_max = 1, .class = CLASS_THROUGHPUT, .index = 5,
			   .workers = 1 }, reply;
	struct place *place;
	void *old;

	/* Of 4 the host wants 3 itself, though none is up yet. */
	set_max(p, 8, 4);
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_UP);
	h.index = 6;
	h.attempt = 2;
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_REFUSE);
	assert_int_equal(reply.reason, WIRE_R_FULL);
	h.index = 1;
	assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_UP);
}

static void both_may_grow_into_one_place(void **state)
{
	struct pair *p = *state;
	struct place *low, *high, *place;
	struct hello from_low, from_high, reply;
	uint64_t next_ns;
	void *old;

	set_max(p, 4, 4);
	all_up(p);
	low = peer_grow(&p->low, 0, 0);
	high = peer_grow(&p->high, 0, 0);
	assert_ptr_equal(peer_next_dial(&p->low, 0, &next_ns), low);
	assert_ptr_equal(peer_next_dial(&p->high, 0, &next_ns), high);
	assert_int_equal(low->index, high->index);
	peer_connected(&p->low, low, &from_low);
	peer_connected(&p->high, high, &from_high);
	assert_int_equal(peer_hello(&p->low, &from_high, &place, &old, &reply), PEER_REFUSE);
	assert_int_equal(reply.reason, WIRE_R_COLLISION);
	assert_int_equal(peer_hello(&p->high, &from_low, &place, &old, &reply), PEER_UP);
	assert_int_equal(peer_answered(&p->low, low, &reply), PEER_UP);
	assert_true(low->dialled && !high->dialled);
	assert_null(peer_grow(&p->low, 0, 0));
}

static void a_peer_without_the_feature_is_left_as_it_is(void **state)
{
	struct pair *p = *state;
	struct hello h, reply;
	struct place *pl, *place;
	uint64_t next_ns;
	uint32_t i;
	void *old;

	set_max(p, 8, 8);
	for (i = 0; i < 3; i++) {
		pl = peer_next_dial(&p->low, 0, &next_ns);
		peer_connected(&p->low, pl, &h);
		h.features = 0;
		assert_int_equal(peer_hello(&p->high, &h, &place, &old, &reply), PEER_UP);
		assert_true(reply.features & WIRE_FEATURE_DRAIN);
		reply.features = 0;
		assert_int_equal(peer_answered(&p->low, pl, &reply), PEER_UP);
	}
	assert_null(peer_grow(&p->low, 0, 0));
	assert_null(peer_grow(&p->high, 0, 0));
}

static void a_worker_grows_in_its_own_lanes(void **state)
{
	struct peer_config one = host_config(10, 1000, 1), many = host_config(20, 2000, 3);
	struct pair *p = *state;
	struct place *pl;
	uint32_t i;

	one.max = many.max = 8;
	peer_init(&p->low, &one);
	peer_init(&p->high, &many);
	for (i = 0; i < 9; i++)
		(void)dial(&p->low, &p->high, 0, PEER_UP);
	pl = peer_grow(&p->high, 2, 0);
	assert_non_null(pl);
	assert_int_equal(pl->lane, 2);
	(void)dial(&p->high, &p->low, 0, PEER_UP);
	/* The worker that has all three takes the one with the fewest. */
	pl = peer_grow(&p->low, 0, 0);
	assert_non_null(pl);
	assert_int_equal(pl->index, 2);
	assert_int_not_equal(pl->lane, 2);
}

int main(void)
{
#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, pair_create, pair_destroy)
	const struct CMUnitTest tests[] = {
		PAIR_TEST(one_place_is_dialled_until_it_is_up),
		PAIR_TEST(all_places_come_up_after_the_first),
		PAIR_TEST(lanes_follow_the_host_with_more_workers),
		PAIR_TEST(the_lower_identity_wins_a_collision),
		PAIR_TEST(a_hello_that_the_winner_overtook_is_stale),
		PAIR_TEST(a_newer_dial_replaces_a_connection_that_is_dead_there),
		PAIR_TEST(a_new_incarnation_empties_all_places),
		PAIR_TEST(an_older_incarnation_is_believed_only_without_a_live_one),
		PAIR_TEST(hellos_out_of_range_are_refused_with_the_reason),
		PAIR_TEST(an_answer_for_another_place_is_refused),
		PAIR_TEST(backoff_grows_to_its_limit_with_jitter),
		PAIR_TEST(a_lost_channel_is_dialled_at_once_but_not_over_and_over),
		PAIR_TEST(any_order_of_events_ends_with_one_set_of_channels),
		PAIR_TEST(a_grown_place_is_dialled_once),
		PAIR_TEST(a_drained_place_may_grow_again_at_once),
		PAIR_TEST(nothing_grows_beyond_the_own_max),
		PAIR_TEST(a_host_takes_no_more_than_its_max_and_says_so),
		PAIR_TEST(configured_places_are_kept_free),
		PAIR_TEST(both_may_grow_into_one_place),
		PAIR_TEST(a_peer_without_the_feature_is_left_as_it_is),
		PAIR_TEST(a_worker_grows_in_its_own_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
