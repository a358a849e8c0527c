/* SPDX-License-Identifier: MIT */
/*
 * ipv6.c - AF_INET6, and IPv4 through it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "sem.h"

static struct sockaddr_in6 addr6(uint16_t port)
{
	const char *text = getenv("SEM_ADDR6");
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	(void)inet_pton(AF_INET6, text ? text : "::1", &a.sin6_addr); /* else ::, which fails */
	return a;
}

static struct sockaddr_in6 mapped(uint16_t port)
{
	struct sockaddr_in four = near_addr(port);
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;
	__builtin_memcpy(&a.sin6_addr.s6_addr[12], &four.sin_addr, 4);
	return a;
}

static int socket6(void)
{
	return socket(AF_INET6, SOCK_STREAM, 0);
}

/* What a name says, with its port only as a relation. */
static void named(const char *what, int r, const struct sockaddr_in6 *a, socklen_t len)
{
	char text[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof(text));
	fact("%s: %d family6 %d length %d address %s port %d", what, r, a->sin6_family == AF_INET6,
	     (int)len, text, a->sin6_port != 0);
}

static void names_of(int s)
{
	struct sockaddr_in6 a = { .sin6_family = 0 };
	socklen_t len = sizeof(a);
	int r = getsockname(s, (struct sockaddr *)&a, &len);

	named("getsockname", r, &a, len);
	len = sizeof(a);
	r = getpeername(s, (struct sockaddr *)&a, &len);
	if (r == 0)
		named("getpeername", r, &a, len);
	else
		CALL(r);
}

static void ipv6_connection(void)
{
	struct sockaddr_in6 a = addr6(0);
	int l = socket6(), c = socket6(), s;
	char buf[8];

	CALL(bind(l, (struct sockaddr *)&a, sizeof(a)));
	CALL(listen(l, 4));
	a = addr6(local_port(l));
	CALL(connect(c, (struct sockaddr *)&a, sizeof(a)));
	s = accept(l, NULL, NULL);
	names_of(c);
	names_of(s);
	CALL(send(c, "six", 3, 0));
	fact_bytes("recv", recv(s, buf, 3, MSG_WAITALL), buf);
	CALL(option(c, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
}

static void ipv6_refused(void)
{
	struct sockaddr_in6 a = addr6(0);
	int holder = socket6(), c = socket6();

	CALL(bind(holder, (struct sockaddr *)&a, sizeof(a)));
	a = addr6(local_port(holder));
	CALL(connect(c, (struct sockaddr *)&a, sizeof(a)));
}

static void ipv6_listener_takes_ipv4(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int l = socket6(), c, s;

	CALL(bind(l, (struct sockaddr *)&any, sizeof(any)));
	CALL(listen(l, 4));
	c = client_open(local_port(l));
	s = accept(l, NULL, NULL);
	names_of(s);
	fact("same port %d", remote_port(s) == local_port(c));
	CALL(send(c, "a", 1, 0));
	CALL(recv(s, &(char){ 0 }, 1, 0));
}

static void ipv6_only_listener_does_not_take_ipv4(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	struct sockaddr_in to;
	int l = socket6(), c = tcp_socket();

	CALL(option(l, IPPROTO_IPV6, IPV6_V6ONLY));
	CALL(set_option(l, IPPROTO_IPV6, IPV6_V6ONLY, 1));
	CALL(option(l, IPPROTO_IPV6, IPV6_V6ONLY));
	CALL(bind(l, (struct sockaddr *)&any, sizeof(any)));
	CALL(listen(l, 4));
	to = near_addr(local_port(l));
	CALL(connect(c, (struct sockaddr *)&to, sizeof(to)));
	CALL(set_option(l, IPPROTO_IPV6, IPV6_V6ONLY, 0));
}

static void mapped_client(void)
{
	uint16_t port;
	int l = listener_open(&port), c = socket6(), s;
	struct sockaddr_in6 to = mapped(port);

	CALL(connect(c, (struct sockaddr *)&to, sizeof(to)));
	names_of(c);
	s = accept(l, NULL, NULL);
	fact("same port %d", remote_port(s) == local_port(c));
	CALL(send(c, "a", 1, 0));
	CALL(recv(s, &(char){ 0 }, 1, 0));
}

static void mapped_listener(void)
{
	struct sockaddr_in6 a = mapped(0);
	int l = socket6(), s;

	CALL(bind(l, (struct sockaddr *)&a, sizeof(a)));
	CALL(listen(l, 4));
	names_of(l);
	(void)client_open(local_port(l));
	s = accept(l, NULL, NULL);
	names_of(s);
}

static void mapped_not_through_an_ipv6_only_socket(void)
{
	uint16_t port;
	int c = socket6();
	struct sockaddr_in6 to;

	(void)listener_open(&port);
	to = mapped(port);
	CALL(set_option(c, IPPROTO_IPV6, IPV6_V6ONLY, 1));
	CALL(connect(c, (struct sockaddr *)&to, sizeof(to)));
}

static void ipv6_socket_and_ipv4_address(void)
{
	uint16_t port;
	int c = socket6();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	CALL(connect(c, (struct sockaddr *)&to, sizeof(to)));
	CALL(bind(c, (struct sockaddr *)&to, sizeof(to)));
}

static void ipv6_fresh_names(void)
{
	int s = socket6();

	names_of(s);
	CALL(option(s, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
}

static void ipv6_any_and_ipv4_any_conflict(void)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	int a = socket6(), b = tcp_socket();

	CALL(bind(a, (struct sockaddr *)&six, sizeof(six)));
	CALL(listen(a, 1));
	four.sin_port = htons(local_port(a));
	CALL(bind(b, (struct sockaddr *)&four, sizeof(four)));
}

const struct sem_case cases_ipv6[] = {
	CASE(ipv6_connection),
	CASE(ipv6_refused),
	CASE(ipv6_listener_takes_ipv4),
	CASE(ipv6_only_listener_does_not_take_ipv4),
	CASE(mapped_client),
	CASE(mapped_listener),
	CASE(mapped_not_through_an_ipv6_only_socket),
	CASE(ipv6_socket_and_ipv4_address),
	CASE(ipv6_fresh_names),
	CASE(ipv6_any_and_ipv4_any_conflict),
	CASES_END,
};
