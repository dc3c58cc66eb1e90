/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which plans the engine hands to the kernel, when it takes them back, and what
 * it makes of the kernel's counts.
 */
#include "fad/engine_fixture.h"

#define SLOTS 64

struct table {
	struct planslot_settings settings;
	struct planslot4 four[SLOTS];
	struct planslot6 six[SLOTS];
	struct planway ways[SLOTS];
	uint64_t tags[2 * SLOTS / PLANSLOT_BUCKET];
	struct plantab *plans;
	struct bed *b;
};

static struct table *begin(void)
{
	struct table *t = aligned_alloc(64, sizeof(*t));
	struct plantab_memory m = {&t->settings, t->four, t->six, t->ways, t->tags, SLOTS};
	static const uint64_t secret[2] = {5, 6};
	struct wire_msg service = bed_service();

	memset(t, 0, sizeof(*t));
	t->plans = plantab_new(&m, secret);
	t->b = bed_new();
	t->b->least_mtu = 1500;
	engine_use_plans(t->b->e, t->plans);
	bed_message(t->b, 1, &service);
	return t;
}

static void end(struct table *t)
{
	engine_use_plans(t->b->e, NULL);
	bed_free(t->b);
	plantab_free(t->plans);
	free(t);
}

/* The one slot that the kernel would take; NULL: none. */
static struct planslot4 *slot(struct table *t)
{
	struct planslot4 *found = NULL;

	for (size_t i = 0; i < SLOTS; i++) {
		const struct planslot_head *h = &t->four[i].head;

		if (!h->seq || (h->seq & 1) || h->generation != t->settings.generation ||
		    h->expires <= planslot_time(t->b->now_ms * 1000000))
			continue;
		ck_assert_ptr_null(found);
		found = &t->four[i];
	}
	return found;
}

static struct wire_msg to_server(const struct flow_key *k, const char *server, uint32_t ttl)
{
	struct wire_msg m = bed_fixed(k, ttl);

	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, server, 8080);
	return m;
}

/* A flow that is decided, and whose plan stands in the kernel. */
static struct flow_key decided(struct table *t)
{
	struct flow_key k = bed_client(40000);
	struct wire_msg m = to_server(&k, "10.0.20.11", 20);

	bed_message(t->b, 1, &m);
	ck_assert_ptr_null(slot(t)); /* what waits goes first */
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	bed_clear(t->b);
	return k;
}

START_TEST(test_FA_6_plan_stands_in_the_kernel)
{
	struct table *t = begin();
	static const uint8_t server[4] = {10, 0, 20, 11};
	struct flow_key k = decided(t);
	const struct planslot4 *s = slot(t);

	ck_assert_mem_eq(s->src, k.src, 4);
	ck_assert_mem_eq(s->dst, k.dst, 4);
	ck_assert_mem_eq(s->new_src, k.src, 4);
	ck_assert_mem_eq(s->new_dst, server, 4);
	ck_assert_uint_eq(s->tail.new_dport, plan_be16(8080));
	ck_assert_uint_eq(s->tail.up, 0);
	bed_wait(t->b, 50);
	ck_assert_uint_eq(t->settings.least_mtu, 1500);
	end(t);
}
END_TEST

START_TEST(test_FIX_5_gone_with_its_affinity)
{
	struct table *t = begin();
	struct flow_key k = decided(t);
	struct wire_msg none = bed_fixed(&k, 0), again = to_server(&k, "10.0.20.11", 20);

	bed_message(t->b, 1, &none); /* deleted */
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	ck_assert_ptr_null(slot(t));
	bed_message(t->b, 1, &again);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	bed_wait(t->b, 20000); /* expired: for the kernel at once, here by the next sweep */
	ck_assert_ptr_null(slot(t));
	bed_wait(t->b, 2000);
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	end(t);
}
END_TEST

START_TEST(test_PREC_10_changes_are_there_at_once)
{
	static const uint8_t second[4] = {10, 0, 20, 12};
	struct table *t = begin();
	struct flow_key k = decided(t);
	struct wire_msg other = to_server(&k, "10.0.20.12", 20), wildcard = bed_wildcard("203.0.113.99", 80);
	struct planslot4 *s = slot(t);
	uint64_t packets;

	bed_message(t->b, 1, &other);
	ck_assert_ptr_eq(slot(t), s);
	ck_assert_mem_eq(s->new_dst, second, 4);
	/* Another wildcard: void at once, for all; made again without a packet, and nobody is asked. */
	bed_message(t->b, 1, &wildcard);
	ck_assert_ptr_null(slot(t));
	packets = bed_counter(t->b, ENGINE_PACKETS);
	bed_wait(t->b, 600);
	ck_assert_ptr_nonnull(slot(t));
	ck_assert_uint_eq(bed_counter(t->b, ENGINE_PACKETS), packets);
	ck_assert_uint_eq(t->b->sent_count, 0);
	end(t);
}
END_TEST

START_TEST(test_FIX_9_refresh_without_a_packet)
{
	struct table *t = begin();
	struct flow_key k = decided(t);
	struct wire_msg again = to_server(&k, "10.0.20.11", 20);
	uint32_t expires;

	bed_wait(t->b, 12000);
	ck_assert_uint_eq(t->b->sent_count, 0); /* idle: asks for nothing */
	slot(t)->head.packets += 10;
	slot(t)->head.bytes += 1000;
	bed_wait(t->b, 600);
	ck_assert_uint_eq(t->b->sent_count, 1);
	ck_assert_int_eq(t->b->sent[0].m.h.type, WIRE_REFRESH);
	ck_assert_mem_eq(&t->b->sent[0].m.identifier.key, &k, sizeof(k));
	expires = slot(t)->head.expires;
	bed_message(t->b, 1, &again);
	ck_assert_uint_gt(slot(t)->head.expires, expires);
	end(t);
}
END_TEST

START_TEST(test_FIX_4_kernels_counts_are_the_affinitys)
{
	struct table *t = begin();
	struct flow_key k = decided(t);
	const struct flow *f = fixtab_flow(engine_fixed(t->b->e), &k);
	uint64_t packets = f->fixed->a.packets, bytes = f->fixed->a.bytes;

	slot(t)->head.packets += 10;
	slot(t)->head.bytes += 1000;
	engine_fold_plans(t->b->e);
	ck_assert_uint_eq(f->fixed->a.packets, packets + 10);
	ck_assert_uint_eq(f->fixed->a.bytes, bytes + 1000);
	engine_fold_plans(t->b->e);
	ck_assert_uint_eq(f->fixed->a.packets, packets + 10);
	ck_counter(t->b, FORWARDED, 11);
	end(t);
}
END_TEST

static void watch(struct table *t, uint16_t interest, uint16_t data, uint16_t up, bool asks, bool placed)
{
	struct flow_key k = bed_client(40001);
	struct wire_msg m = to_server(&k, "10.0.20.11", 20);

	bed_interest(&m, interest, data, 0, 0);
	bed_message(t->b, 1, &m);
	bed_packet(t->b, &k, ACK, 0);
	ck_assert_int_eq(slot(t) != NULL, placed);
	if (placed) {
		ck_assert_uint_eq(slot(t)->tail.up, up);
		ck_assert_int_eq((slot(t)->tail.set & PLANSLOT_ASKS) != 0, asks);
	}
	m = bed_fixed(&k, 0);
	bed_message(t->b, 1, &m);
	bed_clear(t->b);
}

START_TEST(test_ACT_6_what_a_manager_wants_to_see)
{
	const uint16_t ends = WIRE_INTEREST_FIN | WIRE_INTEREST_RST;
	struct table *t = begin();

	watch(t, ends, 0, ends, false, true);
	watch(t, ends, WIRE_INTEREST_FIN, ends, true, true);
	watch(t, WIRE_INTEREST_ALL, 0, 0, false, false);
	watch(t, WIRE_INTEREST_FIRST_DATA, 0, WIRE_INTEREST_DATA, false, true); /* until it was seen */
	watch(t, WIRE_INTEREST_FRAGMENT, 0, 0, false, true);                    /* come up anyway */
	end(t);
}
END_TEST

START_TEST(test_ACT_6_first_data_was_seen)
{
	struct table *t = begin();
	struct flow_key k = bed_client(40001);
	struct wire_msg m = to_server(&k, "10.0.20.11", 20);

	bed_interest(&m, WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	bed_message(t->b, 1, &m);
	bed_packet(t->b, &k, ACK, 0);
	ck_assert_uint_eq(slot(t)->tail.up, WIRE_INTEREST_DATA);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->tail.up, 0);
	end(t);
}
END_TEST

START_TEST(test_FIX_2_dispatch)
{
	struct table *t = begin();
	struct flow_key k = bed_client(40001);
	struct wire_msg m = bed_fixed(&k, 20);
	const struct addr hop = bed_addr("10.0.20.11");

	bed_dispatch(&m, "10.0.20.11");
	bed_message(t->b, 1, &m);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	ck_assert_mem_eq(t->ways[slot(t)->head.way].hop, hop.b, 16);
	ck_assert_uint_eq(slot(t)->tail.set, 0);
	end(t);
}
END_TEST

START_TEST(test_FIX_3_drops_are_counted)
{
	struct table *t = begin();
	struct flow_key k = bed_client(40001);
	struct wire_msg m = bed_fixed(&k, 20);

	bed_dispatch(&m, "0.0.0.0");
	bed_message(t->b, 1, &m);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->head.way, PLANSLOT_DROPPED);
	slot(t)->head.packets += 10;
	engine_fold_plans(t->b->e);
	ck_counter(t->b, DROP_AFFINITY, 11);
	ck_counter(t->b, FORWARDED, 0);
	end(t);
}
END_TEST

/* Numbers to adjust, and who is to be told. */
START_TEST(test_ACT_2_FIX_3_what_stays_here)
{
	struct table *t = begin();
	struct flow_key k = bed_client(40001);

	for (int i = 0; i < 2; i++) {
		struct wire_msg m = bed_fixed(&k, 20);

		if (i == 0) {
			m.seq_adjust = (struct wire_seq_adjust){.seq_delta = 5};
			wire_set(&m, WIRE_SEG_SEQ_ADJUST, true);
		} else {
			bed_dispatch(&m, "0.0.0.0");
			m.reject = WIRE_REJECT_PROHIBITED;
			wire_set(&m, WIRE_SEG_REJECT, true);
		}
		bed_message(t->b, 1, &m);
		bed_packet(t->b, &k, ACK, 1);
		ck_assert_ptr_null(slot(t));
		ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
		m = bed_fixed(&k, 0);
		bed_message(t->b, 1, &m);
	}
	end(t);
}
END_TEST

/* ---- flows that wildcards alone decide ---- */

static struct wire_msg decides(const char *vip)
{
	struct wire_msg m = bed_wildcard(vip, 80);

	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	return m;
}

START_TEST(test_WILD_5_plan_of_a_wildcard)
{
	struct table *t = begin();
	struct wire_msg m = decides("203.0.113.77"), none;
	struct flow_key k = bed_client(40001);
	const struct wildcard *w;

	bed_message(t->b, 1, &m);
	memcpy(k.dst, bed_addr("203.0.113.77").b, 16);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	slot(t)->head.packets += 10;
	engine_fold_plans(t->b->e);
	w = wildtab_first(engine_wildcards(t->b->e));
	while (w && w->a.packets != 11)
		w = w->next;
	ck_assert_ptr_nonnull(w);
	/* Idle it makes room. */
	bed_wait(t->b, 9000);
	ck_assert_ptr_nonnull(slot(t));
	bed_wait(t->b, 2000);
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	/* Gone with its wildcard. */
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	none = m;
	none.wildcard.ttl = 0;
	bed_message(t->b, 1, &none);
	ck_assert_ptr_null(slot(t));
	bed_wait(t->b, 600);
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	end(t);
}
END_TEST

/* A fixed affinity comes for it: that decides (FIX-7). */
START_TEST(test_FIX_7_WILD_5_fixed_takes_over)
{
	static const uint8_t second[4] = {10, 0, 20, 12};
	struct table *t = begin();
	struct wire_msg m = decides("203.0.113.77"), fixed;
	struct flow_key k = bed_client(40001);

	bed_message(t->b, 1, &m);
	memcpy(k.dst, bed_addr("203.0.113.77").b, 16);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	fixed = to_server(&k, "10.0.20.12", 20);
	bed_message(t->b, 1, &fixed);
	ck_assert_ptr_null(slot(t));
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_mem_eq(slot(t)->new_dst, second, 4);
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 1);
	end(t);
}
END_TEST

/* Anybody can make these up: half of the table stays for the others. */
START_TEST(test_FA_5_WILD_5_half_of_the_table)
{
	struct table *t = begin();
	struct wire_msg m = decides("203.0.113.77");

	bed_message(t->b, 1, &m);
	for (uint16_t port = 1; port <= SLOTS; port++) {
		struct flow_key k = bed_client(port);

		memcpy(k.dst, bed_addr("203.0.113.77").b, 16);
		bed_packet(t->b, &k, ACK, 1);
		bed_clear(t->b);
	}
	ck_assert_uint_le(plantab_stats(t->plans)->placed, SLOTS / 2);
	ck_assert_uint_gt(plantab_stats(t->plans)->placed, SLOTS / 3);
	end(t);
}
END_TEST

/* Nothing passes by what waits. */
START_TEST(test_FA_9_held_flow_has_no_plan)
{
	struct table *t = begin();
	struct flow_key k = bed_client(40001);
	struct wire_msg m = to_server(&k, "10.0.20.11", 20);

	bed_interest(&m, WIRE_INTEREST_FIN, WIRE_INTEREST_FIN, 0, 0);
	bed_message(t->b, 1, &m);
	bed_packet(t->b, &k, ACK, 0);
	ck_assert_ptr_nonnull(slot(t));
	bed_packet(t->b, &k, ACK | FIN, 0);
	ck_assert_ptr_null(slot(t));
	bed_packet(t->b, &k, ACK, 0); /* waits, too */
	ck_assert_ptr_null(slot(t));
	end(t);
}
END_TEST

/* The last of its traffic is counted, and nobody is asked for more of what its manager takes back. */
START_TEST(test_FIX_5_FIX_9_deleted_is_not_asked_for)
{
	struct table *t = begin();
	struct flow_key k = decided(t);
	struct wire_msg none = bed_fixed(&k, 0);

	bed_wait(t->b, 12000);
	slot(t)->head.packets += 10;
	bed_message(t->b, 1, &none);
	ck_assert_uint_eq(t->b->sent_count, 0);
	ck_counter(t->b, FORWARDED, 11);
	end(t);
}
END_TEST

/* An address of the flow becomes the router's own: void at once, and not made again. */
START_TEST(test_FA_8_no_plan_for_what_is_never_matched)
{
	struct table *t = begin();
	struct flow_key k = decided(t);

	t->b->guarded = true;
	engine_guards_changed(t->b->e);
	ck_assert_ptr_null(slot(t));
	bed_wait(t->b, 600);
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	bed_packet(t->b, &k, ACK, 1); /* as a manager may send one back */
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	t->b->guarded = false;
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_ptr_nonnull(slot(t));
	end(t);
}
END_TEST

/* ---- silence, and without an agent ---- */

static struct flow_key to_other(uint16_t client)
{
	struct flow_key k = bed_client(client);

	memcpy(k.dst, bed_addr("203.0.113.77").b, 16);
	return k;
}

/* While a wildcard is left out its packets come up, since they ask whether its manager answers again. */
START_TEST(test_FA_5_PREC_10_a_silent_manager_and_plans)
{
	struct table *t = begin();
	struct wire_msg asks = bed_wildcard("203.0.113.77", 80), backup = decides("203.0.113.77"), answer;
	struct flow_key k = to_other(40001), other = to_other(40002);
	uint32_t generation;

	bed_interest(&asks, WIRE_INTEREST_SYN, WIRE_INTEREST_SYN, 0, 0);
	asks.wildcard.flags = WIRE_FLAG_ROUTE_SILENT;
	bed_backup(&backup, 1);
	bed_message(t->b, 1, &asks);
	bed_message(t->b, 2, &backup);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->tail.up, WIRE_INTEREST_SYN);
	for (int i = 0; i < 3; i++)
		bed_packet(t->b, &other, SYN, 0);
	bed_wait(t->b, 700);
	ck_counter(t->b, WILDCARDS_SILENT, 0);
	ck_assert_ptr_nonnull(slot(t));
	generation = t->settings.generation;
	bed_wait(t->b, 50);
	ck_counter(t->b, WILDCARDS_SILENT, 1);
	ck_assert_ptr_null(slot(t));
	ck_assert_uint_ne(t->settings.generation, generation); /* all at once, however many they are */
	bed_clear(t->b);
	bed_packet(t->b, &k, ACK, 1);
	bed_went_to(bed_last_forwarded(t->b), "10.0.20.11", 8080);
	bed_wait(t->b, 600);
	ck_assert_uint_eq(plantab_stats(t->plans)->placed, 0);
	ck_counter(t->b, SILENT_ROUTED, 1);
	/* Back again. */
	generation = t->settings.generation;
	answer = bed_fixed(&other, 60);
	bed_message(t->b, 1, &answer);
	ck_assert_uint_ne(t->settings.generation, generation);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->tail.up, WIRE_INTEREST_SYN);
	ck_assert_uint_eq(slot(t)->tail.set, PLANSLOT_ASKS);
	end(t);
}
END_TEST

/* With drop, too, what asks comes up, and is dropped there; what does not ask goes on. */
START_TEST(test_FA_5_a_silent_manager_that_drops_and_plans)
{
	struct table *t = begin();
	struct wire_msg asks = decides("203.0.113.77");
	struct flow_key k = to_other(40001), other = to_other(40002);

	bed_interest(&asks, WIRE_INTEREST_SYN, WIRE_INTEREST_SYN, 0, 0);
	bed_message(t->b, 1, &asks);
	for (int i = 0; i < 3; i++)
		bed_packet(t->b, &other, SYN, 0);
	bed_wait(t->b, 800);
	ck_counter(t->b, WILDCARDS_SILENT, 1);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->tail.up, WIRE_INTEREST_SYN);
	bed_packet(t->b, &k, SYN, 0);
	ck_counter(t->b, DROP_SILENT, 1);
	ck_assert_uint_eq(slot(t)->tail.up, WIRE_INTEREST_SYN);
	end(t);
}
END_TEST

/* What wildcards say without an agent holds for what they alone decide; a manager's word for a flow is kept. */
START_TEST(test_FA_6_plans_under_wildcards_that_drop_without_an_agent)
{
	struct table *t = begin();
	struct wire_msg m = decides("203.0.113.77"), fixed;
	struct flow_key k = to_other(40001);

	bed_message(t->b, 1, &m);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->tail.set & PLANSLOT_GONE, 0);
	m = bed_wildcard("203.0.113.77", 80); /* another one, that does nothing besides */
	m.wildcard.flags = WIRE_FLAG_DROP_GONE;
	bed_precedence(&m, 7);
	bed_message(t->b, 2, &m);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_ne(slot(t)->tail.set & PLANSLOT_GONE, 0);
	fixed = to_server(&k, "10.0.20.12", 20);
	bed_message(t->b, 1, &fixed);
	bed_packet(t->b, &k, ACK, 1);
	ck_assert_uint_eq(slot(t)->tail.set & PLANSLOT_GONE, 0);
	end(t);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FA_6_plan_stands_in_the_kernel);
	tcase_add_test(t, test_FIX_5_gone_with_its_affinity);
	tcase_add_test(t, test_PREC_10_changes_are_there_at_once);
	tcase_add_test(t, test_FIX_9_refresh_without_a_packet);
	tcase_add_test(t, test_FIX_4_kernels_counts_are_the_affinitys);
	tcase_add_test(t, test_ACT_6_what_a_manager_wants_to_see);
	tcase_add_test(t, test_ACT_6_first_data_was_seen);
	tcase_add_test(t, test_FIX_2_dispatch);
	tcase_add_test(t, test_FIX_3_drops_are_counted);
	tcase_add_test(t, test_ACT_2_FIX_3_what_stays_here);
	tcase_add_test(t, test_WILD_5_plan_of_a_wildcard);
	tcase_add_test(t, test_FIX_7_WILD_5_fixed_takes_over);
	tcase_add_test(t, test_FA_5_WILD_5_half_of_the_table);
	tcase_add_test(t, test_FA_9_held_flow_has_no_plan);
	tcase_add_test(t, test_FIX_5_FIX_9_deleted_is_not_asked_for);
	tcase_add_test(t, test_FA_8_no_plan_for_what_is_never_matched);
	tcase_add_test(t, test_FA_5_PREC_10_a_silent_manager_and_plans);
	tcase_add_test(t, test_FA_5_a_silent_manager_that_drops_and_plans);
	tcase_add_test(t, test_FA_6_plans_under_wildcards_that_drop_without_an_agent);
}

int main(void)
{
	return bed_main("engine_fast", add);
}
