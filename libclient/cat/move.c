/* SPDX-License-Identifier: MIT */
/*
 * move.c - moves bytes both ways at once. They are read straight into the tx ring and written
 * straight out of the rx ring.
 *
 * Threading: one thread for each direction; the main thread shows the progress and waits for both.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cat.h"
#include "ncclient.h"

#define PIECE_BYTES (256u << 10)

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

static void progress_look(struct cat *cat, struct progress *p, bool end)
{
	/* Relaxed, both: numbers to look at. */
	uint64_t sent = atomic_load_explicit(&cat->sent, memory_order_relaxed);
	uint64_t received = atomic_load_explicit(&cat->received, memory_order_relaxed);

	progress_show(p, sent, received, end);
}

/* Until both directions have ended (true), or one has failed. */
static bool cat_wait(struct cat *cat)
{
	bool show = !cat->opt->quiet && isatty(STDERR_FILENO);
	bool failed;
	struct progress p;
	struct timespec until;

	progress_begin(&p);
	(void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail with this clock */
	pthread_mutex_lock(&cat->lock);
	while (cat->running > 0 && !cat->failed) {
		until.tv_sec++;
		while (cat->running > 0 && !cat->failed &&
		       pthread_cond_timedwait(&cat->changed, &cat->lock, &until) == 0)
			;
		if (show && cat->running > 0)
			progress_look(cat, &p, false);
	}
	failed = cat->failed;
	pthread_mutex_unlock(&cat->lock);
	if (show)
		progress_look(cat, &p, true);
	return !failed;
}

int cat_move(const struct options *opt, int s)
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
