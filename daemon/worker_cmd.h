/* SPDX-License-Identifier: MIT */
/*
 * worker_cmd.h - the only door into a worker, and the only way out: commands and events.
 *
 * Ownership: control allocates a command; the worker fills `result` and hands it back (EVT_DONE).
 *   A link, port or descriptor named in a command is the worker's until the event beside it.
 * Threading: control -> worker and worker -> control, one single-producer ring each.
 */
#ifndef NCD_WORKER_CMD_H
#define NCD_WORKER_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/limits.h"
#include "ncd/shm_abi.h"
#include "ncd/stats_abi.h"

#include "core/engine.h"

struct client; /* client.h: control's; the worker only hands it back */
struct moved;  /* port_state.h: the worker's */
struct parcel; /* parcel.h */
struct joint;  /* joint.h */
struct port;   /* port.h: the worker's side of one client */

/* A channel's connection, made by control, after the hellos. */
struct link {
	int fd; /* non-blocking, options set */
	uint32_t peer;
	enum stream_class class;
	uint16_t lane, index;
	bool extra; /* see engine_channel_extra */
	bool carries; /* see engine_channel_carries */
	bool moves;   /* see engine_channel_moves */
	struct stats_channel *stats; /* this channel's entry; names filled by control */
	void *place;                 /* control's */
	/* The worker's from here on, zero before. */
	struct channel *channel;
	struct io_link *io;
};

enum worker_cmd_type {
	CMD_PEER_SET, /* peer_set */
	CMD_PEER_REMOVE,
	CMD_PEER_RESET,
	CMD_PEER_UNREACHABLE, /* peer, error */
	CMD_PEER_GROWN,       /* peer, error: the answer to EVT_PEER_GROWS; 0: it is up */
	CMD_CHANNEL_ADD,      /* link; until EVT_CHANNEL_DEAD */
	CMD_CHANNEL_DROP,     /* link; EVT_CHANNEL_DEAD follows, unless it was already on its way */
	CMD_CLIENT_ADD,       /* port; until EVT_CLIENT_GONE */
	CMD_CLIENT_REMOVE,    /* port; its streams are finished off, then EVT_CLIENT_GONE */
	CMD_SEGMENT,          /* port, segment: ring memory, mapped until EVT_CLIENT_GONE */
	CMD_SEGMENT_DENIED,   /* port: region_max is reached */
	CMD_JOINT,            /* port (of the writer), joint; until EVT_JOINT_OVER */
	CMD_LISTEN,           /* port, listen; result */
	CMD_UNLISTEN,         /* port, listen.listener */
	CMD_LISTENER_AWAY,    /* port, listen.listener: a program without ncd may accept there */
	CMD_POLLFD,           /* port, pollfd: fd is the worker's */
	CMD_CQFD,             /* port, pollfd.slot = queue pair; fd is the worker's, a duplicate */
	CMD_SHARE,            /* port, share: other processes may take the stream of share.slot */
	CMD_TAKE,             /* port, share: the stream goes to this port; answered when it has */
	CMD_SHARE_END,        /* share: nobody has the descriptor any more; no port */
	CMD_LENT_END,         /* share: lent no more; if not `back`, shared for good */
	CMD_LEAVE,            /* no new streams; GOAWAY */
	/* moves.h: all are about one stream, `move`, and have no port but MOVE_ROOM. */
	CMD_MOVE_PICK,   /* pick: which might go, of those that are busy */
	CMD_MOVE_FIND,   /* whose is it (move.at) that a peer has resumed? */
	CMD_MOVE_BEGIN,  /* it may go: keeps its rings from now on */
	CMD_MOVE_KEEP,   /* it does not */
	CMD_MOVE_ROOM,   /* a place for it, in this port; without move.asked it is resumed */
	CMD_MOVE_REFUSE, /* the place is not needed: a peer hears REFUSE, or RESET */
	CMD_MOVE_OUT,    /* it leaves, into the parcel; -ENOENT: it has ended */
	CMD_MOVE_IN,     /* it arrives, out of the parcel; -ENOENT: the place has gone */
	CMD_MOVE_OVER,   /* move.left: nobody looks into the old rings any more */
	CMD_MOVE_FORGET, /* move.id: the tombstone */
	CMD_MOVE_PORT,   /* move.number: a local port of this worker's that is free again */
};

/* What a peer calls it, and we. */
struct move_at {
	uint32_t peer;
	uint16_t lane;
	uint64_t id;
};

struct move_pick {
	struct port *port;
	uint32_t slot;
};
#define MOVE_PICK_MAX 32u

struct worker_cmd {
	enum worker_cmd_type type;
	int result; /* 0 or negative errno */
	void *user; /* control's */
	struct worker_cmd *next; /* worker_post's, while the command queue is full */
	uint64_t until_ns;       /* the worker's: when it gives up to wait for memory */
	struct link *link;
	struct port *port;
	union {
		struct {
			uint32_t index;
			int error;
			uint32_t addr_nr;
			struct address addr[NCD_ADDRS_MAX];
		} peer;
		struct {
			uint32_t number;
			uint8_t *base;
			uint64_t bytes;
			int fd; /* stays open as long as it is mapped */
		} segment;
		struct {
			struct joint *joint; /* NULL: there is none */
			struct port *reader;
			uint64_t stream;
		} joint;
		struct {
			uint32_t listener;
			struct address addr;
			uint16_t port;
			uint32_t backlog;
			uint32_t tx_bytes, rx_bytes; /* 0: default */
			enum stream_class class;
			uint64_t title; /* shared with others of its group; 0: with none */
			uint32_t uid;   /* shares with its listeners that have `reuseport` too */
			bool reuseport;
		} listen;
		struct {
			uint32_t slot; /* or listener | CQ_LISTENER */
			int fd;
		} pollfd;
		struct {
			uint64_t cookie; /* of the application's end: who has it may take */
			uint32_t stream; /* SHARE: filled in; TAKE, SHARE_END, LENT_END: which */
			uint32_t slot;   /* SHARE: which; TAKE: filled in */
			int fd;  /* the worker's: the daemon's end; SHARE: -1 if it has it */
			int end; /* SHARE: control's copy of it, filled in if -1 */
			int family; /* SHARE: control's */
			bool lent; /* SHARE: by its own process, which fetches it back itself */
			bool back; /* TAKE, LENT_END: it is that process's alone again */
		} share;
		struct {
			uint32_t nr; /* at most; filled in */
			struct move_pick pick[MOVE_PICK_MAX];
		} pick;
		struct {
			bool asked;      /* the peer has resumed it, and hears ACCEPT or REFUSE */
			uint32_t stream; /* index, of the stream or the place; ROOM: filled in */
			uint64_t cookie; /* BEGIN, KEEP, OUT: as in share */
			uint64_t id;     /* FORGET; REFUSE, IN: of the place; ROOM: filled in */
			struct move_at at;  /* FIND; BEGIN: filled in; ROOM: to be resumed */
			uint64_t remote_id; /* BEGIN: filled in; ROOM: to be resumed */
			uint32_t tx_bytes, rx_bytes; /* BEGIN: filled in; ROOM */
			struct port *port;  /* FIND: filled in, with slot */
			uint32_t slot;
			struct parcel *parcel; /* control's */
			struct moved *left;
			uint16_t number;
		} move;
	};
};

enum worker_event_type {
	EVT_DONE,           /* cmd */
	EVT_CHANNEL_DEAD,   /* link: the worker has let go of it; control closes fd, frees */
	EVT_CLIENT_BAD,     /* port, reason: its region lied; control ends the attachment */
	EVT_CLIENT_GONE,    /* port: nothing of this client's memory is used here any more */
	EVT_SEGMENT_WANTED, /* port, bytes (at least): CMD_SEGMENT or CMD_SEGMENT_DENIED */
	EVT_JOINT_WANTED,   /* port (of the writer), reader, stream, bytes: CMD_JOINT */
	EVT_JOINT_OVER,     /* joint: nobody uses it any more */
	EVT_PEER_LEFT,      /* peer: said GOAWAY */
	EVT_PEER_GROWS,     /* peer: wants another throughput channel; CMD_PEER_GROWN */
	EVT_MOVE_ASKED,     /* at, place, stream: a peer resumes a stream; ROOM or REFUSE follows */
	EVT_MOVE_ANSWERED,  /* place, stream, error: ACCEPT has come (0), or why it ended */
	EVT_MOVE_SETTLED,   /* at: the stream that was there is elsewhere for good: FORGET */
	EVT_MOVE_PORT,      /* worker, number: MOVE_PORT is for that one */
};

struct worker_event {
	enum worker_event_type type;
	uint32_t peer;
	struct worker_cmd *cmd;
	struct link *link;
	struct port *port, *reader;
	struct joint *joint;
	uint64_t stream; /* stream_id() of the writer's */
	const char *reason; /* static text */
	bool drained;       /* EVT_CHANNEL_DEAD: nothing was lost with it */
	struct move_at at;
	uint32_t place; /* index of the stream of that name */
	uint32_t worker;
	uint16_t number;
	int error;
	uint64_t bytes;
};

#endif /* NCD_WORKER_CMD_H */
