/* SPDX-License-Identifier: MIT */
/*
 * fcntl.c - fcntl(2), ioctl(2), fstat(2) and what else a program may ask of a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "sem.h"

static void fcntl_flags(void)
{
	struct pair p = pair_open();

	CALL((fcntl(p.fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	CALL(fcntl(p.fd, F_SETFL, O_NONBLOCK | O_APPEND));
	CALL(fcntl(p.fd, F_GETFL) == (O_RDWR | O_NONBLOCK | O_APPEND));
	CALL(fcntl(p.fd, F_SETFL, 0));
	CALL(fcntl(p.fd, F_GETFL) == O_RDWR);
}

static void fcntl_close_on_exec(void)
{
	struct pair p = pair_open();

	CALL(fcntl(p.fd, F_GETFD));
	CALL(fcntl(p.fd, F_SETFD, FD_CLOEXEC));
	CALL(fcntl(p.fd, F_GETFD));
	CALL(ioctl(p.fd, FIONCLEX));
	CALL(fcntl(p.fd, F_GETFD));
	CALL(ioctl(p.fd, FIOCLEX));
	CALL(fcntl(p.fd, F_GETFD));
}

static void fcntl_close_on_exec_survives_connect(void)
{
	uint16_t port;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), l;
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	CALL(fcntl(s, F_GETFD));
	l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CALL(listen(l, 1));
	CALL(fcntl(l, F_GETFD));
}

static void fcntl_owner(void)
{
	struct pair p = pair_open();

	CALL(fcntl(p.fd, F_GETOWN));
	CALL(fcntl(p.fd, F_SETOWN, getpid()));
	CALL(fcntl(p.fd, F_GETOWN) == getpid());
	CALL(fcntl(p.fd, F_GETSIG));
}

/* What was set of a socket that is closed is not found at the next one, nor what it was called. */
static void fcntl_of_the_next_socket(void)
{
	uint64_t cookie = 0, before = 0;
	int on = 1;

	for (int i = 0; i < 3; i++) {
		struct pair p = pair_open();
		socklen_t len = sizeof(cookie);

		CALL(fcntl(p.fd, F_GETOWN));
		CALL(fcntl(p.fd, F_GETFL) & (O_ASYNC | O_APPEND));
		CALL(getsockopt(p.fd, SOL_SOCKET, SO_COOKIE, &cookie, &len));
		fact("another cookie: %d", cookie != before);
		before = cookie;
		if (i == 0)
			CALL(fcntl(p.fd, F_SETOWN, getpid()));
		if (i == 1)
			CALL(ioctl(p.fd, FIOASYNC, &on));
		CALL(close(p.fd));
	}
}

/* Global: a signal handler has no other place to count. */
static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

/* Until one has come since the last call, or WAIT_MS. */
static void wait_signal(const char *what)
{
	int64_t until_ms = now_ms() + WAIT_MS;

	while (!signals && now_ms() < until_ms)
		(void)poll(NULL, 0, 5);
	fact("a signal %s: %d", what, signals > 0);
	signals = 0;
}

static void fcntl_signals(void)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	struct pair p = pair_open();

	(void)sigaction(SIGIO, &action, NULL); /* cannot fail with these arguments */
	CALL(fcntl(p.fd, F_SETOWN, getpid()));
	CALL(fcntl(p.fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	signals = 0; /* that it is writable may have been told */
	(void)far_send(&p, "x");
	wait_signal("of a byte");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	signals = 0;
	(void)far_send(&p, "x");
	wait_signal("of the next");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	signals = 0;
	(void)far_shutdown(&p, SHUT_WR);
	wait_signal("of the end");
}

static void fcntl_wrong(void)
{
	struct pair p = pair_open();
	struct flock lock = { .l_type = F_RDLCK };

	CALL(fcntl(p.fd, 9999));
	CALL(fcntl(p.fd, F_SETPIPE_SZ, 4096));
	CALL(fcntl(p.fd, F_GET_SEALS));
	CALL(fcntl(p.fd, F_GETLK, &lock));
}

static void ioctl_bytes_to_read(void)
{
	struct pair p = pair_open();
	int n = -1;

	CALL(ioctl(p.fd, FIONREAD, &n));
	fact("there %d", n);
	(void)far_send(&p, "hello");
	wait_bytes(p.fd, 5);
	CALL(ioctl(p.fd, FIONREAD, &n));
	fact("there %d", n);
	CALL(recv(p.fd, &(char[2]){ 0 }, 2, 0));
	CALL(ioctl(p.fd, FIONREAD, &n));
	fact("there %d", n);
	(void)far_close(&p);
	CALL(recv(p.fd, &(char[3]){ 0 }, 3, MSG_WAITALL));
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(ioctl(p.fd, FIONREAD, &n));
	fact("there %d", n);
}

static void ioctl_bytes_to_send(void)
{
	struct pair p = pair_open();
	int64_t end = now_ms() + WAIT_MS;
	int n = -1;

	CALL(ioctl(p.fd, SIOCOUTQ, &n));
	fact("on the way %d", n);
	CALL(send(p.fd, "hello", 5, 0));
	(void)far_drain(&p, 1); /* it is there; the acknowledgement comes */
	while (ioctl(p.fd, SIOCOUTQ, &n) == 0 && n > 0 && now_ms() < end)
		moment();
	fact("on the way %d", n);
	CALL(ioctl(p.fd, SIOCOUTQNSD, &n));
	fact("not sent %d", n);
}

static void ioctl_bytes_to_send_when_full(void)
{
	struct pair p = pair_open_small();
	int n = 0;

	(void)fill(p.fd);
	CALL(ioctl(p.fd, SIOCOUTQ, &n));
	fact("some %d", n > 0);
}

/* What is not of the socket, but of interfaces and addresses: any socket is asked. */
static void ioctl_of_interfaces(void)
{
	struct pair p = pair_open();
	struct ifreq r;
	struct ifconf c = { .ifc_len = 0 };

	memset(&r, 0, sizeof(r));
	strcpy(r.ifr_name, "lo");
	CALL(ioctl(p.fd, SIOCGIFADDR, &r));
	fact("inet %d", r.ifr_addr.sa_family == AF_INET);
	CALL(ioctl(p.fd, SIOCGIFNETMASK, &r));
	CALL(ioctl(p.fd, SIOCGIFFLAGS, &r));
	fact("loopback %d", !!(r.ifr_flags & IFF_LOOPBACK));
	CALL(ioctl(p.fd, SIOCGIFINDEX, &r));
	CALL(ioctl(p.fd, SIOCGIFCONF, &c));
	fact("some %d", c.ifc_len > 0);
	strcpy(r.ifr_name, "none0");
	CALL(ioctl(p.fd, SIOCGIFADDR, &r));
	CALL(ioctl(p.fd, SIOCGIFMTU, &r));
	CALL(ioctl(p.fd, SIOCSPGRP, &(int){ getpid() }));
	fact("own %d", fcntl(p.fd, F_GETOWN) == getpid());
}

static void ioctl_at_mark(void)
{
	struct pair p = pair_open();
	int n = -1;

	CALL(ioctl(p.fd, SIOCATMARK, &n));
	fact("mark %d", n);
}

static void ioctl_unknown(void)
{
	struct pair p = pair_open();
	struct termios t;

	CALL(ioctl(p.fd, 0x5a5a5a));
	CALL(tcgetattr(p.fd, &t));
	CALL(isatty(p.fd));
	fact("errno %s", strerrorname_np(errno));
	CALL(ioctl(p.fd, FIONREAD, bad_pointer()));
}

static void ioctl_unconnected(void)
{
	int s = tcp_socket(), n = -1;

	CALL(ioctl(s, FIONREAD, &n));
	fact("there %d", n);
	CALL(ioctl(s, SIOCOUTQ, &n));
	fact("on the way %d", n);
}

static void described(int fd)
{
	char path[64], target[64] = "";
	struct stat st;

	CALL(fstat(fd, &st));
	fact("socket %d size %ld links %d", S_ISSOCK(st.st_mode), (long)st.st_size,
	     (int)st.st_nlink);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CALL(readlink(path, target, 7));
	fact("a %s", target);
}

static void fstat_says_socket(void)
{
	struct pair p = pair_open();

	described(p.fd);
	described(tcp_socket());
}

static void fstat_of_a_listener(void)
{
	uint16_t port;

	described(listener_open(&port));
}

static void fstat_inodes(void)
{
	struct ends e = ends_open();
	struct stat c, s, d;

	CALL(fstat(e.c, &c));
	CALL(fstat(e.s, &s));
	CALL(fstat(dup(e.c), &d));
	fact("differ %d same %d", c.st_ino != s.st_ino, c.st_ino == d.st_ino);
}

static void descriptor_is_no_file(void)
{
	struct pair p = pair_open();

	CALL(ftruncate(p.fd, 0));
	CALL(fsync(p.fd));
	CALL(fdatasync(p.fd));
	CALL(fchdir(p.fd));
	CALL(posix_fallocate(p.fd, 0, 1));
	CALL(fallocate(p.fd, 0, 0, 1));
	CALL(posix_fadvise(p.fd, 0, 0, POSIX_FADV_NORMAL));
	fact("mmap %d", mmap(NULL, 4096, PROT_READ, MAP_SHARED, p.fd, 0) == MAP_FAILED);
	fact("errno %s", strerrorname_np(errno));
}

static void descriptor_numbers_are_the_lowest(void)
{
	struct ends e;
	int fd, lowest = open("/dev/null", O_RDONLY);

	(void)close(lowest);
	fd = tcp_socket();
	fact("lowest %d", fd == lowest);
	(void)close(fd);
	e = ends_open();
	(void)close(e.c);
	fd = open("/dev/null", O_RDONLY);
	fact("not above %d", fd <= e.c);
}

const struct sem_case cases_fcntl[] = {
	FAR_CASE(fcntl_flags),
	FAR_CASE(fcntl_close_on_exec),
	CASE(fcntl_close_on_exec_survives_connect),
	FAR_CASE(fcntl_owner),
	FAR_CASE(fcntl_of_the_next_socket),
	FAR_CASE(fcntl_signals),
	FAR_CASE(fcntl_wrong),
	FAR_CASE(ioctl_bytes_to_read),
	FAR_CASE(ioctl_bytes_to_send),
	FAR_CASE(ioctl_bytes_to_send_when_full),
	FAR_CASE(ioctl_of_interfaces),
	FAR_CASE(ioctl_at_mark),
	FAR_CASE(ioctl_unknown),
	CASE(ioctl_unconnected),
	FAR_CASE(fstat_says_socket),
	CASE(fstat_of_a_listener),
	CASE(fstat_inodes),
	FAR_CASE(descriptor_is_no_file),
	CASE(descriptor_numbers_are_the_lowest),
	CASES_END,
};
