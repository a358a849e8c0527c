/* SPDX-License-Identifier: MIT */
/*
 * handler.c - signal handlers, which may do with our sockets what signal-safety(7) allows.
 *
 * Our calls take locks, and one that the interrupted thread holds would never come free for its
 * handler. So we stand before each handler: while its thread holds a lock it waits, and with it
 * every other signal of the thread, until there is none. That is soon: a holder sleeps only for an
 * answer of the daemon. It runs on the thread's own stack then, not on an alternate one.
 *
 * What is installed the kernel knows, but for the handler's address. What the thread has just done
 * wrong itself (SIGSEGV and the like) waits for nothing, and a handler that is installed past the
 * C library, or with the deprecated sigset(3), is not seen.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "../lock.h"
#include "handler.h"
#include "real.h"

typedef void handler(int nr, siginfo_t *info, void *context);

/* Global: why: handlers are the process's. */
static _Atomic(handler *) handlers[NSIG];

/* The handler that waits: the others are blocked. Global: why: of the thread. */
static _Thread_local struct {
	struct lock_later later;
	handler *run; /* NULL: none does */
	siginfo_t info;
	sigset_t within; /* what is blocked while it runs */
	sigset_t behind; /* and when it has returned */
	pid_t pid;
} waiting __attribute__((tls_model("initial-exec")));

static bool is_fault(int nr)
{
	return nr == SIGSEGV || nr == SIGBUS || nr == SIGFPE || nr == SIGILL || nr == SIGTRAP ||
	       nr == SIGSYS;
}

static void run_later(struct lock_later *l)
{
	handler *run = waiting.run;
	siginfo_t info = waiting.info;
	sigset_t within = waiting.within;
	ucontext_t context;

	(void)l;
	memset(&context, 0, sizeof(context));
	(void)getcontext(&context); /* cannot fail */
	context.uc_sigmask = waiting.behind;
	waiting.run = NULL;
	/* Cannot fail, both. From here on others come, within this one or to wait themselves. */
	(void)pthread_sigmask(SIG_SETMASK, &within, NULL);
	run(info.si_signo, &info, &context);
	(void)pthread_sigmask(SIG_SETMASK, &context.uc_sigmask, NULL);
}

/* Until the interrupted code holds no lock, it is interrupted by nothing but its faults. */
static void wait_for_locks(int nr, handler *run, const siginfo_t *info, ucontext_t *context)
{
	sigset_t all;

	sigfillset(&all);
	for (int i = 1; i < NSIG; i++)
		if (is_fault(i))
			sigdelset(&all, i);
	waiting.later.run = run_later;
	waiting.run = run;
	waiting.info = *info;
	waiting.info.si_signo = nr;
	waiting.pid = getpid();
	(void)pthread_sigmask(SIG_BLOCK, NULL, &waiting.within); /* cannot fail */
	sigemptyset(&waiting.behind);
	/* The kernel's set is the first word of the C library's. */
	memcpy(&waiting.behind, &context->uc_sigmask, sizeof(uint64_t));
	memcpy(&context->uc_sigmask, &all, sizeof(uint64_t));
	(void)lock_put_off(&waiting.later); /* there is a lock, as the caller has seen */
}

static void on_signal(int nr, siginfo_t *info, void *context)
{
	/* Relaxed, both: it was set before this was installed; of this thread. */
	handler *run = atomic_load_explicit(&handlers[nr], memory_order_relaxed);

	if (atomic_load_explicit(&lock_held, memory_order_relaxed) > 0)
		wait_for_locks(nr, run, info, context);
	else
		run(nr, info, context);
}

void handler_fork_child(void)
{
	if (!waiting.run)
		return;
	if (waiting.pid == getpid()) {
		(void)lock_put_off(&waiting.later); /* it came to the child, under its locks */
		return;
	}
	waiting.run = NULL;
	(void)pthread_sigmask(SIG_SETMASK, &waiting.behind, NULL); /* cannot fail */
}

/* Whether we stand before @what, a handler of @nr. */
static bool is_ours(int nr, sighandler_t what)
{
	return nr > 0 && nr < NSIG && !is_fault(nr) && what != SIG_DFL && what != SIG_IGN &&
	       what != SIG_ERR;
}

/* Before it is installed. Returns what was there. */
static handler *handler_set(int nr, handler *to)
{
	/* Relaxed: the kernel orders it with the call. */
	return atomic_exchange_explicit(&handlers[nr], to, memory_order_relaxed);
}

static handler *handler_get(int nr)
{
	/* Relaxed: as above. */
	return nr > 0 && nr < NSIG ? atomic_load_explicit(&handlers[nr], memory_order_relaxed) :
				     NULL;
}

EXPORT int sigaction(int nr, const struct sigaction *__restrict act,
		     struct sigaction *__restrict old)
{
	handler *before = handler_get(nr);
	struct sigaction ours;
	int ret;

	if (act && is_ours(nr, act->sa_handler)) {
		ours = *act;
		ours.sa_sigaction = on_signal;
		before = handler_set(nr, act->sa_sigaction);
		act = &ours;
	}
	ret = real()->sigaction(nr, act, old);
	if (ret < 0 && act == &ours)
		(void)handler_set(nr, before); /* SIGKILL's, for one */
	else if (ret == 0 && old && old->sa_sigaction == on_signal)
		old->sa_sigaction = before;
	return ret;
}

/* The C library has these; its headers do not name them. */
int __sigaction(int nr, const struct sigaction *act, struct sigaction *old);
sighandler_t bsd_signal(int nr, sighandler_t what);

EXPORT int __sigaction(int nr, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(nr, act, old);
}

/* signal(3) and its elder brothers: each has flags of its own. */
static sighandler_t install(int nr, sighandler_t what, sighandler_t (*by)(int, sighandler_t))
{
	bool ours = is_ours(nr, what);
	handler *before = ours ? handler_set(nr, (handler *)(void *)what) : handler_get(nr);
	sighandler_t old = by(nr, ours ? (sighandler_t)(void *)on_signal : what);

	if (old == SIG_ERR && ours)
		(void)handler_set(nr, before);
	return old == (sighandler_t)(void *)on_signal ? (sighandler_t)(void *)before : old;
}

EXPORT sighandler_t signal(int nr, sighandler_t what)
{
	return install(nr, what, real()->signal);
}

EXPORT sighandler_t bsd_signal(int nr, sighandler_t what)
{
	return install(nr, what, real()->signal);
}

EXPORT sighandler_t ssignal(int nr, sighandler_t what)
{
	return install(nr, what, real()->signal);
}

EXPORT sighandler_t sysv_signal(int nr, sighandler_t what)
{
	return install(nr, what, real()->sysv_signal);
}

EXPORT sighandler_t __sysv_signal(int nr, sighandler_t what)
{
	return install(nr, what, real()->sysv_signal);
}
