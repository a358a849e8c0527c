/* SPDX-License-Identifier: MIT */
/*
 * gather.h - the pieces of one sendmsg of a channel. Headers and small payloads lie in the
 * channel's buffer, large payloads stay in the applications' rings. One that goes by file ends the
 * gathering: it is sent behind all iovecs.
 *
 * Ownership: a ring's bytes stay where they are until they are acknowledged.
 */
#ifndef NCD_GATHER_H
#define NCD_GATHER_H

#include <string.h>

#include "engine_state.h"

/* True if there is room for another frame of any kind. */
static inline bool tx_room(const struct channel *c)
{
	return c->tx.file_nr == 0 && c->tx.iov_nr + 4 <= TX_IOV_MAX &&
	       c->tx.buf_used + WIRE_HEADER_BYTES + WIRE_OPEN_BYTES + TX_COPY_MAX <=
		       c->tx.buf_bytes;
}

/* @bytes more of the channel's own buffer, as part of the gathered send. */
static inline uint8_t *put_own(struct channel_tx *tx, uint32_t bytes)
{
	uint8_t *p = tx->buf + tx->buf_used;
	struct iovec *last = tx->iov_nr > 0 ? &tx->iov[tx->iov_nr - 1] : NULL;

	tx->buf_used += bytes;
	if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == p)
		last->iov_len += bytes;
	else
		tx->iov[tx->iov_nr++] = (struct iovec){ p, bytes };
	return p;
}

static inline void put_file(struct channel_tx *tx, const struct ring_mem *ring, uint32_t pos,
			    uint32_t bytes)
{
	tx->file[tx->file_nr++] = (struct tx_file){
		.base = ring->base + pos,
		.bytes = bytes,
		.file = ring->file,
		.file_off = ring->file_off + pos,
	};
}

static inline void count_payload(struct channel_tx *tx, uint32_t bytes)
{
	tx->payload += bytes;
	if (tx->largest < bytes)
		tx->largest = bytes;
}

/* @bytes of a stream's ring from @offset on, piece by piece out of its file. */
static inline void put_ring_file(struct channel_tx *tx, const struct ring_mem *ring, uint64_t base,
				 uint64_t offset, uint32_t bytes)
{
	uint32_t pos = ring_place(ring, base, offset);
	uint32_t first = bytes < ring->bytes - pos ? bytes : ring->bytes - pos;

	put_file(tx, ring, pos, first);
	if (first < bytes)
		put_file(tx, ring, 0, bytes - first);
	count_payload(tx, bytes);
}

/* @bytes of a stream's ring from @offset on: copied if few, else by reference. */
static inline void put_ring(struct channel_tx *tx, const struct ring_mem *ring, uint64_t base,
			    uint64_t offset, uint32_t bytes)
{
	uint32_t pos = ring_place(ring, base, offset);
	uint32_t first = bytes < ring->bytes - pos ? bytes : ring->bytes - pos;

	count_payload(tx, bytes);
	if (bytes <= TX_COPY_MAX) {
		uint8_t *p = put_own(tx, bytes);

		memcpy(p, ring->base + pos, first);
		if (first < bytes)
			memcpy(p + first, ring->base, bytes - first);
		return;
	}
	tx->iov[tx->iov_nr++] = (struct iovec){ ring->base + pos, first };
	if (first < bytes)
		tx->iov[tx->iov_nr++] = (struct iovec){ ring->base, bytes - first };
}

#endif /* NCD_GATHER_H */
