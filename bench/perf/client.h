/* SPDX-License-Identifier: MIT */
/*
 * client.h - one measurement against a server that runs.
 *
 * Ownership: none kept. Threading: one at a time in a process.
 */
#ifndef PERF_CLIENT_H
#define PERF_CLIENT_H

#include "options.h"
#include "report.h"

/* Everything but progress lines (stderr, on a terminal) goes into @ret_report; failed is set there
 * if it could not be measured. */
void client_measure(const struct options *o, const struct via *via, struct report *ret_report);

#endif /* PERF_CLIENT_H */
