/* SPDX-License-Identifier: MIT */
/*
 * model.c - one run: sets up, lets time pass, looks at what came out.
 */
#include "model.h"

#include <errno.h>
#include <stdlib.h>

#include "state.h"

#define SOCKETS_MAX 1000000u
#define BYTES_MAX   (64u << 10) /* of a message */

void model_copy(struct model *m, uint32_t host, enum cost byte, uint64_t bytes)
{
	uint64_t through_ns;

	if (bytes == 0)
		return;
	through_ns = rate_take(&m->memory[host], model_ns(m), bytes);
	model_pay(m, byte, bytes);
	/* The memory may be slower than the core. */
	if (m->ps < through_ns * 1000)
		m->ps = through_ns * 1000;
}

void model_at(struct model *m, uint64_t at_ns, enum event_kind kind, uint32_t a,
	      uint32_t generation)
{
	struct event ev = { .at_ns = at_ns, .kind = kind, .a = a, .generation = generation };

	timeline_add(&m->timeline, &ev);
}

int scale_check(const struct scale_params *p)
{
	if (p->workers < 1 || p->workers > SCALE_WORKERS_MAX || p->channels % p->workers != 0 ||
	    p->channels / p->workers < 1 || p->channels / p->workers > NCD_LANE_CHANNELS_MAX ||
	    p->sockets < p->workers || p->sockets > SOCKETS_MAX || p->size < 1 ||
	    p->size > BYTES_MAX || p->cores < 1 || p->cores > 2 * SCALE_WORKERS_MAX ||
	    p->messages < 1)
		return -EINVAL;
	return 0;
}

static double busy(const struct model *m, bool app)
{
	uint64_t ns = 0;

	for (uint32_t i = 0; i < 2 * m->p.workers; i++)
		ns += app ? m->end[i].app.busy_ns : m->end[i].worker.busy_ns;
	return (double)ns / (2 * m->p.workers) / (double)(m->now_ns - START_NS);
}

static bool is_whole(const struct model *m)
{
	for (uint32_t i = 0; i < 2 * m->p.workers; i += 2) {
		const struct end *a = &m->end[i], *b = a->other;

		if (a->sent != b->received || b->sent != a->received || a->sent != b->sent)
			return false;
		for (uint32_t k = 0; k < a->sock_nr; k++)
			if (a->sock[k].rx_head != a->sock[k].tx_tail ||
			    stream_error(a->sock[k].stream))
				return false;
	}
	return m->end_ns > m->begin_ns;
}

static void evaluate(const struct model *m, struct scale_result *r)
{
	double seconds = (double)(m->end_ns - m->begin_ns) * 1e-9;
	double all = (double)(m->now_ns - START_NS) * 1e-9;
	uint64_t most = m->link[0].total > m->link[1].total ? m->link[0].total : m->link[1].total;

	*r = (struct scale_result){
		.messages = m->hist.count,
		.msgs_per_s = (double)m->p.messages / seconds,
		.link_bytes_per_s = (double)most / all,
		.p50_ns = hist_percentile(&m->hist, 50),
		.p99_ns = hist_percentile(&m->hist, 99),
		.max_ns = m->hist.max,
		.worker_busy = busy(m, false),
		.app_busy = busy(m, true),
		.frames_per_send = m->sends ? (double)m->frames / (double)m->sends : 0,
		.whole = is_whole(m),
	};
}

/* What a core has to do with: where hosts share cores, with the sockets of both. */
static uint32_t sockets_of_core(const struct scale_params *p)
{
	uint32_t cores = p->cores < 2 * p->workers ? p->cores : 2 * p->workers;

	return 2 * p->sockets / cores;
}

int scale_run(const struct scale_params *p, const struct costs *costs,
	      struct scale_result *ret_result)
{
	struct model *m;
	struct event ev;
	int ret = scale_check(p);

	if (ret < 0)
		return ret;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->p = *p;
	rng_seed(&m->rng, p->seed);
	for (uint32_t i = 0; i < COST_NR; i++)
		m->cost_ps[i] = (uint64_t)(cost_ns(costs, (enum cost)i, sockets_of_core(p)) * 1000);
	ret = set_up(m);
	/* Until all is quiet: what was asked is answered. */
	while (ret == 0 && timeline_next(&m->timeline, &ev)) {
		m->now_ns = ev.at_ns;
		cores_event(m, &ev);
	}
	if (ret == 0)
		evaluate(m, ret_result);
	tear_down(m);
	free(m);
	return ret;
}
