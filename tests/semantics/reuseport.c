/* SPDX-License-Identifier: MIT */
/*
 * reuseport.c - several listening sockets on one address and port, all with SO_REUSEPORT.
 *
 * Which of them a client comes to is not printed: the kernel goes by a hash of the ports.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

#define CLIENTS 40

static int reuse_open(uint16_t *port)
{
	struct sockaddr_in a = near_addr(*port);
	int s = tcp_socket();

	(void)set_option(s, SOL_SOCKET, SO_REUSEPORT, 1);
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
	CALL(listen(s, CLIENTS));
	*port = local_port(s);
	return s;
}

/* Answers each client of @l with one byte, until it is killed. */
static _Noreturn void serve(int l)
{
	for (;;) {
		int s = accept(l, NULL, NULL);

		if (s >= 0)
			(void)send(s, "x", 1, MSG_NOSIGNAL);
		(void)close(s);
	}
}

static pid_t server_of(int l)
{
	pid_t child = fork();

	if (child == 0)
		serve(l);
	return child;
}

static void server_end(pid_t child)
{
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
}

/* Of @nr clients, one after the other. */
static int served(uint16_t port, int nr)
{
	int got = 0;

	for (int i = 0; i < nr; i++) {
		int c = client_open(port);

		got += recv(c, &(char){ 0 }, 1, 0) == 1;
		(void)close(c);
	}
	return got;
}

/* As nginx does: the parent makes all, and each child accepts at one. */
static void reuseport_a_socket_for_each_child(void)
{
	uint16_t port = 0;
	pid_t child[2];
	int l[2];

	for (int i = 0; i < 2; i++)
		l[i] = reuse_open(&port);
	for (int i = 0; i < 2; i++)
		child[i] = server_of(l[i]);
	fact("served %d", served(port, CLIENTS));
	for (int i = 0; i < 2; i++)
		server_end(child[i]);
}

/* As processes that were started apart. */
static void reuseport_each_process_its_own(void)
{
	uint16_t port = 0;
	int first = reuse_open(&port), told[2];
	pid_t child[2] = { server_of(first) };

	CALL(close(first));
	CALL(pipe(told));
	child[1] = fork();
	if (child[1] == 0) {
		int second = reuse_open(&port);

		(void)close(told[1]); /* it listens */
		serve(second);
	}
	(void)close(told[1]);
	CALL(read(told[0], &(char){ 0 }, 1));
	fact("served %d", served(port, CLIENTS));
	for (int i = 0; i < 2; i++)
		server_end(child[i]);
}

static void reuseport_one_is_closed(void)
{
	uint16_t port = 0;
	int first = reuse_open(&port), second = reuse_open(&port);
	pid_t child;

	CALL(close(first));
	child = server_of(second);
	fact("served %d", served(port, CLIENTS));
	server_end(child);
}

/* All clients are in one of two queues, and none in both. */
static void reuseport_two_of_one_process(void)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	uint16_t port = 0;
	int got = 0;

	for (int i = 0; i < 2; i++) {
		p[i].fd = reuse_open(&port);
		set_nonblocking(p[i].fd, true);
	}
	for (int i = 0; i < CLIENTS; i++)
		(void)client_open(port);
	while (got < CLIENTS && poll(p, 2, WAIT_MS) > 0)
		for (int i = 0; i < 2; i++)
			got += (p[i].revents & POLLIN) && accept(p[i].fd, NULL, NULL) >= 0;
	fact("accepted %d", got);
	for (int i = 0; i < 2; i++)
		CALL(accept(p[i].fd, NULL, NULL));
}

static void reuseport_needs_both_to_have_it(void)
{
	struct sockaddr_in a;
	uint16_t port = 0;
	int s = tcp_socket(), l;

	(void)reuse_open(&port);
	a = near_addr(port);
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
	l = listener_open(&port);
	a = near_addr(port);
	(void)set_option(s, SOL_SOCKET, SO_REUSEPORT, 1);
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
	CALL(close(l));
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
}

const struct sem_case cases_reuseport[] = {
	CASE(reuseport_a_socket_for_each_child),
	CASE(reuseport_each_process_its_own),
	CASE(reuseport_one_is_closed),
	CASE(reuseport_two_of_one_process),
	CASE(reuseport_needs_both_to_have_it),
	CASES_END,
};
