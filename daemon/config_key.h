/* SPDX-License-Identifier: MIT */
/*
 * config_key.h - the table of all keys of ncd.conf, and how each kind of value is read and written.
 *
 * Ownership: constants. Threading: any.
 */
#ifndef NCD_CONFIG_KEY_H
#define NCD_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
	KIND_TEXT,      /* char[max] */
	KIND_NUMBER,    /* uint32_t, min..max */
	KIND_SIZE,      /* uint64_t, min..max, suffix K, M, G */
	KIND_POWER,     /* the same, a power of two */
	KIND_CHOICE,    /* uint32_t, one of `choices` */
	KIND_ADDRESSES, /* struct config_addresses; lists add up over several lines */
	KIND_NAMES,     /* struct config_names */
	KIND_PORTS,     /* struct config_ports */
	KIND_WEIGHTS,   /* struct config_weights */
	KIND_CORES,     /* struct config_cores */
	KIND_COPY_CORES, /* struct config_cores, a list; none by default */
};

struct config_choice {
	const char *name;
	uint32_t value;
};

struct config_key {
	const char *section, *name;
	enum config_kind kind;
	bool reload;          /* takes effect by SIGHUP; else by a restart */
	size_t offset, bytes; /* of the field in struct config, or in struct config_peer */
	uint64_t min, max;
	const struct config_choice *choices; /* ends with a NULL name */
	const char *value;                   /* default */
};

/* All keys outside [peer]; *ret_nr of them. */
const struct config_key *config_keys(uint32_t *ret_nr);
/* The keys of a [peer]. */
const struct config_key *config_peer_keys(uint32_t *ret_nr);

/* True for a section of the table (or a peer's: "peer NAME"). */
bool config_section_known(const char *section);
/* The known section, or key of @section, that looks most like @wrong; NULL: none does. */
const char *config_section_like(const char *wrong);
const char *config_key_like(const char *section, const char *wrong);

#define CONFIG_WHY_BYTES 256
/* Reads @text into the field of @key. 0, or -EINVAL with what is wrong, and the remedy, in @why. */
int config_value_read(const struct config_key *key, const char *text, void *field,
		      char why[CONFIG_WHY_BYTES]);
/* True if a second line adds to the first. */
bool config_value_adds(const struct config_key *key);
/* Writes the field as config_value_read would take it. Returns @out. */
#define CONFIG_VALUE_BYTES 2048
const char *config_value_write(const struct config_key *key, const void *field,
			       char out[CONFIG_VALUE_BYTES]);

/* ---- between config_value.c and config_list.c ---- */

/* Says in @why what is wrong. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) int config_wrong(char why[CONFIG_WHY_BYTES], const char *fmt,
						       ...);
/* Digits of @text up to *ret_end as a number; -EINVAL: none, or too large. */
int config_digits(const char *text, uint64_t *ret_number, const char **ret_end);
/* As config_value_read and _write, of a key whose kind is a list. */
int config_list_read(const struct config_key *key, const char *text, void *field,
		     char why[CONFIG_WHY_BYTES]);
void config_list_write(const struct config_key *key, const void *field,
		       char out[CONFIG_VALUE_BYTES]);

#endif /* NCD_CONFIG_KEY_H */
