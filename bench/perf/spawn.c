/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - starts this program again, as a server. The server that does so has threads, and may be
 * attached to a daemon: its copies begin anew instead of going on with half of it.
 */
#include "spawn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_MS   10000
#define LINE_BYTES 256
#define WORDS_MAX  12

struct command_line {
	char cpu[16];
	const char *word[WORDS_MAX];
};

static void command_make(struct command_line *c, const struct options *o, const struct via *via)
{
	size_t nr = 6;

	*c = (struct command_line){ .word = { "ncd-perf", "server", "--via", via->name, "--port",
					      "0" } };
	if (o->listen) {
		c->word[nr++] = "--listen";
		c->word[nr++] = o->listen;
	}
	if (o->cpu >= 0) {
		snprintf(c->cpu, sizeof(c->cpu), "%d", o->cpu);
		c->word[nr++] = "--cpu";
		c->word[nr++] = c->cpu;
	}
}

static void server_exec(const void *arg, int fd)
{
	const struct command_line *c = arg;

	if (dup2(fd, STDOUT_FILENO) < 0)
		_exit(1);
	/* execv() takes what it does not change without const, for the sake of old programs. */
	(void)execv("/proc/self/exe", (char *const *)(uintptr_t)c->word);
	_exit(1);
}

/* The server says in one line where it listens; the port is at the end of it. */
static int server_port(struct child *server, uint16_t *ret_port)
{
	char line[LINE_BYTES];
	size_t len = 0;
	int r;

	do {
		if (len == sizeof(line))
			return -EPROTO;
		r = child_read(server, &line[len], 1, START_MS);
		if (r < 0)
			return r;
	} while (line[len++] != '\n');
	line[--len] = '\0';
	while (len > 0 && line[len - 1] >= '0' && line[len - 1] <= '9')
		len--;
	*ret_port = (uint16_t)strtoul(&line[len], NULL, 10);
	return *ret_port ? 0 : -EPROTO;
}

int spawn_servers(struct spawn *sp, const struct options *o, const struct via *via, uint32_t flows,
		  uint16_t ret_port[PERF_THREADS_MAX])
{
	struct command_line latency, bulk;
	int r = 0;

	if (flows >= PERF_THREADS_MAX)
		return -EINVAL;
	command_make(&latency, o, via->latency ? via->latency : via);
	command_make(&bulk, o, via);
	for (uint32_t i = 0; i <= flows && r == 0; i++) {
		r = child_start(server_exec, i == 0 ? &latency : &bulk, &sp->child[i]);
		sp->nr += r == 0;
	}
	for (uint32_t i = 0; i < sp->nr && r == 0; i++)
		r = server_port(&sp->child[i], &ret_port[i]);
	return r;
}

void spawn_stop(struct spawn *sp)
{
	while (sp->nr > 0)
		child_stop(&sp->child[--sp->nr]);
}
