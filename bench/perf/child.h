/* SPDX-License-Identifier: MIT */
/*
 * child.h - a process of ours, with a socket between it and us.
 *
 * Ownership: who starts it stops it; it is ours until child_stop(), so its id is no other's.
 * Threading: any; one thread for each child. It is killed when the thread that started it ends.
 */
#ifndef PERF_CHILD_H
#define PERF_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: not running */
	int fd;
};

/*
 * @run is the new process's main, @fd its end of the socket; it does not return. Where there are
 * other threads it may only do what a signal handler may, and exec. Returns 0 or -errno.
 */
int child_start(void (*run)(const void *arg, int fd), const void *arg, struct child *ret_child);
/* @len bytes from it within @timeout_ms. Returns 0, -EPIPE (it ended), -ETIMEDOUT. */
int child_read(struct child *child, void *buf, size_t len, int timeout_ms);
/* @len bytes, few enough for the socket's buffer, to it. Returns 0 or -EPIPE. */
int child_write(struct child *child, const void *buf, size_t len);
/* Asks it to end; kills it if it does not. All zero is allowed. */
void child_stop(struct child *child);

#endif /* PERF_CHILD_H */
