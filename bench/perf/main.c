/* SPDX-License-Identifier: MIT */
/*
 * main.c - ncd-perf: how fast bytes, messages and connections go, by ncd and by its rivals.
 * Exit code 0: measured, and every byte was right; 1: anything else.
 */
#include <stdio.h>

#include "client.h"
#include "compare.h"
#include "isolate.h"
#include "server.h"

static int run_isolate(const struct options *o)
{
	struct isolation is;

	isolate_measure(o, o->via[0], &is);
	if (is.together.failed) {
		fprintf(stderr, "ncd-perf: %s\n", is.together.error);
		return 1;
	}
	if (o->json) {
		report_print_isolation_json(stdout, &is, o->bulk_size);
		putchar('\n');
	} else {
		report_print_isolation(stdout, &is, o->bulk_size);
	}
	return is.alone.errors + is.together.errors > 0;
}

static int run_client(const struct options *o)
{
	struct report report;

	client_measure(o, o->via[0], NULL, &report);
	if (report.failed) {
		fprintf(stderr, "ncd-perf: %s\n", report.error);
		return 1;
	}
	if (o->json) {
		report_print_json(stdout, &report);
		putchar('\n');
	} else {
		report_print(stdout, &report);
	}
	return report.errors > 0;
}

int main(int argc, char **argv)
{
	struct options o;
	int r = options_parse(argc, argv, &o);

	if (r)
		return r < 0;
	switch (o.command) {
	case COMMAND_SERVER:
		return server_run(&o, o.via[0], o.port, -1) < 0;
	case COMMAND_COMPARE:
		return compare_run(&o) != 0;
	case COMMAND_RUN:
		break;
	}
	return o.shape.mode == MODE_ISOLATE ? run_isolate(&o) : run_client(&o);
}
