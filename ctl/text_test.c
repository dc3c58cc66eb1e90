/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of turnoutctl's text helpers.
 */
#include "ctl/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void is_safe(const char *text, const char *expected)
{
	char *safe = text_safe(text);

	ck_assert_ptr_nonnull(safe);
	ck_assert_str_eq(safe, expected);
	free(safe);
}

START_TEST(good_text_stays)
{
	is_safe("", "");
	is_safe("r1 203.0.113.10/32 ~", "r1 203.0.113.10/32 ~");
	is_safe("Zürich Ωμέγα 東京 🚂", "Zürich Ωμέγα 東京 🚂");
}
END_TEST

START_TEST(a_terminal_cannot_be_steered_MSG_4)
{
	is_safe("a\x1b[2Jb", "a?[2Jb");
	is_safe("a\nb\r\t\x7f", "a?b???");
	is_safe("c1 \xc2\x9b"
		"31m",
		"c1 ?31m");
	is_safe("rtl \xe2\x80\xae end", "rtl ? end");       /* U+202E */
	is_safe("\xe2\x81\xa6\xe2\x80\xa8\xd8\x9c", "???"); /* U+2066, U+2028, U+061C */
}
END_TEST

START_TEST(what_is_not_utf8_is_marked_MSG_4)
{
	is_safe("\xff\xfe", "??");
	is_safe("cut \xe6\x9d", "cut ??");
	is_safe("overlong \xc0\xaf", "overlong ??");
	is_safe("surrogate \xed\xa0\x80", "surrogate ???");
	is_safe("too high \xf4\x90\x80\x80.", "too high ????.");
}
END_TEST

static const char *const listings[] = {"agents", "managers", "services", "servers", "wildcards"};

static const char *near(const char *word)
{
	return text_nearest(word, listings, sizeof(listings) / sizeof(listings[0]));
}

START_TEST(slips_are_understood)
{
	ck_assert_str_eq(near("agent"), "agents");
	ck_assert_str_eq(near("agnets"), "agents");
	ck_assert_str_eq(near("serves"), "servers");
	ck_assert_str_eq(near("wil"), "wildcards"); /* an abbreviation */
	ck_assert_str_eq(near("servics"), "services");
}
END_TEST

START_TEST(strangers_are_not)
{
	ck_assert_ptr_null(near(""));
	ck_assert_ptr_null(near("x"));
	ck_assert_ptr_null(near("routes"));
	ck_assert_ptr_null(near("a-word-that-is-far-too-long-to-be-compared-with-any"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *tc = tcase_create("text");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, good_text_stays);
	tcase_add_test(tc, a_terminal_cannot_be_steered_MSG_4);
	tcase_add_test(tc, what_is_not_utf8_is_marked_MSG_4);
	tcase_add_test(tc, slips_are_understood);
	tcase_add_test(tc, strangers_are_not);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
