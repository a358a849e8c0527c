/* SPDX-License-Identifier: MIT */
/*
 * listener.h - who listens on which address and port, and which ports are in use for connecting.
 *
 * Ownership: the engine's memory.
 */
#ifndef NCD_CORE_LISTENER_H
#define NCD_CORE_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"

struct listener {
	struct address addr;
	uint16_t port;
	bool used;
	uint32_t next; /* of the same port; index + 1 */
	void *user;
};

struct listener_table {
	struct listener *at;
	uint32_t capacity;
	uint32_t by_port[65536]; /* index + 1 */
};

/* -EADDRINUSE, -ENOBUFS. */
int listener_add(struct listener_table *t, const struct address *addr, uint16_t port, void *user);
void listener_remove(struct listener_table *t, const struct address *addr, uint16_t port);
/* The listener on exactly @addr and @port, as listener_add() compares them; or NULL. */
struct listener *listener_exact(const struct listener_table *t, const struct address *addr,
				uint16_t port);
/* The listener that hears @addr and @port, an exact one before a wildcard; or NULL. */
struct listener *listener_find(const struct listener_table *t, const struct address *addr,
			       uint16_t port);

/* Ephemeral ports, counted by use, taken in turn: a port is used twice only when all are used. */
struct port_pool {
	uint16_t low, high, next;
	uint32_t busy; /* ports with uses, in the range */
	uint16_t uses[65536];
};

void port_pool_init(struct port_pool *p, uint16_t low, uint16_t high, uint64_t seed);
uint16_t port_pool_take(struct port_pool *p);
void port_pool_hold(struct port_pool *p, uint16_t port);
void port_pool_release(struct port_pool *p, uint16_t port);

#endif /* NCD_CORE_LISTENER_H */
