/* SPDX-License-Identifier: MIT */
/*
 * test_client_option.c - setsockopt, getsockopt, ioctl, fcntl: what is set is got, what is not
 * supported fails clearly.
 */
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "client_test.h"

static int get_int(int s, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	assert_int_equal(nc_getsockopt(s, level, name, &v, &len), 0);
	assert_int_equal(len, sizeof(int));
	return v;
}

static int set_int(int s, int level, int name, int v)
{
	return nc_setsockopt(s, level, name, &v, sizeof(v));
}

static void what_is_set_is_got(void **state)
{
	static const struct {
		int level, name;
	} flags[] = {
		{ SOL_SOCKET, SO_REUSEADDR },          { SOL_SOCKET, SO_REUSEPORT },
		{ SOL_SOCKET, SO_KEEPALIVE },          { IPPROTO_TCP, TCP_NODELAY },
		{ IPPROTO_TCP, TCP_QUICKACK },         { IPPROTO_TCP, TCP_CORK },
		{ IPPROTO_TCP, TCP_FASTOPEN_CONNECT },
	};
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);
	struct timeval tv = { 3, 500000 }, got_tv;
	struct linger lg = { 1, 7 }, got_lg;
	socklen_t len = sizeof(got_tv);

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		assert_int_equal(get_int(s, flags[i].level, flags[i].name), 0);
		assert_int_equal(set_int(s, flags[i].level, flags[i].name, 1), 0);
		assert_int_equal(get_int(s, flags[i].level, flags[i].name), 1);
	}
	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got_tv, &len), 0);
	assert_memory_equal(&tv, &got_tv, sizeof(tv));
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &got_tv, &len), 0);
	assert_int_equal(got_tv.tv_sec + got_tv.tv_usec, 0);
	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)), 0);
	len = sizeof(got_lg);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_LINGER, &got_lg, &len), 0);
	assert_memory_equal(&lg, &got_lg, sizeof(lg));
	assert_int_equal(get_int(s, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_DOMAIN), AF_INET);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_ERROR), 0);
	assert_true(get_int(s, IPPROTO_TCP, TCP_MAXSEG) > 0);
	assert_int_equal(set_int(s, IPPROTO_TCP, TCP_MAXSEG, 1000), 0);
	assert_int_equal(get_int(s, IPPROTO_TCP, TCP_MAXSEG), 1000);
	assert_int_equal(nc_close(s), 0);
}

static void unsupported_and_malformed_fail(void **state)
{
	int s = nc_socket(AF_INET, SOCK_STREAM, 0), n = 0;
	struct timeval tv = { 0, 1000000 };
	socklen_t len = sizeof(n);

	(void)state;
	assert_int_equal(set_int(s, SOL_SOCKET, SO_BINDTODEVICE, 1), -ENOPROTOOPT);
	assert_int_equal(set_int(s, IPPROTO_TCP, TCP_CONGESTION, 1), -ENOPROTOOPT);
	assert_int_equal(set_int(s, IPPROTO_IP, 1, 1), -ENOPROTOOPT);
	assert_int_equal(set_int(s, SOL_NC, 99, 1), -ENOPROTOOPT);
	assert_int_equal(set_int(s, SOL_NC, NC_CLASS, 3), -EINVAL);
	assert_int_equal(set_int(s, SOL_NC, NC_CLASS, -1), -EINVAL);
	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &n, 2), -EINVAL);
	assert_int_equal(nc_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &n, 2), -EINVAL);
	assert_int_equal(nc_setsockopt(s, SOL_NC, NC_CLASS, &n, 2), -EINVAL);
	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, 4), -EINVAL);
	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), -EDOM);
	assert_int_equal(nc_setsockopt(s, SOL_SOCKET, SO_LINGER, &n, sizeof(n)), -EINVAL);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, &n, &len), -ENOPROTOOPT);
	assert_int_equal(nc_getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, &n, &len), -ENOPROTOOPT);
	assert_int_equal(nc_getsockopt(s, SOL_NC, 99, &n, &len), -ENOPROTOOPT);
	assert_int_equal(nc_ioctl(s, TIOCGWINSZ, &n), -ENOTTY);
	assert_int_equal(nc_fcntl(s, F_DUPFD, 0), -EINVAL);
	assert_int_equal(nc_close(s), 0);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_KEEPALIVE, 1), -EBADF);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_ERROR, &n, &len), -EBADF);
	assert_int_equal(nc_ioctl(s, FIONREAD, &n), -EBADF);
	assert_int_equal(nc_fcntl(s, F_GETFL, 0), -EBADF);
}

static void ring_sizes_are_asked_for_before_connect(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct fake_slot p;

	assert_int_equal(set_int(s, SOL_SOCKET, SO_SNDBUF, 100000), 0);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_RCVBUF, 1), 0);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_SNDBUF), 131072);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_RCVBUF), 4096);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(fake_shm(f, p)->open_tx_bytes, 131072);
	assert_int_equal(fake_shm(f, p)->open_rx_bytes, 4096);
	fake_open(f, p);
	assert_int_equal(connect_to(s, 80), 0);
	/* What they may grow to, not what they are. */
	assert_int_equal(get_int(s, SOL_SOCKET, SO_SNDBUF), FAKE_RING_MOST);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_RCVBUF), FAKE_RING_MOST);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_SNDBUF, 5), 0);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_SNDBUF), FAKE_RING_MOST);
	closed(f, s);
}

/* Of this thread alone; what it had is in *ret_had. */
static void capabilities_drop(struct __user_cap_data_struct ret_had[2])
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct less[2];

	assert_int_equal(syscall(SYS_capget, &head, ret_had), 0);
	memcpy(less, ret_had, sizeof(less));
	less[0].effective = less[1].effective = 0;
	assert_int_equal(syscall(SYS_capset, &head, less), 0);
}

static void capabilities_restore(struct __user_cap_data_struct had[2])
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };

	assert_int_equal(syscall(SYS_capset, &head, had), 0);
}

/* socket(7): the priorities above 6, and below 0, are not everybody's. */
static void a_high_priority_needs_the_capability(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);
	struct __user_cap_data_struct had[2];
	bool may;

	capabilities_drop(had);
	may = had[0].effective & (1u << CAP_NET_ADMIN);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_PRIORITY, 6), 0);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_PRIORITY, 7), -EPERM);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_PRIORITY, -1), -EPERM);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_PRIORITY), 6);
	capabilities_restore(had);
	if (may)
		assert_int_equal(set_int(s, SOL_SOCKET, SO_PRIORITY, 7), 0);
	closed(f, s);
}

static void class_goes_to_the_worker(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct fake_slot p;
	uint32_t arg = 9;

	assert_int_equal(set_int(s, SOL_SOCKET, SO_PRIORITY, 6), 0);
	assert_int_equal(get_int(s, SOL_NC, NC_CLASS), NC_CLASS_LATENCY);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(fake_shm(f, p)->open_class, NC_CLASS_LATENCY);
	fake_open(f, p);
	assert_int_equal(set_int(s, SOL_NC, NC_CLASS, NC_CLASS_THROUGHPUT), 0);
	assert_int_equal(fake_expect_arg(f, SQ_CLASS, &arg).slot, p.slot);
	assert_int_equal(arg, NC_CLASS_THROUGHPUT);
	assert_int_equal(set_int(s, SOL_SOCKET, SO_PRIORITY, 0), 0);
	fake_expect_arg(f, SQ_CLASS, &arg);
	assert_int_equal(arg, NC_CLASS_AUTO);
	assert_int_equal(get_int(s, SOL_SOCKET, SO_PRIORITY), 0);
	closed(f, s);
}

static int tcp_state(int s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	assert_int_equal(nc_getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	if (info.tcpi_state == TCP_ESTABLISHED)
		assert_int_equal(info.tcpi_rtt, 12345);
	return info.tcpi_state;
}

static void tcp_info_tells_state_and_rtt(void **state)
{
	struct fake *f = *state;
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), l = listening(81), n = 1;
	struct fake_slot p;

	assert_int_equal(tcp_state(s), TCP_CLOSE);
	assert_int_equal(tcp_state(l), TCP_LISTEN);
	assert_int_equal(nc_ioctl(l, FIONREAD, &n), -EINVAL);
	assert_int_equal(nc_ioctl(s, FIONREAD, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(connect_to(s, 80), -EINPROGRESS);
	p = fake_expect(f, SQ_OPEN);
	assert_int_equal(tcp_state(s), TCP_SYN_SENT);
	fake_open(f, p);
	assert_int_equal(tcp_state(s), TCP_ESTABLISHED);
	fake_eof(f, p);
	assert_int_equal(tcp_state(s), TCP_CLOSE_WAIT);
	assert_int_equal(nc_shutdown(s, SHUT_WR), 0);
	assert_int_equal(tcp_state(s), TCP_LAST_ACK);
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(tcp_state(s), TCP_CLOSE);
	closed(f, s);
	closed(f, l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_set_is_got, start, stop),
		cmocka_unit_test_setup_teardown(unsupported_and_malformed_fail, start, stop),
		cmocka_unit_test_setup_teardown(ring_sizes_are_asked_for_before_connect, start,
						stop),
		cmocka_unit_test_setup_teardown(a_high_priority_needs_the_capability, start, stop),
		cmocka_unit_test_setup_teardown(class_goes_to_the_worker, start, stop),
		cmocka_unit_test_setup_teardown(tcp_info_tells_state_and_rtt, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
