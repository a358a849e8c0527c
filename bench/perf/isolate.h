/* SPDX-License-Identifier: MIT */
/*
 * isolate.h - mode isolate: what a latency flow keeps of its round trips when throughput processes
 * run beside it.
 *
 *   alone:     latency process <--> server process
 *   together:  latency process <--> server process
 *              throughput process --> server process, shape.flows times
 *
 * Ownership: none kept. Threading: the main thread, which never attaches to a daemon itself.
 */
#ifndef PERF_ISOLATE_H
#define PERF_ISOLATE_H

#include "options.h"
#include "report.h"

/* failed is set in @ret_isolation->together if it could not be measured. */
void isolate_measure(const struct options *o, const struct via *via,
		     struct isolation *ret_isolation);

#endif /* PERF_ISOLATE_H */
