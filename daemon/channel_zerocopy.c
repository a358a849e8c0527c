/* SPDX-License-Identifier: MIT */
/*
 * channel_zerocopy.c - what a send of large payloads takes is what the call takes: it is made here
 * and now, also where io_uring would make it later, together with others.
 */
#include "channel_zerocopy.h"

#include "clock.h"

int channel_send(struct worker *w, struct channel_io *c, const struct iovec *iov, int iov_nr,
		 const struct tx_file *file, int file_nr)
{
	uint32_t largest = engine_tx_largest(c->channel);
	uint64_t begin_ns;
	int n;

	c->io.tx_now = largest >= ZEROCOPY_LEAST;
	if (!c->io.tx_now || !w->cfg.engine.file_min)
		return io_send(w->io, &c->io, iov, iov_nr, file, file_nr);
	begin_ns = clock_monotonic_ns();
	n = io_send(w->io, &c->io, iov, iov_nr, file, file_nr);
	if (n > 0 && zerocopy_sent(&c->zerocopy, largest, (uint32_t)n, file_nr > 0,
				   clock_monotonic_ns() - begin_ns))
		engine_channel_files(c->channel, zerocopy_pages(&c->zerocopy));
	return n;
}
