/* SPDX-License-Identifier: MIT */
/*
 * stream_ring.c - a stream's rings change: they are written from another place, or give way to
 * larger ones. Offsets are the stream's, so a byte's place follows from its offset in any ring.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine_state.h"

int engine_tx_rebase(struct engine *e, struct stream *s, uint64_t base)
{
	(void)e;
	if (base == s->tx_base)
		return 0;
	if (s->tx_acked != s->tx_tail)
		return -EPROTO;
	s->tx_base = base;
	return 0;
}

int engine_tx_exchange(struct engine *e, struct stream *s, const struct ring_mem *ring)
{
	(void)e;
	if (s->tx_tail - s->tx_acked > ring->bytes)
		return -EPROTO;
	s->tx = *ring;
	return 0;
}

/* True if a receive into the ring of @s is under way. */
static bool rx_lent(const struct engine *e, const struct stream *s)
{
	const struct engine_peer *p = &e->peer[s->peer];
	uint32_t bits = s->placing > 0 ? p->up : 0;

	while (bits != 0) {
		const struct channel_rx *rx = &p->channel[__builtin_ctz(bits)]->rx;

		bits &= bits - 1;
		if (rx->stream == s && rx->lent && rx->direct > 0)
			return true;
	}
	return false;
}

bool engine_rx_busy(const struct engine *e, const struct stream *s)
{
	return rx_lent(e, s);
}

void ring_copy(const struct ring_mem *old, uint64_t old_base, const struct ring_mem *ring,
	       uint64_t base, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint32_t at = ring_place(old, old_base, from);
		uint32_t into = ring_place(ring, base, from);
		uint64_t n = to - from;

		if (n > old->bytes - at)
			n = old->bytes - at;
		if (n > ring->bytes - into)
			n = ring->bytes - into;
		memcpy(ring->base + into, old->base + at, n);
		from += n;
	}
}

int engine_tx_move(struct engine *e, struct stream *s, const struct ring_mem *ring)
{
	if (s->tx_tail - s->tx_acked > ring->bytes)
		return -EPROTO;
	ring_copy(&s->tx, s->tx_base, ring, s->tx_base, s->tx_acked, s->tx_tail);
	return engine_tx_exchange(e, s, ring);
}

int engine_tx_join(struct engine *e, struct stream *s, const struct ring_mem *ring)
{
	int ret = engine_tx_exchange(e, s, ring);

	if (ret == 0)
		s->tx_base = 0;
	return ret;
}

static int rx_exchange(struct engine *e, struct stream *s, const struct ring_mem *ring,
		       uint64_t base, uint64_t now_ns)
{
	uint32_t i;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (rx_lent(e, s))
		return -EBUSY;
	ring_copy(&s->rx, s->rx_base, ring, base, s->rx_head, s->rx_next);
	for (i = 0; s->holes != NULL && i < s->holes->nr; i++)
		ring_copy(&s->rx, s->rx_base, ring, base, s->holes->at[i].start,
			  s->holes->at[i].end);
	s->rx = *ring;
	s->rx_base = base;
	s->rx_since = s->rx_head;
	s->rx_filled = false;
	return 0;
}

int engine_rx_exchange(struct engine *e, struct stream *s, const struct ring_mem *ring,
		       uint64_t now_ns)
{
	int ret;

	/* Credit that was given is not taken back. */
	assert(ring->bytes >= s->rx.bytes);
	ret = rx_exchange(e, s, ring, s->rx_base, now_ns);
	if (ret < 0)
		return ret;
	s->rx_fixed = false;
	engine_rx_open(e, s, now_ns);
	return 0;
}

int engine_rx_join(struct engine *e, struct stream *s, const struct ring_mem *ring,
		   uint32_t reserve, uint64_t now_ns)
{
	int ret;

	assert(ring->bytes >= s->rx.bytes + reserve);
	ret = rx_exchange(e, s, ring, 0, now_ns);
	if (ret < 0)
		return ret;
	s->rx_fixed = true;
	s->rx_reserve = reserve;
	stream_credit_check(e, s, e->now_ns);
	return 0;
}

void engine_rx_open(struct engine *e, struct stream *s, uint64_t now_ns)
{
	s->rx_reserve = 0;
	stream_credit_check(e, s, now_ns);
}

bool engine_rx_pressed(const struct stream *s)
{
	return s->rx_filled && s->rx_head - s->rx_since >= s->rx.bytes / 2 &&
	       s->state == STREAM_ESTABLISHED && s->rx_final == NO_OFFSET;
}

bool engine_rx_settled(const struct stream *s)
{
	return s->holes == NULL && s->placing == 0;
}
