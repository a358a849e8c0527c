/* SPDX-License-Identifier: MIT */
/*
 * pipe.c - a ring of bytes and a ring of arrival times.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pipe.h"

#define CHUNKS_AT_ONCE 256 /* looked at by pipe_ready: what tiny writes make must not cost a scan */

void pipe_init(struct pipe *p, size_t size, uint64_t bytes_per_s)
{
	*p = (struct pipe){ .size = size, .chunk_room = 64 };
	p->buf = malloc(size);
	p->chunk = malloc(p->chunk_room * sizeof(p->chunk[0]));
	assert(p->buf && p->chunk);
	p->ns_per_mib = (1000000000ull << 20) / bytes_per_s;
}

void pipe_fini(struct pipe *p)
{
	free(p->buf);
	free(p->chunk);
	*p = (struct pipe){ 0 };
}

size_t pipe_room(const struct pipe *p)
{
	return p->size - p->used;
}

static void add_chunk(struct pipe *p, uint64_t arrive_ns, size_t bytes)
{
	if (p->chunk_nr == p->chunk_room) {
		struct pipe_chunk *more = malloc(2 * p->chunk_room * sizeof(more[0]));

		assert(more);
		for (uint32_t i = 0; i < p->chunk_nr; i++)
			more[i] = p->chunk[(p->chunk_first + i) % p->chunk_room];
		free(p->chunk);
		p->chunk = more;
		p->chunk_first = 0;
		p->chunk_room *= 2;
	}
	p->chunk[(p->chunk_first + p->chunk_nr++) % p->chunk_room] =
		(struct pipe_chunk){ arrive_ns, bytes };
}

static void put(struct pipe *p, const uint8_t *from, size_t bytes)
{
	size_t at = (p->head + p->used) % p->size;
	size_t first = p->size - at < bytes ? p->size - at : bytes;

	memcpy(p->buf + at, from, first);
	memcpy(p->buf, from + first, bytes - first);
	p->used += bytes;
}

size_t pipe_write(struct pipe *p, const struct iovec *iov, int iov_nr, size_t max, uint64_t now_ns,
		  uint64_t delay_ns, uint64_t *ret_arrive_ns)
{
	size_t taken = 0;

	assert(max <= pipe_room(p));
	for (int i = 0; i < iov_nr && taken < max; i++) {
		size_t n = iov[i].iov_len < max - taken ? iov[i].iov_len : max - taken;

		if (!p->cut)
			put(p, iov[i].iov_base, n);
		taken += n;
	}
	if (p->free_ns < now_ns)
		p->free_ns = now_ns;
	p->free_ns += (taken * p->ns_per_mib) >> 20;
	*ret_arrive_ns = p->free_ns + delay_ns;
	/* A later delay may be shorter; the order of the bytes stays. */
	if (p->chunk_nr > 0) {
		uint32_t last = (p->chunk_first + p->chunk_nr - 1) % p->chunk_room;

		if (*ret_arrive_ns < p->chunk[last].arrive_ns)
			*ret_arrive_ns = p->chunk[last].arrive_ns;
	}
	if (!p->cut && taken > 0)
		add_chunk(p, *ret_arrive_ns, taken);
	return taken;
}

size_t pipe_ready(const struct pipe *p, uint64_t now_ns)
{
	size_t ready = 0;

	for (uint32_t i = 0; i < p->chunk_nr && i < CHUNKS_AT_ONCE; i++) {
		const struct pipe_chunk *c = &p->chunk[(p->chunk_first + i) % p->chunk_room];

		if (c->arrive_ns > now_ns)
			break;
		ready += c->bytes;
	}
	return ready;
}

uint64_t pipe_next_ns(const struct pipe *p)
{
	return p->chunk_nr > 0 ? p->chunk[p->chunk_first].arrive_ns : UINT64_MAX;
}

void pipe_read(struct pipe *p, const struct iovec *iov, int iov_nr, size_t bytes)
{
	size_t left = bytes;

	assert(bytes <= p->used);
	for (int i = 0; i < iov_nr && left > 0; i++) {
		size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
		size_t first = p->size - p->head < n ? p->size - p->head : n;

		memcpy(iov[i].iov_base, p->buf + p->head, first);
		memcpy((uint8_t *)iov[i].iov_base + first, p->buf, n - first);
		p->head = (p->head + n) % p->size;
		left -= n;
	}
	assert(left == 0);
	p->used -= bytes;
	while (bytes > 0) {
		struct pipe_chunk *c = &p->chunk[p->chunk_first];
		size_t n = c->bytes < bytes ? c->bytes : bytes;

		c->bytes -= n;
		bytes -= n;
		if (c->bytes == 0) {
			p->chunk_first = (p->chunk_first + 1) % p->chunk_room;
			p->chunk_nr--;
		}
	}
}

void pipe_delay(struct pipe *p, size_t bytes, uint64_t ns)
{
	for (uint32_t i = 0; i < p->chunk_nr; i++) {
		struct pipe_chunk *c = &p->chunk[(p->chunk_first + i) % p->chunk_room];

		if (bytes < c->bytes) {
			c->arrive_ns += ns;
			bytes = 0;
		} else {
			bytes -= c->bytes;
		}
	}
}

void pipe_cut(struct pipe *p, size_t keep)
{
	assert(keep <= p->used);
	p->cut = true;
	while (p->used > keep) {
		uint32_t last = (p->chunk_first + p->chunk_nr - 1) % p->chunk_room;
		size_t lost = p->used - keep;

		if (lost > p->chunk[last].bytes)
			lost = p->chunk[last].bytes;
		p->chunk[last].bytes -= lost;
		p->used -= lost;
		if (p->chunk[last].bytes == 0)
			p->chunk_nr--;
	}
}
