/* SPDX-License-Identifier: MIT */
/*
 * test_sched.c - Goal: streams share a channel fairly, classes go on their own channels, a short
 * message does not wait behind a long one. Method: an engine with many streams to one peer; frames
 * are read off the wire.
 */
#include "../ncd_test.h"

#include "engine_rig.h"

#define STREAMS 4
#define BYTES   (1u << 20)

struct case_state {
	struct rig rig;
	struct stream *s[STREAMS];
	struct ring_mem tx[STREAMS], rx[STREAMS], far_rx[STREAMS], far_tx[STREAMS];
	uint32_t far;
};

/* The far side of each stream has rings of its own, as large as what is sent. */
static int far_incoming(void *ctx, struct stream *s, void *user)
{
	struct case_state *c = user;

	(void)ctx;
	engine_stream_rings(s, &c->far_tx[c->far], &c->far_rx[c->far], c);
	c->far++;
	return 0;
}

static int set_up(void **state)
{
	static const struct engine_ops ops = { .incoming = far_incoming };
	struct case_state *c = calloc(1, sizeof(*c));
	struct rig *r = &c->rig;
	struct address any = { 0 }, self = rig_address(1), other = rig_address(0);
	struct ring_mem own_tx, own_rx;

	rig_init(r);
	own_tx = r->tx;
	own_rx = r->rx;
	memset((void *)r->host[1].engine, 0, engine_bytes(&r->cfg));
	r->host[1].engine = engine_create((void *)r->host[1].engine, &r->cfg, &ops, c);
	engine_peer_set(r->host[1].engine, 0, &self, 1);
	engine_peer_set(r->host[1].engine, 1, &other, 1);
	(void)engine_listen(r->host[1].engine, &any, RIG_PORT, c);
	rig_up(r, 0, CLASS_LATENCY);
	rig_up(r, 1, CLASS_THROUGHPUT);
	for (int i = 0; i < STREAMS; i++) {
		c->tx[i] = rig_ring(BYTES);
		c->rx[i] = rig_ring(4096);
		c->far_tx[i] = rig_ring(4096);
		c->far_rx[i] = rig_ring(BYTES);
		r->tx = c->tx[i];
		r->rx = c->rx[i];
		c->s[i] = rig_connect(r);
		rig_pump(r);
	}
	r->tx = own_tx;
	r->rx = own_rx;
	*state = c;
	return 0;
}

static int tear_down(void **state)
{
	struct case_state *c = *state;

	for (int i = 0; i < STREAMS; i++) {
		free(c->tx[i].base);
		free(c->rx[i].base);
		free(c->far_tx[i].base);
		free(c->far_rx[i].base);
	}
	rig_fini(&c->rig);
	free(c);
	return 0;
}

/* One gathered send on wire @w; counts each stream's payload and returns the longest frame. */
static uint32_t one_send(struct case_state *c, int w, uint64_t *bytes_of, uint64_t *ids)
{
	struct rig *r = &c->rig;
	struct engine *e = r->host[0].engine;
	const struct iovec *iov;
	int nr = engine_tx_iov(e, r->wire[w].channel[0], r->now_ns, &iov);
	uint8_t *flat = r->wire[w].bytes[0];
	size_t total = 0, at = 0;
	uint32_t longest = 0;

	for (int i = 0; i < nr; i++) {
		memcpy(flat + total, iov[i].iov_base, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	engine_sent(e, r->wire[w].channel[0], total, r->now_ns);
	while (at < total) {
		struct frame f;
		int i;

		assert_int_equal(frame_decode(flat + at, &f), 0);
		at += WIRE_HEADER_BYTES + f.length;
		if (f.type != FRAME_DATA)
			continue;
		longest = f.length > longest ? f.length : longest;
		for (i = 0; i < STREAMS && ids[i] != f.stream && ids[i] != 0; i++)
			;
		ids[i] = f.stream;
		bytes_of[i] += f.length;
	}
	return longest;
}

static void publish(struct case_state *c, int i, uint64_t bytes)
{
	assert_int_equal(engine_tx_published(c->rig.host[0].engine, c->s[i], bytes, c->rig.now_ns),
			 0);
}

static void bulk_streams_share_a_channel_evenly(void **state)
{
	struct case_state *c = *state;
	uint64_t bytes_of[STREAMS] = { 0 }, ids[STREAMS] = { 0 };

	for (int i = 0; i < STREAMS; i++) {
		engine_stream_class(c->rig.host[0].engine, c->s[i], CLASS_THROUGHPUT);
		publish(c, i, BYTES);
	}
	for (int i = 0; i < 2 * STREAMS; i++)
		assert_true(one_send(c, 1, bytes_of, ids) <= c->rig.cfg.frame_bytes);
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(bytes_of[i], 2 * c->rig.cfg.frame_bytes);
}

static void a_short_message_goes_on_the_latency_channel_at_once(void **state)
{
	struct case_state *c = *state;
	uint64_t bytes_of[STREAMS] = { 0 }, ids[STREAMS] = { 0 };

	engine_stream_class(c->rig.host[0].engine, c->s[0], CLASS_THROUGHPUT);
	publish(c, 0, BYTES);
	publish(c, 1, 64);
	assert_int_equal(one_send(c, 0, bytes_of, ids), 64);
}

static void many_short_messages_go_in_one_send(void **state)
{
	struct case_state *c = *state;
	uint64_t bytes_of[STREAMS] = { 0 }, ids[STREAMS] = { 0 };

	for (int i = 0; i < STREAMS; i++)
		publish(c, i, 10 + (uint64_t)i);
	one_send(c, 0, bytes_of, ids);
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(bytes_of[i], 10 + i);
	assert_false(engine_channel_wants_tx(c->rig.wire[0].channel[0]));
}

static void a_class_without_a_channel_uses_the_other(void **state)
{
	struct case_state *c = *state;
	uint64_t bytes_of[STREAMS] = { 0 }, ids[STREAMS] = { 0 };

	rig_cut(&c->rig, 1);
	rig_pump(&c->rig);
	engine_stream_class(c->rig.host[0].engine, c->s[0], CLASS_THROUGHPUT);
	publish(c, 0, 100000);
	while (engine_channel_wants_tx(c->rig.wire[0].channel[0]))
		one_send(c, 0, bytes_of, ids);
	assert_int_equal(bytes_of[0], 100000);
}

static void nothing_to_send_is_nothing_wanted(void **state)
{
	struct case_state *c = *state;

	assert_false(engine_channel_wants_tx(c->rig.wire[0].channel[0]));
	assert_false(engine_channel_wants_tx(c->rig.wire[1].channel[0]));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bulk_streams_share_a_channel_evenly),
		CASE(a_short_message_goes_on_the_latency_channel_at_once),
		CASE(many_short_messages_go_in_one_send),
		CASE(a_class_without_a_channel_uses_the_other),
		CASE(nothing_to_send_is_nothing_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
