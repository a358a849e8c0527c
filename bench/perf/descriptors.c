/* SPDX-License-Identifier: MIT */
/* descriptors.c - raises the limit of open files as far as it is needed. */
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define OTHERS 64 /* event loops, listeners, control flows of what begins meanwhile */

int descriptors_reserve(uint32_t nr, uint64_t *ret_needed)
{
	/* The lowest that is free: below it all are taken. */
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint64_t needed = (uint64_t)(fd < 0 ? 0 : fd) + nr + OTHERS;
	struct rlimit limit;

	*ret_needed = needed;
	if (fd < 0)
		return -EMFILE;
	(void)close(fd); /* nothing was written */
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= needed)
		return 0; /* what is too many says so itself */
	limit.rlim_cur = needed;
	if (limit.rlim_max < needed)
		limit.rlim_max = needed;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -EMFILE : 0;
}
