/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of ncd-perf.
 *
 * Ownership: strings point into argv. Threading: none.
 */
#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "hello.h"
#include "via.h"

#define PERF_PORT 4799

enum command {
	COMMAND_RUN,
	COMMAND_SERVER,
	COMMAND_COMPARE,
};

struct options {
	enum command command;
	struct shape shape;
	const struct via *via[2]; /* the second: compare only */
	uint32_t via_nr;
	const char *to;
	const char *listen;
	const char *client_addr;
	uint16_t port;
	double seconds;
	uint32_t bulk_size; /* isolate: of the throughput processes' writes */
	uint32_t pairs;
	int cpu; /* -1: not pinned; so the next two */
	int client_cpu;
	int server_cpu;
	const char *client_socket; /* NULL: NCD_SOCKET as it is; so the next */
	const char *server_socket;
	const char *client_netns; /* NULL: ours; so the next */
	const char *server_netns;
	bool json;
	bool brief; /* compare: medians only */
};

const char *mode_name(uint32_t mode);

/* Returns 0; 1 if it printed help or version; -EINVAL after one line on stderr. */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif /* PERF_OPTIONS_H */
