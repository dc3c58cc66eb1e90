// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tests of checksum.h: an example with a known result, and updates against
 * computing anew, over random data of every length.
 */
#include "fad/checksum.h"

#include <check.h>
#include <stdlib.h>

struct rng {
	uint64_t state;
};

static uint8_t next(struct rng *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint8_t)(r->state >> 32);
}

/* The example of RFC 1071, section 3. */
START_TEST(test_rfc_1071_example)
{
	static const uint8_t b[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	ck_assert_uint_eq(checksum_fold(checksum_add(0, b, sizeof(b))), htons(0xddf2));
	ck_assert_uint_eq(checksum_finish(checksum_add(0, b, sizeof(b))), htons(0x220d));
}
END_TEST

START_TEST(test_every_length_against_words)
{
	struct rng r = {42};
	for (size_t len = 0; len < 200; len++) {
		uint8_t b[200];
		uint32_t sum = 0;
		for (size_t i = 0; i < len; i++) {
			b[i] = next(&r);
			sum += i % 2 ? b[i] : (uint32_t)b[i] << 8;
		}
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		ck_assert_uint_eq(checksum_fold(checksum_add(0, b, len)), htons((uint16_t)sum));
	}
}
END_TEST

START_TEST(test_update_equals_computing_anew)
{
	struct rng r = {7};
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t b[40], fresh[16];
		for (size_t i = 0; i < sizeof(b); i++)
			b[i] = next(&r);
		for (size_t i = 0; i < sizeof(fresh); i++)
			fresh[i] = round % 3 ? next(&r) : (uint8_t) - (next(&r) & 1);
		uint16_t whole = checksum_finish(checksum_add(0, b, sizeof(b)));
		uint16_t partial = checksum_fold(checksum_add(0, b, sizeof(b)));
		uint64_t delta = checksum_fold(checksum_replace(0, b + 8, fresh, 16));
		memcpy(b + 8, fresh, 16);
		/* Adding the complement of the field to all it covers gives all ones, in either of the two zeros. */
		uint64_t sum = checksum_add(0, b, sizeof(b));
		ck_assert_uint_eq(checksum_fold(sum + checksum_update(whole, delta)), 0xffff);
		ck_assert_uint_eq(checksum_update_partial(partial, delta) % 0xffff, checksum_fold(sum) % 0xffff);
	}
}
END_TEST

START_TEST(test_udp_never_sends_zero)
{
	ck_assert_uint_eq(checksum_finish_udp(0xffff), 0xffff);
	ck_assert_uint_eq(checksum_finish(0xffff), 0);
	ck_assert_uint_eq(checksum_finish_udp(1), 0xfffe);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("checksum");
	TCase *t = tcase_create("checksum");
	tcase_add_test(t, test_rfc_1071_example);
	tcase_add_test(t, test_every_length_against_words);
	tcase_add_test(t, test_update_equals_computing_anew);
	tcase_add_test(t, test_udp_never_sends_zero);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
