/* SPDX-License-Identifier: MIT */
/*
 * option_tcp.c - options of tcp(7) and ip(7).
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

/* As a fresh socket and a connected one have it, and set to @value and 0. */
static void number(int level, int name, int value)
{
	struct ends e = ends_open();
	int s = tcp_socket();

	CALL(option(s, level, name));
	CALL(option(e.c, level, name));
	CALL(option(e.s, level, name));
	CALL(set_option(s, level, name, value));
	CALL(option(s, level, name));
	CALL(set_option(e.c, level, name, value));
	CALL(option(e.c, level, name));
	CALL(set_option(e.c, level, name, 0));
	CALL(option(e.c, level, name));
	CALL(set_option(e.c, level, name, -1));
}

static void option_nodelay(void)
{
	number(IPPROTO_TCP, TCP_NODELAY, 1);
}

static void option_cork(void)
{
	number(IPPROTO_TCP, TCP_CORK, 1);
}

static void option_keepidle(void)
{
	number(IPPROTO_TCP, TCP_KEEPIDLE, 77);
}

static void option_keepintvl(void)
{
	number(IPPROTO_TCP, TCP_KEEPINTVL, 7);
}

static void option_keepcnt(void)
{
	number(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

/* The same of each connection, as servers do, and what is wrong in between. */
static void option_of_each_connection(void)
{
	for (int i = 0; i < 3; i++) {
		struct ends e = ends_open();

		CALL(option(e.s, IPPROTO_TCP, TCP_KEEPIDLE));
		CALL(set_option(e.s, IPPROTO_TCP, TCP_KEEPIDLE, 77));
		CALL(set_option(e.s, IPPROTO_TCP, TCP_KEEPINTVL, 0));
		CALL(set_option(e.s, IPPROTO_TCP, TCP_KEEPINTVL, 77));
		CALL(set_option(e.s, IPPROTO_TCP, TCP_KEEPINTVL, -1));
		CALL(set_option(e.s, IPPROTO_TCP, TCP_KEEPCNT, 77));
		CALL(set_option(e.s, IPPROTO_IP, IP_TOS, 0x10));
		CALL(option(e.s, IPPROTO_TCP, TCP_KEEPIDLE));
		CALL(option(e.s, IPPROTO_TCP, TCP_KEEPINTVL));
		CALL(option(e.s, IPPROTO_TCP, TCP_KEEPCNT));
		CALL(option(e.s, IPPROTO_IP, IP_TOS));
	}
}

static void option_user_timeout(void)
{
	number(IPPROTO_TCP, TCP_USER_TIMEOUT, 9000);
}

static void option_syncnt(void)
{
	number(IPPROTO_TCP, TCP_SYNCNT, 3);
}

static void option_linger2(void)
{
	number(IPPROTO_TCP, TCP_LINGER2, 3);
}

static void option_tos(void)
{
	number(IPPROTO_IP, IP_TOS, 0x10);
}

static void option_ttl(void)
{
	number(IPPROTO_IP, IP_TTL, 9);
}

static void option_notsent_lowat(void)
{
	struct pair p = pair_open();

	CALL(set_option(p.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384));
	CALL(option(p.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT));
}

static void option_quickack(void)
{
	struct pair p = pair_open();

	CALL(set_option(p.fd, IPPROTO_TCP, TCP_QUICKACK, 1));
	CALL(option(p.fd, IPPROTO_TCP, TCP_QUICKACK));
}

static void option_maxseg(void)
{
	struct pair p = pair_open();
	int n = option(p.fd, IPPROTO_TCP, TCP_MAXSEG);

	fact("sensible: %d", n > 500 && n < 70000);
}

static void option_defer_accept(void)
{
	uint16_t port;
	int l = tcp_socket(), c, s;

	CALL(set_option(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5));
	fact("on: %d", option(l, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
	(void)listener_open_on(l, &port);
	c = client_open(port);
	CALL(send(c, "x", 1, 0));
	s = accept(l, NULL, NULL);
	CALL(recv(s, &(char){ 0 }, 1, MSG_DONTWAIT));
}

static void option_fastopen_listener(void)
{
	uint16_t port;
	int l = tcp_socket();

	CALL(set_option(l, IPPROTO_TCP, TCP_FASTOPEN, 16));
	CALL(option(l, IPPROTO_TCP, TCP_FASTOPEN));
	(void)listener_open_on(l, &port);
	CALL(client_open(port) >= 0);
}

static void option_info(void)
{
	struct pair p = pair_open();
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	CALL(getsockopt(p.fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	fact("all of it %d established %d mss %d rtt %d", len == sizeof(info),
	     info.tcpi_state == TCP_ESTABLISHED, info.tcpi_snd_mss > 500, info.tcpi_rtt > 0);
	len = 1;
	CALL(getsockopt(p.fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	fact("length %d", (int)len);
	CALL(setsockopt(p.fd, IPPROTO_TCP, TCP_INFO, &info, sizeof(info)));
}

static int state_of(int s)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	return getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_state : -1;
}

static void option_info_of_states(void)
{
	struct pair p = pair_open();
	uint16_t port;

	fact("fresh is closed: %d", state_of(tcp_socket()) == TCP_CLOSE);
	fact("listens: %d", state_of(listener_open(&port)) == TCP_LISTEN);
	(void)far_shutdown(&p, SHUT_WR);
	(void)recv(p.fd, &(char){ 0 }, 1, 0); /* its end has come */
	fact("far has finished: %d", state_of(p.fd) == TCP_CLOSE_WAIT);
	(void)far_reset(&p);
	wait_broken(p.fd);
	fact("reset: %d", state_of(p.fd) == TCP_CLOSE);
}

static void option_congestion(void)
{
	struct pair p = pair_open();
	char name[16] = "";
	socklen_t len = sizeof(name);

	CALL(getsockopt(p.fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	fact("named %d length %d", name[0] != '\0', (int)len);
	CALL(setsockopt(p.fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	len = sizeof(name);
	CALL(getsockopt(p.fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	fact("now %s", name);
	CALL(setsockopt(p.fd, IPPROTO_TCP, TCP_CONGESTION, "nonsense", 8));
}

static void option_tcp_unknown(void)
{
	struct pair p = pair_open();

	CALL(option(p.fd, IPPROTO_TCP, 9999));
	CALL(set_option(p.fd, IPPROTO_TCP, 9999, 1));
	CALL(option(p.fd, IPPROTO_IP, 9999));
	CALL(set_option(p.fd, IPPROTO_IP, 9999, 1));
	CALL(option(p.fd, IPPROTO_UDP, 1));
	CALL(set_option(p.fd, IPPROTO_UDP, 1, 1));
	CALL(option(p.fd, IPPROTO_IPV6, IPV6_V6ONLY));
}

static void option_cork_holds_and_lets_go(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(set_option(p.fd, IPPROTO_TCP, TCP_CORK, 1));
	CALL(send(p.fd, "ab", 2, 0));
	CALL(send(p.fd, "cd", 2, 0));
	CALL(set_option(p.fd, IPPROTO_TCP, TCP_CORK, 0));
	fact("far got %ld", far_recv(&p, buf, 4));
}

static void option_nodelay_survives_connect(void)
{
	uint16_t port;
	int s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	CALL(set_option(s, IPPROTO_TCP, TCP_NODELAY, 1));
	CALL(set_option(s, IPPROTO_TCP, TCP_KEEPIDLE, 50));
	CALL(set_option(s, IPPROTO_IP, IP_TOS, 0x08));
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	CALL(option(s, IPPROTO_TCP, TCP_NODELAY));
	CALL(option(s, IPPROTO_TCP, TCP_KEEPIDLE));
	CALL(option(s, IPPROTO_IP, IP_TOS));
}

const struct sem_case cases_option_tcp[] = {
	CASE(option_nodelay),
	CASE(option_cork),
	CASE(option_keepidle),
	CASE(option_keepintvl),
	CASE(option_keepcnt),
	CASE(option_of_each_connection),
	CASE(option_user_timeout),
	CASE(option_syncnt),
	CASE(option_linger2),
	CASE(option_tos),
	CASE(option_ttl),
	FAR_CASE(option_notsent_lowat),
	FAR_CASE(option_quickack),
	FAR_CASE(option_maxseg),
	CASE(option_defer_accept),
	CASE(option_fastopen_listener),
	FAR_CASE(option_info),
	FAR_CASE(option_info_of_states),
	FAR_CASE(option_congestion),
	FAR_CASE(option_tcp_unknown),
	FAR_CASE(option_cork_holds_and_lets_go),
	CASE(option_nodelay_survives_connect),
	CASES_END,
};
