/* SPDX-License-Identifier: MIT */
/*
 * main.c - the simulator's command line.
 *
 *   sim --seeds N [--first S]     N seeds; without --first from a fresh one, which is printed
 *   sim --seed S [--verbose]      one seed, again
 *   sim --list FILE               the seeds in FILE (one a line, # comments)
 *   sim --twice N [--first S]     N seeds, each run twice: the same seed must be the same run
 *
 * Seeds run in a child process, so that a crash or an endless loop is told with its seed, too.
 */
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define SEED_SECONDS_MAX 60 /* for one seed */

struct options {
	uint64_t first, nr;
	const char *list;
	bool verbose, twice;
};

/* What the child tells, in memory shared with it. */
struct progress {
	uint64_t seed;
	struct totals totals;
};

static int usage(void)
{
	fputs("usage: sim --seeds N [--first S] | --seed S [--verbose] | --list FILE | --twice N\n",
	      stderr);
	return 2;
}

static int parse(int argc, char **argv, struct options *o)
{
	uint64_t fresh;

	if (getrandom(&fresh, sizeof(fresh), 0) != sizeof(fresh))
		fresh = (uint64_t)time(NULL);
	*o = (struct options){ .first = fresh >> 24, .nr = 200 };
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *val = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(arg, "--verbose") == 0) {
			o->verbose = true;
			continue;
		}
		if (!val)
			return -1;
		i++;
		if (strcmp(arg, "--seeds") == 0) {
			o->nr = strtoull(val, NULL, 0);
		} else if (strcmp(arg, "--first") == 0) {
			o->first = strtoull(val, NULL, 0);
		} else if (strcmp(arg, "--seed") == 0) {
			o->first = strtoull(val, NULL, 0);
			o->nr = 1;
		} else if (strcmp(arg, "--twice") == 0) {
			o->nr = strtoull(val, NULL, 0);
			o->twice = true;
		} else if (strcmp(arg, "--list") == 0) {
			o->list = val;
		} else {
			return -1;
		}
	}
	return 0;
}

static void run_one(uint64_t seed, const struct options *o, struct progress *p)
{
	uint64_t trace;

	p->seed = seed;
	trace = sim_run(seed, o->verbose, &p->totals);
	if (o->verbose)
		printf("seed %" PRIu64 ": run %016" PRIx64 "\n", seed, trace);
	if (o->twice && sim_run(seed, false, &p->totals) != trace) {
		fprintf(stderr, "sim: seed %" PRIu64 " is not the same run twice\n", seed);
		exit(1);
	}
}

static void run_list(const struct options *o, struct progress *p)
{
	FILE *f = fopen(o->list, "re");
	char line[256];

	if (!f) {
		perror(o->list);
		exit(1);
	}
	while (fgets(line, sizeof(line), f)) {
		char *end;
		uint64_t seed = strtoull(line, &end, 0);

		if (end != line)
			run_one(seed, o, p);
	}
	fclose(f);
}

static void child(const struct options *o, struct progress *p)
{
	/* Rings come and go by the hundred: keep their memory. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	if (o->list)
		run_list(o, p);
	else
		for (uint64_t i = 0; i < o->nr; i++)
			run_one(o->first + i, o, p);
	fflush(stdout);
	_exit(0);
}

/* Waits for the child, and ends it if one seed takes too long. Returns its wait status. SIGCHLD is
 * blocked, so that its end is not missed. */
static int watch(pid_t pid, const struct progress *p, const sigset_t *ended)
{
	const struct timespec second = { .tv_sec = 1 };
	const volatile uint64_t *now = &p->seed;
	uint64_t seed = 0;
	int status, seconds = 0;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (sigtimedwait(ended, NULL, &second) == SIGCHLD)
			continue;
		seconds = *now == seed ? seconds + 1 : 0;
		seed = *now;
		if (seconds > SEED_SECONDS_MAX) {
			fprintf(stderr, "sim: seed %" PRIu64 " takes too long\n", seed);
			kill(pid, SIGABRT);
			waitpid(pid, &status, 0);
			break;
		}
	}
	return status;
}

static void print_summary(const struct totals *t, const struct timespec *begin)
{
	struct timespec end;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin->tv_sec) +
		  (double)(end.tv_nsec - begin->tv_nsec) * 1e-9;
	printf("sim: %" PRIu64 " seeds, %" PRIu64 " simulated seconds, %" PRIu64
	       " streams (%" PRIu64 " ends complete, %" PRIu64 " with errors, %" PRIu64
	       " not begun), %" PRIu64 " MB read, %" PRIu64 " frames, %" PRIu64
	       " connections cut, %" PRIu64 " networks cut, %" PRIu64
	       " hosts restarted, %" PRIu64 " rings exchanged, %" PRIu64
	       " channels grown, %" PRIu64 " drained, %" PRIu64 " frames carried, %" PRIu64
	       " orders returned, %" PRIu64 " times lost, %" PRIu64 " ends moved, %" PRIu64
	       " moves refused, in %.1f s\n",
	       t->seeds, t->virtual_ns / SECOND, t->flows, t->completed, t->errors, t->refused,
	       t->bytes / 1000000, t->frames, t->cuts, t->outages, t->restarts, t->exchanged,
	       t->grown, t->drained, t->carried, t->returned, t->lost, t->moved,
	       t->moves_refused, seconds);
}

int main(int argc, char **argv)
{
	struct options o;
	struct progress *p;
	struct timespec begin;
	sigset_t ended;
	pid_t pid;
	int status;

	if (parse(argc, argv, &o) < 0)
		return usage();
	if (!o.list)
		printf("sim: seeds %" PRIu64 " to %" PRIu64 "\n", o.first, o.first + o.nr - 1);
	fflush(stdout);
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (pid == 0)
		child(&o, p);
	status = watch(pid, p, &ended);
	if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) > 1))
		fprintf(stderr, "sim: seed %" PRIu64 " ends with signal %d, status %d\n"
			"sim: replay with: sim --seed %" PRIu64 " --verbose\n", p->seed,
			WIFSIGNALED(status) ? WTERMSIG(status) : 0, status, p->seed);
	if (status != 0)
		return 1;
	print_summary(&p->totals, &begin);
	return 0;
}
