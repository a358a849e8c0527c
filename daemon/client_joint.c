/* SPDX-License-Identifier: MIT */
/*
 * client_joint.c - memory for a joined ring: made, told to the two applications that it is for, and
 * taken back. It counts to what either may have ([buffers] region_max).
 *
 * The worker gets it when both have said that they could map it. One that could not, or does not
 * answer, costs the stream the joined ring and nothing else; what it says is believed, since it
 * alone has to do without the ring, or with one that is not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "joint.h"

#define ANSWER_SECONDS 2 /* so long JOINED is waited for, at least */

/* A place in the table of @c, if it may have @bytes more; or NCD_JOINTS_MAX. */
static uint32_t joint_place(const struct client *c, uint64_t bytes)
{
	uint64_t most = c->ctl->config->region_max;
	uint32_t i = 0;

	/* Half of it, as of large rings (port_ring.c): what is left is for streams that are new. */
	if (c->state != CLIENT_ATTACHED || c->version < CTL_VERSION_JOINT ||
	    c->segment_bytes + c->joint_bytes + bytes > most || c->joint_bytes + bytes > most / 2)
		return NCD_JOINTS_MAX;
	while (i < NCD_JOINTS_MAX && c->joint[i])
		i++;
	return i;
}

static void joint_enter(struct joint *j, enum joint_side side, struct client *c, uint32_t place)
{
	j->client[side] = c;
	j->number[side] = joint_number(place, c->joint_serial++);
	c->joint[place] = j;
	c->joint_bytes += j->map.bytes;
}

static void joint_leave(struct joint *j, enum joint_side side)
{
	struct client *c = j->client[side];

	if (!c)
		return;
	c->joint[joint_index(j->number[side])] = NULL;
	c->joint_bytes -= j->map.bytes;
	j->client[side] = NULL;
}

static void joint_free(struct joint *j)
{
	joint_leave(j, JOINT_WRITER);
	joint_leave(j, JOINT_READER);
	*j->link = j->next;
	if (j->next)
		j->next->link = j->link;
	region_unmap(&j->map);
	command_destroy(j->cmd);
	free(j);
}

/*
 * Another descriptor of the memory, that cannot be mapped to be written; and nobody can make one of
 * it that can, but who may do anything with files of ours.
 */
static int joint_read_only(int fd)
{
	char path[32];
	int ret;

	if (fchmod(fd, S_IRUSR) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = open(path, O_RDONLY | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

static bool joint_tell(struct joint *j, enum joint_side side, int fd)
{
	struct client *c = j->client[side];
	struct ctl_segment msg = {
		.head = { .type = CTL_JOINT },
		.segment = j->number[side],
		.bytes = j->map.bytes,
		.flags = (side == JOINT_READER ? SEGMENT_READ : 0) |
			 (c->ctl->config->huge_pages ? SEGMENT_HUGE : 0),
	};

	j->waits[side] = c->version >= CTL_VERSION_JOINED;
	return client_send(c, &msg, sizeof(msg), &fd, 1);
}

static void joint_untell(struct joint *j, enum joint_side side)
{
	struct client *c = j->client[side];
	struct ctl_number msg = { .head = { .type = CTL_UNJOIN }, .number = j->number[side] };

	joint_leave(j, side);
	if (c && c->state == CLIENT_ATTACHED)
		/* If it cannot hear it has ended, which is as good. */
		(void)client_send(c, &msg, sizeof(msg), NULL, 0);
}

/* For @writer and @reader, which may have ended then; NULL: no room at one, or no memory. */
static struct joint *joint_create(struct client *writer, struct client *reader, uint64_t bytes)
{
	uint32_t at_writer = joint_place(writer, bytes), at_reader;
	struct control *ctl = writer->ctl;
	struct joint *j;
	int fd = -1;

	if (at_writer == NCD_JOINTS_MAX)
		return NULL;
	j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	if (region_map_create("ncd-joint", bytes, &j->map) < 0)
		goto err_joint;
	fd = joint_read_only(j->map.fd);
	if (fd < 0)
		goto err_map;
	j->next = ctl->joints;
	j->link = &ctl->joints;
	if (j->next)
		j->next->link = &j->next;
	ctl->joints = j;
	joint_enter(j, JOINT_WRITER, writer, at_writer);
	/* Behind that: a program may be connected to itself. */
	at_reader = joint_place(reader, bytes);
	if (at_reader == NCD_JOINTS_MAX)
		goto err_told;
	joint_enter(j, JOINT_READER, reader, at_reader);
	if (!joint_tell(j, JOINT_READER, fd))
		goto err_told;
	if (!joint_tell(j, JOINT_WRITER, j->map.fd)) {
		joint_untell(j, JOINT_READER);
		goto err_told;
	}
	(void)close(fd); /* passed on */
	region_close_fd(&j->map);
	return j;

err_told:
	(void)close(fd); /* of no use any more */
	joint_free(j);
	return NULL;
err_map:
	region_unmap(&j->map);
err_joint:
	free(j);
	return NULL;
}

/* Neither gets it: its worker is told, and who has it. */
static void joint_refuse(struct joint *j)
{
	struct client *writer = j->client[JOINT_WRITER];
	struct worker_cmd *cmd = j->cmd;
	uint32_t worker = j->worker;

	j->cmd = NULL;
	joint_untell(j, JOINT_READER);
	joint_untell(j, JOINT_WRITER);
	joint_free(j);
	if (writer && writer->state == CLIENT_ATTACHED)
		client_post(writer, worker, cmd);
	else
		command_destroy(cmd);
}

static bool joint_side_there(const struct joint *j, enum joint_side side)
{
	return j->client[side] && j->client[side]->state == CLIENT_ATTACHED;
}

/* Goes on with @j if that is possible by now. */
static void joint_settle(struct joint *j)
{
	struct worker_cmd *cmd = j->cmd;

	if (!joint_side_there(j, JOINT_WRITER) || !joint_side_there(j, JOINT_READER)) {
		joint_refuse(j);
	} else if (!j->waits[JOINT_WRITER] && !j->waits[JOINT_READER]) {
		j->cmd = NULL;
		cmd->joint.joint = j;
		client_post(j->client[JOINT_WRITER], j->worker, cmd);
	}
}

void client_joint_wanted(struct client *c, uint32_t worker, const struct worker_event *ev)
{
	struct worker_cmd *cmd;
	struct joint *j;

	if (c->state != CLIENT_ATTACHED)
		return;
	cmd = command_create(CMD_JOINT);
	if (!cmd) {
		client_end(c, "out of memory");
		return;
	}
	cmd->joint.stream = ev->stream;
	cmd->joint.reader = ev->reader;
	j = joint_create(c, port_client(ev->reader), ev->bytes);
	if (j) {
		j->cmd = cmd;
		j->worker = worker;
		joint_settle(j);
	} else if (c->state == CLIENT_ATTACHED) {
		client_post(c, worker, cmd);
	} else {
		command_destroy(cmd);
	}
}

bool client_joined(struct client *c, const struct ctl_reply *msg)
{
	uint32_t i = joint_index(msg->value), side = JOINT_WRITER;
	struct joint *j = i < NCD_JOINTS_MAX ? c->joint[i] : NULL;

	while (j && side < JOINT_SIDES &&
	       !(j->client[side] == c && j->number[side] == msg->value && j->waits[side]))
		side++;
	if (!j || side == JOINT_SIDES)
		return true; /* late: it was told that it is over */
	j->waits[side] = false;
	if (msg->result < 0)
		joint_refuse(j);
	else
		joint_settle(j);
	return c->state == CLIENT_ATTACHED;
}

void control_joints_look(struct control *ctl)
{
	struct joint *next;

	for (struct joint *j = ctl->joints; j; j = next) {
		next = j->next;
		if (j->cmd && ++j->seconds > ANSWER_SECONDS)
			joint_refuse(j);
		else if (j->cmd)
			joint_settle(j);
	}
}

void client_joint_over(struct joint *j)
{
	joint_untell(j, JOINT_READER);
	joint_untell(j, JOINT_WRITER);
	joint_free(j);
}

void client_joints_leave(struct client *c)
{
	for (uint32_t i = 0; i < NCD_JOINTS_MAX; i++) {
		struct joint *j = c->joint[i];

		if (j)
			joint_leave(j, joint_index(j->number[JOINT_WRITER]) == i &&
						       j->client[JOINT_WRITER] == c
					       ? JOINT_WRITER : JOINT_READER);
	}
}

void control_joints_free(struct control *ctl)
{
	while (ctl->joints)
		joint_free(ctl->joints);
}
