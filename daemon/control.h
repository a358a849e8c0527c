/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control socket: applications come, are judged, and attach.
 *
 * Ownership: struct control is the caller's memory; it owns its clients until control_fini, which
 *   runs after the workers have ended.
 * Threading: control.
 * Trust: whoever connects may send anything; it costs that connection, and is counted.
 */
#ifndef NCD_CONTROL_H
#define NCD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "copy_workers.h"
#include "log.h"
#include "moves.h"
#include "placement.h"
#include "port_table.h"
#include "stats.h"
#include "workers.h"

struct client;
struct event;
struct event_base;

struct control {
	struct event_base *base;
	struct log *log;
	struct stats *stats;
	struct workers *workers;
	struct copy_workers *copy_workers; /* NULL: there are none */
	const struct config *config; /* replaced by a reload */
	const uint8_t *port_class;   /* [65536] */
	uint32_t slots; /* of a port: twice what `sockets` was at start, a power of 2 */

	struct port_table *ports;
	struct shared_table *shared;
	int listen_fd;
	struct event *listen_event, *resume_event;
	struct client *clients; /* by client.next: attached, greeting, and on their way out */
	struct joint *joints;   /* by joint.next */
	uint32_t attached, greeting;
	uint32_t lingering; /* gone, and streams of theirs are not: others have the descriptors */
	struct placement placement; /* of what clients open */
	uint64_t placement_ns;      /* when the workers were looked at last */
	struct moves moves;         /* of open streams */
	uint32_t placed;            /* ++ for each that was told where to go */
	bool leaving;
	struct log_limit limit_garbage, limit_refused, limit_accept, limit_region, limit_copy;
};

/*
 * Fills in what is not the caller's: base, log, stats, workers, config, port_class and slots must
 * be set, the rest zero. 0 or -ENOMEM.
 */
int control_init(struct control *ctl);
/* Accepts on @fd from now on, which becomes control's. 0 or -ENOMEM. */
int control_listen(struct control *ctl, int fd);
/* Takes a connection as if it had been accepted; @fd is control's, also on failure. */
void control_adopt(struct control *ctl, int fd);
/* A descriptor is free, or one more may say hello: accepts again if it had stopped. */
void control_resume(struct control *ctl);
/* Once a second: what applications say of sockets that they left to kernel TCP goes to ncd-stat;
 * what workers say of idle streams to the applications. Looks after joined rings, and after workers
 * that have too much to do. */
void control_second(struct control *ctl);
/* No new attachments; those that are attached are told. */
void control_leave(struct control *ctl);
/* The workers have ended: no client is in one any more, all are leaving. Before workers_cancel. */
void control_abandon(struct control *ctl);
/* Frees all clients. */
void control_fini(struct control *ctl);

/* A copy worker has let go of a client, or has found one bad. */
void control_copy_event(struct control *ctl);
/* The workers' answers and wishes that concern clients. */
void control_event(struct control *ctl, uint32_t worker, const struct worker_event *ev);

#endif /* NCD_CONTROL_H */
