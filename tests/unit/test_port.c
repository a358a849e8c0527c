/* SPDX-License-Identifier: MIT */
/*
 * test_port.c - a port against an application that lies.
 *
 * Goal: every word of the region that breaks its rule ends that attachment with a reason, and a
 * good application beside it is not disturbed. Method: host 0 lies, host 1 is the witness.
 */
#define RIG_STREAMS 256u /* as many as the slots of one application */
#include "worker_rig.h"

struct lie {
	const char *name;
	void (*tell)(struct rig_host *h, uint32_t slot);
};

static void word(struct rig_host *h, uint64_t w)
{
	app_submit(h, w);
}

static void slot_out_of_range(struct rig_host *h, uint32_t slot)
{
	(void)slot;
	word(h, sq_word(SQ_KICK, RIG_SLOTS, 0));
}

static void unknown_operation(struct rig_host *h, uint32_t slot)
{
	word(h, sq_word(SQ_OP_END, slot, 0));
}

static void open_twice(struct rig_host *h, uint32_t slot)
{
	word(h, sq_word(SQ_OPEN, slot, 0));
}

static void open_upper_half(struct rig_host *h, uint32_t slot)
{
	(void)slot;
	word(h, sq_word(SQ_OPEN, RIG_SLOTS / 2 + 1, 0));
}

static void close_free_slot(struct rig_host *h, uint32_t slot)
{
	word(h, sq_word(SQ_CLOSE, slot + 1, 0));
}

static void close_argument(struct rig_host *h, uint32_t slot)
{
	word(h, sq_word(SQ_CLOSE, slot, 7));
}

static void class_argument(struct rig_host *h, uint32_t slot)
{
	word(h, sq_word(SQ_CLASS, slot, 3));
}

static void tail_beyond_ring(struct rig_host *h, uint32_t slot)
{
	atomic_store(&h->slot[slot].tx_tail, 1u << 30);
	app_kick(h, slot);
}

static void head_beyond_tail(struct rig_host *h, uint32_t slot)
{
	atomic_store(&h->slot[slot].rx_head, 1);
	app_kick(h, slot);
}

static void queue_tail(struct rig_host *h, uint32_t slot)
{
	(void)slot;
	h->sq.own += NCD_SQ_ENTRIES + 1;
	atomic_store(&h->sq.shm->tail, h->sq.own);
	if (doorbell_due(&h->port_shm->need_wakeup))
		(void)eventfd_write(h->doorbell_fd, 1);
}

static const struct lie lies[] = {
	{ "slot out of range", slot_out_of_range },
	{ "unknown operation", unknown_operation },
	{ "SQ_OPEN of a slot that is not free", open_twice },
	{ "SQ_OPEN of a slot that is not free", open_upper_half },
	{ "SQ_CLOSE of a slot that is free", close_free_slot },
	{ "SQ_CLOSE with an unknown argument", close_argument },
	{ "SQ_CLASS with an unknown class", class_argument },
	{ "tx_tail is impossible", tail_beyond_ring },
	{ "rx_head is impossible", head_beyond_tail },
	{ "submission queue's tail is impossible", queue_tail },
};

static void each_lie_ends_the_attachment_with_its_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct rig *r = rig_new(IO_AUTO, 20);
		uint32_t b;

		assert_int_equal(app_listen(r, 1, 80, 16), 0);
		b = rig_connect(r, 3, 80);
		lies[i].tell(&r->host[0], 3);
		rig_until(r, r->host[0].bad == 1);
		assert_string_equal(r->host[0].reason, lies[i].name);
		assert_int_equal(r->host[1].bad, 0);
		rig_remove_client(r, 0);
		rig_until(r, app_flags(&r->host[1], b) & SLOT_F_RESET);
		/* The witness goes on. */
		app_open(&r->host[1], 5, r->host[1].addr, 80, 0);
		rig_until(r, app_state(&r->host[1], 5) == SLOT_OPEN);
		rig_free(r);
	}
}

static void a_lying_completion_queue_is_noticed(void **state)
{
	struct rig *r = rig_new(IO_AUTO, 20);
	struct rig_host *h = &r->host[1];
	uint32_t b;

	(void)state;
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	atomic_store(&h->slot[b].qp, NCD_QP_NR);
	atomic_fetch_or(&h->slot[b].notify, NOTIFY_CQ(EV_IN));
	(void)app_write(&r->host[0], 3, 3, 64);
	rig_until(r, h->bad == 1);
	assert_string_equal(h->reason, "queue pair out of range");
	rig_remove_client(r, 1);
	rig_free(r);
}

static void scribbling_over_everything_hurts_only_oneself(void **state)
{
	struct rig *r = rig_new(IO_AUTO, 20);
	struct rig_host *h = &r->host[0];
	uint64_t seed = clock_monotonic_ns() | 1, got = 0;
	uint32_t b;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	b = rig_connect(r, 3, 80);
	app_open(&r->host[1], 5, r->host[1].addr, 80, 0);
	rig_until(r, app_state(&r->host[1], 5) == SLOT_OPEN);
	for (int i = 0; i < 20000; i++) {
		uint64_t page, at;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		/* The busy places: queue pairs, port head, queues, slots. */
		page = seed >> 40 & 1 ? h->layout.qp_off : h->layout.port_off;
		at = page + (seed >> 20) % (seed >> 41 & 1 ? 8192 : h->layout.port_bytes - 8);
		if (at + 8 <= h->layout.bytes)
			memcpy(h->seg[0].base + at, &seed, 1 + (seed >> 60) % 8);
		(void)eventfd_write(h->doorbell_fd, 1);
		if (i % 1000 == 0)
			rig_pump(r);
	}
	rig_remove_client(r, 0);
	(void)b;
	/* The witness's own stream still carries every byte. */
	rig_until(r, ({
			  uint32_t to = RIG_SLOTS / 2 + 1;

			  (void)app_write(&r->host[1], 5, 5, 1 << 20);
			  got = app_read(&r->host[1], to, 5);
			  got == 1 << 20;
		  }));
	assert_int_equal(r->host[1].bad, 0);
	rig_free(r);
}

static void a_full_backlog_refuses(void **state)
{
	struct rig *r = rig_new(IO_AUTO, 20);
	uint32_t refused = 0, open = 0;

	(void)state;
	assert_int_equal(app_listen(r, 1, 80, 3), 0);
	for (uint32_t i = 0; i < 8; i++)
		app_open(&r->host[0], i, r->host[1].addr, 80, 0);
	rig_until(r, ({
			  refused = open = 0;
			  for (uint32_t i = 0; i < 8; i++) {
				  open += app_state(&r->host[0], i) == SLOT_OPEN;
				  refused += app_state(&r->host[0], i) == SLOT_FAILED;
			  }
			  open + refused == 8;
		  }));
	/* As listen(2): one more than the backlog. */
	assert_int_equal(open, 4);
	assert_int_equal(atomic_load(&r->host[0].slot[7].error), -ECONNREFUSED);
	rig_free(r);
}

/* Also where nothing but the refusal remains of it: a leak would fill the table for all. */
static void a_stream_refused_for_want_of_memory_is_forgotten(void **state)
{
	struct rig *r = rig_new(IO_AUTO, 20);
	struct rig_host *h = &r->host[1];

	(void)state;
	h->deny = true;
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	app_open(&r->host[0], 0, h->addr, 80, 0);
	rig_until(r, app_state(&r->host[0], 0) == SLOT_FAILED);
	assert_int_equal(atomic_load(&r->host[0].slot[0].error), -ECONNREFUSED);
	rig_until(r, atomic_load(&h->stats.streams_refused) == 1);
	rig_until(r, atomic_load(&h->stats.streams) == 0);
	rig_free(r);
}

/* It connects to itself with all its slots, which would be all streams of the worker. */
static void one_application_leaves_streams_to_others(void **state)
{
	struct rig *r = rig_new(IO_AUTO, 20);
	struct rig_host *h = &r->host[0];
	uint32_t slot;

	(void)state;
	assert_int_equal(app_listen(r, 0, 80, RIG_SLOTS), 0);
	for (slot = 0; slot < RIG_SLOTS / 2; slot++) {
		app_open(h, slot, h->addr, 80, NCD_RING_MIN);
		rig_until(r, app_state(h, slot) == SLOT_OPEN || app_state(h, slot) == SLOT_FAILED);
		if (app_state(h, slot) == SLOT_FAILED)
			break;
	}
	/* Two streams each; as many as it has are still free. */
	assert_int_equal(slot, RIG_STREAMS / 4);
	assert_int_equal(atomic_load(&h->slot[slot].error), -ENOBUFS);
	rig_free(r);
}

static void unaccepted_streams_are_reset_when_the_listener_goes(void **state)
{
	struct rig *r = rig_new(IO_AUTO, 20);
	struct worker_cmd cmd = { .type = CMD_UNLISTEN };

	(void)state;
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	app_open(&r->host[0], 0, r->host[1].addr, 80, 0);
	rig_until(r, app_state(&r->host[0], 0) == SLOT_OPEN);
	cmd.port = r->host[1].port;
	rig_command(r, 1, &cmd);
	rig_until(r, app_flags(&r->host[0], 0) & SLOT_F_RESET);
	/* The number and the port are free again, the queue begins anew. */
	assert_int_equal(app_listen(r, 1, 80, 16), 0);
	ring_init(&r->host[1].accept, r->host[1].accept.shm, NCD_BACKLOG_MAX);
	(void)rig_connect(r, 1, 80);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_lie_ends_the_attachment_with_its_reason),
		cmocka_unit_test(a_lying_completion_queue_is_noticed),
		cmocka_unit_test(scribbling_over_everything_hurts_only_oneself),
		cmocka_unit_test(a_full_backlog_refuses),
		cmocka_unit_test(a_stream_refused_for_want_of_memory_is_forgotten),
		cmocka_unit_test(one_application_leaves_streams_to_others),
		cmocka_unit_test(unaccepted_streams_are_reset_when_the_listener_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
