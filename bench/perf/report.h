/* SPDX-License-Identifier: MIT */
/*
 * report.h - the result of one measurement, as text and as JSON.
 *
 * Ownership: plain data; compare sends it through a pipe between two processes of one program.
 * Threading: none.
 */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "hello.h"
#include "hist.h"

enum report_cpu {
	REPORT_CPU_CLIENT, /* the threads that were measured, not the process */
	REPORT_CPU_SERVER,
	REPORT_CPU_NCD_CLIENT,
	REPORT_CPU_NCD_SERVER,
	REPORT_CPU_NR,
};

enum report_rtt {
	REPORT_P50,
	REPORT_P90,
	REPORT_P99,
	REPORT_P99_9,
	REPORT_MAX,
	REPORT_RTT_NR,
};

struct report {
	char via[16];
	struct shape shape;
	double seconds;     /* measured, without warm-up */
	double bytes_per_s; /* received by the server */
	double msgs_per_s;
	double jain; /* how evenly the flows were served, from 1 / flows to 1; 0: not measured */
	uint64_t errors;
	bool has_rtt;
	double rtt_us[REPORT_RTT_NR];
	uint64_t cpu_ns[REPORT_CPU_NR]; /* CPU_UNKNOWN */
	/* Isolate: received from all throughput processes; and how much of cpu_ns is the latency
	 * flow's own. */
	double bulk_bytes_per_s;
	uint64_t latency_cpu_ns[2]; /* client, server */
	bool failed;
	char error[200]; /* one line; the numbers are void */
};

/* Mode isolate: two measurements. */
struct isolation {
	struct report together;
	struct report alone;
};

void report_set_rtt(struct report *r, const struct hist *hist);
void report_print(FILE *out, const struct report *r);
void report_print_isolation(FILE *out, const struct isolation *is, uint32_t bulk_size);
/* One object, without a newline. */
void report_print_json(FILE *out, const struct report *r);
void report_print_isolation_json(FILE *out, const struct isolation *is, uint32_t bulk_size);

#endif /* PERF_REPORT_H */
