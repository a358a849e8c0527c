/* SPDX-License-Identifier: MIT */
/*
 * measure_library.c - what the calls of libncclient cost, by number of sockets: prints costs.
 *
 *   measure_library CORE ADDRESS
 *
 * ADDRESS is this host's own: both ends of each socket are here, and the ncd that NCD_SOCKET names
 * carries the bytes. Messages of 64 bytes go to and fro on all sockets, as in ncd-perf rpc; what
 * each wait reports, and what is then done, is timed by the batch.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cost.h"
#include "ncclient.h"
#include "sample.h"

#define BATCH       64u
#define BATCHES     500u
#define CONNECTS    1024u
#define MESSAGE     64u
#define BUFFER      65536u /* as ncd-perf asks for at least */
#define PATIENCE_NS 10000000000ull
#define SOCKETS_MAX 32768u

struct side {
	struct nc_cq *cq;
	int fd[SOCKETS_MAX];
	uint32_t nr;
};

struct bench {
	struct side side[2];
	int listener;
	struct sockaddr_in addr;
	struct sample event, turn;
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "measure_library: %s: %s\n", what, strerror(-error));
	exit(1);
}

static void check(int ret, const char *what)
{
	if (ret < 0)
		die(what, ret);
}

static void start_listening(struct bench *b, const char *address)
{
	struct nc_cq **cq[2] = { &b->side[0].cq, &b->side[1].cq };
	socklen_t len = sizeof(b->addr);

	b->addr.sin_family = AF_INET;
	if (inet_pton(AF_INET, address, &b->addr.sin_addr) != 1)
		die(address, -EINVAL);
	for (int i = 0; i < 2; i++)
		check(nc_cq_create(cq[i]), "nc_cq_create");
	b->listener = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	check(b->listener, "nc_socket");
	check(nc_bind(b->listener, (struct sockaddr *)&b->addr, len), "nc_bind");
	check(nc_listen(b->listener, (int)CONNECTS), "nc_listen");
	check(nc_getsockname(b->listener, (struct sockaddr *)&b->addr, &len), "nc_getsockname");
}

static void add(struct bench *b, int end, int fd)
{
	struct side *s = &b->side[end];

	check(fd, end ? "nc_accept4" : "nc_socket");
	check(nc_cq_add(s->cq, fd, POLLIN | POLLOUT, (uint64_t)fd), "nc_cq_add");
	s->fd[s->nr++] = fd;
}

static void connect_up_to(struct bench *b, uint32_t nr)
{
	while (b->side[1].nr < nr) {
		for (uint32_t i = 0; i < CONNECTS / 2 && b->side[0].nr < nr; i++) {
			int fd = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ret;

			add(b, 0, fd);
			ret = nc_connect(fd, (struct sockaddr *)&b->addr, sizeof(b->addr));
			if (ret < 0 && ret != -EINPROGRESS)
				die("nc_connect", ret);
		}
		while (b->side[1].nr < b->side[0].nr) {
			int fd = nc_accept4(b->listener, NULL, NULL, SOCK_NONBLOCK);

			if (fd == -EAGAIN)
				(void)poll(NULL, 0, 1); /* a rest, no more */
			else
				add(b, 1, fd);
		}
	}
}

/* The first message of those from @first on: from then on each socket always has one under way. */
static void begin(struct bench *b, uint32_t first, uint32_t nr)
{
	uint64_t last_ns = sample_now_ns();
	char message[MESSAGE] = { 0 };

	for (uint32_t i = first; i < nr;) {
		ssize_t n = nc_send(b->side[0].fd[i], message, MESSAGE, MSG_DONTWAIT);

		if (n == MESSAGE)
			i++;
		else if (n != -EAGAIN || sample_now_ns() - last_ns > PATIENCE_NS)
			die("nc_send", n < 0 ? (int)n : -EIO);
		else
			(void)sched_yield(); /* accepted there, and not yet connected here */
	}
}

/* As ncd-perf serves a socket: it takes what is there, sees that there is no more, and sends. */
static void serve(int fd)
{
	char message[BUFFER];

	/* Of a socket that may only write; or the second word of one. */
	if (nc_recv(fd, message, sizeof(message), MSG_DONTWAIT) != MESSAGE)
		return;
	if (nc_recv(fd, message, sizeof(message), MSG_DONTWAIT) != -EAGAIN)
		die("nc_recv", -EIO);
	if (nc_send(fd, message, MESSAGE, MSG_DONTWAIT) != MESSAGE)
		die("nc_send", -EIO);
}

/* One wait and what it reports. Returns how many. */
static int turn(struct bench *b, int end)
{
	struct nc_event ev[BATCH];
	uint64_t start = sample_now_ns(), waited;
	int n = nc_cq_wait(b->side[end].cq, ev, BATCH, 0);

	if (n <= 0) {
		check(n, "nc_cq_wait");
		return 0;
	}
	waited = sample_now_ns();
	for (int i = 0; i < n; i++)
		serve(ev[i].socket);
	if (n < (int)BATCH / 2)
		return n;
	sample_add(&b->event, (double)(waited - start) / n);
	sample_add(&b->turn, (double)(sample_now_ns() - waited) / n);
	return n;
}

static void measure(struct bench *b, uint32_t nr, struct costs *into)
{
	uint32_t first = b->side[0].nr;
	uint64_t done = 0, last_ns = sample_now_ns();

	connect_up_to(b, nr);
	begin(b, first, nr);
	/* Each twice, then what counts. */
	for (bool warm = false; !warm || b->turn.nr < BATCHES;) {
		int n = turn(b, 1) + turn(b, 0);

		if (n > 0)
			last_ns = sample_now_ns();
		else if (sample_now_ns() - last_ns > PATIENCE_NS)
			die("messages do not arrive", -ETIMEDOUT);
		done += (uint32_t)n;
		if (!warm && done > 4ull * nr) {
			warm = true;
			b->turn.nr = b->event.nr = 0;
		}
		/* The worker has this core too. */
		(void)sched_yield(); /* never fails */
	}
	/* One of few points. */
	(void)cost_add(into, COST_APP_EVENT, nr, sample_median(&b->event));
	(void)cost_add(into, COST_APP_TURN, nr, sample_median(&b->turn));
}

int main(int argc, char **argv)
{
	static const uint32_t sockets[] = { 64, 512, 4096, SOCKETS_MAX };
	struct bench *b = calloc(1, sizeof(*b));
	struct costs c = { .nr = { 0 } };

	if (argc != 3 || !b) {
		fputs("usage: measure_library CORE ADDRESS\n", stderr);
		return 2;
	}
	if (sample_pin((int)strtol(argv[1], NULL, 10)) < 0)
		die("being on that core", -errno);
	start_listening(b, argv[2]);
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		measure(b, sockets[i], &c);
	for (uint32_t i = 0; i < COST_NR; i++)
		for (uint32_t k = 0; k < c.nr[i]; k++)
			cost_print(stdout, (enum cost)i, c.at[i][k].sockets, c.at[i][k].ns);
	return 0;
}
