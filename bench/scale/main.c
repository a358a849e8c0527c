/* SPDX-License-Identifier: MIT */
/*
 * main.c - scale: predicts the round trips of ncd from measured costs; one line for each run.
 *
 *   scale --costs FILE [--workers W] [--channels C] [--sockets N] [--size BYTES] [--cores K]
 *         [--link GBIT] [--memory GB] [--delay US] [--spin US] [--slice US] [--messages M]
 *         [--seed S]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define SPIN_NS  200000u  /* [workers] spin_us */
#define SLICE_NS 1400000u /* Linux's base_slice_ns with two cores */

static int usage(void)
{
	fputs("usage: scale --costs FILE [--workers W] [--channels C] [--sockets N] [--size B]\n"
	      "             [--cores K] [--link GBIT] [--memory GB] [--delay US] [--spin US]\n"
	      "             [--slice US] [--messages M] [--seed S]\n",
	      stderr);
	return 2;
}

/* One option; false: unknown, or no number. */
static bool option(struct scale_params *p, const char *name, const char *value)
{
	struct {
		const char *name;
		uint32_t *narrow;
		uint64_t *wide;
		double unit;
	} known[] = {
		{ "--workers", &p->workers, NULL, 1 },
		{ "--channels", &p->channels, NULL, 1 },
		{ "--sockets", &p->sockets, NULL, 1 },
		{ "--size", &p->size, NULL, 1 },
		{ "--cores", &p->cores, NULL, 1 },
		{ "--link", NULL, &p->link_bytes_per_s, 1e9 / 8 },
		{ "--memory", NULL, &p->memory_bytes_per_s, 1e9 },
		{ "--delay", NULL, &p->delay_ns, 1000 },
		{ "--spin", NULL, &p->spin_ns, 1000 },
		{ "--slice", NULL, &p->slice_ns, 1000 },
		{ "--messages", NULL, &p->messages, 1 },
		{ "--seed", NULL, &p->seed, 1 },
	};
	char *end;
	double v = strtod(value, &end);

	if (*value == '\0' || *end != '\0' || !(v >= 0) || v > 1e15)
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(name, known[i].name) != 0)
			continue;
		if (known[i].narrow)
			*known[i].narrow = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
		else
			*known[i].wide = (uint64_t)(v * known[i].unit);
		return true;
	}
	return false;
}

static int read_costs(const char *path, struct costs *ret_costs)
{
	FILE *f = fopen(path, "re");
	const char *missing;
	unsigned line;
	int ret;

	if (!f) {
		perror(path);
		return -errno;
	}
	ret = costs_read(f, ret_costs, &line, &missing);
	fclose(f);
	if (ret < 0 && missing)
		fprintf(stderr, "scale: %s: no %s\n", path, missing);
	else if (ret < 0)
		fprintf(stderr, "scale: %s:%u: not a cost\n", path, line);
	return ret;
}

int main(int argc, char **argv)
{
	struct scale_params p = { .workers = 1,
				  .sockets = 512,
				  .size = 64,
				  .spin_ns = SPIN_NS,
				  .slice_ns = SLICE_NS,
				  .seed = 1 };
	struct scale_result r;
	const char *path = NULL;
	struct costs costs;
	int ret;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage();
		if (strcmp(argv[i], "--costs") == 0)
			path = argv[i + 1];
		else if (!option(&p, argv[i], argv[i + 1]))
			return usage();
	}
	if (!path)
		return usage();
	if (p.channels == 0)
		p.channels = p.workers;
	if (p.cores == 0)
		p.cores = 2 * p.workers;
	if (p.messages == 0)
		p.messages = 8ull * p.sockets > 100000 ? 8ull * p.sockets : 100000;
	if (read_costs(path, &costs) < 0)
		return 1;
	ret = scale_run(&p, &costs, &r);
	if (ret < 0) {
		fprintf(stderr, "scale: %s\n", strerror(-ret));
		return 1;
	}
	printf("workers=%u channels=%u sockets=%u size=%u cores=%u msgs_per_s=%.0f p50_us=%.2f "
	       "p99_us=%.2f max_us=%.2f link_bytes_per_s=%.0f worker_busy=%.3f app_busy=%.3f "
	       "frames_per_send=%.1f whole=%d\n",
	       p.workers, p.channels, p.sockets, p.size, p.cores, r.msgs_per_s,
	       (double)r.p50_ns / 1e3, (double)r.p99_ns / 1e3, (double)r.max_ns / 1e3,
	       r.link_bytes_per_s, r.worker_busy, r.app_busy, r.frames_per_send, r.whole);
	return r.whole ? 0 : 1;
}
