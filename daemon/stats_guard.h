/* SPDX-License-Identifier: MIT */
/*
 * stats_guard.h - keeps the counter page writable when its file is not.
 *
 * Most of the file is a hole, filled as sockets come; its file system may be full then, or somebody
 * may cut the file. A store there is SIGBUS, which would end ncd for the sake of a number. With the
 * guard a page of memory takes the place, which readers do not see.
 *
 * Ownership: none; the page is its caller's. One page in a process.
 * Threading: set while no other thread uses the page; any thread may then store.
 */
#ifndef NCD_STATS_GUARD_H
#define NCD_STATS_GUARD_H

#include <stddef.h>
#include <stdint.h>

/* From now on [@base, @base + @bytes) is guarded, in whole pages; NULL: nothing is. */
void stats_guard_set(void *base, size_t bytes);
/* How many pages readers do not see. */
uint32_t stats_guard_lost(void);

#endif /* NCD_STATS_GUARD_H */
