/* SPDX-License-Identifier: MIT */
/*
 * moves_policy.c - whether a worker lets open streams go, and to which other one.
 */
#include "moves_policy.h"

#define WAIT_MIN_S 3u
#define WAIT_MAX_S 60u
#define SECOND_NS  1000000000ull
#define TIME_LEFT  500u /* permille: who is busy for less has time */

bool moves_policy_look(const struct moves_policy *m, const struct placement *p,
		       uint32_t busy_percent, uint64_t now_ns, uint32_t *ret_from, uint32_t *ret_to)
{
	uint32_t i, from = p->nr, to = 0;

	for (i = 0; i < p->nr; i++) {
		uint32_t busy = p->worker[i].busy;

		if (busy < p->worker[to].busy)
			to = i;
		if (busy >= busy_percent * 10 && now_ns >= m->worker[i].until_ns &&
		    (from == p->nr || busy > p->worker[from].busy))
			from = i;
	}
	/* With a low threshold, too, it must be worth it; and streams do not go to and fro. */
	if (busy_percent == 0 || from == p->nr || p->worker[to].busy >= TIME_LEFT ||
	    p->worker[from].busy < 2 * p->worker[to].busy || from == to)
		return false;
	*ret_from = from;
	*ret_to = to;
	return true;
}

void moves_policy_told(struct moves_policy *m, uint32_t from, bool went, uint64_t now_ns,
		       uint32_t random)
{
	uint32_t wait = m->worker[from].wait_s;

	if (went) {
		m->worker[from].wait_s = 0;
		m->worker[from].until_ns = 0;
		return;
	}
	/* It was tried before this wait began: one of many that were asked at once. */
	if (now_ns < m->worker[from].until_ns)
		return;
	wait = wait == 0 ? WAIT_MIN_S : wait * 2 < WAIT_MAX_S ? wait * 2 : WAIT_MAX_S;
	m->worker[from].wait_s = wait;
	/* 75 % to 125 %, as a dial that failed. */
	m->worker[from].until_ns = now_ns + wait * SECOND_NS / 1000 * (750 + random % 501);
}
