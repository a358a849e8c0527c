/* SPDX-License-Identifier: MIT */
/*
 * environment.h - which sockets the environment wants carried: NCD_PORTS, NCD_EXCLUDE, NCD_CLASS.
 *
 * ncd-run refuses what is wrong in them, libncpreload.so says it and goes by the rest.
 *
 * Ownership: the struct is the caller's, and keeps no pointers.
 * Threading: as getenv(3).
 */
#ifndef NC_ENVIRONMENT_H
#define NC_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

#define ENVIRONMENT_RANGES    64
#define ENVIRONMENT_WHY_BYTES 256

struct environment_ports {
	uint32_t nr;
	struct {
		uint16_t first, last; /* inclusive */
	} range[ENVIRONMENT_RANGES];
};

struct environment {
	int class;       /* NC_CLASS_*, or 0 */
	bool some_ports; /* NCD_PORTS is set */
	bool off;        /* NCD_EXCLUDE names this program */
	struct environment_ports ports, exclude;
};

/* False: @why has the first thing that is wrong, in one line; @ret has what is right. */
bool environment_read(struct environment *ret, char why[ENVIRONMENT_WHY_BYTES]);

bool environment_has_port(const struct environment_ports *p, uint16_t port);

#endif
