/* SPDX-License-Identifier: MIT */
/*
 * limits.h - every bound of ncd, with what happens when it is reached.
 *
 * Ownership: none; constants only.
 * Threading: none.
 */
#ifndef NCD_LIMITS_H
#define NCD_LIMITS_H

#define NCD_CACHE_LINE 64
#define NCD_PAGE       4096

/* Hosts and channels. */
#define NCD_WORKERS_MAX       64  /* config error beyond */
#define NCD_PEERS_MAX         256 /* config error beyond; index 0 is the host itself */
#define NCD_ADDRS_MAX         8   /* addresses of one host; config error beyond */
#define NCD_LANE_CHANNELS_MAX 16  /* channels of one class in one lane; config error beyond */

/* Attached applications. */
#define NCD_CLIENTS_MAX   1024  /* attach refused with EMFILE */
#define NCD_QP_NR         16    /* queue pairs of one client; nc_cq_create fails with EMFILE */
#define NCD_SQ_ENTRIES    4096  /* library waits for room (back-pressure) */
#define NCD_CQ_ENTRIES    16384 /* event stays pending in the worker until there is room */
#define NCD_LISTENERS_MAX 1024  /* listening sockets of one client; ENOBUFS */
#define NCD_LEFT_MAX      1023  /* kernel sockets of one client that ncd-stat shows; more: not */
#define NCD_BACKLOG_MAX   4096  /* as net.core.somaxconn; larger backlogs are cut to it */
#define NCD_SEGMENTS_MAX  256   /* memfds of one region; ENOBUFS */
#define NCD_JOINTS_MAX    128 /* joined rings of one client; beyond: rings are its own */
#define NCD_SOCKETS_MAX   (1u << 20) /* virtual sockets of one client and worker */

/* Copy workers. */
#define NCD_COPY_WORKERS_MAX 16 /* config error beyond */
#define NCD_COPY_PIECES      64 /* of one client, under way; beyond: the caller copies */
#define NCD_COPY_PIECE_MAX   (1u << 20) /* bytes; longer: that client is detached */

/* Rings: powers of two, so that offset & (size - 1) is the place of a byte. */
#define NCD_RING_MIN (4u << 10)
#define NCD_RING_MAX (64u << 20)
/* Rings of up to so many bytes keep their pages; a stream that moves less in [buffers] idle_seconds
 * is idle. */
#define NCD_IDLE_BYTES (16u << 10)

/* Bytes that other workers send for a stream's owner. */
#define NCD_CARRY_ORDERS 32 /* of one owner, unanswered; beyond: it sends them itself */

/* Wire. */
#define NCD_FRAME_PAYLOAD_MAX (4u << 20) /* longer: protocol error, that channel is closed */
#define NCD_OPEN_DATA_MAX     (16u << 10) /* bytes that may ride with OPEN */
#define NCD_INTERVALS_MAX     48 /* holes of one stream; beyond: that channel is reset */
#define NCD_WEIGHT_MAX        16 /* of a stream; config error beyond */
#define NCD_SWITCHES_MAX      16 /* unacknowledged channel switches of one stream */

#define NCD_PORT 4790

#endif /* NCD_LIMITS_H */
