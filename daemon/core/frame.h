/* SPDX-License-Identifier: MIT */
/*
 * frame.h - a frame header and the payloads that have a form, to and from their bytes on the wire.
 *
 * Trust: decoding takes anything, and accepts only what wire.h allows. Whether the stream exists
 *   and the offset lies within credit is for the caller to see.
 */
#ifndef NCD_CORE_FRAME_H
#define NCD_CORE_FRAME_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "ncd/wire.h"

#include "address.h"

struct frame {
	uint8_t type;
	uint16_t flags;
	uint32_t length;
	uint64_t stream;
	uint64_t offset;
	uint64_t ack;
	uint32_t window;
};

struct open_info {
	uint64_t stream; /* the opener's id */
	struct address source, destination;
	uint16_t source_port, destination_port;
	uint8_t class;
};

/* Does an application wait for such a frame? Not for credit, most of which is that of bulk, and not
 * for what channels say to each other. */
static inline bool frame_urgent(uint8_t type)
{
	return type >= FRAME_OPEN && type <= FRAME_RESET && type != FRAME_CREDIT;
}

/* Writes the header of @f, with its CRC. */
void frame_encode(const struct frame *f, uint8_t out[WIRE_HEADER_BYTES]);
/* Returns 0, or -EPROTO: version, CRC, type, flags or length are not as wire.h says. */
int frame_decode(const uint8_t in[WIRE_HEADER_BYTES], struct frame *ret_frame);

void open_encode(const struct open_info *o, uint8_t out[WIRE_OPEN_BYTES]);
int open_decode(const uint8_t in[WIRE_OPEN_BYTES], struct open_info *ret_open);

/* Little-endian words. */
static inline void wire_put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void wire_put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void wire_put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t wire_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t wire_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t wire_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

#endif /* NCD_CORE_FRAME_H */
