/* SPDX-License-Identifier: MIT */
/*
 * config.c - reads ncd.conf with inih into a struct config, or says in one line why not.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config_key.h"
#include "endpoint.h"

/* inih cuts lines at 200 bytes, terminator included, without a word. */
#define LINE_BYTES_MAX 198
#define LINES_MAX      100000u

struct config_reader {
	FILE *stream;
	struct config *config;
	uint32_t line;
	uint32_t section_line;
	struct config_peer *peer; /* of the section read now, or NULL */
	bool failed;              /* error is set: the first counts */
	uint32_t failed_line;
	char *error;
};

__attribute__((format(printf, 3, 4))) static void reader_fail(struct config_reader *r,
							      uint32_t line, const char *fmt, ...)
{
	va_list args;
	int used;

	if (r->failed)
		return;
	used = snprintf(r->error, CONFIG_ERROR_BYTES, "%.256s:%" PRIu32 ": ", r->config->file,
			line);
	va_start(args, fmt);
	(void)vsnprintf(r->error + used, CONFIG_ERROR_BYTES - (size_t)used, fmt, args);
	va_end(args);
	r->failed = true;
	r->failed_line = line;
}

static bool name_valid(const char *name)
{
	const char *p;

	for (p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL)
			return false;
	return p > name && p - name < CONFIG_NAME_BYTES;
}

static void reader_peer(struct config_reader *r, const char *name)
{
	struct config *c = r->config;
	struct config_peer *peer;
	uint32_t i;

	if (!name_valid(name)) {
		reader_fail(r, r->line,
			    "[peer %s]: the name is not usable; take 1 to %d letters, "
			    "digits, '.', '_' or '-'",
			    name, CONFIG_NAME_BYTES - 1);
		return;
	}
	for (i = 1; i < c->peer_nr; i++) {
		if (strcmp(c->peer[i].name, name) == 0) {
			reader_fail(r, r->line,
				    "[peer %s] is given twice, first in line %" PRIu32
				    "; rename or remove one",
				    name, c->peer[i].line);
			return;
		}
	}
	if (c->peer_nr == NCD_PEERS_MAX) {
		reader_fail(r, r->line, "[peer %s]: too many peers; at most %d", name,
			    NCD_PEERS_MAX - 1);
		return;
	}
	peer = &c->peer[c->peer_nr++];
	peer->line = r->line;
	memcpy(peer->name, name, strlen(name) + 1);
	r->peer = peer;
}

/* A line "[section]". inih tells only of sections with keys: an empty one must be known as well. */
static void reader_section(struct config_reader *r, const char *line)
{
	const char *end = strchr(line, ']');
	char section[LINE_BYTES_MAX];
	const char *like;

	r->peer = NULL;
	if (end == NULL)
		return;
	memcpy(section, line + 1, (size_t)(end - line - 1));
	section[end - line - 1] = '\0';
	if (strncmp(section, "peer ", 5) == 0) {
		reader_peer(r, section + 5 + strspn(section + 5, " \t"));
		return;
	}
	if (config_section_known(section))
		return;
	like = config_section_like(section);
	if (like)
		reader_fail(r, r->line, "[%s] is not a section; do you mean [%s]?", section, like);
	else
		reader_fail(r, r->line, "[%s] is not a section; see ncd.conf(5) for all", section);
}

/*
 * As fgets(), for inih: counts lines, drops indentation (no continued lines), bounds the length.
 * What is no text ends there: a device may have no end.
 */
static char *reader_line(char *out, int room, void *ctx)
{
	struct config_reader *r = ctx;
	uint32_t used = 0;
	bool any = false;
	int c;

	while ((c = getc(r->stream)) != EOF && c != '\n') {
		any = true;
		if (used == 0 && (c == ' ' || c == '\t'))
			continue;
		if (c == '\0') {
			reader_fail(r, r->line + 1,
				    "a byte 0 is in the line; is this a text file?");
			return NULL;
		}
		if (used >= LINE_BYTES_MAX || used + 2 >= (uint32_t)room) {
			reader_fail(r, r->line + 1,
				    "the line is longer than %d characters; give a "
				    "list in several lines of the same key",
				    LINE_BYTES_MAX);
			return NULL;
		}
		out[used++] = (char)c;
	}
	if (c == EOF && !any)
		return NULL;
	if (r->line == LINES_MAX) {
		reader_fail(r, r->line, "there are more lines behind it; is this the config?");
		return NULL;
	}
	out[used] = '\0';
	r->line++;
	if (out[0] == '[')
		reader_section(r, out);
	return out;
}

static void reader_value(struct config_reader *r, const struct config_key *key, void *field,
			 uint32_t *line, const char *value)
{
	char why[CONFIG_WHY_BYTES] = "";

	if (*line != 0 && !config_value_adds(key)) {
		reader_fail(r, r->line, "%s is given twice, first in line %" PRIu32 "; remove one",
			    key->name, *line);
		return;
	}
	if (config_value_read(key, value, field, why) < 0)
		reader_fail(r, r->line, "%s = %s: %s", key->name, value, why);
	if (*line == 0)
		*line = r->line;
}

/* True if @section (a peer's, or one of the table) is that of @key. */
static bool key_matches(const struct config_key *key, bool peer, const char *section,
			const char *name)
{
	return strcmp(key->name, name) == 0 && (peer || strcmp(key->section, section) == 0);
}

static int reader_key(void *ctx, const char *section, const char *name, const char *value)
{
	struct config_reader *r = ctx;
	bool peer = strncmp(section, "peer ", 5) == 0;
	uint32_t i, nr;
	const struct config_key *keys = peer ? config_peer_keys(&nr) : config_keys(&nr);
	const char *like;

	/* A bad section has been reported; its keys say nothing new. */
	if (r->failed || (peer && r->peer == NULL))
		return 1;
	if (section[0] == '\0') {
		reader_fail(r, r->line, "%s stands before any [section]; put one above it", name);
		return 1;
	}
	for (i = 0; i < nr; i++) {
		if (!key_matches(&keys[i], peer, section, name))
			continue;
		if (peer)
			reader_value(r, &keys[i], (char *)r->peer + keys[i].offset,
				     i == 0 ? &r->peer->address_line : &r->peer->port_line, value);
		else
			reader_value(r, &keys[i], (char *)r->config + keys[i].offset,
				     &r->config->line[i], value);
		return 1;
	}
	like = config_key_like(section, name);
	if (like)
		reader_fail(r, r->line, "%s is not a key of [%s]; do you mean %s?", name, section,
			    like);
	else
		reader_fail(r, r->line, "%s is not a key of [%s]; see ncd.conf(5) for all", name,
			    section);
	return 1;
}

/* Line of the key, or if it is not given of the one that stands against it. */
static uint32_t key_line(const struct config *c, const char *section, const char *name,
			 const char *against)
{
	uint32_t i, nr, line = 0, other = 0;
	const struct config_key *keys = config_keys(&nr);

	for (i = 0; i < nr; i++) {
		if (key_matches(&keys[i], false, section, name))
			line = c->line[i];
		if (key_matches(&keys[i], false, section, against))
			other = c->line[i];
	}
	return line ? line : other;
}

/* Two peers with one address, or a peer that is this host. */
static void check_peer_addresses(struct config_reader *r, const struct config_peer *peer,
				 const struct config_addresses *others, const char *whose)
{
	char text[ADDRESS_TEXT_BYTES];
	uint32_t i, j;

	for (i = 0; i < peer->addresses.nr; i++)
		for (j = 0; j < others->nr; j++)
			if (address_equal(&peer->addresses.address[i], &others->address[j]))
				reader_fail(
					r, peer->address_line,
					"[peer %s] address = %s: is also that of %s; an address "
					"belongs to one host",
					peer->name, address_format(&others->address[j], text),
					whose);
}

static void check_peers(struct config_reader *r)
{
	struct config *c = r->config;
	char whose[CONFIG_NAME_BYTES + 16];
	uint32_t i, j;

	for (i = 1; i < c->peer_nr; i++) {
		struct config_peer *peer = &c->peer[i];

		if (peer->addresses.nr == 0)
			reader_fail(r, peer->line, "[peer %s] has no address; add address = ...",
				    peer->name);
		if (peer->port == 0)
			peer->port = c->port;
		check_peer_addresses(r, peer, &c->addresses, "this host");
		for (j = 1; j < i; j++) {
			(void)snprintf(whose, sizeof(whose), "[peer %s]", c->peer[j].name);
			check_peer_addresses(r, peer, &c->peer[j].addresses, whose);
		}
	}
}

static void check_together(struct config_reader *r)
{
	const struct config *c = r->config;
	const char *share = c->throughput > c->latency ? "throughput" : "latency";

	if (c->socket[0] == '\0')
		reader_fail(r, key_line(c, "daemon", "socket", "socket"),
			    "socket is empty; give a path, or remove the key");
	if (c->channels_max < c->latency + c->throughput)
		reader_fail(r, key_line(c, "channels", "max", share),
			    "[channels] max = %" PRIu32
			    ": is less than latency + throughput = %" PRIu32 "; raise it",
			    c->channels_max, c->latency + c->throughput);
	if (c->backoff_max_ms < c->backoff_min_ms)
		reader_fail(r, key_line(c, "channels", "backoff_max_ms", "backoff_min_ms"),
			    "[channels] backoff_max_ms = %" PRIu32
			    ": is less than backoff_min_ms = %" PRIu32 "; raise it",
			    c->backoff_max_ms, c->backoff_min_ms);
	check_peers(r);
}

static struct config *config_defaults(const char *path)
{
	struct config *c = calloc(1, sizeof(*c));
	uint32_t i, nr;
	const struct config_key *keys = config_keys(&nr);
	char why[CONFIG_WHY_BYTES];

	if (c == NULL)
		return NULL;
	(void)snprintf(c->file, sizeof(c->file), "%s", path);
	c->peer_nr = 1;
	/* Ours, and tested: they cannot be wrong. */
	for (i = 0; i < nr; i++)
		(void)config_value_read(&keys[i], keys[i].value, (char *)c + keys[i].offset, why);
	return c;
}

int config_read(FILE *stream, const char *path, struct config **ret_config,
		char error[CONFIG_ERROR_BYTES])
{
	struct config_reader r = { .stream = stream,
				   .config = config_defaults(path),
				   .error = error };
	int bad_line;

	if (r.config == NULL) {
		(void)snprintf(error, CONFIG_ERROR_BYTES, "%.256s: out of memory", path);
		return -ENOMEM;
	}
	bad_line = ini_parse_stream(reader_line, &r, reader_key, &r);
	if (ferror(stream))
		reader_fail(&r, r.line, "cannot be read; is this a text file?");
	if (bad_line > 0 && (!r.failed || (uint32_t)bad_line < r.failed_line)) {
		r.failed = false;
		reader_fail(&r, (uint32_t)bad_line,
			    "is neither [section] nor key = value; see ncd.conf(5)");
	}
	if (!r.failed)
		check_together(&r);
	if (r.failed) {
		config_free(r.config);
		return -EINVAL;
	}
	*ret_config = r.config;
	return 0;
}

int config_load(const char *path, bool must_exist, struct config **ret_config,
		char error[CONFIG_ERROR_BYTES])
{
	FILE *stream = fopen(path, "re");
	struct stat st;
	int r;

	if (stream == NULL && errno == ENOENT && !must_exist) {
		*ret_config = config_defaults(path);
		if (*ret_config == NULL)
			return -ENOMEM;
		(*ret_config)->file_absent = true;
		return 0;
	}
	/* Opening one to read succeeds, and reading it then fails. */
	if (stream != NULL && fstat(fileno(stream), &st) == 0 && S_ISDIR(st.st_mode)) {
		(void)fclose(stream); /* was not even read */
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "%.256s: is a directory; give the file in it with -c", path);
		return -EISDIR;
	}
	if (stream == NULL) {
		r = -errno;
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "%.256s: cannot be opened: %s; check the "
			       "path and its permissions",
			       path, strerror(-r));
		return r;
	}
	r = config_read(stream, path, ret_config, error);
	(void)fclose(stream); /* was only read */
	return r;
}

void config_free(struct config *c)
{
	free(c);
}

void config_adopt(struct config *fresh, const struct config *running,
		  void (*differs)(void *ctx, const char *section, const char *key), void *ctx)
{
	uint32_t i, nr;
	const struct config_key *keys = config_keys(&nr);

	for (i = 0; i < nr; i++) {
		char *to = (char *)fresh + keys[i].offset;
		const char *from = (const char *)running + keys[i].offset;
		bool named = fresh->line[i] != 0 || running->line[i] != 0;

		if (keys[i].reload || memcmp(to, from, keys[i].bytes) == 0)
			continue;
		/* What nobody named may change with the machine (addresses); no word about that. */
		if (named)
			differs(ctx, keys[i].section, keys[i].name);
		memcpy(to, from, keys[i].bytes);
	}
	/* Peers without a port of their own follow ours, which may just have been put back. */
	for (i = 1; i < fresh->peer_nr; i++)
		if (fresh->peer[i].port_line == 0)
			fresh->peer[i].port = fresh->port;
}
