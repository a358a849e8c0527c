/* SPDX-License-Identifier: MIT */
/*
 * bind.c - bind(2): which addresses and ports can be had, twice, again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static int bind_to(int s, uint16_t port)
{
	struct sockaddr_in a = near_addr(port);

	return bind(s, (struct sockaddr *)&a, sizeof(a));
}

static void bind_to_a_free_port(void)
{
	int s = tcp_socket();

	CALL(bind_to(s, 0));
	fact("port: %d", local_port(s) > 0);
}

static void bind_twice(void)
{
	int s = tcp_socket();

	CALL(bind_to(s, 0));
	CALL(bind_to(s, 0));
}

static void bind_after_listen_without_bind(void)
{
	int s = tcp_socket();

	CALL(listen(s, 1));
	CALL(bind_to(s, 0));
}

static void bind_when_connected(void)
{
	struct ends e = ends_open();

	CALL(bind_to(e.c, 0));
	CALL(bind_to(e.s, 0));
}

static void bind_to_a_port_in_use(void)
{
	int a = tcp_socket(), b = tcp_socket();

	CALL(bind_to(a, 0));
	CALL(bind_to(b, local_port(a)));
}

static void bind_to_a_port_listened_on(void)
{
	uint16_t port;
	int b = tcp_socket();

	(void)listener_open(&port);
	CALL(bind_to(b, port));
	(void)set_option(b, SOL_SOCKET, SO_REUSEADDR, 1);
	CALL(bind_to(b, port));
}

static void bind_reuseaddr_two_that_do_not_listen(void)
{
	int a = tcp_socket(), b = tcp_socket();

	CALL(set_option(a, SOL_SOCKET, SO_REUSEADDR, 1));
	CALL(set_option(b, SOL_SOCKET, SO_REUSEADDR, 1));
	CALL(bind_to(a, 0));
	CALL(bind_to(b, local_port(a)));
	CALL(listen(a, 1));
	CALL(listen(b, 1));
}

static void bind_reuseport(void)
{
	int a = tcp_socket(), b = tcp_socket(), c = tcp_socket();

	CALL(set_option(a, SOL_SOCKET, SO_REUSEPORT, 1));
	CALL(set_option(b, SOL_SOCKET, SO_REUSEPORT, 1));
	CALL(bind_to(a, 0));
	CALL(listen(a, 4));
	CALL(bind_to(b, local_port(a)));
	CALL(listen(b, 4));
	CALL(bind_to(c, local_port(a)));
}

static void bind_again_after_close(void)
{
	uint16_t port;
	int l = listener_open(&port), s = tcp_socket();

	CALL(close(l));
	CALL(bind_to(s, port));
	CALL(listen(s, 4));
	CALL(client_open(port) >= 0);
}

static void bind_again_while_a_connection_lives(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s = accept(l, NULL, NULL), again;

	CALL(close(l));
	again = tcp_socket();
	CALL(bind_to(again, port));
	(void)set_option(again, SOL_SOCKET, SO_REUSEADDR, 1);
	CALL(bind_to(again, port));
	CALL(send(c, "a", 1, 0));
	CALL(recv(s, &(char){ 0 }, 1, 0));
}

static void bind_not_our_address(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int s = tcp_socket();

	a.sin_addr.s_addr = htonl(0xc6336407); /* 198.51.100.7 */
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
	CALL(bind_to(s, 0));
}

static void bind_short_address(void)
{
	struct sockaddr_in a = near_addr(0);
	int s = tcp_socket();

	CALL(bind(s, (struct sockaddr *)&a, 4));
	CALL(bind(s, (struct sockaddr *)&a, 0));
}

static void bind_wrong_family(void)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in a = near_addr(0);
	int s = tcp_socket();

	CALL(bind(s, (struct sockaddr *)&six, sizeof(six)));
	a.sin_family = AF_UNIX;
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
}

static void bind_bad_pointer(void)
{
	int s = tcp_socket();

	CALL(bind(s, bad_pointer(), sizeof(struct sockaddr_in)));
}

static void bind_any_then_one_address(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int a = tcp_socket(), b = tcp_socket();

	CALL(bind(a, (struct sockaddr *)&any, sizeof(any)));
	CALL(bind_to(b, local_port(a)));
}

static void bind_is_free_again_after_close(void)
{
	int s = tcp_socket();
	uint16_t port;

	(void)bind_to(s, 0);
	port = local_port(s);
	CALL(close(s));
	s = tcp_socket();
	CALL(bind_to(s, port));
	fact("same: %d", local_port(s) == port);
}

/* As proxies bind the address they come from: the port is found when they connect. */
static void bind_an_address_without_a_port(void)
{
	struct sockaddr_in a = near_addr(0), to, name;
	socklen_t len = sizeof(name);
	int s = tcp_socket(), on = 1;
	uint16_t port;

	(void)listener_open(&port);
	to = near_addr(port);
	a.sin_addr.s_addr = htonl(ntohl(a.sin_addr.s_addr) + 4);
	CALL(setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)));
	CALL(bind(s, (struct sockaddr *)&a, sizeof(a)));
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	CALL(getsockname(s, (struct sockaddr *)&name, &len));
	fact("that address: %d a port: %d", name.sin_addr.s_addr == a.sin_addr.s_addr,
	     name.sin_port != 0);
}

const struct sem_case cases_bind[] = {
	CASE(bind_to_a_free_port),
	CASE(bind_twice),
	CASE(bind_after_listen_without_bind),
	CASE(bind_when_connected),
	CASE(bind_to_a_port_in_use),
	CASE(bind_to_a_port_listened_on),
	CASE(bind_reuseaddr_two_that_do_not_listen),
	CASE(bind_reuseport),
	CASE(bind_again_after_close),
	CASE(bind_again_while_a_connection_lives),
	CASE(bind_not_our_address),
	CASE(bind_short_address),
	CASE(bind_wrong_family),
	CASE(bind_bad_pointer),
	CASE(bind_any_then_one_address),
	CASE(bind_is_free_again_after_close),
	CASE(bind_an_address_without_a_port),
	CASES_END,
};
