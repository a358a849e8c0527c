/* SPDX-License-Identifier: MIT */
/*
 * option.c - nc_setsockopt, nc_getsockopt, nc_ioctl, nc_fcntl.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "ncclient.h"
#include "sock_calls.h"

#define MAXSEG_DEFAULT    1460
#define PRIORITY_FREE_MAX 6 /* everybody may set it */
/* What SO_SNDBUF says before connect, if nobody asked for more. */
#define RING_DEFAULT (4u << 20)

static int int_get(const void *val, socklen_t len, int *ret_int)
{
	if (len < sizeof(int))
		return -EINVAL;
	memcpy(ret_int, val, sizeof(int));
	return 0;
}

/* A ring size that is at least @want: a power of two within the limits. */
static uint32_t ring_size(int want)
{
	uint32_t bytes = NCD_RING_MIN;

	while (bytes < NCD_RING_MAX && (want < 0 || bytes < (uint32_t)want))
		bytes *= 2;
	return bytes;
}

static int timeout_get(const void *val, socklen_t len, uint64_t *ret_ns)
{
	struct timeval tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, val, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	if (tv.tv_sec < 0) /* as Linux: at once */
		*ret_ns = 1;
	else if (tv.tv_sec > INT32_MAX)
		*ret_ns = 0;
	else
		*ret_ns = (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
	return 0;
}

/* Tells the worker the class of a stream that is alive; `lock` is held. */
static void class_set(struct nc_sock *s, uint8_t class)
{
	s->class = class;
	if (sock_settle(s) == 0 && !attachment_dead(s->att))
		port_submit(s->port, sq_word(SQ_CLASS, s->slot_nr, class));
}

static int set_buffer(struct nc_sock *s, int want, uint32_t *at)
{
	/* Afterwards the rings stand: accepted and without effect, as a limit would be in Linux. */
	if (sock_phase(s) == PHASE_NEW)
		*at = ring_size(want);
	return 0;
}

static int set_timeout(const void *val, socklen_t len, _Atomic uint64_t *at)
{
	uint64_t ns;
	int ret = timeout_get(val, len, &ns);

	if (ret == 0)
		*at = ns;
	return ret;
}

static int set_linger(struct nc_sock *s, const void *val, socklen_t len)
{
	struct linger l;

	if (len < sizeof(l))
		return -EINVAL;
	memcpy(&l, val, sizeof(l));
	s->linger = l.l_onoff != 0;
	s->linger_s = l.l_linger < 0 ? 0 : (uint32_t)l.l_linger;
	return 0;
}

/* As socket(7): above 6 only for whom the kernel would let; it is asked, by a socket of no use. */
static int set_priority(struct nc_sock *s, int priority)
{
	int ret = 0, fd;

	if (priority < 0 || priority > PRIORITY_FREE_MAX) {
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(int)) < 0)
			ret = -EPERM;
		if (fd >= 0)
			close(fd);
		if (ret < 0)
			return ret;
	}
	s->priority = priority;
	class_set(s, priority != 0 ? NC_CLASS_LATENCY : NC_CLASS_AUTO);
	return 0;
}

static int set_socket(struct nc_sock *s, int name, const void *val, socklen_t len)
{
	int v = 0;

	if (name == SO_RCVTIMEO)
		return set_timeout(val, len, &s->recv_timeout_ns);
	if (name == SO_SNDTIMEO)
		return set_timeout(val, len, &s->send_timeout_ns);
	if (name == SO_LINGER)
		return set_linger(s, val, len);
	if (int_get(val, len, &v) < 0)
		return -EINVAL;
	switch (name) {
	case SO_RCVBUF:
		return set_buffer(s, v, &s->rx_want);
	case SO_SNDBUF:
		return set_buffer(s, v, &s->tx_want);
	case SO_PRIORITY:
		return set_priority(s, v);
	case SO_REUSEADDR:
		s->reuseaddr = v != 0;
		return 0;
	case SO_REUSEPORT:
		s->reuseport = v != 0;
		return 0;
	case SO_KEEPALIVE:
		s->keepalive = v != 0;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_tcp(struct nc_sock *s, int name, const void *val, socklen_t len)
{
	int v = 0;

	if (int_get(val, len, &v) < 0)
		return -EINVAL;
	switch (name) {
	case TCP_NODELAY:
		s->nodelay = v != 0;
		return 0;
	case TCP_QUICKACK:
		s->quickack = v != 0;
		return 0;
	case TCP_CORK:
		s->cork = v != 0;
		return 0;
	case TCP_FASTOPEN_CONNECT:
		if (sock_phase(s) != PHASE_NEW)
			return -EINVAL;
		s->fastopen = v != 0;
		return 0;
	case TCP_MAXSEG:
		s->maxseg = v;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_nc(struct nc_sock *s, int name, const void *val, socklen_t len)
{
	int v = 0;

	if (name != NC_CLASS)
		return -ENOPROTOOPT;
	if (int_get(val, len, &v) < 0 || v < NC_CLASS_AUTO || v > NC_CLASS_THROUGHPUT)
		return -EINVAL;
	class_set(s, (uint8_t)v);
	return 0;
}

int nc_setsockopt(int number, int level, int name, const void *val, socklen_t len)
{
	struct nc_sock *s = sock_find_locked(number);
	int ret = -ENOPROTOOPT;

	if (!s)
		return -EBADF;
	sock_bring(s, &s->lock);
	if (level == SOL_SOCKET)
		ret = set_socket(s, name, val, len);
	else if (level == IPPROTO_TCP)
		ret = set_tcp(s, name, val, len);
	else if (level == SOL_NC)
		ret = set_nc(s, name, val, len);
	lock_release(&s->lock);
	return ret;
}

static void tcp_info_fill(struct nc_sock *s, struct tcp_info *ret_info)
{
	struct tcp_info info = { .tcpi_state = TCP_CLOSE, .tcpi_snd_mss = MAXSEG_DEFAULT };
	struct slot_shm *slot = sock_slot(s);
	bool ended;

	switch (sock_phase(s)) {
	case PHASE_LISTENING:
		info.tcpi_state = TCP_LISTEN;
		break;
	case PHASE_CONNECTING:
		info.tcpi_state = TCP_SYN_SENT;
		break;
	case PHASE_CONNECTED:
		/* Relaxed, all: a report, old when it is read. */
		ended = atomic_load_explicit(&slot->flags, memory_order_relaxed) & SLOT_F_EOF;
		if (sock_broken(s) == 0)
			info.tcpi_state = flag_get(&s->tx.shut)
						  ? (ended ? TCP_LAST_ACK : TCP_FIN_WAIT1)
						  : (ended ? TCP_CLOSE_WAIT : TCP_ESTABLISHED);
		info.tcpi_rtt =
			(uint32_t)(atomic_load_explicit(&slot->srtt_ns, memory_order_relaxed) /
				   1000);
		break;
	default:
		break;
	}
	*ret_info = info;
}

/* What a getsockopt gives: an int most of the time. */
union value {
	int i;
	struct timeval tv;
	struct linger linger;
	struct tcp_info info;
};

static struct timeval timeout_value(uint64_t ns)
{
	return (struct timeval){ .tv_sec = (time_t)(ns / 1000000000u),
				 .tv_usec = (suseconds_t)(ns % 1000000000u / 1000) };
}

/* What a ring of @s may grow to, or what was asked for while there is none. */
static int buffer_value(struct nc_sock *s, bool tx)
{
	uint32_t want = tx ? s->tx_want : s->rx_want;
	struct slot_shm *slot = sock_slot(s);

	if (sock_phase(s) == PHASE_CONNECTED)
		/* Relaxed: a number to look at. */
		return (int)atomic_load_explicit(tx ? &slot->tx_most : &slot->rx_most,
						 memory_order_relaxed);
	return (int)(want ? want : RING_DEFAULT);
}

static int get_socket(struct nc_sock *s, int name, union value *v, socklen_t *size)
{
	switch (name) {
	case SO_ERROR:
		(void)sock_settle(s); /* the outcome of a connect is asked for so */
		v->i = -sock_take_error(s);
		return 0;
	case SO_TYPE:
		v->i = SOCK_STREAM;
		return 0;
	case SO_DOMAIN:
		v->i = s->domain;
		return 0;
	case SO_PROTOCOL:
		v->i = IPPROTO_TCP;
		return 0;
	case SO_ACCEPTCONN:
		v->i = sock_phase(s) == PHASE_LISTENING;
		return 0;
	case SO_RCVBUF:
		v->i = buffer_value(s, false);
		return 0;
	case SO_SNDBUF:
		v->i = buffer_value(s, true);
		return 0;
	case SO_RCVTIMEO:
	case SO_SNDTIMEO:
		v->tv = timeout_value(name == SO_RCVTIMEO ? s->recv_timeout_ns
							  : s->send_timeout_ns);
		*size = sizeof(v->tv);
		return 0;
	case SO_LINGER:
		v->linger = (struct linger){ .l_onoff = s->linger, .l_linger = (int)s->linger_s };
		*size = sizeof(v->linger);
		return 0;
	case SO_PRIORITY:
		v->i = s->priority;
		return 0;
	case SO_REUSEADDR:
		v->i = s->reuseaddr;
		return 0;
	case SO_REUSEPORT:
		v->i = s->reuseport;
		return 0;
	case SO_KEEPALIVE:
		v->i = s->keepalive;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int get_tcp(struct nc_sock *s, int name, union value *v, socklen_t *size)
{
	switch (name) {
	case TCP_NODELAY:
		v->i = s->nodelay;
		return 0;
	case TCP_QUICKACK:
		v->i = s->quickack;
		return 0;
	case TCP_CORK:
		v->i = s->cork;
		return 0;
	case TCP_FASTOPEN_CONNECT:
		v->i = s->fastopen;
		return 0;
	case TCP_MAXSEG:
		v->i = s->maxseg ? s->maxseg : MAXSEG_DEFAULT;
		return 0;
	case TCP_INFO:
		(void)sock_settle(s); /* whatever phase it is */
		tcp_info_fill(s, &v->info);
		*size = sizeof(v->info);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int nc_getsockopt(int number, int level, int name, void *val, socklen_t *len)
{
	struct nc_sock *s = sock_find_locked(number);
	union value v = { 0 };
	socklen_t size = sizeof(v.i);
	int ret = -ENOPROTOOPT;

	if (!s)
		return -EBADF;
	sock_bring(s, &s->lock);
	if (level == SOL_SOCKET) {
		ret = get_socket(s, name, &v, &size);
	} else if (level == IPPROTO_TCP) {
		ret = get_tcp(s, name, &v, &size);
	} else if (level == SOL_NC && name == NC_CLASS) {
		v.i = s->class;
		ret = 0;
	}
	lock_release(&s->lock);
	if (ret == 0) {
		if (*len > size)
			*len = size;
		memcpy(val, &v, *len);
	}
	return ret;
}

/* Bytes in the ring of one direction; 0 while there is none. */
static int ring_fill(struct nc_sock *s, bool tx)
{
	struct slot_shm *slot = sock_slot(s);
	uint64_t bytes;

	if (sock_settle(s) < 0)
		return 0;
	/* Relaxed, all: a number, old when it is read; but read in an order that keeps it positive.
	 */
	if (tx) {
		bytes = atomic_load_explicit(&slot->tx_head, memory_order_relaxed);
		bytes = atomic_load_explicit(&slot->tx_tail, memory_order_relaxed) - bytes;
	} else {
		bytes = atomic_load_explicit(&slot->rx_head, memory_order_relaxed);
		bytes = atomic_load_explicit(&slot->rx_tail, memory_order_relaxed) - bytes;
	}
	return bytes > NCD_RING_MAX ? (int)NCD_RING_MAX : (int)bytes;
}

int nc_ioctl(int number, unsigned long request, int *arg)
{
	struct nc_sock *s = sock_find_locked(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	sock_bring(s, &s->lock);
	switch (request) {
	case FIONBIO:
		s->nonblock = *arg != 0;
		break;
	case FIONREAD:
		if (sock_phase(s) == PHASE_LISTENING)
			ret = -EINVAL;
		else
			*arg = ring_fill(s, false);
		break;
	case SIOCOUTQ:
	case SIOCOUTQNSD: /* what the kernel below has taken is not known here: at most this much */
		if (sock_phase(s) == PHASE_LISTENING)
			ret = -EINVAL;
		else
			*arg = ring_fill(s, true);
		break;
	default:
		ret = -ENOTTY;
	}
	lock_release(&s->lock);
	return ret;
}

int nc_fcntl(int number, int cmd, int arg)
{
	struct nc_sock *s = sock_find_locked(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	if (cmd == F_GETFL)
		ret = O_RDWR | (s->nonblock ? O_NONBLOCK : 0);
	else if (cmd == F_SETFL)
		s->nonblock = (arg & O_NONBLOCK) != 0;
	else
		ret = -EINVAL;
	lock_release(&s->lock);
	return ret;
}
