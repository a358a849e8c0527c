/* SPDX-License-Identifier: MIT */
/*
 * crc32c.h - CRC-32C (Castagnoli, RFC 3720 B.4), by the processor's instruction where it has one.
 */
#ifndef NCD_CORE_CRC32C_H
#define NCD_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#define CRC32C_HEADER 36u /* bytes of a frame's header that are summed up in the next four */

/* CRC of the CRC32C_HEADER bytes at @header. */
uint32_t crc32c_header(const void *header);
/* Of any @bytes at @data, by table: for machines without the instruction, and tests. */
uint32_t crc32c_portable(const void *data, size_t bytes);

#endif /* NCD_CORE_CRC32C_H */
