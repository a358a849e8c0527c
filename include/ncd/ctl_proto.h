/* SPDX-License-Identifier: MIT */
/*
 * ctl_proto.h - messages on the control socket (AF_UNIX, SOCK_SEQPACKET: one message a packet).
 *
 * Ownership: descriptors travel with a message and belong to the receiver from then on.
 * Threading: daemon: control thread. Library: any thread asks, its watcher thread receives.
 * Trust: a message of wrong length or type, or with unexpected descriptors, ends the attachment.
 *
 *   library                              daemon
 *   AWAY + descriptor         ->         (instead of all that follows; then it closes)
 *
 *   HELLO {versions}          ->
 *                             <-         WELCOME {layout} + segment 0 + doorbells, or REFUSED {why}
 *   BIND, LISTEN, ... {tag}   ->
 *                             <-         REPLY {tag, result}
 *   SHARE + descriptors       ->
 *   TAKE + descriptor         ->         (by another client, which has the descriptor)
 *                             <-         SEGMENT + memfd     (before the slot that names it)
 *                             <-         LEAVING             (daemon drains)
 *                             <-         JOINT + memfd       (the same for one ring)
 *   JOINED {number, result}   ->                             (no slot names it before)
 *                             <-         MOVE                (a stream is to go to another worker)
 *   LEND + descriptors        ->                             (it may, from now on)
 *   TAKE_BACK + descriptor    ->                             (its slot says MOVED)
 *                             <-         REPLY, or KEEP      (it does not go, after all)
 *                             <-         UNJOIN
 *                             <-         IDLE                (tx rings may give back their pages)
 *   end of connection: the other side is gone, whatever the reason.
 */
#ifndef NCD_CTL_PROTO_H
#define NCD_CTL_PROTO_H

#include <stdint.h>

#include "ncd/limits.h"

#define CTL_MAGIC   0x6e63642d63746c31ull
/* Of the messages. An application that says 4 gets no joined rings; one that says 5 gets them, and
 * what it cannot map ends its attachment. Both sides know by WELCOME which it is. */
#define CTL_VERSION        9u
#define CTL_VERSION_MIN    4u
#define CTL_VERSION_JOINT  5u /* from here on: JOINT, UNJOIN, and the joined rings of shm_abi.h */
#define CTL_VERSION_JOINED 6u /* JOINED */
#define CTL_VERSION_PLACE  7u /* PLACE */
#define CTL_VERSION_AWAY   8u /* AWAY, where a daemon of such a version welcomed somebody before */
#define CTL_VERSION_MOVE   9u /* MOVE, LEND, KEEP, TAKE_BACK */

enum ctl_type {
	CTL_HELLO = 1, /* app: struct ctl_hello */
	CTL_WELCOME,   /* daemon: struct ctl_welcome; segment 0, eventfd of each worker, then of
			* each copy worker that region_shm counts */
	CTL_REFUSED,   /* daemon: struct ctl_refused, then the connection ends */
	CTL_BIND,      /* app: struct ctl_addr; claims a local address and port */
	CTL_UNBIND,    /* app: struct ctl_addr */
	CTL_LISTEN,    /* app: struct ctl_addr (port bound before, or 0; or with CTL_ADDR_TITLE, and
			* a socket); REPLY.value = listener */
	CTL_UNLISTEN,  /* app: struct ctl_number (listener) */
	CTL_POLLFD,    /* app: struct ctl_pollfd + one stream socket (the daemon's end of a pair) */
	CTL_CQFD,      /* app: struct ctl_number (queue pair) + one stream socket, as above */
	CTL_SHARE,     /* app: struct ctl_share + descriptors; others may get these streams */
	CTL_TAKE,      /* app: struct ctl_head + a socket's descriptor; its stream is wanted here.
			* REPLY.value = ctl_taken(worker, slot), with a copy of the daemon's end */
	CTL_REPLY,     /* daemon: struct ctl_reply */
	CTL_SEGMENT,   /* daemon: struct ctl_segment + memfd */
	CTL_LEAVING,   /* daemon: struct ctl_head; new sockets will fail */
	CTL_IDLE,      /* daemon: struct ctl_head; slots have another tx_idle (shm_abi.h). Not said
			* again before the last one has been read */
	CTL_JOINT,     /* daemon: struct ctl_segment + memfd: a joined ring, of one stream */
	CTL_UNJOIN,    /* daemon: struct ctl_number (of a joined ring that it has left, or that is
			* not to be) */
	CTL_JOINED,    /* app: struct ctl_reply (0: it is mapped; or why not. value: number of
			* JOINT). Not in time, or for what is not waited for any more: as nothing */
	CTL_PLACE,     /* daemon: struct ctl_number (worker): default_worker is this now */
	CTL_AWAY,      /* app, instead of HELLO: struct ctl_head + a listening socket, which a
			* program without ncd is going to have. Nothing is answered */
	CTL_MOVE,      /* daemon: struct ctl_pollfd; the stream of this slot is wanted by another
			* worker: answered by LEND */
	CTL_LEND,      /* app: struct ctl_lend + descriptors. Nothing is answered */
	CTL_KEEP,      /* daemon: struct ctl_pollfd; what was lent is this application's alone
			* again, and stays in its slot */
	CTL_TAKE_BACK, /* app: as TAKE, of what was lent by this very application: it is lent no
			* more then. -EPERM: TAKE is what is wanted */
	CTL_TYPE_END
};

struct ctl_head {
	uint32_t type;
	uint32_t tag; /* asked and answered with the same tag; 0 where nothing is answered */
};

struct ctl_hello {
	struct ctl_head head;
	uint64_t magic;
	uint32_t version_min; /* of this page and of shm_abi.h, together */
	uint32_t version_max;
	char library_version[32]; /* for messages, e.g. "0.1.0"; NUL-terminated */
	char program[32];         /* for ncd-stat; NUL-terminated */
};

struct ctl_welcome {
	struct ctl_head head;
	uint64_t magic;
	uint32_t version;
	uint32_t workers;
	uint64_t segment_bytes; /* of segment 0 */
	uint32_t addr_nr;
	uint32_t default_worker; /* where this application's streams should go first */
	uint8_t addr[8][16];     /* this host's addresses, IPv6 or v4-mapped */
};

struct ctl_refused {
	struct ctl_head head;
	int32_t error; /* negative errno: -EACCES, -EMFILE, -EPROTONOSUPPORT, ... */
	uint32_t version_min;
	uint32_t version_max;
	uint32_t pad;
	char why[112]; /* one line for the user */
};

struct ctl_addr {
	struct ctl_head head;
	uint8_t addr[16]; /* all zero: any */
	uint16_t port;    /* host byte order; 0: daemon chooses */
	uint16_t flags;   /* CTL_ADDR_* */
	uint32_t backlog; /* LISTEN */
	uint32_t tx_bytes; /* LISTEN: what rings of accepted streams may grow to; 0: default */
	uint32_t rx_bytes;
	uint8_t class;     /* LISTEN: of accepted streams */
	uint8_t pad[7];
};
/*
 * Listeners of one user that all have it share an address and port, as in socket(7): they are a
 * group, as those of one title are. With a title, what the kernel says of that socket counts.
 */
#define CTL_ADDR_REUSEPORT 0x1u
#define CTL_ADDR_BOUND     0x2u /* LISTEN: port was bound by this client before */
/*
 * LISTEN: a TCP socket of the kernel is passed that listens on this address and port. Who has it is
 * entitled to the port, below 1024 too. Listeners of several clients that show the same are a
 * group: a stream goes to one of them, and what nobody has accepted goes to another when one ends.
 */
#define CTL_ADDR_TITLE     0x4u

struct ctl_number {
	struct ctl_head head;
	uint32_t number;
	uint32_t pad;
};

struct ctl_pollfd {
	struct ctl_head head;
	uint32_t worker;
	uint32_t slot; /* or listener | CQ_LISTENER, with worker 0 */
};

/*
 * Of each stream: the application's end of its pair, and the daemon's too with SHARE_END, if the
 * daemon does not have that one yet (POLLFD); in the order of the entries. From now on the daemon
 * watches for the hour when nobody has the application's end any more; then it closes the stream.
 * Until then CLOSE_LET_GO, or the client's death, leave it alive for who has the descriptor still.
 */
struct ctl_share_entry {
	uint32_t slot;
	uint16_t worker;
	uint8_t flags; /* SHARE_* */
	uint8_t pad;
};
#define SHARE_END  0x1u
#define SHARE_INET6 0x2u /* what the program takes it for: AF_INET6 */

#define CTL_SHARE_MAX 32u

struct ctl_share {
	struct ctl_head head;
	uint32_t nr;
	uint32_t pad;
	struct ctl_share_entry entry[CTL_SHARE_MAX];
};

/*
 * A stream that is lent is shared, as far as slots go: it may leave its slot, which says MOVED, and
 * is had back by who shows the descriptor. But only its own application may have it, and the end of
 * that ends it, as it ends any other. SHARE of one that is lent shares it with all.
 */
struct ctl_lend {
	struct ctl_head head;
	int32_t result; /* 0, with descriptors as those of an entry of SHARE; or why it cannot be */
	uint32_t worker;
	uint32_t slot;
	uint32_t flags; /* SHARE_* */
};

static inline uint32_t ctl_taken(uint32_t worker, uint32_t slot)
{
	return worker << 24 | slot;
}

static inline uint32_t ctl_taken_worker(uint32_t value)
{
	return value >> 24;
}

static inline uint32_t ctl_taken_slot(uint32_t value)
{
	return value & 0xffffffu;
}

struct ctl_reply {
	struct ctl_head head;
	int32_t result; /* 0 or negative errno */
	uint32_t value; /* BIND: port; LISTEN: listener; TAKE, TAKE_BACK: ctl_taken */
};

/* The application should have its large rings in huge pages (huge_page.h). */
#define SEGMENT_HUGE 1u
/* JOINT: the ring is read here; else it is written. The descriptor is good for nothing else. */
#define SEGMENT_READ 2u

struct ctl_segment {
	struct ctl_head head;
	uint32_t segment; /* 1..; JOINT: joint_number() */
	uint32_t flags;   /* SEGMENT_*; those not known mean nothing */
	uint64_t bytes;
};

union ctl_message {
	struct ctl_head head;
	struct ctl_hello hello;
	struct ctl_welcome welcome;
	struct ctl_refused refused;
	struct ctl_addr addr;
	struct ctl_number number;
	struct ctl_pollfd pollfd;
	struct ctl_share share;
	struct ctl_lend lend;
	struct ctl_reply reply;
	struct ctl_segment segment;
};

_Static_assert(sizeof(struct ctl_head) == 8, "ABI");
_Static_assert(sizeof(struct ctl_hello) == 88, "ABI");
_Static_assert(sizeof(struct ctl_welcome) == 168, "ABI");
_Static_assert(sizeof(struct ctl_refused) == 136, "ABI");
_Static_assert(sizeof(struct ctl_addr) == 48, "ABI");
_Static_assert(sizeof(struct ctl_segment) == 24, "ABI");
_Static_assert(sizeof(struct ctl_share) == 272, "ABI");
_Static_assert(sizeof(struct ctl_lend) == 24, "ABI");
_Static_assert(NCD_WORKERS_MAX <= 0xff && NCD_SOCKETS_MAX <= 0x1000000, "ctl_taken");

#endif /* NCD_CTL_PROTO_H */
