/* SPDX-License-Identifier: MIT */
/*
 * port_away.c - listeners beside a kernel's socket that a program without ncd has got: it accepts
 * what comes by the kernel, and perhaps nobody what comes by ncd.
 *
 * Nobody knows what that program is: the server that is to accept, or a tool that has the socket
 * by an oversight. What its parent does tells. If it has accepted before or waits just now, nothing
 * has happened. Else it is away: others are refused, which brings them to kernel TCP, and what is
 * in its queue is held, as for a server that is reloaded (port_pass.c). When it looks again it is
 * back, and has what is still held; what nobody asks for is reset, so that no client need wait.
 */
#include <errno.h>

#include "port_calls.h"

static bool has_accepted(const struct listener *l)
{
	/* Relaxed: a moment later is soon enough. From whichever worker; and not the head of our
	 * queue, which moves over what was taken back, too. */
	return atomic_load_explicit(&l->port->listener_shm[l->number].accepted,
				    memory_order_relaxed) != 0;
}

void listener_back(struct worker *w, struct listener *l)
{
	if (!l->away)
		return;
	l->away = false;
	listener_take_held(w, l);
}

bool listener_away(struct worker *w, struct listener *l)
{
	if (l->away && (has_accepted(l) || listener_waits(l)))
		listener_back(w, l);
	return l->away;
}

static bool group_away(struct worker *w, struct listener *member)
{
	struct listener *l = member;

	do {
		if (!listener_away(w, l))
			return false;
		l = l->group_next;
	} while (l != member);
	return true;
}

int port_listener_away(struct worker *w, struct port *p, uint32_t number)
{
	struct listener *l;

	if (number >= NCD_LISTENERS_MAX || !p->listener[number].used)
		return -EINVAL;
	l = &p->listener[number];
	if (l->title == 0 || has_accepted(l))
		return 0;
	listener_elsewhere(w, l);
	/* SHARE, daemon end: one that began to wait before it could see that is seen here. */
	l->away = !listener_waits(l);
	/* While others of the group accept, what is in the queue is theirs when they ask. */
	if (!group_away(w, l))
		return 0;
	do {
		listener_hold(w, l);
		l = l->group_next;
	} while (l != &p->listener[number]);
	return 0;
}
