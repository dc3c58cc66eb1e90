/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the difference between the kernel's table and what is wanted.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routed-glue/diff.h"

static struct prefix v4(unsigned n)
{
	return (struct prefix){.addr = {.family = 4, .b = {203, 0, (uint8_t)(n >> 8), (uint8_t)n}}, .plen = 32};
}

static struct route r4(unsigned n)
{
	return (struct route){.prefix = v4(n)};
}

static struct prefix v6(unsigned n)
{
	return (struct prefix){.addr = {.family = 6, .b = {0x20, 1, 0xd, 0xb8, [15] = (uint8_t)n}}, .plen = 128};
}

/* Carry a plan out with this result for every operation; returns how many there were. */
static ssize_t carry_out(struct view *v, const struct prefix *wanted, size_t count, int error)
{
	struct route_op *ops;
	ssize_t n = view_plan(v, wanted, count, &ops);

	for (ssize_t i = 0; i < n; i++)
		view_result(v, &ops[i], error);
	free(ops);
	return n;
}

START_TEST(test_ACT_3_difference_is_minimal_and_ordered)
{
	struct route desired[] = {r4(5), r4(1), r4(3), r4(5)};
	struct route actual[] = {r4(9), r4(3), r4(2), r4(2)};
	struct route_op ops[8];

	ck_assert_uint_eq(diff_routes(desired, 4, actual, 4, ops), 4);
	/* Withdrawals first. */
	ck_assert(ops[0].kind == ROUTE_DELETE && ops[0].route.prefix.addr.b[3] == 2);
	ck_assert(ops[1].kind == ROUTE_DELETE && ops[1].route.prefix.addr.b[3] == 9);
	ck_assert(ops[2].kind == ROUTE_ADD && ops[2].route.prefix.addr.b[3] == 1);
	ck_assert(ops[3].kind == ROUTE_ADD && ops[3].route.prefix.addr.b[3] == 5);
	ck_assert_uint_eq(diff_routes(desired, 0, actual, 0, ops), 0);
}
END_TEST

START_TEST(test_difference_of_random_sets_makes_them_equal)
{
	unsigned seed = 1;

	for (int round = 0; round < 200; round++) {
		struct route desired[64], actual[64];
		struct route_op ops[128];
		bool want[64] = {0}, have[64] = {0};
		size_t n = 0, m = 0, k;

		for (int i = 0; i < 64; i++) {
			unsigned x = (unsigned)rand_r(&seed) % 64, y = (unsigned)rand_r(&seed) % 64;

			want[x] = have[y] = true;
			desired[n++] = r4(x);
			actual[m++] = r4(y);
		}
		k = diff_routes(desired, n, actual, m, ops);
		for (size_t i = 0; i < k; i++) {
			bool *h = &have[ops[i].route.prefix.addr.b[3]];

			ck_assert(*h == (ops[i].kind == ROUTE_DELETE));
			*h = !*h;
		}
		ck_assert(memcmp(want, have, sizeof(want)) == 0);
	}
}
END_TEST

START_TEST(test_ACT_3_metric_belongs_to_the_identity)
{
	struct view *v = view_new(0);
	struct prefix p[] = {v4(1), v6(1)};
	struct route_op *ops;
	struct route old = {.prefix = v4(1), .metric = 20};
	size_t unexpected;

	ck_assert_uint_eq(view_load(v, &old, 1, &unexpected), 0);
	ck_assert_uint_eq(unexpected, 1);
	ck_assert_int_eq(view_plan(v, p, 2, &ops), 3); /* the old one out, ours in; IPv6 as the kernel files it */
	ck_assert_uint_eq(ops[0].route.metric, 20);
	ck_assert_uint_eq(ops[1].route.metric, 0);
	ck_assert_uint_eq(ops[2].route.metric, 1024);
	free(ops);
	view_free(v);
}
END_TEST

START_TEST(test_ACT_3_done_is_done)
{
	struct view *v = view_new(0);
	struct prefix p[] = {v4(1), v4(2), v6(1)};
	int error = 1;

	ck_assert_int_eq(carry_out(v, p, 3, 0), 3);
	ck_assert_int_eq(carry_out(v, p, 3, 0), 0);
	ck_assert_int_eq(view_state(v, &p[2], &error), VIEW_INSTALLED);
	ck_assert_int_eq(error, 0);
	ck_assert_int_eq(carry_out(v, p, 1, 0), 2);
	ck_assert_int_eq(view_state(v, &p[2], NULL), VIEW_ABSENT);
	ck_assert_uint_eq(view_count(v, VIEW_INSTALLED), 1);
	view_free(v);
}
END_TEST

START_TEST(test_ACT_3_conflict_is_reported_once_and_left_alone)
{
	struct view *v = view_new(0);
	struct prefix p = v4(1);
	struct route_op add = {ROUTE_ADD, r4(1)};
	int error;

	ck_assert(view_result(v, &add, EEXIST));
	ck_assert(!view_result(v, &add, EEXIST));
	ck_assert_int_eq(view_state(v, &p, &error), VIEW_CONFLICT);
	ck_assert_int_eq(error, EEXIST);
	ck_assert_int_eq(carry_out(v, &p, 1, 0), 0);   /* not tried */
	ck_assert_int_eq(carry_out(v, NULL, 0, 0), 0); /* nor deleted: it is not ours */
	view_free(v);
}
END_TEST

START_TEST(test_ACT_3_refused_route_is_tried_again_when_told)
{
	struct view *v = view_new(0);
	struct prefix p[] = {v4(1), v4(2)};

	ck_assert_int_eq(carry_out(v, p, 2, EEXIST), 2);
	ck_assert_uint_eq(view_retry(v, &(struct prefix){.plen = 1}), 0);
	ck_assert_uint_eq(view_retry(v, &p[0]), 1);
	ck_assert_int_eq(carry_out(v, p, 2, 0), 1);
	ck_assert_int_eq(view_state(v, &p[0], NULL), VIEW_INSTALLED);
	ck_assert_int_eq(view_state(v, &p[1], NULL), VIEW_CONFLICT);
	ck_assert_uint_eq(view_retry(v, &p[0]), 0);
	ck_assert_uint_eq(view_retry(v, NULL), 1);
	ck_assert_int_eq(carry_out(v, p, 2, ENETDOWN), 1);
	ck_assert_int_eq(view_state(v, &p[1], NULL), VIEW_FAILED);
	view_free(v);
}
END_TEST

START_TEST(test_ACT_3_flushed_routes_are_missed_and_put_in_again)
{
	struct view *v = view_new(0);
	struct prefix p[] = {v4(1), v4(2), v6(3)};
	struct route left = {.prefix = v6(3), .metric = 1024};
	size_t unexpected;

	carry_out(v, p, 3, 0);
	ck_assert_uint_eq(view_load(v, &left, 1, &unexpected), 2);
	ck_assert_uint_eq(unexpected, 0);
	ck_assert_int_eq(carry_out(v, p, 3, 0), 2);
	ck_assert_uint_eq(view_load(v, NULL, 0, &unexpected), 3);
	view_free(v);
}
END_TEST

START_TEST(test_ACT_3_leftover_of_ours_is_adopted_or_removed)
{
	struct view *v = view_new(0);
	struct route there[] = {r4(1), r4(2)};
	struct prefix p = v4(1);
	size_t unexpected;

	view_load(v, there, 2, &unexpected);
	ck_assert_uint_eq(unexpected, 2);
	ck_assert_int_eq(carry_out(v, &p, 1, 0), 1);
	ck_assert_int_eq(view_state(v, &p, NULL), VIEW_INSTALLED);
	view_free(v);
}
END_TEST

START_TEST(test_ACT_3_failed_deletion_is_remembered_as_there)
{
	struct view *v = view_new(0);
	struct route_op del = {ROUTE_DELETE, r4(1)};
	struct prefix p = v4(1);

	carry_out(v, &p, 1, 0);
	view_result(v, &del, EPERM);
	ck_assert_int_eq(view_state(v, &p, NULL), VIEW_INSTALLED);
	view_result(v, &del, ESRCH); /* somebody else did it */
	ck_assert_int_eq(view_state(v, &p, NULL), VIEW_ABSENT);
	view_free(v);
	view_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("diff");
	TCase *tc = tcase_create("diff");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ACT_3_difference_is_minimal_and_ordered);
	tcase_add_test(tc, test_difference_of_random_sets_makes_them_equal);
	tcase_add_test(tc, test_ACT_3_metric_belongs_to_the_identity);
	tcase_add_test(tc, test_ACT_3_done_is_done);
	tcase_add_test(tc, test_ACT_3_conflict_is_reported_once_and_left_alone);
	tcase_add_test(tc, test_ACT_3_refused_route_is_tried_again_when_told);
	tcase_add_test(tc, test_ACT_3_flushed_routes_are_missed_and_put_in_again);
	tcase_add_test(tc, test_ACT_3_leftover_of_ours_is_adopted_or_removed);
	tcase_add_test(tc, test_ACT_3_failed_deletion_is_remembered_as_there);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
