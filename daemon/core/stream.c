/* SPDX-License-Identifier: MIT */
/*
 * stream.c - the arithmetic of one stream: acknowledgement, credit, rewinding, class.
 */
#include <errno.h>

#include "stream.h"

/*
 * So much in flight is bulk; less than the lower for some publishes in a row is not.
 */
#define BACKLOG_THROUGHPUT (32u << 10)
#define BACKLOG_LATENCY    (16u << 10)
#define LATENCY_TURNS      16

static void switches_move(struct stream *s)
{
	s->switches_old = s->switches;
	s->switches = 0;
	s->switch_mark = s->tx_next;
}

void stream_switched(struct stream *s)
{
	if (s->switches < UINT8_MAX)
		s->switches++;
}

int stream_acked(struct stream *s, uint64_t ack, uint32_t window)
{
	uint64_t limit = ack + window;
	int moved = 0;

	if (limit < ack)
		return -EPROTO;
	if (s->shutdown && ack == s->tx_tail + 1) {
		if (!s->fin_said)
			return -EPROTO;
		ack--;
		if (!s->fin_acked) {
			s->fin_acked = true;
			s->fin_sent = true;
			moved = 1;
		}
	}
	if (ack > s->tx_sent)
		return -EPROTO;
	if (ack > s->tx_acked) {
		s->tx_acked = ack;
		if (s->tx_next < ack)
			s->tx_next = ack;
		if (ack >= s->carry_end)
			s->carriers = 0;
		moved = 1;
	}
	if (s->tx_acked == s->tx_next)
		s->switches = s->switches_old = 0;
	else if (s->tx_acked >= s->switch_mark)
		switches_move(s);
	if (limit > s->tx_limit) {
		s->tx_limit = limit;
		moved = 1;
	}
	return moved;
}

int stream_check_data(const struct stream *s, uint64_t offset, uint32_t length, bool fin)
{
	uint64_t end = offset + length;

	if (end < offset || end > s->rx_limit)
		return -EPROTO;
	if (s->rx_final != NO_OFFSET && (end > s->rx_final || (fin && end != s->rx_final)))
		return -EPROTO;
	if (fin && end < s->rx_next)
		return -EPROTO;
	return 0;
}

bool stream_rewind(struct stream *s)
{
	bool again = s->tx_next != s->tx_acked;

	s->tx_next = s->tx_acked;
	s->fin_sent = s->fin_acked;
	s->switches = s->switches_old = 0;
	s->switch_mark = s->tx_acked;
	s->last = NULL;
	if (s->rx_told > 0 || s->rx_end_told || s->rx_limit > 0)
		s->want |= WANT_CREDIT;
	if ((s->state == STREAM_OPENING || s->state == STREAM_RESUMING) && s->remote_id == 0 &&
	    !s->defer)
		s->want |= WANT_OPEN;
	if ((s->state == STREAM_ESTABLISHED || s->state == STREAM_ARRIVED) && !s->opener &&
	    !s->confirmed)
		s->want |= WANT_ACCEPT;
	if (s->state == STREAM_RESETTING && s->remote_id != 0)
		s->want |= WANT_RESET;
	return again;
}

void stream_classify(struct stream *s)
{
	uint64_t in_flight = s->tx_tail - s->tx_acked;

	if (s->class_set != CLASS_AUTO) {
		s->class = s->class_set;
	} else if (in_flight >= BACKLOG_THROUGHPUT) {
		s->class = CLASS_THROUGHPUT;
		s->small_turns = 0;
	} else if (s->class == CLASS_THROUGHPUT && in_flight < BACKLOG_LATENCY &&
		   ++s->small_turns >= LATENCY_TURNS) {
		s->class = CLASS_LATENCY;
		s->small_turns = 0;
	}
}
