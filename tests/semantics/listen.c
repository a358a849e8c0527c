/* SPDX-License-Identifier: MIT */
/*
 * listen.c - listen(2), and what a listening socket is and is not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sem.h"

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = near_addr(port);

	return connect(tcp_socket(), (struct sockaddr *)&to, sizeof(to));
}

static void listen_without_bind(void)
{
	int s = tcp_socket();

	CALL(listen(s, 4));
	fact("port: %d", local_port(s) > 0);
	CALL(client_open(local_port(s)) >= 0);
}

static void listen_twice(void)
{
	uint16_t port;
	int l = listener_open(&port);

	CALL(listen(l, 8));
	CALL(connect_to(port));
}

static void listen_when_connected(void)
{
	struct ends e = ends_open();

	CALL(listen(e.c, 4));
	CALL(listen(e.s, 4));
}

static void listen_with_odd_backlogs(void)
{
	int a = tcp_socket(), b = tcp_socket(), c = tcp_socket();

	CALL(listen(a, 0));
	CALL(listen(b, -1));
	CALL(listen(c, 0x7fffffff));
	CALL(client_open(local_port(a)) >= 0);
	CALL(client_open(local_port(b)) >= 0);
	CALL(client_open(local_port(c)) >= 0);
}

static void listen_is_told_by_so_acceptconn(void)
{
	struct ends e = ends_open();
	uint16_t port;
	int s = tcp_socket();

	CALL(option(s, SOL_SOCKET, SO_ACCEPTCONN));
	CALL(option(e.c, SOL_SOCKET, SO_ACCEPTCONN));
	CALL(option(listener_open(&port), SOL_SOCKET, SO_ACCEPTCONN));
}

static void listener_cannot_send_or_receive(void)
{
	uint16_t port;
	int l = listener_open(&port);
	char c;

	CALL(send(l, "a", 1, 0));
	CALL(sigpipes());
	CALL(recv(l, &c, 1, 0));
	CALL(read(l, &c, 1));
	CALL(recv(l, &c, 1, MSG_DONTWAIT));
}

static void listener_names(void)
{
	struct sockaddr_in a, near = near_addr(0);
	socklen_t len = sizeof(a);
	uint16_t port;
	int l = listener_open(&port);

	CALL(getsockname(l, (struct sockaddr *)&a, &len));
	fact("same port %d address %d", ntohs(a.sin_port) == port,
	     a.sin_addr.s_addr == near.sin_addr.s_addr);
	CALL(getpeername(l, (struct sockaddr *)&a, &len));
}

static void listener_to_any_address_names(void)
{
	struct sockaddr_in a, near = near_addr(0);
	socklen_t len = sizeof(a);
	int l = tcp_socket(), s;

	(void)listen(l, 4);
	CALL(getsockname(l, (struct sockaddr *)&a, &len));
	fact("any: %d", a.sin_addr.s_addr == INADDR_ANY);
	(void)client_open(ntohs(a.sin_port));
	s = accept(l, NULL, NULL);
	CALL(getsockname(s, (struct sockaddr *)&a, &len));
	fact("one: %d", a.sin_addr.s_addr == near.sin_addr.s_addr);
}

static void listener_ioctl(void)
{
	uint16_t port;
	int l = listener_open(&port), n = 0;

	CALL(ioctl(l, FIONREAD, &n));
}

static void listener_poll(void)
{
	uint16_t port;
	int l = listener_open(&port);

	fact_ready(l);
	(void)client_open(port);
	(void)wait_for(l, POLLIN);
	fact_ready(l);
	CALL(accept(l, NULL, NULL) >= 0);
	fact_ready(l);
}

static void listener_poll_two_waiting(void)
{
	uint16_t port;
	int l = listener_open(&port);

	(void)client_open(port);
	(void)client_open(port);
	(void)wait_for(l, POLLIN);
	CALL(accept(l, NULL, NULL) >= 0);
	(void)wait_for(l, POLLIN);
	fact_ready(l);
	CALL(accept(l, NULL, NULL) >= 0);
	fact_ready(l);
}

static void *accept_and_tell(void *arg)
{
	CALL(accept(*(int *)arg, NULL, NULL));
	return NULL;
}

/* Whether the thread sleeps already or comes later, it hears the same. */
static void listener_shutdown_wakes_accept(void)
{
	pthread_t thread;
	uint16_t port;
	int l = listener_open(&port);

	(void)pthread_create(&thread, NULL, accept_and_tell, &l);
	(void)shutdown(l, SHUT_RD); /* what accept says is what counts */
	(void)pthread_join(thread, NULL);
}

static void listener_shutdown_refuses(void)
{
	uint16_t port;
	int l = listener_open(&port);

	CALL(shutdown(l, SHUT_RDWR));
	CALL(connect_to(port));
	CALL(accept(l, NULL, NULL));
	CALL(option(l, SOL_SOCKET, SO_ACCEPTCONN));
}

static void listener_shutdown_for_writing_does_nothing(void)
{
	uint16_t port;
	int l = listener_open(&port);

	CALL(shutdown(l, SHUT_WR));
	CALL(connect_to(port));
}

static void listener_shutdown_then_listen_again(void)
{
	uint16_t port;
	int l = listener_open(&port);

	CALL(shutdown(l, SHUT_RD));
	CALL(listen(l, 4));
	CALL(connect_to(local_port(l)));
	CALL(accept(l, NULL, NULL) >= 0);
}

static void listener_closed_refuses(void)
{
	uint16_t port;
	int l = listener_open(&port);

	CALL(connect_to(port));
	CALL(close(l));
	CALL(connect_to(port));
}

static void listener_closed_resets_what_waited(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port);
	char byte;

	(void)wait_for(l, POLLIN);
	CALL(close(l));
	CALL(recv(c, &byte, 1, 0));
	CALL(recv(c, &byte, 1, 0));
}

static void listener_closed_keeps_what_was_accepted(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s = accept(l, NULL, NULL);
	char byte;

	CALL(close(l));
	CALL(send(c, "a", 1, 0));
	CALL(recv(s, &byte, 1, 0));
	fact_ready(s);
}

static void listener_options_are_inherited(void)
{
	uint16_t port;
	int l = tcp_socket(), s;
	struct linger linger = { .l_onoff = 1, .l_linger = 7 };
	socklen_t len = sizeof(linger);

	CALL(set_option(l, IPPROTO_TCP, TCP_NODELAY, 1));
	CALL(set_option(l, SOL_SOCKET, SO_KEEPALIVE, 1));
	CALL(setsockopt(l, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	(void)listener_open_on(l, &port);
	(void)client_open(port);
	s = accept(l, NULL, NULL);
	CALL(option(s, IPPROTO_TCP, TCP_NODELAY));
	CALL(option(s, SOL_SOCKET, SO_KEEPALIVE));
	memset(&linger, 0, sizeof(linger));
	CALL(getsockopt(s, SOL_SOCKET, SO_LINGER, &linger, &len));
	fact("linger %d %d", linger.l_onoff, linger.l_linger);
}

static void listener_connections_queue_while_nobody_accepts(void)
{
	uint16_t port;
	int l = listener_open(&port), c[20], good = 0;

	for (int i = 0; i < 20; i++) {
		c[i] = client_open(port);
		good += send(c[i], "q", 1, 0) == 1;
	}
	for (int i = 0; i < 20; i++)
		good += recv(accept(l, NULL, NULL), &(char){ 0 }, 1, 0) == 1;
	fact("good: %d", good);
	set_nonblocking(l, true);
	CALL(accept(l, NULL, NULL));
}

const struct sem_case cases_listen[] = {
	CASE(listen_without_bind),
	CASE(listen_twice),
	CASE(listen_when_connected),
	CASE(listen_with_odd_backlogs),
	CASE(listen_is_told_by_so_acceptconn),
	CASE(listener_cannot_send_or_receive),
	CASE(listener_names),
	CASE(listener_to_any_address_names),
	CASE(listener_ioctl),
	CASE(listener_poll),
	CASE(listener_poll_two_waiting),
	CASE(listener_shutdown_wakes_accept),
	CASE(listener_shutdown_refuses),
	CASE(listener_shutdown_for_writing_does_nothing),
	CASE(listener_shutdown_then_listen_again),
	CASE(listener_closed_refuses),
	CASE(listener_closed_resets_what_waited),
	CASE(listener_closed_keeps_what_was_accepted),
	CASE(listener_options_are_inherited),
	CASE(listener_connections_queue_while_nobody_accepts),
	CASES_END,
};
