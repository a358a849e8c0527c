/* SPDX-License-Identifier: MIT */
/* child.c - forks, talks and waits. */
#include "child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define STOP_MS 5000

int child_start(void (*run)(const void *arg, int fd), const void *arg, struct child *ret_child)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* Nothing outlives the measurement, however it ends. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(fds[0]);
		run(arg, fds[1]);
		_exit(1);
	}
	(void)close(fds[1]); /* so that the socket ends with the child */
	if (pid < 0) {
		(void)close(fds[0]);
		return -EAGAIN;
	}
	*ret_child = (struct child){ .pid = pid, .fd = fds[0] };
	return 0;
}

int child_read(struct child *child, void *buf, size_t len, int timeout_ms)
{
	uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct pollfd p = { .fd = child->fd, .events = POLLIN };
	unsigned char *bytes = buf;

	while (len > 0) {
		uint64_t now_ns = clock_now_ns();
		ssize_t n;

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((deadline_ns - now_ns) / NS_PER_MS + 1)) <= 0)
			continue;
		n = read(child->fd, bytes, len);
		if (n <= 0)
			return -EPIPE;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int child_write(struct child *child, const void *buf, size_t len)
{
	return send(child->fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EPIPE;
}

void child_stop(struct child *child)
{
	uint64_t deadline_ns = clock_now_ns() + STOP_MS * NS_PER_MS;
	char rest;
	int r;

	if (child->pid <= 0)
		return;
	(void)kill(child->pid, SIGTERM); /* ours until waitpid() */
	/* The socket closes when it has ended; what it still had to say is of no interest. */
	do
		r = child_read(child, &rest, sizeof(rest), STOP_MS);
	while (r == 0 && clock_now_ns() < deadline_ns);
	if (r != -EPIPE)
		(void)kill(child->pid, SIGKILL);
	(void)waitpid(child->pid, NULL, 0);
	(void)close(child->fd);
	*child = (struct child){ .pid = 0, .fd = -1 };
}
