/* SPDX-License-Identifier: MIT */
/*
 * spy.c - reads every frame as it enters a pipe: no byte beyond the credit that has been given, no
 * acknowledgement of a byte that has not arrived, no FIN that the application has not asked for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

static struct id_map_entry *id_entry(struct sim *s, uint32_t node, uint64_t id)
{
	uint64_t i = mix64(id ^ (uint64_t)node << 56) % ID_MAP_SIZE;

	while (s->id_map[i].id != 0 && (s->id_map[i].id != id || s->id_map[i].node != node))
		i = (i + 1) % ID_MAP_SIZE;
	return &s->id_map[i];
}

static void name_side(struct sim *s, uint32_t node, uint64_t id, uint32_t flow, uint32_t side)
{
	struct id_map_entry *e = id_entry(s, node, id);

	s->ids += e->id == 0;
	*e = (struct id_map_entry){ .id = id, .node = node, .flow = flow, .side = side };
}

static void give_credit(struct side *to, const struct frame *f)
{
	if (f->ack + f->window > to->credit)
		to->credit = f->ack + f->window;
}

/* What a frame from @from may acknowledge. */
static void check_ack(struct sim *s, uint32_t flow, uint32_t from, const struct frame *f)
{
	const struct side *sd = &s->flow[flow].side[from];
	const struct side *other = &s->flow[flow].side[!from];
	uint64_t most = sd->seen;

	if (sd->stream && stream_rx_contiguous(sd->stream) > most)
		most = stream_rx_contiguous(sd->stream);
	if (sd->closed || !sd->stream)
		most = other->written;
	if (f->ack > most + (other->shut && most == other->written))
		sim_fail(s, "flow %u side %u acknowledges %" PRIu64 ", has %" PRIu64, flow, from,
			 f->ack, most);
}

static void spy_open(struct sim *s, uint32_t node, const struct frame *f, const uint8_t *payload)
{
	struct open_info info;

	if (open_decode(payload, &info) < 0)
		sim_fail(s, "node %u sends an OPEN that does not decode", node);
	for (uint32_t i = s->flows; i-- > 0;) {
		struct flow *flow = &s->flow[i];

		if (flow->side[0].node != node || flow->port != info.source_port)
			continue;
		name_side(s, node, info.stream, i, 0);
		sim_log(s, "    it is flow %u, id %" PRIx64, i, info.stream);
		give_credit(&flow->side[1], f);
		return;
	}
	sim_fail(s, "node %u opens from port %u: no application asked for it", node,
		 info.source_port);
}

static void spy_data(struct sim *s, uint32_t flow, uint32_t from, const struct frame *f)
{
	const struct side *sd = &s->flow[flow].side[from];
	uint64_t end = f->offset + f->length;
	bool fin = f->type == FRAME_FIN || (f->flags & FRAME_F_FIN);

	if (end > sd->credit && f->length > 0)
		sim_fail(s, "flow %u side %u sends to %" PRIu64 ", its credit is %" PRIu64, flow,
			 from, end, sd->credit);
	if (end > sd->written)
		sim_fail(s, "flow %u side %u sends to %" PRIu64 ", published are %" PRIu64, flow,
			 from, end, sd->written);
	if (fin && (!sd->shut || end != sd->written))
		sim_fail(s, "flow %u side %u sends FIN at %" PRIu64 " of %" PRIu64
			 ", shut down %d", flow, from, end, sd->written, sd->shut);
}

static void log_frame(struct sim *s, const struct conn *c, uint32_t end, const struct frame *f)
{
	static const char *const name[FRAME_TYPE_END] = {
		[FRAME_OPEN] = "OPEN", [FRAME_ACCEPT] = "ACCEPT", [FRAME_REFUSE] = "REFUSE",
		[FRAME_DATA] = "DATA", [FRAME_CREDIT] = "CREDIT", [FRAME_FIN] = "FIN",
		[FRAME_RESET] = "RESET", [FRAME_RESET_ACK] = "RESET_ACK", [FRAME_PING] = "PING",
		[FRAME_PONG] = "PONG", [FRAME_GOAWAY] = "GOAWAY", [FRAME_DRAIN] = "DRAIN",
		[FRAME_CARRIED] = "CARRIED", [FRAME_RESUME] = "RESUME",
	};
	/* A RESET of an unknown stream names it as the other side does. */
	uint64_t id = f->stream ? f->stream : f->offset;
	const struct id_map_entry *e = id_entry(s, c->end[f->stream ? !end : end].node, id);
	char who[40] = "";

	if (e->id != 0 && id != 0)
		snprintf(who, sizeof(who), " flow %u side %u", e->flow, e->side);
	sim_log(s, "  node %u > %u conn %u: %s%s flags %u length %u id %" PRIx64 " offset %" PRIu64
		" ack %" PRIu64 " window %u", c->end[end].node, c->end[!end].node,
		(uint32_t)(c - s->conn), name[f->type], who, f->flags, f->length, f->stream,
		f->offset, f->ack, f->window);
}

static void spy_frame(struct sim *s, struct conn *c, uint32_t end, const struct spy *spy)
{
	const struct frame *f = &spy->frame;
	uint32_t from = c->end[end].node, to = c->end[!end].node;
	const struct id_map_entry *entry;

	s->totals.frames++;
	if (s->verbose)
		log_frame(s, c, end, f);
	if (f->type == FRAME_OPEN) {
		spy_open(s, from, f, spy->payload);
		return;
	}
	if (f->stream == 0)
		return;
	if (f->type == FRAME_CARRIED || f->type == FRAME_RESUME)
		to = lane_node(s, s->node[to].host, f->window);
	entry = id_entry(s, to, f->stream);
	if (entry->id == 0)
		return;
	switch (f->type) {
	case FRAME_RESUME:
		name_side(s, from, wire_get64(spy->payload), entry->flow, !entry->side);
		return;
	case FRAME_ACCEPT:
		name_side(s, from, wire_get64(spy->payload), entry->flow, !entry->side);
		break;
	case FRAME_DATA:
	case FRAME_FIN:
		spy_data(s, entry->flow, !entry->side, f);
		break;
	case FRAME_CARRIED:
		spy_data(s, entry->flow, !entry->side, f);
		return;
	case FRAME_CREDIT:
		break;
	default:
		return;
	}
	check_ack(s, entry->flow, !entry->side, f);
	give_credit(&s->flow[entry->flow].side[entry->side], f);
}

/* What must be seen of a payload: the ids. All else counts as soon as its header is there. */
static size_t wanted_payload(const struct frame *f)
{
	if (f->type == FRAME_OPEN)
		return WIRE_OPEN_BYTES;
	return f->type == FRAME_ACCEPT || f->type == FRAME_RESUME ? 8 : 0;
}

static void spy_feed(struct sim *s, struct conn *c, uint32_t end, const uint8_t *at, size_t bytes)
{
	struct spy *spy = &c->spy[end];

	while (bytes > 0) {
		size_t n;

		if (spy->header_bytes < WIRE_HEADER_BYTES) {
			n = WIRE_HEADER_BYTES - spy->header_bytes;
			n = n < bytes ? n : bytes;
			memcpy(spy->header + spy->header_bytes, at, n);
			spy->header_bytes += n;
			at += n;
			bytes -= n;
			if (spy->header_bytes < WIRE_HEADER_BYTES)
				return;
			if (frame_decode(spy->header, &spy->frame) < 0)
				sim_fail(s, "node %u sends a frame that does not decode",
					 c->end[end].node);
			spy->payload_bytes = 0;
			if (wanted_payload(&spy->frame) == 0)
				spy_frame(s, c, end, spy);
			if (spy->frame.length == 0)
				spy->header_bytes = 0;
			continue;
		}
		n = spy->frame.length - spy->payload_bytes;
		n = n < bytes ? n : bytes;
		if (spy->payload_bytes < wanted_payload(&spy->frame)) {
			size_t keep = wanted_payload(&spy->frame) - spy->payload_bytes;

			keep = keep < n ? keep : n;
			memcpy(spy->payload + spy->payload_bytes, at, keep);
			if (spy->payload_bytes + keep == wanted_payload(&spy->frame))
				spy_frame(s, c, end, spy);
		}
		spy->payload_bytes += n;
		at += n;
		bytes -= n;
		if (spy->payload_bytes == spy->frame.length)
			spy->header_bytes = 0;
	}
}

void spy_sent(struct sim *s, struct conn *c, uint32_t end, const struct iovec *iov, int iov_nr,
	      size_t bytes)
{
	for (int i = 0; i < iov_nr && bytes > 0; i++) {
		size_t n = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;

		spy_feed(s, c, end, iov[i].iov_base, n);
		bytes -= n;
	}
}
