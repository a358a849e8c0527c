/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - many virtual sockets that stay: what they cost is measured from outside
 * (bench/memory.sh).
 *
 *   sockets server ADDRESS N MESSAGES
 *   sockets client ADDRESS N MESSAGES
 *
 * Each of N sockets is connected and moves MESSAGES of 64 bytes there and back. "ready" is printed
 * when all have; then the process waits for a signal that ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ncclient.h"

#define PORT    4798
#define BACKLOG 4096
#define TRIES   100000 /* of one connect: the backlog is full for as long as the server sleeps */

static int fail(const char *what, int error)
{
	fprintf(stderr, "sockets: %s: %s\n", what, strerror(-error));
	return 1;
}

/* 0, or -errno. */
static int receive(int s, char *buf, size_t bytes)
{
	ssize_t n = nc_recv(s, buf, bytes, MSG_WAITALL);

	if (n < 0)
		return (int)n;
	return (size_t)n == bytes ? 0 : -ECONNRESET;
}

/* One round trip, begun by the client. 0, or -errno. */
static int round_trip(int s, bool client)
{
	char buf[64] = { 0 };
	int ret = client ? 0 : receive(s, buf, sizeof(buf));
	ssize_t n = ret < 0 ? ret : nc_send(s, buf, sizeof(buf), 0);

	if (n < 0)
		return (int)n;
	return client ? receive(s, buf, sizeof(buf)) : 0;
}

/* A connected socket, or -errno. */
static int next_socket(int listener, const struct sockaddr_in *addr)
{
	int ret = -ECONNREFUSED;

	if (listener >= 0)
		return nc_accept4(listener, NULL, NULL, 0);
	for (int i = 0; i < TRIES && ret == -ECONNREFUSED; i++) {
		int s = nc_socket(AF_INET, SOCK_STREAM, 0);

		if (s < 0)
			return s;
		ret = nc_connect(s, (const struct sockaddr *)addr, sizeof(*addr));
		if (ret == 0)
			return s;
		(void)nc_close(s); /* why it is not connected is what matters */
		(void)sched_yield(); /* it does not fail on Linux */
	}
	return ret;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	bool client = argc == 5 && strcmp(argv[1], "client") == 0;
	int listener = -1, ret = 0;
	unsigned long nr, messages;

	if (argc != 5 || inet_pton(AF_INET, argv[2], &addr.sin_addr) != 1)
		return fail("usage: sockets server|client ADDRESS N MESSAGES", -EINVAL);
	nr = strtoul(argv[3], NULL, 10);
	messages = strtoul(argv[4], NULL, 10);
	if (!client) {
		listener = nc_socket(AF_INET, SOCK_STREAM, 0);
		ret = listener < 0 ? listener
				   : nc_bind(listener, (struct sockaddr *)&addr, sizeof(addr));
		if (ret == 0)
			ret = nc_listen(listener, BACKLOG);
		if (ret < 0)
			return fail("listen", ret);
		printf("serving\n");
		(void)fflush(stdout); /* who waits for it gives up by itself */
	}
	for (unsigned long i = 0; i < nr; i++) {
		int s = next_socket(listener, &addr);

		if (s < 0)
			return fail(client ? "connect" : "accept", s);
		for (unsigned long m = 0; m < messages && ret == 0; m++)
			ret = round_trip(s, client);
		if (ret < 0)
			return fail("round trip", ret);
	}
	printf("ready\n");
	(void)fflush(stdout); /* as above */
	(void)pause(); /* it only returns where a signal was handled */
	return 0;
}
