/* SPDX-License-Identifier: MIT */
/*
 * huge_page.h - segments are mapped so that a huge page of the file can be one in memory.
 *
 * Rings of HUGE_PAGE bytes and more are gathered into huge pages (libclient/ring.c): the kernel
 * then sends, receives and copies in few large fragments instead of one for each 4 KiB.
 *
 * Ownership: the mapping is the caller's, to be unmapped with munmap(2).
 * Threading: any.
 */
#ifndef NCD_HUGE_PAGE_H
#define NCD_HUGE_PAGE_H

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

/* Of x86-64, and of arm64 with 4 KiB pages; elsewhere nothing is lost. */
#define HUGE_PAGE (2u << 20)

/*
 * Maps @bytes (a multiple of the page) of @fd, shared, to be read and written: where a huge page
 * begins in the file, it begins in memory. MAP_FAILED and errno as mmap(2).
 */
static inline void *huge_page_map(int fd, uint64_t bytes)
{
	uint64_t room = bytes + HUGE_PAGE;
	uint8_t *space, *base;
	uint64_t before;
	void *map;

	space = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		return MAP_FAILED;
	before = -(uintptr_t)space % HUGE_PAGE;
	base = space + before;
	map = mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
		   0);
	if (map == MAP_FAILED) {
		int error = errno;

		(void)munmap(space, room); /* as it was mapped */
		errno = error;
		return MAP_FAILED;
	}
	/* The slack: parts of a mapping of ours. */
	if (before > 0)
		(void)munmap(space, before);
	(void)munmap(base + bytes, room - before - bytes);
	return map;
}

#endif /* NCD_HUGE_PAGE_H */
