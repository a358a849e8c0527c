/* SPDX-License-Identifier: MIT */
/*
 * cat.h - the parts of ncd-cat.
 */
#ifndef NCD_CAT_H
#define NCD_CAT_H

#include <stdbool.h>
#include <stdint.h>

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

/* main.c */
/* A line on stderr. */
__attribute__((format(printf, 1, 2))) void say(const char *fmt, ...);

/* stream.c: a socket, or an error that has been told. */
/* Tries the addresses of HOST in turn. */
int cat_connect(const struct options *opt);
/* Waits for one stream. */
int cat_accept(const struct options *opt);

/* move.c */
/* Both directions to their ends; closes @s. Returns an exit code; exits itself where a thread that
 * cannot be stopped is left. */
int cat_move(const struct options *opt, int s);

/* progress.c */
struct progress {
	double start, last;
	uint64_t bytes;
};

void progress_begin(struct progress *p);
/* Writes the line; @end: the last one. */
void progress_show(struct progress *p, uint64_t sent, uint64_t received, bool end);

#endif /* NCD_CAT_H */
