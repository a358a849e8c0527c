/* SPDX-License-Identifier: MIT */
/*
 * quantity.h - numbers as people read them: "1.5 GiB" would be 7 columns, "1.5G" is 4.
 *
 * Ownership: results are written to the caller's buffer, which is returned.
 * Threading: none.
 */
#ifndef NCD_STAT_QUANTITY_H
#define NCD_STAT_QUANTITY_H

#include <stdint.h>

#define QUANTITY_BYTES 24

/* Powers of 1000: 999, 12.3k, 4.56M. For counts. */
const char *quantity_count(uint64_t n, char buf[QUANTITY_BYTES]);
/* Powers of 1024: 999, 12.3K, 4.56M. For bytes. */
const char *quantity_bytes(uint64_t n, char buf[QUANTITY_BYTES]);
/* A duration: 850ns, 53.1us, 2.04ms, 17.0s, 5m20s, 3h05m, 12d04h. */
const char *quantity_ns(uint64_t ns, char buf[QUANTITY_BYTES]);

#endif /* NCD_STAT_QUANTITY_H */
