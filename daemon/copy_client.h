/* SPDX-License-Identifier: MIT */
/*
 * copy_client.h - an application as copy workers see it: its memory, its segments, its queues, and
 * how one of its pieces is checked and copied.
 *
 * A copy worker knows nothing of slots, streams and arenas, and so cannot race with the worker that
 * owns them: what it is asked to write lies in the segments of the application that asks, which may
 * write there itself at any time. Order and meaning are made by the library, which publishes
 * tx_tail and rx_head when the pieces before are copied, under the lock that also keeps the ring
 * from being exchanged.
 *
 * Whose memory is touched is for the kernel to decide, at each copy, by the credentials of the
 * daemon alone (see privilege.h): the application's user must be the daemon's own, and what the
 * application has become meanwhile (a setuid program, another process with its number) is refused.
 *
 * Ownership: control creates it with the client and destroys it when no copy worker holds it.
 *   Segments are mapped as long as it lives.
 * Threading: create, segment and destroy: control. A queue is its copy worker's. The rest is
 *   constant.
 * Trust: pid is the kernel's word; all else that is read from the region is the application's.
 *
 * Ordering:
 *   SEGMENTS  control fills segment[], stores segment_nr (release) -> copy worker loads it
 *             (acquire): the segments below are there.
 */
#ifndef NCD_COPY_CLIENT_H
#define NCD_COPY_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ncd/copy_abi.h"
#include "ncd/shm_abi.h"

struct client;

struct copy_queue {
	struct copy_queue_shm *shm;
	struct ring ring;
	int doorbell_fd; /* eventfd; it wakes the copy worker */
};

struct copy_client {
	/* set at create, then const */
	struct client *client; /* control's */
	uint32_t index;        /* in the table of copy_workers.h */
	pid_t pid;
	int mem_fd; /* /proc/PID/mem: of the program that attached, and of no other after it */
	struct copy_piece_shm *piece;
	uint32_t queue_nr;
	struct copy_queue queue[NCD_COPY_WORKERS_MAX];
	/* control */
	struct {
		uint8_t *base;
		uint64_t bytes;
	} segment[NCD_SEGMENTS_MAX];
	_Atomic uint32_t segment_nr; /* SEGMENTS: one beyond the last */
	/* copy workers: why it must be detached; static text */
	_Atomic(const char *) bad;
};

/* One piece, fetched. */
struct copy_job {
	uint32_t way, segment, bytes;
	uint64_t off, address;
};

/*
 * Whether copy workers may reach the memory of process @pid, and *ret_mem_fd for it. 0; -EPERM,
 * -EACCES: the kernel says no (another user, not dumpable, Yama, a container); -ESRCH, -ENOSYS.
 */
int copy_memory_open(pid_t pid, int *ret_mem_fd);

/*
 * For a client whose segment 0 is @segment0, laid out by @layout with copy_workers > 0; takes
 * @mem_fd over on success. -ENOMEM, -EMFILE.
 */
int copy_client_create(struct client *client, pid_t pid, int mem_fd, uint8_t *segment0,
		       const struct region_shm *layout, struct copy_client **ret_client);
/* No copy worker holds it. NULL is allowed. */
void copy_client_destroy(struct copy_client *c);
/* The next segment: number 1, 2, ... */
void copy_client_segment(struct copy_client *c, uint8_t *base, uint64_t bytes);

/* Where in the ring memory of @c the bytes of @job are; -EPROTO: nowhere, it lies. */
int copy_job_check(struct copy_client *c, const struct copy_job *job, uint8_t **ret_ring);
/*
 * Copies; *ret_copied bytes from the start are where they belong, in any case. 0: all; -EFAULT: the
 * next byte is not the application's to read or write; -ESRCH: the program that asked is no more;
 * else as copy_memory_open. Waits for nothing but the application's own page faults.
 */
int copy_job_run(const struct copy_client *c, const struct copy_job *job, uint8_t *ring,
		 uint32_t *ret_copied);

#endif /* NCD_COPY_CLIENT_H */
