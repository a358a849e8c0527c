/* SPDX-License-Identifier: MIT */
/*
 * stdio.c - FILEs over a virtual socket, and dprintf.
 *
 * The C library reads and writes for its FILEs inside itself, where nobody can stand in front. So a
 * FILE over a virtual socket is one with functions of its own (fopencookie(3)); and fileno, which
 * knows no descriptor of such a FILE, is asked here first.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chk.h"
#include "file.h"
#include "kernel.h"
#include "real.h"

#define FILES_MAX 4096 /* FILEs over virtual sockets at one time; fileno knows no more */

struct cookie {
	FILE *file;
	int fd;
};

struct cookies {
	struct lock lock; /* all below */
	struct cookie *at[FILES_MAX];
	int end; /* one above the highest in use */
	/* Not under the lock: who changes them while others print has a race in any case. */
	FILE *own[3], *ours[3]; /* of stdin, stdout, stderr; NULL: not yet */
};

/* Global: why: fileno is given nothing but the FILE. */
static struct cookies known;

void stdio_before_fork(void)
{
	lock_take(&known.lock);
}

void stdio_behind_fork(void)
{
	lock_release(&known.lock);
}

static ssize_t cookie_read(void *arg, char *buf, size_t len)
{
	return read(((struct cookie *)arg)->fd, buf, len);
}

/* 0 says "error" there, and a negative number nothing good. */
static ssize_t cookie_write(void *arg, const char *buf, size_t len)
{
	ssize_t n = write(((struct cookie *)arg)->fd, buf, len);

	return n < 0 ? 0 : n;
}

static int cookie_close(void *arg)
{
	struct cookie *c = arg;
	int fd = c->fd;

	lock_take(&known.lock);
	for (int i = 0; i < known.end; i++)
		if (known.at[i] == c)
			known.at[i] = NULL;
	lock_release(&known.lock);
	for (int i = 0; i < 3; i++)
		if (known.ours[i] == c->file)
			known.ours[i] = NULL;
	free(c);
	return file_close(fd);
}

/* A socket has no place to seek to; a file that freopen has put there has. */
static int cookie_seek(void *arg, off64_t *offset, int whence)
{
	off64_t at = lseek(((struct cookie *)arg)->fd, *offset, whence);

	if (at < 0)
		return -1;
	*offset = at;
	return 0;
}

/* What is in their buffers must be sent before the library's destructor closes the sockets. */
static void cookies_flush(void)
{
	for (int i = 0; i < FILES_MAX; i++) {
		struct cookie *c;

		lock_take(&known.lock);
		c = known.at[i];
		lock_release(&known.lock);
		if (c)
			(void)fflush(c->file); /* at exit nobody asks */
	}
}

static void flush_at_exit(void)
{
	(void)atexit(cookies_flush); /* without memory: as when a program is killed */
}

static void cookie_register(struct cookie *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, flush_at_exit); /* cannot fail */
	lock_take(&known.lock);
	for (int i = 0; i < FILES_MAX; i++)
		if (!known.at[i]) {
			known.at[i] = c;
			if (i >= known.end)
				known.end = i + 1;
			break;
		}
	lock_release(&known.lock);
}

static FILE *cookie_open(int fd, const char *mode)
{
	cookie_io_functions_t io = { cookie_read, cookie_write, cookie_seek, cookie_close };
	struct cookie *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	c->file = fopencookie(c, mode, io);
	if (!c->file) {
		free(c);
		return NULL;
	}
	cookie_register(c);
	return c->file;
}

EXPORT FILE *fdopen(int fd, const char *mode)
{
	/* The C library will close it, past us. */
	kernel_closed(fd);
	return file_virtual(fd) ? cookie_open(fd, mode) : real()->fdopen(fd, mode);
}

/* The descriptor of a FILE of ours, or -1. */
static int cookie_fd(FILE *file)
{
	int fd = -1;

	lock_take(&known.lock);
	for (int i = 0; i < known.end && fd < 0; i++)
		if (known.at[i] && known.at[i]->file == file)
			fd = known.at[i]->fd;
	lock_release(&known.lock);
	return fd;
}

EXPORT int fileno(FILE *file)
{
	int fd = cookie_fd(file);

	return fd >= 0 ? fd : real()->fileno(file);
}

EXPORT int fileno_unlocked(FILE *file)
{
	return fileno(file);
}

/*
 * The C library's variables stand for the descriptors 0, 1 and 2. They are given a FILE of ours
 * while that names a virtual socket, and their own again. Neither is closed by that, for who has
 * kept the pointer.
 */
void stdio_follow(int fd)
{
	FILE **at[3] = { &stdin, &stdout, &stderr };

	if (fd < 0 || fd > 2)
		return;
	if (!file_virtual(fd)) {
		if (known.ours[fd] && *at[fd] == known.ours[fd])
			*at[fd] = known.own[fd];
		return;
	}
	if (!known.ours[fd])
		known.ours[fd] = cookie_open(fd, fd == 0 ? "r" : "w");
	if (!known.ours[fd] || *at[fd] == known.ours[fd])
		return;
	known.own[fd] = *at[fd];
	*at[fd] = known.ours[fd];
}

/* As fopen(3) understands @mode. */
static int open_flags(const char *mode)
{
	bool both = strchr(mode, '+');
	int flags = both ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;

	if (*mode != 'r')
		flags |= O_CREAT;
	if (*mode == 'w')
		flags |= O_TRUNC;
	if (*mode == 'a')
		flags |= O_APPEND;
	return flags | (strchr(mode, 'x') ? O_EXCL : 0) | (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

/*
 * The C library cannot reopen a FILE that is not its own. So the file takes the number of the
 * socket, and the FILE, whose functions read and write that, goes on with it.
 */
static FILE *cookie_reopen(FILE *file, int fd, const char *path, const char *mode)
{
	int flags = open_flags(mode), to, ret;

	(void)fflush(file); /* freopen(3) does not tell what went wrong at the old one */
	if (!path)
		return file; /* the same, in a mode that it has */
	to = open(path, flags, 0666);
	if (to < 0) {
		int err = errno;

		(void)fclose(file); /* as above */
		errno = err;
		return NULL;
	}
	ret = to == fd ? fd : dup3(to, fd, flags & O_CLOEXEC);
	if (to != fd)
		(void)close(to); /* only the copy is used */
	if (ret < 0)
		return NULL;
	clearerr(file);
	return file;
}

EXPORT FILE *freopen(const char *__restrict path, const char *__restrict mode,
		     FILE *__restrict file)
{
	int fd = cookie_fd(file);

	return fd >= 0 ? cookie_reopen(file, fd, path, mode) : real()->freopen(path, mode, file);
}

EXPORT FILE *freopen64(const char *__restrict path, const char *__restrict mode,
		       FILE *__restrict file)
{
	return freopen(path, mode, file);
}

/* All of @len bytes; -1 with errno. */
static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Its own way for every descriptor: what the C library does inside it would not come by here. */
EXPORT __attribute__((format(printf, 2, 0))) int vdprintf(int fd, const char *__restrict format,
							  va_list ap)
{
	char *text;
	int n = vasprintf(&text, format, ap), ret;

	if (n < 0)
		return -1;
	ret = write_all(fd, text, (size_t)n);
	free(text);
	return ret < 0 ? -1 : n;
}

EXPORT int dprintf(int fd, const char *__restrict format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vdprintf(fd, format, ap);
	va_end(ap);
	return n;
}

EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list ap)
{
	(void)flag;
	return vdprintf(fd, format, ap);
}

EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list ap;
	int n;

	(void)flag;
	va_start(ap, format);
	n = vdprintf(fd, format, ap);
	va_end(ap);
	return n;
}
