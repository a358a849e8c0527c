/* SPDX-License-Identifier: MIT */
/*
 * crc32c.c - four bits at a time by table, or eight bytes at a time with SSE 4.2.
 * The table is constant data, so that nothing needs to be set up before the first call.
 */
#include <stdbool.h>
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
#include <cpuid.h>

static bool have_sse42(void)
{
	/* Asked once; two threads that ask at the same time find the same answer. */
	static _Atomic int known;
	int answer = known;

	if (answer == 0) {
		unsigned int eax, ebx, ecx = 0, edx;

		answer = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_SSE4_2) ? 1 : -1;
		known = answer;
	}
	return answer > 0;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const uint8_t *p, size_t bytes)
{
	uint64_t crc = ~0u;

	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	if (bytes >= 4) {
		uint32_t word;

		memcpy(&word, p, sizeof(word));
		crc = __builtin_ia32_crc32si((uint32_t)crc, word);
		bytes -= 4;
		p += 4;
	}
	for (; bytes > 0; bytes--, p++)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
	return ~(uint32_t)crc;
}

uint32_t crc32c(const void *data, size_t bytes)
{
	return have_sse42() ? crc32c_sse42(data, bytes) : crc32c_portable(data, bytes);
}
#else
uint32_t crc32c(const void *data, size_t bytes)
{
	return crc32c_portable(data, bytes);
}
#endif
