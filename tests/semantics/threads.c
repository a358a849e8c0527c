/* SPDX-License-Identifier: MIT */
/*
 * threads.c - several threads with one socket, and with many.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

#define MUCH (2u << 20)

static void *send_much(void *arg)
{
	return (void *)pattern_send(*(int *)arg, 0, MUCH, 30000);
}

static void threads_send_and_receive_at_once(void)
{
	struct pair p = pair_open();
	pthread_t sender;
	void *sent;

	far_start_echo(&p);
	(void)pthread_create(&sender, NULL, send_much, &p.fd);
	fact("received %zu", pattern_recv(p.fd, 0, MUCH, 30000));
	(void)pthread_join(sender, &sent);
	fact("sent %zu", (size_t)sent);
}

struct counted {
	int fd;
	atomic_ulong bytes;
};

static void *count_bytes(void *arg)
{
	struct counted *c = arg;
	char buf[5000];
	ssize_t n;

	while ((n = recv(c->fd, buf, sizeof(buf), 0)) > 0)
		/* Relaxed: read after the join. */
		atomic_fetch_add_explicit(&c->bytes, (unsigned long)n, memory_order_relaxed);
	return NULL;
}

static void threads_share_what_comes(void)
{
	struct pair p = pair_open();
	struct counted c = { .fd = p.fd };
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		(void)pthread_create(&threads[i], NULL, count_bytes, &c);
	CALL(far_pump(&p, MUCH));
	(void)far_close(&p);
	for (int i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	fact("bytes %lu", atomic_load_explicit(&c.bytes, memory_order_relaxed));
}

static void *send_zeros(void *arg)
{
	static const char zeros[1000];
	uintptr_t sent = 0;

	for (int i = 0; i < 200; i++)
		sent += (uintptr_t)send(*(int *)arg, zeros, sizeof(zeros), 0);
	return (void *)sent;
}

static void threads_send_side_by_side(void)
{
	struct ends e = ends_open();
	struct counted c = { .fd = e.s };
	pthread_t threads[4], reader;
	void *sent;

	(void)pthread_create(&reader, NULL, count_bytes, &c);
	for (int i = 0; i < 4; i++)
		(void)pthread_create(&threads[i], NULL, send_zeros, &e.c);
	for (int i = 0; i < 4; i++) {
		(void)pthread_join(threads[i], &sent);
		fact("sent %zu", (size_t)sent);
	}
	(void)close(e.c);
	(void)pthread_join(reader, NULL);
	fact("bytes %lu", atomic_load_explicit(&c.bytes, memory_order_relaxed));
}

static void *own_connection(void *arg)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s = accept(l, NULL, NULL);
	uintptr_t good = 0;

	(void)arg;
	for (int i = 0; i < 100; i++) {
		char out = (char)i, in = 0;

		good += send(c, &out, 1, 0) == 1 && recv(s, &in, 1, 0) == 1 && in == out &&
			send(s, &in, 1, 0) == 1 && recv(c, &in, 1, 0) == 1 && in == out;
	}
	(void)close(c);
	good += recv(s, &(char){ 0 }, 1, 0) == 0;
	return (void *)good;
}

static void threads_each_with_its_own(void)
{
	pthread_t threads[12];
	size_t all = 0;
	void *good;

	for (int i = 0; i < 12; i++)
		(void)pthread_create(&threads[i], NULL, own_connection, NULL);
	for (int i = 0; i < 12; i++) {
		(void)pthread_join(threads[i], &good);
		all += (size_t)good;
	}
	fact("good %zu of %d", all, 12 * 101);
}

static void *wrong_recv(void *arg)
{
	errno = 0;
	(void)recv(*(int *)arg, &(char){ 0 }, 1, MSG_DONTWAIT); /* for its errno */
	return (void *)(intptr_t)errno;
}

static void threads_have_their_own_errno(void)
{
	struct pair p = pair_open();
	pthread_t thread;
	void *theirs;

	errno = ENOTTY;
	(void)pthread_create(&thread, NULL, wrong_recv, &p.fd);
	(void)pthread_join(thread, &theirs);
	fact("mine %s theirs %s", strerrorname_np(errno), strerrorname_np((int)(intptr_t)theirs));
}

static void *accept_some(void *arg)
{
	uintptr_t n = 0;
	int s;

	while ((s = accept(*(int *)arg, NULL, NULL)) >= 0) {
		n += send(s, "x", 1, 0) == 1;
		(void)close(s);
	}
	return (void *)n;
}

static void threads_accept_side_by_side(void)
{
	pthread_t threads[3];
	uint16_t port;
	int l = listener_open(&port);
	size_t good = 0, all = 0;
	void *n;

	for (int i = 0; i < 3; i++)
		(void)pthread_create(&threads[i], NULL, accept_some, &l);
	for (int i = 0; i < 60; i++) {
		int c = client_open(port);

		good += recv(c, &(char){ 0 }, 1, 0) == 1;
		(void)close(c);
	}
	(void)shutdown(l, SHUT_RD); /* their accept fails */
	for (int i = 0; i < 3; i++) {
		(void)pthread_join(threads[i], &n);
		all += (size_t)n;
	}
	fact("served %zu heard %zu", all, good);
}

static void *close_it(void *arg)
{
	return (void *)(intptr_t)close(*(int *)arg);
}

static void threads_close_for_another(void)
{
	struct pair p = pair_open();
	pthread_t thread;

	(void)pthread_create(&thread, NULL, close_it, &p.fd);
	(void)pthread_join(thread, NULL);
	CALL(send(p.fd, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void *recv_until_cancelled(void *arg)
{
	(void)recv(*(int *)arg, &(char){ 0 }, 1, 0); /* a cancellation point, and where it is */
	return NULL;
}

static void threads_are_cancelled_in_recv(void)
{
	struct pair p = pair_open();
	pthread_t thread;
	void *how;

	(void)pthread_create(&thread, NULL, recv_until_cancelled, &p.fd);
	(void)pthread_cancel(thread);
	(void)pthread_join(thread, &how);
	fact("cancelled %d", how == PTHREAD_CANCELED);
	(void)far_send(&p, "x");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
}

static void *recv_one(void *arg)
{
	return (void *)recv(*(int *)arg, &(char){ 0 }, 1, 0);
}

/* Another takes the socket away from one that waits: what it sees is the end. */
static void threads_shut_down_and_close_what_is_read(void)
{
	struct pair p = pair_open();
	pthread_t thread;
	void *n;

	(void)pthread_create(&thread, NULL, recv_one, &p.fd);
	(void)poll(NULL, 0, 20); /* it sleeps; if not yet, it finds the end, or no socket */
	CALL(shutdown(p.fd, SHUT_RDWR));
	CALL(dup2(STDIN_FILENO, p.fd) == p.fd);
	(void)pthread_join(thread, &n);
	fact("recv: %ld", (long)n);
}

static void *send_until_cancelled(void *arg)
{
	char byte = 0;

	while (send(*(int *)arg, &byte, 1, 0) == 1)
		;
	return NULL;
}

static void threads_are_cancelled_in_send(void)
{
	struct pair p = pair_open_small();
	pthread_t thread;
	void *how;

	(void)fill(p.fd);
	(void)fcntl(p.fd, F_SETFL, 0);
	(void)pthread_create(&thread, NULL, send_until_cancelled, &p.fd);
	(void)poll(NULL, 0, 5); /* as above */
	(void)pthread_cancel(thread);
	(void)pthread_join(thread, &how);
	fact("cancelled %d", how == PTHREAD_CANCELED);
	CALL(close(p.fd));
}

static void *poll_until_cancelled(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLIN };

	(void)poll(&p, 1, -1);
	return NULL;
}

static void threads_are_cancelled_in_poll(void)
{
	struct pair p = pair_open();
	pthread_t thread;
	void *how;

	(void)pthread_create(&thread, NULL, poll_until_cancelled, &p.fd);
	(void)poll(NULL, 0, 5); /* it may have come to sleep, or not */
	(void)pthread_cancel(thread);
	(void)pthread_join(thread, &how);
	fact("cancelled %d", how == PTHREAD_CANCELED);
	(void)far_send(&p, "x");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(close(p.fd));
}

const struct sem_case cases_threads[] = {
	FAR_CASE(threads_send_and_receive_at_once),
	FAR_CASE(threads_share_what_comes),
	CASE(threads_send_side_by_side),
	CASE(threads_each_with_its_own),
	FAR_CASE(threads_have_their_own_errno),
	CASE(threads_accept_side_by_side),
	FAR_CASE(threads_close_for_another),
	FAR_CASE(threads_shut_down_and_close_what_is_read),
	FAR_CASE(threads_are_cancelled_in_recv),
	FAR_CASE(threads_are_cancelled_in_poll),
	FAR_CASE(threads_are_cancelled_in_send),
	CASES_END,
};
