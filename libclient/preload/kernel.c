/* SPDX-License-Identifier: MIT */
/*
 * kernel.c - TCP sockets that the kernel carries, as ncd-stat is to show them.
 */
#include "kernel.h"

#include "../left.h"
#include "../sock_calls.h"
#include "limit.h"
#include "real.h"
#include "way.h"

_Atomic(uint16_t) kernel_row[FILE_TABLE];
/* Global: why: as kernel_row; one above the highest. */
static _Atomic int end;

int kernel_top(void)
{
	/* Relaxed: a bound for loops, as file_top. */
	return atomic_load_explicit(&end, memory_order_relaxed) - 1;
}

/* @fd has @row from now on, or none (-1); what it had is let go. */
static void row_set(int fd, int row)
{
	/* Relaxed: the row itself orders what it says. */
	uint16_t before = atomic_exchange_explicit(&kernel_row[fd], (uint16_t)(row + 1),
						   memory_order_relaxed);
	/* Relaxed, both: as kernel_top. */
	int top = atomic_load_explicit(&end, memory_order_relaxed);

	if (before)
		left_put(before - 1);
	while (row >= 0 && top <= fd &&
	       !atomic_compare_exchange_weak_explicit(&end, &top, fd + 1, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void kernel_row_copy(int fd, int copy)
{
	/* Relaxed: as kernel_shown. */
	uint16_t row = atomic_load_explicit(&kernel_row[fd], memory_order_relaxed);

	if (!row || (unsigned int)copy >= FILE_TABLE || !file_own_process())
		return;
	left_get(row - 1);
	row_set(copy, row - 1);
}

void kernel_row_drop(int fd)
{
	if (file_own_process())
		row_set(fd, -1);
}

static struct endpoint endpoint_of(const struct sockaddr *addr, socklen_t len)
{
	struct endpoint e = { 0 };

	if (addr && len >= sizeof(sa_family_t))
		(void)endpoint_from_sockaddr(addr->sa_family == AF_INET6 ? AF_INET6 : AF_INET, addr,
					     len, &e); /* of another family: nothing is shown */
	return e;
}

static struct endpoint local_of(int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_storage storage;
	} local;
	socklen_t len = sizeof(local);

	if (real()->getsockname(fd, &local.sa, &len) < 0)
		len = 0;
	return endpoint_of(&local.sa, len);
}

static void show(int fd, enum left_kind kind, enum left_why why, const struct endpoint *peer)
{
	struct endpoint local;
	int err = errno;

	if ((unsigned int)fd >= FILE_TABLE)
		return;
	local = local_of(fd);
	row_set(fd, left_take(kind, why, &local, peer));
	errno = err;
}

void kernel_connected(int fd, enum left_why why, const struct sockaddr *peer, socklen_t len)
{
	struct endpoint to = endpoint_of(peer, len);

	show(fd, LEFT_CONNECTION, why, &to);
}

void kernel_listens(int fd, enum left_why why)
{
	struct endpoint none = { 0 };

	show(fd, LEFT_LISTEN, why, &none);
}

int kernel_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	union {
		struct sockaddr sa;
		struct sockaddr_storage storage;
	} own;
	socklen_t own_len = sizeof(own), room;
	struct endpoint from;
	int got;

	if (limit_reached())
		return -1;
	if (!addr || !len) { /* the program does not want it, we do */
		addr = &own.sa;
		len = &own_len;
	}
	room = *len;
	got = limit_give(real()->accept4(fd, (__SOCKADDR_ARG){ addr }, len, flags));
	if (got < 0)
		return got;
	from = endpoint_of(addr, *len <= room ? *len : 0);
	show(got, LEFT_CONNECTION, LEFT_BY_CLIENT, &from);
	way_say("accept", addr, *len <= room ? *len : 0, way_why_text(LEFT_BY_CLIENT));
	return got;
}
