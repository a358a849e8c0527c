/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ctl.c - a hostile application on the control socket. Input: messages, each a byte of flags
 * (1: attach properly first, 2: with an eventfd, 4: with a stream socket, 8: hang up before it, 16:
 * a joined ring is wanted before it, 64: is over behind it, 32: a second passes, 128: a stream is
 * asked for before it, the descriptors are always the same, with 4 both, and with 64 it stays where
 * it is), a byte of length, then that many bytes. Workers are fake; the address sanitizer judges.
 */
#include <stdint.h>

#include "../unit/control_rig.h"
#include "ncd/descriptor_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int fuzz_attach(struct rig *r)
{
	struct ctl_hello hello = rig_hello();
	int fd = rig_connect(r);

	(void)rig_send(fd, &hello, sizeof(hello), NULL, 0);
	rig_pump(r);
	return fd;
}

/* Takes what the daemon says, and the descriptors with it. */
static void fuzz_drain(int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} ctrl;
	uint8_t buf[256];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	int i;

	for (i = 0; i < 64; i++) {
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &ctrl,
				    .msg_controllen = sizeof(ctrl) };
		struct cmsghdr *c;
		size_t n;
		int one;

		if (recvmsg(fd, &h, MSG_DONTWAIT) <= 0)
			return;
		c = CMSG_FIRSTHDR(&h);
		for (n = 0; c && n < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); n++) {
			memcpy(&one, CMSG_DATA(c) + n * sizeof(int), sizeof(one));
			close(one);
		}
	}
}

/* A stream of the application, connected to itself, is to be joined; or what was made is over. */
static void fuzz_joint(struct rig *r, bool over)
{
	struct worker *w = r->workers.worker[1];
	struct worker_event ev = { .type = EVT_JOINT_WANTED, .bytes = 64u << 10 };

	if (over) {
		ev = (struct worker_event){ .type = EVT_JOINT_OVER, .joint = w->last.joint.joint };
		if (w->last.type != CMD_JOINT || !ev.joint)
			return;
		w->last.joint.joint = NULL;
	} else {
		if (!r->control.clients || r->control.clients->state != CLIENT_ATTACHED)
			return;
		ev.port = ev.reader = r->control.clients->port[1];
	}
	fake_event(w, &ev);
	rig_pump(r);
}

/* Slot 1 of worker 1 is to be lent, or what was lent does not go. */
static void fuzz_lend(struct rig *r, int end, bool over)
{
	struct client *c = r->control.clients;

	if (over)
		client_lend_over(&r->control, descriptor_cookie(end));
	else if (!over && c && c->state == CLIENT_ATTACHED)
		(void)client_lend_ask(c, 1, 1); /* as it likes */
}

static void fuzz_message(struct rig *r, int *fd, const int lend[2], uint8_t flags,
			 const uint8_t *data, size_t bytes)
{
	int pair[2] = { -1, -1 }, given = -1;

	if (flags & 8 || *fd < 0) {
		if (*fd >= 0)
			close(*fd);
		rig_pump(r);
		*fd = flags & 1 ? fuzz_attach(r) : rig_connect(r);
	}
	if (flags & 16)
		fuzz_joint(r, false);
	if (flags & 128)
		fuzz_lend(r, -1, false);
	if (flags & 32)
		control_second(&r->control);
	if (flags & 2)
		given = eventfd(0, EFD_CLOEXEC);
	else if (flags & 4 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0)
		given = pair[0];
	if (flags & 128)
		(void)rig_send(*fd, data, bytes, lend, flags & 4 ? 2 : 1);
	else
		(void)rig_send(*fd, data, bytes, &given, given >= 0);
	rig_pump(r);
	if (flags & 128 && flags & 64)
		fuzz_lend(r, lend[0], true);
	if (flags & 64)
		fuzz_joint(r, true);
	fuzz_drain(*fd);
	if (given >= 0)
		close(given);
	if (pair[1] >= 0)
		close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rig *r = rig_create(16);
	uint32_t messages = 0;
	int fd = fuzz_attach(r), lend[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lend) < 0)
		abort();
	while (bytes >= 2 && messages++ < 64) {
		uint8_t flags = data[0];
		size_t length = data[1];

		data += 2;
		bytes -= 2;
		if (length > bytes)
			length = bytes;
		if (length > 0)
			fuzz_message(r, &fd, lend, flags, data, length);
		data += length;
		bytes -= length;
	}
	close(fd);
	rig_pump(r);
	close(lend[0]);
	close(lend[1]);
	rig_pump(r);
	rig_destroy(r);
	return 0;
}
