/* SPDX-License-Identifier: MIT */
/* acceptor.c - from a listening socket to complete hellos. */
#include "acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define ACCEPT_BATCH 256
#define SWEEP_NS     NS_PER_S
#define HELLO_NS     (5 * NS_PER_S) /* who has not said hello by then is hung up on */

int acceptor_init(struct acceptor *a, struct hub *hub, struct conn *listener,
		  void (*on_hello)(void *arg, struct accepted *a), void *arg)
{
	*a = (struct acceptor){ .hub = hub,
				.listener = *listener,
				.on_hello = on_hello,
				.arg = arg,
				.swept_ns = clock_now_ns() };
	LIST_INIT(&a->list);
	listener->fd = -1;
	a->listener.hub = hub;
	a->listener.owner = NULL;
	a->listener.kind = CONN_LISTENER;
	return a->listener.via->attach(&a->listener);
}

static void accepted_drop(struct accepted *acc)
{
	if (acc->conn.fd >= 0)
		acc->conn.via->close(&acc->conn);
	LIST_REMOVE(acc, link);
	free(acc);
}

void acceptor_fini(struct acceptor *a)
{
	struct accepted *acc;

	while ((acc = LIST_FIRST(&a->list)))
		accepted_drop(acc);
	if (a->listener.fd >= 0)
		a->listener.via->close(&a->listener);
}

/* Reads what is there. Returns 1 if the connection is finished with, 0 to wait, or -errno. */
static int accepted_read(struct acceptor *a, struct accepted *acc)
{
	const struct via *via = acc->conn.via;
	unsigned char *into = (unsigned char *)&acc->hello;
	const void *view;
	ssize_t n;

	while (acc->got < sizeof(acc->hello)) {
		n = via->rx_view(&acc->conn, sizeof(acc->hello) - acc->got, &view);
		if (n <= 0)
			return n == -EAGAIN || n == -EINTR ? 0 : n < 0 ? (int)n : -ECONNRESET;
		memcpy(into + acc->got, view, (size_t)n);
		acc->got += (size_t)n;
		(void)via->rx_done(&acc->conn, (size_t)n); /* fails only as the next view will */
	}
	if (acc->hello.magic != HELLO_MAGIC || acc->hello.version != HELLO_VERSION)
		return -EPROTO;
	a->on_hello(a->arg, acc);
	return 1;
}

/* A connection just accepted: its hello is often there already. */
static int accepted_begin(struct acceptor *a, struct accepted *acc)
{
	const struct via *via = acc->conn.via;
	int r = via->attach_first ? via->attach(&acc->conn) : 0;

	if (r == 0)
		r = accepted_read(a, acc);
	if (r == 0 && !via->attach_first)
		r = via->attach(&acc->conn);
	return r;
}

static int acceptor_accept(struct acceptor *a)
{
	struct accepted *acc;
	int r;

	a->more = false;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		acc = calloc(1, sizeof(*acc));
		if (!acc)
			return -ENOMEM;
		acc->conn = (struct conn){
			.via = a->listener.via, .hub = a->hub, .owner = acc, .fd = -1
		};
		LIST_INSERT_HEAD(&a->list, acc, link);
		r = acc->conn.via->accept(&a->listener, &acc->conn);
		if (r < 0) {
			accepted_drop(acc);
			return r == -EAGAIN ? 0 : r;
		}
		acc->since_ns = a->swept_ns;
		if (accepted_begin(a, acc) != 0)
			accepted_drop(acc);
	}
	a->more = true;
	return 0;
}

static void acceptor_sweep(struct acceptor *a, uint64_t now_ns)
{
	struct accepted *acc, *next;

	a->swept_ns = now_ns;
	for (acc = LIST_FIRST(&a->list); acc; acc = next) {
		next = LIST_NEXT(acc, link);
		if (now_ns - acc->since_ns > HELLO_NS)
			accepted_drop(acc);
	}
}

int acceptor_turn(struct acceptor *a, int timeout_ms)
{
	struct conn *ready[VIA_READY_MAX];
	uint64_t now_ns;
	int n, r = 0;

	n = a->hub->via->wait(a->hub, ready, VIA_READY_MAX, a->more ? 0 : timeout_ms);
	if (n < 0)
		return n;
	now_ns = clock_now_ns();
	if (now_ns - a->swept_ns > SWEEP_NS && n == 0)
		acceptor_sweep(a, now_ns); /* only between batches: none of @ready is dropped */
	for (int i = 0; i < n; i++) {
		if (ready[i] == &a->listener)
			a->more = true;
		else if (accepted_read(a, ready[i]->owner) != 0)
			accepted_drop(ready[i]->owner);
	}
	if (a->more)
		r = acceptor_accept(a);
	return r;
}
