/* SPDX-License-Identifier: MIT */
/*
 * named.c - a program with functions of its own that have the names of the C library's, as Erlang
 * has sigaction(2) and __sigaction, which look for the next one. Under ncd-run the next one is our
 * stand-in: it must not call what has its name here. With an echo server at PORT:
 *
 *   named ADDRESS PORT
 *
 * Says "well" if it has handled a signal and heard its echo.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Global: why: a handler has no other place. */
static volatile sig_atomic_t handled;
/* Global: why: nor has a function that the C library's callers know. */
static int depth;

/* The C library has these; its headers do not name them. */
int __sigaction(int nr, const struct sigaction *act, struct sigaction *old);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);

int __sigaction(int nr, const struct sigaction *act, struct sigaction *old)
{
	int (*next)(int nr, const struct sigaction *act, struct sigaction *old);
	void *found = dlsym(RTLD_NEXT, "__sigaction");
	int ret;

	memcpy(&next, &found, sizeof(next));
	if (++depth > 1) {
		fputs("named: the next __sigaction calls the program's\n", stderr);
		exit(1);
	}
	ret = next(nr, act, old);
	depth--;
	return ret;
}

int sigaction(int nr, const struct sigaction *__restrict act, struct sigaction *__restrict old)
{
	return __sigaction(nr, act, old);
}

/* It reads nothing: whoever calls it takes it for the C library's. */
ssize_t read(int fd, void *buf, size_t len)
{
	fprintf(stderr, "named: read of %zu bytes at %d to %p is called\n", len, fd, buf);
	exit(1);
}

static void on_signal(int nr)
{
	handled = nr;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct sigaction action = { .sa_handler = on_signal };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char echo[5];

	if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	if (sigaction(SIGUSR1, &action, NULL) < 0 || raise(SIGUSR1) || handled != SIGUSR1) {
		fputs("named: no signal\n", stderr);
		return 1;
	}
	if (connect(s, (struct sockaddr *)&to, sizeof(to)) < 0 || send(s, "hello", 5, 0) != 5 ||
	    __read_chk(s, echo, sizeof(echo), sizeof(echo)) != 5 || memcmp(echo, "hello", 5)) {
		perror("named: no echo");
		return 1;
	}
	puts("well");
	return 0;
}
