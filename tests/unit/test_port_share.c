/* SPDX-License-Identifier: MIT */
/*
 * test_port_share.c - Goal: a shared stream goes to who takes it, with every byte; it lives until
 * nobody has its descriptor, and no lie about it hurts anybody else. Method: worker_rig.h with two
 * applications on host 1, over either back end.
 */
#include "worker_rig.h"

#include "port_calls.h"

#define COOKIE 4711u

struct shared {
	uint32_t near;   /* host 0's slot */
	uint32_t slot;   /* host 1's */
	uint32_t stream; /* as the worker calls it */
	int pair[2];
};

static struct rig *start(void **state)
{
	struct rig *r = rig_new(*state ? IO_EPOLL : IO_URING, 50);

	(void)rig_more(r, 0);
	assert_int_equal(app_listen(r, 1, 80, 64), 0);
	return r;
}

/* What a command says; r->host[1].back has the rest. */
static int share(struct rig *r, uint32_t slot, uint64_t cookie, int end)
{
	struct worker_cmd cmd = { .type = CMD_SHARE, .port = r->host[1].port };

	cmd.share.slot = slot;
	cmd.share.cookie = cookie;
	cmd.share.fd = end;
	cmd.share.end = end;
	rig_command(r, 1, &cmd);
	return r->host[1].result;
}

static int take(struct rig *r, struct rig_host *taker, uint32_t stream, uint64_t cookie)
{
	struct worker_cmd cmd = { .type = CMD_TAKE, .port = taker->port };

	cmd.share.stream = stream;
	cmd.share.cookie = cookie;
	cmd.share.fd = eventfd(0, EFD_CLOEXEC);
	rig_command(r, 1, &cmd);
	rig_until(r, r->host[1].back.type == CMD_TAKE);
	taker->tx[r->host[1].back.share.slot].base = NULL;
	taker->rx[r->host[1].back.share.slot].base = NULL;
	return r->host[1].result;
}

static void share_end(struct rig *r, uint32_t stream, uint64_t cookie)
{
	struct worker_cmd cmd = { .type = CMD_SHARE_END };

	cmd.share.stream = stream;
	cmd.share.cookie = cookie;
	rig_command(r, 1, &cmd);
}

static struct shared connect_shared(struct rig *r)
{
	struct shared s = { .near = 3 };

	s.slot = rig_connect(r, s.near, 80);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s.pair), 0);
	assert_int_equal(share(r, s.slot, COOKIE, s.pair[1]), 0);
	s.stream = r->host[1].back.share.stream;
	return s;
}

/* Gives it to the second application; returns the slot there. */
static uint32_t taken(struct rig *r, const struct shared *s)
{
	assert_int_equal(take(r, &r->more[0], s->stream, COOKIE), 0);
	return r->host[1].back.share.slot;
}

static void transfer(struct rig *r, struct rig_host *from, uint32_t a, struct rig_host *to,
		     uint32_t b, uint32_t seed, uint64_t end)
{
	rig_until(r, ({
			  (void)app_write(from, a, seed, end);
			  app_read(to, b, seed) == end;
		  }));
}

static void a_stream_goes_on_where_it_was_taken_to(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	struct rig_host *near = &r->host[0];
	uint32_t slot;

	transfer(r, near, s.near, &r->host[1], s.slot, 1, 5000);
	transfer(r, &r->host[1], s.slot, near, s.near, 2, 7000);
	/* Unread here, and unread there. */
	rig_until(r, app_write(near, s.near, 1, 15000) == 15000);
	rig_until(r, app_write(&r->host[1], s.slot, 2, 9000) == 9000);
	rig_until(r, atomic_load(&r->host[1].slot[s.slot].rx_tail) == 15000);
	slot = taken(r, &s);
	assert_int_equal(app_state(&r->host[1], s.slot), SLOT_MOVED);
	assert_int_equal(atomic_load(&r->host[1].slot[s.slot].moved_tail), 9000);
	assert_int_equal(atomic_load(&r->host[1].slot[s.slot].moved_head), 5000);
	assert_int_equal(app_state(&r->more[0], slot), SLOT_OPEN);
	assert_int_equal(atomic_load(&r->more[0].slot[slot].tx_tail), 9000);
	assert_int_equal(atomic_load(&r->more[0].slot[slot].rx_head), 5000);
	transfer(r, near, s.near, &r->more[0], slot, 1, 2000000);
	transfer(r, &r->more[0], slot, near, s.near, 2, 2000000);
	rig_free(r);
}

static void what_the_peer_has_not_read_is_sent_from_the_new_ring(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	uint64_t end = 0;
	uint32_t slot;

	/* Until both rings are full: the rest is published and not acknowledged. */
	rig_until(r, ({
			  uint64_t before = end;

			  end = app_write(&r->host[1], s.slot, 2, 1 << 30);
			  end == before && end > (1 << 20);
		  }));
	slot = taken(r, &s);
	transfer(r, &r->more[0], slot, &r->host[0], s.near, 2, end + 3000000);
	rig_free(r);
}

static void it_comes_back_and_goes_again(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	struct rig_host *app[2] = { &r->more[0], &r->host[1] };
	uint32_t slot = s.slot, before;
	uint64_t bytes = 0;

	for (int i = 0; i < 50; i++) {
		before = slot;
		assert_int_equal(take(r, app[i % 2], s.stream, COOKIE), 0);
		slot = r->host[1].back.share.slot;
		app_close(app[1 - i % 2], before, CLOSE_LET_GO);
		bytes += 3000;
		transfer(r, &r->host[0], s.near, app[i % 2], slot, 1, bytes);
		transfer(r, app[i % 2], slot, &r->host[0], s.near, 2, bytes);
	}
	assert_int_equal(r->host[1].bad + r->more[0].bad, 0);
	rig_free(r);
}

static void it_lives_without_a_slot_until_its_end(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	uint32_t slot;

	rig_until(r, app_write(&r->host[1], s.slot, 2, 9000) == 9000);
	app_close(&r->host[1], s.slot, CLOSE_LET_GO);
	rig_until(r, app_state(&r->host[1], s.slot) == SLOT_FREE);
	rig_until(r, app_read(&r->host[0], s.near, 2) == 9000);
	assert_int_equal(app_flags(&r->host[0], s.near) & SLOT_F_EOF, 0);
	slot = taken(r, &s);
	transfer(r, &r->more[0], slot, &r->host[0], s.near, 2, 12000);
	app_close(&r->more[0], slot, CLOSE_LET_GO);
	share_end(r, s.stream, COOKIE);
	rig_until(r, app_flags(&r->host[0], s.near) & SLOT_F_EOF);
	app_close(&r->host[0], s.near, CLOSE_GRACEFUL);
	rig_until(r, app_state(&r->host[0], s.near) == SLOT_FREE);
	rig_until(r, take(r, &r->more[0], s.stream, COOKIE) == -ENOENT);
	rig_free(r);
}

static void the_end_waits_for_who_has_a_slot(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);

	share_end(r, s.stream, COOKIE);
	transfer(r, &r->host[1], s.slot, &r->host[0], s.near, 2, 9000);
	app_close(&r->host[1], s.slot, CLOSE_LET_GO);
	rig_until(r, app_flags(&r->host[0], s.near) & SLOT_F_EOF);
	rig_free(r);
}

static void a_stream_outlives_the_client_that_had_it(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = r->host[1].port };
	uint32_t slot;

	rig_until(r, app_write(&r->host[0], s.near, 1, 15000) == 15000);
	rig_until(r, atomic_load(&r->host[1].slot[s.slot].rx_tail) == 15000);
	rig_command(r, 1, &cmd);
	assert_int_equal(r->host[1].gone, 0);
	slot = taken(r, &s);
	/* Nothing of it is in the dead one's memory any more. */
	rig_until(r, r->host[1].gone == 1);
	transfer(r, &r->host[0], s.near, &r->more[0], slot, 1, 1000000);
	transfer(r, &r->more[0], slot, &r->host[0], s.near, 2, 1000000);
	rig_free(r);
}

static void an_end_that_came_meanwhile_is_told(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	uint32_t slot;

	app_close(&r->host[1], s.slot, CLOSE_LET_GO);
	rig_until(r, app_write(&r->host[0], s.near, 1, 5000) == 5000);
	app_shutdown(&r->host[0], s.near);
	rig_until(r, take(r, &r->more[0], s.stream, COOKIE) == 0);
	slot = r->host[1].back.share.slot;
	rig_until(r, app_flags(&r->more[0], slot) & SLOT_F_EOF);
	rig_until(r, app_read(&r->more[0], slot, 1) == 5000);
	app_shutdown(&r->more[0], slot);
	rig_until(r, app_flags(&r->more[0], slot) & SLOT_F_TX_DONE);
	assert_true(app_flags(&r->more[0], slot) & SLOT_F_SHUT);
	/* Over in both directions, and still to be had. */
	assert_int_equal(take(r, &r->host[1], s.stream, COOKIE), 0);
	slot = r->host[1].back.share.slot;
	assert_int_equal(app_flags(&r->host[1], slot),
			 SLOT_F_EOF | SLOT_F_TX_DONE | SLOT_F_SHUT);
	rig_free(r);
}

static void who_waits_where_it_was_is_called(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	struct slot_shm *old = &r->host[1].slot[s.slot];
	uint32_t slot = taken(r, &s), seq;

	assert_int_equal(app_flags(&r->host[1], s.slot) & SLOT_F_CALLED_IN, 0);
	atomic_fetch_or(&old->notify, NOTIFY_FUTEX(EV_IN));
	seq = atomic_load(&old->seq);
	/* Somebody waits where it is: that is enough. */
	atomic_fetch_or(&r->more[0].slot[slot].notify, NOTIFY_FUTEX(EV_IN));
	rig_until(r, app_write(&r->host[0], s.near, 1, 100) == 100);
	rig_until(r, app_read(&r->more[0], slot, 1) == 100);
	assert_int_equal(atomic_load(&old->seq), seq);
	/* Nobody does. */
	rig_until(r, app_write(&r->host[0], s.near, 1, 200) == 200);
	rig_until(r, app_flags(&r->host[1], s.slot) & SLOT_F_CALLED_IN);
	rig_until(r, atomic_load(&old->seq) != seq);
	rig_free(r);
}

static void what_a_reader_leaves_is_for_who_waits_elsewhere(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	uint32_t slot = taken(r, &s);
	struct slot_shm *shm = &r->more[0].slot[slot];

	atomic_fetch_or(&shm->notify, NOTIFY_FUTEX(EV_IN));
	rig_until(r, app_write(&r->host[0], s.near, 1, 1000) == 1000);
	rig_until(r, atomic_load(&shm->rx_tail) == 1000);
	assert_int_equal(app_flags(&r->host[1], s.slot) & SLOT_F_CALLED_IN, 0);
	atomic_store(&shm->rx_head, 300);
	app_kick(&r->more[0], slot);
	rig_until(r, app_flags(&r->host[1], s.slot) & SLOT_F_CALLED_IN);
	rig_free(r);
}

static void an_end_is_for_all_who_wait(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	uint32_t slot = taken(r, &s);

	atomic_fetch_or(&r->more[0].slot[slot].notify, NOTIFY_FUTEX(EV_IN));
	app_shutdown(&r->host[0], s.near);
	rig_until(r, app_flags(&r->more[0], slot) & SLOT_F_EOF);
	rig_until(r, app_flags(&r->host[1], s.slot) & SLOT_F_CALLED_IN);
	rig_free(r);
}

static void what_nobody_shared_cannot_be_taken(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(take(r, &r->more[0], s.stream, COOKIE + 1), -ENOENT);
	assert_int_equal(take(r, &r->more[0], s.stream + 1, COOKIE), -ENOENT);
	assert_int_equal(take(r, &r->more[0], UINT32_MAX, COOKIE), -ENOENT);
	assert_int_equal(take(r, &r->more[0], s.stream + 1, 0), -ENOENT);
	assert_int_equal(share(r, s.slot, COOKIE + 1, dup(pair[0])), -EEXIST);
	assert_int_equal(share(r, s.slot + 1, COOKIE + 1, dup(pair[0])), -EBADF);
	assert_int_equal(share(r, UINT32_MAX, COOKIE + 1, dup(pair[0])), -EBADF);
	assert_int_equal(share(r, s.slot, COOKIE, dup(pair[0])), 0);
	close(pair[0]);
	close(pair[1]);
	rig_free(r);
}

static void the_old_slot_takes_no_words_any_more(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);
	uint32_t slot = taken(r, &s);

	/* A library that has not seen it yet, or lies. */
	atomic_store(&r->host[1].slot[s.slot].tx_tail, 1ull << 40);
	atomic_store(&r->host[1].slot[s.slot].rx_head, 1ull << 40);
	app_submit(&r->host[1], sq_word(SQ_KICK, s.slot, 0));
	app_submit(&r->host[1], sq_word(SQ_SHUTDOWN, s.slot, 0));
	app_submit(&r->host[1], sq_word(SQ_CLASS, s.slot, CLASS_THROUGHPUT));
	transfer(r, &r->more[0], slot, &r->host[0], s.near, 2, 100000);
	app_close(&r->host[1], s.slot, CLOSE_ABORT);
	rig_until(r, app_state(&r->host[1], s.slot) == SLOT_FREE);
	transfer(r, &r->more[0], slot, &r->host[0], s.near, 2, 200000);
	assert_int_equal(r->host[1].bad, 0);
	app_close(&r->host[1], s.slot, CLOSE_LET_GO);
	rig_until(r, r->host[1].bad == 1);
	transfer(r, &r->more[0], slot, &r->host[0], s.near, 2, 300000);
	rig_free(r);
}

static void letting_go_of_what_is_not_shared_closes_it(void **state)
{
	struct rig *r = start(state);
	uint32_t slot = rig_connect(r, 3, 80);

	app_close(&r->host[1], slot, CLOSE_LET_GO);
	rig_until(r, app_flags(&r->host[0], 3) & SLOT_F_EOF);
	app_close(&r->host[1], slot + 1, CLOSE_LET_GO + 1);
	rig_until(r, r->host[1].bad == 1);
	rig_free(r);
}

static void without_memory_it_stays_where_it_is(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_shared(r);

	r->more[0].deny = true;
	assert_int_equal(take(r, &r->more[0], s.stream, COOKIE), -ENOBUFS);
	assert_int_equal(app_state(&r->host[1], s.slot), SLOT_OPEN);
	transfer(r, &r->host[0], s.near, &r->host[1], s.slot, 1, 100000);
	rig_free(r);
}

/* ---- lent: shared as far as slots go ---- */

static int lend(struct rig *r, uint32_t slot, int end)
{
	struct worker_cmd cmd = { .type = CMD_SHARE, .port = r->host[1].port };

	cmd.share.slot = slot;
	cmd.share.cookie = COOKIE;
	cmd.share.fd = cmd.share.end = end;
	cmd.share.lent = true;
	rig_command(r, 1, &cmd);
	return r->host[1].result;
}

static struct shared connect_lent(struct rig *r)
{
	struct shared s = { .near = 3 };

	s.slot = rig_connect(r, s.near, 80);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s.pair), 0);
	assert_int_equal(lend(r, s.slot, s.pair[1]), 0);
	s.stream = r->host[1].back.share.stream;
	return s;
}

static void lent_end(struct rig *r, uint32_t stream, uint64_t cookie, bool back)
{
	struct worker_cmd cmd = { .type = CMD_LENT_END };

	cmd.share.stream = stream;
	cmd.share.cookie = cookie;
	cmd.share.back = back;
	rig_command(r, 1, &cmd);
}

static int take_back(struct rig *r, const struct shared *s)
{
	struct worker_cmd cmd = { .type = CMD_TAKE, .port = r->host[1].port };

	cmd.share.stream = s->stream;
	cmd.share.cookie = COOKIE;
	cmd.share.fd = eventfd(0, EFD_CLOEXEC);
	cmd.share.back = true;
	rig_command(r, 1, &cmd);
	return r->host[1].result;
}

static void a_lent_one_dies_with_its_client(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_lent(r);
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = r->host[1].port };

	transfer(r, &r->host[1], s.slot, &r->host[0], s.near, 2, 9000);
	rig_command(r, 1, &cmd);
	rig_until(r, app_flags(&r->host[0], s.near) & SLOT_F_RESET);
	rig_until(r, r->host[1].gone == 1);
	rig_free(r);
}

static void a_lent_one_is_closed_as_any(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_lent(r);

	rig_until(r, app_write(&r->host[1], s.slot, 2, 9000) == 9000);
	app_close(&r->host[1], s.slot, CLOSE_GRACEFUL);
	rig_until(r, app_flags(&r->host[0], s.near) & SLOT_F_EOF);
	assert_int_equal(app_read(&r->host[0], s.near, 2), 9000);
	/* The hour when nobody has the descriptor comes later. */
	share_end(r, s.stream, COOKIE);
	assert_int_equal(take_back(r, &s), -ENOENT);
	rig_free(r);
}

static void what_has_not_gone_is_taken_back_where_it_is(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_lent(r);

	transfer(r, &r->host[1], s.slot, &r->host[0], s.near, 2, 9000);
	assert_int_equal(take_back(r, &s), 0);
	assert_int_equal(r->host[1].back.share.slot, s.slot);
	assert_int_equal(app_state(&r->host[1], s.slot), SLOT_OPEN);
	assert_int_equal(take_back(r, &s), -ENOENT);
	transfer(r, &r->host[1], s.slot, &r->host[0], s.near, 2, 99000);
	/* As what was never shared. */
	app_close(&r->host[1], s.slot, CLOSE_LET_GO);
	rig_until(r, app_flags(&r->host[0], s.near) & SLOT_F_EOF);
	rig_free(r);
}

static void what_is_lent_no_more_is_shared_or_not(void **state)
{
	struct rig *r = start(state);
	struct shared s = connect_lent(r);

	/* Others' names; twice. */
	lent_end(r, s.stream, COOKIE + 1, true);
	lent_end(r, UINT32_MAX, COOKIE, true);
	assert_int_equal(lend(r, s.slot, dup(s.pair[0])), 0);
	lent_end(r, s.stream, COOKIE, false);
	/* Shared, it is not lent, and not given up either. */
	assert_int_equal(lend(r, s.slot, dup(s.pair[0])), -EEXIST);
	lent_end(r, s.stream, COOKIE, true);
	app_close(&r->host[1], s.slot, CLOSE_LET_GO);
	rig_until(r, app_state(&r->host[1], s.slot) == SLOT_FREE);
	assert_int_equal(take(r, &r->more[0], s.stream, COOKIE), 0);
	rig_free(r);
}

static void who_waits_when_it_is_lent_hears_what_is_true(void **state)
{
	struct rig *r = start(state);
	struct shared s = { .near = 3 };
	char byte;

	s.slot = rig_connect(r, s.near, 80);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s.pair), 0);
	/* The wish is served before the worker has the descriptor. */
	atomic_store(&r->host[1].slot[s.slot].notify, NOTIFY_FD(EV_IN));
	rig_until(r, app_write(&r->host[0], s.near, 1, 5000) == 5000);
	rig_until(r, atomic_load(&r->host[1].slot[s.slot].notify) == 0);
	assert_int_equal(lend(r, s.slot, s.pair[1]), 0);
	assert_int_equal(recv(s.pair[0], &byte, 1, MSG_DONTWAIT), 1);
	rig_free(r);
}

#define EACH(test) cmocka_unit_test(test), { #test "_epoll", test, NULL, NULL, &epoll }

int main(void)
{
	static int epoll = 1;
	const struct CMUnitTest tests[] = {
		EACH(a_stream_goes_on_where_it_was_taken_to),
		EACH(what_the_peer_has_not_read_is_sent_from_the_new_ring),
		EACH(it_comes_back_and_goes_again),
		EACH(it_lives_without_a_slot_until_its_end),
		EACH(the_end_waits_for_who_has_a_slot),
		EACH(a_stream_outlives_the_client_that_had_it),
		EACH(an_end_that_came_meanwhile_is_told),
		EACH(who_waits_where_it_was_is_called),
		EACH(what_a_reader_leaves_is_for_who_waits_elsewhere),
		EACH(an_end_is_for_all_who_wait),
		EACH(what_nobody_shared_cannot_be_taken),
		EACH(the_old_slot_takes_no_words_any_more),
		EACH(letting_go_of_what_is_not_shared_closes_it),
		EACH(without_memory_it_stays_where_it_is),
		EACH(a_lent_one_dies_with_its_client),
		EACH(a_lent_one_is_closed_as_any),
		EACH(what_has_not_gone_is_taken_back_where_it_is),
		EACH(what_is_lent_no_more_is_shared_or_not),
		EACH(who_waits_when_it_is_lent_hears_what_is_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
