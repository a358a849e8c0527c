/* SPDX-License-Identifier: MIT */
/*
 * test_engine.c - Goal: the life of a stream between two engines, and what is left of it when
 * channels and hosts die. Method: engine_rig.h; each case decides what arrives, in which order.
 * Cases whose comment names a seed are what the simulator once found.
 */
#include "../ncd_test.h"

#include <errno.h>

#include "engine_rig.h"

static void end_both(struct rig *r, struct stream *s, struct stream *t)
{
	engine_stream_close(r->host[0].engine, s, false, r->now_ns);
	engine_stream_close(r->host[1].engine, t, false, r->now_ns);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_DONE);
	assert_true(rig_events(r, 1, t) & STREAM_EV_DONE);
	engine_stream_free(r->host[0].engine, s);
	engine_stream_free(r->host[1].engine, t);
	assert_true(engine_counters(r->host[0].engine)->streams == 0);
	assert_true(engine_counters(r->host[1].engine)->streams == 0);
}

static void bytes_cross_both_ways_and_both_ends_are_done(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, 1000, 'a'), 0);
	assert_int_equal(rig_write(r, 1, t, 500, 'b'), 0);
	rig_pump(r);
	assert_int_equal(rig_read(r, 1, t), 1000);
	assert_int_equal(rig_read(r, 0, s), 500);
	assert_int_equal(r->host[1].rx.base[999], 'a');
	assert_int_equal(r->rx.base[499], 'b');
	end_both(r, s, t);
}

static void a_stream_survives_delivery_byte_by_byte(void **state)
{
	struct rig *r = *state;
	struct stream *s, *t;

	rig_up(r, 0, CLASS_LATENCY);
	s = rig_connect(r);
	assert_int_equal(rig_write(r, 0, s, 300, 'x'), 0);
	for (int i = 0; i < 10000; i++)
		for (int from = 0; from < 2; from++) {
			rig_send(r, 0, from);
			assert_int_equal(rig_deliver(r, 0, from, 1), 0);
		}
	t = r->host[1].incoming;
	assert_non_null(t);
	assert_int_equal(rig_read(r, 1, t), 300);
	assert_true(stream_tx_acked(s) == 300);
}

static void first_bytes_ride_with_the_open(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	rig_up(r, 0, CLASS_LATENCY);
	s = rig_connect(r);
	assert_int_equal(rig_write(r, 0, s, 100, 'o'), 0);
	engine_stream_shutdown(r->host[0].engine, s, r->now_ns);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	assert_true(stream_rx_contiguous(r->host[1].incoming) == 100);
	assert_true(stream_rx_ended(r->host[1].incoming));
}

static void credit_stops_the_sender_and_reading_lets_it_go_on(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, '1'), 0);
	rig_pump(r);
	assert_true(stream_tx_acked(s) == RIG_RING);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, '2'), 0);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	assert_int_equal(r->host[1].rx.base[0], '1');
	assert_int_equal(rig_read(r, 1, t), RIG_RING);
	rig_pump(r);
	assert_int_equal(rig_read(r, 1, t), RIG_RING);
	assert_int_equal(r->host[1].rx.base[0], '2');
}

/* What host 1 sends by itself once host 0 has written @bytes and they have arrived. */
static size_t answer_to(struct rig *r, struct stream *s, uint32_t bytes)
{
	assert_int_equal(rig_write(r, 0, s, bytes, 'm'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	return rig_send(r, 0, 1);
}

static void an_acknowledgement_is_asked_for_when_the_ring_fills(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r);

	/* Half the ring is free: whatever goes back next may bring it. */
	assert_int_equal(answer_to(r, s, RIG_RING / 2), 0);
	assert_true(stream_tx_acked(s) == 0);
	assert_int_equal(answer_to(r, s, 1), WIRE_HEADER_BYTES);
	assert_int_equal(answer_to(r, s, 1), 0); /* not again for so few */
	assert_int_equal(rig_deliver(r, 0, 1, SIZE_MAX), 0);
	assert_true(stream_tx_acked(s) == RIG_RING / 2 + 1);
}

static void half_close_leaves_the_other_direction_open(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	engine_stream_shutdown(r->host[0].engine, s, r->now_ns);
	rig_pump(r);
	assert_true(stream_rx_ended(t));
	assert_true(rig_events(r, 0, s) & STREAM_EV_TX_DONE);
	assert_int_equal(rig_write(r, 1, t, 77, 'h'), 0);
	rig_pump(r);
	assert_int_equal(rig_read(r, 0, s), 77);
	assert_false(stream_rx_ended(s));
	end_both(r, s, t);
}

static void nobody_listening_is_refused(void **state)
{
	struct rig *r = *state;
	struct address any = { 0 };
	struct stream *s;

	engine_unlisten(r->host[1].engine, &any, RIG_PORT);
	rig_up(r, 0, CLASS_LATENCY);
	s = rig_connect(r);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_ERROR);
	assert_int_equal(stream_error(s), -ECONNREFUSED);
}

static void an_unknown_address_is_unreachable(void **state)
{
	struct rig *r = *state;
	struct engine_connect args = { .remote = rig_address(9), .remote_port = RIG_PORT,
				       .tx = r->tx, .rx = r->rx };
	struct stream *s;

	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &s), -ENETUNREACH);
}

/* On the wire it is a broken frame, for which the peer closes the channel of everybody. */
static void a_connect_to_port_0_is_refused_here(void **state)
{
	struct rig *r = *state;
	struct engine_connect args = { .remote = rig_address(1), .tx = r->tx, .rx = r->rx };
	struct stream *s;

	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &s), -ECONNREFUSED);
}

static void a_connect_from_the_address_of_another_host_fails(void **state)
{
	struct rig *r = *state;
	struct engine_connect args = { .local = rig_address(1), .remote = rig_address(1),
				       .remote_port = RIG_PORT, .tx = r->tx, .rx = r->rx };
	struct stream *s;

	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &s), -EADDRNOTAVAIL);
	args.local = rig_address(9);
	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &s), -EADDRNOTAVAIL);
	args.local = rig_address(0);
	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &s), 0);
}

static void a_failed_dial_is_what_connect_hears(void **state)
{
	struct rig *r = *state;
	struct engine_connect args = { .remote = rig_address(1), .remote_port = RIG_PORT,
				       .tx = r->tx, .rx = r->rx };
	struct stream *s = rig_connect(r), *more;

	engine_peer_unreachable(r->host[0].engine, 1, -EHOSTUNREACH, r->now_ns);
	assert_true(rig_events(r, 0, s) & STREAM_EV_ERROR);
	assert_int_equal(stream_error(s), -EHOSTUNREACH);
	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &more), -EHOSTUNREACH);
}

static void a_peer_is_down_while_no_channel_to_it_is_up(void **state)
{
	struct rig *r = *state;
	struct address self = rig_address(0), peer = rig_address(1), other = rig_address(9);
	const struct engine *e = r->host[0].engine;

	assert_true(engine_peer_down(e, &peer));
	assert_false(engine_peer_down(e, &self)); /* it needs none */
	assert_false(engine_peer_down(e, &other));
	rig_up(r, 0, CLASS_LATENCY);
	assert_false(engine_peer_down(e, &peer));
	rig_cut(r, 0);
	assert_true(engine_peer_down(e, &peer));
}

static void unread_bytes_at_close_reset_the_peer(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, 10, 'u'), 0);
	rig_pump(r);
	engine_stream_close(r->host[1].engine, t, false, r->now_ns);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_ERROR);
	assert_int_equal(stream_error(s), -ECONNRESET);
	assert_true(rig_events(r, 1, t) & STREAM_EV_DONE);
}

static void a_killed_writer_delivers_what_it_wrote_and_then_resets(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, 100, 'k'), 0);
	engine_stream_close(r->host[0].engine, s, true, r->now_ns);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == 100);
	assert_false(stream_rx_ended(t));
	assert_int_equal(stream_error(t), -ECONNRESET);
}

static void words_of_an_application_that_make_no_sense_are_refused(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r);
	struct engine *e = r->host[0].engine;

	assert_int_equal(engine_tx_published(e, s, RIG_RING + 1, r->now_ns), -EPROTO);
	assert_int_equal(engine_tx_published(e, s, UINT64_MAX, r->now_ns), -EPROTO);
	assert_int_equal(engine_rx_consumed(e, s, 1, r->now_ns), -EPROTO);
	assert_int_equal(engine_tx_published(e, s, 10, r->now_ns), 0);
	assert_int_equal(engine_tx_published(e, s, 9, r->now_ns), -EPROTO);
	assert_int_equal(engine_tx_rebase(e, s, 100), -EPROTO);
	engine_stream_shutdown(e, s, r->now_ns);
	assert_int_equal(engine_tx_published(e, s, 11, r->now_ns), -EPROTO);
}

static void a_ring_is_lent_while_the_transport_may_read_it(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r);
	struct engine *e = r->host[0].engine;
	const struct iovec *iov;
	size_t bytes = 0;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'l'), 0);
	for (int i = 0, nr = engine_tx_iov(e, r->wire[0].channel[0], r->now_ns, &iov); i < nr; i++)
		bytes += iov[i].iov_len;
	assert_true(engine_ring_lent(e, r->tx.base, r->tx.bytes));
	engine_sent(e, r->wire[0].channel[0], bytes, r->now_ns);
	assert_false(engine_ring_lent(e, r->tx.base, r->tx.bytes));
}

static void what_a_dead_channel_had_not_delivered_goes_again(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, 2000, 'd'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, 700), 0);
	rig_cut(r, 0);
	rig_up(r, 1, CLASS_LATENCY);
	rig_pump(r);
	assert_int_equal(rig_read(r, 1, t), 2000);
	assert_true(stream_tx_acked(s) == 2000);
	end_both(r, s, t);
}

/* Seed 24: the ack of the last FIN went on a channel that died, and nobody asked again. */
static void the_last_ack_goes_back_on_the_channel_that_brought_the_end(void **state)
{
	struct rig *r = *state;
	struct stream *s, *t;
	size_t latency, throughput;

	rig_up(r, 0, CLASS_LATENCY);
	rig_up(r, 1, CLASS_THROUGHPUT);
	s = rig_connect(r);
	rig_pump(r);
	t = r->host[1].incoming;
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	assert_int_equal(rig_write(r, 0, s, 4000, 'e'), 0);
	engine_stream_shutdown(r->host[0].engine, s, r->now_ns);
	latency = rig_send(r, 0, 0);
	throughput = rig_send(r, 1, 0);
	assert_true(latency == 0 && throughput > 4000);
	assert_int_equal(rig_deliver(r, 1, 0, SIZE_MAX), 0);
	assert_true(stream_rx_ended(t));
	assert_true(rig_send(r, 1, 1) > 0);
	assert_int_equal(rig_deliver(r, 1, 1, SIZE_MAX), 0);
	assert_true(rig_events(r, 0, s) & STREAM_EV_TX_DONE);
}

/* Seed 60: a refusal was lost with its channel, and the opener waited for ever. */
static void a_lost_refusal_is_said_again_and_asks_nobody_twice(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	r->host[1].answer = -EAGAIN;
	rig_up(r, 0, CLASS_LATENCY);
	rig_up(r, 1, CLASS_THROUGHPUT);
	s = rig_connect(r);
	rig_pump(r);
	assert_int_equal(r->host[1].incoming_nr, 1);
	engine_stream_refuse(r->host[1].engine, r->host[1].incoming, r->now_ns);
	assert_true(rig_events(r, 1, r->host[1].incoming) & STREAM_EV_DONE);
	engine_stream_free(r->host[1].engine, r->host[1].incoming);
	rig_send(r, 0, 1);
	rig_cut(r, 0);
	rig_pump(r);
	assert_int_equal(stream_error(s), -ECONNREFUSED);
	assert_int_equal(r->host[1].incoming_nr, 1);
}

static void a_lost_refusal_is_said_again_before_the_stream_is_freed(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	r->host[1].answer = -EAGAIN;
	rig_up(r, 0, CLASS_LATENCY);
	rig_up(r, 1, CLASS_THROUGHPUT);
	s = rig_connect(r);
	rig_pump(r);
	engine_stream_refuse(r->host[1].engine, r->host[1].incoming, r->now_ns);
	rig_send(r, 0, 1);
	rig_cut(r, 0);
	rig_pump(r);
	assert_int_equal(stream_error(s), -ECONNREFUSED);
	assert_true(rig_events(r, 1, r->host[1].incoming) & STREAM_EV_DONE);
	engine_stream_free(r->host[1].engine, r->host[1].incoming);
}

/* Seed 41: the peer had restarted before it had ever heard of the stream. */
static void a_connect_that_was_not_said_survives_a_restart_of_the_peer(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_connect(r);

	engine_peer_reset(r->host[0].engine, 1, r->now_ns);
	assert_int_equal(stream_error(s), 0);
	rig_up(r, 0, CLASS_LATENCY);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_CONNECTED);
	engine_peer_reset(r->host[0].engine, 1, r->now_ns);
	assert_int_equal(stream_error(s), -ECONNRESET);
}

/* Seed 2249: the first copy of an OPEN came when the stream, opened by the second, was over. */
static void a_late_copy_of_an_open_is_not_accepted(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	rig_up(r, 1, CLASS_THROUGHPUT);
	s = rig_connect(r);
	assert_true(rig_send(r, 1, 0) > 0);
	/* Only the opener believes wire 1 to be dead: what it sent there is still on its way. */
	rig_down_one(r, 1, 0);
	rig_up(r, 0, CLASS_LATENCY);
	rig_pump(r);
	assert_int_equal(r->host[1].incoming_nr, 1);
	end_both(r, s, r->host[1].incoming);
	assert_int_equal(rig_deliver(r, 1, 0, SIZE_MAX), 0);
	assert_int_equal(r->host[1].incoming_nr, 1);
	assert_true(engine_counters(r->host[1].engine)->streams == 0);
}

/* Seed 1036: a RESET was lost, given up, and the peer waited for bytes for ever. */
static void a_reset_is_said_until_it_is_answered(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;
	struct channel *dead;

	engine_stream_abort(r->host[1].engine, t, WIRE_E_RESET, r->now_ns);
	rig_send(r, 0, 1);
	rig_cut(r, 0);
	r->now_ns += r->cfg.unreachable_ns / 2;
	engine_tick(r->host[1].engine, r->now_ns, &dead);
	rig_up(r, 1, CLASS_LATENCY);
	rig_pump(r);
	assert_int_equal(stream_error(s), -ECONNRESET);
	assert_true(rig_events(r, 1, t) & STREAM_EV_DONE);
}

/* Seed 31987: the peer is done and has forgotten us; the FIN had just been taken back. */
static void being_forgotten_behind_the_fin_is_a_normal_end(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	engine_stream_close(r->host[0].engine, s, false, r->now_ns);
	engine_stream_close(r->host[1].engine, t, false, r->now_ns);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	rig_send(r, 0, 1);
	assert_int_equal(rig_deliver(r, 0, 1, SIZE_MAX), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, SIZE_MAX), 0);
	/* Host 1 is done; its last words are lost. */
	assert_true(rig_events(r, 1, t) & STREAM_EV_DONE);
	engine_stream_free(r->host[1].engine, t);
	rig_send(r, 0, 1);
	rig_cut(r, 0);
	rig_up(r, 1, CLASS_LATENCY);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_DONE);
	assert_int_equal(stream_error(s), 0);
}

/* Seed 503, 787928041214: nothing was on its way that could be answered. */
static void an_aborted_connect_whose_open_is_lost_is_over(void **state)
{
	struct rig *r = *state;
	struct stream *s, *t;

	rig_up(r, 0, CLASS_LATENCY);
	s = rig_connect(r);
	rig_send(r, 0, 0);
	engine_stream_abort(r->host[0].engine, s, WIRE_E_RESET, r->now_ns);
	assert_false(rig_events(r, 0, s) & STREAM_EV_DONE);
	rig_cut(r, 0);
	assert_true(rig_events(r, 0, s) & STREAM_EV_DONE);
	rig_up(r, 0, CLASS_LATENCY);
	t = rig_connect(r);
	rig_send(r, 0, 0);
	rig_cut(r, 0);
	engine_stream_abort(r->host[0].engine, t, WIRE_E_RESET, r->now_ns);
	assert_true(rig_events(r, 0, t) & STREAM_EV_DONE);
}

/* Seed 5149: the peer had no credit, and so never heard of the close. */
static void a_closed_stream_lets_its_peer_learn_of_it(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'c'), 0);
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, 100, 'd'), 0);
	assert_int_equal(rig_read(r, 1, t), RIG_RING);
	engine_stream_close(r->host[1].engine, t, false, r->now_ns);
	rig_pump(r);
	assert_int_equal(stream_error(s), -ECONNRESET);
}

/* Seed 706054594161: only bytes that began to come later were answered with a reset. */
static void bytes_that_come_while_the_application_closes_reset_the_stream(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	assert_int_equal(rig_write(r, 0, s, 1000, 'c'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES), 0);
	engine_stream_close(r->host[1].engine, t, false, r->now_ns);
	rig_pump(r);
	assert_int_equal(stream_error(s), -ECONNRESET);
}

/* A payload that host 1 is receiving straight into its ring on wire 0, all but 2000 bytes of it,
 * while host 0 has given wire 0 up and sends it again on wire 1. */
static struct stream *sent_twice(struct rig *r, bool end, const struct iovec **ret_iov)
{
	struct stream *s;

	rig_up(r, 2, CLASS_LATENCY);
	rig_up(r, 0, CLASS_THROUGHPUT);
	s = rig_connect(r);
	rig_pump(r);
	engine_stream_class(r->host[0].engine, s, CLASS_THROUGHPUT);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, '1'), 0);
	if (end)
		engine_stream_shutdown(r->host[0].engine, s, r->now_ns);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES + 2000), 0);
	assert_true(engine_rx_iov(r->host[1].engine, r->wire[0].channel[1], ret_iov) > 1);
	assert_ptr_equal((*ret_iov)[0].iov_base, r->host[1].rx.base + 2000);
	rig_down_one(r, 0, 0);
	rig_up(r, 1, CLASS_THROUGHPUT);
	rig_pump(r);
	return s;
}

/*
 * Until that receive is over the other copy is neither told nor acknowledged: the sender could put
 * other bytes where it sent them from, and those would be what is received.
 */
static void bytes_that_may_still_be_written_are_not_acknowledged(void **state)
{
	struct rig *r = *state;
	const struct iovec *iov;
	struct stream *s = sent_twice(r, false, &iov), *t = r->host[1].incoming;

	assert_true(stream_rx_contiguous(t) == 2000);
	assert_true(stream_tx_acked(s) == 2000);
	/* The transport of the slow wire writes where it was told to. */
	memset(iov[0].iov_base, '1', iov[0].iov_len);
	assert_int_equal(engine_received(r->host[1].engine, r->wire[0].channel[1], RIG_RING - 2000,
					 r->now_ns), 0);
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	assert_true(rig_events(r, 1, t) & STREAM_EV_RX);
	rig_pump(r);
	assert_true(stream_tx_acked(s) == RIG_RING);
	assert_int_equal(rig_read(r, 1, t), RIG_RING);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, '2'), 0);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == 2 * RIG_RING);
	for (uint64_t i = 0; i < RIG_RING; i++)
		assert_int_equal(r->host[1].rx.base[i], '2');
}

static void bytes_held_back_are_told_when_the_other_channel_dies(void **state)
{
	struct rig *r = *state;
	const struct iovec *iov;
	struct stream *s = sent_twice(r, true, &iov), *t = r->host[1].incoming;

	assert_true(stream_rx_contiguous(t) == 2000);
	assert_false(stream_rx_ended(t));
	assert_false(rig_events(r, 0, s) & STREAM_EV_TX_DONE);
	rig_down_one(r, 0, 1);
	assert_true(stream_rx_contiguous(t) == RIG_RING && stream_rx_ended(t));
	assert_true(rig_events(r, 1, t) & STREAM_EV_RX);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_TX_DONE);
}

/* Part of the late receive comes: what it leaves may be written still. */
static void bytes_are_held_back_until_the_last_receive_is_over(void **state)
{
	struct rig *r = *state;
	const struct iovec *iov;
	struct stream *s = sent_twice(r, true, &iov), *t = r->host[1].incoming;
	struct engine *e = r->host[1].engine;

	assert_int_equal(engine_received(e, r->wire[0].channel[1], 1000, r->now_ns), 0);
	/* Nothing is being received now, and what comes later goes by way of the staging buffer. */
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	assert_int_equal(engine_rx_iov(e, r->wire[0].channel[1], &iov), 1);
	rig_pump(r);
	assert_true(rig_events(r, 0, s) & STREAM_EV_TX_DONE);
}

static void a_large_payload_is_received_in_pieces_of_the_limit(void **state)
{
	struct rig *r = *state;
	struct engine *e = r->host[1].engine;
	const struct iovec *iov;
	struct stream *s = rig_established(r), *t = r->host[1].incoming;

	engine_rx_limit(e, 6000);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'a'), 0);
	rig_send(r, 0, 0);
	assert_int_equal(rig_deliver(r, 0, 0, WIRE_HEADER_BYTES), 0);
	/* No header is read along with a piece: it would not be one. */
	assert_int_equal(engine_rx_iov(e, r->wire[0].channel[1], &iov), 1);
	assert_ptr_equal(iov[0].iov_base, r->host[1].rx.base);
	assert_int_equal(iov[0].iov_len, 6000);
	rig_pump(r);
	assert_true(stream_rx_contiguous(t) == RIG_RING);
	for (uint64_t i = 0; i < RIG_RING; i++)
		assert_int_equal(r->host[1].rx.base[i], 'a');
}

static void a_peer_without_channels_times_out(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r);
	struct channel *dead;

	rig_cut(r, 0);
	r->now_ns += r->cfg.unreachable_ns + 2000000000;
	assert_true(engine_deadline(r->host[0].engine) <= r->now_ns);
	engine_tick(r->host[0].engine, r->now_ns, &dead);
	assert_null(dead);
	assert_int_equal(stream_error(s), -ETIMEDOUT);
}

static void a_silent_channel_is_pinged_and_then_given_up(void **state)
{
	struct rig *r = *state;
	struct engine *e = r->host[0].engine;
	struct channel *dead;

	rig_up(r, 0, CLASS_LATENCY);
	rig_pump(r);
	r->now_ns = engine_deadline(e);
	engine_tick(e, r->now_ns, &dead);
	assert_null(dead);
	assert_true(rig_send(r, 0, 0) > 0);
	for (int i = 0; i < 100 && !dead; i++) {
		assert_true(engine_deadline(e) > r->now_ns);
		r->now_ns = engine_deadline(e);
		engine_tick(e, r->now_ns, &dead);
	}
	assert_ptr_equal(dead, r->wire[0].channel[0]);
}

static void who_leaves_takes_no_new_streams_and_says_so(void **state)
{
	struct rig *r = *state;
	struct stream *s = rig_established(r), *t = r->host[1].incoming, *more;
	struct engine_connect args = { .remote = rig_address(1), .remote_port = RIG_PORT,
				       .tx = r->tx, .rx = r->rx };

	engine_leave(r->host[1].engine, r->now_ns);
	rig_pump(r);
	assert_true(engine_peer_left(r->host[0].engine, 1));
	assert_false(engine_peer_left(r->host[0].engine, 1));
	assert_int_equal(engine_connect(r->host[0].engine, &args, r->now_ns, &more), -ECONNREFUSED);
	assert_int_equal(rig_write(r, 0, s, 5, 'g'), 0);
	rig_pump(r);
	assert_int_equal(rig_read(r, 1, t), 5);
	end_both(r, s, t);
}

static void a_full_table_refuses_and_forgets_nothing(void **state)
{
	struct rig *r = *state;
	struct stream *s[64];

	rig_up(r, 0, CLASS_LATENCY);
	for (uint32_t i = 0; i < r->cfg.streams; i++) {
		s[i] = rig_connect(r);
		assert_non_null(s[i]);
	}
	assert_null(rig_connect(r));
	engine_stream_abort(r->host[0].engine, s[3], WIRE_E_RESET, r->now_ns);
	assert_true(rig_events(r, 0, s[3]) & STREAM_EV_DONE);
	engine_stream_free(r->host[0].engine, s[3]);
	assert_non_null(rig_connect(r));
}

static void a_host_is_its_own_peer(void **state)
{
	struct rig *r = *state;
	struct engine *e = r->host[0].engine;
	struct ring_mem rx = rig_ring(16384), tx = rig_ring(16384);
	struct channel *loop = engine_channel_up(e, 0, CLASS_LATENCY, 0, 0, &rx, &tx, r, r->now_ns);
	struct engine_connect args = { .remote = rig_address(0), .remote_port = RIG_PORT,
				       .tx = r->tx, .rx = r->rx };
	struct stream *s;

	assert_non_null(loop);
	assert_int_equal(engine_connect(e, &args, r->now_ns, &s), 0);
	assert_int_equal(rig_write(r, 0, s, 3000, 's'), 0);
	while (engine_channel_wants_tx(loop))
		assert_true(engine_channel_loop(e, loop, 4, r->now_ns) > 0);
	assert_non_null(r->host[0].incoming);
	assert_true(stream_rx_contiguous(r->host[0].incoming) == 3000);
	engine_channel_down(e, loop, r->now_ns);
	free(rx.base);
	free(tx.base);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bytes_cross_both_ways_and_both_ends_are_done),
		CASE(a_stream_survives_delivery_byte_by_byte),
		CASE(first_bytes_ride_with_the_open),
		CASE(credit_stops_the_sender_and_reading_lets_it_go_on),
		CASE(an_acknowledgement_is_asked_for_when_the_ring_fills),
		CASE(half_close_leaves_the_other_direction_open),
		CASE(nobody_listening_is_refused),
		CASE(an_unknown_address_is_unreachable),
		CASE(a_failed_dial_is_what_connect_hears),
		CASE(a_peer_is_down_while_no_channel_to_it_is_up),
		CASE(unread_bytes_at_close_reset_the_peer),
		CASE(a_killed_writer_delivers_what_it_wrote_and_then_resets),
		CASE(words_of_an_application_that_make_no_sense_are_refused),
		CASE(a_ring_is_lent_while_the_transport_may_read_it),
		CASE(what_a_dead_channel_had_not_delivered_goes_again),
		CASE(the_last_ack_goes_back_on_the_channel_that_brought_the_end),
		CASE(a_lost_refusal_is_said_again_and_asks_nobody_twice),
		CASE(a_lost_refusal_is_said_again_before_the_stream_is_freed),
		CASE(a_connect_that_was_not_said_survives_a_restart_of_the_peer),
		CASE(a_connect_to_port_0_is_refused_here),
		CASE(a_connect_from_the_address_of_another_host_fails),
		CASE(a_late_copy_of_an_open_is_not_accepted),
		CASE(a_reset_is_said_until_it_is_answered),
		CASE(being_forgotten_behind_the_fin_is_a_normal_end),
		CASE(an_aborted_connect_whose_open_is_lost_is_over),
		CASE(a_closed_stream_lets_its_peer_learn_of_it),
		CASE(bytes_that_come_while_the_application_closes_reset_the_stream),
		CASE(bytes_that_may_still_be_written_are_not_acknowledged),
		CASE(bytes_held_back_are_told_when_the_other_channel_dies),
		CASE(bytes_are_held_back_until_the_last_receive_is_over),
		CASE(a_large_payload_is_received_in_pieces_of_the_limit),
		CASE(a_peer_without_channels_times_out),
		CASE(a_silent_channel_is_pinged_and_then_given_up),
		CASE(who_leaves_takes_no_new_streams_and_says_so),
		CASE(a_full_table_refuses_and_forgets_nothing),
		CASE(a_host_is_its_own_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
