/* SPDX-License-Identifier: MIT */
/*
 * config_key.c - the table of all keys: section, name, kind, bounds, default.
 */
#include "config_key.h"

#include <string.h>

#include "config.h"
#include "log.h"
#include "worker.h"

#define FIELD(member) \
	.offset = offsetof(struct config, member), .bytes = sizeof(((struct config *)0)->member)
#define PEER_FIELD(member)                              \
	.offset = offsetof(struct config_peer, member), \
	.bytes = sizeof(((struct config_peer *)0)->member)

static const struct config_choice io_choices[] = {
	{ "auto", IO_AUTO }, { "io_uring", IO_URING }, { "epoll", IO_EPOLL }, { NULL, 0 }
};
static const struct config_choice auto_choices[] = { { "auto", 1 }, { "off", 0 }, { NULL, 0 } };
static const struct config_choice policy_choices[] = { { "least-loaded", POLICY_LEAST_LOADED },
						       { "round-robin", POLICY_ROUND_ROBIN },
						       { "source-port", POLICY_SOURCE_PORT },
						       { NULL, 0 } };
static const struct config_choice level_choices[] = {
	{ "error", LOG_LEVEL_ERROR },   { "warning", LOG_LEVEL_WARNING },
	{ "notice", LOG_LEVEL_NOTICE }, { "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },   { NULL, 0 }
};

static const struct config_key keys[] = {
	{ "host", "address", KIND_ADDRESSES, false, FIELD(addresses), .value = "" },
	{ "host", "name", KIND_TEXT, false, FIELD(name), .value = "" },

	{ "daemon", "socket", KIND_TEXT, false, FIELD(socket), .value = "/run/ncd/ncd.sock" },
	{ "daemon", "user", KIND_TEXT, false, FIELD(user), .value = "" },
	{ "daemon", "group", KIND_TEXT, false, FIELD(group), .value = "" },
	{ "daemon", "clients", KIND_NUMBER, true, FIELD(clients), 1, NCD_CLIENTS_MAX,
	  .value = "1024" },
	{ "daemon", "sockets", KIND_NUMBER, true, FIELD(sockets), 1, NCD_SOCKETS_MAX / 2,
	  .value = "65536" },
	{ "daemon", "drain_seconds", KIND_NUMBER, true, FIELD(drain_seconds), 0, 3600,
	  .value = "10" },
	{ "daemon", "log_level", KIND_CHOICE, true, FIELD(log_level), .choices = level_choices,
	  .value = "info" },

	{ "workers", "cores", KIND_CORES, false, FIELD(cores), .value = "auto" },
	{ "workers", "copy_cores", KIND_COPY_CORES, false, FIELD(copy_cores),
	  .value = "none" },
	{ "workers", "spin_us", KIND_NUMBER, false, FIELD(spin_us), 0, 1000000, .value = "200" },
	{ "workers", "slice_us", KIND_NUMBER, false, FIELD(slice_us), 0, 100000, .value = "100" },
	{ "workers", "io", KIND_CHOICE, false, FIELD(io), .choices = io_choices, .value = "auto" },
	{ "workers", "move_busy", KIND_NUMBER, false, FIELD(move_busy), 0, 100, .value = "90" },

	{ "channels", "port", KIND_NUMBER, false, FIELD(port), 1, 65535, .value = "4790" },
	{ "channels", "latency", KIND_NUMBER, false, FIELD(latency), 1, NCD_LANE_CHANNELS_MAX,
	  .value = "1" },
	{ "channels", "throughput", KIND_NUMBER, false, FIELD(throughput), 1, NCD_LANE_CHANNELS_MAX,
	  .value = "2" },
	{ "channels", "max", KIND_NUMBER, false, FIELD(channels_max), 2, 2 * NCD_LANE_CHANNELS_MAX,
	  .value = "8" },
	{ "channels", "congestion", KIND_TEXT, false, FIELD(congestion), .value = "" },
	{ "channels", "latency_congestion", KIND_TEXT, false, FIELD(latency_congestion),
	  .value = "" },
	{ "channels", "throughput_congestion", KIND_TEXT, false, FIELD(throughput_congestion),
	  .value = "" },
	{ "channels", "zerocopy", KIND_CHOICE, false, FIELD(zerocopy), .choices = auto_choices,
	  .value = "auto" },
	{ "channels", "ping_seconds", KIND_NUMBER, false, FIELD(ping_seconds), 1, 3600,
	  .value = "5" },
	{ "channels", "timeout_seconds", KIND_NUMBER, false, FIELD(timeout_seconds), 1, 86400,
	  .value = "30" },
	{ "channels", "backoff_min_ms", KIND_NUMBER, false, FIELD(backoff_min_ms), 1, 60000,
	  .value = "100" },
	{ "channels", "backoff_max_ms", KIND_NUMBER, false, FIELD(backoff_max_ms), 1, 3600000,
	  .value = "5000" },

	{ "scheduler", "policy", KIND_CHOICE, false, FIELD(policy), .choices = policy_choices,
	  .value = "least-loaded" },
	{ "scheduler", "frame_bytes", KIND_SIZE, false, FIELD(frame_bytes), 1024,
	  NCD_FRAME_PAYLOAD_MAX, .value = "512K" },
	{ "scheduler", "carry", KIND_CHOICE, false, FIELD(carry), .choices = auto_choices,
	  .value = "off" },
	{ "scheduler", "weights", KIND_WEIGHTS, false, FIELD(weights), 1, NCD_WEIGHT_MAX,
	  .value = "" },

	{ "buffers", "send", KIND_POWER, false, FIELD(send_bytes), NCD_RING_MIN, NCD_RING_MAX,
	  .value = "4M" },
	{ "buffers", "receive", KIND_POWER, false, FIELD(receive_bytes), NCD_RING_MIN, NCD_RING_MAX,
	  .value = "4M" },
	{ "buffers", "initial", KIND_POWER, false, FIELD(initial_bytes), NCD_RING_MIN, NCD_RING_MAX,
	  .value = "16K" },
	{ "buffers", "huge_pages", KIND_CHOICE, true, FIELD(huge_pages), .choices = auto_choices,
	  .value = "auto" },
	{ "buffers", "idle_seconds", KIND_NUMBER, false, FIELD(idle_seconds), 0, 86400,
	  .value = "10" },
	{ "buffers", "region_max", KIND_SIZE, true, FIELD(region_max), 1ull << 20, 1ull << 40,
	  .value = "4G" },

	{ "access", "user", KIND_NAMES, true, FIELD(access_users), .value = "" },
	{ "access", "group", KIND_NAMES, true, FIELD(access_groups), .value = "" },

	{ "class", "latency_ports", KIND_PORTS, false, FIELD(latency_ports), .value = "" },
	{ "class", "throughput_ports", KIND_PORTS, false, FIELD(throughput_ports), .value = "" },
};
_Static_assert(sizeof(keys) / sizeof(keys[0]) <= CONFIG_KEYS_MAX, "room for each key's line");

static const struct config_key peer_keys[] = {
	{ "peer NAME", "address", KIND_ADDRESSES, true, PEER_FIELD(addresses), .value = "" },
	{ "peer NAME", "port", KIND_NUMBER, true, PEER_FIELD(port), 1, 65535, .value = "" },
};

const struct config_key *config_keys(uint32_t *ret_nr)
{
	*ret_nr = sizeof(keys) / sizeof(keys[0]);
	return keys;
}

const struct config_key *config_peer_keys(uint32_t *ret_nr)
{
	*ret_nr = sizeof(peer_keys) / sizeof(peer_keys[0]);
	return peer_keys;
}

bool config_section_known(const char *section)
{
	uint32_t i;

	if (strncmp(section, "peer ", 5) == 0)
		return true;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].section, section) == 0)
			return true;
	return false;
}

/* Edits between @a and @b (Levenshtein), or a large number for words too long to compare. */
static uint32_t word_distance(const char *a, const char *b)
{
	uint32_t row[33], i, j, a_bytes = (uint32_t)strnlen(a, 33),
				b_bytes = (uint32_t)strnlen(b, 33);

	if (a_bytes > 32 || b_bytes > 32)
		return 1000;
	for (j = 0; j <= b_bytes; j++)
		row[j] = j;
	for (i = 1; i <= a_bytes; i++) {
		uint32_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= b_bytes; j++) {
			uint32_t swap = diagonal + (a[i - 1] != b[j - 1]);
			uint32_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = swap < shorter ? swap : shorter;
		}
	}
	return row[b_bytes];
}

/* Keeps the nearer of *best and @word; at most half of the letters may differ. */
static void word_nearer(const char *wrong, const char *word, const char **best,
			uint32_t *best_edits)
{
	uint32_t edits = word_distance(wrong, word);

	if (edits < *best_edits && edits * 2 <= strlen(word)) {
		*best = word;
		*best_edits = edits;
	}
}

const char *config_section_like(const char *wrong)
{
	const char *best = NULL;
	uint32_t i, edits = 1000;
	char word[8] = "";

	/* "pear NAME": the name must not count. */
	memcpy(word, wrong, strnlen(wrong, sizeof(word) - 1));
	word[strcspn(word, " ")] = '\0';
	word_nearer(word, "peer", &best, &edits);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		word_nearer(wrong, keys[i].section, &best, &edits);
	return best && strcmp(best, "peer") == 0 ? "peer NAME" : best;
}

const char *config_key_like(const char *section, const char *wrong)
{
	bool peer = strncmp(section, "peer ", 5) == 0;
	uint32_t i, nr, edits = 1000;
	const struct config_key *table = peer ? config_peer_keys(&nr) : config_keys(&nr);
	const char *best = NULL;

	for (i = 0; i < nr; i++)
		if (peer || strcmp(table[i].section, section) == 0)
			word_nearer(wrong, table[i].name, &best, &edits);
	return best;
}
