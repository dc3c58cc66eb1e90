/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what wildcard updates change in the engine: storing, replacing,
 * refreshing, expiry, denies, and advertised prefixes.
 */
#include "fad/engine_fixture.h"

#define VIP    "203.0.113.10"
#define CLIENT "198.51.100.7"

static const struct wildcard *only(const struct bed *b)
{
	const struct wildcard *w = wildtab_first(engine_wildcards(b->e));

	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
	return w;
}

/* How many messages a first packet of client n causes now. */
static size_t asks(struct bed *b, uint16_t n)
{
	struct flow_key k = bed_client(n);
	size_t before = b->sent_count;

	bed_packet(b, &k, SYN, 0);
	return b->sent_count - before;
}

START_TEST(test_WILD_1_holds_what_was_said)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	const struct wildcard *w;

	m.wildcard.src[0] = 198;
	m.wildcard.src[3] = 77; /* outside the mask */
	m.wildcard.src_mask[0] = 0xff;
	m.wildcard.sport = 99;
	m.wildcard.flags = WIRE_FLAG_INFORMATION;
	bed_nat(&m, WIRE_NAT_DPORT, NULL, 8080);
	bed_message(b, 1, &m);
	w = only(b);
	ck_assert_uint_eq(w->match.proto, IPPROTO_TCP);
	ck_assert_uint_eq(w->match.sport, 99);
	ck_assert_uint_eq(w->match.dport, 80);
	ck_assert_uint_eq(w->match.src[0], 198);
	ck_assert_uint_eq(w->match.src[3], 0);
	ck_assert_uint_eq(w->a.flags, WIRE_FLAG_INFORMATION);
	ck_assert_uint_eq(w->a.ttl_s, 60);
	ck_assert_uint_eq(w->a.expires_ms, b->now_ms + 60000);
	ck_assert_uint_eq(w->a.edit.dport, 8080);
	ck_assert_uint_eq(w->a.interest_count, 1);
	ck_assert_uint_eq(w->a.manager->peer.identity, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_3_expires_within_two_seconds)
{
	for (uint32_t ttl = 1; ttl < 8; ttl++) {
		struct bed *b = bed_new();
		struct wire_msg m = bed_service();

		bed_wait(b, ttl * 137);
		m.wildcard.ttl = ttl;
		bed_message(b, 1, &m);
		bed_wait(b, ttl * 1000 - 50);
		ck_assert_uint_eq(asks(b, 1), 1);
		bed_wait(b, 2000);
		ck_assert_uint_eq(asks(b, 2), 0);
		ck_counter(b, WILDCARDS_EXPIRED, 1);
		ck_assert_int_eq(b->keys, 0);
		ck_assert_int_eq(b->shapes, 0);
		bed_free(b);
	}
}
END_TEST

START_TEST(test_WILD_3_PREC_10_refresh_changes_nothing_but_time)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	m.sm_data = (struct wire_blob){(const uint8_t *)"old", 3};
	wire_set(&m, WIRE_SEG_SM_DATA, false);
	bed_message(b, 1, &m);
	asks(b, 1);
	bed_wait(b, 40000);
	m.sm_data = (struct wire_blob){(const uint8_t *)"newer", 5};
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_ADDED, 1);
	ck_counter(b, WILDCARDS_REFRESHED, 1);
	ck_assert_uint_eq(only(b)->flows, 1);
	bed_wait(b, 59000);
	ck_assert_uint_eq(asks(b, 2), 1);
	ck_assert_uint_eq(bed_last_sent(b)->m.sm_data.len, 5); /* the manager's data is the newest */
	bed_wait(b, 3000);
	ck_assert_uint_eq(asks(b, 3), 0);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_4_equal_one_is_replaced_and_keeps_its_counts)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service(), better = bed_service();

	bed_message(b, 1, &m);
	asks(b, 1);
	bed_nat(&better, WIRE_NAT_DPORT, NULL, 8080);
	better.interest_count = 0;
	bed_unset(&better, WIRE_SEG_INTEREST);
	bed_message(b, 1, &better);
	ck_assert_uint_eq(only(b)->flows, 1);
	ck_assert_uint_eq(asks(b, 2), 0);
	bed_went_to(bed_last_forwarded(b), VIP, 8080);
	/* Another manager's, and another precedence's, is another wildcard. */
	bed_message(b, 2, &m);
	bed_precedence(&m, 5);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 3);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_4_ttl_zero_deletes)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	bed_message(b, 1, &m);
	m.wildcard.ttl = 0;
	bed_message(b, 2, &m); /* not this manager's to delete */
	ck_counter(b, STALE_WILDCARD, 1);
	ck_assert_uint_eq(asks(b, 1), 1);
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_DELETED, 1);
	ck_assert_uint_eq(asks(b, 2), 0);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 0);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_4_ACT_8_denied_replacement_leaves_the_old_one)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	const struct wire_msg *d;

	bed_message(b, 1, &m);
	m.list = (struct wire_list){3, {WIRE_SEG_NAT, 140, 141}};
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	m.sm_data = (struct wire_blob){(const uint8_t *)"mine", 4};
	wire_set(&m, WIRE_SEG_SM_DATA, false);
	m.identity = (struct wire_identity){.name = "lb"};
	wire_set(&m, WIRE_SEG_IDENTITY, false);
	bed_message(b, 1, &m);
	d = &bed_last_sent(b)->m;
	ck_assert_int_eq(d->h.type, WIRE_DENY);
	ck_assert_uint_eq(d->list.count, 2); /* exactly those that are not supported */
	ck_assert_uint_eq(d->list.types[0], 140);
	ck_assert_uint_eq(d->list.types[1], 141);
	ck_assert_uint_eq(d->error.code, WIRE_ERROR_UNSUPPORTED);
	ck_assert_mem_eq(d->sm_data.data, "mine", 4);
	ck_assert_str_eq(d->identity.name, "lb");
	ck_assert_mem_eq(d->wildcard.dst, m.wildcard.dst, 4);
	ck_assert_uint_eq(asks(b, 1), 1);
	bed_wait(b, 59000);
	ck_assert_uint_eq(asks(b, 2), 1); /* until its own TTL */
	bed_wait(b, 3000);
	ck_assert_uint_eq(asks(b, 3), 0);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_5_decides_without_the_manager)
{
	struct bed *b = bed_new();
	struct wire_msg drop = bed_wildcard(VIP, 25), hop = bed_wildcard(VIP, 80), nat = bed_wildcard(VIP, 81);
	struct flow_key k25 = bed_key(IPPROTO_TCP, CLIENT, 1, VIP, 25);
	struct flow_key k80 = bed_client(1), k81 = bed_key(IPPROTO_TCP, CLIENT, 1, VIP, 81);

	bed_dispatch(&drop, NULL);
	bed_dispatch(&hop, "10.0.20.12");
	bed_nat(&nat, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.13", 8081);
	bed_message(b, 1, &drop);
	bed_message(b, 1, &hop);
	bed_message(b, 1, &nat);
	bed_packet(b, &k25, SYN, 0);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_AFFINITY, 1);
	bed_packet(b, &k80, SYN, 0);
	ck_assert(bed_last_forwarded(b)->dispatched);
	bed_packet(b, &k81, SYN, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.13", 8081);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_8_MSG_3_all_that_the_hello_lists_may_be_asked_for)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	engine_supported(&m.list);
	ck_assert_uint_eq(m.list.count, 7); /* reject is for what is dropped */
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	bed_dispatch(&m, "10.1.0.11");
	m.tunnel = (struct wire_tunnel){.kind = WIRE_TUNNEL_IP, .remote = bed_addr("10.1.0.11")};
	wire_set(&m, WIRE_SEG_TUNNEL, true);
	wire_set(&m, WIRE_SEG_SEQ_ADJUST, true);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
	ck_assert_uint_eq(b->sent_count, 0);
	m.list.types[m.list.count++] = WIRE_SEG_TUNNEL + 10;
	bed_message(b, 1, &m);
	ck_assert_int_eq(bed_last_sent(b)->m.h.type, WIRE_DENY);
	ck_assert_uint_eq(bed_last_sent(b)->m.list.count, 1);
	ck_assert_uint_eq(bed_last_sent(b)->m.list.types[0], WIRE_SEG_TUNNEL + 10);
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_3_MSG_14_undecodable_is_denied_at_a_limited_rate)
{
	struct bed *b = bed_new();
	struct endpoint_peer from = bed_manager(9);
	const struct wire_list unknown = {2, {77, 78}};
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct bed_sent *s;

	m.sm_data = (struct wire_blob){(const uint8_t *)"abc", 3};
	wire_set(&m, WIRE_SEG_SM_DATA, false);
	engine_undecodable(b->e, &from, &m, &unknown);
	s = &b->sent[0];
	ck_assert_int_eq(s->m.h.type, WIRE_DENY);
	ck_assert_mem_eq(s->m.list.types, unknown.types, 2);
	ck_assert_uint_eq(s->to.identity, 9);
	ck_assert_mem_eq(&s->m.wildcard, &m.wildcard, sizeof(m.wildcard)); /* which one (MSG-7) */
	ck_assert_mem_eq(s->m.sm_data.data, "abc", 3);
	for (int i = 0; i < 1000; i++)
		engine_undecodable(b->e, &from, &m, &unknown);
	ck_assert_uint_eq(b->sent_count, 50);
	bed_wait(b, 1000);
	engine_undecodable(b->e, &from, &m, &unknown);
	ck_assert_uint_eq(b->sent_count, 51);
	ck_counter(b, DENIES, 1002);
	ck_counter(b, DENIES_LIMITED, 951);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_MSG_3_packet_in_an_undecodable_update_is_dropped_by_name)
{
	struct bed *b = bed_new();
	struct endpoint_peer from = bed_manager(9);
	const struct wire_list unknown = {1, {77}};
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 60);
	size_t len = bed_write(b->packet, &k, SYN, 0);

	m.packet = (struct wire_blob){b->packet, (uint16_t)len};
	wire_set(&m, WIRE_SEG_IP_PACKET, true);
	engine_undecodable(b->e, &from, &m, &unknown);
	ck_counter(b, DROP_DENIED, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_14_denies_are_limited_for_each_manager)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	m.list = (struct wire_list){1, {140}};
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	for (int i = 0; i < 200; i++)
		bed_message(b, 1, &m);
	ck_assert_uint_eq(b->sent_count, 50);
	ck_counter(b, DENIES_LIMITED, 150);
	bed_message(b, 2, &m); /* does not suffer from the first */
	ck_assert_uint_eq(b->sent_count, 51);
	bed_wait(b, 1000);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->sent_count, 52);
	bed_free(b);
}
END_TEST

START_TEST(test_full_table_denies_new_ones_and_lets_old_ones_be_replaced)
{
	struct engine_conf conf = bed_conf();
	struct bed *b;
	struct wire_msg m;

	conf.max_wildcards = 3;
	b = bed_new_with(&conf);
	for (uint16_t port = 1; port <= 4; port++) {
		m = bed_wildcard(VIP, port);
		bed_message(b, 1, &m);
	}
	ck_counter(b, WILDCARD_NO_ROOM, 1);
	ck_assert_uint_eq(bed_last_sent(b)->m.error.code, WIRE_ERROR_NO_ROOM);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 3);
	m = bed_wildcard(VIP, 2);
	bed_nat(&m, WIRE_NAT_DPORT, NULL, 22);
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARD_NO_ROOM, 1);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 3);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_8_protected_flag_needs_the_operator)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_service();
	struct bed *b = bed_new();

	m.wildcard.flags = WIRE_FLAG_PROTECTED;
	bed_message(b, 1, &m);
	ck_assert_uint_eq(bed_last_sent(b)->m.error.code, WIRE_ERROR_FORBIDDEN);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 0);
	bed_free(b);
	conf.permit_protected = true;
	b = bed_new_with(&conf);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
	ck_assert_uint_eq(b->shape.flags, CLASSIFIER_SHAPE_PROTECTED);
	m.wildcard.flags = 0; /* replaces it: flags are no match field (WILD-4) */
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
	ck_assert_uint_eq(wildtab_shapes(engine_wildcards(b->e)), 1);
	ck_assert_uint_eq(b->shape.flags, 0);
	bed_free(b);
}
END_TEST

/* A packet to the router itself comes up for whom asked for such, and for nobody else. */
START_TEST(test_FA_8_protected_packet_is_for_whom_asked_for_such_only)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg mine = bed_service(), others = bed_service(), fixed, answer;
	struct flow_key k = bed_client(1000);
	struct bed *b;

	conf.permit_protected = true;
	b = bed_new_with(&conf);
	mine.wildcard.flags = WIRE_FLAG_PROTECTED;
	bed_precedence(&mine, 200);
	bed_precedence(&others, 100);
	bed_message(b, 1, &mine);
	bed_message(b, 2, &others);
	fixed = bed_fixed(&k, 60);
	bed_precedence(&fixed, 50);
	bed_dispatch(&fixed, NULL); /* to nowhere */
	bed_message(b, 2, &fixed);
	bed_packet_of(b, &k, SYN, 0, true);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].to.identity, 1);
	answer = bed_answer(&b->sent[0], 0); /* it comes back, and is protected still */
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	/* The same flow, no longer protected: everybody's, though a plan is there. */
	ck_counter(b, DROP_AFFINITY, 0);
	bed_packet_of(b, &k, ACK, 0, false);
	ck_counter(b, DROP_AFFINITY, 1);
	bed_free(b);
}
END_TEST

static void advertise(struct wire_msg *m, const char *addr, uint8_t plen)
{
	struct wire_advertise *a = &m->advertise[m->advertise_count++];

	*a = (struct wire_advertise){.plen = plen};
	if (addr)
		a->addr = bed_addr(addr);
	wire_set(m, WIRE_SEG_ADVERTISE, true);
}

START_TEST(test_ACT_3_FA_11_prefix_is_advertised_while_any_wildcard_asks)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service(), standby = bed_service();
	const struct advert *a;
	uint64_t version;

	advertise(&m, NULL, 0); /* the wildcard's own destination */
	bed_message(b, 1, &m);
	a = engine_adverts(b->e, &version);
	ck_assert_uint_eq(a->plen, 32);
	ck_assert_mem_eq(a->addr.b, ((uint8_t[]){203, 0, 113, 10}), 4);
	ck_assert_int_eq(b->prefix_calls, 1);

	advertise(&standby, VIP, 32); /* the same, said in the other way, by a backup */
	bed_backup(&standby, 1);
	bed_message(b, 2, &standby);
	ck_assert_uint_eq(a->references, 2);
	bed_wait(b, 30000);
	bed_message(b, 2, &standby);
	bed_wait(b, 35000); /* the primary is gone: no route changes */
	ck_counter(b, WILDCARDS_EXPIRED, 1);
	ck_assert_int_eq(b->prefix_calls, 1);
	ck_assert_int_eq(b->prefixes, 1);
	bed_wait(b, 30000);
	ck_assert_int_eq(b->prefixes, 0);
	ck_assert_int_eq(b->prefix_calls, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_3_replacing_a_wildcard_flaps_no_route)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	advertise(&m, NULL, 0);
	bed_message(b, 1, &m);
	bed_nat(&m, WIRE_NAT_DPORT, NULL, 8080);
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_ADDED, 2);
	ck_assert_int_eq(b->prefix_calls, 1);
	m.advertise_count = 0; /* replaced by one that advertises no more */
	bed_unset(&m, WIRE_SEG_ADVERTISE);
	bed_message(b, 1, &m);
	ck_assert_int_eq(b->prefixes, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_3_unmatched_packet_to_an_advertised_address_is_dropped)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	struct flow_key in = bed_key(IPPROTO_TCP, CLIENT, 1, "203.0.113.99", 22);
	struct flow_key out = bed_key(IPPROTO_TCP, CLIENT, 1, "203.0.114.1", 22);

	advertise(&m, "203.0.113.0", 24);
	bed_message(b, 1, &m);
	bed_packet(b, &in, SYN, 0);
	ck_counter(b, DROP_ADVERTISED, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	bed_packet(b, &out, SYN, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	bed_packet(b, &in, SYN, 0);
	ck_assert_uint_eq(b->forwarded_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_13_restarted_manager_replaces_its_own_from_another_port)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	struct endpoint_peer moved = bed_manager(1);

	bed_message(b, 1, &m);
	moved.port = 40000;
	bed_nat(&m, WIRE_NAT_DPORT, NULL, 8080);
	m.h = (struct wire_header){.type = WIRE_WILDCARD_UPDATE, .source = 1, .incarnation = 2, .sequence = 1};
	engine_message(b->e, &moved, &m, b->now_ms);
	ck_assert_uint_eq(only(b)->a.edit.dport, 8080);
	ck_assert_uint_eq(engine_managers(b->e)->incarnation, 2);
	ck_assert_uint_eq(asks(b, 1), 1);
	ck_assert_uint_eq(bed_last_sent(b)->to.port, 40000); /* asked where it speaks from now */
	ck_assert_int_eq(b->managers, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ARCH_10_silent_manager_leaves_no_trace)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service(), fixed;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &m);
	fixed = bed_fixed(&k, 90);
	bed_message(b, 1, &fixed);
	bed_wait(b, 88000);
	ck_assert_ptr_nonnull(engine_managers(b->e));
	bed_wait(b, 4000);
	ck_assert_ptr_null(engine_managers(b->e));
	ck_assert_int_eq(b->managers, 0);
	ck_assert_int_eq(b->flows, 0);
	ck_assert_int_eq(b->keys, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_manager_without_affinities_is_remembered_for_a_minute)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	bed_wait(b, 59000);
	ck_assert_int_eq(b->managers, 1);
	bed_wait(b, 2000);
	ck_assert_int_eq(b->managers, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_message_types_not_for_an_agent_are_counted)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(1);
	struct wire_msg m;

	wire_start(&m, WIRE_MATCH_FIXED);
	m.identifier.key = k;
	wire_set(&m, WIRE_SEG_IDENTIFIER, true);
	bed_message(b, 1, &m);
	ck_counter(b, UNEXPECTED, 1);
	ck_assert_ptr_null(engine_managers(b->e));
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_3_FA_9_unmatched_packet_to_an_advertised_host_is_dropped)
{
	static const char *const host[] = {VIP, "2001:db8:113::10"};
	static const char *const next[] = {"203.0.113.11", "2001:db8:113::11"};
	static const char *const client[] = {CLIENT, "2001:db8:7::1"};

	for (size_t i = 0; i < 2; i++) {
		struct bed *b = bed_new();
		struct wire_msg m = bed_wildcard(host[i], 80);
		struct flow_key in = bed_key(IPPROTO_TCP, client[i], 1, host[i], 22);
		struct flow_key out = bed_key(IPPROTO_TCP, client[i], 1, next[i], 22);

		advertise(&m, NULL, 0); /* the destination itself: a /32, a /128 */
		bed_message(b, 1, &m);
		bed_packet(b, &in, SYN, 0);
		ck_counter(b, DROP_ADVERTISED, 1);
		bed_packet(b, &out, SYN, 0);
		ck_counter(b, DROP_ADVERTISED, 1);
		ck_assert_uint_eq(b->forwarded_count, 1);
		bed_free(b);
	}
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_WILD_1_holds_what_was_said);
	tcase_add_test(t, test_WILD_3_expires_within_two_seconds);
	tcase_add_test(t, test_WILD_3_PREC_10_refresh_changes_nothing_but_time);
	tcase_add_test(t, test_WILD_4_equal_one_is_replaced_and_keeps_its_counts);
	tcase_add_test(t, test_WILD_4_ttl_zero_deletes);
	tcase_add_test(t, test_WILD_4_ACT_8_denied_replacement_leaves_the_old_one);
	tcase_add_test(t, test_WILD_5_decides_without_the_manager);
	tcase_add_test(t, test_ACT_8_MSG_3_all_that_the_hello_lists_may_be_asked_for);
	tcase_add_test(t, test_MSG_3_MSG_14_undecodable_is_denied_at_a_limited_rate);
	tcase_add_test(t, test_FIX_8_MSG_3_packet_in_an_undecodable_update_is_dropped_by_name);
	tcase_add_test(t, test_MSG_14_denies_are_limited_for_each_manager);
	tcase_add_test(t, test_full_table_denies_new_ones_and_lets_old_ones_be_replaced);
	tcase_add_test(t, test_FA_8_protected_flag_needs_the_operator);
	tcase_add_test(t, test_FA_8_protected_packet_is_for_whom_asked_for_such_only);
	tcase_add_test(t, test_ACT_3_FA_11_prefix_is_advertised_while_any_wildcard_asks);
	tcase_add_test(t, test_ACT_3_replacing_a_wildcard_flaps_no_route);
	tcase_add_test(t, test_ACT_3_unmatched_packet_to_an_advertised_address_is_dropped);
	tcase_add_test(t, test_MSG_13_restarted_manager_replaces_its_own_from_another_port);
	tcase_add_test(t, test_ARCH_10_silent_manager_leaves_no_trace);
	tcase_add_test(t, test_manager_without_affinities_is_remembered_for_a_minute);
	tcase_add_test(t, test_message_types_not_for_an_agent_are_counted);
	tcase_add_test(t, test_ACT_3_FA_9_unmatched_packet_to_an_advertised_host_is_dropped);
}

int main(void)
{
	return bed_main("engine_wildcard", add);
}
