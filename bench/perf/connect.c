/* SPDX-License-Identifier: MIT */
/* connect.c - connections that live for one round trip. */
#include "connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor.h"
#include "clock.h"
#include "loop.h"

#define ACCEPT_WAIT_MS 100

struct client {
	struct conn conn;
	struct hello hello; /* what it sends */
	struct hello back;  /* what came back */
	size_t got;
	bool sent;
	bool idle; /* the run is over */
	uint64_t began_ns;
	const struct endpoint *to;
};

static void client_init(struct loop *l, struct client *cl, uint32_t index)
{
	const struct connect_plan *plan = l->run_arg;

	*cl = (struct client){ .to = &plan->to[index % plan->to_nr] };
	cl->conn = (struct conn){
		.via = l->crew->via, .hub = &l->hub, .owner = cl, .fd = -1, .blocking = l->blocking
	};
	cl->hello = (struct hello){ .magic = HELLO_MAGIC,
				    .version = HELLO_VERSION,
				    .kind = HELLO_SHORT,
				    .session = l->crew->session,
				    .flow = index };
}

/* Returns 1 when sent, 0 if it has to wait, or -errno. */
static int client_send(struct client *cl)
{
	const struct via *via = cl->conn.via;
	ssize_t n;
	void *view;

	n = via->tx_view(&cl->conn, sizeof(cl->hello), &view);
	if (n == (ssize_t)sizeof(cl->hello)) {
		memcpy(view, &cl->hello, sizeof(cl->hello));
		n = via->tx_push(&cl->conn, sizeof(cl->hello));
	}
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n < 0)
		return (int)n;
	cl->sent = n == (ssize_t)sizeof(cl->hello);
	return cl->sent ? 1 : -EPROTO; /* 64 bytes fit into any new connection at once */
}

/* Returns 1 when complete, 0 if it has to wait, or -errno. */
static int client_receive(struct client *cl)
{
	const struct via *via = cl->conn.via;
	unsigned char *into = (unsigned char *)&cl->back;
	const void *view;
	ssize_t n;

	while (cl->got < sizeof(cl->back)) {
		n = via->rx_view(&cl->conn, sizeof(cl->back) - cl->got, &view);
		if (n <= 0)
			return n == -EAGAIN || n == -EINTR ? 0 : n < 0 ? (int)n : -ECONNRESET;
		memcpy(into + cl->got, view, (size_t)n);
		cl->got += (size_t)n;
		(void)via->rx_done(&cl->conn, (size_t)n); /* fails only as the next view will */
	}
	return 1;
}

/* The round trip is complete: checks, closes, counts. */
static void client_complete(struct loop *l, struct client *cl)
{
	cl->conn.via->close(&cl->conn);
	l->now_ns = clock_now_ns();
	if (memcmp(&cl->hello, &cl->back, sizeof(cl->hello)))
		loop_count(&l->tally.errors, 1);
	loop_count(&l->tally.tx_bytes, sizeof(cl->hello));
	loop_count(&l->tally.rx_bytes, sizeof(cl->back));
	loop_record(l, l->now_ns - cl->began_ns);
	cl->hello.sequence++;
	cl->got = 0;
	cl->sent = false;
}

static int client_open(struct loop *l, struct client *cl)
{
	const struct connect_plan *plan = l->run_arg;

	cl->began_ns = l->now_ns;
	cl->conn.kind = CONN_CONNECTING;
	return cl->conn.via->connect(&cl->conn, cl->to, plan->from);
}

int connect_run_client_blocking(struct loop *l)
{
	struct client cl;
	int r = 0;

	client_init(l, &cl, l->index);
	l->now_ns = clock_now_ns();
	while (!loop_ending(l) && !loop_aborted(l)) {
		r = client_open(l, &cl);
		if (r < 0)
			return loop_fail(l, r, "connect");
		cl.conn.kind = CONN_FLOW;
		r = cl.conn.via->attach(&cl.conn);
		while (r == 0)
			r = client_send(&cl);
		if (r > 0)
			do
				r = client_receive(&cl);
			while (r == 0 && !loop_aborted(l));
		if (r <= 0) {
			cl.conn.via->close(&cl.conn);
			return loop_fail(l, r ? r : -ECANCELED, "round trip after connect");
		}
		client_complete(l, &cl);
	}
	return 0;
}

/* What can be done without waiting. Returns 1 if the round trip is complete, 0, or -errno. */
static int client_advance(struct client *cl)
{
	int r;

	if (cl->conn.kind == CONN_CONNECTING) {
		r = cl->conn.via->connected(&cl->conn);
		if (r < 0)
			return r;
		cl->conn.kind = CONN_FLOW;
	}
	if (!cl->sent) {
		r = client_send(cl);
		if (r == -ENOTCONN)
			return 0; /* an event that came before the connection did */
		/* The answer cannot be there yet: no vain receive, unless one has to be posted. */
		if (r <= 0 || !cl->conn.via->attach_first)
			return r < 0 ? r : 0;
	}
	return client_receive(cl);
}

/* Begins the next connection. Returns 0 or -errno. */
static int client_begin(struct loop *l, struct client *cl)
{
	int r = client_open(l, cl);

	if (r == 0)
		cl->conn.kind = CONN_FLOW;
	else if (r != -EINPROGRESS)
		return r;
	return cl->conn.via->attach(&cl->conn);
}

/* Takes one client as far as it goes. Returns 0 or -errno. */
static int client_turn(struct loop *l, struct client *cl, uint32_t *active)
{
	int r = client_advance(cl);

	if (r <= 0)
		return r;
	client_complete(l, cl);
	if (!loop_ending(l))
		return client_begin(l, cl);
	(*active)--;
	return 0;
}

static int clients_run(struct loop *l, struct client *client, uint32_t nr)
{
	struct conn *ready[VIA_READY_MAX];
	uint32_t active = nr;
	int n, r;

	l->now_ns = clock_now_ns();
	for (uint32_t i = 0; i < nr; i++) {
		client_init(l, &client[i], l->index + i * l->crew->shape.threads);
		r = client_begin(l, &client[i]);
		if (r < 0)
			return loop_fail(l, r, "connect");
	}
	while (active > 0) {
		n = l->hub.via->wait(&l->hub, ready, VIA_READY_MAX, ACCEPT_WAIT_MS);
		if (n < 0)
			return loop_fail(l, n, "waiting for connections");
		l->now_ns = clock_now_ns();
		for (int i = 0; i < n; i++) {
			r = client_turn(l, ready[i]->owner, &active);
			if (r < 0)
				return loop_fail(l, r, "connect or round trip");
		}
		if (loop_aborted(l))
			return loop_fail(l, -ECANCELED, "stopped");
		if (loop_overdue(l))
			return loop_fail(l, -ETIMEDOUT, "connections did not finish");
	}
	return 0;
}

int connect_run_client_hub(struct loop *l)
{
	const struct shape *s = &l->crew->shape;
	uint32_t nr = s->flows / s->threads + (l->index < s->flows % s->threads);
	struct client *client = calloc(nr, sizeof(*client));
	int r;

	if (!client)
		return loop_fail(l, -ENOMEM, "clients");
	for (uint32_t i = 0; i < nr; i++)
		client[i].conn.fd = -1;
	r = clients_run(l, client, nr);
	for (uint32_t i = 0; i < nr; i++)
		if (client[i].conn.fd >= 0)
			client[i].conn.via->close(&client[i].conn);
	free(client);
	return r;
}

/* Server: sends the hello back; the acceptor hangs up behind it. */
static void short_on_hello(void *arg, struct accepted *a)
{
	struct loop *l = arg;
	const struct via *via = a->conn.via;
	void *view;
	ssize_t n;

	if (a->hello.kind != HELLO_SHORT || a->hello.session != l->crew->session) {
		loop_count(&l->tally.errors, 1);
		return;
	}
	/* Before the answer, behind which the client may ask at once how much has arrived. */
	loop_count(&l->tally.rx_bytes, sizeof(a->hello));
	loop_count(&l->tally.messages, 1);
	n = via->tx_view(&a->conn, sizeof(a->hello), &view);
	if (n == (ssize_t)sizeof(a->hello)) {
		memcpy(view, &a->hello, sizeof(a->hello));
		n = via->tx_push(&a->conn, sizeof(a->hello));
	}
	if (n != (ssize_t)sizeof(a->hello))
		loop_count(&l->tally.errors, 1);
}

int connect_run_server(struct loop *l)
{
	struct acceptor acceptor;
	int r = acceptor_init(&acceptor, &l->hub, l->run_arg, short_on_hello, l);

	while (r == 0 && !loop_aborted(l))
		r = acceptor_turn(&acceptor, ACCEPT_WAIT_MS);
	acceptor_fini(&acceptor);
	return r < 0 ? loop_fail(l, r, "accepting") : 0;
}
