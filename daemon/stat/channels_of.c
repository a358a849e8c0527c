/* SPDX-License-Identifier: MIT */
/*
 * channels_of.c - how many channels of a class there are to a peer, and how many there may be.
 */
#include <string.h>

#include "ncd/limits.h"

#include "view.h"

static bool same(const struct stats_channel *a, const struct stats_channel *b)
{
	return a->class_ == b->class_ && strcmp(a->peer, b->peer) == 0;
}

/* True if a row before @at is of the same peer and class: it has been counted there. */
static bool counted(const struct view *v, uint32_t at)
{
	for (uint32_t i = 0; i < at; i++)
		if (same(&v->now->channel[i].entry, &v->now->channel[at].entry))
			return true;
	return false;
}

/* As ncd takes [channels] max: what the latency class leaves of it is the other's. */
static uint32_t lane_max(const struct stats_head *h, uint8_t class_)
{
	uint32_t most = h->lane_max > h->lane_latency ? h->lane_max - h->lane_latency : 0;

	if (class_ == 1)
		return h->lane_latency;
	return most < NCD_LANE_CHANNELS_MAX ? most : NCD_LANE_CHANNELS_MAX;
}

bool view_channels_of(const struct view *v, uint32_t *at, struct channels_of *ret)
{
	const struct stats_head *h = &v->now->head;
	const struct stats_channel *first;
	struct channels_of of = { .lanes = 1 };

	while (*at < v->now->channels && counted(v, *at))
		++*at;
	if (*at == v->now->channels)
		return false;
	first = &v->now->channel[*at].entry;
	of.peer = first->peer;
	of.class_ = first->class_;
	for (uint32_t i = 0; i < v->now->channels; i++) {
		const struct stats_channel *c = &v->now->channel[i].entry;

		/* Lanes are the same for both classes. */
		if (strcmp(c->peer, of.peer) == 0 && c->lane >= of.lanes)
			of.lanes = c->lane + 1u;
		if (!same(c, first))
			continue;
		if (counter(&c->draining))
			of.draining++;
		else
			of.up++;
	}
	of.configured = of.lanes * (of.class_ == 1 ? h->lane_latency : h->lane_throughput);
	of.max = of.lanes * lane_max(h, of.class_);
	++*at;
	*ret = of;
	return true;
}
