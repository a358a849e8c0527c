/* SPDX-License-Identifier: MIT */
/*
 * channel_zerocopy.h - sends that are timed, so that the channel learns what goes by page
 * (core/zerocopy.h).
 *
 * Threading: the worker.
 */
#ifndef NCD_CHANNEL_ZEROCOPY_H
#define NCD_CHANNEL_ZEROCOPY_H

#include "channel_io.h"

/* As io_send(), of what the engine has gathered for @c. */
int channel_send(struct worker *w, struct channel_io *c, const struct iovec *iov, int iov_nr,
		 const struct tx_file *file, int file_nr);

#endif /* NCD_CHANNEL_ZEROCOPY_H */
