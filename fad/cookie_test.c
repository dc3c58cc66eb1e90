/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of cookies: only this agent's, of this flow, unchanged and fresh ones
 * count.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fad/engine_priv.h"

static const uint64_t SECRET[2] = {0x1122334455667788, 0x99aabbccddeeff00};
static const struct cookie MADE = {.rank = 0x100000000, .ifindex = 9, .guarded = true, .made_ms = 5000};

static struct flow_key key(uint16_t sport)
{
	return (struct flow_key){.family = 4, .proto = 6, .sport = sport, .dport = 80};
}

START_TEST(test_PREC_7_cookie_gives_back_what_was_put_in)
{
	struct flow_key k = key(1);
	uint8_t bytes[COOKIE_LEN];
	struct cookie c;

	cookie_make(SECRET, &k, &MADE, bytes);
	ck_assert(cookie_check(SECRET, &k, bytes, COOKIE_LEN, 5000, 10000, &c));
	ck_assert_uint_eq(c.rank, MADE.rank);
	ck_assert_uint_eq(c.ifindex, 9);
	ck_assert(c.guarded);
	ck_assert_uint_eq(c.made_ms, 5000);
}
END_TEST

START_TEST(test_MSG_9_every_changed_bit_and_length_is_noticed)
{
	struct flow_key k = key(1);
	uint8_t bytes[COOKIE_LEN + 1] = {0};
	struct cookie c;

	cookie_make(SECRET, &k, &MADE, bytes);
	for (size_t bit = 0; bit < COOKIE_LEN * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(!cookie_check(SECRET, &k, bytes, COOKIE_LEN, 5000, 10000, &c));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len <= COOKIE_LEN + 1; len++)
		ck_assert(cookie_check(SECRET, &k, bytes, len, 5000, 10000, &c) == (len == COOKIE_LEN));
}
END_TEST

START_TEST(test_MSG_9_another_flow_agent_or_time_is_refused)
{
	struct flow_key k = key(1), other = key(2);
	const uint64_t another[2] = {SECRET[0] ^ 1, SECRET[1]};
	uint8_t bytes[COOKIE_LEN];
	struct cookie c;

	cookie_make(SECRET, &k, &MADE, bytes);
	ck_assert(!cookie_check(SECRET, &other, bytes, COOKIE_LEN, 5000, 10000, &c));
	ck_assert(!cookie_check(another, &k, bytes, COOKIE_LEN, 5000, 10000, &c));
	ck_assert(cookie_check(SECRET, &k, bytes, COOKIE_LEN, 15000, 10000, &c));
	ck_assert(!cookie_check(SECRET, &k, bytes, COOKIE_LEN, 15001, 10000, &c));
	ck_assert(!cookie_check(SECRET, &k, bytes, COOKIE_LEN, 4999, 10000, &c)); /* from the future */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cookie");
	TCase *t = tcase_create("cookie");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_PREC_7_cookie_gives_back_what_was_put_in);
	tcase_add_test(t, test_MSG_9_every_changed_bit_and_length_is_noticed);
	tcase_add_test(t, test_MSG_9_another_flow_agent_or_time_is_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
