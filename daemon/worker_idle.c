/* SPDX-License-Identifier: MIT */
/*
 * worker_idle.c - what a worker does while there is nothing to do: it spins for a while (idle.h),
 * then sleeps.
 */
#include <sched.h>

#include "ncd/doorbell.h"

#include "clock.h"
#include "port_calls.h"
#include "worker_state.h"

#define DOZE_NS         100000u  /* programs hold back wakes no longer than that */
#define PENDING_WAIT_NS 1000000u /* full completion queues: nobody tells when there is room */

/* It was idle since the turn began. */
static void idle_count(struct worker *w, uint64_t now)
{
	/* Relaxed, both: control looks seldom and at nothing else. */
	uint64_t ns = atomic_load_explicit(&w->idle_ns, memory_order_relaxed);

	atomic_store_explicit(&w->idle_ns, ns + now - w->now_ns, memory_order_relaxed);
}

static void spin(struct worker *w)
{
	uint64_t now;

	sched_yield();
	now = clock_monotonic_ns();
	w->spin_ns += now - w->now_ns;
	idle_count(w, now);
	idle_yielded(&w->idle, now - w->now_ns, now);
}

/* How long to sleep at most. */
static uint64_t sleep_ns(const struct worker *w)
{
	uint64_t deadline = engine_deadline(w->engine);
	uint64_t at;

	/* Control, too, does not tell when it has made room for events. */
	if ((w->pending_ports || w->takes || w->later_head != w->later_tail) &&
	    deadline > w->now_ns + PENDING_WAIT_NS)
		deadline = w->now_ns + PENDING_WAIT_NS;
	/* Statistics of what has just happened are written once more, then never again. */
	at = w->sweep_ns + STATS_EVERY_NS;
	if (w->touched && deadline > at)
		deadline = at;
	at = held_deadline(w);
	if (deadline > at)
		deadline = at;
	at = offers_deadline(w);
	if (deadline > at)
		deadline = at;
	if (deadline > w->trim_ns)
		deadline = w->trim_ns;
	if (deadline > w->warm_ns)
		deadline = w->warm_ns;
	if (deadline == UINT64_MAX)
		return UINT64_MAX;
	return deadline > w->now_ns ? deadline - w->now_ns : 0;
}

static void worker_sleep(struct worker *w)
{
	uint64_t timeout;
	bool doze;

	if (w->now_ns - w->sweep_ns >= STATS_EVERY_NS)
		worker_sweep(w);
	worker_peers_news(w);
	door_flush(&w->door);
	doze = idle_dozes(&w->idle, w->words);
	w->words = 0;

	doorbell_arm(&w->door.need_wakeup);
	ports_arm(w, doze ? DOORBELL_SOON : DOORBELL_FUTEX);
	carrying_arm(w);
	if (door_empty(&w->door) && carrying_quiet(w) && ports_quiet(w) && !io_ready(w->io)) {
		timeout = sleep_ns(w);
		if (doze && timeout > DOZE_NS)
			timeout = DOZE_NS;
		w->sleeps++;
		/* Relaxed, both: control and the watchdog look seldom and at nothing else. */
		atomic_store_explicit(&w->asleep_ns, w->now_ns, memory_order_relaxed);
		if (timeout)
			io_wait(w->io, timeout);
		idle_count(w, clock_monotonic_ns());
		atomic_store_explicit(&w->asleep_ns, 0, memory_order_relaxed);
	}
	doorbell_disarm(&w->door.need_wakeup);
	carrying_disarm(w);
	ports_disarm(w);
}

void worker_idle(struct worker *w)
{
	carrying_idle(w);
	if (idle_spins(&w->idle, w->now_ns))
		spin(w);
	else
		worker_sleep(w);
}

void worker_busy(struct worker *w)
{
	idle_ends(&w->idle, (uint64_t)w->cfg.spin_us * 1000, w->now_ns);
}
