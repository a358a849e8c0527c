/* SPDX-License-Identifier: MIT */
/*
 * pattern.c - a stream whose byte at every offset is known: what is lost, doubled or moved shows.
 */
#include <errno.h>
#include <string.h>

#include "sem.h"

static uint8_t pattern_at(uint64_t off)
{
	uint64_t x = off * 0x9e3779b97f4a7c15u;

	return (uint8_t)(x >> 56);
}

void pattern_fill(uint8_t *buf, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = pattern_at(off + i);
}

bool pattern_is(const uint8_t *buf, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != pattern_at(off + i))
			return false;
	return true;
}

#define CHUNK_MAX 65536

size_t pattern_send(int fd, uint64_t off, size_t len, size_t chunk)
{
	uint8_t buf[CHUNK_MAX];
	size_t done = 0;
	ssize_t n;

	if (chunk > CHUNK_MAX)
		chunk = CHUNK_MAX;
	while (done < len) {
		size_t want = len - done < chunk ? len - done : chunk;

		pattern_fill(buf, off + done, want);
		n = send(fd, buf, want, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

size_t pattern_recv(int fd, uint64_t off, size_t len, size_t chunk)
{
	uint8_t buf[CHUNK_MAX];
	size_t done = 0;
	ssize_t n;

	if (chunk > CHUNK_MAX)
		chunk = CHUNK_MAX;
	while (done < len) {
		n = recv(fd, buf, len - done < chunk ? len - done : chunk, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !pattern_is(buf, off + done, (size_t)n))
			break;
		done += (size_t)n;
	}
	return done;
}
