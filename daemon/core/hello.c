/* SPDX-License-Identifier: MIT */
/*
 * hello.c - the first frame each way on a channel, to and from its bytes.
 *
 * Its layout is the same in every version of the wire, so that hosts which cannot talk can say why.
 */
#include <errno.h>
#include <string.h>

#include "ncd/limits.h"
#include "ncd/wire.h"

#include "crc32c.h"
#include "frame.h"
#include "peer.h"

#define HELLO_MAGIC_BYTES 16u

void hello_encode(const struct hello *h, uint8_t out[HELLO_FRAME_BYTES])
{
	const struct frame f = { .type = FRAME_HELLO, .length = WIRE_HELLO_BYTES };
	uint8_t *p = out + WIRE_HEADER_BYTES;

	frame_encode(&f, out);
	memset(p, 0, WIRE_HELLO_BYTES);
	memcpy(p, WIRE_HELLO_MAGIC, HELLO_MAGIC_BYTES);
	wire_put64(p + 16, h->host_id);
	wire_put64(p + 24, h->incarnation);
	wire_put64(p + 32, h->attempt);
	wire_put16(p + 40, h->version_min);
	wire_put16(p + 42, h->version_max);
	p[44] = h->class;
	p[45] = h->reply;
	wire_put16(p + 46, h->reason);
	wire_put16(p + 48, h->lane);
	wire_put16(p + 50, h->index);
	wire_put16(p + 52, h->workers);
	wire_put64(p + 56, h->features);
}

int hello_decode(const uint8_t in[HELLO_FRAME_BYTES], struct hello *ret_hello)
{
	const uint8_t *p = in + WIRE_HEADER_BYTES;
	uint8_t header[WIRE_HEADER_BYTES];
	struct hello h;
	struct frame f;
	int r;

	if (wire_get32(in + 36) != crc32c_header(in))
		return -EPROTO;
	/* The version is judged by the ranges inside; the rest of the header by the usual rules. */
	memcpy(header, in, sizeof(header));
	header[0] = WIRE_VERSION;
	wire_put32(header + 36, crc32c_header(header));
	r = frame_decode(header, &f);
	if (r < 0)
		return r;
	if (f.type != FRAME_HELLO || f.flags || f.length != WIRE_HELLO_BYTES)
		return -EPROTO;
	if (memcmp(p, WIRE_HELLO_MAGIC, HELLO_MAGIC_BYTES) != 0)
		return -EPROTO;
	h = (struct hello){
		.host_id = wire_get64(p + 16),
		.incarnation = wire_get64(p + 24),
		.attempt = wire_get64(p + 32),
		.version_min = wire_get16(p + 40),
		.version_max = wire_get16(p + 42),
		.class = p[44],
		.reply = p[45],
		.reason = wire_get16(p + 46),
		.lane = wire_get16(p + 48),
		.index = wire_get16(p + 50),
		.workers = wire_get16(p + 52),
		.features = wire_get64(p + 56),
	};
	if (h.host_id == 0 || h.incarnation == 0 || h.version_min > h.version_max)
		return -EPROTO;
	*ret_hello = h;
	return 0;
}
