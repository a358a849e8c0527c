/* SPDX-License-Identifier: MIT */
/*
 * frame.c - the one place where a frame's bytes are put together and taken apart.
 */
#include <errno.h>
#include <stdbool.h>

#include "ncd/limits.h"

#include "crc32c.h"
#include "frame.h"

void wire_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void wire_put32(uint8_t *p, uint32_t v)
{
	wire_put16(p, (uint16_t)v);
	wire_put16(p + 2, (uint16_t)(v >> 16));
}

void wire_put64(uint8_t *p, uint64_t v)
{
	wire_put32(p, (uint32_t)v);
	wire_put32(p + 4, (uint32_t)(v >> 32));
}

uint16_t wire_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t wire_get32(const uint8_t *p)
{
	return wire_get16(p) | (uint32_t)wire_get16(p + 2) << 16;
}

uint64_t wire_get64(const uint8_t *p)
{
	return wire_get32(p) | (uint64_t)wire_get32(p + 4) << 32;
}

void frame_encode(const struct frame *f, uint8_t out[WIRE_HEADER_BYTES])
{
	out[0] = WIRE_VERSION;
	out[1] = f->type;
	wire_put16(out + 2, f->flags);
	wire_put32(out + 4, f->length);
	wire_put64(out + 8, f->stream);
	wire_put64(out + 16, f->offset);
	wire_put64(out + 24, f->ack);
	wire_put32(out + 32, f->window);
	wire_put32(out + 36, crc32c(out, 36));
}

/* What a type may carry. */
static bool length_fits(uint8_t type, uint16_t flags, uint32_t length)
{
	switch (type) {
	case FRAME_HELLO:
		return length == WIRE_HELLO_BYTES;
	case FRAME_OPEN:
		return length >= WIRE_OPEN_BYTES && length <= WIRE_OPEN_BYTES + NCD_OPEN_DATA_MAX;
	case FRAME_ACCEPT:
	case FRAME_RESUME:
		return length == 8;
	case FRAME_REFUSE:
		return length == 4;
	case FRAME_RESET:
		return length == 4;
	case FRAME_DATA:
		return length <= NCD_FRAME_PAYLOAD_MAX && (length > 0 || (flags & FRAME_F_FIN));
	case FRAME_CARRIED:
		return length <= NCD_FRAME_PAYLOAD_MAX && length > 0;
	default:
		return length == 0;
	}
}

static uint16_t flags_allowed(uint8_t type)
{
	switch (type) {
	case FRAME_OPEN:
		return FRAME_F_FIN;
	case FRAME_DATA:
		return FRAME_F_FIN | FRAME_F_ACK;
	case FRAME_RESET:
		return FRAME_F_UNKNOWN;
	default:
		return 0;
	}
}

int frame_decode(const uint8_t in[WIRE_HEADER_BYTES], struct frame *ret_frame)
{
	struct frame f = {
		.type = in[1],
		.flags = wire_get16(in + 2),
		.length = wire_get32(in + 4),
		.stream = wire_get64(in + 8),
		.offset = wire_get64(in + 16),
		.ack = wire_get64(in + 24),
		.window = wire_get32(in + 32),
	};

	if (in[0] != WIRE_VERSION || wire_get32(in + 36) != crc32c(in, 36))
		return -EPROTO;
	if (f.type < FRAME_HELLO || f.type >= FRAME_TYPE_END)
		return -EPROTO;
	if (f.flags & ~flags_allowed(f.type) || !length_fits(f.type, f.flags, f.length))
		return -EPROTO;
	*ret_frame = f;
	return 0;
}

void open_encode(const struct open_info *o, uint8_t out[WIRE_OPEN_BYTES])
{
	memset(out, 0, WIRE_OPEN_BYTES);
	wire_put64(out, o->stream);
	memcpy(out + 8, o->source.byte, 16);
	memcpy(out + 24, o->destination.byte, 16);
	wire_put16(out + 40, o->source_port);
	wire_put16(out + 42, o->destination_port);
	out[44] = o->class;
}

int open_decode(const uint8_t in[WIRE_OPEN_BYTES], struct open_info *ret_open)
{
	struct open_info o = {
		.stream = wire_get64(in),
		.source_port = wire_get16(in + 40),
		.destination_port = wire_get16(in + 42),
		.class = in[44],
	};

	memcpy(o.source.byte, in + 8, 16);
	memcpy(o.destination.byte, in + 24, 16);
	if (o.stream == 0 || o.destination_port == 0 || o.class > 2)
		return -EPROTO;
	*ret_open = o;
	return 0;
}
