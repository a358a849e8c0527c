/* SPDX-License-Identifier: MIT */
/*
 * compare_print.h - tables and JSON of a comparison.
 *
 * Ownership, Threading: none.
 */
#ifndef PERF_COMPARE_PRINT_H
#define PERF_COMPARE_PRINT_H

#include <stdio.h>

#include "options.h"
#include "report.h"

/* @results: A B A B ..., 2 * o->pairs of them; only mode isolate has measured anything alone. */
void compare_print(FILE *out, const struct options *o, const struct isolation *results);
void compare_print_json(FILE *out, const struct options *o, const struct isolation *results);

#endif /* PERF_COMPARE_PRINT_H */
