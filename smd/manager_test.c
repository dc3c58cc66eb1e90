/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the manager announces, and how it deals with agents and with
 * servers that come and go.
 */
#include "smd/manager_fixture.h"

/* With CONF: 6 VIPs; web 3 servers of two families, files 2, dns 2, other 1. */
#define FORWARD 6u
#define REVERSE 11u

static const uint8_t ABLE[] = {WIRE_SEG_NAT, WIRE_SEG_ADVERTISE, WIRE_SEG_INTEREST, WIRE_SEG_RANGES, 0};
static const uint8_t NO_ADVERTISE[] = {WIRE_SEG_NAT, WIRE_SEG_INTEREST, 0};

static bool is_wildcard(const struct sent *s)
{
	return s->m.h.type == WIRE_WILDCARD_UPDATE;
}

static bool is_forward(const struct sent *s)
{
	return is_wildcard(s) && s->m.wildcard.dport;
}

/* Wildcards sent to that agent, or the group (0), of this direction, with a TTL or without. */
static unsigned sent(const struct fixture *f, uint64_t to, bool forward, bool with_ttl)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->count; i++) {
		const struct sent *s = &f->sent[i];

		n += is_wildcard(s) && s->to == to && is_forward(s) == forward && (s->m.wildcard.ttl > 0) == with_ttl;
	}
	return n;
}

static struct fixture *start(void)
{
	struct fixture *f = fixture_new(CONF);

	fixture_check(f, NULL);
	fixture_run(f, 1000);
	f->count = 0;
	return f;
}

static void ask(struct fixture *f, uint64_t from)
{
	struct endpoint_peer peer = fixture_peer(from);

	manager_peer_asks(f->manager, &peer, f->now_ms);
}

/* ---- announcing ---- */

static void check_common(const struct wire_msg *m)
{
	struct memo memo;

	ck_assert_uint_eq(m->wildcard.ttl, 30);
	ck_assert_uint_eq(m->interest_count, 1);
	ck_assert_uint_eq(m->interest[0].interest, WIRE_INTEREST_ALL);
	ck_assert_uint_eq(m->interest[0].data, WIRE_INTEREST_ALL);
	ck_assert_uint_eq(m->interest[0].copy, 0);
	ck_assert(wire_has(m, WIRE_SEG_PRECEDENCE) && m->precedence.lower_first);
	ck_assert(memo_read(m->sm_data.data, m->sm_data.len, &memo));
	ck_assert_uint_eq(memo.kind, MEMO_WILDCARD);
	ck_assert_uint_eq(memo.precedence, m->precedence.value);
	ck_assert(memchr(m->list.types, WIRE_SEG_NAT, m->list.count));
	ck_assert(memchr(m->list.types, WIRE_SEG_INTEREST, m->list.count));
}

START_TEST(test_wildcards_of_both_directions_SM_1_ACT_3)
{
	struct fixture *f = fixture_new(CONF);
	unsigned vip4 = 0, server6 = 0, precedence50 = 0;
	uint8_t ones[16], zeros[16] = {0};

	memset(ones, 0xff, sizeof(ones));
	fixture_check(f, NULL);
	fixture_run(f, 20); /* all of them, once */
	ck_assert_uint_eq(sent(f, 0, true, true), FORWARD);
	ck_assert_uint_eq(sent(f, 0, false, true), REVERSE);
	for (size_t i = 0; i < f->count; i++) {
		const struct wire_msg *m = &f->sent[i].m;
		const struct wire_wildcard *w = &m->wildcard;
		size_t n = addr_len(w->family);

		check_common(m);
		precedence50 += m->precedence.value == 50;
		ck_assert_mem_eq(w->dport ? w->dst_mask : w->src_mask, ones, n);
		ck_assert_mem_eq(w->dport ? w->src_mask : w->dst_mask, zeros, n);
		ck_assert_int_eq(wire_has(m, WIRE_SEG_ADVERTISE), w->dport != 0);
		ck_assert_int_eq(memchr(m->list.types, WIRE_SEG_ADVERTISE, m->list.count) != NULL, w->dport != 0);
		vip4 += w->family == 4 && w->dport == 80 && w->proto == IPPROTO_TCP &&
			!memcmp(w->dst, (uint8_t[]){203, 0, 113, 10}, 4);
		server6 += w->family == 6 && w->sport == 80 && !w->dport && w->src[15] == 0x12;
	}
	ck_assert_uint_eq(vip4, 1);
	ck_assert_uint_eq(server6, 1);
	ck_assert_uint_eq(precedence50, 2); /* a VIP, and web1 once more at that precedence */
	fixture_free(f);
}
END_TEST

START_TEST(test_refreshed_before_they_expire_and_spread_out_SM_1)
{
	struct fixture *f = start();
	uint64_t last[256] = {0}, begin = f->now_ms;
	unsigned bursts = 0;

	fixture_run(f, 120000);
	ck_assert_uint_ge(f->count, 11 * (FORWARD + REVERSE));
	ck_assert_uint_le(f->count, 13 * (FORWARD + REVERSE));
	for (size_t i = 0; i < f->count; i++) {
		const struct sent *s = &f->sent[i];
		size_t at = (s->m.wildcard.dst[15] ^ s->m.wildcard.src[15] ^ s->m.wildcard.dst[3] ^
			     (s->m.wildcard.src[3] * 7) ^ (s->m.wildcard.dport * 3) ^ (s->m.wildcard.sport >> 4) ^
			     s->m.precedence.value) %
			    256;

		ck_assert_uint_eq(s->to, 0);
		ck_assert(is_wildcard(s) && s->m.wildcard.ttl == 30);
		ck_assert_uint_le(s->at_ms - (last[at] ? last[at] : begin), 10500);
		last[at] = s->at_ms;
		bursts += i > 2 && s->at_ms == f->sent[i - 2].at_ms;
	}
	ck_assert_uint_eq(bursts, 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_thousand_services_do_not_burst_SM_1)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct fixture *f;
	size_t most = 0, run = 0;

	fprintf(out, "identity: 0x201\ncontrol: {address: 10.77.0.11}\nservices:\n");
	for (int i = 0; i < 500; i++)
		fprintf(out,
			"  - {name: s%d, vip: 203.0.113.10, port: %d, check: {type: none}, servers: [{name: a, "
			"address: 10.0.20.11}]}\n",
			i, 1000 + i);
	fclose(out);
	f = fixture_new(text);
	free(text);
	fixture_run(f, 2000);
	ck_assert_uint_ge(f->count, 2000); /* 1000 wildcards, twice, and the first part of a round */
	ck_assert_uint_le(f->count, 2250);
	for (size_t i = 1; i < f->count; i++) {
		run = f->sent[i].at_ms == f->sent[i - 1].at_ms ? run + 1 : 0;
		most = run > most ? run : most;
	}
	ck_assert_uint_lt(most, 64);
	f->count = 0;
	ask(f, R1);
	fixture_run(f, 1000);
	ck_assert_uint_eq(sent(f, R1, true, true) + sent(f, R1, false, true), 1000);
	f->count = 0;
	fixture_run(f, 10000); /* one round */
	ck_assert_uint_ge(f->count, 980);
	for (size_t i = 20; i < f->count; i++) /* a tick's share is ten */
		ck_assert_uint_gt(f->sent[i].at_ms, f->sent[i - 20].at_ms);
	fixture_free(f);
}
END_TEST

START_TEST(test_agent_is_shown_all_when_it_asks_or_is_known_SM_1)
{
	struct fixture *f = start();
	struct endpoint_peer peer = fixture_peer(R1);

	ask(f, R1);
	fixture_run(f, 200);
	ck_assert_uint_eq(sent(f, R1, true, true), FORWARD);
	ck_assert_uint_eq(sent(f, R1, false, true), REVERSE);
	f->count = 0;
	fixture_run(f, 1000);
	ck_assert_uint_eq(sent(f, R1, true, true), 0);
	manager_peer_known(f->manager, &peer, f->now_ms); /* it restarted */
	fixture_run(f, 200);
	ck_assert_uint_eq(sent(f, R1, true, true), FORWARD);
	ck_assert_uint_eq(sent(f, R2, true, true), 0);
	fixture_free(f);
}
END_TEST

/* By something that changes nothing: it takes back what nobody announces. */
START_TEST(test_agents_named_by_the_configuration_are_called_ARCH_4)
{
	struct fixture *f = fixture_new(CONF);

	fixture_run(f, 10000);
	ck_assert_uint_ge(f->calls, 10);
	ck_assert_uint_le(f->calls, 11);
	ck_assert_uint_eq(f->called.h.type, WIRE_WILDCARD_UPDATE);
	ck_assert_uint_eq(f->called.wildcard.ttl, 0);
	ck_assert_ptr_nonnull(manager_wildcard(f->manager, 0).match);
	for (uint32_t i = 0; manager_wildcard(f->manager, i).match; i++)
		ck_assert_uint_ne(manager_wildcard(f->manager, i).match->proto, f->called.wildcard.proto);
	fixture_free(f);
}
END_TEST

START_TEST(test_withdrawn_on_exit_SM_1)
{
	struct fixture *f = start();

	ask(f, R1);
	ask(f, R2);
	fixture_run(f, 500);
	f->count = 0;
	while (manager_withdraw(f->manager))
		;
	for (int i = 0; i < 3; i++) {
		uint64_t to = (uint64_t[]){0, R1, R2}[i];

		ck_assert_uint_eq(sent(f, to, true, false), FORWARD);
		ck_assert_uint_eq(sent(f, to, false, false), REVERSE);
	}
	ck_assert_uint_eq(f->count, 3 * (FORWARD + REVERSE)); /* and no affinity of a flow is deleted */
	fixture_free(f);
}
END_TEST

/* ---- health ---- */

START_TEST(test_nothing_announced_before_servers_were_checked_SVC_2)
{
	struct fixture *f = fixture_new(CONF);

	fixture_run(f, 5000);
	/* `other` is not checked at all. */
	for (size_t i = 0; i < f->count; i++)
		if (is_forward(&f->sent[i]))
			ck_assert_uint_eq(f->sent[i].m.precedence.value, 50);
	ck_assert_uint_gt(sent(f, 0, false, true), 0);
	f->count = 0;
	fixture_check(f, "web1");
	fixture_run(f, 100);
	ck_assert_uint_eq(sent(f, 0, true, true), FORWARD - 1);
	fixture_free(f);
}
END_TEST

START_TEST(test_service_without_servers_is_withdrawn_and_comes_back_SVC_2)
{
	struct fixture *f = start();

	fixture_check(f, "web1");
	fixture_run(f, 1000);
	ck_assert_uint_eq(sent(f, 0, true, false), 0); /* others are up */
	fixture_check(f, "*");
	f->count = 0;
	fixture_run(f, 60000);
	ck_assert_uint_eq(sent(f, 0, true, false), 2 * (FORWARD - 1)); /* twice, for nobody acknowledges */
	ck_assert_uint_ge(sent(f, 0, false, true), 5 * REVERSE);       /* live flows can still be refreshed */
	ask(f, R1);
	f->count = 0;
	fixture_run(f, 200);
	ck_assert_uint_eq(sent(f, R1, true, true), 1);
	ck_assert_uint_eq(sent(f, R1, true, false), 0);
	fixture_check(f, NULL);
	f->count = 0;
	fixture_run(f, 1000);
	ck_assert_uint_ge(sent(f, 0, true, true), 2 * (FORWARD - 1));
	fixture_free(f);
}
END_TEST

START_TEST(test_flapping_is_damped_by_rise_and_fall_SVC_2)
{
	struct fixture *f = start();
	const struct services *s = manager_services(f->manager);

	for (int i = 0; i < 20; i++) {
		manager_check_result(f->manager, 0, i % 2, "x", f->now_ms);
		ck_assert_int_eq(s->checks[0].health.state, HEALTH_UP);
	}
	manager_check_result(f->manager, 0, false, "refused", f->now_ms);
	manager_check_result(f->manager, 0, false, "refused", f->now_ms);
	ck_assert_int_eq(s->checks[0].health.state, HEALTH_DOWN);
	ck_assert_str_eq(s->checks[0].text, "refused");
	ck_assert_uint_eq(balancer_usable(s->groups[0].balancer), 2);
	ck_assert_uint_eq(balancer_usable(s->groups[1].balancer), 2); /* one check for both families */
	fixture_free(f);
}
END_TEST

/* ---- denies (ACT-9) ---- */

static const struct sent *last_shown(const struct fixture *f, uint64_t to, bool forward)
{
	for (size_t i = f->count; i-- > 0;)
		if (f->sent[i].to == to && is_wildcard(&f->sent[i]) && is_forward(&f->sent[i]) == forward)
			return &f->sent[i];
	ck_abort_msg("no wildcard was shown");
}

static void check_without_advertise(struct fixture *f)
{
	unsigned before;

	for (size_t i = 0; i < f->count; i++)
		if (f->sent[i].to == R1) {
			const struct wire_msg *m = &f->sent[i].m;

			ck_assert(!wire_has(m, WIRE_SEG_ADVERTISE));
			ck_assert_ptr_null(memchr(m->list.types, WIRE_SEG_ADVERTISE, m->list.count));
			ck_assert(wire_has(m, WIRE_SEG_INTEREST));
		}
	before = sent(f, R1, true, true);
	ck_assert_uint_ge(before, FORWARD);
	fixture_run(f, 30000); /* what the group gets is not for it: it is refreshed by itself */
	ck_assert_uint_ge(sent(f, R1, true, true), before + 2 * FORWARD);
}

START_TEST(test_denied_advertise_is_left_out_for_that_agent_ACT_9)
{
	struct fixture *f = start();
	const uint8_t types[] = {WIRE_SEG_ADVERTISE, 0};

	fixture_hello(f, R1, "r1", ABLE);
	fixture_hello(f, R2, "r2", ABLE);
	fixture_run(f, 200);
	ck_assert(wire_has(&last_shown(f, R1, true)->m, WIRE_SEG_ADVERTISE));
	fixture_deny(f, R1, last_shown(f, R1, true), WIRE_ERROR_UNSUPPORTED, types);
	f->count = 0;
	fixture_run(f, 200);
	check_without_advertise(f);
	ck_assert_uint_eq(sent(f, R2, true, true), 0);
	for (size_t i = 0; i < f->count; i++)
		if (f->sent[i].to == 0 && is_forward(&f->sent[i]))
			ck_assert(wire_has(&f->sent[i].m, WIRE_SEG_ADVERTISE));
	fixture_free(f);
}
END_TEST

START_TEST(test_repeated_deny_changes_nothing_more_ACT_9)
{
	struct fixture *f = start();
	const uint8_t types[] = {WIRE_SEG_ADVERTISE, 0};
	struct sent group;

	fixture_hello(f, R1, "r1", ABLE);
	fixture_run(f, 12000);
	group = *last_shown(f, 0, true);
	fixture_deny(f, R1, &group, WIRE_ERROR_UNSUPPORTED, types);
	fixture_run(f, 200);
	f->count = 0;
	for (int i = 0; i < 99; i++) {
		fixture_deny(f, R1, &group, WIRE_ERROR_UNSUPPORTED, types);
		fixture_run(f, 20);
	}
	ck_assert_uint_le(sent(f, R1, true, true), FORWARD); /* with the group's, but no more */
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DENY_UNSUPPORTED), 100);
	fixture_free(f);
}
END_TEST

START_TEST(test_hello_without_advertise_is_believed_ACT_9)
{
	struct fixture *f = start();
	struct endpoint_peer peer = fixture_peer(R1);

	fixture_hello(f, R1, "r1", NO_ADVERTISE);
	fixture_run(f, 200);
	check_without_advertise(f);
	fixture_deny(f, R1, last_shown(f, 0, true), WIRE_ERROR_UNSUPPORTED, (const uint8_t[]){WIRE_SEG_ADVERTISE, 0});
	f->count = 0;
	manager_peer_known(f->manager, &peer, f->now_ms); /* a newer version of it */
	fixture_hello(f, R1, "r1", ABLE);
	fixture_run(f, 200);
	ck_assert(wire_has(&last_shown(f, R1, true)->m, WIRE_SEG_ADVERTISE));
	fixture_free(f);
}
END_TEST

START_TEST(test_agent_without_nat_is_shown_nothing_ACT_9)
{
	struct fixture *f = start();
	uint32_t n = 0;

	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	f->count = 0;
	ask(f, R1);
	fixture_run(f, 20000);
	ck_assert_uint_eq(sent(f, R1, true, true) + sent(f, R1, false, true), 0);
	ck_assert(agent_cannot(agents_next(manager_agents(f->manager), &n)) & wire_bit(WIRE_SEG_NAT));
	fixture_free(f);
}
END_TEST

START_TEST(test_uncovered_shows_the_wildcards_again_but_not_for_ever)
{
	struct fixture *f = start();
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.10", 80);
	struct sent answer;

	fixture_hello(f, R1, "r1", ABLE);
	fixture_run(f, 2000);
	answer = *fixture_ask(f, R1, &k, SYN);
	f->count = 0;
	for (int i = 0; i < 50; i++) {
		fixture_deny(f, R1, &answer, WIRE_ERROR_NOT_COVERED, NULL);
		fixture_run(f, 10);
	}
	ck_assert_uint_eq(sent(f, R1, true, true), FORWARD);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DENY_NOT_COVERED), 50);
	fixture_free(f);
}
END_TEST

START_TEST(test_agent_without_room_is_left_alone_a_while_ACT_9)
{
	struct fixture *f = start();
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.10", 80);
	struct sent answer = *fixture_ask(f, R1, &k, SYN);

	ck_assert_uint_eq(answer.m.fixed.ttl, 60);
	fixture_deny(f, R1, &answer, WIRE_ERROR_NO_ROOM, NULL);
	ck_assert_uint_eq(fixture_ask(f, R1, &k, ACK)->m.fixed.ttl, 0); /* its packets go on, with their action */
	ck_assert_uint_eq(f->sent[f->count - 1].m.nat_count, 1);
	ck_assert_uint_eq(fixture_ask(f, R2, &k, ACK)->m.fixed.ttl, 60);
	ck_assert_uint_eq(fixture_refresh(f, R1, &k, NULL)->m.fixed.ttl, 60); /* what it holds it can keep */
	fixture_run(f, 1500);
	ck_assert_uint_eq(fixture_ask(f, R1, &k, ACK)->m.fixed.ttl, 60);
	fixture_free(f);
}
END_TEST

/* ---- other peers, other messages ---- */

START_TEST(test_other_managers_are_no_agents)
{
	struct fixture *f = start();
	struct wire_msg m;

	fixture_run(f, 12000);
	ask(f, 0x202);
	m = f->sent[0].m;
	fixture_receive(f, 0x202, &m);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_OTHER_MANAGER), 1);
	ck_assert_uint_eq(agents_count(manager_agents(f->manager)), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_messages_a_manager_does_not_take_are_counted)
{
	struct fixture *f = start();
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.10", 80);
	struct wire_msg m;

	wire_start(&m, WIRE_ASK);
	wire_set(&m, WIRE_SEG_LISTING, true);
	fixture_receive(f, R1, &m);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_UNEXPECTED), 1);
	wire_start(&m, WIRE_MATCH_WILDCARD);
	m.identifier = (struct wire_identifier){.key = k, .reasons = WIRE_INTEREST_ALL};
	wire_set(&m, WIRE_SEG_IDENTIFIER, true);
	fixture_receive(f, R1, &m);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NOTICE), 1);
	manager_undecodable(f->manager);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_UNDECODABLE), 1);
	ck_assert_uint_eq(f->count, 0);
	f->deaf = true;
	fixture_ask(f, R1, &k, SYN);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_UNSENT), 1);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_ANSWERS), 0);
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("manager");
	TCase *tc = tcase_create("manager");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_wildcards_of_both_directions_SM_1_ACT_3);
	tcase_add_test(tc, test_refreshed_before_they_expire_and_spread_out_SM_1);
	tcase_add_test(tc, test_thousand_services_do_not_burst_SM_1);
	tcase_add_test(tc, test_agent_is_shown_all_when_it_asks_or_is_known_SM_1);
	tcase_add_test(tc, test_agents_named_by_the_configuration_are_called_ARCH_4);
	tcase_add_test(tc, test_withdrawn_on_exit_SM_1);
	tcase_add_test(tc, test_nothing_announced_before_servers_were_checked_SVC_2);
	tcase_add_test(tc, test_service_without_servers_is_withdrawn_and_comes_back_SVC_2);
	tcase_add_test(tc, test_flapping_is_damped_by_rise_and_fall_SVC_2);
	tcase_add_test(tc, test_denied_advertise_is_left_out_for_that_agent_ACT_9);
	tcase_add_test(tc, test_repeated_deny_changes_nothing_more_ACT_9);
	tcase_add_test(tc, test_hello_without_advertise_is_believed_ACT_9);
	tcase_add_test(tc, test_agent_without_nat_is_shown_nothing_ACT_9);
	tcase_add_test(tc, test_uncovered_shows_the_wildcards_again_but_not_for_ever);
	tcase_add_test(tc, test_agent_without_room_is_left_alone_a_while_ACT_9);
	tcase_add_test(tc, test_other_managers_are_no_agents);
	tcase_add_test(tc, test_messages_a_manager_does_not_take_are_counted);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
