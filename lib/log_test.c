/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of log lines: each test runs in a process of its own (Check forks),
 * with its standard error in a file.
 */
#include "lib/log.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/capture_fixture.h"

START_TEST(test_lines_say_program_and_level)
{
	struct capture c;

	unsetenv("JOURNAL_STREAM");
	log_open("fad", false);
	capture_start(&c);
	log_error("no %s", "interface");
	log_warning("a warning");
	log_info("%d agents", 3);
	log_debug("not shown");
	ck_assert_str_eq(capture_end(&c), "fad: error: no interface\nfad: warning: a warning\nfad: 3 agents\n");
}
END_TEST

START_TEST(test_debug_lines_when_asked_for)
{
	struct capture c;

	unsetenv("JOURNAL_STREAM");
	log_open("smd", true);
	capture_start(&c);
	log_debug("shown");
	ck_assert_str_eq(capture_end(&c), "smd: shown\n");
}
END_TEST

START_TEST(test_the_journal_gets_priorities)
{
	struct capture c;

	setenv("JOURNAL_STREAM", "8:12345", 1);
	log_open("fad", true);
	capture_start(&c);
	log_error("one");
	log_warning("two");
	log_info("three");
	log_debug("four");
	ck_assert_str_eq(capture_end(&c), "<3>one\n<4>two\n<6>three\n<7>four\n");
}
END_TEST

/* What the network sent must not be able to fake a line, nor to steer a terminal. */
START_TEST(test_a_line_is_one_line_MSG_4)
{
	struct capture c;

	unsetenv("JOURNAL_STREAM");
	log_open("fad", false);
	capture_start(&c);
	log_info("name '%s'.", "r1\nfad: error: \x1b[2J\x7f");
	ck_assert_str_eq(capture_end(&c), "fad: name 'r1?fad: error: ?[2J?'.\n");
}
END_TEST

START_TEST(test_long_lines_are_cut)
{
	struct capture c;
	char text[4000];
	const char *got;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	unsetenv("JOURNAL_STREAM");
	log_open("a-program-with-quite-a-long-name-indeed", false);
	capture_start(&c);
	log_warning("%s", text);
	got = capture_end(&c);
	ck_assert_uint_gt(strlen(got), 1000);
	ck_assert_uint_lt(strlen(got), 1100);
	ck_assert_int_eq(got[strlen(got) - 1], '\n');
	ck_assert_ptr_eq(strchr(got, '\n'), got + strlen(got) - 1);
}
END_TEST

START_TEST(test_errno_survives)
{
	struct capture c;

	log_open("fad", false);
	capture_start(&c);
	close(STDERR_FILENO);
	errno = ENOENT;
	log_error("to nowhere");
	ck_assert_int_eq(errno, ENOENT);
	capture_end(&c);
}
END_TEST

START_TEST(test_lines_are_limited_MSG_4)
{
	struct log_limit limit = {0};
	uint32_t missed;

	for (int i = 0; i < 5; i++) {
		ck_assert(log_allowed(&limit, 10000, 5, &missed));
		ck_assert_uint_eq(missed, 0);
	}
	for (int i = 0; i < 7; i++)
		ck_assert(!log_allowed(&limit, 10999, 5, &missed));
	ck_assert(log_allowed(&limit, 11000, 5, &missed));
	ck_assert_uint_eq(missed, 7);
	ck_assert(log_allowed(&limit, 11000, 5, &missed));
	ck_assert_uint_eq(missed, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("core");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_lines_say_program_and_level);
	tcase_add_test(t, test_debug_lines_when_asked_for);
	tcase_add_test(t, test_the_journal_gets_priorities);
	tcase_add_test(t, test_a_line_is_one_line_MSG_4);
	tcase_add_test(t, test_long_lines_are_cut);
	tcase_add_test(t, test_errno_survives);
	tcase_add_test(t, test_lines_are_limited_MSG_4);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
