/* SPDX-License-Identifier: MIT */
/*
 * copy.c - sendfile and splice with a virtual socket at one end: between the file and the ring.
 */
#include <signal.h>

#include "file.h"
#include "ncclient.h"
#include "real.h"

/* Bytes of @in, from *offset if there is one, into the ring. As sendfile: short at its end. */
static ssize_t ring_fill(struct file *f, int in, off_t *offset, size_t len, int flags)
{
	void *room = NULL;
	ssize_t n = nc_reserve(file_nc(f), len, &room, flags);

	if (n < 0)
		return n;
	n = offset ? pread(in, room, (size_t)n, *offset) : real()->read(in, room, (size_t)n);
	if (n < 0)
		n = -errno;
	if (n > 0) {
		int ret = nc_commit(file_nc(f), (size_t)n);

		if (ret < 0)
			return ret;
		if (offset)
			*offset += n;
	}
	return n;
}

static ssize_t send_file(struct file *f, int in, off_t *offset, size_t len)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < len) {
		n = ring_fill(f, in, offset, len - done, 0);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done > 0)
		return (ssize_t)done;
	if (n == -EPIPE)
		(void)raise(SIGPIPE); /* as bytes.c */
	return file_result(f, n);
}

EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t len)
{
	struct file *f = file_virtual(out);

	if (file_virtual(in)) {
		errno = EINVAL; /* a socket has no pages to send */
		return -1;
	}
	return f ? send_file(f, in, offset, len) : real()->sendfile(out, in, offset, len);
}

EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t len)
{
	return sendfile(out, in, offset, len);
}

/* What the ring holds, into a pipe. */
static ssize_t ring_drain(struct file *f, int out, size_t len, int flags)
{
	const void *bytes = NULL;
	ssize_t n = nc_peek(file_nc(f), len, &bytes, flags);

	if (n <= 0)
		return n;
	n = real()->write(out, bytes, (size_t)n);
	if (n < 0)
		return -errno;
	(void)nc_consume(file_nc(f), (size_t)n); /* they were there */
	return n;
}

EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len,
		      unsigned int flags)
{
	int wait = flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0;
	struct file *from = file_virtual(in), *to = file_virtual(out);
	ssize_t n;

	if (!from && !to)
		return real()->splice(in, in_offset, out, out_offset, len, flags);
	if (in_offset || out_offset) {
		errno = ESPIPE;
		return -1;
	}
	if (from && to) {
		errno = EINVAL; /* one end is a pipe */
		return -1;
	}
	if (len == 0)
		return 0;
	if (from)
		return file_result(from, ring_drain(from, out, len, wait));
	n = ring_fill(to, in, NULL, len, wait);
	if (n == -EPIPE)
		(void)raise(SIGPIPE); /* as bytes.c */
	return file_result(to, n);
}
