/* SPDX-License-Identifier: MIT */
/*
 * adopt.c - sockets that another program made: listening ones that this program was started with,
 * by a service manager (LISTEN_FDS) or an older binary of the same server (nginx), or gets in a
 * message (haproxy), and bound ones that it lets listen itself (Node, uvicorn).
 *
 * The listening ones are listeners as those that a parent made (listener.c); at the start of a
 * program at low numbers, where such sockets are passed. The virtual one is made when the program
 * first waits at it; if it cannot be, the socket is the kernel's alone.
 */
#include "file.h"
#include "real.h"
#include "way.h"

#define FIRST_FD 3  /* below are stdin, stdout, stderr */
#define LAST_FD  63 /* a system call for each: they are passed from 3 on */

static bool option_is(int fd, int name, int value)
{
	int is = 0;
	socklen_t len = sizeof(is);

	return real()->getsockopt(fd, SOL_SOCKET, name, &is, &len) == 0 && is == value;
}

/* Its family if it is a TCP socket that listens; else AF_UNSPEC. */
static int listening_family(int fd)
{
	if (!option_is(fd, SO_ACCEPTCONN, 1) || !option_is(fd, SO_PROTOCOL, IPPROTO_TCP))
		return AF_UNSPEC;
	return option_is(fd, SO_DOMAIN, AF_INET) ? AF_INET : AF_INET6;
}

struct file *adopt_listening(int fd)
{
	int family = listening_family(fd);

	if (family == AF_UNSPEC || way_off())
		return NULL;
	return file_open(fd, FILE_KERNEL, family, -1);
}

void adopt_listener(int fd)
{
	struct file *f = file_of(fd) ? NULL : adopt_listening(fd);

	if (f)
		listener_adopt(f, fd);
}

void adopt_listeners(void)
{
	for (int fd = FIRST_FD; fd <= LAST_FD; fd++)
		adopt_listener(fd);
}
