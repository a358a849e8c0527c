/* SPDX-License-Identifier: MIT */
/*
 * config.h - ncd.conf as the daemon understands it: one struct, filled once, then read only.
 *
 * Ownership: config_load allocates, config_free frees. A reload makes a new one.
 * Threading: control; workers got their copies at start.
 * Trust: the file may hold anything; each error names file, line, value and remedy.
 */
#ifndef NCD_CONFIG_H
#define NCD_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ncd/limits.h"

#include "core/address.h"

#define CONFIG_DEFAULT_FILE "/etc/ncd.conf"
#define CONFIG_ERROR_BYTES  1024
#define CONFIG_NAME_BYTES   32 /* of a peer, a user, a group */
#define CONFIG_NAMES_MAX    32
#define CONFIG_RANGES_MAX   64
#define CONFIG_KEYS_MAX     48

struct config_addresses {
	struct address address[NCD_ADDRS_MAX];
	uint32_t nr;
};

struct config_names {
	char name[CONFIG_NAMES_MAX][CONFIG_NAME_BYTES];
	uint32_t nr;
};

struct config_ports {
	struct {
		uint16_t first, last; /* inclusive */
	} range[CONFIG_RANGES_MAX];
	uint32_t nr;
};

struct config_weights {
	struct {
		uint16_t first, last; /* ports, inclusive */
		uint16_t weight;
	} range[CONFIG_RANGES_MAX];
	uint32_t nr;
};

enum cores_choice {
	CORES_AUTO,
	CORES_LIST
};

struct config_cores {
	uint32_t choice;               /* enum cores_choice */
	uint32_t nr;                   /* LIST */
	uint32_t cpu[NCD_WORKERS_MAX]; /* LIST */
};

struct config_peer {
	char name[CONFIG_NAME_BYTES];
	uint32_t line; /* of its section */
	struct config_addresses addresses;
	uint32_t port;                    /* 0: [channels] port */
	uint32_t address_line, port_line; /* 0: not given */
};

struct config {
	char file[4096];
	bool file_absent; /* the default file does not exist: all is default */

	struct config_addresses addresses; /* empty until config_resolve if the file names none */
	char name[64];

	char socket[108]; /* as sun_path */
	char user[CONFIG_NAME_BYTES];
	char group[CONFIG_NAME_BYTES];
	uint32_t clients, sockets;
	uint32_t drain_seconds;
	uint32_t log_level; /* enum log_level */

	struct config_cores cores;
	struct config_cores copy_cores;
	uint32_t spin_us;
	uint32_t slice_us;
	uint32_t io; /* enum io_choice */
	uint32_t move_busy; /* percent, from which on open streams leave a worker; 0: never */

	uint32_t port, latency, throughput, channels_max;
	char congestion[16]; /* TCP_CA_NAME_MAX; "": the system's */
	char latency_congestion[16], throughput_congestion[16]; /* "": as congestion */
	char system_congestion[16]; /* what a new socket has: no key */
	uint32_t zerocopy;   /* large payloads are sent from the rings' pages */
	uint32_t ping_seconds, timeout_seconds;
	uint32_t backoff_min_ms, backoff_max_ms;

	uint32_t policy; /* enum sched_policy */
	uint64_t frame_bytes;
	uint32_t carry; /* workers send for each other's streams */
	struct config_weights weights;

	uint64_t send_bytes, receive_bytes, initial_bytes;
	uint32_t huge_pages; /* large rings are gathered into such */
	uint64_t region_max;
	uint32_t idle_seconds; /* 0: rings keep their pages */

	struct config_names access_users, access_groups;
	struct config_ports latency_ports, throughput_ports;

	struct config_peer peer[NCD_PEERS_MAX]; /* 0 is unused: this host itself */
	uint32_t peer_nr;                       /* one beyond the last */

	uint32_t line[CONFIG_KEYS_MAX]; /* where each key was set, by its place in the table; 0
					   default */
};

/*
 * Reads @path. Absent: all defaults if not @must_exist. Returns 0 and *ret_config, or -EINVAL (or
 * what open(2) says) with one line in @error.
 */
int config_load(const char *path, bool must_exist, struct config **ret_config,
		char error[CONFIG_ERROR_BYTES]);
/* The same from an open stream; @path is for messages. */
int config_read(FILE *stream, const char *path, struct config **ret_config,
		char error[CONFIG_ERROR_BYTES]);
void config_free(struct config *c);

/*
 * Settles what depends on the machine: addresses if none are given, that each is local, that the
 * cores exist. 0, or -EINVAL with one line in @error.
 */
int config_resolve(struct config *c, char error[CONFIG_ERROR_BYTES]);

/* One line in @error that says what is wrong with the value of a key: FILE:LINE: [section] name =
 * and @fmt; without a line if the value is the default. Returns -EINVAL. */
__attribute__((format(printf, 5, 6))) int config_key_fail(const struct config *c,
							  const char *section, const char *name,
							  char error[CONFIG_ERROR_BYTES],
							  const char *fmt, ...);

/* Workers that @c asks for on this machine; the core of each, -1 where the kernel chooses. */
uint32_t config_workers(const struct config *c, int ret_cpu[NCD_WORKERS_MAX]);

/* Writes @c in the file's own syntax, each value with where it came from. */
void config_print(const struct config *c, FILE *out);

/*
 * Puts back into @fresh what only a restart can change, as @running has it. Calls @differs for each
 * such key that the file changed.
 */
void config_adopt(struct config *fresh, const struct config *running,
		  void (*differs)(void *ctx, const char *section, const char *key), void *ctx);

#endif /* NCD_CONFIG_H */
