/* SPDX-License-Identifier: MIT */
/*
 * control_socket.h - the listening Unix socket: made here, or passed by systemd; one ncd a socket.
 *
 * Ownership: the lock lasts until control_socket_close, the descriptor is handed on.
 * Threading: control.
 */
#ifndef NCD_CONTROL_SOCKET_H
#define NCD_CONTROL_SOCKET_H

#include <stdbool.h>

#include "config.h"

struct control_socket {
	int fd;      /* listening; -1 once it is somebody else's */
	int lock_fd; /* PATH.lock, flock(2)ed */
	bool passed; /* by systemd, which keeps the file */
	bool made;   /* the file is ours to remove */
	bool directory_made;
	char path[108];
};

/*
 * Opens the socket at @path, replacing what a dead ncd left, or takes the one that systemd passes.
 * 0, or -errno with one line in @error; -EADDRINUSE: another ncd is there.
 */
int control_socket_open(struct control_socket *cs, const char *path,
			char error[CONFIG_ERROR_BYTES]);
/* Removes the file if it was made here; ends the lock. An unopened one (fds -1) is allowed. */
void control_socket_close(struct control_socket *cs);

#endif /* NCD_CONTROL_SOCKET_H */
