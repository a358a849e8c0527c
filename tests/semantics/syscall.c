/* SPDX-License-Identifier: MIT */
/*
 * syscall.c - programs that call the kernel by syscall(2), past the functions of the C library:
 * libuv closes so, vsftpd forks so.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

/* The number names a file next: what is written there must not go to the connection. */
static void syscall_close_then_a_file(void)
{
	struct pair p = pair_open();
	char buf[8];
	int file;

	CALL(syscall(SYS_close, p.fd));
	file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	fact("the same number: %d", file == p.fd);
	CALL(write(file, "abc", 3));
	fact_bytes("file", pread(file, buf, 8, 0), buf);
	CALL(far_recv(&p, buf, 8));
}

static void syscall_close_wrong(void)
{
	CALL(syscall(SYS_close, -1));
	CALL(syscall(SYS_close, 1000));
}

static void syscall_close_range_closes(void)
{
	struct pair p = pair_open();
	char buf[8];

	CALL(syscall(SYS_close_range, p.fd, p.fd, 0));
	CALL(recv(p.fd, buf, 1, 0));
	CALL(far_recv(&p, buf, 8));
}

static void syscall_dup_is_a_copy(void)
{
	struct pair p = pair_open();
	int copy[3] = { (int)syscall(SYS_dup, p.fd), dup(0), dup(0) };
	char buf[8];

	fact("dup2 %d", syscall(SYS_dup2, p.fd, copy[1]) == copy[1]);
	fact("dup3 %d", syscall(SYS_dup3, p.fd, copy[2], O_CLOEXEC) == copy[2]);
	CALL(close(p.fd));
	for (int i = 0; i < 3; i++) {
		CALL(send(copy[i], "a", 1, 0));
		CALL(far_recv(&p, buf, 1));
		CALL(syscall(SYS_close, copy[i]));
	}
	CALL(far_recv(&p, buf, 1));
}

static void ended(pid_t child)
{
	int status = 0;

	(void)waitpid(child, &status, 0);
	fact("child: exited %d status %d", !!WIFEXITED(status), WEXITSTATUS(status));
}

static void syscall_clone_child_goes_on(void)
{
	struct pair p = pair_open();
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	char buf[8];

	if (child == 0)
		_exit(send(p.fd, "ab", 2, 0) == 2 && recv(p.fd, buf, 1, 0) == 1 ? 0 : 1);
	CALL(close(p.fd));
	CALL(far_recv(&p, buf, 2));
	CALL(far_send(&p, "x"));
	ended(child);
	CALL(far_recv(&p, buf, 2));
}

static void syscall_clone_child_has_sockets_of_its_own(void)
{
	struct pair mine = pair_open();
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	char buf[8];

	if (child == 0) {
		struct ends e = ends_open();

		_exit(send(e.c, "a", 1, 0) == 1 && recv(e.s, buf, 1, 0) == 1 ? 0 : 1);
	}
	ended(child);
	CALL(send(mine.fd, "a", 1, 0));
	CALL(far_recv(&mine, buf, 1));
}

/* Everything that works at sockets, by its number. */
static void syscall_from_socket_to_close(void)
{
	struct sockaddr_in to, name;
	socklen_t len = sizeof(name);
	struct pair p = pair_listening(&to);
	int s = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	int ep = (int)syscall(SYS_epoll_create1, 0);
	struct epoll_event e = { .events = EPOLLIN };
	struct pollfd w = { .fd = s, .events = POLLIN };
	char b[8];
	struct iovec v = { b, 8 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	CALL(syscall(SYS_connect, s, &to, sizeof(to)));
	CALL(far_accept(&p));
	CALL(syscall(SYS_getpeername, s, &name, &len));
	CALL(syscall(SYS_sendto, s, "ab", 2, 0, NULL, 0));
	CALL(far_recv(&p, b, 8));
	CALL(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, s, &e));
	CALL(far_send(&p, "x"));
	CALL(syscall(SYS_epoll_wait, ep, &e, 1, WAIT_MS));
	CALL(syscall(SYS_poll, &w, 1, WAIT_MS));
	CALL(syscall(SYS_read, s, b, 8));
	CALL(syscall(SYS_recvfrom, s, b, 8, MSG_DONTWAIT, NULL, NULL));
	CALL(far_send(&p, "xy"));
	CALL(syscall(SYS_readv, s, &v, 1));
	CALL(far_send(&p, "xy"));
	CALL(syscall(SYS_recvmsg, s, &m, 0));
	CALL(syscall(SYS_setsockopt, s, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, 4));
	CALL(option(s, SOL_SOCKET, SO_KEEPALIVE));
	CALL(syscall(SYS_ioctl, s, FIONREAD, &(int){ 0 }));
	CALL(syscall(SYS_fcntl, s, F_SETFL, O_NONBLOCK));
	CALL(syscall(SYS_read, s, b, 8));
	CALL(syscall(SYS_shutdown, s, SHUT_WR));
	CALL(far_recv(&p, b, 8));
	CALL(syscall(SYS_write, s, b, 1));
	CALL(syscall(SYS_close, s));
}

static void syscall_of_a_server(void)
{
	struct sockaddr_in at = near_addr(0);
	socklen_t len = sizeof(at);
	int l = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0), c, s;

	CALL(syscall(SYS_bind, l, &at, sizeof(at)));
	CALL(syscall(SYS_listen, l, 8));
	CALL(syscall(SYS_getsockname, l, &at, &len));
	c = client_open(ntohs(at.sin_port));
	s = (int)syscall(SYS_accept4, l, NULL, NULL, SOCK_NONBLOCK);
	CALL(syscall(SYS_write, c, "abc", 3));
	wait_bytes(s, 3);
	CALL(syscall(SYS_read, s, &(char){ 0 }, 1));
	c = client_open(ntohs(at.sin_port));
	CALL(syscall(SYS_accept, l, NULL, NULL) >= 0);
}

const struct sem_case cases_syscall[] = {
	FAR_CASE(syscall_close_then_a_file),
	CASE(syscall_close_wrong),
	FAR_CASE(syscall_close_range_closes),
	FAR_CASE(syscall_dup_is_a_copy),
	FAR_CASE(syscall_from_socket_to_close),
	CASE(syscall_of_a_server),
	FAR_CASE(syscall_clone_child_goes_on),
	CASE(syscall_clone_child_has_sockets_of_its_own),
	CASES_END,
};
