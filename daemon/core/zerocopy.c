/* SPDX-License-Identifier: MIT */
/*
 * zerocopy.c - what a copy takes, and what pages take.
 */
#include "zerocopy.h"

#define LEAST_SHIFT 14u /* ZEROCOPY_LEAST */
#define FIRST_PAGES 3u  /* 128 KiB, before anything is known */
#define FIRST       4u  /* sends, of which the shortest is taken for the median */
#define KNOWN       32u /* sends, before they count */
#define COST_UNIT   (64u << 10)
#define COST_MAX    1000000000u /* ns */

void zerocopy_init(struct zerocopy *z)
{
	for (uint32_t i = 0; i < ZEROCOPY_SIZES; i++)
		z->size[i] = (struct zerocopy_size){
			.pages = i >= FIRST_PAGES,
			.left = ZEROCOPY_EVERY / 4,
		};
}

static uint32_t size_of(uint32_t bytes)
{
	uint32_t i = 31 - (uint32_t)__builtin_clz(bytes) - LEAST_SHIFT;

	return i < ZEROCOPY_SIZES ? i : ZEROCOPY_SIZES - 1;
}

/* Follows the median, in smaller steps as more is seen: how long a sender was put off its core says
 * nothing of what a send costs. */
static void note(struct zerocopy_size *s, const struct zerocopy_send *send)
{
	uint64_t cost = send->ns * COST_UNIT / send->bytes;
	uint32_t *known = &s->cost[send->pages], seen = s->seen[send->pages];
	uint32_t step = *known / (2 * seen + 2) + 1;

	if (cost > COST_MAX)
		cost = COST_MAX;
	if (seen < KNOWN)
		s->seen[send->pages]++;
	if (seen == 0 || (seen < FIRST && cost < *known))
		*known = (uint32_t)cost;
	else if (cost < *known)
		*known -= step;
	else if (*known < COST_MAX)
		*known += step;
}

/*
 * Pages have to be cheaper by more than either swings, and to stay cheaper: where it makes no
 * difference here a copy is better. It takes more payloads in a call, and on the same machine its
 * bytes cost the receiver less.
 */
static bool other_wins(const struct zerocopy_size *s)
{
	uint64_t copy = s->cost[0], pages = s->cost[1];

	if (s->seen[0] < KNOWN || s->seen[1] < KNOWN)
		return false;
	return s->pages ? 16 * pages > 15 * copy : 8 * pages < 7 * copy;
}

static void trial_over(struct zerocopy_size *s)
{
	s->trial = false;
	/* At first there is much to find out. */
	s->left = s->seen[!s->pages] < KNOWN ? ZEROCOPY_EVERY / 4 : ZEROCOPY_EVERY;
}

/* Of a part that ended where the transport was full, or of a rest, little can be said. */
static bool says_something(const struct zerocopy_send *send)
{
	uint32_t least = send->largest / 2 < COST_UNIT ? send->largest / 2 : COST_UNIT;

	return send->largest >= ZEROCOPY_LEAST && send->bytes >= least &&
	       send->bytes >= send->asked / 2;
}

bool zerocopy_sent(struct zerocopy *z, const struct zerocopy_send *send)
{
	struct zerocopy_size *s;

	if (!says_something(send))
		return false;
	s = &z->size[size_of(send->largest)];
	note(s, send);
	if (other_wins(s)) {
		s->pages = !s->pages;
		trial_over(s);
		return true;
	}
	if (s->trial) {
		/* Those that had been gathered before it still went the usual way. */
		if (send->pages == s->pages)
			return false;
		trial_over(s);
		return true;
	}
	if (--s->left > 0)
		return false;
	s->trial = true;
	return true;
}

uint32_t zerocopy_pages(const struct zerocopy *z)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < ZEROCOPY_SIZES; i++)
		if (z->size[i].pages != z->size[i].trial)
			bits |= 1u << (LEAST_SHIFT + i);
	/* The last stands for all that are larger. */
	if (bits >> (LEAST_SHIFT + ZEROCOPY_SIZES - 1) & 1)
		bits |= UINT32_MAX << (LEAST_SHIFT + ZEROCOPY_SIZES);
	return bits;
}

uint32_t zerocopy_from(const struct zerocopy *z)
{
	for (uint32_t i = 0; i < ZEROCOPY_SIZES; i++)
		if (z->size[i].pages)
			return ZEROCOPY_LEAST << i;
	return 0;
}
