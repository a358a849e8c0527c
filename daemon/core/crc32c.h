/* SPDX-License-Identifier: MIT */
/*
 * crc32c.h - CRC-32C (Castagnoli, RFC 3720 B.4), by the processor's instruction where it has one.
 */
#ifndef NCD_CORE_CRC32C_H
#define NCD_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC of @bytes bytes at @data. */
uint32_t crc32c(const void *data, size_t bytes);
/* The same by table, whatever the processor; for machines without the instruction, and tests. */
uint32_t crc32c_portable(const void *data, size_t bytes);

#endif /* NCD_CORE_CRC32C_H */
