/* SPDX-License-Identifier: MIT */
/*
 * cost.c - the text and the curves between its points.
 */
#include "cost.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[COST_NR] = {
	[COST_SEND_CALL] = "send_call",   [COST_SEND_BYTE] = "send_byte",
	[COST_RECV_CALL] = "recv_call",   [COST_RECV_BYTE] = "recv_byte",
	[COST_RECV_EMPTY] = "recv_empty", [COST_YIELD] = "yield",
	[COST_SWITCH] = "switch",         [COST_SLEEP] = "sleep",
	[COST_WAKE_APP] = "wake_app",     [COST_WAKE_WORKER] = "wake_worker",
	[COST_SEND_WAKES] = "send_wakes", [COST_WAKE_DELAY] = "wake_delay",
	[COST_COPY_BYTE] = "copy_byte",   [COST_TURN] = "turn",
	[COST_SUBMIT] = "submit",         [COST_FRAME_TX] = "frame_tx",
	[COST_FRAME_RX] = "frame_rx",     [COST_DELIVER] = "deliver",
	[COST_APP_EVENT] = "app_event",   [COST_APP_TURN] = "app_turn",
};

const char *cost_name(enum cost c)
{
	return names[c];
}

int cost_add(struct costs *c, enum cost cost, uint32_t sockets, double ns)
{
	uint32_t nr = c->nr[cost];

	if (!(ns >= 0) || ns > 1e9 || (nr > 0 && sockets <= c->at[cost][nr - 1].sockets))
		return -EINVAL;
	if (nr == COST_POINTS_MAX)
		return -ENOSPC;
	c->at[cost][nr] = (struct cost_point){ sockets, ns };
	c->nr[cost]++;
	return 0;
}

/* -EINVAL: not a number. */
static int number(const char *text, double *ret_value)
{
	char *end;

	*ret_value = strtod(text, &end);
	return *end == '\0' ? 0 : -EINVAL;
}

static int add_line(struct costs *c, const char *line)
{
	char name[32], first[32], second[32], rest;
	int words = sscanf(line, "%31s %31s %31s %c", name, first, second, &rest);
	double sockets = 0, ns;

	if (words < 2 || words > 3 || number(words == 3 ? second : first, &ns) < 0 ||
	    (words == 3 && (number(first, &sockets) < 0 || !(sockets >= 1 && sockets <= 1e9))))
		return -EINVAL;
	for (uint32_t i = 0; i < COST_NR; i++)
		if (strcmp(name, names[i]) == 0)
			return cost_add(c, (enum cost)i, (uint32_t)sockets, ns);
	return -EINVAL;
}

int costs_read(FILE *f, struct costs *ret_costs, unsigned *ret_line, const char **ret_missing)
{
	char line[256];

	*ret_costs = (struct costs){ .nr = { 0 } };
	*ret_missing = NULL;
	for (*ret_line = 1; fgets(line, sizeof(line), f); (*ret_line)++) {
		if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0')
			continue;
		if (add_line(ret_costs, line) < 0)
			return -EINVAL;
	}
	*ret_line = 0;
	for (uint32_t i = 0; i < COST_NR; i++)
		if (ret_costs->nr[i] == 0) {
			*ret_missing = names[i];
			return -EINVAL;
		}
	return 0;
}

double cost_ns(const struct costs *c, enum cost cost, uint32_t sockets)
{
	const struct cost_point *p = c->at[cost];
	uint32_t i, nr = c->nr[cost];
	double part;

	for (i = 0; i < nr && p[i].sockets < sockets; i++)
		;
	if (i == 0)
		return p[0].ns;
	if (i == nr)
		return p[nr - 1].ns;
	/* From the last point below to the first at or above; a first at 0 counts as 1. */
	part = log((double)sockets / (p[i - 1].sockets ? p[i - 1].sockets : 1)) /
	       log((double)p[i].sockets / (p[i - 1].sockets ? p[i - 1].sockets : 1));
	return p[i - 1].ns + part * (p[i].ns - p[i - 1].ns);
}

void cost_print(FILE *f, enum cost cost, uint32_t sockets, double ns)
{
	if (sockets)
		fprintf(f, "%s %u %.4f\n", names[cost], sockets, ns);
	else
		fprintf(f, "%s %.4f\n", names[cost], ns);
}
