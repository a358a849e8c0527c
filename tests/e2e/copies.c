/* SPDX-License-Identifier: MIT */
/*
 * copies.c - large calls with private buffers, whose bytes say where in the stream they belong.
 *
 *   copies listen PORT BYTES           one stream: receives it in calls of BYTES, checks it, tells
 *                                      the peer how many bytes were right
 *   copies send ADDRESS PORT BYTES N   N calls of BYTES; the peer must have had them all
 *   copies fault ADDRESS PORT BYTES    calls with buffers of BYTES of which half is not there: both
 *                                      ways, to a peer that echoes
 *   copies echo PORT BYTES             one stream: what comes goes back
 *   copies hang ADDRESS PORT BYTES     one call, of memory whose faults nobody answers
 *
 * Exits with 0 if all was right. N = 0: for ever.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ncclient.h"

#define PAGE  4096u
#define LARGE (256u << 10) /* from here on a wrong address is EFAULT */

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 20));
}

static int fail(const char *what, long got)
{
	fprintf(stderr, "copies: %s: %ld%s%s\n", what, got, got < 0 ? " " : "",
		got < 0 ? strerror((int)-got) : "");
	return 1;
}

static uint8_t *memory(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(fail("mmap", -errno));
	return p;
}

static void fill(uint8_t *buf, size_t bytes, uint64_t from)
{
	for (size_t i = 0; i < bytes; i++)
		buf[i] = pattern(from + i);
}

static bool good(const uint8_t *buf, size_t bytes, uint64_t from)
{
	for (size_t i = 0; i < bytes; i++)
		if (buf[i] != pattern(from + i))
			return false;
	return true;
}

static int stream_to(const char *address, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int r, s = nc_socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0)
		exit(fail("socket", s));
	(void)inet_pton(AF_INET, address, &in.sin_addr); /* else it connects to nobody */
	r = nc_connect(s, (struct sockaddr *)&in, sizeof(in));
	if (r < 0)
		exit(fail("connect", r));
	return s;
}

static int stream_from(const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int l = nc_socket(AF_INET, SOCK_STREAM, 0), s;

	if (l < 0 || nc_bind(l, (struct sockaddr *)&in, sizeof(in)) < 0 || nc_listen(l, 1) < 0)
		exit(fail("listen", l));
	s = nc_accept4(l, NULL, NULL, 0);
	if (s < 0)
		exit(fail("accept", s));
	return s;
}

static int run_listen(const char *port, size_t bytes)
{
	uint8_t *buf = memory(bytes);
	int s = stream_from(port);
	uint64_t at = 0;
	ssize_t n;

	for (int i = 0; (n = nc_recv(s, buf, bytes, i % 2 ? MSG_WAITALL : 0)) > 0; i++) {
		if (!good(buf, (size_t)n, at))
			return fail("wrong bytes behind", (long)at);
		at += (uint64_t)n;
	}
	if (n < 0)
		return fail("recv", n);
	n = nc_send(s, &at, sizeof(at), 0);
	return n == sizeof(at) ? nc_close(s) : fail("send", n);
}

static int run_send(const char *address, const char *port, size_t bytes, unsigned long calls)
{
	uint8_t *buf = memory(bytes);
	int s = stream_to(address, port);
	uint64_t at = 0, had = 0;
	ssize_t n;

	for (unsigned long i = 0; i < calls || calls == 0; i++) {
		fill(buf, bytes, at);
		n = nc_send(s, buf, bytes, 0);
		if (n != (ssize_t)bytes)
			return fail("send", n);
		at += bytes;
	}
	(void)nc_shutdown(s, SHUT_WR); /* else nothing comes back */
	n = nc_recv(s, &had, sizeof(had), MSG_WAITALL);
	if (n != sizeof(had) || had != at)
		return fail("the peer had", n < 0 ? n : (long)had);
	return nc_close(s);
}

static int run_echo(const char *port, size_t bytes)
{
	uint8_t *buf = memory(bytes);
	int s = stream_from(port);
	ssize_t n;

	while ((n = nc_recv(s, buf, bytes, 0)) > 0)
		if (nc_send(s, buf, (size_t)n, 0) != n)
			return fail("echo", n);
	return n < 0 ? fail("recv", n) : nc_close(s);
}

/* There and back, with memory that ends @there bytes after its begin. */
static int fault_once(int s, size_t bytes, size_t there, uint64_t *at)
{
	uint8_t *buf = memory(bytes), *whole = memory(bytes);
	ssize_t n;

	fill(buf, bytes, *at);
	(void)munmap(buf + there, bytes - there); /* what a wrong program might pass */
	n = nc_send(s, buf, bytes, 0);
	if (n != (ssize_t)there)
		return fail("send of a buffer that ends early", n);
	n = nc_send(s, buf + there, bytes - there, 0);
	if (n != -EFAULT)
		return fail("send of no memory", n);
	/* The rest, so that there is as much to come as is asked for. */
	fill(whole + there, bytes - there, *at + there);
	n = nc_send(s, whole + there, bytes - there, 0);
	if (n != (ssize_t)(bytes - there))
		return fail("send of the rest", n);
	n = nc_recv(s, buf, bytes, MSG_WAITALL);
	if (n != (ssize_t)there || !good(buf, there, *at))
		return fail("receive to a buffer that ends early", n);
	n = nc_recv(s, buf + there, bytes - there, MSG_WAITALL);
	if (n != -EFAULT)
		return fail("receive to no memory", n);
	n = nc_recv(s, whole, bytes - there, MSG_WAITALL);
	if (n != (ssize_t)(bytes - there) || !good(whole, bytes - there, *at + there))
		return fail("receive of the rest", n);
	*at += bytes;
	(void)munmap(buf, there);
	(void)munmap(whole, bytes);
	return 0;
}

static int run_fault(const char *address, const char *port, size_t bytes)
{
	int s = stream_to(address, port);
	uint64_t at = 0;

	/* The rest is a large call, too: of a small one SIGSEGV comes. */
	for (size_t there = PAGE; there + LARGE <= bytes; there += bytes / 16 / PAGE * PAGE + PAGE)
		if (fault_once(s, bytes, there, &at) != 0)
			return 1;
	return nc_close(s);
}

static int run_hang(const char *address, const char *port, size_t bytes)
{
	uint8_t *buf = memory(bytes);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)buf, bytes / PAGE * PAGE },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	int s = stream_to(address, port);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0) {
		printf("cannot hang: %s\n", strerror(errno));
		return 77;
	}
	printf("hangs\n");
	fflush(stdout);
	return fail("send of memory that hangs", nc_send(s, buf, bytes, 0));
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (strcmp(mode, "listen") == 0 && argc == 4)
		return run_listen(argv[2], strtoul(argv[3], NULL, 10));
	if (strcmp(mode, "echo") == 0 && argc == 4)
		return run_echo(argv[2], strtoul(argv[3], NULL, 10));
	if (strcmp(mode, "send") == 0 && argc == 6)
		return run_send(argv[2], argv[3], strtoul(argv[4], NULL, 10),
				strtoul(argv[5], NULL, 10));
	if (strcmp(mode, "fault") == 0 && argc == 5)
		return run_fault(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	if (strcmp(mode, "hang") == 0 && argc == 5)
		return run_hang(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	return 2;
}
