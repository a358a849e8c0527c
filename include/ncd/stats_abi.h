/* SPDX-License-Identifier: MIT */
/*
 * stats_abi.h - the counter page: a file beside the control socket (ncd.sock -> ncd.stats) that
 * ncd writes and anyone allowed may map read-only, even if the daemon hangs or has died.
 *
 * Ownership: the daemon creates the file anew at each start; readers only map it.
 * Threading: each table entry has one writing thread, named below. Fields are relaxed atomics:
 *   a reader may see an entry half-updated, and checks `seq` (odd: being rewritten) around what
 *   must belong together (names, addresses).
 * Life: while ncd lives it has a write lock on the file (F_OFD_SETLK), which readers in any pid
 *   namespace see by F_OFD_GETLK. Without one, of an older ncd perhaps, `pid` tells.
 * Trust: readers check magic, version, sizes; the daemon never reads the file back.
 *
 *   | stats_head | stats_worker[] | stats_copy[] | stats_channel[] | stats_client[] |
 *   | stats_socket[] |
 */
#ifndef NCD_STATS_ABI_H
#define NCD_STATS_ABI_H

#include <stdatomic.h>
#include <stdint.h>

#define STATS_MAGIC   0x6e63642d73746174ull
#define STATS_VERSION 7u

typedef _Atomic uint64_t counter64; /* the one typedef: a counter is its own unit of ABI */

struct stats_head { /* control */
	uint64_t magic;
	uint32_t version;
	uint32_t pid;
	uint64_t start_realtime_ns;
	counter64 heartbeat_ns; /* CLOCK_MONOTONIC; control's last turn */
	uint64_t incarnation;
	uint32_t worker_nr;
	uint32_t channel_nr; /* entries in the table, used or not */
	uint32_t client_nr;
	uint32_t socket_nr;
	uint32_t copy_nr;
	uint32_t pad;
	uint64_t copy_off;
	uint64_t worker_off; /* bytes from the start of the file */
	uint64_t channel_off;
	uint64_t client_off;
	uint64_t socket_off;
	uint64_t bytes; /* of the file */
	char release[32];
	char host_addr[48];
	char state[32]; /* "running", "draining", "stopped" */
	/* Reasons why something was refused or dropped; control thread. */
	counter64 attach_accepted;
	counter64 attach_refused;
	counter64 ctl_garbage;      /* control messages that broke ctl_proto.h */
	counter64 dials;
	counter64 dial_failures;
	counter64 hello_refused;    /* by us */
	counter64 hello_garbage;    /* connections to the channel port that spoke no ncd */
	counter64 reloads;
	counter64 reload_failures;
	counter64 ctl_stalled; /* attachments ended because the application did not read */
	counter64 hello_strangers; /* connections from no peer's address, closed for their number */
	counter64 channels_grown;   /* dialled because those there were had been blocked */
	counter64 channels_shrunk;  /* of those, ended because fewer do */
	counter64 channels_refused; /* by the peer's [channels] max, or by ours */
	/* [channels] of the config: of each class in a lane, and of both together at most. */
	uint32_t lane_latency;
	uint32_t lane_throughput;
	uint32_t lane_max;
	uint32_t pad2;
};

struct stats_worker { /* that worker */
	uint32_t cpu;
	char backend[12]; /* "io_uring", "epoll" */
	counter64 turns;
	counter64 busy_turns;
	counter64 sleeps;
	counter64 wakes_sent;   /* doorbells rung for applications */
	counter64 wakes_got;    /* doorbells heard */
	counter64 spin_ns;
	counter64 streams;      /* alive now */
	counter64 streams_opened;
	counter64 streams_accepted;
	counter64 streams_refused;
	counter64 streams_reset;
	counter64 bytes_sent;   /* payload */
	counter64 bytes_received;
	counter64 frames_sent;
	counter64 frames_received;
	counter64 retransmits;  /* streams rewound because a channel died */
	counter64 duplicates;   /* bytes received twice */
	counter64 frame_errors; /* channels closed because a frame broke wire.h */
	counter64 region_errors; /* clients detached because their region lied */
	counter64 no_memory;    /* streams refused: region_max reached */
	counter64 io_calls;     /* syscalls for I/O */
	counter64 streams_came; /* open, from another worker */
	counter64 streams_went; /* to another one */
	counter64 moves_refused; /* streams that were to go, and could not */
	counter64 busy_permille; /* control: of the last second, neither asleep nor spinning */
};

struct stats_copy { /* that copy worker */
	uint32_t cpu;
	uint32_t pad;
	counter64 pieces;       /* copied whole */
	counter64 bytes_in;     /* from applications to rings */
	counter64 bytes_out;    /* from rings to applications */
	counter64 copy_faults;  /* pieces that ended in memory the application has not */
	counter64 copy_refused; /* pieces whose application the kernel does not let us reach */
	counter64 copy_errors;  /* applications detached: their pieces or queues lied */
	counter64 sleeps;
	counter64 busy_ns;
};

enum stats_use { STATS_FREE = 0, STATS_USED = 1 };

struct stats_channel { /* the worker that owns it */
	_Atomic uint32_t use;
	_Atomic uint32_t seq;
	char peer[32]; /* [peer NAME] */
	char peer_addr[48];
	uint8_t class_; /* 1 latency, 2 throughput */
	uint8_t dialled;
	uint16_t lane;
	uint16_t index;
	uint16_t worker;
	char state[16]; /* "up" */
	counter64 queued_streams; /* with something to send on it */
	counter64 bytes_sent;
	counter64 bytes_received;
	counter64 frames_sent;
	counter64 frames_received;
	counter64 rtt_ns;
	counter64 up_since_ns; /* CLOCK_MONOTONIC */
	counter64 draining;    /* 1: it takes no more streams, and is about to end */
	counter64 carried_sent; /* payload, of streams that other workers own */
	counter64 carried_received;
	counter64 zerocopy_from; /* bytes; payloads of so many are not copied; 0: all are */
};

struct stats_client { /* control */
	_Atomic uint32_t use;
	_Atomic uint32_t seq;
	uint32_t pid;
	uint32_t uid;
	char program[32];
	counter64 sockets;
	counter64 region_bytes; /* address space given */
	counter64 attached_ns;
	counter64 left; /* sockets that it left to kernel TCP */
};

struct stats_socket { /* the worker that owns it; listeners, path 3: control */
	_Atomic uint32_t use;
	_Atomic uint32_t seq;
	uint32_t client_pid;
	uint8_t state;  /* enum stats_socket_state */
	uint8_t class_; /* 1 latency, 2 throughput */
	uint8_t path;   /* 1 channel, 2 same host, 3 kernel TCP */
	uint8_t why;    /* of path 3: enum left_why of shm_abi.h, as the application says */
	uint8_t local_addr[16];
	uint8_t peer_addr[16];
	uint16_t local_port;
	uint16_t peer_port;
	uint16_t worker;
	uint16_t pad2;
	counter64 recv_q; /* as ss: bytes not yet read by the application; backlog if listening */
	counter64 send_q; /* as ss: bytes not yet acknowledged; backlog limit if listening */
	counter64 bytes_sent;
	counter64 bytes_received;
};

enum stats_socket_state {
	STATS_S_LISTEN = 1,
	STATS_S_OPENING,
	STATS_S_ESTABLISHED,
	STATS_S_FIN_WAIT,   /* we have finished, the peer has not */
	STATS_S_CLOSE_WAIT, /* the peer has finished, we have not */
	STATS_S_CLOSING,    /* application is gone, bytes still under way */
	STATS_S_KERNEL,     /* a connection by kernel TCP, which knows its state */
};

#endif /* NCD_STATS_ABI_H */
