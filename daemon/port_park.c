/* SPDX-License-Identifier: MIT */
/*
 * port_park.c - what is to be opened, or has come, and finds no memory waits in its order until
 * control has sent a segment or refused.
 */
#include <errno.h>

#include "port_calls.h"

void port_park_slot(struct port *p, uint32_t slot)
{
	struct slot *sl = &p->slot[slot];

	sl->use = SLOT_USE_PARKED;
	sl->next = SLOT_NONE;
	if (p->parked_tail != SLOT_NONE)
		p->slot[p->parked_tail].next = slot;
	else
		p->parked_head = slot;
	p->parked_tail = slot;
}

void port_park_flow(struct port *p, struct flow *f)
{
	f->flags |= FLOW_PARKED;
	f->parked_next = NULL;
	if (p->parked_flows)
		p->parked_flows_tail->parked_next = f;
	else
		p->parked_flows = f;
	p->parked_flows_tail = f;
	p->listener[f->listener].parked++;
}

/* False: still no memory; it stays first in the list. */
static bool unpark_flow(struct worker *w, struct port *p, bool denied)
{
	struct flow *f = p->parked_flows;
	struct stream *s = f->stream;
	int ret;

	p->listener[f->listener].parked--;
	ret = flow_admit(w, f, denied);
	if (ret == -EAGAIN) {
		p->listener[f->listener].parked++;
		return false;
	}
	p->parked_flows = f->parked_next;
	f->flags &= ~FLOW_PARKED;
	if (ret == 0) {
		engine_stream_admit(w->engine, s, w->now_ns);
		return true;
	}
	flow_forget(p, f);
	engine_stream_set_user(s, NULL);
	engine_stream_refuse(w->engine, s, w->now_ns);
	return true;
}

static bool unpark_slot(struct worker *w, struct port *p, bool denied)
{
	uint32_t slot = p->parked_head;
	int ret = port_open_slot(w, p, slot, denied);

	if (ret == -EAGAIN)
		return false;
	port_unpark_slot(p, slot);
	if (ret < 0)
		port_open_failed(w, p, slot, ret);
	return true;
}

void port_unpark(struct worker *w, struct port *p, bool denied)
{
	while (p->parked_head != SLOT_NONE)
		if (!unpark_slot(w, p, denied))
			return;
	while (p->parked_flows)
		if (!unpark_flow(w, p, denied))
			return;
}

void port_unpark_slot(struct port *p, uint32_t slot)
{
	uint32_t prev = SLOT_NONE;

	for (uint32_t i = p->parked_head; i != slot; i = p->slot[i].next)
		prev = i;
	if (prev != SLOT_NONE)
		p->slot[prev].next = p->slot[slot].next;
	else
		p->parked_head = p->slot[slot].next;
	if (p->parked_tail == slot)
		p->parked_tail = prev;
	if (p->slot[slot].use == SLOT_USE_PARKED)
		p->slot[slot].use = SLOT_USE_FREE;
}

void port_unpark_flow(struct port *p, struct flow *f)
{
	struct flow *prev = NULL;

	for (struct flow *i = p->parked_flows; i != f; i = i->parked_next)
		prev = i;
	if (prev)
		prev->parked_next = f->parked_next;
	else
		p->parked_flows = f->parked_next;
	if (p->parked_flows_tail == f)
		p->parked_flows_tail = prev;
	f->flags &= ~FLOW_PARKED;
	p->listener[f->listener].parked--;
}
