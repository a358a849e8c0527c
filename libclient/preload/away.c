/* SPDX-License-Identifier: MIT */
/*
 * away.c - a program is started that will be without ncd, and has a listening socket of ours: it
 * may be who accepts, and would never see what comes through ncd. The daemon is told, and finds out
 * by what its parent does whether that is so (AWAY in ncd/ctl_proto.h).
 *
 * Who starts it is mostly a forked child, which has no attachment, or a child of vfork, in which
 * nothing of ours may be changed. So it is one message on a connection of its own, without waiting:
 * what cannot be told is found out when clients have waited (the daemon's port_listen.c).
 */
#include <string.h>
#include <sys/un.h>

#include "../process.h"
#include "file.h"
#include "real.h"

#define LIBRARY "/libncpreload.so"

static bool with_us(char *const envp[])
{
	static const char name[] = "LD_PRELOAD=";

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, sizeof(name) - 1) == 0)
			return strstr(*envp, LIBRARY) != NULL;
	return false;
}

static void tell(const struct sockaddr_un *daemon, int listener)
{
	struct ctl_head msg = { .type = CTL_AWAY };
	/* Past our own: its number would be marked as hidden, in a child of vfork the parent's. */
	int fd = real()->socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return;
	if (real()->connect(fd, (__CONST_SOCKADDR_ARG){ (const struct sockaddr *)daemon },
			    sizeof(*daemon)) == 0)
		(void)control_send(fd, &msg, sizeof(msg), &listener, 1, 0); /* as said */
	(void)real()->close(fd); /* what was sent arrives */
}

static bool survives(int fd)
{
	struct file *f = file_of(fd);
	int flags;

	if (!f || file_kind(f) != FILE_LISTENER)
		return false;
	flags = real()->fcntl(fd, F_GETFD);
	return flags >= 0 && !(flags & FD_CLOEXEC);
}

void away_before_exec(char *const envp[])
{
	struct sockaddr_un daemon = { .sun_family = AF_UNIX };
	int err = errno;

	/* Relaxed: who has made the listener that matters is this thread, or has told it. */
	if (atomic_load_explicit(&file_listeners, memory_order_relaxed) == 0 || with_us(envp) ||
	    !process_away_path(daemon.sun_path))
		return;
	for (int fd = 0; fd <= file_top(); fd++)
		if (survives(fd))
			tell(&daemon, fd);
	errno = err;
}
