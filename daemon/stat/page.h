/* SPDX-License-Identifier: MIT */
/*
 * page.h - the counter page of a running, hanging or dead ncd, mapped read-only.
 *
 * Ownership: struct page owns its mapping and descriptor until page_close.
 * Threading: one thread.
 * Trust: the file is checked (magic, version, every table inside it) before anything is read from
 *   it. It may change at any time: readers copy words out once (page_copy) and use the copies.
 * Ordering:
 *   ENTRY  the writer makes seq odd, stores the entry, makes seq even again (release); page_copy
 *          loads each word with acquire, so the second look at seq comes after all of them.
 */
#ifndef NCD_STAT_PAGE_H
#define NCD_STAT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ncd/stats_abi.h"

#define PAGE_WHY_BYTES 256

struct page {
	int fd;
	const uint8_t *base;
	size_t bytes;
	struct stats_head head; /* as it was at page_open; its strings end */
};

/* The counter page that belongs to control socket @socket: "x.sock" -> "x.stats". -ENAMETOOLONG. */
int page_path(const char *socket, char *ret_path, size_t bytes);

/* Returns 0, or a negative errno and the reason in @ret_why: not there, not readable, not a page of
 * this version (-EPROTO). */
int page_open(const char *path, struct page *ret_page, char ret_why[PAGE_WHY_BYTES]);
void page_close(struct page *pg);

/* A process has the page's lock: its ncd lives, in whichever pid namespace. */
bool page_locked(const struct page *pg);

/* Copies @bytes (a multiple of 8) at offset @off, which must be inside the page, word by word. */
void page_copy(const struct page *pg, uint64_t off, void *to, size_t bytes);

/*
 * The first offset in [@off, @end) that may hold data, and through @ret_end where that data ends;
 * @end if there is none. Tables are as large as the limits and the file is sparse: reading a hole
 * of a mapped tmpfs file would make a page of it.
 */
uint64_t page_data(const struct page *pg, uint64_t off, uint64_t end, uint64_t *ret_end);

#endif /* NCD_STAT_PAGE_H */
