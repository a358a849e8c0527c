/* SPDX-License-Identifier: MIT */
/*
 * option.c - socket options: setsockopt, getsockopt.
 *
 * What is set before a socket's way is decided acts on the kernel's socket and is remembered, to be
 * repeated on the virtual one. On a virtual socket, what libncclient knows acts; the rest is judged
 * by a kernel socket that lives for the call, unless it was before: so its errors are tcp(7)'s, and
 * it is accepted, remembered, and given back.
 */
#include <netinet/tcp.h>
#include <string.h>

#include "../memory.h"
#include "file.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"
#include "way.h"

/* With `lock` held. */
static struct file_option *option_find(struct file *f, int level, int name)
{
	struct file_option *o = f->option;

	while (o && (o->level != level || o->name != name))
		o = o->next;
	return o;
}

/* At the end of the list, so that they are repeated in their order. With `lock` held. */
static struct file_option *option_append(struct file *f, int level, int name)
{
	struct file_option **end = &f->option, *o;
	int nr = 0;

	for (; *end; end = &(*end)->next)
		nr++;
	o = nr < OPTIONS_MAX ? memory_take(1, sizeof(*o)) : NULL;
	if (!o)
		return NULL;
	o->level = level;
	o->name = name;
	*end = o;
	return o;
}

void option_remember(struct file *f, int level, int name, const void *val, socklen_t len)
{
	struct file_option *o;

	if (len > OPTION_MAX)
		return;
	lock_take(&f->lock);
	o = option_find(f, level, name);
	if (!o)
		o = option_append(f, level, name);
	if (o) {
		o->len = len;
		memcpy(o->val, val, len);
	}
	lock_release(&f->lock);
}

/* What acts without libncclient: on what the kernel's socket says of itself, and on us. */
static bool acts_before(int level, int name)
{
	return (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) ||
	       (level == IPPROTO_IP && name == IP_BIND_ADDRESS_NO_PORT);
}

void option_replay(struct file *f, int nc)
{
	lock_take(&f->lock);
	for (struct file_option *o = f->option; o; o = o->next) {
		/* Not TCP_FASTOPEN_CONNECT: whether the peer answers must be known at once. */
		if (o->level == IPPROTO_TCP && o->name == TCP_FASTOPEN_CONNECT)
			continue;
		/* Unknown to it: given back by us. */
		if (nc_setsockopt(nc, o->level, o->name, o->val, o->len) == -ENOPROTOOPT &&
		    !acts_before(o->level, o->name))
			way_say_option(o->level, o->name);
	}
	lock_release(&f->lock);
}

void option_inherit(struct file *f, struct file *from)
{
	lock_take(&from->lock);
	for (struct file_option *o = from->option; o; o = o->next)
		option_remember(f, o->level, o->name, o->val, o->len);
	lock_release(&from->lock);
}

void option_free(struct file *f)
{
	struct file_option *next;

	for (struct file_option *o = f->option; o; o = next) {
		next = o->next;
		memory_give(o);
	}
	f->option = NULL;
}

/* A kernel socket with option @level @name as the program has set it. -1 with errno. */
static int judge_open(struct file *f, int level, int name)
{
	int fd = real()->socket(f->domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct file_option *o;

	if (fd < 0)
		return -1;
	lock_take(&f->lock);
	o = option_find(f, level, name);
	if (o)
		(void)real()->setsockopt(fd, level, name, o->val, o->len); /* it did once */
	lock_release(&f->lock);
	return fd;
}

static void judge_close(int fd)
{
	int err = errno;

	(void)real()->close(fd); /* nothing is in it */
	errno = err;
}

/* ---- what was judged well before: servers set the same of each connection ---- */

/* Global: why: the kernel's judgement is the same for all of the process. A word each. */
static _Atomic uint64_t judged[16];

/* True if nothing but the value decides, which is an int. */
static bool judged_by_value(int level, int name)
{
	if (level == IPPROTO_IP)
		return name == IP_TOS;
	if (level == IPPROTO_IPV6)
		return name == IPV6_TCLASS;
	return level == IPPROTO_TCP &&
	       (name == TCP_KEEPIDLE || name == TCP_KEEPINTVL || name == TCP_KEEPCNT ||
		name == TCP_USER_TIMEOUT || name == TCP_LINGER2 || name == TCP_SYNCNT ||
		name == TCP_DEFER_ACCEPT || name == TCP_NOTSENT_LOWAT);
}

/* 0: it has to be judged each time. */
static uint64_t judged_word(const struct file *f, int level, int name, const void *val,
			    socklen_t len)
{
	uint32_t value;

	if (len != sizeof(value) || !val || !judged_by_value(level, name))
		return 0;
	memcpy(&value, val, sizeof(value));
	return (uint64_t)f->domain << 56 | (uint64_t)level << 48 | (uint64_t)name << 32 | value;
}

static _Atomic uint64_t *judged_place(uint64_t word)
{
	return &judged[(word ^ word >> 32) % (sizeof(judged) / sizeof(judged[0]))];
}

static bool was_judged(uint64_t word)
{
	/* Relaxed: a lone fact. */
	return word && atomic_load_explicit(judged_place(word), memory_order_relaxed) == word;
}

/* As setsockopt(2): what a new socket of the kernel says. */
static int judge(struct file *f, int level, int name, const void *val, socklen_t len)
{
	uint64_t word = judged_word(f, level, name, val, len);
	int fd, ret;

	if (was_judged(word))
		return 0;
	fd = judge_open(f, level, name);
	if (fd < 0)
		return -1;
	ret = real()->setsockopt(fd, level, name, val, len);
	judge_close(fd);
	if (ret == 0 && word)
		/* Relaxed: as above. */
		atomic_store_explicit(judged_place(word), word, memory_order_relaxed);
	return ret;
}

static int virtual_set(struct file *f, int level, int name, const void *val, socklen_t len)
{
	ssize_t ret = nc_setsockopt(file_nc(f), level, name, val, len);

	if (ret != -ENOPROTOOPT || level == SOL_NC)
		return (int)file_result(f, ret);
	ret = judge(f, level, name, val, len);
	if (ret == 0) {
		option_remember(f, level, name, val, len);
		way_say_option(level, name);
	}
	return (int)ret;
}

static int virtual_get(struct file *f, int level, int name, void *val, socklen_t *len)
{
	ssize_t ret = nc_getsockopt(file_nc(f), level, name, val, len);
	int fd;

	if (ret == 0 && level == SOL_SOCKET && name == SO_ERROR && file_pending(f)) {
		memset(val, 0, *len); /* not before it is settled: nobody hears of it */
		return 0;
	}
	if (ret != -ENOPROTOOPT || level == SOL_NC)
		return (int)file_result(f, ret);
	fd = judge_open(f, level, name);
	if (fd < 0)
		return -1;
	ret = real()->getsockopt(fd, level, name, val, len);
	judge_close(fd);
	return (int)ret;
}

/*
 * True of what must not seem to work: who has SO_ZEROCOPY waits for completions that do not come
 * from a virtual socket. Of one that may become virtual, too: it can not be taken back then.
 */
static bool refused(const struct file *f, int level, int name, const void *val, socklen_t len)
{
	int wanted = 0;

	if (level != SOL_SOCKET || name != SO_ZEROCOPY || len < sizeof(wanted) || !f->domain)
		return false;
	memcpy(&wanted, val, sizeof(wanted));
	return wanted != 0;
}

EXPORT int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct file *f = file_of(fd);
	int ret;

	if (f && file_pending(f)) {
		(void)file_virtual(fd); /* settles */
		f = file_of(fd);
	}
	if (f && val && refused(f, level, name, val, len)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (f && file_kind(f) == FILE_VIRTUAL) {
		ret = virtual_set(f, level, name, val, len);
		if (ret < 0 && file_of(fd) != f) /* the kernel's, since just now */
			return real()->setsockopt(fd, level, name, val, len);
		if (ret == 0 && level != SOL_NC && file_pending(f))
			pending_option(f, level, name, val, len);
		return ret;
	}
	/* Known to ncd alone: for the virtual socket that this one may become. */
	ret = f && level == SOL_NC ? 0 : real()->setsockopt(fd, level, name, val, len);
	if (ret == 0 && f && val && (file_kind(f) == FILE_KERNEL || file_kind(f) == FILE_LISTENER))
		option_remember(f, level, name, val, len);
	if (ret == 0 && f && file_kind(f) == FILE_LISTENER && file_nc(f) >= 0)
		(void)nc_setsockopt(file_nc(f), level, name, val, len); /* as option_replay */
	return ret;
}

EXPORT int getsockopt(int fd, int level, int name, void *__restrict val, socklen_t *__restrict len)
{
	struct file *f = file_virtual(fd);
	int ret;

	/* The descriptor's is as good a name as any, and stays. */
	if (f && level == SOL_SOCKET && name == SO_COOKIE)
		pollfd_use(file_nc(f));
	if (!f || (level == SOL_SOCKET && name == SO_COOKIE))
		return real()->getsockopt(fd, level, name, val, len);
	if ((int)*len < 0) {
		errno = EINVAL;
		return -1;
	}
	ret = virtual_get(f, level, name, val, len);
	/* The kernel's, since just now. */
	return ret < 0 && file_of(fd) != f ? real()->getsockopt(fd, level, name, val, len) : ret;
}
