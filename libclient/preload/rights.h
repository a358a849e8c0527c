/* SPDX-License-Identifier: MIT */
/*
 * rights.h - SCM_RIGHTS of messages that the program sends and receives: virtual sockets among the
 * descriptors are shared with whoever gets them, and known when they come.
 *
 * Ownership: the descriptors are the program's. Threading: any thread.
 */
#ifndef PRELOAD_RIGHTS_H
#define PRELOAD_RIGHTS_H

#include <string.h>
#include <sys/socket.h>

#include "file.h"
#include "pending.h"

static inline void rights_each(struct msghdr *msg, void (*visit)(int fd))
{
	struct cmsghdr *c;

	if (!msg->msg_control || msg->msg_controllen < CMSG_LEN(sizeof(int)))
		return;
	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			visit(fd);
		}
	}
}

/* Whoever gets one that is still being connected could not learn which way it went. */
static inline void rights_send(int fd)
{
	struct file *f = file_virtual(fd);

	if (f && file_pending(f)) {
		pending_await(f);
		f = file_virtual(fd);
	}
	if (f)
		file_send(f, fd);
}

static inline void rights_sent(const struct msghdr *msg)
{
	struct msghdr copy;

	if (!msg || !msg->msg_control)
		return;
	copy = *msg;
	rights_each(&copy, rights_send);
}

static inline void rights_received(struct msghdr *msg)
{
	rights_each(msg, file_adopt);
	rights_each(msg, adopt_listener);
}

#endif /* PRELOAD_RIGHTS_H */
