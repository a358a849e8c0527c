/* SPDX-License-Identifier: MIT */
/*
 * way.c - what the environment says, what was learnt, and what --verbose tells.
 */
#include "way.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../environment.h"
#include "../lock.h"
#include "../process.h"
#include "file.h"
#include "ncclient.h"
#include "real.h"
#include "uring.h"

#define LEARNT_NR  64
#define PEERS_NR   8
#define LEARNT_NS  5000000000u
#define REFUSED_NS 1000000000u /* a server that is busy, or reloaded, is soon back */

struct wish {
	bool required, verbose;
	struct environment sockets;
};

struct learnt {
	unsigned char addr[16];
	uint16_t port; /* 0: all of the host's */
	enum left_why why;
	uint64_t until_ns;
};

struct memory {
	struct lock lock; /* only tried: who does not get it does without */
	struct learnt at[LEARNT_NR];
	struct learnt peer[PEERS_NR]; /* of any port */
};

/* Global: why: calls come without a context. Constant once the program runs. */
static struct wish wish;
/* Global: why: as above. */
static struct memory memory;

static bool env_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value && strcmp(value, "0") != 0;
}

/* Standard error is a connection, as inetd and vsftpd make it: what is said is not for its peer. */
static bool stderr_is_ours(void)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return file_of(STDERR_FILENO) ||
	       (real()->getsockopt(STDERR_FILENO, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		domain != AF_UNIX);
}

static void say(const char *line, int n)
{
	int err = errno;

	if (n > 0 && !stderr_is_ours())
		(void)!real()->write(STDERR_FILENO, line, (size_t)n); /* nobody listens: so be it */
	errno = err;
}

__attribute__((constructor)) static void wish_init(void)
{
	char why[ENVIRONMENT_WHY_BYTES], line[ENVIRONMENT_WHY_BYTES + 128];

	wish.required = env_set("NCD_REQUIRE");
	wish.verbose = env_set("NCD_VERBOSE");
	process_begin();
	if (!wish.required)
		process_hurry();
	if (!environment_read(&wish.sockets, why))
		say(line, snprintf(line, sizeof(line), "ncd-run: %.48s[%d]: %s\n",
				   program_invocation_short_name, getpid(), why));
	adopt_listeners(); /* here, since they depend on the above */
}

bool way_off(void)
{
	return wish.sockets.off;
}

bool way_required(void)
{
	return wish.required;
}

bool way_port(uint16_t port)
{
	return !environment_has_port(&wish.sockets.exclude, port) &&
	       (!wish.sockets.some_ports || environment_has_port(&wish.sockets.ports, port));
}

/* 16 bytes and a port of @addr; false: neither IPv4 nor IPv6. */
static bool address_of(const struct sockaddr *addr, socklen_t len, struct learnt *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!addr || len < sizeof(sa_family_t))
		return false;
	if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		ret->addr[10] = ret->addr[11] = 0xff;
		memcpy(ret->addr + 12, &in.sin_addr, 4);
		ret->port = ntohs(in.sin_port);
		return true;
	}
	if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 in6;

		memcpy(&in6, addr, sizeof(in6));
		memcpy(ret->addr, &in6.sin6_addr, 16);
		ret->port = ntohs(in6.sin6_port);
		return true;
	}
	return false;
}

uint16_t way_port_of(const struct sockaddr *addr, socklen_t len)
{
	struct learnt a;

	return address_of(addr, len, &a) ? a.port : 0;
}

/* With the lock held. */
static struct learnt *learnt_find(const struct learnt *a)
{
	uint64_t now_ns = clock_now_ns();

	for (int i = 0; i < LEARNT_NR; i++)
		if (memory.at[i].until_ns > now_ns && memcmp(memory.at[i].addr, a->addr, 16) == 0 &&
		    (memory.at[i].port == 0 || memory.at[i].port == a->port))
			return &memory.at[i];
	return NULL;
}

bool way_try(const struct sockaddr *addr, socklen_t len, enum left_why *ret_why)
{
	const struct learnt *known = NULL;
	struct learnt a;

	*ret_why = LEFT_FAMILY;
	if (wish.sockets.off || !address_of(addr, len, &a))
		return false;
	*ret_why = LEFT_URING;
	if (uring_left())
		return false;
	*ret_why = LEFT_PORT;
	if (!way_port(a.port))
		return false;
	if (lock_try(&memory.lock)) {
		known = learnt_find(&a);
		if (known)
			*ret_why = known->why;
		lock_release(&memory.lock);
	}
	return !known;
}

enum left_why way_why(int error)
{
	switch (error) {
	case -ENETUNREACH:
	case -EADDRNOTAVAIL:
		return LEFT_NO_PEER;
	case -ECONNREFUSED:
		return LEFT_NO_LISTENER;
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
		return LEFT_PEER_DOWN;
	case -EPERM:
		return LEFT_PORT;
	case -ENOENT:
	case -ESHUTDOWN:
	case -ECONNRESET:
		return LEFT_NO_NCD;
	case -EACCES:
		return LEFT_REFUSED;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ENOBUFS:
		return LEFT_NO_ROOM;
	case -EADDRINUSE:
		return LEFT_IN_USE;
	case -EAFNOSUPPORT:
	case -EOPNOTSUPP:
		return LEFT_FAMILY;
	default:
		return LEFT_OTHER;
	}
}

const char *way_why_text(enum left_why why)
{
	switch (why) {
	case LEFT_NO_PEER:
		return "not the address of a peer";
	case LEFT_PEER_DOWN:
		return "the peer does not answer";
	case LEFT_NO_LISTENER:
		return "nobody listens there through ncd";
	case LEFT_PORT:
		return "the port is excluded";
	case LEFT_NO_NCD:
		return "ncd does not run here";
	case LEFT_REFUSED:
		return "ncd refuses this program";
	case LEFT_NO_ROOM:
		return "a limit of ncd is reached";
	case LEFT_FAMILY:
		return "its kind of address";
	case LEFT_BY_CLIENT:
		return "the client came by it";
	case LEFT_IN_USE:
		return "the port is in use at ncd";
	case LEFT_URING:
		return "the program uses sockets by io_uring";
	case LEFT_OTHER:
	case LEFT_WHY_END:
		break;
	}
	return "ncd failed";
}

void way_learn(const struct sockaddr *addr, socklen_t len, int error, enum left_why why)
{
	struct learnt a, *oldest = &memory.at[0];

	if (!address_of(addr, len, &a) || !lock_try(&memory.lock))
		return;
	for (int i = 1; i < LEARNT_NR; i++)
		if (memory.at[i].until_ns < oldest->until_ns)
			oldest = &memory.at[i];
	a.why = why;
	a.until_ns = clock_now_ns() + REFUSED_NS;
	if (error != -ECONNREFUSED) {
		a.port = 0; /* not the port, but the host or our own ncd */
		a.until_ns = clock_now_ns() + LEARNT_NS;
	}
	*oldest = a;
	lock_release(&memory.lock);
}

/* The entry of the host of @a, or the oldest. With the lock held. */
static struct learnt *peer_find(const struct learnt *a)
{
	struct learnt *oldest = &memory.peer[0];

	for (int i = 0; i < PEERS_NR; i++) {
		struct learnt *r = &memory.peer[i];

		if (memcmp(r->addr, a->addr, sizeof(a->addr)) == 0)
			return r;
		if (r->until_ns < oldest->until_ns)
			oldest = r;
	}
	return oldest;
}

void way_learn_peer(const struct sockaddr *addr, socklen_t len)
{
	struct learnt a;

	if (!address_of(addr, len, &a) || !lock_try(&memory.lock))
		return;
	a.until_ns = clock_now_ns() + LEARNT_NS;
	*peer_find(&a) = a;
	lock_release(&memory.lock);
}

bool way_peer(const struct sockaddr *addr, socklen_t len)
{
	const struct learnt *r;
	struct learnt a;
	bool is;

	if (!address_of(addr, len, &a) || !lock_try(&memory.lock))
		return false;
	r = peer_find(&a);
	is = r->until_ns > clock_now_ns() && memcmp(r->addr, a.addr, sizeof(a.addr)) == 0;
	lock_release(&memory.lock);
	return is;
}

void way_apply_class(int nc)
{
	if (wish.sockets.class != NC_CLASS_AUTO)
		(void)nc_setsockopt(nc, SOL_NC, NC_CLASS, &wish.sockets.class,
				    sizeof(wish.sockets.class)); /* known to it */
}

static void address_print(const struct sockaddr *addr, socklen_t len, char *to, size_t bytes)
{
	struct learnt a;
	char text[INET6_ADDRSTRLEN];
	bool four;

	if (!address_of(addr, len, &a)) {
		(void)snprintf(to, bytes, "?"); /* fits */
		return;
	}
	four = memcmp(a.addr, "\0\0\0\0\0\0\0\0\0\0\377\377", 12) == 0;
	if (four)
		(void)inet_ntop(AF_INET, a.addr + 12, text, sizeof(text)); /* fits */
	else
		(void)inet_ntop(AF_INET6, a.addr, text, sizeof(text));       /* fits */
	(void)snprintf(to, bytes, four ? "%s:%u" : "[%s]:%u", text, a.port); /* fits */
}

void way_say(const char *what, const struct sockaddr *addr, socklen_t len, const char *why)
{
	char line[256], text[INET6_ADDRSTRLEN + 10];
	int n;

	if (!wish.verbose)
		return;
	address_print(addr, len, text, sizeof(text));
	n = snprintf(line, sizeof(line), "ncd-run: %s[%d]: %s %s: %s%s\n",
		     program_invocation_short_name, (int)getpid(), what, text,
		     why ? "kernel TCP: " : "ncd", why ? why : "");
	say(line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

void way_say_option(int level, int name)
{
	static _Atomic uint64_t told[4][2]; /* a bit for each option 0..127 of each level */
	int at = level == IPPROTO_TCP ? 2 : level == IPPROTO_IPV6 ? 3 : level & 1;
	uint64_t bit = 1ull << (name & 63);
	char line[256];
	int n;

	if (!wish.verbose)
		return;
	/* Relaxed: a line twice would not matter. */
	if (atomic_fetch_or_explicit(&told[at][name >> 6 & 1], bit, memory_order_relaxed) & bit)
		return;
	n = snprintf(line, sizeof(line),
		     "ncd-run: %s[%d]: option %d of level %d is accepted and has no effect\n",
		     program_invocation_short_name, (int)getpid(), name, level);
	say(line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

void way_say_uring(const char *what, bool refused, bool leaves)
{
	char line[256];
	int n;

	if (!wish.verbose)
		return;
	n = snprintf(line, sizeof(line), "ncd-run: %s[%d]: %s by io_uring%s%s\n",
		     program_invocation_short_name, (int)getpid(), what,
		     refused ? " is refused at sockets of ncd" : "",
		     leaves ? "; from now on its sockets: kernel TCP" : "");
	say(line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}
