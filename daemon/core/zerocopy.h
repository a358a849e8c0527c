/* SPDX-License-Identifier: MIT */
/*
 * zerocopy.h - from which size on the payloads of a channel are sent from the pages of their ring
 * (struct tx_file), and not copied: learnt from what either takes, for each size by itself.
 *
 * A copy costs by the byte, pages by the call and by the page, and how much of either depends on
 * the device, the kernel and how many payloads go in one send. So one send in a while goes the
 * other way; where pages are clearly cheaper they are the usual way from then on, as long as they
 * stay cheaper. A device that has the kernel copy after all loses them by that.
 *
 * Ownership: the caller's memory. Threading: none of its own.
 */
#ifndef NCD_CORE_ZEROCOPY_H
#define NCD_CORE_ZEROCOPY_H

#include <stdbool.h>
#include <stdint.h>

#define ZEROCOPY_LEAST (16u << 10) /* below, a call for each payload costs more than its copy */
#define ZEROCOPY_SIZES 6u          /* 16 KiB and up, 32, 64, 128, 256, 512 and all above */
#define ZEROCOPY_EVERY 64u         /* sends of a size, of which one goes the other way */

struct zerocopy_size {
	uint32_t cost[2]; /* ns for 64 KiB, the median: of a copy, of pages */
	uint16_t seen[2]; /* how many sends that is from, as long as they are few */
	uint16_t left;    /* until the next trial */
	bool pages;       /* the usual way */
	bool trial;       /* the next send goes the other */
};

struct zerocopy {
	struct zerocopy_size size[ZEROCOPY_SIZES];
};

/* One send, as the transport did it. */
struct zerocopy_send {
	uint32_t largest; /* payload in it, bytes */
	uint32_t asked;   /* bytes that the transport was given */
	uint32_t bytes;   /* that it took */
	bool pages;       /* or a copy */
	uint64_t ns;      /* that the call took */
};

/* Nothing is known: pages from 128 KiB on. */
void zerocopy_init(struct zerocopy *z);
/* What a send took. Returns true if the answers of zerocopy_pages() are others now. */
bool zerocopy_sent(struct zerocopy *z, const struct zerocopy_send *send);
/* Bit n: payloads of 2^n to 2^(n+1) - 1 bytes go by page next. */
uint32_t zerocopy_pages(const struct zerocopy *z);
/* The least size that usually goes by page; 0: none does. */
uint32_t zerocopy_from(const struct zerocopy *z);

#endif /* NCD_CORE_ZEROCOPY_H */
