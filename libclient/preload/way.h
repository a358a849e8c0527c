/* SPDX-License-Identifier: MIT */
/*
 * way.h - which way a connection goes: what the user wants, and what was learnt of late.
 *
 * Ownership: static. Threading: any thread.
 */
#ifndef PRELOAD_WAY_H
#define PRELOAD_WAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ncd/shm_abi.h"

/* This program is left alone, or ncd was told to stay out. */
bool way_off(void);
/* No falling back to the kernel. */
bool way_required(void);
/* False: sockets with this port are left to the kernel. */
bool way_port(uint16_t port);
/* True if there is a reason to try ncd for a connection to @addr; else *ret_why says why not. */
bool way_try(const struct sockaddr *addr, socklen_t len, enum left_why *ret_why);
/* What @error of ncd means for who wanted to connect or listen; and in words. */
enum left_why way_why(int error);
const char *way_why_text(enum left_why why);
/* ncd said @error about it, which means @why: the next few seconds nobody tries. */
void way_learn(const struct sockaddr *addr, socklen_t len, int error, enum left_why why);
/* The host is a peer of our ncd's; and whether it was a moment ago. */
void way_learn_peer(const struct sockaddr *addr, socklen_t len);
bool way_peer(const struct sockaddr *addr, socklen_t len);
/* The port of an IPv4 or IPv6 address; 0 for another. */
uint16_t way_port_of(const struct sockaddr *addr, socklen_t len);
/* The class asked for by --class, for each virtual socket. */
void way_apply_class(int nc);

/* --verbose: one line. @what is "connect", "listen" or "accept"; @why NULL: it goes through ncd. */
void way_say(const char *what, const struct sockaddr *addr, socklen_t len, const char *why);
/* --verbose, once for each: an option that has no effect on a virtual socket. */
void way_say_option(int level, int name);
/* --verbose: the program has done @what by io_uring. @refused: at a virtual socket; @leaves: what
 * is new is the kernel's from now on. */
void way_say_uring(const char *what, bool refused, bool leaves);

#endif /* PRELOAD_WAY_H */
