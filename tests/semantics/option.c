/* SPDX-License-Identifier: MIT */
/*
 * option.c - options of socket(7): what is set is read again, what is wrong is refused.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "sem.h"

/* What a fresh and a connected socket say, and what a connected one says after it was set. */
static void flag(int name)
{
	struct ends e = ends_open();
	int s = tcp_socket();

	CALL(option(s, SOL_SOCKET, name));
	CALL(option(e.c, SOL_SOCKET, name));
	CALL(option(e.s, SOL_SOCKET, name));
	CALL(set_option(e.c, SOL_SOCKET, name, 1));
	CALL(option(e.c, SOL_SOCKET, name));
	CALL(set_option(e.c, SOL_SOCKET, name, 5));
	CALL(option(e.c, SOL_SOCKET, name));
	CALL(set_option(e.c, SOL_SOCKET, name, 0));
	CALL(option(e.c, SOL_SOCKET, name));
}

static void option_keepalive(void)
{
	flag(SO_KEEPALIVE);
}

static void option_reuseaddr(void)
{
	flag(SO_REUSEADDR);
}

static void option_oobinline(void)
{
	flag(SO_OOBINLINE);
}

static void option_broadcast(void)
{
	flag(SO_BROADCAST);
}

static void option_dontroute(void)
{
	flag(SO_DONTROUTE);
}

static void option_timestamp(void)
{
	flag(SO_TIMESTAMP);
}

static void option_reuseport(void)
{
	int s = tcp_socket();

	CALL(option(s, SOL_SOCKET, SO_REUSEPORT));
	CALL(set_option(s, SOL_SOCKET, SO_REUSEPORT, 1));
	CALL(option(s, SOL_SOCKET, SO_REUSEPORT));
}

static void option_what_kind_of_socket(void)
{
	struct ends e = ends_open();
	const int sockets[3] = { tcp_socket(), e.c, e.s };

	for (int i = 0; i < 3; i++) {
		CALL(option(sockets[i], SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
		CALL(option(sockets[i], SOL_SOCKET, SO_DOMAIN) == AF_INET);
		CALL(option(sockets[i], SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
		CALL(option(sockets[i], SOL_SOCKET, SO_ERROR));
	}
}

static void option_read_only(void)
{
	struct pair p = pair_open();

	CALL(set_option(p.fd, SOL_SOCKET, SO_ERROR, 1));
	CALL(set_option(p.fd, SOL_SOCKET, SO_TYPE, 1));
	CALL(set_option(p.fd, SOL_SOCKET, SO_DOMAIN, 1));
	CALL(set_option(p.fd, SOL_SOCKET, SO_PROTOCOL, 1));
	CALL(set_option(p.fd, SOL_SOCKET, SO_ACCEPTCONN, 1));
}

static void option_linger(void)
{
	struct ends e = ends_open();
	struct linger l = { .l_onoff = 9, .l_linger = 9 };
	socklen_t len = sizeof(l);

	CALL(getsockopt(e.c, SOL_SOCKET, SO_LINGER, &l, &len));
	fact("linger %d %d length %d", l.l_onoff, l.l_linger, (int)len);
	l = (struct linger){ .l_onoff = 5, .l_linger = 12 };
	CALL(setsockopt(e.c, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	CALL(getsockopt(e.c, SOL_SOCKET, SO_LINGER, &l, &len));
	fact("linger %d %d", l.l_onoff, l.l_linger);
	CALL(setsockopt(e.c, SOL_SOCKET, SO_LINGER, &l, sizeof(int)));
}

static void timeout_option(int fd, int name)
{
	struct timeval t = { .tv_sec = 9, .tv_usec = 9 };
	socklen_t len = sizeof(t);

	CALL(getsockopt(fd, SOL_SOCKET, name, &t, &len));
	fact("time %ld %ld length %d", (long)t.tv_sec, (long)t.tv_usec, (int)len);
	t = (struct timeval){ .tv_sec = 3, .tv_usec = 500000 };
	CALL(setsockopt(fd, SOL_SOCKET, name, &t, sizeof(t)));
	memset(&t, 0, sizeof(t));
	CALL(getsockopt(fd, SOL_SOCKET, name, &t, &len));
	fact("time %ld %ld", (long)t.tv_sec, (long)t.tv_usec);
	t = (struct timeval){ .tv_sec = 1, .tv_usec = 1000000 };
	CALL(setsockopt(fd, SOL_SOCKET, name, &t, sizeof(t)));
	t.tv_usec = -1;
	CALL(setsockopt(fd, SOL_SOCKET, name, &t, sizeof(t)));
	CALL(setsockopt(fd, SOL_SOCKET, name, &t, sizeof(int)));
}

static void option_receive_timeout(void)
{
	struct pair p = pair_open();

	timeout_option(p.fd, SO_RCVTIMEO);
}

static void option_send_timeout(void)
{
	struct pair p = pair_open();

	timeout_option(p.fd, SO_SNDTIMEO);
}

static void option_timeouts_survive_connect(void)
{
	struct timeval t = { .tv_sec = 4 };
	socklen_t len = sizeof(t);
	uint16_t port;
	int s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	CALL(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	t.tv_sec = 0;
	CALL(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, &len));
	fact("time %ld", (long)t.tv_sec);
}

static void option_flags_survive_connect(void)
{
	uint16_t port;
	int s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	CALL(set_option(s, SOL_SOCKET, SO_KEEPALIVE, 1));
	CALL(set_option(s, SOL_SOCKET, SO_PRIORITY, 3));
	CALL(set_option(s, SOL_SOCKET, SO_RCVLOWAT, 3));
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	CALL(option(s, SOL_SOCKET, SO_KEEPALIVE));
	CALL(option(s, SOL_SOCKET, SO_PRIORITY));
	CALL(option(s, SOL_SOCKET, SO_RCVLOWAT));
}

/* socket(7): the kernel doubles this value when it is set. */
static void option_buffers_are_doubled(void)
{
	int s = tcp_socket();

	CALL(set_option(s, SOL_SOCKET, SO_RCVBUF, 20000));
	CALL(option(s, SOL_SOCKET, SO_RCVBUF));
	CALL(set_option(s, SOL_SOCKET, SO_SNDBUF, 20000));
	CALL(option(s, SOL_SOCKET, SO_SNDBUF));
}

static void option_buffers_of_a_connection(void)
{
	struct pair p = pair_open();

	fact("some: %d %d", option(p.fd, SOL_SOCKET, SO_RCVBUF) > 4096,
	     option(p.fd, SOL_SOCKET, SO_SNDBUF) > 4096);
	CALL(set_option(p.fd, SOL_SOCKET, SO_RCVBUF, 30000));
	CALL(set_option(p.fd, SOL_SOCKET, SO_SNDBUF, 30000));
	CALL(option(p.fd, SOL_SOCKET, SO_RCVBUF));
	CALL(option(p.fd, SOL_SOCKET, SO_SNDBUF));
	CALL(set_option(p.fd, SOL_SOCKET, SO_RCVBUF, 0));
	CALL(set_option(p.fd, SOL_SOCKET, SO_SNDBUF, -1));
	fact("still some: %d %d", option(p.fd, SOL_SOCKET, SO_RCVBUF) > 0,
	     option(p.fd, SOL_SOCKET, SO_SNDBUF) > 0);
}

static void option_priority(void)
{
	struct pair p = pair_open();

	CALL(option(p.fd, SOL_SOCKET, SO_PRIORITY));
	CALL(set_option(p.fd, SOL_SOCKET, SO_PRIORITY, 5));
	CALL(option(p.fd, SOL_SOCKET, SO_PRIORITY));
}

static void option_low_water_marks(void)
{
	struct pair p = pair_open();

	CALL(option(p.fd, SOL_SOCKET, SO_RCVLOWAT));
	CALL(option(p.fd, SOL_SOCKET, SO_SNDLOWAT));
	CALL(set_option(p.fd, SOL_SOCKET, SO_RCVLOWAT, 0));
	CALL(option(p.fd, SOL_SOCKET, SO_RCVLOWAT));
	CALL(set_option(p.fd, SOL_SOCKET, SO_SNDLOWAT, 5));
}

static void option_unknown(void)
{
	struct pair p = pair_open();

	CALL(option(p.fd, SOL_SOCKET, 9999));
	CALL(set_option(p.fd, SOL_SOCKET, 9999, 1));
	CALL(option(p.fd, 9999, 1));
	CALL(set_option(p.fd, 9999, 1, 1));
	CALL(option(p.fd, SOL_SOCKET, -1));
}

static void option_unknown_unconnected(void)
{
	int s = tcp_socket();

	CALL(option(s, SOL_SOCKET, 9999));
	CALL(set_option(s, SOL_SOCKET, 9999, 1));
	CALL(set_option(s, 9999, 1, 1));
}

static void option_lengths(void)
{
	struct pair p = pair_open();
	int value = -1, one = 1;
	socklen_t len = 2;

	CALL(setsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &one, 2));
	CALL(setsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &one, 0));
	CALL(setsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)));
	CALL(getsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
	fact("length %d value %x", (int)len, (unsigned)value);
	len = 64;
	CALL(getsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
	fact("length %d value %x", (int)len, (unsigned)value);
	len = (socklen_t)-1;
	CALL(getsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
	len = 0;
	CALL(getsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
	fact("length %d", (int)len);
}

static void option_bad_pointers(void)
{
	struct pair p = pair_open();
	socklen_t len = sizeof(int);

	CALL(setsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, bad_pointer(), sizeof(int)));
	CALL(getsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, bad_pointer(), &len));
	CALL(getsockopt(p.fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 0 }, bad_pointer()));
}

static void option_cookie(void)
{
	struct ends e = ends_open();
	uint64_t a = 0, b = 0, again = 0;
	socklen_t len = sizeof(a);

	CALL(getsockopt(e.c, SOL_SOCKET, SO_COOKIE, &a, &len));
	CALL(getsockopt(e.s, SOL_SOCKET, SO_COOKIE, &b, &len));
	CALL(getsockopt(e.c, SOL_SOCKET, SO_COOKIE, &again, &len));
	fact("differ %d same %d", a != b, a == again);
}

static void option_on_what_is_reset(void)
{
	struct pair p = pair_open();

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(set_option(p.fd, SOL_SOCKET, SO_KEEPALIVE, 1));
	CALL(option(p.fd, SOL_SOCKET, SO_KEEPALIVE));
	CALL(set_option(p.fd, IPPROTO_TCP, 1, 1));
}

/* Who may send without a copy waits until he is told that his bytes are free again. */
static void option_zerocopy_is_refused_or_works(void)
{
	struct pair p = pair_open();
	char control[128];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	bool works = true;

	if (setsockopt(p.fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 1 }, sizeof(int)) == 0) {
		(void)send(p.fd, "abc", 3, MSG_ZEROCOPY);
		(void)wait_for(p.fd, POLLERR);
		works = recvmsg(p.fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) == 0;
	} else {
		(void)send(p.fd, "abc", 3, 0);
	}
	fact("refused, or works: %d", works);
	CALL(far_recv(&p, control, 3));
	CALL(setsockopt(p.fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 0 }, sizeof(int)));
}

const struct sem_case cases_option[] = {
	CASE(option_keepalive),
	CASE(option_reuseaddr),
	CASE(option_oobinline),
	CASE(option_broadcast),
	CASE(option_dontroute),
	CASE(option_timestamp),
	CASE(option_reuseport),
	CASE(option_what_kind_of_socket),
	FAR_CASE(option_read_only),
	CASE(option_linger),
	FAR_CASE(option_receive_timeout),
	FAR_CASE(option_send_timeout),
	CASE(option_timeouts_survive_connect),
	CASE(option_flags_survive_connect),
	CASE(option_buffers_are_doubled),
	FAR_CASE(option_buffers_of_a_connection),
	FAR_CASE(option_priority),
	FAR_CASE(option_low_water_marks),
	FAR_CASE(option_unknown),
	CASE(option_unknown_unconnected),
	FAR_CASE(option_lengths),
	FAR_CASE(option_bad_pointers),
	CASE(option_cookie),
	FAR_CASE(option_on_what_is_reset),
	FAR_CASE(option_zerocopy_is_refused_or_works),
	CASES_END,
};
