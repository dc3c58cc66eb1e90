/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the manager decides about flows, by the messages that agents
 * send and get.
 */
#include "smd/manager_fixture.h"

#define VIP  "203.0.113.10"
#define VIP6 "2001:db8:113::10"

static struct fixture *start(void)
{
	struct fixture *f = fixture_new(CONF);

	fixture_check(f, NULL);
	fixture_run(f, 2000); /* beyond the time in which a handshake may be an old one */
	f->count = 0;
	return f;
}

/* The n-th of many clients. */
static struct flow_key client(unsigned n, const char *vip, uint16_t port)
{
	char src[ADDR_STRLEN];

	if (strchr(vip, ':'))
		snprintf(src, sizeof(src), "2001:db8:1::%x", n / 100 + 1);
	else
		snprintf(src, sizeof(src), "198.51.100.%u", n / 100 + 1);
	return fixture_key(port == 53 ? IPPROTO_UDP : IPPROTO_TCP, src, (uint16_t)(20000 + n), vip, port);
}

static unsigned server_of(const struct sent *s)
{
	const struct addr *a = &s->m.nat[0].dst;

	ck_assert_uint_eq(s->m.nat[0].set, WIRE_NAT_DST | WIRE_NAT_DPORT);
	return a->b[a->family == 4 ? 3 : 15];
}

static void check_action(const struct sent *s, const char *action)
{
	char buf[FIXTURE_ACTION];

	ck_assert_ptr_nonnull(s);
	ck_assert_str_eq(fixture_action(s, buf), action);
}

/* The answer's action in a buffer, to compare another answer with. */
static const char *save_action(const struct sent *s, char buf[FIXTURE_ACTION])
{
	char text[FIXTURE_ACTION];

	ck_assert_ptr_nonnull(s);
	snprintf(text, sizeof(text), "%s", fixture_action(s, buf));
	snprintf(buf, FIXTURE_ACTION, "%s", text);
	return buf;
}

static void translates(const char *vip, const char *snat)
{
	struct fixture *f = start();
	unsigned seen[256] = {0};

	for (unsigned n = 0; n < 60; n++) {
		struct flow_key k = client(n, vip, 80), back;
		const struct sent *s = fixture_ask(f, R1, &k, SYN);

		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->m.fixed.ttl, 60);
		ck_assert_uint_eq(s->m.precedence.value, 100);
		ck_assert_uint_eq(s->m.nat[0].dport, 80);
		seen[server_of(s)]++;
		back = fixture_back(&k, s);
		s = fixture_ask(f, R2, &back, SYN_ACK);
		check_action(s, snat);
		ck_assert_uint_eq(s->m.fixed.ttl, 60);
	}
	ck_assert(seen[0x11] + seen[11] > 5 && seen[0x12] + seen[12] > 5 && seen[0x13] + seen[13] > 5);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DECIDED), 60);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 60);
	fixture_free(f);
}

START_TEST(test_first_packet_and_reverse_flow_SM_2_SM_3_SVC_1)
{
	translates(VIP, "snat " VIP ":80");
	translates("203.0.113.11", "snat 203.0.113.11:80");
}
END_TEST

START_TEST(test_ipv6_alike_SM_2_SM_3)
{
	translates(VIP6, "snat [" VIP6 "]:80");
}
END_TEST

START_TEST(test_same_answer_whoever_asks_SM_2)
{
	struct fixture *f = start();
	char first[FIXTURE_ACTION];

	for (unsigned n = 0; n < 20; n++) {
		struct flow_key k = client(n, VIP, n % 2 ? 80 : 8080); /* hashing and round-robin */

		save_action(fixture_ask(f, R1, &k, SYN), first);
		check_action(fixture_ask(f, R1, &k, SYN), first); /* a repeated SYN */
		check_action(fixture_ask(f, R2, &k, ACK), first); /* another agent, in mid-flow */
		check_action(fixture_ask(f, R3, &k, SYN), first);
		fixture_run(f, 62500); /* expired at the agents */
		check_action(fixture_ask(f, R1, &k, ACK), first);
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DECIDED), 20);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_REPEATED), 80);
	fixture_free(f);
}
END_TEST

START_TEST(test_first_seen_in_mid_flow_SM_2)
{
	struct fixture *f = start();
	struct flow_key k = client(1, VIP, 80), back;
	const struct sent *s = fixture_ask(f, R1, &k, ACK);

	ck_assert_ptr_nonnull(s);
	back = fixture_back(&k, s);
	check_action(fixture_ask(f, R2, &back, ACK), "snat " VIP ":80");
	fixture_free(f);
}
END_TEST

START_TEST(test_flow_outlives_agents_and_is_forgotten_SM_5)
{
	struct fixture *f = start();
	struct flow_key k = client(1, VIP, 80);

	fixture_ask(f, R1, &k, SYN);
	fixture_run(f, (60 + 2 + 300) * 1000);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 1);
	fixture_run(f, 3000);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_EXPIRED), 1);
	for (size_t i = 0; i < manager_services(f->manager)->backend_count; i++)
		ck_assert_uint_eq(manager_services(f->manager)->backends[i].flows, 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_only_who_asked_is_told_SM_9)
{
	struct fixture *f = start();
	struct flow_key k = client(1, VIP, 80);

	fixture_hello(f, R2, "r2", (const uint8_t[]){WIRE_SEG_NAT, WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	fixture_run(f, 1000);
	f->count = 0;
	fixture_ask(f, R1, &k, SYN);
	fixture_run(f, 20000);
	for (size_t i = 0; i < f->count; i++)
		if (f->sent[i].m.h.type == WIRE_FIXED_UPDATE)
			ck_assert_uint_eq(f->sent[i].to, R1);
	fixture_free(f);
}
END_TEST

START_TEST(test_refresh_is_answered_without_packet_FIX_9)
{
	struct fixture *f = start();
	struct flow_key k = client(1, VIP, 80), back;
	const struct sent *s = fixture_ask(f, R1, &k, SYN);
	char dnat[FIXTURE_ACTION];

	save_action(s, dnat);
	back = fixture_back(&k, s);
	fixture_ask(f, R2, &back, SYN_ACK);
	for (unsigned n = 0; n < 40; n++) { /* twenty minutes without a packet shown */
		fixture_run(f, 30000);
		s = fixture_refresh(f, R1, &k, NULL);
		check_action(s, dnat);
		ck_assert_uint_eq(s->to, R1);
		ck_assert_uint_eq(s->m.fixed.ttl, 60);
		ck_assert(!wire_has(&s->m, WIRE_SEG_IP_PACKET));
		check_action(fixture_refresh(f, R2, &back, NULL), "snat " VIP ":80");
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DECIDED), 1);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_REFRESHES), 80);
	fixture_free(f);
}
END_TEST

/* ---- moving a flow ---- */

/* A client whose packets go to web1. */
static struct flow_key client_of_web1(struct fixture *f, const char *vip, uint16_t port, unsigned last)
{
	for (unsigned n = 0; n < 1000; n++) {
		struct flow_key k = client(n, vip, port);

		if (server_of(fixture_ask(f, R1, &k, SYN)) == last)
			return k;
	}
	ck_abort_msg("nobody goes to web1");
}

START_TEST(test_new_connection_leaves_dead_server_delete_first_SM_6)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, VIP, 80, 11), back;
	const struct sent *s = fixture_ask(f, R2, &k, SYN);
	size_t from;

	back = fixture_back(&k, s);
	fixture_ask(f, R2, &back, SYN_ACK);
	fixture_check(f, "web1");
	check_action(fixture_ask(f, R2, &k, ACK), "dnat 10.0.20.11:80"); /* it may still be alive */
	from = f->count;
	s = fixture_ask(f, R1, &k, SYN); /* this one starts anew */
	ck_assert_uint_ne(server_of(s), 11);
	ck_assert_uint_eq(f->count, from + 5);
	for (size_t i = from; i < from + 4; i++) { /* both keys, at both agents, before the new one */
		const struct sent *d = &f->sent[i];

		ck_assert_uint_eq(d->m.h.type, WIRE_FIXED_UPDATE);
		ck_assert_uint_eq(d->m.fixed.ttl, 0);
		ck_assert_uint_eq(d->m.precedence.value, 100);
		ck_assert_uint_eq(d->to, i < from + 2 ? R1 : R2);
		ck_assert_mem_eq(&d->m.fixed.key, i % 2 == from % 2 ? &k : &back, sizeof(k));
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_MOVED), 1);
	fixture_free(f);
}
END_TEST

START_TEST(test_datagram_flows_leave_dead_server_SM_6)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, "203.0.113.53", 53, 21);
	uint64_t flows = flows_count(manager_flows(f->manager));

	f->count = 0;
	fixture_check(f, "ns1");
	fixture_run(f, 500);
	ck_assert_uint_ge(fixture_counter(f, MANAGER_MOVED), 1);
	ck_assert_uint_lt(flows_count(manager_flows(f->manager)), flows);
	check_action(fixture_ask(f, R1, &k, 0), "dnat 10.0.20.22:5353");
	fixture_free(f);
}
END_TEST

START_TEST(test_unanswered_connections_leave_dead_server_SM_6)
{
	struct fixture *f = start();
	struct flow_key waiting = client_of_web1(f, VIP, 80, 11), stands, back;
	const struct sent *s;

	for (uint16_t n = 1;; n++) {
		stands = waiting;
		stands.sport = (uint16_t)(waiting.sport + n);
		s = fixture_ask(f, R1, &stands, SYN);
		if (server_of(s) == 11)
			break;
	}
	back = fixture_back(&stands, s);
	fixture_ask(f, R2, &back, SYN_ACK);
	f->count = 0;
	fixture_check(f, "web1");
	fixture_run(f, 500);
	ck_assert_uint_ge(f->count, 2);
	for (size_t i = 0; i < f->count; i++)
		if (f->sent[i].m.h.type == WIRE_FIXED_UPDATE) {
			ck_assert_uint_eq(f->sent[i].m.fixed.ttl, 0);
			ck_assert_mem_ne(&f->sent[i].m.fixed.key, &stands, sizeof(stands));
			ck_assert_mem_ne(&f->sent[i].m.fixed.key, &back, sizeof(back));
		}
	ck_assert_ptr_null(flows_by_forward(manager_flows(f->manager), &waiting));
	ck_assert_uint_ne(server_of(fixture_ask(f, R1, &waiting, SYN)), 11);
	check_action(fixture_ask(f, R1, &stands, ACK), "dnat 10.0.20.11:80");
	fixture_free(f);
}
END_TEST

START_TEST(test_no_server_drops_for_a_moment_SVC_2)
{
	struct fixture *f = start();
	struct flow_key k = client(1, "203.0.113.53", 53);
	const struct sent *s;

	fixture_check(f, "*");
	s = fixture_ask(f, R1, &k, 0);
	check_action(s, "drop");
	ck_assert_uint_eq(s->m.fixed.ttl, 1);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NO_SERVER), 1);
	ck_assert_ptr_null(flows_by_forward(manager_flows(f->manager), &k));
	fixture_check(f, NULL);
	ck_assert_str_ne(save_action(fixture_ask(f, R1, &k, 0), (char[FIXTURE_ACTION]){0}), "drop");
	fixture_free(f);
}
END_TEST

/* ---- SM-12 ---- */

START_TEST(test_same_client_port_two_vips_never_one_server_SM_12)
{
	struct fixture *f = start();

	for (unsigned n = 0; n < 300; n++) {
		struct flow_key a = client(n, VIP, 80), b = client(n, "203.0.113.11", 80), back_a, back_b;
		const struct sent *s = fixture_ask(f, R1, &a, SYN);

		back_a = fixture_back(&a, s);
		s = fixture_ask(f, R1, &b, SYN);
		back_b = fixture_back(&b, s);
		ck_assert_mem_ne(&back_a, &back_b, sizeof(back_a));
		check_action(fixture_ask(f, R2, &back_a, SYN_ACK), "snat 203.0.113.10:80");
		check_action(fixture_ask(f, R2, &back_b, SYN_ACK), "snat 203.0.113.11:80");
		f->count = 0;
	}
	fixture_free(f);
}
END_TEST

START_TEST(test_reverse_packet_of_no_flow_is_left_unchanged_SM_12)
{
	struct fixture *f = start();

	for (unsigned n = 0; n < 100; n++) {
		struct flow_key direct =
			fixture_key(IPPROTO_TCP, "10.0.20.12", 80, "198.51.100.7", (uint16_t)(3000 + n));
		struct flow_key later = fixture_key(IPPROTO_TCP, "198.51.100.7", (uint16_t)(3000 + n), VIP, 80);
		const struct sent *s = fixture_ask(f, R1, &direct, SYN_ACK);

		check_action(s, "none");
		ck_assert_uint_eq(s->m.fixed.ttl, 60);
		check_action(fixture_ask(f, R2, &direct, ACK), "none");
		/* The same client port, to the VIP: not to the server it talks to already. */
		ck_assert_uint_ne(server_of(fixture_ask(f, R1, &later, SYN)), 12);
		check_action(fixture_refresh(f, R1, &direct, NULL), "none");
		f->count = 0;
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_PASSED), 100);
	fixture_free(f);
}
END_TEST

/* ICMP errors travel with the flow that they are about, but say nothing of its life. */
START_TEST(test_errors_get_the_flows_answer_KEY_4)
{
	static const char *const vips[] = {VIP, VIP6};

	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = start();
		struct flow_key k = client(1, vips[i], 80), back;
		const struct sent *s = fixture_ask(f, R1, &k, SYN);
		uint64_t closed;
		char to[FIXTURE_ACTION];

		save_action(s, to);
		back = fixture_back(&k, s);
		check_action(fixture_ask(f, R2, &k, ICMP_ERROR), to); /* an agent that has not seen the flow */
		ck_assert_uint_eq(f->sent[f->count - 1].m.fixed.ttl, 60);
		check_action(fixture_ask(f, R2, &back, ICMP_ERROR), i ? "snat [" VIP6 "]:80" : "snat " VIP ":80");
		/* It ends, and an error that comes later does not open it again. */
		fixture_ask(f, R1, &k, RST);
		closed = fixture_counter(f, MANAGER_CLOSED);
		fixture_run(f, 20000);
		fixture_ask(f, R1, &k, ICMP_ERROR);
		ck_assert_ptr_null(fixture_refresh(f, R1, &k, NULL));
		ck_assert_uint_eq(closed, 1);
		fixture_free(f);
	}
}
END_TEST

/* Anybody can send them: until a flow's time is up their answers are kept so long, and no longer. */
START_TEST(test_errors_and_later_fragments_keep_no_flow_alive_SM_5_KEY_4_ACT_10)
{
	static const uint8_t sorts[] = {ICMP_ERROR, LATER_FRAGMENT};

	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = start();
		struct flow_key k = client(1, VIP, 80), back = fixture_back(&k, fixture_ask(f, R1, &k, SYN));

		fixture_run(f, 20000);
		ck_assert_uint_eq(fixture_ask(f, R2, &k, sorts[i])->m.fixed.ttl, 40);
		ck_assert_uint_eq(fixture_ask(f, R2, &back, sorts[i])->m.fixed.ttl, 40);
		fixture_run(f, 40000);
		ck_assert_uint_eq(fixture_ask(f, R2, &k, sorts[i])->m.fixed.ttl, 0);
		ck_assert(fixture_ask(f, R2, &k, sorts[i])->m.nat_count == 1);
		ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 1);
		/* 60 s at agents, 2 s more, then flow-ttl. */
		fixture_run(f, 303000);
		ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
		fixture_free(f);
	}
}
END_TEST

START_TEST(test_errors_open_no_flow_KEY_4)
{
	struct fixture *f = start();
	struct flow_key k = client(1, VIP, 80), turns = client(2, VIP, 8080), back, dns;
	const struct sent *s = fixture_ask(f, R1, &k, ICMP_ERROR);
	char to[FIXTURE_ACTION];

	/* Where the hash leads, and nothing is kept. */
	ck_assert_uint_eq(s->m.fixed.ttl, 0);
	save_action(s, to);
	back = fixture_back(&k, s);
	s = fixture_ask(f, R1, &back, ICMP_ERROR);
	check_action(s, "snat " VIP ":80");
	ck_assert_uint_eq(s->m.fixed.ttl, 0);
	/* Nobody can know where that one went; datagrams neither begin a flow by this. */
	s = fixture_ask(f, R1, &turns, ICMP_ERROR);
	check_action(s, "none");
	ck_assert_uint_eq(s->m.fixed.ttl, 0);
	dns = fixture_key(IPPROTO_UDP, "198.51.100.7", 40000, "203.0.113.53", 53);
	ck_assert_uint_eq(fixture_ask(f, R1, &dns, ICMP_ERROR)->m.fixed.ttl, 0);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DECIDED), 0);
	/* The flow itself is decided alike. */
	check_action(fixture_ask(f, R1, &k, SYN), to);
	fixture_free(f);
}
END_TEST

/* They are of a datagram whose first fragment was asked about, or they are nobody's. */
START_TEST(test_later_fragments_follow_their_flow_and_open_none_ACT_10)
{
	const struct flow_key keys[] = {fixture_key(IPPROTO_UDP, "198.51.100.7", 40000, "203.0.113.53", 53),
					client(1, VIP, 80), client(1, VIP6, 80)};

	for (size_t i = 0; i < 3; i++) {
		struct fixture *f = start();
		struct flow_key k = keys[i];
		const struct sent *s = fixture_ask(f, R1, &k, LATER_FRAGMENT);
		char to[FIXTURE_ACTION];

		ck_assert_uint_eq(s->m.fixed.ttl, 0);
		ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
		s = fixture_ask(f, R1, &k, SYN); /* a whole one, or the first */
		ck_assert_uint_ne(s->m.fixed.ttl, 0);
		save_action(s, to);
		check_action(fixture_ask(f, R2, &k, LATER_FRAGMENT), to);
		ck_assert_uint_ne(f->sent[f->count - 1].m.fixed.ttl, 0);
		fixture_free(f);
	}
}
END_TEST

START_TEST(test_probes_of_the_manager_are_left_alone_SM_12)
{
	struct fixture *f = start();
	struct addr own;

	ck_assert(addr_parse("10.0.20.99", &own));
	manager_own_address(f->manager, &own);
	for (unsigned n = 0; n < 50; n++) {
		struct flow_key a = fixture_key(IPPROTO_TCP, "10.0.20.11", 80, "10.0.20.99", (uint16_t)(4000 + n));
		struct flow_key b = fixture_key(IPPROTO_TCP, "10.0.20.12", 80, "10.77.0.11", (uint16_t)(4000 + n));

		check_action(fixture_ask(f, R1, &a, ACK), "none"); /* in mid-flow, it might be anybody's */
		check_action(fixture_ask(f, R1, &b, ACK), "none");
	}
	fixture_free(f);
}
END_TEST

/* One server behind two VIPs: what it answers to one client port can be of one of them only. */
START_TEST(test_ARCH_10_client_port_in_use_at_every_server_drops_for_a_moment_SM_12)
{
	struct fixture *f = fixture_new("name: sm1\nidentity: 0x201\ncontrol: {address: 10.77.0.11}\nservices:\n"
					"  - name: web\n    vip: [203.0.113.10, 203.0.113.11]\n    port: 80\n"
					"    servers: [{name: web1, address: 10.0.20.11}]\n    check: {type: none}\n");
	struct flow_key one = fixture_key(IPPROTO_TCP, "198.51.100.7", 4000, "203.0.113.10", 80);
	struct flow_key other = fixture_key(IPPROTO_TCP, "198.51.100.7", 4000, "203.0.113.11", 80);
	const struct sent *s;

	check_action(fixture_ask(f, R1, &one, SYN), "dnat 10.0.20.11:80");
	s = fixture_ask(f, R1, &other, SYN);
	check_action(s, "drop");
	ck_assert_uint_eq(s->m.fixed.ttl, 1);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NO_FIT), 1);
	other.sport = 4001;
	check_action(fixture_ask(f, R1, &other, SYN), "dnat 10.0.20.11:80");
	fixture_free(f);
}
END_TEST

START_TEST(test_ARCH_10_addresses_of_probes_beyond_the_limit_are_counted_SM_12)
{
	struct fixture *f = start();
	struct addr own = {.family = 4, .b = {10, 0, 30}};

	for (unsigned i = 1; i < 32; i++) { /* the control address is the first */
		own.b[3] = (uint8_t)i;
		manager_own_address(f->manager, &own);
		manager_own_address(f->manager, &own); /* known */
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_OWN_FULL), 0);
	own.b[3] = 32;
	manager_own_address(f->manager, &own);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_OWN_FULL), 1);
	own.b[3] = 31;
	manager_own_address(f->manager, &own);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_OWN_FULL), 1);
	fixture_free(f);
}
END_TEST

/* A server shared by services of two precedences: each flow is translated at its own only. */
START_TEST(test_shared_server_at_two_precedences_SM_3)
{
	struct fixture *f = start();
	struct memo said = {.kind = MEMO_WILDCARD, .precedence = 100};
	struct flow_key k = client(5, "203.0.113.99", 80), back;
	const struct sent *s = fixture_ask(f, R1, &k, SYN);
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo = {bytes, (uint16_t)memo_write(&said, bytes)};

	check_action(s, "dnat 10.0.20.11:80");
	ck_assert_uint_eq(s->m.precedence.value, 50);
	back = fixture_back(&k, s);
	s = fixture_ask_with(f, R1, &back, SYN_ACK, &memo);
	check_action(s, "none");
	ck_assert_uint_eq(s->m.precedence.value, 100);
	said.precedence = 50;
	memo.len = (uint16_t)memo_write(&said, bytes);
	s = fixture_ask_with(f, R1, &back, SYN_ACK, &memo);
	check_action(s, "snat 203.0.113.99:80");
	ck_assert_uint_eq(s->m.precedence.value, 50);
	fixture_free(f);
}
END_TEST

START_TEST(test_nobodys_flow_goes_on_unchanged)
{
	struct fixture *f = start();
	struct flow_key k = client(1, "203.0.113.77", 80);

	check_action(fixture_ask(f, R1, &k, SYN), "none");
	ck_assert_ptr_null(fixture_refresh(f, R1, &k, NULL));
	ck_assert_uint_eq(fixture_counter(f, MANAGER_NOT_OURS), 2);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	fixture_free(f);
}
END_TEST

/* ---- a manager that forgot ---- */

START_TEST(test_restart_hashing_decides_alike_SM_2)
{
	struct fixture *f = start();
	struct flow_key keys[50], back[50];
	char dnat[50][FIXTURE_ACTION];

	for (unsigned n = 0; n < 50; n++) {
		const struct sent *s;

		keys[n] = client(n, n % 2 ? VIP : VIP6, 80);
		s = fixture_ask(f, R1, &keys[n], SYN);
		save_action(s, dnat[n]);
		back[n] = fixture_back(&keys[n], s);
	}
	fixture_restart(f, 300);
	fixture_check(f, NULL);
	for (unsigned n = 0; n < 50; n++) { /* either direction may show up first */
		if (n % 3)
			check_action(fixture_ask(f, R2, &back[n], ACK),
				     n % 2 ? "snat " VIP ":80" : "snat [" VIP6 "]:80");
		check_action(fixture_ask(f, R1, &keys[n], ACK), dnat[n]);
		check_action(fixture_ask(f, R2, &back[n], ACK), n % 2 ? "snat " VIP ":80" : "snat [" VIP6 "]:80");
	}
	ck_assert_uint_gt(fixture_counter(f, MANAGER_DERIVED), 30);
	fixture_free(f);
}
END_TEST

START_TEST(test_restart_learns_from_refreshes_SM_2_FIX_9)
{
	struct fixture *f = start();
	struct flow_key keys[20], back[20];
	struct memo memos[20];
	char dnat[20][FIXTURE_ACTION];

	for (unsigned n = 0; n < 20; n++) {
		const struct sent *s;

		keys[n] = client(n, VIP, 8080); /* round-robin: nothing can be derived */
		s = fixture_ask(f, R1, &keys[n], SYN);
		save_action(s, dnat[n]);
		back[n] = fixture_back(&keys[n], s);
		s = fixture_ask(f, R2, &back[n], SYN_ACK);
		ck_assert(memo_read(s->m.sm_data.data, s->m.sm_data.len, &memos[n]));
		ck_assert_uint_eq(memos[n].kind, MEMO_NAT);
	}
	fixture_restart(f, 300);
	fixture_check(f, NULL);
	for (unsigned n = 0; n < 20; n++) {
		uint8_t bytes[MEMO_MAX];
		struct wire_blob memo = {bytes, (uint16_t)memo_write(&memos[n], bytes)};

		/* A third agent that sees the flow now is not answered, rather than misled. */
		ck_assert_ptr_null(fixture_ask(f, R3, &keys[n], ACK));
		ck_assert_ptr_null(fixture_ask(f, R3, &back[n], ACK));
		if (n % 2)
			check_action(fixture_refresh(f, R1, &keys[n], &memo), dnat[n]);
		else
			check_action(fixture_refresh(f, R2, &back[n], &memo), "snat " VIP ":8080");
		check_action(fixture_ask(f, R3, &keys[n], ACK), dnat[n]);
		check_action(fixture_ask(f, R3, &back[n], ACK), "snat " VIP ":8080");
	}
	ck_assert_uint_eq(fixture_counter(f, MANAGER_LEARNT), 20);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DECIDED), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_restart_leaves_direct_connections_alone_SM_12)
{
	struct fixture *f = start();
	struct memo said = {.kind = MEMO_PASS, .precedence = 100};
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo = {bytes, (uint16_t)memo_write(&said, bytes)};

	fixture_restart(f, 300);
	fixture_check(f, NULL);
	for (uint16_t port = 3000; port < 3050; port++) { /* by hashing, a third of them would be a VIP's */
		struct flow_key direct = fixture_key(IPPROTO_TCP, "10.0.20.12", 80, "198.51.100.7", port);

		check_action(fixture_refresh(f, R1, &direct, &memo), "none");
		check_action(fixture_ask(f, R2, &direct, ACK), "none");
	}
	fixture_free(f);
}
END_TEST

/* A guess of the restarted manager gives way to what an agent holds; a decision does not. */
START_TEST(test_what_agents_hold_beats_a_guess_SM_6)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, VIP, 80, 11);
	struct memo said = {.kind = MEMO_NAT, .precedence = 100, .vip_port = 80, .server_port = 80};
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo;

	ck_assert(addr_parse(VIP, &said.vip) && addr_parse("10.0.20.13", &said.server));
	memo = (struct wire_blob){bytes, (uint16_t)memo_write(&said, bytes)};
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.11:80"); /* its SYN was seen */
	fixture_restart(f, 300);
	fixture_check(f, NULL);
	check_action(fixture_ask(f, R1, &k, ACK), "dnat 10.0.20.11:80"); /* a guess */
	f->count = 0;
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.13:80");
	ck_assert_uint_eq(f->count, 3);
	ck_assert_uint_eq(f->sent[0].to, R1);
	ck_assert_uint_eq(f->sent[0].m.fixed.ttl, 0);
	check_action(fixture_ask(f, R1, &k, ACK), "dnat 10.0.20.13:80");
	fixture_free(f);
}
END_TEST

/*
 * A direct connection and a balanced one, idle for longer than the store remembers, look the same when the server goes
 * on: both are left unchanged, unless the manager before this one would still have known the balanced one.
 */
START_TEST(test_idle_direct_connections_are_left_alone_SM_12)
{
	struct fixture *f = start();
	struct flow_key direct[50];

	for (uint16_t n = 0; n < 50; n++) { /* by hashing, a third of them would be a VIP's */
		direct[n] = fixture_key(IPPROTO_TCP, "10.0.20.12", 80, "198.51.100.7", (uint16_t)(3000 + n));
		check_action(fixture_ask(f, R1, &direct[n], SYN_ACK), "none");
	}
	fixture_run(f, (60 + 2 + 300 + 2) * 1000);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	for (unsigned n = 0; n < 50; n++)
		check_action(fixture_ask(f, R2, &direct[n], ACK), "none");
	ck_assert_uint_eq(fixture_counter(f, MANAGER_DERIVED), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_idle_balanced_connections_outlive_a_restart_SM_2_SM_5)
{
	struct fixture *f = start();
	struct flow_key back[2];

	for (unsigned n = 0; n < 2; n++) {
		struct flow_key k = client(n, VIP, 80);

		back[n] = fixture_back(&k, fixture_ask(f, R1, &k, SYN));
	}
	fixture_restart(f, 300);
	fixture_check(f, NULL);
	fixture_run(f, (60 + 2 + 300 - 1) * 1000); /* no agent holds them any more, and tells */
	check_action(fixture_ask(f, R1, &back[0], ACK), "snat " VIP ":80");
	fixture_run(f, 2000);
	check_action(fixture_ask(f, R1, &back[1], ACK), "none");
	fixture_free(f);
}
END_TEST

/* What an agent holds, of before a server went down, does not bring flows back to it that can go elsewhere. */
START_TEST(test_late_memo_of_a_dead_server_SM_6)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, "203.0.113.53", 53, 21), other = k;
	struct memo said = {.kind = MEMO_NAT, .precedence = 100, .vip_port = 53, .server_port = 5353};
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo;

	ck_assert(addr_parse("203.0.113.53", &said.vip) && addr_parse("10.0.20.21", &said.server));
	memo = (struct wire_blob){bytes, (uint16_t)memo_write(&said, bytes)};
	other.sport++;
	fixture_check(f, "ns1");
	fixture_run(f, 500);
	check_action(fixture_ask(f, R1, &k, 0), "dnat 10.0.20.22:5353");
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.22:5353");     /* decided again */
	check_action(fixture_refresh(f, R2, &other, &memo), "dnat 10.0.20.22:5353"); /* or not known */
	ck_assert_uint_eq(fixture_counter(f, MANAGER_LEARNT), 0);
	fixture_free(f);
}
END_TEST

static void no_row(void *ctx, const struct backend *b, const char *before)
{
	(void)ctx;
	(void)b;
	(void)before;
}

/* But what stands stays: datagrams to a server being drained or the only one, and TCP, for the check may be wrong. */
START_TEST(test_memos_of_standing_flows_count_SM_6)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, "203.0.113.53", 53, 21), tcp = client_of_web1(f, VIP, 80, 11);
	struct memo said = {.kind = MEMO_NAT, .precedence = 100, .vip_port = 53, .server_port = 5353};
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo = {bytes, 0};

	fixture_restart(f, 300);
	fixture_check(f, NULL);
	ck_assert(addr_parse("203.0.113.53", &said.vip) && addr_parse("10.0.20.21", &said.server));
	memo.len = (uint16_t)memo_write(&said, bytes);
	ck_assert_uint_gt(manager_server_set(f->manager, NULL, "ns1", SERVER_DRAINING, no_row, NULL, f->now_ms), 0);
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.21:5353");
	fixture_check(f, "*");
	k.sport++;
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.21:5353");
	fixture_check(f, "web1");
	said.vip_port = said.server_port = 80;
	ck_assert(addr_parse(VIP, &said.vip) && addr_parse("10.0.20.11", &said.server));
	memo.len = (uint16_t)memo_write(&said, bytes);
	check_action(fixture_refresh(f, R2, &tcp, &memo), "dnat 10.0.20.11:80");
	ck_assert_uint_eq(fixture_counter(f, MANAGER_LEARNT), 3);
	fixture_free(f);
}
END_TEST

/* A guess stays when what the agent holds cannot be had: its reverse key belongs to a flow that was decided. */
START_TEST(test_guess_is_kept_when_the_memo_does_not_fit_SM_12)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, VIP, 80, 11), direct;
	struct memo said = {.kind = MEMO_NAT, .precedence = 100, .vip_port = 80, .server_port = 80};
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo;
	uint32_t flows;

	ck_assert(addr_parse(VIP, &said.vip) && addr_parse("10.0.20.13", &said.server));
	memo = (struct wire_blob){bytes, (uint16_t)memo_write(&said, bytes)};
	fixture_restart(f, 2000);
	fixture_check(f, NULL);
	direct = flow_key_reverse(&k);
	memcpy(direct.src, said.server.b, sizeof(direct.src));
	f->now_ms += 2000;
	check_action(fixture_ask(f, R1, &direct, SYN_ACK), "none");
	check_action(fixture_ask(f, R1, &k, ACK), "dnat 10.0.20.11:80"); /* a guess */
	flows = flows_count(manager_flows(f->manager));
	f->count = 0;
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.11:80");
	ck_assert_uint_eq(f->count, 1); /* no deletion went out */
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), flows);
	check_action(fixture_ask(f, R1, &direct, ACK), "none");
	fixture_free(f);
}
END_TEST

START_TEST(test_memo_that_makes_no_sense_changes_nothing_MSG_10)
{
	struct fixture *f = start();
	struct flow_key k = client_of_web1(f, VIP, 80, 11);
	struct memo good = {.kind = MEMO_NAT, .precedence = 100, .vip_port = 80, .server_port = 80}, said;
	uint8_t bytes[MEMO_MAX];
	struct wire_blob memo = {bytes, 0};

	ck_assert(addr_parse(VIP, &good.vip) && addr_parse("10.0.20.13", &good.server));
	fixture_restart(f, 300);
	fixture_check(f, NULL);
	fixture_ask(f, R1, &k, ACK); /* a guess, which a good memo would change */
	for (unsigned n = 0; n < 4; n++) {
		said = good;
		if (n == 0)
			said.vip_port = 81;
		else if (n == 1)
			ck_assert(addr_parse("10.0.20.14", &said.server));
		else if (n == 2)
			ck_assert(addr_parse(VIP6, &said.vip) && addr_parse("fd00:20::13", &said.server));
		else
			ck_assert(addr_parse("203.0.113.11", &said.vip));
		memo.len = (uint16_t)memo_write(&said, bytes);
		check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.11:80");
	}
	memset(bytes, 0xff, sizeof(bytes));
	check_action(fixture_refresh(f, R2, &k, &memo), "dnat 10.0.20.11:80");
	ck_assert_uint_eq(fixture_counter(f, MANAGER_LEARNT), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_answers_at_once_after_a_restart_but_no_unchecked_server_SVC_2)
{
	struct fixture *f = start();
	struct flow_key k = client(1, VIP, 80);

	fixture_restart(f, 100);
	ck_assert_ptr_null(fixture_ask(f, R1, &k, ACK)); /* not checked yet: the agent asks again */
	f->now_ms += 250;
	fixture_check(f, NULL);
	ck_assert_ptr_nonnull(fixture_ask(f, R1, &k, ACK));
	fixture_restart(f, 100);
	f->now_ms += 750; /* checks take long here: who asks cannot wait */
	ck_assert_ptr_nonnull(fixture_ask(f, R1, &k, ACK));
	fixture_free(f);
}
END_TEST

START_TEST(test_full_store_drops_new_flows_only)
{
	char text[sizeof(CONF) + 32];
	struct fixture *f;
	struct flow_key k[3] = {client(1, VIP, 80), client(2, VIP, 80), client(3, VIP, 80)};

	snprintf(text, sizeof(text), "%slimits: {flows: 2}\n", CONF);
	f = fixture_new(text);
	fixture_check(f, NULL);
	fixture_run(f, 2000);
	fixture_ask(f, R1, &k[0], SYN);
	fixture_ask(f, R1, &k[1], SYN);
	check_action(fixture_ask(f, R1, &k[2], SYN), "drop");
	ck_assert_uint_eq(fixture_counter(f, MANAGER_FLOWS_FULL), 1);
	ck_assert_uint_ne(server_of(fixture_ask(f, R1, &k[0], ACK)), 0);
	fixture_run(f, 400000);
	ck_assert_uint_ne(server_of(fixture_ask(f, R1, &k[2], SYN)), 0);
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("decide");
	TCase *tc = tcase_create("decide");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_first_packet_and_reverse_flow_SM_2_SM_3_SVC_1);
	tcase_add_test(tc, test_ipv6_alike_SM_2_SM_3);
	tcase_add_test(tc, test_same_answer_whoever_asks_SM_2);
	tcase_add_test(tc, test_first_seen_in_mid_flow_SM_2);
	tcase_add_test(tc, test_flow_outlives_agents_and_is_forgotten_SM_5);
	tcase_add_test(tc, test_only_who_asked_is_told_SM_9);
	tcase_add_test(tc, test_refresh_is_answered_without_packet_FIX_9);
	tcase_add_test(tc, test_new_connection_leaves_dead_server_delete_first_SM_6);
	tcase_add_test(tc, test_datagram_flows_leave_dead_server_SM_6);
	tcase_add_test(tc, test_unanswered_connections_leave_dead_server_SM_6);
	tcase_add_test(tc, test_no_server_drops_for_a_moment_SVC_2);
	tcase_add_test(tc, test_same_client_port_two_vips_never_one_server_SM_12);
	tcase_add_test(tc, test_reverse_packet_of_no_flow_is_left_unchanged_SM_12);
	tcase_add_test(tc, test_errors_get_the_flows_answer_KEY_4);
	tcase_add_test(tc, test_errors_and_later_fragments_keep_no_flow_alive_SM_5_KEY_4_ACT_10);
	tcase_add_test(tc, test_errors_open_no_flow_KEY_4);
	tcase_add_test(tc, test_later_fragments_follow_their_flow_and_open_none_ACT_10);
	tcase_add_test(tc, test_probes_of_the_manager_are_left_alone_SM_12);
	tcase_add_test(tc, test_ARCH_10_client_port_in_use_at_every_server_drops_for_a_moment_SM_12);
	tcase_add_test(tc, test_ARCH_10_addresses_of_probes_beyond_the_limit_are_counted_SM_12);
	tcase_add_test(tc, test_shared_server_at_two_precedences_SM_3);
	tcase_add_test(tc, test_nobodys_flow_goes_on_unchanged);
	tcase_add_test(tc, test_restart_hashing_decides_alike_SM_2);
	tcase_add_test(tc, test_restart_learns_from_refreshes_SM_2_FIX_9);
	tcase_add_test(tc, test_restart_leaves_direct_connections_alone_SM_12);
	tcase_add_test(tc, test_what_agents_hold_beats_a_guess_SM_6);
	tcase_add_test(tc, test_idle_direct_connections_are_left_alone_SM_12);
	tcase_add_test(tc, test_idle_balanced_connections_outlive_a_restart_SM_2_SM_5);
	tcase_add_test(tc, test_late_memo_of_a_dead_server_SM_6);
	tcase_add_test(tc, test_memos_of_standing_flows_count_SM_6);
	tcase_add_test(tc, test_guess_is_kept_when_the_memo_does_not_fit_SM_12);
	tcase_add_test(tc, test_memo_that_makes_no_sense_changes_nothing_MSG_10);
	tcase_add_test(tc, test_answers_at_once_after_a_restart_but_no_unchecked_server_SVC_2);
	tcase_add_test(tc, test_full_store_drops_new_flows_only);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
