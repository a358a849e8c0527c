/* SPDX-License-Identifier: MIT */
/*
 * echo.c - a server for tests: sends back what comes to a port, one stream after the other. When
 * its daemon goes away it attaches to the next one and listens again. Ends on SIGTERM.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ncclient.h"

/* Returns a listening virtual socket, or -errno. */
static int echo_listen(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int r, s = nc_socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0)
		return s;
	r = nc_bind(s, (struct sockaddr *)&addr, sizeof(addr));
	if (r == 0)
		r = nc_listen(s, 16);
	if (r == 0)
		return s;
	(void)nc_close(s); /* the first error is the one to tell */
	return r;
}

/* Returns 0 at the end of the stream, or -errno. */
static int echo_stream(int s)
{
	char buf[65536];
	ssize_t n;

	while ((n = nc_recv(s, buf, sizeof(buf), 0)) > 0)
		for (ssize_t done = 0, m; done < n; done += m) {
			m = nc_send(s, buf + done, (size_t)(n - done), 0);
			if (m < 0)
				return (int)m;
		}
	return (int)n;
}

/* Serves until the daemon is gone. Returns why it ended, a negative errno. */
static int echo_serve(int listener)
{
	int s;

	for (;;) {
		s = nc_accept4(listener, NULL, NULL, 0);
		if (s < 0)
			return s;
		printf("stream: %s\n", strerror(-echo_stream(s)));
		(void)nc_close(s); /* nobody left to tell */
	}
}

int main(int argc, char **argv)
{
	uint16_t port = (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
	int s;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		s = echo_listen(port);
		if (s >= 0) {
			printf("listening on %d\n", port);
			printf("ended: %s\n", strerror(-echo_serve(s)));
			(void)nc_close(s); /* the daemon of it is gone */
		} else if (s != -ENOENT && s != -ECONNREFUSED && s != -ECONNRESET) {
			printf("listen: %s\n", strerror(-s));
			return EXIT_FAILURE;
		}
		/* No daemon yet: it is asked for again after a moment. */
		(void)poll(NULL, 0, 50);
	}
}
