/* SPDX-License-Identifier: MIT */
/*
 * config_list.c - the values of ncd.conf that are lists, from and to text.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "config_key.h"
#include "endpoint.h"

#define ITEM_BYTES 64

/* Next item of a list separated by commas or blanks: 1, 0 at its end, -EINVAL: item too long. */
static int item_next(const char **text, char item[ITEM_BYTES])
{
	const char *p = *text;
	size_t bytes;

	p += strspn(p, ", \t");
	if (*p == '\0')
		return 0;
	bytes = strcspn(p, ", \t");
	if (bytes >= ITEM_BYTES)
		return -EINVAL;
	memcpy(item, p, bytes);
	item[bytes] = '\0';
	*text = p + bytes;
	return 1;
}

/* Multicast or broadcast: an address of no one host. */
static bool address_is_group(const struct address *a)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };

	if (address_is_v4(a))
		return (a->byte[12] & 0xf0) == 224 || memcmp(a->byte + 12, broadcast, 4) == 0;
	return a->byte[0] == 0xff;
}

/* fe80::/10 names no host without an interface; 169.254.0.0/16 does, by the routes. */
static bool address_needs_interface(const struct address *a)
{
	return a->byte[0] == 0xfe && (a->byte[1] & 0xc0) == 0x80;
}

static int addresses_read(const char *text, struct config_addresses *field,
			  char why[CONFIG_WHY_BYTES])
{
	struct address a = { 0 };
	char item[ITEM_BYTES];
	uint32_t i;
	int r;

	while ((r = item_next(&text, item)) > 0) {
		if (address_parse(item, &a) < 0)
			return config_wrong(
				why,
				"'%s' is not an address; give IPv4 as 192.0.2.1 or IPv6 "
				"as 2001:db8::1, no names",
				item);
		if (address_is_any(&a))
			return config_wrong(why, "'%s' stands for any address; name a certain one",
					    item);
		if (address_is_group(&a))
			return config_wrong(
				why,
				"'%s' is a multicast or broadcast address; give one that is "
				"a host's own",
				item);
		if (address_needs_interface(&a))
			return config_wrong(
				why,
				"'%s' is a link-local address, which differs by interface; "
				"give a global or unique local one",
				item);
		for (i = 0; i < field->nr; i++)
			if (address_equal(&field->address[i], &a))
				return config_wrong(why, "'%s' is given twice; remove one", item);
		if (field->nr == NCD_ADDRS_MAX)
			return config_wrong(why, "has too many addresses; at most %d",
					    NCD_ADDRS_MAX);
		field->address[field->nr++] = a;
	}
	return r == 0 ? 0
		      : config_wrong(why,
				     "has an item that is no address; separate them by commas");
}

static int names_read(const char *text, struct config_names *field, char why[CONFIG_WHY_BYTES])
{
	char item[ITEM_BYTES];
	int r;

	while ((r = item_next(&text, item)) > 0) {
		if (item[0] == ';') /* would be a comment where the list is printed */
			return config_wrong(why, "'%s' begins with ';'; put a blank before it for "
						 "a comment", item);
		if (strlen(item) >= CONFIG_NAME_BYTES)
			return config_wrong(why, "'%s' is too long; at most %d characters", item,
					    CONFIG_NAME_BYTES - 1);
		if (field->nr == CONFIG_NAMES_MAX)
			return config_wrong(why, "has too many names; at most %d",
					    CONFIG_NAMES_MAX);
		memset(field->name[field->nr], 0, CONFIG_NAME_BYTES);
		memcpy(field->name[field->nr++], item, strlen(item));
	}
	return r == 0 ? 0
		      : config_wrong(why, "has a name that is too long; separate names by commas");
}

/* "5" or "5-9"; -EINVAL: neither, or outside of min..max. */
static int range_read(const char *item, uint64_t min, uint64_t max, uint64_t *ret_first,
		      uint64_t *ret_last)
{
	uint64_t first = 0, last = 0;
	const char *end = "?";

	if (config_digits(item, &first, &end) < 0)
		return -EINVAL;
	last = first;
	if (*end == '-' && config_digits(end + 1, &last, &end) < 0)
		return -EINVAL;
	if (*end != '\0' || first < min || last > max || first > last)
		return -EINVAL;
	*ret_first = first;
	*ret_last = last;
	return 0;
}

static int ports_read(const char *text, struct config_ports *field, char why[CONFIG_WHY_BYTES])
{
	uint64_t first = 0, last = 0;
	char item[ITEM_BYTES];
	int r;

	while ((r = item_next(&text, item)) > 0) {
		if (range_read(item, 1, 65535, &first, &last) < 0)
			return config_wrong(
				why,
				"'%s' is no port; give numbers or ranges from 1 to 65535, "
				"e.g. 80, 8000-8100",
				item);
		if (field->nr == CONFIG_RANGES_MAX)
			return config_wrong(why, "has too many ranges; at most %d",
					    CONFIG_RANGES_MAX);
		field->range[field->nr].first = (uint16_t)first;
		field->range[field->nr++].last = (uint16_t)last;
	}
	return r == 0 ? 0
		      : config_wrong(why, "has an item that is no port; separate them by commas");
}

static bool has_weight(const struct config_weights *w, uint64_t first, uint64_t last)
{
	uint32_t i;

	for (i = 0; i < w->nr; i++)
		if (first <= w->range[i].last && last >= w->range[i].first)
			return true;
	return false;
}

/* PORTS:WEIGHT, each. */
static int weights_read(const struct config_key *key, const char *text,
			struct config_weights *field, char why[CONFIG_WHY_BYTES])
{
	uint64_t first = 0, last = 0, weight = 0;
	const char *end = "?";
	char item[ITEM_BYTES], *colon;
	int r;

	while ((r = item_next(&text, item)) > 0) {
		colon = strchr(item, ':');
		if (colon)
			*colon = '\0';
		if (!colon || range_read(item, 1, 65535, &first, &last) < 0 ||
		    config_digits(colon + 1, &weight, &end) < 0 || *end != '\0' ||
		    weight < key->min || weight > key->max)
			return config_wrong(
				why,
				"'%s%s%s' is no weight of a port; give PORT:WEIGHT or "
				"PORT-PORT:WEIGHT with a weight from %" PRIu64 " to %" PRIu64,
				item, colon ? ":" : "", colon ? colon + 1 : "", key->min, key->max);
		if (has_weight(field, first, last))
			return config_wrong(why, "'%s:%s' gives a port a second weight", item,
					    colon + 1);
		if (field->nr == CONFIG_RANGES_MAX)
			return config_wrong(why, "has too many ranges; at most %d",
					    CONFIG_RANGES_MAX);
		field->range[field->nr].first = (uint16_t)first;
		field->range[field->nr].last = (uint16_t)last;
		field->range[field->nr++].weight = (uint16_t)weight;
	}
	return r == 0 ? 0
		      : config_wrong(why, "has an item that is no weight; separate them by commas");
}

static bool core_is_listed(const struct config_cores *c, uint64_t cpu)
{
	uint32_t i;

	for (i = 0; i < c->nr; i++)
		if (c->cpu[i] == cpu)
			return true;
	return false;
}

/* A list of at most @most cores. @else_word is what stands for no list. */
static int core_list_read(const char *text, uint32_t most, const char *else_word,
			  struct config_cores *field, char why[CONFIG_WHY_BYTES])
{
	struct config_cores c = { .choice = CORES_LIST };
	uint64_t first = 0, last = 0;
	char item[ITEM_BYTES];
	int r;

	while ((r = item_next(&text, item)) > 0) {
		if (range_read(item, 0, 65535, &first, &last) < 0)
			return config_wrong(why,
					    "'%s' is no core; give '%s' or a list of cores such as "
					    "2,3 or 4-7: one worker on each",
					    item, else_word);
		for (; first <= last; first++) {
			if (c.nr == most)
				return config_wrong(why, "has too many cores; at most %" PRIu32,
						    most);
			/* Two workers that spin on one core would only be in each other's way. */
			if (core_is_listed(&c, first))
				return config_wrong(
					why, "core %" PRIu64 " is given twice; remove one", first);
			c.cpu[c.nr++] = (uint32_t)first;
		}
	}
	if (r < 0 || c.nr == 0)
		return config_wrong(
			why,
			"names no cores; give '%s' or a list of cores such as 2,3 or 4-7: one "
			"worker on each",
			else_word);
	*field = c;
	return 0;
}

static int cores_read(const struct config_key *key, const char *text, struct config_cores *field,
		      char why[CONFIG_WHY_BYTES])
{
	bool copy = key->kind == KIND_COPY_CORES;

	if (strcmp(text, copy ? "none" : "auto") == 0) {
		*field = (struct config_cores){ .choice = copy ? CORES_LIST : CORES_AUTO };
		return 0;
	}
	return core_list_read(text, copy ? NCD_COPY_WORKERS_MAX : NCD_WORKERS_MAX,
			      copy ? "none" : "auto", field, why);
}

int config_list_read(const struct config_key *key, const char *text, void *field,
		     char why[CONFIG_WHY_BYTES])
{
	if (key->kind == KIND_ADDRESSES)
		return addresses_read(text, field, why);
	if (key->kind == KIND_NAMES)
		return names_read(text, field, why);
	if (key->kind == KIND_PORTS)
		return ports_read(text, field, why);
	if (key->kind == KIND_WEIGHTS)
		return weights_read(key, text, field, why);
	return cores_read(key, text, field, why);
}

/* Appends an item to a list in @out. */
__attribute__((format(printf, 3, 4))) static void item_write(char out[CONFIG_VALUE_BYTES],
							     size_t *used, const char *fmt, ...)
{
	size_t room = CONFIG_VALUE_BYTES - *used;
	va_list args;
	int r;

	if (*used > 0 && room > 2) {
		memcpy(out + *used, ", ", 3);
		*used += 2;
		room -= 2;
	}
	va_start(args, fmt);
	r = vsnprintf(out + *used, room, fmt, args);
	va_end(args);
	if (r > 0)
		*used += (size_t)r < room ? (size_t)r : room - 1;
}

void config_list_write(const struct config_key *key, const void *field,
		       char out[CONFIG_VALUE_BYTES])
{
	const struct config_addresses *addresses = field;
	const struct config_names *names = field;
	const struct config_ports *ports = field;
	const struct config_weights *weights = field;
	const struct config_cores *cores = field;
	char text[ADDRESS_TEXT_BYTES];
	size_t used = 0;
	uint32_t i;

	if (key->kind == KIND_ADDRESSES) {
		for (i = 0; i < addresses->nr; i++)
			item_write(out, &used, "%s", address_format(&addresses->address[i], text));
	} else if (key->kind == KIND_NAMES) {
		for (i = 0; i < names->nr; i++)
			item_write(out, &used, "%s", names->name[i]);
	} else if (key->kind == KIND_PORTS) {
		for (i = 0; i < ports->nr; i++)
			item_write(out, &used, "%u-%u", ports->range[i].first,
				   ports->range[i].last);
	} else if (key->kind == KIND_WEIGHTS) {
		for (i = 0; i < weights->nr; i++)
			item_write(out, &used, "%u-%u:%u", weights->range[i].first,
				   weights->range[i].last, weights->range[i].weight);
	} else if (cores->choice == CORES_AUTO) {
		item_write(out, &used, "auto");
	} else if (cores->nr == 0) {
		item_write(out, &used, "none");
	} else {
		for (i = 0; i < cores->nr; i++)
			item_write(out, &used, "%u", cores->cpu[i]);
	}
}
