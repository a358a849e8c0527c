/* SPDX-License-Identifier: MIT */
/*
 * ring_pages.h - gives pages of a ring back to the kernel where they hold no byte of its stream.
 *
 * The next byte that is written there finds a new page. What is on its way out of an old one, by
 * sendfile(2), may become zeros (ncd/huge_page.h): the peer has these bytes, or they would be in
 * use, and ignores them. Who reads a page that is gone reads zeros, as he would read the stream's
 * next bytes: it is no place that he may look at.
 *
 * Ownership: the ring stays what it is; none of its bytes in use is touched.
 * Threading: who writes the ring, and while he does not: with the locks held that he writes under.
 * Trust: all is the caller's own knowledge.
 */
#ifndef NCD_RING_PAGES_H
#define NCD_RING_PAGES_H

#include <stdint.h>
#include <sys/mman.h>

#include "ncd/limits.h"

/* The whole pages of [from, to). */
static inline void ring_pages_drop(uint8_t *base, uint64_t from, uint64_t to)
{
	from = (from + NCD_PAGE - 1) & ~(uint64_t)(NCD_PAGE - 1);
	to &= ~(uint64_t)(NCD_PAGE - 1);
	if (from < to)
		/* On failure (memory not of a memfd) the pages merely stay. */
		(void)madvise(base + from, to - from, MADV_REMOVE);
}

/*
 * Of the ring of @bytes at @base, which has @used bytes from place @at on: all pages among the
 * places [from, to) that have none of them. A syscall or two; 0.1 ms for each MiB there is. An
 * empty ring goes as a whole: the kernel need not split a huge page, which can fail.
 */
static inline void ring_pages_free(uint8_t *base, uint32_t bytes, uint32_t at, uint64_t used,
				   uint64_t from, uint64_t to)
{
	uint64_t end = at + used;

	if (used == 0) {
		ring_pages_drop(base, from, to);
		return;
	}
	if (end > bytes) {
		/* In use: [at, bytes) and [0, end - bytes). */
		ring_pages_drop(base, from > end - bytes ? from : end - bytes, to < at ? to : at);
		return;
	}
	ring_pages_drop(base, from, to < at ? to : at);
	ring_pages_drop(base, from > end ? from : end, to);
}

#endif /* NCD_RING_PAGES_H */
