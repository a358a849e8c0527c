/* SPDX-License-Identifier: MIT */
/*
 * uring.h - what a program asks of the kernel through io_uring, as far as it is at sockets of ours.
 *
 *   liburing's functions (liburing.c) --.
 *                                        >-- SQEs not submitted yet (uring_sqe.c) --> the kernel
 *   syscall(2) (uring_ring.c) ----------'            |
 *                                                    `-- leaves to the kernel (uring.c)
 *
 * Ownership: the rings are the program's. Threading: any thread, as the program uses its rings.
 */
#ifndef PRELOAD_URING_H
#define PRELOAD_URING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- uring.c ---- */

/* The program uses sockets through io_uring: new ones are the kernel's. */
bool uring_left(void);
/* It does, by @what: from now on they are, and listeners. @refused: at a virtual socket, where it
 * cannot be. With --require nothing is left. */
void uring_leave(const char *what, bool refused);

/* ---- uring_sqe.c ---- */

struct chain { /* of SQEs that are linked; all zero where a look begins */
	bool linked;   /* the next one is to the last */
	bool canceled; /* ... and is not done, since the last fails */
};

/* Before the kernel sees @sqe, the next of @c. How many places it takes. */
unsigned int sqe_look(struct io_uring_sqe *sqe, struct chain *c);
/* The arguments of an io_uring_register(2) to come: 0, or -errno instead of it. */
int register_look(unsigned int opcode, const void *arg, unsigned int nr);
/* The same of descriptors that are to be fixed files. */
int fixed_look(const int *fds, unsigned int nr);

/* ---- uring_ring.c: rings that the program maps itself ---- */

struct ring; /* our own view of one */

/* @fd was made with @p. */
void ring_opened(int fd, const struct io_uring_params *p);
/* Somebody else sees to it, by the program's mapping. */
void ring_forget(int fd);
void ring_close(struct ring *r);
/* An io_uring_enter(2) is to come. */
void ring_look(int fd, unsigned int to_submit, unsigned int flags);

#endif /* PRELOAD_URING_H */
