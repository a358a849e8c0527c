/* SPDX-License-Identifier: MIT */
/*
 * shared.c - the table of shared streams, and the epoll that hears when nobody has the descriptor
 * of one any more.
 *
 * An end of a pair hangs up when the last copy of the other is closed, whatever is in it. Nothing
 * else of it is of interest here, so this is an epoll of its own: libevent knows no such wish.
 */
#include "shared.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "ncd/descriptor_name.h"

#include "workers.h"

#define BUCKETS      4096u /* a power of two */
#define HANGUPS_TURN 256

struct shared_table {
	struct workers *workers;
	struct event *event;
	int epfd;
	uint32_t lent; /* entries */
	struct shared *bucket[BUCKETS];
};

static struct shared **shared_at(struct shared_table *t, uint64_t cookie)
{
	struct shared **at = &t->bucket[cookie & (BUCKETS - 1)];

	while (*at && (*at)->cookie != cookie)
		at = &(*at)->next;
	return at;
}

struct shared *shared_find(struct shared_table *t, uint64_t cookie)
{
	return *shared_at(t, cookie);
}

static void shared_remove(struct shared_table *t, struct shared **at)
{
	struct shared *s = *at;

	*at = s->next;
	t->lent -= s->lent;
	(void)close(s->end); /* takes it out of the epoll too, if it is the last copy */
	free(s);
}

/* Nobody has the descriptor any more. */
static void shared_hung(struct shared_table *t, uint64_t cookie)
{
	struct shared **at = shared_at(t, cookie), *s = *at;
	struct worker_cmd *cmd;

	if (s == NULL)
		return;
	(void)epoll_ctl(t->epfd, EPOLL_CTL_DEL, s->end, NULL); /* it is there */
	s->hung = true;
	if (s->moving)
		return;
	cmd = command_create(CMD_SHARE_END);
	if (cmd) {
		cmd->share.cookie = cookie;
		cmd->share.stream = s->stream;
		workers_post(t->workers, s->worker, cmd);
	}
	shared_remove(t, at);
}

void shared_moved(struct shared_table *t, struct shared *s)
{
	s->moving = false;
	if (s->lent && s->lender == NULL)
		shared_drop(t, s->cookie);
	else if (s->hung)
		shared_hung(t, s->cookie);
}

void shared_drop(struct shared_table *t, uint64_t cookie)
{
	struct shared **at = shared_at(t, cookie);

	if (*at && !(*at)->moving)
		shared_remove(t, at);
}

static void shared_heard(int fd, short what, void *ctx)
{
	struct epoll_event events[HANGUPS_TURN];
	struct shared_table *t = ctx;
	int i, n = epoll_wait(fd, events, HANGUPS_TURN, 0);

	(void)what;
	for (i = 0; i < n; i++)
		shared_hung(t, events[i].data.u64);
}

struct shared_table *shared_create(struct event_base *base, struct workers *workers)
{
	struct shared_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->workers = workers;
	t->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epfd < 0)
		goto err;
	t->event = event_new(base, t->epfd, EV_READ | EV_PERSIST, shared_heard, t);
	if (t->event && event_add(t->event, NULL) == 0)
		return t;
err:
	shared_destroy(t);
	return NULL;
}

void shared_destroy(struct shared_table *t)
{
	uint32_t i;

	if (t == NULL)
		return;
	for (i = 0; i < BUCKETS; i++)
		while (t->bucket[i])
			shared_remove(t, &t->bucket[i]);
	if (t->event)
		event_free(t->event);
	if (t->epfd >= 0)
		(void)close(t->epfd); /* nothing to flush */
	free(t);
}

int shared_name(int end, int family, uint64_t cookie)
{
	struct sockaddr_un sun;
	uint64_t noise;
	socklen_t bytes;

	if (getrandom(&noise, sizeof(noise), 0) != sizeof(noise))
		return -EAGAIN;
	bytes = descriptor_name(&sun, DESCRIPTOR_STREAM, family, cookie, noise);
	if (bind(end, (const struct sockaddr *)&sun, bytes) == 0 || errno == EINVAL)
		return 0; /* EINVAL: it has one */
	return -errno;
}

/* Hears when it hangs up. */
static int shared_watch(struct shared_table *t, struct shared *s)
{
	/* No event is asked for: hanging up is told always, and once is enough. */
	struct epoll_event e = { .events = EPOLLONESHOT, .data.u64 = s->cookie };

	return epoll_ctl(t->epfd, EPOLL_CTL_ADD, s->end, &e) < 0 ? -ENOMEM : 0;
}

int shared_lend(struct shared_table *t, struct client *lender, uint64_t cookie, uint32_t worker,
		uint32_t stream, int end, struct shared **ret_shared)
{
	struct shared **at = shared_at(t, cookie), *s = *at;
	int ret = -EEXIST;

	if (s)
		goto err;
	ret = -ENOMEM;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		goto err;
	*s = (struct shared){ .cookie = cookie,
			      .worker = worker,
			      .stream = stream,
			      .end = end,
			      .lent = true,
			      .lender = lender };
	*at = *ret_shared = s;
	t->lent++;
	return 0;
err:
	(void)close(end); /* of no use */
	return ret;
}

int shared_keep(struct shared_table *t, struct shared *s)
{
	if (shared_watch(t, s) < 0)
		return -ENOMEM;
	s->lent = false;
	s->lender = NULL;
	t->lent--;
	return 0;
}

int shared_add(struct shared_table *t, uint64_t cookie, uint32_t worker, uint32_t stream, int end)
{
	struct shared *s;
	int ret = shared_lend(t, NULL, cookie, worker, stream, end, &s);

	if (ret < 0)
		return ret;
	ret = shared_keep(t, s);
	if (ret < 0)
		shared_drop(t, cookie);
	return ret;
}

void shared_lender_ends(struct shared_table *t, const struct client *lender)
{
	for (uint32_t i = 0; i < BUCKETS && t->lent > 0; i++) {
		struct shared **at = &t->bucket[i];

		while (*at) {
			struct shared *s = *at;

			if (s->lent && s->lender == lender)
				s->lender = NULL;
			if (s->lent && s->lender == NULL && !s->moving)
				shared_remove(t, at);
			else
				at = &s->next;
		}
	}
}
