/* SPDX-License-Identifier: MIT */
/*
 * soak.c - many threads, short and long streams, every way of calling, from a seed: all bytes
 * checked at both ends, and how each stream ends.
 *
 *   soak server ADDRESS PORT THREADS
 *   soak client ADDRESS PORT THREADS SECONDS SEED
 *
 * The client tells a seed in a stream's first bytes; from it both sides know how many bytes go each
 * way and how it ends. How a side reads and writes is its own choice. Prints what was wrong, if
 * anything, and how much was done; the server ends on SIGTERM. Built twice: soak uses the library,
 * soak_posix the kernel's calls, to be run under ncd-run or on kernel TCP.
 *
 * Threads race by intent, so a seed replays the plans, not the moments.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef SOAK_POSIX
#include <sys/socket.h>
static int result(ssize_t n)
{
	return n < 0 ? -errno : (int)n;
}
#define api(call, ...) result(call(__VA_ARGS__))
#define api_fcntl      fcntl
#else
#include "ncclient.h"
#define api(call, ...) nc_##call(__VA_ARGS__)
#define api_fcntl      nc_fcntl
#endif

#define BYTES_MOST  (3u << 20)
#define SHORT_MOST  3000u /* of most: ends are where the races are */
#define CHUNK_MOST  (200u << 10)
#define STUCK_MS    20000 /* nothing moves for so long: it is lost */
#define THREADS_MAX 64

enum ending {
	END_SHUTDOWN, /* each shuts down behind its last byte */
	END_CLOSE,    /* who has sent and read all closes */
	END_ABORT,    /* the client closes in the middle */
	ENDINGS
};

struct plan {
	uint64_t seed;
	uint32_t bytes[2]; /* of the client, of the server */
	uint32_t abort_at; /* of what the client sends and reads together */
	enum ending ending;
};

/* One side of a stream. */
struct side {
	int fd;
	struct plan plan;
	uint32_t out, in; /* done so far */
	uint32_t me;      /* 0: client */
	uint64_t rng;
	bool shut, eof;
	char wrong[160];
};

static struct {
	struct sockaddr_in addr;
	_Atomic bool stop;
	_Atomic uint64_t streams, bytes, wrong, refused;
	uint64_t seed, end_ns;
	int listener;
} soak;

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint32_t below(uint64_t *rng, uint32_t n)
{
	return (uint32_t)(next_random(rng) % n);
}

/* 1 to @most, small ones as likely as large ones. */
static uint32_t any_size(uint64_t *rng, uint32_t most)
{
	uint32_t bits = below(rng, 32 - (uint32_t)__builtin_clz(most)) + 1;
	uint32_t n = 1 + below(rng, 1u << bits);

	return n < most ? n : most;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct plan plan_make(uint64_t seed)
{
	uint64_t rng = seed;
	struct plan p = { .seed = seed };
	uint32_t most;

	p.ending = (enum ending)below(&rng, ENDINGS);
	most = below(&rng, 40) == 0 ? BYTES_MOST : SHORT_MOST;
	for (int i = 0; i < 2; i++)
		p.bytes[i] = below(&rng, 8) == 0 ? 0 : any_size(&rng, most);
	p.abort_at = below(&rng, p.bytes[0] + p.bytes[1] + 1);
	return p;
}

/* What is at @at of what @from sends. */
static uint8_t byte_at(const struct plan *p, uint32_t from, uint32_t at)
{
	return (uint8_t)((p->seed >> 8 * (at & 3)) + at * 0x9du + (at >> 8) + from * 0x55u);
}

static void say(struct side *s, const char *what, int error)
{
	if (s->wrong[0] == '\0')
		(void)snprintf(s->wrong, sizeof(s->wrong),
			       "%s%s%s; out %u of %u, in %u of %u, ending %d", what,
			       error ? ": " : "", error ? strerror(-error) : "", s->out,
			       s->plan.bytes[s->me], s->in, s->plan.bytes[!s->me],
			       (int)s->plan.ending);
}

/* An end by force is right only where the client aborts: for the server at any time. */
static bool may_fail(const struct side *s)
{
	return s->plan.ending == END_ABORT && s->me == 1;
}

static void fill(struct side *s, uint8_t *buf, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		buf[i] = byte_at(&s->plan, s->me, s->out + i);
}

/* What came is what was sent, and no more. */
static bool check(struct side *s, const uint8_t *buf, uint32_t n)
{
	if (n > s->plan.bytes[!s->me] - s->in) {
		say(s, "more than was sent", 0);
		return false;
	}
	for (uint32_t i = 0; i < n; i++)
		if (buf[i] != byte_at(&s->plan, !s->me, s->in + i)) {
			say(s, buf[i] ? "a wrong byte" : "a wrong byte, 0", 0);
			return false;
		}
	return true;
}

/* ---- ways of writing and reading: -EAGAIN, 0 (of reading: the end), bytes, or an error ---- */

static int write_some(struct side *s, uint8_t *buf)
{
	uint32_t left = s->plan.bytes[s->me] - s->out;
	uint32_t n = any_size(&s->rng, left < CHUNK_MOST ? left : CHUNK_MOST);
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

#ifndef SOAK_POSIX
	if (below(&s->rng, 3) == 0) {
		void *place;
		ssize_t room = nc_reserve(s->fd, n, &place, MSG_DONTWAIT);

		if (room < 0)
			return (int)room;
		fill(s, place, (uint32_t)room);
		n = below(&s->rng, 4) == 0 ? (uint32_t)room / 2 : (uint32_t)room;
		if (n == 0)
			n = 1;
		room = nc_commit(s->fd, n);
		return room < 0 ? (int)room : (int)n;
	}
#endif
	fill(s, buf, n);
	if (below(&s->rng, 3) == 0 && n > 1) {
		struct iovec iov[2] = { { buf, n / 3 }, { buf + n / 3, n - n / 3 } };
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

		return (int)api(sendmsg, s->fd, &msg, flags);
	}
	return (int)api(send, s->fd, buf, n, flags);
}

static int read_some(struct side *s, uint8_t *buf)
{
	uint32_t n = any_size(&s->rng, CHUNK_MOST), how = below(&s->rng, 8);
	int got;

#ifndef SOAK_POSIX
	if (how < 2) {
		const void *place;
		ssize_t have = nc_peek(s->fd, n, &place, MSG_DONTWAIT);

		if (have <= 0)
			return (int)have;
		if (!check(s, place, (uint32_t)have))
			return -EIO;
		got = nc_consume(s->fd, (size_t)have);
		return got < 0 ? got : (int)have;
	}
#endif
	if (how == 2) {
		got = (int)api(recv, s->fd, buf, n, MSG_PEEK | MSG_DONTWAIT);
		if (got <= 0)
			return got;
		if (!check(s, buf, (uint32_t)got))
			return -EIO;
		n = (uint32_t)got; /* it is still there, all of it */
		got = (int)api(recv, s->fd, buf, n, MSG_WAITALL);
		if (got != (int)n) {
			say(s, "less than was peeked", got < 0 ? got : 0);
			return -EIO;
		}
	} else if (how == 3 && n > 1) {
		struct iovec iov[2] = { { buf, n / 3 }, { buf + n / 3, n - n / 3 } };
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

		got = (int)api(recvmsg, s->fd, &msg, MSG_DONTWAIT);
	} else {
		got = (int)api(recv, s->fd, buf, n, MSG_DONTWAIT);
	}
	if (got > 0 && !check(s, buf, (uint32_t)got))
		return -EIO;
	return got;
}

/* ---- one side ---- */

/* True if anything moved. */
static bool turn_out(struct side *s, uint8_t *buf)
{
	int n;

	if (s->out == s->plan.bytes[s->me]) {
		if (s->shut || s->plan.ending == END_CLOSE)
			return false;
		s->shut = true;
		n = api(shutdown, s->fd, SHUT_WR);
		if (n < 0 && !may_fail(s))
			say(s, "shutdown", n);
		return true;
	}
	n = write_some(s, buf);
	if (n > 0)
		s->out += (uint32_t)n;
	else if (n != -EAGAIN && n != -EINTR)
		say(s, "send", n);
	return n > 0;
}

static bool turn_in(struct side *s, uint8_t *buf)
{
	int n;

	if (s->eof)
		return false;
	n = read_some(s, buf);
	if (n > 0) {
		s->in += (uint32_t)n;
	} else if (n == 0) {
		s->eof = true;
		if (s->in != s->plan.bytes[!s->me])
			say(s, "an early end", 0);
	} else if (n != -EAGAIN && n != -EINTR) {
		say(s, "recv", n);
	}
	return n >= 0;
}

/* Of END_CLOSE the client goes first, or both would wait. */
static bool side_over_reading(const struct side *s)
{
	if (s->wrong[0] != '\0' || s->eof)
		return true;
	return s->me == 0 && s->plan.ending == END_CLOSE && s->in == s->plan.bytes[1];
}

static bool side_over(const struct side *s)
{
	bool sent = s->out == s->plan.bytes[s->me];

	if (s->wrong[0] != '\0')
		return true;
	if (s->me == 0 && s->plan.ending == END_ABORT && s->out + s->in >= s->plan.abort_at)
		return true;
	return sent && (s->shut || s->plan.ending == END_CLOSE) && side_over_reading(s);
}

/* With calls that block, and a thread for each direction. */

static void *blocking_reader(void *arg)
{
	struct side *s = arg;
	uint8_t *buf = malloc(CHUNK_MOST);

	while (buf && !side_over_reading(s)) {
		uint32_t left = s->plan.bytes[!s->me] - s->in, n = any_size(&s->rng, CHUNK_MOST);
		int got;

		/* For all of it, and not for an end that comes only when we close. */
		if (n > left && left > 0)
			n = left;
		got = (int)api(recv, s->fd, buf, n, below(&s->rng, 4) ? 0 : MSG_WAITALL);
		if (got > 0 && check(s, buf, (uint32_t)got)) {
			s->in += (uint32_t)got;
		} else if (got == 0) {
			s->eof = true;
			if (s->in != s->plan.bytes[!s->me])
				say(s, "an early end", 0);
		} else if (got < 0 && got != -EINTR) {
			say(s, "recv", got);
		}
	}
	free(buf);
	return NULL;
}

static void blocking_writer(struct side *s, uint8_t *buf)
{
	while (s->out < s->plan.bytes[s->me] && s->wrong[0] == '\0') {
		uint32_t left = s->plan.bytes[s->me] - s->out;
		uint32_t n = any_size(&s->rng, left < CHUNK_MOST ? left : CHUNK_MOST);
		int did;

		fill(s, buf, n);
		did = (int)api(send, s->fd, buf, n, MSG_NOSIGNAL);
		if (did == (int)n)
			s->out += n;
		else
			say(s, "send", did < 0 ? did : 0);
	}
	if (s->wrong[0] == '\0' && s->plan.ending != END_CLOSE) {
		int r = api(shutdown, s->fd, SHUT_WR);

		if (r < 0)
			say(s, "shutdown", r);
	}
}

static void side_run_blocking(struct side *s, uint8_t *buf)
{
	struct side reading = *s;
	pthread_t thread;

	reading.rng ^= 0x5555;
	if (pthread_create(&thread, NULL, blocking_reader, &reading) != 0) {
		say(s, "no thread", 0);
		return;
	}
	blocking_writer(s, buf);
	(void)pthread_join(thread, NULL); /* cannot fail */
	s->in = reading.in;
	if (reading.wrong[0] != '\0')
		memcpy(s->wrong, reading.wrong, sizeof(s->wrong));
}

static void side_run(struct side *s, uint8_t *buf)
{
	int r;

	if (s->plan.ending != END_ABORT && below(&s->rng, 3) == 0) {
		side_run_blocking(s, buf);
		return;
	}
	(void)api_fcntl(s->fd, F_SETFL, below(&s->rng, 2) ? O_NONBLOCK : 0); /* known to it */
	while (!side_over(s)) {
		struct pollfd p = { .fd = s->fd };
		bool moved = turn_out(s, buf);

		moved |= turn_in(s, buf);
		if (moved || side_over(s))
			continue;
		p.events = (short)((s->out < s->plan.bytes[s->me] ? POLLOUT : 0) |
				   (s->eof ? 0 : POLLIN));
		r = api(poll, &p, 1, STUCK_MS);
		if (r == 0)
			say(s, "nothing moves any more", 0);
		else if (r < 0 && r != -EINTR)
			say(s, "poll", r);
	}
}

static void side_end(struct side *s)
{
	int r = api(close, s->fd);

	if (r < 0)
		say(s, "close", r);
	atomic_fetch_add(&soak.bytes, s->out + s->in);
	atomic_fetch_add(&soak.streams, 1);
	if (s->wrong[0] == '\0' || (may_fail(s) && strncmp(s->wrong, "a wrong", 7) != 0 &&
				    strncmp(s->wrong, "more", 4) != 0 &&
				    strncmp(s->wrong, "nothing", 7) != 0))
		return;
	atomic_fetch_add(&soak.wrong, 1);
	printf("%s of seed %" PRIu64 ": %s\n", s->me == 0 ? "client" : "server", s->plan.seed,
	       s->wrong);
}

/* ---- the two programs ---- */

static void *client_thread(void *arg)
{
	uint64_t rng = soak.seed + (uint64_t)(uintptr_t)arg * 1000003u;
	uint8_t *buf = malloc(CHUNK_MOST);
	int r;

	while (buf && now_ns() < soak.end_ns) {
		struct side s = { .me = 0, .plan = plan_make(next_random(&rng)), .rng = rng };

		s.fd = api(socket, AF_INET, SOCK_STREAM, 0);
		if (s.fd < 0) {
			printf("socket: %s\n", strerror(-s.fd));
			atomic_fetch_add(&soak.wrong, 1);
			break;
		}
		r = api(connect, s.fd, (struct sockaddr *)&soak.addr, sizeof(soak.addr));
		if (r < 0) { /* as it must while there is no channel */
			if (atomic_fetch_add(&soak.refused, 1) == 0)
				printf("connect: %s\n", strerror(-r));
			(void)api(close, s.fd); /* never used */
			continue;
		}
		r = (int)api(send, s.fd, &s.plan.seed, sizeof(s.plan.seed), 0);
		if (r != sizeof(s.plan.seed))
			say(&s, "the first bytes", r);
		side_run(&s, buf);
		side_end(&s);
	}
	free(buf);
	return NULL;
}

static void *server_thread(void *arg)
{
	uint64_t rng = 77 + (uint64_t)(uintptr_t)arg, seed;
	uint8_t *buf = malloc(CHUNK_MOST);
	ssize_t n;

	while (buf && !atomic_load(&soak.stop)) {
		struct side s = { .me = 1, .rng = next_random(&rng) };

		s.fd = api(accept4, soak.listener, NULL, NULL, 0);
		if (s.fd < 0)
			break; /* shut down at the end */
		n = api(recv, s.fd, &seed, sizeof(seed), MSG_WAITALL);
		if (n == sizeof(seed)) {
			s.plan = plan_make(seed);
			side_run(&s, buf);
		} else if (n != 0 && n != -ECONNRESET) { /* a client that aborts at once */
			say(&s, "the first bytes", (int)n);
		}
		side_end(&s);
	}
	free(buf);
	return NULL;
}

static int serve_begin(void)
{
	int r, on = 1;

	soak.listener = api(socket, AF_INET, SOCK_STREAM, 0);
	if (soak.listener < 0)
		return soak.listener;
	(void)api(setsockopt, soak.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	r = api(bind, soak.listener, (struct sockaddr *)&soak.addr, sizeof(soak.addr));
	if (r == 0)
		r = api(listen, soak.listener, 128);
	if (r < 0)
		return r;
	printf("serving\n");
	return 0;
}

/* Until SIGTERM; then threads that accept end. */
static void serve_end(const sigset_t *term)
{
	int got;

	(void)sigwait(term, &got); /* cannot fail */
	atomic_store(&soak.stop, true);
	/* What wakes them: closing for the library, shutdown for the kernel's calls. */
	(void)api(shutdown, soak.listener, SHUT_RD);
	(void)api(close, soak.listener);
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS_MAX];
	bool server = argc == 5 && strcmp(argv[1], "server") == 0;
	uint32_t threads = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
	sigset_t term;
	int r;

	if (!(server || (argc == 7 && strcmp(argv[1], "client") == 0)) || threads == 0 ||
	    threads > THREADS_MAX) {
		fprintf(stderr, "soak server ADDRESS PORT THREADS\n"
				"soak client ADDRESS PORT THREADS SECONDS SEED\n");
		return 2;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* cannot fail */
	soak.addr = (struct sockaddr_in){ .sin_family = AF_INET,
					  .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10)) };
	if (inet_pton(AF_INET, argv[2], &soak.addr.sin_addr) != 1)
		return 2;
	(void)sigemptyset(&term);                        /* cannot fail */
	(void)sigaddset(&term, SIGTERM);                 /* cannot fail */
	(void)pthread_sigmask(SIG_BLOCK, &term, NULL);   /* cannot fail */
	if (server) {
		r = serve_begin();
		if (r < 0) {
			fprintf(stderr, "soak: listen: %s\n", strerror(-r));
			return 1;
		}
	} else {
		soak.end_ns = now_ns() + strtoul(argv[5], NULL, 10) * 1000000000u;
		soak.seed = strtoull(argv[6], NULL, 10);
	}
	for (uint32_t i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, server ? server_thread : client_thread,
				   (void *)(uintptr_t)i) != 0)
			return 2;
	if (server)
		serve_end(&term);
	for (uint32_t i = 0; i < threads; i++)
		(void)pthread_join(thread[i], NULL); /* cannot fail */
	printf("%" PRIu64 " streams, %" PRIu64 " bytes, %" PRIu64 " wrong, %" PRIu64 " refused\n",
	       soak.streams, soak.bytes, soak.wrong, soak.refused);
	return soak.wrong > 0;
}
