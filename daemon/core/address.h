/* SPDX-License-Identifier: MIT */
/*
 * address.h - a host's address: IPv6, or IPv4 as v4-mapped (RFC 4291 2.5.5.2). All zero: any.
 */
#ifndef NCD_CORE_ADDRESS_H
#define NCD_CORE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct address {
	uint8_t byte[16];
};

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool address_is_v4(const struct address *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(a->byte, prefix, sizeof(prefix)) == 0;
}

/* True for ::, and for 0.0.0.0 mapped: a listener on it hears every address. */
static inline bool address_is_any(const struct address *a)
{
	static const struct address any;
	static const uint8_t zero[4];

	return address_equal(a, &any) || (address_is_v4(a) && memcmp(a->byte + 12, zero, 4) == 0);
}

#endif /* NCD_CORE_ADDRESS_H */
