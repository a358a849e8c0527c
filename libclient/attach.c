/* SPDX-License-Identifier: MIT */
/*
 * attach.c - the handshake with the daemon, the checks behind which its region is trusted, and the
 * end of an attachment.
 */
#include "attach.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "copy.h"
#include "ncclient.h"

/* What came with WELCOME. */
struct welcome {
	struct ctl_welcome msg;
	int fd[1 + NCD_WORKERS_MAX + NCD_COPY_WORKERS_MAX]; /* segment 0, then doorbells: of the
							     * workers, of the copy workers */
	uint32_t fd_nr;
};

__attribute__((format(printf, 3, 4))) static void explain(char *why, size_t bytes, const char *fmt,
							  ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, bytes, fmt, ap); /* cut is good enough for a message */
	va_end(ap);
}

/* What a hung ncd looks like. */
static int unanswered(char *why, size_t why_bytes)
{
	explain(why, why_bytes, "ncd does not answer on its control socket");
	return -ETIMEDOUT;
}

static int control_connect(const char *path, uint32_t limit_ms, char *why, size_t why_bytes,
			   int *ret_fd)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000 };
	int fd, ret;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		explain(why, why_bytes, "%s: the path of the control socket is too long", path);
		return -ENAMETOOLONG;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		ret = -errno;
		explain(why, why_bytes, "socket: %s", strerror(-ret));
		return ret;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
			 sizeof(limit)); /* else it may block */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* as above */
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		ret = -errno;
		close(fd);
		if (ret == -EAGAIN) /* so many wait before us */
			return unanswered(why, why_bytes);
		explain(why, why_bytes, "%s: %s%s", path, strerror(-ret),
			ret == -ENOENT || ret == -ECONNREFUSED
				? ": is ncd running? (systemctl start ncd; NCD_SOCKET names "
				  "another)"
				: "");
		return ret;
	}
	*ret_fd = fd;
	return 0;
}

static int hello_send(int fd)
{
	struct ctl_hello hello = {
		.head.type = CTL_HELLO,
		.magic = CTL_MAGIC,
		.version_min = CTL_VERSION_MIN,
		.version_max = CTL_VERSION,
	};

	explain(hello.library_version, sizeof(hello.library_version), "%s", nc_version());
	explain(hello.program, sizeof(hello.program), "%s", program_invocation_short_name);
	if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello))
		return -errno;
	return 0;
}

static void welcome_close(struct welcome *w)
{
	for (uint32_t i = 0; i < w->fd_nr; i++)
		if (w->fd[i] >= 0)
			close(w->fd[i]);
	w->fd_nr = 0;
}

static void welcome_take_fds(struct msghdr *mh, struct welcome *w)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (bytes > sizeof(w->fd))
			bytes = sizeof(w->fd);
		memcpy(w->fd, CMSG_DATA(c), bytes);
		w->fd_nr = (uint32_t)(bytes / sizeof(int));
	}
}

/* Receives WELCOME, or tells why not. The descriptors are the caller's, also on failure. */
static int welcome_receive(int fd, char *why, size_t why_bytes, struct welcome *w)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(w->fd))];
	union ctl_message msg = { 0 };
	struct iovec iov = { &msg, sizeof(msg) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control) };
	ssize_t n;

	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return unanswered(why, why_bytes);
	if (n < 0) {
		n = -errno;
		explain(why, why_bytes, "the control socket of ncd: %s", strerror((int)-n));
		return (int)n;
	}
	welcome_take_fds(&mh, w);
	if (n == (ssize_t)sizeof(msg.refused) && msg.head.type == CTL_REFUSED) {
		msg.refused.why[sizeof(msg.refused.why) - 1] = '\0';
		explain(why, why_bytes, "ncd refuses this program: %s", msg.refused.why);
		return msg.refused.error < 0 ? msg.refused.error : -EPROTO;
	}
	if (n != (ssize_t)sizeof(msg.welcome) || msg.head.type != CTL_WELCOME ||
	    msg.welcome.magic != CTL_MAGIC) {
		explain(why, why_bytes, "what listens on the control socket is not ncd");
		return n == 0 ? -ECONNREFUSED : -EPROTO;
	}
	if (msg.welcome.version < CTL_VERSION_MIN || msg.welcome.version > CTL_VERSION) {
		explain(why, why_bytes,
			"ncd speaks version %u, this library %u: install the same release",
			msg.welcome.version, CTL_VERSION);
		return -EPROTONOSUPPORT;
	}
	w->msg = msg.welcome;
	return 0;
}

/* True if @nr things of @bytes, @step apart from @off on, lie in @end bytes. */
static bool fits(uint64_t off, uint64_t step, uint64_t nr, uint64_t bytes, uint64_t end)
{
	return off <= end && off % NCD_CACHE_LINE == 0 && step % NCD_CACHE_LINE == 0 &&
	       step >= bytes && (nr == 0 || step <= (end - off) / nr);
}

static bool layout_good(const struct region_shm *l, const struct ctl_welcome *w)
{
	if (l->magic != SHM_MAGIC || l->version != SHM_VERSION || l->bytes != w->segment_bytes)
		return false;
	if (l->workers == 0 || l->workers > NCD_WORKERS_MAX || l->workers != w->workers ||
	    w->default_worker >= l->workers || w->addr_nr > 8)
		return false;
	if (l->slots < 2 || l->slots > NCD_SOCKETS_MAX || (l->slots & (l->slots - 1)) != 0 ||
	    l->listeners > NCD_LISTENERS_MAX || l->copy_workers > NCD_COPY_WORKERS_MAX)
		return false;
	return fits(l->qp_off, sizeof(struct qp_shm), NCD_QP_NR, sizeof(struct qp_shm), l->bytes) &&
	       fits(l->listener_off, sizeof(struct listener_shm), l->listeners,
		    sizeof(struct listener_shm), l->bytes) &&
	       fits(l->left_off, NCD_CACHE_LINE, 1 + NCD_LEFT_MAX, sizeof(struct left_shm),
		    l->bytes) &&
	       l->left_off % NCD_PAGE == 0 &&
	       fits(l->copy_off, copy_area_bytes(l->copy_workers), 1,
		    copy_area_bytes(l->copy_workers), l->bytes) &&
	       fits(l->port_off, l->port_bytes, l->workers, sizeof(struct port_shm), l->bytes) &&
	       fits(l->sq_off, l->sq_bytes, NCD_QP_NR, ring_bytes(NCD_SQ_ENTRIES), l->port_bytes) &&
	       fits(l->cq_off, l->cq_bytes, NCD_QP_NR, ring_bytes(NCD_CQ_ENTRIES), l->port_bytes) &&
	       fits(l->accept_off, l->accept_bytes, l->listeners, ring_bytes(NCD_BACKLOG_MAX),
		    l->port_bytes) &&
	       fits(l->slot_off, sizeof(struct slot_shm), l->slots, sizeof(struct slot_shm),
		    l->port_bytes);
}

static void *table_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static uint64_t owner_bytes(const struct attachment *att)
{
	return (uint64_t)att->layout.slots * sizeof(struct nc_sock *);
}

static uint64_t fifo_bytes(const struct attachment *att)
{
	return (uint64_t)att->layout.slots / 2 * sizeof(uint32_t);
}

static int port_init(struct attachment *att, uint32_t worker, int doorbell_fd)
{
	const struct region_shm *l = &att->layout;
	struct app_port *p = &att->port[worker];
	uint8_t *base = att->segment[0].base + l->port_off + worker * l->port_bytes;

	p->att = att;
	p->worker = worker;
	p->doorbell_fd = doorbell_fd;
	p->need_wakeup = &((struct port_shm *)(void *)base)->need_wakeup;
	p->give_way = &((struct port_shm *)(void *)base)->give_way;
	p->slot = (struct slot_shm *)(void *)(base + l->slot_off);
	lock_init_common(&p->sq_lock);
	ring_init(&p->sq, base + l->sq_off, NCD_SQ_ENTRIES);
	p->owner = table_map(owner_bytes(att));
	p->fifo = table_map(fifo_bytes(att));
	return p->owner && p->fifo ? 0 : -ENOMEM;
}

static int cqs_init(struct attachment *att)
{
	struct qp_shm *qp = (struct qp_shm *)(void *)(att->segment[0].base + att->layout.qp_off);

	for (uint32_t i = 0; i < NCD_QP_NR; i++) {
		att->cq[i].att = att;
		att->cq[i].qp = i;
		att->cq[i].shm = &qp[i];
		atomic_init(&att->cq[i].fd, -1);
		att->cq[i].ring = calloc(att->port_nr, sizeof(struct ring));
		if (!att->cq[i].ring)
			return -ENOMEM;
	}
	return 0;
}

static void attachment_destroy(struct attachment *att)
{
	for (uint32_t i = 0; i < NCD_QP_NR; i++) {
		if (att->cq[i].att && att->cq[i].fd >= 0) {
			close(att->cq[i].fd);
			close(att->cq[i].fd_peer);
		}
		free(att->cq[i].ring);
	}
	for (uint64_t i = 0; att->port && i < att->port_nr; i++) {
		if (att->port[i].owner)
			(void)munmap(att->port[i].owner, owner_bytes(att));
		if (att->port[i].fifo)
			(void)munmap(att->port[i].fifo, fifo_bytes(att));
		if (att->port[i].att)
			close(att->port[i].doorbell_fd);
	}
	free(att->port);
	free(att->listener_owner);
	copier_destroy(att->copier);
	for (uint32_t i = 0; i < NCD_SEGMENTS_MAX; i++) {
		if (!att->segment[i].base)
			continue;
		(void)munmap(att->segment[i].base, att->segment[i].bytes);
	}
	for (uint32_t i = 0; i < NCD_JOINTS_MAX; i++)
		if (att->joint[i].base)
			(void)munmap(att->joint[i].base, att->joint[i].bytes);
	if (att->spare_fd >= 0)
		close(att->spare_fd);
	if (att->ctl_fd >= 0)
		close(att->ctl_fd);
	free(att);
}

/* The descriptors behind those of the workers. */
static int copier_attach(struct attachment *att, struct welcome *w)
{
	int *fd = &w->fd[1 + att->layout.workers];

	if (att->layout.copy_workers == 0)
		return 0;
	att->copier = copier_create(att->segment[0].base + att->layout.copy_off,
				    att->layout.copy_workers, fd);
	if (!att->copier)
		return -ENOMEM;
	for (uint32_t i = 0; i < att->layout.copy_workers; i++)
		fd[i] = -1;
	return 0;
}

/* Takes over the descriptors of @w one by one, marking them -1 there. */
static int attachment_fill(struct attachment *att, struct welcome *w)
{
	int ret;

	if (w->fd_nr < 1 || w->msg.segment_bytes < sizeof(att->layout))
		return -EPROTO;
	ret = segment_map(w->fd[0], w->msg.segment_bytes, 0, &att->segment[0]);
	if (ret < 0)
		return ret;
	memcpy(&att->layout, att->segment[0].base, sizeof(att->layout));
	if (!layout_good(&att->layout, &w->msg) ||
	    w->fd_nr != 1 + att->layout.workers + att->layout.copy_workers)
		return -EPROTO;
	att->says_joined = w->msg.version >= CTL_VERSION_JOINED;
	att->says_away = w->msg.version >= CTL_VERSION_AWAY;
	/* Relaxed: nobody else knows it yet. */
	atomic_store_explicit(&att->default_worker, w->msg.default_worker, memory_order_relaxed);
	att->addr_nr = w->msg.addr_nr;
	memcpy(att->addr, w->msg.addr, sizeof(att->addr));
	att->listener =
		(struct listener_shm *)(void *)(att->segment[0].base + att->layout.listener_off);
	att->port_nr = att->layout.workers;
	att->port = aligned_alloc(alignof(struct app_port), att->port_nr * sizeof(*att->port));
	if (!att->port)
		return -ENOMEM;
	memset(att->port, 0, att->port_nr * sizeof(*att->port));
	for (uint32_t i = 0; i < att->port_nr; i++) {
		ret = port_init(att, i, w->fd[1 + i]);
		w->fd[1 + i] = -1;
		if (ret < 0)
			return ret;
	}
	ret = copier_attach(att, w);
	if (ret < 0)
		return ret;
	att->listener_owner = calloc(att->layout.listeners + 1, sizeof(*att->listener_owner));
	return att->listener_owner ? cqs_init(att) : -ENOMEM;
}

int attachment_create(const char *path, uint32_t limit_ms, char *why, size_t why_bytes,
		      struct attachment **ret_attachment)
{
	struct attachment *att = calloc(1, sizeof(*att));
	struct timeval none = { 0 };
	struct welcome w = { 0 };
	int ret;

	if (!att)
		return -ENOMEM;
	atomic_init(&att->refs, 1);
	att->ctl_fd = att->spare_fd = -1;
	ret = control_connect(path, limit_ms, why, why_bytes, &att->ctl_fd);
	if (ret < 0)
		goto err_attachment;
	ret = hello_send(att->ctl_fd);
	if (ret < 0) {
		explain(why, why_bytes, "%s: %s", path, strerror(-ret));
		goto err_attachment;
	}
	ret = welcome_receive(att->ctl_fd, why, why_bytes, &w);
	if (ret < 0)
		goto err_welcome;
	ret = attachment_fill(att, &w);
	if (ret < 0) {
		explain(why, why_bytes, "%s: the shared memory of ncd is not usable: %s", path,
			strerror(-ret));
		goto err_welcome;
	}
	close(w.fd[0]); /* mapped */
	w.fd[0] = -1;
	(void)setsockopt(att->ctl_fd, SOL_SOCKET, SO_RCVTIMEO, &none,
			 sizeof(none)); /* watcher waits */
	ret = watcher_start(att);
	if (ret < 0) {
		explain(why, why_bytes, "cannot start a thread: %s", strerror(-ret));
		goto err_welcome;
	}
	*ret_attachment = att;
	return 0;

err_welcome:
	welcome_close(&w);
err_attachment:
	attachment_destroy(att);
	return ret;
}

void attachment_get(struct attachment *att)
{
	/* Relaxed: the caller has a reference already. */
	atomic_fetch_add_explicit(&att->refs, 1, memory_order_relaxed);
}

void attachment_put(struct attachment *att)
{
	/* LOCK, both ends: the last one sees what the others did. */
	if (att && atomic_fetch_sub_explicit(&att->refs, 1, memory_order_acq_rel) == 1)
		attachment_destroy(att);
}
