/* SPDX-License-Identifier: MIT */
/*
 * elastic.c - decides from how long channels were blocked, and from what they moved, whether there
 * should be another one or one less.
 */
#include "elastic.h"

#define NS_PER_US 1000ull

void elastic_init(struct elastic *el, uint64_t look_ns)
{
	*el = (struct elastic){ .each_ns = look_ns != 0 ? look_ns : ELASTIC_LOOK_NS };
}

void elastic_begin(struct elastic *el, uint64_t now_ns)
{
	if (el->look_ns != 0)
		return;
	el->look_ns = now_ns;
	el->blocked_ns = 0;
	el->bytes = 0;
	el->run = 0;
	el->quiet_ns = now_ns;
}

void elastic_blocked(struct elastic *el, uint64_t now_ns)
{
	elastic_begin(el, now_ns);
	if (el->since_ns == 0)
		el->since_ns = now_ns;
}

static uint64_t blocked_so_far(const struct elastic *el, uint64_t now_ns)
{
	return el->since_ns != 0 && now_ns > el->since_ns ? now_ns - el->since_ns : 0;
}

void elastic_moved(struct elastic *el, uint64_t bytes, uint64_t now_ns)
{
	if (el->look_ns == 0)
		return;
	el->bytes += bytes;
	el->blocked_ns += blocked_so_far(el, now_ns);
	el->since_ns = 0;
}

uint64_t elastic_due_ns(const struct elastic *el)
{
	return el->look_ns == 0 ? UINT64_MAX : el->look_ns + el->each_ns;
}

static uint64_t rate_of(uint64_t bytes, uint64_t ns)
{
	return bytes * 1000000 / (ns / NS_PER_US + 1);
}

/* None for a while; longer each time in a row. */
static void hold(struct elastic *el, uint64_t now_ns)
{
	uint64_t most_ns = ELASTIC_HOLD_MOST * el->each_ns;

	if (el->hold_ns == 0)
		el->hold_ns = ELASTIC_HOLD * el->each_ns;
	el->hold_until_ns = now_ns + el->hold_ns;
	el->hold_ns = el->hold_ns < most_ns / 2 ? el->hold_ns * 2 : most_ns;
}

void elastic_answer(struct elastic *el, bool up, uint32_t nr, uint64_t rtt_ns, uint64_t now_ns)
{
	if (!el->asked)
		return;
	el->asked = false;
	el->run = 0;
	if (!up) {
		hold(el, now_ns);
		return;
	}
	elastic_begin(el, now_ns);
	el->before = nr;
	el->judge_ns = now_ns + ELASTIC_SETTLE * el->each_ns + ELASTIC_SETTLE_RTTS * rtt_ns;
}

/* One look is added to those that are weighed together. */
static void run_add(struct elastic *el, uint64_t bytes, uint64_t ns)
{
	if (el->run == 0)
		el->run_bytes = el->run_ns = 0;
	el->run++;
	el->run_bytes += bytes;
	el->run_ns += ns;
}

/* Did the newest channel help? A fair share would be 1/before more; a quarter of that will do. */
static enum elastic_step judge(struct elastic *el, const struct elastic_view *v, uint64_t now_ns)
{
	uint64_t was = el->rate[el->before], is = rate_of(el->run_bytes, el->run_ns);

	el->judge_ns = 0;
	el->run = 0;
	el->quiet_ns = now_ns;
	/* Others have come or gone: it tells nothing. */
	if (el->before == 0 || v->nr != el->before + 1)
		return ELASTIC_STAY;
	if (is >= was + was / (4ull * el->before)) {
		el->hold_ns = 0;
		return ELASTIC_STAY;
	}
	hold(el, now_ns);
	return v->extra > 0 ? ELASTIC_SHRINK : ELASTIC_STAY;
}

/* One less would do, and would have done for long enough. */
static bool too_many(struct elastic *el, const struct elastic_view *v, uint64_t rate,
		     uint64_t now_ns)
{
	uint64_t least = v->nr > 0 ? el->rate[v->nr - 1] / 4 * 3 : 0;

	if (v->extra == 0 || rate > least)
		el->quiet_ns = now_ns;
	if (now_ns - el->quiet_ns < ELASTIC_QUIET * el->each_ns)
		return false;
	el->quiet_ns = now_ns;
	return true;
}

static enum elastic_step steady(struct elastic *el, const struct elastic_view *v, bool blocked,
				uint64_t rate, uint64_t now_ns)
{
	if (!blocked) {
		el->run = 0;
		if (too_many(el, v, rate, now_ns))
			return ELASTIC_SHRINK;
		/* Nothing to wait for: the next time that channels are blocked it begins again. */
		if (v->extra == 0 && !el->asked && el->since_ns == 0) {
			el->look_ns = 0;
			el->hold_ns = 0;
		}
		return ELASTIC_STAY;
	}
	el->quiet_ns = now_ns;
	if (el->run < ELASTIC_LOOKS || el->asked || !v->may_grow || now_ns < el->hold_until_ns)
		return ELASTIC_STAY;
	el->rate[v->nr] = rate_of(el->run_bytes, el->run_ns);
	el->run = 0;
	el->asked = true;
	return ELASTIC_GROW;
}

enum elastic_step elastic_look(struct elastic *el, const struct elastic_view *v, uint64_t now_ns)
{
	uint64_t span_ns, bytes = el->bytes;
	bool blocked;

	if (el->look_ns == 0 || now_ns < el->look_ns + el->each_ns ||
	    v->nr > ELASTIC_CHANNELS)
		return ELASTIC_STAY;
	span_ns = now_ns - el->look_ns;
	blocked = (el->blocked_ns + blocked_so_far(el, now_ns)) * 4 >= span_ns * 3;
	if (el->since_ns != 0)
		el->since_ns = now_ns;
	el->look_ns = now_ns;
	el->blocked_ns = 0;
	el->bytes = 0;
	if (el->judge_ns != 0) {
		if (now_ns < el->judge_ns + el->each_ns)
			return ELASTIC_STAY;
		run_add(el, bytes, span_ns);
		return el->run < ELASTIC_LOOKS ? ELASTIC_STAY : judge(el, v, now_ns);
	}
	/* Only what is blocked all the time tells what so many channels can do. */
	if (blocked)
		run_add(el, bytes, span_ns);
	if (el->run > ELASTIC_LOOKS) {
		el->run = 1;
		el->run_bytes = bytes;
		el->run_ns = span_ns;
	}
	return steady(el, v, blocked, rate_of(bytes, span_ns), now_ns);
}
