/* SPDX-License-Identifier: MIT */
/*
 * channel_zerocopy.c - what a send of large payloads takes is what the call takes: it is made here
 * and now, also where io_uring would make it later, together with others.
 */
#include "channel_zerocopy.h"

#include "clock.h"

static size_t bytes_of(const struct iovec *iov, int iov_nr, const struct tx_file *file, int file_nr)
{
	size_t bytes = 0;

	for (int i = 0; i < iov_nr; i++)
		bytes += iov[i].iov_len;
	for (int i = 0; i < file_nr; i++)
		bytes += file[i].bytes;
	return bytes;
}

/* Of a gathering that was cut the largest may be in what is left. */
static bool has_largest(const struct iovec *iov, int iov_nr, const struct zerocopy_send *send)
{
	for (int i = 0; i < iov_nr; i++)
		if (iov[i].iov_len >= send->largest / 2)
			return true;
	return send->pages;
}

int channel_send(struct worker *w, struct channel_io *c, const struct iovec *iov, int iov_nr,
		 const struct tx_file *file, int file_nr)
{
	struct zerocopy_send send = { .largest = engine_tx_largest(c->channel),
				      .pages = file_nr > 0 };
	uint64_t begin_ns;
	int n;

	c->io.tx_now = send.largest >= ZEROCOPY_LEAST;
	if (!c->io.tx_now || !w->cfg.engine.file_min)
		return io_send(w->io, &c->io, iov, iov_nr, file, file_nr);
	send.asked = (uint32_t)bytes_of(iov, iov_nr, file, file_nr);
	begin_ns = clock_monotonic_ns();
	n = io_send(w->io, &c->io, iov, iov_nr, file, file_nr);
	if (n <= 0)
		return n;
	send.bytes = (uint32_t)n;
	send.ns = clock_monotonic_ns() - begin_ns;
	if (has_largest(iov, iov_nr, &send) && zerocopy_sent(&c->zerocopy, &send))
		engine_channel_files(c->channel, zerocopy_pages(&c->zerocopy));
	return n;
}
