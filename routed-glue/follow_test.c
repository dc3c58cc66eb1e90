/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of following an agent's stream: gaps, restarts, pages, leases.
 */
#include <check.h>
#include <stdlib.h>

#include "routed-glue/follow.h"

#define LEASE 1000

/* Followed and current at version 7, event 20, at time 10000. */
static struct follow synced(void)
{
	struct follow f = {0};

	ck_assert_int_eq(follow_heartbeat(&f, 20, 7, 9990), FOLLOW_ASK);
	follow_asked(&f, 1, 9990);
	ck_assert_int_eq(follow_answer(&f, 1, 7, false, 10000), FOLLOW_COMMIT);
	ck_assert_str_eq(follow_state(&f), "synced");
	return f;
}

START_TEST(test_ACT_3_changes_are_applied_in_order)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_change(&f, 21, 8, 10100), FOLLOW_APPLY);
	ck_assert_int_eq(follow_change(&f, 22, 9, 10100), FOLLOW_APPLY);
	ck_assert_int_eq(follow_heartbeat(&f, 23, 9, 10200), FOLLOW_NOTHING);
	ck_assert_uint_eq(f.version, 9);
}
END_TEST

START_TEST(test_ACT_3_change_that_the_snapshot_had_is_not_applied_twice)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_change(&f, 21, 7, 10100), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_change(&f, 22, 8, 10100), FOLLOW_APPLY);
}
END_TEST

START_TEST(test_ACT_3_gap_in_events_asks_and_keeps_the_set)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_change(&f, 22, 9, 10100), FOLLOW_ASK);
	ck_assert_str_eq(follow_state(&f), "doubtful");
	follow_asked(&f, 2, 10100);
	ck_assert(!follow_expired(&f, LEASE, 10101));
	/* Until the answer nothing is applied, nor asked for again too soon. */
	ck_assert_int_eq(follow_change(&f, 23, 10, 10110), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_answer(&f, 2, 10, false, 10120), FOLLOW_COMMIT);
	ck_assert_uint_eq(f.version, 10);
}
END_TEST

START_TEST(test_ACT_3_restarted_agent_is_asked_although_its_version_fits)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_heartbeat(&f, 1, 7, 10100), FOLLOW_ASK);
}
END_TEST

START_TEST(test_ACT_3_snapshot_before_the_first_event_is_checked)
{
	struct follow f = {0};

	follow_asked(&f, 1, 100);
	ck_assert_int_eq(follow_answer(&f, 1, 7, false, 110), FOLLOW_COMMIT);
	ck_assert_int_eq(follow_heartbeat(&f, 5, 7, 200), FOLLOW_ASK); /* whose version 7? */
	follow_asked(&f, 2, 200);
	ck_assert_int_eq(follow_answer(&f, 2, 7, false, 210), FOLLOW_COMMIT);
	ck_assert_int_eq(follow_heartbeat(&f, 6, 7, 450), FOLLOW_NOTHING);
}
END_TEST

START_TEST(test_ACT_3_replaced_agent_whose_numbers_fit_is_asked)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_heartbeat(&f, 21, 7, 10300), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_heartbeat(&f, 22, 7, 10700), FOLLOW_ASK); /* a beat is missing, though none was lost */
	ck_assert_str_eq(follow_state(&f), "doubtful");
}
END_TEST

START_TEST(test_ACT_3_unanswered_question_is_asked_again)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_heartbeat(&f, 30, 9, 10100), FOLLOW_ASK);
	follow_asked(&f, 2, 10100);
	ck_assert_int_eq(follow_heartbeat(&f, 31, 9, 10350), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_heartbeat(&f, 32, 9, 10600), FOLLOW_ASK);
	follow_asked(&f, 3, 10600);
	ck_assert_int_eq(follow_answer(&f, 2, 9, false, 10610), FOLLOW_IGNORE); /* too late */
	ck_assert_int_eq(follow_answer(&f, 3, 9, false, 10610), FOLLOW_COMMIT);
}
END_TEST

START_TEST(test_ACT_3_refusal_is_no_reason_to_hammer)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_heartbeat(&f, 30, 9, 10100), FOLLOW_ASK);
	follow_asked(&f, 2, 10100);
	follow_refused(&f, 2, 10110);
	ck_assert_int_eq(follow_heartbeat(&f, 31, 9, 10350), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_heartbeat(&f, 32, 9, 10600), FOLLOW_ASK);
}
END_TEST

START_TEST(test_ACT_3_pages_must_be_of_one_version)
{
	struct follow f = {0};

	follow_asked(&f, 1, 100);
	ck_assert_int_eq(follow_answer(&f, 1, 5, true, 110), FOLLOW_MORE);
	follow_asked(&f, 2, 110);
	ck_assert_int_eq(follow_answer(&f, 2, 6, true, 120), FOLLOW_DISCARD_ASK);
	follow_asked(&f, 3, 120);
	ck_assert_int_eq(follow_answer(&f, 3, 6, true, 130), FOLLOW_MORE);
	follow_asked(&f, 4, 130);
	ck_assert_int_eq(follow_answer(&f, 4, 6, false, 140), FOLLOW_COMMIT);
}
END_TEST

START_TEST(test_ACT_3_snapshot_overtaken_by_events_is_not_the_end)
{
	struct follow f = {0};

	ck_assert_int_eq(follow_heartbeat(&f, 1, 5, 100), FOLLOW_ASK);
	follow_asked(&f, 1, 100);
	ck_assert_int_eq(follow_change(&f, 2, 6, 101), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_answer(&f, 1, 5, false, 110), FOLLOW_COMMIT_ASK);
	ck_assert_str_eq(follow_state(&f), "doubtful");
}
END_TEST

START_TEST(test_ACT_3_late_precautionary_snapshot_does_not_set_back)
{
	struct follow f = synced();

	ck_assert(follow_may_refresh(&f, LEASE, 10050));
	follow_asked(&f, 2, 10050);
	ck_assert(!follow_may_refresh(&f, LEASE, 10060));
	ck_assert_int_eq(follow_change(&f, 21, 8, 10060), FOLLOW_APPLY);
	ck_assert_int_eq(follow_answer(&f, 2, 7, false, 10070), FOLLOW_IGNORE);
	ck_assert_uint_eq(f.version, 8);
	ck_assert_str_eq(follow_state(&f), "synced");
}
END_TEST

START_TEST(test_ACT_3_lease_ends_by_silence)
{
	struct follow f = synced();

	ck_assert_uint_eq(follow_deadline(&f, LEASE), 11000);
	ck_assert(!follow_expired(&f, LEASE, 10999));
	ck_assert(follow_expired(&f, LEASE, 11000));
	ck_assert(!follow_expired(&f, LEASE, 11001)); /* once */
	ck_assert_uint_eq(follow_deadline(&f, LEASE), UINT64_MAX);
	ck_assert_str_eq(follow_state(&f), "silent");
	/* It speaks again: nothing counts before a new snapshot. */
	ck_assert_int_eq(follow_heartbeat(&f, 21, 7, 12000), FOLLOW_ASK);
	ck_assert(!f.held);
}
END_TEST

/* Who was not there when the lease ended has what the agent said unread: it is heard first, once. */
START_TEST(test_ACT_3_own_lateness_is_no_silence)
{
	struct follow f = synced();

	ck_assert(!follow_expired(&f, LEASE, 11100));
	ck_assert_uint_eq(follow_deadline(&f, LEASE), 11600);
	ck_assert_int_eq(follow_heartbeat(&f, 21, 7, 11101), FOLLOW_ASK); /* after more than 350 ms */
	ck_assert(!follow_expired(&f, LEASE, 11102));
	follow_asked(&f, 2, 11102);
	ck_assert_int_eq(follow_answer(&f, 2, 7, false, 11110), FOLLOW_COMMIT);
	ck_assert_uint_eq(follow_deadline(&f, LEASE), 12110);
	/* The dead agent's lease ends all the same, however late we always are. */
	ck_assert(!follow_expired(&f, LEASE, 13000));
	ck_assert(follow_expired(&f, LEASE, 15000));
}
END_TEST

/* An agent that talks but never lets us know its set must not keep VIPs up for ever. */
START_TEST(test_ACT_3_noise_without_confirmation_does_not_extend_the_lease)
{
	struct follow f = synced();
	uint64_t seq = 40;

	for (uint64_t t = 10100; t < 11000; t += 100)
		follow_heartbeat(&f, seq++, 99, t);
	ck_assert(follow_expired(&f, LEASE, 11000));
}
END_TEST

START_TEST(test_ACT_3_heartbeats_extend_the_lease)
{
	struct follow f = synced();
	uint64_t seq = 21;

	for (uint64_t t = 10250; t < 60000; t += 250) {
		ck_assert_int_eq(follow_heartbeat(&f, seq++, 7, t), FOLLOW_NOTHING);
		ck_assert(!follow_expired(&f, LEASE, t + 249));
	}
}
END_TEST

START_TEST(test_events_of_unknown_kinds_count_for_the_sequence)
{
	struct follow f = synced();

	ck_assert_int_eq(follow_other(&f, 21, 10100), FOLLOW_NOTHING);
	ck_assert_int_eq(follow_change(&f, 22, 8, 10110), FOLLOW_APPLY);
	ck_assert_int_eq(follow_other(&f, 24, 10120), FOLLOW_ASK);
	ck_assert_str_eq(follow_state(&(struct follow){0}), "unknown");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("follow");
	TCase *tc = tcase_create("follow");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ACT_3_changes_are_applied_in_order);
	tcase_add_test(tc, test_ACT_3_change_that_the_snapshot_had_is_not_applied_twice);
	tcase_add_test(tc, test_ACT_3_gap_in_events_asks_and_keeps_the_set);
	tcase_add_test(tc, test_ACT_3_restarted_agent_is_asked_although_its_version_fits);
	tcase_add_test(tc, test_ACT_3_snapshot_before_the_first_event_is_checked);
	tcase_add_test(tc, test_ACT_3_replaced_agent_whose_numbers_fit_is_asked);
	tcase_add_test(tc, test_ACT_3_unanswered_question_is_asked_again);
	tcase_add_test(tc, test_ACT_3_refusal_is_no_reason_to_hammer);
	tcase_add_test(tc, test_ACT_3_pages_must_be_of_one_version);
	tcase_add_test(tc, test_ACT_3_snapshot_overtaken_by_events_is_not_the_end);
	tcase_add_test(tc, test_ACT_3_late_precautionary_snapshot_does_not_set_back);
	tcase_add_test(tc, test_ACT_3_lease_ends_by_silence);
	tcase_add_test(tc, test_ACT_3_own_lateness_is_no_silence);
	tcase_add_test(tc, test_ACT_3_noise_without_confirmation_does_not_extend_the_lease);
	tcase_add_test(tc, test_ACT_3_heartbeats_extend_the_lease);
	tcase_add_test(tc, test_events_of_unknown_kinds_count_for_the_sequence);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
