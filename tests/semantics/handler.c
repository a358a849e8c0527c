/* SPDX-License-Identifier: MIT */
/*
 * handler.c - signal-safety(7): what a handler may do with sockets, wherever the call was that it
 * interrupts; and sigaction(2) as a program sees it.
 *
 * A timer sends the signal again and again, so that it comes within each call sooner or later.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sem.h"

#define TIMES 2000  /* a handler runs in a case */
#define SOON  30000 /* ns: some calls of the thread */

/* Global: a signal handler has no other place. */
static volatile sig_atomic_t handled;
/* Global: as above. */
static volatile sig_atomic_t odd; /* things that a handler has seen and must not */
/* Global: as above. */
static int of_handler = -1; /* a descriptor */
/* Global: as above. */
static uint16_t port_of_handler;
/* Global: as above. */
static long sent_by_handler, received_by_handler;
/* Global: as above. */
static sigjmp_buf out_of_it;

static void install(void (*what)(int), int flags)
{
	struct sigaction action = { .sa_handler = what, .sa_flags = flags };

	(void)sigaction(SIGUSR1, &action, NULL); /* cannot fail with these arguments */
}

/* Global: why: of the case, which is the process. */
static timer_t timer;

/* SIGUSR1 is to come to this thread, with 42. */
static void signals_begin(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

	event._sigev_un._tid = gettid(); /* which this C library has no name for */
	event.sigev_value.sival_int = 42;
	(void)timer_create(CLOCK_MONOTONIC, &event, &timer);
	handled = 0;
	odd = 0;
}

/* As rand(3), of which a handler must not jump out: it has a lock. */
static uint32_t any(uint32_t below)
{
	/* Global: why: each is made of the last. */
	static uint32_t last = 1;

	last = last * 1664525u + 1013904223u;
	return (last >> 8) % below;
}

/* One, in a while of no importance, @most_ns at most: wherever the thread is then. */
static void signal_soon(uint32_t most_ns)
{
	struct itimerspec when = { .it_value.tv_nsec = 1 + any(most_ns) };

	(void)timer_settime(timer, 0, &when, NULL);
}

static void signals_end(void)
{
	(void)timer_delete(timer);
	install(SIG_IGN, 0);
	fact("odd %d", (int)odd);
}

/* ---- sending, receiving and polling ---- */

static ssize_t send_one(int fd)
{
	ssize_t n = send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 && errno == EAGAIN ? 0 : n;
}

static ssize_t receive_some(int fd)
{
	char buf[64];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	return n < 0 && errno == EAGAIN ? 0 : n;
}

static void exchanger(int number)
{
	int err = errno;
	struct pollfd p = { .fd = of_handler, .events = POLLIN | POLLOUT };
	ssize_t sent = send_one(of_handler), received = receive_some(of_handler);

	(void)number;
	odd += sent < 0 || received < 0 || poll(&p, 1, 0) < 0 || p.revents & (POLLERR | POLLHUP);
	sent_by_handler += sent;
	received_by_handler += received;
	handled++;
	errno = err;
}

/* Both the thread and its handler use the one stream: every byte comes back once. */
static void handler_uses_the_socket_of_its_thread(void)
{
	struct pair p = pair_open();
	long sent = 0, received = 0;

	far_start_echo(&p);
	of_handler = p.fd;
	install(exchanger, SA_RESTART);
	signals_begin();
	while (handled < TIMES) {
		struct pollfd f = { .fd = p.fd, .events = POLLIN };

		signal_soon(SOON);
		sent += send_one(p.fd);
		received += receive_some(p.fd);
		(void)poll(&f, 1, 0);
	}
	signals_end();
	CALL(shutdown(p.fd, SHUT_WR));
	sent += sent_by_handler;
	received += received_by_handler;
	while (received < sent && wait_for(p.fd, POLLIN) > 0) {
		ssize_t n = receive_some(p.fd);

		if (n <= 0)
			break;
		received += n;
	}
	fact("all came back %d", received == sent && sent > TIMES);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	(void)far_finish(&p);
}

static void asker(int number)
{
	int err = errno;
	int fds[2] = { dup(of_handler), tcp_socket() };
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	fd_set r;

	(void)number;
	FD_ZERO(&r);
	FD_SET(of_handler, &r);
	odd += getpeername(of_handler, (struct sockaddr *)&a, &len) < 0;
	odd += set_option(of_handler, IPPROTO_TCP, TCP_NODELAY, 1) < 0;
	odd += option(of_handler, IPPROTO_TCP, TCP_NODELAY) != 1;
	odd += fcntl(of_handler, F_GETFL) < 0;
	odd += select(of_handler + 1, &r, NULL, NULL, &(struct timeval){ 0 }) < 0;
	odd += fds[0] < 0 || fds[1] < 0 || close(fds[0]) < 0 || close(fds[1]) < 0;
	handled++;
	errno = err;
}

static void handler_asks_and_copies(void)
{
	struct pair p = pair_open();

	of_handler = p.fd;
	install(asker, SA_RESTART);
	signals_begin();
	while (handled < TIMES) {
		int copy = dup(p.fd), fresh = tcp_socket();

		signal_soon(SOON);
		(void)set_option(p.fd, IPPROTO_TCP, TCP_NODELAY, 1);
		(void)option(p.fd, SOL_SOCKET, SO_ERROR);
		(void)send_one(p.fd);
		(void)close(fresh);
		(void)close(copy);
		free(malloc(any(5000))); /* a handler must do without */
	}
	signals_end();
	(void)far_send(&p, "well");
	CALL(recv(p.fd, &(char[4]){ 0 }, 4, MSG_WAITALL));
}

/* ---- whole connections ---- */

/* A handler interrupts poll(2), always. */
static bool readable(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&f, 1, WAIT_MS);
	while (n < 0 && errno == EINTR);
	return n > 0 && f.revents & POLLIN;
}

/* Connects, is accepted, says something and closes. */
static bool one_connection(int l, uint16_t port)
{
	int c = tcp_socket(), s = -1;
	struct sockaddr_in a = near_addr(port);
	char got = 0;
	bool well;

	set_nonblocking(c, true);
	well = connect(c, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS;
	if (well && readable(l))
		s = accept(l, NULL, NULL);
	well = s >= 0 && send(s, "x", 1, MSG_NOSIGNAL) == 1 && readable(c) &&
	       recv(c, &got, 1, 0) == 1 && got == 'x';
	if (s >= 0)
		(void)close(s);
	(void)close(c);
	return well;
}

static void connector(int number)
{
	int err = errno;

	(void)number;
	odd += !one_connection(of_handler, port_of_handler);
	handled++;
	errno = err;
}

static void handler_makes_connections_beside_its_thread(void)
{
	uint16_t port;
	int l = listener_open(&port), well = 0;

	of_handler = listener_open(&port_of_handler);
	set_nonblocking(l, true);
	set_nonblocking(of_handler, true);
	install(connector, SA_RESTART);
	signals_begin();
	while (handled < TIMES / 10) {
		signal_soon(SOON);
		well += one_connection(l, port);
		free(malloc(any(5000)));
	}
	signals_end();
	fact("well %d", well > 0);
}

/* ---- jumping out, wherever the call was ---- */

static void jumper(int number)
{
	(void)number;
	handled++;
	siglongjmp(out_of_it, 1);
}

static void handler_jumps_out_of_calls_that_do_not_wait(void)
{
	struct pair p = pair_open();
	char buf[8];
	sigset_t usr1;

	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	install(jumper, 0);
	(void)pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	signals_begin();
	(void)sigsetjmp(out_of_it, 1);
	(void)pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	while (handled < TIMES / 4) {
		struct pollfd f = { .fd = p.fd, .events = POLLIN | POLLOUT };

		signal_soon(SOON);
		(void)receive_some(p.fd);
		(void)poll(&f, 1, 0);
		(void)option(p.fd, SOL_SOCKET, SO_ERROR);
	}
	(void)pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	signals_end();
	(void)far_send(&p, "on");
	fact_bytes("recv", recv(p.fd, buf, 2, MSG_WAITALL), buf);
	CALL(send(p.fd, "a", 1, 0));
	CALL(close(p.fd));
}

/* ---- close in a handler, wherever the call was that it interrupts ---- */

static void closer(int number)
{
	int err = errno;

	(void)number;
	(void)close(of_handler);
	handled = 1;
	errno = err;
}

/* Until @call fails, for the handler has closed @fd: with what errno. */
static int closed_within(int fd, bool (*call)(int fd))
{
	int err;

	of_handler = fd;
	handled = 0;
	install(closer, SA_RESTART);
	signal_soon(300000);
	while (call(fd))
		;
	err = errno;
	install(SIG_IGN, 0);
	return err;
}

static bool looks_for_a_client(int l)
{
	int s = accept(l, NULL, NULL);

	if (s >= 0)
		(void)close(s);
	return s >= 0 || errno == EAGAIN;
}

static void handler_closes_a_listener(void)
{
	int well = 0;

	signals_begin();
	for (int i = 0; i < 300; i++) {
		uint16_t port;
		int l = listener_open(&port);

		(void)fcntl(l, F_SETFL, O_NONBLOCK);
		well += closed_within(l, looks_for_a_client) == EBADF;
	}
	signals_end();
	fact("well %d", well);
}

static bool sends_and_reads(int fd)
{
	char buf[64];

	if (send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		return false;
	return recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == EAGAIN;
}

/* So many connections, each closed within @call. */
static void closed_connections(int nr, bool (*call)(int fd))
{
	int well = 0;

	signals_begin();
	for (int i = 0; i < nr; i++) {
		struct pair p = pair_open();

		well += closed_within(p.fd, call) == EBADF;
		far_close(&p);
	}
	signals_end();
	fact("well %d", well);
}

static void handler_closes_a_connection(void)
{
	closed_connections(300, sends_and_reads);
}

static bool waits_for_a_byte(int fd)
{
	return recv(fd, &(char){ 0 }, 1, 0) > 0;
}

static void handler_closes_what_is_read(void)
{
	closed_connections(50, waits_for_a_byte);
}

static bool waits_for_a_client(int l)
{
	return accept(l, NULL, NULL) >= 0 || errno == EINTR;
}

static void handler_closes_what_accepts(void)
{
	int well = 0;

	signals_begin();
	for (int i = 0; i < 50; i++) {
		uint16_t port;

		well += closed_within(listener_open(&port), waits_for_a_client) == EBADF;
	}
	signals_end();
	fact("well %d", well);
}

/* ---- sigaction(2) ---- */

static void witness(int number, siginfo_t *info, void *context)
{
	sigset_t blocked;

	(void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	odd += number != SIGUSR1 || info->si_signo != SIGUSR1 || info->si_code != SI_TIMER;
	odd += info->si_value.sival_int != 42 || !context;
	odd += !sigismember(&blocked, SIGUSR1) || !sigismember(&blocked, SIGUSR2) ||
	       sigismember(&blocked, SIGTERM);
	handled++;
}

static bool blocks_nothing(void)
{
	sigset_t blocked;

	(void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&blocked, i) == 1)
			return false;
	return true;
}

/* With what the timer sends, and with what sigaction has asked to block; afterwards nothing is. */
static void handler_is_called_as_was_asked(void)
{
	struct sigaction action = { .sa_sigaction = witness, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct pair p = pair_open();

	(void)sigemptyset(&action.sa_mask);
	(void)sigaddset(&action.sa_mask, SIGUSR2);
	CALL(sigaction(SIGUSR1, &action, NULL));
	signals_begin();
	while (handled < TIMES) {
		signal_soon(SOON);
		(void)send_one(p.fd);
		(void)receive_some(p.fd);
		odd += !blocks_nothing();
	}
	signals_end();
}

static void counter(int number)
{
	(void)number;
	handled++;
}

static void handler_is_shown_as_it_was_set(void)
{
	struct sigaction action = { .sa_sigaction = witness, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction old;

	(void)sigemptyset(&action.sa_mask);
	(void)sigaddset(&action.sa_mask, SIGHUP);
	CALL(sigaction(SIGUSR1, &action, NULL));
	CALL(sigaction(SIGUSR1, NULL, &old));
	fact("the same %d, flags %d, mask %d", old.sa_sigaction == witness,
	     old.sa_flags & SA_SIGINFO && old.sa_flags & SA_NODEFER &&
		     !(old.sa_flags & SA_RESTART),
	     sigismember(&old.sa_mask, SIGHUP) && !sigismember(&old.sa_mask, SIGTERM));
	old.sa_flags |= SA_RESTART; /* as siginterrupt(3) does */
	CALL(sigaction(SIGUSR1, &old, NULL));
	CALL(sigaction(SIGUSR1, NULL, &old));
	fact("the same %d, restarts %d", old.sa_sigaction == witness,
	     !!(old.sa_flags & SA_RESTART));
	fact("signal: the old %d", signal(SIGUSR1, counter) == (void (*)(int))(void *)witness);
	fact("again: the old %d", signal(SIGUSR1, SIG_IGN) == counter);
	fact("ignored %d", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	fact("default %d", signal(SIGUSR1, SIG_DFL) == SIG_DFL);
	fact("SIGKILL: error %d", signal(SIGKILL, counter) == SIG_ERR);
	CALL(sigaction(SIGKILL, &action, NULL));
	CALL(sigaction(0, &action, NULL));
	CALL(sigaction(NSIG, &action, &old));
	CALL(sigaction(-1, NULL, &old));
	action.sa_handler = counter;
	action.sa_flags = (int)SA_RESETHAND;
	CALL(sigaction(SIGUSR2, &action, NULL));
	CALL(raise(SIGUSR2));
	CALL(sigaction(SIGUSR2, NULL, &old));
	fact("handled %d, then the default %d", (int)handled, old.sa_handler == SIG_DFL);
}

/* A child has its parent's handlers, but not the signals that its parent was to handle. */
static void handler_stays_in_a_forked_child(void)
{
	struct pair p = pair_open();
	int well = 0;

	install(counter, SA_RESTART);
	signals_begin();
	for (int i = 0; i < 100; i++) {
		int status = -1;
		pid_t child;

		signal_soon(SOON);
		(void)send_one(p.fd);
		child = fork();
		if (child == 0) {
			handled = 0;
			(void)raise(SIGUSR1);
			_exit(blocks_nothing() && handled == 1 ? 7 : 1);
		}
		(void)waitpid(child, &status, 0);
		well += WIFEXITED(status) && WEXITSTATUS(status) == 7;
	}
	signals_end();
	fact("well %d", well);
}

const struct sem_case cases_handler[] = {
	FAR_CASE(handler_uses_the_socket_of_its_thread),
	FAR_CASE(handler_asks_and_copies),
	CASE(handler_makes_connections_beside_its_thread),
	FAR_CASE(handler_jumps_out_of_calls_that_do_not_wait),
	CASE(handler_closes_a_listener),
	FAR_CASE(handler_closes_a_connection),
	FAR_CASE(handler_closes_what_is_read),
	CASE(handler_closes_what_accepts),
	FAR_CASE(handler_is_called_as_was_asked),
	CASE(handler_is_shown_as_it_was_set),
	FAR_CASE(handler_stays_in_a_forked_child),
	CASES_END,
};
