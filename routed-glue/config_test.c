/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of routed-glue's configuration.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routed-glue/config.h"

START_TEST(test_ARCH_7_defaults)
{
	struct glue_config conf;
	char errors[1024];

	ck_assert(glue_config_load_text("t", "agents: fad\n", &conf, errors, sizeof(errors)));
	ck_assert_uint_eq(conf.agents.count, 1);
	ck_assert_str_eq(glue_config_agent(&conf, 0), "fad");
	ck_assert_str_eq(conf.interface, "vip0");
	ck_assert_uint_eq(conf.lease, 1000);
	ck_assert_uint_eq(conf.hold, 1200);
	ck_assert_uint_eq(conf.protocol, 77);
	ck_assert_uint_eq(conf.metric, 0);
	ck_assert_str_eq(conf.frr, "/var/run/frr");
	ck_assert_mem_eq(conf.address.b, ((uint8_t[]){169, 254, 77, 1}), 4);
	glue_config_free(&conf);
}
END_TEST

START_TEST(test_ARCH_7_everything_set)
{
	static const char text[] = "agents: [fad, fad-2]\ninterface: anycast\naddress: 169.254.9.9\nprotocol: 200\n"
				   "metric: 30\nlease: 500ms\nhold: 0s\nflap-limit: 0\nflap-refill: 5s\naudit: 1m\n"
				   "prefixes: 12\nfrr: none\n";
	struct glue_config conf;
	char errors[1024];

	ck_assert_msg(glue_config_load_text("t", text, &conf, errors, sizeof(errors)), "%s", errors);
	ck_assert_str_eq(glue_config_agent(&conf, 1), "fad-2");
	ck_assert_str_eq(conf.interface, "anycast");
	ck_assert_uint_eq(conf.protocol, 200);
	ck_assert_uint_eq(conf.metric, 30);
	ck_assert_uint_eq(conf.lease, 500);
	ck_assert_uint_eq(conf.audit, 60000);
	ck_assert_uint_eq(conf.prefixes, 12);
	glue_config_free(&conf);
}
END_TEST

/* What stands where in the error tells what and where. */
START_TEST(test_ARCH_7_errors_name_the_place)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{"interface: vip0\n", "agents"},
		{"agents: []\n", "agents"},
		{"agents: [fad, fad]\n", "t:1:15: agents[1]: agent 'fad' is there already"},
		{"agents: [a/b]\n", "not a daemon's name"},
		{"agents: fad\ninterface: a/b\n", "t:2:12: interface: 'a/b'"},
		{"agents: fad\ninterface: sixteen-letters-x\n", "t:2:12: interface"},
		{"agents: fad\naddress: 10.0.0.1\n", "t:2:10: address: 10.0.0.1"},
		{"agents: fad\naddress: fe80::1\n", "link-local"},
		{"agents: fad\naddress: 169.254.0.1\n", "FRRouting uses"},
		/* zebra would take these routes for its own leftovers. */
		{"agents: fad\nprotocol: 186\n", "t:2:11: protocol: 186 is FRRouting's own"},
		{"agents: fad\nprotocol: 11\n", "FRRouting's own"},
		{"agents: fad\nprotocol: 4\n", "t:2:11: protocol"},
		{"agents: fad\nprotocol: 256\n", "t:2:11: protocol"},
		{"agents: fad\nlease: 100ms\n", "t:2:8: lease"},
		{"agents: fad\nflap-refill: 0s\n", "t:2:14: flap-refill"},
		{"agents: fad\nfrr: run/frr\n", "t:2:6: frr: 'run/frr' is neither"},
		{"agents: fad\nhold:\n", "t:2:1: hold: is empty"},
		{"agents: fad\nleese: 1s\n", "did you mean 'lease'"},
	};
	struct glue_config conf;
	char errors[1024];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!glue_config_load_text("t", bad[i].text, &conf, errors, sizeof(errors)), "%s",
			      bad[i].text);
		ck_assert_msg(strstr(errors, bad[i].error) != NULL, "%s: %s", bad[i].text, errors);
		ck_assert_ptr_null(conf.agents.items);
	}
}
END_TEST

START_TEST(test_ARCH_10_more_agents_than_there_are_bits_are_refused)
{
	char text[1024] = "agents:\n", errors[1024];
	struct glue_config conf;

	for (int i = 0; i < 65; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "- a%d\n", i);
	ck_assert(!glue_config_load_text("t", text, &conf, errors, sizeof(errors)));
	ck_assert_ptr_nonnull(strstr(errors, "agents: has 65 items; takes 1 to 64"));
	*strrchr(text, '-') = '\0';
	ck_assert(glue_config_load_text("t", text, &conf, errors, sizeof(errors)));
	glue_config_free(&conf);
}
END_TEST

/* From the top of the tree, where the tests are run. */
START_TEST(test_ARCH_7_example_is_good)
{
	struct glue_config conf;

	ck_assert(glue_config_load("docs/examples/routed-glue.yaml", &conf));
	glue_config_free(&conf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ARCH_7_defaults);
	tcase_add_test(tc, test_ARCH_7_everything_set);
	tcase_add_test(tc, test_ARCH_7_errors_name_the_place);
	tcase_add_test(tc, test_ARCH_10_more_agents_than_there_are_bits_are_refused);
	tcase_add_test(tc, test_ARCH_7_example_is_good);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
