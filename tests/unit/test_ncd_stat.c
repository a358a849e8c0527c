/* SPDX-License-Identifier: MIT */
/*
 * Goal: ncd-stat shows what the counter page says, says when the daemon is not running, and
 * survives pages that are damaged, half-written or hostile. Method: the real program, run on
 * counter pages made here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ncd/shm_abi.h"
#include "ncd/stats_abi.h"

#include "../ncd_test.h"

#define WORKERS  2u
#define CHANNELS 4u
#define CLIENTS  4u
#define SOCKETS  100000u /* sparse, as the real one */

struct page_file {
	struct stats_head head;
	struct stats_worker worker[WORKERS];
	struct stats_copy copy[1];
	struct stats_channel channel[CHANNELS];
	struct stats_client client[CLIENTS];
	struct stats_socket socket[8];
};

struct fixture {
	char dir[64];
	char program[PATH_MAX];
	struct page_file page;
	char out[16384]; /* of the last run, both streams */
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(clock, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void fill_head(struct stats_head *h)
{
	h->magic = STATS_MAGIC;
	h->version = STATS_VERSION;
	h->pid = (uint32_t)getpid();
	h->start_realtime_ns = now_ns(CLOCK_REALTIME);
	h->heartbeat_ns = now_ns(CLOCK_MONOTONIC);
	h->worker_nr = WORKERS;
	h->copy_nr = 1;
	h->copy_off = offsetof(struct page_file, copy);
	h->channel_nr = CHANNELS;
	h->client_nr = CLIENTS;
	h->socket_nr = SOCKETS;
	h->worker_off = offsetof(struct page_file, worker);
	h->channel_off = offsetof(struct page_file, channel);
	h->client_off = offsetof(struct page_file, client);
	h->socket_off = offsetof(struct page_file, socket);
	h->bytes = h->socket_off + (uint64_t)SOCKETS * sizeof(struct stats_socket);
	strcpy(h->release, "9.8.7");
	strcpy(h->host_addr, "10.0.0.1");
	strcpy(h->state, "running");
}

static void fill(struct page_file *p)
{
	static const uint8_t local[16] = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 };

	memset(p, 0, sizeof(*p));
	fill_head(&p->head);
	strcpy(p->worker[0].backend, "io_uring");
	strcpy(p->worker[1].backend, "epoll");
	p->worker[0].bytes_sent = 3u << 20;
	p->worker[1].bytes_sent = 1u << 20;
	p->copy[0].cpu = 7;
	p->copy[0].bytes_in = 5u << 20;
	p->channel[2].use = STATS_USED;
	p->channel[2].seq = 2;
	strcpy(p->channel[2].peer, "west");
	strcpy(p->channel[2].peer_addr, "10.0.0.2");
	strcpy(p->channel[2].state, "up");
	p->channel[2].class_ = 1;
	p->channel[2].rtt_ns = 53100;
	p->client[0].use = STATS_USED;
	p->client[0].pid = 4242;
	strcpy(p->client[0].program, "redis");
	p->socket[0].use = STATS_USED;
	p->socket[0].state = STATS_S_LISTEN;
	memcpy(p->socket[0].local_addr, local, 16);
	p->socket[0].local_port = 6379;
	p->socket[5].use = STATS_USED;
	p->socket[5].state = STATS_S_ESTABLISHED;
	p->socket[5].class_ = 2;
	p->socket[5].path = 1;
	memcpy(p->socket[5].local_addr, local, 16);
	p->socket[5].local_port = 40001;
	p->socket[5].peer_addr[15] = 1;
	p->socket[5].peer_port = 80;
	p->socket[5].recv_q = 12;
	p->socket[5].send_q = 34;
	p->socket[5].client_pid = 4242;
}

static void path_in(const struct fixture *f, const char *name, char *ret, size_t bytes)
{
	assert_true(snprintf(ret, bytes, "%s/%s", f->dir, name) < (int)bytes);
}

/* Writes the page as the daemon would leave it: the file as long as it says, mostly a hole. */
static void save(struct fixture *f)
{
	char path[PATH_MAX];
	int fd;

	path_in(f, "ncd.stats", path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, &f->page, sizeof(f->page)), sizeof(f->page));
	assert_int_equal(ftruncate(fd, (off_t)f->page.head.bytes), 0);
	assert_int_equal(close(fd), 0);
}

/* Runs ncd-stat -s DIR/ncd.sock @arguments; returns its exit status, -1 if a signal ended it. */
static int stat_run(struct fixture *f, const char *arguments)
{
	char line[PATH_MAX * 2];
	size_t n;
	FILE *p;
	int status;

	assert_true(snprintf(line, sizeof(line), "exec timeout 20 '%s' -s '%s/ncd.sock' %s 2>&1",
			     f->program, f->dir, arguments) < (int)sizeof(line));
	p = popen(line, "re");
	assert_non_null(p);
	n = fread(f->out, 1, sizeof(f->out) - 1, p);
	f->out[n] = '\0';
	status = pclose(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The page as it is now is shown with @arguments, or refused with @status. */
static void shows(struct fixture *f, const char *arguments, int status)
{
	save(f);
	if (stat_run(f, arguments) != status)
		fail_msg("not status %d with '%s':\n%s", status, arguments, f->out);
}

#define assert_says(f, text)                                               \
	do {                                                               \
		if (!strstr((f)->out, (text)))                             \
			fail_msg("'%s' is not in:\n%s", (text), (f)->out); \
	} while (0)
#define assert_not_says(f, text)                                       \
	do {                                                           \
		if (strstr((f)->out, (text)))                          \
			fail_msg("'%s' is in:\n%s", (text), (f)->out); \
	} while (0)

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	ssize_t n;
	char *slash;

	assert_non_null(f);
	strcpy(f->dir, "/tmp/ncd-stat-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	n = readlink("/proc/self/exe", f->program, sizeof(f->program) - 32);
	assert_true(n > 0);
	f->program[n] = '\0';
	for (int i = 0; i < 3; i++) { /* OUT/tests/unit/test_ncd_stat -> OUT */
		slash = strrchr(f->program, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	strcpy(f->program + strlen(f->program), "/ncd-stat");
	fill(&f->page);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];

	path_in(f, "ncd.stats", path, sizeof(path));
	(void)unlink(path); /* some tests make none */
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void summary_adds_the_workers_up(void **state)
{
	struct fixture *f = *state;

	shows(f, "", 0);
	assert_says(f, "ncd 9.8.7 on 10.0.0.1");
	assert_says(f, "running");
	assert_says(f, "4.00MB in");
	assert_says(f, "1 to 1 peer: 1 latency, 0 throughput");
	assert_says(f, "1 listening, 1 connected");
	assert_says(f, "errors    none");
}

static void channels_show_peer_class_and_rtt(void **state)
{
	struct fixture *f = *state;

	shows(f, "channels", 0);
	assert_says(f, "west latency");
	assert_says(f, "53.1us");
}

static void channels_show_how_many_there_are_and_may_be(void **state)
{
	struct fixture *f = *state;

	f->page.head.lane_latency = 1;
	f->page.head.lane_throughput = 2;
	f->page.head.lane_max = 8;
	f->page.channel[0] = f->page.channel[1] = f->page.channel[2];
	f->page.channel[0].class_ = f->page.channel[1].class_ = 2;
	f->page.channel[1].lane = 1;
	f->page.channel[1].draining = 1;
	shows(f, "channels", 0);
	assert_says(f, "PEER CLASS      NOW DRAINING LANES CONFIGURED MAX");
	assert_says(f, "west throughput   1        1     2          4  14");
	assert_says(f, "west latency      1        0     2          2   2");
	assert_says(f, "1.0 draining");
	shows(f, "--json channels", 0);
	assert_says(f, "\"state\":\"draining\"");
	assert_says(f, "\"peers\":[{\"peer\":\"west\",\"class\":\"throughput\",\"lanes\":2,"
		       "\"now\":1,\"draining\":1,\"configured\":4,\"max\":14}");
}

static void sockets_are_listed_as_ss_lists_them(void **state)
{
	struct fixture *f = *state;

	shows(f, "sockets", 0);
	assert_says(f, "ESTAB     12     34 10.0.0.1:40001 [::1]:80");
	assert_not_says(f, "LISTEN");
	shows(f, "sockets -l", 0);
	assert_says(f, "10.0.0.1:6379");
	assert_says(f, "*:*");
	assert_not_says(f, "ESTAB");
	shows(f, "-a sockets", 0);
	assert_says(f, "LISTEN");
	assert_says(f, "ESTAB");
}

static void workers_and_clients_have_a_line_each(void **state)
{
	struct fixture *f = *state;

	f->page.worker[0].busy_permille = 867;
	shows(f, "workers", 0);
	assert_says(f, "BUSY%");
	assert_says(f, " 87\n");
	assert_says(f, "io_uring");
	assert_says(f, "epoll");
	assert_says(f, "COPY");
	assert_says(f, "5.00M");
	shows(f, "clients", 0);
	assert_says(f, "4242");
	assert_says(f, "redis");
}

static void errors_lists_only_what_is_not_zero(void **state)
{
	struct fixture *f = *state;

	shows(f, "errors", 0);
	assert_says(f, "nothing has been refused");
	f->page.head.hello_garbage = 7;
	f->page.worker[0].frame_errors = 2;
	f->page.worker[1].frame_errors = 3;
	f->page.copy[0].copy_faults = 4;
	shows(f, "errors", 0);
	assert_says(f, "7 hello_garbage");
	assert_says(f, "5 frame_errors");
	assert_says(f, "4 copy_faults");
	assert_not_says(f, "dial_failures");
	shows(f, "", 0);
	assert_says(f, "3 kinds counted");
}

static void json_has_every_counter_by_name(void **state)
{
	struct fixture *f = *state;

	strcpy(f->page.client[0].program, "a\"\\\x1b\xff");
	shows(f, "--json clients", 0);
	assert_says(f, "{\"schema\":1,");
	assert_says(f, "\"health\":\"running\"");
	assert_says(f, "\"program\":\"a\\\"\\\\\\u001b\\u00ff\"");
	shows(f, "--json workers", 0);
	assert_says(f, "\"bytes_sent\":3145728");
	assert_says(f, "\"busy_permille\":0");
	assert_says(f, "\"copy_workers\":[{\"copy_worker\":0,\"cpu\":7,");
	assert_says(f, "\"bytes_in\":5242880");
	shows(f, "--json channels", 0);
	assert_says(f, "\"rtt_ns\":53100");
	shows(f, "--json sockets", 0);
	assert_says(f, "\"peer_addr\":\"::1\",\"peer_port\":80");
	shows(f, "--json errors", 0);
	assert_says(f, "\"errors\":{}");
	shows(f, "--json", 0);
	assert_says(f, "\"summary\":{\"workers\":2,");
	assert_says(f, "\"bytes_sent\":4194304");
}

static void names_cannot_drive_the_terminal(void **state)
{
	struct fixture *f = *state;

	memset(f->page.client[0].program, 0x1b, sizeof(f->page.client[0].program));
	shows(f, "clients", 0);
	assert_not_says(f, "\x1b");
	assert_says(f, "???");
}

static void interval_shows_rates_and_ends_at_count(void **state)
{
	struct fixture *f = *state;

	shows(f, "-i 0.05 -c 2 workers", 0);
	assert_says(f, "SENT/s");
	shows(f, "-i 0.05 -c 1 --json workers", 0);
	assert_says(f, "\"per_second\":{\"turns\":0,");
	assert_says(f, "\"interval_ns\":");
}

static void a_dead_daemon_is_called_dead(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_true(pid > 0);
	f->page.head.pid = (uint32_t)pid;
	/* It has ended, and its parent has not asked. */
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	shows(f, "", 3);
	assert_says(f, "DEAD");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	shows(f, "", 3);
	assert_says(f, "DEAD");
	shows(f, "channels", 3);
	assert_says(f, "west latency");
	assert_says(f, "is dead");
}

/* The pid says nothing in another pid namespace; the lock does. */
static void a_daemon_that_has_its_lock_lives(void **state)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct fixture *f = *state;
	char path[PATH_MAX];
	int fd;

	f->page.head.pid = 0;
	save(f);
	path_in(f, "ncd.stats", path, sizeof(path));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	shows(f, "--json", 0);
	assert_says(f, "\"health\":\"running\"");
	f->page.head.heartbeat_ns = now_ns(CLOCK_MONOTONIC) - 30000000000u;
	shows(f, "", 3);
	assert_says(f, "HANGING");
	assert_int_equal(close(fd), 0);
	shows(f, "", 3);
	assert_says(f, "DEAD");
}

static void a_hanging_daemon_is_called_hanging(void **state)
{
	struct fixture *f = *state;

	f->page.head.heartbeat_ns = now_ns(CLOCK_MONOTONIC) - 30000000000u;
	shows(f, "", 3);
	assert_says(f, "HANGING: its control thread last moved 30.");
}

static void a_stopped_daemon_is_called_stopped(void **state)
{
	struct fixture *f = *state;

	strcpy(f->page.head.state, "stopped");
	shows(f, "--json", 3);
	assert_says(f, "\"health\":\"stopped\"");
}

static void an_entry_being_rewritten_is_left_out(void **state)
{
	struct fixture *f = *state;

	f->page.channel[2].seq = 3;
	shows(f, "channels", 0);
	assert_not_says(f, "west");
}

static void a_missing_page_is_reported_with_its_path(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(stat_run(f, ""), 1);
	assert_says(f, "ncd.stats: No such file");
}

static void kernel_sockets_are_shown_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct stats_socket *s = f->page.socket;

	s[6] = s[5];
	s[6].state = STATS_S_KERNEL;
	s[6].class_ = 0;
	s[6].path = 3;
	s[6].why = LEFT_PEER_DOWN;
	s[7] = s[0];
	s[7].path = 3;
	s[7].why = LEFT_NO_PEER;
	f->page.client[0].left = 2;
	shows(f, "sockets", 0);
	assert_says(f, "KERNEL");
	assert_says(f, "kernel");
	assert_says(f, "the peer does not answer");
	assert_not_says(f, "not an address of this host");
	shows(f, "-l sockets", 0);
	assert_says(f, "not an address of this host in ncd.conf");
	shows(f, "--json -a sockets", 0);
	assert_says(f, "\"state\":\"KERNEL\"");
	assert_says(f, "\"path\":\"kernel\",\"why\":\"peer_down\",\"pid\":4242}");
	assert_says(f, "\"why\":\"no_peer\"");
	shows(f, "", 0);
	assert_says(f, "1 listening, 1 connected");
	assert_says(f, "2 sockets of programs left to kernel TCP");
	shows(f, "--json", 0);
	assert_says(f, "\"listening\":1,\"connected\":1,\"kernel\":2");
	shows(f, "--json clients", 0);
	assert_says(f, "\"kernel\":2");
	/* Whatever is in the page. */
	s[6].why = 200;
	shows(f, "sockets", 0);
	assert_says(f, "?");
	shows(f, "--json sockets", 0);
	assert_says(f, "\"why\":\"other\"");
}

static void another_version_is_refused_with_both_numbers(void **state)
{
	struct fixture *f = *state;

	f->page.head.version = 77;
	shows(f, "", 1);
	assert_says(f, "version 77");
	assert_says(f, "reads version 7");
}

static void a_damaged_page_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];

	f->page.head.socket_off = UINT64_MAX - 7;
	shows(f, "", 1);
	assert_says(f, "damaged");
	fill(&f->page);
	f->page.head.client_nr = UINT32_MAX;
	shows(f, "", 1);
	fill(&f->page);
	f->page.head.worker_off += 1;
	shows(f, "", 1);
	fill(&f->page);
	save(f);
	path_in(f, "ncd.stats", path, sizeof(path));
	assert_int_equal(truncate(path, (off_t)f->page.head.bytes - 4096), 0);
	assert_int_equal(stat_run(f, ""), 1);
	f->page.head.magic = 1;
	shows(f, "", 1);
	assert_says(f, "not a counter page");
}

static void bad_arguments_are_usage_errors(void **state)
{
	struct fixture *f = *state;

	shows(f, "sokets", 2);
	assert_says(f, "unknown command 'sokets'");
	shows(f, "-i nan", 2);
	shows(f, "-i 0", 2);
	shows(f, "-i 1 -c -1", 2);
	shows(f, "-c 1", 2);
	shows(f, "workers channels", 2);
	shows(f, "--nonsense", 2);
	shows(f, "--help", 0);
	assert_says(f, "usage: ncd-stat");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(summary_adds_the_workers_up),
		TEST(channels_show_peer_class_and_rtt),
		TEST(channels_show_how_many_there_are_and_may_be),
		TEST(sockets_are_listed_as_ss_lists_them),
		TEST(workers_and_clients_have_a_line_each),
		TEST(errors_lists_only_what_is_not_zero),
		TEST(json_has_every_counter_by_name),
		TEST(names_cannot_drive_the_terminal),
		TEST(interval_shows_rates_and_ends_at_count),
		TEST(a_dead_daemon_is_called_dead),
		TEST(a_daemon_that_has_its_lock_lives),
		TEST(a_hanging_daemon_is_called_hanging),
		TEST(a_stopped_daemon_is_called_stopped),
		TEST(an_entry_being_rewritten_is_left_out),
		TEST(a_missing_page_is_reported_with_its_path),
		TEST(kernel_sockets_are_shown_with_the_reason),
		TEST(another_version_is_refused_with_both_numbers),
		TEST(a_damaged_page_is_refused),
		TEST(bad_arguments_are_usage_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
