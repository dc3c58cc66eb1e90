/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of another configuration for a running manager, and of an operator's
 * will about servers: what does not change stays as it is.
 */
#include "smd/manager_fixture.h"

#define HEAD "identity: 0x201\ncontrol: {address: 10.77.0.11}\n"

#define WEB(servers)                                                                                                   \
	"  - name: web\n"                                                                                              \
	"    vip: 203.0.113.10\n"                                                                                      \
	"    port: 80\n"                                                                                               \
	"    servers:\n" servers
#define S1 "      - {name: web1, address: 10.0.20.11}\n"
#define S2 "      - {name: web2, address: 10.0.20.12}\n"
#define S3 "      - {name: web3, address: 10.0.20.13}\n"
#define FILES                                                                                                          \
	"  - {name: files, vip: 203.0.113.10, port: 8080, method: round-robin, servers: "                              \
	"[{name: web1, address: 10.0.20.11}, {name: web2, address: 10.0.20.12}]}\n"
#define OTHER                                                                                                          \
	"  - {name: other, vip: 203.0.113.20, port: 80, servers: [{name: web1, address: 10.0.20.11}, "                 \
	"{name: web9, address: 10.0.20.19}]}\n"

static const char BASE[] = HEAD "services:\n" WEB(S1 S2 S3) FILES;

static struct fixture *start(const char *text)
{
	struct fixture *f = fixture_new(text);

	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_NAT, WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	fixture_check(f, NULL);
	fixture_run(f, 2000);
	f->count = 0;
	return f;
}

static void reload(struct fixture *f, const char *text)
{
	char why[256];

	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, text, why));
}

static struct flow_key client(uint16_t n, uint16_t port)
{
	return fixture_key(IPPROTO_TCP, "198.51.100.1", (uint16_t)(1000 + n), "203.0.113.10", port);
}

/* The last byte of the server's address. */
static unsigned server_of(struct fixture *f, const struct flow_key *k, uint8_t flags)
{
	const struct sent *s = fixture_ask(f, R1, k, flags);

	ck_assert_ptr_nonnull(s);
	return s->m.nat_count ? s->m.nat[0].dst.b[3] : 0;
}

/* Wildcards sent since the last count of 0: with a TTL, or withdrawn. */
static unsigned wildcards(const struct fixture *f, bool with_ttl)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->count; i++)
		n += f->sent[i].m.h.type == WIRE_WILDCARD_UPDATE && (f->sent[i].m.wildcard.ttl > 0) == with_ttl;
	return n;
}

static const struct backend *backend(const struct fixture *f, const char *service, const char *name)
{
	const struct services *s = manager_services(f->manager);

	for (size_t i = 0; i < s->backend_count; i++)
		if (!strcmp(s->backends[i].conf->name, name) && !strcmp(s->backends[i].group->conf->name, service))
			return &s->backends[i];
	return NULL;
}

/* ---- reload ---- */

START_TEST(test_same_configuration_changes_nothing_SM_1)
{
	struct fixture *f = start(BASE), *unchanged = start(BASE);

	for (uint16_t n = 0; n < 41; n++) { /* an odd number of turns */
		struct flow_key k = client(n, n % 2 ? 80 : 8080);

		ck_assert_uint_eq(server_of(f, &k, SYN), server_of(unchanged, &k, SYN));
	}
	reload(f, BASE);
	fixture_run(f, 15); /* less than a regular refresh */
	ck_assert_uint_eq(f->count, 0);
	for (uint16_t n = 0; n < 80; n++) { /* known ones, turns and hashing go on */
		struct flow_key k = client(n, n % 2 ? 80 : 8080);

		ck_assert_uint_eq(server_of(f, &k, n < 41 ? ACK : SYN), server_of(unchanged, &k, n < 41 ? ACK : SYN));
	}
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 80);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_RELOADED), 1);
	ck_assert_uint_eq(backend(f, "web", "web1")->flows, backend(unchanged, "web", "web1")->flows);
	ck_assert_uint_eq(backend(f, "web", "web1")->connections, backend(unchanged, "web", "web1")->connections);
	ck_assert_uint_eq(backend(f, "web", "web1")->decisions, backend(unchanged, "web", "web1")->decisions);
	fixture_free(f);
	fixture_free(unchanged);
}
END_TEST

START_TEST(test_service_added_and_removed_beside_another_SM_1)
{
	struct fixture *f = start(BASE);
	struct flow_key k = client(1, 80), other;
	unsigned before = server_of(f, &k, SYN);

	other = fixture_key(IPPROTO_TCP, "198.51.100.1", 5000, "203.0.113.20", 80);
	reload(f, HEAD "services:\n" OTHER WEB(S1 S2 S3) FILES);
	fixture_run(f, 15);
	ck_assert_uint_eq(wildcards(f, true), 1); /* web9's; web1's at port 80 is there */
	fixture_check(f, NULL);
	f->count = 0;
	fixture_run(f, 15);
	ck_assert_uint_eq(wildcards(f, true), 1); /* the new VIP, once its servers were checked */
	ck_assert_uint_eq(wildcards(f, false), 0);
	ck_assert_uint_ne(server_of(f, &other, SYN), 0);
	ck_assert_uint_eq(server_of(f, &k, ACK), before);
	reload(f, BASE);
	fixture_run(f, 15);
	ck_assert_uint_eq(wildcards(f, true), 0);
	ck_assert_uint_eq(wildcards(f, false), 2); /* VIP and web9 */
	ck_assert_uint_eq(f->count, 4);            /* and both keys of the flow deleted where they are held */
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(f->sent[i].m.h.type, WIRE_FIXED_UPDATE);
		ck_assert_uint_eq(f->sent[i].m.fixed.ttl, 0);
		ck_assert_uint_eq(f->sent[i].to, R1);
	}
	fixture_run(f, 1000);
	ck_assert_uint_ge(wildcards(f, false), 4); /* withdrawn twice */
	ck_assert_uint_eq(server_of(f, &k, ACK), before);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 1);
	fixture_free(f);
}
END_TEST

START_TEST(test_removed_server_drains_SM_6_SVC_2)
{
	struct fixture *f = start(BASE);
	struct flow_key k, back;
	uint16_t n = 0;

	do {
		k = client(n++, 80);
	} while (server_of(f, &k, SYN) != 12);
	back = fixture_back(&k, &f->sent[f->count - 1]);
	fixture_ask(f, R1, &back, SYN_ACK);
	for (uint16_t i = 0; i < n - 1; i++) { /* the others end */
		struct flow_key done = client(i, 80);

		fixture_notice(f, R1, &done, WIRE_INTEREST_RST, NULL);
	}
	reload(f, HEAD "services:\n" WEB(S1 S3));
	fixture_run(f, 15);
	ck_assert_uint_eq(wildcards(f, false), 3); /* `files` and its two servers */
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web2")), "removed");
	ck_assert_uint_eq(server_of(f, &k, ACK), 12); /* it goes on */
	ck_assert_ptr_nonnull(fixture_refresh(f, R1, &back, NULL));
	for (uint16_t i = 100; i < 160; i++) {
		struct flow_key new = client(i, 80);

		ck_assert_uint_ne(server_of(f, &new, SYN), 12);
	}
	fixture_notice(f, R1, &k, WIRE_INTEREST_FIN, NULL);
	fixture_notice(f, R1, &back, WIRE_INTEREST_FIN, NULL);
	ck_assert_uint_ne(server_of(f, &k, SYN), 12); /* another connection, from the same port */
	reload(f, HEAD "services:\n" WEB(S1 S3));
	fixture_run(f, 1000);
	ck_assert_ptr_null(backend(f, "web", "web2"));
	ck_assert_uint_ge(wildcards(f, false), 1); /* web2's */
	fixture_free(f);
}
END_TEST

START_TEST(test_removed_servers_wildcard_goes_with_its_last_flow_SM_1)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1 S2));
	struct flow_key k;
	uint16_t n = 0;

	do {
		k = client(n++, 80);
	} while (server_of(f, &k, SYN) != 12);
	reload(f, HEAD "services:\n" WEB(S1));
	fixture_run(f, 300000);
	ck_assert_uint_eq(wildcards(f, false), 0);
	fixture_run(f, 100000);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	ck_assert_uint_eq(wildcards(f, false), 2);
	reload(f, HEAD "services:\n" WEB(S1 S2)); /* it comes back */
	fixture_run(f, 1000);
	ck_assert_uint_eq(wildcards(f, false), 0);
	ck_assert_uint_ge(wildcards(f, true), 2);
	fixture_free(f);
}
END_TEST

START_TEST(test_health_and_will_are_kept_SVC_2)
{
	struct fixture *f = start(BASE);

	fixture_check(f, "web1");
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web1")), "down");
	reload(f, HEAD "services:\n" FILES WEB(S3 S1 S2) "wildcard-ttl: 60s\n");
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web1")), "down");
	ck_assert_str_eq(backend(f, "web", "web1")->check->text, "refused");
	ck_assert_str_eq(backend_state_name(backend(f, "files", "web1")), "down");
	ck_assert_str_eq(backend_state_name(backend(f, "files", "web2")), "up");
	ck_assert_int_eq(backend(f, "web", "web2")->group->state, GROUP_ANNOUNCED);
	for (uint16_t i = 0; i < 60; i++) {
		struct flow_key k = client(i, 80);

		ck_assert_uint_ne(server_of(f, &k, SYN), 11);
	}
	fixture_free(f);
}
END_TEST

/* Agents count by the TTL they were told: with a longer cycle the old ones would expire before their turn. */
START_TEST(test_another_wildcard_ttl_is_told_at_once_SM_1)
{
	struct fixture *f = start(HEAD "services:\n" FILES WEB(S1 S2) "wildcard-ttl: 3s\n");
	unsigned all;

	fixture_run(f, 1000);
	f->count = 0;
	fixture_run(f, 1000);
	all = wildcards(f, true); /* once each */
	ck_assert_uint_gt(all, 0);
	f->count = 0;
	reload(f, HEAD "services:\n" FILES WEB(S1 S2) "wildcard-ttl: 1h\n");
	fixture_run(f, 1000);
	ck_assert_uint_ge(wildcards(f, true), all);
	ck_assert_uint_eq(wildcards(f, false), 0);
	f->count = 0;
	reload(f, HEAD "services:\n" FILES WEB(S1 S2) "wildcard-ttl: 1h\n");
	fixture_run(f, 1000);
	ck_assert_uint_eq(wildcards(f, true), 0);
	fixture_free(f);
}
END_TEST

/* Flags of the wildcards told since the last count of 0 whose destination, or source, has this last byte; -1: none. */
static int flags_told(const struct fixture *f, uint8_t dst, uint8_t src)
{
	int flags = -1;

	for (size_t i = 0; i < f->count; i++) {
		const struct wire_wildcard *w = &f->sent[i].m.wildcard;

		if (f->sent[i].m.h.type == WIRE_WILDCARD_UPDATE && w->dst[3] == dst && w->src[3] == src &&
		    w->dport != 8080)
			flags = w->flags;
	}
	return flags;
}

START_TEST(test_what_becomes_of_the_undecided_is_told_at_once_FA_5_FA_6)
{
	struct fixture *f = start(BASE);

	reload(f, HEAD "services:\n" WEB(S1 S2 S3) "    on-silence: route\n" FILES);
	fixture_run(f, 100);
	ck_assert_int_eq(flags_told(f, 10, 0), WIRE_FLAG_ROUTE_SILENT);
	ck_assert_int_eq(flags_told(f, 0, 13), WIRE_FLAG_ROUTE_SILENT);
	reload(f, HEAD "services:\n" WEB(S1 S2 S3) "    on-silence: route\n    agent-gone: drop\n" FILES);
	fixture_run(f, 100);
	ck_assert_int_eq(flags_told(f, 10, 0), WIRE_FLAG_ROUTE_SILENT | WIRE_FLAG_DROP_GONE);
	reload(f, BASE);
	fixture_run(f, 100);
	ck_assert_int_eq(flags_told(f, 10, 0), 0);
	fixture_free(f);
}
END_TEST

/* One wildcard speaks for two services. */
START_TEST(test_services_of_one_server_take_the_careful_way_FA_5_FA_6)
{
	struct fixture *f = start(HEAD "services:\n" WEB(
		S1) "    on-silence: route\n"
		    "  - {name: other, vip: 203.0.113.20, port: 80, servers: [{name: web1, address: "
		    "10.0.20.11}]}\n");

	reload(f, HEAD "services:\n" WEB(
			  S1) "    on-silence: route\n"
			      "  - {name: other, vip: 203.0.113.20, port: 80, agent-gone: drop, servers: [{name: web1, "
			      "address: 10.0.20.11}]}\n");
	fixture_run(f, 100);
	ck_assert_int_eq(flags_told(f, 20, 0), WIRE_FLAG_DROP_GONE);
	ck_assert_int_eq(flags_told(f, 10, 0), -1); /* as before */
	ck_assert_int_eq(flags_told(f, 0, 11), WIRE_FLAG_DROP_GONE);
	fixture_free(f);
}
END_TEST

START_TEST(test_new_server_is_used_after_its_first_check_SVC_2)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1));

	reload(f, HEAD "services:\n" WEB(S1 S2));
	ck_assert_int_eq(backend(f, "web", "web2")->group->state, GROUP_ANNOUNCED);
	for (uint16_t i = 0; i < 30; i++) {
		struct flow_key k = client(i, 80);

		ck_assert_uint_eq(server_of(f, &k, SYN), 11);
	}
	fixture_check(f, NULL);
	ck_assert_uint_eq(balancer_usable(backend(f, "web", "web2")->group->balancer), 2);
	fixture_free(f);
}
END_TEST

START_TEST(test_all_servers_replaced_stays_announced_SM_1)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1));

	reload(f, HEAD "services:\n" WEB(S2 S3));
	ck_assert_int_eq(backend(f, "web", "web2")->group->state, GROUP_ANNOUNCED);
	fixture_check(f, "*");
	ck_assert_int_eq(backend(f, "web", "web2")->group->state, GROUP_WITHDRAWN);
	fixture_free(f);
}
END_TEST

START_TEST(test_renamed_service_keeps_its_flows_SM_2)
{
	struct fixture *f = start(BASE);
	struct flow_key k = client(1, 8080);
	unsigned before = server_of(f, &k, SYN);

	reload(f, HEAD "services:\n" WEB(S1 S2 S3) "  - {name: archive, vip: 203.0.113.10, port: 8080, method: maglev, "
						   "servers: [{name: a, address: "
						   "10.0.20.11}, {name: b, address: 10.0.20.12}]}\n");
	fixture_run(f, 15);
	ck_assert_uint_eq(f->count, 0);
	ck_assert_uint_eq(server_of(f, &k, ACK), before);
	fixture_free(f);
}
END_TEST

START_TEST(test_other_precedence_is_another_service_to_agents_SM_6)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1));
	struct flow_key k = client(1, 80);

	server_of(f, &k, SYN);
	reload(f, HEAD "services:\n" WEB(S1) "    precedence: 50\n");
	fixture_run(f, 15);
	ck_assert_uint_eq(wildcards(f, false), 2);
	ck_assert_uint_eq(wildcards(f, true), 2);
	ck_assert_uint_eq(f->sent[0].m.h.type, WIRE_FIXED_UPDATE);
	ck_assert_uint_eq(f->sent[0].m.fixed.ttl, 0);
	ck_assert_uint_eq(f->sent[0].m.precedence.value, 100);
	ck_assert_uint_eq(fixture_ask(f, R1, &k, ACK)->m.precedence.value, 50);
	fixture_free(f);
}
END_TEST

START_TEST(test_what_needs_a_restart_changes_nothing_SM_1)
{
	struct fixture *f = start(BASE);
	struct flow_key k = client(1, 80);
	unsigned before = server_of(f, &k, SYN);
	char why[256];

	f->count = 0;
	ck_assert_str_eq(fixture_reload(f, "identity: 0x201\ncontrol: {address: 10.77.0.99}\nservices:\n" OTHER, why),
			 "a change of 'control' takes effect only by a restart");
	manager_reload_refused(f->manager, why);
	fixture_run(f, 15);
	ck_assert_uint_eq(f->count, 0);
	ck_assert_ptr_null(backend(f, "other", "web9"));
	ck_assert_uint_eq(server_of(f, &k, ACK), before);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_RELOAD_REFUSED), 1);
	ck_assert_uint_eq(fixture_counter(f, MANAGER_RELOADED), 0);
	ck_assert_str_eq(f->noticed, "3 configuration smd: not reloaded: a change of 'control' takes effect only by a "
				     "restart");
	fixture_free(f);
}
END_TEST

START_TEST(test_direct_connections_of_a_removed_server_are_forgotten_SM_12)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1 S2));
	struct flow_key direct = fixture_key(IPPROTO_TCP, "10.0.20.12", 80, "198.51.100.7", 3000);

	fixture_ask(f, R1, &direct, SYN_ACK);
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 1);
	reload(f, HEAD "services:\n" WEB(S1 S2));
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 1);
	reload(f, HEAD "services:\n" WEB(S1));
	ck_assert_uint_eq(flows_count(manager_flows(f->manager)), 0);
	fixture_free(f);
}
END_TEST

/* ---- an operator's will ---- */

struct rows {
	unsigned count;
	char before[16], after[16];
};

static void on_row(void *ctx, const struct backend *b, const char *before)
{
	struct rows *r = ctx;

	r->count++;
	snprintf(r->before, sizeof(r->before), "%s", before);
	snprintf(r->after, sizeof(r->after), "%s", backend_state_name(b));
}

static unsigned set(struct fixture *f, const char *service, const char *server, enum server_will will)
{
	struct rows r = {0};

	ck_assert_uint_eq(manager_server_set(f->manager, service, server, will, on_row, &r, f->now_ms), r.count);
	fixture_run(f, 200);
	return r.count;
}

static struct flow_key client_of(struct fixture *f, unsigned server, uint16_t first)
{
	for (uint16_t n = first;; n++) {
		struct flow_key k = client(n, 80);

		if (server_of(f, &k, SYN) == server)
			return k;
	}
}

START_TEST(test_drained_server_gets_no_new_flows_SVC_2)
{
	struct fixture *f = start(BASE);
	struct flow_key k = client_of(f, 11, 0), back = fixture_back(&k, &f->sent[f->count - 1]);

	ck_assert_uint_eq(set(f, "", "web1", SERVER_DRAINING), 2); /* in both services */
	ck_assert_str_eq(backend_state_name(backend(f, "files", "web1")), "draining");
	ck_assert_uint_eq(server_of(f, &k, SYN), 11); /* its first SYN was not answered yet: it goes on */
	fixture_ask(f, R1, &back, SYN_ACK);
	for (uint16_t n = 300; n < 360; n++) {
		struct flow_key new = client(n, n % 2 ? 80 : 8080);

		ck_assert_uint_ne(server_of(f, &new, SYN), 11);
	}
	ck_assert_uint_eq(server_of(f, &k, ACK), 11);
	ck_assert_ptr_nonnull(fixture_refresh(f, R1, &k, NULL));
	fixture_notice(f, R1, &k, WIRE_INTEREST_RST, NULL);
	ck_assert_uint_ne(server_of(f, &k, SYN), 11); /* it ended; this is another one */
	ck_assert_uint_eq(set(f, "web", "10.0.20.11", SERVER_ENABLED), 1);
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web1")), "up");
	ck_assert_str_eq(backend_state_name(backend(f, "files", "web1")), "draining");
	client_of(f, 11, 500);
	fixture_free(f);
}
END_TEST

START_TEST(test_last_server_drained_stays_announced_SVC_2)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1));
	struct flow_key k = client(1, 80), new = client(2, 80);

	server_of(f, &k, SYN);
	f->count = 0;
	ck_assert_uint_eq(set(f, NULL, "web1", SERVER_DRAINING), 1);
	ck_assert_uint_eq(wildcards(f, false), 0); /* its flows need the VIP */
	ck_assert_uint_eq(server_of(f, &k, ACK), 11);
	ck_assert_uint_eq(server_of(f, &new, SYN), 0);
	ck_assert_uint_eq(set(f, NULL, "web1", SERVER_DISABLED), 1);
	ck_assert_uint_ge(wildcards(f, false), 1);
	ck_assert_uint_eq(set(f, NULL, "web1", SERVER_ENABLED), 1);
	ck_assert_int_eq(backend(f, "web", "web1")->group->state, GROUP_ANNOUNCED);
	ck_assert_uint_eq(set(f, NULL, "web7", SERVER_ENABLED), 0);
	ck_assert_uint_eq(set(f, "files", "web1", SERVER_ENABLED), 0);
	fixture_free(f);
}
END_TEST

START_TEST(test_disabled_server_is_as_if_down_SVC_2_SM_6)
{
	struct fixture *f = start(BASE);
	struct flow_key stands = client_of(f, 11, 0), back = fixture_back(&stands, &f->sent[f->count - 1]);
	struct flow_key waiting = client_of(f, 11, 100);

	fixture_ask(f, R1, &back, SYN_ACK);
	f->count = 0;
	set(f, "web", "web1", SERVER_DISABLED);
	ck_assert_str_eq(f->noticed, "6 server web/web1: disabled by the operator");
	ck_assert_ptr_null(flows_by_forward(manager_flows(f->manager), &waiting)); /* never answered: let go */
	ck_assert_uint_eq(server_of(f, &stands, ACK), 11);
	ck_assert_uint_ne(server_of(f, &stands, SYN), 11);
	fixture_check(f, NULL); /* good checks do not bring it back */
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web1")), "disabled");
	reload(f, BASE);
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web1")), "disabled");
	ck_assert_str_eq(backend_state_name(backend(f, "files", "web1")), "up");
	fixture_restart(f, 1000);
	fixture_check(f, NULL);
	ck_assert_str_eq(backend_state_name(backend(f, "web", "web1")), "up");
	fixture_free(f);
}
END_TEST

START_TEST(test_notices_of_servers_services_and_agents_SVC_2_ACT_9)
{
	struct fixture *f = start(HEAD "services:\n" WEB(S1 S2));

	f->notices = 0;
	fixture_check(f, "web1");
	ck_assert_uint_eq(f->notices, 1);
	ck_assert_str_eq(f->noticed, "4 server web/web1: down: 10.0.20.11:80, refused");
	fixture_check(f, "*");
	ck_assert_str_eq(f->noticed, "4 service web: IPv4: withdrawn, no server is up");
	fixture_run(f, 60000);
	ck_assert_str_eq(f->noticed, "4 agent r1: silent for 36 s");
	f->notices = 0;
	fixture_run(f, 60000);
	ck_assert_uint_eq(f->notices, 0);
	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_NAT, WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	ck_assert_str_eq(f->noticed, "6 agent r1: heard again");
	fixture_deny(f, R1, &f->sent[0], WIRE_ERROR_FORBIDDEN, NULL);
	ck_assert_str_eq(f->noticed, "4 agent r1: denies a wildcard update: no reason given (code 4)");
	fixture_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reload");
	TCase *tc = tcase_create("reload");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_same_configuration_changes_nothing_SM_1);
	tcase_add_test(tc, test_service_added_and_removed_beside_another_SM_1);
	tcase_add_test(tc, test_removed_server_drains_SM_6_SVC_2);
	tcase_add_test(tc, test_removed_servers_wildcard_goes_with_its_last_flow_SM_1);
	tcase_add_test(tc, test_health_and_will_are_kept_SVC_2);
	tcase_add_test(tc, test_another_wildcard_ttl_is_told_at_once_SM_1);
	tcase_add_test(tc, test_what_becomes_of_the_undecided_is_told_at_once_FA_5_FA_6);
	tcase_add_test(tc, test_services_of_one_server_take_the_careful_way_FA_5_FA_6);
	tcase_add_test(tc, test_new_server_is_used_after_its_first_check_SVC_2);
	tcase_add_test(tc, test_all_servers_replaced_stays_announced_SM_1);
	tcase_add_test(tc, test_renamed_service_keeps_its_flows_SM_2);
	tcase_add_test(tc, test_other_precedence_is_another_service_to_agents_SM_6);
	tcase_add_test(tc, test_what_needs_a_restart_changes_nothing_SM_1);
	tcase_add_test(tc, test_direct_connections_of_a_removed_server_are_forgotten_SM_12);
	tcase_add_test(tc, test_drained_server_gets_no_new_flows_SVC_2);
	tcase_add_test(tc, test_last_server_drained_stays_announced_SVC_2);
	tcase_add_test(tc, test_disabled_server_is_as_if_down_SVC_2_SM_6);
	tcase_add_test(tc, test_notices_of_servers_services_and_agents_SVC_2_ACT_9);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
