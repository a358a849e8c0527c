/* SPDX-License-Identifier: MIT */
/*
 * main.c - ncd-stat: arguments, and the loop of -i. Reads only the counter page, so it works, and
 * says so, when the daemon hangs or has died. See ncd-stat(1).
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "view.h"

/* Exit codes; ncd-stat(1). */
enum {
	EXIT_NO_PAGE = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_RUNNING = 3
};

#define NCD_SOCKET_DEFAULT "/run/ncd/ncd.sock"
#define INTERVAL_MAX       86400.0

struct arguments {
	const char *socket;
	enum view_kind kind;
	bool json, listening, all;
	double interval;     /* seconds; 0: once */
	unsigned long count; /* reports; 0: for ever */
};

static const char usage[] =
	"usage: ncd-stat [-s SOCKET] [-i SECONDS [-c COUNT]] [--json] [COMMAND]\n"
	"Shows the counters of ncd; works if it hangs or has died.\n"
	"\n"
	"  (none)    summary\n"
	"  workers   threads: where they run, what they moved, how they waited\n"
	"  channels  TCP connections to peers: class, lane, state, bytes, round trip\n"
	"  sockets   as ss(8): virtual ones, and those left to kernel TCP; -l listening, -a all\n"
	"  clients   attached applications\n"
	"  errors    what was refused, dropped or broken, if anything\n"
	"\n"
	"  -s, --socket SOCKET   control socket of the ncd asked\n"
	"                        (default $NCD_SOCKET, else " NCD_SOCKET_DEFAULT ")\n"
	"  -i, --interval SECS   repeat, showing what happened in between per second\n"
	"  -c, --count COUNT     with -i: that many reports, then end\n"
	"  -j, --json            one JSON object a line; schema in ncd-stat(1)\n"
	"  -l, --listening       sockets: only those that listen\n"
	"  -a, --all             sockets: those that listen, too\n"
	"  -V, --version         -h, --help\n"
	"exit status: 0 running, 1 no counters, 2 usage, 3 counters of an ncd that\n"
	"hangs, has died or was stopped\n";

static int bad(const char *what, const char *value)
{
	fprintf(stderr, "ncd-stat: %s '%s'; ncd-stat --help\n", what, value);
	return -EINVAL;
}

static int parse_command(const char *word, enum view_kind *ret_kind)
{
	static const char *const name[] = {
		[VIEW_SUMMARY] = "summary",   [VIEW_WORKERS] = "workers",
		[VIEW_CHANNELS] = "channels", [VIEW_SOCKETS] = "sockets",
		[VIEW_CLIENTS] = "clients",   [VIEW_ERRORS] = "errors",
	};

	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		if (strcmp(word, name[i]) == 0) {
			*ret_kind = (enum view_kind)i;
			return 0;
		}
	}
	return bad("unknown command", word);
}

static int parse_interval(const char *text, double *ret_seconds)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0.01 && s <= INTERVAL_MAX))
		return bad("interval is 0.01 to 86400 seconds, not", text);
	*ret_seconds = s;
	return 0;
}

static int parse_count(const char *text, unsigned long *ret_count)
{
	char *end;

	errno = 0;
	*ret_count = strtoul(text, &end, 10);
	if (end == text || *end || *text == '-' || errno || *ret_count == 0)
		return bad("count is a number from 1, not", text);
	return 0;
}

/* Returns 0, 1 if everything is said already (--help), -EINVAL. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "listening", no_argument, NULL, 'l' },
		{ "all", no_argument, NULL, 'a' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt, err = 0;

	while (err == 0 && (opt = getopt_long(argc, argv, "s:i:c:jlaVh", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			a->socket = optarg;
			break;
		case 'i':
			err = parse_interval(optarg, &a->interval);
			break;
		case 'c':
			err = parse_count(optarg, &a->count);
			break;
		case 'j':
			a->json = true;
			break;
		case 'l':
			a->listening = true;
			break;
		case 'a':
			a->all = true;
			break;
		case 'V':
			printf("ncd-stat " NCD_RELEASE " (counter page %u)\n", STATS_VERSION);
			return 1;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			return -EINVAL; /* getopt_long has said what */
		}
	}
	if (err == 0 && optind < argc)
		err = parse_command(argv[optind], &a->kind);
	if (err == 0 && optind + 1 < argc)
		err = bad("one command only, not also", argv[optind + 1]);
	if (err == 0 && a->count && a->interval == 0)
		err = bad("--count needs --interval, got only", "--count");
	return err;
}

static int report(const struct arguments *a, const struct sample *before, const struct sample *now)
{
	struct view v = {
		.kind = a->kind,
		.listening = a->listening,
		.all = a->all,
		.now = now,
		.before = before && sample_comparable(before, now) ? before : NULL,
		.out = stdout,
	};
	int err = a->json ? view_json(&v) : view_text(&v);

	if (before && !a->json)
		fputc('\n', stdout);
	if (fflush(stdout) == EOF)
		err = -EIO;
	return err;
}

/* A daemon that is not running must not go unseen in a table that says nothing of it. */
static void warn(const struct arguments *a, const struct sample *s)
{
	if (s->health != HEALTH_RUNNING && a->kind != VIEW_SUMMARY)
		fprintf(stderr, "ncd-stat: ncd (pid %u) is %s: these are its last numbers\n",
			s->head.pid, view_health(s->health));
}

static void wait_until(struct timespec *next, double seconds)
{
	next->tv_sec += (time_t)seconds;
	next->tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (next->tv_nsec >= 1000000000L) {
		next->tv_sec++;
		next->tv_nsec -= 1000000000L;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
		;
}

static int run(const struct arguments *a, const char *path)
{
	struct sample now = { .now_ns = 0 }, before;
	char why[PAGE_WHY_BYTES];
	struct timespec next;
	int err;

	(void)clock_gettime(CLOCK_MONOTONIC, &next); /* cannot fail for this clock */
	err = sample_take(path, &now, why);
	if (err < 0)
		goto out;
	if (a->interval == 0)
		err = report(a, NULL, &now);
	for (unsigned long i = 0; a->interval > 0 && (a->count == 0 || i < a->count); i++) {
		wait_until(&next, a->interval);
		before = now;
		err = sample_take(path, &now, why);
		if (err == 0)
			err = report(a, &before, &now);
		sample_free(&before);
		if (err < 0)
			break;
	}
out:
	if (err == -EIO)
		fprintf(stderr, "ncd-stat: cannot write: %s\n", strerror(errno));
	else if (err < 0)
		fprintf(stderr, "ncd-stat: %s\n", err == -ENOMEM ? "out of memory" : why);
	else
		warn(a, &now);
	err = err < 0 ? EXIT_NO_PAGE : now.health == HEALTH_RUNNING ? 0 : EXIT_NOT_RUNNING;
	sample_free(&now);
	return err;
}

int main(int argc, char **argv)
{
	struct arguments a = { .socket = getenv("NCD_SOCKET"), .kind = VIEW_SUMMARY };
	char path[PATH_MAX];
	int err;

	if (!a.socket || !*a.socket)
		a.socket = NCD_SOCKET_DEFAULT;
	err = parse(argc, argv, &a);
	if (err != 0)
		return err < 0 ? EXIT_USAGE : 0;
	if (page_path(a.socket, path, sizeof(path)) < 0) {
		fprintf(stderr, "ncd-stat: the path of the socket is too long\n");
		return EXIT_USAGE;
	}
	return run(&a, path);
}
