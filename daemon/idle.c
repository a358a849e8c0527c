/* SPDX-License-Identifier: MIT */
/*
 * idle.c - how long a thread spins before it sleeps.
 *
 * The spin's budget follows what the idle times turn out to be (as the kernel's halt_poll does): it
 * grows when a slightly longer spin would have met the work, and shrinks to nothing when the work
 * came much later. Between looks the core is offered to others; if they took it, twice, spinning
 * only keeps them away from it, and the worker sleeps at once.
 *
 * If one took it for as long as a time slice, and as soon as it was offered again another one, that
 * is nobody who answers but somebody who computes. (A single one is no news: under a hypervisor the
 * core itself is away now and then.) Who yields to such a one waits for a slice, milliseconds (and
 * since Linux 6.18 gives up as much of its own share), while who sleeps and is woken goes first. So
 * for a time there is no spinning, each time for longer.
 *
 * But who is woken on a crowded core takes it from the program that wakes it, and so that gets no
 * further than a message or two each time. Where programs have more than one message for a sleep
 * the worker dozes first: they may say all they have before they wake it, and it looks by itself
 * soon. If nothing has come then, it sleeps until it is woken.
 */
#include "idle.h"

#define BUDGET_START_NS 10000u
#define BUDGET_LEAST_NS 5000u
#define SLOW_YIELD_NS   20000u
#define SLOW_YIELDS     2u
#define SLICE_NS        700000u /* shortest time slice of a kernel; who serves us answers sooner */
#define APART_NS        10000000u /* two slices that are no further apart are somebody's */
#define SHY_LEAST_NS    10000000u
#define SHY_MOST_NS     1000000000u
#define WORDS_MOST      16u
#define DOZE_WORDS      20u /* 1.25 for a sleep */

/* Somebody computes on this core. */
static void shy_away(struct idle *i, uint64_t now_ns)
{
	/* Not for long since the last time: it is the same one. */
	if (i->slice_begin_ns - i->shy_until_ns < i->shy_ns)
		i->shy_ns *= 2;
	else
		i->shy_ns = SHY_LEAST_NS;
	if (i->shy_ns > SHY_MOST_NS)
		i->shy_ns = SHY_MOST_NS;
	i->shy_until_ns = now_ns + i->shy_ns;
}

/* Somebody had the core for a time slice. */
static void slice_away(struct idle *i, uint64_t begin_ns, uint64_t now_ns)
{
	bool again = begin_ns - i->slice_end_ns < APART_NS;

	if (!again)
		i->slice_begin_ns = begin_ns;
	i->slice_end_ns = now_ns;
	i->crowded = true;
	if (again)
		shy_away(i, now_ns);
}

bool idle_spins(struct idle *i, uint64_t now_ns)
{
	if (!i->since_ns) {
		i->since_ns = now_ns;
		i->slow_yields = 0;
		i->crowded = now_ns < i->shy_until_ns;
	}
	return !i->crowded && now_ns - i->since_ns < i->budget_ns;
}

void idle_yielded(struct idle *i, uint64_t away_ns, uint64_t now_ns)
{
	if (away_ns >= SLICE_NS)
		slice_away(i, now_ns - away_ns, now_ns);
	else if (away_ns < SLOW_YIELD_NS)
		i->slow_yields = 0;
	else if (++i->slow_yields >= SLOW_YIELDS)
		i->crowded = true;
}

bool idle_dozes(struct idle *i, uint32_t words)
{
	if (i->dozed) {
		i->dozed = false; /* in vain */
		return false;
	}
	i->words += 2 * (words < WORDS_MOST ? words : WORDS_MOST) - (i->words + 7) / 8;
	i->dozed = i->crowded && i->words >= DOZE_WORDS;
	return i->dozed;
}

void idle_ends(struct idle *i, uint64_t most_ns, uint64_t now_ns)
{
	uint64_t idle_ns;

	i->dozed = false;
	if (!i->since_ns)
		return;
	idle_ns = now_ns - i->since_ns;
	i->since_ns = 0;
	if (i->crowded) {
		i->budget_ns /= 2;
	} else if (idle_ns <= i->budget_ns) {
		return;
	} else if (idle_ns < most_ns) {
		i->budget_ns = i->budget_ns ? i->budget_ns * 2 : BUDGET_START_NS;
		if (i->budget_ns > most_ns)
			i->budget_ns = most_ns;
	} else {
		i->budget_ns /= 2;
	}
	if (i->budget_ns < BUDGET_LEAST_NS)
		i->budget_ns = 0;
}
