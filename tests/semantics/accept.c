/* SPDX-License-Identifier: MIT */
/*
 * accept.c - accept(2) and accept4(2).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sem.h"

static void accept_nonblocking_none(void)
{
	uint16_t port;
	int l = listener_open(&port);

	set_nonblocking(l, true);
	CALL(accept(l, NULL, NULL));
	CALL(accept4(l, NULL, NULL, SOCK_NONBLOCK));
}

static void accept_nonblocking_one(void)
{
	uint16_t port;
	int l = listener_open(&port);

	set_nonblocking(l, true);
	(void)client_open(port);
	(void)wait_for(l, POLLIN);
	CALL(accept(l, NULL, NULL) >= 0);
	CALL(accept(l, NULL, NULL));
}

static void accept_gives_the_address(void)
{
	struct sockaddr_in a, near = near_addr(0);
	socklen_t len = sizeof(a);
	uint16_t port;
	int l = listener_open(&port), c = client_open(port);

	CALL(accept(l, (struct sockaddr *)&a, &len) >= 0);
	fact("length %d family %d port %d address %d", (int)len, a.sin_family == AF_INET,
	     ntohs(a.sin_port) == local_port(c), a.sin_addr.s_addr == near.sin_addr.s_addr);
}

static void accept_into_a_short_address(void)
{
	struct sockaddr_in a;
	socklen_t len = 2;
	uint16_t port;
	int l = listener_open(&port);

	memset(&a, 0x55, sizeof(a));
	(void)client_open(port);
	CALL(accept(l, (struct sockaddr *)&a, &len) >= 0);
	fact("length %d family %d rest %x", (int)len, a.sin_family == AF_INET, a.sin_addr.s_addr);
}

static void accept_negative_length(void)
{
	struct sockaddr_in a;
	socklen_t len = (socklen_t)-1;
	uint16_t port;
	int l = listener_open(&port);

	(void)client_open(port);
	CALL(accept(l, (struct sockaddr *)&a, &len) >= 0);
}

static void accept4_flags(void)
{
	uint16_t port;
	int l = listener_open(&port), s;

	for (int flags = 0; flags < 4; flags++) {
		(void)client_open(port);
		s = accept4(l, NULL, NULL,
			    (flags & 1 ? SOCK_NONBLOCK : 0) | (flags & 2 ? SOCK_CLOEXEC : 0));
		fact("nonblock %d cloexec %d", !!(fcntl(s, F_GETFL) & O_NONBLOCK),
		     fcntl(s, F_GETFD) & FD_CLOEXEC);
	}
}

static void accept4_unknown_flags(void)
{
	uint16_t port;
	int l = listener_open(&port);

	(void)client_open(port);
	CALL(accept4(l, NULL, NULL, 0x40));
	CALL(accept4(l, NULL, NULL, 0) >= 0);
}

static void accept_does_not_inherit_nonblock(void)
{
	uint16_t port;
	int l = listener_open(&port), s;

	set_nonblocking(l, true);
	(void)client_open(port);
	(void)wait_for(l, POLLIN);
	s = accept(l, NULL, NULL);
	CALL(fcntl(s, F_GETFL) & O_NONBLOCK);
	CALL(fcntl(s, F_GETFD));
}

static void accept_what_does_not_listen(void)
{
	struct sockaddr_in a = near_addr(0);
	struct ends e = ends_open();
	int s = tcp_socket();

	CALL(accept(s, NULL, NULL));
	CALL(accept(e.c, NULL, NULL));
	(void)bind(s, (struct sockaddr *)&a, sizeof(a)); /* bound, not listening */
	CALL(accept(s, NULL, NULL));
}

static void accept_in_order(void)
{
	uint16_t port, ports[5];
	int l = listener_open(&port);

	for (int i = 0; i < 5; i++)
		ports[i] = local_port(client_open(port));
	for (int i = 0; i < 5; i++)
		fact("number %d: %d", i, remote_port(accept(l, NULL, NULL)) == ports[i]);
}

static void accept_one_that_has_closed(void)
{
	uint16_t port;
	int l = listener_open(&port), s;

	CALL(close(client_open(port)));
	s = accept(l, NULL, NULL);
	CALL(s >= 0);
	CALL(recv(s, &(char){ 0 }, 1, 0));
}

static void accept_one_that_has_sent_and_closed(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s;
	char buf[8];

	CALL(send(c, "hello", 5, 0));
	CALL(close(c));
	s = accept(l, NULL, NULL);
	fact_bytes("recv", recv(s, buf, sizeof(buf), MSG_WAITALL), buf);
	CALL(recv(s, buf, 1, 0));
}

static void accept_one_that_has_reset(void)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s;

	CALL(setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	CALL(close(c));
	s = accept(l, NULL, NULL);
	CALL(s >= 0);
	wait_broken(s);
	CALL(recv(s, &(char){ 0 }, 1, 0));
}

/* Returns NULL if all went well. */
static void *accept_and_send(void *arg)
{
	int s = accept(*(int *)arg, NULL, NULL);

	return s >= 0 && send(s, "t", 1, 0) == 1 ? NULL : arg;
}

static void join(pthread_t thread)
{
	void *failure;

	(void)pthread_join(thread, &failure);
	fact("thread did it: %d", failure == NULL);
}

static void accept_blocks_until_one_comes(void)
{
	pthread_t thread;
	uint16_t port;
	int l = listener_open(&port), c;

	(void)pthread_create(&thread, NULL, accept_and_send, &l);
	c = client_open(port);
	join(thread);
	CALL(recv(c, &(char){ 0 }, 1, 0));
}

static void accept_by_two_threads(void)
{
	pthread_t threads[2];
	uint16_t port;
	int l = listener_open(&port), a, b;

	for (int i = 0; i < 2; i++)
		(void)pthread_create(&threads[i], NULL, accept_and_send, &l);
	a = client_open(port);
	b = client_open(port);
	for (int i = 0; i < 2; i++)
		join(threads[i]);
	CALL(recv(a, &(char){ 0 }, 1, 0));
	CALL(recv(b, &(char){ 0 }, 1, 0));
}

static void accept_one_then_talk_both_ways(void)
{
	struct ends e = ends_open();
	char buf[8];

	CALL(send(e.c, "ping", 4, 0));
	fact_bytes("recv", recv(e.s, buf, 4, MSG_WAITALL), buf);
	CALL(send(e.s, "pong", 4, 0));
	fact_bytes("recv", recv(e.c, buf, 4, MSG_WAITALL), buf);
}

static void accept_with_two_listeners(void)
{
	uint16_t one, two;
	int a = listener_open(&one), b = listener_open(&two), ca = client_open(one),
	    cb = client_open(two);

	CALL(remote_port(accept(b, NULL, NULL)) == local_port(cb));
	CALL(remote_port(accept(a, NULL, NULL)) == local_port(ca));
}

static void accept_through_a_duplicate(void)
{
	uint16_t port;
	int l = listener_open(&port), d = dup(l);

	CALL(close(l));
	(void)client_open(port);
	CALL(accept(d, NULL, NULL) >= 0);
}

static void accept_bad_address_pointer(void)
{
	socklen_t len = sizeof(struct sockaddr_in);
	uint16_t port;
	int l = listener_open(&port);

	(void)client_open(port);
	CALL(accept(l, bad_pointer(), &len));
}

/* Without a number for it a client stays in the queue, and is served later. */
static void accept_without_a_number(void)
{
	struct rlimit limit = { 64, 64 };
	uint16_t port;
	int l = listener_open(&port), c[4], s, nr = 0;
	char byte;

	for (int i = 0; i < 4; i++) {
		c[i] = client_open(port);
		CALL(send(c[i], "a", 1, 0));
	}
	set_nonblocking(l, true);
	wait_for(l, POLLIN);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	while (dup(l) >= 0)
		;
	for (int i = 0; i < 4; i++)
		CALL(accept(l, NULL, NULL));
	fact_poll(l, POLLIN, 0);
	for (int fd = 30; fd < 64; fd++)
		if (fd != l)
			(void)close(fd); /* none of it is a client */
	for (int i = 0; i < 4; i++) {
		s = accept(l, NULL, NULL);
		nr += s >= 0 && recv(s, &byte, 1, 0) == 1;
	}
	fact("served %d", nr);
	CALL(accept(l, NULL, NULL));
}

const struct sem_case cases_accept[] = {
	CASE(accept_nonblocking_none),     CASE(accept_nonblocking_one),
	CASE(accept_gives_the_address),    CASE(accept_into_a_short_address),
	CASE(accept_negative_length),      CASE(accept4_flags),
	CASE(accept4_unknown_flags),       CASE(accept_does_not_inherit_nonblock),
	CASE(accept_what_does_not_listen), CASE(accept_in_order),
	CASE(accept_one_that_has_closed),  CASE(accept_one_that_has_sent_and_closed),
	CASE(accept_one_that_has_reset),   CASE(accept_blocks_until_one_comes),
	CASE(accept_by_two_threads),       CASE(accept_one_then_talk_both_ways),
	CASE(accept_with_two_listeners),   CASE(accept_through_a_duplicate),
	CASE(accept_bad_address_pointer),  CASE(accept_without_a_number),
	CASES_END,
};
