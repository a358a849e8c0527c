/* SPDX-License-Identifier: MIT */
/*
 * no_uring.c - runs a program for which io_uring does not exist: what containers and hardened
 * kernels do, for io_uring_setup(2) to fail with EPERM.
 *
 *   no_uring PROGRAM [ARGUMENT...]
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The architecture is not looked at: the program is of ours, and this is no protection. */
static const struct sock_filter refuse_uring[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

int main(int argc, char **argv)
{
	struct sock_filter filter[sizeof(refuse_uring) / sizeof(refuse_uring[0])];
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (argc < 2) {
		(void)fprintf(stderr, "usage: no_uring PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	memcpy(filter, refuse_uring, sizeof(filter)); /* the kernel's struct knows no const */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		(void)fprintf(stderr, "no_uring: no filter: %s\n", strerror(errno));
		return 1;
	}
	(void)execvp(argv[1], argv + 1);
	(void)fprintf(stderr, "no_uring: %s: %s\n", argv[1], strerror(errno));
	return 1;
}
