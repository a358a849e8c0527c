/* SPDX-License-Identifier: MIT */
/*
 * frame.c - the one place where a frame's bytes are put together and taken apart.
 */
#include <errno.h>
#include <stdbool.h>

#include "ncd/limits.h"

#include "crc32c.h"
#include "frame.h"

void frame_encode(const struct frame *f, uint8_t out[WIRE_HEADER_BYTES])
{
	/* As one word, for the CRC loads one: what was just stored in parts is slow to load. */
	wire_put64(out, WIRE_VERSION | (uint64_t)f->type << 8 | (uint64_t)f->flags << 16 |
				(uint64_t)f->length << 32);
	wire_put64(out + 8, f->stream);
	wire_put64(out + 16, f->offset);
	wire_put64(out + 24, f->ack);
	wire_put32(out + 32, f->window);
	wire_put32(out + 36, crc32c_header(out));
}

/* What a type may carry. */
static const struct rule {
	uint32_t least, most; /* bytes of payload */
	uint16_t flags;
} rules[FRAME_TYPE_END] = {
	[FRAME_HELLO] = { WIRE_HELLO_BYTES, WIRE_HELLO_BYTES, 0 },
	[FRAME_OPEN] = { WIRE_OPEN_BYTES, WIRE_OPEN_BYTES + NCD_OPEN_DATA_MAX, FRAME_F_FIN },
	[FRAME_ACCEPT] = { 8, 8, 0 },
	[FRAME_RESUME] = { 8, 8, 0 },
	[FRAME_REFUSE] = { 4, 4, 0 },
	[FRAME_RESET] = { 4, 4, FRAME_F_UNKNOWN },
	[FRAME_DATA] = { 0, NCD_FRAME_PAYLOAD_MAX, FRAME_F_FIN | FRAME_F_ACK },
	[FRAME_CARRIED] = { 1, NCD_FRAME_PAYLOAD_MAX, 0 },
};

static bool allowed(uint8_t type, uint16_t flags, uint32_t length)
{
	const struct rule *r = &rules[type];

	if (length < r->least || length > r->most || flags & ~r->flags)
		return false;
	return type != FRAME_DATA || length > 0 || flags & FRAME_F_FIN;
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

	if (in[0] != WIRE_VERSION || wire_get32(in + 36) != crc32c_header(in))
		return -EPROTO;
	if (f.type < FRAME_HELLO || f.type >= FRAME_TYPE_END)
		return -EPROTO;
	if (!allowed(f.type, f.flags, f.length))
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
