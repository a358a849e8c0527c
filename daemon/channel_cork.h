/* SPDX-License-Identifier: MIT */
/*
 * channel_cork.h - a throughput channel that goes on sending is corked, as tcp(7) calls it: the end
 * of each send waits for the next, and does not leave as a small segment of its own.
 *
 * Nothing waits longer than that: it is uncorked by the send that leaves nothing behind, where the
 * kernel has no room, and at the next look at a channel that has nothing more to send after all.
 *
 * Threading: the worker. None blocks.
 */
#ifndef NCD_CHANNEL_CORK_H
#define NCD_CHANNEL_CORK_H

#include "channel_io.h"

/* Before a send: more is to follow it at once. */
void channel_cork(struct channel_io *c);
/* What waits leaves. */
void channel_uncork(struct channel_io *c);

#endif /* NCD_CHANNEL_CORK_H */
