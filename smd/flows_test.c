/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the flow store.
 */
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "smd/flows.h"

static const uint64_t SEED[2] = {1, 2};

static struct flow_key forward_key(uint32_t n)
{
	struct flow_key k = {.family = 4, .proto = IPPROTO_TCP, .sport = (uint16_t)n, .dport = 80};

	memcpy(k.src, (uint8_t[]){198, 51, (uint8_t)(n >> 24), (uint8_t)(n >> 16)}, 4);
	memcpy(k.dst, (uint8_t[]){203, 0, 113, 10}, 4);
	return k;
}

static struct flow_key reverse_key(uint32_t n)
{
	struct flow_key k = forward_key(n);
	struct flow_key r = {.family = 4, .proto = IPPROTO_TCP, .sport = 8080, .dport = k.sport};

	memcpy(r.src, (uint8_t[]){10, 0, 20, 11}, 4);
	memcpy(r.dst, k.src, 4);
	return r;
}

static struct flow *add(struct flows *fs, uint32_t n, uint64_t expires_ms)
{
	struct flow_key f = forward_key(n), r = reverse_key(n);

	return flows_add(fs, FLOW_BALANCED, &f, &r, expires_ms);
}

static struct flow *find(struct flows *fs, uint32_t n)
{
	struct flow_key f = forward_key(n), r = reverse_key(n);
	struct flow *by_forward = flows_by_forward(fs, &f);

	ck_assert_ptr_eq(flows_by_reverse(fs, &r), by_forward);
	return by_forward;
}

static void count_gone(void *ctx, struct flow *f)
{
	ck_assert(f->live);
	(*(size_t *)ctx)++;
}

START_TEST(test_SM_2_flow_is_found_by_both_keys)
{
	struct flows *fs = flows_new(100000, SEED, 0);
	uint32_t handle[2] = {0};

	for (uint32_t n = 0; n < 50000; n++) {
		struct flow *f = add(fs, n * 3, 1000);

		ck_assert_ptr_nonnull(f);
		f->backend = n;
		if (n == 777) {
			handle[0] = f->slot;
			handle[1] = f->generation;
		}
	}
	ck_assert_uint_eq(flows_count(fs), 50000);
	for (uint32_t n = 0; n < 50000; n++) {
		ck_assert_uint_eq(find(fs, n * 3)->backend, n);
		ck_assert_ptr_null(find(fs, n * 3 + 1));
	}
	ck_assert_ptr_eq(flows_by_handle(fs, handle[0], handle[1]), find(fs, 777 * 3));
	ck_assert_ptr_null(flows_by_handle(fs, handle[0], handle[1] + 1));
	ck_assert_ptr_null(flows_by_handle(fs, 99999, 1));
	flows_free(fs);
}
END_TEST

START_TEST(test_SM_5_flow_lives_until_its_end_and_no_longer)
{
	struct flows *fs = flows_new(10, SEED, 5000);
	size_t gone = 0;

	add(fs, 1, 5000 + 360000);
	for (uint64_t t = 5000; t < 5000 + 360000; t += 250) {
		flows_expire(fs, t, count_gone, &gone);
		ck_assert_ptr_nonnull(find(fs, 1));
	}
	flows_expire(fs, 5000 + 362000, count_gone, &gone);
	ck_assert_ptr_null(find(fs, 1));
	ck_assert_uint_eq(gone, 1);
	flows_free(fs);
}
END_TEST

START_TEST(test_SM_5_contact_puts_the_end_off)
{
	struct flows *fs = flows_new(10, SEED, 0);
	size_t gone = 0;
	uint64_t t = 0;

	add(fs, 1, 60000);
	add(fs, 2, 60000);
	for (; t < 3600000; t += 500) { /* beyond the wheel's circumference */
		if (t % 20000 == 0)
			flows_set_expiry(fs, find(fs, 1), t + 60000);
		flows_expire(fs, t, count_gone, &gone);
	}
	ck_assert_ptr_nonnull(find(fs, 1));
	ck_assert_ptr_null(find(fs, 2));
	flows_set_expiry(fs, find(fs, 1), t + 3000); /* sooner than it was */
	flows_expire(fs, t + 5000, count_gone, &gone);
	ck_assert_ptr_null(find(fs, 1));
	ck_assert_uint_eq(gone, 2);
	flows_free(fs);
}
END_TEST

START_TEST(test_SM_5_expiry_survives_a_jump_of_the_clock)
{
	struct flows *fs = flows_new(1000, SEED, 0);
	size_t gone = 0;

	for (uint32_t n = 0; n < 700; n++)
		add(fs, n, n * 1000);
	ck_assert_uint_eq(flows_expire(fs, 10000000, count_gone, &gone), 700);
	ck_assert_uint_eq(flows_count(fs), 0);
	ck_assert_uint_eq(flows_expire(fs, 1, count_gone, &gone), 0);
	add(fs, 1, 10000500);
	ck_assert_uint_eq(flows_expire(fs, 10002000, count_gone, &gone), 1);
	flows_free(fs);
}
END_TEST

START_TEST(test_flows_limit_and_reuse)
{
	struct flows *fs = flows_new(3, SEED, 0);
	struct flow *f = add(fs, 1, 1000);
	uint32_t slot = f->slot, generation = f->generation;

	ck_assert_ptr_nonnull(add(fs, 2, 1000));
	ck_assert_ptr_nonnull(add(fs, 3, 1000));
	ck_assert_ptr_null(add(fs, 4, 1000));
	ck_assert_ptr_null(find(fs, 4));
	flows_remove(fs, f);
	ck_assert_ptr_null(find(fs, 1));
	ck_assert_ptr_null(flows_by_handle(fs, slot, generation));
	f = add(fs, 4, 1000);
	ck_assert_uint_eq(f->slot, slot);
	ck_assert_uint_ne(f->generation, generation);
	ck_assert_uint_eq(flows_count(fs), 3);
	flows_free(fs);
}
END_TEST

START_TEST(test_SM_12_flow_left_unchanged_has_a_reverse_key_only)
{
	struct flows *fs = flows_new(3, SEED, 0);
	struct flow_key fwd = forward_key(1), rev = reverse_key(1);
	struct flow *f = flows_add(fs, FLOW_PASS, NULL, &rev, 1000);
	struct flow_key none = {0};

	ck_assert_ptr_eq(flows_by_reverse(fs, &rev), f);
	ck_assert_ptr_null(flows_by_forward(fs, &fwd));
	ck_assert_ptr_null(flows_by_forward(fs, &none));
	flows_remove(fs, f);
	ck_assert_ptr_null(flows_by_reverse(fs, &rev));
	flows_free(fs);
}
END_TEST

START_TEST(test_SM_9_agents_of_a_flow)
{
	struct flow f = {0};

	for (uint16_t i = 0; i < FLOW_AGENTS; i++) {
		flow_note_agent(&f, i);
		flow_note_agent(&f, i);
	}
	ck_assert_uint_eq(f.agent_count, FLOW_AGENTS);
	ck_assert(!flow_at_many_agents(&f));
	flow_note_agent(&f, 99);
	flow_note_agent(&f, 100);
	ck_assert(flow_at_many_agents(&f));
}
END_TEST

START_TEST(test_flows_listing_skips_holes)
{
	struct flows *fs = flows_new(10000, SEED, 0);
	uint32_t slot = 0, n = 0;

	for (uint32_t i = 0; i < 9000; i++)
		add(fs, i, 1000);
	for (uint32_t i = 0; i < 9000; i += 3)
		flows_remove(fs, find(fs, i));
	for (struct flow *f; (f = flows_next(fs, &slot)); n++)
		ck_assert_uint_ne(f->forward.sport % 3, 0);
	ck_assert_uint_eq(n, 6000);
	ck_assert_ptr_null(flows_next(fs, &slot));
	flows_free(fs);
	flows_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flows");
	TCase *tc = tcase_create("flows");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_SM_2_flow_is_found_by_both_keys);
	tcase_add_test(tc, test_SM_5_flow_lives_until_its_end_and_no_longer);
	tcase_add_test(tc, test_SM_5_contact_puts_the_end_off);
	tcase_add_test(tc, test_SM_5_expiry_survives_a_jump_of_the_clock);
	tcase_add_test(tc, test_flows_limit_and_reuse);
	tcase_add_test(tc, test_SM_12_flow_left_unchanged_has_a_reverse_key_only);
	tcase_add_test(tc, test_SM_9_agents_of_a_flow);
	tcase_add_test(tc, test_flows_listing_skips_holes);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
