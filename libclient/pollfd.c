/* SPDX-License-Identifier: MIT */
/*
 * pollfd.c - a real descriptor that is readable and writable when the virtual socket is.
 *
 * It is one end of a pair of stream sockets; the daemon has a copy of the other. It is kept true
 * only while somebody lets the kernel wait for it: he is a watcher. Without one no call of the
 * library makes a syscall for it, and the daemon is not asked for anything.
 *
 *   readable  a byte ("token") is in it. The daemon writes one for each NOTIFY_FD(EV_IN) it serves;
 *             we take the tokens out when there is nothing to read.
 *   writable  its send buffer has room. We fill it when the tx ring is full; the daemon empties it
 *             when it serves NOTIFY_FD(EV_OUT), but for one byte.
 *   hung up   the daemon has shut its end down and closed it, with that byte in it. Once nobody has
 *             that end any more, the kernel makes POLLERR of it, until SO_ERROR is asked for. At
 *             the end of the stream the daemon shuts its end down for writing: POLLRDHUP.
 *
 * How it is kept true: pollfd_sync.c.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "ncclient.h"
#include "pair.h"
#include "pollfd.h"
#include "process.h"
#include "sock_calls.h"

/*
 * Of who is given the descriptor for good we need not make up for anything later: our copy of the
 * other end goes, so that the daemon's is the last. But beside the kernel's listener, where the end
 * of the daemon is nobody's to see: who polls both and is told would accept, and there is nobody.
 */
static void pollfd_give(struct nc_sock *s)
{
	if (!s->pollfd_given || !s->pollfd_joined || s->pollfd_peer < 0 || flag_get(&s->beside))
		return;
	close(s->pollfd_peer);
	s->pollfd_peer = -1;
}

int pollfd_join(struct nc_sock *s)
{
	struct ctl_pollfd msg = { .head.type = CTL_POLLFD };
	int ret;

	if (s->pollfd_joined || s->pollfd_peer < 0 || !sock_watched(s))
		return 0;
	if (sock_phase(s) == PHASE_LISTENING) {
		msg.slot = s->acceptor->number | CQ_LISTENER;
	} else {
		msg.worker = s->port->worker;
		msg.slot = s->slot_nr;
	}
	/* Readable until it is known better: the daemon writes no token for what is there already.
	 */
	(void)send(s->pollfd_peer, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* empty: has room */
	ret = control_ask(s->att, &msg, sizeof(msg), s->pollfd_peer, NULL);
	if (ret == -EBADF && sock_phase(s) == PHASE_CONNECTING) {
		/* The question was faster than SQ_OPEN. */
		slot_await_taken(s);
		ret = control_ask(s->att, &msg, sizeof(msg), s->pollfd_peer, NULL);
	}
	s->pollfd_joined = true;
	if (ret < 0 && flag_get(&s->beside)) {
		pollfd_sync_in(s); /* nobody comes */
		return ret;
	}
	if (ret < 0) {
		(void)shutdown(s->pollfd, SHUT_RDWR); /* hung up: calls will tell why */
		return ret;
	}
	pollfd_sync_in(s);
	pollfd_sync_out(s);
	pollfd_show(s);
	pollfd_give(s);
	return 0;
}

void pollfd_fetched(struct nc_sock *s)
{
	s->pollfd_joined = true;
	s->rx.end_shown = false;
	if (sock_watched(s))
		pollfd_catch_up(s);
}

int pollfd_copy(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy >= 0 ? copy : errno == EMFILE ? -EMFILE : -ENOMEM;
}

/* A new pair; its first end takes the place of the descriptor that there is already, if any. */
static int pair_make(struct nc_sock *s)
{
	uint32_t forks = pair_forks();
	int pair[2], ret = pair_take(pair);

	if (ret < 0)
		return ret;
	if (s->pollfd < 0) {
		s->pollfd = pair[0];
		s->pollfd_forks = forks;
		/* Relaxed: with all locks held. */
		atomic_store_explicit(&s->pollfd_plain, true, memory_order_relaxed);
	} else {
		ret = dup3(pair[0], s->pollfd, O_CLOEXEC) < 0 ? -ENOMEM : 0;
		close(pair[0]);
	}
	if (ret < 0) {
		close(pair[1]);
		return ret;
	}
	if (s->pollfd_peer >= 0)
		close(s->pollfd_peer);
	s->pollfd_peer = pair[1];
	s->pollfd_joined = false;
	s->tx.raised = false;
	return 0;
}

int pollfd_create(struct nc_sock *s)
{
	return s->pollfd >= 0 ? 0 : pair_make(s);
}

int pollfd_renew(struct nc_sock *s)
{
	return s->pollfd_given && s->pollfd_joined ? pair_make(s) : 0;
}

/* One watcher more. With all locks held. */
static int pollfd_watch_locked(struct nc_sock *s)
{
	/* Relaxed: changes with all locks held, and who must know holds one of them. */
	uint32_t before = atomic_fetch_add_explicit(&s->watchers, 1, memory_order_relaxed);
	int ret = 0;

	pollfd_used(s);
	if (sock_phase(s) == PHASE_NEW)
		return 0; /* writable; joined by connect or listen */
	if (sock_phase(s) == PHASE_FAILED && !s->pollfd_joined) {
		(void)shutdown(s->pollfd_peer, SHUT_RDWR); /* hung up until it connects anew */
		s->pollfd_joined = true;
	}
	if (!s->pollfd_joined)
		ret = pollfd_join(s);
	else if (before == 0)
		pollfd_catch_up(s);
	pollfd_give(s);
	if (sock_phase(s) != PHASE_LISTENING && sock_broken(s) < 0 && flag_get(&s->error_taken))
		pollfd_take_error(s);
	return ret;
}

static struct nc_sock *sock_find_all_locked(int number)
{
	struct nc_sock *s = sock_find(number);

	if (!s)
		return NULL;
	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	if (sock_open(s))
		return s;
	lock_release(&s->lock);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
	return NULL;
}

void sock_release_all(struct nc_sock *s)
{
	lock_release(&s->lock);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
}

int pollfd_unwatched(int number)
{
	struct nc_sock *s = sock_find_all_locked(number);
	int ret;

	if (!s)
		return -EBADF;
	ret = pollfd_create(s);
	if (ret == 0)
		ret = s->pollfd;
	sock_release_all(s);
	return ret;
}

int pollfd_watch(int number)
{
	struct nc_sock *s = sock_find_all_locked(number);
	int ret;

	if (!s)
		return -EBADF;
	(void)sock_settle(s); /* whatever phase it is */
	ret = pollfd_create(s);
	if (ret == 0) {
		/* A dead daemon hangs the descriptor up, which is what its user must see. */
		(void)pollfd_watch_locked(s);
		ret = s->pollfd;
	}
	sock_release_all(s);
	return ret;
}

void pollfd_unwatch(int number)
{
	struct nc_sock *s = sock_find_all_locked(number);

	if (!s)
		return;
	if (sock_watched(s))
		/* Relaxed: as in pollfd_watch_locked. */
		atomic_fetch_sub_explicit(&s->watchers, 1, memory_order_relaxed);
	sock_release_all(s);
}

int nc_pollfd(int number)
{
	struct nc_sock *s = sock_find_all_locked(number);
	int ret;

	if (!s)
		return -EBADF;
	(void)sock_settle(s); /* whatever phase it is */
	ret = pollfd_create(s);
	if (ret == 0 && !s->pollfd_given) {
		s->pollfd_given = true; /* whoever has it may let the kernel wait at any time */
		(void)pollfd_watch_locked(s); /* as in pollfd_watch */
	}
	if (ret == 0)
		ret = s->pollfd;
	sock_release_all(s);
	return ret;
}

void pollfd_use(int number)
{
	struct nc_sock *s = sock_find(number);

	if (s)
		pollfd_used(s);
}

void pollfd_close(struct nc_sock *s)
{
	const int pair[2] = { s->pollfd, s->pollfd_peer };

	/* Relaxed: with all locks held. */
	if (atomic_load_explicit(&s->pollfd_plain, memory_order_relaxed) && pair[1] >= 0) {
		s->pollfd = s->pollfd_peer = -1;
		pair_give(pair, s->pollfd_forks);
		return;
	}
	if (s->pollfd >= 0)
		close(s->pollfd);
	if (s->pollfd_peer >= 0)
		close(s->pollfd_peer);
	s->pollfd = s->pollfd_peer = -1;
}
