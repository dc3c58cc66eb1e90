/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what is rejected, not only dropped: by a filter's rule (SVC-5), and
 * by a service of which no server is up (FIX-3).
 */
#include "smd/filter.h"
#include "smd/manager_fixture.h"

#define HEAD         "identity: 0x201\ncontrol: {address: 10.77.0.11}\n"
#define REJECT       "{action: reject, protocol: tcp, port: 25}"
#define RULES(rules) HEAD "filters: [{name: border, precedence: 10, rules: [" rules "]}]\n"
#define WEB(more)                                                                                                      \
	HEAD "services: [{name: web, vip: 203.0.113.10, port: 80, " more "servers: [{name: web1, address: "            \
	     "10.0.20.11}, {name: web2, address: 10.0.20.12}]}]\n"

#define ABLE                                                                                                           \
	(const uint8_t[])                                                                                              \
	{                                                                                                              \
		WIRE_SEG_NAT, WIRE_SEG_ADVERTISE, WIRE_SEG_INTEREST, WIRE_SEG_RANGES, WIRE_SEG_REJECT, 0               \
	}
#define OLD                                                                                                            \
	(const uint8_t[])                                                                                              \
	{                                                                                                              \
		WIRE_SEG_NAT, WIRE_SEG_ADVERTISE, WIRE_SEG_INTEREST, WIRE_SEG_RANGES, 0                                \
	}

static struct flow_key client(uint16_t port)
{
	return fixture_key(IPPROTO_TCP, "198.51.100.1", port, "203.0.113.10", 80);
}

static void check_action(const struct sent *s, const char *action)
{
	char buf[FIXTURE_ACTION];

	ck_assert_ptr_nonnull(s);
	ck_assert_str_eq(fixture_action(s, buf), action);
}

/* Wildcards to this one sent since the count was 0: how many reject, how many only drop. */
static void count_rules(const struct fixture *f, uint64_t to, unsigned rejects, unsigned drops)
{
	unsigned n[2] = {0};

	for (size_t i = 0; i < f->count; i++) {
		const struct wire_msg *m = &f->sent[i].m;
		bool says = wire_has(m, WIRE_SEG_REJECT);

		if (f->sent[i].to != to)
			continue;
		ck_assert_uint_eq(m->wildcard.flags, WIRE_FLAG_DISPATCH);
		ck_assert(addr_is_zero(&m->wildcard.forward));
		/* Whoever does not know it denies the whole. */
		ck_assert(!says || (m->required & wire_bit(WIRE_SEG_REJECT) && m->list.count == 1 &&
				    m->list.types[0] == WIRE_SEG_REJECT && m->reject == WIRE_REJECT_PROHIBITED));
		n[!says]++;
	}
	ck_assert_uint_eq(n[0], rejects);
	ck_assert_uint_eq(n[1], drops);
}

START_TEST(test_rule_that_rejects_is_one_that_drops_SVC_5_FIX_3)
{
	struct filter_wildcard w[2];
	char errors[256];
	struct smd_conf conf;
	const struct filter_conf *f;

	ck_assert(smd_config_load_text(
		"f",
		RULES("{action: permit, source: 198.51.100.7}, " REJECT
		      ", {action: deny, protocol: tcp, ports: [25, 26]}, "
		      "{action: reject, protocol: tcp, port: 26}, {action: permit, protocol: icmp}"),
		&conf, errors, sizeof(errors)));
	f = smd_config_filter(&conf, 0);
	ck_assert(filter_rule_matters(f, 0)); /* a later rule rejects some of it */
	ck_assert_uint_eq(filter_compile(f, 1, 0, w), 2);
	ck_assert(w[0].rejects && w[1].rejects);
	ck_assert_uint_eq(w[0].match.flags, WIRE_FLAG_DISPATCH);
	ck_assert_uint_eq(filter_compile(f, 2, 0, w), 2);
	ck_assert(!w[0].rejects);
	ck_assert(!filter_rule_matters(f, 3)); /* denied already */
	ck_assert(!filter_rule_matters(f, 4));
	smd_config_free(&conf);
}
END_TEST

START_TEST(test_rule_is_announced_with_reject_SVC_5)
{
	struct fixture *f = fixture_new(RULES(REJECT));
	char why[256];

	fixture_hello(f, R1, "r1", ABLE);
	f->count = 0;
	fixture_run(f, 100);
	count_rules(f, 0, 2, 0);
	count_rules(f, R1, 2, 0);
	ck_assert(manager_wildcard(f->manager, 0).rejects);
	fixture_run(f, 1000);
	/* Another action is told at once. */
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, RULES("{action: deny, protocol: tcp, port: 25}"), why));
	manager_tick(f->manager, f->now_ms);
	count_rules(f, 0, 0, 2);
	fixture_run(f, 1000);
	ck_assert_ptr_null(fixture_reload(f, RULES(REJECT), why));
	fixture_run(f, 1000);
	/* A withdrawal asks nothing of who gets it. */
	f->count = 0;
	while (manager_withdraw(f->manager))
		;
	count_rules(f, 0, 0, 2);
	count_rules(f, R1, 0, 2);
	fixture_free(f);
}
END_TEST

/* It drops what it cannot reject, whether it says so before or after it was asked; and its operator is told. */
START_TEST(test_agent_that_cannot_reject_drops_ACT_9)
{
	struct fixture *f = fixture_new(RULES(REJECT));
	struct sent group;

	fixture_hello(f, R1, "r1", OLD);
	ck_assert_str_eq(f->noticed + 2, "agent r1: known, at 10.77.0.1:7510");
	f->count = 0;
	fixture_run(f, 100);
	group = f->sent[0];
	ck_assert_uint_eq(group.to, 0);
	/* Twice: with what goes to the group, and since it is new here. */
	count_rules(f, 0, 2, 0);
	count_rules(f, R1, 0, 4);
	fixture_run(f, 1000);
	f->count = 0;
	fixture_run(f, 10000);
	count_rules(f, 0, 2, 0);
	count_rules(f, R1, 0, 2);
	/* Another one's hello says more than it does. */
	fixture_hello(f, R2, "r2", ABLE);
	fixture_run(f, 1000);
	fixture_deny(f, R2, &group, WIRE_ERROR_UNSUPPORTED, (const uint8_t[]){WIRE_SEG_REJECT, 0});
	ck_assert_str_eq(f->noticed + 2, "agent r2: does not reject: what is to be rejected it drops without a word");
	f->count = 0;
	fixture_run(f, 100);
	count_rules(f, R2, 0, 2);
	fixture_free(f);
}
END_TEST

/* ---- services ---- */

static struct fixture *empty(const char *text, const uint8_t *able)
{
	struct fixture *f = fixture_new(text);

	fixture_hello(f, R1, "r1", able);
	fixture_check(f, "*");
	fixture_run(f, 2000);
	return f;
}

START_TEST(test_empty_service_stays_announced_and_rejects_SVC_2_FIX_3)
{
	struct fixture *f = empty(WEB("when-empty: reject, "), ABLE);
	const struct group *g = &manager_services(f->manager)->groups[0];
	struct flow_key k = client(1), old = client(2);
	const struct sent *s;

	ck_assert_int_eq(g->state, GROUP_ANNOUNCED);
	ck_assert(g->empty);
	ck_assert(manager_wildcard(f->manager, 0).wanted);
	s = fixture_ask(f, R1, &k, SYN);
	check_action(s, "reject");
	ck_assert_uint_eq(s->m.fixed.ttl, 1);
	ck_assert_uint_eq(s->m.reject, WIRE_REJECT_UNREACHABLE);
	ck_assert(s->m.required & wire_bit(WIRE_SEG_REJECT));
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NO_SERVER), 1);
	/* A server comes back. */
	fixture_check(f, NULL);
	ck_assert(!g->empty);
	ck_assert_ptr_nonnull(strstr(fixture_action(fixture_ask(f, R1, &old, SYN), (char[FIXTURE_ACTION]){0}), "dnat"));
	/* And goes: what stands goes on, as the check may be wrong; what begins does not. */
	for (int i = 0; i < 5; i++)
		fixture_check(f, "*");
	ck_assert(g->empty);
	ck_assert_str_eq(f->noticed + 2, "service web: IPv4: announced, but no server is up: new flows are rejected");
	ck_assert_ptr_nonnull(strstr(fixture_action(fixture_ask(f, R1, &old, ACK), (char[FIXTURE_ACTION]){0}), "dnat"));
	check_action(fixture_ask(f, R1, &old, SYN), "reject");
	fixture_free(f);
}
END_TEST

START_TEST(test_empty_service_drops_or_is_withdrawn_SVC_2)
{
	struct fixture *f = empty(WEB("when-empty: drop, "), ABLE);
	struct flow_key k = client(1);
	char why[256];

	ck_assert_int_eq(manager_services(f->manager)->groups[0].state, GROUP_ANNOUNCED);
	check_action(fixture_ask(f, R1, &k, SYN), "drop");
	/* By default it leaves routing. */
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, WEB(""), why));
	ck_assert_int_eq(manager_services(f->manager)->groups[0].state, GROUP_WITHDRAWN);
	fixture_run(f, 1000);
	ck_assert_uint_eq(f->sent[0].m.wildcard.ttl, 0);
	ck_assert_ptr_null(fixture_reload(f, WEB("when-empty: reject, "), why));
	ck_assert_int_eq(manager_services(f->manager)->groups[0].state, GROUP_ANNOUNCED);
	check_action(fixture_ask(f, R1, &k, SYN), "reject");
	fixture_free(f);
}
END_TEST

START_TEST(test_agent_of_an_empty_service_that_cannot_reject_ACT_9)
{
	struct fixture *f = empty(WEB("when-empty: reject, "), OLD);
	struct flow_key k = client(1);

	check_action(fixture_ask(f, R1, &k, SYN), "drop");
	fixture_hello(f, R2, "r2", ABLE);
	check_action(fixture_ask(f, R2, &k, SYN), "reject");
	fixture_deny(f, R2, &f->sent[f->count - 1], WIRE_ERROR_UNSUPPORTED, (const uint8_t[]){WIRE_SEG_REJECT, 0});
	ck_assert_str_eq(f->noticed + 2, "agent r2: does not reject: what is to be rejected it drops without a word");
	check_action(fixture_ask(f, R2, &k, SYN), "drop");
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reject");
	TCase *tc = tcase_create("reject");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_rule_that_rejects_is_one_that_drops_SVC_5_FIX_3);
	tcase_add_test(tc, test_rule_is_announced_with_reject_SVC_5);
	tcase_add_test(tc, test_agent_that_cannot_reject_drops_ACT_9);
	tcase_add_test(tc, test_empty_service_stays_announced_and_rejects_SVC_2_FIX_3);
	tcase_add_test(tc, test_empty_service_drops_or_is_withdrawn_SVC_2);
	tcase_add_test(tc, test_agent_of_an_empty_service_that_cannot_reject_ACT_9);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
