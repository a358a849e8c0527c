/* SPDX-License-Identifier: MIT */
/*
 * clone.c - processes that are made past fork(2): by _Fork(3), clone(2), or syscall(2).
 *
 * The C library runs the hooks of pthread_atfork(3) for fork alone, so here they are run around the
 * call. A child that shares its parent's memory (a thread, or as vfork's) needs none.
 */
#include <sched.h>
#include <stdint.h>

#include "../process.h"
#include "file.h"
#include "real.h"

bool fork_begin(uint64_t flags)
{
	if (flags & CLONE_VM || !file_own_process())
		return false;
	process_before_fork();
	file_before_fork();
	return true;
}

void fork_end(long ret)
{
	int err = errno;

	if (ret == 0) {
		file_fork_child();
		process_fork_child();
	} else {
		file_fork_parent();
	}
	errno = err;
}

EXPORT pid_t _Fork(void)
{
	bool hooks = fork_begin(0);
	pid_t ret = real()->_Fork();

	if (hooks)
		fork_end(ret);
	return ret;
}

/* What a child begins with; it has a copy of it. */
struct start {
	int (*fn)(void *);
	void *arg;
};

static int child_main(void *arg)
{
	const struct start *s = arg;

	fork_end(0);
	_exit(s->fn(s->arg)); /* clone ends this thread alone, and the library may have others */
}

EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct start s = { fn, arg };
	pid_t *parent, *child;
	bool hooks;
	va_list ap;
	void *tls;
	int ret;

	va_start(ap, arg);
	parent = va_arg(ap, pid_t *); /* fewer: what is there is passed on */
	tls = va_arg(ap, void *);
	child = va_arg(ap, pid_t *);
	va_end(ap);
	hooks = fn && stack && fork_begin((uint64_t)(unsigned int)flags);
	ret = hooks ? real()->clone(child_main, stack, flags, &s, parent, tls, child)
		    : real()->clone(fn, stack, flags, arg, parent, tls, child);
	if (hooks)
		fork_end(ret == 0 ? -1 : ret); /* the parent, in any case */
	return ret;
}
