/* SPDX-License-Identifier: MIT */
/*
 * huge_page.h - segments are mapped so that a huge page of the file can be one in memory, and is
 * only where we say so.
 *
 * Rings of HUGE_PAGE bytes and more are gathered into huge pages (libclient/ring.c): the kernel
 * then sends, receives and copies in few large fragments instead of one for each 4 KiB.
 *
 * No part of one may be given back while bytes are on their way out of it, by sendfile(2): the
 * kernel leaves that part where it is and makes it zeros (up to Linux 6.18 at least), and zeros
 * arrive. So smaller rings are never in one: daemon/arena.c gives it back before it makes such out
 * of it, and here the kernel is told to make none by itself.
 *
 * Ownership: the mapping is the caller's, to be unmapped with munmap(2).
 * Threading: any.
 */
#ifndef NCD_HUGE_PAGE_H
#define NCD_HUGE_PAGE_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* not in the headers of Debian 12 */
#endif

/* Of x86-64, and of arm64 with 4 KiB pages; elsewhere nothing is lost. */
#define HUGE_PAGE (2u << 20)

/*
 * Maps @bytes (a multiple of the page) of @fd, shared, with @prot: where a huge page begins in the
 * file, it begins in memory. MAP_FAILED and errno as mmap(2).
 */
static inline void *huge_page_map_prot(int fd, uint64_t bytes, int prot)
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
	map = mmap(base, bytes, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
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
	(void)madvise(base, bytes, MADV_NOHUGEPAGE); /* a kernel without huge pages refuses */
	return map;
}

/* To be read and written; to be read. */
static inline void *huge_page_map(int fd, uint64_t bytes)
{
	return huge_page_map_prot(fd, bytes, PROT_READ | PROT_WRITE);
}

static inline void *huge_page_map_read(int fd, uint64_t bytes)
{
	return huge_page_map_prot(fd, bytes, PROT_READ);
}

/*
 * The small pages of [@base, @base + @bytes), whole huge pages of such a mapping, and those it has
 * not yet, become huge ones. What is in them stays, and others may write there meanwhile. Costs up
 * to some ms. A kernel that cannot, or has no such page now, leaves them small (madvise(2), Linux
 * 6.1).
 */
static inline void huge_page_gather(uint8_t *base, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += HUGE_PAGE)
		/* Relaxed: only so that there is a page; a mere hole is not gathered. */
		(void)atomic_load_explicit((_Atomic uint8_t *)(base + at), memory_order_relaxed);
	(void)madvise(base, bytes, MADV_HUGEPAGE);
	(void)madvise(base, bytes, MADV_COLLAPSE);
	(void)madvise(base, bytes, MADV_NOHUGEPAGE);
}

#endif /* NCD_HUGE_PAGE_H */
