/* SPDX-License-Identifier: MIT */
/*
 * model.h - what ncd would do on a machine with more cores than this one: round trips of many
 * sockets between two hosts, in virtual time, with the costs of cost.h.
 *
 *   application 0 -- worker 0 == lane 0: its channels == worker 0 -- application 0
 *   application 1 -- worker 1 == lane 1                == worker 1 -- application 1
 *      host 0                       one link, both ways                  host 1
 *
 * The engines are the real ones: which frames a send gathers, what is acknowledged, where credit
 * goes and when a worker spins is not assumed but happens. What a thread does costs its core time;
 * cores, the link and the memory of a host are what all share.
 *
 * Ownership: the caller's memory. Threading: one thread. The same costs, parameters and seed give
 * the same result.
 */
#ifndef SCALE_MODEL_H
#define SCALE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "cost.h"

#define SCALE_WORKERS_MAX 64u

struct scale_params {
	uint32_t workers;  /* of each host, and as many applications of one thread */
	uint32_t channels; /* of each class, all lanes together: a multiple of workers */
	uint32_t sockets;
	uint32_t size;  /* of a request, and of its answer */
	uint32_t cores; /* of both hosts together; fewer than 2 * workers are shared by turns */
	uint64_t link_bytes_per_s;   /* each way; 0: no bound */
	uint64_t memory_bytes_per_s; /* what a host can copy, all cores together; 0: no bound */
	uint64_t delay_ns;           /* of the link */
	uint64_t spin_ns;            /* [workers] spin_us */
	uint64_t slice_ns;           /* how long a thread keeps a core that others want */
	uint64_t messages;           /* round trips that are measured, after one of each socket */
	uint64_t seed;
};

struct scale_result {
	double msgs_per_s, link_bytes_per_s; /* the latter of the busier direction, with headers */
	uint64_t p50_ns, p99_ns, max_ns;
	uint64_t messages;
	double worker_busy, app_busy; /* parts of the time: the mean of all threads */
	double frames_per_send;
	bool whole; /* every byte that was sent has arrived */
};

/* -EINVAL: parameters out of range; -ENOMEM. */
int scale_check(const struct scale_params *p);
int scale_run(const struct scale_params *p, const struct costs *costs,
	      struct scale_result *ret_result);

#endif /* SCALE_MODEL_H */
