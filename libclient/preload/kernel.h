/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - descriptors of TCP sockets that the kernel carries: ncd-stat is to show them, and why.
 *
 * They are files no more (file.h), or never were: all that is known is a row of left.h for each
 * descriptor. A descriptor that is closed past us keeps its row until the number is used again.
 *
 * Ownership: static. Threading: any thread, and signal handlers; of two that close one descriptor
 * one has its row.
 */
#ifndef PRELOAD_KERNEL_H
#define PRELOAD_KERNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ncd/shm_abi.h"

#include "file.h"

/* Process-wide, as descriptors are: row + 1; 0: none. */
extern _Atomic(uint16_t) kernel_row[FILE_TABLE];

static inline bool kernel_shown(int fd)
{
	/* Relaxed: who closes or copies it has it from who made it. */
	return (unsigned int)fd < FILE_TABLE &&
	       atomic_load_explicit(&kernel_row[fd], memory_order_relaxed) != 0;
}

/* @fd is one from now on: it has been connected, or begins to be; listens; has been accepted. Each
 * leaves errno alone. */
void kernel_connected(int fd, enum left_why why, const struct sockaddr *peer, socklen_t len);
void kernel_listens(int fd, enum left_why why);
/* accept4(2) of the kernel's part of a listener. */
int kernel_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags);
/* The highest ever shown, or -1. */
int kernel_top(void);

void kernel_row_copy(int fd, int copy);
void kernel_row_drop(int fd);

/* @copy names what @fd does. */
static inline void kernel_copied(int fd, int copy)
{
	if (kernel_shown(fd))
		kernel_row_copy(fd, copy);
}

/* @fd is about to name nothing, or something else. */
static inline void kernel_closed(int fd)
{
	if (kernel_shown(fd))
		kernel_row_drop(fd);
}

#endif /* PRELOAD_KERNEL_H */
