/* SPDX-License-Identifier: MIT */
/*
 * worker_door.c - the way into a worker and out of it: a queue of commands, a queue of events, an
 * eventfd for each.
 *
 * The worker never waits for room: commands are taken, and events sent that can wait
 * (door_has_room), only while more than half of the event queue is free, and the other half is as
 * large as all other events that can arise without a command.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ncd/doorbell.h"

#include "worker_state.h"

static void ring_eventfd(int fd)
{
	uint64_t one = 1;
	/* Fails only at 2^64 unread wakes. */
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
}

static void *ring_memory(uint32_t capacity)
{
	size_t bytes = (ring_bytes(capacity) + NCD_CACHE_LINE - 1) & ~(size_t)(NCD_CACHE_LINE - 1);
	void *mem = aligned_alloc(NCD_CACHE_LINE, bytes);

	if (mem)
		memset(mem, 0, bytes);
	return mem;
}

int door_create(struct door *d, uint32_t event_max, int event_fd)
{
	int ret = -ENOMEM;

	d->event_fd = event_fd;
	d->event_max = event_max;
	d->event = calloc(event_max, sizeof(*d->event));
	d->cmd_mem = ring_memory(COMMANDS_MAX);
	d->event_mem = ring_memory(event_max);
	if (!d->event || !d->cmd_mem || !d->event_mem)
		goto err_free;
	d->cmd_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->cmd_fd < 0) {
		ret = -errno;
		goto err_free;
	}
	ring_init(&d->cmd_in, d->cmd_mem, COMMANDS_MAX);
	ring_init(&d->cmd_out, d->cmd_mem, COMMANDS_MAX);
	ring_init(&d->event_in, d->event_mem, event_max);
	ring_init(&d->event_out, d->event_mem, event_max);
	return 0;

err_free:
	free(d->event);
	free(d->cmd_mem);
	free(d->event_mem);
	d->event = NULL;
	return ret;
}

/* Commands that are still in here belong to control, which has a list of them (workers.c). */
void door_destroy(struct door *d)
{
	if (!d->event)
		return;
	close(d->cmd_fd);
	free(d->event);
	free(d->cmd_mem);
	free(d->event_mem);
}

/* Control: what waited goes in first. */
static void post_waiting(struct worker *w)
{
	struct door *d = &w->door;
	bool pushed = false;

	while (d->waiting_head) {
		struct worker_cmd *cmd = d->waiting_head, *next = cmd->next;

		/* The worker's from here on. */
		if (ring_push(&d->cmd_in, (uint64_t)(uintptr_t)cmd) < 0)
			break;
		pushed = true;
		d->waiting_head = next;
		if (!d->waiting_head)
			d->waiting_tail = NULL;
	}
	if (!pushed)
		return;
	ring_publish(&d->cmd_in);
	if (doorbell_due(&d->need_wakeup))
		ring_eventfd(d->cmd_fd);
}

void worker_post(struct worker *w, struct worker_cmd *cmd)
{
	struct door *d = &w->door;

	cmd->next = NULL;
	if (d->waiting_tail)
		d->waiting_tail->next = cmd;
	else
		d->waiting_head = cmd;
	d->waiting_tail = cmd;
	post_waiting(w);
}

bool worker_event(struct worker *w, struct worker_event *ret_event)
{
	struct door *d = &w->door;
	uint32_t at = d->event_out.own & (d->event_max - 1);
	uint64_t word;

	if (d->event_out.own == d->event_out.foreign && ring_empty(&d->event_out))
		goto none;
	*ret_event = d->event[at];
	if (ring_pop(&d->event_out, &word) < 0)
		goto none;
	return true;
none:
	post_waiting(w);
	return false;
}

bool door_has_room(const struct door *d)
{
	/* RECYCLE, producer end. */
	uint32_t head = atomic_load_explicit(&d->event_in.shm->head, memory_order_acquire);

	return d->event_in.own - head <= d->event_max / 2;
}

struct worker_cmd *door_take(struct door *d)
{
	uint64_t word;

	if (!door_has_room(d))
		return NULL;
	if (ring_pop(&d->cmd_out, &word) < 0)
		return NULL;
	return (struct worker_cmd *)(uintptr_t)word;
}

void door_event(struct door *d, const struct worker_event *ev)
{
	int ret;

	d->event[d->event_in.own & (d->event_max - 1)] = *ev;
	ret = ring_push(&d->event_in, 0);
	assert(ret == 0);
	d->event_written = true;
}

void door_flush(struct door *d)
{
	if (!d->event_written)
		return;
	d->event_written = false;
	ring_eventfd(d->event_fd);
}

bool door_empty(const struct door *d)
{
	return ring_empty(&d->cmd_out);
}
