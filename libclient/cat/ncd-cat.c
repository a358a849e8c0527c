/* SPDX-License-Identifier: MIT */
/*
 * ncd-cat.c - netcat over virtual sockets: stdin to the stream, the stream to stdout, both at once.
 *
 * Bytes are read straight into the tx ring and written straight out of the rx ring. Two threads
 * move them; the main thread shows the progress and waits for both.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "ncclient.h"

#define PIECE_BYTES (256u << 10)

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2
};

struct options {
	bool listen, verbose, quiet;
	int family;
	int wait_s; /* 0: for ever */
	const char *source, *host, *port;
};

struct cat {
	const struct options *opt;
	int s;
	_Atomic uint64_t sent, received;
	/* Under lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int running; /* directions */
	bool failed; /* a message has been printed */
};

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("ncd-cat: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static void usage(FILE *to)
{
	fputs("usage: ncd-cat [-46qv] [-s ADDRESS] [-w SECONDS] HOST PORT\n"
	      "       ncd-cat -l [-46qv] [-s ADDRESS] [-w SECONDS] PORT\n",
	      to);
}

/* ---- a name for people ---- */

struct name {
	char text[NI_MAXHOST + NI_MAXSERV + 4];
};

static struct name name_of(const struct sockaddr *addr, socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct name n = { "?" };

	if (getnameinfo(addr, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(n.text, sizeof(n.text),
			       addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
			       port); /* fits */
	return n;
}

static const char *remedy(int error)
{
	switch (error) {
	case -ENETUNREACH:
		return ": no [peer] in ncd.conf has this address";
	case -EHOSTUNREACH:
	case -ETIMEDOUT:
		return ": is ncd running there, and does its ncd.conf name this host?";
	case -ECONNREFUSED:
		return ": nobody listens there through ncd";
	case -EADDRNOTAVAIL:
		return ": not an address of this host in ncd.conf";
	default:
		return "";
	}
}

/* ---- sockets ---- */

static int cat_socket(const struct options *opt, int family)
{
	struct timeval limit = { .tv_sec = opt->wait_s };
	char why[256];
	int s = nc_socket(family, SOCK_STREAM, 0);

	if (s < 0) {
		(void)nc_attach_why(why, sizeof(why)); /* cut is as well */
		say("%s", *why ? why : strerror(-s));
		return s;
	}
	if (opt->wait_s > 0) {
		(void)nc_setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit,
				    sizeof(limit)); /* as asked */
		(void)nc_setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit,
				    sizeof(limit)); /* as asked */
	}
	return s;
}

static struct addrinfo *resolve(const struct options *opt, int family, const char *host,
				const char *port)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int ret;

	if (opt->listen || host == opt->source)
		hints.ai_flags = AI_PASSIVE;
	ret = getaddrinfo(host, port, &hints, &list);
	if (ret == 0)
		return list;
	say("%s%s%s: %s", host ? host : "port", host && port ? " port " : " ", port ? port : "",
	    gai_strerror(ret));
	return NULL;
}

/* Binds @s to -s ADDRESS and @port. 0, or an error that has been told. */
static int cat_bind(const struct options *opt, int s, int family, const char *port)
{
	struct addrinfo *list = resolve(opt, family, opt->source, port);
	int ret;

	if (!list)
		return -EINVAL;
	ret = nc_bind(s, list->ai_addr, list->ai_addrlen);
	if (ret < 0)
		say("%s: %s%s", name_of(list->ai_addr, list->ai_addrlen).text, strerror(-ret),
		    ret == -EACCES ? ": ports below 1024 are root's" : remedy(ret));
	freeaddrinfo(list);
	return ret;
}

static int connect_one(const struct options *opt, const struct addrinfo *ai)
{
	int s = cat_socket(opt, ai->ai_family);
	int ret = 0;

	if (s < 0)
		return s;
	if (opt->source)
		ret = cat_bind(opt, s, ai->ai_family, NULL);
	if (ret == 0) {
		ret = nc_connect(s, ai->ai_addr, ai->ai_addrlen);
		if (ret == -EINPROGRESS)
			ret = -ETIMEDOUT; /* -w */
		if (ret < 0)
			say("%s: %s%s", name_of(ai->ai_addr, ai->ai_addrlen).text, strerror(-ret),
			    remedy(ret));
	}
	if (ret == 0) {
		if (opt->verbose)
			say("connected to %s", name_of(ai->ai_addr, ai->ai_addrlen).text);
		return s;
	}
	(void)nc_close(s); /* nothing was sent */
	return ret;
}

/* Tries the addresses of HOST in turn. A socket, or an error that has been told. */
static int cat_connect(const struct options *opt)
{
	struct addrinfo *list = resolve(opt, opt->family, opt->host, opt->port);
	int s = -EINVAL;

	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		s = connect_one(opt, ai);
		if (s >= 0)
			break;
	}
	if (list)
		freeaddrinfo(list);
	return s;
}

/* Waits for one stream. A socket, or an error that has been told. */
static int cat_accept(const struct options *opt)
{
	int family = opt->family == AF_UNSPEC ? AF_INET : opt->family;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int l, s;

	if (opt->family == AF_UNSPEC && opt->source && strchr(opt->source, ':'))
		family = AF_INET6;
	l = cat_socket(opt, family);
	if (l < 0)
		return l;
	s = cat_bind(opt, l, family, opt->port);
	if (s == 0) {
		s = nc_listen(l, 1);
		if (s < 0)
			say("port %s: %s", opt->port, strerror(-s));
	}
	if (s == 0) {
		if (opt->verbose)
			say("listening on port %s", opt->port);
		s = nc_accept4(l, (struct sockaddr *)&from, &len, 0);
		if (s < 0)
			say("accept: %s", s == -EAGAIN ? "nobody came in time" : strerror(-s));
		else if (opt->verbose)
			say("connection from %s", name_of((struct sockaddr *)&from, len).text);
	}
	(void)nc_close(l); /* one stream is enough */
	return s;
}

/* ---- moving bytes ---- */

static void direction_end(struct cat *cat, const char *what, int error)
{
	pthread_mutex_lock(&cat->lock);
	cat->running--;
	if (error < 0 && !cat->failed) {
		say("%s: %s", what, strerror(-error));
		cat->failed = true;
	}
	pthread_cond_signal(&cat->changed);
	pthread_mutex_unlock(&cat->lock);
}

/* One piece of stdin into the ring: its bytes, 0 at the end, or an error and whose it is. */
static ssize_t send_piece(struct cat *cat, const char **ret_what)
{
	void *buf;
	ssize_t room, n;
	int ret;

	*ret_what = "sending";
	room = nc_reserve(cat->s, PIECE_BYTES, &buf, 0);
	if (room < 0)
		return room;
	*ret_what = "standard input";
	do
		n = read(STDIN_FILENO, buf, (size_t)room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_what = "sending";
	ret = nc_commit(cat->s, (size_t)n);
	return ret < 0 ? ret : n;
}

static void *send_run(void *arg)
{
	struct cat *cat = arg;
	const char *what;
	ssize_t n;

	while ((n = send_piece(cat, &what)) > 0)
		/* Relaxed: a number for the progress line. */
		atomic_fetch_add_explicit(&cat->sent, (uint64_t)n, memory_order_relaxed);
	if (n == 0) {
		n = nc_shutdown(cat->s, SHUT_WR);
		/* The peer may have gone without waiting for our end: what it sent counts. */
		if (n == -ENOTCONN)
			n = 0;
	}
	direction_end(cat, what, n == -EAGAIN ? -ETIMEDOUT : (int)n);
	return NULL;
}

/* With -w a direction that is silent gives up only if the other is too. */
static bool both_silent(struct cat *cat, uint64_t *sent_before)
{
	/* Relaxed: a number that moves, or does not. */
	uint64_t sent = atomic_load_explicit(&cat->sent, memory_order_relaxed);
	bool silent = sent == *sent_before;

	*sent_before = sent;
	return silent;
}

static ssize_t receive_piece(struct cat *cat, const char **ret_what)
{
	const void *buf;
	ssize_t there, n;
	int ret;

	*ret_what = "receiving";
	there = nc_peek(cat->s, PIECE_BYTES, &buf, 0);
	if (there <= 0)
		return there;
	*ret_what = "standard output";
	do
		n = write(STDOUT_FILENO, buf, (size_t)there);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_what = "receiving";
	ret = nc_consume(cat->s, (size_t)n);
	return ret < 0 ? ret : n;
}

static void *receive_run(void *arg)
{
	struct cat *cat = arg;
	uint64_t sent_before = 0;
	const char *what;
	ssize_t n;

	for (;;) {
		n = receive_piece(cat, &what);
		if (n == -EAGAIN && !both_silent(cat, &sent_before))
			continue;
		if (n <= 0)
			break;
		/* Relaxed: a number for the progress line. */
		atomic_fetch_add_explicit(&cat->received, (uint64_t)n, memory_order_relaxed);
	}
	direction_end(cat, what, n == -EAGAIN ? -ETIMEDOUT : (int)n);
	return NULL;
}

/* ---- progress ---- */

struct amount {
	char text[24];
};

static struct amount amount_of(double bytes)
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB" };
	struct amount a;
	size_t i = 0;

	while (bytes >= 999.5 && i + 1 < sizeof(unit) / sizeof(unit[0])) {
		bytes /= 1000;
		i++;
	}
	(void)snprintf(a.text, sizeof(a.text), i ? "%.1f %s" : "%.0f %s", bytes,
		       unit[i]); /* fits */
	return a;
}

static double seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct progress {
	double start, last;
	uint64_t bytes;
};

static void progress_show(struct cat *cat, struct progress *p, bool end)
{
	/* Relaxed, both: numbers to look at. */
	uint64_t sent = atomic_load_explicit(&cat->sent, memory_order_relaxed);
	uint64_t received = atomic_load_explicit(&cat->received, memory_order_relaxed);
	double now = seconds_now();
	double span = end ? now - p->start : now - p->last;
	double bytes = (double)(sent + received - (end ? 0 : p->bytes));

	fprintf(stderr, "\rsent %s  received %s  %s %s/s  %.0f s   %s",
		amount_of((double)sent).text, amount_of((double)received).text,
		end ? "average" : "now", amount_of(span > 0 ? bytes / span : 0).text,
		now - p->start, end ? "\n" : "");
	p->last = now;
	p->bytes = sent + received;
}

/* Until both directions have ended (true), or one has failed. */
static bool cat_wait(struct cat *cat)
{
	bool show = !cat->opt->quiet && isatty(STDERR_FILENO);
	bool failed;
	struct progress p = { .start = seconds_now() };
	struct timespec until;

	p.last = p.start;
	(void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail with this clock */
	pthread_mutex_lock(&cat->lock);
	while (cat->running > 0 && !cat->failed) {
		until.tv_sec++;
		while (cat->running > 0 && !cat->failed &&
		       pthread_cond_timedwait(&cat->changed, &cat->lock, &until) == 0)
			;
		if (show && cat->running > 0)
			progress_show(cat, &p, false);
	}
	failed = cat->failed;
	pthread_mutex_unlock(&cat->lock);
	if (show)
		progress_show(cat, &p, true);
	return !failed;
}

static int cat_run(const struct options *opt, int s)
{
	struct cat cat = { .opt = opt,
			   .s = s,
			   .lock = PTHREAD_MUTEX_INITIALIZER,
			   .changed = PTHREAD_COND_INITIALIZER,
			   .running = 2 };
	pthread_t sender, receiver;
	int ret;

	ret = pthread_create(&sender, NULL, send_run, &cat);
	if (ret == 0)
		ret = pthread_create(&receiver, NULL, receive_run, &cat);
	if (ret != 0) {
		say("cannot start a thread: %s", strerror(ret));
		exit(EXIT_FAILED); /* the other thread may use cat */
	}
	if (!cat_wait(&cat))
		exit(EXIT_FAILED); /* the other direction may wait for ever in read() */
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	ret = nc_close(s);
	return ret < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* ---- arguments ---- */

static bool parse(int argc, char **argv, struct options *opt)
{
	char *end;
	long wait_s;
	int c;

	while ((c = getopt(argc, argv, "46lqs:vw:Nh")) != -1) {
		switch (c) {
		case '4':
			opt->family = AF_INET;
			break;
		case '6':
			opt->family = AF_INET6;
			break;
		case 'l':
			opt->listen = true;
			break;
		case 'q':
			opt->quiet = true;
			break;
		case 's':
			opt->source = optarg;
			break;
		case 'v':
			opt->verbose = true;
			break;
		case 'w':
			wait_s = strtol(optarg, &end, 10);
			if (*end || end == optarg || wait_s < 1 || wait_s > 1000000) {
				say("-w %s: must be a number of seconds, 1 or more", optarg);
				return false;
			}
			opt->wait_s = (int)wait_s;
			break;
		case 'N':
			break; /* always so; other netcats need it */
		case 'h':
			usage(stdout);
			exit(EXIT_DONE);
		default:
			return false;
		}
	}
	if (argc - optind != (opt->listen ? 1 : 2))
		return false;
	opt->host = opt->listen ? NULL : argv[optind];
	opt->port = argv[argc - 1];
	return true;
}

int main(int argc, char **argv)
{
	struct options opt = { .family = AF_UNSPEC };
	int s;

	if (!parse(argc, argv, &opt)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error with a message */
	s = opt.listen ? cat_accept(&opt) : cat_connect(&opt);
	return s < 0 ? EXIT_FAILED : cat_run(&opt, s);
}
