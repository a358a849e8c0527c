/* SPDX-License-Identifier: MIT */
/*
 * rights.c - a descriptor in a message over a Unix socket, as SCM_RIGHTS.
 */
#include <string.h>

#include "sem.h"

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

ssize_t rights_send(int over, int fd)
{
	union control control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
					    .cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS } };
	struct iovec v = { (char[]){ 'd' }, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(over, &m, 0);
}

ssize_t rights_receive(int over, int *ret_fd)
{
	union control control = { 0 };
	struct iovec v = { (char[1]){ 0 }, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(over, &m, 0);

	if (n >= 0)
		memcpy(ret_fd, CMSG_DATA(&control.head), sizeof(*ret_fd));
	return n;
}
