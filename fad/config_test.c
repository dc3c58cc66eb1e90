/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of fad's configuration: a full and a minimal file, the example,
 * and bad files with the messages they must give to the letter.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fad/config.h"

#define MINIMAL                                                                                                        \
	"control: {address: 10.77.0.1}\n"                                                                              \
	"interfaces: eth0\n"

static char errors[8192];

static bool load(const char *text, struct fad_conf *conf)
{
	return fad_config_load_text("t", text, conf, errors, sizeof(errors));
}

static void refused(const char *text, const char *expected)
{
	static const struct fad_conf zero;
	struct fad_conf conf;

	memset(&conf, 0x5a, sizeof(conf));
	ck_assert(!load(text, &conf));
	ck_assert_str_eq(errors, expected);
	ck_assert_mem_eq(&conf, &zero, sizeof(conf));
}

START_TEST(minimal_file_gets_the_documented_defaults)
{
	struct fad_conf conf;

	ck_assert_msg(load(MINIMAL, &conf), "%s", errors);
	ck_assert_ptr_null(conf.name);
	ck_assert_uint_eq(conf.identity, 0);
	ck_assert_uint_eq(conf.interfaces.count, 1);
	ck_assert_str_eq(fad_config_interface(&conf, 0)->name, "eth0");
	ck_assert_int_eq(fad_config_interface(&conf, 0)->unmatched, UNMATCHED_ROUTE);
	ck_assert(!conf.accept_uncovered);
	ck_assert(!conf.permit_protected);
	ck_assert_str_eq(conf.punt_port, "tn-punt");
	ck_assert_uint_eq(conf.limits.fixed, 1000000);
	ck_assert_uint_eq(conf.limits.wildcards, 16384);
	ck_assert_uint_eq(conf.limits.hold_flows, 65536);
	ck_assert_uint_eq(conf.limits.punt_rate, 5000);
	ck_assert_int_eq(conf.limits.punt_excess, PUNT_EXCESS_DROP);
	ck_assert_uint_eq(conf.limits.hold_packets, 64);
	ck_assert_uint_eq(conf.limits.hold_bytes, 16777216);
	ck_assert_uint_eq(conf.stop_hold, 0);
	ck_assert_uint_eq(conf.linger, 500);
	ck_assert_uint_eq(conf.fallback.count, 0);
	ck_assert_uint_eq(conf.fallback_for, 60000);
	ck_assert(!fad_config_engine(&conf).authenticated);
	fad_config_free(&conf);
}
END_TEST

START_TEST(test_ARCH_1_unmatched_policy_per_interface)
{
	struct fad_conf conf;

	ck_assert_msg(load("name: r1\nidentity: 0x101\ncontrol: {address: 'fd00::1', port: 99}\n"
			   "security: {keys: {id: 1, file: /k}}\n"
			   "interfaces: [eth0, {name: eth1, unmatched: drop}]\n"
			   "accept-uncovered: true\npermit-protected: true\npunt-port: pp\n"
			   "stop-hold: 10s\nlinger: 0s\n"
			   "limits: {fixed: 10, wildcards: 20, hold-flows: 30, hold-packets: 40, hold-bytes: 500000, "
			   "punt-rate: 50, punt-excess: route}\n",
			   &conf),
		      "%s", errors);
	ck_assert_str_eq(conf.name, "r1");
	ck_assert_uint_eq(conf.identity, 0x101);
	ck_assert_uint_eq(conf.control.port, 99);
	ck_assert_int_eq(fad_config_interface(&conf, 0)->unmatched, UNMATCHED_ROUTE);
	ck_assert_str_eq(fad_config_interface(&conf, 1)->name, "eth1");
	ck_assert_int_eq(fad_config_interface(&conf, 1)->unmatched, UNMATCHED_DROP);
	ck_assert_uint_eq(conf.stop_hold, 10000);
	ck_assert_uint_eq(conf.linger, 0);
	struct engine_conf e = fad_config_engine(&conf);
	ck_assert(e.authenticated && e.accept_uncovered && e.permit_protected);
	ck_assert_uint_eq(e.max_fixed, 10);
	ck_assert_uint_eq(e.max_wildcards, 20);
	ck_assert_uint_eq(e.hold.flows, 30);
	ck_assert_uint_eq(e.hold.packets, 40);
	ck_assert_uint_eq(e.hold.bytes, 500000);
	ck_assert_uint_eq(e.punt_rate, 50);
	ck_assert(e.punt_excess_routed);
	fad_config_free(&conf);
}
END_TEST

START_TEST(test_ARCH_10_no_more_interfaces_than_the_limit)
{
	static char text[CONFIG_MAX_INTERFACES * 8 + 128];
	struct fad_conf conf;

	for (size_t count = CONFIG_MAX_INTERFACES; count <= CONFIG_MAX_INTERFACES + 1; count++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "control: {address: 192.0.2.1}\ninterfaces: [");

		for (size_t i = 0; i < count; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "i%zu%s", i, i + 1 < count ? ", " : "]\n");
		if (count > CONFIG_MAX_INTERFACES) {
			refused(text, "t:2:13: interfaces: has 257 items; takes 1 to 256\n");
			continue;
		}
		ck_assert_msg(load(text, &conf), "%s", errors);
		ck_assert_uint_eq(conf.interfaces.count, CONFIG_MAX_INTERFACES);
		ck_assert_str_eq(fad_config_interface(&conf, CONFIG_MAX_INTERFACES - 1)->name, "i255");
		fad_config_free(&conf);
	}
}
END_TEST

START_TEST(test_ARCH_7_errors_say_where_and_what)
{
	refused("interfaces: []\n", "t:1:1: control: is missing\n"
				    "t:1:13: interfaces: has 0 items; takes 1 to 256\n");
	refused("control: {address: 10.77.0.1}\ninterface: [eth0]\n",
		"t:1:1: interfaces: is missing\n"
		"t:2:1: interface: unknown field; did you mean 'interfaces'?\n");
	refused("control: {address: 10.77.0.1}\ninterfaces:\n- eth0\n- {name: eth1, unmatched: pass}\n",
		"t:4:27: interfaces[1].unmatched: 'pass' is not allowed; takes route or drop\n");
	refused("control: {address: 10.77.0.1}\ninterfaces: [eth0, a-name-of-sixteen]\n",
		"t:2:20: interfaces[1]: 'a-name-of-sixteen' is not allowed; takes text of 1 to 15 bytes\n");
	refused("control: {address: 10.77.0.1}\ninterfaces: [eth0, 'eth/1']\n",
		"t:2:20: interfaces[1]: 'eth/1' cannot be the name of an interface\n");
	refused("control: {address: 10.77.0.1}\ninterfaces: [eth0, tn-punt1, {name: eth0}]\n",
		"t:2:20: interfaces[1]: 'tn-punt1' is the punt port itself; choose another punt-port\n"
		"t:2:37: interfaces[2].name: interface 'eth0' is there already\n");
	refused(MINIMAL "stop-hold: 1h\n", "t:3:12: stop-hold: '1h' is not allowed; takes a duration such as 250ms, "
					   "10s, 5m or 1h, from 0ms to 10m\n");
	refused(MINIMAL "limits: {fixed: 0}\n",
		"t:3:17: limits.fixed: '0' is not allowed; takes a number from 1 to 16000000\n");
	refused(MINIMAL "identity: 0\n",
		"t:3:11: identity: '0' is not allowed; takes a number from 1 to 18446744073709551615\n");
	refused(MINIMAL "name: \"r\\u00e9\"\n", "t:3:7: name: only printable ASCII characters are allowed\n");
	refused(MINIMAL "punt-port: 'a b'\n", "t:3:12: punt-port: 'a b' cannot be the name of an interface\n");
	refused(MINIMAL "fallback: [10.0.0.2, 10.0.0.3]\n",
		"t:3:22: fallback[1]: one next hop is allowed of each family\n");
	refused(MINIMAL "fallback: [224.0.0.1, 'fe80::1']\n",
		"t:3:12: fallback[0]: 224.0.0.1 cannot be a next hop: not another router's address\n"
		"t:3:23: fallback[1]: fe80::1 cannot be a next hop: not another router's address\n");
	refused(MINIMAL "linger:\nlimits: {fixed: ~}\n",
		"t:3:1: linger: is empty; takes a duration such as 250ms, 10s, 5m or 1h, from 0ms to 10s\n"
		"t:4:17: limits.fixed: is empty; takes a number from 1 to 16000000\n");
	refused("", "t:1:1: control: is missing\nt:1:1: interfaces: is missing\n");
}
END_TEST

START_TEST(test_MSG_13_identity_is_stable_and_distinct)
{
	uint64_t id = fad_config_identity("0123456789abcdef0123456789abcdef", "r1");

	ck_assert_uint_ne(id, 0);
	ck_assert_uint_eq(id, fad_config_identity("0123456789abcdef0123456789abcdef", "r1"));
	ck_assert_uint_ne(id, fad_config_identity("0123456789abcdef0123456789abcdef", "r2"));
	ck_assert_uint_ne(id, fad_config_identity("1123456789abcdef0123456789abcdef", "r1"));
	/* To the bit: an agent must not become another one by an update of this program. */
	ck_assert_uint_eq(id, 3126842533708188031u);
}
END_TEST

static void needs(const char *text, const char *expected)
{
	struct fad_conf a, b;

	ck_assert(
		fad_config_load_text("a", MINIMAL "security: {keys: {id: 1, file: /k}}\n", &a, errors, sizeof(errors)));
	ck_assert_msg(fad_config_load_text("b", text, &b, errors, sizeof(errors)), "%s", errors);
	if (expected != NULL)
		ck_assert_str_eq(fad_config_needs_restart(&a, &b), expected);
	else
		ck_assert_ptr_null(fad_config_needs_restart(&a, &b));
	fad_config_free(&a);
	fad_config_free(&b);
}

START_TEST(test_SEC_3_only_keys_and_senders_change_without_a_restart)
{
	needs(MINIMAL "security: {keys: {id: 1, file: /k}}\n", NULL);
	needs(MINIMAL
	      "security: {keys: [{id: 2, file: /l, scheme: md5}, {id: 1, file: /k}], accept-from: 10.0.0.0/8}\n",
	      NULL);
	needs(MINIMAL, "security.keys, from none or to none,");
	needs(MINIMAL "security: {keys: {id: 1, file: /k}}\nlinger: 1s\n", "linger");
	needs(MINIMAL "security: {keys: {id: 1, file: /k}}\nlimits: {fixed: 7}\n", "limits");
	needs(MINIMAL "security: {keys: {id: 1, file: /k}}\nname: other\n", "name");
}
END_TEST

START_TEST(example_is_good)
{
	struct fad_conf conf;

	ck_assert(fad_config_load("fad/fad.example.yaml", &conf));
	fad_config_free(&conf);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fad config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, minimal_file_gets_the_documented_defaults);
	tcase_add_test(tc, test_ARCH_1_unmatched_policy_per_interface);
	tcase_add_test(tc, test_ARCH_10_no_more_interfaces_than_the_limit);
	tcase_add_test(tc, test_ARCH_7_errors_say_where_and_what);
	tcase_add_test(tc, test_MSG_13_identity_is_stable_and_distinct);
	tcase_add_test(tc, test_SEC_3_only_keys_and_senders_change_without_a_restart);
	tcase_add_test(tc, example_is_good);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
