/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the wanted set: counting by reference, holding, damping.
 */
#include <check.h>
#include <stdlib.h>

#include "routed-glue/wanted.h"

static const struct wanted_limits LIMITS = {.prefixes = 100, .hold_ms = 1000, .flap_limit = 3, .flap_refill_ms = 5000};

static struct prefix vip(unsigned n)
{
	return (struct prefix){.addr = {.family = 4, .b = {203, 0, 113, (uint8_t)n}}, .plen = 32};
}

static bool announced(const struct wanted *w, unsigned n)
{
	struct prefix p = vip(n);
	const struct wanted_prefix *e = wanted_find(w, &p);

	return e && e->announced;
}

static bool step(struct wanted *w, uint64_t now_ms)
{
	bool changed;

	wanted_step(w, now_ms, &changed);
	return changed;
}

static void add(struct wanted *w, unsigned agent, unsigned n)
{
	struct prefix p = vip(n);

	ck_assert(wanted_add(w, agent, &p));
}

static void take(struct wanted *w, unsigned agent, unsigned n)
{
	struct prefix p = vip(n);

	wanted_remove(w, agent, &p);
}

/* One agent's hand-over to another changes no route. */
START_TEST(test_FA_11_ACT_3_prefix_stays_while_any_agent_wants_it)
{
	struct wanted *w = wanted_new(&LIMITS);

	add(w, 0, 1);
	ck_assert(step(w, 0));
	add(w, 63, 1);
	ck_assert(!step(w, 2000));
	take(w, 0, 1);
	ck_assert(!step(w, 4000));
	ck_assert(announced(w, 1));
	ck_assert_uint_eq(wanted_count_agent(w, 63), 1);
	ck_assert_uint_eq(wanted_count_agent(w, 0), 0);
	wanted_withdraw(w, 63);
	ck_assert(step(w, 6000));
	ck_assert(!announced(w, 1));
	wanted_free(w);
}
END_TEST

START_TEST(test_FA_11_ACT_3_snapshot_replaces_without_a_flap)
{
	struct wanted *w = wanted_new(&LIMITS);
	struct prefix one = vip(1), two = vip(2);

	add(w, 0, 1);
	add(w, 0, 3);
	step(w, 0);
	ck_assert(wanted_stage(w, 0, &one));
	ck_assert(wanted_stage(w, 0, &two));
	step(w, 5000); /* staged is not yet wanted */
	ck_assert(announced(w, 1) && !announced(w, 2) && announced(w, 3));
	wanted_commit(w, 0);
	step(w, 5001);
	ck_assert(announced(w, 1) && announced(w, 2) && !announced(w, 3));
	wanted_free(w);
}
END_TEST

START_TEST(test_ACT_3_discarded_snapshot_leaves_nothing)
{
	struct wanted *w = wanted_new(&LIMITS);
	struct prefix p = vip(1);

	ck_assert(wanted_stage(w, 5, &p));
	wanted_discard(w, 5);
	wanted_commit(w, 5);
	ck_assert(!step(w, 0));
	ck_assert_uint_eq(wanted_count(w), 0);
	wanted_free(w);
}
END_TEST

/* OSPF takes nine seconds to withdraw what is younger than one. */
START_TEST(test_ACT_3_withdrawal_waits_for_the_hold_time)
{
	struct wanted *w = wanted_new(&LIMITS);
	bool changed;

	add(w, 0, 1);
	step(w, 100);
	take(w, 0, 1);
	ck_assert_uint_eq(wanted_step(w, 200, &changed), 1100);
	ck_assert(!changed && announced(w, 1));
	ck_assert(!step(w, 1099));
	ck_assert(step(w, 1100));
	ck_assert(!announced(w, 1));
	wanted_free(w);
}
END_TEST

START_TEST(test_ACT_3_flapping_is_damped_and_forgiven)
{
	struct wanted *w = wanted_new(&LIMITS);
	uint64_t t = 0;

	for (int i = 0; i < 3; i++, t += 1000) { /* at 0, 1000, 2000 */
		add(w, 0, 1);
		ck_assert(step(w, t));
		take(w, 0, 1);
		step(w, t + 999);
		ck_assert(announced(w, 1));
		ck_assert(step(w, t + 1000) && !announced(w, 1));
	}
	add(w, 0, 1);
	ck_assert(!step(w, 3000));
	ck_assert(!step(w, 4999) && !announced(w, 1));
	ck_assert(step(w, 5000) && announced(w, 1)); /* the first is paid back */
	take(w, 0, 1);
	ck_assert(step(w, 7000));
	ck_assert_uint_eq(wanted_count(w), 1); /* remembered */
	step(w, 40000);
	step(w, 80000);
	ck_assert_uint_eq(wanted_count(w), 0); /* forgotten */
	wanted_free(w);
}
END_TEST

START_TEST(test_ACT_3_stable_prefix_is_not_damped_by_confirmations)
{
	struct wanted *w = wanted_new(&LIMITS);
	struct prefix p = vip(1);

	for (uint64_t t = 0; t < 100000; t += 100) {
		ck_assert(wanted_stage(w, 0, &p));
		wanted_commit(w, 0);
		ck_assert(step(w, t) == (t == 0));
	}
	ck_assert(announced(w, 1));
	wanted_free(w);
}
END_TEST

START_TEST(test_ACT_3_number_of_prefixes_is_bounded)
{
	struct wanted *w = wanted_new(&LIMITS);
	struct prefix p;

	for (unsigned n = 0; n < 100; n++)
		add(w, 0, n);
	p = vip(200);
	ck_assert(!wanted_add(w, 0, &p));
	ck_assert(!wanted_stage(w, 1, &p));
	p = vip(7);
	ck_assert(wanted_add(w, 1, &p)); /* there already */
	step(w, 0);
	take(w, 0, 3);
	step(w, 1000);
	step(w, 60000);
	p = vip(200);
	ck_assert(wanted_add(w, 0, &p));
	wanted_free(w);
	wanted_free(NULL);
}
END_TEST

START_TEST(test_FA_6_kept_prefixes_outlast_a_smaller_set)
{
	struct wanted *w = wanted_new(&LIMITS);
	struct prefix one = vip(1);

	add(w, 0, 1);
	add(w, 0, 2);
	add(w, 0, 3);
	add(w, 1, 4);
	step(w, 0);
	wanted_keep(w, 0);
	ck_assert_uint_eq(wanted_kept_only(w, 0), 0);
	wanted_withdraw(w, 0); /* its lease */
	ck_assert(!step(w, 5000));
	ck_assert_uint_eq(wanted_kept_only(w, 0), 3);
	ck_assert(wanted_stage(w, 0, &one)); /* back, but not with all */
	wanted_commit(w, 0);
	ck_assert(!step(w, 6000));
	ck_assert_uint_eq(wanted_kept_only(w, 0), 2);
	take(w, 0, 2); /* by name: that is meant */
	ck_assert(step(w, 7000));
	ck_assert(announced(w, 1) && !announced(w, 2) && announced(w, 3));
	wanted_unkeep(w, 0);
	ck_assert(step(w, 8000));
	ck_assert(announced(w, 1) && !announced(w, 3) && announced(w, 4));
	wanted_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wanted");
	TCase *tc = tcase_create("wanted");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_FA_11_ACT_3_prefix_stays_while_any_agent_wants_it);
	tcase_add_test(tc, test_FA_11_ACT_3_snapshot_replaces_without_a_flap);
	tcase_add_test(tc, test_ACT_3_discarded_snapshot_leaves_nothing);
	tcase_add_test(tc, test_ACT_3_withdrawal_waits_for_the_hold_time);
	tcase_add_test(tc, test_ACT_3_flapping_is_damped_and_forgiven);
	tcase_add_test(tc, test_ACT_3_stable_prefix_is_not_damped_by_confirmations);
	tcase_add_test(tc, test_ACT_3_number_of_prefixes_is_bounded);
	tcase_add_test(tc, test_FA_6_kept_prefixes_outlast_a_smaller_set);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
