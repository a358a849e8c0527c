/* SPDX-License-Identifier: MIT */
/*
 * port_bulk.c - how many streams of a worker move bulk at the same time, and how large the ring of
 * one may be, so that those of all together stay in the caches.
 *
 * One stream needs a large ring to keep the way to its peer full. Of many, each needs the less:
 * while one waits the others send. Rings of 4 MiB would only cost memory, and every byte of them
 * would come from it.
 */
#include "port_state.h"

#define BULK_RING_LEAST (256u << 10) /* of each, however many there are */
#define BULK_RINGS      (16u << 20)  /* tx rings, or rx rings, of all together */
#define BULK_RATE       12u          /* or what so many bytes a nanosecond fill in a round trip */
#define BULK_MOVED      (1u << 20)   /* between two looks: it is bulk */

uint64_t flow_moved(const struct flow *f)
{
	return f->tx_tail + stream_rx_contiguous(f->stream);
}

void flow_bulk_count(struct worker *w, struct flow *f)
{
	uint64_t moved = flow_moved(f), before = f->bulk_moved;

	f->bulk_moved = moved;
	if (moved - before < BULK_MOVED)
		return;
	w->bulk_seen++;
	joint_of_bulk(w, f);
}

void flow_bulk_new(struct worker *w, uint32_t before, uint32_t after)
{
	w->bulk_new += before < BULK_RING_LEAST && after >= BULK_RING_LEAST;
}

void bulk_counted(struct worker *w)
{
	w->bulk = w->bulk_seen;
	w->bulk_seen = w->bulk_new = 0;
}

uint64_t bulk_ring_share(uint64_t rtt_ns, uint32_t nr)
{
	uint64_t all = rtt_ns * BULK_RATE, share;

	if (all < BULK_RINGS)
		all = BULK_RINGS;
	share = nr > 1 ? all / nr : all;
	return share > BULK_RING_LEAST ? share : BULK_RING_LEAST;
}

uint64_t bulk_ring_most(const struct worker *w, const struct flow *f)
{
	struct stream_info i;

	engine_stream_info(f->stream, &i);
	return bulk_ring_share(w->rtt_ns[i.peer], w->bulk + w->bulk_new);
}
