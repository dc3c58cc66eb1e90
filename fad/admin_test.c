/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of the listings, over a real engine that was told things by real
 * messages.
 */
#include "fad/admin.h"

#include <errno.h>

#include "fad/admin_trace.h"
#include "fad/engine_fixture.h"
#include "lib/bus.h"

/* Each reply is packed and read back: what a client would see. */
struct asked {
	struct bed *b;
	struct admin *admin;
	struct admin_view view;
	Turnout__Reply *reply;
};

static struct asked asked_new(void)
{
	struct asked q = {.b = bed_new(), .admin = admin_new()};

	ck_assert_ptr_nonnull(q.admin);
	return q;
}

static void asked_free(struct asked *q)
{
	if (q->reply)
		turnout__reply__free_unpacked(q->reply, NULL);
	admin_free(q->admin);
	bed_free(q->b);
}

static const char *ask_page(struct asked *q, Turnout__Request__WhatCase what, uint64_t cursor, uint32_t limit)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Reply reply = TURNOUT__REPLY__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;
	const char *error;
	uint8_t *packed;
	size_t len;

	q->view.engine = q->b->e;
	q->view.now_ms = q->b->now_ms;
	request.what_case = what;
	request.show_agents = &empty;
	request.cursor = cursor;
	request.limit = limit;
	error = admin_answer(q->admin, &q->view, &request, &reply);
	if (q->reply)
		turnout__reply__free_unpacked(q->reply, NULL);
	q->reply = NULL;
	if (!error) {
		len = turnout__reply__get_packed_size(&reply);
		packed = malloc(len + 1);
		turnout__reply__pack(&reply, packed);
		q->reply = turnout__reply__unpack(NULL, len, packed);
		ck_assert_ptr_nonnull(q->reply);
		free(packed);
	}
	admin_release(q->admin);
	return error;
}

#define ask(q, what) ck_assert_ptr_null(ask_page(q, TURNOUT__REQUEST__WHAT_##what, 0, 0))

static void name_manager(struct wire_msg *m, const char *name)
{
	snprintf(m->identity.name, sizeof(m->identity.name), "%s", name);
	wire_set(m, WIRE_SEG_IDENTITY, false);
}

static void say_service(struct asked *q, unsigned manager, const char *name)
{
	struct wire_msg m = bed_service();

	if (name)
		name_manager(&m, name);
	m.advertise_count = 1;
	wire_set(&m, WIRE_SEG_ADVERTISE, true);
	bed_message(q->b, manager, &m);
}

static void say_fixed(struct asked *q, unsigned manager, uint16_t client)
{
	struct flow_key k = bed_client(client);
	struct wire_msg m = bed_fixed(&k, 30);

	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_message(q->b, manager, &m);
}

START_TEST(test_FA_4_listings_name_the_manager)
{
	struct asked q = asked_new();

	say_service(&q, 1, "sm-one");
	say_fixed(&q, 1, 4000);
	bed_wait(q.b, 2000);
	ask(&q, SHOW_MANAGERS);
	ck_assert_uint_eq(q.reply->n_managers, 1);
	ck_assert_str_eq(q.reply->managers[0]->name, "sm-one");
	ck_assert_str_eq(q.reply->managers[0]->identity, "0x1");
	ck_assert_str_eq(q.reply->managers[0]->address, "10.9.0.1:7510");
	ck_assert_str_eq(q.reply->managers[0]->state, "known");
	ck_assert_uint_eq(q.reply->managers[0]->age_s, 2);
	ck_assert_uint_eq(q.reply->managers[0]->wildcards, 1);
	ck_assert_uint_eq(q.reply->managers[0]->fixed, 1);
	ask(&q, SHOW_WILDCARDS);
	ck_assert_uint_eq(q.reply->n_wildcards, 1);
	ck_assert_str_eq(q.reply->wildcards[0]->manager, "sm-one");
	ask(&q, SHOW_AFFINITIES);
	ck_assert_uint_eq(q.reply->n_affinities, 1);
	ck_assert_str_eq(q.reply->affinities[0]->manager, "sm-one");
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_silent_manager_is_called_silent)
{
	struct asked q = asked_new();

	say_service(&q, 1, NULL);
	bed_wait(q.b, 50000); /* of a TTL of 60 s */
	ask(&q, SHOW_MANAGERS);
	ck_assert_str_eq(q.reply->managers[0]->name, "0x1");
	ck_assert_str_eq(q.reply->managers[0]->state, "silent");
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_silent_manager_stays_so_without_wildcards)
{
	struct asked q = asked_new();
	struct wire_msg m = bed_service();

	m.wildcard.ttl = 4;
	bed_message(q.b, 1, &m);
	bed_wait(q.b, 5000);
	ask(&q, SHOW_WILDCARDS);
	ck_assert_uint_eq(q.reply->n_wildcards, 0);
	ask(&q, SHOW_MANAGERS);
	ck_assert_uint_eq(q.reply->n_managers, 1);
	ck_assert_str_eq(q.reply->managers[0]->state, "silent");
	bed_message(q.b, 1, &m);
	bed_wait(q.b, 1000);
	ask(&q, SHOW_MANAGERS);
	ck_assert_str_eq(q.reply->managers[0]->state, "known");
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_wildcard_row)
{
	struct asked q = asked_new();
	Turnout__WildcardRow *r;
	struct wire_msg m = bed_service();

	bed_precedence(&m, 100);
	bed_backup(&m, 3);
	m.wildcard.dport = 0;
	m.wildcard.src[3] = 1; /* every fourth address */
	m.wildcard.src_mask[3] = 3;
	m.range_count = 2;
	m.ranges[0] = (struct wire_range){.field = WIRE_RANGE_SRC, .low = {10}, .high = {10, 0, 0, 9}};
	m.ranges[1] = (struct wire_range){.field = WIRE_RANGE_DPORT, .low_port = 80, .high_port = 89};
	wire_set(&m, WIRE_SEG_RANGES, true);
	m.advertise_count = 1;
	wire_set(&m, WIRE_SEG_ADVERTISE, true);
	bed_message(q.b, 1, &m);
	bed_wait(q.b, 10000);
	ask(&q, SHOW_WILDCARDS);
	ck_assert_uint_eq(q.reply->n_wildcards, 1);
	r = q.reply->wildcards[0];
	ck_assert_str_eq(r->protocol, "tcp");
	ck_assert_str_eq(r->source, "0.0.0.1/0.0.0.3, 10.0.0.0-10.0.0.9");
	ck_assert_str_eq(r->destination, "203.0.113.10/32, port 80-89");
	ck_assert_uint_eq(r->sport, 0);
	ck_assert_uint_eq(r->dport, 0);
	ck_assert_uint_eq(r->precedence, 100);
	ck_assert_uint_eq(r->backup, 3);
	ck_assert_str_eq(r->actions, "punt all");
	ck_assert_str_eq(r->advertise, "203.0.113.10/32");
	ck_assert_uint_eq(r->ttl_s, 60);
	ck_assert_uint_eq(r->left_s, 50);
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_affinity_row)
{
	struct flow_key k = bed_client(4000);
	struct asked q = asked_new();
	Turnout__AffinityRow *r;

	say_service(&q, 1, "sm");
	say_fixed(&q, 1, 4000);
	bed_packet(q.b, &k, ACK, 100);
	ask(&q, SHOW_AFFINITIES);
	ck_assert_uint_eq(q.reply->n_affinities, 1);
	r = q.reply->affinities[0];
	ck_assert_str_eq(r->protocol, "tcp");
	ck_assert_str_eq(r->source, "198.51.100.7:4000");
	ck_assert_str_eq(r->destination, "203.0.113.10:80");
	ck_assert_str_eq(r->actions, "dnat 10.0.20.11:8080");
	ck_assert_uint_eq(r->precedence, UINT32_MAX);
	ck_assert_uint_eq(r->ttl_s, 30);
	ck_assert_uint_eq(r->left_s, 30);
	ck_assert_uint_eq(r->packets, 1);
	ck_assert_uint_eq(r->bytes, 140);
	asked_free(&q);
}
END_TEST

/* Ask for all affinities, 7 a page; between pages `between` may change something. */
static size_t page_through(struct asked *q, bool seen[100], void (*between)(struct asked *q))
{
	uint64_t cursor = 0;
	size_t pages = 0;

	do {
		ck_assert_ptr_null(ask_page(q, TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES, cursor, 7));
		ck_assert_uint_le(q->reply->n_affinities, 7);
		ck_assert_uint_lt(pages++, 20);
		for (size_t i = 0; i < q->reply->n_affinities; i++) {
			int client = atoi(strchr(q->reply->affinities[i]->source, ':') + 1) - 4000;

			ck_assert(client >= 0 && client < 100);
			ck_assert_msg(!seen[client], "client %d twice", client);
			seen[client] = true;
		}
		cursor = q->reply->next;
		if (between)
			between(q);
	} while (cursor != 0);
	return pages;
}

START_TEST(test_ARCH_7_long_listing_in_pages)
{
	struct asked q = asked_new();
	bool seen[100] = {false};

	say_service(&q, 1, "sm");
	for (uint16_t i = 0; i < 25; i++)
		say_fixed(&q, 1, (uint16_t)(4000 + i));
	ck_assert_uint_eq(page_through(&q, seen, NULL), 4);
	for (int i = 0; i < 25; i++)
		ck_assert_msg(seen[i], "client %d is missing", i);
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_ARCH_10_rows_of_a_page_are_limited)
{
	struct engine_conf conf = bed_conf();
	struct asked q = {.admin = admin_new()};

	conf.max_fixed = ADMIN_PAGE_MAX + 1;
	q.b = bed_new_with(&conf);
	say_service(&q, 1, "sm");
	for (uint16_t i = 0; i < ADMIN_PAGE_MAX + 1; i++)
		say_fixed(&q, 1, (uint16_t)(4000 + i));
	ask(&q, SHOW_AFFINITIES);
	ck_assert_uint_eq(q.reply->n_affinities, ADMIN_PAGE);
	ck_assert_ptr_null(ask_page(&q, TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES, 0, UINT32_MAX));
	ck_assert_uint_eq(q.reply->n_affinities, ADMIN_PAGE_MAX);
	ck_assert_ptr_null(ask_page(&q, TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES, q.reply->next, UINT32_MAX));
	ck_assert_uint_eq(q.reply->n_affinities, 1);
	ck_assert_uint_eq(q.reply->next, 0);
	asked_free(&q);
}
END_TEST

static void delete_one(struct asked *q)
{
	struct flow_key k = fixtab_next(engine_fixed(q->b->e), NULL)->key;
	struct wire_msg m = bed_fixed(&k, 0);

	bed_message(q->b, 1, &m);
}

START_TEST(test_ARCH_7_pages_while_flows_come_and_go)
{
	struct asked q = asked_new();
	bool seen[100] = {false};

	say_service(&q, 1, "sm");
	for (uint16_t i = 0; i < 25; i++)
		say_fixed(&q, 1, (uint16_t)(4000 + i));
	/* One that was shown already goes: those that stay are all shown, and once. */
	page_through(&q, seen, delete_one);
	for (int i = 0; i < 25; i++)
		ck_assert_msg(seen[i], "client %d is missing", i);
	asked_free(&q);
}
END_TEST

/* More at once than places are kept for: whose place is lost counts from the start, and misses nothing that stays. */
START_TEST(test_ARCH_10_more_listings_under_way_than_are_remembered)
{
	struct asked q = asked_new();
	bool seen[20][100] = {{false}};
	uint64_t cursors[20] = {0};
	bool more = true;

	say_service(&q, 1, "sm");
	for (uint16_t i = 0; i < 25; i++)
		say_fixed(&q, 1, (uint16_t)(4000 + i));
	for (int round = 0; more; round++) {
		ck_assert_int_lt(round, 20);
		more = false;
		for (size_t n = 0; n < 20; n++) {
			if (round > 0 && cursors[n] == 0)
				continue;
			ck_assert_ptr_null(ask_page(&q, TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES, cursors[n], 3 + n % 4));
			for (size_t i = 0; i < q.reply->n_affinities; i++)
				seen[n][atoi(strchr(q.reply->affinities[i]->source, ':') + 1) - 4000] = true;
			cursors[n] = q.reply->next;
			more |= cursors[n] != 0;
		}
	}
	for (size_t n = 0; n < 20; n++)
		for (int i = 0; i < 25; i++)
			ck_assert_msg(seen[n][i], "listing %zu: client %d is missing", n, i);
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_wildcards_in_pages)
{
	struct asked q = asked_new();
	uint64_t cursor = 0;
	size_t rows = 0;

	for (uint16_t port = 1; port <= 10; port++) {
		struct wire_msg m = bed_wildcard("203.0.113.10", port);

		bed_message(q.b, 1, &m);
	}
	do {
		ck_assert_ptr_null(ask_page(&q, TURNOUT__REQUEST__WHAT_SHOW_WILDCARDS, cursor, 3));
		for (size_t i = 0; i < q.reply->n_wildcards; i++)
			ck_assert_uint_eq(q.reply->wildcards[i]->dport, ++rows);
		cursor = q.reply->next;
	} while (cursor != 0);
	ck_assert_uint_eq(rows, 10);
	asked_free(&q);
}
END_TEST

START_TEST(test_ACT_3_advertised_set_has_a_version)
{
	struct asked q = asked_new();
	uint64_t version;

	ask(&q, ADVERTISED);
	ck_assert_ptr_nonnull(q.reply->advertised);
	ck_assert_uint_eq(q.reply->advertised->n_prefixes, 0);
	version = q.reply->advertised->version;
	say_service(&q, 1, "sm");
	ask(&q, ADVERTISED);
	ck_assert_uint_eq(q.reply->advertised->n_prefixes, 1);
	ck_assert_str_eq(q.reply->advertised->prefixes[0], "203.0.113.10/32");
	ck_assert_uint_gt(q.reply->advertised->version, version);
	ck_assert_uint_eq(q.reply->next, 0);
	/* Stopping, it wants nothing any more, whatever managers still say. */
	q.view.withdrawn = q.reply->advertised->version + 1;
	ask(&q, ADVERTISED);
	ck_assert_uint_eq(q.reply->advertised->n_prefixes, 0);
	ck_assert_uint_eq(q.reply->advertised->version, q.view.withdrawn);
	asked_free(&q);
}
END_TEST

static const Turnout__CounterRow *find_counter(const Turnout__Reply *reply, const char *group, const char *name)
{
	for (size_t i = 0; i < reply->n_counters; i++)
		if (!strcmp(reply->counters[i]->group, group) && !strcmp(reply->counters[i]->name, name))
			return reply->counters[i];
	ck_abort_msg("no counter %s %s", group, name);
}

START_TEST(test_ARCH_7_WILD_1_what_became_of_a_wildcards_packets)
{
	struct asked q = asked_new();
	struct flow_key k = bed_client(1);
	const Turnout__WildcardRow *w;

	say_service(&q, 1, "sm");
	bed_wait(q.b, 3000);
	bed_packet(q.b, &k, SYN, 0);
	bed_packet(q.b, &k, ACK, 10);
	bed_wait(q.b, 2000);
	k = bed_key(IPPROTO_TCP, "198.51.100.7", 1, "203.0.113.10", 81);
	{
		struct wire_msg m = bed_fixed(&k, 60);

		bed_message(q.b, 1, &m); /* no wildcard covers it */
	}
	ask(&q, SHOW_WILDCARDS);
	w = q.reply->wildcards[0];
	ck_assert_uint_eq(w->age_s, 5);
	ck_assert_uint_eq(w->flows, bed_counter(q.b, ENGINE_PUNTS));
	ck_assert_uint_eq(w->timeouts, bed_counter(q.b, ENGINE_TIMEOUTS));
	ck_assert_uint_gt(w->timeouts, 0);
	ck_assert_uint_eq(w->drops + bed_counter(q.b, ENGINE_PUNTS), 2);
	ck_assert_uint_eq(w->denies, 0);
	ask(&q, SHOW_MANAGERS);
	ck_assert_uint_eq(q.reply->managers[0]->denies, 1);
	ck_assert_uint_eq(q.reply->managers[0]->timeouts, bed_counter(q.b, ENGINE_TIMEOUTS));
	ck_assert_uint_eq(q.reply->managers[0]->matches, bed_counter(q.b, ENGINE_MATCHES));
	ask(&q, SHOW_COUNTERS);
	ck_assert_uint_eq(find_counter(q.reply, "wildcards", "stored-most")->value, 1);
	ck_assert_uint_eq(find_counter(q.reply, "affinities", "stored-most")->value, 0);
	ck_assert_uint_eq(find_counter(q.reply, "hold", "flows-most")->value, 1);
	ck_assert_uint_gt(find_counter(q.reply, "hold", "bytes-most")->value, 0);
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_ACT_10_fragments_that_wait)
{
	struct asked q = asked_new();
	struct flow_key k = bed_client(1);
	struct packet p = {.ifindex = 7};
	size_t len = bed_write(q.b->packet, &k, ACK, 80);

	say_service(&q, 1, "sm");
	bed_put16(q.b->packet + 6, 100); /* not the first of its datagram */
	ck_assert_int_eq(packet_parse(&p, q.b->packet, len), PACKET_OK);
	engine_packet(q.b->e, &p, q.b->now_ms);
	ask(&q, SHOW_COUNTERS);
	ck_assert_uint_eq(find_counter(q.reply, "fragments", "waiting")->value, 1);
	ck_assert_uint_gt(find_counter(q.reply, "fragments", "bytes")->value, len);
	bed_wait(q.b, 1100);
	ask(&q, SHOW_COUNTERS);
	ck_assert_uint_eq(find_counter(q.reply, "fragments", "waiting")->value, 0);
	ck_assert_uint_eq(find_counter(q.reply, "fragments", "bytes")->value, 0);
	ck_assert_uint_eq(find_counter(q.reply, "fragments", "waiting-most")->value, 1);
	ck_assert_uint_gt(find_counter(q.reply, "fragments", "bytes-most")->value, len);
	ck_assert_uint_eq(find_counter(q.reply, "drops", "fragment-orphaned")->value, 1);
	asked_free(&q);
}
END_TEST

START_TEST(test_MSG_4_counters_of_all_parts)
{
	static const struct endpoint_counter messages[] = {{"message-drops", "truncated", "help", 17}};
	uint64_t classifier[CLASSIFIER_COUNTERS] = {[CLASSIFIER_DROPPED_ADVERTISED] = 5};
	struct port_counters port = {.ring_drops = 3};
	struct asked q = asked_new();

	q.view.classifier = classifier;
	q.view.punt_port = &port;
	q.view.messages = messages;
	q.view.message_count = 1;
	say_service(&q, 1, "sm");
	ask(&q, SHOW_COUNTERS);
	ck_assert_uint_eq(find_counter(q.reply, "messages", "wildcard-updates")->value, 1);
	ck_assert_uint_eq(find_counter(q.reply, "message-drops", "truncated")->value, 17);
	ck_assert_uint_eq(find_counter(q.reply, "drops", "advertised-unmatched")->value, 5);
	ck_assert_uint_eq(find_counter(q.reply, "drops", "punt-port-ring")->value, 3);
	ck_assert_uint_eq(find_counter(q.reply, "wildcards", "stored")->value, 1);
	for (size_t i = 0; i < q.reply->n_counters; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_msg(strcmp(q.reply->counters[i]->name, q.reply->counters[k]->name) != 0 ||
					      strcmp(q.reply->counters[i]->group, q.reply->counters[k]->group) != 0,
				      "%s %s is there twice", q.reply->counters[i]->group, q.reply->counters[i]->name);
	asked_free(&q);
}
END_TEST

START_TEST(test_FIX_4_counters_per_forward_address)
{
	struct asked q = asked_new();
	size_t rows = 0;
	uint64_t cursor = 0;

	say_service(&q, 1, "sm");
	for (uint16_t i = 0; i < 5; i++) {
		struct flow_key k = bed_client((uint16_t)(4000 + i));
		struct wire_msg m = bed_fixed(&k, 30);
		char server[32];

		snprintf(server, sizeof(server), "10.0.20.%u", 11u + i);
		bed_dispatch(&m, server);
		m.fixed.flags |= WIRE_FLAG_INFORMATION;
		bed_message(q.b, 1, &m);
		bed_packet(q.b, &k, ACK, 100);
	}
	do {
		ck_assert_ptr_null(ask_page(&q, TURNOUT__REQUEST__WHAT_SHOW_FORWARDS, cursor, 2));
		for (size_t i = 0; i < q.reply->n_forwards; i++, rows++) {
			char server[32];

			snprintf(server, sizeof(server), "10.0.20.%zu", 11 + rows);
			ck_assert_str_eq(q.reply->forwards[i]->address, server);
			ck_assert_uint_eq(q.reply->forwards[i]->packets, 1);
			ck_assert_uint_eq(q.reply->forwards[i]->bytes, 140);
		}
		ck_assert_uint_ne(q.reply->next, cursor == 0 ? UINT64_MAX : cursor);
		cursor = q.reply->next;
	} while (cursor != 0);
	ck_assert_uint_eq(rows, 5);
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_agent_version_interfaces)
{
	static const struct admin_interface interfaces[] = {{"eth0", "up", 4, "tc", 10, 20, 30},
							    {"eth1", "absent", 0, "-", 0, 0, 0}};
	struct asked q = asked_new();

	q.view.name = "r1";
	q.view.identity = 0x101;
	q.view.incarnation = 0xabc;
	q.view.addr = bed_addr("fd00::1");
	q.view.port = 7510;
	q.view.started_ms = q.b->now_ms - 5500;
	q.view.interfaces = interfaces;
	q.view.interface_count = 2;
	ask(&q, SHOW_AGENTS);
	ck_assert_uint_eq(q.reply->n_agents, 1);
	ck_assert_str_eq(q.reply->agents[0]->name, "r1");
	ck_assert_str_eq(q.reply->agents[0]->identity, "0x101");
	ck_assert_str_eq(q.reply->agents[0]->address, "[fd00::1]:7510");
	ck_assert_str_eq(q.reply->agents[0]->state, "self");
	ask(&q, VERSION);
	ck_assert_str_eq(q.reply->version->program, "fad");
	ck_assert_str_eq(q.reply->version->incarnation, "0xabc");
	ck_assert_uint_eq(q.reply->version->uptime_s, 5);
	ask(&q, SHOW_INTERFACES);
	ck_assert_uint_eq(q.reply->n_interfaces, 2);
	ck_assert_str_eq(q.reply->interfaces[0]->name, "eth0");
	ck_assert_uint_eq(q.reply->interfaces[0]->passed, 20);
	ck_assert_str_eq(q.reply->interfaces[1]->state, "absent");
	ck_assert_str_eq(ask_page(&q, TURNOUT__REQUEST__WHAT_SHOW_SERVICES, 0, 0), BUS_NOT_KNOWN);
	ck_assert_str_eq(ask_page(&q, TURNOUT__REQUEST__WHAT__NOT_SET, 0, 0), BUS_NOT_KNOWN);
	asked_free(&q);
}
END_TEST

/* A flow row tells all that acts on the flow; packets as the affinity that saw most counted them. */
START_TEST(test_ARCH_7_flow_row)
{
	struct asked q = asked_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg service = bed_service(), m = bed_fixed(&k, 30), drop = bed_fixed(&k, 10);
	Turnout__FlowRow *r;

	name_manager(&service, "sm-one");
	bed_precedence(&service, 100);
	bed_message(q.b, 1, &service);
	bed_precedence(&m, 100);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_message(q.b, 1, &m);
	bed_packet(q.b, &k, SYN, 0);
	bed_packet(q.b, &k, ACK, 10);
	bed_wait(q.b, 3000);
	ask(&q, SHOW_FLOWS);
	ck_assert_uint_eq(q.reply->n_flows, 1);
	r = q.reply->flows[0];
	ck_assert_str_eq(r->protocol, "tcp");
	ck_assert_str_eq(r->source, "198.51.100.7:4000");
	ck_assert_str_eq(r->destination, "203.0.113.10:80");
	ck_assert_str_eq(r->managers, "sm-one");
	ck_assert_ptr_nonnull(strstr(r->actions, "dnat 10.0.20.11:8080"));
	ck_assert_str_eq(r->state, "forward");
	ck_assert_str_eq(r->next_hop, "");
	ck_assert_uint_eq(r->packets, 2);
	ck_assert_uint_eq(r->bytes, 40 + 50);
	ck_assert_uint_eq(r->age_s, 3);
	ck_assert_uint_eq(r->left_s, 27);
	/* Another manager has the packets dropped behind that. */
	name_manager(&service, "sm-two");
	bed_precedence(&service, 200);
	bed_message(q.b, 2, &service);
	bed_precedence(&drop, 200);
	bed_dispatch(&drop, NULL);
	bed_message(q.b, 2, &drop);
	ask(&q, SHOW_FLOWS);
	ck_assert_uint_eq(q.reply->n_flows, 1);
	r = q.reply->flows[0];
	ck_assert_str_eq(r->managers, "sm-one, sm-two");
	ck_assert_str_eq(r->state, "drop");
	ck_assert_uint_eq(r->packets, 2);
	ck_assert_uint_eq(r->left_s, 27);
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_flow_row_shows_the_next_hop)
{
	struct asked q = asked_new();
	struct flow_key k = bed_client(4001);
	struct wire_msg m = bed_fixed(&k, 30);

	say_service(&q, 1, "sm");
	bed_dispatch(&m, "10.0.20.99");
	bed_message(q.b, 1, &m);
	ask(&q, SHOW_FLOWS);
	ck_assert_str_eq(q.reply->flows[0]->next_hop, "10.0.20.99");
	ck_assert_str_eq(q.reply->flows[0]->state, "forward");
	asked_free(&q);
}
END_TEST

/* ---- traces ---- */

static Turnout__Trace question(const char *protocol, const char *source, uint32_t sport, const char *destination,
			       uint32_t dport, const char *flags)
{
	Turnout__Trace t = TURNOUT__TRACE__INIT;

	t.protocol = (char *)(uintptr_t)protocol;
	t.source = (char *)(uintptr_t)source;
	t.sport = sport;
	t.destination = (char *)(uintptr_t)destination;
	t.dport = dport;
	t.flags = (char *)(uintptr_t)flags;
	return t;
}

/* Ask the engine about a packet from the client to the VIP, or another port of it; the kernel is not asked. */
static void trace(struct asked *q, struct admin_trace *t, uint32_t port)
{
	const Turnout__Trace asks = question("tcp", "198.51.100.7", 4000, "203.0.113.10", port, "");

	ck_assert_ptr_null(admin_trace_parse(&asks, t));
	engine_trace(q->b->e, &t->key, false, t->tcp_flags, t->data, &t->engine);
	q->view.trace = t;
}

/* "what verdict" of each row, and the last one's reason. */
static void check_story(struct asked *q, const char *story, const char *reason)
{
	char text[512] = "";

	ask(q, TRACE);
	for (size_t i = 0; i < q->reply->n_trace; i++) {
		size_t len = strlen(text);

		ck_assert_uint_eq(q->reply->trace[i]->step, i + 1);
		snprintf(text + len, sizeof(text) - len, "%s%s %s", i > 0 ? "; " : "", q->reply->trace[i]->what,
			 q->reply->trace[i]->verdict);
	}
	ck_assert_str_eq(text, story);
	ck_assert_msg(strstr(q->reply->trace[q->reply->n_trace - 1]->reason, reason) != NULL, "%s",
		      q->reply->trace[q->reply->n_trace - 1]->reason);
}

START_TEST(test_ARCH_7_trace_of_a_new_flow)
{
	struct asked q = asked_new();
	struct admin_trace t;
	Turnout__TraceRow *r;

	say_service(&q, 1, "sm-one");
	bed_wait(q.b, 7000);
	trace(&q, &t, 80);
	check_story(&q, "packet ; wildcard asks; outcome punt", "its manager is asked");
	r = q.reply->trace[0];
	ck_assert_str_eq(r->match, "tcp 198.51.100.7:4000 > 203.0.113.10:80");
	ck_assert_str_eq(r->reason, "SYN, without data");
	r = q.reply->trace[1];
	ck_assert_str_eq(r->manager, "sm-one");
	ck_assert_uint_eq(r->age_s, 7);
	ck_assert_uint_eq(r->left_s, 53);
	ck_assert_str_eq(q.reply->trace[2]->manager, "sm-one");
	trace(&q, &t, 81);
	check_story(&q, "packet ; outcome drop", "to an advertised address");
	/* Where nothing matches, the interface's policy counts. */
	t.engine.outcome = TRACE_UNMATCHED;
	check_story(&q, "packet ; outcome untouched", "as if there were no agent");
	t.closed = "eth0";
	check_story(&q, "packet ; outcome untouched", "if it comes in by eth0 it is dropped");
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_trace_of_a_decided_flow_with_its_route)
{
	struct asked q = asked_new();
	struct admin_trace t;
	struct addr to;
	Turnout__TraceRow *r;

	say_service(&q, 1, "sm-one");
	say_fixed(&q, 1, 4000);
	trace(&q, &t, 80);
	ck_assert(admin_trace_goes_to(&t, &to));
	ck_assert(addr_equal(&to, &(struct addr){.family = 4, .b = {10, 0, 20, 11}}));
	check_story(&q, "packet ; fixed used; wildcard shadowed; result translated; outcome forward", "decided here");
	ck_assert_str_eq(q.reply->trace[3]->match, "tcp 198.51.100.7:4000 > 10.0.20.11:8080");
	t.route_error = 0;
	t.route = (struct route){.kind = ROUTE_UNICAST, .prefix = bed_addr("10.0.20.0"), .plen = 24, .table = 254};
	t.route.hop_count = 2;
	t.route.hops[0] = (struct route_hop){.gateway = bed_addr("10.0.1.2"), .interface = "eth0"};
	t.route.hops[1] = (struct route_hop){.interface = "eth1"};
	check_story(&q, "packet ; fixed used; wildcard shadowed; result translated; route ; outcome forward",
		    "decided");
	r = q.reply->trace[4];
	ck_assert_str_eq(r->match, "10.0.20.11");
	ck_assert_str_eq(r->next_hop, "10.0.1.2 or connected");
	ck_assert_str_eq(r->interface, "eth0 or eth1");
	ck_assert_str_eq(r->reason, "route 10.0.20.0/24 in table main; one of them, by the kernel's hash of the flow");
	t.route = (struct route){.kind = ROUTE_NONE};
	check_story(&q, "packet ; fixed used; wildcard shadowed; result translated; route ; outcome drop", "no way");
	ck_assert_str_eq(q.reply->trace[4]->reason, "the kernel has no route there");
	t.route_error = -EPERM;
	check_story(&q, "packet ; fixed used; wildcard shadowed; result translated; route ; outcome forward",
		    "decided");
	ck_assert_ptr_nonnull(strstr(q.reply->trace[4]->reason, "cannot be asked"));
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_trace_of_a_held_flow)
{
	struct asked q = asked_new();
	struct flow_key k = bed_client(4000);
	struct admin_trace t;

	say_service(&q, 1, "sm-one");
	bed_packet(q.b, &k, SYN, 0);
	bed_packet(q.b, &k, ACK, 10);
	bed_wait(q.b, 50);
	trace(&q, &t, 80);
	check_story(&q, "packet ; wildcard asks; outcome hold",
		    "behind 1 other of its flow: a manager was asked 1 time, last 50 ms ago");
	asked_free(&q);
}
END_TEST

START_TEST(test_FA_8_trace_of_what_is_protected)
{
	struct asked q = asked_new();
	struct admin_trace t;

	say_service(&q, 1, "sm-one");
	trace(&q, &t, 80);
	t.protected_by = "an address of this router";
	check_story(&q, "packet ; protected untouched; outcome untouched", "as if there were no agent");
	ck_assert_str_eq(q.reply->trace[1]->reason, "an address of this router: no affinity ever matches that");
	ck_assert(!admin_trace_reaches(&t));
	t.permitted = true;
	check_story(&q, "packet ; protected permitted; wildcard asks; outcome punt", "its manager is asked");
	asked_free(&q);
}
END_TEST

START_TEST(test_ARCH_7_bad_questions_are_named)
{
	static const struct {
		const char *protocol, *source;
		uint32_t sport;
		const char *destination, *flags, *error;
	} bad[] = {
		{"tpc", "10.0.0.1", 1, "10.0.0.2", "", "protocol takes"},
		{"0", "10.0.0.1", 0, "10.0.0.2", "", "protocol takes"},
		{"tcp", "10.0.0", 1, "10.0.0.2", "", "take an IPv4 or IPv6 address"},
		{"tcp", "10.0.0.1", 1, "", "", "take an IPv4 or IPv6 address"},
		{"tcp", "10.0.0.1", 1, "fd00::1", "", "different families"},
		{"tcp", "10.0.0.1", 65536, "10.0.0.2", "", "ports go"},
		{"icmp", "10.0.0.1", 1, "10.0.0.2", "", "only tcp and udp have ports"},
		{"tcp", "10.0.0.1", 1, "10.0.0.2", "SX", "letters of FSRPAU"},
		{"udp", "10.0.0.1", 1, "10.0.0.2", "S", "only tcp has flags"},
	};
	const Turnout__Trace good = question("tcp", "fd00::1", 1, "fd00::2", 2, "PA");
	struct admin_trace t;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const Turnout__Trace asks =
			question(bad[i].protocol, bad[i].source, bad[i].sport, bad[i].destination, 0, bad[i].flags);
		const char *error = admin_trace_parse(&asks, &t);

		ck_assert_msg(error != NULL && strstr(error, bad[i].error) != NULL, "question %zu: %s", i,
			      error ? error : "taken");
	}
	ck_assert_ptr_null(admin_trace_parse(&good, &t));
	ck_assert_uint_eq(t.tcp_flags, 0x18);
	ck_assert(t.data && t.key.family == 6);
	ck_assert_uint_eq(t.key.dport, 2);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_ARCH_7_flow_row);
	tcase_add_test(tc, test_ARCH_7_flow_row_shows_the_next_hop);
	tcase_add_test(tc, test_ARCH_7_trace_of_a_new_flow);
	tcase_add_test(tc, test_ARCH_7_trace_of_a_decided_flow_with_its_route);
	tcase_add_test(tc, test_ARCH_7_trace_of_a_held_flow);
	tcase_add_test(tc, test_FA_8_trace_of_what_is_protected);
	tcase_add_test(tc, test_ARCH_7_bad_questions_are_named);
	tcase_add_test(tc, test_FA_4_listings_name_the_manager);
	tcase_add_test(tc, test_ARCH_7_silent_manager_is_called_silent);
	tcase_add_test(tc, test_ARCH_7_silent_manager_stays_so_without_wildcards);
	tcase_add_test(tc, test_ARCH_7_wildcard_row);
	tcase_add_test(tc, test_ARCH_7_affinity_row);
	tcase_add_test(tc, test_ARCH_7_long_listing_in_pages);
	tcase_add_test(tc, test_ARCH_7_ARCH_10_rows_of_a_page_are_limited);
	tcase_add_test(tc, test_ARCH_7_pages_while_flows_come_and_go);
	tcase_add_test(tc, test_ARCH_10_more_listings_under_way_than_are_remembered);
	tcase_add_test(tc, test_ARCH_7_wildcards_in_pages);
	tcase_add_test(tc, test_ACT_3_advertised_set_has_a_version);
	tcase_add_test(tc, test_ARCH_7_WILD_1_what_became_of_a_wildcards_packets);
	tcase_add_test(tc, test_ARCH_7_ACT_10_fragments_that_wait);
	tcase_add_test(tc, test_MSG_4_counters_of_all_parts);
	tcase_add_test(tc, test_FIX_4_counters_per_forward_address);
	tcase_add_test(tc, test_ARCH_7_agent_version_interfaces);
}

int main(void)
{
	return bed_main("fad admin", add_tests);
}
