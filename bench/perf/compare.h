/* SPDX-License-Identifier: MIT */
/*
 * compare.h - A B A B ...: runs server and client of each via in processes of their own.
 *
 * Ownership, Threading: the main thread; it never attaches to a daemon itself.
 */
#ifndef PERF_COMPARE_H
#define PERF_COMPARE_H

#include "options.h"

/* Prints to stdout. Returns 0; -EIO after one line on stderr if a run failed; 1 if runs completed
 * but counted errors. */
int compare_run(const struct options *o);

#endif /* PERF_COMPARE_H */
