/* SPDX-License-Identifier: MIT */
/*
 * control_app.h - an application at the control socket of control_rig.h, for tests with cmocka.
 */
#ifndef NCD_CONTROL_APP_H
#define NCD_CONTROL_APP_H

#include "../ncd_test.h"
#include "control_rig.h"

/* Receives one message; its descriptors are closed, and counted. -1: none is there. */
static inline ssize_t receive(int fd, union ctl_message *msg, uint32_t *ret_fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(16 * sizeof(int))];
	} ctrl;
	struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &ctrl,
			    .msg_controllen = sizeof(ctrl) };
	ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
	int one;

	*ret_fds = 0;
	for (; c && *ret_fds < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); (*ret_fds)++) {
		memcpy(&one, CMSG_DATA(c) + *ret_fds * sizeof(int), sizeof(one));
		close(one);
	}
	return n;
}

static inline bool has_ended(int fd)
{
	union ctl_message msg;
	uint32_t fds;

	return receive(fd, &msg, &fds) == 0;
}

static inline int attach(struct rig *r)
{
	struct ctl_hello hello = rig_hello();
	union ctl_message msg;
	int fd = rig_connect(r);
	uint32_t fds;

	assert_true(rig_send(fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(msg.welcome));
	assert_int_equal(msg.head.type, CTL_WELCOME);
	assert_int_equal(fds, 1 + RIG_WORKERS);
	return fd;
}

static inline uint64_t counter(counter64 *c)
{
	return atomic_load(c);
}

#endif /* NCD_CONTROL_APP_H */
