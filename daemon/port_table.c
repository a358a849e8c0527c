/* SPDX-License-Identifier: MIT */
/*
 * port_table.c - claims on virtual ports: a list for each port number.
 */
#include "port_table.h"

#include <errno.h>
#include <stdlib.h>

struct port_claim {
	struct port_claim *next;
	const void *owner;
	uint32_t uid;
	struct address addr;
	bool reuseport;
	uint64_t title, network;
	bool listening;
};

struct port_table {
	uint32_t cursor_low, cursor_high; /* where the next search for a free port begins */
	struct port_claim *head[65536];
};

struct port_table *port_table_create(void)
{
	/* Zeroed by the kernel page by page: only the ports in use take memory. */
	return calloc(1, sizeof(struct port_table));
}

void port_table_destroy(struct port_table *t)
{
	uint32_t port;

	if (t == NULL)
		return;
	for (port = 0; port < 65536; port++) {
		while (t->head[port]) {
			struct port_claim *claim = t->head[port];

			t->head[port] = claim->next;
			free(claim);
		}
	}
	free(t);
}

/* True if a socket on @a hears connections to @b. */
static bool address_covers(const struct address *a, const struct address *b)
{
	if (address_equal(a, b))
		return true;
	if (!address_is_any(a))
		return false;
	/* 0.0.0.0 is deaf to IPv6, but :: would hear what is meant for 0.0.0.0. */
	return !address_is_v4(a) || address_is_v4(b);
}

/* One listening socket of the kernel is behind both. */
static bool same_title(const struct port_claim *claim, const struct port_claim_args *args)
{
	return args->title != 0 && claim->title == args->title &&
	       address_equal(&claim->addr, &args->addr);
}

static bool port_conflicts(const struct port_table *t, const struct port_claim_args *args,
			   uint16_t port)
{
	const struct port_claim *claim;

	for (claim = t->head[port]; claim; claim = claim->next) {
		if (same_title(claim, args) || (!address_covers(&claim->addr, &args->addr) &&
						!address_covers(&args->addr, &claim->addr)))
			continue;
		if (!claim->reuseport || !args->reuseport || claim->uid != args->uid ||
		    claim->network != args->network)
			return true;
	}
	return false;
}

/* A port of low..high that nobody holds at all, or 0. */
static uint16_t port_search(struct port_table *t, uint32_t low, uint32_t high, uint32_t *cursor)
{
	uint32_t i, span = high - low + 1;

	for (i = 0; i < span; i++) {
		uint32_t port = low + (*cursor + i) % span;

		if (t->head[port] == NULL) {
			*cursor = (*cursor + i + 1) % span;
			return (uint16_t)port;
		}
	}
	return 0;
}

static bool may_claim(const struct port_table *t, const struct port_claim_args *args)
{
	const struct port_claim *claim;

	if (args->port == 0 || args->port >= PORT_PRIVILEGED || args->entitled)
		return true;
	for (claim = t->head[args->port]; claim; claim = claim->next)
		if (same_title(claim, args))
			return true;
	return false;
}

int port_table_claim(struct port_table *t, const struct port_claim_args *args, uint16_t *ret_port)
{
	struct port_claim *claim;
	uint16_t port = args->port;

	if (!may_claim(t, args))
		return -EACCES;
	if (port == 0)
		port = port_search(t, PORT_BIND_LOW, PORT_BIND_HIGH, &t->cursor_high);
	if (port == 0)
		port = port_search(t, PORT_EPHEMERAL_LOW, PORT_EPHEMERAL_HIGH, &t->cursor_low);
	if (port == 0 || port_conflicts(t, args, port))
		return -EADDRINUSE;
	claim = malloc(sizeof(*claim));
	if (claim == NULL)
		return -ENOMEM;
	*claim = (struct port_claim){
		.next = t->head[port],
		.owner = args->owner,
		.uid = args->uid,
		.addr = args->addr,
		.reuseport = args->reuseport,
		.title = args->title,
		.network = args->network,
	};
	t->head[port] = claim;
	*ret_port = port;
	return 0;
}

/* The link that points at a claim as described, or NULL. */
static struct port_claim **port_find(struct port_table *t, const void *owner,
				     const struct address *addr, uint16_t port, uint64_t title,
				     bool listening)
{
	struct port_claim **link;

	for (link = &t->head[port]; *link; link = &(*link)->next)
		if ((*link)->owner == owner && (*link)->listening == listening &&
		    (*link)->title == title && address_equal(&(*link)->addr, addr))
			return link;
	return NULL;
}

int port_table_listen(struct port_table *t, const void *owner, const struct address *addr,
		      uint16_t port, uint64_t title)
{
	struct port_claim **link = port_find(t, owner, addr, port, title, false);

	if (link == NULL)
		return -EINVAL;
	(*link)->listening = true;
	return 0;
}

static void claim_free(struct port_claim **link)
{
	struct port_claim *claim = *link;

	*link = claim->next;
	free(claim);
}

int port_table_release(struct port_table *t, const void *owner, const struct address *addr,
		       uint16_t port, uint64_t title, bool listening)
{
	struct port_claim **link = port_find(t, owner, addr, port, title, listening);

	if (link == NULL)
		return -ENOENT;
	claim_free(link);
	return 0;
}

void port_table_release_all(struct port_table *t, const void *owner)
{
	uint32_t port;

	for (port = 0; port < 65536; port++) {
		struct port_claim **link = &t->head[port];

		while (*link) {
			if ((*link)->owner == owner)
				claim_free(link);
			else
				link = &(*link)->next;
		}
	}
}
