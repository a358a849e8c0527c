/* SPDX-License-Identifier: MIT */
/*
 * measure_kernel.c - what the kernel asks for what a worker wants of it: prints costs (cost.h).
 *
 *   measure_kernel CORE-A CORE-B
 *
 * Two processes in turn, as a worker and its application, or as two workers, are. Times are of one
 * call each, on the core of who makes it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"
#include "sample.h"
#include "tcp_pair.h"

#define ROUNDS      1000u
#define WARM        100u
#define TRIES       20
#define SECONDS_MAX 60
#define SMALL_BYTES 128u
#define LARGE_BYTES 65536u
#define SETTLE_NS   60000u /* until who is about to sleep does */
#define COPY_BYTES  4096u
#define PIECES      16u /* copied at once, as a send gathers them */

/* What both processes see. */
struct both {
	_Atomic uint32_t turn; /* 0: the parent's, 1: the child's */
	_Atomic uint32_t stop;
	_Atomic uint32_t word; /* a futex */
	_Atomic uint64_t stamp_ns;
	struct sample one, two, three;
};

static _Noreturn void die(const char *what)
{
	perror(what);
	_exit(1); /* of a child, too: what the parent has printed is the parent's */
}

static struct both *both_make(void)
{
	void *p = mmap(NULL, sizeof(struct both), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* Waits for its turn; false: to stop. */
static bool turn_of(struct both *b, uint32_t who)
{
	while (atomic_load(&b->turn) != who)
		if (atomic_load(&b->stop) || sched_yield() < 0)
			return false;
	return !atomic_load(&b->stop);
}

typedef void role(struct both *b, int fd);

/* Runs @child on @cpu_child in another process, and @parent here, each with its end. */
static void pair_run(struct both *b, role *parent, role *child, int cpu, int cpu_child,
		     const int fd[2])
{
	pid_t pid;

	*b = (struct both){ .turn = 0 };
	pid = fork();
	if (pid < 0)
		die("fork");
	if (sample_pin(pid ? cpu : cpu_child) < 0)
		die("pinning to a core");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it would end by itself, later */
		child(b, fd[1]);
		_exit(0);
	}
	parent(b, fd[0]);
	atomic_store(&b->stop, 1);
	atomic_fetch_add(&b->word, 1);
	(void)syscall(SYS_futex, &b->word, FUTEX_WAKE, 1, NULL, NULL, 0); /* if it sleeps */
	if (waitpid(pid, NULL, 0) < 0)
		die("waitpid");
}

/* ---- sends and receives: the sender on one core, the receiver awake on the other ---- */

/* Global: what is sent and received does not matter. */
static uint8_t bytes[256u << 10];

static ssize_t call_send(int fd, size_t nr)
{
	struct iovec iov = { bytes, nr };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t call_recv(int fd)
{
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return recvmsg(fd, &msg, MSG_DONTWAIT);
}

static void receive_timed(struct both *b, int fd, size_t nr)
{
	uint64_t t = 0, begin;

	for (size_t got = 0; got < nr;) {
		ssize_t n;

		begin = sample_now_ns();
		n = call_recv(fd);
		if (n > 0)
			t += sample_now_ns() - begin;
		got += n > 0 ? (size_t)n : 0;
	}
	begin = sample_now_ns();
	(void)call_recv(fd); /* EAGAIN: that is what is measured */
	sample_add(&b->three, (double)(sample_now_ns() - begin));
	sample_add(&b->two, (double)t);
}

/* To and fro: acknowledgements ride with what goes back, as between two workers. */
static void exchange(struct both *b, int fd, uint32_t who, size_t nr)
{
	for (uint32_t i = 0; i < WARM + ROUNDS; i++) {
		uint64_t t;

		if (!turn_of(b, who))
			return;
		if (i == WARM && who == 0)
			b->one.nr = b->two.nr = b->three.nr = 0;
		if (who == 1 || i > 0)
			receive_timed(b, fd, nr);
		t = sample_now_ns();
		if (call_send(fd, nr) != (ssize_t)nr)
			die("sendmsg");
		sample_add(&b->one, (double)(sample_now_ns() - t));
		atomic_store(&b->turn, !who);
	}
}

static void small_first(struct both *b, int fd)
{
	exchange(b, fd, 0, SMALL_BYTES);
}

static void small_second(struct both *b, int fd)
{
	exchange(b, fd, 1, SMALL_BYTES);
}

static void large_first(struct both *b, int fd)
{
	exchange(b, fd, 0, LARGE_BYTES);
}

static void large_second(struct both *b, int fd)
{
	exchange(b, fd, 1, LARGE_BYTES);
}

/* Returns what a small send costs with all that is in it. */
static double measure_bytes(struct both *b, int cpu, int cpu_other, double clock)
{
	double send_s, recv_s, send_l, recv_l, empty, send_byte, recv_byte;
	int fd[2];

	if (!tcp_pair(fd))
		die("a TCP connection");
	pair_run(b, small_first, small_second, cpu, cpu_other, fd);
	send_s = sample_median(&b->one) - clock;
	recv_s = sample_median(&b->two) - clock;
	empty = sample_median(&b->three) - clock;
	close(fd[0]);
	close(fd[1]);
	if (!tcp_pair(fd))
		die("a TCP connection");
	pair_run(b, large_first, large_second, cpu, cpu_other, fd);
	send_l = sample_median(&b->one) - clock;
	recv_l = sample_median(&b->two) - clock;
	close(fd[0]);
	close(fd[1]);
	send_byte = (send_l - send_s) / (LARGE_BYTES - SMALL_BYTES);
	recv_byte = (recv_l - recv_s) / (LARGE_BYTES - SMALL_BYTES);
	cost_print(stdout, COST_SEND_CALL, 0, send_s - SMALL_BYTES * send_byte);
	cost_print(stdout, COST_SEND_BYTE, 0, send_byte);
	cost_print(stdout, COST_RECV_CALL, 0, recv_s - SMALL_BYTES * recv_byte);
	cost_print(stdout, COST_RECV_BYTE, 0, recv_byte);
	cost_print(stdout, COST_RECV_EMPTY, 0, empty > 0 ? empty : 0);
	return send_s;
}

/* ---- a send to who sleeps on the other core ---- */

static void rest(uint64_t ns)
{
	uint64_t end = sample_now_ns() + ns;

	while (sample_now_ns() < end)
		;
}

static void send_waking(struct both *b, int fd)
{
	for (uint32_t i = 0; i < WARM + ROUNDS; i++) {
		uint64_t begin, end;

		if (!turn_of(b, 0))
			return;
		rest(SETTLE_NS);
		begin = sample_now_ns();
		if (call_send(fd, SMALL_BYTES) != SMALL_BYTES)
			die("sendmsg");
		end = sample_now_ns();
		while (atomic_load(&b->stamp_ns) == 0)
			;
		if (i >= WARM) {
			uint64_t awake = atomic_load(&b->stamp_ns);

			sample_add(&b->one, (double)(end - begin));
			sample_add(&b->two, awake > end ? (double)(awake - end) : 0);
		}
		/* In this order: it gives the turn back when the stamp is gone. */
		atomic_store(&b->turn, 1);
		atomic_store(&b->stamp_ns, 0);
	}
	(void)turn_of(b, 0);              /* it stands before its last sleep */
	(void)call_send(fd, SMALL_BYTES); /* which this ends */
}

static void recv_sleeping(struct both *b, int fd)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll");
	while (!atomic_load(&b->stop)) {
		if (epoll_wait(ep, &ev, 1, -1) < 0)
			die("epoll_wait");
		atomic_store(&b->stamp_ns, sample_now_ns());
		while (call_recv(fd) > 0)
			;
		while (atomic_load(&b->stamp_ns) != 0 && !atomic_load(&b->stop))
			;
		atomic_store(&b->turn, 0);
	}
}

static void measure_waking_send(struct both *b, int cpu, int cpu_other, double clock, double awake)
{
	double sleeping;
	int fd[2];

	if (!tcp_pair(fd))
		die("a TCP connection");
	pair_run(b, send_waking, recv_sleeping, cpu, cpu_other, fd);
	sleeping = sample_median(&b->one) - clock;
	cost_print(stdout, COST_SEND_WAKES, 0, sleeping > awake ? sleeping - awake : 0);
	cost_print(stdout, COST_WAKE_DELAY, 0, sample_median(&b->two));
	close(fd[0]);
	close(fd[1]);
}

/* ---- two processes on one core ---- */

/* Who is woken may run before the wake is over: then the times are one, and do not count. This
 * makes it seldom. */
static void be_patient(void)
{
	const struct sched_param none = { .sched_priority = 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &none) < 0)
		die("SCHED_BATCH");
}

static void yield_parent(struct both *b, int fd)
{
	(void)fd;
	for (uint32_t i = 0; i < WARM + ROUNDS; i++) {
		uint64_t t = sample_now_ns();

		atomic_store(&b->turn, 1);
		while (atomic_load(&b->turn) != 0)
			if (sched_yield() < 0)
				die("sched_yield");
		t = sample_now_ns() - t;
		if (i >= WARM)
			sample_add(&b->one, (double)t / 2); /* there and back */
	}
}

static void yield_child(struct both *b, int fd)
{
	(void)fd;
	while (turn_of(b, 1))
		atomic_store(&b->turn, 0);
}

static void futex_child(struct both *b, int fd)
{
	(void)fd;
	be_patient();
	for (uint32_t seen = 0; !atomic_load(&b->stop);) {
		while (atomic_load(&b->word) == seen)
			(void)syscall(SYS_futex, &b->word, FUTEX_WAIT, seen, NULL, NULL, 0);
		seen = atomic_load(&b->word);
		atomic_store(&b->turn, 0);
	}
}

/* one: the wake alone; two: until it has been answered, and the answerer sleeps again. */
static void futex_parent(struct both *b, int fd)
{
	(void)fd;
	for (uint32_t i = 0; i < WARM + ROUNDS; i++) {
		uint64_t begin, woken;
		bool preempted;

		atomic_store(&b->turn, 1);
		begin = sample_now_ns();
		atomic_fetch_add(&b->word, 1);
		(void)syscall(SYS_futex, &b->word, FUTEX_WAKE, 1, NULL, NULL, 0); /* timed */
		woken = sample_now_ns();
		preempted = atomic_load(&b->turn) == 0;
		while (atomic_load(&b->turn) != 0)
			if (sched_yield() < 0)
				die("sched_yield");
		if (i >= WARM && !preempted) {
			sample_add(&b->one, (double)(woken - begin));
			sample_add(&b->two, (double)(sample_now_ns() - woken));
		}
	}
}

static void eventfd_child(struct both *b, int fd)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	eventfd_t n;

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll");
	be_patient();
	while (!atomic_load(&b->stop)) {
		if (epoll_wait(ep, &ev, 1, -1) < 0)
			die("epoll_wait");
		(void)eventfd_read(fd, &n); /* empties it */
		atomic_store(&b->turn, 0);
	}
}

static void eventfd_parent(struct both *b, int fd)
{
	for (uint32_t i = 0; i < WARM + ROUNDS; i++) {
		uint64_t begin, end;

		atomic_store(&b->turn, 1);
		begin = sample_now_ns();
		if (eventfd_write(fd, 1) < 0)
			die("eventfd");
		end = sample_now_ns();
		if (i >= WARM && atomic_load(&b->turn) == 1)
			sample_add(&b->one, (double)(end - begin));
		while (atomic_load(&b->turn) != 0)
			if (sched_yield() < 0)
				die("sched_yield");
	}
	atomic_store(&b->stop, 1);
	(void)eventfd_write(fd, 1); /* it sees that it is to stop */
}

/* Again until some wakes were not answered before they were over. */
static void pair_run_patient(struct both *b, role *parent, role *child, int cpu, const int fd[2])
{
	for (int i = 0; i < TRIES; i++) {
		pair_run(b, parent, child, cpu, cpu, fd);
		if (b->one.nr >= WARM)
			return;
	}
	fputs("measure_kernel: who is woken always runs at once\n", stderr);
	exit(1);
}

static void measure_one_core(struct both *b, int cpu, double clock)
{
	double change, wake, answer;
	const int none[2] = { -1, -1 };
	int fd[2];

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t t = sample_now_ns();

		(void)sched_yield(); /* timed */
		sample_add(&b->one, (double)(sample_now_ns() - t));
	}
	cost_print(stdout, COST_YIELD, 0, sample_median(&b->one) - clock);
	pair_run(b, yield_parent, yield_child, cpu, cpu, none);
	change = sample_median(&b->one);
	cost_print(stdout, COST_SWITCH, 0, change);
	pair_run_patient(b, futex_parent, futex_child, cpu, none);
	wake = sample_median(&b->one) - clock;
	answer = sample_median(&b->two);
	cost_print(stdout, COST_WAKE_APP, 0, wake);
	/* Two switches, and the other's falling asleep. */
	cost_print(stdout, COST_SLEEP, 0, answer > 2 * change ? answer - 2 * change : 0);
	fd[0] = fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pair_run_patient(b, eventfd_parent, eventfd_child, cpu, fd);
	cost_print(stdout, COST_WAKE_WORKER, 0, sample_median(&b->one) - clock);
	close(fd[0]);
}

/* ---- copies ---- */

/* Between one buffer and as many pieces as there are sockets, to and from. */
static double copy_ns(struct sample *s, uint8_t *set, uint32_t sockets)
{
	*s = (struct sample){ .nr = 0 };
	for (uint32_t i = 0, at = 0; i < 2 * sockets / PIECES + ROUNDS; i++) {
		uint64_t t = sample_now_ns();

		for (uint32_t k = 0; k < PIECES; k++, at = (at + 1) % sockets) {
			uint8_t *piece = set + (size_t)at * COPY_BYTES;

			if (i % 2)
				memcpy(piece, bytes + k * COPY_BYTES, COPY_BYTES);
			else
				memcpy(bytes + k * COPY_BYTES, piece, COPY_BYTES);
		}
		t = sample_now_ns() - t;
		/* Each piece once before. */
		if (i >= 2 * sockets / PIECES)
			sample_add(s, (double)t / (PIECES * COPY_BYTES));
	}
	return sample_median(s);
}

static void measure_copy(struct both *b)
{
	static const uint32_t sockets[] = { 64, 512, 4096, 32768 };
	uint8_t *set = malloc((size_t)32768 * COPY_BYTES);

	if (!set)
		die("malloc");
	memset(set, 1, (size_t)32768 * COPY_BYTES);
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		cost_print(stdout, COST_COPY_BYTE, sockets[i], copy_ns(&b->one, set, sockets[i]));
	free(set);
}

int main(int argc, char **argv)
{
	struct both *b;
	double clock, awake;
	int cpu, other;

	if (argc != 3) {
		fputs("usage: measure_kernel CORE-A CORE-B\n", stderr);
		return 2;
	}
	/* Who waits for a process that has failed waits no longer. */
	(void)alarm(SECONDS_MAX);
	cpu = (int)strtol(argv[1], NULL, 10);
	other = (int)strtol(argv[2], NULL, 10);
	if (sample_pin(cpu) < 0)
		die("pinning to a core");
	b = both_make();
	clock = sample_clock_ns();
	measure_one_core(b, cpu, clock);
	awake = measure_bytes(b, cpu, other, clock);
	measure_waking_send(b, cpu, other, clock, awake);
	measure_copy(b);
	return 0;
}
