/* SPDX-License-Identifier: MIT */
/*
 * test_worker.c - the data path outside the engine, whole: two workers, two regions, real links.
 *
 * Goal: streams open, carry every byte, close, and give everything back, over either back end.
 * Method: the rig plays control and both applications, writing the regions directly.
 */

#include "worker_rig.h"

#define MANY (10u << 20)

static enum io_choice choice(void **state)
{
	return *state ? IO_EPOLL : IO_URING;
}

static void both_ways(struct rig *r, uint32_t a, uint32_t b, uint64_t bytes)
{
	uint64_t sent[2] = { 0 }, got[2] = { 0 };
	uint32_t slot[2] = { a, b };

	rig_until(r, ({
			  for (int i = 0; i < 2; i++) {
				  sent[i] = app_write(&r->host[i], slot[i], slot[i], bytes);
				  got[i] = app_read(&r->host[i], slot[i], slot[1 - i]);
			  }
			  got[0] == bytes && got[1] == bytes;
		  }));
	assert_true(sent[0] == bytes && sent[1] == bytes);
}

static void ten_megabytes_pass_each_way(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	const char *why;
	uint32_t b;

	assert_string_equal(worker_backend(r->host[0].worker, &why), *state ? "epoll" : "io_uring");
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	assert_true(b >= RIG_SLOTS / 2);
	assert_int_equal(r->host[1].slot[b].peer_port, r->host[0].slot[3].local_port);
	assert_int_equal(r->host[0].slot[3].peer_port, 80);
	both_ways(r, 3, b, MANY);

	/* Half-close: the end is seen on the other side, and is acknowledged. */
	app_shutdown(&r->host[0], 3);
	rig_until(r, app_flags(&r->host[1], b) & SLOT_F_EOF);
	rig_until(r, app_flags(&r->host[0], 3) & SLOT_F_TX_DONE);
	app_close(&r->host[1], b, CLOSE_GRACEFUL);
	rig_until(r, app_flags(&r->host[0], 3) & SLOT_F_EOF);
	app_close(&r->host[0], 3, CLOSE_GRACEFUL);
	rig_until(r, app_state(&r->host[0], 3) == SLOT_FREE);
	rig_remove_client(r, 0);
	rig_remove_client(r, 1);
	rig_free(r);
}

static void nobody_listens_is_refused(void **state)
{
	struct rig *r = rig_new(choice(state), 0);
	struct address nobody = rig_address(77);

	app_open(&r->host[0], 0, r->host[1].addr, 81, 0);
	rig_until(r, app_state(&r->host[0], 0) == SLOT_FAILED);
	assert_int_equal(atomic_load(&r->host[0].slot[0].error), -ECONNREFUSED);
	app_close(&r->host[0], 0, CLOSE_GRACEFUL);
	rig_until(r, app_state(&r->host[0], 0) == SLOT_FREE);
	nobody.byte[12] = 10;
	app_open(&r->host[0], 0, nobody, 81, 0);
	rig_until(r, app_state(&r->host[0], 0) == SLOT_FAILED);
	assert_int_equal(atomic_load(&r->host[0].slot[0].error), -ENETUNREACH);
	rig_free(r);
}

static void a_host_reaches_itself(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	struct rig_host *h = &r->host[0];
	uint64_t got = 0, back = 0;
	int b = -1;

	assert_int_equal(app_listen(r, 0, 82, 16), 0);
	app_open(h, 1, h->addr, 82, 0);
	rig_until(r, app_state(h, 1) == SLOT_OPEN && (b = app_accept(h)) >= 0);
	rig_until(r, ({
			  (void)app_write(h, 1, 5, MANY);
			  (void)app_write(h, (uint32_t)b, 6, MANY);
			  got = app_read(h, (uint32_t)b, 5);
			  back = app_read(h, 1, 6);
			  got == MANY && back == MANY;
		  }));
	rig_free(r);
}

static void last_bytes_of_a_killed_client_arrive_then_a_reset(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	uint32_t b, finished;
	uint64_t n;

	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	finished = rig_connect(r, 4, 80);
	/* Published, not kicked: the process died between the two. */
	n = app_write(&r->host[0], 3, 3, 300000);
	(void)app_write(&r->host[0], 4, 4, 1000);
	app_shutdown(&r->host[0], 4);
	rig_remove_client(r, 0);
	rig_until(r, app_flags(&r->host[1], b) & SLOT_F_RESET);
	assert_int_equal(atomic_load(&r->host[1].slot[b].error), -ECONNRESET);
	assert_int_equal(app_read(&r->host[1], b, 3), n);
	rig_until(r, app_flags(&r->host[1], finished) & SLOT_F_EOF);
	assert_int_equal(app_read(&r->host[1], finished, 4), 1000);
	rig_free(r);
}

static void streams_outlive_a_channel(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	uint64_t got = 0;
	bool cut = false;
	uint32_t b;

	rig_link(r, CLASS_THROUGHPUT, 1);
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, MANY);
			  got = app_read(&r->host[1], b, 3);
			  if (got > MANY / 3 && !cut) {
				  struct worker_cmd cmd = { .type = CMD_CHANNEL_DROP };

				  cmd.link = &r->link[0][1];
				  rig_command(r, 0, &cmd);
				  cut = true;
			  }
			  got == MANY;
		  }));
	rig_until(r, r->host[0].dead == 1);
	/* Dropping it again meets a link that is gone: nothing happens. */
	rig_command(r, 0, &(struct worker_cmd){ .type = CMD_CHANNEL_DROP, .link = &r->link[0][1] });
	assert_int_equal(r->host[0].dead, 1);
	rig_until(r, r->host[1].dead >= 1);
	rig_free(r);
}

/* Its last byte and its end come in one turn, which has no bound in bytes. */
static void a_channel_ends_in_the_middle_of_a_frame(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	struct link *l = &r->link[0][2];
	struct worker_cmd cmd = { .type = CMD_CHANNEL_ADD, .link = l };
	int fd[2];

	rig_tcp_pair(fd);
	assert_int_equal(write(fd[1], "\1", 1), 1);
	assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
	*l = (struct link){ .fd = fd[0], .peer = 1, .class = CLASS_LATENCY, .index = 1 };
	rig_command(r, 0, &cmd);
	assert_int_equal(r->host[0].result, 0);
	rig_until(r, r->host[0].dead == 1);
	rig_stop(r);
	close(fd[1]);
	free(r);
}

/* Both workers tell control that nothing was lost with it. */
static void a_channel_that_is_not_needed_ends_without_a_loss(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	uint64_t got = 0;
	uint32_t b;

	r->extra = true;
	rig_link(r, CLASS_THROUGHPUT, 1);
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	both_ways(r, 3, b, MANY);
	rig_until(r, r->host[0].drained == 1 && r->host[1].drained == 1);
	assert_int_equal(r->host[0].dead, 1);
	assert_int_equal(r->host[1].dead, 1);
	rig_until(r, ({
			  (void)app_write(&r->host[0], 3, 3, 2 * MANY);
			  got = app_read(&r->host[1], b, 3);
			  got == 2 * MANY;
		  }));
	rig_stop(r);
	assert_int_equal(atomic_load(&r->host[0].stats.retransmits), 0);
	assert_int_equal(atomic_load(&r->host[1].stats.retransmits), 0);
	free(r);
}

static void memory_is_asked_for_once_and_refusal_reaches_the_application(void **state)
{
	struct rig *r = rig_new(choice(state), 0);

	r->host[0].deny = true;
	for (uint32_t i = 0; i < 3; i++)
		app_open(&r->host[0], i, r->host[1].addr, 80, 0);
	for (uint32_t i = 0; i < 3; i++) {
		rig_until(r, app_state(&r->host[0], i) == SLOT_FAILED);
		assert_int_equal(atomic_load(&r->host[0].slot[i].error), -ENOBUFS);
	}
	rig_free(r);
}

static void slots_and_rings_are_used_again(void **state)
{
	struct rig *r = rig_new(choice(state), 50);

	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t b = rig_connect(r, i % 2, 80);

		(void)app_write(&r->host[0], i % 2, i, 64);
		rig_until(r, app_read(&r->host[1], b, i) == 64);
		app_close(&r->host[0], i % 2, CLOSE_GRACEFUL);
		rig_until(r, app_flags(&r->host[1], b) & SLOT_F_EOF);
		app_close(&r->host[1], b, i % 3 ? CLOSE_GRACEFUL : CLOSE_ABORT);
		rig_until(r, app_state(&r->host[0], i % 2) == SLOT_FREE);
		rig_until(r, app_state(&r->host[1], b) == SLOT_FREE);
	}
	/* No more than the first segment was ever needed. */
	assert_int_equal(r->host[0].segments, 2);
	assert_int_equal(r->host[1].segments, 2);
	rig_remove_client(r, 0);
	rig_remove_client(r, 1);
	rig_free(r);
}

static void completions_name_the_sockets_that_are_ready(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	struct rig_host *h;
	uint64_t word;
	uint32_t b;

	h = &r->host[1];
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	atomic_fetch_or(&h->slot[b].notify, NOTIFY_CQ(EV_IN));
	atomic_store(&h->qp->need_wakeup, 1);
	(void)app_write(&r->host[0], 3, 3, 64);
	rig_until(r, ring_pop(&h->cq, &word) == 0);
	assert_true(word == cq_word(b, EV_IN));
	assert_int_equal(atomic_load(&h->slot[b].notify), 0);
	rig_until(r, atomic_load(&h->qp->seq) == 1);
	/* Unarmed: more bytes say nothing. */
	(void)app_write(&r->host[0], 3, 3, 128);
	rig_until(r, atomic_load(&h->slot[b].rx_tail) == 128);
	assert_int_equal(ring_pop(&h->cq, &word), -EAGAIN);
	rig_free(r);
}

static void the_pollable_descriptor_follows_the_socket(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	struct worker_cmd cmd = { .type = CMD_POLLFD };
	struct pollfd p = { .events = POLLIN | POLLRDHUP };
	int pair[2];
	uint32_t b;
	char c;

	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	cmd.port = r->host[1].port;
	cmd.pollfd.slot = b;
	cmd.pollfd.fd = pair[0];
	rig_command(r, 1, &cmd);
	assert_int_equal(r->host[1].result, 0);
	p.fd = pair[1];
	assert_int_equal(poll(&p, 1, 0), 0);
	atomic_fetch_or(&r->host[1].slot[b].notify, NOTIFY_FD(EV_ALL));
	(void)app_write(&r->host[0], 3, 3, 64);
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(recv(pair[1], &c, 1, 0), 1);
	app_close(&r->host[0], 3, CLOSE_ABORT);
	rig_until(r, app_flags(&r->host[1], b) & SLOT_F_RESET);
	rig_until(r, poll(&p, 1, 0) == 1 && p.revents & POLLHUP);
	app_close(&r->host[1], b, CLOSE_GRACEFUL);
	close(pair[1]);
	rig_free(r);
}

static void the_pollable_descriptor_tells_the_end(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	struct worker_cmd cmd = { .type = CMD_POLLFD };
	struct pollfd p = { .events = POLLIN | POLLRDHUP };
	int pair[2];
	uint32_t b;

	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	/* The second pair comes when the end is there already. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		cmd.port = r->host[1].port;
		cmd.pollfd.slot = b;
		cmd.pollfd.fd = pair[0];
		rig_command(r, 1, &cmd);
		assert_int_equal(r->host[1].result, 0);
		p.fd = pair[1];
		atomic_fetch_or(&r->host[1].slot[b].notify, NOTIFY_FD(EV_ALL));
		if (i == 0)
			app_submit(&r->host[0], sq_word(SQ_SHUTDOWN, 3, 0));
		rig_until(r, poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP);
		assert_false(p.revents & POLLHUP); /* this side may still send */
		close(pair[1]);
	}
	app_close(&r->host[1], b, CLOSE_GRACEFUL);
	rig_free(r);
}

static void an_idle_worker_sleeps(void **state)
{
	struct rig *r = rig_new(choice(state), 50);
	uint64_t turns, since;
	bool sleeping = false;
	uint32_t b;

	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	(void)app_write(&r->host[0], 3, 3, 64);
	rig_until(r, app_read(&r->host[1], b, 3) == 64);
	/* Statistics are written a last time, pings are a second apart; then there is silence. */
	rig_until(r, ({
			  turns = worker_turns(r->host[0].worker, &sleeping);
			  since = clock_monotonic_ns();
			  while (clock_monotonic_ns() - since < 200000000)
				  rig_rest(r);
			  sleeping && worker_turns(r->host[0].worker, &sleeping) - turns <= 8;
		  }));
	rig_free(r);
}

#define EACH(test) cmocka_unit_test(test), { #test "_epoll", test, NULL, NULL, &epoll }

int main(void)
{
	static int epoll = 1;
	const struct CMUnitTest tests[] = {
		EACH(ten_megabytes_pass_each_way),
		EACH(nobody_listens_is_refused),
		EACH(a_host_reaches_itself),
		EACH(last_bytes_of_a_killed_client_arrive_then_a_reset),
		EACH(streams_outlive_a_channel),
		EACH(a_channel_ends_in_the_middle_of_a_frame),
		EACH(a_channel_that_is_not_needed_ends_without_a_loss),
		EACH(memory_is_asked_for_once_and_refusal_reaches_the_application),
		EACH(slots_and_rings_are_used_again),
		EACH(completions_name_the_sockets_that_are_ready),
		EACH(the_pollable_descriptor_follows_the_socket),
		EACH(the_pollable_descriptor_tells_the_end),
		EACH(an_idle_worker_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
