/* SPDX-License-Identifier: MIT */
/*
 * channel_io.h - the worker's side of a channel's connection: bytes between engine and kernel.
 *
 *   FREE --add--> UP --drop, error--> DYING --kernel has let go--> EVT_CHANNEL_DEAD, FREE
 *
 * Ownership: the struct link is control's until CMD_CHANNEL_ADD and from EVT_CHANNEL_DEAD on.
 * Threading: the worker.
 */
#ifndef NCD_CHANNEL_IO_H
#define NCD_CHANNEL_IO_H

#include "core/budget.h"
#include "core/zerocopy.h"
#include "io.h"
#include "worker_state.h"

struct channel_io {
	struct io_link io;
	struct link *link;
	struct channel *channel;
	struct ring_mem rx_buf, tx_buf;
	struct tx_file piece; /* what is being sent of a file, if not all of a piece */
	bool dying;
	bool corked; /* channel_cork.h */
	uint64_t urgent; /* frames that were so, when last looked at */
	struct budget budget; /* of rank 1 */
	struct zerocopy zerocopy;
	struct channel_io *next, *prev; /* active list of its rank; next: free list */
};

/* Allocates for cfg.engine.channels connections. 0 or -ENOMEM. */
int channel_io_create(struct worker *w);
void channel_io_destroy(struct worker *w);
/* Makes the host's own channels. */
int channel_io_loops(struct worker *w);

int channel_io_add(struct worker *w, struct link *link);
/* @link is looked up, never dereferenced: it may be gone already. */
void channel_io_drop(struct worker *w, const struct link *link);
/* It waited for a place, and receives again; @result is engine_carry_take's. */
void channel_io_resume(struct worker *w, struct channel *c, int result);
/* The engine gives a channel up. */
void channel_io_dead(struct worker *w, struct channel *c);

/* Steps of the schedule; each returns how much it did. */
uint32_t channel_io_send(struct worker *w, uint32_t rank);
uint32_t channel_io_receive(struct worker *w, uint32_t rank);
uint32_t channel_io_loop(struct worker *w);

/* Copies counters to the links' entries, and RTTs to w->rtt_ns. */
void channel_io_stats(struct worker *w);

#endif /* NCD_CHANNEL_IO_H */
