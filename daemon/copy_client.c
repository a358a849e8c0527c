/* SPDX-License-Identifier: MIT */
/*
 * copy_client.c - an application's memory as copy workers reach it.
 */
#include "copy_client.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "privilege.h"

#define NOWHERE 8u /* an address at which no program has memory */

/*
 * By syscall(2): ThreadSanitizer would see a ring written here and read by a worker, or the other
 * way round, and not the application in its own process, which orders the two.
 */
static ssize_t vm_copy(pid_t pid, uint32_t way, uint8_t *ring, uint64_t address, size_t bytes)
{
	struct iovec local = { .iov_base = ring, .iov_len = bytes };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = bytes };

	return syscall(way == COPY_IN ? SYS_process_vm_readv : SYS_process_vm_writev, pid, &local,
		       1ul, &remote, 1ul, 0ul);
}

/*
 * /proc/PID/mem: nothing is read by it but whether the program is there still. To open it takes
 * CAP_SYS_PTRACE in effect if the program has all of root's capabilities, other than to copy.
 */
static int mem_open(pid_t pid)
{
	char path[32];
	int fd, r;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	(void)privilege_ptrace(true); /* without it more is refused */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = errno == ENOENT ? -ESRCH : -errno;
	/* To give up what one has cannot fail. */
	r = privilege_ptrace(false);
	assert(r == 0);
	return fd;
}

int copy_memory_open(pid_t pid, int *ret_mem_fd)
{
	uint8_t byte;
	int fd, r;

	/* In a namespace that we do not see into it has no number. */
	if (pid <= 0)
		return -ESRCH;
	fd = mem_open(pid);
	if (fd < 0)
		return fd;
	/* The question is asked before the address is looked at: EFAULT is a yes. */
	if (vm_copy(pid, COPY_IN, &byte, NOWHERE, 1) < 0 && errno != EFAULT) {
		r = -errno;
		(void)close(fd); /* was not even read */
		return r;
	}
	*ret_mem_fd = fd;
	return 0;
}

int copy_client_create(struct client *client, pid_t pid, int mem_fd, uint8_t *segment0,
		       const struct region_shm *layout, struct copy_client **ret_client)
{
	struct copy_client *c = calloc(1, sizeof(*c));
	uint8_t *area = segment0 + layout->copy_off;
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->client = client;
	c->pid = pid;
	c->mem_fd = -1;
	c->piece = copy_area_pieces(area);
	atomic_init(&c->segment_nr, 1);
	for (uint32_t i = 0; i < layout->copy_workers; i++) {
		struct copy_queue *q = &c->queue[i];

		q->shm = copy_area_queue(area, i);
		ring_init(&q->ring, q->shm->ring, NCD_COPY_PIECES);
		q->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->doorbell_fd < 0) {
			r = -errno;
			goto err_destroy;
		}
		c->queue_nr++;
		/* Nobody looks yet: what is posted from now on rings. */
		atomic_store_explicit(&q->shm->need_wakeup, 1, memory_order_relaxed);
	}
	c->mem_fd = mem_fd;
	*ret_client = c;
	return 0;

err_destroy:
	copy_client_destroy(c);
	return r;
}

void copy_client_destroy(struct copy_client *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->queue_nr; i++)
		(void)close(c->queue[i].doorbell_fd); /* a counter */
	if (c->mem_fd >= 0)
		(void)close(c->mem_fd); /* was only read */
	free(c);
}

void copy_client_segment(struct copy_client *c, uint8_t *base, uint64_t bytes)
{
	/* Relaxed: control alone writes it. */
	uint32_t nr = atomic_load_explicit(&c->segment_nr, memory_order_relaxed);

	if (nr >= NCD_SEGMENTS_MAX)
		return;
	c->segment[nr].base = base;
	c->segment[nr].bytes = bytes;
	/* SEGMENTS, control's end. */
	atomic_store_explicit(&c->segment_nr, nr + 1, memory_order_release);
}

int copy_job_check(struct copy_client *c, const struct copy_job *job, uint8_t **ret_ring)
{
	/* SEGMENTS, copy worker's end. */
	uint32_t nr = atomic_load_explicit(&c->segment_nr, memory_order_acquire);
	uint64_t room;

	if (job->way != COPY_IN && job->way != COPY_OUT)
		return -EPROTO;
	if (job->bytes == 0 || job->bytes > NCD_COPY_PIECE_MAX)
		return -EPROTO;
	/* Segment 0 holds no rings. */
	if (job->segment == 0 || job->segment >= nr)
		return -EPROTO;
	room = c->segment[job->segment].bytes;
	if (job->off > room || job->bytes > room - job->off)
		return -EPROTO;
	/* Whether there is memory at the address is the kernel's to say. */
	if (job->address > INT64_MAX - (uint64_t)job->bytes)
		return -EPROTO;
	*ret_ring = c->segment[job->segment].base + job->off;
	return 0;
}

/*
 * False if the program that attached is no more: it ended, or became another (exec). A number is
 * given to another process only long after, so what is left is an exec at this very moment.
 */
static bool memory_alive(const struct copy_client *c, uint64_t address)
{
	uint8_t byte;

	/* 0 says that it has gone, EIO that nothing is at that address of it. */
	return pread(c->mem_fd, &byte, 1, (off_t)address) != 0;
}

int copy_job_run(const struct copy_client *c, const struct copy_job *job, uint8_t *ring,
		 uint32_t *ret_copied)
{
	uint32_t copied = 0;
	int r = 0;

	if (!memory_alive(c, job->address))
		r = -ESRCH;
	while (r == 0 && copied < job->bytes) {
		ssize_t n = vm_copy(c->pid, job->way, ring + copied, job->address + copied,
				    job->bytes - copied);

		if (n > 0)
			copied += (uint32_t)n;
		else
			r = n < 0 ? -errno : -EFAULT;
	}
	*ret_copied = copied;
	return r;
}
