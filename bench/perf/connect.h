/* SPDX-License-Identifier: MIT */
/*
 * connect.h - mode connect: each client connects, sends a 64-byte hello, gets it back, and closes,
 * again and again. The server hangs up right after its answer, as HTTP/1.0 does.
 *
 * Ownership: l->run_arg: client: struct connect_plan, the caller's; server: struct conn of the
 *   listener, which the loop closes. Threading: the loop's thread.
 */
#ifndef PERF_CONNECT_H
#define PERF_CONNECT_H

#include "hello.h"
#include "via.h"

struct loop;

struct connect_plan {
	struct endpoint to[PERF_THREADS_MAX]; /* the server's threads; clients take turns */
	uint32_t to_nr;
	const struct endpoint *from; /* or NULL */
};

/* Each returns 0 or -errno, having told the crew. */
int connect_run_client_blocking(struct loop *l); /* one client */
int connect_run_client_hub(struct loop *l);      /* its share of shape.flows */
int connect_run_server(struct loop *l);

#endif /* PERF_CONNECT_H */
