/* SPDX-License-Identifier: MIT */
/*
 * lend.c - a stream goes to another worker of ncd while its socket is in use: it is lent, and taken
 * back where it is then.
 *
 * A lent socket is shared (share.c), but with nobody: it may find its slot MOVED, fetches its
 * stream at once (fetch.c), and is an ordinary one again. One whose stream stays is told so, or
 * asks when it cannot wait for that. Whoever is to have its descriptor makes an ordinary shared one
 * of it. Memory of the rings that the program was shown (nc_reserve, nc_peek) does not move: who
 * has been shown some lends nothing, and a lent socket is taken back before it shows any.
 */
#include <string.h>
#include <sys/socket.h>

#include "ncclient.h"
#include "pollfd.h"
#include "process.h"
#include "sock_calls.h"

/* Who holds a lock may be waiting for the watcher, and each of these is a turn of all that runs. */
#define TRIES 20u

/* Whose stream is in that slot, as it seems without a lock. */
static struct nc_sock *lend_find(struct attachment *att, const struct ctl_pollfd *msg)
{
	const struct slot_shm *slot = &att->port[msg->worker].slot[msg->slot];
	struct nc_sock *s;

	for (int number = NC_SOCKET_BASE; (s = sock_find(number)); number++)
		if (sock_phase(s) == PHASE_CONNECTED && sock_slot(s) == slot)
			return s;
	return NULL;
}

/* 0, or why it cannot be lent; with all locks held. */
static int lend_check(struct nc_sock *s, const struct slot_shm *slot)
{
	if (!sock_open(s) || sock_phase(s) != PHASE_CONNECTED || sock_slot(s) != slot)
		return -EBADF;
	if (sock_is_common(s))
		return -EEXIST;
	/* STATE, application end. */
	if (atomic_load_explicit(&sock_slot(s)->state, memory_order_acquire) != SLOT_OPEN ||
	    flag_get(&s->tx.shut) || flag_get(&s->rx.shut) || s->tx.reserved > 0 || s->rx.peeked)
		return -EBUSY;
	/* Who waits for its descriptor is woken when it moves, and may then wait in a call. */
	return sock_watched(s) && !flag_get(&s->nonblock) ? -EBUSY : pollfd_create(s);
}

/* Says LEND, with the descriptors; with all locks held. Without waiting, as joint_come. */
static int lend_say(struct nc_sock *s, struct ctl_lend *msg)
{
	const int fds[2] = { s->pollfd, s->pollfd_peer };
	bool end = s->pollfd_peer >= 0;
	int ret;

	msg->flags = (end ? SHARE_END : 0) | (s->domain == AF_INET6 ? SHARE_INET6 : 0);
	pollfd_used(s);
	/* Relaxed, all: with all locks held; who looks holds one, or looks again. */
	atomic_store_explicit(&s->lent, true, memory_order_relaxed);
	atomic_store_explicit(&s->shared, true, memory_order_relaxed);
	/* Its queue hears of MOVED, whatever it waits for. */
	if (atomic_load_explicit(&s->cq_events, memory_order_relaxed) != 0)
		sock_notify(s, NOTIFY_CQ(EV_IN));
	ret = control_send(s->att->ctl_fd, msg, sizeof(*msg), fds, 1 + end, MSG_DONTWAIT);
	if (ret < 0)
		lend_end(s);
	else if (end)
		s->pollfd_joined = true;
	return ret;
}

void lend_asked(struct attachment *att, const struct ctl_pollfd *ask)
{
	struct ctl_lend msg = { .head.type = CTL_LEND, .worker = ask->worker, .slot = ask->slot };
	struct nc_sock *s = lend_find(att, ask);

	msg.result = s ? -EBUSY : -EBADF;
	/* Who holds one is using the stream, and may wait for this thread. */
	if (s && sock_try_all(s, TRIES)) {
		msg.result = lend_check(s, &att->port[ask->worker].slot[ask->slot]);
		if (msg.result == 0)
			msg.result = lend_say(s, &msg);
		sock_release_all(s);
		if (msg.result == 0)
			return;
	}
	msg.flags = 0;
	/* As above; if there is no room for it, ncd asks no more. */
	(void)control_send(att->ctl_fd, &msg, sizeof(msg), NULL, 0, MSG_DONTWAIT);
}

void lend_kept(struct attachment *att, const struct ctl_pollfd *msg)
{
	struct nc_sock *s = lend_find(att, msg);

	/* In use: it finds out when it is taken back. */
	if (!s || !sock_try_all(s, TRIES))
		return;
	if (flag_get(&s->lent) && sock_slot(s) == &att->port[msg->worker].slot[msg->slot] &&
	    !sock_elsewhere(s))
		lend_end(s);
	sock_release_all(s);
}

void lend_end(struct nc_sock *s)
{
	/* Relaxed, both: as in lend_say. */
	atomic_store_explicit(&s->shared, false, memory_order_relaxed);
	atomic_store_explicit(&s->lent, false, memory_order_relaxed);
	if (sock_watched(s))
		pollfd_show_shut(s); /* which is not done to a shared one */
}

void lend_share(struct nc_sock *s)
{
	struct ctl_share msg = { .head.type = CTL_SHARE, .nr = 1 };
	const int fd = s->pollfd;

	if (!sock_slot(s))
		return; /* it is lost, and its slot perhaps another's */
	msg.entry[0] = (struct ctl_share_entry){ .slot = s->slot_nr,
						 .worker = (uint16_t)s->port->worker };
	/* Not answered, without a tag. */
	(void)control_send(s->att->ctl_fd, &msg, sizeof(msg), &fd, 1, MSG_DONTWAIT);
}
