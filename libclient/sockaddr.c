/* SPDX-License-Identifier: MIT */
/*
 * sockaddr.c - struct sockaddr to and from the 16 bytes that the daemon speaks of.
 */
#include <arpa/inet.h>
#include <string.h>

#include "sock_calls.h"

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

int endpoint_from_sockaddr(int domain, const struct sockaddr *addr, socklen_t len,
			   struct endpoint *ret_endpoint)
{
	struct endpoint e = { 0 };

	if (!addr || len < sizeof(sa_family_t))
		return -EINVAL;
	if (addr->sa_family != domain)
		return -EAFNOSUPPORT;
	if (domain == AF_INET) {
		struct sockaddr_in in;

		if (len < sizeof(in))
			return -EINVAL;
		memcpy(&in, addr, sizeof(in));
		if (in.sin_addr.s_addr != htonl(INADDR_ANY)) {
			memcpy(e.addr, mapped_prefix, sizeof(mapped_prefix));
			memcpy(e.addr + 12, &in.sin_addr, 4);
		}
		e.port = ntohs(in.sin_port);
	} else {
		struct sockaddr_in6 in6;

		if (len < sizeof(in6))
			return -EINVAL;
		memcpy(&in6, addr, sizeof(in6));
		memcpy(e.addr, &in6.sin6_addr, sizeof(e.addr));
		e.port = ntohs(in6.sin6_port);
	}
	*ret_endpoint = e;
	return 0;
}

bool name_room_valid(const struct sockaddr *addr, const socklen_t *len)
{
	return !addr || !len || (int)*len >= 0;
}

void endpoint_to_sockaddr(const struct endpoint *e, int domain, struct sockaddr *addr,
			  socklen_t *len)
{
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} u = { 0 };
	socklen_t whole;

	if (!addr || !len)
		return;
	if (domain == AF_INET) {
		u.in.sin_family = AF_INET;
		u.in.sin_port = htons(e->port);
		memcpy(&u.in.sin_addr, e->addr + 12, 4);
		whole = sizeof(u.in);
	} else {
		u.in6.sin6_family = AF_INET6;
		u.in6.sin6_port = htons(e->port);
		memcpy(&u.in6.sin6_addr, e->addr, sizeof(e->addr));
		whole = sizeof(u.in6);
	}
	memcpy(addr, &u, *len < whole ? *len : whole);
	*len = whole;
}

bool endpoint_is_any(const struct endpoint *e)
{
	static const uint8_t zero[16];

	return memcmp(e->addr, zero, sizeof(zero)) == 0;
}
