/* SPDX-License-Identifier: MIT */
/*
 * test_carry.c - Goal: bytes that another worker sends and receives for a stream arrive once and in
 * order, whatever dies meanwhile; its memory is lent for as long as it is named; a peer that lies
 * costs its channel. Method: two rigs are the two lanes between two hosts; frames move, and engines
 * of a host talk, when a test says so. Whole lives at random: tests/sim.
 */
#include "../ncd_test.h"

#include <errno.h>

#include "core/carry.h"

#include "engine_rig.h"

#define FRAME 1024u
#define BULK  1 /* the wire of the throughput class; 0 is of the latency class */

struct lanes {
	struct rig rig[2]; /* the stream is in lane 0 */
	struct stream *s, *t;
};

static void up(struct rig *r, int w, enum stream_class class)
{
	rig_up(r, w, class);
	for (int h = 0; h < 2; h++)
		engine_channel_carries(r->wire[w].channel[h]);
}

/* Gives what is on the wire to host @to, as far as it wants it. */
static int deliver(struct rig *r, int w, int to, size_t most)
{
	struct rig_wire *wire = &r->wire[w];
	struct engine *e = r->host[to].engine;
	int result = 0;

	while (most > 0 && wire->used[!to] > 0 && result == 0 &&
	       engine_channel_wants_rx(wire->channel[to])) {
		const struct iovec *iov;
		int nr = engine_rx_iov(e, wire->channel[to], &iov);
		size_t got = 0, left = wire->used[!to] < most ? wire->used[!to] : most;

		for (int i = 0; i < nr && got < left; i++) {
			size_t n = iov[i].iov_len < left - got ? iov[i].iov_len : left - got;

			memcpy(iov[i].iov_base, wire->bytes[!to] + got, n);
			got += n;
		}
		wire->used[!to] -= got;
		most -= got;
		memmove(wire->bytes[!to], wire->bytes[!to] + got, wire->used[!to]);
		result = engine_received(e, wire->channel[to], got, r->now_ns);
	}
	return result;
}

/* One message of @from's engine at @host, if it has any. */
static bool tell_one(struct lanes *l, int host, int from, int *ret_result)
{
	struct engine *e = l->rig[from].host[host].engine;
	struct carry_msg m;
	struct channel *c;

	if (!engine_carry_peek(e, &m))
		return false;
	engine_carry_pop(e);
	assert_int_equal(m.from, from);
	assert_true(m.to < 2);
	*ret_result = engine_carry_take(l->rig[m.to].host[host].engine, &m, l->rig[0].now_ns, &c);
	return true;
}

/* All that the engines of @host have to say; the first result that is not 0. */
static int tell(struct lanes *l, int host)
{
	int result = 0, r;

	for (bool more = true; more;) {
		more = false;
		for (int from = 0; from < 2; from++)
			while (tell_one(l, host, from, &r)) {
				result = result ? result : r;
				more = true;
			}
	}
	return result;
}

/* Everything everywhere, until nothing moves. */
static void pump(struct lanes *l)
{
	struct channel *dead;
	bool moved = true;

	while (moved) {
		moved = false;
		for (int k = 0; k < 4; k++) {
			struct rig *r = &l->rig[k / 2];
			int h = k % 2;

			assert_int_equal(tell(l, h), 0);
			engine_tick(r->host[h].engine, r->now_ns, &dead);
			for (int w = 0; w < RIG_WIRES; w++) {
				if (!r->wire[w].channel[0] || !r->wire[w].channel[1])
					continue;
				moved |= rig_send(r, w, h) > 0 || r->wire[w].used[h] > 0;
				assert_int_equal(deliver(r, w, !h, SIZE_MAX), 0);
			}
		}
	}
}

static int set_up_as(void **state, uint64_t slow_ns)
{
	struct lanes *l = calloc(1, sizeof(*l));
	struct engine_config cfg = rig_config();

	cfg.frame_bytes = FRAME;
	cfg.workers = 2;
	cfg.carry = true;
	cfg.slow_ns = slow_ns;
	for (uint32_t i = 0; i < 2; i++) {
		cfg.worker = i;
		cfg.seed = 1 + i;
		rig_init_as(&l->rig[i], cfg);
		for (int w = 0; w < RIG_WIRES; w++)
			l->rig[i].wire[w].lane = (uint16_t)i;
		up(&l->rig[i], 0, CLASS_LATENCY);
		up(&l->rig[i], BULK, CLASS_THROUGHPUT);
	}
	l->s = rig_connect(&l->rig[0]);
	pump(l);
	l->t = l->rig[0].host[1].incoming;
	assert_non_null(l->t);
	engine_stream_class(l->rig[0].host[0].engine, l->s, CLASS_THROUGHPUT);
	*state = l;
	return 0;
}

/* Whatever is left to send is too much for the stream's own lane. */
static int set_up(void **state)
{
	return set_up_as(state, 0);
}

#define SLOW_NS 1000000u

static int set_up_slow(void **state)
{
	return set_up_as(state, SLOW_NS);
}

static int tear_down(void **state)
{
	struct lanes *l = *state;

	rig_fini(&l->rig[0]);
	rig_fini(&l->rig[1]);
	free(l);
	return 0;
}

static struct engine *owner(struct lanes *l, int host)
{
	return l->rig[0].host[host].engine;
}

static struct engine *carrier(struct lanes *l, int host)
{
	return l->rig[1].host[host].engine;
}

/* Byte @offset of the stream. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 256);
}

static void publish(struct lanes *l, uint32_t bytes)
{
	struct stream_info i;

	engine_stream_info(l->s, &i);
	for (uint64_t k = i.tx_published; k < i.tx_published + bytes; k++)
		l->rig[0].tx.base[k & (RIG_RING - 1)] = byte_at(k);
	assert_int_equal(engine_tx_published(owner(l, 0), l->s, i.tx_published + bytes,
					     l->rig[0].now_ns), 0);
}

static void expect_arrived(struct lanes *l, uint64_t from, uint64_t to)
{
	const struct ring_mem *ring = &l->rig[0].host[1].rx;

	assert_int_equal(stream_rx_contiguous(l->t), to);
	for (uint64_t k = from; k < to; k++)
		assert_int_equal(ring->base[k & (ring->bytes - 1)], byte_at(k));
}

/* The owner's first frame is gathered; how many peers it then has too much for. */
static uint32_t first_frame(struct lanes *l)
{
	const struct iovec *iov;

	(void)engine_tx_iov(owner(l, 0), l->rig[0].wire[BULK].channel[0], l->rig[0].now_ns, &iov);
	return engine_carry_surplus(owner(l, 0));
}

/* Of @bytes more the owner's first frame leaves, and the one behind it is given. */
static void give_of(struct lanes *l, uint32_t bytes)
{
	publish(l, bytes);
	assert_int_equal(first_frame(l), 1);
	assert_int_equal(engine_carry_give(owner(l, 0), 1), 0);
	assert_int_equal(engine_carry_given(owner(l, 0), 1), 1);
}

/* [FRAME, 2 * FRAME) of the first eight. */
static void give(struct lanes *l)
{
	give_of(l, 8 * FRAME);
}

/* And is on the carrier's wire. */
static void give_and_send(struct lanes *l)
{
	give(l);
	assert_int_equal(tell(l, 0), 0);
	assert_int_equal(rig_send(&l->rig[1], BULK, 0), WIRE_HEADER_BYTES + FRAME);
	assert_int_equal(tell(l, 0), 0);
	assert_int_equal(engine_carry_given(owner(l, 0), 1), 0);
}

/* And its header has come, and its place is lent. */
static void give_and_place(struct lanes *l)
{
	give_and_send(l);
	assert_int_equal(deliver(&l->rig[1], BULK, 1, WIRE_HEADER_BYTES + 10), 0);
	assert_false(engine_channel_wants_rx(l->rig[1].wire[BULK].channel[1]));
	assert_int_equal(tell(l, 1), 0);
	assert_true(engine_channel_wants_rx(l->rig[1].wire[BULK].channel[1]));
}

/* Lane @k of host 0 sends all that it has; for each send the transport has to be waited for. */
static void send_slowly(struct lanes *l, int k, uint64_t wait_ns)
{
	struct rig *r = &l->rig[k];
	struct rig_wire *wire = &r->wire[BULK];
	struct engine *e = r->host[0].engine;
	const struct iovec *iov;
	int nr;

	while ((nr = engine_tx_iov(e, wire->channel[0], r->now_ns, &iov)) > 0) {
		size_t sent = 0;

		if (wait_ns > 0)
			(void)engine_channel_stuck(e, wire->channel[0], r->now_ns);
		r->now_ns += wait_ns;
		for (int i = 0; i < nr; i++) {
			memcpy(wire->bytes[0] + wire->used[0], iov[i].iov_base, iov[i].iov_len);
			wire->used[0] += iov[i].iov_len;
			sent += iov[i].iov_len;
		}
		engine_sent(e, wire->channel[0], sent, r->now_ns);
	}
}

/* So many times 8 * FRAME move in the stream's own lane, each frame after @wait_ns. */
static void move(struct lanes *l, int times, uint64_t wait_ns)
{
	for (int i = 0; i < times; i++) {
		publish(l, 8 * FRAME);
		send_slowly(l, 0, wait_ns);
		pump(l);
		assert_int_equal(rig_read(&l->rig[0], 1, l->t), 8 * FRAME);
		pump(l);
	}
}

/* What comes of giving when a first frame of eight has left. They arrive. */
static int gives(struct lanes *l)
{
	int ret = -EAGAIN;

	publish(l, 8 * FRAME);
	if (first_frame(l) != 0)
		ret = engine_carry_give(owner(l, 0), 1);
	pump(l);
	assert_int_equal(rig_read(&l->rig[0], 1, l->t), 8 * FRAME);
	pump(l);
	return ret;
}

static bool rx_lent(struct lanes *l)
{
	return engine_ring_lent(owner(l, 1), l->rig[0].host[1].rx.base, RIG_RING);
}

static bool tx_lent(struct lanes *l)
{
	return engine_ring_lent(owner(l, 0), l->rig[0].tx.base, RIG_RING);
}

static void what_is_too_much_goes_over_another_workers_channel(void **state)
{
	struct lanes *l = *state;
	const struct channel_counters *n =
		engine_channel_counters(l->rig[1].wire[BULK].channel[0]);

	give(l);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(stream_tx_acked(l->s), 8 * FRAME);
	assert_int_equal(n->carried_sent, FRAME);
	n = engine_channel_counters(l->rig[1].wire[BULK].channel[1]);
	assert_int_equal(n->carried_received, FRAME);
	assert_false(rx_lent(l));
	assert_false(tx_lent(l));
	assert_int_equal(engine_counters(owner(l, 0))->retransmits, 0);
	assert_int_equal(engine_counters(owner(l, 1))->duplicate_bytes, 0);
}

static void little_is_not_given(void **state)
{
	struct lanes *l = *state;

	publish(l, 3 * FRAME - 1);
	pump(l);
	assert_int_equal(engine_carry_surplus(owner(l, 0)), 0);
	assert_int_equal(engine_carry_give(owner(l, 0), 1), -EAGAIN);
}

static void a_lane_that_takes_all_at_once_gives_nothing(void **state)
{
	struct lanes *l = *state;

	move(l, 8, 0);
	assert_int_equal(gives(l), -EAGAIN);
}

static void a_lane_that_is_waited_for_gives_until_it_takes_all_at_once(void **state)
{
	struct lanes *l = *state;

	move(l, 8, SLOW_NS);
	assert_int_equal(gives(l), 0);
	/* Not at once: it is an average. */
	move(l, 2, 0);
	assert_int_equal(gives(l), 0);
	move(l, 40, 0);
	assert_int_equal(gives(l), -EAGAIN);
}

static void a_stream_waits_for_no_carrier_that_is_slower_than_its_lane(void **state)
{
	struct lanes *l = *state;

	for (int i = 0; i < 16; i++) {
		give(l);
		assert_int_equal(tell(l, 0), 0);
		send_slowly(l, 1, SLOW_NS);
		pump(l);
		assert_int_equal(rig_read(&l->rig[0], 1, l->t), 8 * FRAME);
		pump(l);
	}
	assert_int_equal(gives(l), -EBUSY);
	/* By then it may have changed. */
	l->rig[0].now_ns += 1000000000;
	assert_int_equal(gives(l), 0);
}

static void nothing_is_given_just_after_an_order_came_back(void **state)
{
	struct lanes *l = *state;

	rig_cut(&l->rig[1], BULK);
	give(l);
	pump(l);
	assert_int_equal(rig_read(&l->rig[0], 1, l->t), 8 * FRAME);
	pump(l);
	assert_int_equal(gives(l), -EAGAIN);
	l->rig[0].now_ns += 10000000;
	assert_int_equal(gives(l), 0);
}

static void nothing_is_given_to_a_peer_that_does_not_know_it(void **state)
{
	struct lanes *l = *state;

	rig_cut(&l->rig[0], BULK);
	rig_up(&l->rig[0], BULK, CLASS_THROUGHPUT);
	publish(l, 8 * FRAME);
	assert_int_equal(first_frame(l), 0);
}

static void only_channels_whose_peer_knows_it_carry(void **state)
{
	struct lanes *l = *state;

	assert_int_equal(engine_carry_channels(carrier(l, 0), 1), 1);
	rig_cut(&l->rig[1], BULK);
	rig_up(&l->rig[1], BULK, CLASS_THROUGHPUT);
	assert_int_equal(engine_carry_channels(carrier(l, 0), 1), 0);
	give(l);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(engine_counters(owner(l, 0))->retransmits, 1);
}

static void the_tx_ring_is_lent_until_the_bytes_are_sent(void **state)
{
	struct lanes *l = *state;

	give(l);
	assert_int_equal(rig_send(&l->rig[0], BULK, 0) > 0, 1);
	assert_true(tx_lent(l));
	assert_int_equal(tell(l, 0), 0);
	assert_true(tx_lent(l));
	(void)rig_send(&l->rig[1], BULK, 0);
	assert_true(tx_lent(l));
	assert_int_equal(tell(l, 0), 0);
	assert_false(tx_lent(l));
}

static void the_rx_ring_is_lent_until_the_bytes_are_there(void **state)
{
	struct lanes *l = *state;

	give_and_place(l);
	assert_true(rx_lent(l));
	assert_false(engine_rx_settled(l->t));
	assert_int_equal(deliver(&l->rig[1], BULK, 1, SIZE_MAX), 0);
	assert_true(rx_lent(l));
	assert_int_equal(tell(l, 1), 0);
	assert_false(rx_lent(l));
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
}

static void bytes_follow_the_stream_to_another_rx_ring(void **state)
{
	struct lanes *l = *state;
	struct ring_mem ring = rig_ring(4 * RIG_RING), old = l->rig[0].host[1].rx;

	give_and_place(l);
	assert_int_equal(engine_rx_exchange(owner(l, 1), l->t, &ring, l->rig[0].now_ns), 0);
	l->rig[0].host[1].rx = ring;
	assert_true(engine_ring_lent(owner(l, 1), old.base, old.bytes));
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_false(engine_ring_lent(owner(l, 1), old.base, old.bytes));
	free(old.base);
}

/* The place may be written at any time: the same bytes by another way do not count before. */
static void bytes_that_may_still_be_written_are_not_acknowledged(void **state)
{
	struct lanes *l = *state;

	give_and_place(l);
	/* The sender gives the carrier's channel up; the receiver does not know. */
	rig_down_one(&l->rig[1], BULK, 0);
	assert_int_equal(tell(l, 0), 0);
	assert_int_equal(engine_counters(owner(l, 0))->retransmits, 1);
	rig_pump(&l->rig[0]);
	assert_int_equal(stream_rx_contiguous(l->t), FRAME);
	assert_int_equal(stream_tx_acked(l->s), FRAME);
	rig_down_one(&l->rig[1], BULK, 1);
	assert_int_equal(tell(l, 1), 0);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(stream_tx_acked(l->s), 8 * FRAME);
}

static void what_a_dead_channel_had_carried_is_sent_again(void **state)
{
	struct lanes *l = *state;

	give_and_send(l);
	rig_cut(&l->rig[1], BULK);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(engine_counters(owner(l, 0))->retransmits, 1);
}

static void an_order_that_waits_goes_over_another_channel(void **state)
{
	struct lanes *l = *state;

	up(&l->rig[1], BULK + 1, CLASS_THROUGHPUT);
	give(l);
	assert_int_equal(tell(l, 0), 0);
	rig_cut(&l->rig[1], BULK);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(engine_counters(owner(l, 0))->retransmits, 0);
}

static void an_order_under_way_on_a_channel_that_dies_comes_back(void **state)
{
	struct lanes *l = *state;
	struct channel *c = l->rig[1].wire[BULK].channel[0];
	const struct iovec *iov;

	give(l);
	assert_int_equal(tell(l, 0), 0);
	assert_true(engine_tx_iov(carrier(l, 0), c, l->rig[1].now_ns, &iov) > 0);
	engine_sent(carrier(l, 0), c, 100, l->rig[1].now_ns);
	assert_true(tx_lent(l));
	rig_cut(&l->rig[1], BULK);
	assert_int_equal(tell(l, 0), 0);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_false(tx_lent(l));
}

static void a_channel_that_comes_while_the_answer_to_another_is_out_waits(void **state)
{
	struct lanes *l = *state;
	struct rig *r = &l->rig[1];
	int result;

	give_and_send(l);
	assert_int_equal(deliver(r, BULK, 1, WIRE_HEADER_BYTES), 0);
	/* The question is on its way when the channel dies; another takes its place. */
	assert_true(tell_one(l, 1, 1, &result));
	rig_cut(r, BULK);
	up(r, BULK, CLASS_THROUGHPUT);
	assert_int_equal(tell(l, 0), 0);
	(void)rig_send(&l->rig[0], BULK, 0);
	give_of(l, 4 * FRAME);
	assert_int_equal(tell(l, 0), 0);
	(void)rig_send(r, BULK, 0);
	assert_int_equal(deliver(r, BULK, 1, SIZE_MAX), 0);
	assert_false(engine_channel_wants_rx(r->wire[BULK].channel[1]));
	pump(l);
	expect_arrived(l, 0, 12 * FRAME);
	assert_false(rx_lent(l));
}

static void the_fin_waits_for_what_is_carried(void **state)
{
	struct lanes *l = *state;

	give_and_send(l);
	engine_stream_shutdown(owner(l, 0), l->s, l->rig[0].now_ns);
	rig_pump(&l->rig[0]);
	assert_int_equal(stream_tx_acked(l->s), FRAME);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_true(stream_rx_ended(l->t));
	assert_true(rig_events(&l->rig[0], 0, l->s) & STREAM_EV_TX_DONE);
}

static void a_stream_that_ends_leaves_its_memory_lent(void **state)
{
	struct lanes *l = *state;

	give_and_place(l);
	(void)rig_send(&l->rig[0], BULK, 0);
	give_of(l, 4 * FRAME);
	engine_stream_abort(owner(l, 0), l->s, WIRE_E_RESET, l->rig[0].now_ns);
	rig_pump(&l->rig[0]);
	assert_int_equal(stream_error(l->t), -ECONNRESET);
	assert_true(tx_lent(l));
	assert_true(rx_lent(l));
	pump(l);
	assert_false(tx_lent(l));
	assert_false(rx_lent(l));
	assert_int_equal(engine_carry_given(owner(l, 0), 1), 0);
}

/* The peer's number may be another host's by the time that the order is read. */
static void an_order_for_a_peer_that_was_is_not_carried_out(void **state)
{
	struct lanes *l = *state;

	give(l);
	engine_peer_reset(carrier(l, 0), 1, l->rig[1].now_ns);
	assert_int_equal(tell(l, 0), 0);
	assert_int_equal(rig_send(&l->rig[1], BULK, 0), 0);
	assert_int_equal(engine_carry_given(owner(l, 0), 1), 0);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
}

/* ---- a peer that lies ---- */

/* The frame that the carrier of host 1 gets, made by hand; what comes of it. */
static int brought(struct lanes *l, uint8_t type, uint64_t id, uint32_t window, uint64_t offset,
		   uint32_t length)
{
	struct rig *r = &l->rig[1];
	struct frame f = { .type = type, .stream = id, .window = window, .offset = offset,
			   .length = length };
	int ret;

	frame_encode(&f, r->wire[BULK].bytes[0]);
	memset(r->wire[BULK].bytes[0] + WIRE_HEADER_BYTES, 0, length);
	r->wire[BULK].used[0] = WIRE_HEADER_BYTES + length;
	ret = deliver(r, BULK, 1, SIZE_MAX);
	if (ret == 0)
		ret = tell(l, 1);
	if (ret == 0)
		ret = deliver(r, BULK, 1, SIZE_MAX);
	return ret ? ret : tell(l, 1);
}

static int carried(struct lanes *l, uint64_t id, uint32_t lane, uint64_t offset, uint32_t length)
{
	return brought(l, FRAME_CARRIED, id, lane, offset, length);
}

/* The id by which host 0 names the stream. */
static uint64_t id_at_host_1(struct lanes *l)
{
	struct frame f;

	give_and_send(l);
	assert_int_equal(frame_decode(l->rig[1].wire[BULK].bytes[0], &f), 0);
	assert_int_equal(f.type, FRAME_CARRIED);
	return f.stream;
}

static void expect_alive(struct lanes *l)
{
	assert_true(engine_channel_wants_rx(l->rig[1].wire[BULK].channel[1]));
	assert_int_equal(l->rig[1].wire[BULK].used[0], 0);
	assert_int_equal(engine_counters(carrier(l, 1))->frame_errors, 0);
	assert_false(rx_lent(l));
}

static void bytes_for_nobody_are_dropped(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	assert_int_equal(carried(l, id + 1, 0, 0, FRAME), 0);
	expect_alive(l);
	assert_int_equal(carried(l, id, 1, 0, FRAME), 0); /* of the carrier itself */
	expect_alive(l);
	assert_int_equal(carried(l, id, 63, 0, FRAME), 0);
	expect_alive(l);
	assert_int_equal(carried(l, 0, 0, 0, FRAME), 0);
	expect_alive(l);
	/* Nor do they have a place where the offset is the greatest there is. */
	assert_int_equal(carried(l, id + 1, 0, UINT64_MAX - 10, FRAME), 0);
	expect_alive(l);
	assert_int_equal(stream_rx_contiguous(l->t), 0);
}

static void data_for_nobody_at_the_greatest_offset_is_dropped(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	assert_int_equal(brought(l, FRAME_DATA, id + 1, 0, UINT64_MAX - 10, FRAME), 0);
	expect_alive(l);
}

static void a_lane_that_cannot_be_costs_the_channel(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	assert_int_equal(carried(l, id, NCD_WORKERS_MAX, 0, FRAME), -EPROTO);
	assert_int_equal(engine_counters(carrier(l, 1))->frame_errors, 1);
	assert_int_equal(stream_error(l->t), 0);
}

static void carrying_unasked_costs_the_channel(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	rig_cut(&l->rig[1], BULK);
	rig_up(&l->rig[1], BULK, CLASS_THROUGHPUT);
	assert_int_equal(carried(l, id, 0, 0, FRAME), -EPROTO);
	assert_int_equal(engine_counters(carrier(l, 1))->frame_errors, 1);
	assert_int_equal(stream_error(l->t), 0);
}

static void bytes_beyond_the_credit_cost_the_channel(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	assert_int_equal(carried(l, id, 0, RIG_RING - FRAME + 1, FRAME), -EPROTO);
	assert_int_equal(engine_counters(carrier(l, 1))->frame_errors, 1);
	assert_int_equal(stream_error(l->t), 0);
	assert_false(rx_lent(l));
}

static void an_offset_that_wraps_costs_the_channel(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	assert_int_equal(carried(l, id, 0, UINT64_MAX - 10, FRAME), -EPROTO);
	assert_false(rx_lent(l));
}

static void a_length_that_cannot_be_costs_the_channel(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	assert_int_equal(carried(l, id, 0, 0, 0), -EPROTO);
}

static void too_many_places_cost_the_channel(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);
	int ret = 0;
	uint32_t i;

	/* Each leaves a hole. */
	for (i = 0; i <= NCD_INTERVALS_MAX && ret == 0; i++)
		ret = carried(l, id, 0, 2 * i + 1, 1);
	assert_int_equal(ret, -EPROTO);
	assert_int_equal(i, NCD_INTERVALS_MAX + 1);
}

static void what_is_there_already_is_not_written_again(void **state)
{
	struct lanes *l = *state;
	uint64_t id = id_at_host_1(l);

	l->rig[1].wire[BULK].used[0] = 0;
	rig_cut(&l->rig[1], BULK);
	up(&l->rig[1], BULK, CLASS_THROUGHPUT);
	pump(l);
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(carried(l, id, 0, FRAME, FRAME), 0); /* zeros */
	expect_arrived(l, 0, 8 * FRAME);
	assert_int_equal(carried(l, id, 0, 8 * FRAME - 10, 20), 0); /* ten are new */
	assert_int_equal(stream_rx_contiguous(l->t), 8 * FRAME + 10);
	for (uint64_t k = 8 * FRAME - 10; k < 8 * FRAME; k++)
		assert_int_equal(l->rig[0].host[1].rx.base[k], byte_at(k));
}

#define lanes_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define slow_test(f)  cmocka_unit_test_setup_teardown(f, set_up_slow, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lanes_test(what_is_too_much_goes_over_another_workers_channel),
		lanes_test(little_is_not_given),
		slow_test(a_lane_that_takes_all_at_once_gives_nothing),
		slow_test(a_lane_that_is_waited_for_gives_until_it_takes_all_at_once),
		lanes_test(a_stream_waits_for_no_carrier_that_is_slower_than_its_lane),
		lanes_test(nothing_is_given_just_after_an_order_came_back),
		lanes_test(nothing_is_given_to_a_peer_that_does_not_know_it),
		lanes_test(only_channels_whose_peer_knows_it_carry),
		lanes_test(the_tx_ring_is_lent_until_the_bytes_are_sent),
		lanes_test(the_rx_ring_is_lent_until_the_bytes_are_there),
		lanes_test(bytes_follow_the_stream_to_another_rx_ring),
		lanes_test(bytes_that_may_still_be_written_are_not_acknowledged),
		lanes_test(what_a_dead_channel_had_carried_is_sent_again),
		lanes_test(an_order_that_waits_goes_over_another_channel),
		lanes_test(an_order_under_way_on_a_channel_that_dies_comes_back),
		lanes_test(a_channel_that_comes_while_the_answer_to_another_is_out_waits),
		lanes_test(the_fin_waits_for_what_is_carried),
		lanes_test(a_stream_that_ends_leaves_its_memory_lent),
		lanes_test(an_order_for_a_peer_that_was_is_not_carried_out),
		lanes_test(bytes_for_nobody_are_dropped),
		lanes_test(data_for_nobody_at_the_greatest_offset_is_dropped),
		lanes_test(a_lane_that_cannot_be_costs_the_channel),
		lanes_test(carrying_unasked_costs_the_channel),
		lanes_test(bytes_beyond_the_credit_cost_the_channel),
		lanes_test(an_offset_that_wraps_costs_the_channel),
		lanes_test(a_length_that_cannot_be_costs_the_channel),
		lanes_test(too_many_places_cost_the_channel),
		lanes_test(what_is_there_already_is_not_written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
