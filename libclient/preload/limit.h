/* SPDX-License-Identifier: MIT */
/*
 * limit.h - RLIMIT_NOFILE as the program knows it, and the numbers above it, which are the
 * library's.
 *
 * Threading: any thread, signal handlers too.
 */
#ifndef PRELOAD_LIMIT_H
#define PRELOAD_LIMIT_H

#include <stdbool.h>

/* The lowest number that is not the program's. 0: there is none, all count as its own. */
int limit_first(void);
/* @fd is new and goes to the program: it, or -1 with EMFILE, closed, if it is not the program's. */
int limit_give(int fd);
/* Before a call that cannot be taken back: true, with EMFILE, if limit_give would refuse. */
bool limit_reached(void);
/* @fd may be asked for. */
bool limit_allows(int fd);
/* Around what starts a program, @here in place of this one: it gets the limit as this one knows it.
 * Behind it nothing is started, or another process has. */
void limit_before_exec(bool here);
void limit_behind_exec(void);
/* Around a fork, behind it in both processes: no thread is in the middle of a change. */
void limit_before_fork(void);
void limit_behind_fork(void);

#endif /* PRELOAD_LIMIT_H */
