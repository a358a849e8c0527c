/* SPDX-License-Identifier: MIT */
/*
 * limit.c - RLIMIT_NOFILE: how many descriptors the program may have, and how many we need beside.
 *
 * A virtual socket takes two descriptors that the program does not see. Counted as the program's, a
 * server would have a third of its clients. So the limit of the process is higher than what the
 * program has set and is told, and ours have the numbers above that. The program's calls that are
 * ours give it no number above; open(2) and others may, once all below are in use.
 *
 * A program that is started gets the limit as its parent believes it to be, but by system(3).
 *
 * Ownership: of the process. Threading: any thread; `lock` guards the view. A child of vfork only
 * reads it.
 */
#include "limit.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include "file.h"
#include "real.h"

#define RAISE_FROM  8         /* below, a program locks itself in */
#define RAISE_BELOW (1 << 15) /* the table of descriptors in the kernel grows up to the highest */
#define OURS        256       /* beside two for each of the program's */
#define NEAR        64

struct view {
	struct lock lock;
	bool raised;
	struct rlimit told; /* what the program has */
	struct rlimit real; /* what the kernel has instead, if nobody else has changed it */
	_Atomic int first;  /* number that is not the program's; 0: all are */
	_Atomic int last;   /* number that it got */
};

/* Global: why: as the limit, of the process. */
static struct view view;

static int kernel_limit(const struct rlimit *new, struct rlimit *ret_old)
{
	return (int)real()->syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, new, ret_old);
}

static bool same(const struct rlimit *a, const struct rlimit *b)
{
	return a->rlim_cur == b->rlim_cur && a->rlim_max == b->rlim_max;
}

static void first_set(rlim_t first)
{
	/* Relaxed: a number to compare; who asks just now has either. */
	atomic_store_explicit(&view.first, (int)first, memory_order_relaxed);
}

/* The kernel's limit for a program that wants @told. With `lock` held. As setrlimit(2). */
static int raise_for(const struct rlimit *told)
{
	struct rlimit now, want = *told;
	int err = errno;

	view.raised = false;
	first_set(0);
	if (told->rlim_cur < RAISE_FROM || told->rlim_cur >= RAISE_BELOW ||
	    told->rlim_cur > told->rlim_max || kernel_limit(NULL, &now) < 0)
		return kernel_limit(told, NULL);
	want.rlim_cur = told->rlim_cur * 3 + OURS;
	if (want.rlim_max < want.rlim_cur)
		want.rlim_max = want.rlim_cur;
	if (kernel_limit(&want, NULL) < 0) {
		/* Not root: no more than there was, and no more than the program may have. */
		if (told->rlim_max > now.rlim_max)
			return kernel_limit(told, NULL);
		want.rlim_max = now.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		if (want.rlim_cur <= told->rlim_cur || kernel_limit(&want, NULL) < 0)
			return kernel_limit(told, NULL);
	}
	errno = err;
	view.raised = true;
	view.told = *told;
	view.real = want;
	first_set(told->rlim_cur);
	return 0;
}

/* Before the library has any descriptor. */
__attribute__((constructor(101))) static void limit_init(void)
{
	struct rlimit now;

	if (kernel_limit(NULL, &now) == 0)
		(void)raise_for(&now); /* else it stays as it is */
}

int limit_first(void)
{
	/* Relaxed: as first_set. */
	return atomic_load_explicit(&view.first, memory_order_relaxed);
}

int limit_give(int fd)
{
	int first = limit_first();

	/* Relaxed: a hint. */
	atomic_store_explicit(&view.last, fd, memory_order_relaxed);
	if (fd < 0 || first == 0 || fd < first)
		return fd;
	(void)real()->close(fd); /* nobody has it */
	errno = EMFILE;
	return -1;
}

bool limit_reached(void)
{
	int first = limit_first(), probe;

	/* Relaxed: as above. */
	if (first == 0 || atomic_load_explicit(&view.last, memory_order_relaxed) < first - NEAR)
		return false;
	probe = real()->epoll_create1(EPOLL_CLOEXEC); /* of nothing that there is */
	if (probe >= 0)
		(void)real()->close(probe); /* a copy less */
	if (probe >= 0 && probe < first)
		return false;
	errno = EMFILE;
	return true;
}

bool limit_allows(int fd)
{
	int first = limit_first();

	return first == 0 || fd < first;
}

void limit_before_exec(bool here)
{
	struct rlimit now, told = view.told;
	int err = errno;

	/* A hard limit that this process goes on with cannot be raised again, unless by root. */
	if (!here && geteuid() != 0)
		told.rlim_max = view.real.rlim_max;
	if (view.raised && kernel_limit(NULL, &now) == 0 && same(&now, &view.real))
		(void)kernel_limit(&told, NULL); /* lower: nobody refuses it */
	errno = err;
}

void limit_behind_exec(void)
{
	struct rlimit now;
	int err = errno;

	if (view.raised && file_own_process() && kernel_limit(NULL, &now) == 0 &&
	    now.rlim_cur == view.told.rlim_cur) {
		lock_take(&view.lock);
		now = view.told;
		(void)raise_for(&now); /* not as high as before: then ours count again */
		lock_release(&view.lock);
	}
	errno = err;
}

void limit_before_fork(void)
{
	lock_take(&view.lock);
}

void limit_behind_fork(void)
{
	lock_release(&view.lock);
}

/* ---- what the program asks and says ---- */

/* Somebody else's change of the limit is the program's, too. With `lock` held. */
static int told_get(struct rlimit *ret)
{
	int r = kernel_limit(NULL, ret);

	if (r == 0 && view.raised && same(ret, &view.real))
		*ret = view.told;
	return r;
}

static int told_set(const struct rlimit *new)
{
	struct rlimit before;

	if (told_get(&before) < 0)
		return -1;
	if (new->rlim_cur > new->rlim_max) {
		errno = EINVAL;
		return -1;
	}
	/* What the kernel would say of the limits that it does not have any more. */
	if (new->rlim_max > before.rlim_max && view.raised) {
		struct rlimit all = { before.rlim_cur, new->rlim_max };

		if (new->rlim_max <= view.real.rlim_max && kernel_limit(&before, NULL) < 0)
			return -1;
		if (kernel_limit(&all, NULL) < 0)
			return -1;
	}
	return raise_for(new);
}

EXPORT int prlimit(pid_t pid, __rlimit_resource_t resource, const struct rlimit *new,
		   struct rlimit *old)
{
	int ret = 0;

	if (resource != RLIMIT_NOFILE || (pid != 0 && pid != getpid()) || !file_own_process())
		return (int)real()->syscall(SYS_prlimit64, pid, resource, new, old);
	lock_take(&view.lock);
	if (old)
		ret = told_get(old);
	if (ret == 0 && new)
		ret = told_set(new);
	lock_release(&view.lock);
	return ret;
}

EXPORT int prlimit64(pid_t pid, __rlimit_resource_t resource, const struct rlimit64 *new,
		     struct rlimit64 *old)
{
	return prlimit(pid, resource, (const struct rlimit *)new, (struct rlimit *)old);
}

EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *ret)
{
	return prlimit(0, resource, NULL, ret);
}

EXPORT int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *ret)
{
	return prlimit64(0, resource, NULL, ret);
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *new)
{
	return prlimit(0, resource, new, NULL);
}

EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *new)
{
	return prlimit64(0, resource, new, NULL);
}

EXPORT long sysconf(int name)
{
	struct rlimit r;

	if (name != _SC_OPEN_MAX || getrlimit(RLIMIT_NOFILE, &r) < 0)
		return real()->sysconf(name);
	return r.rlim_cur == RLIM_INFINITY ? -1 : (long)r.rlim_cur;
}

EXPORT int getdtablesize(void)
{
	return (int)sysconf(_SC_OPEN_MAX);
}
