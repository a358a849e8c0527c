/* SPDX-License-Identifier: MIT */
/*
 * stats_guard.c - answers SIGBUS in the counter page with memory.
 */
#include "stats_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "ncd/limits.h"

/* Global: why: a signal handler has no context. Constant while other threads use the page. */
static struct {
	uintptr_t begin, end;
	_Atomic uint32_t lost;
} guard;

/*
 * Two threads may meet here for one page; what the first has stored meanwhile is lost with the rest
 * of it. These are numbers to be looked at.
 */
static void bus_error(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)(NCD_PAGE - 1);
	int err = errno;

	(void)context;
	if (at < guard.begin || at >= guard.end ||
	    mmap((void *)at, NCD_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		(void)signal(sig, SIG_DFL); /* the same access again, and the end */
	else
		/* Relaxed: a counter. */
		atomic_fetch_add_explicit(&guard.lost, 1, memory_order_relaxed);
	errno = err;
}

void stats_guard_set(void *base, size_t bytes)
{
	struct sigaction action = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO };

	guard.begin = (uintptr_t)base;
	guard.end = guard.begin + bytes;
	(void)sigemptyset(&action.sa_mask);     /* cannot fail */
	(void)sigaction(SIGBUS, &action, NULL); /* cannot fail for SIGBUS */
}

uint32_t stats_guard_lost(void)
{
	/* Relaxed: a counter. */
	return atomic_load_explicit(&guard.lost, memory_order_relaxed);
}
