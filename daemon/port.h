/* SPDX-License-Identifier: MIT */
/*
 * port.h - where one application meets one worker: its queues, slots and ring memory, seen from the
 * worker. Layout: ncd/shm_abi.h.
 *
 * Ownership: control creates the port (and maps the memory) before CMD_CLIENT_ADD and destroys it
 *   after EVT_CLIENT_GONE; between the two it is the worker's alone.
 * Threading: create, destroy, and the questions below: control. The rest: the worker.
 * Trust: everything in segment 0 and the rings is the application's to scribble on. Indices, slot
 *   states, ring places and sizes that matter are kept here, privately.
 */
#ifndef NCD_PORT_H
#define NCD_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/shm_abi.h"

struct port;
struct client;

struct port_config {
	struct client *client; /* handed back by port_client */
	uint32_t worker;       /* index of its worker */
	uint8_t *segment0;     /* mapped; laid out by region_layout */
	uint64_t segment0_bytes;
	const struct region_shm *layout; /* the daemon's private copy */
	int doorbell_fd;                 /* eventfd: the application wakes the worker */
	uint32_t pid;
	bool joins; /* its library knows joined rings */
	bool root; /* may use ports below 1024 */
	uint64_t region_max; /* most ring memory of this client; rings shrink as it fills */
};

/* Returns the port or NULL (out of memory). Keeps doorbell_fd open until port_destroy. */
struct port *port_create(const struct port_config *cfg);
void port_destroy(struct port *p);
struct client *port_client(const struct port *p);
/* Control: a number that changes when slots have another tx_idle. */
uint32_t port_idle_told(const struct port *p);

#endif /* NCD_PORT_H */
