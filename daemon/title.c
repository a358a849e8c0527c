/* SPDX-License-Identifier: MIT */
/*
 * title.c - the cookie of a listening socket: the kernel gives each socket a number of its own, for
 * as long as the system runs, in whichever process and under whichever descriptor it is.
 *
 * A name would not do: names of AF_UNIX can be read by everybody and taken again in another network
 * namespace.
 */
#include "title.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "endpoint.h"

static bool has(int fd, int option, int value)
{
	int is = 0;
	socklen_t bytes = sizeof(is);

	return getsockopt(fd, SOL_SOCKET, option, &is, &bytes) == 0 && is == value;
}

/* 0: it has none. */
static uint64_t number(int fd, int option)
{
	uint64_t n = 0;
	socklen_t bytes = sizeof(n);

	return getsockopt(fd, SOL_SOCKET, option, &n, &bytes) == 0 ? n : 0;
}

static bool is_bound_to(int fd, const struct address *addr, uint16_t port)
{
	union {
		struct sockaddr sa;
		struct sockaddr_storage storage;
	} local;
	socklen_t bytes = sizeof(local);
	struct address a;
	uint16_t p;

	if (getsockname(fd, &local.sa, &bytes) < 0 ||
	    endpoint_from_sockaddr(&local.sa, &a, &p) < 0 || p != port)
		return false;
	return address_equal(&a, addr) || (address_is_any(&a) && address_is_any(addr));
}

/* Our own network, by any socket of it. 0: unknown. */
static uint64_t network(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t n;

	if (fd < 0)
		return 0;
	n = number(fd, SO_NETNS_COOKIE);
	(void)close(fd); /* was only to be asked */
	return n;
}

uint64_t title_number(int fd)
{
	return number(fd, SO_COOKIE);
}

int title_read(int fd, const struct address *addr, uint16_t port, struct title *ret_title)
{
	uint64_t home;
	struct stat st;

	if (!has(fd, SO_ACCEPTCONN, 1) || !has(fd, SO_TYPE, SOCK_STREAM) ||
	    !has(fd, SO_PROTOCOL, IPPROTO_TCP) || !is_bound_to(fd, addr, port))
		return -EINVAL;
	ret_title->number = title_number(fd);
	if (ret_title->number == 0 || fstat(fd, &st) < 0)
		return -EINVAL;
	ret_title->uid = st.st_uid;
	ret_title->reuseport = !has(fd, SO_REUSEPORT, 0);
	home = network();
	ret_title->network = number(fd, SO_NETNS_COOKIE);
	ret_title->here = home != 0 && ret_title->network == home;
	if (ret_title->here)
		ret_title->network = 0;
	return 0;
}
