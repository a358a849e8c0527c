/* SPDX-License-Identifier: MIT */
/*
 * connect.c - connect(2), and what getsockname and getpeername say of it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static int connect_to(int s, uint16_t port)
{
	struct sockaddr_in to = near_addr(port);

	return connect(s, (struct sockaddr *)&to, sizeof(to));
}

/* A connect that does not block may be done at once, or be in progress: both are right. */
static void connect_started(int s, uint16_t port)
{
	int r = connect_to(s, port);

	fact("connect: %s", r == 0 || errno == EINPROGRESS ? "started" : strerrorname_np(errno));
}

static void connect_succeeds(void)
{
	uint16_t port;
	int s = tcp_socket();

	(void)listener_open(&port);
	CALL(connect_to(s, port));
	fact_ready(s);
}

static void connect_names_both_ends(void)
{
	struct ends e = ends_open();

	fact("peer of c is s: %d", remote_port(e.c) == local_port(e.s));
	fact("peer of s is c: %d", remote_port(e.s) == local_port(e.c));
	fact("ports: %d %d", local_port(e.c) > 0, local_port(e.s) > 0);
}

static void connect_gives_the_local_address(void)
{
	struct ends e = ends_open();
	struct sockaddr_in near = near_addr(0), a;
	socklen_t len = sizeof(a);

	CALL(getsockname(e.c, (struct sockaddr *)&a, &len));
	fact("length %d family %d same address %d", (int)len, a.sin_family == AF_INET,
	     a.sin_addr.s_addr == near.sin_addr.s_addr);
	len = sizeof(a);
	CALL(getpeername(e.c, (struct sockaddr *)&a, &len));
	fact("length %d family %d same address %d", (int)len, a.sin_family == AF_INET,
	     a.sin_addr.s_addr == near.sin_addr.s_addr);
}

static void connect_refused(void)
{
	int holder, s = tcp_socket();
	uint16_t port = dead_port(&holder);

	CALL(connect_to(s, port));
	CALL(option(s, SOL_SOCKET, SO_ERROR));
	CALL(send(s, "a", 1, 0));
	CALL(getpeername(s, NULL, NULL));
}

static void connect_refused_twice_on_one_socket(void)
{
	int holder, s = tcp_socket();
	uint16_t port = dead_port(&holder);

	CALL(connect_to(s, port));
	CALL(connect_to(s, port));
}

static void connect_refused_then_accepted(void)
{
	struct sockaddr_in at;
	int holder, s;
	uint16_t port = dead_port(&holder);

	s = tcp_socket();
	CALL(connect_to(s, port));
	CALL(listen(holder, 4));
	s = tcp_socket();
	CALL(connect_to(s, port));
	socklen_t len = sizeof(at);
	CALL(accept(holder, (struct sockaddr *)&at, &len) >= 0);
	fact("from it: %d", ntohs(at.sin_port) == local_port(s));
}

static void connect_same_socket_after_refusal(void)
{
	int holder, s = tcp_socket();
	uint16_t port = dead_port(&holder);

	CALL(connect_to(s, port));
	CALL(listen(holder, 4));
	CALL(connect_to(s, port));
	fact_ready(s);
}

static void connect_when_connected(void)
{
	struct ends e = ends_open();
	uint16_t port;

	(void)listener_open(&port);
	CALL(connect_to(e.c, port));
	CALL(connect_to(e.s, port));
	CALL(send(e.c, "a", 1, 0));
}

static void connect_on_a_listener(void)
{
	uint16_t port;
	int l = listener_open(&port);

	CALL(connect_to(l, port));
}

static void connect_nonblocking(void)
{
	uint16_t port;
	int s = tcp_socket();

	(void)listener_open(&port);
	set_nonblocking(s, true);
	connect_started(s, port);
	(void)wait_for(s, POLLOUT);
	CALL(option(s, SOL_SOCKET, SO_ERROR));
	fact_ready(s);
	CALL(send(s, "a", 1, 0));
}

static void connect_nonblocking_says_in_progress(void)
{
	uint16_t port;
	int s = tcp_socket();

	(void)listener_open(&port);
	set_nonblocking(s, true);
	CALL(connect_to(s, port));
}

static void connect_nonblocking_refused(void)
{
	int holder, s = tcp_socket();
	uint16_t port = dead_port(&holder);
	int r;

	set_nonblocking(s, true);
	r = connect_to(s, port);
	if (r < 0 && errno == EINPROGRESS) {
		(void)wait_for(s, POLLOUT);
		fact_ready(s);
		r = option(s, SOL_SOCKET, SO_ERROR);
		fact("outcome: %s", strerrorname_np(r));
	} else {
		fact("outcome at once: %s", strerrorname_np(errno));
	}
	CALL(option(s, SOL_SOCKET, SO_ERROR));
	CALL(recv(s, &r, 1, 0));
}

static void connect_nonblocking_refused_events(void)
{
	int holder, s = tcp_socket();
	uint16_t port = dead_port(&holder);

	set_nonblocking(s, true);
	CALL(connect_to(s, port));
	(void)wait_for(s, POLLOUT);
	fact_ready(s);
	CALL(option(s, SOL_SOCKET, SO_ERROR));
	fact_ready(s);
}

static void connect_nonblocking_asked_by_connect(void)
{
	uint16_t port;
	int s = tcp_socket(), r;

	(void)listener_open(&port);
	set_nonblocking(s, true);
	connect_started(s, port);
	(void)wait_for(s, POLLOUT);
	r = connect_to(s, port);
	fact("again: %s", r == 0 || errno == EISCONN ? "connected" : strerrorname_np(errno));
	CALL(connect_to(s, port));
}

static void connect_nonblocking_refusal_told_by_connect(void)
{
	int holder, s = tcp_socket();
	uint16_t port = dead_port(&holder);

	set_nonblocking(s, true);
	if (connect_to(s, port) < 0 && errno == EINPROGRESS) {
		(void)wait_for(s, POLLOUT);
		(void)connect_to(s, port);
	}
	fact("refused: %s", strerrorname_np(errno));
}

static void connect_disconnect_by_af_unspec(void)
{
	struct ends e = ends_open();
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	char c;

	CALL(connect(e.c, &none, sizeof(none)));
	CALL(recv(e.c, &c, 1, 0));
	CALL(recv(e.s, &c, 1, 0));
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	CALL(getpeername(e.c, (struct sockaddr *)&a, &len));
}

static void connect_short_address(void)
{
	struct sockaddr_in to = near_addr(80);
	int s = tcp_socket();

	CALL(connect(s, (struct sockaddr *)&to, 4));
	CALL(connect(s, (struct sockaddr *)&to, 1));
}

static void connect_wrong_family(void)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_in wrong = near_addr(9);
	int s = tcp_socket();

	CALL(connect(s, (struct sockaddr *)&six, sizeof(six)));
	wrong.sin_family = AF_UNIX;
	CALL(connect(s, (struct sockaddr *)&wrong, sizeof(wrong)));
}

static void connect_bad_pointer(void)
{
	int s = tcp_socket();

	CALL(connect(s, bad_pointer(), sizeof(struct sockaddr_in)));
}

static void connect_has_no_name_before(void)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int s = tcp_socket();

	CALL(getpeername(s, (struct sockaddr *)&a, &len));
	len = sizeof(a);
	CALL(getsockname(s, (struct sockaddr *)&a, &len));
	fact("port %d address %u length %d", ntohs(a.sin_port), a.sin_addr.s_addr, (int)len);
}

static void connect_from_a_bound_port(void)
{
	struct sockaddr_in me = near_addr(0);
	uint16_t port, mine;
	int l = listener_open(&port), s = tcp_socket(), a;

	CALL(bind(s, (struct sockaddr *)&me, sizeof(me)));
	mine = local_port(s);
	CALL(connect_to(s, port));
	a = accept(l, NULL, NULL);
	fact("same port: %d %d", local_port(s) == mine, remote_port(a) == mine);
}

static void connect_to_the_any_address(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int l = tcp_socket(), s = tcp_socket(), a;

	CALL(listen(l, 4));
	to.sin_port = htons(local_port(l));
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	a = accept(l, NULL, NULL);
	CALL(send(s, "a", 1, 0));
	CALL(wait_for(a, POLLIN) == POLLIN);
}

static void connect_to_itself(void)
{
	struct sockaddr_in me = near_addr(0);
	int s = tcp_socket();
	char buf[4] = "";

	CALL(bind(s, (struct sockaddr *)&me, sizeof(me)));
	CALL(connect_to(s, local_port(s)));
	CALL(send(s, "abc", 3, 0));
	fact_bytes("recv", recv(s, buf, 3, MSG_WAITALL), buf);
}

static void connect_not_yet_send_and_recv(void)
{
	int s = tcp_socket();
	char c;

	CALL(send(s, "a", 1, 0));
	CALL(sigpipes());
	CALL(recv(s, &c, 1, 0));
	CALL(write(s, "a", 1));
	CALL(read(s, &c, 1));
	CALL(shutdown(s, SHUT_RDWR));
}

static void connect_not_yet_poll(void)
{
	int s = tcp_socket();

	fact_ready(s);
	fact_poll(s, 0, 0);
}

static void connect_names_into_short_buffers(void)
{
	struct ends e = ends_open();
	struct sockaddr_in a;
	socklen_t len = 4;

	memset(&a, 0x55, sizeof(a));
	CALL(getsockname(e.c, (struct sockaddr *)&a, &len));
	fact("length %d family %d untouched %d", (int)len, a.sin_family == AF_INET,
	     a.sin_addr.s_addr == 0x55555555);
	len = 0;
	CALL(getpeername(e.c, (struct sockaddr *)&a, &len));
	fact("length %d", (int)len);
	len = (socklen_t)-1;
	CALL(getpeername(e.c, (struct sockaddr *)&a, &len));
	len = sizeof(a);
	CALL(getpeername(e.c, bad_pointer(), &len));
}

static void connect_peer_name_after_the_end(void)
{
	struct pair p = pair_open();
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char c;

	(void)far_close(&p);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(getpeername(p.fd, (struct sockaddr *)&a, &len));
}

static void connect_peer_name_after_a_reset(void)
{
	struct pair p = pair_open();
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(getpeername(p.fd, (struct sockaddr *)&a, &len));
	CALL(getsockname(p.fd, (struct sockaddr *)&a, &len));
}

static void connect_many_to_one_listener(void)
{
	enum {
		MANY = 50
	};
	uint16_t port;
	int l = listener_open(&port), c[MANY], s[MANY], good = 0;
	char byte;

	for (int i = 0; i < MANY; i++) {
		c[i] = client_open(port);
		s[i] = accept(l, NULL, NULL);
		byte = (char)i;
		good += send(c[i], &byte, 1, 0) == 1;
	}
	fact("sent: %d", good);
	good = 0;
	for (int i = 0; i < MANY; i++)
		good += recv(s[i], &byte, 1, 0) == 1 && byte == (char)i;
	fact("right: %d", good);
}

static void connect_again_and_again(void)
{
	uint16_t port;
	int l = listener_open(&port), good = 0;

	for (int i = 0; i < 100; i++) {
		int c = client_open(port), s = accept(l, NULL, NULL);

		good += send(s, "x", 1, 0) == 1 && recv(c, &(char){ 0 }, 1, 0) == 1;
		(void)close(i % 2 ? c : s); /* what matters is the next one */
		(void)close(i % 2 ? s : c);
	}
	fact("good: %d", good);
}

static void connect_to_an_unreachable_network(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int s = tcp_socket();

	to.sin_addr.s_addr = htonl(0xffffffff); /* broadcast */
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
}

const struct sem_case cases_connect[] = {
	CASE(connect_succeeds),
	CASE(connect_names_both_ends),
	CASE(connect_gives_the_local_address),
	CASE(connect_refused),
	CASE(connect_refused_twice_on_one_socket),
	CASE(connect_refused_then_accepted),
	CASE(connect_same_socket_after_refusal),
	CASE(connect_when_connected),
	CASE(connect_on_a_listener),
	CASE(connect_nonblocking),
	CASE(connect_nonblocking_says_in_progress),
	CASE(connect_nonblocking_refused),
	CASE(connect_nonblocking_refused_events),
	CASE(connect_nonblocking_asked_by_connect),
	CASE(connect_nonblocking_refusal_told_by_connect),
	CASE(connect_disconnect_by_af_unspec),
	CASE(connect_short_address),
	CASE(connect_wrong_family),
	CASE(connect_bad_pointer),
	CASE(connect_has_no_name_before),
	CASE(connect_from_a_bound_port),
	CASE(connect_to_the_any_address),
	CASE(connect_to_itself),
	CASE(connect_not_yet_send_and_recv),
	CASE(connect_not_yet_poll),
	CASE(connect_names_into_short_buffers),
	FAR_CASE(connect_peer_name_after_the_end),
	FAR_CASE(connect_peer_name_after_a_reset),
	CASE(connect_many_to_one_listener),
	CASE(connect_again_and_again),
	CASE(connect_to_an_unreachable_network),
	CASES_END,
};
