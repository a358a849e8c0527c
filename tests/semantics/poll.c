/* SPDX-License-Identifier: MIT */
/*
 * poll.c - poll(2) and ppoll(2).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sem.h"

static void poll_of_a_connection(void)
{
	struct pair p = pair_open();

	fact_ready(p.fd);
	fact_poll(p.fd, POLLIN, 0);
	fact_poll(p.fd, POLLOUT, 0);
	fact_poll(p.fd, 0, 0);
}

static void poll_when_there_are_bytes(void)
{
	struct pair p = pair_open();

	(void)far_send(&p, "ab");
	wait_bytes(p.fd, 2);
	fact_ready(p.fd);
	fact_poll(p.fd, POLLOUT, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact_ready(p.fd);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact_ready(p.fd);
}

static void poll_normal_and_band(void)
{
	struct pair p = pair_open();
	int all = POLLIN | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND | POLLPRI;

	fact_poll(p.fd, all, 0);
	(void)far_send(&p, "a");
	wait_bytes(p.fd, 1);
	fact_poll(p.fd, all, 0);
	fact_poll(p.fd, POLLRDNORM, 0);
}

static void poll_at_the_end(void)
{
	struct pair p = pair_open();

	(void)far_close(&p);
	(void)wait_for(p.fd, POLLRDHUP);
	fact_ready(p.fd);
	fact_poll(p.fd, POLLIN, 0);
	fact_poll(p.fd, POLLRDHUP, 0);
	fact_poll(p.fd, 0, 0);
}

static void poll_bytes_and_the_end(void)
{
	struct pair p = pair_open();

	(void)far_send(&p, "a");
	(void)far_close(&p);
	(void)wait_for(p.fd, POLLRDHUP);
	fact_ready(p.fd);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact_ready(p.fd);
}

static void poll_waits(void)
{
	struct pair p = pair_open();

	far_start_send(&p, "x");
	fact_poll(p.fd, POLLIN, -1);
	(void)far_finish(&p);
}

static void poll_waits_for_the_end(void)
{
	struct pair p = pair_open();

	far_start_close(&p);
	fact_poll(p.fd, POLLIN, -1);
	(void)far_finish(&p);
}

static void poll_gives_up(void)
{
	struct pair p = pair_open();
	int64_t start = now_ms();

	fact_poll(p.fd, POLLIN, 60);
	fact("waited: %d", now_ms() - start >= 60);
}

static void poll_ignores_negative_descriptors(void)
{
	struct pair p = pair_open();
	struct pollfd f[3] = { { .fd = -1, .events = POLLIN, .revents = 0x55 },
			       { .fd = p.fd, .events = POLLOUT },
			       { .fd = -7, .events = POLLOUT, .revents = 0x55 } };

	CALL(poll(f, 3, -1));
	fact("%d %d %d", f[0].revents, f[1].revents == POLLOUT, f[2].revents);
}

static void poll_of_what_is_closed(void)
{
	struct pair p = pair_open();

	(void)close(p.fd);
	fact_poll(p.fd, POLLIN | POLLOUT, 1000);
}

static void poll_counts_descriptors(void)
{
	struct ends a = ends_open(), b = ends_open();
	struct pollfd f[4] = { { .fd = a.c, .events = POLLIN },
			       { .fd = a.s, .events = POLLIN },
			       { .fd = b.c, .events = POLLIN | POLLOUT },
			       { .fd = b.s, .events = POLLIN } };

	CALL(send(a.c, "x", 1, 0));
	CALL(send(b.c, "x", 1, 0));
	wait_bytes(a.s, 1);
	wait_bytes(b.s, 1);
	CALL(poll(f, 4, -1));
	fact("%d %d %d %d", f[0].revents, f[1].revents, f[2].revents, f[3].revents);
}

static void poll_one_descriptor_twice(void)
{
	struct pair p = pair_open();
	struct pollfd f[2] = { { .fd = p.fd, .events = POLLIN },
			       { .fd = p.fd, .events = POLLOUT } };

	CALL(poll(f, 2, -1));
	fact("%d %d", f[0].revents, f[1].revents);
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	CALL(poll(f, 2, -1));
	fact("%d %d", f[0].revents, f[1].revents);
}

static void poll_with_a_pipe(void)
{
	struct pair p = pair_open();
	int pipes[2];
	struct pollfd f[2];

	(void)!pipe(pipes);
	f[0] = (struct pollfd){ .fd = p.fd, .events = POLLIN };
	f[1] = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	CALL(poll(f, 2, 0));
	CALL(write(pipes[1], "x", 1));
	CALL(poll(f, 2, -1));
	fact("%d %d", f[0].revents, f[1].revents);
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	CALL(poll(f, 2, -1));
	fact("%d %d", f[0].revents, f[1].revents);
}

static void *wait_and_tell(void *arg)
{
	fact_poll(*(int *)arg, POLLIN, -1);
	return NULL;
}

static void poll_in_two_threads(void)
{
	struct pair p = pair_open();
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		(void)pthread_create(&threads[i], NULL, wait_and_tell, &p.fd);
	(void)far_send(&p, "x");
	for (int i = 0; i < 2; i++)
		(void)pthread_join(threads[i], NULL);
}

static void poll_when_full(void)
{
	struct pair p = pair_open_small();

	(void)fill(p.fd);
	fact_ready(p.fd);
	fact_poll(p.fd, POLLOUT, 20);
}

static void poll_is_woken_by_room(void)
{
	static char buf[FAR_BYTES];
	struct pair p = pair_open_small();
	size_t n = fill(p.fd);

	for (size_t got = 0; got < n;) {
		long r = far_recv(&p, buf, sizeof(buf));

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	fact_poll(p.fd, POLLOUT, -1);
}

static void poll_ppoll(void)
{
	struct pair p = pair_open();
	struct pollfd f = { .fd = p.fd, .events = POLLIN };
	struct timespec t = { .tv_nsec = 1000000 };
	sigset_t none;

	(void)sigemptyset(&none);
	CALL(ppoll(&f, 1, &t, &none));
	fact("time untouched %ld", t.tv_nsec);
	(void)far_send(&p, "x");
	CALL(ppoll(&f, 1, NULL, NULL));
	fact("in %d", f.revents == POLLIN);
	t.tv_nsec = 1000000000;
	CALL(ppoll(&f, 1, &t, NULL));
}

static void poll_nothing(void)
{
	CALL(poll(NULL, 0, 0));
	CALL(poll(NULL, 0, 5));
	CALL(poll(bad_pointer(), 1, 0));
}

static void poll_many(void)
{
	enum {
		MANY = 60
	};
	static struct pollfd f[2 * MANY];
	int in = 0;

	for (int i = 0; i < MANY; i++) {
		struct ends e = ends_open();

		f[2 * i] = (struct pollfd){ .fd = e.c, .events = POLLIN };
		f[2 * i + 1] = (struct pollfd){ .fd = e.s, .events = POLLIN };
		if (i % 3 == 0) {
			(void)send(e.c, "x", 1, 0); /* counted below */
			wait_bytes(e.s, 1);
		}
	}
	CALL(poll(f, (nfds_t)2 * MANY, -1));
	for (int i = 0; i < 2 * MANY; i++)
		in += f[i].revents == POLLIN && i % 6 == 1;
	fact("in %d", in);
}

static void poll_sees_a_closed_number_used_again(void)
{
	struct pair p = pair_open();
	int pipes[2];

	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	(void)!pipe(pipes);
	CALL(dup2(pipes[0], p.fd) == p.fd);
	fact_ready(p.fd);
	CALL(write(pipes[1], "y", 1));
	fact_ready(p.fd);
}

const struct sem_case cases_poll[] = {
	FAR_CASE(poll_of_a_connection),
	FAR_CASE(poll_when_there_are_bytes),
	FAR_CASE(poll_normal_and_band),
	FAR_CASE(poll_at_the_end),
	FAR_CASE(poll_bytes_and_the_end),
	FAR_CASE(poll_waits),
	FAR_CASE(poll_waits_for_the_end),
	FAR_CASE(poll_gives_up),
	FAR_CASE(poll_ignores_negative_descriptors),
	FAR_CASE(poll_of_what_is_closed),
	CASE(poll_counts_descriptors),
	FAR_CASE(poll_one_descriptor_twice),
	FAR_CASE(poll_with_a_pipe),
	FAR_CASE(poll_in_two_threads),
	FAR_CASE(poll_when_full),
	FAR_CASE(poll_is_woken_by_room),
	FAR_CASE(poll_ppoll),
	CASE(poll_nothing),
	CASE(poll_many),
	FAR_CASE(poll_sees_a_closed_number_used_again),
	CASES_END,
};
