/* SPDX-License-Identifier: MIT */
/*
 * carriers.c - the boxes and boards by which the workers of a host reach each other.
 */
#include "carriers.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pin.h"

static size_t lines(size_t bytes)
{
	return (bytes + NCD_CACHE_LINE - 1) & ~(size_t)(NCD_CACHE_LINE - 1);
}

static size_t box_bytes(uint32_t nr)
{
	return lines((size_t)nr * nr * sizeof(struct carry_box));
}

static size_t ring_stride(void)
{
	return lines(ring_bytes(CARRY_BOX));
}

/* The rings lie behind the boxes. */
struct carriers *carriers_create(uint32_t nr)
{
	size_t bytes = box_bytes(nr) + (size_t)nr * nr * ring_stride();
	struct carriers *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return NULL;
	cs->nr = nr;
	cs->board = pin_alloc(nr * sizeof(*cs->board), -1);
	cs->box = pin_alloc(bytes, -1);
	if (!cs->board || !cs->box)
		goto err_destroy;
	for (uint32_t i = 0; i < nr; i++)
		cs->board[i].fd = -1;
	for (uint32_t i = 0; i < nr * nr; i++) {
		void *ring = (uint8_t *)cs->box + box_bytes(nr) + i * ring_stride();

		cs->box[i].shm = ring;
	}
	for (uint32_t i = 0; i < nr; i++) {
		cs->board[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (cs->board[i].fd < 0)
			goto err_destroy;
	}
	return cs;

err_destroy:
	carriers_destroy(cs);
	return NULL;
}

void carriers_destroy(struct carriers *cs)
{
	if (!cs)
		return;
	for (uint32_t i = 0; cs->board && i < cs->nr; i++)
		if (cs->board[i].fd >= 0)
			(void)close(cs->board[i].fd); /* a counter, nothing to flush */
	pin_free(cs->board, cs->nr * sizeof(*cs->board));
	pin_free(cs->box, box_bytes(cs->nr) + (size_t)cs->nr * cs->nr * ring_stride());
	free(cs);
}
