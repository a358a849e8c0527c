/* SPDX-License-Identifier: MIT */
/*
 * endpoint.c - addresses and ports in their three forms.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

int address_parse(const char *text, struct address *ret_address)
{
	struct address a = { .byte = { [10] = 0xff, [11] = 0xff } };

	if (inet_pton(AF_INET, text, a.byte + 12) == 1 || inet_pton(AF_INET6, text, a.byte) == 1) {
		*ret_address = a;
		return 0;
	}
	return -EINVAL;
}

const char *address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
	const char *text;

	if (address_is_v4(a))
		text = inet_ntop(AF_INET, a->byte + 12, out, ADDRESS_TEXT_BYTES);
	else
		text = inet_ntop(AF_INET6, a->byte, out, ADDRESS_TEXT_BYTES);
	/* The family is right and the room suffices: NULL cannot come. */
	return text ? text : "";
}

const char *endpoint_format(const struct address *a, uint16_t port, char out[ENDPOINT_TEXT_BYTES])
{
	char text[ADDRESS_TEXT_BYTES];

	address_format(a, text);
	if (address_is_v4(a))
		(void)snprintf(out, ENDPOINT_TEXT_BYTES, "%s:%u", text, port);
	else
		(void)snprintf(out, ENDPOINT_TEXT_BYTES, "[%s]:%u", text, port);
	return out;
}

socklen_t endpoint_to_sockaddr(const struct address *a, uint16_t port,
			       struct sockaddr_storage *ret_sa)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	memset(ret_sa, 0, sizeof(*ret_sa));
	if (address_is_v4(a)) {
		memcpy(&in.sin_addr, a->byte + 12, 4);
		memcpy(ret_sa, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6.sin6_addr, a->byte, 16);
	memcpy(ret_sa, &in6, sizeof(in6));
	return sizeof(in6);
}

int endpoint_from_sockaddr(const struct sockaddr *sa, struct address *ret_address,
			   uint16_t *ret_port)
{
	struct address a = { .byte = { [10] = 0xff, [11] = 0xff } };
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(a.byte + 12, &in.sin_addr, 4);
		*ret_port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		memcpy(a.byte, &in6.sin6_addr, 16);
		*ret_port = ntohs(in6.sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret_address = a;
	return 0;
}
