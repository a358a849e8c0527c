/* SPDX-License-Identifier: MIT */
/*
 * client.h - one attached application: its region, its port at each worker, what it holds.
 *
 *   accepted --HELLO--> ATTACHED --end of connection, or it broke a rule--> LEAVING --> freed
 *      |                                                         (each worker: EVT_CLIENT_GONE,
 *      +--timeout, refused, garbage--> freed                      and all commands are back)
 *
 * Ownership: control owns clients. Mapped memory, ports and doorbells stay until no worker uses
 * them. Threading: control; workers only hand the pointer back. Trust: client.program and what it
 * asks are the application's words; pid, uid and gid the kernel's.
 */
#ifndef NCD_CLIENT_H
#define NCD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ncd/ctl_proto.h"
#include "ncd/limits.h"

#include "control.h"
#include "port.h"
#include "region.h"

#define CLIENT_HELLO_SECONDS 3
#define CLIENT_GREETING_MAX  64 /* connections that have not said HELLO; more wait */
#define CLIENT_MESSAGES_TURN 32
#define CLIENT_FDS_MAX       (2 * CTL_SHARE_MAX) /* received with one message */
#define CLIENT_LENDS_MAX     64 /* MOVEs that are not answered, LENDs that workers do not know */
#define CLIENT_FDS_SENT_MAX  (1 + NCD_WORKERS_MAX + NCD_COPY_WORKERS_MAX)
#define CLIENT_GROUPS_MAX    1024 /* looked at for [access] group */
#define SEGMENT_BYTES_FIRST  (64ull << 20)
#define SEGMENT_BYTES_LAST   (1ull << 30)

enum client_state {
	CLIENT_GREETING,
	CLIENT_ATTACHED,
	CLIENT_LEAVING
};

struct client_listener {
	bool used;
	bool up; /* all workers know it, and it is not being closed */
	struct address addr;
	uint16_t port;
	uint64_t title; /* 0: none was shown */
	struct stats_socket *stats; /* NULL: the table is full */
};

/* A stream that it was asked to lend; or a LEND that the worker does not know yet. */
struct client_lend {
	uint32_t worker, slot;
	uint64_t cookie; /* LEND; 0: asked */
	bool back;       /* it was taken back before the worker knew */
};

struct client {
	struct control *ctl;
	struct client *next, **link; /* in ctl->clients */
	enum client_state state;
	int fd;
	struct event *event;
	uint32_t version; /* of ctl_proto.h, from ATTACHED on */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char program[32];
	struct stats_client *stats;
	uint32_t default_worker; /* what it opens goes there first */
	uint32_t placed;         /* in which order it was told so */

	/* From ATTACHED on. */
	struct region_map segment0;
	struct region_shm layout;
	struct region_map segment[NCD_SEGMENTS_MAX]; /* from 1 */
	uint32_t segment_nr;
	uint64_t segment_bytes; /* of all */
	struct joint *joint[NCD_JOINTS_MAX]; /* by joint_index() */
	uint64_t joint_bytes;
	uint32_t joint_serial;
	struct port *port[NCD_WORKERS_MAX];
	bool in_worker[NCD_WORKERS_MAX];            /* from CMD_CLIENT_ADD to EVT_CLIENT_GONE */
	struct worker_cmd *remove[NCD_WORKERS_MAX]; /* made early: leaving must not fail */
	uint32_t idle_told[NCD_WORKERS_MAX];        /* of its port, when the application was told */
	uint32_t commands;                          /* that are under way */
	uint32_t claims;                            /* in the port table */
	struct client_lend lend[CLIENT_LENDS_MAX];
	uint32_t lend_nr;
	struct copy_client *copy; /* NULL: its calls copy by themselves */
	struct client_listener listener[NCD_LISTENERS_MAX];

	/* Its rows of ncd-stat for what it left to kernel TCP; client_left.c. */
	struct stats_socket *left[NCD_LEFT_MAX];
	uint32_t left_seen; /* LEFT: changes, when looked at last */
	uint32_t left_top;  /* none from here on */
	uint32_t left_shown;
};

/* A request that one or more workers have to answer before the application is. */
struct client_request {
	struct client *client;
	enum ctl_type type;
	uint32_t tag;
	uint32_t listener; /* LISTEN, UNLISTEN */
	uint32_t pending;  /* answers to come */
	int result;        /* first failure */
	uint64_t cookie;   /* TAKE */
};

/* client.c */
struct client *client_create(struct control *ctl, int fd);
/* Ends the attachment; frees @c at once, or when the workers have let go. @reason is for the log.
 */
void client_end(struct client *c, const char *reason);
void client_free(struct client *c);
/* No worker exists any more; the connection ends with the daemon. */
void client_abandon(struct client *c);
/*
 * Sends @bytes of @msg with @fd_nr descriptors. False: it could not be sent; @c has ended and must
 * not be used any more.
 */
bool client_send(struct client *c, const void *msg, size_t bytes, const int *fds, uint32_t fd_nr);
bool client_reply(struct client *c, uint32_t tag, int result, uint32_t value);
/* Posts @cmd for @c to @worker. */
void client_post(struct client *c, uint32_t worker, struct worker_cmd *cmd);
/* A command of @c is back. May free @c. */
void client_command_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd);
/* Frees @c if it is leaving and nobody uses it any more. */
void client_reap(struct client *c);
void client_gone(struct client *c, uint32_t worker);
/* Of one that is leaving: goes on with that if copy workers have let go of it. May free @c. */
void client_copy_ended(struct client *c);

/* client_memory.c */
void client_segment_wanted(struct client *c, uint32_t worker, uint64_t bytes);
/* Once a second: tells it that tx rings are idle. */
void client_idle_look(struct client *c);
/* True if it has read all that was sent. */
bool client_listens(const struct client *c);

/* client_joint.c */
/* A stream of @c wants to be joined. Whether @c lives does not matter, it may end. */
void client_joint_wanted(struct client *c, uint32_t worker, const struct worker_event *ev);
void client_joint_over(struct joint *j);
/* JOINED. False: @c has ended. */
bool client_joined(struct client *c, const struct ctl_reply *msg);
/* Once a second: who does not answer gets none. */
void control_joints_look(struct control *ctl);
/* @c has none any more: it is gone. */
void client_joints_leave(struct client *c);
void control_joints_free(struct control *ctl);

/* client_place.c: decides where what it opens goes. */
void client_place(struct client *c);
/* Once a second: sends clients on from workers that are overloaded. */
void control_places_look(struct control *ctl);

/* client_attach.c: judges a HELLO. False: @c has ended. */
bool client_attach(struct client *c, const struct ctl_hello *hello);

/* client_left.c: shows what has changed in its table of sockets left to kernel TCP; shows nothing
 * of it any more. */
void client_left_look(struct client *c);
void client_left_hide(struct client *c);

/* client_request.c: false: @c has ended. */
bool client_message(struct client *c, const union ctl_message *msg, size_t bytes, int *fds,
		    uint32_t fd_nr);
/* What it said breaks ctl_proto.h: counted, and the end. Returns false. */
bool client_violates(struct client *c, const char *what);
struct client_request *client_request_create(struct client *c, enum ctl_type type, uint32_t tag);
/* Posts @cmd to @worker on behalf of @request. */
void client_request_post(struct client_request *request, uint32_t worker, struct worker_cmd *cmd);
/* Posts a copy of @proto to each worker, or to none: -ENOMEM. */
int client_request_post_all(struct client_request *request, const struct worker_cmd *proto);
/* An answer of a worker has come. May free @c. */
void client_request_back(struct client *c, struct client_request *request, int result);
/* All have: replies with request->result and @value, frees @request. */
void client_request_answer(struct client_request *request, uint32_t value);

/* client_listen.c: false: @c has ended. */
bool client_bind(struct client *c, const struct ctl_addr *msg);
bool client_unbind(struct client *c, const struct ctl_addr *msg);
bool client_listen(struct client *c, const struct ctl_addr *msg, const int *fds, uint32_t fd_nr);
bool client_unlisten(struct client *c, const struct ctl_number *msg);
/* AWAY of @socket, by whoever has it. */
void control_listener_away(struct control *ctl, int socket);
/* All workers have answered a LISTEN or an UNLISTEN. */
void client_listen_back(struct client *c, struct client_request *request);

/* client_pollfd.c: false: @c has ended. */
bool client_pollfd(struct client *c, const struct ctl_pollfd *msg, const int *fds, uint32_t fd_nr);
bool client_cqfd(struct client *c, const struct ctl_number *msg, const int *fds, uint32_t fd_nr);
/* True if workers may write to @fd: they never block on it. */
bool client_fd_is_stream_socket(int fd);

/* client_share.c: SHARE, TAKE and TAKE_BACK. Descriptors that are taken become -1 in @fds. */
bool client_share(struct client *c, const struct ctl_share *msg, int *fds, uint32_t fd_nr);
/* CMD_SHARE of @slot, with SHARE_* @flags and the descriptors that belong to them. 0 or -errno. */
int client_share_command(uint32_t slot, uint32_t flags, int *fds, struct worker_cmd **ret_cmd);
bool client_take(struct client *c, const struct ctl_head *msg, const int *fds, uint32_t fd_nr);
/* A worker has shared, or not. Whether @c lives does not matter. */
void client_share_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd);
/* A worker has taken, or not. May free @c. */
void client_take_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd);

/*
 * client_lend.c: a stream goes to another worker, and its application knows. Asks for it: LEND
 * follows, and moves_lent is called, whatever the answer (unless @c ends). False: @c cannot be
 * asked, or not now; or it has ended.
 */
bool client_lend_ask(struct client *c, uint32_t worker, uint32_t slot);
/* What is lent under @cookie does not go, and does not wait to be taken back: it is in its slot, at
 * the worker that the table says. Nothing if there is none, or it is on its way. */
void client_lend_over(struct control *ctl, uint64_t cookie);
/* TAKE_BACK of what is not in the table: if a worker is about to say that it is lent, it is not. */
void client_lend_cancel(struct client *c, uint64_t cookie);
/* LEND. False: @c has ended. Descriptors that are taken become -1 in @fds. */
bool client_lend(struct client *c, const struct ctl_lend *msg, int *fds, uint32_t fd_nr);
/* A worker has been told that it is lent, or not. May free @c. */
void client_lend_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd);

#endif /* NCD_CLIENT_H */
