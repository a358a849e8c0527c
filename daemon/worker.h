/* SPDX-License-Identifier: MIT */
/*
 * worker.h - a pinned thread that owns channels and streams and moves their bytes.
 *
 * Ownership: control creates and destroys workers. What a command hands over (worker_cmd.h) belongs
 *   to the worker until it says so in an event.
 * Threading: control calls the functions below; everything else about a worker is its own thread's.
 *   Its loop is worker_run() in worker.c.
 */
#ifndef NCD_WORKER_H
#define NCD_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/stats_abi.h"

#include "core/engine.h"

struct carriers;
struct worker;
struct worker_cmd;

enum io_choice { IO_AUTO, IO_URING, IO_EPOLL };

struct worker_config {
	uint32_t index;
	int cpu; /* -1: not pinned */
	enum io_choice io;
	uint32_t spin_us; /* longest spin before sleeping; 0: never */
	uint32_t slice_us; /* time slice while round trips pass beside bulk; 0: the kernel's */
	uint64_t stall_ns; /* who accepts nothing for so long gets no more; 0: does */
	uint64_t hold_ns; /* what nobody accepts waits so long for who listens there next */
	struct engine_config engine;
	struct carriers *carriers; /* shared with the other workers; NULL: there are none */
	uint32_t ring_send_bytes, ring_receive_bytes; /* most, of one stream */
	uint32_t ring_initial_bytes; /* that they begin with; NCD_RING_MIN at least */
	uint64_t idle_ns; /* after which rings that hardly move give back their pages; 0: never */
	/* [65536]: enum stream_class by peer port, for an OPEN with class 0; NULL: none. */
	const uint8_t *port_class;
	/* [65536]: weight of a stream, by the port that it was opened to; NULL: 1. */
	const uint8_t *port_weight;
	/* Pages that ncd-stat maps; this worker writes only its own entries. */
	struct stats_worker *stats;
	struct stats_socket *stats_socket; /* engine.streams entries, by stream_index() */
};

/*
 * Allocates all that the worker will need, starts its thread, waits until its I/O back end stands.
 * @event_fd: eventfd that the worker writes when events wait and control may sleep.
 * Returns 0, -ENOMEM, or the error of the back end (IO_URING refused).
 */
int worker_start(const struct worker_config *cfg, int event_fd, struct worker **ret_worker);
/* Ends the thread (streams are simply dropped: drain first), frees everything but the commands that
 * have not come back. NULL is allowed. */
void worker_stop(struct worker *w);

/* "io_uring" or "epoll", and why not io_uring ("" if it is). */
const char *worker_backend(const struct worker *w, const char **ret_why);

/* Hands @cmd over; it comes back in EVT_DONE. Never blocks: what the ring cannot hold waits. */
void worker_post(struct worker *w, struct worker_cmd *cmd);
/* Takes the next event; false if there is none. */
struct worker_event;
bool worker_event(struct worker *w, struct worker_event *ret_event);
/* Turns counted by the loop; while the worker sleeps legitimately *ret_sleeping is true. */
uint64_t worker_turns(const struct worker *w, bool *ret_sleeping);
/* For how long it has had nothing to do, at @now_ns. About that: it may be falling asleep. */
uint64_t worker_idle_ns(const struct worker *w, uint64_t now_ns);
/* False if it was pinned and has lost its core: offline, or taken away. */
bool worker_placed(const struct worker *w);
/* Wakes it for a turn, if it sleeps: a worker that is well has more turns soon after. */
void worker_nudge(struct worker *w);

#endif /* NCD_WORKER_H */
