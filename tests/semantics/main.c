/* SPDX-License-Identifier: MIT */
/*
 * main.c - semantics --list [far] | --run NAME: the cases by name.
 *
 * --list far: those that can run between two hosts. A case that hangs is ended by SIGALRM, and so
 * is each child that it forks: the alarm of the parent is not theirs.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static const struct sem_case *const tables[] = {
	cases_connect,  cases_bind,       cases_listen,     cases_accept,   cases_send,
	cases_recv,     cases_peek,       cases_message,    cases_shutdown, cases_reset,
	cases_nonblock, cases_option,     cases_option_tcp, cases_poll,     cases_select,
	cases_epoll,    cases_epoll_edge, cases_dup,        cases_fcntl,    cases_sendfile,
	cases_stdio,    cases_threads,    cases_signal,     cases_timeout,  cases_fork,
	cases_broken,   cases_large,      cases_ipv6,       cases_names,    cases_uring,
	cases_progress, cases_prefork,    cases_reuseport,  cases_syscall,
	cases_process,  cases_cancel,     cases_fortify,    cases_limit,
	cases_pass,     cases_handler,    cases_uring_data, cases_uring_raw,
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

static int list(bool far)
{
	for (size_t t = 0; t < TABLES; t++)
		for (const struct sem_case *c = tables[t]; c->name; c++)
			if (!far || c->far)
				printf("%s\n", c->name);
	return EXIT_SUCCESS;
}

static void limit(void)
{
	(void)alarm(10);
}

static int run(const char *name)
{
	for (size_t t = 0; t < TABLES; t++)
		for (const struct sem_case *c = tables[t]; c->name; c++)
			if (strcmp(c->name, name) == 0) {
				limit();
				(void)pthread_atfork(NULL, NULL,
						     limit); /* without it: only untidy */
				c->run();
				fact("end");
				return EXIT_SUCCESS;
			}
	(void)fprintf(stderr, "semantics: no case %s\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "--list") == 0)
		return list(argc == 3 && strcmp(argv[2], "far") == 0);
	if (argc == 3 && strcmp(argv[1], "--run") == 0)
		return run(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--agent") == 0)
		return far_main((int)strtol(argv[2], NULL, 10));
	(void)fprintf(stderr, "usage: semantics --list [far] | --run NAME\n");
	return 2;
}
