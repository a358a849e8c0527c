/* SPDX-License-Identifier: MIT */
/*
 * descriptor_name.h - how a descriptor that came from another process (by fork, exec, SCM_RIGHTS)
 * is known for one of ncd's.
 *
 * A socket's descriptor is one end of a pair; the daemon has the other end, and binds that to an
 * abstract name, which the kernel tells by getpeername() of the application's end:
 *
 *   "\0ncd/" kind family "/" cookie "/" noise        "s4/0000000000000a3f/91c0..."
 *
 *   kind    's': stream           family   '4' or '6': of the virtual socket
 *   cookie  SO_COOKIE of the application's end, 16 hex digits: of that open socket and no other
 *   noise   16 hex digits that cannot be guessed, so that nobody takes the name beforehand
 *
 * The name is a hint for the library, which believes it if the cookie in it is the descriptor's
 * own. It proves nothing to the daemon: another network namespace may have the same names. The
 * daemon asks the kernel for the cookie of the descriptor that it was passed. Who can pass it may
 * use it.
 *
 * Ownership: none; a layout only.
 * Threading: none.
 * Trust: see above.
 */
#ifndef NCD_DESCRIPTOR_NAME_H
#define NCD_DESCRIPTOR_NAME_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NAME_PREFIX       "ncd/" /* behind the NUL of an abstract name */
#define NAME_PREFIX_BYTES 4u
#define NAME_BYTES        41u /* with the NUL before, without one behind */

enum descriptor_kind { DESCRIPTOR_STREAM = 's' };

/* The kernel's number of the open socket behind @fd, unique while the machine runs; 0: it is no
 * socket. */
static inline uint64_t descriptor_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t bytes = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &bytes) < 0 ? 0 : cookie;
}

/* Writes the name; returns the length that bind(2) wants. */
static inline socklen_t descriptor_name(struct sockaddr_un *sun, enum descriptor_kind kind,
					int family, uint64_t cookie, uint64_t noise)
{
	char text[NAME_BYTES];

	(void)snprintf(text, sizeof(text), NAME_PREFIX "%c%c/%016llx/%016llx", (char)kind,
		       family == AF_INET6 ? '6' : '4', (unsigned long long)cookie,
		       (unsigned long long)noise);
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sun->sun_path + 1, text, NAME_BYTES - 1);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + NAME_BYTES);
}

/* AF_INET or AF_INET6 if the name of @bytes is of a descriptor of @kind with @cookie, else 0. */
static inline int descriptor_name_is(const struct sockaddr_un *sun, socklen_t bytes,
				     enum descriptor_kind kind, uint64_t cookie)
{
	struct sockaddr_un want;
	/* All but the family and the noise. */
	const size_t at = 1 + NAME_PREFIX_BYTES, end = at + 3 + 16 + 1;
	char family;

	if (bytes != descriptor_name(&want, kind, AF_INET, cookie, 0) ||
	    sun->sun_family != AF_UNIX)
		return 0;
	family = sun->sun_path[at + 1];
	want.sun_path[at + 1] = family;
	if (memcmp(sun->sun_path, want.sun_path, end) != 0)
		return 0;
	return family == '4' ? AF_INET : family == '6' ? AF_INET6 : 0;
}

#endif /* NCD_DESCRIPTOR_NAME_H */
