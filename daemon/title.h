/* SPDX-License-Identifier: MIT */
/*
 * title.h - what a kernel's listening socket, shown by an application, entitles it to.
 *
 * Ownership: none; descriptors stay the caller's. Threading: control.
 * Trust: the descriptor may be anything. What is believed is what the kernel says of it: nobody has
 * a listening socket unless the kernel let him make it, or somebody who had it gave it to him.
 */
#ifndef NCD_TITLE_H
#define NCD_TITLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"

struct title {
	uint64_t number; /* the socket's, in all processes that have it; never 0 */
	bool here;       /* it is of our own network: it has the port here */
	bool reuseport;
	uint32_t uid;     /* whose it is to the kernel, whoever shows it */
	uint64_t network; /* of which it is; 0: our own */
};

/* The number of a title that @fd would be, whatever it is; 0: none. */
uint64_t title_number(int fd);
/* Of @fd, which must be a TCP socket that listens on @addr and @port. -EINVAL: it is not. */
int title_read(int fd, const struct address *addr, uint16_t port, struct title *ret_title);

#endif /* NCD_TITLE_H */
