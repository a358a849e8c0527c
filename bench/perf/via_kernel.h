/* SPDX-License-Identifier: MIT */
/*
 * via_kernel.h - the parts of via_kernel.c that tcp-uring shares; contracts in struct via.
 *
 * Ownership, Threading: as struct via.
 */
#ifndef PERF_VIA_KERNEL_H
#define PERF_VIA_KERNEL_H

#include "via.h"

/* Whether sockets have to be told to use cubic. */
bool kernel_needs_cubic(void);

int kernel_listen(struct conn *c, const struct endpoint *ep, uint16_t *ret_port);
int kernel_accept(struct conn *listener, struct conn *c);
int kernel_connect(struct conn *c, const struct endpoint *ep, const struct endpoint *from);
int kernel_connected(struct conn *c);
int kernel_bound(struct conn *c);
int kernel_option(struct conn *c, int level, int name, const void *value, socklen_t len);
int kernel_finish(struct conn *c);
void kernel_close(struct conn *c);

#endif /* PERF_VIA_KERNEL_H */
