/* SPDX-License-Identifier: MIT */
/*
 * pipe.h - one direction of a simulated connection: bytes in order, later, no faster than its
 * bandwidth, never more under way than its buffer.
 *
 * Ownership: init and fini by the connection.
 */
#ifndef SIM_PIPE_H
#define SIM_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes that arrive together. */
struct pipe_chunk {
	uint64_t arrive_ns;
	size_t bytes;
};

/* Bytes under way that are still read from where they were sent from, as pages of a file are. */
struct pipe_ref {
	uint64_t at; /* counted from the pipe's first byte ever */
	size_t bytes;
	const uint8_t *from;
};

struct pipe {
	uint8_t *buf;
	size_t size, head, used; /* a ring of bytes */
	uint64_t taken;          /* ever read; at head */
	struct pipe_ref *ref;    /* oldest first */
	uint32_t ref_nr, ref_room;
	struct pipe_chunk *chunk;
	uint32_t chunk_room, chunk_first, chunk_nr; /* a ring of chunks */
	uint64_t free_ns;    /* when the line is idle again */
	uint64_t ns_per_mib; /* of bandwidth */
	bool cut;            /* takes bytes and loses them */
};

void pipe_init(struct pipe *p, size_t size, uint64_t bytes_per_s);
void pipe_fini(struct pipe *p);
size_t pipe_room(const struct pipe *p);
/* Takes up to @max bytes of the iovecs; returns how many, *ret_arrive_ns when they will arrive. */
size_t pipe_write(struct pipe *p, const struct iovec *iov, int iov_nr, size_t max, uint64_t now_ns,
		  uint64_t delay_ns, uint64_t *ret_arrive_ns);
/* Of the last @back bytes written the first (@bytes at most) are those at @from, whatever will be
 * there when they are read. */
void pipe_refer(struct pipe *p, const uint8_t *from, size_t back, size_t bytes);
/* [from, from + bytes) is given back: what refers to it stays as it is if @keep, else spoils. */
void pipe_settle(struct pipe *p, const uint8_t *from, size_t bytes, bool keep);
/* Bytes that have arrived. */
size_t pipe_ready(const struct pipe *p, uint64_t now_ns);
/* When the next bytes arrive; UINT64_MAX if none are under way. */
uint64_t pipe_next_ns(const struct pipe *p);
/* Takes @bytes (no more than are ready) to the iovecs. */
void pipe_read(struct pipe *p, const struct iovec *iov, int iov_nr, size_t bytes);
/* What is under way behind the first @bytes comes so much later. */
void pipe_delay(struct pipe *p, size_t bytes, uint64_t ns);
/* The connection was reset: the first @keep bytes still arrive, nothing else does. */
void pipe_cut(struct pipe *p, size_t keep);

#endif /* SIM_PIPE_H */
