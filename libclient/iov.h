/* SPDX-License-Identifier: MIT */
/*
 * iov.h - walking through the caller's buffers.
 *
 * Ownership: the caller's; nothing is kept.
 * Threading: none.
 */
#ifndef NC_IOV_H
#define NC_IOV_H

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

struct iov_cursor {
	const struct iovec *iov;
	size_t iov_nr;
	size_t off; /* in iov[0] */
};

/* -EMSGSIZE: more than IOV_MAX buffers; -EINVAL: more than SSIZE_MAX bytes. */
static inline int iov_cursor_init(struct iov_cursor *c, const struct iovec *iov, size_t iov_nr,
				  size_t *ret_len)
{
	size_t len = 0;

	if (iov_nr > IOV_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < iov_nr; i++) {
		if (iov[i].iov_len > (size_t)SSIZE_MAX - len)
			return -EINVAL;
		len += iov[i].iov_len;
	}
	*c = (struct iov_cursor){ .iov = iov, .iov_nr = iov_nr };
	*ret_len = len;
	return 0;
}

/* How much lies in one place from here on, and where; there must be something. */
static inline size_t iov_contiguous(struct iov_cursor *c, uint8_t **ret_at)
{
	while (c->off == c->iov->iov_len) {
		c->iov++;
		c->off = 0;
	}
	*ret_at = (uint8_t *)c->iov->iov_base + c->off;
	return c->iov->iov_len - c->off;
}

/* Goes on behind @bytes of that. */
static inline void iov_skip(struct iov_cursor *c, size_t bytes)
{
	c->off += bytes;
}

/* The next @bytes; there must be as many. */
static inline void iov_gather(struct iov_cursor *c, uint8_t *to, size_t bytes)
{
	while (bytes > 0) {
		size_t left = c->iov->iov_len - c->off;
		size_t n = left < bytes ? left : bytes;

		if (n > 0)
			memcpy(to, (const uint8_t *)c->iov->iov_base + c->off, n);
		to += n;
		bytes -= n;
		c->off += n;
		if (bytes > 0) {
			c->iov++;
			c->off = 0;
		}
	}
}

static inline void iov_scatter(struct iov_cursor *c, const uint8_t *from, size_t bytes)
{
	while (bytes > 0) {
		size_t left = c->iov->iov_len - c->off;
		size_t n = left < bytes ? left : bytes;

		if (n > 0)
			memcpy((uint8_t *)c->iov->iov_base + c->off, from, n);
		from += n;
		bytes -= n;
		c->off += n;
		if (bytes > 0) {
			c->iov++;
			c->off = 0;
		}
	}
}

#endif /* NC_IOV_H */
