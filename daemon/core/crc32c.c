/* SPDX-License-Identifier: MIT */
/*
 * crc32c.c - four bits at a time by table, or eight bytes at a time with SSE 4.2.
 * The table is constant data, so that nothing needs to be set up before the first call.
 */
#include <string.h>

#include "crc32c.h"

/* Remainder of each nibble, reflected polynomial 0x82f63b78. */
static const uint32_t nibble_crc[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_portable(const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint32_t crc = ~0u;

	for (; bytes > 0; bytes--, p++) {
		crc ^= *p;
		crc = crc >> 4 ^ nibble_crc[crc & 15];
		crc = crc >> 4 ^ nibble_crc[crc & 15];
	}
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t header_sse42(const uint8_t *p)
{
	uint64_t crc = ~0u, word;
	uint32_t last;

	_Static_assert(CRC32C_HEADER == 4 * sizeof(word) + sizeof(last), "by words");
	for (size_t i = 0; i < 4; i++) {
		memcpy(&word, p + i * sizeof(word), sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	memcpy(&last, p + 4 * sizeof(word), sizeof(last));
	return ~__builtin_ia32_crc32si((uint32_t)crc, last);
}

uint32_t crc32c_header(const void *header)
{
	return __builtin_cpu_supports("sse4.2") ? header_sse42(header) :
						  crc32c_portable(header, CRC32C_HEADER);
}
#else
uint32_t crc32c_header(const void *header)
{
	return crc32c_portable(header, CRC32C_HEADER);
}
#endif
