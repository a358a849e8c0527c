/* SPDX-License-Identifier: MIT */
/*
 * client_memory.c - segments for an application whose rings need more, and word of tx rings that
 * are idle, so that it gives their pages back.
 */
#include <inttypes.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "client.h"

/* Size of the next segment for at least @bytes; 0: the limit is reached. */
static uint64_t segment_size(const struct client *c, uint64_t bytes)
{
	uint64_t most = c->ctl->config->region_max, used = c->segment_bytes + c->joint_bytes;
	uint64_t left = used < most ? most - used : 0;
	uint64_t size = SEGMENT_BYTES_FIRST;
	uint32_t i;

	if (c->segment_nr + 1 >= NCD_SEGMENTS_MAX)
		return 0;
	for (i = 0; i < c->segment_nr && size < SEGMENT_BYTES_LAST; i++)
		size *= 2;
	while (size < bytes && size < left)
		size *= 2;
	if (size > left)
		size = left & ~(uint64_t)(NCD_PAGE - 1);
	return size < bytes ? 0 : size;
}

void client_segment_wanted(struct client *c, uint32_t worker, uint64_t bytes)
{
	struct ctl_segment msg = { .head = { .type = CTL_SEGMENT } };
	struct worker_cmd *cmd;
	struct region_map *map;
	uint64_t size;

	if (c->state != CLIENT_ATTACHED)
		return;
	cmd = command_create(CMD_SEGMENT_DENIED);
	if (cmd == NULL) {
		client_end(c, "out of memory");
		return;
	}
	size = segment_size(c, bytes);
	map = &c->segment[c->segment_nr + (size > 0)];
	if (size == 0 || region_map_create("ncd-ring", size, map) < 0) {
		log_limited(c->ctl->log, &c->ctl->limit_region, LOG_LEVEL_NOTICE,
			    "client %d (%s) has %" PRIu64 " MiB of ring memory and gets no more",
			    (int)c->pid, c->program, c->segment_bytes >> 20);
		client_post(c, worker, cmd);
		return;
	}
	c->segment_nr++;
	c->segment_bytes += map->bytes;
	if (c->copy)
		copy_client_segment(c->copy, map->base, map->bytes);
	if (c->stats)
		atomic_store_explicit(&c->stats->region_bytes, c->segment_bytes + c->segment0.bytes,
				      memory_order_relaxed); /* relaxed: a counter */
	cmd->type = CMD_SEGMENT;
	cmd->segment.number = c->segment_nr;
	cmd->segment.base = map->base;
	cmd->segment.bytes = map->bytes;
	cmd->segment.fd = map->fd;
	msg.segment = c->segment_nr;
	msg.bytes = map->bytes;
	msg.flags = c->ctl->config->huge_pages ? SEGMENT_HUGE : 0;
	/* The message first: the application must know the segment before a slot names it. */
	if (!client_send(c, &msg, sizeof(msg), &map->fd, 1)) {
		command_destroy(cmd);
		return;
	}
	client_post(c, worker, cmd);
}

bool client_listens(const struct client *c)
{
	int unread = 0;

	return ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

void client_idle_look(struct client *c)
{
	const struct ctl_head msg = { .type = CTL_IDLE };
	uint32_t i, told[NCD_WORKERS_MAX];
	bool news = false;

	if (c->state != CLIENT_ATTACHED)
		return;
	for (i = 0; i < c->ctl->workers->nr; i++) {
		told[i] = port_idle_told(c->port[i]);
		news |= told[i] != c->idle_told[i];
	}
	/* One that is stopped must not find its socket full of this: it is told when it goes on. */
	if (!news || !client_listens(c))
		return;
	if (send(c->fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(msg))
		memcpy(c->idle_told, told, i * sizeof(told[0]));
}
