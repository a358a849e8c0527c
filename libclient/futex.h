/* SPDX-License-Identifier: MIT */
/*
 * futex.h - sleeping on a 32-bit word, in memory shared with the daemon or of this process only.
 *
 * Ownership: the word is the caller's.
 * Threading: any thread.
 * Trust: a wake without a reason is allowed; every caller looks again.
 */
#ifndef NC_FUTEX_H
#define NC_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NC_FOREVER UINT64_MAX /* a deadline that never comes */

static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * Sleeps while *word is @value, until CLOCK_MONOTONIC @until_ns. Returns 0 (woken, or the value had
 * changed), -EINTR, -ETIMEDOUT. Without a deadline the kernel itself goes on after a handler that
 * was installed with SA_RESTART; with one it does not: so -EINTR follows signal(7) by itself.
 */
static inline int futex_wait_op(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns,
				int flags)
{
	struct timespec ts = { .tv_sec = (time_t)(until_ns / 1000000000u),
			       .tv_nsec = (long)(until_ns % 1000000000u) };

	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | flags, value,
		    until_ns == NC_FOREVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY) == 0)
		return 0;
	return errno == EINTR || errno == ETIMEDOUT ? -errno : 0;
}

static inline int futex_wait_shared(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns)
{
	return futex_wait_op(word, value, until_ns, 0);
}

static inline void futex_wake_shared(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX); /* nobody there: nothing to do */
}

static inline int futex_wait_private(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns)
{
	return futex_wait_op(word, value, until_ns, FUTEX_PRIVATE_FLAG);
}

static inline void futex_wake_private(_Atomic uint32_t *word, int nr)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, nr); /* as above */
}

#endif /* NC_FUTEX_H */
