/* SPDX-License-Identifier: MIT */
/*
 * environment.c - reads NCD_PORTS, NCD_EXCLUDE and NCD_CLASS.
 */
#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ncclient.h"

#define SEPARATORS ", "
#define DIGITS     "0123456789"

/* At most five digits of @text. @ret_end: what follows them. */
static bool port_read(const char *text, const char **ret_end, uint16_t *ret)
{
	size_t n = strspn(text, DIGITS);
	unsigned long port;

	if (n == 0 || n > 5)
		return false;
	port = strtoul(text, NULL, 10);
	*ret_end = text + n;
	*ret = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* The @n bytes at @item: "80" or "8000-8010". */
static bool range_add(const char *item, size_t n, struct environment_ports *p)
{
	const char *end = item;
	uint16_t first = 0, last = 0;

	if (!port_read(item, &end, &first))
		return false;
	last = first;
	if (*end == '-' && !port_read(end + 1, &end, &last))
		return false;
	if (end != item + n || first > last || p->nr == ENVIRONMENT_RANGES)
		return false;
	p->range[p->nr].first = first;
	p->range[p->nr++].last = last;
	return true;
}

static void wrong(char why[ENVIRONMENT_WHY_BYTES], const char *name, const char *item, size_t n,
		  const char *wanted)
{
	if (!why[0])
		(void)snprintf(why, ENVIRONMENT_WHY_BYTES, "%s: '%.*s' is wrong: give %s", name,
			       n < 64 ? (int)n : 64, item, wanted); /* cut is good enough */
}

/* @ret_named: NULL if the list has no names; else whether this program's is one of them. */
static void list_read(const char *name, const char *wanted, struct environment_ports *p,
		      bool *ret_named, char why[ENVIRONMENT_WHY_BYTES])
{
	const char *self = program_invocation_short_name, *item = getenv(name);
	size_t n;

	for (item = item ? item : ""; *(item += strspn(item, SEPARATORS)); item += n) {
		n = strcspn(item, SEPARATORS);
		if (range_add(item, n, p))
			continue;
		if (!ret_named || strspn(item, DIGITS "-") >= n)
			wrong(why, name, item, n, wanted);
		else if (strlen(self) == n && memcmp(item, self, n) == 0)
			*ret_named = true;
	}
}

bool environment_read(struct environment *ret, char why[ENVIRONMENT_WHY_BYTES])
{
	const char *class = getenv("NCD_CLASS"), *ports = getenv("NCD_PORTS");

	*ret = (struct environment){ .some_ports = ports && *ports };
	why[0] = '\0';
	if (class && strcmp(class, "latency") == 0)
		ret->class = NC_CLASS_LATENCY;
	else if (class && strcmp(class, "throughput") == 0)
		ret->class = NC_CLASS_THROUGHPUT;
	else if (class && *class)
		wrong(why, "NCD_CLASS", class, strlen(class), "latency or throughput");
	list_read("NCD_PORTS", "ports up to 65535, as 80,8000-8010, at most 64 items", &ret->ports,
		  NULL, why);
	list_read("NCD_EXCLUDE",
		  "names of programs, or ports up to 65535, as 80,8000-8010, at most 64 items",
		  &ret->exclude, &ret->off, why);
	return !why[0];
}

bool environment_has_port(const struct environment_ports *p, uint16_t port)
{
	for (uint32_t i = 0; i < p->nr; i++)
		if (port >= p->range[i].first && port <= p->range[i].last)
			return true;
	return false;
}
