/* SPDX-License-Identifier: MIT */
/*
 * wait.c - waits for conditions of sockets, so that no fact depends on who was faster.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "sem.h"

void moment(void)
{
	(void)poll(NULL, 0, 1); /* only the time matters */
}

int wait_for(int fd, int events)
{
	int64_t end = now_ms() + WAIT_MS;
	struct pollfd p = { .fd = fd, .events = (short)events };
	char name[EVENTS_LEN];

	while (now_ms() < end)
		if (poll(&p, 1, 50) > 0)
			return (uint16_t)p.revents;
	fact("waited in vain for %s", events_name((uint32_t)events, name));
	return 0;
}

void wait_bytes(int fd, int n)
{
	int64_t end = now_ms() + WAIT_MS;
	int have = 0;

	while (now_ms() < end) {
		if (ioctl(fd, FIONREAD, &have) == 0 && have >= n)
			return;
		moment();
	}
	fact("waited in vain for %d bytes, there are %d", n, have);
}

void wait_broken(int fd)
{
	int64_t end = now_ms() + WAIT_MS;
	struct pollfd p = { .fd = fd, .events = 0 };

	while (now_ms() < end)
		if (poll(&p, 1, 50) > 0)
			return;
	fact("waited in vain for an error or a hang-up");
}
