/* SPDX-License-Identifier: MIT */
/*
 * client_attach.c - a HELLO is judged, and answered with a region or a reason.
 */
#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"

/* Memory of programs that are gone is bounded too: so many times [daemon] clients, in all. */
#define LINGERING_SHARE 2u

/* True if the connection's process is in group @gid, by its own or its other groups. */
static bool client_in_group(const struct client *c, gid_t gid)
{
	gid_t groups[CLIENT_GROUPS_MAX];
	socklen_t bytes = sizeof(groups);
	uint32_t i;

	if (c->gid == gid)
		return true;
	/* Who is in more groups than that is in none: wrong on the safe side. */
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (i = 0; i < bytes / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static bool client_allowed(const struct client *c)
{
	const struct config_names *users = &c->ctl->config->access_users;
	const struct config_names *groups = &c->ctl->config->access_groups;
	const struct passwd *pw;
	const struct group *gr;
	uint32_t i;

	if (c->uid == 0 || c->uid == geteuid() || users->nr + groups->nr == 0)
		return true;
	for (i = 0; i < users->nr; i++) {
		pw = getpwnam(users->name[i]);
		if (pw && pw->pw_uid == c->uid)
			return true;
	}
	for (i = 0; i < groups->nr; i++) {
		gr = getgrnam(groups->name[i]);
		if (gr && client_in_group(c, gr->gr_gid))
			return true;
	}
	return false;
}

/* Always false: @c has ended. */
static bool client_refuse(struct client *c, int error, const char *why)
{
	struct ctl_refused refused = {
		.head = { .type = CTL_REFUSED },
		.error = error,
		.version_min = CTL_VERSION_MIN,
		.version_max = CTL_VERSION,
	};

	(void)snprintf(refused.why, sizeof(refused.why), "%s", why);
	stats_count(&c->ctl->stats->head->attach_refused);
	log_limited(c->ctl->log, &c->ctl->limit_refused, LOG_LEVEL_NOTICE,
		    "process %d (%s) of user %u is refused: %s", (int)c->pid, c->program,
		    (unsigned int)c->uid, why);
	if (client_send(c, &refused, sizeof(refused), NULL, 0))
		client_end(c, why);
	return false;
}

/* How many copy workers may serve @c: all, with *ret_mem_fd for its memory, or none. */
static uint32_t client_copy_workers(struct client *c, int *ret_mem_fd)
{
	struct control *ctl = c->ctl;
	int r = 0;

	if (ctl->copy_workers == NULL || ctl->copy_workers->nr == 0)
		return 0;
	/* The kernel looks at more, and each time; this is for a clear word in the log. */
	if (c->uid != getuid() || c->gid != getgid())
		r = -EPERM;
	if (r == 0)
		r = copy_memory_open(c->pid, ret_mem_fd);
	if (r == 0)
		return ctl->copy_workers->nr;
	log_limited(ctl->log, &ctl->limit_copy, LOG_LEVEL_NOTICE,
		    "client %d (%s) of user %u copies its large calls itself: copy workers may not "
		    "reach its memory: %s",
		    (int)c->pid, c->program, (unsigned int)c->uid,
		    c->uid != getuid() ? "ncd runs as another user" : strerror(-r));
	return 0;
}

/* Makes its region, with queues to copy workers if they may serve it. 0 or -errno. */
static int client_region(struct client *c)
{
	struct control *ctl = c->ctl;
	int mem_fd = -1, r;
	uint32_t copy_nr = client_copy_workers(c, &mem_fd);

	r = region_create(ctl->workers->nr, ctl->slots, copy_nr, &c->layout, &c->segment0);
	if (r == 0 && copy_nr > 0)
		r = copy_client_create(c, c->pid, mem_fd, c->segment0.base, &c->layout, &c->copy);
	if (r < 0 && mem_fd >= 0)
		(void)close(mem_fd); /* was only read */
	return r;
}

/* Makes region, doorbells and ports. 0 or -errno; what was made is freed with @c. */
static int client_build(struct client *c, int doorbell[NCD_WORKERS_MAX])
{
	struct control *ctl = c->ctl;
	uint32_t i;
	int r;

	r = client_region(c);
	if (r < 0)
		return r;
	for (i = 0; i < ctl->workers->nr; i++) {
		struct port_config cfg = {
			.client = c,
			.worker = i,
			.segment0 = c->segment0.base,
			.segment0_bytes = c->segment0.bytes,
			.layout = &c->layout,
			.pid = (uint32_t)c->pid,
			.joins = c->version >= CTL_VERSION_JOINT,
			.root = c->uid == 0,
			.region_max = ctl->config->region_max,
		};

		doorbell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (doorbell[i] < 0)
			return -errno;
		cfg.doorbell_fd = doorbell[i];
		c->port[i] = port_create(&cfg);
		if (c->port[i] == NULL) {
			(void)close(doorbell[i]); /* no port has taken it */
			return -ENOMEM;
		}
		c->remove[i] = command_create(CMD_CLIENT_REMOVE);
		if (c->remove[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void client_stats(struct client *c)
{
	struct stats_client *s = stats_client_take(c->ctl->stats);

	c->stats = s;
	if (s == NULL)
		return;
	s->pid = (uint32_t)c->pid;
	s->uid = c->uid;
	memcpy(s->program, c->program, sizeof(s->program));
	/* Relaxed: stats_show() orders them. */
	atomic_store_explicit(&s->region_bytes, c->segment0.bytes, memory_order_relaxed);
	atomic_store_explicit(&s->attached_ns, clock_monotonic_ns(), memory_order_relaxed);
	stats_show(&s->use);
}

/* Tells the workers, then the application. False: @c has ended. */
static bool client_welcome(struct client *c, const int doorbell[NCD_WORKERS_MAX])
{
	struct control *ctl = c->ctl;
	struct worker_cmd *add[NCD_WORKERS_MAX] = { NULL };
	struct ctl_welcome welcome = {
		.head = { .type = CTL_WELCOME },
		.magic = CTL_MAGIC,
		.version = c->version,
		.workers = ctl->workers->nr,
		.segment_bytes = c->segment0.bytes,
		.addr_nr = ctl->config->addresses.nr,
	};
	int fds[CLIENT_FDS_SENT_MAX];
	uint32_t i, fd_nr = 0;

	for (i = 0; i < ctl->workers->nr; i++) {
		add[i] = command_create(CMD_CLIENT_ADD);
		if (add[i] == NULL) {
			while (i > 0)
				command_destroy(add[--i]);
			return client_refuse(c, -ENOMEM, "ncd is out of memory");
		}
	}
	client_place(c);
	ctl->greeting--;
	control_resume(ctl);
	ctl->attached++;
	c->state = CLIENT_ATTACHED;
	stats_count(&ctl->stats->head->attach_accepted);
	client_stats(c);
	/* Fails where there are no more descriptors to watch: then it copies by itself. */
	if (c->copy)
		(void)copy_workers_add(ctl->copy_workers, c->copy);
	fds[fd_nr++] = c->segment0.fd;
	for (i = 0; i < ctl->workers->nr; i++) {
		fds[fd_nr++] = doorbell[i];
		c->in_worker[i] = true;
		client_post(c, i, add[i]);
	}
	for (i = 0; c->copy && i < c->copy->queue_nr; i++)
		fds[fd_nr++] = c->copy->queue[i].doorbell_fd;
	welcome.default_worker = c->default_worker;
	for (i = 0; i < welcome.addr_nr; i++)
		memcpy(welcome.addr[i], ctl->config->addresses.address[i].byte, 16);
	if (!client_send(c, &welcome, sizeof(welcome), fds, fd_nr))
		return false;
	region_close_fd(&c->segment0);
	log_line(ctl->log, LOG_LEVEL_DEBUG, "client %d (%s) of user %u attached", (int)c->pid,
		 c->program, (unsigned int)c->uid);
	return true;
}

bool client_attach(struct client *c, const struct ctl_hello *hello)
{
	struct control *ctl = c->ctl;
	int doorbell[NCD_WORKERS_MAX];
	char why[112];
	int r;

	/* The application's words: cut, and never believed to end. */
	memcpy(c->program, hello->program, sizeof(c->program) - 1);
	if (hello->version_min > CTL_VERSION || hello->version_max < CTL_VERSION_MIN) {
		(void)snprintf(why, sizeof(why),
			       "library %.31s speaks versions %" PRIu32 " to %" PRIu32
			       ", this ncd %u to %u",
			       hello->library_version, hello->version_min, hello->version_max,
			       CTL_VERSION_MIN, CTL_VERSION);
		return client_refuse(c, -EPROTONOSUPPORT, why);
	}
	c->version = hello->version_max < CTL_VERSION ? hello->version_max : CTL_VERSION;
	if (ctl->leaving)
		return client_refuse(c, -ESHUTDOWN, "this ncd is shutting down");
	if (!client_allowed(c))
		return client_refuse(c, -EACCES, "the user is not in [access] of ncd.conf");
	if (ctl->attached >= ctl->config->clients)
		return client_refuse(c, -EMFILE, "[daemon] clients of ncd.conf is reached");
	if (ctl->attached + ctl->lingering >= LINGERING_SHARE * ctl->config->clients)
		return client_refuse(c, -EMFILE, "too many programs are gone, their streams not");
	r = client_build(c, doorbell);
	if (r < 0) {
		(void)snprintf(why, sizeof(why), "no room for its region: %s", strerror(-r));
		return client_refuse(c, r, why);
	}
	/* The limit on time was for the hello. */
	if (event_add(c->event, NULL) < 0 || event_remove_timer(c->event) < 0)
		return client_refuse(c, -ENOMEM, "ncd is out of memory");
	return client_welcome(c, doorbell);
}
