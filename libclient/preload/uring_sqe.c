/* SPDX-License-Identifier: MIT */
/*
 * uring_sqe.c - one SQE before the kernel sees it: what is not to be done at a socket of ours.
 *
 * The kernel would read and write the pollable descriptor of a virtual socket, whose bytes mean
 * nothing to the program (pollfd.c). So what asks for that becomes a command that no socket knows:
 * it ends with EOPNOTSUPP, in its turn, and its chain is canceled as behind any error. Where the
 * way of a socket is not known yet, it is the kernel's from here on.
 *
 * Close is done here and not in its turn: no SQE that is in front of it could have been done.
 */
#include "uring.h"

#include <limits.h>

#include "file.h"
#include "kernel.h"
#include "pending.h"

/* Later than the oldest header that this is built with. */
#define OP_READ_MULTISHOT 49
#define OP_BIND           56
#define OP_LISTEN         57
#define OP_RECV_ZC        58
#define OP_READV_FIXED    60
#define OP_WRITEV_FIXED   61
#define OP_NOP_128        63
#define OP_URING_CMD_128  64

#define REGISTERED_RING (1u << 31) /* of an opcode of io_uring_register(2) */

enum use { /* what is done with the descriptor */
	USE_NONE = 0, /* there is none, or it is waited for; or it must not be a socket */
	USE_BYTES,
	USE_SPLICE, /* two */
	USE_ACCEPT,
	USE_WAY, /* what decides which way a socket goes */
	USE_SHUTDOWN,
	USE_CLOSE,
	USE_FILES, /* become fixed files: an array of them */
	USE_UNKNOWN
};

static const uint8_t uses[] = {
	[IORING_OP_READV] = USE_BYTES,      [IORING_OP_WRITEV] = USE_BYTES,
	[IORING_OP_READ_FIXED] = USE_BYTES, [IORING_OP_WRITE_FIXED] = USE_BYTES,
	[IORING_OP_SENDMSG] = USE_BYTES,    [IORING_OP_RECVMSG] = USE_BYTES,
	[IORING_OP_ACCEPT] = USE_ACCEPT,    [IORING_OP_CONNECT] = USE_WAY,
	[IORING_OP_CLOSE] = USE_CLOSE,      [IORING_OP_FILES_UPDATE] = USE_FILES,
	[IORING_OP_READ] = USE_BYTES,       [IORING_OP_WRITE] = USE_BYTES,
	[IORING_OP_SEND] = USE_BYTES,       [IORING_OP_RECV] = USE_BYTES,
	[IORING_OP_SPLICE] = USE_SPLICE,    [IORING_OP_TEE] = USE_SPLICE,
	[IORING_OP_SHUTDOWN] = USE_SHUTDOWN, [IORING_OP_URING_CMD] = USE_BYTES,
	[IORING_OP_SEND_ZC] = USE_BYTES,    [IORING_OP_SENDMSG_ZC] = USE_BYTES,
	[OP_READ_MULTISHOT] = USE_BYTES,    [OP_BIND] = USE_WAY,
	[OP_LISTEN] = USE_WAY,              [OP_RECV_ZC] = USE_BYTES,
	[OP_READV_FIXED] = USE_BYTES,       [OP_WRITEV_FIXED] = USE_BYTES,
	[OP_URING_CMD_128] = USE_BYTES,
};

static enum use use_of(const struct io_uring_sqe *sqe)
{
	return sqe->opcode < sizeof(uses) ? (enum use)uses[sqe->opcode] : USE_UNKNOWN;
}

static const char *use_text(enum use use)
{
	switch (use) {
	case USE_ACCEPT:
		return "accept";
	case USE_WAY:
		return "connect, bind or listen";
	case USE_SHUTDOWN:
		return "shutdown";
	case USE_CLOSE:
		return "a linked close";
	case USE_FILES:
		return "a fixed file";
	case USE_NONE:
	case USE_BYTES:
	case USE_SPLICE:
	case USE_UNKNOWN:
		break;
	}
	return "data";
}

/* Another operation in its place, and in its chain. */
static void sqe_replace(struct io_uring_sqe *sqe, uint8_t opcode, int fd)
{
	struct io_uring_sqe to = {
		.opcode = opcode,
		.flags = sqe->flags & (IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK |
				       IOSQE_ASYNC | IOSQE_CQE_SKIP_SUCCESS),
		.fd = fd,
		.user_data = sqe->user_data,
	};

	if (opcode != IORING_OP_NOP)
		to.cmd_op = UINT32_MAX; /* nobody's */
	*sqe = to;
}

/* It ends with EOPNOTSUPP; with EBADF where @fd is not the program's. */
static bool sqe_refuse(struct io_uring_sqe *sqe, enum use use, int fd)
{
	struct file *f = file_of(fd);

	if (f && file_kind(f) == FILE_INTERNAL)
		fd = -1;
	else
		uring_leave(use_text(use), true);
	/* What has taken two places takes two. */
	sqe_replace(sqe, sqe->opcode == OP_URING_CMD_128 ? OP_URING_CMD_128 : IORING_OP_URING_CMD,
		    fd);
	return true;
}

/* Nothing but waiting is possible there, by the kernel. */
static bool beyond_kernel(int fd)
{
	struct file *f = file_of(fd);

	if (f && file_kind(f) == FILE_VIRTUAL && file_pending(f))
		pending_await(f);
	f = file_of(fd);
	return f && (file_virtual(fd) || file_kind(f) == FILE_INTERNAL);
}

/* The way of @fd was not known yet: it is the kernel's, as a plain socket. */
static void leave_socket(int fd, enum use use)
{
	struct file *f = file_of(fd);

	if (f && file_kind(f) == FILE_KERNEL)
		file_forget(f, fd);
	else if (f && file_kind(f) == FILE_LISTENER && use != USE_BYTES)
		listener_leave(f, fd);
	else if (f || !kernel_shown(fd))
		return; /* of no TCP socket that we know */
	uring_leave(use_text(use), false);
}

static bool look_bytes(struct io_uring_sqe *sqe, enum use use, int fd)
{
	if (beyond_kernel(fd))
		return sqe_refuse(sqe, use, fd);
	leave_socket(fd, use);
	return false;
}

static bool look_splice(struct io_uring_sqe *sqe)
{
	if (!(sqe->splice_flags & SPLICE_F_FD_IN_FIXED) &&
	    look_bytes(sqe, USE_BYTES, sqe->splice_fd_in))
		return true;
	return !(sqe->flags & IOSQE_FIXED_FILE) && look_bytes(sqe, USE_BYTES, sqe->fd);
}

static bool look_way(struct io_uring_sqe *sqe)
{
	struct file *f = file_of(sqe->fd);
	bool fresh = f && file_kind(f) == FILE_KERNEL;

	if (look_bytes(sqe, USE_WAY, sqe->fd))
		return true;
	if (fresh && sqe->opcode == IORING_OP_CONNECT)
		kernel_connected(sqe->fd, LEFT_URING, (const void *)(uintptr_t)sqe->addr,
				 sqe->addr2 < INT_MAX ? (socklen_t)sqe->addr2 : 0);
	if (fresh && sqe->opcode == OP_LISTEN)
		kernel_listens(sqe->fd, LEFT_URING);
	return false;
}

/*
 * The kernel closes what is its own, which we forget. @linked to one that does not fail, a virtual
 * socket cannot be closed in its turn, and must not be before it.
 */
static bool look_close(struct io_uring_sqe *sqe, bool linked)
{
	int fd = sqe->fd;
	struct file *f = file_of(fd);

	if (sqe->file_index != 0)
		return false; /* a fixed one */
	if (!f || file_kind(f) == FILE_LISTENER)
		kernel_closed(fd);
	if (!f || !file_own_process())
		return false;
	if (file_kind(f) == FILE_INTERNAL || (file_kind(f) == FILE_VIRTUAL && linked))
		return sqe_refuse(sqe, USE_CLOSE, fd);
	if (file_kind(f) == FILE_VIRTUAL) {
		(void)file_close(fd); /* it is open */
		sqe_replace(sqe, IORING_OP_NOP, -1);
	} else if (file_release(f, fd)) {
		file_end(f);
	}
	return false;
}

static int refused_of(const int *fds, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (beyond_kernel(fds[i]))
			return fds[i];
	for (unsigned int i = 0; i < nr; i++)
		leave_socket(fds[i], USE_FILES);
	return -1;
}

int fixed_look(const int *fds, unsigned int nr)
{
	int fd = fds ? refused_of(fds, nr) : -1;
	struct file *f = file_of(fd);

	if (fd < 0)
		return 0;
	if (f && file_kind(f) == FILE_INTERNAL)
		return -EBADF;
	uring_leave(use_text(USE_FILES), true);
	return -EOPNOTSUPP;
}

static bool look_files(struct io_uring_sqe *sqe)
{
	const int *fds = (const void *)(uintptr_t)sqe->addr;
	int fd = fds ? refused_of(fds, sqe->len) : -1;

	return fd >= 0 && sqe_refuse(sqe, USE_FILES, fd);
}

/* True: it is going to fail, by us. */
static bool look_at(struct io_uring_sqe *sqe, bool linked)
{
	enum use use = use_of(sqe);

	if (use == USE_FILES)
		return look_files(sqe);
	if (use == USE_SPLICE)
		return look_splice(sqe);
	if (sqe->flags & IOSQE_FIXED_FILE)
		return false; /* never ours: fixed_look */
	switch (use) {
	case USE_BYTES:
	case USE_ACCEPT:
	case USE_SHUTDOWN:
		return look_bytes(sqe, use, sqe->fd);
	case USE_WAY:
		return look_way(sqe);
	case USE_CLOSE:
		return look_close(sqe, linked);
	case USE_UNKNOWN: /* 0 is what has no descriptor */
		return sqe->fd > 0 && file_virtual(sqe->fd) && sqe_refuse(sqe, use, sqe->fd);
	case USE_NONE:
	case USE_SPLICE:
	case USE_FILES:
		break;
	}
	return false;
}

unsigned int sqe_look(struct io_uring_sqe *sqe, struct chain *c)
{
	unsigned int places = sqe->opcode == OP_NOP_128 || sqe->opcode == OP_URING_CMD_128 ? 2 : 1;
	bool fails = c->canceled || look_at(sqe, c->linked);

	c->linked = (sqe->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)) != 0;
	c->canceled = fails && c->linked && !(sqe->flags & IOSQE_IO_HARDLINK);
	return places;
}

int register_look(unsigned int opcode, const void *arg, unsigned int nr)
{
	switch (opcode & ~REGISTERED_RING) {
	case IORING_REGISTER_FILES:
		return fixed_look(arg, nr);
	case IORING_REGISTER_FILES_UPDATE: {
		const struct io_uring_files_update *u = arg;

		return u ? fixed_look((const void *)(uintptr_t)u->fds, nr) : 0;
	}
	case IORING_REGISTER_FILES2: {
		const struct io_uring_rsrc_register *r = arg;

		return r ? fixed_look((const void *)(uintptr_t)r->data, r->nr) : 0;
	}
	case IORING_REGISTER_FILES_UPDATE2: {
		const struct io_uring_rsrc_update2 *u = arg;

		return u ? fixed_look((const void *)(uintptr_t)u->data, u->nr) : 0;
	}
	default:
		return 0;
	}
}
