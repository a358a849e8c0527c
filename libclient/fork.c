/* SPDX-License-Identifier: MIT */
/*
 * fork.c - what happens to virtual sockets when the process forks.
 *
 * The child must not use its parent's rings: it forgets the attachment, and closes the inherited
 * descriptors of it, so that the daemon sees the parent's end when it comes. Sockets that are
 * shared (share.c) stay, and are fetched when they are used. Its own first socket attaches anew.
 * What the parent had allocated stays allocated: its locks may be held by threads that the child
 * does not have.
 */
#include <pthread.h>

#include "copy.h"
#include "memory.h"
#include "pair.h"
#include "poll_queue.h"
#include "process.h"
#include "sock_calls.h"

static void child_close_socket(struct nc_sock *s)
{
	pollfd_close(s);
}

static void child_close_attachment(struct attachment *att)
{
	close(att->ctl_fd);
	if (att->spare_fd >= 0)
		close(att->spare_fd);
	for (uint64_t i = 0; i < att->port_nr; i++)
		close(att->port[i].doorbell_fd);
	copier_close_fds(att->copier);
	for (uint32_t i = 0; i < NCD_QP_NR; i++)
		if (att->cq[i].fd >= 0) {
			close(att->cq[i].fd);
			close(att->cq[i].fd_peer);
		}
}

void process_before_fork(void)
{
	pair_before_fork();
	share_before_fork();
}

void process_fork_child(void)
{
	memory_forget();
	poll_queue_forget();
	process_forget(child_close_socket, child_close_attachment);
	pair_forget();
}

static void fork_hook(void)
{
	/* Out of memory: as without the hook. */
	(void)pthread_atfork(process_before_fork, NULL, process_fork_child);
}

void process_hooks(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, fork_hook); /* cannot fail */
}
