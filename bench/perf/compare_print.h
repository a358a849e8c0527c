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

/* @reports: A B A B ..., 2 * o->pairs of them. */
void compare_print(FILE *out, const struct options *o, const struct report *reports);
void compare_print_json(FILE *out, const struct options *o, const struct report *reports);

#endif /* PERF_COMPARE_PRINT_H */
