/* SPDX-License-Identifier: MIT */
/*
 * client_test.h - what most tests of the library begin with: a connected socket and the fake's side
 * of it, and a call that runs in a thread of its own because it blocks.
 */
#ifndef CLIENT_TEST_H
#define CLIENT_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../ncd_test.h"
#include "fake_daemon.h"
#include "ncclient.h"
#include "process.h"

#define RING 16384u /* the fake's default */

static inline struct sockaddr_in address(const char *addr, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, addr, &in.sin_addr), 1);
	return in;
}

static inline int connect_to(int s, uint16_t port)
{
	struct sockaddr_in in = address("127.0.0.2", port);

	return nc_connect(s, (struct sockaddr *)&in, sizeof(in));
}

/* A blocking socket that is connected; the fake's side through @ret_slot. */
static inline int connected(struct fake *f, struct fake_slot *ret_slot)
{
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	*ret_slot = fake_expect(f, SQ_OPEN);
	fake_open(f, *ret_slot);
	assert_int_equal(connect_to(s, 80), 0);
	assert_int_equal(nc_fcntl(s, F_SETFL, 0), 0);
	return s;
}

/* A blocking socket that listens. */
static inline int listening(uint16_t port)
{
	struct sockaddr_in in = address("0.0.0.0", port);
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);

	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(nc_listen(s, 16), 0);
	return s;
}

/* Closes @s and answers as the daemon does. */
static inline void closed(struct fake *f, int s)
{
	assert_int_equal(nc_close(s), 0);
	fake_drain(f);
}

/* A call in a thread of its own. */
struct call {
	pthread_t thread;
	long (*run)(struct call *c);
	int s, flags, timeout_ms;
	void *buf;
	size_t len;
	struct nc_cq *cq;
	long ret;
};

static inline void *call_thread(void *arg)
{
	struct call *c = arg;

	c->ret = c->run(c);
	return NULL;
}

static inline void call_start(struct call *c)
{
	assert_int_equal(pthread_create(&c->thread, NULL, call_thread, c), 0);
}

static inline long call_end(struct call *c)
{
	pthread_join(c->thread, NULL);
	return c->ret;
}

static inline long run_recv(struct call *c)
{
	return nc_recv(c->s, c->buf, c->len, c->flags);
}

static inline long run_send(struct call *c)
{
	return nc_send(c->s, c->buf, c->len, c->flags);
}

static inline long run_accept(struct call *c)
{
	return nc_accept4(c->s, NULL, NULL, 0);
}

static inline long run_connect(struct call *c)
{
	return connect_to(c->s, 80);
}

static inline long run_close(struct call *c)
{
	return nc_close(c->s);
}

static inline long run_cq_wait(struct call *c)
{
	struct nc_event e[4];

	return nc_cq_wait(c->cq, e, 4, c->timeout_ms);
}

static inline uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

static inline void pattern_fill(uint8_t *buf, size_t bytes, uint64_t from)
{
	for (size_t i = 0; i < bytes; i++)
		buf[i] = pattern(from + i);
}

static inline void pattern_check(const uint8_t *buf, size_t bytes, uint64_t from)
{
	for (size_t i = 0; i < bytes; i++)
		if (buf[i] != pattern(from + i))
			fail_msg("byte %zu of the stream is wrong", (size_t)(from + i));
}

/* A fake that the library is attached to. It may take a moment until it knows that the last is
 * dead. */
static inline struct fake *fresh(const struct fake_config *cfg)
{
	struct fake *f = fake_start(cfg);

	while (!fake_attached(f)) {
		int s = nc_socket(AF_INET, SOCK_STREAM, 0);

		assert_true(s >= NC_SOCKET_BASE);
		assert_int_equal(nc_close(s), 0);
	}
	return f;
}

/* For TSan both sides have to be seen at the same addresses: with a first stream, so that the ring
 * memory has been sent. */
static inline void one_mapping(struct fake *f)
{
	struct attachment *att;
	struct segment *seg;
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect_to(s, FAKE_ECHO_PORT), 0);
	assert_int_equal(process_attach(&att), 0);
	assert_int_equal(attachment_segment(att, 1, &seg), 0);
	fake_adopt(f, att->segment[0].base, seg->base);
	attachment_put(att);
	assert_int_equal(nc_close(s), 0);
}

static inline int start(void **state)
{
	*state = fresh(&(struct fake_config){ 0 });
	return 0;
}

static inline int stop(void **state)
{
	fake_stop(*state);
	return 0;
}

#endif /* CLIENT_TEST_H */
