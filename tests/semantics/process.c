/* SPDX-License-Identifier: MIT */
/*
 * process.c - processes made past fork(2), by _Fork(3) and clone(2).
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

static void ended(pid_t child)
{
	int status = 0;

	(void)waitpid(child, &status, 0);
	fact("child: exited %d status %d", !!WIFEXITED(status), WEXITSTATUS(status));
}

/* A status: it has sent two bytes and received one. */
static int talk(void *arg)
{
	const struct pair *p = arg;
	char byte;

	return send(p->fd, "ab", 2, 0) == 2 && recv(p->fd, &byte, 1, 0) == 1 ? 0 : 1;
}

static void child_talks(struct pair *p, pid_t child)
{
	char buf[8];

	CALL(close(p->fd));
	CALL(far_recv(p, buf, 2));
	CALL(far_send(p, "x"));
	ended(child);
	CALL(far_recv(p, buf, 2));
}

static void process_by__Fork(void)
{
	struct pair p = pair_open();
	pid_t child = _Fork();

	if (child == 0)
		_exit(talk(&p));
	child_talks(&p, child);
}

static void process_by_clone(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));
	struct pair p = pair_open();

	child_talks(&p, clone(talk, stack + sizeof(stack), SIGCHLD, &p));
}

static int sockets_of_its_own(void *arg)
{
	struct ends e = ends_open();
	char byte;

	(void)arg;
	return send(e.c, "a", 1, 0) == 1 && recv(e.s, &byte, 1, 0) == 1 ? 0 : 1;
}

static void process_by_clone_has_sockets_of_its_own(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));
	struct pair p = pair_open();

	ended(clone(sockets_of_its_own, stack + sizeof(stack), SIGCHLD, NULL));
	CALL(send(p.fd, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

const struct sem_case cases_process[] = {
	FAR_CASE(process_by__Fork),
	FAR_CASE(process_by_clone),
	FAR_CASE(process_by_clone_has_sockets_of_its_own),
	CASES_END,
};
