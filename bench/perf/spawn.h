/* SPDX-License-Identifier: MIT */
/*
 * spawn.h - the server's side of mode isolate: a server process of its own for each flow, because
 * programs that share a machine are processes, and the kernel shares it out among those.
 *
 * Ownership: the caller's memory; all zero is allowed. Threading: one thread, which outlives them.
 */
#ifndef PERF_SPAWN_H
#define PERF_SPAWN_H

#include "child.h"
#include "options.h"

struct spawn {
	struct child child[PERF_THREADS_MAX];
	uint32_t nr;
};

/*
 * Starts 1 + @flows servers that listen where @o says, the first for the latency flow; their ports
 * go to @ret_port. Returns 0, or -errno: spawn_stop() in any case.
 */
int spawn_servers(struct spawn *sp, const struct options *o, const struct via *via, uint32_t flows,
		  uint16_t ret_port[PERF_THREADS_MAX]);
void spawn_stop(struct spawn *sp);

#endif /* PERF_SPAWN_H */
