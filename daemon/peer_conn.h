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

#include <event2/event.h>

#include "ncd/wire.h"

#include "peer_entry.h"
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

/* peer_dial.c */
/* Begins a dial for @pl of @entry. A failure has been told to the peer's state already. */
void conn_dial(struct peer_entry *entry, struct place *pl);

/* peer_hello.c */
/* The dial has succeeded: says our hello, and goes on with the answer. */
void conn_ask(struct peer_conn *conn);
/* Takes an accepted connection; @fd is the connection's, also if it is closed at once. */
void conn_accept(struct peers *ps, int fd, const struct address *addr, uint16_t port);
/* It says hello no more: it is up, or ends. */
void greeting_ends(const struct peer_conn *conn);

/* peer_conn.c */
/* One on @fd, in the list. NULL: out of memory, and @fd is still the caller's. */
struct peer_conn *conn_create(struct peers *ps, struct peer_entry *entry, int fd);
/* @heard is called for @what (EV_*), or EV_TIMEOUT, in place of what was before. False: out of
 * memory. */
bool conn_await(struct peer_conn *conn, short what, event_callback_fn heard);
/* It fails before it is up; if it has a place, its peer is told. */
void conn_fail(struct peer_conn *conn, int error);
/* Both hellos are said, conn->place is UP: the worker takes over. */
void conn_up(struct peer_conn *conn, enum peer_verdict verdict);
/*
 * Gives @fd the congestion control of @class. Best before it connects or listens (accepted sockets
 * inherit it): one that bbr has begun on keeps bbr's pacing, whatever it is given later. Failing
 * leaves it with the system's.
 */
void conn_congestion(const struct config *cfg, int fd, enum stream_class class);
/* Has the worker drop a connection that is UP; closes and frees any other. */
void conn_drop(struct peer_conn *conn);
/* The worker has let go of it. */
void conn_dead(struct peer_conn *conn, const struct worker_event *ev);
/* A command about it is back. */
void conn_command_back(struct peer_conn *conn);
/* Closes and frees it, whatever its state. */
void conn_free(struct peer_conn *conn);

#endif /* NCD_PEER_CONN_H */
