/* SPDX-License-Identifier: MIT */
/* cpu.c - finds the daemon by its counter page and asks the kernel how much CPU it used. */
#include "cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ncd/stats_abi.h"

#include "clock.h"

#define DEFAULT_SOCKET "/run/ncd/ncd.sock"

/* ncd.sock -> ncd.stats */
static int stats_path(char *path, size_t size)
{
	const char *socket_path = getenv("NCD_SOCKET");
	size_t len;
	int n;

	if (!socket_path || !*socket_path)
		socket_path = DEFAULT_SOCKET;
	len = strlen(socket_path);
	if (len > 5 && !strcmp(socket_path + len - 5, ".sock"))
		len -= 5;
	n = snprintf(path, size, "%.*s.stats", (int)len, socket_path);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Process id from the counter page beside $NCD_SOCKET, or -errno (-ENOENT: there is none). */
static int cpu_daemon_pid(void)
{
	unsigned char head[offsetof(struct stats_head, start_realtime_ns)];
	uint32_t version, pid;
	char path[PATH_MAX];
	uint64_t magic;
	ssize_t n;
	int fd, r = stats_path(path, sizeof(path));

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pread(fd, head, sizeof(head), 0);
	(void)close(fd); /* only read */
	if (n != (ssize_t)sizeof(head))
		return -EPROTO;
	memcpy(&magic, head + offsetof(struct stats_head, magic), sizeof(magic));
	memcpy(&version, head + offsetof(struct stats_head, version), sizeof(version));
	memcpy(&pid, head + offsetof(struct stats_head, pid), sizeof(pid));
	if (magic != STATS_MAGIC || version != STATS_VERSION || pid == 0 || pid > INT_MAX)
		return -EPROTO;
	return (int)pid;
}

/* For kernels that refuse the clock of another process: 10 ms steps. */
static uint64_t proc_stat_ns(int pid)
{
	unsigned long long user, system;
	char path[64], line[1024];
	const char *after = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return CPU_UNKNOWN;
	if (fgets(line, sizeof(line), file))
		after = strrchr(line, ')'); /* the name may hold anything */
	(void)fclose(file);                 /* only read */
	if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			     &user, &system) != 2)
		return CPU_UNKNOWN;
	return (user + system) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* User and system time of all threads of process @pid; CPU_UNKNOWN if it cannot be read. */
static uint64_t cpu_of_process_ns(int pid)
{
	clockid_t id;
	uint64_t ns;

	if (!clock_getcpuclockid(pid, &id)) {
		ns = clock_read_ns(id);
		if (ns > 0)
			return ns;
	}
	return proc_stat_ns(pid);
}

uint64_t cpu_of_daemon_ns(void)
{
	int pid = cpu_daemon_pid();

	return pid < 0 ? CPU_UNKNOWN : cpu_of_process_ns(pid);
}
