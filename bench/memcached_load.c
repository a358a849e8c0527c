/* SPDX-License-Identifier: MIT */
/*
 * memcached_load.c - a load for memcached, of libc alone: one thread, epoll, a request outstanding
 * on each connection; nine gets to a set.
 *
 *   memcached_load ADDRESS PORT CONNECTIONS SECONDS
 *
 * Prints requests_per_s, p50_us, p99_us. Every answer is checked; a wrong one ends it: status 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VALUE_BYTES 100
#define KEYS        1000u
#define EVENTS      64
#define LATENCY_MAX 100000 /* us; slower ones count as this */

struct connection {
	int fd;
	uint32_t turn;
	uint64_t sent_ns;
	size_t got, want; /* bytes of the answer */
	char answer[VALUE_BYTES + 128];
};

struct load {
	int ep;
	uint64_t requests;
	uint32_t slot[LATENCY_MAX + 1]; /* answers by their latency in us */
};

static void fail(const char *what)
{
	fprintf(stderr, "memcached_load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The next request; what its answer must be as long as. */
static void request(struct connection *c)
{
	uint32_t key = (c->turn * 7919u + (uint32_t)c->fd) % KEYS;
	char text[VALUE_BYTES + 64];
	int n;

	if (c->turn++ % 10 == 0) {
		n = snprintf(text, sizeof(text), "set key%03u 0 0 %d\r\n%0*u\r\n", key, VALUE_BYTES,
			     VALUE_BYTES, key);
		c->want = strlen("STORED\r\n");
	} else {
		n = snprintf(text, sizeof(text), "get key%03u\r\n", key);
		c->want = 0; /* as the answer says: there may be no such key yet */
	}
	c->got = 0;
	c->sent_ns = now_ns();
	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		fail("send");
}

static int answered(const struct connection *c)
{
	return c->want ? c->got == c->want && memcmp(c->answer, "STORED\r\n", c->want) == 0
		       : c->got >= 5 && memcmp(c->answer + c->got - 5, "END\r\n", 5) == 0;
}

static void readable(struct load *l, struct connection *c)
{
	ssize_t n = recv(c->fd, c->answer + c->got, sizeof(c->answer) - c->got, MSG_DONTWAIT);
	uint64_t us;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("recv");
	c->got += (size_t)n;
	if (!answered(c)) {
		if (c->got == sizeof(c->answer) || (c->want && c->got >= c->want)) {
			errno = EPROTO;
			fail("answer");
		}
		return;
	}
	us = (now_ns() - c->sent_ns) / 1000;
	l->slot[us < LATENCY_MAX ? us : LATENCY_MAX]++;
	l->requests++;
	request(c);
}

static void connection_open(struct load *l, struct connection *c, const struct sockaddr_in *to)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		fail("connect");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* else it is slower */
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail("epoll_ctl");
	request(c);
}

static int percentile(const struct load *l, double part)
{
	uint64_t seen = 0;
	int us = 0;

	while (us < LATENCY_MAX && (seen += l->slot[us]) < (uint64_t)(part * (double)l->requests))
		us++;
	return us;
}

int main(int argc, char **argv)
{
	static struct load l;
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct epoll_event e[EVENTS];
	struct connection *c;
	uint64_t begin_ns, end_ns;
	double seconds;
	long nr;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: memcached_load ADDRESS PORT CONNECTIONS SECONDS\n");
		return 2;
	}
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	nr = strtol(argv[3], NULL, 10);
	seconds = strtod(argv[4], NULL);
	c = calloc((size_t)nr, sizeof(*c));
	l.ep = epoll_create1(EPOLL_CLOEXEC);
	if (!c || l.ep < 0)
		fail("start");
	for (long i = 0; i < nr; i++)
		connection_open(&l, &c[i], &to);
	begin_ns = now_ns();
	end_ns = begin_ns + (uint64_t)(seconds * 1e9);
	while (now_ns() < end_ns) {
		int n = epoll_wait(l.ep, e, EVENTS, 100);

		for (int i = 0; i < n; i++)
			readable(&l, e[i].data.ptr);
	}
	printf("requests_per_s %.0f\np50_us %d\np99_us %d\n",
	       (double)l.requests / ((double)(now_ns() - begin_ns) / 1e9), percentile(&l, 0.5),
	       percentile(&l, 0.99));
	return 0;
}
