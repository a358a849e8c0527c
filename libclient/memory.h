/* SPDX-License-Identifier: MIT */
/*
 * memory.h - memory for calls that a signal handler may make: it may have interrupted malloc(3).
 *
 * Ownership: what is taken is the caller's until it is given back.
 * Threading: any thread. A handler waits until its thread is not in here: preload/handler.c.
 */
#ifndef NC_MEMORY_H
#define NC_MEMORY_H

#include <stddef.h>

/* Zeroed, aligned as malloc's, for @nr of @bytes each. NULL: there is none. */
void *memory_take(size_t nr, size_t bytes);
/* NULL is nothing. */
void memory_give(void *memory);
/* In a forked child: another thread may have been in here. What was free is lost. */
void memory_forget(void);

#endif /* NC_MEMORY_H */
