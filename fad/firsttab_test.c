/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of firsttab.c: a flow and an affinity each, and the limit.
 */
#include "fad/firsttab.h"

#include <check.h>
#include <stdlib.h>

static const uint64_t SEED[2] = {1, 2};

static struct flow_key key(uint16_t port)
{
	return (struct flow_key){.family = 4, .proto = 6, .sport = port, .src = {10}, .dst = {11}};
}

START_TEST(test_ACT_6_kept_a_flow_and_affinity)
{
	struct firsttab *t = firsttab_new(10, SEED);
	struct flow_key a = key(1), b = key(2);

	ck_assert(!firsttab_seen(t, &a, 7));
	firsttab_note(t, &a, 7);
	firsttab_note(t, &a, 7);
	ck_assert(firsttab_seen(t, &a, 7));
	ck_assert(!firsttab_seen(t, &a, 8));
	ck_assert(!firsttab_seen(t, &b, 7));
	firsttab_free(t); /* with one still in it */
	firsttab_free(NULL);
}
END_TEST

START_TEST(test_ACT_6_the_oldest_is_forgotten_at_the_limit)
{
	struct firsttab *t = firsttab_new(3, SEED);
	struct flow_key k;

	for (uint16_t port = 1; port <= 5; port++) {
		k = key(port);
		ck_assert_int_eq(firsttab_note(t, &k, 7), port <= 3);
		ck_assert(firsttab_note(t, &k, 7)); /* it is there */
	}
	for (uint16_t port = 1; port <= 5; port++) {
		k = key(port);
		ck_assert_int_eq(firsttab_seen(t, &k, 7), port > 2);
	}
	firsttab_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("firsttab");
	TCase *t = tcase_create("firsttab");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_ACT_6_kept_a_flow_and_affinity);
	tcase_add_test(t, test_ACT_6_the_oldest_is_forgotten_at_the_limit);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
