/* SPDX-License-Identifier: MIT */
/*
 * control_socket.c - the control socket's file, and the lock beside it.
 *
 * The lock tells whether another ncd lives, even one that does not answer; the socket's file alone
 * may be a leftover.
 */
#include "control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define LISTEN_BACKLOG  128
#define LOCK_PATH_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) + 8)

static int socket_fail(const char *path, int error, const char *what, const char *remedy,
		       char out[CONFIG_ERROR_BYTES])
{
	(void)snprintf(out, CONFIG_ERROR_BYTES, "%s: %s: %s; %s", path, what, strerror(-error),
		       remedy);
	return error;
}

/* The directory of @path is made if only it is missing: /run starts empty. */
static bool directory_make(const char *path)
{
	char directory[108];
	char *slash;

	(void)snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash == NULL || slash == directory)
		return false;
	*slash = '\0';
	/* If it fails, opening the lock says why. */
	return mkdir(directory, 0755) == 0;
}

static int lock_take(struct control_socket *cs, char error[CONFIG_ERROR_BYTES])
{
	char path[LOCK_PATH_BYTES], pid[16] = "";
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "%s.lock", cs->path);
	/* Of nobody else: who can open it, if only to read, could hold it and keep ncd out. */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return socket_fail(
			path, -errno, "cannot be opened",
			"make its directory writable, or name another with [daemon] socket", error);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		n = read(fd, pid, sizeof(pid) - 1);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "%s: another ncd (process %s) is on this "
			       "socket; stop it, or name another with [daemon] socket",
			       cs->path, pid);
		(void)close(fd); /* only read */
		return -EADDRINUSE;
	}
	/* A leftover of a release that let everybody read it; it is ours, or we are root. */
	(void)fchmod(fd, 0600);
	/* Only for the message above: if it cannot be written the message lacks a number. */
	if (ftruncate(fd, 0) == 0)
		(void)dprintf(fd, "%d\n", (int)getpid());
	cs->lock_fd = fd;
	return 0;
}

/* Removes a socket that nobody listens on. 0, or -errno with @error. */
static int leftover_remove(const struct sockaddr_un *sa, char error[CONFIG_ERROR_BYTES])
{
	struct stat st;
	int fd, r;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : socket_fail(sa->sun_path, -errno, "cannot be looked at",
						     "check its directory", error);
	if (!S_ISSOCK(st.st_mode)) {
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "%s: is there and not a socket; remove it, "
			       "or name another with [daemon] socket",
			       sa->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return socket_fail(sa->sun_path, -errno, "no socket to try it with", "try again",
				   error);
	r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	(void)close(fd); /* nothing was said */
	if (r == 0 || r == -EAGAIN) {
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "%s: another program listens on it; stop "
			       "it, or name another with [daemon] socket",
			       sa->sun_path);
		return -EADDRINUSE;
	}
	if (unlink(sa->sun_path) < 0)
		return socket_fail(sa->sun_path, -errno, "is a leftover and cannot be removed",
				   "remove it", error);
	return 0;
}

static int socket_make(struct control_socket *cs, char error[CONFIG_ERROR_BYTES])
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int r;

	memcpy(sa.sun_path, cs->path, sizeof(sa.sun_path));
	r = leftover_remove(&sa, error);
	if (r < 0)
		return r;
	cs->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Everyone may connect: [access] judges, and the directory's mode. */
	r = cs->fd < 0 ? -errno : 0;
	if (r == 0 && bind(cs->fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		r = -errno;
	cs->made = r == 0;
	if (r == 0 && (chmod(cs->path, 0666) < 0 || listen(cs->fd, LISTEN_BACKLOG) < 0))
		r = -errno;
	if (r < 0)
		return socket_fail(
			cs->path, r, "cannot be made",
			"make its directory writable, or name another with [daemon] socket", error);
	return 0;
}

/* Takes the socket that systemd has opened. 1: taken, 0: there is none, -errno with @error. */
static int socket_passed(struct control_socket *cs, char error[CONFIG_ERROR_BYTES])
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t bytes = sizeof(sa);
	int flags, nr = sd_listen_fds(1);

	if (nr <= 0)
		return 0;
	if (nr > 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "systemd passes %d sockets, or a wrong one; "
			       "ncd.socket must have one ListenSequentialPacket=",
			       nr);
		return -EINVAL;
	}
	cs->fd = SD_LISTEN_FDS_START;
	cs->passed = true;
	flags = fcntl(cs->fd, F_GETFL);
	if (flags < 0 || fcntl(cs->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return socket_fail("systemd's socket", -errno, "cannot be used", "try again",
				   error);
	if (getsockname(cs->fd, (struct sockaddr *)&sa, &bytes) == 0 && sa.sun_path[0] == '/')
		(void)snprintf(cs->path, sizeof(cs->path), "%s", sa.sun_path);
	return 1;
}

int control_socket_open(struct control_socket *cs, const char *path, char error[CONFIG_ERROR_BYTES])
{
	int r;

	*cs = (struct control_socket){ .fd = -1, .lock_fd = -1 };
	(void)snprintf(cs->path, sizeof(cs->path), "%s", path);
	r = socket_passed(cs, error);
	if (r < 0)
		return r;
	if (r == 0)
		cs->directory_made = directory_make(cs->path);
	r = lock_take(cs, error);
	if (r == 0 && !cs->passed)
		r = socket_make(cs, error);
	return r;
}

void control_socket_close(struct control_socket *cs)
{
	if (cs->fd >= 0)
		(void)close(cs->fd); /* nothing to flush */
	/* Whoever holds the lock may remove the file: nobody else has made it anew. */
	if (cs->lock_fd >= 0) {
		if (cs->made)
			(void)unlink(cs->path); /* a leftover is replaced by the next start */
		(void)close(cs->lock_fd);
	}
	cs->fd = -1;
	cs->lock_fd = -1;
}
