/* SPDX-License-Identifier: MIT */
/*
 * channel_budget.c - the budget as the kernel knows it: SO_SNDBUF bounds what is unsent and what is
 * unacknowledged together, and who waits for room is woken as acknowledgements come, without a
 * timer and without a question for each frame.
 */
#include "channel_budget.h"

#include <linux/tcp.h>
#include <sys/socket.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#define RECEIVE_ROOM  (4u << 20)
#define RECEIVE_LEAST (256u << 10)
#define RECEIVE_MOST  (4u << 20) /* beyond: as the kernel has it */
#define RECEIVE_RATE  1250u      /* bytes a microsecond: 10 Gbit/s */

#define TCP_LEVEL 6 /* IPPROTO_TCP; netinet/in.h does not go with linux/tcp.h everywhere */

static void budget_enforce(uint32_t bytes, int fd)
{
	/* The kernel doubles it, for what it needs beside the bytes; those here lie in full pages,
	 * and it needs next to nothing. */
	int half = (int)((bytes != 0 ? bytes : BUDGET_MOST) / 2), locks = 0;

	/* Refused: then the kernel's own bounds hold, as without a budget. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
	/* The kernel sees to its size by itself again. */
	if (bytes == 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, sizeof(locks));
}

void channel_budget_take(struct budget *b, int fd, uint64_t now_ns)
{
	struct tcp_info info = { .tcpi_rtt = 0 };
	socklen_t bytes = sizeof(info);
	struct budget_sample s;

	if (getsockopt(fd, TCP_LEVEL, TCP_INFO, &info, &bytes) < 0)
		info.tcpi_rtt = 0; /* a socket that is no TCP: nothing is known of it */
	s = (struct budget_sample){
		.rtt_ns = info.tcpi_rtt * 1000ull,
		.min_rtt_ns = info.tcpi_min_rtt == UINT32_MAX ? 0 : info.tcpi_min_rtt * 1000ull,
		.below = (uint64_t)info.tcpi_unacked * info.tcpi_snd_mss + info.tcpi_notsent_bytes,
		.segment = info.tcpi_snd_mss,
	};
	if (budget_update(b, &s, now_ns))
		budget_enforce(b->bytes, fd);
}

void channel_receive_room(int fd)
{
	int half = RECEIVE_ROOM / 2, locks = 0; /* the kernel doubles it, as below */

	/* Where it would not be the kernel's to grow again, its own beginning is better. */
	if (setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, sizeof(locks)) < 0)
		return;
	/* Without the right to more: as much as net.core.rmem_max allows. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof(half)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof(half));
	(void)setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, sizeof(locks));
}

/* The shortest so far, in us; UINT32_MAX: not known. */
static uint32_t round_trip_us(int fd)
{
	struct tcp_info info = { .tcpi_min_rtt = UINT32_MAX };
	socklen_t bytes = sizeof(info);

	return getsockopt(fd, TCP_LEVEL, TCP_INFO, &info, &bytes) < 0 ? UINT32_MAX
								      : info.tcpi_min_rtt;
}

uint64_t channel_round_trip_ns(int fd)
{
	uint32_t us = round_trip_us(fd);

	return us == UINT32_MAX ? 0 : us * 1000ull;
}

void channel_receive_bound(int fd)
{
	uint64_t window = (uint64_t)round_trip_us(fd) * RECEIVE_RATE;
	int bytes;

	if (window > RECEIVE_MOST)
		return;
	/* The kernel doubles it, for what it needs beside the bytes. */
	bytes = (int)(window > RECEIVE_LEAST ? window : RECEIVE_LEAST);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)); /* else as it was */
}
