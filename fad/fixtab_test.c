/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the table of fixed affinities: order in a flow, replacement,
 * expiry over long and short lives, limits, and what the kernel is told.
 */
#include "fad/fixtab.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "fad/manager.h"

static const uint64_t SEED[2] = {1, 2};

static bool on_flow(void *ctx, const struct flow_key *key, bool add)
{
	int *flows = ctx;

	ck_assert_uint_eq(key->family, 4);
	*flows += add ? 1 : -1;
	return true;
}

static const struct fixtab_watch WATCH = {.flow = on_flow};

static struct flow_key key(uint32_t n)
{
	struct flow_key k = {.family = 4, .proto = IPPROTO_TCP, .sport = (uint16_t)n, .dport = 80};

	memcpy(k.src, (uint8_t[]){198, 51, (uint8_t)(n >> 24), (uint8_t)(n >> 16)}, 4);
	return k;
}

static struct affinity affinity(struct manager *m, affinity_rank rank, uint32_t backup, uint64_t expires_ms)
{
	return (struct affinity){.manager = m, .rank = rank, .backup = backup, .expires_ms = expires_ms};
}

static struct fixed *put(struct fixtab *t, uint32_t n, struct affinity a)
{
	struct flow_key k = key(n);

	return fixtab_put(t, &k, &a);
}

static struct flow *flow(const struct fixtab *t, uint32_t n)
{
	struct flow_key k = key(n);

	return fixtab_flow(t, &k);
}

START_TEST(test_PREC_4_PREC_9_order_in_a_flow)
{
	struct manager m[3] = {{.peer = {.identity = 30}}, {.peer = {.identity = 10}}, {.peer = {.identity = 20}}};
	int flows = 0;
	struct fixtab *t = fixtab_new(100, SEED, &WATCH, &flows);
	const struct fixed *x;

	put(t, 1, affinity(&m[0], 5, 1, 9000)); /* last */
	put(t, 1, affinity(&m[0], 4, 2, 9000)); /* third */
	put(t, 1, affinity(&m[1], 4, 1, 9000)); /* second: lower identity's backup is no better */
	put(t, 1, affinity(&m[2], 4, 0, 9000)); /* first */
	put(t, 1, affinity(&m[1], 5, 1, 9000)); /* before the last: lower identity */
	x = flow(t, 1)->fixed;
	ck_assert_ptr_eq(x->a.manager, &m[2]);
	x = x->next_in_flow;
	ck_assert_ptr_eq(x->a.manager, &m[1]);
	x = x->next_in_flow;
	ck_assert_ptr_eq(x->a.manager, &m[0]);
	x = x->next_in_flow;
	ck_assert_ptr_eq(x->a.manager, &m[1]);
	x = x->next_in_flow;
	ck_assert_ptr_eq(x->a.manager, &m[0]);
	ck_assert_ptr_null(x->next_in_flow);
	ck_assert_int_eq(flows, 1);
	put(t, 1, affinity(&m[2], 4, 9, 9000)); /* its backup precedence changes: its place too */
	ck_assert_ptr_eq(flow(t, 1)->fixed->a.manager, &m[1]);
	ck_assert_uint_eq(fixtab_count(t), 5);
	fixtab_free(t);
	ck_assert_int_eq(flows, 0);
}
END_TEST

START_TEST(test_FIX_5_replacing_keeps_counts_and_voids_the_plan)
{
	struct manager m = {.peer = {.identity = 1}};
	int flows = 0;
	struct fixtab *t = fixtab_new(100, SEED, &WATCH, &flows);
	struct fixed *x = put(t, 1, affinity(&m, 4, 0, 9000));

	x->a.packets = 7;
	x->a.data_seen = true;
	x->flow->plan.generation = 99;
	ck_assert_ptr_eq(put(t, 1, affinity(&m, 4, 0, 20000)), x);
	ck_assert_uint_eq(x->a.packets, 7);
	ck_assert(x->a.data_seen);
	ck_assert_uint_eq(x->flow->plan.generation, 0);
	x->flow->plan.generation = 99;
	put(t, 1, affinity(&m, 5, 0, 20000));
	ck_assert_uint_eq(x->flow->plan.generation, 0);
	x->flow->plan.generation = 99;
	fixtab_remove(t, fixtab_find(x->flow, &m, 5));
	ck_assert_uint_eq(x->flow->plan.generation, 0);
	ck_assert_uint_eq(fixtab_sweep(t, 19000, NULL, NULL), 0);
	ck_assert_uint_eq(fixtab_sweep(t, 21000, NULL, NULL), 1);
	ck_assert_int_eq(flows, 0);
	fixtab_free(t);
}
END_TEST

static void count_one(void *ctx, const struct fixed *x)
{
	ck_assert_ptr_nonnull(x->flow);
	(*(size_t *)ctx)++;
}

START_TEST(test_FIX_5_lives_longer_than_the_wheel_end_in_time)
{
	static const uint64_t lives_s[] = {1, 2, 511, 512, 513, 1024, 1025, 5000};
	struct manager m = {.peer = {.identity = 1}};
	int flows = 0;
	struct fixtab *t = fixtab_new(100, SEED, &WATCH, &flows);
	const uint64_t start = 7000123;
	const uint32_t n = sizeof(lives_s) / sizeof(lives_s[0]);
	size_t told = 0;

	fixtab_sweep(t, start, NULL, NULL);
	for (uint32_t i = 0; i < n; i++)
		put(t, i, affinity(&m, 1, 0, start + lives_s[i] * 1000));
	for (uint64_t now = start; now < start + 5003000; now += 250) {
		fixtab_sweep(t, now, count_one, &told);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t ends = start + lives_s[i] * 1000;

			if (now < ends)
				ck_assert_ptr_nonnull(flow(t, i));
			if (now >= ends + 2000)
				ck_assert_ptr_null(flow(t, i));
		}
	}
	ck_assert_uint_eq(told, n);
	fixtab_free(t);
}
END_TEST

START_TEST(test_FIX_5_expiry_survives_a_jump_of_the_clock)
{
	struct manager m = {.peer = {.identity = 1}};
	int flows = 0;
	struct fixtab *t = fixtab_new(1000, SEED, &WATCH, &flows);

	fixtab_sweep(t, 1000, NULL, NULL);
	for (uint32_t i = 0; i < 600; i++)
		put(t, i, affinity(&m, 1, 0, 2000 + i * 1000));
	put(t, 999, affinity(&m, 1, 0, 100000000));
	ck_assert_uint_eq(fixtab_sweep(t, 90000000, NULL, NULL), 600);
	ck_assert_uint_eq(fixtab_count(t), 1);
	fixtab_free(t);
}
END_TEST

START_TEST(test_KEY_1_many_flows_are_found_and_the_limit_holds)
{
	struct manager m = {.peer = {.identity = 1}};
	int flows = 0;
	struct fixtab *t = fixtab_new(20000, SEED, &WATCH, &flows);
	size_t listed = 0;

	for (uint32_t i = 0; i < 20000; i++)
		ck_assert_ptr_nonnull(put(t, i * 7, affinity(&m, 1, 0, 9000)));
	ck_assert_ptr_null(put(t, 3, affinity(&m, 1, 0, 9000)));
	ck_assert_ptr_null(put(t, 7, affinity(&m, 2, 0, 9000)));
	ck_assert_ptr_nonnull(put(t, 7, affinity(&m, 1, 0, 9000))); /* replacing needs no room */
	ck_assert_int_eq(flows, 20000);
	for (uint32_t i = 0; i < 20000; i++) {
		ck_assert_ptr_nonnull(flow(t, i * 7));
		ck_assert_ptr_null(flow(t, i * 7 + 1));
	}
	for (struct flow *f = NULL; (f = fixtab_next(t, f)); listed++)
		ck_assert_ptr_null(f->fixed->next_in_flow);
	ck_assert_uint_eq(listed, 20000);
	fixtab_free(t);
	ck_assert_int_eq(flows, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fixtab");
	TCase *t = tcase_create("fixtab");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_PREC_4_PREC_9_order_in_a_flow);
	tcase_add_test(t, test_FIX_5_replacing_keeps_counts_and_voids_the_plan);
	tcase_add_test(t, test_FIX_5_lives_longer_than_the_wheel_end_in_time);
	tcase_add_test(t, test_FIX_5_expiry_survives_a_jump_of_the_clock);
	tcase_add_test(t, test_KEY_1_many_flows_are_found_and_the_limit_holds);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
