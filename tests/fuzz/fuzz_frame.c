/* SPDX-License-Identifier: MIT */
/*
 * fuzz_frame.c - a hostile peer and a hostile application against one engine.
 *
 * The input is a list of acts, each one byte and its arguments: raw bytes on a channel, a frame
 * with a valid sum and any fields, words of the application, channels that come and go, time.
 * Whatever happens, the engine writes only into its rings and its staging memory (all of it is
 * malloc'ed exactly, for AddressSanitizer to watch), asks to receive only there, and ends in order.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/carry.h"
#include "core/engine.h"
#include "core/frame.h"
#include "core/move.h"

#define STREAMS  16
#define CHANNELS 4
#define RING     4096u
#define STAGING  (16u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct fuzz_stream {
	struct stream *s; /* NULL: none */
	struct ring_mem tx, rx;
	uint64_t tail, head;
	bool closed, pending;
	bool asks, asked; /* RESUME: pending, too, until it has arrived */
};

struct fuzz {
	const uint8_t *at, *end;
	struct engine *e;
	void *mem;
	size_t mem_bytes;
	uint64_t now_ns, id_high;
	struct fuzz_stream stream[STREAMS];
	struct channel *channel[CHANNELS];
	struct ring_mem rx_buf[CHANNELS], tx_buf[CHANNELS];
	size_t posted[CHANNELS]; /* bytes of the send under way */
	struct fuzz_stream spare; /* of streams that have no place */
	struct stream_parcel parcel; /* of what left last, with rings of its own */
	uint64_t tombstone;
};

static uint64_t take(struct fuzz *f, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes > 0 && f->at < f->end; bytes--)
		v = v << 8 | *f->at++;
	return v;
}

static struct ring_mem memory(uint32_t bytes)
{
	return (struct ring_mem){ .base = malloc(bytes), .bytes = bytes };
}

static struct fuzz_stream *free_stream(struct fuzz *f)
{
	for (int i = 0; i < STREAMS; i++)
		if (!f->stream[i].s && !f->stream[i].tx.base)
			return &f->stream[i];
	return NULL;
}

static int incoming(void *ctx, struct stream *s, void *user)
{
	struct fuzz *f = ctx;
	struct fuzz_stream *fs = free_stream(f);

	(void)user;
	if (!fs)
		return -1;
	*fs = (struct fuzz_stream){ .s = s, .tx = memory(RING), .rx = memory(RING) };
	engine_stream_set_user(s, fs);
	if (f->now_ns & 1) {
		fs->pending = true;
		return -11; /* EAGAIN */
	}
	engine_stream_rings(s, &fs->tx, &fs->rx, fs);
	return 0;
}

static void resume(void *ctx, struct stream *s, uint16_t old_lane, uint64_t id)
{
	struct fuzz *f = ctx;
	struct fuzz_stream *fs = free_stream(f);

	(void)engine_stream_known(f->e, 1, old_lane, id);
	if (!fs) {
		engine_stream_set_user(s, &f->spare);
		engine_stream_refuse(f->e, s, f->now_ns);
		return;
	}
	*fs = (struct fuzz_stream){ .s = s, .tx = memory(RING), .rx = memory(RING),
				    .pending = true, .asked = true };
	engine_stream_set_user(s, fs);
}

static void port_left(void *ctx, uint32_t home, uint16_t port)
{
	struct fuzz *f = ctx;

	(void)home;
	engine_port_release(f->e, port);
}

static struct address address(uint8_t last)
{
	return (struct address){ .byte = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = last } };
}

static void channel_up(struct fuzz *f, uint32_t i)
{
	if (f->channel[i])
		return;
	f->rx_buf[i] = memory(STAGING);
	f->tx_buf[i] = memory(STAGING);
	f->posted[i] = 0;
	f->channel[i] = engine_channel_up(f->e, 1, i & 1 ? CLASS_THROUGHPUT : CLASS_LATENCY,
					  i == 3, (uint16_t)i, &f->rx_buf[i], &f->tx_buf[i], f,
					  f->now_ns);
	if (!f->channel[i])
		abort();
	if (i != 0)
		engine_channel_carries(f->channel[i]);
	if (i != 1)
		engine_channel_moves(f->channel[i]);
}

static void channel_down(struct fuzz *f, uint32_t i)
{
	if (!f->channel[i])
		return;
	engine_channel_down(f->e, f->channel[i], f->now_ns);
	f->channel[i] = NULL;
	free(f->rx_buf[i].base);
	free(f->tx_buf[i].base);
}

/* What the engine says to other workers: there is only itself. */
static void talk(struct fuzz *f)
{
	struct carry_msg m;
	struct channel *c;

	while (engine_carry_peek(f->e, &m)) {
		engine_carry_pop(f->e);
		if (engine_carry_take(f->e, &m, f->now_ns, &c) == 0)
			continue;
		for (uint32_t i = 0; i < CHANNELS; i++)
			if (f->channel[i] == c)
				channel_down(f, i);
	}
}

/* Gives bytes to a channel, as the engine wants to receive them. */
static void receive(struct fuzz *f, uint32_t i, const uint8_t *from, size_t bytes)
{
	while (f->channel[i] && bytes > 0) {
		const struct iovec *iov;
		size_t got = 0;
		int nr;

		if (!engine_channel_wants_rx(f->channel[i])) {
			talk(f);
			continue;
		}
		nr = engine_rx_iov(f->e, f->channel[i], &iov);
		for (int k = 0; k < nr && bytes > 0; k++) {
			size_t n = iov[k].iov_len < bytes ? iov[k].iov_len : bytes;

			memcpy(iov[k].iov_base, from, n);
			from += n;
			bytes -= n;
			got += n;
		}
		if (got == 0)
			abort();
		if (engine_received(f->e, f->channel[i], got, f->now_ns) < 0 ||
		    engine_channel_over(f->channel[i]))
			channel_down(f, i);
	}
}

static void act_raw(struct fuzz *f)
{
	uint32_t i = (uint32_t)take(f, 1) % CHANNELS;
	size_t n = (size_t)take(f, 1);

	n = n < (size_t)(f->end - f->at) ? n : (size_t)(f->end - f->at);
	receive(f, i, f->at, n);
	f->at += n;
}

/* A frame that decodes: the fields are the fuzzer's, near what means something. */
static void act_frame(struct fuzz *f)
{
	uint32_t i = (uint32_t)take(f, 1) % CHANNELS, sent = 0;
	struct frame h = { .type = (uint8_t)take(f, 1), .flags = (uint16_t)take(f, 1) };
	uint8_t header[WIRE_HEADER_BYTES], payload[256];
	struct open_info info = { .destination = address(1), .source = address(2) };

	h.length = (uint32_t)take(f, 2);
	h.stream = f->id_high + (take(f, 1) % STREAMS) + (take(f, 1) << 32);
	h.offset = take(f, 1) == 0xff ? take(f, 8) : take(f, 2);
	h.ack = take(f, 1) == 0xff ? take(f, 8) : take(f, 2);
	h.window = (uint32_t)take(f, 2);
	memset(payload, (int)take(f, 1), sizeof(payload));
	if (h.type == FRAME_OPEN) {
		h.length = WIRE_OPEN_BYTES + h.length % 200;
		info.stream = take(f, 1);
		info.destination_port = 7;
		info.source_port = (uint16_t)take(f, 1);
		open_encode(&info, payload);
	} else if (h.type == FRAME_ACCEPT || h.type == FRAME_RESUME) {
		h.length = 8;
		h.window %= h.type == FRAME_RESUME ? 4 : UINT32_MAX;
	} else if (h.type == FRAME_RESET || h.type == FRAME_REFUSE) {
		h.length = 4;
	} else if (h.type != FRAME_DATA && h.type != FRAME_CARRIED) {
		h.length = 0;
	}
	frame_encode(&h, header);
	receive(f, i, header, sizeof(header));
	for (; sent < h.length && f->channel[i]; sent += (uint32_t)sizeof(payload))
		receive(f, i, payload, h.length - sent < sizeof(payload) ? h.length - sent :
									    sizeof(payload));
}

static void act_send(struct fuzz *f)
{
	uint32_t i = (uint32_t)take(f, 1) % CHANNELS;
	const struct iovec *iov;
	size_t total = 0, sum = 0, n;
	int nr;

	if (!f->channel[i])
		return;
	nr = engine_tx_iov(f->e, f->channel[i], f->now_ns, &iov);
	for (int k = 0; k < nr; k++) {
		/* Reads every byte, for AddressSanitizer. */
		for (size_t b = 0; b < iov[k].iov_len; b++)
			sum += ((const uint8_t *)iov[k].iov_base)[b];
		total += iov[k].iov_len;
	}
	n = (size_t)take(f, 1);
	n = n >= 200 || n > total ? total : n;
	engine_sent(f->e, f->channel[i], n, f->now_ns + (sum & 1));
	if (n < total)
		(void)engine_channel_stuck(f->e, f->channel[i], f->now_ns);
}

static void act_connect(struct fuzz *f)
{
	struct fuzz_stream *fs = free_stream(f);
	uint8_t how = (uint8_t)take(f, 1);
	struct engine_connect args = { .remote = address(how & 4 ? 1 : 2), .remote_port = 7,
				       .class = (enum stream_class)(how % 3), .defer = how & 8 };

	if (!fs)
		return;
	*fs = (struct fuzz_stream){ .tx = memory(RING), .rx = memory(RING) };
	args.tx = fs->tx;
	args.rx = fs->rx;
	args.user = fs;
	if (engine_connect(f->e, &args, f->now_ns, &fs->s) < 0)
		fs->s = NULL;
}

/* Words of the application: mostly possible ones. */
static void act_application(struct fuzz *f)
{
	struct fuzz_stream *fs = &f->stream[take(f, 1) % STREAMS];
	uint8_t what = (uint8_t)take(f, 1);
	uint64_t by = what & 0x80 ? take(f, 8) : take(f, 2) % RING;

	if (!fs->s || fs->closed || fs->pending)
		return;
	switch (what & 7) {
	case 0:
	case 1:
		if (engine_tx_published(f->e, fs->s, fs->tail + by, f->now_ns) == 0)
			fs->tail += by;
		break;
	case 2:
	case 3:
		if (engine_rx_consumed(f->e, fs->s, fs->head + by, f->now_ns) == 0)
			fs->head += by;
		break;
	case 4:
		engine_stream_shutdown(f->e, fs->s, f->now_ns);
		break;
	case 5:
		engine_stream_close(f->e, fs->s, by & 1, f->now_ns);
		fs->closed = true;
		break;
	case 6:
		engine_stream_abort(f->e, fs->s, WIRE_E_RESET, f->now_ns);
		fs->closed = true;
		break;
	default:
		(void)engine_tx_rebase(f->e, fs->s, by);
		engine_stream_class(f->e, fs->s, (enum stream_class)(by % 3));
		break;
	}
}

static void act_decide(struct fuzz *f)
{
	struct fuzz_stream *fs = &f->stream[take(f, 1) % STREAMS];

	if (!fs->pending)
		return;
	fs->pending = false;
	if (fs->asks) {
		engine_stream_abort(f->e, fs->s, WIRE_E_RESET, f->now_ns);
		fs->closed = true;
	} else if ((take(f, 1) & 1) && !fs->asked) {
		engine_stream_rings(fs->s, &fs->tx, &fs->rx, fs);
		engine_stream_admit(f->e, fs->s, f->now_ns);
	} else {
		engine_stream_refuse(f->e, fs->s, f->now_ns);
		fs->closed = true;
	}
}

static void parcel_drop(struct fuzz *f)
{
	free(f->parcel.tx.base);
	free(f->parcel.rx.base);
	f->parcel.tx.base = f->parcel.rx.base = NULL;
}

/* @fs leaves; its rings are what events() gives back. */
static void leave(struct fuzz *f, struct fuzz_stream *fs, bool tombstone)
{
	struct ring_mem tx, rx;

	parcel_drop(f);
	if (engine_stream_leave(f->e, fs->s, tombstone, &f->parcel, f->now_ns) != 0)
		return;
	tx = memory(RING);
	rx = memory(RING);
	parcel_copy(&f->parcel, &tx, &rx);
	f->parcel.tx = tx;
	f->parcel.rx = rx;
	f->tombstone = tombstone ? f->parcel.id : f->tombstone;
	fs->s = NULL;
}

static void arrive(struct fuzz *f, struct fuzz_stream *fs)
{
	if (!f->parcel.tx.base)
		return;
	parcel_copy(&f->parcel, &fs->tx, &fs->rx);
	if (engine_stream_arrive(f->e, fs->s, &f->parcel, &fs->tx, &fs->rx, fs, f->now_ns) != 0)
		return;
	fs->tail = f->parcel.tx_tail;
	fs->head = f->parcel.rx_head;
	fs->closed = f->parcel.closed;
	fs->pending = fs->asks = fs->asked = false;
	parcel_drop(f);
}

/* The engine is all workers of its host. */
static void act_move(struct fuzz *f)
{
	struct fuzz_stream *fs = &f->stream[take(f, 1) % STREAMS], *other;
	uint8_t what = (uint8_t)take(f, 1);
	struct stream_info info = { .remote_id = take(f, 1) };

	if (what % 4 == 0) {
		other = free_stream(f);
		if (!other)
			return;
		if (fs->s)
			engine_stream_info(fs->s, &info);
		*other = (struct fuzz_stream){ .tx = memory(RING), .rx = memory(RING),
					       .pending = true, .asks = true };
		if (engine_resume(f->e, 1, what >> 2 & 1, info.remote_id, other, f->now_ns,
				  &other->s) != 0)
			other->s = NULL;
	} else if (what % 4 == 3) {
		engine_stream_forget(f->e, f->tombstone);
	} else if (fs->s && !fs->pending && what % 4 == 1) {
		leave(f, fs, what & 4);
	} else if (fs->s && fs->pending && (fs->asks || fs->asked) && what % 4 == 2) {
		arrive(f, fs);
	} else if (fs->s) {
		engine_stream_stays(f->e, fs->s);
	}
}

static void act_time(struct fuzz *f)
{
	struct channel *dead;
	int rounds = 0;

	f->now_ns += take(f, 1) << take(f, 1) % 32;
	do {
		engine_tick(f->e, f->now_ns, &dead);
		for (uint32_t i = 0; dead && i < CHANNELS; i++)
			if (f->channel[i] == dead)
				channel_down(f, i);
		if (++rounds > 100)
			abort();
	} while (dead);
}

static void act_peer(struct fuzz *f)
{
	uint32_t i;

	switch (take(f, 1) % 8) {
	case 0:
		engine_peer_reset(f->e, 1, f->now_ns);
		break;
	case 1:
		engine_peer_unreachable(f->e, 1, -113, f->now_ns);
		break;
	case 2:
		engine_leave(f->e, f->now_ns);
		break;
	case 5:
		act_move(f);
		break;
	case 6:
		(void)engine_peer_grows(f->e, 1);
		engine_peer_grown(f->e, 1, take(f, 1) & 1, f->now_ns);
		break;
	case 7:
		i = (uint32_t)take(f, 1) % CHANNELS;
		if (f->channel[i])
			engine_channel_extra(f->e, f->channel[i], f->now_ns);
		break;
	default:
		channel_up(f, (uint32_t)take(f, 1) % CHANNELS);
		break;
	}
}

/* Streams that are over give their memory back as soon as no channel has it. */
static void events(struct fuzz *f)
{
	uint32_t what;
	struct stream *s;

	while ((s = engine_next_event(f->e, &what)) != NULL) {
		struct fuzz_stream *fs = engine_stream_user(s);

		if (!(what & STREAM_EV_DONE))
			continue;
		if (!fs->closed)
			engine_stream_close(f->e, s, false, f->now_ns);
		engine_stream_free(f->e, s);
		fs->s = NULL;
	}
	for (int i = 0; i < STREAMS; i++) {
		struct fuzz_stream *fs = &f->stream[i];

		if (fs->s || !fs->tx.base || engine_ring_lent(f->e, fs->tx.base, fs->tx.bytes) ||
		    engine_ring_lent(f->e, fs->rx.base, fs->rx.bytes))
			continue;
		free(fs->tx.base);
		free(fs->rx.base);
		*fs = (struct fuzz_stream){ 0 };
	}
}

static void set_up(struct fuzz *f)
{
	static const struct engine_ops ops = { .incoming = incoming, .resume = resume,
					       .port_left = port_left };
	const struct engine_config cfg = {
		.streams = STREAMS, .channels = CHANNELS, .listeners = 2, .frame_bytes = 8192,
		.seed = 1, .ack_delay_ns = 1000, .ping_idle_ns = 1000000, .ping_dead_ns = 3000000,
		.unreachable_ns = 10000000, .orphan_ns = 20000000, .rebase = true,
		.port_low = 20000, .port_high = 20099, .throughput = 1, .throughput_max = 3,
		.look_ns = 1000,
	};
	struct address self = address(1), peer = address(2), any = { 0 };

	/* Fresh pages: most of the engine is never touched, and need not be cleared. */
	f->mem_bytes = engine_bytes(&cfg);
	f->mem = mmap(NULL, f->mem_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (f->mem == MAP_FAILED)
		abort();
	f->e = engine_create(f->mem, &cfg, &ops, f);
	f->id_high = 1ull << 32; /* generations begin at the seed's */
	engine_peer_set(f->e, 0, &self, 1);
	engine_peer_set(f->e, 1, &peer, 1);
	(void)engine_listen(f->e, &any, 7, NULL);
	channel_up(f, 0);
	channel_up(f, 1);
}

static void tear_down(struct fuzz *f)
{
	for (uint32_t i = 0; i < CHANNELS; i++)
		channel_down(f, i);
	for (int i = 0; i < STREAMS; i++) {
		free(f->stream[i].tx.base);
		free(f->stream[i].rx.base);
	}
	parcel_drop(f);
	munmap(f->mem, f->mem_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const act[])(struct fuzz *f) = { act_raw, act_frame, act_frame, act_frame,
						       act_send, act_send, act_connect,
						       act_application, act_application,
						       act_application, act_decide, act_time,
						       act_peer };
	struct fuzz f = { .at = data, .end = data + bytes, .now_ns = 1000000000 };

	set_up(&f);
	while (f.at < f.end) {
		act[take(&f, 1) % (sizeof(act) / sizeof(act[0]))](&f);
		events(&f);
	}
	tear_down(&f);
	return 0;
}
