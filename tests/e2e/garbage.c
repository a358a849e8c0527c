/* SPDX-License-Identifier: MIT */
/*
 * garbage.c - connects to the control socket of $NCD_SOCKET again and again, and sends what is no
 * hello: random bytes, half a hello, a hello of another version, two messages at once, descriptors.
 *
 *   garbage SEED TIMES
 *
 * Exits with 0 if each connection was ended by the daemon in time.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ncd/ctl_proto.h"
#include "ncd/shm_abi.h"

#define PATIENCE_MS 8000

static int garbage_connect(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *path = getenv("NCD_SOCKET");
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path ? path : "");
	if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return -errno;
	return fd;
}

/* Sends @len bytes, with a descriptor that nobody has asked for. */
static void send_with_fd(int fd, void *bytes, size_t len)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int gift = STDIN_FILENO;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &gift, sizeof(gift));
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL); /* garbage may be lost */
}

static void send_garbage(int fd, long kind)
{
	struct ctl_hello hello = { .head.type = CTL_HELLO, .magic = CTL_MAGIC,
				   .version_min = SHM_VERSION, .version_max = SHM_VERSION,
				   .library_version = "none", .program = "garbage" };
	unsigned char bytes[sizeof(union ctl_message) + 64];
	size_t len = sizeof(hello);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)random();
	switch (kind % 6) {
	case 0: /* any bytes */
		(void)send(fd, bytes, 1 + (size_t)random() % sizeof(bytes), MSG_NOSIGNAL);
		return;
	case 1: /* half */
		len = (size_t)random() % len + 1;
		len -= len == sizeof(hello);
		break;
	case 2: /* a later version */
		hello.version_min = hello.version_max = SHM_VERSION + 7;
		break;
	case 3:
		hello.magic++;
		break;
	case 4: /* right, with what does not belong to it */
		send_with_fd(fd, &hello, sizeof(hello));
		return;
	default: /* right, then nonsense */
		(void)send(fd, &hello, sizeof(hello), MSG_NOSIGNAL);
		hello.head.type = CTL_TYPE_END + 3;
		break;
	}
	(void)send(fd, &hello, len, MSG_NOSIGNAL);
}

/* Waits until the daemon has ended the connection. */
static int await_end(int fd)
{
	unsigned char bytes[512];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, PATIENCE_MS) == 1)
		if (recv(fd, bytes, sizeof(bytes), 0) <= 0)
			return 0;
	return -ETIMEDOUT;
}

int main(int argc, char **argv)
{
	long times = argc > 2 ? strtol(argv[2], NULL, 10) : 0;

	srandom((unsigned int)(argc > 1 ? strtoul(argv[1], NULL, 10) : 1));
	for (long i = 0; i < times; i++) {
		int fd = garbage_connect();

		if (fd < 0) {
			printf("connect: %s\n", strerror(-fd));
			return EXIT_FAILURE;
		}
		send_garbage(fd, i);
		if (await_end(fd) < 0) {
			printf("garbage of kind %ld: the daemon did not end it\n", i % 6);
			return EXIT_FAILURE;
		}
		(void)close(fd);
	}
	return EXIT_SUCCESS;
}
