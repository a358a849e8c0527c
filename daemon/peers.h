/* SPDX-License-Identifier: MIT */
/*
 * peers.h - all other hosts: listening for them, dialling them, handing channels to workers.
 *
 * Ownership: struct peers is the caller's memory; it owns its peers and connections. A connection
 *   that is up is a worker's from CMD_CHANNEL_ADD to EVT_CHANNEL_DEAD.
 * Threading: control.
 * Trust: a connection is a peer's only if it comes from an address in [peer]; what it says first
 * may be anything.
 */
#ifndef NCD_PEERS_H
#define NCD_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/limits.h"

#include "config.h"
#include "log.h"
#include "stats.h"
#include "workers.h"

struct event;
struct event_base;
struct peer_conn;
struct peer_entry;

struct peers {
	/* The caller's, before peers_init. */
	struct event_base *base;
	struct log *log;
	struct stats *stats;
	struct workers *workers;
	const struct config *config; /* replaced by a reload */
	uint64_t incarnation;

	uint64_t host_id;
	struct peer_entry *entry[NCD_PEERS_MAX]; /* by index; 0 is this host and has none */
	struct peer_conn *conns;                 /* all, by peer_conn.next */
	uint32_t greeting;                       /* inbound, hello not done */
	uint32_t strangers;                      /* of those, from no peer's address */
	struct event *dial_event;
	struct {
		int fd;
		struct event *event;
	} listener[NCD_ADDRS_MAX];
	uint32_t listener_nr;
	struct event *resume_event;
	bool leaving;
	struct log_limit limit_garbage, limit_refused, limit_accept;
};

/* Tells the workers this host's own addresses and the peers. 0 or -ENOMEM. */
int peers_init(struct peers *ps);
/* Listens on each address of the host. 0, or -errno with one line in @error. */
int peers_listen(struct peers *ps, char error[CONFIG_ERROR_BYTES]);
/* Dials whom it has not; again whenever it must. */
void peers_dial(struct peers *ps);
/* Takes ps->config's peers over: new ones are dialled, missing ones let go. */
void peers_reload(struct peers *ps);
/* Dials and accepts no more. */
void peers_leave(struct peers *ps);
/* Frees all; after the workers have ended. NULL entries are allowed. */
void peers_fini(struct peers *ps);
/* The workers' answers and news that concern peers and channels. */
void peers_event(struct peers *ps, uint32_t worker, const struct worker_event *ev);

/* Number of peers, and of those with a channel up. */
void peers_count(const struct peers *ps, uint32_t *ret_nr, uint32_t *ret_up);
/* One line a peer in the log, for SIGUSR1. */
void peers_dump(const struct peers *ps);

#endif /* NCD_PEERS_H */
