/* SPDX-License-Identifier: MIT */
/*
 * copy_rig.h - an application in a process of its own, and its region as the daemon sees it, for
 * the tests of copy workers.
 */
#ifndef NCD_COPY_RIG_H
#define NCD_COPY_RIG_H

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ncd_test.h"

#include "copy_client.h"
#include "region.h"

#define RIG_BYTES   (1u << 20) /* of the application's private buffer; its last page is a hole */
#define RIG_SEGMENT (4u << 20)
#define RIG_HOLE    (RIG_BYTES - NCD_PAGE)

struct rig {
	pid_t pid;
	int go_fd;      /* a byte: the application fills its buffer with it; closed: it ends */
	int done_fd;    /* the byte comes back */
	uint8_t *buf;   /* at the same address here, private to each */
	struct region_shm layout;
	struct region_map segment0, segment;
	struct copy_client *client;
};

static inline uint8_t rig_byte(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + 3);
}

/* The application: buf[] is a pattern; each byte that comes is taken for a question: is all of it
 * what a copy worker should have written? */
static inline void rig_application(int in, int out, uint8_t *buf)
{
	char byte;

	for (size_t i = 0; i < RIG_HOLE; i++)
		buf[i] = rig_byte(i);
	(void)munmap(buf + RIG_HOLE, NCD_PAGE);
	byte = 'r';
	while (write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1) {
		bool same = true;

		for (size_t i = 0; i < RIG_HOLE; i++)
			same &= (buf[i] ^ rig_byte(i)) == 0xff;
		byte = same ? 'y' : 'n';
	}
	_exit(0);
}

static inline char rig_answer(struct rig *r)
{
	char byte = 0;

	assert_int_equal(read(r->done_fd, &byte, 1), 1);
	return byte;
}

/* True if the application's buffer has become the inverse of what it was. */
static inline bool rig_inverted(struct rig *r)
{
	char byte = '?';

	assert_int_equal(write(r->go_fd, &byte, 1), 1);
	return rig_answer(r) == 'y';
}

static inline void rig_fork(struct rig *r)
{
	int in[2], out[2];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		close(in[1]);
		close(out[0]);
		rig_application(in[0], out[1], r->buf);
	}
	close(in[0]);
	close(out[1]);
	r->go_fd = in[1];
	r->done_fd = out[0];
	assert_int_equal(rig_answer(r), 'r');
}

static inline struct rig *rig_create(uint32_t copy_workers)
{
	struct rig *r = calloc(1, sizeof(*r));
	int mem_fd = -1;

	assert_non_null(r);
	r->buf = mmap(NULL, RIG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(r->buf != MAP_FAILED);
	assert_int_equal(region_create(1, 64, copy_workers, &r->layout, &r->segment0), 0);
	assert_int_equal(region_map_create("rig", RIG_SEGMENT, &r->segment), 0);
	rig_fork(r);
	if (copy_memory_open(r->pid, &mem_fd) < 0)
		skip(); /* a sandbox, or Yama */
	assert_int_equal(copy_client_create(NULL, r->pid, mem_fd, r->segment0.base, &r->layout,
					    &r->client),
			 0);
	copy_client_segment(r->client, r->segment.base, RIG_SEGMENT);
	return r;
}

static inline void rig_kill(struct rig *r)
{
	if (r->pid <= 0)
		return;
	assert_int_equal(kill(r->pid, SIGKILL), 0);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	r->pid = 0;
}

static inline void rig_destroy(struct rig *r)
{
	rig_kill(r);
	close(r->go_fd);
	close(r->done_fd);
	copy_client_destroy(r->client);
	region_unmap(&r->segment0);
	region_unmap(&r->segment);
	(void)munmap(r->buf, RIG_BYTES);
	free(r);
}

static inline uint64_t rig_address(const struct rig *r, size_t at)
{
	return (uint64_t)(uintptr_t)r->buf + at;
}

#endif /* NCD_COPY_RIG_H */
