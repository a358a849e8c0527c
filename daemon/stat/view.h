/* SPDX-License-Identifier: MIT */
/*
 * view.h - what is shown of a sample, or of the difference of two.
 *
 * Ownership: a view borrows its samples.
 * Threading: one thread.
 */
#ifndef NCD_STAT_VIEW_H
#define NCD_STAT_VIEW_H

#include <stdbool.h>
#include <stdio.h>

#include "sample.h"

enum view_kind {
	VIEW_SUMMARY,
	VIEW_WORKERS,
	VIEW_CHANNELS,
	VIEW_SOCKETS,
	VIEW_CLIENTS,
	VIEW_ERRORS,
};

struct view {
	enum view_kind kind;
	bool listening, all; /* sockets: which */
	const struct sample *now;
	const struct sample *before; /* NULL: totals; else what happened since, per second */
	FILE *out;
};

/* Returns 0 or -ENOMEM. */
int view_text(const struct view *v);
int view_json(const struct view *v);

/* The three pieces of view_text. */
void view_summary(const struct view *v);
int view_table(const struct view *v);
int view_errors(const struct view *v);

/* Per-second rate of a counter that was @before and is @now; the total if the view has no interval.
 */
uint64_t view_rate(const struct view *v, const counter64 *before, const counter64 *now);
/* Sums one field of stats_worker over all workers, as a rate in an interval view. */
uint64_t view_workers_sum(const struct view *v, size_t offset);
/* The same of stats_copy, over all copy workers. */
uint64_t view_copy_sum(const struct view *v, size_t offset);
double view_seconds(const struct view *v);

/* The same entry in the sample before, or NULL: new since. */
const struct stats_channel *view_channel_before(const struct view *v,
						const struct channel_row *row);
const struct stats_socket *view_socket_before(const struct view *v, const struct socket_row *row);

/* The channels of one class to one peer, all lanes together. */
struct channels_of {
	const char *peer;
	uint8_t class_;
	uint32_t up, draining;
	uint32_t lanes;           /* that are known: there may be more on their way */
	uint32_t configured, max; /* here; the peer may have its own numbers */
};
/* The next one from *at on (0 at first), which moves behind it. False: none is left. */
bool view_channels_of(const struct view *v, uint32_t *at, struct channels_of *ret);

/* True if @row is wanted under -l and -a. */
bool view_wants_socket(const struct view *v, const struct stats_socket *s);
/* "LISTEN" and so on, as ss(8) where it has the word. */
const char *view_socket_state(const struct stats_socket *s);
const char *view_class(uint8_t class_);
/* @channel, "host", "kernel", or "-" of a listener. */
const char *view_path(const struct stats_socket *s, const char *channel);
/* Why kernel TCP carries it; "" if ncd does. */
const char *view_why(const struct stats_socket *s);
/* The same in one word. */
const char *view_why_word(const struct stats_socket *s);
/* How many listen, are connected, are left to kernel TCP: each socket is one of them. */
struct socket_count {
	uint32_t listening, connected, left;
};
struct socket_count view_count(const struct view *v);
/* "127.0.0.1:80", "[::1]:80", "*:80". */
#define VIEW_ADDRESS_BYTES 56
const char *view_address(const uint8_t addr[16], uint16_t port, char buf[VIEW_ADDRESS_BYTES]);
/* One word for the daemon's health. */
const char *view_health(enum health h);

#endif /* NCD_STAT_VIEW_H */
