/* SPDX-License-Identifier: MIT */
/*
 * attach.h - the attachment of this process to a daemon: its region, ports and control connection.
 *
 * Ownership: reference counted. The process, each virtual socket, each completion queue and the
 *   watcher thread hold one reference; the last one unmaps and closes everything.
 * Threading: any thread; fields say which lock. The watcher thread alone receives on ctl_fd.
 * Trust: the daemon is trusted, but for version, sizes and offsets, which are checked once, before
 *   the first use, against the length of what is mapped.
 *
 * Ordering:
 *   DEAD     watcher sets dead (seq_cst), then moves and wakes every word that a thread may sleep
 *            on; a thread names its word (seq_cst), looks at dead (seq_cst), then sleeps.
 *   SEGMENT  watcher stores a segment's base (release) -> users load it (acquire): it is mapped.
 *   JOINT    watcher clears a joint's base, later stores its next number (release) -> users load
 *            the number (acquire): the base behind it is that number's, or not there yet.
 */
#ifndef NC_ATTACH_H
#define NC_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ncd/ctl_proto.h"
#include "ncd/doorbell.h"
#include "ncd/ring.h"
#include "ncd/shm_abi.h"

#include "handover.h"
#include "lock.h"

struct nc_sock;
struct copier;
struct attachment;

/* Where this process meets one worker. */
struct app_port {
	/* Set when attaching, then constant. */
	struct attachment *att;
	uint32_t worker;
	int doorbell_fd;
	_Atomic uint32_t *need_wakeup, *give_way;
	struct slot_shm *slot;
	_Atomic(struct nc_sock *) *owner; /* by slot number, for completions */

	/* Submission queue of queue pair 0, used by all threads. */
	alignas(NCD_CACHE_LINE) struct lock sq_lock;
	struct ring sq;
	struct handover handover;
	_Atomic bool owed; /* a wake that was held back; batch_pay */

	/* Lower slots: given out first `fresh` up, then first in first out. */
	alignas(NCD_CACHE_LINE) struct lock slot_lock;
	uint32_t fresh;
	uint32_t fifo_head, fifo_nr;
	uint32_t *fifo; /* slots / 2 entries */
};

/* A queue pair of a completion queue; see cq.c. Never freed before the attachment. */
struct nc_cq {
	struct attachment *att;
	uint32_t qp;
	bool used; /* attachment.cq_lock */
	bool weak; /* of a thread's polls (poll_queue.h): another queue may have its members */
	struct qp_shm *shm;
	struct lock lock;       /* all below */
	struct nc_sock *member; /* doubly linked, by cq_next and cq_prev */
	struct nc_sock *ready;  /* singly linked, by ready_next: to report without a word */
	struct nc_sock **ready_end;
	bool asleep; /* weak: its thread is */
	struct ring *ring; /* one for each worker */
	uint32_t turn;     /* worker to begin with */
	_Atomic uint32_t ready_nr;
	_Atomic uint32_t sleepers; /* threads in the kernel's epoll */
	uint32_t tokens;           /* at most so many bytes are in fd */
	_Atomic int fd;      /* for the application to poll, or -1 */
	_Atomic int fd_peer; /* its other end; set before fd */
};

struct segment {
	_Atomic(uint8_t *) base; /* SEGMENT */
	uint64_t bytes;
	bool huge; /* its large rings are to be in huge pages */
	_Atomic uint32_t number; /* of a joined ring: JOINT; set before base */
};

struct attachment {
	_Atomic uint32_t refs;
	_Atomic bool dead;    /* DEAD */
	_Atomic bool leaving; /* the daemon said so; new sockets attach elsewhere once it is gone */
	int ctl_fd;
	bool says_joined; /* the daemon waits for JOINED */
	bool says_away;   /* the daemon knows AWAY */
	int spare_fd; /* watcher: given up to receive one when the program has no more; or -1 */
	_Atomic uint32_t default_worker; /* PLACE changes it */
	uint32_t addr_nr;
	uint8_t addr[8][16];
	struct region_shm layout; /* private copy, checked */
	uint64_t port_nr;         /* layout.workers */
	struct app_port *port;
	struct listener_shm *listener;
	struct copier *copier; /* copy.h; NULL: no copy workers */
	struct segment segment[NCD_SEGMENTS_MAX];
	struct segment joint[NCD_JOINTS_MAX]; /* by joint_index() */
	_Atomic uint32_t segment_seq; /* ++ per arrival; a private futex */

	struct lock cq_lock; /* who is in which queue; before cq.lock */
	struct nc_cq cq[NCD_QP_NR];
	_Atomic(struct nc_sock *) *listener_owner; /* by listener number, for completions */

	/* Requests on the control socket that wait for their REPLY. */
	struct lock ctl_lock;
	struct ctl_request *request;
	uint32_t tag;
};

/*
 * Attaches to the daemon at @path. Returns 0, or a negative errno as ncclient.h lists them, with
 * one line for the user in @why; -ETIMEDOUT: ncd does not answer. Blocks, for @limit_ms at each of
 * two steps.
 */
int attachment_create(const char *path, uint32_t limit_ms, char *why, size_t why_bytes,
		      struct attachment **ret_attachment);
void attachment_get(struct attachment *att);
void attachment_put(struct attachment *att);
/* Of sockets that have none: alive, and good for nothing. */
struct attachment *attachment_nowhere(void);

/* Starts the thread that receives on the control socket. -EAGAIN, -ENOMEM. */
int watcher_start(struct attachment *att);

/* ---- segment.c ---- */

/* Maps @bytes of @fd, whose real size it checks: an access behind the end would be SIGBUS. @flags:
 * SEGMENT_*. The descriptor stays the caller's. -EPROTO, or as mmap(2). */
int segment_map(int fd, uint64_t bytes, uint32_t flags, struct segment *ret_segment);
/* Watcher: maps segment @nr from @fd, which stays the caller's. -EPROTO, -ENOMEM. */
int attachment_segment_add(struct attachment *att, const struct ctl_segment *msg, int fd);
/* Watcher: the same of a joined ring. It has been left by all, or was not to be had. */
int attachment_joint_add(struct attachment *att, const struct ctl_segment *msg, int fd);
int attachment_joint_remove(struct attachment *att, uint32_t number);
/* Base and size of ring memory @nr, which may be a joined ring; waits for its arrival. -ECONNRESET,
 * -EPROTO (absurd number). */
int attachment_segment(struct attachment *att, uint32_t nr, struct segment **ret_segment);

/* ---- control.c ---- */

struct ctl_request {
	struct ctl_request *next;
	uint32_t tag;
	int32_t result;
	uint32_t value;
	int fd; /* that came along, or -1 */
	_Atomic uint32_t done; /* a private futex */
};

/* Sends @msg with @fd_nr descriptors; on the socket of an attachment with its ctl_lock held, for
 * questions must not overtake tags. @flags: MSG_*. -EMFILE, -ECONNRESET. */
int control_send(int ctl_fd, void *msg, size_t bytes, const int *fds, uint32_t fd_nr, int flags);
/*
 * Asks the daemon: fills in the tag of @msg, passes @fd along if it is not -1, waits for the REPLY.
 * Returns its result, with REPLY.value through @ret_value (or NULL); -ECONNRESET if the daemon is
 * gone.
 */
int control_ask(struct attachment *att, void *msg, size_t bytes, int fd, uint32_t *ret_value);
/* The same with @fd_nr descriptors; one that comes with the answer is the caller's, through @ret_fd
 * (or NULL: none is expected). */
int control_ask_fds(struct attachment *att, void *msg, size_t bytes, const int *fds, uint32_t fd_nr,
		    uint32_t *ret_value, int *ret_fd);
/* Watcher: a REPLY arrived, with @fd or -1; false if nobody asked, or not for that. */
bool control_answer(struct attachment *att, const struct ctl_reply *reply, int fd);
/* Watcher: nobody will answer any more. */
void control_fail(struct attachment *att);

static inline bool attachment_dead(struct attachment *att)
{
	/* DEAD, looking end. */
	return atomic_load_explicit(&att->dead, memory_order_seq_cst);
}

#endif /* NC_ATTACH_H */
