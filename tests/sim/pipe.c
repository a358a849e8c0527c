/* SPDX-License-Identifier: MIT */
/*
 * pipe.c - a ring of bytes and a ring of arrival times.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pipe.h"

#define SPOILT         0x99
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
	free(p->ref);
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

/* @bytes that lie @at behind head become what is at @from. */
static void rewrite(struct pipe *p, size_t at, const uint8_t *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p->buf[(p->head + at + i) % p->size] = from[i];
}

/* The part of @r that is still under way: its place behind head, and how much to skip of it. */
static size_t ref_left(const struct pipe *p, const struct pipe_ref *r, size_t *ret_at,
		       size_t *ret_skip)
{
	uint64_t end = p->taken + p->used, start = r->at > p->taken ? r->at : p->taken;
	uint64_t stop = r->at + r->bytes < end ? r->at + r->bytes : end;

	*ret_at = (size_t)(start - p->taken);
	*ret_skip = (size_t)(start - r->at);
	return start < stop ? (size_t)(stop - start) : 0;
}

void pipe_refer(struct pipe *p, const uint8_t *from, size_t back, size_t bytes)
{
	if (p->cut)
		return;
	if (p->ref_nr == p->ref_room) {
		p->ref_room = p->ref_room ? 2 * p->ref_room : 16;
		p->ref = realloc(p->ref, p->ref_room * sizeof(p->ref[0]));
		assert(p->ref);
	}
	p->ref[p->ref_nr++] = (struct pipe_ref){
		.at = p->taken + p->used - back,
		.bytes = bytes < back ? bytes : back,
		.from = from,
	};
}

static void ref_refresh(struct pipe *p, const struct pipe_ref *r)
{
	size_t at, skip, n = ref_left(p, r, &at, &skip);

	rewrite(p, at, r->from + skip, n);
}

void pipe_settle(struct pipe *p, const uint8_t *from, size_t bytes, bool keep)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->ref_nr; i++) {
		struct pipe_ref r = p->ref[i];

		if (r.from < from || r.from >= from + bytes) {
			p->ref[kept++] = r;
			continue;
		}
		if (!keep)
			memset((void *)(uintptr_t)r.from, SPOILT, r.bytes);
		ref_refresh(p, &r);
	}
	p->ref_nr = kept;
}

/* Before they are read: what the references' memory holds now. Those that are over go. */
static void refs_refresh(struct pipe *p)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->ref_nr; i++) {
		struct pipe_ref r = p->ref[i];

		if (r.at + r.bytes <= p->taken)
			continue;
		ref_refresh(p, &r);
		p->ref[kept++] = r;
	}
	p->ref_nr = kept;
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
	refs_refresh(p);
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
	p->taken += bytes;
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
