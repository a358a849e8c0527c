/* SPDX-License-Identifier: MIT */
/*
 * random.h - everything that a seed decides: choices (xoshiro256**) and the bytes of streams.
 *
 * Ownership: struct rng is the caller's memory.
 */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* 0 .. n - 1; 0 if @n is 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* lo .. hi, both possible. */
uint64_t rng_range(struct rng *r, uint64_t lo, uint64_t hi);
/* lo .. hi, every power of two equally likely; lo > 0. */
uint64_t rng_log(struct rng *r, uint64_t lo, uint64_t hi);
bool rng_chance(struct rng *r, uint32_t permille);

/* splitmix64's finaliser. */
uint64_t mix64(uint64_t x);

/* The bytes [offset, offset + bytes) of the endless stream that @key names. */
void pattern_fill(uint64_t key, uint64_t offset, uint8_t *to, size_t bytes);
/* Index of the first byte that differs from it, or -1. */
int64_t pattern_check(uint64_t key, uint64_t offset, const uint8_t *at, size_t bytes);

#endif /* SIM_RANDOM_H */
