/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h - an address and port, between our form (core/address.h), the kernel's and text.
 *
 * Ownership: none. Threading: any.
 */
#ifndef NCD_ENDPOINT_H
#define NCD_ENDPOINT_H

#include <stdint.h>
#include <sys/socket.h>

#include "core/address.h"

/* "255.255.255.255", or IPv6 with room for the terminator. */
#define ADDRESS_TEXT_BYTES 46
/* The same with brackets and a port. */
#define ENDPOINT_TEXT_BYTES (ADDRESS_TEXT_BYTES + 8)

/* 0, or -EINVAL: neither IPv4 nor IPv6 (names and zones are not taken). */
int address_parse(const char *text, struct address *ret_address);
/* Fills @out, returns it. */
const char *address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES]);
/* "1.2.3.4:5", "[2001:db8::1]:5". */
const char *endpoint_format(const struct address *a, uint16_t port, char out[ENDPOINT_TEXT_BYTES]);

/* The kernel's form: AF_INET for IPv4, else AF_INET6. Returns its length. */
socklen_t endpoint_to_sockaddr(const struct address *a, uint16_t port,
			       struct sockaddr_storage *ret_sa);
/* 0, or -EAFNOSUPPORT: neither AF_INET nor AF_INET6. */
int endpoint_from_sockaddr(const struct sockaddr *sa, struct address *ret_address,
			   uint16_t *ret_port);

#endif /* NCD_ENDPOINT_H */
