/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the rows that operators see.
 */
#include "smd/admin.h"

#include "smd/manager_fixture.h"

static struct admin admin_of(const struct fixture *f)
{
	return (struct admin){.manager = f->manager, .name = "sm1", .started_ms = 1000000};
}

static const char *ask(struct admin *a, const struct fixture *f, Turnout__Request__WhatCase what, uint64_t cursor,
		       uint32_t limit, Turnout__Reply *reply)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;

	turnout__reply__init(reply);
	request.what_case = what;
	request.cursor = cursor;
	request.limit = limit;
	return admin_answer(a, &request, reply, f->now_ms);
}

/* It can be packed, and what is unpacked is as many rows. */
static void release(struct admin *a, Turnout__Reply *reply)
{
	uint8_t *bytes = malloc(turnout__reply__get_packed_size(reply));
	size_t n = turnout__reply__pack(reply, bytes);
	Turnout__Reply *copy = turnout__reply__unpack(NULL, n, bytes);

	ck_assert_ptr_nonnull(copy);
	ck_assert_uint_eq(copy->n_affinities, reply->n_affinities);
	ck_assert_uint_eq(copy->n_servers, reply->n_servers);
	turnout__reply__free_unpacked(copy, NULL);
	free(bytes);
	admin_release(a);
}

static struct fixture *start(void)
{
	struct fixture *f = fixture_new(CONF);

	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_NAT, WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	fixture_hello(f, R2, "r2", (const uint8_t[]){WIRE_SEG_INTEREST, 0});
	fixture_check(f, "web2");
	fixture_run(f, 2000);
	return f;
}

START_TEST(test_agents_ARCH_7)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.10", 80);
	Turnout__Reply r;

	fixture_ask(f, R1, &k, SYN);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_AGENTS, 0, 0, &r));
	ck_assert_uint_eq(r.n_agents, 2);
	ck_assert_str_eq(r.agents[0]->name, "r1");
	ck_assert_str_eq(r.agents[0]->identity, "0x101");
	ck_assert_str_eq(r.agents[0]->address, "10.77.0.1:7510");
	ck_assert_str_eq(r.agents[0]->state, "known");
	ck_assert_uint_eq(r.agents[0]->punts, 1);
	ck_assert_uint_eq(r.agents[0]->fixed, 1);
	ck_assert_str_eq(r.agents[1]->state, "unable");
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_AGENTS, 0, 1, &r));
	ck_assert_uint_eq(r.n_agents, 1);
	ck_assert_uint_ne(r.next, 0);
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_AGENTS, r.next, 1, &r));
	ck_assert_uint_eq(r.n_agents, 1);
	ck_assert_str_eq(r.agents[0]->name, "r2");
	ck_assert_uint_eq(r.next, 0);
	release(&a, &r);
	f->now_ms += 60000;
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_AGENTS, 0, 0, &r));
	ck_assert_str_eq(r.agents[0]->state, "silent");
	ck_assert_uint_eq(r.agents[0]->age_s, 60);
	release(&a, &r);
	fixture_free(f);
}
END_TEST

START_TEST(test_services_and_servers_ARCH_7)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	Turnout__Reply r;

	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_SERVICES, 0, 0, &r));
	ck_assert_uint_eq(r.n_services, 6);
	ck_assert_str_eq(r.services[0]->name, "web");
	ck_assert_str_eq(r.services[0]->vip, "203.0.113.10");
	ck_assert_str_eq(r.services[0]->protocol, "tcp");
	ck_assert_str_eq(r.services[0]->method, "maglev");
	ck_assert_str_eq(r.services[0]->state, "announced");
	ck_assert_uint_eq(r.services[0]->servers, 2);
	ck_assert_uint_eq(r.services[0]->port, 80);
	ck_assert_str_eq(r.services[2]->vip, "2001:db8:113::10");
	ck_assert_str_eq(r.services[3]->method, "round-robin");
	ck_assert_str_eq(r.services[4]->protocol, "udp");
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_SERVERS, 0, 0, &r));
	ck_assert_uint_eq(r.n_servers, 11);
	ck_assert_str_eq(r.servers[1]->name, "web2");
	ck_assert_str_eq(r.servers[1]->service, "web");
	ck_assert_str_eq(r.servers[1]->address, "10.0.20.12");
	ck_assert_str_eq(r.servers[1]->state, "down");
	ck_assert_str_eq(r.servers[1]->check, "refused");
	ck_assert_str_eq(r.servers[0]->state, "up");
	ck_assert_uint_eq(r.servers[8]->port, 5353);
	ck_assert_str_eq(r.servers[10]->check, "none");
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_SERVERS, 99999, 0, &r));
	ck_assert_uint_eq(r.n_servers, 0);
	ck_assert_uint_eq(r.next, 0);
	release(&a, &r);
	fixture_free(f);
}
END_TEST

START_TEST(test_affinities_in_pages_ARCH_7)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	struct flow_key direct = fixture_key(IPPROTO_TCP, "10.0.20.13", 80, "198.51.100.9", 99);
	unsigned forward = 0, reverse = 0, unchanged = 0, pages = 0;
	uint64_t cursor = 0;
	Turnout__Reply r;

	for (uint16_t port = 1000; port < 1100; port++) {
		struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", port, "203.0.113.99", 80);

		fixture_ask(f, R1, &k, SYN);
	}
	fixture_ask(f, R1, &direct, SYN_ACK);
	do {
		ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES, cursor, 33, &r));
		ck_assert_uint_le(r.n_affinities, 34);
		for (size_t i = 0; i < r.n_affinities; i++) {
			const Turnout__AffinityRow *row = r.affinities[i];

			forward += !strcmp(row->actions, "dnat 10.0.20.11:80") &&
				   !strcmp(row->destination, "203.0.113.99:80");
			reverse +=
				!strcmp(row->actions, "snat 203.0.113.99:80") && !strcmp(row->source, "10.0.20.11:80");
			unchanged += !strcmp(row->actions, "none") && !strcmp(row->server, "web3");
			ck_assert_str_eq(row->manager, "sm1");
			ck_assert_uint_eq(row->ttl_s, 60);
			ck_assert_uint_eq(row->left_s, 362);
		}
		cursor = r.next;
		release(&a, &r);
	} while (cursor && ++pages < 100);
	ck_assert_uint_eq(forward, 100);
	ck_assert_uint_eq(reverse, 100);
	ck_assert_uint_eq(unchanged, 1);
	fixture_free(f);
}
END_TEST

START_TEST(test_rows_of_a_page_are_limited_ARCH_7_ARCH_10)
{
	static const uint32_t limits[] = {0, UINT32_MAX}, rows[] = {500, 2000};
	struct fixture *f = start();
	struct admin a = admin_of(f);
	Turnout__Reply r;

	for (uint16_t port = 1000; port < 3100; port++) {
		struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", port, "203.0.113.99", 80);

		fixture_ask(f, R1, &k, SYN);
		f->count = 0;
	}
	for (size_t i = 0; i < 2; i++) {
		ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_FLOWS, 0, limits[i], &r));
		ck_assert_uint_eq(r.n_flows, rows[i]);
		ck_assert_uint_ne(r.next, 0);
		release(&a, &r);
	}
	fixture_free(f);
}
END_TEST

START_TEST(test_flows_with_state_and_agents_ARCH_7_SM_7)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.99", 80), back;
	Turnout__Reply r;

	back = fixture_back(&k, fixture_ask(f, R1, &k, SYN));
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_FLOWS, 0, 0, &r));
	ck_assert_uint_eq(r.n_flows, 1);
	ck_assert_str_eq(r.flows[0]->state, "new");
	release(&a, &r);
	fixture_ask(f, R2, &back, SYN_ACK);
	f->now_ms += 5000;
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_FLOWS, 0, 0, &r));
	ck_assert_str_eq(r.flows[0]->state, "open");
	ck_assert_str_eq(r.flows[0]->protocol, "tcp");
	ck_assert_str_eq(r.flows[0]->source, "198.51.100.1:1000");
	ck_assert_str_eq(r.flows[0]->destination, "203.0.113.99:80");
	ck_assert_str_eq(r.flows[0]->service, "other");
	ck_assert_str_eq(r.flows[0]->server, "web1");
	ck_assert_str_eq(r.flows[0]->agents, "r1 r2");
	ck_assert_uint_eq(r.flows[0]->age_s, 5);
	ck_assert_uint_eq(r.flows[0]->left_s, 357);
	release(&a, &r);
	fixture_notice(f, R1, &k, WIRE_INTEREST_FIN, NULL);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_FLOWS, 0, 0, &r));
	ck_assert_str_eq(r.flows[0]->state, "closing");
	release(&a, &r);
	fixture_notice(f, R1, &k, WIRE_INTEREST_RST, NULL);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_FLOWS, 0, 1, &r));
	ck_assert_uint_eq(r.flows[0]->left_s, 67);
	ck_assert_uint_eq(r.next, 0);
	release(&a, &r);
	fixture_free(f);
}
END_TEST

static const char *server_set(struct admin *a, const struct fixture *f, const char *service, const char *server,
			      const char *action, Turnout__Reply *reply)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__ServerSet set = TURNOUT__SERVER_SET__INIT;
	char words[3][32];

	snprintf(words[0], sizeof(words[0]), "%s", service);
	snprintf(words[1], sizeof(words[1]), "%s", server);
	snprintf(words[2], sizeof(words[2]), "%s", action);
	set.service = words[0];
	set.server = words[1];
	set.action = words[2];
	turnout__reply__init(reply);
	request.what_case = TURNOUT__REQUEST__WHAT_SERVER_SET;
	request.server_set = &set;
	return admin_answer(a, &request, reply, f->now_ms);
}

START_TEST(test_drain_tells_what_has_not_ended_ARCH_7_SM_7)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.99", 80), back;
	Turnout__Reply r;

	back = fixture_back(&k, fixture_ask(f, R1, &k, SYN));
	fixture_ask(f, R2, &back, SYN_ACK);
	ck_assert_ptr_null(server_set(&a, f, "other", "web1", "drain", &r));
	ck_assert_str_eq(r.server_set[0]->text, "gets no new flows; 1 go on until they end");
	release(&a, &r);
	fixture_notice(f, R1, &k, WIRE_INTEREST_RST, NULL); /* ended, and remembered a while */
	ck_assert_ptr_null(server_set(&a, f, "other", "web1", "drain", &r));
	ck_assert_uint_eq(r.server_set[0]->flows, 1);
	ck_assert_str_eq(r.server_set[0]->text, "gets no new flows; 0 go on until they end");
	release(&a, &r);
	fixture_free(f);
}
END_TEST

START_TEST(test_server_drained_disabled_enabled_ARCH_7_SVC_2)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	Turnout__Reply r;

	ck_assert_ptr_null(server_set(&a, f, "", "web1", "drain", &r));
	ck_assert_uint_eq(r.n_server_set, 3);
	ck_assert_str_eq(r.server_set[0]->service, "web");
	ck_assert_str_eq(r.server_set[0]->before, "up");
	ck_assert_str_eq(r.server_set[0]->state, "draining");
	ck_assert_str_eq(r.server_set[0]->text, "gets no new flows; 0 go on until they end");
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_SERVERS, 0, 0, &r));
	ck_assert_str_eq(r.servers[0]->state, "draining");
	release(&a, &r);
	ck_assert_ptr_null(server_set(&a, f, "web", "web1", "disable", &r));
	ck_assert_uint_eq(r.n_server_set, 1);
	ck_assert_str_eq(r.server_set[0]->before, "draining");
	ck_assert_str_eq(r.server_set[0]->state, "disabled");
	release(&a, &r);
	ck_assert_ptr_null(server_set(&a, f, "web", "10.0.20.11", "enable", &r));
	ck_assert_str_eq(r.server_set[0]->state, "up");
	release(&a, &r);
	ck_assert_ptr_nonnull(server_set(&a, f, "", "web8", "drain", &r));
	admin_release(&a);
	ck_assert_ptr_nonnull(server_set(&a, f, "dns", "web1", "drain", &r));
	admin_release(&a);
	ck_assert_str_eq(server_set(&a, f, "", "web1", "kill", &r), "action takes drain, enable or disable");
	admin_release(&a);
	fixture_free(f);
}
END_TEST

static uint64_t counter(const Turnout__Reply *r, const char *group, const char *name)
{
	for (size_t i = 0; i < r->n_counters; i++)
		if (!strcmp(r->counters[i]->group, group) && !strcmp(r->counters[i]->name, name))
			return r->counters[i]->value;
	ck_abort_msg("no counter %s %s", group, name);
}

START_TEST(test_counters_version_and_the_rest_ARCH_7)
{
	struct fixture *f = start();
	struct admin a = admin_of(f);
	struct flow_key k = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.10", 80);
	Turnout__Reply r;

	fixture_ask(f, R1, &k, SYN);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_COUNTERS, 0, 0, &r));
	ck_assert_uint_eq(counter(&r, "now", "flows"), 1);
	ck_assert_uint_eq(counter(&r, "now", "agents"), 2);
	ck_assert_uint_eq(counter(&r, "decisions", "new"), 1);
	ck_assert_uint_eq(counter(&r, "messages", "matches"), 1);
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_VERSION, 0, 0, &r));
	ck_assert_str_eq(r.version->program, "smd");
	ck_assert_str_eq(r.version->version, TURNOUT_VERSION);
	ck_assert_str_eq(r.version->identity, "0x201");
	ck_assert_uint_eq(r.version->uptime_s, 2);
	release(&a, &r);
	ck_assert_str_eq(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_ROUTES, 0, 0, &r), BUS_NOT_KNOWN);
	admin_release(&a);
	ck_assert_str_eq(ask(&a, f, TURNOUT__REQUEST__WHAT__NOT_SET, 0, 0, &r), BUS_NOT_KNOWN);
	admin_release(&a);
	fixture_free(f);
}
END_TEST

static const char CASCADE[] =
	"identity: 0x201\n"
	"control: {address: 10.77.0.11}\n"
	"backup: 1\n"
	"filters:\n"
	"  - name: border\n"
	"    rules:\n"
	"      - {action: permit, source: 198.51.100.7}\n"
	"      - {action: deny, source: 198.51.100.0/24, protocol: tcp, ports: [25, 8000-8999]}\n"
	"services:\n"
	"  - {name: near, vip: 203.0.113.10, port: 80, mode: direct, check: {type: none}, servers: "
	"[{name: web1, address: 10.0.20.11}]}\n"
	"  - {name: own, vip: 203.0.113.20, port: 80, check: {type: none}, servers: "
	"[{name: web1, address: 10.0.20.11}]}\n";

START_TEST(test_filters_modes_and_what_is_announced_ARCH_7_SVC_5)
{
	struct fixture *f = fixture_new(CASCADE);
	struct admin a = admin_of(f);
	Turnout__Reply r;

	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_SERVICES, 0, 0, &r));
	ck_assert_uint_eq(r.n_services, 3);
	ck_assert_str_eq(r.services[0]->mode, "direct");
	ck_assert_str_eq(r.services[1]->mode, "nat");
	ck_assert_str_eq(r.services[2]->name, "border");
	ck_assert_str_eq(r.services[2]->method, "filter");
	ck_assert_str_eq(r.services[2]->vip, "any");
	ck_assert_str_eq(r.services[2]->protocol, "any");
	ck_assert_str_eq(r.services[2]->state, "announced");
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_WILDCARDS, 0, 4, &r));
	ck_assert_uint_eq(r.n_wildcards, 4);
	ck_assert_str_eq(r.wildcards[0]->name, "border rule 1");
	ck_assert_str_eq(r.wildcards[0]->actions, "go on");
	ck_assert_str_eq(r.wildcards[0]->protocol, "any");
	ck_assert_str_eq(r.wildcards[0]->source, "198.51.100.7/32");
	ck_assert_str_eq(r.wildcards[0]->destination, "0.0.0.0/0");
	ck_assert_uint_eq(r.wildcards[0]->precedence, 50);
	ck_assert_uint_eq(r.wildcards[0]->backup, 65536);
	ck_assert_str_eq(r.wildcards[1]->name, "border rule 2");
	ck_assert_str_eq(r.wildcards[1]->actions, "drop of ports 25-25,8000-8999");
	ck_assert_str_eq(r.wildcards[1]->advertise, "");
	ck_assert_str_eq(r.wildcards[2]->name, "near");
	ck_assert_str_eq(r.wildcards[2]->advertise, "203.0.113.10/32");
	ck_assert_str_eq(r.wildcards[2]->actions, "ask about every packet");
	ck_assert_uint_eq(r.wildcards[2]->dport, 80);
	ck_assert_uint_eq(r.wildcards[2]->backup, 1);
	ck_assert_uint_ne(r.next, 0);
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_WILDCARDS, 4, 4, &r));
	ck_assert_uint_eq(r.n_wildcards, 1); /* of the translated service's server only */
	ck_assert_str_eq(r.wildcards[0]->name, "own");
	ck_assert_uint_eq(r.wildcards[0]->sport, 80);
	ck_assert_uint_eq(r.next, 0);
	release(&a, &r);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_WILDCARDS, UINT64_MAX, 4, &r));
	ck_assert_uint_eq(r.n_wildcards, 0);
	release(&a, &r);
	fixture_free(f);
}
END_TEST

START_TEST(test_dispatched_and_masqueraded_affinities_ARCH_7_FA_10)
{
	struct fixture *f = fixture_new(CASCADE);
	struct admin a = admin_of(f);
	struct flow_key direct = fixture_key(IPPROTO_TCP, "198.51.100.1", 1000, "203.0.113.10", 80);
	struct flow_key hairpin = fixture_key(IPPROTO_TCP, "10.0.20.11", 1001, "203.0.113.20", 80);
	Turnout__Reply r;

	fixture_ask(f, R1, &direct, SYN);
	fixture_ask(f, R1, &hairpin, SYN);
	ck_assert_ptr_null(ask(&a, f, TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES, 0, 0, &r));
	ck_assert_uint_eq(r.n_affinities, 3);
	ck_assert_str_eq(r.affinities[0]->actions, "dispatch to 10.0.20.11");
	ck_assert_str_eq(r.affinities[1]->actions, "snat 203.0.113.20:1001, dnat 10.0.20.11:80");
	ck_assert_str_eq(r.affinities[2]->actions, "snat 203.0.113.20:80, dnat 10.0.20.11:1001");
	ck_assert_str_eq(r.affinities[2]->destination, "203.0.113.20:1001");
	release(&a, &r);
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("admin");
	TCase *tc = tcase_create("admin");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_agents_ARCH_7);
	tcase_add_test(tc, test_services_and_servers_ARCH_7);
	tcase_add_test(tc, test_affinities_in_pages_ARCH_7);
	tcase_add_test(tc, test_rows_of_a_page_are_limited_ARCH_7_ARCH_10);
	tcase_add_test(tc, test_flows_with_state_and_agents_ARCH_7_SM_7);
	tcase_add_test(tc, test_drain_tells_what_has_not_ended_ARCH_7_SM_7);
	tcase_add_test(tc, test_server_drained_disabled_enabled_ARCH_7_SVC_2);
	tcase_add_test(tc, test_filters_modes_and_what_is_announced_ARCH_7_SVC_5);
	tcase_add_test(tc, test_dispatched_and_masqueraded_affinities_ARCH_7_FA_10);
	tcase_add_test(tc, test_counters_version_and_the_rest_ARCH_7);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
