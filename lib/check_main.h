/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a test program: run a suite, its results to TAP_FILE too if the
 * environment has that, and say by the exit status whether all is well.
 *
 * Must not know what is tested.
 */
#ifndef TURNOUT_LIB_CHECK_MAIN_H
#define TURNOUT_LIB_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

static inline int check_main(Suite *suite)
{
	SRunner *sr = srunner_create(suite);
	int failed;

	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
