/* SPDX-License-Identifier: MIT */
/*
 * session.h - one client's measurement, as the server sees it: a control flow with a thread of its
 * own, the flows that join, and the crew that serves them.
 *
 *   joining --(all flows there)--> running --(END, or control flow lost)--> ended
 *
 * Ownership: the server's list owns sessions; a session owns its control connection and crew.
 * Threading: create, join and collect: the server's accepting thread. The rest: the session's own.
 */
#ifndef PERF_SESSION_H
#define PERF_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "hello.h"
#include "via.h"

struct crew;
struct options;

struct session {
	/* Set at create, then const. */
	const struct via *via;
	struct shape shape;
	uint64_t id;
	struct endpoint listen;
	const struct options *o;
	struct crew *crew; /* NULL in mode isolate: processes serve instead */
	pthread_t thread;

	/* The session's thread. */
	struct conn control;
	struct hub hub; /* of the control flow */

	pthread_mutex_t lock;
	pthread_cond_t joined; /* all of them, or stop */
	uint32_t joined_nr;    /* lock */
	bool closed;           /* lock; the crew is no longer the server's to touch */

	_Atomic bool stop;  /* relaxed: server wants it to end */
	_Atomic bool ended; /* ENDED: session (release) -> server (acquire): it can be joined */
	LIST_ENTRY(session) link; /* server */
};

/* @control is a fresh control flow, taken over on success. @listen: the server's own address; @o is
 * kept.
 * Returns 0, -EINVAL (shape), -ENOMEM, -EAGAIN (no thread). */
int session_create(const struct via *via, const struct hello *hello, const struct conn *control,
		   const struct endpoint *listen, const struct options *o,
		   struct session **ret_session);
/* Gives it flow @index. Takes the descriptor on success. -EINVAL: no such flow, or it is there. */
int session_join(struct session *s, uint32_t index, const struct conn *conn);
bool session_ended(struct session *s);
/* Tells it to stop; waits for its thread; frees. */
void session_destroy(struct session *s);

#endif /* PERF_SESSION_H */
