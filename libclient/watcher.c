/* SPDX-License-Identifier: MIT */
/*
 * watcher.c - the thread that waits for the daemon: answers, new segments, idle streams, streams
 * that are to go to another worker, and its end.
 *
 * It sleeps in recvmsg, with all signals blocked, and holds a reference to the attachment until the
 * daemon has gone. Then it marks the attachment dead and wakes whoever sleeps on any word of it.
 *
 * A program at its limit of descriptors loses no stream for that: one is kept in reserve for the
 * memory that the daemon sends. A joined ring that cannot be had for any reason is refused.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "attach.h"
#include "copy.h"
#include "cq.h"
#include "process.h"
#include "sock_calls.h"

#define WATCHER_STACK_BYTES (256u << 10) /* it calls little; thread-local storage counts too */
#define ROOM_PAUSE_MS       10
#define ROOM_TRIES          1000

/* A joined ring, or one that there was no descriptor for. False: it breaks ctl_proto.h; or the
 * daemon is an older one, which takes it for granted that it can be had. */
static bool joint_come(struct attachment *att, const struct ctl_segment *msg, int fd)
{
	struct ctl_reply joined = { .head = { .type = CTL_JOINED },
				    .result = -EMFILE,
				    .value = msg->segment };

	if (fd >= 0) {
		joined.result = attachment_joint_add(att, msg, fd);
		close(fd);
	}
	if (!att->says_joined || joined.result == -EPROTO)
		return joined.result == 0;
	/* Without waiting: the daemon, too, does so, and waits for this only so long. */
	(void)send(att->ctl_fd, &joined, sizeof(joined), MSG_DONTWAIT | MSG_NOSIGNAL);
	return true;
}

/* A slot is named that there is. */
static bool slot_named(const struct attachment *att, const struct ctl_pollfd *msg, size_t bytes)
{
	return bytes == sizeof(*msg) && msg->worker < att->layout.workers &&
	       msg->slot < att->layout.slots;
}

/* One message; false when the connection is of no use any more. */
static bool message_handle(struct attachment *att, const union ctl_message *msg, size_t bytes,
			   int fd)
{
	bool fd_wanted = msg->head.type == CTL_SEGMENT || msg->head.type == CTL_JOINT ||
			 msg->head.type == CTL_REPLY;
	bool mapped = false;

	if (fd >= 0 && !fd_wanted) {
		close(fd);
		return false;
	}
	switch (msg->head.type) {
	case CTL_REPLY:
		/* A late answer harms nobody. */
		if ((bytes != sizeof(msg->reply) || !control_answer(att, &msg->reply, fd)) &&
		    fd >= 0)
			close(fd);
		return bytes == sizeof(msg->reply);
	case CTL_SEGMENT:
		if (fd < 0)
			return false;
		if (bytes == sizeof(msg->segment))
			mapped = attachment_segment_add(att, &msg->segment, fd) == 0;
		close(fd);
		return mapped;
	case CTL_JOINT:
		if (bytes == sizeof(msg->segment))
			return joint_come(att, &msg->segment, fd);
		if (fd >= 0)
			close(fd);
		return false;
	case CTL_UNJOIN:
		return bytes == sizeof(msg->number) &&
		       attachment_joint_remove(att, msg->number.number) == 0;
	case CTL_PLACE:
		if (bytes != sizeof(msg->number) || msg->number.number >= att->layout.workers)
			return false;
		/* Relaxed: advice, as below. */
		atomic_store_explicit(&att->default_worker, msg->number.number,
				      memory_order_relaxed);
		return true;
	case CTL_LEAVING:
		/* Relaxed: advice; nothing is ordered by it. */
		atomic_store_explicit(&att->leaving, true, memory_order_relaxed);
		return true;
	case CTL_IDLE:
		rings_idle(att);
		return true;
	case CTL_MOVE:
		if (!slot_named(att, &msg->pollfd, bytes))
			return false;
		lend_asked(att, &msg->pollfd);
		return true;
	case CTL_KEEP:
		if (!slot_named(att, &msg->pollfd, bytes))
			return false;
		lend_kept(att, &msg->pollfd);
		return true;
	default:
		return false;
	}
}

/* True if a descriptor came with what was received, and the program had no room for it. */
static bool fd_lost(const struct msghdr *mh)
{
	return mh->msg_flags & MSG_CTRUNC && !CMSG_FIRSTHDR(mh);
}

/* True if all goes on without the memory that @msg is about. */
static bool is_refusable(const struct attachment *att, const struct msghdr *mh)
{
	const union ctl_message *msg = mh->msg_iov->iov_base;

	return att->says_joined && msg->head.type == CTL_JOINT && att->spare_fd < 0;
}

/* Makes room for one; false: others take it all, or the daemon has gone. */
static bool room_make(struct attachment *att, uint32_t tries)
{
	const struct timespec pause = { .tv_nsec = ROOM_PAUSE_MS * 1000000 };
	struct pollfd end = { .fd = att->ctl_fd, .events = POLLRDHUP };
	int spare = att->spare_fd;

	if (spare < 0)
		return tries < ROOM_TRIES && ppoll(&end, 1, &pause, NULL) == 0;
	att->spare_fd = -1; /* first: the child of a fork closes it too */
	close(spare);
	return true;
}

/* Any descriptor that keeps nothing alive. */
static void spare_keep(struct attachment *att)
{
	if (att->spare_fd < 0)
		att->spare_fd = fcntl(att->port[0].doorbell_fd, F_DUPFD_CLOEXEC, 0);
}

/* recvmsg, but for a program that may have no room for the descriptor: then the message must not
 * have left the queue. */
static ssize_t message_wait(struct attachment *att, struct msghdr *mh)
{
	const size_t room = mh->msg_controllen;
	uint32_t tries = 0;
	char byte;
	ssize_t n;

	for (;;) {
		mh->msg_controllen = room;
		n = recvmsg(att->ctl_fd, mh, MSG_PEEK | MSG_CMSG_CLOEXEC);
		if (n <= 0 || !fd_lost(mh) || is_refusable(att, mh))
			break;
		if (!room_make(att, tries++))
			return 0;
	}
	if (n > 0)
		(void)recv(att->ctl_fd, &byte, sizeof(byte), 0); /* it is there, and cut off */
	return n;
}

/* Waits for one message and handles it; false at the end of the connection. */
static bool message_receive(struct attachment *att)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	union ctl_message msg = { 0 };
	struct iovec iov = { &msg, sizeof(msg) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n = message_wait(att, &mh);
	int fd = -1;

	if (n < 0)
		return errno == EINTR;
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	if (n < (ssize_t)sizeof(msg.head)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	return message_handle(att, &msg, (size_t)n, fd);
}

static void *watcher_run(void *arg)
{
	struct attachment *att = arg;

	lock_own_nothing();
	while (message_receive(att))
		spare_keep(att);
	/* DEAD, setting end. */
	atomic_store_explicit(&att->dead, true, memory_order_seq_cst);
	/* A message that broke ctl_proto.h ends here too: the daemon must see that we left. */
	(void)shutdown(att->ctl_fd, SHUT_RDWR);
	control_fail(att);
	/* DEAD, setting end. */
	atomic_fetch_add_explicit(&att->segment_seq, 1, memory_order_seq_cst);
	futex_wake_private(&att->segment_seq, INT_MAX);
	copier_dead(att->copier);
	process_wake_sockets(att);
	cq_wake_all(att);
	attachment_put(att);
	process_lost();
	return NULL;
}

int watcher_start(struct attachment *att)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int ret;

	if (pthread_attr_init(&attr) != 0)
		return -ENOMEM;
	(void)pthread_attr_setstacksize(&attr, WATCHER_STACK_BYTES); /* else it is merely larger */
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED); /* cannot fail */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	attachment_get(att);
	spare_keep(att);
	ret = pthread_create(&thread, &attr, watcher_run, att);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (ret != 0)
		attachment_put(att);
	return -ret;
}
