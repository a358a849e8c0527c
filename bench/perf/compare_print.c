/* SPDX-License-Identifier: MIT */
/* compare_print.c - each pair with its ratio, the median, the spread, and who wins, per metric. */
#include "compare_print.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cpu.h"
#include "ratio.h"

#define IN(mode) (1u << (mode))
#define STREAM   IN(MODE_STREAM)
#define TRIPS    (IN(MODE_RPC) | IN(MODE_CONNECT))
#define ISOLATE  IN(MODE_ISOLATE)
#define LATENCY  (TRIPS | ISOLATE)

struct metric {
	const char *name; /* in JSON */
	const char *title;
	bool higher_is_better;
	bool alone;        /* isolate: of the row without throughput processes */
	unsigned int json; /* modes that have it */
	unsigned int text; /* of throughput and messages/s one says it all */
	double (*value)(const struct report *r);
};

static double value_throughput(const struct report *r)
{
	return r->bytes_per_s;
}

static double value_messages(const struct report *r)
{
	return r->msgs_per_s;
}

static double value_p50(const struct report *r)
{
	return r->has_rtt ? r->rtt_us[REPORT_P50] : NAN;
}

static double value_p99(const struct report *r)
{
	return r->has_rtt ? r->rtt_us[REPORT_P99] : NAN;
}

static double value_p99_9(const struct report *r)
{
	return r->has_rtt ? r->rtt_us[REPORT_P99_9] : NAN;
}

/* All that was spent on both sides: applications and daemons. */
static double value_cpu(const struct report *r)
{
	double ns = 0;

	for (int i = 0; i < REPORT_CPU_NR; i++)
		if (r->cpu_ns[i] != CPU_UNKNOWN)
			ns += (double)r->cpu_ns[i];
	return ns / 1e9 / r->seconds;
}

static double value_bulk(const struct report *r)
{
	return r->bulk_bytes_per_s;
}

static const struct metric metrics[] = {
	{ "bytes_per_s", "throughput, bytes/s", true, false, STREAM | TRIPS, STREAM,
	  value_throughput },
	{ "throughput_bytes_per_s", "beside it, bytes/s", true, false, ISOLATE, ISOLATE,
	  value_bulk },
	{ "msgs_per_s", "messages/s", true, false, STREAM | LATENCY, LATENCY, value_messages },
	{ "alone_p50_us", "alone: p50, us", false, true, ISOLATE, ISOLATE, value_p50 },
	{ "alone_p99_us", "alone: p99, us", false, true, ISOLATE, ISOLATE, value_p99 },
	{ "p50_us", "latency p50, us", false, false, LATENCY, LATENCY, value_p50 },
	{ "p99_us", "latency p99, us", false, false, LATENCY, LATENCY, value_p99 },
	{ "p99_9_us", "latency p99.9, us", false, false, LATENCY, LATENCY, value_p99_9 },
	{ "cpu_cores", "CPU cores, all in all", false, false, STREAM | LATENCY, STREAM | LATENCY,
	  value_cpu },
};

#define METRIC_NR (sizeof(metrics) / sizeof(metrics[0]))

static void metric_pairs(const struct metric *m, const struct options *o,
			 const struct isolation *results, struct ratio_pair *ret_pairs)
{
	for (uint32_t i = 0; i < o->pairs; i++) {
		const struct isolation *a = &results[2 * i], *b = a + 1;

		ret_pairs[i] =
			(struct ratio_pair){ .a = m->value(m->alone ? &a->alone : &a->together),
					     .b = m->value(m->alone ? &b->alone : &b->together) };
	}
}

static const char *winner_name(const struct options *o, const struct ratio_summary *s)
{
	switch (s->winner) {
	case RATIO_A:
		return o->via[0]->name;
	case RATIO_B:
		return o->via[1]->name;
	case RATIO_UNDECIDED:
	default:
		return NULL;
	}
}

static void print_winner(FILE *out, const struct options *o, const struct ratio_summary *s)
{
	const char *winner = winner_name(o, s);

	if (winner)
		fprintf(out, "%s wins\n", winner);
	else
		fprintf(out, "undecided, %zu pairs to %zu\n", s->b_better_nr, s->a_better_nr);
}

static void print_metric(FILE *out, const struct metric *m, const struct options *o,
			 const struct isolation *results)
{
	const char *a = o->via[0]->name, *b = o->via[1]->name;
	struct ratio_pair pairs[RATIO_PAIRS_MAX];
	struct ratio_summary s;

	metric_pairs(m, o, results, pairs);
	if (ratio_summarise(pairs, o->pairs, m->higher_is_better, &s) < 0)
		return;
	fprintf(out, "\n%s (%s is better)\n  pair %18s %18s %9s\n", m->title,
		m->higher_is_better ? "more" : "less", a, b, "ratio");
	for (uint32_t i = 0; i < o->pairs; i++)
		fprintf(out, "  %4u %18.2f %18.2f %9.3f\n", i + 1, pairs[i].a, pairs[i].b,
			ratio_of(&pairs[i]));
	fprintf(out, "  median ratio %s / %s: %.3f (%.3f .. %.3f): ", b, a, s.median, s.min, s.max);
	print_winner(out, o, &s);
}

static double median_of(const struct ratio_pair *pairs, size_t nr, bool b)
{
	double values[RATIO_PAIRS_MAX];

	for (size_t i = 0; i < nr; i++)
		values[i] = b ? pairs[i].b : pairs[i].a;
	return ratio_median(values, nr);
}

/* One line a metric. */
static void print_metric_brief(FILE *out, const struct metric *m, const struct options *o,
			       const struct isolation *results)
{
	struct ratio_pair pairs[RATIO_PAIRS_MAX];
	struct ratio_summary s;
	char spread[32];

	metric_pairs(m, o, results, pairs);
	if (ratio_summarise(pairs, o->pairs, m->higher_is_better, &s) < 0)
		return;
	snprintf(spread, sizeof(spread), "(%.2f .. %.2f)", s.min, s.max);
	fprintf(out, "  %-22s %16.2f %16.2f %8.2fx %-18s ", m->title,
		median_of(pairs, o->pairs, false), median_of(pairs, o->pairs, true), s.median,
		spread);
	print_winner(out, o, &s);
}

static bool metric_in_text(const struct metric *m, const struct options *o)
{
	return m->text & IN(o->shape.mode);
}

static double median_cores(const struct options *o, const struct isolation *results, uint32_t first,
			   int cpu)
{
	double values[RATIO_PAIRS_MAX];
	size_t nr = 0;

	for (uint32_t i = first; i < 2 * o->pairs; i += 2) {
		const struct report *r = &results[i].together;

		if (r->cpu_ns[cpu] != CPU_UNKNOWN)
			values[nr++] = (double)r->cpu_ns[cpu] / 1e9 / r->seconds;
	}
	return nr ? ratio_median(values, nr) : NAN;
}

static void print_cores(FILE *out, const struct options *o, const struct isolation *results)
{
	fprintf(out, "\n  cores, median       %8s %8s %10s %10s\n", "client", "server", "ncd here",
		"ncd there");
	for (uint32_t v = 0; v < 2; v++) {
		fprintf(out, "    %-17s", o->via[v]->name);
		for (int i = 0; i < REPORT_CPU_NR; i++) {
			double cores = median_cores(o, results, v, i);
			int width = i < REPORT_CPU_NCD_CLIENT ? 8 : 10;

			if (isnan(cores))
				fprintf(out, " %*s", width, "-");
			else
				fprintf(out, " %*.3f", width, cores);
		}
		fputc('\n', out);
	}
}

void compare_print(FILE *out, const struct options *o, const struct isolation *results)
{
	const struct shape *s = &o->shape;
	uint64_t errors = 0;

	fprintf(out,
		"compare %s: %s against %s; %u flow%s, %u thread%s, %u bytes, depth %u, "
		"%u pairs of %.1f s\n",
		mode_name(s->mode), o->via[1]->name, o->via[0]->name, s->flows,
		s->flows == 1 ? "" : "s", s->threads, s->threads == 1 ? "" : "s", s->size, s->depth,
		o->pairs, o->seconds);
	if (o->brief)
		fprintf(out, "  %-22s %16s %16s %9s\n", "medians", o->via[0]->name, o->via[1]->name,
			"ratio");
	for (size_t i = 0; i < METRIC_NR; i++) {
		if (!metric_in_text(&metrics[i], o))
			continue;
		if (o->brief)
			print_metric_brief(out, &metrics[i], o, results);
		else
			print_metric(out, &metrics[i], o, results);
	}
	print_cores(out, o, results);
	for (uint32_t i = 0; i < 2 * o->pairs; i++)
		errors += results[i].together.errors + results[i].alone.errors;
	fprintf(out, "  errors: %" PRIu64 "\n", errors);
}

/* JSON has no NaN. */
static void print_number(FILE *out, const char *before, double value)
{
	if (isfinite(value))
		fprintf(out, "%s%.6g", before, value);
	else
		fprintf(out, "%snull", before);
}

static void print_metric_json(FILE *out, const struct metric *m, const struct options *o,
			      const struct isolation *results)
{
	struct ratio_pair pairs[RATIO_PAIRS_MAX];
	struct ratio_summary s;
	const char *winner;

	metric_pairs(m, o, results, pairs);
	if (ratio_summarise(pairs, o->pairs, m->higher_is_better, &s) < 0)
		return;
	fprintf(out, "\"%s\":{\"better\":\"%s\",\"pairs\":[", m->name,
		m->higher_is_better ? "higher" : "lower");
	for (uint32_t i = 0; i < o->pairs; i++) {
		print_number(out, i ? ",{\"a\":" : "{\"a\":", pairs[i].a);
		print_number(out, ",\"b\":", pairs[i].b);
		print_number(out, ",\"ratio\":", ratio_of(&pairs[i]));
		fputc('}', out);
	}
	print_number(out, "],\"median_a\":", median_of(pairs, o->pairs, false));
	print_number(out, ",\"median_b\":", median_of(pairs, o->pairs, true));
	print_number(out, ",\"median_ratio\":", s.median);
	print_number(out, ",\"min_ratio\":", s.min);
	print_number(out, ",\"max_ratio\":", s.max);
	winner = winner_name(o, &s);
	if (winner)
		fprintf(out, ",\"winner\":\"%s\"}", winner);
	else
		fputs(",\"winner\":null}", out);
}

void compare_print_json(FILE *out, const struct options *o, const struct isolation *results)
{
	const struct shape *s = &o->shape;
	bool first = true;

	fprintf(out,
		"{\"compare\":\"%s\",\"a\":\"%s\",\"b\":\"%s\",\"flows\":%u,\"threads\":%u,"
		"\"size\":%u,\"depth\":%u,\"seconds\":%.3f,\"metrics\":{",
		mode_name(s->mode), o->via[0]->name, o->via[1]->name, s->flows, s->threads, s->size,
		s->depth, o->seconds);
	for (size_t i = 0; i < METRIC_NR; i++) {
		if (!(metrics[i].json & IN(s->mode)))
			continue;
		if (!first)
			fputc(',', out);
		first = false;
		print_metric_json(out, &metrics[i], o, results);
	}
	fputs("},\"runs\":[", out);
	for (uint32_t i = 0; i < 2 * o->pairs; i++) {
		if (i)
			fputc(',', out);
		if (s->mode == MODE_ISOLATE)
			report_print_isolation_json(out, &results[i], o->bulk_size);
		else
			report_print_json(out, &results[i].together);
	}
	fputs("]}\n", out);
}
