/* SPDX-License-Identifier: MIT */
/* server.c - accepts control flows and flows, and keeps the list of sessions. */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "acceptor.h"
#include "session.h"

#define WAIT_MS      100
#define BUF_LEN      (64u << 10)
#define SESSIONS_MAX 64

struct server {
	const struct options *o;
	const struct via *via;
	struct endpoint listen;
	struct hub hub;
	struct acceptor acceptor;
	LIST_HEAD(, session) sessions;
	uint32_t session_nr;
};

static struct session *server_find(struct server *s, uint64_t id)
{
	struct session *session;

	LIST_FOREACH(session, &s->sessions, link)
	if (session->id == id)
		return session;
	return NULL;
}

static void server_reap(struct server *s, bool all)
{
	struct session *session, *next;

	for (session = LIST_FIRST(&s->sessions); session; session = next) {
		next = LIST_NEXT(session, link);
		if (!all && !session_ended(session))
			continue;
		LIST_REMOVE(session, link);
		s->session_nr--;
		session_destroy(session);
	}
}

static int server_open(struct server *s, struct accepted *a)
{
	struct session *session;
	int r;

	if (s->session_nr >= SESSIONS_MAX || server_find(s, a->hello.session))
		return -EBUSY;
	r = session_create(s->via, &a->hello, &a->conn, &s->listen, s->o, &session);
	if (r < 0)
		return r;
	LIST_INSERT_HEAD(&s->sessions, session, link);
	s->session_nr++;
	return 0;
}

static int server_join(struct server *s, struct accepted *a)
{
	struct session *session = server_find(s, a->hello.session);

	return session ? session_join(session, a->hello.flow, &a->conn) : -ENOENT;
}

static void server_on_hello(void *arg, struct accepted *a)
{
	struct server *s = arg;
	int r = -EPROTO;

	/* From here on another thread waits for it. */
	a->conn.via->detach(&a->conn);
	if (a->hello.kind == HELLO_CONTROL)
		r = server_open(s, a);
	else if (a->hello.kind == HELLO_FLOW)
		r = server_join(s, a);
	if (r == 0)
		a->conn.fd = -1;
	else if (a->hello.kind !=
		 HELLO_FLOW) /* thousands of those may come to a session that failed */
		fprintf(stderr, "ncd-perf: refused a connection: %s\n", strerror(-r));
}

static int server_fail(const struct server *s, int err, const char *what)
{
	const char *remedy = "";
	char why[128];

	if (err == -EADDRINUSE)
		remedy = "; another one runs there: choose another --port";
	else if (err == -EADDRNOTAVAIL)
		remedy = "; --listen must be an address of this host";
	else if (err == -ENOENT)
		remedy = "; kernel TCP is measured with cubic: modprobe tcp_cubic, or name it in "
			 "net.ipv4.tcp_allowed_congestion_control";
	else if (err == -EMFILE)
		remedy = "; raise ulimit -n";
	fprintf(stderr, "ncd-perf: server via %s at %s: %s: %s%s\n", s->via->name, s->listen.text,
		what, via_why(s->via, why, sizeof(why), strerror(-err)), remedy);
	return err;
}

static int server_start(struct server *s, uint16_t *port)
{
	struct conn listener = { .via = s->via->control, .fd = -1 };
	int r;

	r = hub_init(&s->hub, s->via->control, 1, BUF_LEN);
	if (r < 0)
		return server_fail(s, r, "setting up");
	r = listener.via->listen(&listener, &s->listen, port);
	if (r < 0) {
		hub_fini(&s->hub);
		return server_fail(s, r, "cannot listen");
	}
	endpoint_set_port(&s->listen, *port);
	r = acceptor_init(&s->acceptor, &s->hub, &listener, server_on_hello, s);
	if (r < 0) {
		acceptor_fini(&s->acceptor);
		hub_fini(&s->hub);
		return server_fail(s, r, "cannot wait");
	}
	return 0;
}

static int server_announce(const struct server *s, uint16_t port, int port_fd)
{
	if (port_fd >= 0)
		return write(port_fd, &port, sizeof(port)) == sizeof(port) ? 0 : -EPIPE;
	printf("ncd-perf: serving via %s at %s\n", s->via->name, s->listen.text);
	fflush(stdout);
	return 0;
}

int server_run(const struct options *o, const struct via *via, uint16_t port, int port_fd)
{
	struct server s = { .o = o, .via = via };
	const struct timespec none = { .tv_sec = 0 };
	sigset_t set;
	int r;

	LIST_INIT(&s.sessions);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Before the first thread: all inherit it. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = endpoint_parse(via, o->listen, port, &s.listen);
	if (r < 0) {
		fprintf(stderr, "ncd-perf: --listen %s: not an address or name\n", o->listen);
		return r;
	}
	r = server_start(&s, &port);
	if (r < 0)
		return r;
	r = server_announce(&s, port, port_fd);
	while (r == 0 && sigtimedwait(&set, NULL, &none) < 0) {
		r = acceptor_turn(&s.acceptor, WAIT_MS);
		server_reap(&s, false);
	}
	server_reap(&s, true);
	acceptor_fini(&s.acceptor);
	if (r < 0)
		(void)server_fail(&s, r, "accepting"); /* returns what it is given */
	hub_fini(&s.hub);
	return r;
}
