/* SPDX-License-Identifier: MIT */
/*
 * control_rig.h - a control socket's daemon side with fake workers, and fake applications on
 * socketpairs, for test_control.c and fuzz_ctl.c.
 */
#ifndef NCD_CONTROL_RIG_H
#define NCD_CONTROL_RIG_H

#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>

#include "ncd/ctl_proto.h"

#include "client.h"
#include "config.h"
#include "control.h"
#include "fake_worker.h"

#define RIG_WORKERS 2u

struct rig {
	struct log log;
	struct event_base *base;
	struct config *config;
	struct stats stats;
	struct workers workers;
	struct control control;
	char directory[64];
};

static void rig_event(void *ctx, uint32_t worker, const struct worker_event *ev)
{
	struct rig *r = ctx;

	control_event(&r->control, worker, ev);
}

/* Lets control do all it can at once. */
static inline void rig_pump(struct rig *r)
{
	int i;

	for (i = 0; i < 8; i++)
		(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static inline struct rig *rig_create(uint32_t slots)
{
	const struct stats_shape shape = {
		.workers = RIG_WORKERS, .streams = 16, .channels = 4, .clients = 4, .listeners = 4,
		.left = 8
	};
	const struct worker_config worker = { .cpu = -1 };
	struct rig *r = calloc(1, sizeof(*r));
	char error[CONFIG_ERROR_BYTES], socket_path[96];
	FILE *text = tmpfile();
	uint32_t i;

	if (r == NULL || text == NULL)
		abort();
	(void)fputs("[host]\naddress = 127.0.0.1\n[buffers]\nregion_max = 100M\n"
		    "[daemon]\nclients = 3\n",
		    text);
	rewind(text);
	if (config_read(text, "rig", &r->config, error) < 0)
		abort();
	fclose(text);
	(void)snprintf(r->directory, sizeof(r->directory), "/tmp/ncd-rig-XXXXXX");
	if (mkdtemp(r->directory) == NULL)
		abort();
	(void)snprintf(socket_path, sizeof(socket_path), "%s/c.sock", r->directory);
	r->log = (struct log){ .fd = 2, .level = 0 };
	r->base = event_base_new();
	if (r->base == NULL || stats_init(&r->stats, socket_path, &shape) < 0 ||
	    workers_init(&r->workers, r->base, rig_event, r) < 0)
		abort();
	for (i = 0; i < RIG_WORKERS; i++)
		if (workers_add(&r->workers, &worker) < 0)
			abort();
	r->control = (struct control){
		.base = r->base,
		.log = &r->log,
		.stats = &r->stats,
		.workers = &r->workers,
		.config = r->config,
		.slots = slots,
	};
	if (control_init(&r->control) < 0)
		abort();
	return r;
}

static inline void rig_destroy(struct rig *r)
{
	workers_stop(&r->workers);
	control_abandon(&r->control);
	workers_cancel(&r->workers);
	control_fini(&r->control);
	workers_fini(&r->workers);
	(void)unlink(r->stats.path);
	(void)rmdir(r->directory);
	stats_fini(&r->stats);
	event_base_free(r->base);
	config_free(r->config);
	free(r);
}

/* A fake application's end of a new connection. */
static inline int rig_connect(struct rig *r)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	control_adopt(&r->control, pair[0]);
	return pair[1];
}

/* Sends @bytes of @msg with @fd_nr descriptors. */
static inline ssize_t rig_send(int fd, const void *msg, size_t bytes, const int *fds,
			       uint32_t fd_nr)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(80 * sizeof(int))];
	} ctrl = { .room = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg, .iov_len = bytes };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd_nr > 0) {
		ctrl.align.cmsg_level = SOL_SOCKET;
		ctrl.align.cmsg_type = SCM_RIGHTS;
		ctrl.align.cmsg_len = CMSG_LEN(fd_nr * sizeof(int));
		memcpy(CMSG_DATA(&ctrl.align), fds, fd_nr * sizeof(int));
		h.msg_control = &ctrl;
		h.msg_controllen = CMSG_SPACE(fd_nr * sizeof(int));
	}
	return sendmsg(fd, &h, MSG_NOSIGNAL);
}

/* One message, or nothing: its bytes. A descriptor that comes along goes to *ret_fd. */
static inline ssize_t rig_receive(int fd, union ctl_message *msg, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} ctrl;
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &ctrl,
			    .msg_controllen = sizeof(ctrl) };
	ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&h);

	*ret_fd = -1;
	if (!c)
		return n;
	memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	for (size_t at = sizeof(int); at < c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
		int extra;

		memcpy(&extra, CMSG_DATA(c) + at, sizeof(extra));
		close(extra);
	}
	return n;
}

static inline struct ctl_hello rig_hello(void)
{
	return (struct ctl_hello){
		.head = { .type = CTL_HELLO },
		.magic = CTL_MAGIC,
		.version_min = CTL_VERSION,
		.version_max = CTL_VERSION,
		.library_version = "0.1.0",
		.program = "fake",
	};
}

#endif /* NCD_CONTROL_RIG_H */
