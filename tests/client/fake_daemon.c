/* SPDX-License-Identifier: MIT */
/*
 * fake_daemon.c - the control socket and the worker's words of a daemon that is none.
 */
#include "fake_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "fake_state.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void fake_await_step(uint64_t *since_ns, const char *what)
{
	if (*since_ns == 0)
		*since_ns = now_ns();
	if (now_ns() - *since_ns > 30000000000u) {
		fprintf(stderr, "waited too long for: %s\n", what);
		abort();
	}
	sched_yield();
}

/* ---- the region ---- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + NCD_PAGE - 1) / NCD_PAGE * NCD_PAGE;
}

static void layout(struct fake *f)
{
	struct region_shm *l = &f->layout;

	*l = (struct region_shm){ .magic = SHM_MAGIC,
				  .version = SHM_VERSION,
				  .workers = f->cfg.workers,
				  .listeners = FAKE_LISTENERS,
				  .slots = f->cfg.slots };
	l->qp_off = NCD_PAGE;
	l->listener_off = l->qp_off + page_up(NCD_QP_NR * sizeof(struct qp_shm));
	l->left_off = l->listener_off + page_up(l->listeners * sizeof(struct listener_shm));
	l->copy_off = l->left_off + LEFT_TABLE_BYTES;
	l->copy_workers = f->cfg.copy_workers;
	l->port_off = l->copy_off + page_up(copy_area_bytes(l->copy_workers));
	l->sq_off = NCD_PAGE;
	l->sq_bytes = page_up(ring_bytes(NCD_SQ_ENTRIES));
	l->cq_off = l->sq_off + NCD_QP_NR * l->sq_bytes;
	l->cq_bytes = page_up(ring_bytes(NCD_CQ_ENTRIES));
	l->accept_off = l->cq_off + NCD_QP_NR * l->cq_bytes;
	l->accept_bytes = page_up(ring_bytes(NCD_BACKLOG_MAX));
	l->slot_off = l->accept_off + l->listeners * l->accept_bytes;
	l->port_bytes = page_up(l->slot_off + l->slots * sizeof(struct slot_shm));
	l->bytes = l->port_off + l->workers * l->port_bytes;
}

static int memfd_map(uint64_t bytes, uint8_t **ret_base)
{
	int fd = memfd_create("fake", MFD_CLOEXEC);
	void *p;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	assert_true(p != MAP_FAILED);
	*ret_base = p;
	return fd;
}

static uint8_t *port_base(struct fake *f, uint32_t worker)
{
	return f->base + f->layout.port_off + worker * f->layout.port_bytes;
}

struct port_shm *fake_port(struct fake *f, uint32_t worker)
{
	return (struct port_shm *)(void *)port_base(f, worker);
}

struct qp_shm *fake_qp(struct fake *f, uint32_t qp)
{
	return &((struct qp_shm *)(void *)(f->base + f->layout.qp_off))[qp];
}

struct listener_shm *fake_listener(struct fake *f, uint32_t listener)
{
	return &((struct listener_shm *)(void *)(f->base + f->layout.listener_off))[listener];
}

struct left_table_shm *fake_left(struct fake *f)
{
	return (struct left_table_shm *)(void *)(f->base + f->layout.left_off);
}

struct slot_shm *fake_shm(struct fake *f, struct fake_slot s)
{
	return &((struct slot_shm *)(void *)(port_base(f, s.worker) + f->layout.slot_off))[s.slot];
}

struct fake_flow *fake_flow(struct fake *f, struct fake_slot s)
{
	return &f->flow[s.worker * f->cfg.slots + s.slot];
}

/* The private ends of all queues, kept over a change of the mapping. */
static void queues_point(struct fake *f)
{
	for (uint32_t i = 0; i < f->cfg.copy_workers; i++) {
		f->copy[i].shm = (struct ring_shm *)(void *)copy_area_queue(
					 f->base + f->layout.copy_off, i)
					 ->ring;
		f->copy[i].capacity = NCD_COPY_PIECES;
	}
	for (uint32_t w = 0; w < f->cfg.workers; w++) {
		for (uint32_t q = 0; q < NCD_QP_NR; q++) {
			f->sq[w][q].shm =
				(struct ring_shm *)(void *)(port_base(f, w) + f->layout.sq_off +
							    q * f->layout.sq_bytes);
			f->cq[w][q].shm =
				(struct ring_shm *)(void *)(port_base(f, w) + f->layout.cq_off +
							    q * f->layout.cq_bytes);
			f->sq[w][q].capacity = NCD_SQ_ENTRIES;
			f->cq[w][q].capacity = NCD_CQ_ENTRIES;
		}
		for (uint32_t l = 0; l < FAKE_LISTENERS; l++) {
			f->accept[w][l].shm =
				(struct ring_shm *)(void *)(port_base(f, w) + f->layout.accept_off +
							    l * f->layout.accept_bytes);
			f->accept[w][l].capacity = NCD_BACKLOG_MAX;
		}
	}
}

static void region_create(struct fake *f)
{
	layout(f);
	f->region_fd = memfd_map(f->layout.bytes, &f->base);
	f->own_base = f->base;
	f->segment_fd = memfd_map(FAKE_SEGMENT_BYTES, &f->segment);
	f->own_segment = f->segment;
	memcpy(f->base, &f->layout, sizeof(f->layout));
	memset(f->copy, 0, sizeof(f->copy));
	memset(f->sq, 0, sizeof(f->sq));
	memset(f->cq, 0, sizeof(f->cq));
	memset(f->accept, 0, sizeof(f->accept));
	queues_point(f);
	f->flow = calloc((size_t)f->cfg.workers * f->cfg.slots, sizeof(*f->flow));
	assert_non_null(f->flow);
	f->segment_sent = false;
	f->segment_used = 0;
	f->upper = 0;
	f->listener_nr = 0;
	memset(f->listener_pollfd, -1, sizeof(f->listener_pollfd));
	for (uint32_t i = 0; i < f->cfg.workers * f->cfg.slots; i++)
		f->flow[i].pollfd = -1;
}

static void region_destroy(struct fake *f)
{
	f->attached = false;
	if (!f->flow)
		return;
	for (uint32_t i = 0; i < f->cfg.workers * f->cfg.slots; i++)
		if (f->flow[i].pollfd >= 0)
			close(f->flow[i].pollfd);
	for (uint32_t i = 0; i < FAKE_LISTENERS; i++)
		if (f->listener_pollfd[i] >= 0)
			close(f->listener_pollfd[i]);
	for (uint32_t i = 0; i < NCD_QP_NR; i++)
		if (f->cqfd[i] > 0)
			close(f->cqfd[i]);
	memset(f->cqfd, 0, sizeof(f->cqfd));
	munmap(f->own_base, f->layout.bytes);
	munmap(f->own_segment, FAKE_SEGMENT_BYTES);
	close(f->region_fd);
	close(f->segment_fd);
	free(f->flow);
	f->flow = NULL;
}

void fake_adopt(struct fake *f, uint8_t *segment0, uint8_t *segment1)
{
	pthread_mutex_lock(&f->lock);
	f->base = segment0;
	f->segment = segment1;
	queues_point(f);
	pthread_mutex_unlock(&f->lock);
}

/* ---- the control socket ---- */

static void send_with_fds(struct fake *f, const void *msg, size_t bytes, const int *fds, size_t nr)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * FAKE_FDS)] = { 0 };
	struct iovec iov = { NULL, bytes };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	char copy[sizeof(union ctl_message)];

	memcpy(copy, msg, bytes);
	iov.iov_base = copy;
	if (nr > 0) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nr);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nr);
	}
	(void)sendmsg(f->client_fd, &mh, MSG_NOSIGNAL); /* the library may be gone */
}

void fake_send_segment(struct fake *f)
{
	struct ctl_segment msg = { .head.type = CTL_SEGMENT,
				   .segment = 1,
				   .bytes = FAKE_SEGMENT_BYTES };

	if (f->segment_sent)
		return;
	f->segment_sent = true;
	send_with_fds(f, &msg, sizeof(msg), &f->segment_fd, 1);
}

void fake_found_idle(struct fake *f, struct fake_slot s, uint64_t tail)
{
	const struct ctl_head msg = { .type = CTL_IDLE };

	pthread_mutex_lock(&f->lock);
	atomic_store(&fake_shm(f, s)->tx_idle, tail);
	send_with_fds(f, &msg, sizeof(msg), NULL, 0);
	pthread_mutex_unlock(&f->lock);
}

void fake_place(struct fake *f, uint32_t worker)
{
	const struct ctl_number msg = { .head.type = CTL_PLACE, .number = worker };

	pthread_mutex_lock(&f->lock);
	send_with_fds(f, &msg, sizeof(msg), NULL, 0);
	pthread_mutex_unlock(&f->lock);
}

void fake_joint(struct fake *f, uint32_t number, uint64_t bytes, uint32_t flags, int fd)
{
	const struct ctl_segment msg = { .head.type = CTL_JOINT,
					 .segment = number,
					 .flags = flags,
					 .bytes = bytes };

	pthread_mutex_lock(&f->lock);
	send_with_fds(f, &msg, sizeof(msg), &fd, 1);
	pthread_mutex_unlock(&f->lock);
}

void fake_unjoin(struct fake *f, uint32_t number)
{
	const struct ctl_number msg = { .head.type = CTL_UNJOIN, .number = number };

	pthread_mutex_lock(&f->lock);
	send_with_fds(f, &msg, sizeof(msg), NULL, 0);
	pthread_mutex_unlock(&f->lock);
}

void fake_tell(struct fake *f, enum ctl_type type, struct fake_slot s)
{
	const struct ctl_pollfd msg = { .head.type = type, .worker = s.worker, .slot = s.slot };

	pthread_mutex_lock(&f->lock);
	send_with_fds(f, &msg, sizeof(msg), NULL, 0);
	pthread_mutex_unlock(&f->lock);
}

struct ctl_lend fake_lent(struct fake *f, uint32_t nr)
{
	struct ctl_lend msg;

	FAKE_AWAIT(fake_asked(f, CTL_LEND) == nr);
	pthread_mutex_lock(&f->lock);
	msg = f->lend;
	pthread_mutex_unlock(&f->lock);
	return msg;
}

struct ctl_reply fake_joined(struct fake *f, uint32_t nr)
{
	struct ctl_reply joined;

	FAKE_AWAIT(fake_asked(f, CTL_JOINED) == nr);
	pthread_mutex_lock(&f->lock);
	joined = f->joined;
	pthread_mutex_unlock(&f->lock);
	return joined;
}

static void welcome(struct fake *f)
{
	struct ctl_welcome msg = { .head.type = CTL_WELCOME,
				   .magic = CTL_MAGIC,
				   .version = f->cfg.version ? f->cfg.version : CTL_VERSION,
				   .workers = f->cfg.workers,
				   .segment_bytes = f->layout.bytes,
				   .addr_nr = 1 };
	struct region_shm *shm = (struct region_shm *)(void *)f->base;
	int fds[FAKE_FDS];

	msg.addr[0][10] = msg.addr[0][11] = 0xff;
	msg.addr[0][12] = 127;
	msg.addr[0][15] = 1;
	switch (f->cfg.fault) {
	case FAKE_OTHER_VERSION:
		msg.version = CTL_VERSION + 1;
		break;
	case FAKE_OTHER_MAGIC:
		msg.magic++;
		break;
	case FAKE_SHORT_REGION:
		assert_int_equal(ftruncate(f->region_fd, (off_t)(f->layout.bytes / 2)), 0);
		break;
	case FAKE_BAD_OFFSETS:
		shm->slot_off = shm->port_bytes - NCD_CACHE_LINE;
		break;
	case FAKE_BAD_WORKERS:
		msg.workers++;
		break;
	case FAKE_GOOD:
	case FAKE_REFUSES:
	case FAKE_HANGS_UP:
		break;
	}
	fds[0] = f->region_fd;
	for (uint32_t i = 0; i < f->cfg.workers; i++)
		fds[1 + i] = f->doorbell[i];
	for (uint32_t i = 0; i < f->cfg.copy_workers; i++)
		fds[1 + f->cfg.workers + i] = f->copy_doorbell[i];
	send_with_fds(f, &msg, sizeof(msg), fds, 1 + f->cfg.workers + f->cfg.copy_workers);
}

static void hello(struct fake *f)
{
	struct ctl_refused refused = { .head.type = CTL_REFUSED,
				       .error = -EMFILE,
				       .version_min = CTL_VERSION,
				       .version_max = CTL_VERSION,
				       .why = "too many of everything" };

	if (f->cfg.fault == FAKE_REFUSES)
		send_with_fds(f, &refused, sizeof(refused), NULL, 0);
	else if (f->cfg.fault != FAKE_HANGS_UP)
		welcome(f);
	if (f->cfg.fault == FAKE_REFUSES || f->cfg.fault == FAKE_HANGS_UP)
		shutdown(f->client_fd, SHUT_RDWR);
	f->attached = true;
	eventfd_write(f->wake_fd, 1); /* a pump arms the new doorbells */
}

static void take_pollfd(struct fake *f, const struct ctl_pollfd *msg, int fd)
{
	if (msg->slot & CQ_LISTENER) {
		f->listener_pollfd[msg->slot & ~CQ_LISTENER] = fd;
		return;
	}
	fake_flow(f, (struct fake_slot){ msg->worker, msg->slot })->pollfd = fd;
}

/* @end: the daemon's, or -1. */
static void take_lend(struct fake *f, const struct ctl_lend *msg, int end)
{
	f->lend = *msg;
	if (end >= 0)
		fake_flow(f, (struct fake_slot){ msg->worker, msg->slot })->pollfd = end;
}

static void answer(struct fake *f, const union ctl_message *msg, int fd)
{
	struct ctl_reply reply = { .head = { CTL_REPLY, msg->head.tag } };

	f->asked[msg->head.type]++;
	if (msg->head.type == CTL_JOINED) {
		f->joined = msg->reply;
		return;
	}
	reply.result = f->result[msg->head.type];
	if (msg->head.tag == 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (msg->head.type == CTL_BIND)
		reply.value = msg->addr.port ? msg->addr.port : 40000;
	if (msg->head.type == CTL_LISTEN) {
		f->listen = msg->addr;
		f->listen_shown = fd >= 0;
		reply.value = f->listener_nr++ % FAKE_LISTENERS;
		f->listener_port[reply.value] = msg->addr.port;
		for (uint32_t w = 0; w < f->cfg.workers; w++) {
			struct ring *r = &f->accept[w][reply.value];

			r->own = r->foreign = 0;
			atomic_store(&r->shm->tail, 0);
			atomic_store(&r->shm->head, 0);
		}
	}
	if (msg->head.type == CTL_UNLISTEN)
		f->listener_port[msg->number.number] = 0;
	if (reply.result == 0 && msg->head.type == CTL_POLLFD)
		take_pollfd(f, &msg->pollfd, fd);
	else if (reply.result == 0 && msg->head.type == CTL_CQFD)
		f->cqfd[msg->number.number] = fd;
	else if (fd >= 0)
		close(fd);
	if (reply.result == 0 &&
	    (msg->head.type == CTL_TAKE || msg->head.type == CTL_TAKE_BACK)) {
		reply.value = ctl_taken(f->take_to.worker, f->take_to.slot);
		send_with_fds(f, &reply, sizeof(reply), &f->take_end, f->take_end >= 0);
		return;
	}
	send_with_fds(f, &reply, sizeof(reply), NULL, 0);
}

/* One message of the attached library; false at its end. */
static bool message(struct fake *f)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(2 * CTL_SHARE_MAX * sizeof(int))];
	union ctl_message msg = { 0 };
	struct iovec iov = { &msg, sizeof(msg) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(f->client_fd, &mh, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	int fd = -1, end = -1;

	if (n <= 0)
		return false;
	c = CMSG_FIRSTHDR(&mh);
	if (c)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	/* Of several the rest is of no use here. */
	for (size_t at = CMSG_LEN(sizeof(int)); c && at < c->cmsg_len; at += sizeof(int)) {
		int extra;

		memcpy(&extra, (char *)c + at, sizeof(extra));
		if (msg.head.type == CTL_LEND)
			end = extra;
		else
			close(extra);
	}
	pthread_mutex_lock(&f->lock);
	if (msg.head.type == CTL_HELLO)
		hello(f);
	else if (msg.head.type == CTL_LEND)
		take_lend(f, &msg.lend, end);
	if (msg.head.type != CTL_HELLO && msg.head.type < CTL_TYPE_END)
		answer(f, &msg, fd);
	pthread_mutex_unlock(&f->lock);
	return true;
}

static void *control_run(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		pthread_mutex_lock(&f->lock);
		if (f->stopping) {
			pthread_mutex_unlock(&f->lock);
			close(fd);
			return NULL;
		}
		region_destroy(f);
		region_create(f);
		f->client_fd = fd;
		pthread_mutex_unlock(&f->lock);
		while (message(f))
			;
		pthread_mutex_lock(&f->lock);
		f->client_fd = -1;
		f->ended++;
		close(fd);
		/* What the library had posted still counts: the region stays until the next. */
		f->base = f->own_base;
		f->segment = f->own_segment;
		queues_point(f);
		pthread_mutex_unlock(&f->lock);
	}
}

struct fake *fake_start(const struct fake_config *cfg)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct fake *f = calloc(1, sizeof(*f));
	int n;

	assert_non_null(f);
	f->cfg = *cfg;
	f->cfg.workers = cfg->workers ? cfg->workers : 1;
	f->cfg.slots = cfg->slots ? cfg->slots : 64;
	f->cfg.ring_bytes = cfg->ring_bytes ? cfg->ring_bytes : 16384;
	f->client_fd = f->take_end = -1;
	pthread_mutex_init(&f->lock, NULL);
	for (uint32_t i = 0; i < f->cfg.workers; i++)
		f->doorbell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (uint32_t i = 0; i < f->cfg.copy_workers; i++)
		f->copy_doorbell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n = snprintf(f->dir, sizeof(f->dir), "/tmp/ncd-fake.XXXXXX");
	assert_true(n > 0 && mkdtemp(f->dir));
	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sock", f->dir);
	assert_true(n > 0);
	f->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(f->listen_fd, 8), 0);
	assert_int_equal(setenv("NCD_SOCKET", sun.sun_path, 1), 0);
	assert_int_equal(pthread_create(&f->control, NULL, control_run, f), 0);
	return f;
}

static bool has_ended(struct fake *f, uint32_t before)
{
	bool ended;

	pthread_mutex_lock(&f->lock);
	ended = f->ended != before;
	pthread_mutex_unlock(&f->lock);
	return ended;
}

void fake_hang_up(struct fake *f)
{
	uint32_t ended;
	bool attached;

	pthread_mutex_lock(&f->lock);
	ended = f->ended;
	attached = f->client_fd >= 0;
	/* Of our direction alone: the end of the other one says that the library knows. */
	if (attached)
		shutdown(f->client_fd, SHUT_WR);
	pthread_mutex_unlock(&f->lock);
	if (attached)
		FAKE_AWAIT(has_ended(f, ended));
}

bool fake_attached(struct fake *f)
{
	bool attached;

	pthread_mutex_lock(&f->lock);
	attached = f->client_fd >= 0;
	pthread_mutex_unlock(&f->lock);
	return attached;
}

void fake_stop(struct fake *f)
{
	char path[64];
	int n;

	if (f->pumping) {
		atomic_store(&f->pump_stop, true);
		eventfd_write(f->wake_fd, 1);
		pthread_join(f->pump, NULL);
	}
	if (f->copying) {
		atomic_store(&f->copy_stop, true);
		pthread_join(f->copier, NULL);
	}
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	pthread_mutex_unlock(&f->lock);
	shutdown(f->listen_fd, SHUT_RDWR);
	fake_hang_up(f);
	pthread_join(f->control, NULL);
	region_destroy(f);
	close(f->listen_fd);
	for (uint32_t i = 0; i < f->cfg.workers; i++)
		close(f->doorbell[i]);
	for (uint32_t i = 0; i < f->cfg.copy_workers; i++)
		close(f->copy_doorbell[i]);
	close(f->wake_fd);
	n = snprintf(path, sizeof(path), "%s/sock", f->dir);
	assert_true(n > 0);
	unlink(path);
	rmdir(f->dir);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void fake_answer(struct fake *f, enum ctl_type type, int result)
{
	pthread_mutex_lock(&f->lock);
	f->result[type] = result;
	pthread_mutex_unlock(&f->lock);
}

struct ctl_addr fake_listen(struct fake *f, bool *ret_shown)
{
	struct ctl_addr msg;

	pthread_mutex_lock(&f->lock);
	msg = f->listen;
	*ret_shown = f->listen_shown;
	pthread_mutex_unlock(&f->lock);
	return msg;
}

uint32_t fake_asked(struct fake *f, enum ctl_type type)
{
	uint32_t nr;

	pthread_mutex_lock(&f->lock);
	nr = f->asked[type];
	pthread_mutex_unlock(&f->lock);
	return nr;
}
