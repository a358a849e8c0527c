/* SPDX-License-Identifier: MIT */
/*
 * move.c - open streams leave an engine and arrive in another one: move.h.
 */
#include <errno.h>

#include "engine_state.h"
#include "move.h"

int engine_stream_goes(const struct engine *e, const struct stream *s)
{
	(void)e;
	(void)s;
	return -EOPNOTSUPP;
}

struct stream *engine_stream_known(const struct engine *e, uint32_t peer, uint16_t lane,
				   uint64_t id)
{
	struct stream *s = stream_by_id(e, peer, id);

	return s && s->lane == lane + 1 ? s : NULL;
}

int engine_resume(struct engine *e, uint32_t peer, uint16_t old_lane, uint64_t remote_id,
		  void *user, uint64_t now_ns, struct stream **ret)
{
	(void)e;
	(void)peer;
	(void)old_lane;
	(void)remote_id;
	(void)user;
	(void)now_ns;
	(void)ret;
	return -EHOSTUNREACH;
}

void engine_stream_stays(struct engine *e, struct stream *s)
{
	(void)e;
	(void)s;
}

int engine_stream_leave(struct engine *e, struct stream *s, bool tombstone,
			struct stream_parcel *ret, uint64_t now_ns)
{
	(void)e;
	(void)s;
	(void)tombstone;
	(void)ret;
	(void)now_ns;
	return -ENOENT;
}

void engine_stream_forget(struct engine *e, uint64_t id)
{
	(void)e;
	(void)id;
}

void parcel_copy(const struct stream_parcel *p, const struct ring_mem *tx,
		 const struct ring_mem *rx)
{
	ring_copy(&p->tx, p->tx_base, tx, p->tx_base, p->tx_acked, p->tx_tail);
	ring_copy(&p->rx, p->rx_base, rx, p->rx_base, p->rx_head, p->rx_next);
}

int engine_stream_arrive(struct engine *e, struct stream *s, const struct stream_parcel *p,
			 const struct ring_mem *tx, const struct ring_mem *rx, void *user,
			 uint64_t now_ns)
{
	(void)e;
	(void)s;
	(void)p;
	(void)tx;
	(void)rx;
	(void)user;
	(void)now_ns;
	return -ENOENT;
}

void engine_channel_moves(struct channel *c)
{
	(void)c;
}

void engine_port_release(struct engine *e, uint16_t port)
{
	port_pool_release(&e->ports, port);
}
