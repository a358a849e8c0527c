/* SPDX-License-Identifier: MIT */
/* pattern.c - fills and checks the bytes of a flow. */
#include "pattern.h"

#include <string.h>

#define WORD_STEP 0x9e3779b97f4a7c15ull

struct pattern pattern_make(uint64_t session, uint32_t flow, enum pattern_direction dir, bool whole)
{
	uint64_t x = session ^ ((uint64_t)flow << 2 | (uint64_t)dir) * 0xd6e8feb86659fd93ull;

	/* Mix, or the flows of a session would be shifted copies of each other. */
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	return (struct pattern){ .seed = x ^ x >> 32, .whole = whole };
}

static inline uint64_t pattern_word(const struct pattern *p, uint64_t off)
{
	return p->seed + off / 8 * WORD_STEP;
}

/* Whole words in loops of their own: checking a short message must not cost more than moving it. */
static void fill_range(const struct pattern *p, uint64_t off, unsigned char *buf, size_t len)
{
	uint64_t word = pattern_word(p, off);
	size_t inside = off % 8;

	if (inside > 0) {
		size_t n = len < 8 - inside ? len : 8 - inside;

		memcpy(buf, (const unsigned char *)&word + inside, n);
		buf += n;
		len -= n;
		word += WORD_STEP;
	}
	for (; len >= 8; buf += 8, len -= 8, word += WORD_STEP)
		memcpy(buf, &word, 8);
	memcpy(buf, &word, len);
}

static bool check_range(const struct pattern *p, uint64_t off, const unsigned char *buf, size_t len)
{
	uint64_t word = pattern_word(p, off), diff = 0, got;
	size_t inside = off % 8;

	if (inside > 0) {
		size_t n = len < 8 - inside ? len : 8 - inside;

		diff |= (uint64_t)(memcmp(buf, (const unsigned char *)&word + inside, n) != 0);
		buf += n;
		len -= n;
		word += WORD_STEP;
	}
	for (; len >= 8; buf += 8, len -= 8, word += WORD_STEP) {
		memcpy(&got, buf, 8);
		diff |= got ^ word;
	}
	return diff == 0 && (len == 0 || memcmp(buf, &word, len) == 0);
}

/*
 * Sparse: the next piece of [*off, end) that carries a stamp. A stamp that the cut of the stream
 * falls into is given in two pieces. Returns its length, 0 when there is none left.
 */
static size_t next_stamp(uint64_t *off, uint64_t end)
{
	uint64_t inside = *off % PATTERN_STRIDE;

	if (inside >= 8) {
		*off += PATTERN_STRIDE - inside;
		inside = 0;
	}
	if (*off >= end)
		return 0;
	return (size_t)(end - *off < 8 - inside ? end - *off : 8 - inside);
}

void pattern_fill(const struct pattern *p, uint64_t off, void *buf, size_t len)
{
	unsigned char *bytes = buf;
	uint64_t at = off;
	size_t n;

	if (p->whole) {
		fill_range(p, off, bytes, len);
		return;
	}
	while ((n = next_stamp(&at, off + len)) > 0) {
		fill_range(p, at, bytes + (at - off), n);
		at += n;
	}
}

bool pattern_check(const struct pattern *p, uint64_t off, const void *buf, size_t len)
{
	const unsigned char *bytes = buf;
	uint64_t at = off;
	bool good = true;
	size_t n;

	if (p->whole)
		return check_range(p, off, bytes, len);
	while ((n = next_stamp(&at, off + len)) > 0) {
		good &= check_range(p, at, bytes + (at - off), n);
		at += n;
	}
	return good;
}
