/* SPDX-License-Identifier: MIT */
/*
 * channel_io.c - carries bytes between the engine's channels and the kernel's connections.
 *
 * What the kernel may still read or write stays untouched until it has let go: a dead connection is
 * first cancelled, and only when both directions are back does the engine hear that it is down.
 */
#include "channel_io.h"

#include <errno.h>

#include "core/move.h"

#include "channel_budget.h"
#include "channel_cork.h"
#include "channel_zerocopy.h"
#include "pin.h"

#define RX_STAGING_BYTES (256u << 10) /* many small frames to a receive */
#define TX_STAGING_BYTES (256u << 10) /* headers and small payloads of one send */
#define RECEIVES_A_TURN  8 /* of one channel, where the back end does them at once */
#define SENDS_A_TURN     2
#define LATENCY_A_TURN   (128u << 10) /* bytes of rank 0, each way: then what came is delivered */
#define BULK_A_TURN      (512u << 10) /* bytes of rank 1, each way: then rank 0 is looked at */
#define BULK_BESIDE      (128u << 10) /* the same, and of a call, where rank 0 has been active */
#define ACTIVE_NS        2000000u     /* so lately */
#define BULK_LEAST       (16 << 10)   /* of one call: what a throughput channel has else is small */

static struct ring_mem staging(uint8_t *base, uint32_t bytes)
{
	return (struct ring_mem){ .base = base, .bytes = bytes };
}

int channel_io_create(struct worker *w)
{
	uint32_t nr = w->cfg.engine.channels;
	size_t each = RX_STAGING_BYTES + TX_STAGING_BYTES;
	uint8_t *buf;

	w->chan = pin_alloc(nr * sizeof(*w->chan), w->node);
	if (!w->chan)
		return -ENOMEM;
	/* The first IO_RANKS are the loop channels'. */
	w->chan_buf_bytes = (nr + IO_RANKS) * each;
	w->chan_buf = pin_alloc(w->chan_buf_bytes, w->node);
	if (!w->chan_buf)
		return -ENOMEM;
	buf = w->chan_buf + IO_RANKS * each;
	for (uint32_t i = nr; i-- > 0;) {
		struct channel_io *c = &w->chan[i];

		c->rx_buf = staging(buf + i * each, RX_STAGING_BYTES);
		c->tx_buf = staging(buf + i * each + RX_STAGING_BYTES, TX_STAGING_BYTES);
		c->next = w->chan_free;
		w->chan_free = c;
	}
	return 0;
}

void channel_io_destroy(struct worker *w)
{
	pin_free(w->chan, w->cfg.engine.channels * sizeof(*w->chan));
	pin_free(w->chan_buf, w->chan_buf_bytes);
}

static uint32_t class_rank(enum stream_class class)
{
	return class == CLASS_LATENCY ? 0 : 1;
}

int channel_io_loops(struct worker *w)
{
	static const enum stream_class class[IO_RANKS] = { CLASS_LATENCY, CLASS_THROUGHPUT };
	size_t each = RX_STAGING_BYTES + TX_STAGING_BYTES;

	for (uint32_t rank = 0; rank < IO_RANKS; rank++) {
		struct ring_mem rx = staging(w->chan_buf + rank * each, RX_STAGING_BYTES);
		struct ring_mem tx = staging(rx.base + RX_STAGING_BYTES, TX_STAGING_BYTES);

		w->loop[rank] = engine_channel_up(w->engine, 0, class[rank], 0, 0, &rx, &tx, NULL,
						  w->now_ns);
		if (!w->loop[rank])
			return -ENOBUFS;
	}
	return 0;
}

static void finish(struct worker *w, struct channel_io *c)
{
	struct worker_event ev = {
		.type = EVT_CHANNEL_DEAD,
		.link = c->link,
		.drained = engine_channel_clean(c->channel),
	};

	io_link_remove(w->io, &c->io);
	engine_channel_down(w->engine, c->channel, w->now_ns);
	carrying_show(w, c->link->peer);
	if (w->send_first[c->io.rank] == c)
		w->send_first[c->io.rank] = c->next;
	if (c->prev)
		c->prev->next = c->next;
	else
		w->active[c->io.rank] = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->link->channel = NULL;
	c->link->io = NULL;
	c->link = NULL;
	c->channel = NULL;
	c->next = w->chan_free;
	w->chan_free = c;
	door_event(&w->door, &ev);
}

/* From here on the connection is only waited for. */
static void die(struct worker *w, struct channel_io *c)
{
	if (c->dying)
		return;
	c->dying = true;
	io_link_drop(w->io, &c->io);
}

int channel_io_add(struct worker *w, struct link *link)
{
	struct channel_io *c = w->chan_free;
	uint32_t rank = class_rank(link->class);
	int ret;

	if (!c)
		return -ENOBUFS;
	c->io = (struct io_link){ .fd = link->fd, .rank = (uint8_t)rank, .user = c };
	ret = io_link_add(w->io, &c->io);
	if (ret < 0)
		return ret;
	c->channel = engine_channel_up(w->engine, link->peer, link->class, link->lane, link->index,
				       &c->rx_buf, &c->tx_buf, c, w->now_ns);
	if (!c->channel) {
		io_link_drop(w->io, &c->io);
		io_link_remove(w->io, &c->io);
		return -ENOBUFS;
	}
	w->chan_free = c->next;
	c->link = link;
	c->dying = c->corked = false;
	c->urgent = 0;
	c->budget = (struct budget){ .bytes = 0 };
	zerocopy_init(&c->zerocopy);
	engine_channel_files(c->channel, zerocopy_pages(&c->zerocopy));
	link->channel = c->channel;
	link->io = &c->io;
	c->prev = NULL;
	c->next = w->active[rank];
	if (c->next)
		c->next->prev = c;
	w->active[rank] = c;
	/* Pings, which tell better, only come when a channel is silent. */
	if (w->rtt_ns[link->peer] == 0)
		w->rtt_ns[link->peer] = channel_round_trip_ns(link->fd);
	if (link->extra)
		engine_channel_extra(w->engine, c->channel, w->now_ns);
	if (link->carries)
		engine_channel_carries(c->channel);
	if (link->moves)
		engine_channel_moves(c->channel);
	carrying_show(w, link->peer);
	io_again(w->io, &c->io); /* starts receiving */
	return 0;
}

void channel_io_drop(struct worker *w, const struct link *link)
{
	for (uint32_t rank = 0; rank < IO_RANKS; rank++)
		for (struct channel_io *c = w->active[rank]; c; c = c->next)
			if (c->link == link) {
				die(w, c);
				return;
			}
}

void channel_io_dead(struct worker *w, struct channel *c)
{
	struct channel_io *cio = engine_channel_user(c);

	/* The host's own channels are never given up. */
	if (cio)
		die(w, cio);
}

void channel_io_resume(struct worker *w, struct channel *c, int result)
{
	struct channel_io *cio = engine_channel_user(c);

	if (cio->dying)
		return;
	if (result < 0 || engine_channel_over(c))
		die(w, cio);
	else if (cio->io.rx == IO_IDLE)
		io_again(w->io, &cio->io);
}

/* @n bytes have gone or come on @c. */
static void note_activity(struct worker *w, struct channel_io *c, int n)
{
	uint64_t urgent = engine_channel_counters(c->channel)->frames_urgent;

	if (c->io.rank == 0 && urgent != c->urgent)
		w->latency_ns = w->now_ns;
	else if (c->io.rank != 0 && n >= BULK_LEAST)
		w->throughput_ns = w->now_ns;
	c->urgent = urgent;
}

/* The kernel has taken @n bytes (or failed). False if that was the end. */
static bool sent(struct worker *w, struct channel_io *c, int n)
{
	if (n < 0 && n != -EAGAIN) {
		die(w, c);
		return false;
	}
	if (n > 0) {
		engine_sent(w->engine, c->channel, (size_t)n, w->now_ns);
		note_activity(w, c, n);
	}
	return true;
}

static bool received(struct worker *w, struct channel_io *c, int n)
{
	if (n == -EAGAIN)
		return true;
	if (n < 0 || engine_received(w->engine, c->channel, (size_t)n, w->now_ns) < 0 ||
	    engine_channel_over(c->channel)) {
		die(w, c);
		return false;
	}
	note_activity(w, c, n);
	return true;
}

static bool latency_active(const struct worker *w)
{
	return w->now_ns - w->latency_ns < ACTIVE_NS;
}

/* What a turn may move of a rank, in bytes. */
static int64_t turn_bytes(const struct worker *w, uint32_t rank)
{
	if (rank == 0)
		return LATENCY_A_TURN;
	return latency_active(w) ? BULK_BESIDE : BULK_A_TURN;
}

/* A large piece of a file is not sent at once where others would wait for it. */
static int files_to_send(struct worker *w, struct channel_io *c, const struct tx_file **ret_file)
{
	int nr = engine_tx_files(c->channel, ret_file);

	if (nr == 0 || (*ret_file)->bytes <= BULK_BESIDE || !latency_active(w))
		return nr;
	c->piece = **ret_file;
	c->piece.bytes = BULK_BESIDE;
	*ret_file = &c->piece;
	return 1;
}

/* There, of what is copied: whole pieces of @iov, until they come to that. */
static int pieces_to_send(const struct worker *w, const struct iovec *iov, int nr)
{
	size_t bytes = 0;
	int i;

	if (!latency_active(w))
		return nr;
	for (i = 0; i < nr && bytes < BULK_BESIDE; i++)
		bytes += iov[i].iov_len;
	return i;
}

static uint32_t send_channel(struct worker *w, struct channel_io *c, int64_t *left)
{
	uint32_t did = 0;

	if (c->io.rank != 0 && budget_due(&c->budget, w->now_ns))
		channel_budget_take(&c->budget, c->io.fd, w->now_ns);
	while (did < SENDS_A_TURN && *left > 0) {
		const struct iovec *iov;
		const struct tx_file *file;
		int nr = engine_tx_iov(w->engine, c->channel, w->now_ns, &iov);
		int file_nr = files_to_send(w, c, &file);
		int pieces = pieces_to_send(w, iov, nr);
		bool more;
		int n;

		if (nr + file_nr == 0) {
			channel_uncork(c); /* what was to follow goes elsewhere */
			break;
		}
		did++;
		more = c->io.rank != 0 && (pieces < nr || engine_tx_more(c->channel));
		if (more)
			channel_cork(c);
		n = channel_send(w, c, iov, pieces, file, pieces < nr ? 0 : file_nr);
		if (!more || n <= 0)
			channel_uncork(c);
		if (n == 0 || !sent(w, c, n))
			break;
		*left -= n;
		if (!engine_channel_wants_tx(c->channel))
			break;
	}
	return did;
}

uint32_t channel_io_send(struct worker *w, uint32_t rank)
{
	struct channel_io *first = w->send_first[rank], *c = first ? first : w->active[rank];
	int64_t left = turn_bytes(w, rank);
	uint32_t did = 0;

	/* Round the list, beginning where the last turn had to stop. */
	for (bool wrapped = !first; c && left > 0;) {
		if (c->io.tx == IO_IDLE && !c->dying && engine_channel_wants_tx(c->channel))
			did += send_channel(w, c, &left);
		else if (c->io.tx == IO_IDLE && !c->dying)
			channel_uncork(c);
		else if (c->io.tx == IO_LENT && !c->dying)
			did += engine_channel_stuck(w->engine, c->channel, w->now_ns);
		c = c->next;
		if (!c && !wrapped) {
			wrapped = true;
			c = w->active[rank];
		}
		if (wrapped && c == first)
			break;
	}
	w->send_first[rank] = left > 0 ? NULL : c;
	return did;
}

/* Takes results, and keeps a receive under way. */
static uint32_t serve(struct worker *w, struct channel_io *c, int64_t *left)
{
	uint32_t did = 0;
	int n = io_take_send(&c->io);

	if (n != 0) {
		did++;
		if (!c->dying)
			(void)sent(w, c, n); /* false: dying, seen below */
	}
	n = io_take_recv(&c->io);
	if (n != 0) {
		did++;
		if (!c->dying)
			(void)received(w, c, n);
		*left -= n > 0 ? n : 0;
	}
	for (uint32_t i = 0; !c->dying && c->io.rx == IO_IDLE &&
			     engine_channel_wants_rx(c->channel); i++) {
		const struct iovec *iov;
		int nr;

		if (i == RECEIVES_A_TURN || *left <= 0) {
			io_again(w->io, &c->io);
			return did;
		}
		nr = engine_rx_iov(w->engine, c->channel, &iov);
		n = io_recv(w->io, &c->io, iov, nr);
		if (n == 0)
			break;
		did++;
		if (!received(w, c, n))
			break;
		*left -= n;
	}
	if (c->dying && io_link_quiet(&c->io)) {
		finish(w, c);
		did++;
	}
	return did;
}

uint32_t channel_io_receive(struct worker *w, uint32_t rank)
{
	struct io_link *again = NULL, *l;
	int64_t left = turn_bytes(w, rank);
	uint32_t did = 0;

	if (rank > 0)
		engine_rx_limit(w->engine, latency_active(w) ? BULK_BESIDE : NCD_FRAME_PAYLOAD_MAX);
	/* One that puts itself back is behind all others: its second sight ends the turn. */
	while (left > 0 && (l = io_next(w->io, rank))) {
		if (l == again) {
			io_again(w->io, l);
			break;
		}
		did += serve(w, l->user, &left);
		if (!again && l->queued)
			again = l;
	}
	return did;
}

uint32_t channel_io_loop(struct worker *w)
{
	/* A bulk frame takes as long to copy as many small ones. */
	static const uint32_t loop_frames[IO_RANKS] = { 256, 8 };
	uint32_t did = 0;

	for (uint32_t rank = 0; rank < IO_RANKS; rank++)
		if (engine_channel_wants_tx(w->loop[rank]))
			did += engine_channel_loop(w->engine, w->loop[rank], loop_frames[rank],
						   w->now_ns);
	return did;
}

static void store(counter64 *at, uint64_t value)
{
	/* Relaxed: readers expect each counter for itself. */
	atomic_store_explicit(at, value, memory_order_relaxed);
}

void channel_io_stats(struct worker *w)
{
	for (uint32_t rank = IO_RANKS; rank-- > 0;) {
		for (struct channel_io *c = w->active[rank]; c; c = c->next) {
			const struct channel_counters *n = engine_channel_counters(c->channel);
			struct stats_channel *s = c->link->stats;

			/* The latency channels come last, and win. */
			if (n->rtt_ns)
				w->rtt_ns[c->link->peer] = n->rtt_ns;
			if (!s)
				continue;
			store(&s->draining, engine_channel_draining(c->channel));
			store(&s->queued_streams, n->queued_streams);
			store(&s->bytes_sent, n->bytes_sent);
			store(&s->bytes_received, n->bytes_received);
			store(&s->frames_sent, n->frames_sent);
			store(&s->frames_received, n->frames_received);
			store(&s->rtt_ns, n->rtt_ns);
			store(&s->carried_sent, n->carried_sent);
			store(&s->carried_received, n->carried_received);
			store(&s->zerocopy_from,
			      w->cfg.engine.file_min ? zerocopy_from(&c->zerocopy) : 0);
		}
	}
}
