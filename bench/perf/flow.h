/* SPDX-License-Identifier: MIT */
/*
 * flow.h - one connection with its position in both directions. The four roles (sender and receiver
 * of a stream, client and server of round trips) are the same machine with different rules for how
 * far it may send:
 *
 *            tx_off --> tx_target            sender          for ever, until the end of the run
 *   bytes  ----------------------------      client          (answers + depth) * size
 *            rx_off                          server          whole messages received * size
 *
 * A turn moves bytes until the transport has no more, or for a bounded number of views, so that
 * no flow starves the others of its thread.
 *
 * Ownership: of a loop; the connection is the flow's. Threading: its loop's thread.
 */
#ifndef PERF_FLOW_H
#define PERF_FLOW_H

#include <sys/queue.h>

#include "pattern.h"
#include "via.h"

#define FLOW_TURN_VIEWS 16

struct loop;

enum flow_turn {
	FLOW_WAIT, /* an event will come */
	FLOW_MORE, /* stopped by its own bound: call again */
	FLOW_DONE,
};

struct flow {
	struct conn conn;
	struct pattern tx_pattern;
	struct pattern rx_pattern;
	uint64_t tx_off;
	uint64_t tx_target;
	uint64_t rx_off;
	uint64_t answered;  /* client: messages */
	uint64_t *asked_ns; /* client: when the outstanding messages were sent, depth of them */
	TAILQ_ENTRY(flow) hot_link;
	bool hot;
	bool done;
};

TAILQ_HEAD(flow_list, flow);

/* Returns enum flow_turn, or -errno. Blocking connections: at most one blocking receive. */
int flow_turn_stream_tx(struct loop *l, struct flow *f);
int flow_turn_stream_rx(struct loop *l, struct flow *f);
int flow_turn_rpc_client(struct loop *l, struct flow *f);
int flow_turn_rpc_server(struct loop *l, struct flow *f);

#endif /* PERF_FLOW_H */
