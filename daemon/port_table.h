/* SPDX-License-Identifier: MIT */
/*
 * port_table.h - who holds which virtual address and port of this host: bind() and listen().
 *
 * Ownership: the table owns its claims; a client's are released when it goes.
 * Threading: control.
 *
 * As in the kernel: a wildcard conflicts with every address of its family, :: with both families;
 * claims may share a port only if all of them asked for SO_REUSEPORT under one user in one network
 * namespace, or have the same title (title.h): processes that share one listening socket of the
 * kernel. Outgoing streams that were not bound take their ports from the workers' own ranges and
 * need no claim.
 */
#ifndef NCD_PORT_TABLE_H
#define NCD_PORT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"

struct port_table;

/* Ports that bind(0) gets: first those above what connect() uses, then all of its range. */
#define PORT_EPHEMERAL_LOW  32768u
#define PORT_EPHEMERAL_HIGH 60999u
#define PORT_BIND_LOW       61000u
#define PORT_BIND_HIGH      65535u
#define PORT_PRIVILEGED     1024u /* below: root only */

struct port_claim_args {
	const void *owner; /* the client */
	uint32_t uid; /* whose the socket is */
	struct address addr;
	uint16_t port; /* 0: any that is free */
	bool reuseport;
	uint64_t title; /* 0: none */
	uint64_t network; /* as in title.h */
	bool entitled;  /* to ports below 1024 too */
};

struct port_table *port_table_create(void);
/* NULL is allowed. Remaining claims are freed. */
void port_table_destroy(struct port_table *t);

/* 0 and *ret_port, -EACCES (below 1024, and neither entitled, nor of the title of a claim that is),
 * -EADDRINUSE, -ENOMEM. */
int port_table_claim(struct port_table *t, const struct port_claim_args *args, uint16_t *ret_port);
/*
 * One of @owner's claims on exactly this becomes a listener: port_table_release() passes it over.
 * -EINVAL: it holds none that does not listen already.
 */
int port_table_listen(struct port_table *t, const void *owner, const struct address *addr,
		      uint16_t port, uint64_t title);
/* Gives one claim of @owner back, a listening one or one that is not. -ENOENT: there is none. */
int port_table_release(struct port_table *t, const void *owner, const struct address *addr,
		       uint16_t port, uint64_t title, bool listening);
/* All of @owner's. */
void port_table_release_all(struct port_table *t, const void *owner);

#endif /* NCD_PORT_TABLE_H */
