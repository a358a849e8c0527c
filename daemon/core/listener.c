/* SPDX-License-Identifier: MIT */
/*
 * listener.c - listeners by port, and the ephemeral ports.
 */
#include <errno.h>
#include <stddef.h>

#include "listener.h"

static bool family_equal(const struct address *a, const struct address *b)
{
	return address_is_v4(a) == address_is_v4(b);
}

static bool same_place(const struct listener *l, const struct address *addr)
{
	return address_equal(&l->addr, addr) ||
	       (address_is_any(&l->addr) && address_is_any(addr) && family_equal(&l->addr, addr));
}

struct listener *listener_exact(const struct listener_table *t, const struct address *addr,
				uint16_t port)
{
	uint32_t i;

	for (i = t->by_port[port]; i != 0; i = t->at[i - 1].next)
		if (same_place(&t->at[i - 1], addr))
			return &t->at[i - 1];
	return NULL;
}

int listener_add(struct listener_table *t, const struct address *addr, uint16_t port, void *user)
{
	uint32_t i;

	if (listener_exact(t, addr, port))
		return -EADDRINUSE;
	for (i = 0; i < t->capacity && t->at[i].used; i++)
		;
	if (i == t->capacity)
		return -ENOBUFS;
	t->at[i] = (struct listener){ *addr, port, true, t->by_port[port], user };
	t->by_port[port] = i + 1;
	return 0;
}

void listener_remove(struct listener_table *t, const struct address *addr, uint16_t port)
{
	uint32_t *link = &t->by_port[port];

	while (*link != 0) {
		struct listener *l = &t->at[*link - 1];

		if (same_place(l, addr)) {
			*link = l->next;
			l->used = false;
			return;
		}
		link = &l->next;
	}
}

/* As the kernel: 0.0.0.0 hears IPv4; :: hears both (IPV6_V6ONLY is off by default). */
static bool wildcard_hears(const struct listener *l, const struct address *addr)
{
	return address_is_any(&l->addr) && (!address_is_v4(&l->addr) || address_is_v4(addr));
}

struct listener *listener_find(const struct listener_table *t, const struct address *addr,
			       uint16_t port)
{
	struct listener *wildcard = NULL;
	uint32_t i;

	for (i = t->by_port[port]; i != 0; i = t->at[i - 1].next) {
		struct listener *l = &t->at[i - 1];

		if (address_equal(&l->addr, addr))
			return l;
		if (wildcard_hears(l, addr) && (wildcard == NULL || address_is_v4(&l->addr)))
			wildcard = l;
	}
	return wildcard;
}

void port_pool_init(struct port_pool *p, uint16_t low, uint16_t high, uint64_t seed)
{
	uint32_t range = (uint32_t)(high - low) + 1;

	p->low = low;
	p->high = high;
	p->next = (uint16_t)(low + seed % range);
}

uint16_t port_pool_take(struct port_pool *p)
{
	uint32_t range = (uint32_t)(p->high - p->low) + 1;
	uint16_t port;

	do {
		port = p->next;
		p->next = port == p->high ? p->low : (uint16_t)(port + 1);
	} while (p->uses[port] != 0 && p->busy < range);
	port_pool_hold(p, port);
	return port;
}

static bool in_range(const struct port_pool *p, uint16_t port)
{
	return port >= p->low && port <= p->high;
}

void port_pool_hold(struct port_pool *p, uint16_t port)
{
	if (p->uses[port] == UINT16_MAX)
		return;
	if (p->uses[port]++ == 0 && in_range(p, port))
		p->busy++;
}

void port_pool_release(struct port_pool *p, uint16_t port)
{
	if (p->uses[port] == 0)
		return;
	if (--p->uses[port] == 0 && in_range(p, port))
		p->busy--;
}
