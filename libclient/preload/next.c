/* SPDX-License-Identifier: MIT */
/*
 * next.c - when ncd has ended: listeners listen through the next one.
 *
 * The thread that watched the connection to the daemon has nothing else to do any more, and looks
 * for it. All signals are blocked in it.
 */
#include <time.h>

#include "file.h"
#include "real.h"
#include "../process.h"

#define LOOK_SECONDS 1
#define ASK_IT       3 /* times: what it refuses then is left to who accepts */

/* The program may close @fd at any time: we work at a copy, which is of @f if the number still is
 * afterwards. False: not now. */
static bool again(struct file *f, int fd)
{
	int copy = real_keep_copy(fd);
	bool well = true;

	if (copy < 0)
		return false;
	if (file_of(fd) == f && file_kind(f) == FILE_LISTENER)
		well = listener_again(f, copy);
	file_unmark_internal(copy);
	(void)real()->close(copy); /* a copy less */
	return well;
}

static bool all_again(void)
{
	bool all = true;

	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_of(fd);

		if (!f || file_kind(f) != FILE_LISTENER || !file_hold(f))
			continue;
		all &= again(f, fd);
		file_let_go(f);
	}
	return all;
}

/* False: not now. */
static bool next_is_there(void)
{
	struct attachment *att;

	if (process_attach_new(&att) < 0)
		return false;
	attachment_put(att);
	return true;
}

static void listen_again(void)
{
	const struct timespec pause = { .tv_sec = LOOK_SECONDS };
	int asked = 0;

	/* Relaxed: a hint; who listens later finds out by itself. */
	while (atomic_load_explicit(&file_listeners, memory_order_relaxed) > 0 && asked < ASK_IT) {
		if (next_is_there()) {
			if (all_again())
				return;
			asked++;
		}
		(void)real()->ppoll(NULL, 0, &pause, NULL); /* its length does not matter */
	}
}

__attribute__((constructor)) static void next_init(void)
{
	process_when_lost(listen_again);
}
