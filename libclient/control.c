/* SPDX-License-Identifier: MIT */
/*
 * control.c - questions to the daemon on the control socket, and their answers.
 *
 * Any thread asks; the watcher receives. A question is on its asker's stack and in the list of the
 * attachment until it is answered, or the connection ends.
 */
#include <string.h>
#include <sys/socket.h>

#include "attach.h"

#define FDS_MAX (2 * CTL_SHARE_MAX)

int control_send(int ctl_fd, void *msg, size_t bytes, const int *fds, uint32_t fd_nr, int flags)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { msg, bytes };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd_nr > 0) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(fd_nr * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_nr * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_nr * sizeof(int));
	}
	do
		n = sendmsg(ctl_fd, &mh, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)bytes)
		return 0;
	return errno == EMFILE || errno == ETOOMANYREFS ? -EMFILE : -ECONNRESET;
}

static void request_remove(struct attachment *att, const struct ctl_request *req)
{
	for (struct ctl_request **at = &att->request; *at; at = &(*at)->next) {
		if (*at != req)
			continue;
		*at = req->next;
		return;
	}
}

static void request_finish(struct ctl_request *req, int32_t result, uint32_t value)
{
	req->result = result;
	req->value = value;
	/* LOCK, releasing end: the asker reads result behind done. Its last use of req by us is the
	 * wake, on an address that may be gone by then: a needless wake of somebody's word at
	 * worst. */
	atomic_store_explicit(&req->done, 1, memory_order_release);
	futex_wake_private(&req->done, 1);
}

int control_ask(struct attachment *att, void *msg, size_t bytes, int fd, uint32_t *ret_value)
{
	return control_ask_fds(att, msg, bytes, &fd, fd >= 0, ret_value, NULL);
}

int control_ask_fds(struct attachment *att, void *msg, size_t bytes, const int *fds, uint32_t fd_nr,
		    uint32_t *ret_value, int *ret_fd)
{
	struct ctl_request req = { .fd = ret_fd ? -1 : -2 };
	struct ctl_head head;
	int ret;

	memcpy(&head, msg, sizeof(head));
	lock_take(&att->ctl_lock);
	if (attachment_dead(att)) {
		lock_release(&att->ctl_lock);
		return -ECONNRESET;
	}
	if (++att->tag == 0)
		att->tag = 1; /* 0 means that no answer is wanted */
	head.tag = att->tag;
	memcpy(msg, &head, sizeof(head));
	req.tag = att->tag;
	req.next = att->request;
	att->request = &req;
	ret = control_send(att->ctl_fd, msg, bytes, fds, fd_nr, 0);
	if (ret < 0)
		request_remove(att, &req);
	lock_release(&att->ctl_lock);
	if (ret < 0)
		return ret;
	/* LOCK, acquiring end. Signals do not end this: the daemon answers at once, or is gone. */
	while (atomic_load_explicit(&req.done, memory_order_acquire) == 0)
		(void)futex_wait_private(&req.done, 0, NC_FOREVER); /* looks again */
	if (req.result == 0 && ret_value)
		*ret_value = req.value;
	if (ret_fd)
		*ret_fd = req.fd;
	return req.result > 0 ? -EPROTO : req.result;
}

bool control_answer(struct attachment *att, const struct ctl_reply *reply, int fd)
{
	bool wanted = false;
	struct ctl_request *req;

	lock_take(&att->ctl_lock);
	for (req = att->request; req && req->tag != reply->head.tag; req = req->next)
		;
	if (req) {
		request_remove(att, req);
		wanted = fd < 0 || req->fd == -1;
		if (fd >= 0 && wanted)
			req->fd = fd;
		request_finish(req, reply->result, reply->value);
	}
	lock_release(&att->ctl_lock);
	return wanted;
}

void control_fail(struct attachment *att)
{
	lock_take(&att->ctl_lock);
	while (att->request) {
		struct ctl_request *req = att->request;

		att->request = req->next;
		request_finish(req, -ECONNRESET, 0);
	}
	lock_release(&att->ctl_lock);
}
