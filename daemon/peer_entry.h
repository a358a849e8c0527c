/* SPDX-License-Identifier: MIT */
/*
 * peer_entry.h - one peer, for peer*.c: how its connections fare, and what follows from that.
 *
 * Ownership: struct peers owns it; freed with its last connection once it is no longer configured.
 * Threading: control.
 */
#ifndef NCD_PEER_ENTRY_H
#define NCD_PEER_ENTRY_H

#include "core/peer.h"
#include "peers.h"
#include "worker_cmd.h"

/* A [peer] of the config. */
struct peer_entry {
	struct peers *peers;
	struct config_peer config; /* its own copy: outlives a reload */
	uint32_t index;            /* at the workers */
	struct peer core;
	uint32_t cursor; /* which of its addresses is dialled next */
	uint32_t links;  /* connections that workers have */
	int told;        /* last error that the workers heard, 0: none */
	int logged; /* last failure that was logged, a negative errno or minus a reason; 0: none */
	bool up;    /* as last logged */
	bool left;  /* has said GOAWAY */
	bool removed; /* no longer configured: freed with its last connection */
	struct log_limit limit;
};

/* Adds @config to the peers. 0, -ENOSPC, -ENOMEM. */
int entry_create(struct peers *ps, const struct config_peer *config);
/* It is no longer configured: its connections are dropped. */
void entry_remove(struct peer_entry *entry);
/* Frees @entry if it is no longer configured and has no connection left. */
void entry_reap(struct peer_entry *entry);
/* Posts a command about @entry to all workers. */
void entry_tell(struct peer_entry *entry, enum worker_cmd_type type, int error);
/* The worker that waits for the dial of @pl, if any does, hears how it went. */
void entry_answer(struct peer_entry *entry, struct place *pl, int error);
void entry_dial_failed(struct peer_entry *entry, struct place *pl, int error);
/* The peer has no room for @pl. */
void entry_full(struct peer_entry *entry, struct place *pl);
void entry_up(struct peer_entry *entry, const struct peer_conn *conn);
void entry_lost(struct peer_entry *entry, struct place *pl, const struct worker_event *ev);

/* peers.c */
/* Looks for what to dial, soon. */
void peers_dial_soon(struct peers *ps);
/* Tells @worker whether peer @index has one channel more for it. */
void peers_answer(struct peers *ps, uint32_t worker, uint32_t index, int error);
/* Out of memory for a command: the workers know less than they could, said once in a while. */
void peers_no_memory(struct peers *ps);

#endif /* NCD_PEER_ENTRY_H */
