/* SPDX-License-Identifier: MIT */
/*
 * test_sched_share.c - Goal: streams share a channel evenly or by their weights, and so do clients,
 * whatever the number of their streams; to decide costs the same with many. Method: an engine whose
 * streams to one peer never run dry; frames are read off the wire and counted.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ncd_test.h"

#include "core/engine.h"
#include "core/frame.h"

#define CLIENTS     128u
#define STREAMS_MAX 16384u
#define FRAME_BYTES (64u << 10)
#define RING        (4u << 20)
#define STAGING     (256u << 10)
#define CHANNELS    3u
#define FRAMES_MAX  1024u /* of one send */

struct sender {
	struct engine *engine;
	struct channel *channel[CHANNELS]; /* latency, throughput, throughput */
	uint8_t *memory[1 + 2 * CHANNELS], *flat;
	struct ring_mem ring; /* of all streams: nobody looks at the bytes */
	struct stream *stream[STREAMS_MAX];
	uint64_t id[STREAMS_MAX];
	uint64_t bytes[STREAMS_MAX]; /* of payload that went out */
	uint32_t nr, frames;
	uint64_t now_ns;
};

static struct address address_of(uint8_t last)
{
	return (struct address){ .byte = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = last } };
}

static void sender_up(struct sender *d, uint32_t i)
{
	static const enum stream_class class[CHANNELS] = { CLASS_LATENCY, CLASS_THROUGHPUT,
							   CLASS_THROUGHPUT };
	uint8_t **mem = &d->memory[1 + 2 * i];
	struct ring_mem rx = { .base = mem[0] = malloc(STAGING), .bytes = STAGING };
	struct ring_mem tx = { .base = mem[1] = malloc(STAGING), .bytes = STAGING };

	d->channel[i] = engine_channel_up(d->engine, 1, class[i], 0, (uint16_t)i, &rx, &tx, NULL,
					  d->now_ns);
}

/* With the first @channels of them. */
static struct sender *sender_create(uint32_t channels)
{
	static const struct engine_ops ops = { .incoming = NULL };
	const struct engine_config cfg = {
		.streams = STREAMS_MAX, .channels = 4, .listeners = 1, .clients = CLIENTS,
		.frame_bytes = FRAME_BYTES, .seed = 1, .ack_delay_ns = UINT64_MAX / 2,
		.unreachable_ns = UINT64_MAX / 2, .orphan_ns = UINT64_MAX / 2,
		.port_low = 1, .port_high = 65535,
	};
	struct sender *d = calloc(1, sizeof(*d));
	struct address self = address_of(1), peer = address_of(2);
	size_t bytes = (engine_bytes(&cfg) + 63) & ~(size_t)63;

	d->now_ns = 1;
	d->memory[0] = aligned_alloc(64, bytes);
	memset(d->memory[0], 0, bytes);
	d->engine = engine_create(d->memory[0], &cfg, &ops, d);
	d->ring = (struct ring_mem){ .base = calloc(1, RING), .bytes = RING };
	d->flat = malloc(2 * STAGING);
	engine_peer_set(d->engine, 0, &self, 1);
	engine_peer_set(d->engine, 1, &peer, 1);
	for (uint32_t i = 0; i < channels; i++)
		sender_up(d, i);
	return d;
}

static void sender_destroy(struct sender *d)
{
	for (uint32_t i = 0; i < 1 + 2 * CHANNELS; i++)
		free(d->memory[i]);
	free(d->flat);
	free(d->ring.base);
	free(d);
}

/* What the peer says to stream @i; the peer's id of it is i + 1. */
static void hear(struct sender *d, uint32_t i, uint8_t type)
{
	struct frame f = { .type = type, .stream = d->id[i], .ack = d->bytes[i], .window = RING,
			   .length = type == FRAME_ACCEPT ? 8 : 0 };
	uint8_t bytes[WIRE_HEADER_BYTES + 8];
	const struct iovec *iov;

	frame_encode(&f, bytes);
	wire_put64(bytes + WIRE_HEADER_BYTES, i + 1);
	(void)engine_rx_iov(d->engine, d->channel[0], &iov);
	memcpy(iov->iov_base, bytes, WIRE_HEADER_BYTES + f.length);
	assert_int_equal(engine_received(d->engine, d->channel[0], WIRE_HEADER_BYTES + f.length,
					 d->now_ns),
			 0);
}

/* The peer has all that was sent, and the application has written @bytes more. */
static void publish(struct sender *d, uint32_t i, uint32_t bytes)
{
	hear(d, i, FRAME_CREDIT);
	assert_int_equal(engine_tx_published(d->engine, d->stream[i], d->bytes[i] + bytes,
					     d->now_ns),
			 0);
}

/* What goes out next on channel @c; @ret_sender has the stream of each frame. Returns how many. */
static uint32_t send_once(struct sender *d, uint32_t c, uint32_t *ret_sender)
{
	const struct iovec *iov;
	int nr = engine_tx_iov(d->engine, d->channel[c], d->now_ns, &iov);
	uint32_t frames = 0;
	size_t total = 0, at = 0;
	struct frame f;

	for (int i = 0; i < nr; i++) {
		memcpy(d->flat + total, iov[i].iov_base, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	engine_sent(d->engine, d->channel[c], total, d->now_ns);
	for (; at < total; at += WIRE_HEADER_BYTES + f.length) {
		struct open_info o;

		assert_int_equal(frame_decode(d->flat + at, &f), 0);
		if (f.type == FRAME_OPEN) {
			assert_int_equal(open_decode(d->flat + at + WIRE_HEADER_BYTES, &o), 0);
			d->id[o.source_port - 1] = o.stream;
		} else if (f.type == FRAME_DATA) {
			d->bytes[f.stream - 1] += f.length;
			ret_sender[frames++] = (uint32_t)f.stream - 1;
		}
	}
	return frames;
}

/* @nr more streams of @client, open. */
static void add(struct sender *d, uint32_t client, uint32_t nr, enum stream_class class,
		uint32_t weight)
{
	uint32_t first = d->nr, sender[FRAMES_MAX];

	for (; d->nr < first + nr; d->nr++) {
		struct engine_connect args = { .remote = address_of(2), .remote_port = 7,
					       .local_port = (uint16_t)(d->nr + 1),
					       .tx = d->ring, .rx = d->ring, .class = class };
		struct stream **s = &d->stream[d->nr];

		assert_int_equal(engine_connect(d->engine, &args, d->now_ns, s), 0);
		engine_stream_client(d->engine, *s, client);
		engine_stream_weight(*s, weight);
	}
	while (engine_channel_wants_tx(d->channel[0]))
		(void)send_once(d, 0, sender);
	for (uint32_t i = first; i < d->nr; i++)
		hear(d, i, FRAME_ACCEPT);
}

/* Sends @times on channel @c; who has sent has @bytes more at once. */
static void run(struct sender *d, uint32_t c, uint32_t times, uint32_t bytes)
{
	uint32_t sender[FRAMES_MAX];

	while (times-- > 0) {
		uint32_t nr = send_once(d, c, sender);

		d->frames += nr;
		for (uint32_t i = 0; i < nr; i++)
			publish(d, sender[i], bytes);
	}
}

/* All have as much to send as there may be. */
static void publish_all(struct sender *d)
{
	for (uint32_t i = 0; i < d->nr; i++)
		publish(d, i, RING);
}

static uint64_t sum(const struct sender *d, uint32_t first, uint32_t nr)
{
	uint64_t bytes = 0;

	for (uint32_t i = first; i < first + nr; i++)
		bytes += d->bytes[i];
	return bytes;
}

/* Jain's index of what streams have had for their weights: 1 is even. */
static double jain(const struct sender *d, const uint32_t *weight, uint32_t weights)
{
	double all = 0, squares = 0;

	for (uint32_t i = 0; i < d->nr; i++) {
		double x = (double)d->bytes[i] / weight[i % weights];

		all += x;
		squares += x * x;
	}
	return all * all / (d->nr * squares);
}

static void assert_ratio(uint64_t a, uint64_t b, double least, double most)
{
	double ratio = (double)a / (double)b;

	if (ratio < least || ratio > most)
		fail_msg("%.3f is not from %.3f to %.3f", ratio, least, most);
}

static void one_stream_has_its_share_beside_a_hundred(void **state)
{
	static const uint32_t one = 1;

	(void)state;
	for (uint32_t c = 0; c < 2; c++) {
		struct sender *d = sender_create(2);

		add(d, 0, 101, c == 0 ? CLASS_LATENCY : CLASS_THROUGHPUT, 1);
		publish_all(d);
		run(d, c, 101 * 20, RING);
		assert_true(jain(d, &one, 1) > 0.9999);
		sender_destroy(d);
	}
}

static void streams_share_by_their_weights(void **state)
{
	static const uint32_t weight[] = { 1, 2, 3, 16 };
	struct sender *d = sender_create(2);

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		add(d, 0, 1, CLASS_THROUGHPUT, weight[i % 4]);
	publish_all(d);
	run(d, 1, 110 * 20, RING);
	assert_true(jain(d, weight, 4) > 0.9999);
	sender_destroy(d);
}

static void a_client_of_one_stream_has_as_much_as_one_of_a_thousand(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 2; c++) {
		enum stream_class class = c == 0 ? CLASS_LATENCY : CLASS_THROUGHPUT;
		struct sender *d = sender_create(2);

		add(d, 1, 1000, class, 1);
		add(d, 2, 1, class, 1);
		publish_all(d);
		run(d, c, 1000, RING);
		assert_ratio(d->bytes[1000], sum(d, 0, 1000), 0.98, 1.02);
		sender_destroy(d);
	}
}

static void the_weights_of_its_streams_are_those_of_a_client(void **state)
{
	struct sender *d = sender_create(2);

	(void)state;
	add(d, 1, 1000, CLASS_THROUGHPUT, 1);
	add(d, 2, 1, CLASS_THROUGHPUT, 4);
	publish_all(d);
	run(d, 1, 1000, RING);
	assert_ratio(d->bytes[1000], sum(d, 0, 1000), 3.9, 4.1);
	sender_destroy(d);
}

/* 64 bytes take about as long as 320 in a row. */
static void many_small_frames_count_for_what_they_take(void **state)
{
	struct sender *d = sender_create(1);
	uint64_t small;

	(void)state;
	add(d, 1, 1000, CLASS_LATENCY, 1);
	add(d, 2, 1, CLASS_LATENCY, 1);
	for (uint32_t i = 0; i < 1000; i++)
		publish(d, i, 64);
	publish(d, 1000, RING);
	for (uint32_t times = 0; times < 200; times++) {
		uint32_t sender[FRAMES_MAX], nr = send_once(d, 0, sender);

		for (uint32_t i = 0; i < nr; i++)
			publish(d, sender[i], sender[i] == 1000 ? RING : 64);
	}
	small = sum(d, 0, 1000);
	assert_ratio(d->bytes[1000], small / 64 * 320, 0.9, 1.1);
	sender_destroy(d);
}

static void a_message_waits_for_one_turn_of_each_other_client(void **state)
{
	uint32_t sender[FRAMES_MAX], nr, at = 0;
	struct sender *d = sender_create(1);

	(void)state;
	add(d, 1, 5000, CLASS_LATENCY, 1);
	add(d, 2, 5000, CLASS_LATENCY, 1);
	add(d, 3, 1, CLASS_LATENCY, 1);
	for (uint32_t i = 0; i < 10000; i++)
		publish(d, i, RING);
	run(d, 0, 100, RING);
	publish(d, 10000, 64);
	nr = send_once(d, 0, sender);
	while (at < nr && sender[at] != 10000)
		at++;
	assert_true(at < nr);
	assert_true(at <= 2); /* a frame is a turn here */
	sender_destroy(d);
}

static void streams_go_where_no_other_client_is(void **state)
{
	uint32_t sender[FRAMES_MAX];
	struct sender *d = sender_create(3);
	uint64_t before;

	(void)state;
	add(d, 1, 1, CLASS_THROUGHPUT, 1);
	add(d, 2, 100, CLASS_THROUGHPUT, 1);
	publish_all(d);
	/* Client 1 is on one of the two; all of client 2 are on the other. */
	before = d->bytes[0];
	run(d, 1, 50, RING);
	assert_int_equal(d->bytes[0] - before, 50 * FRAME_BYTES);
	assert_int_equal(send_once(d, 2, sender), 1);
	assert_int_not_equal(sender[0], 0);
	sender_destroy(d);
}

static void streams_that_never_run_dry_spread_to_a_channel_that_comes(void **state)
{
	static const uint32_t one = 1;
	struct sender *d = sender_create(2);

	(void)state;
	add(d, 1, 20, CLASS_THROUGHPUT, 1);
	publish_all(d);
	run(d, 1, 20, RING);
	sender_up(d, 2);
	for (uint32_t i = 0; i < 400; i++) {
		run(d, 1, 1, RING);
		run(d, 2, 1, RING);
	}
	assert_true(sum(d, 0, 20) > 750 * FRAME_BYTES); /* both were used */
	assert_true(jain(d, &one, 1) > 0.99);
	sender_destroy(d);
}

static void who_runs_dry_for_a_moment_keeps_its_channel(void **state)
{
	struct sender *d = sender_create(3);
	uint32_t sender[FRAMES_MAX];

	(void)state;
	d->now_ns = 1000000000;
	add(d, 1, 1, CLASS_THROUGHPUT, 1);
	add(d, 2, 100, CLASS_THROUGHPUT, 1);
	publish(d, 0, FRAME_BYTES);
	for (uint32_t i = 1; i < d->nr; i++)
		publish(d, i, RING);
	assert_int_equal(send_once(d, 1, sender), 1);
	assert_int_equal(send_once(d, 1, sender), 0); /* it leaves the queue */
	run(d, 2, 50, RING);
	assert_false(engine_channel_wants_tx(d->channel[1]));
	d->now_ns += 10000000;
	run(d, 2, 50, RING);
	assert_true(engine_channel_wants_tx(d->channel[1]));
	sender_destroy(d);
}

/* A stream that moves to another client while it waits takes its turns with those from then on. */
static void a_stream_may_change_hands_while_it_waits(void **state)
{
	struct sender *d = sender_create(2);

	(void)state;
	add(d, 1, 10, CLASS_THROUGHPUT, 1);
	publish_all(d);
	engine_stream_client(d->engine, d->stream[9], 2);
	run(d, 1, 100, RING);
	assert_ratio(d->bytes[9], sum(d, 0, 9), 0.98, 1.02);
	sender_destroy(d);
}

#define SENDS 16 /* each of their instructions takes two switches; a sanitizer makes many of one */

/* What they take of the processor, in instructions; 0: it cannot be told here. */
static uint64_t steps(struct sender *d)
{
	pid_t pid = fork();
	uint64_t nr = 0;
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct iovec *iov;

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		(void)raise(SIGSTOP);
		for (int i = 0; i < SENDS; i++) {
			size_t total = 0;

			for (int k = engine_tx_iov(d->engine, d->channel[1], d->now_ns, &iov);
			     k > 0; k--)
				total += iov[k - 1].iov_len;
			engine_sent(d->engine, d->channel[1], total, d->now_ns);
		}
		(void)raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 0;
	do {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
			break;
		nr++;
	} while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
		 WSTOPSIG(status) == SIGTRAP);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return nr;
}

static void to_decide_costs_the_same_with_many_sockets_and_clients(void **state)
{
	uint64_t few, many;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct sender *d = sender_create(2);

		for (uint32_t client = 0; client < (i == 0 ? 4 : CLIENTS); client++)
			add(d, client, i == 0 ? 4 : STREAMS_MAX / CLIENTS, CLASS_THROUGHPUT, 1);
		publish_all(d);
		*(i == 0 ? &few : &many) = steps(d);
		sender_destroy(d);
	}
	if (few == 0 || many == 0)
		skip(); /* no ptrace here */
	print_message("%d sends of 16 streams: %lu instructions, of %u: %lu\n", SENDS,
		      (unsigned long)few, STREAMS_MAX, (unsigned long)many);
	assert_ratio(many, few, 0.9, 1.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_stream_has_its_share_beside_a_hundred),
		cmocka_unit_test(streams_share_by_their_weights),
		cmocka_unit_test(a_client_of_one_stream_has_as_much_as_one_of_a_thousand),
		cmocka_unit_test(the_weights_of_its_streams_are_those_of_a_client),
		cmocka_unit_test(many_small_frames_count_for_what_they_take),
		cmocka_unit_test(a_message_waits_for_one_turn_of_each_other_client),
		cmocka_unit_test(streams_go_where_no_other_client_is),
		cmocka_unit_test(streams_that_never_run_dry_spread_to_a_channel_that_comes),
		cmocka_unit_test(who_runs_dry_for_a_moment_keeps_its_channel),
		cmocka_unit_test(a_stream_may_change_hands_while_it_waits),
		cmocka_unit_test(to_decide_costs_the_same_with_many_sockets_and_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
