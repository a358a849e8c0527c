/* SPDX-License-Identifier: MIT */
/*
 * test_scale.c - the model of bench/scale, with costs that are fixed here.
 *
 * Goal: what it predicts obeys what limits the real thing, and follows from costs, parameters and
 * seed alone. Method: runs that differ in one of them; bounds computed by hand.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ncd/wire.h"

#include "../../bench/scale/cost.h"
#include "../../bench/scale/model.h"
#include "../../bench/scale/rate.h"
#include "../ncd_test.h"

static const char text[] = "# in ns\n"
			   "send_call 1500\n"
			   "send_byte 0.08\n"
			   "recv_call 800.5\n"
			   "recv_byte 0.065\n"
			   "recv_empty 160\n"
			   "yield 150\n"
			   "switch 540\n"
			   "sleep 180\n"
			   "wake_app 350\n"
			   "wake_worker 340\n"
			   "send_wakes 700\n"
			   "wake_delay 2400\n"
			   "copy_byte 0.022\n"
			   "turn 147.125\n"
			   "submit 64 18\n"
			   "submit 4096 22\n"
			   "\n"
			   "frame_tx 64 37\n"
			   "frame_rx 64 38\n"
			   "deliver 64 20\n"
			   "app_event 64 24\n"
			   "app_turn 64 100\n";

static int read_text(const char *s, struct costs *ret_costs, unsigned *ret_line,
		     const char **ret_missing)
{
	FILE *f = tmpfile();
	int ret;

	assert_non_null(f);
	assert_true(fputs(s, f) >= 0);
	rewind(f);
	ret = costs_read(f, ret_costs, ret_line, ret_missing);
	fclose(f);
	return ret;
}

static struct costs costs_here(void)
{
	const char *missing;
	struct costs c;
	unsigned line;

	assert_int_equal(read_text(text, &c, &line, &missing), 0);
	return c;
}

static void costs_change(struct costs *c, enum cost cost, double times)
{
	for (uint32_t i = 0; i < c->nr[cost]; i++)
		c->at[cost][i].ns *= times;
}

static struct scale_params params(void)
{
	return (struct scale_params){ .workers = 1,
				      .channels = 1,
				      .sockets = 64,
				      .size = 64,
				      .cores = 2,
				      .spin_ns = 200000,
				      .slice_ns = 1400000,
				      .messages = 20000,
				      .seed = 1 };
}

/* A run in which nothing is lost. */
static struct scale_result run(const struct scale_params *p, const struct costs *c)
{
	struct scale_result r = { .whole = false };

	assert_int_equal(scale_run(p, c, &r), 0);
	assert_true(r.whole);
	assert_int_equal(r.messages, p->messages);
	assert_true(r.p50_ns <= r.p99_ns && r.p99_ns <= r.max_ns);
	return r;
}

static void the_same_seed_is_the_same_run(void **state)
{
	struct costs c = costs_here();
	struct scale_params p = params();
	struct scale_result a, b, other;

	(void)state;
	p.workers = p.channels = 2;
	p.sockets = 300;
	p.cores = 4;
	p.link_bytes_per_s = 500000000;
	a = run(&p, &c);
	b = run(&p, &c);
	p.seed = 2;
	other = run(&p, &c);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &other, sizeof(a));
}

static void every_byte_arrives_whatever_the_shape(void **state)
{
	static const struct {
		uint32_t workers, channels, sockets, size, cores;
	} shape[] = {
		{ 1, 1, 1, 1, 1 },       { 1, 16, 100, 64, 1 },  { 2, 2, 3, 4096, 2 },
		{ 4, 8, 1000, 2048, 3 }, { 1, 2, 20000, 64, 2 }, { 2, 4, 64, 65536, 4 },
	};
	struct costs c = costs_here();
	struct scale_params p = params();

	(void)state;
	for (size_t i = 0; i < sizeof(shape) / sizeof(shape[0]); i++) {
		p.workers = shape[i].workers;
		p.channels = shape[i].channels;
		p.sockets = shape[i].sockets;
		p.size = shape[i].size;
		p.cores = shape[i].cores;
		p.messages = 5000;
		(void)run(&p, &c); /* it looks for itself */
	}
}

static void one_round_trip_takes_at_least_its_costs(void **state)
{
	struct costs c = costs_here();
	struct scale_params p = params();
	struct scale_result r;
	double least;

	(void)state;
	p.sockets = 1;
	p.delay_ns = 3000;
	/* Both ways: what each message passes. */
	least = 2 * (1500 + 800.5 + 18 + 37 + 38 + 20 + 24 + 100 + 3000 + 2 * 540);
	r = run(&p, &c);
	assert_true((double)r.p50_ns >= least);
	assert_true((double)r.p50_ns < 1.5 * least);
	assert_true(r.msgs_per_s <= 1e9 / least);
}

static void a_dearer_operation_costs_throughput(void **state)
{
	static const enum cost dear[] = { COST_SEND_CALL, COST_FRAME_TX, COST_FRAME_RX,
					  COST_SUBMIT,    COST_DELIVER,  COST_APP_TURN };
	struct scale_params p = params();
	struct costs c = costs_here();
	double before = run(&p, &c).msgs_per_s;

	(void)state;
	for (size_t i = 0; i < sizeof(dear) / sizeof(dear[0]); i++) {
		struct costs d = c;

		costs_change(&d, dear[i], 2);
		assert_true(run(&p, &d).msgs_per_s < before);
	}
}

static void no_core_does_more_than_it_can(void **state)
{
	struct scale_params p = params();
	struct costs c = costs_here();
	/* Of a round trip, both hosts together; calls of the kernel are shared by many. */
	double least = 2 * (18 + 37 + 38 + 20 + 24 + 100);

	(void)state;
	p.sockets = 512;
	for (uint32_t workers = 1; workers <= 4; workers *= 2)
		for (uint32_t cores = 1; cores <= 2 * workers; cores++) {
			struct scale_result r;

			p.workers = p.channels = workers;
			p.cores = cores;
			r = run(&p, &c);
			assert_true(r.msgs_per_s <= cores * 1e9 / least);
			assert_true(r.worker_busy + r.app_busy <= 0.5 * cores / workers + 0.01);
		}
}

static void workers_with_cores_of_their_own_add_up(void **state)
{
	struct scale_params p = params();
	struct costs c = costs_here();
	double one = run(&p, &c).msgs_per_s, ratio;

	(void)state;
	p.workers = p.channels = 8;
	p.sockets *= 8;
	p.cores = 16;
	p.messages *= 8;
	ratio = run(&p, &c).msgs_per_s / one;
	assert_true(ratio > 7.5 && ratio < 8.5);
}

static void a_link_carries_no_more_than_its_rate(void **state)
{
	struct scale_params p = params();
	struct costs c = costs_here();
	double wire, free_running;

	(void)state;
	p.workers = p.channels = 4;
	p.sockets = 1024;
	p.cores = 8;
	p.messages = 100000;
	free_running = run(&p, &c).msgs_per_s;
	for (uint64_t rate = 50000000; rate <= 400000000; rate *= 2) {
		p.link_bytes_per_s = rate;
		wire = run(&p, &c).msgs_per_s * (WIRE_HEADER_BYTES + 64);
		assert_true(wire <= (double)rate * 1.01);
		/* And all of that, since there would be more. */
		assert_true(free_running * (WIRE_HEADER_BYTES + 64) > 2 * (double)rate);
		assert_true(wire > (double)rate * 0.9);
	}
}

static void a_memory_copies_no_more_than_its_rate(void **state)
{
	struct scale_params p = params();
	struct costs c = costs_here();
	double copied;

	(void)state;
	p.workers = p.channels = 4;
	p.sockets = 256;
	p.size = 4096;
	p.cores = 8;
	p.memory_bytes_per_s = 2000000000;
	/* Of a round trip, on each host: into the ring, to the kernel; from it, to the ring, out.
	 */
	copied = run(&p, &c).msgs_per_s * 5 * (4096 - 64);
	assert_true(copied <= (double)p.memory_bytes_per_s * 1.01);
	assert_true(copied > (double)p.memory_bytes_per_s * 0.8);
}

static void senseless_parameters_are_refused(void **state)
{
	struct scale_params p = params(), bad[7];
	struct costs c = costs_here();
	struct scale_result r;

	(void)state;
	for (size_t i = 0; i < 7; i++)
		bad[i] = p;
	bad[0].workers = 0;
	bad[1].workers = SCALE_WORKERS_MAX + 1;
	bad[2].channels = 17; /* more than ncd has in a lane */
	bad[3].workers = 2;   /* one has no channel */
	bad[4].sockets = 0;
	bad[5].size = 0;
	bad[6].cores = 0;
	assert_int_equal(scale_check(&p), 0);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(scale_run(&bad[i], &c, &r), -EINVAL);
}

static void costs_follow_the_number_of_sockets(void **state)
{
	struct costs c = costs_here();

	(void)state;
	assert_true(cost_ns(&c, COST_SEND_CALL, 1) == 1500);
	assert_true(cost_ns(&c, COST_SEND_CALL, 1000000) == 1500);
	assert_true(cost_ns(&c, COST_SUBMIT, 1) == 18);
	assert_true(cost_ns(&c, COST_SUBMIT, 64) == 18);
	/* 512 is half way to 4096, by the logarithm. */
	assert_true(cost_ns(&c, COST_SUBMIT, 512) > 19.99 && cost_ns(&c, COST_SUBMIT, 512) < 20.01);
	assert_true(cost_ns(&c, COST_SUBMIT, 4096) == 22);
	assert_true(cost_ns(&c, COST_SUBMIT, 100000) == 22);
}

static void a_bad_file_of_costs_is_named_by_its_line(void **state)
{
	static const char *const bad[] = {
		"send_call",    "send_call x",   "send_call 1 2 3",          "no_such 5",
		"send_call -1", "send_call nan", "submit 64 1\nsubmit 64 2", "submit 0 1"
	};
	const char *missing;
	struct costs c;
	unsigned line;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(read_text(bad[i], &c, &line, &missing), -EINVAL);
		assert_int_equal(line, strchr(bad[i], '\n') ? 2 : 1);
		assert_null(missing);
	}
	assert_int_equal(read_text("send_call 1\n", &c, &line, &missing), -EINVAL);
	assert_int_equal(line, 0);
	assert_string_equal(missing, "send_byte");
}

static void what_is_printed_is_read_again(void **state)
{
	struct costs c = costs_here(), again;
	const char *missing;
	unsigned line;
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	for (uint32_t i = 0; i < COST_NR; i++)
		for (uint32_t k = 0; k < c.nr[i]; k++)
			cost_print(f, (enum cost)i, c.at[i][k].sockets, c.at[i][k].ns);
	rewind(f);
	assert_int_equal(costs_read(f, &again, &line, &missing), 0);
	fclose(f);
	assert_memory_equal(&c, &again, sizeof(c));
}

static void a_rate_is_kept_in_whatever_order_it_is_used(void **state)
{
	struct rate r;
	uint64_t last = 0;

	(void)state;
	/* 1 GB/s: 20000 bytes in a window of 20 us. */
	assert_int_equal(rate_init(&r, 1000000000), 0);
	assert_int_equal(rate_take(&r, 1000000, 1000), 1001000);
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t now = 1000000 + (i * 7919) % 100000;
		uint64_t through = rate_take(&r, now, 1000);

		assert_true(through >= now + 1000);
		last = through > last ? through : last;
	}
	/* A million bytes take a ms. */
	assert_true(last >= 2000000 && last < 2100000);
	assert_int_equal(r.total, 1001000);
	rate_fini(&r);
	assert_int_equal(rate_init(&r, 0), 0);
	assert_int_equal(rate_take(&r, 5, 1u << 30), 5);
	rate_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_is_the_same_run),
		cmocka_unit_test(every_byte_arrives_whatever_the_shape),
		cmocka_unit_test(one_round_trip_takes_at_least_its_costs),
		cmocka_unit_test(a_dearer_operation_costs_throughput),
		cmocka_unit_test(no_core_does_more_than_it_can),
		cmocka_unit_test(workers_with_cores_of_their_own_add_up),
		cmocka_unit_test(a_link_carries_no_more_than_its_rate),
		cmocka_unit_test(a_memory_copies_no_more_than_its_rate),
		cmocka_unit_test(senseless_parameters_are_refused),
		cmocka_unit_test(costs_follow_the_number_of_sockets),
		cmocka_unit_test(a_bad_file_of_costs_is_named_by_its_line),
		cmocka_unit_test(what_is_printed_is_read_again),
		cmocka_unit_test(a_rate_is_kept_in_whatever_order_it_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
