/* SPDX-License-Identifier: MIT */
/*
 * region.h - the memory that an application and the daemon share: memfds of a sealed size, and the
 * layout of segment 0 (ncd/shm_abi.h).
 *
 * Ownership: a struct region_map owns its mapping and its descriptor until region_unmap.
 * Threading: control; workers only use the memory.
 * Trust: the size is sealed before anyone else sees the descriptor, so the daemon's own accesses
 *   cannot be made to fault by an application that truncates the file.
 */
#ifndef NCD_REGION_H
#define NCD_REGION_H

#include <stdint.h>

#include "ncd/shm_abi.h"

struct region_map {
	uint8_t *base;
	uint64_t bytes;
	int fd; /* to be passed on, and to send from; -1 once closed */
};

/*
 * Lays out segment 0 for @workers ports (1..NCD_WORKERS_MAX) of @slots slots each (a power of two,
 * 2..NCD_SOCKETS_MAX), with queues to @copy_workers (0..NCD_COPY_WORKERS_MAX): fills *ret_layout,
 * the daemon's private copy. Returns segment 0's bytes.
 */
uint64_t region_layout(struct region_shm *ret_layout, uint32_t workers, uint32_t slots,
		       uint32_t copy_workers);

/*
 * Creates a memfd of @bytes (rounded up to pages), seals its size, maps it. Untouched pages take no
 * memory. @name shows in /proc/PID/maps. Returns 0, -ENOMEM, -EMFILE or -ENFILE.
 */
int region_map_create(const char *name, uint64_t bytes, struct region_map *ret_map);

/* Segment 0: the above, with *ret_layout as region_layout and its copy written at the start. */
int region_create(uint32_t workers, uint32_t slots, uint32_t copy_workers,
		  struct region_shm *ret_layout, struct region_map *ret_map);

/* Closes the descriptor, keeps the mapping: of one that has been passed on and holds no rings. */
void region_close_fd(struct region_map *map);
/* Unmaps and closes; a zeroed or already unmapped one is allowed. */
void region_unmap(struct region_map *map);

#endif /* NCD_REGION_H */
