/* SPDX-License-Identifier: MIT */
/*
 * peer_conn.h - one TCP connection to or from a peer, from dial or accept to its end.
 *
 *   dial:   CONNECTING --made, hello sent--> ASKED --accepted--+
 *                                                              +--> UP --> (worker) --> DEAD
 *   accept: HEARING  --hello taken, answered-------------------+
 *   Every state but UP ends with the connection closed and freed at once; UP when the worker has
 *   let go (EVT_CHANNEL_DEAD) and all commands about it are back.
 *
 * Ownership: struct peers owns it. Threading: control.
 */
#ifndef NCD_PEER_CONN_H
#define NCD_PEER_CONN_H

#include "ncd/wire.h"

#include "peers.h"
#include "worker_cmd.h"

#define CONN_TIMEOUT_SECONDS 3  /* to connect; and to say hello */
#define CONN_GREETING_MAX    64 /* inbound connections that have not said hello; more are closed */
#define CONN_STRANGERS_MAX   8  /* of them, from no peer's address: they leave room for peers */

enum conn_state {
	CONN_CONNECTING,
	CONN_ASKED,
	CONN_HEARING,
	CONN_UP,
	CONN_DEAD
};

struct peer_conn {
	struct peers *peers;
	struct peer_conn *next, **at; /* in peers->conns */
	struct peer_entry *entry;     /* NULL: comes from no peer, will be refused */
	struct place *place;          /* NULL: another connection has it, or none */
	enum conn_state state;
	int fd;
	struct event *event;
	struct address addr; /* the other end */
	uint16_t port;
	uint8_t hello[HELLO_FRAME_BYTES]; /* so far */
	size_t hello_bytes;
	/* UP */
	struct link link;
	struct worker_cmd *drop; /* made early: dropping must not fail; NULL: posted */
	uint32_t commands;       /* under way */
};

/* Begins a dial for @pl of @entry. A failure has been told to the peer's state already. */
void conn_dial(struct peer_entry *entry, struct place *pl);
/* Takes an accepted connection; @fd is the connection's, also if it is closed at once. */
void conn_accept(struct peers *ps, int fd, const struct address *addr, uint16_t port);
/* Has the worker drop a connection that is UP; closes and frees any other. */
void conn_drop(struct peer_conn *conn);
/* The worker has let go of it. */
void conn_dead(struct peer_conn *conn, const struct worker_event *ev);
/* A command about it is back. */
void conn_command_back(struct peer_conn *conn);
/* Closes and frees it, whatever its state. */
void conn_free(struct peer_conn *conn);

/* peers.c, for the connection's turns in its peer's life. */
void entry_dial_failed(struct peer_entry *entry, struct place *pl, int error);
/* The peer has no room for @pl. */
void entry_full(struct peer_entry *entry, struct place *pl);
void entry_up(struct peer_entry *entry, const struct peer_conn *conn);
void entry_lost(struct peer_entry *entry, struct place *pl, const struct worker_event *ev);
/* The worker that waits for the dial of @pl, if any does, hears how it went. */
void entry_answer(struct peer_entry *entry, struct place *pl, int error);
/* Frees @entry if it is no longer configured and has no connection left. */
void entry_reap(struct peer_entry *entry);
/* Posts a command about @entry to all workers. */
void entry_tell(struct peer_entry *entry, enum worker_cmd_type type, int error);

#endif /* NCD_PEER_CONN_H */
