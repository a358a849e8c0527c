/* SPDX-License-Identifier: MIT */
/*
 * worker_state.h - what a worker is made of, for the files that make it up: worker*.c, port*.c,
 * channel_io.c. Nobody else includes it.
 *
 * Ownership: all memory is allocated by worker_start; ports and links come with commands.
 * Threading: fields are grouped by the thread that writes them.
 */
#ifndef NCD_WORKER_STATE_H
#define NCD_WORKER_STATE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ncd/limits.h"
#include "ncd/ring.h"

#include "carriers.h"
#include "carrying.h"
#include "core/engine.h"
#include "idle.h"
#include "io.h"
#include "slice.h"
#include "worker.h"
#include "worker_cmd.h"

struct channel_io;
struct flow;
struct joint;
struct moved;

#define COMMANDS_MAX   1024u /* in the queue; more wait in control */
#define STATS_EVERY_NS 100000000ull
#define TAKES_MAX      64u   /* at once waiting; more are refused with EAGAIN */

/* Control's half of the two queues and the worker's: worker_door.c. */
struct door {
	/* set at create, then const */
	int cmd_fd;   /* eventfd: control wakes the worker */
	int event_fd; /* eventfd: the worker wakes control; control's own */
	struct worker_event *event; /* ring of event_max */
	uint32_t event_max;
	void *cmd_mem, *event_mem;
	/* control only */
	struct ring cmd_in, event_out;
	struct worker_cmd *waiting_head, *waiting_tail;
	/* worker only */
	struct ring cmd_out, event_in;
	bool event_written; /* since control was last woken */
	/* both */
	alignas(NCD_CACHE_LINE) _Atomic uint32_t need_wakeup;
};

struct worker {
	/* set at create, then const */
	struct worker_config cfg;
	int node;
	pthread_t thread;
	struct engine *engine;
	void *engine_mem;
	size_t engine_mem_bytes;
	const char *why_not_uring;

	struct door door;

	/* worker only */
	pthread_t self;
	struct io *io;
	int io_error;
	uint64_t now_ns;
	struct io_watch cmd_watch;
	struct idle idle;
	uint32_t words; /* of applications since it last slept */
	struct channel_io *chan; /* cfg.engine.channels */
	uint8_t *chan_buf;
	size_t chan_buf_bytes;
	struct channel_io *chan_free;
	struct channel_io *active[IO_RANKS]; /* by rank */
	struct channel_io *send_first[IO_RANKS]; /* where sending goes on; NULL: at the head */
	struct channel *loop[IO_RANKS];      /* the host itself */
	void *loop_buf;
	struct flow *flow; /* by stream_index() */
	size_t flow_bytes;
	struct port *ports;    /* all, by port.next */
	uint16_t numbers[NCD_CLIENTS_MAX]; /* ports that have each port.number */
	struct port *active_ports; /* polled, by port.active_next */
	struct port *dirty_ports;  /* wakes are due, by port.dirty_next */
	struct flow *reclaim;  /* finished, rings perhaps still lent */
	struct flow *retire;   /* with old rings, perhaps still lent */
	struct flow *passing, **passing_end; /* on the way to another accept queue */
	struct flow *held, **held_end;     /* until somebody listens there */
	struct listener *offers, **offers_end; /* given streams because they waited */
	uint64_t arrivals;                     /* streams that were put in accept queues */
	uint64_t served;       /* streams given to groups */
	uint64_t groups;       /* made so far */
	struct flow *touched;  /* statistics to be written */
	struct flow *warm, *warm_last; /* rings with pages to give back, by warm_ns */
	uint64_t warm_ns;      /* when the first of them is looked at; UINT64_MAX: none */
	struct moved *moved;   /* cfg.engine.streams of them: those from moved_high on are new */
	size_t moved_bytes;
	uint32_t moved_high;
	struct moved *moved_free;
	struct worker_event *later; /* that found no room in the door: [later_head, later_tail) */
	size_t later_bytes;
	uint32_t later_head, later_tail, later_max; /* the latter a power of two */
	struct joint *joints_over; /* nobody uses them any more */
	struct moved *left;    /* slot closed, rings perhaps still lent */
	struct worker_cmd *takes, **takes_end; /* that wait for memory, or for a transport */
	uint32_t takes_nr;
	uint32_t removed_ports;
	uint32_t pending_ports; /* with completions that found no room */
	uint32_t bulk_ports;     /* that moved bulk in the last period */
	uint32_t bulk_ports_new; /* that began in this one */
	uint32_t bulk_period;    /* its number, from 1 on */
	uint64_t bulk_ns;        /* its beginning */
	struct io_watch carry_watch;
	struct ring carry_in[NCD_WORKERS_MAX], carry_out[NCD_WORKERS_MAX]; /* by worker */
	uint64_t carry_rings;    /* workers (bits) that have messages, and may sleep */
	uint32_t carry_next;     /* that was last thought of */
	uint64_t latency_ns;   /* when a latency channel last had what an application waits for */
	uint64_t throughput_ns; /* when a throughput channel last had bulk */
	struct slice slice;
	uint64_t sweep_ns;     /* of the last statistics */
	uint64_t ports_ns;     /* of the last look for idle ports */
	uint64_t trim_ns;      /* when idle ring memory is given back; UINT64_MAX: none is */
	uint32_t peer_high;    /* peers ever named: [0, peer_high) */
	uint64_t rtt_ns[NCD_PEERS_MAX];
	uint64_t busy_turns, sleeps, wakes_sent, wakes_got, spin_ns, region_errors, no_memory;
	uint64_t streams_came, streams_went, moves_refused;

	/* worker writes, others read */
	alignas(NCD_CACHE_LINE) _Atomic uint64_t turns;
	_Atomic uint64_t asleep_ns; /* since then; 0: awake */
	_Atomic uint64_t idle_ns;   /* asleep, until it woke, or spinning */
	/* control writes */
	_Atomic bool stop;
	/* start-up, under the mutex */
	pthread_mutex_t mutex;
	pthread_cond_t started;
	bool up;
};

/* Everything below runs on the worker's thread only. */
static inline void assert_on_worker(const struct worker *w)
{
	assert(pthread_equal(w->self, pthread_self()));
}

/* worker_door.c */
int door_create(struct door *d, uint32_t event_max, int event_fd);
void door_destroy(struct door *d);
struct worker_cmd *door_take(struct door *d);
bool door_has_room(const struct door *d);
void door_event(struct door *d, const struct worker_event *ev);
void door_flush(struct door *d);
bool door_empty(const struct door *d);

/* worker_command.c */
uint32_t worker_commands(struct worker *w);
/* Peers that said GOAWAY, or need another channel, are told to control, once; and what waited. */
void worker_peers_news(struct worker *w);
/* An event of a stream: up to LATER_EACH for each may wait for room. */
#define LATER_EACH 4u
void worker_say(struct worker *w, const struct worker_event *ev);

/* worker_idle.c */
/* Nothing to do: spins a little, or sleeps. */
void worker_idle(struct worker *w);
/* Something was done again. */
void worker_busy(struct worker *w);

/* worker_stats.c */
void worker_sweep(struct worker *w);
void flow_stats_open(struct worker *w, struct flow *f);
void flow_stats_close(struct worker *w, struct flow *f);

#endif /* NCD_WORKER_STATE_H */
