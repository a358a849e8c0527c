/* SPDX-License-Identifier: MIT */
/*
 * config_value.c - the values of ncd.conf by kind, from and to text; lists are in config_list.c.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "config_key.h"

int config_wrong(char why[CONFIG_WHY_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(why, CONFIG_WHY_BYTES, fmt, args);
	va_end(args);
	return -EINVAL;
}

int config_digits(const char *text, uint64_t *ret_number, const char **ret_end)
{
	uint64_t number = 0;
	const char *p;

	for (p = text; isdigit((unsigned char)*p); p++) {
		if (number > (UINT64_MAX - 9) / 10)
			return -EINVAL;
		number = number * 10 + (uint64_t)(*p - '0');
	}
	if (p == text)
		return -EINVAL;
	*ret_number = number;
	*ret_end = p;
	return 0;
}

static int number_read(const struct config_key *key, const char *text, uint32_t *field,
		       char why[CONFIG_WHY_BYTES])
{
	uint64_t number = 0;
	const char *end = "?";

	if (config_digits(text, &number, &end) < 0 || *end != '\0')
		return config_wrong(why, "is not a number; give one from %" PRIu64 " to %" PRIu64,
				    key->min, key->max);
	if (number < key->min || number > key->max)
		return config_wrong(why,
				    "is out of range; give a number from %" PRIu64 " to %" PRIu64,
				    key->min, key->max);
	*field = (uint32_t)number;
	return 0;
}

static const char *size_write(uint64_t bytes, char *out, size_t room)
{
	static const char suffix[] = { '\0', 'K', 'M', 'G' };
	uint32_t i;

	for (i = 0; i < 3 && bytes > 0 && bytes % 1024 == 0; i++)
		bytes /= 1024;
	(void)snprintf(out, room, "%" PRIu64 "%.1s", bytes, &suffix[i]);
	return out;
}

static int size_read(const struct config_key *key, const char *text, uint64_t *field,
		     char why[CONFIG_WHY_BYTES])
{
	char low[24], high[24];
	uint64_t number = 0;
	const char *end = "?";
	uint32_t shift = 0;

	(void)size_write(key->min, low, sizeof(low));
	(void)size_write(key->max, high, sizeof(high));
	if (config_digits(text, &number, &end) < 0)
		return config_wrong(why, "is not a size; give bytes, or a number with K, M or G");
	if (*end == 'k' || *end == 'K')
		shift = 10;
	else if (*end == 'm' || *end == 'M')
		shift = 20;
	else if (*end == 'g' || *end == 'G')
		shift = 30;
	if (end[shift != 0] != '\0')
		return config_wrong(why, "is not a size; give bytes, or a number with K, M or G");
	if (number > key->max >> shift || number << shift < key->min)
		return config_wrong(why, "is out of range; give a size from %s to %s", low, high);
	number <<= shift;
	if (key->kind == KIND_POWER && (number & (number - 1)) != 0)
		return config_wrong(why, "is not a power of two; take e.g. 256K, 1M or 4M");
	*field = number;
	return 0;
}

static int choice_read(const struct config_key *key, const char *text, uint32_t *field,
		       char why[CONFIG_WHY_BYTES])
{
	const struct config_choice *c;
	size_t used = 0;

	for (c = key->choices; c->name; c++) {
		if (strcmp(c->name, text) == 0) {
			*field = c->value;
			return 0;
		}
	}
	used = (size_t)snprintf(why, CONFIG_WHY_BYTES, "is none of the choices; take one of");
	for (c = key->choices; c->name && used < CONFIG_WHY_BYTES; c++)
		used += (size_t)snprintf(why + used, CONFIG_WHY_BYTES - used, " %s", c->name);
	return -EINVAL;
}

static int text_read(const struct config_key *key, const char *text, char *field,
		     char why[CONFIG_WHY_BYTES])
{
	const char *p;

	if (text[0] == ';')
		return config_wrong(why, "begins with ';'; put a blank before it for a comment");
	for (p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return config_wrong(why, "has control characters in it; remove them");
	if (strlen(text) >= key->bytes)
		return config_wrong(why, "is too long; at most %zu characters", key->bytes - 1);
	memset(field, 0, key->bytes);
	memcpy(field, text, strlen(text));
	return 0;
}

int config_value_read(const struct config_key *key, const char *text, void *field,
		      char why[CONFIG_WHY_BYTES])
{
	switch (key->kind) {
	case KIND_TEXT:
		return text_read(key, text, field, why);
	case KIND_NUMBER:
		return number_read(key, text, field, why);
	case KIND_SIZE:
	case KIND_POWER:
		return size_read(key, text, field, why);
	case KIND_CHOICE:
		return choice_read(key, text, field, why);
	case KIND_ADDRESSES:
	case KIND_NAMES:
	case KIND_PORTS:
	case KIND_WEIGHTS:
	case KIND_CORES:
	case KIND_COPY_CORES:
		return config_list_read(key, text, field, why);
	}
	return config_wrong(why, "has no known kind");
}

bool config_value_adds(const struct config_key *key)
{
	return key->kind == KIND_ADDRESSES || key->kind == KIND_NAMES || key->kind == KIND_PORTS ||
	       key->kind == KIND_WEIGHTS;
}

const char *config_value_write(const struct config_key *key, const void *field,
			       char out[CONFIG_VALUE_BYTES])
{
	const struct config_choice *c;

	out[0] = '\0';
	switch (key->kind) {
	case KIND_TEXT:
		(void)snprintf(out, CONFIG_VALUE_BYTES, "%s", (const char *)field);
		break;
	case KIND_NUMBER:
		(void)snprintf(out, CONFIG_VALUE_BYTES, "%" PRIu32, *(const uint32_t *)field);
		break;
	case KIND_SIZE:
	case KIND_POWER:
		(void)size_write(*(const uint64_t *)field, out, CONFIG_VALUE_BYTES);
		break;
	case KIND_CHOICE:
		for (c = key->choices; c->name; c++)
			if (c->value == *(const uint32_t *)field)
				(void)snprintf(out, CONFIG_VALUE_BYTES, "%s", c->name);
		break;
	case KIND_ADDRESSES:
	case KIND_NAMES:
	case KIND_PORTS:
	case KIND_WEIGHTS:
	case KIND_CORES:
	case KIND_COPY_CORES:
		config_list_write(key, field, out);
		break;
	}
	return out;
}
