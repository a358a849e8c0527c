/* SPDX-License-Identifier: MIT */
/*
 * control.c - the control socket: accepting, and passing the workers' news to the right client.
 */
#include "control.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "shared.h"

#define ACCEPTS_A_TURN 64
#define RESUME_SECONDS 1

void control_adopt(struct control *ctl, int fd)
{
	if (ctl->greeting < CLIENT_GREETING_MAX && client_create(ctl, fd))
		return;
	stats_count(&ctl->stats->head->attach_refused);
	log_limited(ctl->log, &ctl->limit_refused, LOG_LEVEL_NOTICE,
		    "control socket: connection closed, %u others have not said hello",
		    ctl->greeting);
	(void)close(fd); /* nothing was said */
}

void control_resume(struct control *ctl)
{
	/* It was taken out of the loop: no descriptors left, or too many to be heard first. */
	if (ctl->listen_event && !event_pending(ctl->listen_event, EV_READ, NULL))
		(void)event_add(ctl->listen_event, NULL); /* the timer tries again */
}

static void control_resume_later(int fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	control_resume(ctx);
}

static void control_accept(int listen_fd, short what, void *ctx)
{
	const struct timeval later = { .tv_sec = RESUME_SECONDS };
	struct control *ctl = ctx;
	uint32_t n;
	int fd;

	(void)what;
	for (n = 0; n < ACCEPTS_A_TURN; n++) {
		if (ctl->greeting >= CLIENT_GREETING_MAX) {
			/* The others wait in the backlog until one has said hello, or has gone. */
			(void)event_del(ctl->listen_event); /* cannot fail for an event of ours */
			return;
		}
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			control_adopt(ctl, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		log_limited(ctl->log, &ctl->limit_accept, LOG_LEVEL_WARNING,
			    "control socket: cannot accept: %s; trying again", strerror(errno));
		(void)event_del(ctl->listen_event);         /* cannot fail for an event of ours */
		(void)event_add(ctl->resume_event, &later); /* or a client's end resumes */
		return;
	}
}

int control_init(struct control *ctl)
{
	ctl->listen_fd = -1;
	ctl->placement_ns = clock_monotonic_ns();
	ctl->ports = port_table_create();
	ctl->shared = shared_create(ctl->base, ctl->workers);
	return ctl->ports && ctl->shared ? 0 : -ENOMEM;
}

int control_listen(struct control *ctl, int fd)
{
	ctl->listen_fd = fd;
	ctl->resume_event = event_new(ctl->base, -1, 0, control_resume_later, ctl);
	ctl->listen_event = event_new(ctl->base, fd, EV_READ | EV_PERSIST, control_accept, ctl);
	if (ctl->resume_event == NULL || ctl->listen_event == NULL ||
	    event_add(ctl->listen_event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void control_second(struct control *ctl)
{
	for (struct client *c = ctl->clients; c; c = c->next) {
		client_left_look(c);
		client_idle_look(c);
	}
	control_joints_look(ctl);
	control_places_look(ctl);
}

void control_leave(struct control *ctl)
{
	const struct ctl_head leaving = { .type = CTL_LEAVING };
	struct client *c, *next;

	ctl->leaving = true;
	for (c = ctl->clients; c; c = next) {
		next = c->next;
		if (c->state == CLIENT_ATTACHED)
			/* If it cannot hear it has ended, which is as good. */
			(void)client_send(c, &leaving, sizeof(leaving), NULL, 0);
	}
}

void control_abandon(struct control *ctl)
{
	struct client *c, *next;

	for (c = ctl->clients; c; c = next) {
		next = c->next;
		client_abandon(c);
	}
}

void control_fini(struct control *ctl)
{
	if (ctl->listen_event)
		event_free(ctl->listen_event);
	if (ctl->resume_event)
		event_free(ctl->resume_event);
	ctl->listen_event = NULL;
	ctl->resume_event = NULL;
	moves_fini(ctl);
	while (ctl->clients)
		client_free(ctl->clients);
	control_joints_free(ctl);
	if (ctl->listen_fd >= 0)
		(void)close(ctl->listen_fd); /* nothing to flush */
	ctl->listen_fd = -1;
	port_table_destroy(ctl->ports);
	ctl->ports = NULL;
	shared_destroy(ctl->shared);
	ctl->shared = NULL;
}

void control_copy_event(struct control *ctl)
{
	struct client *c, *next;

	for (c = ctl->clients; c; c = next) {
		const char *why = NULL;

		next = c->next;
		if (c->copy)
			/* Relaxed: the eventfd was read. */
			why = atomic_load_explicit(&c->copy->bad, memory_order_relaxed);
		if (c->state == CLIENT_ATTACHED && why) {
			log_limited(ctl->log, &ctl->limit_region, LOG_LEVEL_WARNING,
				    "client %d (%s) is detached: %s", (int)c->pid, c->program, why);
			client_end(c, why);
		} else if (c->state == CLIENT_LEAVING) {
			client_copy_ended(c);
		}
	}
}

void control_event(struct control *ctl, uint32_t worker, const struct worker_event *ev)
{
	struct port *port = ev->type == EVT_DONE ? ev->cmd->port : ev->port;
	struct client *c;

	if (ev->type == EVT_JOINT_OVER)
		client_joint_over(ev->joint);
	else if (ev->type == EVT_DONE && moves_own(ev->cmd))
		moves_back(ctl, worker, ev->cmd);
	else
		moves_event(ctl, worker, ev);
	if (port == NULL || (ev->type == EVT_DONE && moves_own(ev->cmd)))
		return; /* of no client, as SHARE_END, or seen to */
	c = port_client(port);
	switch (ev->type) {
	case EVT_DONE:
		client_command_back(c, worker, ev->cmd);
		break;
	case EVT_CLIENT_BAD:
		log_limited(ctl->log, &ctl->limit_region, LOG_LEVEL_WARNING,
			    "client %d (%s) is detached: %s", (int)c->pid, c->program, ev->reason);
		client_end(c, ev->reason);
		break;
	case EVT_CLIENT_GONE:
		client_gone(c, worker);
		break;
	case EVT_SEGMENT_WANTED:
		client_segment_wanted(c, worker, ev->bytes);
		break;
	case EVT_JOINT_WANTED:
		client_joint_wanted(c, worker, ev);
		break;
	case EVT_JOINT_OVER: /* as above */
	case EVT_CHANNEL_DEAD:
	case EVT_PEER_LEFT:
	case EVT_PEER_GROWS:
	case EVT_MOVE_ASKED:
	case EVT_MOVE_ANSWERED:
	case EVT_MOVE_SETTLED:
	case EVT_MOVE_PORT:
		/* Not a client's. */
		break;
	}
}
