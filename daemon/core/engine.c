/* SPDX-License-Identifier: MIT */
/*
 * engine.c - the engine as a whole: its memory, its numbers.
 */
#include "engine_state.h"

#define OPENED_MIN 4096u /* openers' places remembered, at least */
#define SETS_MAX 4096u /* streams with holes at once; beyond: the channel is given up */

static size_t align64(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static uint32_t set_count(const struct engine_config *cfg)
{
	return cfg->streams < SETS_MAX ? cfg->streams : SETS_MAX;
}

/* Room for the openers' places of some peers; what is not used costs no memory. */
static uint32_t opened_count(const struct engine_config *cfg)
{
	return cfg->streams < OPENED_MIN / 4 ? OPENED_MIN : cfg->streams * 4;
}

/* Room for a word of each that may have something to say; a power of two. */
static uint32_t carry_words(const struct engine_config *cfg)
{
	uint32_t workers = worker_count(cfg), words = 1;
	uint32_t most = NCD_CARRY_ORDERS * (workers + 1) + cfg->channels * (workers + 1) +
			NCD_PEERS_MAX * workers;

	while (words < most)
		words *= 2;
	return words;
}

size_t engine_bytes(const struct engine_config *cfg)
{
	return align64(sizeof(struct engine)) + align64(cfg->streams * sizeof(struct stream)) +
	       align64(cfg->streams * 2 * sizeof(struct stream *)) +
	       align64(opened_count(cfg) * sizeof(struct opened)) +
	       align64(cfg->channels * sizeof(struct channel)) +
	       align64(cfg->channels * client_count(cfg) * sizeof(struct share)) +
	       align64(cfg->listeners * sizeof(struct listener)) +
	       align64(set_count(cfg) * sizeof(struct interval_set)) +
	       align64(set_count(cfg) * sizeof(uint32_t)) +
	       align64(NCD_CARRY_ORDERS * worker_count(cfg) * sizeof(struct carry_order)) +
	       align64(cfg->channels * sizeof(struct carry_ask)) +
	       align64(cfg->channels * worker_count(cfg) * sizeof(struct carry_place)) +
	       align64(carry_words(cfg) * sizeof(uint32_t));
}

static void *carve(uint8_t **mem, size_t bytes)
{
	void *p = *mem;

	*mem += align64(bytes);
	return p;
}

struct engine *engine_create(void *mem, const struct engine_config *cfg,
			     const struct engine_ops *ops, void *ctx)
{
	uint8_t *at = mem;
	struct engine *e = carve(&at, sizeof(*e));
	uint32_t i;

	e->cfg = *cfg;
	e->rx_most = NCD_FRAME_PAYLOAD_MAX;
	e->ops = ops;
	e->ctx = ctx;
	e->stream = carve(&at, cfg->streams * sizeof(struct stream));
	e->ids.place = carve(&at, cfg->streams * 2 * sizeof(struct stream *));
	e->ids.mask = cfg->streams * 2 - 1;
	e->opened.at = carve(&at, opened_count(cfg) * sizeof(struct opened));
	e->opened.mask = opened_count(cfg) - 1;
	e->channel = carve(&at, cfg->channels * sizeof(struct channel));
	e->share = carve(&at, cfg->channels * client_count(cfg) * sizeof(struct share));
	e->listeners.at = carve(&at, cfg->listeners * sizeof(struct listener));
	e->listeners.capacity = cfg->listeners;
	e->sets = carve(&at, set_count(cfg) * sizeof(struct interval_set));
	e->set_free = carve(&at, set_count(cfg) * sizeof(uint32_t));
	for (i = 0; i < set_count(cfg); i++)
		e->set_free[e->set_free_nr++] = i;
	e->carry.order = carve(&at, NCD_CARRY_ORDERS * worker_count(cfg) *
				    sizeof(struct carry_order));
	e->carry.ask = carve(&at, cfg->channels * sizeof(struct carry_ask));
	e->carry.place = carve(&at, cfg->channels * worker_count(cfg) *
				    sizeof(struct carry_place));
	e->carry.out = carve(&at, carry_words(cfg) * sizeof(uint32_t));
	e->carry.out_mask = carry_words(cfg) - 1;
	e->elastic_due_ns = UINT64_MAX;
	for (i = 0; i < NCD_PEERS_MAX; i++)
		elastic_init(&e->peer[i].elastic, cfg->look_ns);
	port_pool_init(&e->ports, cfg->port_low, cfg->port_high, cfg->seed);
	engine_peer_set(e, 0, NULL, 0);
	return e;
}

void engine_leave(struct engine *e, uint64_t now_ns)
{
	uint32_t i;

	(void)now_ns;
	e->leaving = true;
	for (i = 0; i < e->channel_high; i++)
		e->channel[i].tx.goaway_due = e->channel[i].up && e->channel[i].peer != 0;
}

const struct engine_counters *engine_counters(const struct engine *e)
{
	return &e->counters;
}

uint32_t engine_streams_free(const struct engine *e)
{
	return e->cfg.streams - (uint32_t)e->counters.streams;
}
