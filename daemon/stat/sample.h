/* SPDX-License-Identifier: MIT */
/*
 * sample.h - the counters at one moment: private copies of every used entry of the page.
 *
 * Ownership: the sample owns its arrays; sample_free takes an empty one too.
 * Threading: one thread.
 * Trust: strings end, and entries that were being rewritten during every try are left out.
 */
#ifndef NCD_STAT_SAMPLE_H
#define NCD_STAT_SAMPLE_H

#include <stdbool.h>

#include "ncd/stats_abi.h"

#include "page.h"

/* `place` is the entry's index in its table: the same place and seq in two samples is the same
 * channel, client or socket. */
struct channel_row {
	uint32_t place;
	struct stats_channel entry;
};
struct client_row {
	uint32_t place;
	struct stats_client entry;
};
struct socket_row {
	uint32_t place;
	struct stats_socket entry;
};

enum health {
	HEALTH_RUNNING,
	HEALTH_STOPPED, /* it has ended in order */
	HEALTH_HANGING, /* the process is there, its control thread has not moved for long */
	HEALTH_DEAD,    /* the process is gone, without having said so */
};

struct sample {
	uint64_t now_ns; /* CLOCK_MONOTONIC */
	struct stats_head head;
	enum health health;
	struct stats_worker *worker; /* head.worker_nr */
	struct stats_copy *copy;     /* head.copy_nr */
	struct channel_row *channel;
	uint32_t channels;
	struct client_row *client;
	uint32_t clients;
	struct socket_row *socket;
	uint32_t sockets;
};

/* Returns 0, -ENOMEM, or the error of page_open with its reason. */
int sample_take(const char *path, struct sample *ret_sample, char ret_why[PAGE_WHY_BYTES]);
void sample_free(struct sample *s);

/* True if @before is of the same run of the daemon, so that differences mean something. */
bool sample_comparable(const struct sample *before, const struct sample *now);

/* A counter in a private copy. */
static inline uint64_t counter(const counter64 *c)
{
	/* Relaxed: nobody else has this memory. */
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif /* NCD_STAT_SAMPLE_H */
