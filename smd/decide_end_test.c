/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the manager makes of the ends of connections, that agents
 * report: counts of servers, the sticky time, ports used again.
 */
#include "smd/manager_fixture.h"

#define VIP   "203.0.113.10"
#define I_FIN WIRE_INTEREST_FIN
#define I_RST WIRE_INTEREST_RST
#define I_SYN WIRE_INTEREST_SYN

#define TTL_S    60u
#define SLACK_S  2u
#define STICKY_S 10u
#define FLOW_S   300u

static struct fixture *start(void)
{
	struct fixture *f = fixture_new(CONF);

	fixture_check(f, NULL);
	fixture_run(f, 2000);
	f->count = 0;
	return f;
}

static struct flow_key client(uint16_t port)
{
	return fixture_key(IPPROTO_TCP, "198.51.100.1", port, VIP, 80);
}

/* A connection that stands: asked about at r1, its replies at r2.  Returns the reverse key. */
static struct flow_key opened(struct fixture *f, const struct flow_key *k)
{
	struct flow_key back = fixture_back(k, fixture_ask(f, R1, k, SYN));

	fixture_ask(f, R2, &back, SYN_ACK);
	return back;
}

static uint64_t connections(const struct fixture *f)
{
	const struct services *s = manager_services(f->manager);
	uint64_t n = 0;

	for (size_t i = 0; i < s->backend_count; i++)
		n += s->backends[i].connections;
	return n;
}

static bool known(const struct fixture *f, const struct flow_key *k)
{
	return flows_by_forward(manager_flows(f->manager), k) != NULL;
}

START_TEST(test_agents_are_asked_to_report_ends_without_packets_SM_7)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back, udp;
	const struct sent *s = fixture_ask(f, R1, &k, SYN);

	ck_assert_uint_eq(s->m.interest_count, 1);
	ck_assert_uint_eq(s->m.interest[0].interest, I_FIN | I_RST | I_SYN);
	ck_assert_uint_eq(s->m.interest[0].data | s->m.interest[0].copy | s->m.interest[0].hold, 0);
	back = fixture_back(&k, s);
	s = fixture_ask(f, R2, &back, SYN_ACK);
	ck_assert_uint_eq(s->m.interest_count, 1);
	ck_assert_uint_eq(s->m.interest[0].interest, I_FIN | I_RST);
	ck_assert_uint_eq(s->m.interest[0].data | s->m.interest[0].copy | s->m.interest[0].hold, 0);
	s = fixture_refresh(f, R1, &k, NULL); /* replaces the affinity: the same again */
	ck_assert_uint_eq(s->m.interest[0].interest, I_FIN | I_RST | I_SYN);
	udp = fixture_key(IPPROTO_UDP, "198.51.100.1", 1000, "203.0.113.53", 53);
	ck_assert_uint_eq(fixture_ask(f, R1, &udp, 0)->m.interest_count, 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_connections_are_counted_until_fin_in_both_directions_SM_7)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k), other = client(1001);
	size_t sent;

	opened(f, &other);
	ck_assert_uint_eq(connections(f), 2);
	sent = f->count;
	fixture_notice(f, R2, &back, I_FIN, NULL);
	ck_assert_uint_eq(connections(f), 2); /* the client may go on sending */
	fixture_notice(f, R2, &back, I_FIN, NULL);
	ck_assert_uint_eq(connections(f), 2);
	fixture_notice(f, R1, &k, I_FIN, NULL);
	ck_assert_uint_eq(connections(f), 1);
	fixture_notice(f, R1, &k, I_FIN, NULL); /* sent again */
	fixture_notice(f, R2, &back, I_FIN | I_RST, NULL);
	ck_assert_uint_eq(connections(f), 1);
	ck_assert_uint_eq(f->count, sent); /* nobody is told anything */
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NOTICES), 5);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_CLOSED), 1);
	fixture_notice(f, R1, &other, I_RST, NULL); /* one is enough */
	ck_assert_uint_eq(connections(f), 0);
	fixture_run(f, (TTL_S + SLACK_S + FLOW_S + 5) * 1000);
	ck_assert_uint_eq(connections(f), 0); /* not taken off once more */
	fixture_free(f);
}
END_TEST

START_TEST(test_notices_are_no_punts_ARCH_2)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k);
	const struct agent *a = agents_find(manager_agents(f->manager), R1);
	uint64_t punts = a->punts;

	fixture_notice(f, R1, &k, I_FIN, NULL);
	fixture_notice(f, R1, &back, I_FIN, NULL);
	ck_assert_uint_eq(a->punts, punts);
	fixture_free(f);
}
END_TEST

START_TEST(test_closed_flow_is_kept_for_the_sticky_time_SM_5)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k);
	const struct sent *s;

	fixture_run(f, 20000);
	fixture_notice(f, R1, &k, I_FIN, NULL);
	fixture_notice(f, R2, &back, I_FIN, NULL);
	ck_assert_ptr_null(fixture_refresh(f, R1, &k, NULL)); /* the agent may let it go at its TTL */
	fixture_run(f, 5000);
	s = fixture_ask(f, R2, &k, ACK); /* the last ACK, by another router */
	ck_assert_uint_eq(connections(f), 0);
	ck_assert_mem_eq(s->m.nat[0].dst.b, back.src, 4);
	fixture_run(f, (TTL_S + SLACK_S + STICKY_S) * 1000 - 1000);
	ck_assert(known(f, &k)); /* that agent may still hold it: nothing of it is used again */
	fixture_run(f, 3000);
	ck_assert(!known(f, &k)); /* much sooner than an open one */
	fixture_free(f);
}
END_TEST

START_TEST(test_reverse_key_is_reserved_while_agents_may_hold_it_SM_5_SM_12)
{
	struct fixture *f = start();

	for (uint16_t port = 1000; port < 1040; port++) {
		struct flow_key k = client(port), second = k, back = opened(f, &k), back2;

		fixture_notice(f, R1, &k, I_RST, NULL);
		fixture_run(f, 1000);
		second.dst[3] = 11; /* the service's other VIP, from the same port */
		back2 = fixture_back(&second, fixture_ask(f, R1, &second, SYN));
		ck_assert_mem_ne(&back2, &back, sizeof(back));
	}
	fixture_free(f);
}
END_TEST

START_TEST(test_port_used_again_before_agents_forgot_SM_7)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k);

	fixture_notice(f, R1, &k, I_FIN, NULL);
	fixture_notice(f, R2, &back, I_FIN, NULL);
	ck_assert_uint_eq(connections(f), 0);
	fixture_notice(f, R1, &k, I_SYN, NULL); /* the agent holds the affinity: no question */
	ck_assert_uint_eq(connections(f), 1);
	ck_assert_ptr_nonnull(fixture_refresh(f, R1, &k, NULL));
	fixture_run(f, (TTL_S + SLACK_S + STICKY_S + 10) * 1000);
	ck_assert(known(f, &k)); /* it is open */
	fixture_notice(f, R1, &k, I_FIN, NULL);
	ck_assert_uint_eq(connections(f), 1); /* the FIN of before does not count */
	fixture_notice(f, R2, &back, I_FIN, NULL);
	ck_assert_uint_eq(connections(f), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_repeated_syn_does_not_undo_the_answer_SM_6)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k);
	char bad[8];

	fixture_notice(f, R1, &k, I_SYN, NULL); /* the SYN ACK was lost on its way to the client */
	ck_assert_uint_eq(connections(f), 1);
	snprintf(bad, sizeof(bad), "web%u", back.src[3] - 10u);
	fixture_check(f, bad);
	fixture_run(f, 500);
	ck_assert(known(f, &k)); /* it stands: left alone */
	fixture_notice(f, R1, &k, I_SYN, NULL);
	ck_assert(!known(f, &k)); /* begun anew while the server is down: the next SYN is asked about */
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DELETIONS), 4);
	ck_assert_uint_ne(fixture_back(&k, fixture_ask(f, R1, &k, SYN)).src[3], back.src[3]);
	fixture_free(f);
}
END_TEST

START_TEST(test_shorter_ttl_after_a_reload_SM_5)
{
	struct fixture *f = start();
	struct flow_key k = client(1000);
	char text[sizeof(CONF)], why[256];

	opened(f, &k);
	strcpy(text, CONF);
	memcpy(strstr(text, "affinity-ttl: 60s"), "affinity-ttl: 2s ", 17);
	memcpy(strstr(text, "flow-ttl: 300s"), "flow-ttl: 1s  ", 14);
	ck_assert_ptr_null(fixture_reload(f, text, why));
	fixture_run(f, 5000);
	ck_assert_uint_eq(fixture_ask(f, R3, &k, ACK)->m.fixed.ttl, 2);
	fixture_notice(f, R1, &k, I_RST, NULL);
	fixture_run(f, 50000);
	ck_assert(known(f, &k)); /* r1 was given 60 s */
	fixture_run(f, 20000);
	ck_assert(!known(f, &k));
	fixture_free(f);
}
END_TEST

START_TEST(test_forged_reset_does_not_end_a_connection_SM_7)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k);
	const struct sent *s;

	fixture_notice(f, R1, &k, I_RST, NULL); /* out of window: both ends ignored it */
	ck_assert_uint_eq(connections(f), 0);
	fixture_run(f, (TTL_S + 1) * 1000); /* the affinity expires, for a refresh is not answered */
	s = fixture_ask(f, R1, &k, ACK);
	ck_assert_mem_eq(s->m.nat[0].dst.b, back.src, 4);
	ck_assert_uint_eq(connections(f), 1);
	ck_assert_ptr_nonnull(fixture_refresh(f, R1, &k, NULL));
	fixture_free(f);
}
END_TEST

START_TEST(test_packet_that_ends_and_is_asked_about_SM_7)
{
	struct fixture *f = start();
	struct flow_key k = client(1000), back = opened(f, &k);

	fixture_run(f, 62000); /* expired at the agents */
	ck_assert_ptr_nonnull(fixture_ask(f, R1, &k, FIN | ACK));
	ck_assert_uint_eq(connections(f), 1);
	ck_assert_ptr_nonnull(fixture_ask(f, R1, &back, RST));
	ck_assert_uint_eq(connections(f), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_restarted_manager_learns_from_a_notice_SM_7)
{
	struct fixture *f = start();
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, VIP, 8080), back; /* round-robin */
	const struct sent *s = fixture_ask(f, R1, &k, SYN);
	uint8_t memo[MEMO_MAX];
	struct wire_blob held = {memo, s->m.sm_data.len};

	memcpy(memo, s->m.sm_data.data, s->m.sm_data.len);
	back = fixture_back(&k, s);
	fixture_restart(f, 3000);
	fixture_check(f, NULL);
	fixture_notice(f, R2, &back, I_FIN, &held);
	ck_assert(known(f, &k));
	ck_assert_uint_eq(connections(f), 1);
	fixture_notice(f, R1, &k, I_FIN, &held);
	ck_assert_uint_eq(connections(f), 0);
	k = client(7777);
	fixture_notice(f, R1, &k, I_FIN, NULL); /* nobody knows it */
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NOTICE), 1);
	ck_assert(!known(f, &k));
	fixture_free(f);
}
END_TEST

static const char LEAST[] = "identity: 0x201\n"
			    "control: {address: 10.77.0.11}\n"
			    "services:\n"
			    "  - name: web\n"
			    "    vip: 203.0.113.10\n"
			    "    port: 80\n"
			    "    method: least-connections\n"
			    "    servers:\n"
			    "      - {name: web1, address: 10.0.20.11}\n"
			    "      - {name: web2, address: 10.0.20.12}\n"
			    "      - {name: web3, address: 10.0.20.13, weight: 2}\n"
			    "    check: {type: none}\n";

START_TEST(test_least_connections_follow_what_has_ended_SVC_1_SM_7)
{
	struct fixture *f = fixture_new(LEAST);
	const struct backend *b = manager_services(f->manager)->backends;

	fixture_run(f, 2000);
	for (uint16_t n = 0; n < 400; n++) {
		struct flow_key k = client((uint16_t)(1000 + n));

		opened(f, &k);
	}
	ck_assert_uint_eq(b[0].connections, 100);
	ck_assert_uint_eq(b[1].connections, 100);
	ck_assert_uint_eq(b[2].connections, 200);
	for (uint16_t n = 0; n < 400; n++) { /* all of web2 end */
		struct flow_key k = client((uint16_t)(1000 + n));

		if (manager_services(f->manager)
			    ->backends[flows_by_forward(manager_flows(f->manager), &k)->backend]
			    .key.addr[3] == 12)
			fixture_notice(f, R1, &k, I_RST, NULL);
	}
	ck_assert_uint_eq(b[1].connections, 0);
	ck_assert_uint_eq(b[1].flows, 100);
	f->count = 0;
	for (uint16_t n = 0; n < 100; n++) {
		struct flow_key k = client((uint16_t)(3000 + n));

		ck_assert_uint_eq(opened(f, &k).src[3], 12);
	}
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("decide_end");
	TCase *tc = tcase_create("decide_end");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_agents_are_asked_to_report_ends_without_packets_SM_7);
	tcase_add_test(tc, test_connections_are_counted_until_fin_in_both_directions_SM_7);
	tcase_add_test(tc, test_notices_are_no_punts_ARCH_2);
	tcase_add_test(tc, test_closed_flow_is_kept_for_the_sticky_time_SM_5);
	tcase_add_test(tc, test_reverse_key_is_reserved_while_agents_may_hold_it_SM_5_SM_12);
	tcase_add_test(tc, test_port_used_again_before_agents_forgot_SM_7);
	tcase_add_test(tc, test_repeated_syn_does_not_undo_the_answer_SM_6);
	tcase_add_test(tc, test_shorter_ttl_after_a_reload_SM_5);
	tcase_add_test(tc, test_forged_reset_does_not_end_a_connection_SM_7);
	tcase_add_test(tc, test_packet_that_ends_and_is_asked_about_SM_7);
	tcase_add_test(tc, test_restarted_manager_learns_from_a_notice_SM_7);
	tcase_add_test(tc, test_least_connections_follow_what_has_ended_SVC_1_SM_7);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
