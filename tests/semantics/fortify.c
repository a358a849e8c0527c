/* SPDX-License-Identifier: MIT */
/*
 * fortify.c - the entry points that a compiler puts in place of calls by _FORTIFY_SOURCE: the
 * C library's functions of these names, whatever this suite is compiled with.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

/* As glibc has them; headers declare some, by other names. */
ssize_t chk_read(int fd, void *buf, size_t len, size_t size) __asm__("__read_chk");
ssize_t chk_recv(int fd, void *buf, size_t len, size_t size, int flags) __asm__("__recv_chk");
ssize_t chk_recvfrom(int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *from,
		     socklen_t *from_len) __asm__("__recvfrom_chk");
int chk_poll(struct pollfd *fds, nfds_t nr, int timeout, size_t size) __asm__("__poll_chk");
int chk_ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *limit, const sigset_t *mask,
	      size_t size) __asm__("__ppoll_chk");
int chk_dprintf(int fd, int flag, const char *format, ...) __asm__("__dprintf_chk");
char *chk_fgets(char *buf, size_t size, int n, FILE *f) __asm__("__fgets_chk");
size_t chk_fread(void *buf, size_t size, size_t n, size_t nr, FILE *f) __asm__("__fread_chk");
int chk_fprintf(FILE *f, int flag, const char *format, ...) __asm__("__fprintf_chk");

static void fortify_reads(void)
{
	struct pair p = pair_open();
	char buf[8];
	socklen_t len = sizeof(struct sockaddr);
	struct sockaddr from;

	(void)far_send(&p, "abcdef");
	wait_bytes(p.fd, 6);
	fact_bytes("read", chk_read(p.fd, buf, 2, 8), buf);
	fact_bytes("recv", chk_recv(p.fd, buf, 2, 8, MSG_PEEK), buf);
	fact_bytes("recvfrom", chk_recvfrom(p.fd, buf, 8, 8, 0, &from, &len), buf);
	CALL(chk_recv(p.fd, buf, 8, 8, MSG_DONTWAIT));
}

static void fortify_polls(void)
{
	struct pair p = pair_open();
	struct pollfd w = { .fd = p.fd, .events = POLLIN };
	struct timespec none = { 0 };

	CALL(chk_poll(&w, 1, 0, sizeof(w)));
	CALL(chk_ppoll(&w, 1, &none, NULL, sizeof(w)));
	(void)far_send(&p, "x");
	CALL(chk_poll(&w, 1, WAIT_MS, sizeof(w)));
	CALL(chk_ppoll(&w, 1, NULL, NULL, sizeof(w)));
	fact("in %d", w.revents == POLLIN);
}

static void fortify_stdio(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r+");
	char buf[8];

	CALL(chk_dprintf(p.fd, 1, "%d", 42));
	CALL(far_recv(&p, buf, 2));
	CALL(chk_fprintf(f, 1, "%d", 43));
	CALL(fflush(f));
	CALL(far_recv(&p, buf, 2));
	(void)far_send(&p, "line\nmore");
	fact("fgets %d", chk_fgets(buf, 8, 8, f) == buf);
	CALL(chk_fread(buf, 8, 1, 4, f));
}

/* What they are for: more is asked for than there is room. */
static void overrun(int fd, int how)
{
	struct pollfd w = { .fd = fd, .events = POLLIN };
	char buf[4];

	if (how == 0)
		(void)chk_read(fd, buf, 8, 4);
	else if (how == 1)
		(void)chk_recv(fd, buf, 8, 4, 0);
	else if (how == 2)
		(void)chk_recvfrom(fd, buf, 8, 4, 0, NULL, NULL);
	else
		(void)chk_poll(&w, 2, 0, sizeof(w));
}

static void fortify_stops_overruns(void)
{
	struct pair p = pair_open();
	int status = 0;

	(void)far_send(&p, "abcdefgh");
	for (int how = 0; how < 4; how++) {
		pid_t child = fork();

		if (child == 0) {
			(void)close(STDERR_FILENO); /* where it is said */
			overrun(p.fd, how);
			_exit(0);
		}
		(void)waitpid(child, &status, 0);
		fact("aborted %d", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

const struct sem_case cases_fortify[] = {
	FAR_CASE(fortify_reads),
	FAR_CASE(fortify_polls),
	FAR_CASE(fortify_stdio),
	FAR_CASE(fortify_stops_overruns),
	CASES_END,
};
