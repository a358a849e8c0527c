/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - CPU time of the daemon that this process would attach to.
 *
 * Ownership, Threading: none.
 * Trust: the counter page is checked before its process id is believed.
 */
#ifndef PERF_CPU_H
#define PERF_CPU_H

#include <stdint.h>

#define CPU_UNKNOWN UINT64_MAX

/* Of the daemon, all its threads; or CPU_UNKNOWN. */
uint64_t cpu_of_daemon_ns(void);

/* b - a, or CPU_UNKNOWN if one of them is. */
static inline uint64_t cpu_between_ns(uint64_t a, uint64_t b)
{
	return a == CPU_UNKNOWN || b == CPU_UNKNOWN || b < a ? CPU_UNKNOWN : b - a;
}

#endif /* PERF_CPU_H */
