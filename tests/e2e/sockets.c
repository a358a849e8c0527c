/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - many virtual sockets that stay: what they cost is measured from outside
 * (bench/memory.sh, pages.sh).
 *
 *   sockets server ADDRESS N MESSAGES [BYTES]
 *   sockets client ADDRESS N MESSAGES [BYTES]
 *
 * Each of N sockets is connected and moves MESSAGES of BYTES (64) there and back. "ready" is
 * printed when all have. With each line that the client reads each socket moves another message,
 * then "again" is printed; the process waits for a signal that ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ncclient.h"

#define PORT    4798
#define BACKLOG 4096
#define TRIES   100000 /* of one connect: the backlog is full for as long as the server sleeps */

/* What is moved; the message @nr of socket @s begins at place s + nr of a pattern. */
struct message {
	uint8_t *buf;
	size_t bytes;
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "sockets: %s: %s\n", what, strerror(-error));
	return 1;
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)((i * 0x9e3779b97f4a7c15ull) >> 56);
}

/* 0, or -errno. */
static int receive(int s, const struct message *m, uint64_t first)
{
	ssize_t n = nc_recv(s, m->buf, m->bytes, MSG_WAITALL);

	if (n < 0)
		return (int)n;
	if ((size_t)n != m->bytes)
		return -ECONNRESET;
	for (size_t i = 0; i < m->bytes; i++)
		if (m->buf[i] != pattern(first + i))
			return -EBADMSG;
	return 0;
}

static int send_all(int s, const struct message *m, uint64_t first)
{
	for (size_t i = 0; i < m->bytes; i++)
		m->buf[i] = pattern(first + i);
	for (size_t done = 0; done < m->bytes;) {
		ssize_t n = nc_send(s, m->buf + done, m->bytes - done, 0);

		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

/* One round trip, begun by the client. 0, or -errno. */
static int round_trip(int s, const struct message *m, uint64_t first, bool client)
{
	int ret = client ? 0 : receive(s, m, first);

	if (ret == 0)
		ret = send_all(s, m, client ? first : first + 1);
	return ret == 0 && client ? receive(s, m, first + 1) : ret;
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

static int serve(const struct sockaddr_in *addr)
{
	int listener = nc_socket(AF_INET, SOCK_STREAM, 0);
	int ret = listener < 0 ? listener
			       : nc_bind(listener, (const struct sockaddr *)addr, sizeof(*addr));

	if (ret == 0)
		ret = nc_listen(listener, BACKLOG);
	if (ret < 0)
		return ret;
	printf("serving\n");
	(void)fflush(stdout); /* who waits for it gives up by itself */
	return listener;
}

/* Another message of all of them, each time that it is asked for. @nr: they have moved so many. */
static int more(const int *socket, unsigned long sockets, const struct message *m, unsigned long nr,
		bool client)
{
	char line[16];

	while (!client || fgets(line, sizeof(line), stdin)) {
		for (unsigned long i = 0; i < sockets; i++) {
			int ret = round_trip(socket[i], m, i + nr, client);

			if (ret < 0)
				return ret;
		}
		nr++;
		printf("again\n");
		(void)fflush(stdout); /* as above */
	}
	(void)pause(); /* it only returns where a signal was handled */
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	bool client = argc > 4 && strcmp(argv[1], "client") == 0;
	struct message m = { .bytes = argc > 5 ? strtoul(argv[5], NULL, 10) : 64 };
	unsigned long nr, messages;
	int listener, ret = 0, *socket;

	if (argc < 5 || argc > 6 || inet_pton(AF_INET, argv[2], &addr.sin_addr) != 1)
		return fail("usage: sockets server|client ADDRESS N MESSAGES [BYTES]", -EINVAL);
	nr = strtoul(argv[3], NULL, 10);
	messages = strtoul(argv[4], NULL, 10);
	socket = calloc(nr + 1, sizeof(*socket));
	m.buf = malloc(m.bytes + 1);
	if (!socket || !m.buf)
		return fail("memory", -ENOMEM);
	listener = client ? -1 : serve(&addr);
	if (!client && listener < 0)
		return fail("listen", listener);
	for (unsigned long i = 0; i < nr; i++) {
		socket[i] = next_socket(listener, &addr);
		if (socket[i] < 0)
			return fail(client ? "connect" : "accept", socket[i]);
		for (unsigned long k = 0; k < messages && ret == 0; k++)
			ret = round_trip(socket[i], &m, i + k, client);
		if (ret < 0)
			return fail("round trip", ret);
	}
	printf("ready\n");
	(void)fflush(stdout); /* as above */
	ret = more(socket, nr, &m, messages, client);
	return ret < 0 ? fail("another round trip", ret) : 0;
}
