/* SPDX-License-Identifier: MIT */
/*
 * slice.c - sched_setattr(2), which glibc 2.36 does not have, and when to call it.
 */
#include "slice.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASSING_NS 20000000u   /* neither is over because it pauses for so long */
#define LASTING_NS 50000000u   /* a connect, and bulk behind it, is no mixture */
#define KEPT_NS    1000000000u /* a call is no more often than twice in that */

/* As in linux/sched/types.h, which sched.h does not like; of the first size, 48 bytes. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

int slice_set(uint64_t ns, uint64_t *ret_was)
{
	struct attr a = { .size = sizeof(a) };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0)
		return -errno;
	/* Before Linux 6.12 there is no slice to be told. */
	if ((a.policy != SCHED_OTHER && a.policy != SCHED_BATCH) || a.runtime == 0)
		return -EOPNOTSUPP;
	*ret_was = a.runtime;
	a.runtime = ns;
	return syscall(SYS_sched_setattr, 0, &a, 0) < 0 ? -errno : 0;
}

static bool passes(uint64_t last_ns, uint64_t now_ns)
{
	return last_ns && now_ns - last_ns < PASSING_NS;
}

void slice_follow(struct slice *s, uint64_t latency_ns, uint64_t bulk_ns, uint64_t now_ns)
{
	uint64_t was;
	bool both = s->short_ns && passes(latency_ns, now_ns) && passes(bulk_ns, now_ns);

	if (!both)
		s->since_ns = 0;
	else if (s->since_ns == 0)
		s->since_ns = now_ns;
	if (both && s->is_short)
		s->until_ns = now_ns + KEPT_NS;
	if (both == s->is_short || now_ns < s->until_ns)
		return;
	if (both && now_ns - s->since_ns < LASTING_NS)
		return;
	s->until_ns = now_ns + KEPT_NS;
	if (slice_set(both ? s->short_ns : s->usual_ns, &was) < 0)
		return;
	s->is_short = both;
	if (both)
		s->usual_ns = was;
}
