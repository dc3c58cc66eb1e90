/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of services whose packets reach the servers unchanged (SVC-1, SVC-10),
 * of clients that servers must not see (FA-10), and of backups (PREC-4).
 */
#include "smd/manager_fixture.h"

#define HEAD   "identity: 0x201\ncontrol: {address: 10.77.0.11}\n"
#define VIP    "203.0.113.10"
#define VIP6   "2001:db8:113::10"
#define CLIENT "198.51.100.1"

#define SERVERS                                                                                                        \
	"servers: [{name: web1, address: [10.0.20.11, \"fd00:20::11\"]}, {name: web2, address: [10.0.20.12, "          \
	"\"fd00:20::12\"]}]"
#define WEB(mode)                                                                                                      \
	HEAD "services:\n  - {name: web, vip: [203.0.113.10, \"2001:db8:113::10\"], port: 80, " mode SERVERS           \
	     ", check: {type: none}}\n"

static const uint8_t ABLE[] = {WIRE_SEG_NAT, WIRE_SEG_ADVERTISE, WIRE_SEG_INTEREST, WIRE_SEG_TUNNEL, 0};

static struct fixture *start(const char *text)
{
	struct fixture *f = fixture_new(text);

	fixture_hello(f, R1, "r1", ABLE);
	fixture_run(f, 2000);
	f->count = 0;
	return f;
}

static struct flow_key tcp(const char *src, uint16_t sport, const char *vip)
{
	return fixture_key(IPPROTO_TCP, src, sport, vip, 80);
}

static const char *action(const struct sent *s, char buf[FIXTURE_ACTION])
{
	char text[FIXTURE_ACTION];

	ck_assert_ptr_nonnull(s);
	snprintf(text, sizeof(text), "%s", fixture_action(s, buf));
	memcpy(buf, text, sizeof(text));
	return buf;
}

static uint64_t open_connections(const struct fixture *f)
{
	const struct services *s = manager_services(f->manager);
	uint64_t n = 0;

	for (size_t i = 0; i < s->backend_count; i++)
		n += s->backends[i].connections;
	return n;
}

/* ---- configuration ---- */

static void refused(const char *text, const char *expected)
{
	char errors[2048] = "";
	struct smd_conf conf;

	ck_assert(!smd_config_load_text("f", text, &conf, errors, sizeof(errors)));
	ck_assert_msg(strstr(errors, expected), "%s is not in %s", expected, errors);
}

START_TEST(test_bad_modes_are_refused_by_line_and_field_SVC_10)
{
	refused(WEB("on-silence: pass, "),
		"f:4:80: services[0].on-silence: 'pass' is not allowed; takes route or drop");
	refused(WEB("agent-gone: yes, "), "f:4:80: services[0].agent-gone: 'yes' is not allowed; takes route or drop");
	refused(WEB("mode: dsr, "), "services[0].mode: 'dsr' is not allowed; takes nat, direct or tunnel");
	refused(WEB("mode: tunnel, "), "f:4:5: services[0].tunnel: is missing; mode tunnel takes {kind: ip} or");
	refused(WEB("mode: tunnel, tunnel: {port: 5}, "), "services[0].tunnel.kind: is missing");
	refused(WEB("mode: tunnel, tunnel: {kind: udp}, "), "services[0].tunnel.port: is missing; kind udp needs");
	refused(WEB("mode: tunnel, tunnel: {kind: ip, port: 5}, "), "services[0].tunnel.port: is for kind udp only");
	refused(WEB("mode: direct, tunnel: {kind: ip}, "), "services[0].tunnel: is for mode tunnel only");
	refused(HEAD
		"services:\n"
		"  - name: web\n"
		"    vip: 203.0.113.10\n"
		"    port: 80\n"
		"    mode: direct\n"
		"    servers: [{name: web1, address: 10.0.20.11, port: 80}, {name: web2, address: 10.0.20.12, port: "
		"8080}]\n",
		"f:8:100: services[0].servers[1].port: 8080 is not the service's port, 80; with mode direct packets");
	refused(WEB("") "backup: 1001\n", "backup: '1001' is not allowed; takes a number from 0 to 1000");
	refused(WEB("") "masquerade: [10.0.0.0/33]\n", "masquerade[0]: '10.0.0.0/33' is not allowed");
}
END_TEST

/* ---- direct server return ---- */

static void check_direct(const char *src, const char *vip, const char *server1, const char *server2)
{
	struct fixture *f = start(WEB("mode: direct, "));
	unsigned seen[2] = {0};

	for (uint16_t port = 1; port <= 60; port++) {
		struct flow_key k = tcp(src, port, vip);
		const struct sent *s = fixture_ask(f, R1, &k, SYN);
		char first[FIXTURE_ACTION], again[FIXTURE_ACTION];

		action(s, first);
		seen[0] += !strcmp(first, server1);
		seen[1] += !strcmp(first, server2);
		ck_assert_uint_eq(s->m.interest_count, 1);
		ck_assert_uint_eq(s->m.interest[0].interest, WIRE_INTEREST_SYN | WIRE_INTEREST_FIN | WIRE_INTEREST_RST);
		ck_assert_str_eq(action(fixture_ask(f, R2, &k, 0x10), again), first);
	}
	ck_assert_uint_eq(seen[0] + seen[1], 60);
	ck_assert_uint_ge(seen[0], 15);
	ck_assert_uint_ge(seen[1], 15);
	fixture_free(f);
}

START_TEST(test_direct_flows_are_dispatched_unchanged_SVC_1_FIX_2)
{
	check_direct(CLIENT, VIP, "dispatch 10.0.20.11", "dispatch 10.0.20.12");
	check_direct("2001:db8:1::1", VIP6, "dispatch fd00:20::11", "dispatch fd00:20::12");
	/* Also a server's: it has the VIP itself, and never asks. */
	check_direct("10.0.20.99", VIP, "dispatch 10.0.20.11", "dispatch 10.0.20.12");
}
END_TEST

START_TEST(test_direct_services_need_neither_nat_nor_reverse_wildcards_SVC_1_ACT_9)
{
	struct fixture *f = fixture_new(WEB("mode: direct, "));

	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	fixture_run(f, 200);
	for (size_t i = 0; i < f->count; i++) {
		const struct wire_msg *m = &f->sent[i].m;

		ck_assert_uint_eq(m->wildcard.dport, 80);
		ck_assert(!memchr(m->list.types, WIRE_SEG_NAT, m->list.count));
	}
	ck_assert_uint_ge(f->count, 4);
	fixture_free(f);
}
END_TEST

START_TEST(test_direct_connection_ends_by_the_clients_packets_SM_7)
{
	struct fixture *f = start(WEB("mode: direct, "));
	struct flow_key a = tcp(CLIENT, 1000, VIP), b = tcp(CLIENT, 1001, VIP);

	fixture_ask(f, R1, &a, SYN);
	fixture_ask(f, R1, &b, SYN);
	ck_assert_uint_eq(open_connections(f), 2);
	fixture_notice(f, R1, &a, WIRE_INTEREST_FIN, NULL);
	ck_assert_uint_eq(open_connections(f), 1);
	fixture_notice(f, R1, &b, WIRE_INTEREST_RST, NULL);
	ck_assert_uint_eq(open_connections(f), 0);
	/* What goes on after the sticky time had not ended. */
	fixture_run(f, 11000);
	fixture_ask(f, R1, &a, ACK);
	ck_assert_uint_eq(open_connections(f), 1);
	/* Another connection of the same client. */
	fixture_notice(f, R1, &b, WIRE_INTEREST_SYN, NULL);
	ck_assert_uint_eq(open_connections(f), 2);
	fixture_free(f);
}
END_TEST

START_TEST(test_restart_learns_dispatched_flows_from_agents_SM_2)
{
	struct fixture *f = start(WEB("mode: direct, method: round-robin, "));
	char before[20][FIXTURE_ACTION], after[FIXTURE_ACTION];
	struct wire_blob memo[20];
	uint8_t bytes[20][MEMO_MAX];

	for (uint16_t i = 0; i < 20; i++) {
		struct flow_key k = tcp(CLIENT, (uint16_t)(1000 + i), VIP);
		const struct sent *s = fixture_ask(f, R1, &k, SYN);

		action(s, before[i]);
		memcpy(bytes[i], s->m.sm_data.data, s->m.sm_data.len);
		memo[i] = (struct wire_blob){bytes[i], s->m.sm_data.len};
	}
	fixture_restart(f, 1000);
	for (uint16_t i = 20; i-- > 0;) {
		struct flow_key k = tcp(CLIENT, (uint16_t)(1000 + i), VIP);

		ck_assert_str_eq(action(fixture_refresh(f, R1, &k, &memo[i]), after), before[i]);
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_LEARNT), 20);
	fixture_free(f);
}
END_TEST

START_TEST(test_dead_servers_standing_dispatched_connections_stay_SVC_2)
{
	struct fixture *f = fixture_new(HEAD "services:\n  - {name: web, vip: 203.0.113.10, port: 80, mode: direct, "
					     "servers: [{name: web1, address: 10.0.20.11}, {name: web2, address: "
					     "10.0.20.12}]}\n");
	struct flow_key k = tcp(CLIENT, 1000, VIP);
	char first[FIXTURE_ACTION], then[FIXTURE_ACTION];
	const char *server;

	fixture_check(f, NULL);
	fixture_run(f, 2000);
	action(fixture_ask(f, R1, &k, SYN), first);
	server = strstr(first, ".11") ? "web1" : "web2";
	fixture_check(f, server);
	fixture_run(f, 1000); /* it may have been answered: nobody saw */
	ck_assert_str_eq(action(fixture_ask(f, R1, &k, ACK), then), first);
	ck_assert_str_ne(action(fixture_ask(f, R1, &k, SYN), then), first);
	fixture_free(f);
}
END_TEST

/* ---- tunnels ---- */

START_TEST(test_tunnelled_flows_name_the_servers_own_address_SVC_10)
{
	struct fixture *f = start(WEB("mode: tunnel, tunnel: {kind: udp, port: 5555}, "));
	struct flow_key k = tcp(CLIENT, 1000, VIP), k6 = tcp("2001:db8:1::1", 1000, VIP6);
	char buf[FIXTURE_ACTION];
	unsigned server;

	ck_assert_int_eq(sscanf(action(fixture_ask(f, R1, &k, SYN), buf), "dispatch 10.0.20.%u tunnel 2:5555", &server),
			 1);
	ck_assert_ptr_nonnull(strrchr(buf, ' '));
	ck_assert(!strncmp(strrchr(buf, ' ') + 1, buf + strlen("dispatch "), strlen("10.0.20.11")));
	ck_assert_ptr_nonnull(strstr(action(fixture_ask(f, R1, &k6, SYN), buf), "tunnel 2:5555 fd00:20::1"));
	fixture_free(f);
	f = start(WEB("mode: tunnel, tunnel: {kind: ip}, "));
	ck_assert_ptr_nonnull(strstr(action(fixture_ask(f, R1, &k, SYN), buf), "tunnel 1:0 10.0.20.1"));
	fixture_free(f);
}
END_TEST

START_TEST(test_agent_without_tunnels_gets_none_of_their_flows_ACT_9)
{
	struct fixture *f = fixture_new(WEB("mode: tunnel, tunnel: {kind: ip}, "));
	struct flow_key k = tcp(CLIENT, 1000, VIP);
	char buf[FIXTURE_ACTION];
	struct sent group;

	fixture_hello(f, R1, "r1", ABLE);
	manager_tick(f->manager, f->now_ms);
	group = f->sent[0];
	ck_assert_uint_eq(group.to, 0);
	ck_assert(memchr(group.m.list.types, WIRE_SEG_TUNNEL, group.m.list.count));
	fixture_run(f, 1000);
	fixture_deny(f, R1, &group, WIRE_ERROR_UNSUPPORTED, (const uint8_t[]){WIRE_SEG_TUNNEL, 0});
	ck_assert_ptr_nonnull(strstr(f->noticed, "agent r1: cannot serve: it lacks tunnels; it gets no flows"));
	f->notices = 0;
	fixture_deny(f, R1, &group, WIRE_ERROR_UNSUPPORTED, (const uint8_t[]){WIRE_SEG_TUNNEL, 0});
	ck_assert_uint_eq(f->notices, 0); /* once */
	f->count = 0;
	fixture_run(f, 1000);
	for (size_t i = 0; i < f->count; i++)
		ck_assert_uint_eq(f->sent[i].to, 0);
	/* It has an old wildcard: its packets would go nowhere as they are. */
	ck_assert_str_eq(action(fixture_ask(f, R1, &k, SYN), buf), "drop");
	ck_assert_uint_eq(fixture_counter(f, MANAGER_UNABLE), 1);
	ck_assert_str_ne(action(fixture_ask(f, R2, &k, SYN), buf), "drop");
	fixture_free(f);
}
END_TEST

START_TEST(test_another_tunnel_keeps_flows_another_mode_does_not_SM_6)
{
	struct fixture *f = start(WEB("mode: direct, "));
	struct flow_key k = tcp(CLIENT, 1000, VIP);
	char first[FIXTURE_ACTION], then[FIXTURE_ACTION], why[256];
	unsigned deletions = 0;

	action(fixture_ask(f, R1, &k, SYN), first);
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, WEB("mode: tunnel, tunnel: {kind: ip}, "), why));
	for (size_t i = 0; i < f->count; i++)
		deletions += f->sent[i].m.h.type == WIRE_FIXED_UPDATE && !f->sent[i].m.fixed.ttl;
	ck_assert_uint_eq(deletions, 1);
	action(fixture_ask(f, R1, &k, ACK), then);
	ck_assert_msg(!strncmp(first, then, strlen(first)) && strstr(then, "tunnel 1:0"), "%s, %s", first, then);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DECIDED), 1);
	ck_assert_ptr_null(fixture_reload(f, WEB(""), why));
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	fixture_free(f);
}
END_TEST

/* ---- hairpins ---- */

/* What that server answers to the packet translated so. */
static struct flow_key back_of(const struct flow_key *k, const struct sent *s)
{
	struct flow_key back = {.family = k->family, .proto = k->proto};

	memcpy(back.src, s->m.nat[0].dst.b, 16);
	memcpy(back.dst, s->m.nat[0].src.b, 16);
	back.sport = s->m.nat[0].dport;
	back.dport = s->m.nat[0].sport;
	return back;
}

static void check_hairpin(const char *server, const char *vip)
{
	struct fixture *f = start(WEB(""));
	unsigned itself = 0;

	for (uint16_t port = 2000; port < 2060; port++) {
		struct flow_key k = tcp(server, port, vip), back;
		const struct sent *s = fixture_ask(f, R1, &k, SYN);
		char buf[FIXTURE_ACTION], expected[FIXTURE_ACTION];
		bool six = k.family == 6;

		action(s, buf);
		ck_assert_uint_eq(s->m.nat[0].sport, port);
		itself += !memcmp(s->m.nat[0].dst.b, k.src, 16);
		back = back_of(&k, s);
		snprintf(expected, sizeof(expected), six ? "snat [%s]:80, dnat [%s]:%u" : "snat %s:80, dnat %s:%u", vip,
			 server, port);
		ck_assert_str_eq(action(fixture_ask(f, R2, &back, SYN_ACK), buf), expected);
	}
	ck_assert(itself > 15 && itself < 45);
	fixture_free(f);
}

START_TEST(test_server_as_client_is_masqueraded_also_to_itself_FA_10)
{
	check_hairpin("10.0.20.11", VIP);
	check_hairpin("fd00:20::12", VIP6);
}
END_TEST

START_TEST(test_masquerade_lists_prefixes_of_clients_FA_10)
{
	struct fixture *f = start(WEB("") "masquerade: [198.51.100.0/28, \"2001:db8:1::/64\"]\n");
	struct flow_key in = tcp("198.51.100.15", 1000, VIP), out = tcp("198.51.100.16", 1000, VIP);
	struct flow_key in6 = tcp("2001:db8:1::9", 1000, VIP6), out6 = tcp("2001:db8:2::9", 1000, VIP6);

	ck_assert_uint_eq(fixture_ask(f, R1, &in, SYN)->m.nat[0].set, 15);
	ck_assert_uint_eq(fixture_ask(f, R1, &in6, SYN)->m.nat[0].set, 15);
	ck_assert_uint_eq(fixture_ask(f, R1, &out, SYN)->m.nat[0].set, WIRE_NAT_DST | WIRE_NAT_DPORT);
	ck_assert_uint_eq(fixture_ask(f, R1, &out6, SYN)->m.nat[0].set, WIRE_NAT_DST | WIRE_NAT_DPORT);
	fixture_free(f);
}
END_TEST

/* They all come from one address: the same port goes to another server, then gets another port. */
START_TEST(test_masqueraded_clients_of_one_port_do_not_collide_SM_12)
{
	struct fixture *f = start(WEB("") "masquerade: 198.51.100.0/24\n");
	struct flow_key backs[50];

	for (unsigned n = 0; n < 50; n++) {
		char src[ADDR_STRLEN], buf[FIXTURE_ACTION];
		struct flow_key k;
		const struct sent *s;

		snprintf(src, sizeof(src), "198.51.100.%u", n + 1);
		k = tcp(src, n % 2 ? 1000 : 80, VIP); /* 80 is the VIP's own port */
		s = fixture_ask(f, R1, &k, SYN);
		ck_assert_str_ne(action(s, buf), "drop");
		ck_assert_uint_ne(s->m.nat[0].sport, 80);
		backs[n] = back_of(&k, s);
		for (unsigned i = 0; i < n; i++)
			ck_assert_mem_ne(&backs[i], &backs[n], sizeof(backs[n]));
	}
	fixture_free(f);
}
END_TEST

START_TEST(test_restart_learns_masqueraded_flows_of_both_directions_FA_10_SM_2)
{
	struct fixture *f = start(WEB("") "masquerade: 198.51.100.0/24\n");
	struct flow_key first = tcp("198.51.100.1", 1000, VIP), k = tcp("198.51.100.2", 80, VIP), back;
	char there[FIXTURE_ACTION], again[FIXTURE_ACTION], home[FIXTURE_ACTION];
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo = {bytes, 0};
	const struct sent *s;

	fixture_ask(f, R1, &first, SYN);
	s = fixture_ask(f, R1, &k, SYN); /* another port */
	action(s, there);
	back = back_of(&k, s);
	memo.len = s->m.sm_data.len;
	memcpy(bytes, s->m.sm_data.data, memo.len);
	action(fixture_ask(f, R1, &back, SYN_ACK), home);
	ck_assert_ptr_nonnull(strstr(home, "dnat 198.51.100.2:80"));
	fixture_restart(f, 1000);
	/* Whose it is nobody can tell without that: no guess, and never out as it is. */
	ck_assert_ptr_null(fixture_ask(f, R1, &back, ACK));
	ck_assert_str_eq(action(fixture_refresh(f, R1, &back, &memo), again), home);
	ck_assert_str_eq(action(fixture_ask(f, R2, &k, ACK), again), there);
	fixture_restart(f, 1000);
	ck_assert_str_eq(action(fixture_refresh(f, R1, &k, &memo), again), there);
	ck_assert_str_eq(action(fixture_ask(f, R2, &back, ACK), again), home);
	fixture_free(f);
}
END_TEST

/* ---- backups ---- */

/* Another manager announces the service. */
static void partner(struct fixture *f, uint64_t identity, uint32_t backup, uint32_t ttl)
{
	struct wire_msg m;
	struct addr a;

	wire_start(&m, WIRE_WILDCARD_UPDATE);
	ck_assert(addr_parse(VIP, &a));
	m.wildcard = (struct wire_wildcard){.family = 4, .proto = IPPROTO_TCP, .ttl = ttl, .dport = 80};
	memcpy(m.wildcard.dst, a.b, 16);
	addr_mask(4, 32, m.wildcard.dst_mask);
	wire_set(&m, WIRE_SEG_WILDCARD, true);
	m.precedence = (struct wire_precedence){.lower_first = true, .value = 100};
	wire_set(&m, WIRE_SEG_PRECEDENCE, true);
	m.backup = backup;
	wire_set(&m, WIRE_SEG_BACKUP, true);
	m.interest[m.interest_count++] = (struct wire_interest){.interest = WIRE_INTEREST_ALL};
	wire_set(&m, WIRE_SEG_INTEREST, true);
	fixture_receive(f, identity, &m);
}

START_TEST(test_backup_says_so_in_all_it_sends_PREC_4)
{
	struct fixture *f = fixture_new(WEB("") "backup: 7\n");
	struct flow_key k = tcp(CLIENT, 1000, VIP);
	char why[256];

	fixture_hello(f, R1, "r1", ABLE);
	fixture_run(f, 1000);
	for (size_t i = 0; i < f->count; i++)
		ck_assert(wire_has(&f->sent[i].m, WIRE_SEG_BACKUP) && f->sent[i].m.backup == 7);
	ck_assert_uint_eq(fixture_ask(f, R1, &k, SYN)->m.backup, 7);
	fixture_run(f, 1000);
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, WEB(""), why)); /* it becomes the primary */
	fixture_run(f, 1000);
	ck_assert_uint_eq(f->count, 2 * 6);
	for (size_t i = 0; i < f->count; i++)
		ck_assert(!wire_has(&f->sent[i].m, WIRE_SEG_BACKUP));
	ck_assert(!wire_has(&fixture_ask(f, R1, &k, ACK)->m, WIRE_SEG_BACKUP));
	fixture_free(f);
}
END_TEST

/* What a server sends in mid-flow: of a balanced connection, or left as it is. */
static bool believes(struct fixture *f, uint16_t port)
{
	struct flow_key k = tcp(CLIENT, port, VIP), back;
	struct fixture *other = start(WEB(""));
	char buf[FIXTURE_ACTION];
	const struct sent *s = fixture_ask(other, R1, &k, SYN);

	back = fixture_back(&k, s); /* where any manager with this configuration sends it */
	fixture_free(other);
	return strcmp(action(fixture_ask(f, R1, &back, ACK), buf), "none") != 0;
}

/* It has run for long, but until now another one has decided. */
START_TEST(test_backup_that_takes_over_knows_flows_by_their_hash_SM_10)
{
	struct fixture *f = start(WEB("") "backup: 1\n");

	partner(f, 0x200, 0, 30);
	ck_assert_ptr_nonnull(strstr(f->noticed, "manager 0x200: announces services of this one, and comes first"));
	fixture_run(f, 31000); /* it was heard for the last time */
	ck_assert_ptr_nonnull(strstr(f->noticed, "manager 0x200: does not announce the services any more"));
	fixture_run(f, 1000000);
	ck_assert(!believes(f, 2000));
	partner(f, 0x200, 0, 30);
	fixture_run(f, 20000);
	ck_assert(believes(f, 2001));
	fixture_run(f, 100000);
	ck_assert(believes(f, 2002));
	fixture_run(f, 300000); /* whatever the other one knew is forgotten */
	ck_assert(!believes(f, 2003));
	fixture_free(f);
}
END_TEST

START_TEST(test_primary_knows_the_backups_flows_when_that_goes_SM_10)
{
	struct fixture *f = start(WEB(""));
	unsigned before;

	fixture_run(f, 1000000);
	before = f->notices;
	partner(f, 0x300, 1, 30);
	ck_assert_uint_eq(f->notices, before); /* it is nothing to the primary */
	ck_assert(!believes(f, 2000));
	partner(f, 0x300, 1, 0); /* it stops */
	ck_assert(believes(f, 2001));
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mode");
	TCase *tc = tcase_create("mode");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_bad_modes_are_refused_by_line_and_field_SVC_10);
	tcase_add_test(tc, test_direct_flows_are_dispatched_unchanged_SVC_1_FIX_2);
	tcase_add_test(tc, test_direct_services_need_neither_nat_nor_reverse_wildcards_SVC_1_ACT_9);
	tcase_add_test(tc, test_direct_connection_ends_by_the_clients_packets_SM_7);
	tcase_add_test(tc, test_restart_learns_dispatched_flows_from_agents_SM_2);
	tcase_add_test(tc, test_dead_servers_standing_dispatched_connections_stay_SVC_2);
	tcase_add_test(tc, test_tunnelled_flows_name_the_servers_own_address_SVC_10);
	tcase_add_test(tc, test_agent_without_tunnels_gets_none_of_their_flows_ACT_9);
	tcase_add_test(tc, test_another_tunnel_keeps_flows_another_mode_does_not_SM_6);
	tcase_add_test(tc, test_server_as_client_is_masqueraded_also_to_itself_FA_10);
	tcase_add_test(tc, test_masquerade_lists_prefixes_of_clients_FA_10);
	tcase_add_test(tc, test_masqueraded_clients_of_one_port_do_not_collide_SM_12);
	tcase_add_test(tc, test_restart_learns_masqueraded_flows_of_both_directions_FA_10_SM_2);
	tcase_add_test(tc, test_backup_says_so_in_all_it_sends_PREC_4);
	tcase_add_test(tc, test_backup_that_takes_over_knows_flows_by_their_hash_SM_10);
	tcase_add_test(tc, test_primary_knows_the_backups_flows_when_that_goes_SM_10);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
