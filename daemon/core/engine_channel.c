/* SPDX-License-Identifier: MIT */
/*
 * engine_channel.c - channels come up and go down; whose memory they hold.
 */
#include <stddef.h>
#include <string.h>

#include "engine_state.h"

static struct channel *channel_alloc(struct engine *e)
{
	uint32_t i;

	for (i = 0; i < e->cfg.channels; i++) {
		if (e->channel[i].up)
			continue;
		if (i >= e->channel_high)
			e->channel_high = i + 1;
		return &e->channel[i];
	}
	return NULL;
}

struct channel *engine_channel_up(struct engine *e, uint32_t peer, enum stream_class class,
				  uint16_t lane, uint16_t index, const struct ring_mem *rx_buf,
				  const struct ring_mem *tx_buf, void *user, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[peer];
	struct channel *c = channel_alloc(e);

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (c == NULL || p->up == UINT32_MAX)
		return NULL;
	memset(c, 0, offsetof(struct channel, tx));
	memset(&c->counters, 0, sizeof(c->counters));
	/* All but the large arrays at their ends. */
	memset(&c->tx, 0, offsetof(struct channel_tx, reply));
	memset(&c->rx, 0, offsetof(struct channel_rx, open));
	c->tx.buf = tx_buf->base;
	c->tx.buf_bytes = tx_buf->bytes;
	c->tx.queue.of = e->share + (size_t)(c - e->channel) * client_count(&e->cfg);
	c->rx.buf = rx_buf->base;
	c->rx.buf_bytes = rx_buf->bytes;
	c->up = true;
	c->class = (uint8_t)class;
	c->lane = lane;
	c->index = index;
	c->peer = peer;
	c->user = user;
	c->file_sizes = UINT32_MAX;
	c->heard_ns = e->now_ns;
	c->tx.ping_due = peer != 0; /* a first measure of the RTT */
	c->pinged_ns = peer != 0 ? e->now_ns : 0;
	c->bit = (uint32_t)__builtin_ctz(~p->up);
	p->channel[c->bit] = c;
	p->up |= 1u << c->bit;
	p->usable |= 1u << c->bit;
	p->of_class[class] |= 1u << c->bit;
	p->error = 0;
	p->leaving = false;
	sched_unwait(e, p);
	return c;
}

/* Streams that used the dead channel start again from what is acknowledged. */
static void rewind_streams(struct engine *e, const struct channel *c)
{
	uint32_t bit = 1u << c->bit;
	uint32_t i;

	if (e->peer[c->peer].streams == 0)
		return;
	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];

		if (s->peer != c->peer || !(s->used & bit) || s->state == STREAM_FREE ||
		    s->state == STREAM_DEAD)
			continue;
		s->used &= ~bit;
		if (s->state == STREAM_RESETTING && s->remote_id == 0) {
			/* Its OPEN may be lost. If not, the ACCEPT hears that nobody knows it. */
			stream_die(e, s, 0);
			continue;
		}
		if (stream_rewind(s))
			e->counters.retransmits++;
		sched_activate(e, s);
	}
}

void engine_channel_files(struct channel *c, uint32_t sizes)
{
	c->file_sizes = sizes;
}

void engine_channel_down(struct engine *e, struct channel *c, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[c->peer];

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	p->up &= ~(1u << c->bit);
	p->usable &= p->up;
	p->of_class[c->class] &= p->up;
	p->channel[c->bit] = NULL;
	if (c->rx.stream != NULL) {
		struct stream *s = c->rx.stream;

		c->rx.stream = NULL;
		s->placing--;
		if (s->held_on)
			(void)stream_rx_unhold(e, s, e->now_ns); /* that channel says it */
		stream_credit_check(e, s, e->now_ns);
		stream_rx_end_asked(e, s);
	}
	carry_rx_down(e, c);
	if (p->up == 0)
		p->down_ns = e->now_ns;
	c->up = false;
	if (c->clean)
		channel_drain_forget(e, c);
	/* First forget that @c was the last one, or the scheduler may choose it again. */
	rewind_streams(e, c);
	carry_tx_down(e, c);
	sched_requeue(e, c);
}

void *engine_channel_user(const struct channel *c)
{
	return c->user;
}

const char *engine_channel_error(const struct channel *c)
{
	return c->error != NULL ? c->error : "";
}

const struct channel_counters *engine_channel_counters(const struct channel *c)
{
	return &c->counters;
}

uint32_t engine_channel_loop(struct engine *e, struct channel *c, uint32_t frames_max,
			     uint64_t now_ns)
{
	uint64_t first = c->counters.frames_sent;
	const struct iovec *from, *to;

	while (c->counters.frames_sent - first < frames_max &&
	       engine_tx_iov(e, c, now_ns, &from) > 0) {
		size_t n;

		(void)engine_rx_iov(e, c, &to);
		n = from->iov_len < to->iov_len ? from->iov_len : to->iov_len;
		/* The same: the bytes of a joined ring. */
		if (to->iov_base != from->iov_base)
			memcpy(to->iov_base, from->iov_base, n);
		engine_sent(e, c, n, now_ns);
		/* Our own frames are never malformed; a flood of answers only drops answers. */
		(void)engine_received(e, c, n, now_ns);
	}
	return (uint32_t)(c->counters.frames_sent - first);
}

bool memory_overlaps(const uint8_t *p, size_t len, const uint8_t *base, size_t bytes)
{
	return p < base + bytes && base < p + len;
}

static bool overlaps_iov(const struct iovec *v, const uint8_t *base, size_t bytes)
{
	return memory_overlaps(v->iov_base, v->iov_len, base, bytes);
}

bool engine_ring_lent(const struct engine *e, const uint8_t *base, size_t bytes)
{
	uint32_t i;
	int k;

	for (i = 0; i < e->channel_high; i++) {
		const struct channel *c = &e->channel[i];

		if (!c->up)
			continue;
		for (k = c->tx.iov_first; k < c->tx.iov_nr; k++) {
			if (overlaps_iov(&c->tx.iov[k], base, bytes))
				return true;
		}
		for (k = c->tx.file_first; k < c->tx.file_nr; k++) {
			if (memory_overlaps(c->tx.file[k].base, c->tx.file[k].bytes, base, bytes))
				return true;
		}
		for (k = 0; c->rx.lent && c->rx.direct > 0 && k < c->rx.iov_nr; k++) {
			if (overlaps_iov(&c->rx.iov[k], base, bytes))
				return true;
		}
	}
	return carry_ring_lent(e, base, bytes);
}
