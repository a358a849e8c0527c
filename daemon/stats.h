/* SPDX-License-Identifier: MIT */
/*
 * stats.h - makes the counter page (ncd/stats_abi.h) and hands out its entries.
 *
 * Ownership: struct stats owns the mapping. An entry belongs to whom it was handed to, until given
 *   back; the file stays when the daemon ends, with state "stopped".
 * Threading: control takes and gives back; an entry's counters are written by the thread that
 *   stats_abi.h names.
 * Trust: readers cannot write; nothing is read back from the file.
 */
#ifndef NCD_STATS_H
#define NCD_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/stats_abi.h"

#define STATS_PATH_BYTES 128

struct stats_shape {
	uint32_t workers, streams; /* streams of one worker */
	uint32_t copy_workers;
	uint32_t channels, clients, listeners;
	uint32_t left; /* sockets left to kernel TCP, of all clients */
};

struct stats {
	struct stats_head *head;
	struct stats_head layout; /* as it was made: the file may be cut */
	struct stats_shape shape;
	char path[STATS_PATH_BYTES];
	uint32_t *left_free; /* indices of free entries, [left_free_nr] of them */
	uint32_t left_free_nr;
};

/* Path of the page that belongs to @socket: ".sock" becomes ".stats", or is added. */
void stats_path(const char *socket, char out[STATS_PATH_BYTES]);

/* Replaces the file by a new one, mode 0644. 0, or -errno of the step that failed. */
int stats_init(struct stats *s, const char *socket, const struct stats_shape *shape);
/* Unmaps; a zeroed one is allowed. */
void stats_fini(struct stats *s);

/* "running", "draining", "stopped". */
void stats_state(struct stats *s, const char *state);
/* Control's counters, one more. */
void stats_count(counter64 *counter);

struct stats_worker *stats_worker_entry(struct stats *s, uint32_t worker);
struct stats_copy *stats_copy_entry(struct stats *s, uint32_t copy_worker);
/* The table of one worker, by stream index. */
struct stats_socket *stats_worker_sockets(struct stats *s, uint32_t worker);

/* A zeroed entry, still marked unused; NULL: the table is full. Fill it, then stats_show(). */
struct stats_channel *stats_channel_take(struct stats *s);
struct stats_client *stats_client_take(struct stats *s);
struct stats_socket *stats_listener_take(struct stats *s);
/* An entry for a socket left to kernel TCP, unused; NULL: the table is full. Takes no search: the
 * application decides how often. stats_left_give hides it, and it may be taken again. */
struct stats_socket *stats_left_take(struct stats *s);
void stats_left_give(struct stats *s, struct stats_socket *entry);
/* @use of an entry: from now on readers see it; or no longer, and it may be taken again. */
void stats_show(_Atomic uint32_t *use);
void stats_hide(_Atomic uint32_t *use);

#endif /* NCD_STATS_H */
