/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of plans: places, what is written there, what the kernel counted,
 * and a reader beside the writer that never sees half a plan.
 */
#include "fad/plantab.h"
#include "lib/check_main.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 64

struct bed {
	struct planslot_settings settings;
	struct planslot4 four[SLOTS];
	struct planslot6 six[SLOTS];
	struct planway ways[SLOTS];
	uint64_t tags[2 * SLOTS / PLANSLOT_BUCKET];
	struct plantab *t;
};

static const uint64_t secret[2] = {0x1234567890abcdef, 0xfedcba0987654321};

static struct bed *begin(void)
{
	struct bed *b = aligned_alloc(64, sizeof(*b));
	struct plantab_memory m = {&b->settings, b->four, b->six, b->ways, b->tags, SLOTS};

	memset(b, 0, sizeof(*b));
	b->t = plantab_new(&m, secret);
	ck_assert_ptr_nonnull(b->t);
	return b;
}

static void end(struct bed *b)
{
	plantab_free(b->t);
	free(b);
}

static struct plantab_plan plan_of(uint8_t family, uint32_t n)
{
	struct plantab_plan p = {
		.key = {.family = family, .proto = IPPROTO_TCP, .sport = (uint16_t)n, .dport = 80},
		.edit = {.set = PLAN_DST | PLAN_SPORT, .family = family, .sport = (uint16_t)(n + 1)},
		.up = 5,
		.expires_ms = 100000,
	};

	p.key.src[0] = 192;
	p.key.src[3] = (uint8_t)(n >> 16);
	p.key.dst[0] = 203;
	memset(p.edit.dst, (int)(n & 0xff), addr_len(family));
	p.delta = plan_edit_delta(&p.edit, &p.key);
	return p;
}

/* As the kernel's side does it. */
static struct planslot4 *find4(struct bed *b, const struct plantab_plan *p, struct planslot4 *out)
{
	struct planslot4 want = {.tail = {.proto = p->key.proto}};
	uint64_t hash;

	memcpy(want.src, p->key.src, 4);
	memcpy(want.dst, p->key.dst, 4);
	want.tail.sport = plan_be16(p->key.sport);
	want.tail.dport = plan_be16(p->key.dport);
	hash = planslot_hash4(b->settings.key, &want);
	for (uint32_t i = 0; i < PLANSLOT_PROBES; i++) {
		struct planslot4 *s = &b->four[planslot_probe(hash, SLOTS, i)];
		uint64_t four =
			__atomic_load_n(&b->tags[planslot_tag_bucket((uint32_t)(s - b->four))], __ATOMIC_RELAXED);
		uint32_t seq = __atomic_load_n(&s->head.seq, __ATOMIC_SEQ_CST);

		if ((seq & 1) || !seq || (uint16_t)(four >> 16 * (i % PLANSLOT_BUCKET)) != planslot_tag(hash))
			continue;
		for (size_t k = 0; k < sizeof(*s) / 8; k++)
			((uint64_t *)out)[k] = __atomic_load_n(&((uint64_t *)s)[k], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&s->head.seq, __ATOMIC_SEQ_CST) != seq)
			continue;
		if (!memcmp(out->src, want.src, 8) && out->tail.sport == want.tail.sport &&
		    out->tail.dport == want.tail.dport && out->tail.proto == want.tail.proto)
			return s;
	}
	return NULL;
}

START_TEST(test_FA_6_placed_found_removed)
{
	struct bed *b = begin();
	struct plantab_plan p = plan_of(4, 40000), six = plan_of(6, 40000);
	struct planslot4 got;
	uint32_t at, at6;

	ck_assert_ptr_null(find4(b, &p, &got));
	at = plantab_put(b->t, PLANTAB_NOWHERE, &p, b);
	ck_assert_uint_lt(at, SLOTS);
	ck_assert_ptr_nonnull(find4(b, &p, &got));
	ck_assert_mem_eq(got.new_src, p.key.src, 4); /* unchanged ones stand there, too */
	ck_assert_mem_eq(got.new_dst, p.edit.dst, 4);
	ck_assert_uint_eq(got.tail.new_sport, plan_be16(40001));
	ck_assert_uint_eq(got.tail.new_dport, plan_be16(80));
	ck_assert_uint_eq(got.tail.addresses, p.delta.addresses);
	ck_assert_uint_eq(got.tail.ports, p.delta.ports);
	ck_assert_uint_eq(got.tail.up, 5);
	ck_assert_uint_eq(got.tail.set, PLAN_DST | PLAN_SPORT);
	ck_assert_uint_eq(got.head.expires, planslot_time(100000 * 1000000ull));
	at6 = plantab_put(b->t, PLANTAB_NOWHERE, &six, b);
	ck_assert_uint_ge(at6, SLOTS);
	ck_assert_mem_eq(b->six[at6 - SLOTS].new_dst, six.edit.dst, 16);
	ck_assert_uint_eq(plantab_stats(b->t)->placed, 2);
	plantab_remove(b->t, at);
	plantab_remove(b->t, at6);
	ck_assert_ptr_null(find4(b, &p, &got));
	ck_assert_uint_eq(plantab_stats(b->t)->placed, 0);
	end(b);
}
END_TEST

START_TEST(test_PREC_10_void_at_once)
{
	struct bed *b = begin();
	struct plantab_plan p = plan_of(4, 1);
	struct planslot4 got;
	uint32_t at = plantab_put(b->t, PLANTAB_NOWHERE, &p, b);

	ck_assert_ptr_nonnull(find4(b, &p, &got));
	ck_assert_uint_eq(got.head.generation, b->settings.generation);
	ck_assert(plantab_is_current(b->t, at, p.expires_ms));
	ck_assert(!plantab_is_current(b->t, at, p.expires_ms + 1));
	plantab_renew(b->t);
	ck_assert(!plantab_is_current(b->t, at, p.expires_ms));
	ck_assert_uint_ne(got.head.generation, b->settings.generation);
	ck_assert_uint_eq(plantab_put(b->t, at, &p, b), at);
	ck_assert_ptr_nonnull(find4(b, &p, &got));
	ck_assert_uint_eq(got.head.generation, b->settings.generation);
	end(b);
}
END_TEST

/* More than there is room for: refused and counted, and nobody else's place is taken. */
START_TEST(test_FA_5_full_is_refused)
{
	struct bed *b = begin();
	uint32_t at[SLOTS * 4], placed = 0;
	struct planslot4 got;

	for (uint32_t i = 0; i < SLOTS * 4; i++) {
		struct plantab_plan p = plan_of(4, i);

		at[i] = plantab_put(b->t, PLANTAB_NOWHERE, &p, b);
		placed += at[i] != PLANTAB_NOWHERE;
		/* Half full all find a place. */
		ck_assert(i >= SLOTS / 2 || at[i] != PLANTAB_NOWHERE);
	}
	ck_assert_uint_ge(placed, SLOTS * 3 / 4);
	ck_assert_uint_eq(plantab_stats(b->t)->no_room, SLOTS * 4 - placed);
	for (uint32_t i = 0; i < SLOTS * 4; i++) {
		struct plantab_plan p = plan_of(4, i);

		ck_assert_int_eq(find4(b, &p, &got) != NULL, at[i] != PLANTAB_NOWHERE);
	}
	end(b);
}
END_TEST

START_TEST(test_FIX_4_traffic_is_taken_once)
{
	struct bed *b = begin();
	struct plantab_plan p = plan_of(4, 1);
	uint32_t at = plantab_put(b->t, PLANTAB_NOWHERE, &p, b);
	struct plantab_traffic d;

	b->four[at].head.packets += 3;
	b->four[at].head.bytes += 300;
	d = plantab_take(b->t, at);
	ck_assert_uint_eq(d.packets, 3);
	ck_assert_uint_eq(d.bytes, 300);
	d = plantab_take(b->t, at);
	ck_assert_uint_eq(d.packets, 0);
	/* What was counted before is not the next one's. */
	b->four[at].head.packets += 5;
	plantab_remove(b->t, at);
	ck_assert_uint_eq(plantab_put(b->t, PLANTAB_NOWHERE, &p, b), at);
	ck_assert_uint_eq(plantab_take(b->t, at).packets, 0);
	/* A reader turned back after we had looked: never a huge number. */
	b->four[at].head.packets -= 1;
	ck_assert_uint_eq(plantab_take(b->t, at).packets, 0);
	b->four[at].head.packets += 1;
	ck_assert_uint_eq(plantab_take(b->t, at).packets, 0);
	end(b);
}
END_TEST

/* One next hop has one way, for as long as a plan has it; a full table of them refuses, and takes out what was there.
 */
START_TEST(test_FIX_2_ways_are_shared)
{
	struct bed *b = begin();
	struct plantab_plan p = plan_of(4, 1), q = plan_of(6, 2);
	uint32_t at, other, way;

	p.next_hop = q.next_hop = (struct addr){.family = 4, .b = {10, 9, 0, 3}};
	at = plantab_put(b->t, PLANTAB_NOWHERE, &p, b);
	other = plantab_put(b->t, PLANTAB_NOWHERE, &q, b);
	way = b->four[at].head.way;
	ck_assert_uint_ne(way, PLANSLOT_ROUTED);
	ck_assert_uint_lt(way, SLOTS);
	ck_assert_uint_eq(b->six[other - SLOTS].head.way, way);
	ck_assert_uint_eq(b->ways[way].family, 4);
	ck_assert_mem_eq(b->ways[way].hop, p.next_hop.b, 16);
	plantab_remove(b->t, at);
	q.drop = true;
	plantab_put(b->t, other, &q, b);
	ck_assert_uint_eq(b->six[other - SLOTS].head.way, PLANSLOT_DROPPED);
	for (int round = 0; round < 2; round++) {
		/* All of them, number 0 is none. */
		for (uint32_t i = 1; i < SLOTS; i++) {
			p.next_hop.b[3] = (uint8_t)i;
			at = plantab_put(b->t, i % 2 ? PLANTAB_NOWHERE : at, &p, b);
			ck_assert_uint_ne(at, PLANTAB_NOWHERE);
			if (i % 2 == 0)
				plantab_remove(b->t, at);
		}
		plantab_remove(b->t, at);
	}
	ck_assert_uint_eq(plantab_stats(b->t)->no_room, 0);
	end(b);
}
END_TEST

START_TEST(test_FA_5_no_way_left_is_refused)
{
	struct bed *b = begin();
	struct plantab_plan p = plan_of(4, 0);
	uint32_t at = PLANTAB_NOWHERE, n = 0;

	for (uint32_t family = 4; family <= 6; family += 2)
		for (uint32_t i = 0; i < SLOTS / 2; i++) {
			p = plan_of((uint8_t)family, i);
			p.next_hop = (struct addr){.family = 4, .b = {10, 9, (uint8_t)family, (uint8_t)i}};
			at = plantab_put(b->t, PLANTAB_NOWHERE, &p, b);
			n += at != PLANTAB_NOWHERE;
		}
	ck_assert_uint_eq(n, SLOTS - 1); /* number 0 is none */
	ck_assert_uint_eq(plantab_stats(b->t)->no_room, 1);
	p = plan_of(4, 0);
	ck_assert_uint_eq(plantab_put(b->t, PLANTAB_NOWHERE, &p, b) == PLANTAB_NOWHERE, false);
	end(b);
}
END_TEST

#define VISITED 20

struct visits {
	struct bed *b;
	uint32_t at[VISITED];
	int count[VISITED];
	uint32_t gone; /* who is removed when it is visited, and another one with it */
};

static void note_visit(void *ctx, void *owner)
{
	struct visits *v = ctx;
	size_t i = (size_t)((int *)owner - v->count);

	ck_assert_uint_lt(i, VISITED);
	v->count[i]++;
	if (i != v->gone)
		return;
	plantab_remove(v->b->t, v->at[i]);
	plantab_remove(v->b->t, v->at[(i + 7) % VISITED]);
}

START_TEST(test_FIX_9_each_is_visited_once_a_round)
{
	struct visits v = {.b = begin(), .gone = UINT32_MAX};

	for (uint32_t i = 0; i < VISITED; i++) {
		struct plantab_plan p = plan_of(i & 1 ? 4 : 6, i);

		v.at[i] = plantab_put(v.b->t, PLANTAB_NOWHERE, &p, &v.count[i]);
		ck_assert_uint_ne(v.at[i], PLANTAB_NOWHERE);
	}
	for (uint32_t i = 0; i < VISITED; i++)
		plantab_sweep(v.b->t, 1, note_visit, &v);
	plantab_sweep(v.b->t, UINT32_MAX, note_visit, &v);
	for (uint32_t i = 0; i < VISITED; i++)
		ck_assert_int_eq(v.count[i], 2);
	end(v.b);
}
END_TEST

/* Whoever goes on the way, whether visited already or not: the others are visited once, as before. */
START_TEST(test_FIX_9_visits_while_some_go)
{
	for (uint32_t gone = 0; gone < VISITED; gone++) {
		struct visits v = {.b = begin(), .gone = gone};
		uint32_t with = (gone + 7) % VISITED;

		for (uint32_t i = 0; i < VISITED; i++) {
			struct plantab_plan p = plan_of(i & 1 ? 4 : 6, i);

			v.at[i] = plantab_put(v.b->t, PLANTAB_NOWHERE, &p, &v.count[i]);
		}
		for (uint32_t i = 0; i < VISITED; i += 3)
			plantab_sweep(v.b->t, 3, note_visit, &v);
		ck_assert_int_eq(v.count[gone], 1);
		for (uint32_t i = 0; i < VISITED; i++)
			ck_assert(i == with || v.count[i] == 1 || v.count[i] == 2);
		memset(v.count, 0, sizeof(v.count));
		plantab_sweep(v.b->t, UINT32_MAX, note_visit, &v);
		for (uint32_t i = 0; i < VISITED; i++)
			ck_assert_int_eq(v.count[i], i != gone && i != with);
		ck_assert_uint_eq(plantab_stats(v.b->t)->placed, VISITED - 2);
		end(v.b);
	}
}
END_TEST

/* ---- beside each other ---- */

struct race {
	struct bed *b;
	bool done;
	uint64_t seen, torn;
};

/* A plan is whole if all that follows from its number agrees. */
static void *read_on(void *ctx)
{
	struct race *r = ctx;
	struct plantab_plan p = plan_of(4, 7);

	while (!__atomic_load_n(&r->done, __ATOMIC_RELAXED)) {
		struct planslot4 got;

		if (!find4(r->b, &p, &got))
			continue;
		r->seen++;
		for (int i = 1; i < 4; i++)
			r->torn += got.new_dst[i] != got.new_dst[0];
		r->torn += got.tail.up != got.new_dst[0];
		r->torn += got.tail.new_sport != plan_be16(got.new_dst[0]);
		r->torn += got.head.expires != got.new_dst[0];
	}
	return NULL;
}

START_TEST(test_FA_6_no_reader_sees_half_a_plan)
{
	struct race r = {.b = begin()};
	struct plantab_plan p = plan_of(4, 7);
	uint32_t at = PLANTAB_NOWHERE;
	pthread_t reader;

	ck_assert_int_eq(pthread_create(&reader, NULL, read_on, &r), 0);
	for (uint32_t i = 0; i < 200000 || (!__atomic_load_n(&r.seen, __ATOMIC_RELAXED) && i < 100000000); i++) {
		uint8_t n = (uint8_t)i;

		memset(p.edit.dst, n, 4);
		p.edit.sport = p.up = n;
		p.expires_ms = ((uint64_t)n << PLANSLOT_TIME_SHIFT) / 1000000 + 1;
		at = plantab_put(r.b->t, at, &p, r.b);
		if (i % 64 == 63) {
			plantab_remove(r.b->t, at);
			at = PLANTAB_NOWHERE;
		}
	}
	__atomic_store_n(&r.done, true, __ATOMIC_RELAXED);
	pthread_join(reader, NULL);
	ck_assert_uint_gt(r.seen, 0);
	ck_assert_uint_eq(r.torn, 0);
	end(r.b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plantab");
	TCase *t = tcase_create("plantab");

	tcase_add_test(t, test_FA_6_placed_found_removed);
	tcase_add_test(t, test_PREC_10_void_at_once);
	tcase_add_test(t, test_FA_5_full_is_refused);
	tcase_add_test(t, test_FIX_4_traffic_is_taken_once);
	tcase_add_test(t, test_FIX_2_ways_are_shared);
	tcase_add_test(t, test_FA_5_no_way_left_is_refused);
	tcase_add_test(t, test_FIX_9_each_is_visited_once_a_round);
	tcase_add_test(t, test_FIX_9_visits_while_some_go);
	tcase_add_test(t, test_FA_6_no_reader_sees_half_a_plan);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return check_main(s);
}
