/* SPDX-License-Identifier: MIT */
/*
 * pin.h - which core a thread runs on, and memory near that core.
 *
 * Ownership: pin_alloc's memory is the caller's, until pin_free.
 * Threading: any. On a machine with one node, or without NUMA, the node is ignored.
 */
#ifndef NCD_PIN_H
#define NCD_PIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Binds the calling thread to @cpu. Returns 0 or -errno (-EINVAL: no such core, or not allowed). */
int pin_thread(int cpu);
/* True if @thread runs on @cpu and nowhere else, or need not (@cpu < 0). */
bool pin_holds(pthread_t thread, int cpu);
/* NUMA node of @cpu, or -1 if that does not matter here (one node, no NUMA, @cpu < 0). */
int pin_node(int cpu);
/* @bytes of zeroed, page-aligned memory, preferably on @node (-1: anywhere); pages are taken when
 * touched. NULL: out of memory. */
void *pin_alloc(size_t bytes, int node);
void pin_free(void *mem, size_t bytes);

#endif /* NCD_PIN_H */
