/* SPDX-License-Identifier: MIT */
/*
 * core.c - which thread has which core, and when, much as Linux's EEVDF decides it: who has had
 * less than the others goes first. A thread keeps its core until it sleeps or yields, or wakes one
 * of the same core that has had less, or others have waited for a time slice. Who yields gives up a
 * slice.
 */
#include "state.h"

static uint32_t number_of(const struct model *m, const struct thread *t)
{
	return (uint32_t)(t->end - m->end) * 2 + t->is_app;
}

struct thread *thread_of(struct model *m, uint32_t number)
{
	struct end *e = &m->end[number / 2];

	return number % 2 ? &e->app : &e->worker;
}

static uint64_t cost(const struct model *m, enum cost c)
{
	return m->cost_ps[c] / 1000;
}

static void enqueue(struct core *c, struct thread *t)
{
	t->state = TH_READY;
	t->next = c->ready;
	c->ready = t;
}

/* What the threads of the core that are not asleep have had on average. */
static int64_t average(struct core *c)
{
	int64_t sum = 0, nr = 0;

	for (const struct thread *t = c->ready; t; t = t->next, nr++)
		sum += t->had_ns;
	if (c->now) {
		sum += c->now->had_ns;
		nr++;
	}
	if (nr > 0)
		c->average_ns = sum / nr;
	return c->average_ns;
}

/* Takes the one that has had least; NULL: nobody is ready. */
static struct thread *take_ready(struct core *c)
{
	struct thread **best = &c->ready, *t;

	for (struct thread **at = best; *at; at = &(*at)->next)
		if ((*at)->had_ns <= (*best)->had_ns) /* of equals the first that came */
			best = at;
	t = *best;
	if (t)
		*best = t->next;
	return t;
}

static void step_at(struct model *m, uint32_t core, uint64_t at_ns)
{
	struct thread *t = m->core[core].now;

	if (t->yielded_ns) {
		idle_yielded(&t->end->idle, at_ns - t->yielded_ns, at_ns);
		t->yielded_ns = 0;
	}
	t->state = TH_RUNS;
	model_at(m, at_ns, EV_STEP, core, 0);
}

/* The core is free: the next one has it after @pause_ns. */
static void core_next(struct model *m, uint32_t core, uint64_t pause_ns)
{
	struct core *c = &m->core[core];

	c->preempted = false;
	c->now = take_ready(c);
	if (!c->now)
		return;
	c->since_ns = m->now_ns + pause_ns;
	step_at(m, core, c->since_ns);
}

static void yield(struct model *m, struct thread *t)
{
	t->generation++;
	t->had_ns += (int64_t)m->p.slice_ns;
	if (!t->is_app)
		t->yielded_ns = m->now_ns;
	enqueue(&m->core[t->core], t);
	core_next(m, t->core, cost(m, COST_SWITCH));
}

static void ready(struct model *m, struct thread *t)
{
	struct core *c = &m->core[t->core];
	int64_t now_ns = average(c);

	/* It is owed what it had not had; what it had too much is forgotten as others catch up. */
	if (t->owed_ns >= 0)
		t->had_ns = now_ns - t->owed_ns;
	else if (t->had_ns < now_ns)
		t->had_ns = now_ns;
	enqueue(c, t);
	if (!c->now)
		core_next(m, t->core, 0);
	else if (c->now->state == TH_SPINS)
		yield(m, c->now);
	else if (t->had_ns <= c->now->had_ns)
		c->preempted = true;
}

bool thread_wake(struct model *m, struct thread *t)
{
	uint64_t at_ns = model_ns(m);

	if (t->state != TH_SLEEPS)
		return false;
	t->state = TH_WAKES;
	t->generation++;
	if (!m->core[t->core].now)
		at_ns += cost(m, COST_WAKE_DELAY);
	model_at(m, at_ns, EV_READY, number_of(m, t), 0);
	return true;
}

void thread_signal(struct model *m, struct thread *t)
{
	if (t->state == TH_SPINS) {
		t->generation++;
		step_at(m, t->core, m->now_ns);
	} else {
		m->ps = m->now_ns * 1000;
		(void)thread_wake(m, t); /* who sent has paid, if it could know */
	}
}

static bool has_work(const struct model *m, const struct thread *t)
{
	return t->is_app ? words_nr(&t->end->cq) > 0 : worker_has_work(m, t->end);
}

static void wait_at_most(struct model *m, struct thread *t, uint64_t until_ns)
{
	model_at(m, until_ns, EV_TIMER, number_of(m, t), ++t->generation);
}

static void spin(struct model *m, struct thread *t)
{
	const struct idle *i = &t->end->idle;

	t->state = TH_SPINS;
	wait_at_most(m, t, i->since_ns + i->budget_ns);
}

static void fall_asleep(struct model *m, struct thread *t)
{
	int64_t slice_ns = (int64_t)m->p.slice_ns;

	t->owed_ns = average(&m->core[t->core]) - t->had_ns;
	if (t->owed_ns > slice_ns)
		t->owed_ns = slice_ns;
	t->state = TH_SLEEPS;
	m->core[t->core].now = NULL;
	if (t->sleep_most_ns)
		wait_at_most(m, t, m->now_ns + t->sleep_most_ns);
	core_next(m, t->core, cost(m, COST_SWITCH));
}

static void done(struct model *m, uint32_t core)
{
	struct core *c = &m->core[core];
	struct thread *t = c->now;
	bool wanted = c->ready != NULL;

	if (t->then == THEN_GO_ON && wanted &&
	    (c->preempted || m->now_ns - c->since_ns >= m->p.slice_ns)) {
		enqueue(c, t);
		core_next(m, core, cost(m, COST_SWITCH));
		return;
	}
	if (t->then == THEN_GO_ON || (t->then == THEN_YIELD && !wanted) ||
	    (t->then != THEN_YIELD && has_work(m, t)))
		step_at(m, core, m->now_ns);
	else if (t->then == THEN_SLEEP)
		fall_asleep(m, t);
	else if (wanted)
		yield(m, t);
	else
		spin(m, t);
}

static void step(struct model *m, uint32_t core)
{
	struct thread *t = m->core[core].now;
	uint64_t end_ns;

	m->ps = m->now_ns * 1000;
	t->then = t->is_app ? app_step(m, t->end) : worker_step(m, t->end);
	end_ns = (m->ps + 999) / 1000;
	t->had_ns += (int64_t)(end_ns - m->now_ns);
	if (t->then == THEN_GO_ON)
		t->busy_ns += end_ns - m->now_ns;
	model_at(m, end_ns, EV_DONE, core, 0);
}

static void timer(struct model *m, struct thread *t)
{
	if (t->state == TH_SPINS)
		step_at(m, t->core, m->now_ns);
	else if (t->state == TH_SLEEPS)
		thread_signal(m, t);
}

void cores_event(struct model *m, const struct event *ev)
{
	struct thread *t;

	switch ((enum event_kind)ev->kind) {
	case EV_STEP:
		step(m, ev->a);
		break;
	case EV_DONE:
		done(m, ev->a);
		break;
	case EV_READY:
		ready(m, thread_of(m, ev->a));
		break;
	case EV_TIMER:
		t = thread_of(m, ev->a);
		if (t->generation == ev->generation)
			timer(m, t);
		break;
	case EV_IN:
		thread_signal(m, thread_of(m, ev->a));
		break;
	}
}
