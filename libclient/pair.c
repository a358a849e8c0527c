/* SPDX-License-Identifier: MIT */
/*
 * pair.c - the pairs that are kept: each place is taken and filled by one exchange.
 */
#include "pair.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT 32 /* pairs: each keeps two descriptors from the program's limit */

/* Global: why: descriptors are the process's. Both ends in a word; 0: none. */
static _Atomic uint64_t kept[KEPT];
/* Global: why: as above. */
static _Atomic uint32_t forks;

static int pair_make(int pair[2])
{
	const int low = PAIR_LIMIT_LOW;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return errno == EMFILE || errno == ENFILE ? -EMFILE : -ENOMEM;
	/* Neither can fail: there is room. */
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &low, sizeof(low));
	(void)send(pair[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

static void pair_close(uint64_t word)
{
	close((int)(word >> 32));
	close((int)(uint32_t)word);
}

int pair_take(int ret_pair[2])
{
	for (int i = 0; i < KEPT; i++) {
		uint64_t word;

		/* Relaxed: a look first, which leaves the line with whom it is. */
		if (atomic_load_explicit(&kept[i], memory_order_relaxed) == 0)
			continue;
		/* Relaxed: the kernel orders what is done to a descriptor. */
		word = atomic_exchange_explicit(&kept[i], 0, memory_order_relaxed);
		if (word == 0)
			continue;
		ret_pair[0] = (int)(word >> 32);
		ret_pair[1] = (int)(uint32_t)word;
		return 0;
	}
	return pair_make(ret_pair);
}

void pair_give(const int pair[2], uint32_t then)
{
	uint64_t word = (uint64_t)pair[0] << 32 | (uint32_t)pair[1];

	for (int i = 0; i < KEPT && then == pair_forks(); i++) {
		uint64_t none = 0;

		/* Relaxed: as above. */
		if (atomic_compare_exchange_strong_explicit(&kept[i], &none, word,
							    memory_order_relaxed,
							    memory_order_relaxed))
			return;
	}
	pair_close(word);
}

uint32_t pair_forks(void)
{
	/* Relaxed: a number to compare; who closes while another thread forks shares nothing. */
	return atomic_load_explicit(&forks, memory_order_relaxed);
}

void pair_before_fork(void)
{
	/* Relaxed: as above. */
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

void pair_forget(void)
{
	for (int i = 0; i < KEPT; i++) {
		/* Relaxed: the only thread. */
		uint64_t word = atomic_exchange_explicit(&kept[i], 0, memory_order_relaxed);

		if (word != 0)
			pair_close(word);
	}
}
