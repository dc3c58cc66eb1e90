/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of doctor's walk through nftables' rules: what surely drops a message
 * to the group is found, and what may or may not is not called so.
 */
#include "ctl/doctor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define RULES(rule)                                                                                                    \
	"{\"nftables\": [{\"chain\": {\"family\": \"inet\", \"table\": \"t\", \"name\": \"in\", \"type\": "            \
	"\"filter\", "                                                                                                 \
	"\"hook\": \"input\", \"prio\": 0, \"policy\": \"accept\"}}, {\"chain\": {\"family\": \"inet\", \"table\": "   \
	"\"t\", "                                                                                                      \
	"\"name\": \"sub\"}}, " rule "]}"
#define RULE(chain, expr)                                                                                              \
	"{\"rule\": {\"family\": \"inet\", \"table\": \"t\", \"chain\": \"" chain                                      \
	"\", \"handle\": 9, \"expr\": [" expr "]}}"
#define MATCH(left, right) "{\"match\": {\"op\": \"==\", \"left\": {" left "}, \"right\": " right "}}"
#define DPORT(right)       MATCH("\"payload\": {\"protocol\": \"udp\", \"field\": \"dport\"}", right)
#define DADDR(right)       MATCH("\"payload\": {\"protocol\": \"ip\", \"field\": \"daddr\"}", right)
#define META(key, right)   MATCH("\"meta\": {\"key\": \"" key "\"}", right)
#define STATE(right)       "{\"match\": {\"op\": \"in\", \"left\": {\"ct\": {\"key\": \"state\"}}, \"right\": " right "}}"
#define DROP_IT            "{\"counter\": {\"packets\": 1, \"bytes\": 1}}, {\"drop\": null}"
#define ACCEPT_IT          "{\"accept\": null}"

#define AGAIN "{\"jump\": {\"target\": \"in\"}}"

/* Is a message to the group surely dropped? */
static bool dropped_by(const char *rules)
{
	struct facts facts = {.host.ruleset = (char *)(uintptr_t)rules};
	struct addr group;
	struct rules_packet p = {.hook = "input", .interface = "ctl", .to = &group, .port = 7511, .first = true};
	char where[160];
	bool found;

	ck_assert(addr_parse("239.255.75.10", &group));
	found = doctor_rules_drop(&facts, &p, where, sizeof(where));
	if (found)
		ck_assert_msg(strstr(where, " inet t ") != NULL, "%s", where);
	return found;
}

START_TEST(rules_are_walked_as_the_kernel_does_ARCH_4)
{
	ck_assert(dropped_by(RULES(RULE("in", DPORT("7511") ", " DROP_IT))));
	ck_assert(dropped_by(RULES(RULE("in", DPORT("{\"set\": [53, {\"range\": [7510, 7519]}]}") ", " DROP_IT))));
	ck_assert(!dropped_by(RULES(RULE("in", DPORT("{\"range\": [1, 7510]}") ", " DROP_IT))));
	ck_assert(!dropped_by(RULES(RULE("in", DPORT("\"@ports\"") ", " DROP_IT))));
	ck_assert(!dropped_by(RULES(RULE("in", ACCEPT_IT) ", " RULE("in", DROP_IT))));
	ck_assert(dropped_by(RULES(RULE("in", STATE("[\"established\", \"related\"]") ", " ACCEPT_IT) ", " RULE(
		"in", META("iifname", "\"lo\"") ", " ACCEPT_IT) ", " RULE("in", "{\"reject\": null}"))));
	ck_assert(!dropped_by(RULES(RULE("in", META("iifname", "\"ctl\"") ", " ACCEPT_IT) ", " RULE("in", DROP_IT))));
	ck_assert(!dropped_by(RULES(RULE("in", META("mark", "7") ", " ACCEPT_IT) ", " RULE("in", DROP_IT))));
	ck_assert(dropped_by(
		RULES(RULE("in", DADDR("{\"prefix\": {\"addr\": \"224.0.0.0\", \"len\": 4}}") ", " DROP_IT))));
	ck_assert(!dropped_by(
		RULES(RULE("in", DADDR("{\"prefix\": {\"addr\": \"10.0.0.0\", \"len\": 8}}") ", " DROP_IT))));
	ck_assert(
		dropped_by(RULES(RULE("in", META("l4proto", "\"udp\"") ", {\"jump\": {\"target\": \"sub\"}}") ", " RULE(
			"sub", DPORT("7511") ", " DROP_IT))));
	ck_assert(!dropped_by(RULES(RULE("in", "{\"jump\": {\"target\": \"sub\"}}") ", " RULE(
		"sub", "{\"return\": null}") ", " RULE("sub", DROP_IT))));
	/* A chain that jumps to itself ends, too, also when it does so again and again. */
	ck_assert(!dropped_by(RULES(RULE("in", AGAIN) ", " RULE("in", AGAIN) ", " RULE("in", AGAIN) ", " RULE(
		"in", AGAIN) ", " RULE("in", AGAIN) ", " RULE("in", AGAIN) ", " RULE("in", DROP_IT))));
	ck_assert(!dropped_by(RULES(RULE("in", "{\"jump\": {\"target\": \"in\"}}"))));
	ck_assert(!dropped_by("not JSON"));
	ck_assert(!dropped_by("{\"nftables\": [{\"chain\": 7}, {\"rule\": []}]}"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doctor_rules");
	TCase *t = tcase_create("rules");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, rules_are_walked_as_the_kernel_does_ARCH_4);
	suite_add_tcase(suite, t);
	if (getenv("TAP_FILE"))
		srunner_set_tap(runner, getenv("TAP_FILE"));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
