/* SPDX-License-Identifier: MIT */
/*
 * server.h - the other end: serves any number of clients, one after the other or at once.
 *
 * Ownership: none. Threading: the main thread of its process.
 */
#ifndef PERF_SERVER_H
#define PERF_SERVER_H

#include "options.h"

/*
 * Runs until SIGTERM or SIGINT. @port 0: any free one. The port goes to @port_fd as a uint16_t
 * if that is not -1, otherwise a line to stdout. Returns 0, or -errno after one line on stderr.
 */
int server_run(const struct options *o, const struct via *via, uint16_t port, int port_fd);

#endif /* PERF_SERVER_H */
