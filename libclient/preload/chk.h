/* SPDX-License-Identifier: MIT */
/*
 * chk.h - the names that programs built with _FORTIFY_SOURCE call; the C library declares them for
 * its own headers only.
 */
#ifndef PRELOAD_CHK_H
#define PRELOAD_CHK_H

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Ends the program: a buffer is smaller than what is asked for. */
extern void __chk_fail(void) __attribute__((noreturn));

ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *__restrict buf, size_t len, size_t size, int flags,
		       __SOCKADDR_ARG addr, socklen_t *__restrict addr_len);
int __poll_chk(struct pollfd *fds, nfds_t nfds, int timeout_ms, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		const sigset_t *mask, size_t size);
int __dprintf_chk(int fd, int flag, const char *format, ...) __attribute__((format(printf, 3, 4)));
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

#endif /* PRELOAD_CHK_H */
