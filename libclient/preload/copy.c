/* SPDX-License-Identifier: MIT */
/*
 * copy.c - sendfile and splice with a virtual socket at one end: between the file and the ring.
 */
#include <signal.h>
#include <sys/stat.h>

#include "file.h"
#include "ncclient.h"
#include "real.h"

#define LITTLE_BYTES (64u << 10) /* of more it pays to map the ring for nc_reserve */
#define PIECE_BYTES  (16u << 10)

/* Bytes of @in, from *offset, by a buffer. As sendfile: short at its end. */
static ssize_t piece_send(struct file *f, int in, off_t *offset, size_t len)
{
	char buf[PIECE_BYTES];
	ssize_t n = pread(in, buf, len < sizeof(buf) ? len : sizeof(buf), *offset);

	if (n < 0)
		return -errno;
	if (n > 0)
		n = nc_send(file_nc(f), buf, (size_t)n, MSG_NOSIGNAL);
	if (n > 0)
		*offset += n;
	return n;
}

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
	bool little = offset && len <= LITTLE_BYTES;
	size_t done = 0;
	ssize_t n = 0;

	while (done < len) {
		n = little ? piece_send(f, in, offset, len - done)
			   : ring_fill(f, in, offset, len - done, 0);
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

/* ---- splice ---- */

/* SPLICE_F_NONBLOCK is about the pipe, and so is its O_NONBLOCK. */
static bool pipe_waits(int fd, unsigned int flags)
{
	return !(flags & SPLICE_F_NONBLOCK) && !(real()->fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* 0 once the pipe has @events; -EAGAIN if it has not and is not to be waited for; -errno. */
static int pipe_ready(int fd, short events, unsigned int flags)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct timespec none = { 0 };
	int n = real()->ppoll(&p, 1, pipe_waits(fd, flags) ? NULL : &none, NULL);

	if (n < 0)
		return -errno;
	return n == 0 ? -EAGAIN : 0;
}

/* What the ring holds, into a pipe; as much as fits, as the kernel. */
static ssize_t ring_drain(struct file *f, int out, size_t len, unsigned int flags)
{
	const void *bytes = NULL;
	ssize_t n = nc_peek(file_nc(f), len, &bytes, 0);
	union {
		const void *in;
		void *out; /* struct iovec has no const; it is only read */
	} u;
	struct iovec iov;
	int ret;

	if (n <= 0)
		return n;
	ret = pipe_ready(out, POLLOUT, flags);
	if (ret < 0)
		return ret;
	u.in = bytes;
	iov = (struct iovec){ u.out, (size_t)n };
	n = real()->pwritev2(out, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP) /* before Linux 6.4 */
		n = real()->write(out, bytes, iov.iov_len);
	if (n < 0)
		return -errno;
	(void)nc_consume(file_nc(f), (size_t)n); /* they were there */
	return n;
}

/* Waits for the pipe before there is a place in the ring, which nobody else may use meanwhile. */
static ssize_t pipe_drain(struct file *f, int in, size_t len, unsigned int flags)
{
	ssize_t n = pipe_ready(in, POLLIN, flags);

	return n < 0 ? n : ring_fill(f, in, NULL, len, 0);
}

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static ssize_t splice_virtual(struct file *from, int in, const off64_t *in_offset, struct file *to,
			      int out, const off64_t *out_offset, size_t len, unsigned int flags)
{
	if (len == 0)
		return 0;
	if (flags & ~(unsigned int)(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE |
				    SPLICE_F_GIFT))
		return -EINVAL;
	if (from ? to || !is_pipe(out) : !is_pipe(in))
		return -EINVAL; /* one end is a pipe */
	if (from ? out_offset : in_offset)
		return -ESPIPE;
	if (from ? in_offset : out_offset)
		return -EINVAL;
	return from ? ring_drain(from, out, len, flags) : pipe_drain(to, in, len, flags);
}

EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len,
		      unsigned int flags)
{
	struct file *from = file_virtual(in), *to = file_virtual(out);
	ssize_t n;

	if (!from && !to)
		return real()->splice(in, in_offset, out, out_offset, len, flags);
	n = splice_virtual(from, in, in_offset, to, out, out_offset, len, flags);
	if (n == -EPIPE && to)
		(void)raise(SIGPIPE); /* as bytes.c */
	return file_result(from ? from : to, n);
}
