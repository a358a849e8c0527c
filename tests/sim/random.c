/* SPDX-License-Identifier: MIT */
/*
 * random.c - xoshiro256** and splitmix64, by Blackman and Vigna.
 */
#include <string.h>

#include "random.h"

uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void rng_seed(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		r->s[i] = mix64(seed);
		seed += 0x9e3779b97f4a7c15ull;
	}
}

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t rng_next(struct rng *r)
{
	uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	return n == 0 ? 0 : rng_next(r) % n;
}

uint64_t rng_range(struct rng *r, uint64_t lo, uint64_t hi)
{
	return lo + rng_below(r, hi - lo + 1);
}

uint64_t rng_log(struct rng *r, uint64_t lo, uint64_t hi)
{
	uint32_t low = 63u - (uint32_t)__builtin_clzll(lo);
	uint32_t high = 63u - (uint32_t)__builtin_clzll(hi);
	uint64_t base = 1ull << rng_range(r, low, high);
	uint64_t value = base + rng_below(r, base);

	return value < lo ? lo : value > hi ? hi : value;
}

bool rng_chance(struct rng *r, uint32_t permille)
{
	return rng_below(r, 1000) < permille;
}

static uint64_t pattern_word(uint64_t key, uint64_t index)
{
	uint64_t x = (index + 1) * 0x9e3779b97f4a7c15ull ^ key;

	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 32;
}

void pattern_fill(uint64_t key, uint64_t offset, uint8_t *to, size_t bytes)
{
	while (bytes > 0) {
		uint64_t word = pattern_word(key, offset / 8);
		size_t skip = offset % 8, take = 8 - skip < bytes ? 8 - skip : bytes;

		memcpy(to, (const uint8_t *)&word + skip, take);
		to += take;
		offset += take;
		bytes -= take;
	}
}

int64_t pattern_check(uint64_t key, uint64_t offset, const uint8_t *at, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		uint64_t word = pattern_word(key, (offset + done) / 8);
		size_t skip = (offset + done) % 8;
		size_t take = 8 - skip < bytes - done ? 8 - skip : bytes - done;
		const uint8_t *want = (const uint8_t *)&word + skip;

		if (memcmp(at + done, want, take) != 0) {
			while (at[done] == *want) {
				done++;
				want++;
			}
			return (int64_t)done;
		}
		done += take;
	}
	return -1;
}
