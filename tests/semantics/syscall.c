/* SPDX-License-Identifier: MIT */
/*
 * syscall.c - programs that call the kernel by syscall(2), past the functions of the C library:
 * libuv closes so, vsftpd forks so.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
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

const struct sem_case cases_syscall[] = {
	FAR_CASE(syscall_close_then_a_file),
	CASE(syscall_close_wrong),
	FAR_CASE(syscall_close_range_closes),
	FAR_CASE(syscall_dup_is_a_copy),
	FAR_CASE(syscall_clone_child_goes_on),
	CASE(syscall_clone_child_has_sockets_of_its_own),
	CASES_END,
};
