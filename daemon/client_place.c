/* SPDX-License-Identifier: MIT */
/*
 * client_place.c - which worker an application's new streams go to (placement.h), and telling it.
 */
#include <sys/socket.h>

#include "client.h"
#include "clock.h"

void client_place(struct client *c)
{
	struct control *ctl = c->ctl;

	ctl->placement.nr = ctl->workers->nr;
	c->default_worker = placement_add(&ctl->placement);
	c->placed = ctl->placed++;
}

/* Of those at @worker that can be told, the one that has been there for longest. */
static struct client *client_at(const struct control *ctl, uint32_t worker)
{
	struct client *c, *found = NULL;

	for (c = ctl->clients; c; c = c->next)
		if (c->state == CLIENT_ATTACHED && c->default_worker == worker &&
		    c->version >= CTL_VERSION_PLACE &&
		    (!found || (int32_t)(c->placed - found->placed) < 0))
			found = c;
	return found && client_listens(found) ? found : NULL;
}

static void client_send_on(struct client *c)
{
	struct ctl_number msg = { .head = { .type = CTL_PLACE } };
	struct control *ctl = c->ctl;

	msg.number = placement_move(&ctl->placement, c->default_worker);
	if (msg.number == c->default_worker)
		return;
	c->default_worker = msg.number;
	c->placed = ctl->placed++;
	/* It has room: it has read all. One that cannot be told goes on as it was. */
	(void)send(c->fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void control_places_look(struct control *ctl)
{
	uint64_t now = clock_monotonic_ns(), passed = now - ctl->placement_ns;
	uint32_t i;

	for (i = 0; i < ctl->workers->nr; i++) {
		placement_look(&ctl->placement, i, worker_idle_ns(ctl->workers->worker[i], now),
			       passed);
		/* Relaxed: a number to look at. */
		atomic_store_explicit(&stats_worker_entry(ctl->stats, i)->busy_permille,
				      ctl->placement.worker[i].busy, memory_order_relaxed);
	}
	ctl->placement_ns = now;
	moves_look(ctl, now);
	for (i = 0; i < ctl->workers->nr; i++) {
		struct client *c = client_at(ctl, i);

		if (c)
			client_send_on(c);
	}
}
