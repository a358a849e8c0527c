/* SPDX-License-Identifier: MIT */
/*
 * sem.h - the socket-semantics suite: cases that print facts, and what they are made of.
 *
 * A case is a function that uses TCP sockets as any program does and prints what it saw: results,
 * errno, events. It holds no expected values. run.sh runs each case on kernel TCP and under ncd-run
 * and compares the lines; so a fact must be the same in any two runs on kernel TCP, on an idle or a
 * busy machine: no port, no size of a buffer, no time, no partial count is printed as it is.
 *
 * Every case has a process of its own, which ends with it: it need not close what it opened.
 *
 *   near end: the socket that a case looks at     far end: does what it is told
 *       pair.fd  ---------------- TCP ----------------  an agent: a thread, or a process of its own
 *          ^                                                ^     (far.c)
 *          +-- the case --- requests, over a socketpair ----+
 *
 * Environment: SEM_ADDR the address of the near host (127.0.0.1), SEM_FAR_ADDR that of the far one
 *   (SEM_ADDR), SEM_ADDR6 (::1), SEM_NEAR=accepted: the near end listens, otherwise it connects,
 *   SEM_FAR=process: the agent is a process, with NCD_SOCKET=$SEM_FAR_SOCKET, and with
 *   SEM_FAR_PLAIN without LD_PRELOAD.
 * Ownership: a pair and its descriptors belong to the case.
 * Threading: a pair is used by the thread that made it; its fd by any.
 */
#ifndef SEM_H
#define SEM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct sem_case {
	const char *name;
	void (*run)(void);
	bool far; /* its far end is an agent: it can run between two hosts */
};
#define CASE(function)                     \
	{                                  \
#function, function, false \
	}
#define FAR_CASE(function)                \
	{                                 \
#function, function, true \
	}
#define CASES_END                 \
	{                         \
		NULL, NULL, false \
	}

/* One table for each file of cases. */
extern const struct sem_case cases_connect[], cases_bind[], cases_listen[], cases_accept[],
	cases_send[], cases_recv[], cases_peek[], cases_message[], cases_shutdown[], cases_reset[],
	cases_nonblock[], cases_option[], cases_option_tcp[], cases_poll[], cases_select[],
	cases_epoll[], cases_epoll_edge[], cases_dup[], cases_fcntl[], cases_sendfile[],
	cases_stdio[], cases_threads[], cases_signal[], cases_timeout[], cases_fork[],
	cases_prefork[], cases_broken[], cases_large[], cases_ipv6[], cases_names[], cases_uring[],
	cases_uring_data[], cases_uring_raw[],
	cases_progress[], cases_reuseport[], cases_syscall[], cases_process[], cases_cancel[],
	cases_fortify[], cases_limit[], cases_pass[], cases_handler[];

/* ---- facts (fact.c) ---- */

/* Prints one line. */
void fact(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints "text: result", with the name of errno if the result is -1. Returns it, keeps errno. */
long fact_call(const char *text, long result);
#define CALL(expression) fact_call(#expression, (long)(expression))
/* Prints "text: n 'bytes'" (or the errno); n is what a receiving call returned. */
void fact_bytes(const char *text, ssize_t n, const void *bytes);
/* poll(2) of one descriptor, printed: "poll IN|OUT: IN". @timeout_ms as in poll(2). */
void fact_poll(int fd, int events, int timeout_ms);
/* The same with all events and no wait. */
void fact_ready(int fd);
/* Writes "IN|HUP", or "nothing", into @buf and returns it. */
#define EVENTS_LEN 96
const char *events_name(uint32_t events, char *buf);
/* SIGPIPEs since the last call. */
int sigpipes(void);
int64_t now_ms(void);

/* ---- waiting, at most WAIT_MS, then a line says so (wait.c) ---- */

#define WAIT_MS 5000
/* For any of @events, or an error or hang-up. Returns what poll said. */
int wait_for(int fd, int events);
/* Until at least @n bytes can be read. */
void wait_bytes(int fd, int n);
/* Until the other side has acknowledged, or reset: POLLERR or POLLHUP. */
void wait_broken(int fd);
/* A moment: for conditions that only asking again can tell. */
void moment(void);

/* ---- sockets (socket.c) ---- */

struct sockaddr_in near_addr(uint16_t port);
int tcp_socket(void);
/* Listens on a free port of the near address. */
int listener_open(uint16_t *ret_port);
int listener_open_on(int s, uint16_t *ret_port);
/* Connects to the near address, blocking. */
int client_open(uint16_t port);
uint16_t local_port(int s);
uint16_t remote_port(int s);
/* A port of the near address that nobody listens on; *ret_holder keeps it so until closed. */
uint16_t dead_port(int *ret_holder);
/* Both ends in this thread. */
struct ends {
	int c, s; /* what connected, what was accepted */
};
struct ends ends_open(void);
/* No memory is there; the compiler does not know. */
void *bad_pointer(void);
void set_nonblocking(int fd, bool on);
/* A message over the Unix socket @over that holds @fd alone; as sendmsg(2) and recvmsg(2). */
ssize_t rights_send(int over, int fd);
ssize_t rights_receive(int over, int *ret_fd);
int option(int s, int level, int name);
int set_option(int s, int level, int name, int value);
/* Sends until EAGAIN; returns how many bytes. The socket must not block. */
size_t fill(int fd);

/* ---- the byte at each offset, and checks of it (pattern.c) ---- */

void pattern_fill(uint8_t *buf, uint64_t off, size_t len);
bool pattern_is(const uint8_t *buf, uint64_t off, size_t len);
/* Sends, receives @len bytes from offset @off. Returns how many were sent, or received and right.
 */
size_t pattern_send(int fd, uint64_t off, size_t len, size_t chunk);
size_t pattern_recv(int fd, uint64_t off, size_t len, size_t chunk);

/* ---- pairs (far.c) ---- */

struct pair {
	int fd;      /* the near end */
	int control; /* to the agent */
};
#define FAR_BYTES 4096

struct pair pair_open(void);
/* Not connected yet: the far end listens at *ret_to. far_accept is for when the near one has
 * connected, or has begun to. */
struct pair pair_listening(struct sockaddr_in *ret_to);
long far_accept(struct pair *p);
/* With small buffers at both ends, so that a sender soon has to wait. */
struct pair pair_open_small(void);
/* What the far end does; each returns the result, with errno. They return when it is done. */
long far_send(struct pair *p, const char *text);
long far_recv(struct pair *p, char *buf, size_t len); /* one recv of at most FAR_BYTES */
long far_pump(struct pair *p, size_t len);            /* sends the pattern */
long far_drain(struct pair *p, size_t len);           /* receives it; how much was right */
long far_shutdown(struct pair *p, int how);
long far_close(struct pair *p);
long far_reset(struct pair *p); /* closes with SO_LINGER 0 */
/* The same, not waited for; far_finish waits for the oldest and returns its result. */
void far_start_send(struct pair *p, const char *text);
void far_start_pump(struct pair *p, size_t len);
void far_start_drain(struct pair *p, size_t len);
void far_start_echo(struct pair *p); /* until the end of the stream, then closes; its bytes */
void far_start_close(struct pair *p);
long far_finish(struct pair *p);
/* What `semantics --agent N` does. */
int far_main(int control);

#endif /* SEM_H */
