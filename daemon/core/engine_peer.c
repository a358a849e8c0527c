/* SPDX-License-Identifier: MIT */
/*
 * engine_peer.c - peers as the engine sees them: who they are, and how the streams to one end.
 */
#include <errno.h>
#include <string.h>

#include "engine_state.h"

void engine_peer_set(struct engine *e, uint32_t index, const struct address *addr, uint32_t addr_nr)
{
	struct engine_peer *p = &e->peer[index];

	if (addr_nr > NCD_ADDRS_MAX)
		addr_nr = NCD_ADDRS_MAX;
	if (!p->known)
		p->epoch++;
	p->known = true;
	p->addr_nr = addr_nr;
	if (addr_nr > 0)
		memcpy(p->addr, addr, addr_nr * sizeof(*addr));
	if (index >= e->peer_high)
		e->peer_high = index + 1;
}

void peer_end_streams(struct engine *e, uint32_t index, int error, bool unsaid)
{
	uint32_t i;

	if (e->peer[index].streams == 0)
		return;
	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];
		bool gone = s->state == STREAM_RESETTING || s->state == STREAM_REFUSING;

		if (s->peer != index || s->state == STREAM_FREE || s->state == STREAM_DEAD ||
		    s->state == STREAM_TOMBSTONE)
			continue;
		if (!unsaid && s->state == STREAM_OPENING && !s->said)
			continue;
		/* The peer has not heard that it was to move. */
		if (s->state == STREAM_RESUMING && !s->said)
			stream_die(e, s, -ECONNREFUSED);
		else
			stream_die(e, s, gone ? 0 : error);
	}
}

void engine_peer_remove(struct engine *e, uint32_t index, uint64_t now_ns)
{
	(void)now_ns;
	peer_end_streams(e, index, -ECONNRESET, true);
	e->peer[index].known = false;
	elastic_init(&e->peer[index].elastic, e->cfg.look_ns);
	e->peer[index].grow = false;
	e->peer[index].addr_nr = 0;
}

void engine_peer_reset(struct engine *e, uint32_t index, uint64_t now_ns)
{
	(void)now_ns;
	peer_end_streams(e, index, -ECONNRESET, false);
	e->peer[index].epoch++;
	e->peer[index].leaving = false;
	e->peer[index].left = false;
}

void engine_peer_unreachable(struct engine *e, uint32_t index, int error, uint64_t now_ns)
{
	struct engine_peer *p = &e->peer[index];
	uint32_t i;

	(void)now_ns;
	p->error = error;
	if (error == 0 || p->up != 0 || p->streams == 0)
		return;
	/*
	 * Who only wanted to connect hears the truth now; who is connected waits for a channel, and
	 * so does who has closed, or has had bytes that overtook the ACCEPT.
	 */
	for (i = 0; i < e->stream_high; i++) {
		struct stream *s = &e->stream[i];

		if (s->peer == index && s->state == STREAM_OPENING && !s->defer && !s->closed &&
		    s->rx_next == 0 && s->rx_final == NO_OFFSET)
			stream_die(e, s, error);
	}
}

static bool is_loopback(const struct address *a)
{
	static const struct address six = { { [15] = 1 } };

	return address_equal(a, &six) || (address_is_v4(a) && a->byte[12] == 127);
}

int engine_peer_find(const struct engine *e, const struct address *addr)
{
	uint32_t i, j;

	for (i = 0; i < e->peer_high; i++) {
		for (j = 0; e->peer[i].known && j < e->peer[i].addr_nr; j++) {
			if (address_equal(&e->peer[i].addr[j], addr))
				return (int)i;
		}
	}
	/* localhost, unless a peer has the very address. */
	if (is_loopback(addr) || address_is_any(addr))
		return 0;
	return -ENETUNREACH;
}

bool engine_peer_down(const struct engine *e, const struct address *addr)
{
	int peer = engine_peer_find(e, addr);

	return peer > 0 && e->peer[peer].up == 0;
}

bool engine_peer_left(struct engine *e, uint32_t peer)
{
	bool left = e->peer[peer].left;

	e->peer[peer].left = false;
	return left;
}
