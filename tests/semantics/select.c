/* SPDX-License-Identifier: MIT */
/*
 * select.c - select(2) and pselect(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#include "sem.h"

/* Asks for everything of one descriptor and prints it. */
static void selected(int fd, int timeout_ms)
{
	struct timeval t = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	fd_set r, w, x;
	int n;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &x);
	n = select(fd + 1, &r, &w, &x, &t);
	if (n < 0)
		CALL(n);
	else
		fact("select: %d, read %d write %d except %d", n, !!FD_ISSET(fd, &r),
		     !!FD_ISSET(fd, &w), !!FD_ISSET(fd, &x));
}

static void select_of_a_connection(void)
{
	struct pair p = pair_open();

	selected(p.fd, 0);
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	selected(p.fd, 0);
}

static void select_at_the_end(void)
{
	struct pair p = pair_open();

	(void)far_close(&p);
	(void)wait_for(p.fd, POLLIN);
	selected(p.fd, 0);
}

static void select_after_a_reset(void)
{
	struct pair p = pair_open();

	(void)far_reset(&p);
	wait_broken(p.fd);
	selected(p.fd, 0);
}

static void select_unconnected_and_listening(void)
{
	uint16_t port;
	int l = listener_open(&port);

	selected(tcp_socket(), 0);
	selected(l, 0);
	(void)client_open(port);
	(void)wait_for(l, POLLIN);
	selected(l, 0);
}

static void select_waits(void)
{
	struct pair p = pair_open();
	fd_set r;

	FD_ZERO(&r);
	FD_SET(p.fd, &r);
	far_start_send(&p, "x");
	CALL(select(p.fd + 1, &r, NULL, NULL, NULL));
	fact("in %d", !!FD_ISSET(p.fd, &r));
	(void)far_finish(&p);
}

static void select_gives_up(void)
{
	struct pair p = pair_open();
	struct timeval t = { .tv_usec = 50000 };
	int64_t start = now_ms();
	fd_set r;

	FD_ZERO(&r);
	FD_SET(p.fd, &r);
	CALL(select(p.fd + 1, &r, NULL, NULL, &t));
	fact("cleared %d waited %d left %ld", !FD_ISSET(p.fd, &r), now_ms() - start >= 50,
	     (long)t.tv_usec);
}

static void select_when_full(void)
{
	struct pair p = pair_open_small();

	(void)fill(p.fd);
	selected(p.fd, 0);
}

static void select_of_what_is_closed(void)
{
	struct pair p = pair_open();

	(void)close(p.fd);
	selected(p.fd, 0);
}

static void select_after_connect_that_does_not_block(void)
{
	uint16_t port;
	int s = tcp_socket();
	struct sockaddr_in to;
	fd_set w;

	(void)listener_open(&port);
	to = near_addr(port);
	set_nonblocking(s, true);
	(void)connect(s, (struct sockaddr *)&to, sizeof(to)); /* at once or in progress */
	FD_ZERO(&w);
	FD_SET(s, &w);
	CALL(select(s + 1, NULL, &w, NULL, NULL));
	CALL(option(s, SOL_SOCKET, SO_ERROR));
	selected(s, 0);
}

static void select_several(void)
{
	struct ends e = ends_open();
	int pipes[2], top;
	fd_set r, w;

	(void)!pipe(pipes);
	top = e.c;
	top = e.s > top ? e.s : top;
	top = pipes[1] > top ? pipes[1] : top;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(e.c, &r);
	FD_SET(e.s, &r);
	FD_SET(pipes[0], &r);
	FD_SET(e.c, &w);
	FD_SET(pipes[1], &w);
	CALL(send(e.c, "x", 1, 0));
	wait_bytes(e.s, 1);
	CALL(select(top + 1, &r, &w, NULL, NULL));
	fact("%d %d %d, %d %d", !!FD_ISSET(e.c, &r), !!FD_ISSET(e.s, &r), !!FD_ISSET(pipes[0], &r),
	     !!FD_ISSET(e.c, &w), !!FD_ISSET(pipes[1], &w));
}

static void select_pselect(void)
{
	struct pair p = pair_open();
	struct timespec t = { .tv_nsec = 1000000 };
	fd_set r;

	FD_ZERO(&r);
	FD_SET(p.fd, &r);
	CALL(pselect(p.fd + 1, &r, NULL, NULL, &t, NULL));
	fact("time untouched %ld", t.tv_nsec);
	(void)far_send(&p, "x");
	FD_SET(p.fd, &r);
	CALL(pselect(p.fd + 1, &r, NULL, NULL, NULL, NULL));
}

static void select_wrong(void)
{
	struct timeval t = { .tv_sec = -1 };

	CALL(select(-1, NULL, NULL, NULL, NULL));
	CALL(select(0, NULL, NULL, NULL, &t));
	t.tv_sec = 0;
	CALL(select(0, NULL, NULL, NULL, &t));
}

/* Descriptors that no fd_set has, but the kernel. */
static void select_of_high_numbers(void)
{
	struct rlimit limit = { 4096, 4096 };
	struct pair p = pair_open();
	static uint8_t bits[4096 / 8];
	struct timeval t = { .tv_sec = WAIT_MS / 1000 };
	int fd;

	(void)setrlimit(RLIMIT_NOFILE, &limit);
	fd = fcntl(p.fd, F_DUPFD, 2000);
	fact("high %d", fd >= 2000);
	CALL(close(p.fd));
	(void)far_send(&p, "x");
	fact_poll(fd, POLLIN, WAIT_MS);
	bits[fd / 8] |= (uint8_t)(1 << fd % 8);
	CALL(select(fd + 1, (fd_set *)(void *)bits, NULL, NULL, &t));
	fact("set %d time left %d", !!(bits[fd / 8] & 1 << fd % 8), t.tv_sec > 1);
	CALL(recv(fd, &(char){ 0 }, 1, 0));
	t = (struct timeval){ .tv_usec = 1000 };
	CALL(select(fd + 1, (fd_set *)(void *)bits, NULL, NULL, &t));
	fact("set %d time left %ld", !!(bits[fd / 8] & 1 << fd % 8), (long)t.tv_usec);
}

const struct sem_case cases_select[] = {
	FAR_CASE(select_of_a_connection),
	FAR_CASE(select_at_the_end),
	FAR_CASE(select_after_a_reset),
	CASE(select_unconnected_and_listening),
	FAR_CASE(select_waits),
	FAR_CASE(select_gives_up),
	FAR_CASE(select_when_full),
	FAR_CASE(select_of_what_is_closed),
	CASE(select_after_connect_that_does_not_block),
	CASE(select_several),
	FAR_CASE(select_pselect),
	CASE(select_wrong),
	FAR_CASE(select_of_high_numbers),
	CASES_END,
};
