/* SPDX-License-Identifier: MIT */
/*
 * message.c - many buffers in one call: sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2),
 * writev(2), readv(2).
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sem.h"

static struct iovec piece(const char *text)
{
	union {
		const char *in;
		void *out;
	} u = { .in = text }; /* iovec has no const, sending needs none */

	return (struct iovec){ .iov_base = u.out, .iov_len = strlen(text) };
}

static void far_got(struct pair *p, size_t len)
{
	char buf[FAR_BYTES];
	size_t have = 0;
	long n;

	while (have < len && (n = far_recv(p, buf + have, len - have)) > 0)
		have += (size_t)n;
	fact("far got %zu '%.*s'", have, (int)have, buf);
}

static void message_of_three_pieces(void)
{
	struct pair p = pair_open();
	struct iovec v[3] = { piece("one"), piece("two"), piece("three") };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 3 };

	CALL(sendmsg(p.fd, &m, 0));
	far_got(&p, 11);
}

static void message_with_empty_pieces(void)
{
	struct pair p = pair_open();
	struct iovec v[4] = { { NULL, 0 }, piece("a"), piece(""), piece("b") };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 4 };

	CALL(sendmsg(p.fd, &m, 0));
	far_got(&p, 2);
}

static void message_of_no_pieces(void)
{
	struct pair p = pair_open();
	struct msghdr m = { .msg_iovlen = 0 };
	struct iovec v = { NULL, 0 };

	CALL(sendmsg(p.fd, &m, 0));
	CALL(writev(p.fd, NULL, 0));
	CALL(writev(p.fd, &v, 1));
	CALL(recvmsg(p.fd, &m, MSG_DONTWAIT));
	CALL(readv(p.fd, NULL, 0));
}

static void message_of_as_many_pieces_as_may_be(void)
{
	static struct iovec v[IOV_MAX + 1];
	struct pair p = pair_open();
	volatile int negative = -1; /* the compiler knows better than to let it through */
	struct msghdr m = { .msg_iov = v, .msg_iovlen = IOV_MAX };

	for (int i = 0; i <= IOV_MAX; i++)
		v[i] = piece("x");
	CALL(sendmsg(p.fd, &m, 0));
	m.msg_iovlen = IOV_MAX + 1;
	CALL(sendmsg(p.fd, &m, 0));
	CALL(recvmsg(p.fd, &m, MSG_DONTWAIT));
	CALL(writev(p.fd, v, IOV_MAX));
	CALL(writev(p.fd, v, IOV_MAX + 1));
	CALL(writev(p.fd, v, negative));
	CALL(readv(p.fd, v, IOV_MAX + 1));
}

static void message_bad_pointers(void)
{
	struct pair p = pair_open();
	struct iovec v[2] = { piece("good"), { bad_pointer(), 4 } };
	struct msghdr m = { .msg_iov = &v[1], .msg_iovlen = 1 };

	CALL(sendmsg(p.fd, &m, 0));
	CALL(sendmsg(p.fd, bad_pointer(), 0));
	m.msg_iov = bad_pointer();
	CALL(sendmsg(p.fd, &m, 0));
	CALL(recvmsg(p.fd, &m, MSG_DONTWAIT));
	CALL(writev(p.fd, &v[1], 1));
}

static void message_writev_and_readv(void)
{
	struct pair p = pair_open();
	struct iovec v[2] = { piece("hello "), piece("world") };
	char a[3], b[8];
	struct iovec r[2] = { { a, 3 }, { b, 8 } };

	CALL(writev(p.fd, v, 2));
	far_got(&p, 11);
	(void)far_send(&p, "abcdef");
	wait_bytes(p.fd, 6);
	CALL(readv(p.fd, r, 2));
	fact("'%.3s' '%.3s'", a, b);
}

static void message_received_in_pieces(void)
{
	struct pair p = pair_open();
	char a[2], b[2], c[16];
	struct iovec v[4] = { { a, 2 }, { NULL, 0 }, { b, 2 }, { c, 16 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 4, .msg_flags = 0x5555 };

	(void)far_send(&p, "abcdefg");
	wait_bytes(p.fd, 7);
	CALL(recvmsg(p.fd, &m, 0));
	fact("'%.2s' '%.2s' '%.3s' flags %x", a, b, c, m.msg_flags);
}

static void message_received_has_no_name_or_control(void)
{
	struct pair p = pair_open();
	struct sockaddr_in name;
	char a[8], control[64];
	struct iovec v = { a, 8 };
	struct msghdr m = { .msg_name = &name,
			    .msg_namelen = sizeof(name),
			    .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };

	(void)far_send(&p, "abc");
	wait_bytes(p.fd, 3);
	CALL(recvmsg(p.fd, &m, MSG_CMSG_CLOEXEC));
	fact("name %d control %zu flags %x", (int)m.msg_namelen, (size_t)m.msg_controllen,
	     m.msg_flags & ~MSG_CMSG_CLOEXEC);
}

static void message_with_a_name(void)
{
	struct pair p = pair_open();
	struct sockaddr_in name = near_addr(9);
	struct iovec v = piece("named");
	struct msghdr m = {
		.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &v, .msg_iovlen = 1
	};

	CALL(sendmsg(p.fd, &m, 0));
	far_got(&p, 5);
}

static void message_with_wrong_control(void)
{
	struct pair p = pair_open();
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = 0x7777 } };
	struct iovec v = piece("x");
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };

	CALL(sendmsg(p.fd, &m, 0));
	control.head.cmsg_len = 1;
	CALL(sendmsg(p.fd, &m, 0));
}

static void message_peek_and_waitall(void)
{
	struct pair p = pair_open();
	char a[3], b[3];
	struct iovec v[2] = { { a, 3 }, { b, 3 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

	far_start_send(&p, "abcd");
	far_start_send(&p, "ef");
	CALL(recvmsg(p.fd, &m, MSG_PEEK | MSG_WAITALL));
	fact("'%.3s' '%.3s'", a, b);
	memset(a, 0, 3);
	CALL(recvmsg(p.fd, &m, MSG_WAITALL));
	fact("'%.3s' '%.3s'", a, b);
	(void)far_finish(&p);
	(void)far_finish(&p);
}

static void message_iov_is_not_changed(void)
{
	struct pair p = pair_open();
	char a[4];
	struct iovec v[2] = { piece("ab"), piece("cd") }, r = { a, 4 };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

	CALL(sendmsg(p.fd, &m, 0));
	fact("lengths %zu %zu pieces %zu", v[0].iov_len, v[1].iov_len, (size_t)m.msg_iovlen);
	(void)far_send(&p, "xy");
	m.msg_iov = &r;
	m.msg_iovlen = 1;
	CALL(recvmsg(p.fd, &m, 0));
	fact("length %zu base %d", r.iov_len, r.iov_base == a);
}

static void messages_in_one_call(void)
{
	struct pair p = pair_open();
	struct iovec v[3] = { piece("one"), piece("two2"), piece("three") };
	struct mmsghdr m[3];

	memset(m, 0, sizeof(m));
	for (int i = 0; i < 3; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	CALL(sendmmsg(p.fd, m, 3, 0));
	fact("lengths %u %u %u", m[0].msg_len, m[1].msg_len, m[2].msg_len);
	far_got(&p, 12);
	CALL(sendmmsg(p.fd, m, 0, 0));
}

static void messages_received_in_one_call(void)
{
	struct pair p = pair_open();
	char a[2], b[2], c[2];
	struct iovec v[3] = { { a, 2 }, { b, 2 }, { c, 2 } };
	struct mmsghdr m[3];

	memset(m, 0, sizeof(m));
	for (int i = 0; i < 3; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	(void)far_send(&p, "abcd");
	wait_bytes(p.fd, 4);
	CALL(recvmmsg(p.fd, m, 3, MSG_DONTWAIT, NULL));
	fact("lengths %u %u '%.2s' '%.2s'", m[0].msg_len, m[1].msg_len, a, b);
	CALL(recvmmsg(p.fd, m, 3, MSG_DONTWAIT, NULL));
	(void)far_send(&p, "ef");
	CALL(recvmmsg(p.fd, m, 3, MSG_WAITFORONE, NULL));
	fact("length %u '%.2s'", m[0].msg_len, a);
}

static void messages_at_the_end(void)
{
	struct pair p = pair_open();
	char a[4];
	struct iovec v = { a, 4 };
	struct mmsghdr m[1] = { { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } } };
	struct msghdr one = { .msg_iov = &v, .msg_iovlen = 1 };

	(void)far_close(&p);
	CALL(recvmsg(p.fd, &one, 0));
	CALL(recvmmsg(p.fd, m, 1, 0, NULL));
	fact("length %u", m[0].msg_len);
	CALL(readv(p.fd, &v, 1));
}

static void messages_big_and_odd(void)
{
	static uint8_t out[300000], in[300000];
	struct pair p = pair_open();
	struct iovec v[7];
	size_t at = 0, sizes[7] = { 1, 4095, 65537, 3, 100000, 0, 130364 };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 7 };

	pattern_fill(out, 0, sizeof(out));
	for (int i = 0; i < 7; at += sizes[i++])
		v[i] = (struct iovec){ out + at, sizes[i] };
	far_start_drain(&p, sizeof(out));
	CALL(sendmsg(p.fd, &m, 0));
	fact("drained %ld", far_finish(&p));
	at = 0;
	for (int i = 0; i < 7; at += sizes[i++])
		v[i].iov_base = in + at;
	far_start_pump(&p, sizeof(in));
	CALL(recvmsg(p.fd, &m, MSG_WAITALL));
	fact("right %d", pattern_is(in, 0, sizeof(in)));
	(void)far_finish(&p);
}

static void message_vectors_cannot_seek(void)
{
	struct pair p = pair_open();
	struct iovec v = piece("x");

	CALL(pwritev(p.fd, &v, 1, 0));
	CALL(preadv(p.fd, &v, 1, 0));
	CALL(pwritev2(p.fd, &v, 1, -1, 0));
	far_got(&p, 1);
}

static void messages_received_in_time(void)
{
	struct pair p = pair_open();
	char buf[4][4];
	struct iovec v[4];
	struct mmsghdr m[4] = { 0 };

	for (int i = 0; i < 4; i++) {
		v[i] = (struct iovec){ buf[i], 4 };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	}
	(void)far_send(&p, "abcdefgh");
	wait_bytes(p.fd, 8);
	CALL(recvmmsg(p.fd, m, 2, 0, &(struct timespec){ WAIT_MS / 1000, 0 }));
	CALL(recvmmsg(p.fd, m, 4, 0, &(struct timespec){ -1, 0 }));
	CALL(recvmmsg(p.fd, m, 4, 0, &(struct timespec){ 0, 1000000000 }));
	(void)far_send(&p, "abcdefgh");
	wait_bytes(p.fd, 8);
	CALL(recvmmsg(p.fd, m, 4, 0, &(struct timespec){ 0, 0 })); /* looked at behind the first */
	CALL(recvmmsg(p.fd, m, 4, MSG_WAITFORONE, NULL));
}

const struct sem_case cases_message[] = {
	FAR_CASE(message_of_three_pieces),     FAR_CASE(message_with_empty_pieces),
	FAR_CASE(message_of_no_pieces),        FAR_CASE(message_of_as_many_pieces_as_may_be),
	FAR_CASE(message_bad_pointers),        FAR_CASE(message_writev_and_readv),
	FAR_CASE(message_received_in_pieces),  FAR_CASE(message_received_has_no_name_or_control),
	FAR_CASE(message_with_a_name),         FAR_CASE(message_with_wrong_control),
	FAR_CASE(message_peek_and_waitall),    FAR_CASE(message_iov_is_not_changed),
	FAR_CASE(messages_in_one_call),        FAR_CASE(messages_received_in_one_call),
	FAR_CASE(messages_at_the_end),         FAR_CASE(messages_big_and_odd),
	FAR_CASE(message_vectors_cannot_seek), FAR_CASE(messages_received_in_time),
	CASES_END,
};
