/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of prefixes: what may be announced, and their order.
 */
#include <check.h>
#include <stdlib.h>

#include "routed-glue/prefix.h"

START_TEST(test_ACT_3_prefixes_in_and_out)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{"203.0.113.10/32", "203.0.113.10/32"},
		{"203.0.113.10", "203.0.113.10/32"},
		{"198.51.100.0/24", "198.51.100.0/24"},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"2001:db8:113::10/128", "2001:db8:113::10/128"},
		{"2001:DB8::/32", "2001:db8::/32"},
		{"fd00::1", "fd00::1/128"},
	};
	char text[PREFIX_STRLEN];
	struct prefix p;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(prefix_parse(good[i].in, &p) == NULL, "%s", good[i].in);
		ck_assert_str_eq(prefix_print(&p, text), good[i].out);
	}
}
END_TEST

START_TEST(test_ACT_3_what_would_hurt_the_router_is_refused)
{
	static const char *const bad[] = {
		"",
		"x",
		"203.0.113.10/33",
		"203.0.113.10/",
		"203.0.113.10/24", /* host bits */
		"2001:db8::1/64",
		"2001:db8::/129",
		"0.0.0.0/0",
		"::/0",
		"0.0.0.0",
		"127.0.0.1",
		"127.0.0.0/8",
		"64.0.0.0/2", /* around loopback */
		"169.254.77.1",
		"169.0.0.0/8", /* around link-local */
		"224.0.0.5",
		"255.255.255.255",
		"192.0.0.0/2", /* around multicast */
		"::1",
		"::",
		"fe80::1",
		"ff02::1",
		"ff00::/8",
		"f000::/4", /* around multicast and link-local */
		"203.0.113.10/32 ",
	};
	struct prefix p = {.plen = 99};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(prefix_parse(bad[i], &p) != NULL, "'%s' was taken", bad[i]);
	ck_assert_uint_eq(p.plen, 99);
}
END_TEST

START_TEST(test_prefixes_have_one_order)
{
	static const char *const ascending[] = {"10.0.0.0/8",      "10.0.0.0/16",   "10.0.0.0/32",    "10.0.0.1/32",
						"203.0.113.10/32", "2001:db8::/32", "2001:db8::/128", "fd00::/8"};
	const size_t n = sizeof(ascending) / sizeof(ascending[0]);
	struct prefix p[sizeof(ascending) / sizeof(ascending[0])];

	for (size_t i = 0; i < n; i++)
		ck_assert_ptr_null(prefix_parse(ascending[i], &p[i]));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			int order = prefix_compare(&p[i], &p[j]);

			ck_assert_int_eq((order > 0) - (order < 0), (i > j) - (i < j));
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prefix");
	TCase *tc = tcase_create("prefix");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ACT_3_prefixes_in_and_out);
	tcase_add_test(tc, test_ACT_3_what_would_hurt_the_router_is_refused);
	tcase_add_test(tc, test_prefixes_have_one_order);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
