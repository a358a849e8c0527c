/* SPDX-License-Identifier: MIT */
/*
 * timeline.c - the heap.
 */
#include <assert.h>
#include <stdlib.h>

#include "timeline.h"

static bool earlier(const struct event *x, const struct event *y)
{
	return x->at_ns != y->at_ns ? x->at_ns < y->at_ns : x->order < y->order;
}

void timeline_fini(struct timeline *t)
{
	free(t->heap);
	*t = (struct timeline){ 0 };
}

void timeline_add(struct timeline *t, const struct event *ev)
{
	struct event e = *ev;
	uint32_t i = t->nr++;

	if (t->nr > t->room) {
		t->room = t->room ? t->room * 2 : 1024;
		t->heap = realloc(t->heap, t->room * sizeof(t->heap[0]));
		assert(t->heap);
	}
	e.order = t->order++;
	for (; i > 0 && earlier(&e, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
		t->heap[i] = t->heap[(i - 1) / 2];
	t->heap[i] = e;
}

bool timeline_next(struct timeline *t, struct event *ret_event)
{
	struct event last;
	uint32_t i = 0;

	if (t->nr == 0)
		return false;
	*ret_event = t->heap[0];
	last = t->heap[--t->nr];
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= t->nr)
			break;
		if (child + 1 < t->nr && earlier(&t->heap[child + 1], &t->heap[child]))
			child++;
		if (!earlier(&t->heap[child], &last))
			break;
		t->heap[i] = t->heap[child];
		i = child;
	}
	t->heap[i] = last;
	return true;
}
