/* SPDX-License-Identifier: MIT */
/*
 * socket.c - sockets as the cases need them. What cannot be had ends the case with a line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static int must(const char *what, int r)
{
	if (r >= 0)
		return r;
	fact("cannot go on: %s: %s", what, strerrorname_np(errno));
	exit(EXIT_FAILURE);
}

struct sockaddr_in near_addr(uint16_t port)
{
	const char *text = getenv("SEM_ADDR");
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, text ? text : "127.0.0.1", &a.sin_addr) != 1) {
		errno = EINVAL;
		(void)must("SEM_ADDR", -1); /* does not return */
	}
	return a;
}

int tcp_socket(void)
{
	return must("socket", socket(AF_INET, SOCK_STREAM, 0));
}

int listener_open_on(int s, uint16_t *ret_port)
{
	struct sockaddr_in a = near_addr(0);

	(void)must("bind", bind(s, (struct sockaddr *)&a, sizeof(a)));
	(void)must("listen", listen(s, 64));
	*ret_port = local_port(s);
	return s;
}

int listener_open(uint16_t *ret_port)
{
	return listener_open_on(tcp_socket(), ret_port);
}

int client_open(uint16_t port)
{
	struct sockaddr_in a = near_addr(port);
	int s = tcp_socket();

	(void)must("connect", connect(s, (struct sockaddr *)&a, sizeof(a)));
	return s;
}

uint16_t local_port(int s)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)must("getsockname", getsockname(s, (struct sockaddr *)&a, &len));
	return ntohs(a.sin_port);
}

uint16_t remote_port(int s)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)must("getpeername", getpeername(s, (struct sockaddr *)&a, &len));
	return ntohs(a.sin_port);
}

uint16_t dead_port(int *ret_holder)
{
	struct sockaddr_in a = near_addr(0);
	int s = tcp_socket();

	(void)must("bind", bind(s, (struct sockaddr *)&a, sizeof(a)));
	*ret_holder = s;
	return local_port(s);
}

struct ends ends_open(void)
{
	struct ends e;
	uint16_t port;
	int l = listener_open(&port);

	e.c = client_open(port);
	e.s = must("accept", accept(l, NULL, NULL));
	(void)must("close", close(l));
	return e;
}

void *bad_pointer(void)
{
	return (void *)(intptr_t)8;
}

void set_nonblocking(int fd, bool on)
{
	int flags = must("F_GETFL", fcntl(fd, F_GETFL));

	(void)must("F_SETFL", fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

int option(int s, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(s, level, name, &value, &len) == 0 ? value : -1;
}

int set_option(int s, int level, int name, int value)
{
	return setsockopt(s, level, name, &value, sizeof(value));
}

size_t fill(int fd)
{
	static const char zeros[16384]; /* whoever drains this does not look at it */
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t all = 0;
	ssize_t n;

	for (;;) {
		n = send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			all += (size_t)n;
		} else if (n < 0 && errno != EAGAIN) {
			fact("fill: %zd %s", n, strerrorname_np(errno));
			return all;
		} else if (poll(&p, 1, 250) == 0) {
			/* Full is when it stays full: the far end's buffer may grow once more. */
			return all;
		}
	}
}
