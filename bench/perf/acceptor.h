/* SPDX-License-Identifier: MIT */
/*
 * acceptor.h - takes connections and reads the hello that each begins with.
 *
 * Ownership: the caller's memory; connections are the acceptor's until on_hello takes them.
 * Threading: the thread of its hub.
 * Trust: whoever connects may send anything or nothing: that costs only its own connection.
 */
#ifndef PERF_ACCEPTOR_H
#define PERF_ACCEPTOR_H

#include <sys/queue.h>

#include "hello.h"
#include "via.h"

struct accepted {
	struct conn conn;
	struct hello hello;
	size_t got;
	uint64_t since_ns;
	LIST_ENTRY(accepted) link;
};

struct acceptor {
	struct hub *hub;
	struct conn listener;
	LIST_HEAD(, accepted) list; /* hello not complete */
	uint64_t swept_ns;
	bool more; /* connections are left to accept */
	/* Takes c's descriptor (sets a->conn.fd to -1), or leaves it: then it is closed. */
	void (*on_hello)(void *arg, struct accepted *a);
	void *arg;
};

/* @listener listens on a via that @hub can wait for; its descriptor is taken, also on failure. */
int acceptor_init(struct acceptor *a, struct hub *hub, struct conn *listener,
		  void (*on_hello)(void *arg, struct accepted *a), void *arg);
void acceptor_fini(struct acceptor *a);
/* Waits at most @timeout_ms, then accepts and reads. Returns 0 or -errno: it cannot go on. */
int acceptor_turn(struct acceptor *a, int timeout_ms);

#endif /* PERF_ACCEPTOR_H */
