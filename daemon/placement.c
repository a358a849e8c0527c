/* SPDX-License-Identifier: MIT */
/*
 * placement.c - which worker has time.
 */
#include "placement.h"

#define OVERLOADED 900u /* permille */
#define HAS_TIME   500u
#define ALIKE      100u /* workers are compared by so much */

void placement_look(struct placement *p, uint32_t worker, uint64_t idle_ns, uint64_t passed_ns)
{
	uint64_t before = p->worker[worker].idle_ns;
	/* It may seem to have gone back: what it has slept is counted when it wakes. */
	uint64_t idle = idle_ns > before ? idle_ns - before : 0;

	p->worker[worker].idle_ns = idle_ns;
	if (passed_ns == 0)
		return;
	if (idle > passed_ns)
		idle = passed_ns;
	p->worker[worker].busy = (uint32_t)(1000 - idle * 1000 / passed_ns);
}

static uint32_t least(const struct placement *p)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < p->nr; i++) {
		uint32_t busy = p->worker[i].busy / ALIKE, of_best = p->worker[best].busy / ALIKE;

		if (busy < of_best ||
		    (busy == of_best && p->worker[i].clients < p->worker[best].clients))
			best = i;
	}
	return best;
}

uint32_t placement_add(struct placement *p)
{
	uint32_t worker = least(p);

	p->worker[worker].clients++;
	return worker;
}

void placement_remove(struct placement *p, uint32_t worker)
{
	p->worker[worker].clients--;
}

uint32_t placement_move(struct placement *p, uint32_t worker)
{
	uint32_t to = least(p);

	if (p->worker[worker].busy < OVERLOADED || p->worker[to].busy >= HAS_TIME)
		return worker;
	p->worker[worker].clients--;
	p->worker[to].clients++;
	return to;
}
