/* SPDX-License-Identifier: MIT */
/*
 * Goal: a descriptor is known by the name at its other end, and only by one that names its own
 * cookie. Method: pairs of sockets whose ends are bound, as the daemon binds them.
 */
#include "../ncd_test.h"

#include <unistd.h>

#include "ncd/descriptor_name.h"

struct pair {
	int fd[2];
};

static struct pair pair_open(void)
{
	struct pair p;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p.fd), 0);
	return p;
}

static void pair_close(const struct pair *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
}

static int family_of(int fd)
{
	struct sockaddr_un sun;
	socklen_t bytes = sizeof(sun);

	assert_int_equal(getpeername(fd, (struct sockaddr *)&sun, &bytes), 0);
	return descriptor_name_is(&sun, bytes, DESCRIPTOR_STREAM, descriptor_cookie(fd));
}

static void name_end(int end, int family, uint64_t cookie)
{
	struct sockaddr_un sun;
	socklen_t bytes = descriptor_name(&sun, DESCRIPTOR_STREAM, family, cookie,
					  (uint64_t)getpid() << 32 | (uint32_t)end);

	assert_int_equal(bind(end, (struct sockaddr *)&sun, bytes), 0);
}

static void a_name_tells_the_family(void **state)
{
	struct pair four = pair_open(), six = pair_open();
	int copy = dup(six.fd[0]);

	(void)state;
	name_end(four.fd[1], AF_INET, descriptor_cookie(four.fd[0]));
	name_end(six.fd[1], AF_INET6, descriptor_cookie(six.fd[0]));
	assert_int_equal(family_of(four.fd[0]), AF_INET);
	assert_int_equal(family_of(six.fd[0]), AF_INET6);
	assert_int_equal(family_of(copy), AF_INET6);
	close(copy);
	pair_close(&four);
	pair_close(&six);
}

static void no_name_and_a_wrong_one_are_nothing(void **state)
{
	struct pair none = pair_open(), other = pair_open();

	(void)state;
	assert_int_equal(family_of(none.fd[0]), 0);
	name_end(other.fd[1], AF_INET, descriptor_cookie(none.fd[0]));
	assert_int_equal(family_of(other.fd[0]), 0);
	pair_close(&none);
	pair_close(&other);
}

static void what_is_no_socket_has_no_cookie(void **state)
{
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(descriptor_cookie(pipes[0]), 0);
	assert_int_equal(descriptor_cookie(-1), 0);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_tells_the_family),
		cmocka_unit_test(no_name_and_a_wrong_one_are_nothing),
		cmocka_unit_test(what_is_no_socket_has_no_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
