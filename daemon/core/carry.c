/* SPDX-License-Identifier: MIT */
/*
 * carry.c - what engines of one host say to each other (carry.h): a queue in which everything that
 * may have something to say has room for it, so that a slow worker costs waiting and no memory.
 */
#include "engine_state.h"

#define INDEX_BITS 24

void carry_say(struct engine *e, enum carry_what what, uint32_t index)
{
	struct carry *k = &e->carry;

	k->out[k->out_tail++ & k->out_mask] = (uint32_t)what << INDEX_BITS | index;
}

static void msg_of(const struct engine *e, uint32_t token, struct carry_msg *ret_msg)
{
	uint32_t index = token & ((1u << INDEX_BITS) - 1);
	const struct carry *k = &e->carry;

	switch ((enum carry_what)(token >> INDEX_BITS)) {
	case CARRY_OF_GIVE:
		*ret_msg = k->give[index].msg;
		break;
	case CARRY_OF_ORDER:
		*ret_msg = k->order[index].msg;
		break;
	case CARRY_OF_ASK:
		*ret_msg = k->ask[index].msg;
		break;
	case CARRY_OF_PLACE:
		*ret_msg = k->place[index].msg;
		break;
	case CARRY_OF_PEER:
		*ret_msg = (struct carry_msg){ .type = CARRY_LOST,
					       .to = (uint16_t)(index % NCD_WORKERS_MAX),
					       .peer = index / NCD_WORKERS_MAX };
		break;
	}
	ret_msg->from = (uint16_t)e->cfg.worker;
}

bool engine_carry_peek(const struct engine *e, struct carry_msg *ret_msg)
{
	const struct carry *k = &e->carry;

	if (k->out_head == k->out_tail)
		return false;
	msg_of(e, k->out[k->out_head & k->out_mask], ret_msg);
	return true;
}

void engine_carry_pop(struct engine *e)
{
	struct carry *k = &e->carry;
	uint32_t token = k->out[k->out_head++ & k->out_mask];
	uint32_t index = token & ((1u << INDEX_BITS) - 1);

	switch ((enum carry_what)(token >> INDEX_BITS)) {
	case CARRY_OF_ORDER:
		k->order[index].msg.type = 0;
		break;
	case CARRY_OF_ASK:
		if (k->ask[index].state == ASK_OVER)
			carry_ask_over(e, &k->ask[index]);
		break;
	case CARRY_OF_PEER:
		carry_lost_said(e, index);
		break;
	case CARRY_OF_PLACE:
		if (k->place[index].msg.type != CARRY_PLACE)
			k->place[index].msg.type = 0;
		break;
	case CARRY_OF_GIVE:
		break;
	}
}

int engine_carry_take(struct engine *e, const struct carry_msg *m, uint64_t now_ns,
		      struct channel **ret_channel)
{
	*ret_channel = NULL;
	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	switch ((enum carry_type)m->type) {
	case CARRY_ORDER:
		carry_order_take(e, m);
		return 0;
	case CARRY_SENT:
	case CARRY_BACK:
		carry_answer_take(e, m);
		return 0;
	case CARRY_LOST:
		carry_lost_take(e, m);
		return 0;
	case CARRY_ASK:
		carry_ask_take(e, m);
		return 0;
	case CARRY_PLACE:
	case CARRY_DROP:
	case CARRY_BAD:
		return carry_place_take(e, m, ret_channel);
	case CARRY_PLACED:
	case CARRY_FAILED:
		carry_placed_take(e, m);
		return 0;
	}
	return 0;
}
