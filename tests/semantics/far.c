/* SPDX-License-Identifier: MIT */
/*
 * far.c - the far end of a pair: an agent that does to its socket what the case asks for.
 *
 * The agent is a thread of the case's process, or a process of its own, which may be attached to
 * another ncd than the case, or to none. Either way it serves requests, one packet each, in order,
 * and answers each one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

enum far_op {
	FAR_LISTEN = 1,
	FAR_ACCEPT,
	FAR_CONNECT,
	FAR_SEND,
	FAR_RECV,
	FAR_PUMP,
	FAR_DRAIN,
	FAR_ECHO,
	FAR_SHUTDOWN,
	FAR_CLOSE,
	FAR_RESET,
};

struct far_request {
	enum far_op op;
	int small; /* LISTEN, CONNECT: small buffers */
	uint16_t port;
	size_t len; /* of data, or to send or receive; SHUTDOWN: how */
	char data[FAR_BYTES];
};

struct far_reply {
	long result;
	int error;
	char data[FAR_BYTES];
};

struct agent {
	int control, listener, fd;
	uint64_t sent, received; /* of the pattern */
};

/* Of near and far, before they connect or listen. */
static void shrink(int s)
{
	(void)set_option(s, SOL_SOCKET, SO_SNDBUF, 16384); /* a hint */
	(void)set_option(s, SOL_SOCKET, SO_RCVBUF, 16384);
}

static struct sockaddr_in far_addr(void)
{
	const char *text = getenv("SEM_FAR_ADDR");
	struct sockaddr_in a = near_addr(0);

	if (text)
		(void)inet_pton(AF_INET, text, &a.sin_addr); /* what is wrong is seen at connect */
	return a;
}

/* ---- the agent ---- */

static long agent_listen(struct agent *a, bool small)
{
	struct sockaddr_in at = far_addr();

	a->listener = tcp_socket();
	if (small)
		shrink(a->listener);
	if (bind(a->listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(a->listener, 1) < 0)
		return -1;
	return local_port(a->listener);
}

static long agent_connect(struct agent *a, uint16_t port, bool small)
{
	struct sockaddr_in to = near_addr(port);

	a->fd = tcp_socket();
	if (small)
		shrink(a->fd);
	return connect(a->fd, (struct sockaddr *)&to, sizeof(to));
}

static long agent_echo(struct agent *a)
{
	char buf[16384];
	long all = 0;
	ssize_t n, m;

	while ((n = recv(a->fd, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t done = 0; done < n; done += m) {
			m = send(a->fd, buf + done, (size_t)(n - done), MSG_NOSIGNAL);
			if (m < 0)
				return -1;
		}
		all += n;
	}
	return n < 0 || close(a->fd) < 0 ? -1 : all;
}

static long agent_reset(struct agent *a)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
		return -1;
	return close(a->fd);
}

static long agent_do(struct agent *a, const struct far_request *q, char *data)
{
	size_t n;

	switch (q->op) {
	case FAR_LISTEN:
		return agent_listen(a, q->small);
	case FAR_ACCEPT:
		a->fd = accept(a->listener, NULL, NULL);
		return a->fd < 0 || close(a->listener) < 0 ? -1 : 0;
	case FAR_CONNECT:
		return agent_connect(a, q->port, q->small);
	case FAR_SEND:
		return send(a->fd, q->data, q->len, MSG_NOSIGNAL);
	case FAR_RECV:
		return recv(a->fd, data, q->len, 0);
	case FAR_PUMP:
		n = pattern_send(a->fd, a->sent, q->len, 65536);
		a->sent += n;
		return (long)n;
	case FAR_DRAIN:
		n = pattern_recv(a->fd, a->received, q->len, 65536);
		a->received += n;
		return (long)n;
	case FAR_ECHO:
		return agent_echo(a);
	case FAR_SHUTDOWN:
		return shutdown(a->fd, (int)q->len);
	case FAR_CLOSE:
		return close(a->fd);
	case FAR_RESET:
		return agent_reset(a);
	}
	errno = ENOSYS;
	return -1;
}

/* Until the case's process has gone. */
static void agent_serve(int control)
{
	struct agent a = { .control = control, .listener = -1, .fd = -1 };
	struct far_request q;
	struct far_reply r;

	while (recv(control, &q, sizeof(q), 0) > 0) {
		memset(&r, 0, sizeof(r));
		r.result = agent_do(&a, &q, r.data);
		r.error = errno;
		if (send(control, &r, sizeof(r), MSG_NOSIGNAL) < 0)
			return;
	}
}

int far_main(int control)
{
	(void)alarm(15); /* nobody is left behind */
	agent_serve(control);
	return EXIT_SUCCESS;
}

static void *agent_thread(void *arg)
{
	agent_serve((int)(intptr_t)arg);
	return NULL;
}

/* Does not return. */
static void agent_exec(int control)
{
	const char *socket = getenv("SEM_FAR_SOCKET");
	char number[16];

	if (socket)
		(void)setenv("NCD_SOCKET", socket, 1); /* what fails is seen at connect */
	if (getenv("SEM_FAR_PLAIN"))
		(void)unsetenv("LD_PRELOAD");
	(void)snprintf(number, sizeof(number), "%d", control);
	(void)execl("/proc/self/exe", "semantics", "--agent", number, (char *)NULL);
	_exit(127);
}

/* Returns the case's end of the control socket. */
static int agent_start(void)
{
	const char *far = getenv("SEM_FAR");
	bool process = far && strcmp(far, "process") == 0;
	pthread_t thread;
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0) {
		fact("cannot go on: socketpair: %s", strerrorname_np(errno));
		exit(EXIT_FAILURE);
	}
	if (process) {
		r = fork();
		if (r == 0) {
			(void)close(ends[0]);
			agent_exec(ends[1]);
		}
		(void)close(ends[1]); /* of the agent, whose end we then see */
	} else {
		r = -pthread_create(&thread, NULL, agent_thread, (void *)(intptr_t)ends[1]);
	}
	if (r < 0) {
		fact("cannot go on: no agent");
		exit(EXIT_FAILURE);
	}
	return ends[0];
}

/* ---- requests ---- */

static void far_ask(struct pair *p, enum far_op op, const void *data, size_t len)
{
	struct far_request q = { .op = op, .len = len };

	if (data)
		memcpy(q.data, data, len < FAR_BYTES ? len : FAR_BYTES);
	if (send(p->control, &q, sizeof(q), MSG_NOSIGNAL) < 0)
		fact("the agent has gone");
}

static long far_answer(struct pair *p, char *data)
{
	struct far_reply r;

	if (recv(p->control, &r, sizeof(r), 0) <= 0) {
		fact("no answer from the agent");
		return -1;
	}
	if (data)
		memcpy(data, r.data, r.result > 0 ? (size_t)r.result : 0);
	errno = r.error;
	return r.result;
}

static long far_do(struct pair *p, enum far_op op, const void *data, size_t len)
{
	far_ask(p, op, data, len);
	return far_answer(p, NULL);
}

long far_send(struct pair *p, const char *text)
{
	return far_do(p, FAR_SEND, text, strlen(text));
}

long far_recv(struct pair *p, char *buf, size_t len)
{
	far_ask(p, FAR_RECV, NULL, len < FAR_BYTES ? len : FAR_BYTES);
	return far_answer(p, buf);
}

long far_pump(struct pair *p, size_t len)
{
	return far_do(p, FAR_PUMP, NULL, len);
}

long far_drain(struct pair *p, size_t len)
{
	return far_do(p, FAR_DRAIN, NULL, len);
}

long far_shutdown(struct pair *p, int how)
{
	return far_do(p, FAR_SHUTDOWN, NULL, (size_t)how);
}

long far_close(struct pair *p)
{
	return far_do(p, FAR_CLOSE, NULL, 0);
}

long far_reset(struct pair *p)
{
	return far_do(p, FAR_RESET, NULL, 0);
}

void far_start_send(struct pair *p, const char *text)
{
	far_ask(p, FAR_SEND, text, strlen(text));
}

void far_start_pump(struct pair *p, size_t len)
{
	far_ask(p, FAR_PUMP, NULL, len);
}

void far_start_drain(struct pair *p, size_t len)
{
	far_ask(p, FAR_DRAIN, NULL, len);
}

void far_start_echo(struct pair *p)
{
	far_ask(p, FAR_ECHO, NULL, 0);
}

void far_start_close(struct pair *p)
{
	far_ask(p, FAR_CLOSE, NULL, 0);
}

long far_finish(struct pair *p)
{
	return far_answer(p, NULL);
}

/* ---- pairs ---- */

/* The far end connects, the near one is what accept gave. */
static void pair_accept(struct pair *p, struct far_request *q)
{
	int l = tcp_socket();

	if (q->small)
		shrink(l);
	(void)listener_open_on(l, &q->port);
	q->op = FAR_CONNECT;
	(void)send(p->control, q, sizeof(*q), 0); /* a failure is seen at the answer */
	p->fd = accept(l, NULL, NULL);
	if (far_answer(p, NULL) < 0 || p->fd < 0)
		fact("cannot go on: no pair: %s", strerrorname_np(errno));
	(void)close(l);
}

static void pair_connect(struct pair *p, struct far_request *q)
{
	struct sockaddr_in to = far_addr();
	long port;

	q->op = FAR_LISTEN;
	(void)send(p->control, q, sizeof(*q), 0); /* a failure is seen at the answer */
	port = far_answer(p, NULL);
	to.sin_port = htons((uint16_t)port);
	p->fd = tcp_socket();
	if (q->small)
		shrink(p->fd);
	if (port <= 0 || connect(p->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    far_do(p, FAR_ACCEPT, NULL, 0) < 0)
		fact("cannot go on: no pair: %s", strerrorname_np(errno));
}

static struct pair pair_make(int small)
{
	const char *near = getenv("SEM_NEAR");
	struct far_request q = { .small = small };
	struct pair p = { .fd = -1, .control = agent_start() };

	if (near && strcmp(near, "accepted") == 0)
		pair_accept(&p, &q);
	else
		pair_connect(&p, &q);
	return p;
}

struct pair pair_open(void)
{
	return pair_make(0);
}

struct pair pair_listening(struct sockaddr_in *ret_to)
{
	struct pair p = { .fd = tcp_socket(), .control = agent_start() };

	*ret_to = far_addr();
	ret_to->sin_port = htons((uint16_t)far_do(&p, FAR_LISTEN, NULL, 0));
	return p;
}

long far_accept(struct pair *p)
{
	return far_do(p, FAR_ACCEPT, NULL, 0);
}

struct pair pair_open_small(void)
{
	return pair_make(1);
}
