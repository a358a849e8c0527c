/* SPDX-License-Identifier: MIT */
/*
 * descriptors.h - room for thousands of kernel sockets.
 *
 * Ownership: none; the limit is the process's. Threading: any.
 */
#ifndef PERF_DESCRIPTORS_H
#define PERF_DESCRIPTORS_H

#include <stdint.h>

/*
 * Sees to it that @nr descriptors more can be opened: raises the limit of open files, beyond the
 * hard limit where this process may. Returns 0, or -EMFILE and the limit that would be needed.
 */
int descriptors_reserve(uint32_t nr, uint64_t *ret_needed);

#endif /* PERF_DESCRIPTORS_H */
