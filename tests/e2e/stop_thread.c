/* SPDX-License-Identifier: MIT */
/*
 * stop_thread.c - stops one thread of a process, and only that one, until killed: what a worker
 * that hangs in a loop or in the kernel looks like from outside. SIGSTOP would stop all of them.
 *
 *   stop_thread TID   prints "stopped" once it is so
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t tid = argc == 2 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
	int status;

	if (tid <= 0) {
		fprintf(stderr, "usage: stop_thread TID\n");
		return 2;
	}
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || waitpid(tid, &status, __WALL) != tid ||
	    !WIFSTOPPED(status)) {
		fprintf(stderr, "stop_thread: %d: %s\n", tid, strerror(errno));
		return 1;
	}
	printf("stopped\n");
	if (fflush(stdout) == EOF)
		return 1;
	/* The stop ends with this process, or when its victim is killed. */
	while (waitpid(tid, &status, __WALL) >= 0 && WIFSTOPPED(status))
		;
	return 0;
}
