/* SPDX-License-Identifier: MIT */
/* interrupt.c - a flag that a signal sets. */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>

/* Global: a signal handler has no argument. Relaxed: nothing else is said with it. */
static atomic_bool seen;

static void on_signal(int nr)
{
	(void)nr;
	atomic_store_explicit(&seen, true, memory_order_relaxed);
}

void interrupt_catch(void)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESTART | (int)SA_RESETHAND,
	};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void)
{
	return atomic_load_explicit(&seen, memory_order_relaxed);
}
