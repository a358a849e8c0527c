/* SPDX-License-Identifier: MIT */
/*
 * worker_stats.c - writes the worker's entries of the counter page (ncd/stats_abi.h).
 *
 * Every now and then, and before a sleep, never per message: the streams touched since the last
 * time are walked, a bounded number a turn. Those whose rings have got pages are noted by the way,
 * and those that move bulk counted.
 */
#include <string.h>

#include "channel_io.h"
#include "port_calls.h"
#include "worker_state.h"

#define FLOWS_A_SWEEP 512

static void store(counter64 *at, uint64_t value)
{
	/* Relaxed: readers expect each counter for itself. */
	atomic_store_explicit(at, value, memory_order_relaxed);
}

static void sweep_worker(struct worker *w)
{
	const struct engine_counters *n = engine_counters(w->engine);
	struct stats_worker *s = w->cfg.stats;

	/* Relaxed: our own word. */
	store(&s->turns, atomic_load_explicit(&w->turns, memory_order_relaxed));
	store(&s->busy_turns, w->busy_turns);
	store(&s->sleeps, w->sleeps);
	store(&s->wakes_sent, w->wakes_sent);
	store(&s->wakes_got, w->wakes_got);
	store(&s->spin_ns, w->spin_ns);
	store(&s->streams, n->streams);
	store(&s->streams_opened, n->opened);
	store(&s->streams_accepted, n->accepted);
	store(&s->streams_refused, n->refused);
	store(&s->streams_reset, n->reset);
	store(&s->bytes_sent, n->bytes_sent);
	store(&s->bytes_received, n->bytes_received);
	store(&s->frames_sent, n->frames_sent);
	store(&s->frames_received, n->frames_received);
	store(&s->retransmits, n->retransmits);
	store(&s->duplicates, n->duplicate_bytes);
	store(&s->frame_errors, n->frame_errors);
	store(&s->region_errors, w->region_errors);
	store(&s->no_memory, w->no_memory);
	store(&s->streams_came, w->streams_came);
	store(&s->streams_went, w->streams_went);
	store(&s->moves_refused, w->moves_refused);
	store(&s->io_calls, io_calls(w->io));
}

static struct stats_socket *flow_entry(const struct worker *w, const struct flow *f)
{
	return w->cfg.stats_socket ? &w->cfg.stats_socket[f - w->flow] : NULL;
}

static uint8_t flow_state(const struct flow *f, const struct stream_info *i)
{
	if (f->flags & FLOW_RELEASED)
		return STATS_S_CLOSING;
	if (!i->connected)
		return STATS_S_OPENING;
	if (i->rx_ended)
		return STATS_S_CLOSE_WAIT;
	return f->flags & FLOW_SHUTDOWN ? STATS_S_FIN_WAIT : STATS_S_ESTABLISHED;
}

static void flow_write(struct worker *w, struct flow *f)
{
	struct stats_socket *s = flow_entry(w, f);
	struct stream_info i;

	engine_stream_info(f->stream, &i);
	if (f->shm)
		/* Relaxed: a number to look at. */
		atomic_store_explicit(&f->shm->srtt_ns, w->rtt_ns[i.peer], memory_order_relaxed);
	if (!s)
		return;
	s->state = flow_state(f, &i);
	s->class_ = (uint8_t)i.class;
	store(&s->recv_q, i.rx_contiguous - i.rx_consumed);
	store(&s->send_q, i.tx_published - i.tx_acked);
	store(&s->bytes_sent, i.tx_published);
	store(&s->bytes_received, i.rx_contiguous);
}

void worker_sweep(struct worker *w)
{
	w->sweep_ns = w->now_ns;
	channel_io_stats(w);
	if (w->cfg.stats)
		sweep_worker(w);
	for (uint32_t nr = 0; w->touched && nr < FLOWS_A_SWEEP; nr++) {
		struct flow *f = w->touched;

		w->touched = f->touched_next;
		f->flags &= ~FLOW_TOUCHED;
		if (!f->stream)
			continue; /* it ended meanwhile */
		flow_write(w, f);
		flow_warm(w, f);
		flow_bulk_count(w, f);
	}
	if (w->touched) /* the rest a millisecond later */
		w->sweep_ns -= STATS_EVERY_NS - 1000000;
	else
		bulk_counted(w);
}

void flow_stats_open(struct worker *w, struct flow *f)
{
	struct stats_socket *s = flow_entry(w, f);
	struct stream_info i;
	uint32_t seq;

	if (!s)
		return;
	engine_stream_info(f->stream, &i);
	/* Relaxed: our own word. */
	seq = atomic_load_explicit(&s->seq, memory_order_relaxed) | 1;
	/* Relaxed, odd: being rewritten; a reader that misses it shows one wrong line, once. */
	atomic_store_explicit(&s->seq, seq, memory_order_relaxed);
	s->client_pid = f->port->cfg.pid;
	s->path = i.peer == 0 ? 2 : 1;
	memcpy(s->local_addr, i.local.byte, sizeof(s->local_addr));
	memcpy(s->peer_addr, i.remote.byte, sizeof(s->peer_addr));
	s->local_port = i.local_port;
	s->peer_port = i.remote_port;
	s->worker = (uint16_t)w->cfg.index;
	flow_write(w, f);
	/* SEQ, writer end: what is above is complete. */
	atomic_store_explicit(&s->seq, seq + 1, memory_order_release);
	atomic_store_explicit(&s->use, STATS_USED, memory_order_release);
}

void flow_stats_close(struct worker *w, struct flow *f)
{
	struct stats_socket *s = flow_entry(w, f);

	if (s)
		/* SEQ, writer end. */
		atomic_store_explicit(&s->use, STATS_FREE, memory_order_release);
}
