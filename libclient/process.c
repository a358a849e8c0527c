/* SPDX-License-Identifier: MIT */
/*
 * process.c - the attachment and the socket table of this process.
 *
 * The table is an array of chunks that never move and are never freed: a number is an index, found
 * without a lock. Numbers are given out last in first out.
 *
 * Ordering:
 *   CHUNK  table lock held: chunk zeroed, then its pointer stored (release) -> sock_find loads it
 *          (acquire): its locks and phases are valid.
 */
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "left.h"
#include "ncclient.h"
#include "sock_calls.h"

#define CHUNK_SOCKETS 256u
#define CHUNKS        (NCD_SOCKETS_MAX / CHUNK_SOCKETS)
#define DEFAULT_PATH  "/run/ncd/ncd.sock"

#define ATTACH_MS 10000 /* a loaded machine may be slow */
#define HURRY_MS  1500
#define HUNG_NS   10000000000u /* by then systemd has killed it */

struct process {
	struct lock attach_lock;
	struct attachment *current; /* attach_lock */
	struct attachment *parents; /* of a forked child: what it must not use */
	char why[192];              /* attach_lock: the last failure */
	char path[PROCESS_PATH_BYTES]; /* attach_lock: where it last attached, or is to */
	bool says_away;             /* attach_lock: of the daemon there */
	uint64_t hung_until_ns;     /* attach_lock: ncd did not answer just now */
	bool hurry;                 /* constant once the program runs */
	void (*lost)(void);         /* as hurry; NULL: nothing */

	struct lock table_lock;
	struct nc_sock *free;
	uint32_t chunk_nr;
	_Atomic(struct nc_sock *) chunk[CHUNKS];
};

/* Global: why: socket numbers are the process's, as descriptors are, and so is what they name. */
static struct process self;

/* A server may empty its environment before it, or a child, needs it: then where it was before. */
static const char *attach_path(void)
{
	const char *path = getenv("NCD_SOCKET");

	if (path && *path)
		return path;
	return self.path[0] ? self.path : DEFAULT_PATH;
}

/* With the attach lock held. */
static int attach_anew(bool hurry)
{
	const char *path = attach_path();
	int ret;

	if (hurry && clock_now_ns() < self.hung_until_ns)
		return -ETIMEDOUT;
	ret = attachment_create(path, hurry ? HURRY_MS : ATTACH_MS, self.why, sizeof(self.why),
				&self.current);
	self.hung_until_ns = ret == -ETIMEDOUT ? clock_now_ns() + HUNG_NS : 0;
	if (ret < 0)
		return ret;
	left_join(self.current);
	self.says_away = self.current->says_away;
	if (path != self.path)
		(void)snprintf(self.path, sizeof(self.path), "%s", path); /* it fitted */
	return 0;
}

static int attach(bool hurry, struct attachment **ret_attachment)
{
	int ret = 0;

	process_hooks();
	lock_take(&self.attach_lock);
	if (self.current && attachment_dead(self.current)) {
		attachment_put(self.current);
		self.current = NULL;
	}
	if (!self.current)
		ret = attach_anew(hurry);
	if (ret == 0) {
		self.why[0] = '\0';
		attachment_get(self.current);
		*ret_attachment = self.current;
	}
	lock_release(&self.attach_lock);
	return ret;
}

int process_attach(struct attachment **ret_attachment)
{
	return attach(false, ret_attachment);
}

int process_attach_new(struct attachment **ret_attachment)
{
	return attach(self.hurry, ret_attachment);
}

bool process_away_path(char path[PROCESS_PATH_BYTES])
{
	bool away;

	if (!lock_try(&self.attach_lock))
		return false;
	away = self.says_away && self.path[0];
	memcpy(path, self.path, PROCESS_PATH_BYTES);
	lock_release(&self.attach_lock);
	return away;
}

void process_begin(void)
{
	const char *path = getenv("NCD_SOCKET");

	if (path && strlen(path) < sizeof(self.path))
		memcpy(self.path, path, strlen(path) + 1);
}

void process_hurry(void)
{
	self.hurry = true;
}

void process_when_lost(void (*what)(void))
{
	self.lost = what;
}

void process_lost(void)
{
	if (self.lost)
		self.lost();
}

size_t nc_attach_why(char *buf, size_t len)
{
	size_t n;

	lock_take(&self.attach_lock);
	n = strlen(self.why);
	if (len > 0)
		(void)snprintf(buf, len, "%s", self.why); /* cut as the caller wants */
	lock_release(&self.attach_lock);
	return n;
}

struct nc_sock *sock_find(int number)
{
	uint32_t index = (uint32_t)number - (uint32_t)NC_SOCKET_BASE;
	struct nc_sock *chunk;

	if (index >= NCD_SOCKETS_MAX)
		return NULL;
	/* CHUNK, reading end. */
	chunk = atomic_load_explicit(&self.chunk[index / CHUNK_SOCKETS], memory_order_acquire);
	return chunk ? &chunk[index % CHUNK_SOCKETS] : NULL;
}

struct nc_sock *sock_find_locked(int number)
{
	struct nc_sock *s = sock_find(number);

	if (!s)
		return NULL;
	lock_take(&s->lock);
	if (sock_open(s))
		return s;
	lock_release(&s->lock);
	return NULL;
}

/* All numbers of chunk @nr are free. With the table lock held. */
static void chunk_init(struct nc_sock *chunk, uint32_t nr)
{
	memset(chunk, 0, CHUNK_SOCKETS * sizeof(*chunk));
	for (uint32_t i = CHUNK_SOCKETS; i-- > 0;) {
		chunk[i].number = NC_SOCKET_BASE + (int)(nr * CHUNK_SOCKETS + i);
		chunk[i].next_free = self.free;
		self.free = &chunk[i];
	}
}

/* With the table lock held. */
static int table_grow(void)
{
	uint32_t nr = self.chunk_nr;
	struct nc_sock *chunk;

	if (nr == CHUNKS)
		return -EMFILE;
	chunk = aligned_alloc(alignof(struct nc_sock), CHUNK_SOCKETS * sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	chunk_init(chunk, nr);
	self.chunk_nr++;
	/* CHUNK, writing end. */
	atomic_store_explicit(&self.chunk[nr], chunk, memory_order_release);
	return 0;
}

/* Everything but locks, number and links as for a new socket. With the table lock held; the phase
 * is FREE, so nobody else looks at the rest. */
static void sock_reset(struct nc_sock *s, struct attachment *att, int domain)
{
	s->domain = domain;
	s->att = att;
	s->closing = false;
	s->nonblock = false;
	s->error_taken = false;
	s->shared = s->lent = false;
	s->cq_events = 0;
	s->pollfd = s->pollfd_peer = -1;
	s->pollfd_joined = s->pollfd_given = false;
	s->pollfd_plain = false;
	s->watchers = 0;
	s->recv_timeout_ns = s->send_timeout_ns = 0;
	s->port = NULL;
	s->slot_nr = 0;
	s->deferred = false;
	s->slot = NULL;
	s->seq = NULL;
	s->tx.shut = s->rx.shut = false;
	s->tx.base = s->tx.view = s->rx.base = s->rx.view = s->rx.old_view = NULL;
	s->tx.bytes = s->rx.bytes = 0;
	s->tx.taken = s->rx.given = s->rx.taken = 0;
	s->tx.head_seen = s->tx.origin = s->tx.reserved = 0;
	s->tx.raised = false;
	s->rx.tail_seen = s->rx.origin = s->rx.told = 0;
	s->rx.armed = s->rx.peeked = false;
	s->rx.due = 0;
	s->rx.end_shown = false;
	s->bound = s->port_held = s->connect_told = false;
	s->beside = false;
	s->reuseaddr = s->reuseport = s->keepalive = s->nodelay = false;
	s->quickack = s->cork = s->fastopen = s->linger = false;
	s->class = NC_CLASS_AUTO;
	s->priority = 0;
	s->maxseg = 0;
	s->linger_s = 0;
	s->tx_want = s->rx_want = 0;
	memset(&s->local, 0, sizeof(s->local));
	memset(&s->remote, 0, sizeof(s->remote));
	s->acceptor = NULL;
	s->cq = NULL;
	s->ready_queued = false;
}

int sock_create(struct attachment *att, int domain, struct nc_sock **ret_sock)
{
	struct nc_sock *s;
	int ret = 0;

	lock_take(&self.table_lock);
	if (!self.free)
		ret = table_grow();
	if (ret == 0) {
		s = self.free;
		self.free = s->next_free;
		/* A late caller with the old number may hold one of the locks for a moment. */
		lock_take(&s->tx.lock);
		lock_take(&s->rx.lock);
		lock_take(&s->lock);
		attachment_get(att);
		sock_reset(s, att, domain);
		sock_set_phase(s, PHASE_NEW);
		lock_release(&s->lock);
		lock_release(&s->rx.lock);
		lock_release(&s->tx.lock);
		*ret_sock = s;
	}
	lock_release(&self.table_lock);
	return ret;
}

void sock_destroy(struct nc_sock *s)
{
	struct attachment *att = s->att;

	lock_take(&self.table_lock);
	pollfd_close(s);
	s->seq = NULL;
	s->att = NULL;
	sock_set_phase(s, PHASE_FREE);
	s->next_free = self.free;
	self.free = s;
	lock_release(&self.table_lock);
	attachment_put(att);
}

void process_table_lock(void)
{
	lock_take(&self.table_lock);
}

void process_table_unlock(void)
{
	lock_release(&self.table_lock);
}

void process_each_socket(void (*visit)(struct nc_sock *s, void *arg), void (*rest)(void *arg),
			 void *arg)
{
	lock_take(&self.table_lock);
	for (uint32_t i = 0; i < self.chunk_nr; i++) {
		struct nc_sock *chunk = self.chunk[i];

		for (uint32_t k = 0; k < CHUNK_SOCKETS; k++)
			if (sock_phase(&chunk[k]) != PHASE_FREE)
				visit(&chunk[k], arg);
	}
	if (rest)
		rest(arg);
	lock_release(&self.table_lock);
}

static void sock_wake_dead(struct nc_sock *s, void *arg)
{
	_Atomic uint32_t *seq;

	if (s->att != arg)
		return;
	/* DEAD, setting end: a thread that names its word later looks at dead behind that. */
	seq = atomic_load_explicit(&s->seq, memory_order_seq_cst);
	if (seq) {
		/* DEAD, setting end. The daemon writes this word no more. */
		atomic_fetch_add_explicit(seq, 1, memory_order_seq_cst);
		futex_wake_shared(seq);
	}
	/* Who waits at the kernel's listener too goes on waiting. */
	if (s->pollfd < 0 || flag_get(&s->beside))
		return;
	/* Relaxed: the table lock orders it for who closes. */
	atomic_store_explicit(&s->pollfd_plain, false, memory_order_relaxed);
	(void)shutdown(s->pollfd, SHUT_RDWR); /* hung up, if it was not already */
}

void process_wake_sockets(struct attachment *att)
{
	process_each_socket(sock_wake_dead, NULL, att);
}

/* Here, and not in exit.c, because a static link takes only files that somebody calls. */
__attribute__((destructor)) static void process_end(void)
{
	exit_close_sockets();
}

static void sock_forget(struct nc_sock *s, void (*close_socket)(struct nc_sock *s))
{
	int number = s->number;

	if (sock_phase(s) != PHASE_FREE) {
		if (share_keeps(s)) {
			share_leave_parent(s);
			attachment_get(s->att);
			return;
		}
		close_socket(s);
	}
	memset(s, 0, sizeof(*s));
	s->number = number;
	s->next_free = self.free;
	self.free = s;
}

void process_forget(void (*close_socket)(struct nc_sock *s),
		    void (*close_attachment)(struct attachment *att))
{
	struct lock none = { 0 };

	self.attach_lock = none;
	self.table_lock = none;
	self.free = NULL;
	for (uint32_t i = 0; i < self.chunk_nr; i++) {
		struct nc_sock *chunk = self.chunk[i];

		/* Another thread of the parent was just about to store it. */
		if (!chunk) {
			self.chunk_nr = i;
			break;
		}
		for (uint32_t k = CHUNK_SOCKETS; k-- > 0;)
			sock_forget(&chunk[k], close_socket);
	}
	if (self.current)
		close_attachment(self.current);
	/* It stays allocated: in its locks, threads may be that this process does not have. */
	self.parents = self.current;
	self.current = NULL;
}
