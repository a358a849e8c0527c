/* SPDX-License-Identifier: MIT */
/*
 * config_print.c - a struct config as a file that says the same, and where each value is from.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "config_key.h"

static void origin_print(const struct config *c, uint32_t line, FILE *out)
{
	if (line)
		(void)fprintf(out, " ; %s:%" PRIu32 "\n", c->file, line);
	else
		(void)fprintf(out, " ; default\n");
}

/* What the kind "auto" comes to here, as a comment: it is no value of the file. */
static void resolved_print(const struct config *c, FILE *out)
{
	int cpu[NCD_WORKERS_MAX];
	uint32_t nr = config_workers(c, cpu);

	(void)fprintf(out, "; comes to %" PRIu32 " worker%s here%s\n", nr, nr == 1 ? "" : "s",
		      cpu[0] < 0 ? ", not pinned" : "");
}

void config_print(const struct config *c, FILE *out)
{
	uint32_t i, nr;
	const struct config_key *keys = config_keys(&nr);
	const char *section = "";
	char text[CONFIG_VALUE_BYTES];

	for (i = 0; i < nr; i++) {
		if (strcmp(section, keys[i].section) != 0)
			(void)fprintf(out, "%s[%s]\n", i ? "\n" : "", keys[i].section);
		section = keys[i].section;
		if (keys[i].kind == KIND_CORES)
			resolved_print(c, out);
		(void)fprintf(out, "%s = %s", keys[i].name,
			      config_value_write(&keys[i], (const char *)c + keys[i].offset, text));
		origin_print(c, c->line[i], out);
	}
	keys = config_peer_keys(&nr);
	for (i = 1; i < c->peer_nr; i++) {
		const struct config_peer *peer = &c->peer[i];

		(void)fprintf(out, "\n[peer %s]\naddress = %s", peer->name,
			      config_value_write(&keys[0], &peer->addresses, text));
		origin_print(c, peer->address_line, out);
		(void)fprintf(out, "port = %" PRIu32, peer->port);
		origin_print(c, peer->port_line, out);
	}
}
