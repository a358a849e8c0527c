/* SPDX-License-Identifier: MIT */
/*
 * quiet.c - which system calls a program makes that exchanges messages at an epoll: under ncd-run
 * none but those to sleep and to wake. To be started by ncd-run, with an echo server at PORT.
 *
 *   quiet ADDRESS PORT ROUNDS
 *
 * Says "quiet", or the number of the first call that is none of these, with status 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALLOW(call) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* To sleep, and to take what woke us; to wake a worker that sleeps, or let it have the core; the
 * clock, where the vDSO has none; a first look at where events are written; what the end takes. */
static const struct sock_filter quiet[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(epoll_pwait),
	ALLOW(futex),
	ALLOW(write),
	ALLOW(recvfrom),
	ALLOW(sched_yield),
	ALLOW(clock_gettime),
	ALLOW(getcpu),
#ifdef SYS_epoll_wait
	ALLOW(epoll_wait),
#endif
	ALLOW(rt_sigreturn),
	ALLOW(exit_group),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
};

static void trapped(int sig, siginfo_t *info, void *context)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "system call %d\n", info->si_syscall);

	(void)sig;
	(void)context;
	(void)!write(STDOUT_FILENO, text, (size_t)n);
	_exit(1);
}

static int fail(const char *what)
{
	(void)fprintf(stderr, "quiet: %s: %s\n", what, strerror(errno));
	return 1;
}

/* One message there and back, with what programs ask of an epoll in between. */
static int exchange(int ep, int s)
{
	struct epoll_event out = { .events = EPOLLOUT, .data.fd = s }, got;
	struct epoll_event in = { .events = EPOLLIN, .data.fd = s };
	char to[64] = "a message", from[64];

	if (epoll_ctl(ep, EPOLL_CTL_ADD, s, &out) < 0 || epoll_wait(ep, &got, 1, -1) != 1 ||
	    !(got.events & EPOLLOUT))
		return fail("writable");
	if (send(s, to, sizeof(to), 0) != sizeof(to) || epoll_ctl(ep, EPOLL_CTL_MOD, s, &in) < 0)
		return fail("send");
	for (size_t have = 0; have < sizeof(from);) {
		ssize_t n = -1;

		if (epoll_wait(ep, &got, 1, -1) == 1)
			n = read(s, from + have, sizeof(from) - have);
		if (n <= 0)
			return fail("receive");
		have += (size_t)n;
	}
	if (memcmp(to, from, sizeof(to)) != 0 || epoll_ctl(ep, EPOLL_CTL_DEL, s, NULL) < 0)
		return fail("what came back");
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_filter filter[sizeof(quiet) / sizeof(quiet[0])];
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
	int s, ep, ret;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		(void)fprintf(stderr, "usage: quiet ADDRESS PORT ROUNDS\n");
		return 2;
	}
	memcpy(filter, quiet, sizeof(filter)); /* the kernel's struct knows no const */
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	s = socket(AF_INET, SOCK_STREAM, 0);
	ep = epoll_create1(0);
	if (s < 0 || ep < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)) < 0)
		return fail("connect");
	ret = exchange(ep, s); /* what is only done once */
	if (ret == 0 && (sigaction(SIGSYS, &action, NULL) < 0 ||
			 prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			 prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0))
		return fail("no filter");
	for (unsigned long i = strtoul(argv[3], NULL, 10); i > 0 && ret == 0; i--)
		ret = exchange(ep, s);
	if (ret == 0)
		(void)!write(STDOUT_FILENO, "quiet\n", 6);
	_exit(ret);
}
