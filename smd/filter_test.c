/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of filters: their configuration, what rules come to, and how they are
 * announced (SVC-5).
 */
#include "smd/filter.h"
#include "smd/manager_fixture.h"

#define HEAD "identity: 0x201\ncontrol: {address: 10.77.0.11}\n"

static void refused(const char *rules, const char *expected)
{
	char text[2048], errors[2048] = "";
	struct smd_conf conf;

	snprintf(text, sizeof(text), HEAD "filters:\n  - name: border\n    rules:\n%s", rules);
	ck_assert_msg(!smd_config_load_text("f", text, &conf, errors, sizeof(errors)), "%s", rules);
	ck_assert_msg(strstr(errors, expected), "%s is not in %s", expected, errors);
}

START_TEST(test_bad_rules_are_refused_by_line_and_field_SVC_5)
{
	refused("      - {action: allow}\n",
		"f:6:18: filters[0].rules[0].action: 'allow' is not allowed; takes deny, permit or reject");
	refused("      - {protocol: tcp}\n", "filters[0].rules[0].action: is missing");
	refused("      - {action: deny, protocol: sctpx}\n",
		"f:6:34: filters[0].rules[0].protocol: 'sctpx' is not allowed; takes any, tcp, udp, icmp, icmpv6 or a");
	refused("      - {action: deny, source: 10.0.0.0/33}\n", "rules[0].source: '10.0.0.0/33' is not allowed");
	refused("      - {action: deny, source: 10.0.0.0/8, destination: \"fd00::/8\"}\n",
		"f:6:57: filters[0].rules[0].destination: is not of the source's address family");
	refused("      - {action: deny, protocol: icmp, source: \"fd00::/8\"}\n",
		"f:6:34: filters[0].rules[0].protocol: is not of the addresses' family");
	refused("      - {action: deny, port: 80}\n", "f:6:30: filters[0].rules[0].port: needs protocol tcp or udp");
	refused("      - {action: deny, protocol: tcp, port: 80, ports: [81]}\n",
		"f:6:56: filters[0].rules[0].ports: there is 'port' already; give one of them");
	refused("      - {action: deny, protocol: tcp, ports: [81, 9-8]}\n",
		"f:6:51: filters[0].rules[0].ports[1]: '9-8' is not allowed; takes a port or a range");
	refused("      - {action: deny}\n    agent-gone: shut\n",
		"f:7:17: filters[0].agent-gone: 'shut' is not allowed; takes route or drop");
	for (size_t i = 0; i < 7; i++) {
		static const char *const bad[] = {"0", "65536", "80-", "-80", "1-2-3", "http", "80-65536"};
		char rule[96], error[64];

		snprintf(rule, sizeof(rule), "      - {action: deny, protocol: udp, ports: [\"%s\"]}\n", bad[i]);
		snprintf(error, sizeof(error), "'%s' is not allowed", bad[i]);
		refused(rule, error);
	}
}
END_TEST

START_TEST(test_precedences_and_names_are_not_shared_PREC_5)
{
	static const char web[] =
		"services: [{name: web, vip: 203.0.113.10, port: 80, precedence: 50, servers: [{name: a, "
		"address: 10.0.20.11}]}]\n";
	char errors[1024] = "", text[1024];
	struct smd_conf conf;

	snprintf(text, sizeof(text), HEAD "%sfilters: [{name: x, rules: [{action: deny}]}]\n", web);
	ck_assert(!smd_config_load_text("f", text, &conf, errors, sizeof(errors)));
	ck_assert_msg(strstr(errors, "filters[0].precedence: 50 is the precedence of service 'web' already"), "%s",
		      errors);
	snprintf(text, sizeof(text),
		 HEAD "filters: [{name: x, rules: [{action: deny}]}, {name: x, rules: [{action: deny}]}]\n");
	ck_assert(!smd_config_load_text("f", text, &conf, errors, sizeof(errors)));
	ck_assert_msg(strstr(errors, "filters[1].name: filter 'x' is there already"), "%s", errors);
	ck_assert_msg(strstr(errors, "50 is the precedence of filter 'x' already"), "%s", errors);
}
END_TEST

START_TEST(test_filter_behind_what_leaves_the_agent_is_refused_SVC_5_FIX_2)
{
	static const char services[] =
		"services:\n"
		"  - {name: web, vip: 203.0.113.10, port: 80, precedence: 40, MODE, servers: [{name: a, address: "
		"10.0.20.11}]}\n";
	static const struct {
		const char *mode, *why;
	} modes[] = {{"mode: nat", NULL},
		     {"mode: direct", "mode direct lets"},
		     {"mode: tunnel, tunnel: {kind: ip}", "mode tunnel lets"}};

	for (size_t i = 0; i < 3; i++) {
		for (unsigned precedence = 39; precedence <= 41; precedence += 2) {
			const char *at = strstr(services, "MODE");
			char text[1024], errors[1024] = "";
			struct smd_conf conf;
			bool fine = precedence < 40 || !modes[i].why;

			snprintf(text, sizeof(text),
				 HEAD "%.*s%s%sfilters: [{name: x, precedence: %u, rules: [{action: deny}]}]\n",
				 (int)(at - services), services, modes[i].mode, at + 4, precedence);
			ck_assert_msg(smd_config_load_text("f", text, &conf, errors, sizeof(errors)) == fine, "%s%s",
				      text, errors);
			if (fine) {
				smd_config_free(&conf);
				continue;
			}
			ck_assert_msg(
				strstr(errors, "f:5:33: filters[0].precedence: 41 comes after service 'web' (40)"),
				"%s", errors);
			ck_assert_msg(strstr(errors, modes[i].why), "%s", errors);
		}
	}
}
END_TEST

static void load(const char *rules, struct smd_conf *conf)
{
	char text[4096], errors[1024] = "";

	snprintf(text, sizeof(text), HEAD "filters:\n  - name: border\n    rules:\n%s", rules);
	ck_assert_msg(smd_config_load_text("f", text, conf, errors, sizeof(errors)), "%s", errors);
}

START_TEST(test_rule_becomes_a_wildcard_of_each_family_WILD_5)
{
	struct filter_wildcard w[2];
	struct smd_conf conf;
	const struct filter_conf *f;

	load("      - {action: permit, protocol: tcp, destination: 203.0.113.0/24, ports: [8080, 443, 8000-8079, "
	     "8081]}\n"
	     "      - {action: deny, source: \"2001:db8:1::/48\"}\n"
	     "      - {action: deny, protocol: udp, port: 53}\n"
	     "      - {action: deny, protocol: 6}\n",
	     &conf);
	f = smd_config_filter(&conf, 0);
	ck_assert_uint_eq(f->precedence, 50);
	ck_assert_uint_eq(filter_compile(f, 0, 2, w), 1);
	ck_assert_uint_eq(w[0].match.family, 4);
	ck_assert_uint_eq(w[0].match.proto, 6);
	ck_assert_uint_eq(w[0].match.flags, 0);
	ck_assert_uint_eq(w[0].match.dport, 0);
	ck_assert_mem_eq(w[0].match.dst, ((uint8_t[]){203, 0, 113, 0}), 4);
	ck_assert_mem_eq(w[0].match.dst_mask, ((uint8_t[]){255, 255, 255, 0}), 4);
	ck_assert_uint_eq(w[0].backup, 2 * FILTER_BACKUP_STEP);
	/* What touches is one range. */
	ck_assert_uint_eq(w[0].range_count, 2);
	ck_assert_uint_eq(w[0].ranges[0].low_port, 443);
	ck_assert_uint_eq(w[0].ranges[0].high_port, 443);
	ck_assert_uint_eq(w[0].ranges[1].low_port, 8000);
	ck_assert_uint_eq(w[0].ranges[1].high_port, 8081);
	ck_assert_uint_eq(filter_compile(f, 1, 0, w), 1);
	ck_assert_uint_eq(w[0].match.family, 6);
	ck_assert_uint_eq(w[0].match.flags, WIRE_FLAG_DISPATCH);
	ck_assert(addr_is_zero(&w[0].match.forward));
	ck_assert_uint_eq(w[0].backup, 1);
	ck_assert_uint_eq(filter_compile(f, 2, 0, w), 2);
	ck_assert_uint_eq(w[1].match.family, 6);
	ck_assert_uint_eq(w[1].match.dport, 53);
	ck_assert_uint_eq(w[1].range_count, 0);
	ck_assert_uint_eq(filter_compile(f, 3, 0, w), 2);
	smd_config_free(&conf);
}
END_TEST

/* What is denied stays so, and what is permitted is not let through more than before. */
START_TEST(test_what_is_denied_is_so_without_an_agent_FA_6)
{
	struct filter_wildcard w[2];
	struct smd_conf conf;
	const struct filter_conf *f;

	load("      - {action: permit, protocol: tcp, port: 80}\n"
	     "      - {action: reject, protocol: tcp, port: 113}\n"
	     "      - {action: deny}\n"
	     "    agent-gone: drop\n",
	     &conf);
	f = smd_config_filter(&conf, 0);
	ck_assert_uint_eq(filter_compile(f, 0, 0, w), 2);
	ck_assert_uint_eq(w[0].match.flags, 0);
	for (size_t i = 1; i < 3; i++) {
		ck_assert_uint_eq(filter_compile(f, i, 0, w), 2);
		ck_assert_uint_eq(w[0].match.flags, WIRE_FLAG_DISPATCH | WIRE_FLAG_DROP_GONE);
		ck_assert_uint_eq(w[1].match.flags, WIRE_FLAG_DISPATCH | WIRE_FLAG_DROP_GONE);
	}
	smd_config_free(&conf);
}
END_TEST

START_TEST(test_rules_that_make_no_difference_are_left_out_SVC_5)
{
	/* Whether each matters. */
	static const struct {
		const char *rule;
		bool matters;
	} rules[] = {
		{"{action: permit, protocol: tcp, source: 10.1.0.0/16, port: 80}", true},
		{"{action: permit, protocol: icmp, source: 192.0.2.0/24}", false}, /* nothing denies it later */
		{"{action: deny, protocol: tcp, source: 10.0.0.0/8, ports: [1-1023]}", true},
		{"{action: deny, protocol: tcp, source: 10.2.0.0/16, port: 443}", false}, /* covered */
		{"{action: deny, protocol: tcp, source: 10.2.0.0/16, ports: [443, 2000]}", true},
		{"{action: deny, protocol: tcp, source: 10.2.0.0/16}", true},
		{"{action: deny, protocol: tcp, source: 10.0.0.0/8, ports: [1-1023]}", false}, /* there already */
		{"{action: permit, protocol: tcp, source: 10.2.0.0/16, port: 80}", false},
		{"{action: permit, protocol: icmp}", false},
		{"{action: deny, protocol: icmpv6}", true},
		{"{action: deny, protocol: udp, destination: 203.0.113.10}", true},
		{"{action: permit}", false},
	};
	char text[2048] = "";
	struct smd_conf conf;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "      - %s\n", rules[i].rule);
	load(text, &conf);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		ck_assert_msg(filter_rule_matters(smd_config_filter(&conf, 0), i) == rules[i].matters, "%s",
			      rules[i].rule);
	smd_config_free(&conf);
}
END_TEST

/* ---- announcing ---- */

#define FILTERS(rules) HEAD "filters: [{name: border, precedence: 10, rules: [" rules "]}]\n"
#define DENY1          "{action: deny, source: 198.51.100.0/24}"
#define DENY2          "{action: deny, protocol: tcp, ports: [25, 465]}"
#define PERMIT         "{action: permit, source: 198.51.100.7}"

/* What was sent to the group since the count was 0, of IPv4: "-" for a withdrawal, then action, backup, ports. */
static const char *announced(const struct fixture *f, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < f->count; i++) {
		const struct wire_msg *m = &f->sent[i].m;

		ck_assert_uint_eq(m->h.type, WIRE_WILDCARD_UPDATE);
		if (m->wildcard.family == 6 || f->sent[i].to)
			continue;
		ck_assert(!wire_has(m, WIRE_SEG_INTEREST) && !wire_has(m, WIRE_SEG_NAT));
		ck_assert_uint_eq(m->precedence.value, 10);
		used += (size_t)snprintf(text + used, size - used, "%s%s%s%u", used ? " " : "",
					 m->wildcard.ttl ? "" : "-",
					 m->wildcard.flags & WIRE_FLAG_DISPATCH ? "deny" : "permit", m->backup);
		ck_assert(wire_has(m, WIRE_SEG_RANGES) == (m->range_count > 0));
		for (uint8_t j = 0; j < m->range_count; j++)
			used += (size_t)snprintf(text + used, size - used, ":%u", m->ranges[j].low_port);
	}
	return text;
}

START_TEST(test_filters_alone_are_announced_and_refreshed_SVC_5_WILD_3)
{
	struct fixture *f = fixture_new(FILTERS(PERMIT "," DENY1 "," DENY2));
	char text[512];

	manager_tick(f->manager, f->now_ms);
	ck_assert_str_eq(announced(f, text, sizeof(text)), "permit0 deny1 deny2:25:465");
	fixture_run(f, 1000);
	f->count = 0;
	fixture_run(f, 10000);
	ck_assert_uint_eq(f->count, 4);
	f->count = 0;
	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_RANGES, 0}); /* NAT is not needed */
	ck_assert_str_eq(f->noticed + 2, "agent r1: known, at 10.77.0.1:7510");
	ck_assert_uint_eq(f->notices, 2); /* and that it does all that is needed */
	fixture_run(f, 100);
	ck_assert_uint_eq(f->count, 4);
	f->count = 0;
	fixture_hello(f, R2, "r2", (const uint8_t[]){WIRE_SEG_NAT, 0});
	ck_assert_str_eq(f->noticed + 2, "agent r2: known, at 10.77.0.2:7510");
	fixture_run(f, 100);
	ck_assert_uint_eq(f->count, 2); /* those without ranges */
	f->count = 0;
	while (manager_withdraw(f->manager))
		;
	announced(f, text, sizeof(text));
	ck_assert_str_eq(text, "-deny2:25:465 -deny1 -permit0"); /* the last first */
	fixture_free(f);
}
END_TEST

#define WEB                                                                                                            \
	"services: [{name: web, vip: 203.0.113.10, port: 80, servers: [{name: a, address: 10.0.20.11}], "              \
	"check: {type: none}}]\n"

/*
 * If the manager dies, its rules expire together and the last first: what is left of them never permits what one before
 * it, or a backup's, would deny.
 */
START_TEST(test_rules_are_refreshed_at_once_and_last_first_PREC_4_SVC_5)
{
	struct fixture *f = fixture_new(FILTERS(DENY1 "," PERMIT "," DENY2 ",{action: permit, protocol: tcp, port: 7},"
						      "{action: deny, protocol: tcp}") WEB);
	uint32_t last = 0;
	size_t rules = 0;

	fixture_run(f, 10000);
	f->count = 0;
	fixture_run(f, 10000);
	for (size_t i = 0; i < f->count; i++) {
		const struct wire_msg *m = &f->sent[i].m;

		if (m->precedence.value != 10)
			continue;
		ck_assert_uint_eq(f->sent[i].at_ms, f->sent[0].at_ms);
		ck_assert_msg(!rules || m->backup <= last, "rule %u after rule %u", m->backup, last);
		last = m->backup;
		rules++;
	}
	ck_assert_uint_eq(rules, 7);
	ck_assert_uint_eq(f->count, 9);
	ck_assert_uint_eq(f->sent[0].m.backup, 4);
	/* The services are spread as ever, and are withdrawn before the rules. */
	ck_assert_uint_lt(f->sent[0].at_ms, f->sent[8].at_ms);
	f->count = 0;
	while (manager_withdraw(f->manager))
		;
	ck_assert_uint_eq(f->count, 9);
	ck_assert_uint_eq(f->sent[0].m.precedence.value, 100);
	ck_assert_uint_eq(f->sent[1].m.precedence.value, 100);
	ck_assert_uint_eq(f->sent[2].m.backup, 4);
	ck_assert_uint_eq(f->sent[8].m.backup, 0);
	for (size_t i = 0; i < f->count; i++)
		ck_assert_uint_eq(f->sent[i].m.wildcard.ttl, 0);
	fixture_free(f);
}
END_TEST

/* Another manager's wildcard, heard in the group. */
static void hear(struct fixture *f, uint64_t from, uint32_t precedence, uint32_t backup, uint32_t ttl)
{
	struct wire_msg m;

	wire_start(&m, WIRE_WILDCARD_UPDATE);
	m.wildcard = (struct wire_wildcard){.family = 4, .proto = 6, .dport = 443, .ttl = ttl};
	wire_set(&m, WIRE_SEG_WILDCARD, true);
	m.precedence = (struct wire_precedence){.lower_first = true, .value = precedence};
	wire_set(&m, WIRE_SEG_PRECEDENCE, true);
	m.backup = backup;
	wire_set(&m, WIRE_SEG_BACKUP, true);
	fixture_receive(f, from, &m);
}

START_TEST(test_another_manager_at_a_filters_precedence_is_told_once_PREC_4_PREC_9)
{
	struct fixture *f = fixture_new(FILTERS(DENY1 "," DENY2));
	char why[256];

	hear(f, 0x202, 11, 0, 30);                  /* elsewhere */
	hear(f, 0x202, 10, FILTER_BACKUP_STEP, 30); /* our backup */
	hear(f, 0x203, 10, 0, 0);                   /* it leaves */
	ck_assert_uint_eq(f->notices, 0);
	hear(f, 0x203, 10, 0, 30);
	ck_assert_str_eq(f->noticed,
			 "4 manager 0x203: announces at precedence 10, too, that of filter 'border': agents "
			 "let one wildcard of a precedence act on a packet, and that may not be the rule's; "
			 "give one of the two another precedence");
	hear(f, 0x203, 10, 1, 30);
	ck_assert_uint_eq(f->notices, 1);
	hear(f, 0x204, 10, 3, 30);
	ck_assert_uint_eq(f->notices, 2);
	for (uint64_t other = 0x1000; other < 0x1100; other++) /* forged, maybe */
		hear(f, other, 10, 0, 30);
	ck_assert_uint_eq(f->notices, 8);
	/* After a change it is said again, if it is still so. */
	ck_assert_ptr_null(fixture_reload(f, FILTERS(DENY1), why));
	f->notices = 0;
	hear(f, 0x203, 10, 0, 30);
	hear(f, 0x203, 10, 0, 30);
	ck_assert_uint_eq(f->notices, 1);
	fixture_free(f);
}
END_TEST

START_TEST(test_another_filter_is_told_by_difference_PREC_10)
{
	struct fixture *f = fixture_new(FILTERS(PERMIT "," DENY1 "," DENY2));
	char text[512], why[256];

	fixture_run(f, 2000);
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, FILTERS(DENY1 "," DENY2), why));
	manager_tick(f->manager, f->now_ms);
	/* Their places have changed; the first rule is withdrawn. */
	ck_assert_str_eq(announced(f, text, sizeof(text)), "deny0 deny1:25:465 -permit0");
	fixture_run(f, 2000);
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, FILTERS(DENY1 "," DENY2 ",{action: deny, protocol: 47}"), why));
	manager_tick(f->manager, f->now_ms);
	ck_assert_str_eq(announced(f, text, sizeof(text)), "deny2");
	fixture_run(f, 2000);
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, FILTERS("{action: permit, source: 198.51.100.0/24}," DENY2), why));
	manager_tick(f->manager, f->now_ms);
	ck_assert_str_eq(announced(f, text, sizeof(text)), "permit0 -deny2");
	fixture_run(f, 2000);
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, FILTERS("{action: deny, protocol: 47}"), why));
	manager_tick(f->manager, f->now_ms);
	ck_assert_str_eq(announced(f, text, sizeof(text)), "deny0 -deny1:25:465 -permit0"); /* the last first */
	fixture_free(f);
}
END_TEST

START_TEST(test_filter_of_a_backup_is_behind_all_rules_PREC_4)
{
	struct fixture *f = fixture_new(FILTERS(PERMIT "," DENY1) "backup: 3\n");
	char text[512];

	manager_tick(f->manager, f->now_ms);
	ck_assert_str_eq(announced(f, text, sizeof(text)), "permit196608 deny196609");
	fixture_free(f);
}
END_TEST

START_TEST(test_agent_without_ranges_is_named_ACT_9)
{
	struct fixture *f = fixture_new(FILTERS(DENY1 "," DENY2));

	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_RANGES, 0});
	fixture_deny(f, R1, &(struct sent){0}, WIRE_ERROR_UNSUPPORTED, (const uint8_t[]){WIRE_SEG_RANGES, 0});
	ck_assert_str_eq(
		f->noticed + 2,
		"agent r1: cannot serve: it lacks ranges; it gets no flows and no filter rules that need that");
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter");
	TCase *tc = tcase_create("filter");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_bad_rules_are_refused_by_line_and_field_SVC_5);
	tcase_add_test(tc, test_precedences_and_names_are_not_shared_PREC_5);
	tcase_add_test(tc, test_filter_behind_what_leaves_the_agent_is_refused_SVC_5_FIX_2);
	tcase_add_test(tc, test_rule_becomes_a_wildcard_of_each_family_WILD_5);
	tcase_add_test(tc, test_what_is_denied_is_so_without_an_agent_FA_6);
	tcase_add_test(tc, test_rules_that_make_no_difference_are_left_out_SVC_5);
	tcase_add_test(tc, test_filters_alone_are_announced_and_refreshed_SVC_5_WILD_3);
	tcase_add_test(tc, test_rules_are_refreshed_at_once_and_last_first_PREC_4_SVC_5);
	tcase_add_test(tc, test_another_manager_at_a_filters_precedence_is_told_once_PREC_4_PREC_9);
	tcase_add_test(tc, test_another_filter_is_told_by_difference_PREC_10);
	tcase_add_test(tc, test_filter_of_a_backup_is_behind_all_rules_PREC_4);
	tcase_add_test(tc, test_agent_without_ranges_is_named_ACT_9);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
