/* SPDX-License-Identifier: MIT */
/*
 * names.c - programs that take what getaddrinfo gives, and name their peers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

/* As programs do: the first address that works. */
static int first_that_works(const char *host, uint16_t port, int flags, bool to_listen)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = flags,
				  .ai_family = AF_INET };
	struct addrinfo *all = NULL;
	char service[8];
	int s = -1, r;

	(void)snprintf(service, sizeof(service), "%d", port);
	r = getaddrinfo(host, service, &hints, &all);
	fact("getaddrinfo %d", r);
	for (struct addrinfo *a = all; a && s < 0; a = a->ai_next) {
		s = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		r = to_listen ? bind(s, a->ai_addr, a->ai_addrlen)
			      : connect(s, a->ai_addr, a->ai_addrlen);
		if (r < 0 || (to_listen && listen(s, 4) < 0)) {
			(void)close(s); /* the next one */
			s = -1;
		}
	}
	if (all)
		freeaddrinfo(all);
	return s;
}

static void names_of_a_number(void)
{
	struct sockaddr_in near = near_addr(0);
	char text[INET_ADDRSTRLEN];
	uint16_t port;
	int l = listener_open(&port), c;

	(void)inet_ntop(AF_INET, &near.sin_addr, text, sizeof(text));
	c = first_that_works(text, port, AI_NUMERICHOST, false);
	CALL(c >= 0);
	CALL(send(c, "a", 1, 0));
	CALL(recv(accept(l, NULL, NULL), &(char){ 0 }, 1, 0));
}

static void names_of_localhost(void)
{
	int l = tcp_socket(), c;

	CALL(listen(l, 4));
	c = first_that_works("localhost", local_port(l), 0, false);
	CALL(c >= 0);
	CALL(send(c, "a", 1, 0));
	CALL(recv(accept(l, NULL, NULL), &(char){ 0 }, 1, 0));
}

static void names_to_listen_on(void)
{
	int l = first_that_works(NULL, 0, AI_PASSIVE, true), c;

	CALL(l >= 0);
	c = client_open(local_port(l));
	CALL(send(c, "a", 1, 0));
	CALL(recv(accept(l, NULL, NULL), &(char){ 0 }, 1, 0));
}

static void names_of_a_peer(void)
{
	struct ends e = ends_open();
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char host[64], service[16];

	CALL(getpeername(e.s, (struct sockaddr *)&a, &len));
	CALL(getnameinfo((struct sockaddr *)&a, len, host, sizeof(host), service, sizeof(service),
			 NI_NUMERICHOST | NI_NUMERICSERV));
	fact("host %s same port %d", host, strtol(service, NULL, 10) == local_port(e.c));
}

const struct sem_case cases_names[] = {
	CASE(names_of_a_number),
	CASE(names_of_localhost),
	CASE(names_to_listen_on),
	CASE(names_of_a_peer),
	CASES_END,
};
