/* SPDX-License-Identifier: MIT */
/*
 * config_host.c - the part of the configuration that the machine decides: its addresses, its cores,
 * its users and what its kernel offers.
 */
#include <errno.h>
#include <grp.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "config_key.h"
#include "endpoint.h"

#define WORKERS_AUTO_MAX 4

static bool address_link_local(const struct address *a)
{
	return a->byte[0] == 0xfe && (a->byte[1] & 0xc0) == 0x80;
}

static void addresses_of_interfaces(struct config_addresses *list)
{
	struct ifaddrs *first = NULL, *i;
	struct address a = { 0 };
	uint16_t port;

	/* On failure: as if there were none. */
	if (getifaddrs(&first) < 0)
		first = NULL;
	for (i = first; i && list->nr < NCD_ADDRS_MAX; i = i->ifa_next) {
		if (i->ifa_addr == NULL || (i->ifa_flags & IFF_LOOPBACK) ||
		    !(i->ifa_flags & IFF_UP))
			continue;
		if (endpoint_from_sockaddr(i->ifa_addr, &a, &port) < 0 || address_link_local(&a))
			continue;
		list->address[list->nr++] = a;
	}
	freeifaddrs(first);
	if (list->nr == 0 && address_parse("127.0.0.1", &a) == 0)
		list->address[list->nr++] = a;
}

/* 0, or why a socket cannot have @a (-EADDRNOTAVAIL: is not local). */
static int address_try(const struct address *a)
{
	struct sockaddr_storage sa;
	socklen_t bytes = endpoint_to_sockaddr(a, 0, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = bind(fd, (const struct sockaddr *)&sa, bytes) < 0 ? -errno : 0;
	(void)close(fd); /* nothing was written */
	return r;
}

int config_key_fail(const struct config *c, const char *section, const char *name,
		    char error[CONFIG_ERROR_BYTES], const char *fmt, ...)
{
	uint32_t i, nr, line = 0;
	const struct config_key *keys = config_keys(&nr);
	char at[16] = "";
	va_list args;
	size_t used;

	for (i = 0; i < nr; i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
			line = c->line[i];
	if (line)
		(void)snprintf(at, sizeof(at), ":%" PRIu32, line);
	used = (size_t)snprintf(error, CONFIG_ERROR_BYTES, "%.256s%s: [%s] %s = ", c->file, at,
				section, name);
	va_start(args, fmt);
	(void)vsnprintf(error + used, CONFIG_ERROR_BYTES - used, fmt, args);
	va_end(args);
	return -EINVAL;
}

static int resolve_addresses(struct config *c, char error[CONFIG_ERROR_BYTES])
{
	char text[ADDRESS_TEXT_BYTES];
	uint32_t i, j, k;
	int r;

	if (c->addresses.nr == 0)
		addresses_of_interfaces(&c->addresses);
	for (i = 0; i < c->addresses.nr; i++) {
		const struct address *a = &c->addresses.address[i];

		address_format(a, text);
		r = address_try(a);
		if (r == -EADDRNOTAVAIL)
			return config_key_fail(
				c, "host", "address", error,
				"%s: is not an address of this machine; see 'ip address', or "
				"remove the key to use all there are",
				text);
		if (r < 0)
			return config_key_fail(c, "host", "address", error,
					       "%s: cannot be used: %s; give "
					       "another",
					       text, strerror(-r));
		for (j = 1; j < c->peer_nr; j++)
			for (k = 0; k < c->peer[j].addresses.nr; k++)
				if (address_equal(a, &c->peer[j].addresses.address[k]))
					return config_key_fail(
						c, "host", "address", error,
						"%s: is also that of [peer %s]; name this "
						"host's own with [host] address",
						text, c->peer[j].name);
	}
	return 0;
}

uint32_t config_workers(const struct config *c, int ret_cpu[NCD_WORKERS_MAX])
{
	cpu_set_t allowed;
	uint32_t i, nr = c->cores.nr;
	int online = 1;

	if (c->cores.choice == CORES_AUTO) {
		if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
			online = CPU_COUNT(&allowed);
		nr = (uint32_t)online / 2;
		nr = nr < 1 ? 1 : nr > WORKERS_AUTO_MAX ? WORKERS_AUTO_MAX : nr;
	}
	/* Only a list pins: else the kernel puts a worker beside the applications that wake it. */
	for (i = 0; i < nr; i++)
		ret_cpu[i] = c->cores.choice == CORES_LIST ? (int)c->cores.cpu[i] : -1;
	return nr;
}

/* That this process may use all cores of @key. */
static int cores_try(const struct config *c, const char *key, const struct config_cores *cores,
		     const char *instead, char error[CONFIG_ERROR_BYTES])
{
	cpu_set_t allowed;
	uint32_t i;

	if (cores->choice != CORES_LIST || sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 0;
	for (i = 0; i < cores->nr; i++)
		if (cores->cpu[i] >= CPU_SETSIZE || !CPU_ISSET(cores->cpu[i], &allowed))
			return config_key_fail(c, "workers", key, error,
					       "%" PRIu32
					       ": is not a core that this process may use; see "
					       "'nproc' and 'lscpu', or give '%s'",
					       cores->cpu[i], instead);
	return 0;
}

static int resolve_cores(const struct config *c, char error[CONFIG_ERROR_BYTES])
{
	int r = cores_try(c, "cores", &c->cores, "auto", error);
	uint32_t i, j;

	if (r == 0)
		r = cores_try(c, "copy_cores", &c->copy_cores, "none", error);
	if (r < 0)
		return r;
	for (i = 0; i < c->copy_cores.nr; i++)
		for (j = 0; c->cores.choice == CORES_LIST && j < c->cores.nr; j++)
			if (c->copy_cores.cpu[i] == c->cores.cpu[j])
				return config_key_fail(
					c, "workers", "copy_cores", error,
					"%" PRIu32 ": is also a core of [workers] cores, and one "
						   "core does one of both; give another, or 'none'",
					c->copy_cores.cpu[i]);
	return 0;
}

/* One of the keys of congestion control. */
static int congestion_try(const struct config *c, const char *key, const char *name,
			  char error[CONFIG_ERROR_BYTES])
{
	int fd, r;

	if (name[0] == '\0')
		return 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return config_key_fail(c, "channels", key, error,
				       "%s: no socket to try it with: %s", name, strerror(errno));
	r = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0 ? -errno
											    : 0;
	(void)close(fd); /* nothing was written */
	if (r < 0)
		return config_key_fail(c, "channels", key, error,
				       "%s: the kernel refuses it: %s; take one of "
				       "net.ipv4.tcp_allowed_congestion_control",
				       name, strerror(-r));
	return 0;
}

static void system_congestion(char name[16])
{
	socklen_t bytes = 16;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes) < 0)
		name[0] = '\0'; /* not known: left as it is */
	if (fd >= 0)
		(void)close(fd); /* nothing was written */
}

static int resolve_congestion(struct config *c, char error[CONFIG_ERROR_BYTES])
{
	int r = congestion_try(c, "congestion", c->congestion, error);

	system_congestion(c->system_congestion);
	if (r == 0)
		r = congestion_try(c, "latency_congestion", c->latency_congestion, error);
	if (r == 0)
		r = congestion_try(c, "throughput_congestion", c->throughput_congestion, error);
	return r;
}

static int resolve_users(const struct config *c, char error[CONFIG_ERROR_BYTES])
{
	uint32_t i;

	if (c->user[0] && getpwnam(c->user) == NULL)
		return config_key_fail(c, "daemon", "user", error,
				       "%s: no such user; create it, or remove "
				       "the key",
				       c->user);
	if (c->group[0] && getgrnam(c->group) == NULL)
		return config_key_fail(c, "daemon", "group", error,
				       "%s: no such group; create it, or remove "
				       "the key",
				       c->group);
	for (i = 0; i < c->access_users.nr; i++)
		if (getpwnam(c->access_users.name[i]) == NULL)
			return config_key_fail(c, "access", "user", error,
					       "%s: no such user; create it, or "
					       "remove the name",
					       c->access_users.name[i]);
	for (i = 0; i < c->access_groups.nr; i++)
		if (getgrnam(c->access_groups.name[i]) == NULL)
			return config_key_fail(c, "access", "group", error,
					       "%s: no such group; create it, "
					       "or remove the name",
					       c->access_groups.name[i]);
	return 0;
}

int config_resolve(struct config *c, char error[CONFIG_ERROR_BYTES])
{
	int r = resolve_addresses(c, error);

	if (r == 0)
		r = resolve_cores(c, error);
	if (r == 0)
		r = resolve_congestion(c, error);
	if (r == 0)
		r = resolve_users(c, error);
	return r;
}
