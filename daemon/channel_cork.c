/* SPDX-License-Identifier: MIT */
/*
 * channel_cork.c - one call where the state changes, none from send to send.
 *
 * A send of 512 KiB and its header is eight segments of loopback and 464 bytes more, and these take
 * the kernel nearly as long as one of the eight. MSG_MORE does not help: they leave with the next
 * acknowledgement.
 */
#include "channel_cork.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void set(struct channel_io *c, int on)
{
	c->corked = on;
	/* It fails only with the connection. */
	(void)setsockopt(c->io.fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

void channel_cork(struct channel_io *c)
{
	/* With a budget the kernel may have room for less than a segment, and that would wait. */
	if (c->budget.bytes != 0)
		channel_uncork(c);
	else if (!c->corked)
		set(c, 1);
}

void channel_uncork(struct channel_io *c)
{
	if (c->corked)
		set(c, 0);
}
