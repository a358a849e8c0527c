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

/* Process id from the counter page beside $NCD_SOCKET, or -errno (-ENOENT: there is none). */
int cpu_daemon_pid(void);
/* User and system time of all threads of process @pid; CPU_UNKNOWN if it cannot be read. */
uint64_t cpu_of_process_ns(int pid);
/* Both: of the daemon, or CPU_UNKNOWN. */
uint64_t cpu_of_daemon_ns(void);

/* b - a, or CPU_UNKNOWN if one of them is. */
static inline uint64_t cpu_between_ns(uint64_t a, uint64_t b)
{
	return a == CPU_UNKNOWN || b == CPU_UNKNOWN || b < a ? CPU_UNKNOWN : b - a;
}

#endif /* PERF_CPU_H */
