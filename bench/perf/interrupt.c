/* SPDX-License-Identifier: MIT */
/* interrupt.c - the time of the first signal. */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>

#include "clock.h"

#define IMPATIENT_NS NS_PER_S

/* Global: a signal handler has no argument. Relaxed: nothing else is said with it. */
static _Atomic uint64_t first_ns;

static void on_signal(int nr)
{
	uint64_t now_ns = clock_now_ns();
	/* Relaxed, both: as above. */
	uint64_t at_ns = atomic_load_explicit(&first_ns, memory_order_relaxed);

	if (at_ns == 0) {
		atomic_store_explicit(&first_ns, now_ns, memory_order_relaxed);
	} else if (now_ns - at_ns >= IMPATIENT_NS) {
		(void)signal(nr, SIG_DFL);
		(void)raise(nr); /* behind this handler */
	}
}

void interrupt_catch(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void)
{
	/* Relaxed: as above. */
	return atomic_load_explicit(&first_ns, memory_order_relaxed) != 0;
}
