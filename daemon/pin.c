/* SPDX-License-Identifier: MIT */
/*
 * pin.c - cores and NUMA nodes. libnuma is asked only where there is more than one node.
 */
#include "pin.h"

#include <errno.h>
#include <numa.h>
#include <sched.h>
#include <sys/mman.h>

int pin_thread(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return -pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

bool pin_holds(pthread_t thread, int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || pthread_getaffinity_np(thread, sizeof(set), &set) != 0)
		return true;
	return CPU_COUNT(&set) == 1 && CPU_ISSET((size_t)cpu, &set);
}

int pin_node(int cpu)
{
	if (cpu < 0 || numa_available() < 0 || numa_num_configured_nodes() < 2)
		return -1;
	return numa_node_of_cpu(cpu);
}

void *pin_alloc(size_t bytes, int node)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	if (node >= 0)
		numa_tonode_memory(mem, bytes, node);
	return mem;
}

void pin_free(void *mem, size_t bytes)
{
	if (mem)
		(void)munmap(mem, bytes);
}
