/* SPDX-License-Identifier: MIT */
/*
 * port_bulk.c - how many clients of a worker, and streams of each, move bulk at the same time, and
 * how large the ring of one may be, so that those of all together stay in the caches.
 *
 * One stream needs a large ring to keep the way to its peer full. Of many, each needs the less:
 * while one waits the others send. Rings of 4 MiB would only cost memory, and every byte of them
 * would come from it. Clients share first, for they take turns (core/sched.c): the one stream of a
 * client beside another's thousand needs what it can send between its turns.
 */
#include "port_calls.h"

#define BULK_RING_LEAST (256u << 10) /* of each, however many there are */
#define BULK_RINGS      (8u << 20)   /* tx rings, or rx rings, of all together */
#define BULK_RATE       12u          /* or what so many bytes a nanosecond fill in a round trip */
#define BULK_MOVED      (64u << 10)  /* since it last counted: it counts again */
#define BULK_FAST       (1u << 20)   /* between two looks: worth a joined ring */
#define BULK_PERIOD_NS  1000000000ull

uint64_t flow_moved(const struct flow *f)
{
	return f->tx_tail + stream_rx_contiguous(f->stream);
}

static bool ring_large(const struct flow *f)
{
	return f->tx_bytes >= BULK_RING_LEAST || f->rx_bytes >= BULK_RING_LEAST;
}

/* However slowly: of a thousand streams that fill a link, each moves little in a period. */
void flow_bulk_count(struct worker *w, struct flow *f)
{
	uint64_t moved = flow_moved(f), before = f->look_moved;

	f->look_moved = moved;
	if (moved - before >= BULK_FAST)
		joint_of_bulk(w, f);
	if (f->bulk_period == w->bulk_period || !ring_large(f) ||
	    moved - f->bulk_moved < BULK_MOVED)
		return;
	f->bulk_period = w->bulk_period;
	f->bulk_moved = moved;
	f->port->bulk_seen++;
}

void flow_bulk_new(struct worker *w, struct port *p, uint32_t before, uint32_t after)
{
	if (before >= BULK_RING_LEAST || after < BULK_RING_LEAST)
		return;
	w->bulk_ports_new += p->bulk + p->bulk_new == 0;
	p->bulk_new++;
}

void bulk_counted(struct worker *w)
{
	if (w->now_ns - w->bulk_ns < BULK_PERIOD_NS)
		return;
	w->bulk_ns = w->now_ns;
	w->bulk_period++;
	w->bulk_ports = w->bulk_ports_new = 0;
	for (struct port *p = w->ports; p; p = p->next) {
		p->bulk = p->bulk_seen;
		p->bulk_seen = p->bulk_new = 0;
		w->bulk_ports += p->bulk > 0;
	}
}

uint64_t bulk_ring_share(uint64_t rtt_ns, uint32_t ports, uint32_t nr)
{
	uint64_t all = rtt_ns * BULK_RATE, share;

	if (all < BULK_RINGS)
		all = BULK_RINGS;
	share = all / (ports > 1 ? ports : 1) / (nr > 1 ? nr : 1);
	return share > BULK_RING_LEAST ? share : BULK_RING_LEAST;
}

uint64_t bulk_ring_most(const struct worker *w, const struct flow *f)
{
	const struct port *p = f->port;
	uint32_t nr = p->bulk + p->bulk_new;
	struct stream_info i;

	engine_stream_info(f->stream, &i);
	return bulk_ring_share(w->rtt_ns[i.peer], w->bulk_ports + w->bulk_ports_new + (nr == 0),
			       nr);
}
