/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of lib/hash.h and lib/log.c's rate limit; must not know of anything else. */
#include <check.h>
#include <stdlib.h>

#include "lib/hash.h"
#include "lib/log.h"

/* The reference values of the SipHash-2-4 paper's implementation: input 00 01 02 ... of each length. */
START_TEST(siphash_reference_values)
{
	static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t in[16];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	ck_assert_uint_eq(hash_bytes(key, in, 0), 0x726fdb47dd0e0e31);
	ck_assert_uint_eq(hash_bytes(key, in, 1), 0x74f839c593dc67fd);
	ck_assert_uint_eq(hash_bytes(key, in, 15), 0xa129ca6149be45e5);
}
END_TEST

START_TEST(hash_depends_on_key_and_every_byte)
{
	static const uint64_t key[2] = {1, 2}, other[2] = {1, 3};
	uint8_t in[40] = {0};
	uint64_t base = hash_bytes(key, in, sizeof(in));

	ck_assert_uint_ne(base, hash_bytes(other, in, sizeof(in)));
	ck_assert_uint_ne(base, hash_bytes(key, in, sizeof(in) - 1));
	for (unsigned i = 0; i < sizeof(in); i++) {
		in[i] = 1;
		ck_assert_uint_ne(base, hash_bytes(key, in, sizeof(in)));
		in[i] = 0;
	}
}
END_TEST

START_TEST(log_limit_counts_what_it_suppresses)
{
	struct log_limit limit = {0};
	uint32_t missed = 99, written = 0;

	for (int i = 0; i < 10; i++)
		written += log_allowed(&limit, 5000 + (uint64_t)i, 3, &missed);
	ck_assert_uint_eq(written, 3);
	ck_assert(log_allowed(&limit, 6000, 3, &missed));
	ck_assert_uint_eq(missed, 7);
	ck_assert(log_allowed(&limit, 6001, 3, &missed));
	ck_assert_uint_eq(missed, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hash");
	TCase *tc = tcase_create("hash");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, siphash_reference_values);
	tcase_add_test(tc, hash_depends_on_key_and_every_byte);
	tcase_add_test(tc, log_limit_counts_what_it_suppresses);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
