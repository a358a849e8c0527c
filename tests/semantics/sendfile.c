/* SPDX-License-Identifier: MIT */
/*
 * sendfile.c - sendfile(2), splice(2) and their kin: bytes that pass no buffer of the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sem.h"

/* A file of @len bytes of the pattern, without a name. */
static int pattern_file(size_t len)
{
	static uint8_t buf[65536];
	FILE *f = tmpfile();
	int fd = f ? dup(fileno(f)) : -1;

	for (size_t at = 0; at < len; at += sizeof(buf)) {
		size_t n = len - at < sizeof(buf) ? len - at : sizeof(buf);

		pattern_fill(buf, at, n);
		if (write(fd, buf, n) != (ssize_t)n)
			fact("cannot go on: no file");
	}
	(void)lseek(fd, 0, SEEK_SET); /* a file seeks */
	return fd;
}

static void sendfile_of_a_file(void)
{
	struct pair p = pair_open();
	int f = pattern_file(10000);

	CALL(sendfile(p.fd, f, NULL, 10000));
	CALL(lseek(f, 0, SEEK_CUR));
	CALL(far_drain(&p, 10000));
	CALL(sendfile(p.fd, f, NULL, 10));
}

static void sendfile_from_an_offset(void)
{
	struct pair p = pair_open();
	int f = pattern_file(5000);
	off_t at = 0;

	CALL(sendfile(p.fd, f, &at, 2000));
	fact("offset %ld", (long)at);
	CALL(sendfile(p.fd, f, &at, 2000));
	fact("offset %ld", (long)at);
	CALL(lseek(f, 0, SEEK_CUR));
	CALL(far_drain(&p, 4000));
	CALL(sendfile(p.fd, f, &at, 9999));
	CALL(sendfile(p.fd, f, &at, 9999));
	CALL(far_drain(&p, 1000));
}

static void sendfile_big(void)
{
	struct pair p = pair_open();
	size_t done = 0;
	int f = pattern_file(4 << 20);
	ssize_t n;

	far_start_drain(&p, 4 << 20);
	while (done < 4 << 20 && (n = sendfile(p.fd, f, NULL, (4 << 20) - done)) > 0)
		done += (size_t)n;
	fact("sent %zu drained %ld", done, far_finish(&p));
}

/* Each length from an offset of its own: little and much, and what is between. */
static void sendfile_of_each_size(void)
{
	static const size_t sizes[] = { 1, 4096, 16384, 16385, 65536, 65537, 200000 };
	struct pair p = pair_open();
	int f = pattern_file(400000);
	off_t at = 0;

	far_start_drain(&p, 367939);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		off_t end = at + (off_t)sizes[i];

		while (at < end && sendfile(p.fd, f, &at, (size_t)(end - at)) > 0)
			;
		fact("offset %ld", (long)at);
	}
	fact("drained %ld", far_finish(&p));
}

static void sendfile_wrong(void)
{
	struct pair p = pair_open();
	int f = pattern_file(10), pipes[2];
	off_t at = -1;

	(void)!pipe(pipes);
	CALL(sendfile(p.fd, f, NULL, 0));
	CALL(sendfile(p.fd, -1, NULL, 10));
	CALL(sendfile(-1, f, NULL, 10));
	CALL(sendfile(f, p.fd, NULL, 10));
	CALL(sendfile(p.fd, f, &at, 10));
	CALL(sendfile(p.fd, f, bad_pointer(), 10));
}

static void sendfile_to_a_broken_socket(void)
{
	struct pair p = pair_open();
	int f = pattern_file(10);

	CALL(shutdown(p.fd, SHUT_WR));
	CALL(sendfile(p.fd, f, NULL, 10));
	CALL(sigpipes());
	CALL(lseek(f, 0, SEEK_CUR));
	CALL(sendfile(tcp_socket(), f, NULL, 10));
	CALL(sigpipes());
}

static void sendfile_when_full(void)
{
	struct pair p = pair_open_small();
	int f = pattern_file(1000);

	(void)fill(p.fd);
	set_nonblocking(p.fd, true);
	CALL(sendfile(p.fd, f, NULL, 1000));
	CALL(lseek(f, 0, SEEK_CUR));
}

/* What there is room for goes, and the offset says how much that was. */
static void sendfile_when_nearly_full(void)
{
	struct pair p = pair_open_small();
	int f = pattern_file(60000);
	off_t at = 0;
	bool moved = true;
	ssize_t n;

	set_nonblocking(p.fd, true);
	while ((n = sendfile(p.fd, f, &at, 60000)) > 0) {
		moved = moved && at == n;
		at = 0;
	}
	fact_call("in the end", n);
	fact("offset moved as far: %d, at the end %ld; the file's %ld", moved, (long)at,
	     (long)lseek(f, 0, SEEK_CUR));
}

/* At the end of the file nothing is asked of the socket. */
static void sendfile_of_nothing_to_a_broken_socket(void)
{
	struct pair p = pair_open();
	int f = pattern_file(10);
	off_t at = 10;

	CALL(shutdown(p.fd, SHUT_WR));
	CALL(sendfile(p.fd, f, &at, 10));
	at = 0;
	CALL(sendfile(p.fd, f, &at, 10));
	fact("offset %ld", (long)at);
	CALL(sigpipes());
}

static void splice_from_a_pipe(void)
{
	struct pair p = pair_open();
	char buf[8];
	int pipes[2];

	(void)!pipe(pipes);
	CALL(write(pipes[1], "piped", 5));
	CALL(splice(pipes[0], NULL, p.fd, NULL, 5, 0));
	CALL(far_recv(&p, buf, 5));
	fact("'%.5s'", buf);
	CALL(splice(pipes[0], NULL, p.fd, NULL, 5, SPLICE_F_NONBLOCK));
	(void)close(pipes[1]);
	CALL(splice(pipes[0], NULL, p.fd, NULL, 5, 0));
}

static void splice_to_a_pipe(void)
{
	struct pair p = pair_open();
	char buf[8];
	int pipes[2];

	(void)!pipe(pipes);
	set_nonblocking(p.fd, true); /* SPLICE_F_NONBLOCK is for the pipe */
	CALL(splice(p.fd, NULL, pipes[1], NULL, 5, 0));
	(void)far_send(&p, "splice");
	wait_bytes(p.fd, 6);
	CALL(splice(p.fd, NULL, pipes[1], NULL, 4, 0));
	fact_bytes("read", read(pipes[0], buf, 8), buf);
	CALL(splice(p.fd, NULL, pipes[1], NULL, 100, SPLICE_F_MOVE));
	fact_bytes("read", read(pipes[0], buf, 8), buf);
	(void)far_close(&p);
	(void)wait_for(p.fd, POLLIN);
	CALL(splice(p.fd, NULL, pipes[1], NULL, 4, 0));
}

static void splice_wrong(void)
{
	struct ends e = ends_open();
	off_t at = 0;
	int pipes[2], f = pattern_file(10);

	(void)!pipe(pipes);
	CALL(splice(e.c, NULL, e.s, NULL, 4, 0));
	CALL(splice(f, NULL, e.c, NULL, 4, 0));
	CALL(splice(pipes[0], &at, e.c, NULL, 4, 0));
	CALL(splice(pipes[0], NULL, e.c, &at, 4, 0));
	CALL(tee(pipes[0], e.c, 4, 0));
	CALL(vmsplice(e.c, &(struct iovec){ 0 }, 1, 0));
	CALL(copy_file_range(f, NULL, e.c, NULL, 4, 0));
}

static void splice_through(void)
{
	struct ends a = ends_open(), b = ends_open();
	size_t done = 0;
	int pipes[2];

	(void)!pipe(pipes);
	fact("sent %zu", pattern_send(a.c, 0, 60000, 20000));
	(void)shutdown(a.c, SHUT_WR); /* the splices end there */
	for (;;) {
		ssize_t n = splice(a.s, NULL, pipes[1], NULL, 16384, 0);

		if (n <= 0)
			break;
		while (n > 0) {
			ssize_t m = splice(pipes[0], NULL, b.c, NULL, (size_t)n, 0);

			if (m <= 0)
				break;
			n -= m;
			done += (size_t)m;
		}
	}
	fact("spliced %zu right %zu", done, pattern_recv(b.s, 0, 60000, 60000));
}

const struct sem_case cases_sendfile[] = {
	FAR_CASE(sendfile_of_a_file),
	FAR_CASE(sendfile_from_an_offset),
	FAR_CASE(sendfile_big),
	FAR_CASE(sendfile_of_each_size),
	FAR_CASE(sendfile_wrong),
	FAR_CASE(sendfile_to_a_broken_socket),
	FAR_CASE(sendfile_when_full),
	FAR_CASE(sendfile_when_nearly_full),
	FAR_CASE(sendfile_of_nothing_to_a_broken_socket),
	FAR_CASE(splice_from_a_pipe),
	FAR_CASE(splice_to_a_pipe),
	CASE(splice_wrong),
	CASE(splice_through),
	CASES_END,
};
