/* SPDX-License-Identifier: MIT */
/*
 * hello.h - what client and server of ncd-perf say to each other before and beside the
 * measurement. Both are the same build on one architecture: fields are in host byte order.
 *
 *   client                                   server
 *   control flow: HELLO_CONTROL  --------->  new session
 *                                <---------  control: a reply before each PERF_JOIN_BATCH flows
 *   each flow:    HELLO_FLOW     --------->  joins the session
 *                                <---------  control: reply READY, when all have joined
 *                                            (isolate: when a server process for each is there)
 *   ... the measurement; a connection of mode connect sends HELLO_SHORT and gets it back ...
 *   control:      HELLO_SNAPSHOT --------->
 *                                <---------  reply: what was received so far, CPU time, clock
 *   control:      HELLO_END      --------->  waits for the end of every flow
 *                                <---------  reply: the final sums
 *
 * Ownership, Threading: none.
 * Trust: the server checks every field of a hello, the client those of a reply.
 */
#ifndef PERF_HELLO_H
#define PERF_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#define HELLO_MAGIC   0x6e63642d70657266ull /* ncd-perf */
#define HELLO_VERSION 3u

#define PERF_FLOWS_MAX        65536u
#define PERF_THREADS_MAX      64u
#define PERF_DEPTH_MAX        4096u
#define PERF_SIZE_MAX         (16u << 20)
#define PERF_JOIN_BATCH       512u /* flows under way to a session: a backlog has room for them */
#define PERF_SLOTS_MAX        (16u << 20) /* flows * depth */
#define PERF_PRIORITY_MAX     7
#define PERF_CONGESTION_BYTES 12

enum mode {
	MODE_STREAM = 1,
	MODE_RPC,
	MODE_CONNECT,
	MODE_ISOLATE,
};

/* What is measured: the same at both ends. */
struct shape {
	uint32_t flows;
	uint32_t threads;
	uint32_t size;
	uint32_t depth;
	uint8_t mode; /* enum mode */
	uint8_t verify;
	int8_t nice;                            /* of the threads that serve flows */
	uint8_t priority;                       /* SO_PRIORITY of the flows; 0: as it is */
	char congestion[PERF_CONGESTION_BYTES]; /* of kernel sockets; "": cubic */
};

enum hello_kind {
	HELLO_CONTROL = 1,
	HELLO_FLOW,
	HELLO_SHORT,
	HELLO_SNAPSHOT,
	HELLO_END,
};

struct hello {
	uint64_t magic;
	uint32_t version;
	uint32_t kind; /* enum hello_kind */
	uint64_t session;
	uint32_t flow;
	struct shape shape; /* HELLO_CONTROL */
	uint32_t sequence;  /* HELLO_SHORT */
};
_Static_assert(sizeof(struct hello) == 64, "a hello is also the message of mode connect");

struct reply {
	uint64_t magic;
	int32_t status; /* 0 or negative errno */
	uint32_t port_nr;
	/* Connect: one listener for each server thread; isolate: one server for each flow. */
	uint16_t port[PERF_THREADS_MAX];
	uint64_t time_ns; /* the server's clock */
	uint64_t received_bytes;
	uint64_t errors;
	uint64_t cpu_ns;
	uint64_t daemon_cpu_ns; /* UINT64_MAX: unknown */
	char text[96];          /* what went wrong, or empty */
};

/* How many flows join the session. */
static inline uint32_t shape_joining(const struct shape *s)
{
	return s->mode == MODE_CONNECT || s->mode == MODE_ISOLATE ? 0 : s->flows;
}

/* Whether a server or client can run @s. */
static inline bool shape_valid(const struct shape *s)
{
	return s->mode >= MODE_STREAM && s->mode <= MODE_ISOLATE && s->flows >= 1 &&
	       s->flows <= PERF_FLOWS_MAX && s->threads >= 1 && s->threads <= PERF_THREADS_MAX &&
	       s->threads <= s->flows && s->size >= 1 && s->size <= PERF_SIZE_MAX &&
	       s->depth >= 1 && s->depth <= PERF_DEPTH_MAX && s->priority <= PERF_PRIORITY_MAX &&
	       (s->mode != MODE_ISOLATE || s->flows < PERF_THREADS_MAX) &&
	       s->congestion[PERF_CONGESTION_BYTES - 1] == '\0' &&
	       (uint64_t)s->flows * s->depth <= PERF_SLOTS_MAX;
}

#endif /* PERF_HELLO_H */
