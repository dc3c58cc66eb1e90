/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of server state from check results.
 */
#include <check.h>
#include <stdlib.h>

#include "smd/health.h"

/* Feed results written as '+' and '-'; returns how many changed the state. */
static unsigned feed(struct health *h, uint16_t rise, uint16_t fall, const char *results)
{
	unsigned changes = 0;

	for (; *results; results++)
		changes += health_result(h, rise, fall, *results == '+');
	return changes;
}

START_TEST(test_SVC_2_first_result_decides)
{
	struct health a = {0}, b = {0};

	ck_assert_str_eq(health_state_name(a.state), "unknown");
	ck_assert_uint_eq(feed(&a, 3, 3, "+"), 1);
	ck_assert_str_eq(health_state_name(a.state), "up");
	ck_assert_uint_eq(feed(&b, 3, 3, "-"), 1);
	ck_assert_str_eq(health_state_name(b.state), "down");
}
END_TEST

START_TEST(test_SVC_2_fall_counts_in_a_row)
{
	struct health h = {0};

	feed(&h, 2, 3, "+");
	ck_assert_uint_eq(feed(&h, 2, 3, "--+--+--"), 0);
	ck_assert_int_eq(h.state, HEALTH_UP);
	ck_assert_uint_eq(feed(&h, 2, 3, "-"), 1);
	ck_assert_int_eq(h.state, HEALTH_DOWN);
	ck_assert_uint_eq(feed(&h, 2, 3, "------"), 0);
}
END_TEST

START_TEST(test_SVC_2_rise_counts_in_a_row)
{
	struct health h = {0};

	feed(&h, 2, 1, "-");
	ck_assert_uint_eq(feed(&h, 2, 1, "+-+-"), 0);
	ck_assert_int_eq(h.state, HEALTH_DOWN);
	ck_assert_uint_eq(feed(&h, 2, 1, "++"), 1);
	ck_assert_int_eq(h.state, HEALTH_UP);
	ck_assert_uint_eq(feed(&h, 2, 1, "-"), 1);
	ck_assert_int_eq(h.state, HEALTH_DOWN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("health");
	TCase *tc = tcase_create("health");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_SVC_2_first_result_decides);
	tcase_add_test(tc, test_SVC_2_fall_counts_in_a_row);
	tcase_add_test(tc, test_SVC_2_rise_counts_in_a_row);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
