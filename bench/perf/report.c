/* SPDX-License-Identifier: MIT */
/* report.c - prints one result. */
#include "report.h"

#include <inttypes.h>

#include "cpu.h"
#include "options.h"

static const char *const rtt_names[REPORT_RTT_NR] = { "p50", "p90", "p99", "p99_9", "max" };
static const double rtt_percents[REPORT_RTT_NR] = { 50, 90, 99, 99.9, 100 };
static const char *const cpu_names[REPORT_CPU_NR] = { "client", "server", "ncd_client",
						      "ncd_server" };

void report_set_rtt(struct report *r, const struct hist *hist)
{
	r->has_rtt = hist->count > 0;
	for (int i = 0; i < REPORT_RTT_NR; i++)
		r->rtt_us[i] = (double)hist_percentile(hist, rtt_percents[i]) / 1e3;
}

static void print_cpu(FILE *out, const struct report *r)
{
	fputs("  cpu         ", out);
	for (int i = 0; i < REPORT_CPU_NR; i++) {
		if (r->cpu_ns[i] == CPU_UNKNOWN)
			continue;
		fprintf(out, " %s %.2f s (%.0f %%)", cpu_names[i], (double)r->cpu_ns[i] / 1e9,
			(double)r->cpu_ns[i] / 1e7 / r->seconds);
	}
	fputc('\n', out);
}

void report_print(FILE *out, const struct report *r)
{
	const struct shape *s = &r->shape;

	fprintf(out, "%s via %s: %u flow%s, %u thread%s, %u bytes, depth %u, %.2f s\n",
		mode_name(s->mode), r->via, s->flows, s->flows == 1 ? "" : "s", s->threads,
		s->threads == 1 ? "" : "s", s->size, s->depth, r->seconds);
	fprintf(out, "  throughput   %.3f Gbit/s (%.0f bytes/s)\n", r->bytes_per_s * 8 / 1e9,
		r->bytes_per_s);
	fprintf(out, "  %s %.0f /s\n",
		s->mode == MODE_STREAM    ? "messages    "
		: s->mode == MODE_CONNECT ? "connections "
					  : "round trips ",
		r->msgs_per_s);
	if (r->has_rtt) {
		fputs("  latency (us)", out);
		for (int i = 0; i < REPORT_RTT_NR; i++)
			fprintf(out, " %s %.1f", rtt_names[i], r->rtt_us[i]);
		fputc('\n', out);
	}
	if (r->jain > 0)
		fprintf(out, "  fairness     %.4f (Jain's index of the flows)\n", r->jain);
	print_cpu(out, r);
	fprintf(out, "  errors       %" PRIu64 "\n", r->errors);
}

static void print_isolation_row(FILE *out, const char *name, const struct report *r)
{
	fprintf(out, "  %-9s", name);
	for (int i = 0; i < REPORT_RTT_NR; i++)
		fprintf(out, " %10.1f", r->rtt_us[i]);
	fprintf(out, " %12.0f %14.3f\n", r->msgs_per_s, r->bulk_bytes_per_s * 8 / 1e9);
}

void report_print_isolation(FILE *out, const struct isolation *is, uint32_t bulk_size)
{
	const struct report *const row[] = { &is->alone, &is->together };
	const struct shape *s = &is->together.shape;

	fprintf(out,
		"isolate via %s: round trips of %u bytes beside %u process%s that write%s %u, "
		"%.2f s each\n  %-9s",
		is->together.via, s->size, s->flows, s->flows == 1 ? "" : "es",
		s->flows == 1 ? "s" : "", bulk_size, is->together.seconds, "");
	for (int i = 0; i < REPORT_RTT_NR; i++)
		fprintf(out, " %7s us", rtt_names[i]);
	fprintf(out, " %12s %14s\n", "trips/s", "beside, Gbit/s");
	print_isolation_row(out, "alone", &is->alone);
	print_isolation_row(out, "together", &is->together);
	for (int i = 0; i < 2; i++) {
		print_cpu(out, row[i]);
		fprintf(out, "    of the latency flow: client %.2f s, server %.2f s\n",
			(double)row[i]->latency_cpu_ns[0] / 1e9,
			(double)row[i]->latency_cpu_ns[1] / 1e9);
	}
	fprintf(out, "  errors       %" PRIu64 "\n", is->alone.errors + is->together.errors);
}

static void print_rtt_json(FILE *out, const struct report *r)
{
	if (!r->has_rtt) {
		fputs("\"rtt_us\":null", out);
		return;
	}
	for (int i = 0; i < REPORT_RTT_NR; i++)
		fprintf(out, "%s\"%s\":%.3f", i ? "," : "\"rtt_us\":{", rtt_names[i], r->rtt_us[i]);
	fputc('}', out);
}

static void print_cpu_json(FILE *out, const struct report *r)
{
	for (int i = 0; i < REPORT_CPU_NR; i++) {
		fprintf(out, "%s\"%s\":", i ? "," : "\"cpu\":{", cpu_names[i]);
		if (r->cpu_ns[i] == CPU_UNKNOWN)
			fputs("null", out);
		else
			fprintf(out, "%.6f", (double)r->cpu_ns[i] / 1e9);
	}
	fputc('}', out);
}

static void print_isolation_row_json(FILE *out, const char *name, const struct report *r)
{
	fprintf(out,
		"\"%s\":{\"seconds\":%.3f,\"bytes_per_s\":%.0f,\"msgs_per_s\":%.1f,"
		"\"throughput_bytes_per_s\":%.0f,\"errors\":%" PRIu64 ",",
		name, r->seconds, r->bytes_per_s, r->msgs_per_s, r->bulk_bytes_per_s, r->errors);
	print_rtt_json(out, r);
	fputc(',', out);
	print_cpu_json(out, r);
	fprintf(out, ",\"latency_cpu\":{\"client\":%.6f,\"server\":%.6f}}",
		(double)r->latency_cpu_ns[0] / 1e9, (double)r->latency_cpu_ns[1] / 1e9);
}

void report_print_isolation_json(FILE *out, const struct isolation *is, uint32_t bulk_size)
{
	const struct shape *s = &is->together.shape;

	fprintf(out,
		"{\"mode\":\"isolate\",\"via\":\"%s\",\"flows\":%u,\"size\":%u,\"depth\":%u,"
		"\"bulk_size\":%u,\"nice\":%d,\"priority\":%u,\"errors\":%" PRIu64 ",",
		is->together.via, s->flows, s->size, s->depth, bulk_size, s->nice, s->priority,
		is->alone.errors + is->together.errors);
	print_isolation_row_json(out, "alone", &is->alone);
	fputc(',', out);
	print_isolation_row_json(out, "together", &is->together);
	fputc('}', out);
}

void report_print_json(FILE *out, const struct report *r)
{
	const struct shape *s = &r->shape;

	fprintf(out,
		"{\"mode\":\"%s\",\"via\":\"%s\",\"flows\":%u,\"threads\":%u,\"size\":%u,"
		"\"depth\":%u,\"seconds\":%.3f,\"bytes_per_s\":%.0f,\"msgs_per_s\":%.1f,"
		"\"errors\":%" PRIu64 ",",
		mode_name(s->mode), r->via, s->flows, s->threads, s->size, s->depth, r->seconds,
		r->bytes_per_s, r->msgs_per_s, r->errors);
	if (r->jain > 0)
		fprintf(out, "\"jain\":%.6f,", r->jain);
	print_rtt_json(out, r);
	fputc(',', out);
	print_cpu_json(out, r);
	fputc('}', out);
}
