/* SPDX-License-Identifier: MIT */
/*
 * signal.c - signal(7): which calls a handler interrupts, which go on, and SIGPIPE.
 *
 * A thread keeps sending the signal until the call has returned, so that it does not matter when
 * the call began to sleep.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sem.h"

/* Global: a signal handler has no other place. */
static volatile sig_atomic_t handled;
/* Global: as above. */
static int handler_sends_on = -1;
/* Global: as above. */
static sigjmp_buf out_of_it;

static void handler(int number)
{
	(void)number;
	handled = 1;
	if (handler_sends_on >= 0)
		(void)!write(handler_sends_on, "h", 1);
}

static void jumper(int number)
{
	(void)number;
	siglongjmp(out_of_it, 1);
}

static void install(void (*what)(int), int flags)
{
	struct sigaction action = { .sa_handler = what, .sa_flags = flags };

	(void)sigaction(SIGUSR1, &action, NULL); /* cannot fail with these arguments */
}

struct pester {
	pthread_t victim, thread;
	atomic_bool enough;
	struct pair *feed; /* given a byte once the handler has run */
	char fed[2];
};

static void *pester(void *arg)
{
	struct pester *p = arg;
	bool fed = false;

	/* Relaxed: nothing but the flag itself matters. */
	while (!atomic_load_explicit(&p->enough, memory_order_relaxed)) {
		if (!handled || !p->feed)
			(void)pthread_kill(p->victim, SIGUSR1);
		else if (!fed)
			fed = far_send(p->feed, p->fed) == 1;
		(void)poll(NULL, 0, 3); /* the victim shall come to sleep */
	}
	return NULL;
}

/* @feed: the call goes on after the handler, and must be given something to return for. */
static void pester_start(struct pester *p, struct pair *feed)
{
	memset(p, 0, sizeof(*p));
	p->victim = pthread_self();
	p->feed = feed;
	p->fed[0] = 'f';
	(void)pthread_create(&p->thread, NULL, pester, p);
}

static void pester_stop(struct pester *p)
{
	int saved = errno;

	atomic_store_explicit(&p->enough, true, memory_order_relaxed);
	(void)pthread_join(p->thread, NULL);
	fact("handled %d", (int)handled);
	errno = saved;
}

static void signal_interrupts_recv(void)
{
	struct pair p = pair_open();
	struct pester q;

	install(handler, 0);
	pester_start(&q, NULL);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(read(p.fd, &(char){ 0 }, 1));
	pester_stop(&q);
}

static void signal_restarts_recv(void)
{
	struct pair p = pair_open();
	struct pester q;

	install(handler, SA_RESTART);
	pester_start(&q, &p);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	pester_stop(&q);
}

static void signal_with_timeout_is_not_restarted(void)
{
	struct pair p = pair_open();
	struct timeval t = { .tv_sec = 8 };
	struct pester q;

	(void)setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)); /* judged by its effect */
	install(handler, SA_RESTART);
	pester_start(&q, NULL);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	pester_stop(&q);
}

static void signal_interrupts_waitall_with_a_part(void)
{
	struct pair p = pair_open();
	char buf[8];
	struct pester q;

	(void)far_send(&p, "abc");
	wait_bytes(p.fd, 3);
	install(handler, 0);
	pester_start(&q, NULL);
	fact_bytes("recv", recv(p.fd, buf, 8, MSG_WAITALL), buf);
	pester_stop(&q);
}

static void signal_interrupts_send(void)
{
	struct pair p = pair_open_small();
	struct pester q;

	(void)fill(p.fd);
	install(handler, 0);
	pester_start(&q, NULL);
	CALL(send(p.fd, "a", 1, 0));
	pester_stop(&q);
}

static void signal_interrupts_send_with_a_part(void)
{
	static char big[8 << 20];
	struct pair p = pair_open_small();
	struct pester q;
	ssize_t n;

	install(handler, 0);
	pester_start(&q, NULL);
	do
		n = send(p.fd, big, sizeof(big), 0);
	while (n > 0 && n < 100); /* interrupted before it had much to do */
	fact("a part %d", n > 0 && n < (ssize_t)sizeof(big));
	pester_stop(&q);
}

static void signal_interrupts_accept(void)
{
	uint16_t port;
	int l = listener_open(&port);
	struct pester q;

	install(handler, 0);
	pester_start(&q, NULL);
	CALL(accept(l, NULL, NULL));
	pester_stop(&q);
}

static void signal_interrupts_poll(void)
{
	struct pair p = pair_open();
	struct pester q;

	install(handler, SA_RESTART);
	pester_start(&q, NULL);
	fact_poll(p.fd, POLLIN, -1);
	pester_stop(&q);
}

static void signal_interrupts_select(void)
{
	struct pair p = pair_open();
	struct pester q;
	fd_set r;

	FD_ZERO(&r);
	FD_SET(p.fd, &r);
	install(handler, SA_RESTART);
	pester_start(&q, NULL);
	CALL(select(p.fd + 1, &r, NULL, NULL, NULL));
	pester_stop(&q);
}

static void signal_interrupts_epoll(void)
{
	struct pair p = pair_open();
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0);
	struct pester q;

	(void)epoll_ctl(ep, EPOLL_CTL_ADD, p.fd, &e); /* judged by the wait */
	install(handler, SA_RESTART);
	pester_start(&q, NULL);
	CALL(epoll_wait(ep, &e, 1, -1));
	pester_stop(&q);
}

/* A signal that is blocked and pending is let in by the masks of these calls, and ends them. */
static void signal_pending_ends_ppoll(void)
{
	struct pair p = pair_open();
	struct pollfd f = { .fd = p.fd, .events = POLLIN };
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0);
	sigset_t usr1, none;
	fd_set r;

	(void)sigemptyset(&none);
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, p.fd, &e); /* judged by the wait */
	install(handler, 0);
	(void)pthread_kill(pthread_self(), SIGUSR1);
	fact("blocked %d", handled == 0);
	CALL(ppoll(&f, 1, NULL, &none));
	(void)pthread_kill(pthread_self(), SIGUSR1);
	CALL(epoll_pwait(ep, &e, 1, -1, &none));
	(void)pthread_kill(pthread_self(), SIGUSR1);
	FD_ZERO(&r);
	FD_SET(p.fd, &r);
	CALL(pselect(p.fd + 1, &r, NULL, NULL, NULL, &none));
	fact("handled %d", (int)handled);
}

static void signal_handler_may_send(void)
{
	struct pair p = pair_open(), other = pair_open();
	struct pester q;
	char c = 0;

	handler_sends_on = other.fd;
	install(handler, SA_RESTART);
	pester_start(&q, &p);
	CALL(recv(p.fd, &c, 1, 0));
	pester_stop(&q);
	CALL(far_recv(&other, &c, 1));
	fact("'%c'", c);
}

static void signal_handler_may_jump_out(void)
{
	struct pair p = pair_open();
	struct pester q;
	sigset_t usr1;
	char buf[8];

	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	install(jumper, 0);
	if (sigsetjmp(out_of_it, 1) == 0) {
		(void)pthread_sigmask(SIG_BLOCK, &usr1, NULL); /* not out of pthread_create */
		pester_start(&q, NULL);
		(void)pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
		CALL(recv(p.fd, buf, 1, 0));
	}
	install(SIG_IGN, 0);
	atomic_store_explicit(&q.enough, true, memory_order_relaxed);
	(void)pthread_join(q.thread, NULL);
	fact("jumped");
	(void)far_send(&p, "on");
	fact_bytes("recv", recv(p.fd, buf, 2, MSG_WAITALL), buf);
	CALL(send(p.fd, "a", 1, 0));
	CALL(close(p.fd));
}

static void signal_ignored_does_not_interrupt(void)
{
	struct pair p = pair_open();

	install(SIG_IGN, 0);
	(void)pthread_kill(pthread_self(), SIGUSR1);
	far_start_send(&p, "x");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	(void)far_finish(&p);
}

static void sigpipe_ignored(void)
{
	struct pair p = pair_open();

	(void)signal(SIGPIPE, SIG_IGN);
	CALL(shutdown(p.fd, SHUT_WR));
	CALL(send(p.fd, "a", 1, 0));
	CALL(write(p.fd, "a", 1));
}

static void sigpipe_blocked_is_pending(void)
{
	struct pair p = pair_open();
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	CALL(shutdown(p.fd, SHUT_WR));
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpending(&set));
	fact("pending %d", sigismember(&set, SIGPIPE));
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
}

/* By default it ends the process: a child that makes its own sockets shows it. */
static void sigpipe_kills(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct ends e = ends_open();

		(void)signal(SIGPIPE, SIG_DFL);
		(void)shutdown(e.c, SHUT_WR);
		(void)send(e.c, "a", 1, 0); /* does not return */
		_exit(0);
	}
	(void)waitpid(child, &status, 0);
	fact("killed %d by SIGPIPE %d", !!WIFSIGNALED(status), WTERMSIG(status) == SIGPIPE);
}

const struct sem_case cases_signal[] = {
	FAR_CASE(signal_interrupts_recv),
	FAR_CASE(signal_restarts_recv),
	FAR_CASE(signal_with_timeout_is_not_restarted),
	FAR_CASE(signal_interrupts_waitall_with_a_part),
	FAR_CASE(signal_interrupts_send),
	FAR_CASE(signal_interrupts_send_with_a_part),
	CASE(signal_interrupts_accept),
	FAR_CASE(signal_interrupts_poll),
	FAR_CASE(signal_interrupts_select),
	FAR_CASE(signal_interrupts_epoll),
	FAR_CASE(signal_pending_ends_ppoll),
	FAR_CASE(signal_handler_may_send),
	FAR_CASE(signal_handler_may_jump_out),
	FAR_CASE(signal_ignored_does_not_interrupt),
	FAR_CASE(sigpipe_ignored),
	FAR_CASE(sigpipe_blocked_is_pending),
	CASE(sigpipe_kills),
	CASES_END,
};
