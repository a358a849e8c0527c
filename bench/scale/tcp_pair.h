/* SPDX-License-Identifier: MIT */
/*
 * tcp_pair.h - both ends of a TCP connection over loopback, as a channel has it.
 */
#ifndef SCALE_TCP_PAIR_H
#define SCALE_TCP_PAIR_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* Non-blocking, the caller's to close. False, and errno, if there is none. */
static inline bool tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(a);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || fd[0] < 0 || bind(listener, (struct sockaddr *)&a, len) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&a, &len) < 0 ||
	    connect(fd[0], (struct sockaddr *)&a, len) < 0)
		return false;
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	for (int i = 0; i < 2; i++)
		if (setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
		    fcntl(fd[i], F_SETFL, O_NONBLOCK) < 0)
			return false;
	return true;
}

#endif /* SCALE_TCP_PAIR_H */
