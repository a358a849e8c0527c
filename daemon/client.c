/* SPDX-License-Identifier: MIT */
/*
 * client.c - one application's life: connection, messages, and the way out.
 */
#include "client.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared.h"

/* True while a copy worker has hold of its memory and its region. */
static bool client_copies(const struct client *c)
{
	return c->copy && copy_workers_hold(c->ctl->copy_workers, c->copy);
}

void client_free(struct client *c)
{
	uint32_t i;

	assert(c->commands == 0);
	if (c->state == CLIENT_LEAVING)
		c->ctl->lingering--;
	/* Held up in there for good: ncd is about to end, and that frees it. */
	if (client_copies(c))
		goto out;
	copy_client_destroy(c->copy);
	if (c->event)
		event_free(c->event);
	if (c->fd >= 0)
		(void)close(c->fd); /* the peer sees the end; nothing else to learn */
	for (i = 0; i < NCD_WORKERS_MAX; i++) {
		port_destroy(c->port[i]);
		command_destroy(c->remove[i]);
	}
	for (i = 1; i <= c->segment_nr; i++)
		region_unmap(&c->segment[i]);
	region_unmap(&c->segment0);
	client_joints_leave(c);
	client_left_hide(c);
	if (c->stats)
		stats_hide(&c->stats->use);
out:
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	control_resume(c->ctl);
	free(c);
}

void client_reap(struct client *c)
{
	uint32_t i;

	if (c->state != CLIENT_LEAVING || c->commands > 0 || client_copies(c))
		return;
	for (i = 0; i < c->ctl->workers->nr; i++)
		if (c->in_worker[i])
			return;
	client_free(c);
}

void client_post(struct client *c, uint32_t worker, struct worker_cmd *cmd)
{
	cmd->port = c->port[worker];
	c->commands++;
	workers_post(c->ctl->workers, worker, cmd);
}

static void client_listeners_hide(struct client *c)
{
	uint32_t i;

	for (i = 0; i < NCD_LISTENERS_MAX; i++)
		if (c->listener[i].stats)
			stats_hide(&c->listener[i].stats->use);
}

/*
 * The application takes the end of the connection for the end of all that the daemon does: so not
 * while a copy worker has hold of its memory.
 */
static void client_hang_up(struct client *c)
{
	if (c->fd < 0 || client_copies(c))
		return;
	(void)close(c->fd); /* the peer sees the end; nothing else to learn */
	c->fd = -1;
}

void client_copy_ended(struct client *c)
{
	client_hang_up(c);
	client_reap(c);
}

void client_end(struct client *c, const char *reason)
{
	struct control *ctl = c->ctl;
	uint32_t i;

	if (c->state == CLIENT_LEAVING)
		return;
	log_line(ctl->log, LOG_LEVEL_DEBUG, "client %d (%s) ends: %s", (int)c->pid, c->program,
		 reason);
	event_free(c->event);
	c->event = NULL;
	if (c->copy && c->state == CLIENT_ATTACHED)
		copy_workers_remove(ctl->copy_workers, c->copy);
	client_hang_up(c);
	if (c->state == CLIENT_GREETING) {
		ctl->greeting--;
		client_free(c);
		return;
	}
	ctl->attached--;
	placement_remove(&ctl->placement, c->default_worker);
	c->state = CLIENT_LEAVING;
	ctl->lingering++;
	client_listeners_hide(c);
	client_left_hide(c);
	if (c->claims > 0)
		port_table_release_all(ctl->ports, c);
	shared_lender_ends(ctl->shared, c);
	moves_client_ends(ctl, c);
	for (i = 0; i < ctl->workers->nr; i++) {
		struct worker_cmd *cmd = c->remove[i];

		if (!c->in_worker[i] || cmd == NULL)
			continue;
		c->remove[i] = NULL;
		client_post(c, i, cmd);
	}
	client_reap(c);
}

void client_abandon(struct client *c)
{
	/* Requests that come back cancelled find nobody to be answered. */
	if (c->state == CLIENT_ATTACHED) {
		c->state = CLIENT_LEAVING;
		c->ctl->lingering++;
	}
	memset(c->in_worker, 0, sizeof(c->in_worker));
	client_reap(c);
}

bool client_send(struct client *c, const void *msg, size_t bytes, const int *fds, uint32_t fd_nr)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(CLIENT_FDS_SENT_MAX * sizeof(int))];
	} ctrl = { .room = { 0 } };
	/* sendmsg() only reads it; the cast loses a const that iovec cannot carry. */
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg, .iov_len = bytes };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg = &ctrl.align;

	assert(fd_nr <= CLIENT_FDS_SENT_MAX);
	if (fd_nr > 0) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_nr * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_nr * sizeof(int));
		h.msg_control = &ctrl;
		h.msg_controllen = CMSG_SPACE(fd_nr * sizeof(int));
	}
	if (sendmsg(c->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno == EAGAIN) {
		stats_count(&c->ctl->stats->head->ctl_stalled);
		client_end(c, "it does not read its control socket");
	} else {
		client_end(c, strerror(errno));
	}
	return false;
}

bool client_reply(struct client *c, uint32_t tag, int result, uint32_t value)
{
	const struct ctl_reply reply = { .head = { .type = CTL_REPLY, .tag = tag },
					 .result = result,
					 .value = value };

	return tag == 0 || client_send(c, &reply, sizeof(reply), NULL, 0);
}

/* What it said breaks ctl_proto.h: counted, and the end. */
static void client_garbage(struct client *c, const char *what)
{
	stats_count(&c->ctl->stats->head->ctl_garbage);
	log_limited(c->ctl->log, &c->ctl->limit_garbage, LOG_LEVEL_WARNING,
		    "control socket: process %d of user %u sent %s; disconnected", (int)c->pid,
		    (unsigned int)c->uid, what);
	client_end(c, what);
}

static bool client_greets(struct client *c, const union ctl_message *msg, size_t bytes,
			  const int *fds, uint32_t fd_nr)
{
	if (msg->head.type == CTL_AWAY && bytes == sizeof(msg->head) && fd_nr <= 1) {
		/* No look at [access]: who has the socket may say so. None: we have no room. */
		if (fd_nr == 1)
			control_listener_away(c->ctl, fds[0]);
		client_end(c, "it starts a program without ncd");
		return false;
	}
	if (msg->head.type != CTL_HELLO || bytes != sizeof(msg->hello) || fd_nr != 0 ||
	    msg->hello.magic != CTL_MAGIC) {
		client_garbage(c, "no hello");
		return false;
	}
	return client_attach(c, &msg->hello);
}

/* Collects the descriptors of @h; more than fit have been dropped by the kernel. */
static uint32_t message_fds(struct msghdr *h, int fds[CLIENT_FDS_MAX])
{
	struct cmsghdr *cmsg;
	uint32_t nr = 0;

	for (cmsg = CMSG_FIRSTHDR(h); cmsg; cmsg = CMSG_NXTHDR(h, cmsg)) {
		size_t room = (CLIENT_FDS_MAX - nr) * sizeof(int);
		size_t bytes = cmsg->cmsg_len - CMSG_LEN(0);

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		assert(bytes <= room);
		memcpy(fds + nr, CMSG_DATA(cmsg), bytes);
		nr += (uint32_t)(bytes / sizeof(int));
	}
	return nr;
}

/* Reads and serves one message. False: there is none, or @c has ended. */
static bool client_read(struct client *c)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(CLIENT_FDS_MAX * sizeof(int))];
	} ctrl;
	union ctl_message msg;
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &ctrl,
			    .msg_controllen = sizeof(ctrl) };
	int fds[CLIENT_FDS_MAX];
	uint32_t i, fd_nr;
	bool alive = false;
	ssize_t n;

	memset(&msg, 0, sizeof(msg));
	n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		client_end(c, n == 0 ? "it closed" : strerror(errno));
		return false;
	}
	fd_nr = message_fds(&h, fds);
	/* A cut list with no descriptor at all, or of several: we are out of them, which
	 * client_message() tells. */
	if ((size_t)n < sizeof(msg.head) || (h.msg_flags & MSG_TRUNC) ||
	    ((h.msg_flags & MSG_CTRUNC) && fd_nr > 0 && msg.head.type != CTL_SHARE &&
	     msg.head.type != CTL_LEND))
		client_garbage(c, "a message of wrong size");
	else if (c->state == CLIENT_GREETING)
		alive = client_greets(c, &msg, (size_t)n, fds, fd_nr);
	else
		alive = client_message(c, &msg, (size_t)n, fds, fd_nr);
	/* What has been used was duplicated, or is -1. */
	for (i = 0; i < fd_nr; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* was only received */
	return alive;
}

static void client_readable(int fd, short what, void *ctx)
{
	struct client *c = ctx;
	uint32_t n;

	(void)fd;
	if (what & EV_TIMEOUT) {
		/* A timeout is set only until the hello. */
		client_garbage(c, "no hello in time");
		return;
	}
	for (n = 0; n < CLIENT_MESSAGES_TURN; n++)
		if (!client_read(c))
			return;
}

struct client *client_create(struct control *ctl, int fd)
{
	const struct timeval timeout = { .tv_sec = CLIENT_HELLO_SECONDS };
	struct ucred cred = { 0 };
	socklen_t bytes = sizeof(cred);
	struct client *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->ctl = ctl;
	c->fd = fd;
	c->pid = cred.pid;
	c->uid = cred.uid;
	c->gid = cred.gid;
	c->event = event_new(ctl->base, fd, EV_READ | EV_PERSIST, client_readable, c);
	if (c->event == NULL || event_add(c->event, &timeout) < 0) {
		if (c->event)
			event_free(c->event);
		free(c);
		return NULL;
	}
	c->next = ctl->clients;
	c->link = &ctl->clients;
	if (c->next)
		c->next->link = &c->next;
	ctl->clients = c;
	ctl->greeting++;
	return c;
}

void client_command_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd)
{
	c->commands--;
	if (cmd->type == CMD_CLIENT_ADD && cmd->result < 0) {
		c->in_worker[worker] = false;
		client_end(c, "a worker has no memory for it");
	} else if (cmd->type == CMD_TAKE) {
		client_take_back(c, worker, cmd);
	} else if (cmd->type == CMD_SHARE && cmd->share.lent) {
		client_lend_back(c, worker, cmd);
	} else if (cmd->user) {
		if (cmd->type == CMD_SHARE)
			client_share_back(c, worker, cmd);
		client_request_back(c, cmd->user, cmd->result);
	} else {
		client_reap(c);
	}
}

void client_gone(struct client *c, uint32_t worker)
{
	c->in_worker[worker] = false;
	client_reap(c);
}
