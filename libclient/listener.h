/* SPDX-License-Identifier: MIT */
/*
 * listener.h - a listening virtual socket beside a kernel's, which other processes may have too:
 * for who accepts from both (libclient/preload).
 *
 * Ownership: the socket is the caller's, closed by nc_close. Threading: any thread.
 */
#ifndef NC_LISTENER_H
#define NC_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>

/*
 * nc_bind and nc_listen in one, entitled by @title, a socket of the kernel that listens there. With
 * those of other processes that have the same @title it shares what arrives. As nc_bind and
 * nc_listen; -EINVAL: @title does not listen there.
 */
int listener_open(int number, const struct sockaddr *addr, socklen_t len, int backlog, int title);
/*
 * nc_accept4 of a non-blocking socket, for a program whose accept @blocks: what it took is not told
 * by the pollable descriptor later. Else the program, which accepts once for each time that it was
 * told, would wait for another stream. May wait for the daemon to be done with telling.
 * @prepare, if not NULL, gets the new socket's number before a stream is taken for it, and may fail
 * with -errno: the stream stays in the queue. If it has worked and nothing is accepted after all,
 * the number is closed, and what was prepared is the caller's to undo.
 */
int listener_accept(int number, struct sockaddr *addr, socklen_t *addrlen, int flags, bool blocks,
		    int (*prepare)(int number, void *arg), void *arg);
/*
 * The calling thread has looked, and sleeps until a stream comes; and no more. What others are too
 * busy to accept comes to who waits. Of a number that does not listen: nothing.
 */
void listener_wait_begin(int number);
void listener_wait_end(int number);
/* The calling thread has looked, and does not wait: there may be something the next time. */
void listener_ask(int number);
/* The calling thread has something else to do first: what is queued may go to others. */
void listener_busy(int number);

/* It listens no more: the daemon has gone, or the number is another's. */
bool listener_dead(int number);

#endif /* NC_LISTENER_H */
