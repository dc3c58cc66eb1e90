/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the wildcard table: matching against a naive linear matcher over
 * random cases, ranges, order, what the kernel is told, and the cost.
 */
#include "fad/wildtab.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fad/manager.h"

static const uint64_t SEED[2] = {1, 2};

/* What the kernel would hold. */
struct kernel {
	int shapes, keys;                   /* of wildcards */
	int fragment_shapes, fragment_keys; /* for fragments */
	struct classifier_key fragment_key; /* the latest of these */
	bool refuse_shape, refuse_key, refuse_fragments;
};

static bool on_shape(void *ctx, uint16_t number, const struct classifier_shape *shape)
{
	struct kernel *k = ctx;

	ck_assert_uint_lt(number, CLASSIFIER_ALL_SHAPES);
	if (shape && k->refuse_shape)
		return false;
	if (shape) /* each kind has its own numbers */
		ck_assert((shape->flags & CLASSIFIER_SHAPE_FRAGMENTS) == 0 ||
			  (!shape->sport_mask && !shape->dport_mask));
	if (shape)
		ck_assert(!(shape->flags & CLASSIFIER_SHAPE_FRAGMENTS) == (number < CLASSIFIER_MAX_SHAPES));
	if (number < CLASSIFIER_MAX_SHAPES)
		k->shapes += shape ? 1 : -1;
	else
		k->fragment_shapes += shape ? 1 : -1;
	return true;
}

static bool on_key(void *ctx, const struct classifier_key *key, bool add)
{
	struct kernel *k = ctx;

	ck_assert(key->family == 4 || key->family == 6);
	if (add && k->refuse_key)
		return false;
	if (key->shape < CLASSIFIER_MAX_SHAPES) {
		k->keys += add ? 1 : -1;
		return true;
	}
	if (add && k->refuse_fragments)
		return false;
	k->fragment_keys += add ? 1 : -1;
	k->fragment_key = *key;
	return true;
}

static const struct wildtab_watch WATCH = {.shape = on_shape, .key = on_key};

static struct wildcard *wildcard_new(struct manager *m, const struct wire_wildcard *match)
{
	struct wildcard *w = calloc(1, sizeof(*w));

	w->a.manager = m;
	w->match = *match;
	for (int i = 0; i < 16; i++) {
		w->match.src[i] &= w->match.src_mask[i];
		w->match.dst[i] &= w->match.dst_mask[i];
	}
	return w;
}

/* IPv4, any protocol, to 10.0.0.0 under this mask. */
static struct wire_wildcard to_mask(uint32_t dst, uint32_t mask)
{
	struct wire_wildcard m = {.family = 4};
	uint32_t d = htonl(dst), b = htonl(mask);

	memcpy(m.dst, &d, 4);
	memcpy(m.dst_mask, &b, 4);
	return m;
}

static struct flow_key key_to(uint32_t dst, uint16_t dport)
{
	struct flow_key k = {.family = 4, .proto = IPPROTO_TCP, .sport = 1000, .dport = dport};
	uint32_t d = htonl(dst);

	memcpy(k.dst, &d, 4);
	return k;
}

/* ---- the naive matcher: the requirement, read aloud ---- */

static bool masked_equal(const uint8_t *a, const uint8_t *b, const uint8_t *mask)
{
	for (int i = 0; i < 16; i++)
		if ((a[i] & mask[i]) != (b[i] & mask[i]))
			return false;
	return true;
}

static bool in_range(const struct wire_range *r, const struct flow_key *k)
{
	size_t n = addr_len(k->family);

	switch (r->field) {
	case WIRE_RANGE_SRC:
		return memcmp(r->low, k->src, n) <= 0 && memcmp(k->src, r->high, n) <= 0;
	case WIRE_RANGE_DST:
		return memcmp(r->low, k->dst, n) <= 0 && memcmp(k->dst, r->high, n) <= 0;
	case WIRE_RANGE_SPORT:
		return r->low_port <= k->sport && k->sport <= r->high_port;
	default:
		return r->low_port <= k->dport && k->dport <= r->high_port;
	}
}

static bool matches(const struct wildcard *w, const struct flow_key *k)
{
	const struct wire_wildcard *m = &w->match;

	if (m->family != k->family || (m->proto && m->proto != k->proto) || (m->sport && m->sport != k->sport) ||
	    (m->dport && m->dport != k->dport) || !masked_equal(m->src, k->src, m->src_mask) ||
	    !masked_equal(m->dst, k->dst, m->dst_mask))
		return false;
	for (int field = WIRE_RANGE_SRC; field <= WIRE_RANGE_DPORT; field++) {
		bool asked = false, held = false;

		for (int i = 0; i < w->range_count; i++) {
			if (w->ranges[i].field != field)
				continue;
			asked = true;
			held |= in_range(&w->ranges[i], k);
		}
		if (asked && !held)
			return false;
	}
	return true;
}

/* ---- random wildcards and keys, from small worlds so that they meet ---- */

struct random {
	uint64_t state;
};

static uint32_t next(struct random *r, uint32_t below)
{
	r->state = r->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(r->state >> 33) % below;
}

static void random_bytes(struct random *r, uint8_t b[16], uint8_t family)
{
	memset(b, 0, 16);
	for (size_t i = 0; i < addr_len(family); i++)
		b[i] = (uint8_t)next(r, i % 4 == 3 ? 8 : 2);
}

/* Contiguous, holed, empty or full; few enough that shapes do not run out. */
static void random_mask(struct random *r, uint8_t mask[16], uint8_t family)
{
	static const uint8_t last[] = {0x00, 0x01, 0x05, 0xff};
	uint8_t tail = last[next(r, 4)], rest = next(r, 2) ? 0xff : 0x00;

	memset(mask, 0, 16);
	for (size_t i = 0; i < addr_len(family); i++)
		mask[i] = i % 4 == 3 ? tail : rest;
}

static struct flow_key random_key(struct random *r)
{
	struct flow_key k = {.family = next(r, 2) ? 4 : 6};

	k.proto = next(r, 2) ? IPPROTO_TCP : IPPROTO_UDP;
	k.sport = (uint16_t)(1 + next(r, 6));
	k.dport = (uint16_t)(1 + next(r, 6));
	random_bytes(r, k.src, k.family);
	random_bytes(r, k.dst, k.family);
	return k;
}

static void random_range(struct random *r, struct wire_range *g, uint8_t family)
{
	uint8_t other[16];

	g->field = (uint8_t)(1 + next(r, 4));
	if (g->field == WIRE_RANGE_SPORT || g->field == WIRE_RANGE_DPORT) {
		g->low_port = (uint16_t)(1 + next(r, 5));
		g->high_port = (uint16_t)(g->low_port + next(r, 3));
		return;
	}
	random_bytes(r, g->low, family);
	random_bytes(r, g->high, family);
	if (memcmp(g->low, g->high, 16) > 0) {
		memcpy(other, g->low, 16);
		memcpy(g->low, g->high, 16);
		memcpy(g->high, other, 16);
	}
}

static struct wildcard *random_wildcard(struct random *r, struct manager *m, size_t managers)
{
	struct flow_key k = random_key(r);
	struct wire_wildcard match = {.family = k.family};
	struct wildcard *w;

	match.proto = next(r, 2) ? k.proto : 0;
	match.sport = match.proto && !next(r, 3) ? k.sport : 0;
	match.dport = match.proto && next(r, 2) ? k.dport : 0;
	memcpy(match.src, k.src, 16);
	memcpy(match.dst, k.dst, 16);
	if (next(r, 2))
		random_mask(r, match.src_mask, k.family);
	random_mask(r, match.dst_mask, k.family);
	w = wildcard_new(&m[next(r, (uint32_t)managers)], &match);
	w->a.rank = next(r, 3);
	w->a.backup = next(r, 2);
	w->range_count = (uint8_t)(next(r, 3) ? 0 : 1 + next(r, 4));
	for (int i = 0; i < w->range_count; i++)
		random_range(r, &w->ranges[i], k.family);
	return w;
}

/* The first of each pair goes before the second (PREC-9), as far as that says. */
static void check_order(struct wildcard **found, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const struct wildcard *x = found[i - 1], *y = found[i];

		ck_assert_uint_le(x->a.rank, y->a.rank);
		if (x->a.rank != y->a.rank)
			continue;
		ck_assert_uint_le(x->a.backup, y->a.backup);
		if (x->a.backup != y->a.backup)
			continue;
		ck_assert_uint_ge(x->mask_bits, y->mask_bits);
		if (x->mask_bits == y->mask_bits)
			ck_assert_uint_le(x->a.manager->peer.identity, y->a.manager->peer.identity);
	}
}

static void compare(struct wildtab *t, struct manager *managers, size_t count, const struct flow_key *k)
{
	struct wildcard *found[WILDTAB_MAX_MATCHES];
	size_t n = wildtab_match(t, k, 0, found, WILDTAB_MAX_MATCHES), expected = 0, among = 0;

	for (struct wildcard *w = wildtab_first(t); w; w = w->next)
		expected += matches(w, k);
	ck_assert_uint_eq(n, expected);
	for (size_t i = 0; i < n; i++)
		among += matches(found[i], k);
	ck_assert_uint_eq(among, n);
	check_order(found, n);
	for (size_t i = 0; i < count; i++) {
		bool covered = false;

		for (size_t j = 0; j < n; j++)
			covered |= found[j]->a.manager == &managers[i];
		ck_assert(wildtab_covers(t, k, &managers[i]) == covered);
	}
}

START_TEST(test_WILD_2_WILD_6_PREC_9_random_cases_against_a_linear_matcher)
{
	struct manager managers[3] = {
		{.peer = {.identity = 30}}, {.peer = {.identity = 10}}, {.peer = {.identity = 20}}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(60, SEED, &WATCH, &kernel);
	struct random r = {20240607};
	size_t hits = 0;

	for (int round = 0; round < 100000; round++) {
		struct flow_key k = random_key(&r);
		struct wildcard *any;

		if (next(&r, 4) == 0 || !wildtab_first(t)) {
			struct wildcard *w = random_wildcard(&r, managers, 3);

			if (wildtab_find(t, w->a.manager, &w->match, w->ranges, w->range_count, w->a.rank) ||
			    !wildtab_add(t, w))
				free(w);
		} else if (next(&r, 5) == 0) {
			any = wildtab_first(t);
			for (uint32_t skip = next(&r, (uint32_t)wildtab_count(t)); skip; skip--)
				any = any->next;
			ck_assert_ptr_eq(wildtab_find(t, any->a.manager, &any->match, any->ranges, any->range_count,
						      any->a.rank),
					 any);
			wildtab_remove(t, any);
		}
		compare(t, managers, 3, &k);
		hits += wildtab_match(t, &k, 0, &any, 1);
	}
	ck_assert_uint_gt(hits, 10000); /* the worlds were small enough to mean something */
	ck_assert_int_eq((int)wildtab_shapes(t), kernel.shapes);
	wildtab_free(t);
	ck_assert_int_eq(kernel.shapes, 0);
	ck_assert_int_eq(kernel.keys, 0);
	ck_assert_int_eq(kernel.fragment_shapes, 0);
	ck_assert_int_eq(kernel.fragment_keys, 0);
}
END_TEST

/* To this address, TCP, this port. */
static struct wildcard *to_port(struct manager *m, uint32_t dst, uint16_t port)
{
	struct wire_wildcard match = to_mask(dst, 0xffffffff);

	match.proto = IPPROTO_TCP;
	match.dport = port;
	return wildcard_new(m, &match);
}

/* One key an address for fragments, however many ports have wildcards there. */
START_TEST(test_ACT_10_a_key_without_ports_for_fragments)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(10, SEED, &WATCH, &kernel);
	struct wildcard *w[] = {to_port(&m, 0x0a000001, 80), to_port(&m, 0x0a000001, 80), to_port(&m, 0x0a000001, 443),
				to_port(&m, 0x0a000002, 80), to_port(&m, 0x0a000003, 0)};
	static const int keys_after[] = {1, 1, 1, 2, 2}, keys_left[] = {2, 2, 1, 0, 0};
	static const uint8_t dst[16] = {10, 0, 0, 1};

	for (int i = 0; i < 5; i++) {
		ck_assert(wildtab_add(t, w[i]));
		ck_assert_int_eq(kernel.fragment_keys, keys_after[i]);
		if (i == 0)
			ck_assert_mem_eq(kernel.fragment_key.dst, dst, 16);
	}
	ck_assert_int_eq(kernel.fragment_shapes, 1);
	ck_assert_uint_eq(kernel.fragment_key.proto, IPPROTO_TCP);
	ck_assert_uint_eq(kernel.fragment_key.dport, 0);
	ck_assert_uint_eq(wildtab_shapes(t), 2);
	for (int i = 0; i < 5; i++) {
		wildtab_remove(t, w[i]);
		ck_assert_int_eq(kernel.fragment_keys, keys_left[i]);
	}
	ck_assert_int_eq(kernel.fragment_shapes, 0);
	wildtab_free(t);
}
END_TEST

/* The requirement, read aloud: is there a wildcard for these addresses that looks at ports, or takes packets? */
static bool naive_ports_matter(const struct wildtab *t, const struct flow_key *k)
{
	for (const struct wildcard *w = wildtab_first(t); w; w = w->next) {
		bool cares = w->match.sport || w->match.dport;
		struct flow_key portless = *k;
		struct wildcard without = *w;

		for (int i = 0; i < w->range_count; i++)
			cares |= w->ranges[i].field == WIRE_RANGE_SPORT || w->ranges[i].field == WIRE_RANGE_DPORT;
		for (int i = 0; i < w->a.interest_count; i++)
			cares |= (w->a.interest[i].data & ~w->a.interest[i].copy) ||
				 (w->a.interest[i].copy & w->a.interest[i].hold);
		portless.sport = portless.dport = without.match.sport = without.match.dport = 0;
		without.range_count = 0; /* of addresses, too: the table may wait for nothing, but not the other way */
		if (cares && matches(&without, &portless))
			return true;
	}
	return false;
}

START_TEST(test_ACT_10_random_cases_of_ports_that_matter)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(12, SEED, &WATCH, &kernel);
	struct random r = {20261125};
	size_t yes = 0, no = 0;

	for (int round = 0; round < 50000; round++) {
		struct flow_key k = random_key(&r);

		if (next(&r, 3) == 0) {
			struct wildcard *w = random_wildcard(&r, &m, 1);

			w->a.interest_count = next(&r, 4) == 0;
			w->a.interest = calloc(1, sizeof(*w->a.interest));
			*w->a.interest = (struct wire_interest){.data = (uint16_t)next(&r, 4),
								.copy = (uint16_t)next(&r, 4),
								.hold = (uint16_t)next(&r, 4)};
			if (!wildtab_add(t, w)) {
				free(w->a.interest);
				free(w);
			}
		} else if (wildtab_first(t) && (next(&r, 4) == 0 || wildtab_count(t) == 12)) {
			wildtab_remove(t, wildtab_first(t));
		}
		ck_assert(wildtab_ports_matter(t, &k) == naive_ports_matter(t, &k));
		yes += wildtab_ports_matter(t, &k);
		no += !wildtab_ports_matter(t, &k);
	}
	ck_assert_uint_gt(yes, 1000);
	ck_assert_uint_gt(no, 1000);
	wildtab_free(t);
	ck_assert_int_eq(kernel.fragment_keys, 0);
}
END_TEST

START_TEST(test_WILD_2_masks_need_not_be_contiguous)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(10, SEED, &WATCH, &kernel);
	struct wire_wildcard even = to_mask(0, 1), fourth = to_mask(3, 3);
	struct wildcard *found[2];

	ck_assert(wildtab_add(t, wildcard_new(&m, &even)));
	ck_assert(wildtab_add(t, wildcard_new(&m, &fourth)));
	for (uint32_t a = 0x0a000000; a < 0x0a000100; a++) {
		struct flow_key k = key_to(a, 80);
		size_t n = wildtab_match(t, &k, 0, found, 2);

		ck_assert_uint_eq(n, a % 2 == 0 || a % 4 == 3);
	}
	wildtab_free(t);
}
END_TEST

START_TEST(test_WILD_6_ports_and_addresses_in_ranges)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(10, SEED, &WATCH, &kernel);
	struct wire_wildcard any = to_mask(0, 0);
	struct wildcard *w = wildcard_new(&m, &any), *found;
	struct flow_key k;

	w->ranges[0] = (struct wire_range){.field = WIRE_RANGE_DPORT, .low_port = 80, .high_port = 80};
	w->ranges[1] = (struct wire_range){.field = WIRE_RANGE_DPORT, .low_port = 8000, .high_port = 8099};
	w->ranges[2] = (struct wire_range){.field = WIRE_RANGE_DST, .low = {10, 0, 0, 5}, .high = {10, 0, 1, 5}};
	w->range_count = 3;
	ck_assert(wildtab_add(t, w));
	static const struct {
		uint32_t dst;
		uint16_t port;
		bool match;
	} rows[] = {
		{0x0a000005, 80, true},  {0x0a000105, 8099, true},  {0x0a000104, 8000, true},
		{0x0a000004, 80, false}, {0x0a000106, 80, false},   {0x0a000005, 79, false},
		{0x0a000005, 81, false}, {0x0a000005, 7999, false}, {0x0a000005, 8100, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		k = key_to(rows[i].dst, rows[i].port);
		ck_assert_uint_eq(wildtab_match(t, &k, 0, &found, 1), rows[i].match);
	}
	wildtab_free(t);
}
END_TEST

START_TEST(test_WILD_4_equality_is_manager_match_ranges_and_rank)
{
	struct manager m = {.peer = {.identity = 1}}, n = {.peer = {.identity = 2}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(10, SEED, &WATCH, &kernel);
	struct wire_wildcard match = to_mask(0x0a000000, 0xff000000), unmasked = match, other = match;
	struct wire_range range = {.field = WIRE_RANGE_DPORT, .low_port = 1, .high_port = 2}, wider = range;
	struct wildcard *w = wildcard_new(&m, &match);

	w->ranges[0] = range;
	w->range_count = 1;
	w->a.rank = 7;
	ck_assert(wildtab_add(t, w));
	unmasked.dst[3] = 9; /* beyond the mask: the same */
	ck_assert_ptr_eq(wildtab_find(t, &m, &unmasked, &range, 1, 7), w);
	ck_assert_ptr_null(wildtab_find(t, &n, &match, &range, 1, 7));
	ck_assert_ptr_null(wildtab_find(t, &m, &match, &range, 1, 8));
	ck_assert_ptr_null(wildtab_find(t, &m, &match, NULL, 0, 7));
	wider.high_port = 3;
	ck_assert_ptr_null(wildtab_find(t, &m, &match, &wider, 1, 7));
	other.dport = 80;
	ck_assert_ptr_null(wildtab_find(t, &m, &other, &range, 1, 7));
	wildtab_free(t);
}
END_TEST

static bool is_of_one(const struct wildcard *x)
{
	return x->a.manager->peer.identity == 1;
}

/* FA-5: may the kernel, which knows neither ranks nor ranges, decide about all under this one's key? */
START_TEST(test_FA_5_PREC_9_who_owns_a_key)
{
	struct manager m = {.peer = {.identity = 1}}, n = {.peer = {.identity = 2}};
	struct wire_wildcard service = to_mask(0x0a000001, 0xffffffff), narrow = service,
			     wide = to_mask(0x0a000000, 0xff000000);
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(10, SEED, &WATCH, &kernel);
	struct wildcard *w = wildcard_new(&n, &service), *x;

	w->a.rank = 7;
	narrow.dport = 80;
	ck_assert(wildtab_add(t, w));
	ck_assert(wildtab_owns_key(t, w, NULL));
	ck_assert_int_eq(wildtab_key(w)->dst[0], 10);
	/* Beside one that is less exact, or elsewhere. */
	x = wildcard_new(&m, &wide);
	x->a.rank = 7;
	ck_assert(wildtab_add(t, x));
	ck_assert(wildtab_owns_key(t, w, NULL) && !wildtab_owns_key(t, x, NULL));
	wildtab_remove(t, x);
	/* Of the same rank and better for some packets; or for all. */
	x = wildcard_new(&n, &narrow);
	x->a.rank = 7;
	ck_assert(wildtab_add(t, x));
	ck_assert(!wildtab_owns_key(t, w, NULL) && wildtab_owns_key(t, x, NULL));
	wildtab_remove(t, x);
	x = wildcard_new(&m, &service);
	x->a.rank = 7;
	ck_assert(wildtab_add(t, x));
	ck_assert(!wildtab_owns_key(t, w, NULL) && wildtab_owns_key(t, x, NULL));
	ck_assert(wildtab_owns_key(t, w, is_of_one)); /* that one is not there for now */
	wildtab_remove(t, x);
	/* Of a better rank: only if it lets nothing come to this one. */
	x = wildcard_new(&m, &wide);
	x->a.rank = 3;
	ck_assert(wildtab_add(t, x));
	ck_assert(wildtab_owns_key(t, w, NULL));
	x->a.flags = WIRE_FLAG_DISPATCH;
	ck_assert(!wildtab_owns_key(t, w, NULL));
	wildtab_remove(t, x);
	x = wildcard_new(&m, &service);
	x->a.rank = 9;
	x->range_count = 1;
	x->ranges[0] = (struct wire_range){.field = WIRE_RANGE_DPORT, .low_port = 1, .high_port = 2};
	ck_assert(wildtab_add(t, x));
	ck_assert(wildtab_owns_key(t, w, NULL) && !wildtab_owns_key(t, x, NULL));
	wildtab_free(t);
}
END_TEST

/* However many match at one rank, the best of it and all other ranks are found, whichever come first. */
START_TEST(test_PREC_1_PREC_9_many_of_one_rank_hide_no_other)
{
	struct manager m = {.peer = {.identity = 1}};
	struct wire_wildcard match = to_mask(0x0a000001, 0xffffffff);
	struct flow_key k = key_to(0x0a000001, 80);

	for (int order = 0; order < 4; order++) {
		struct kernel kernel = {0};
		struct wildtab *t = wildtab_new(1000, SEED, &WATCH, &kernel);
		struct wildcard *found[WILDTAB_MAX_MATCHES];
		size_t n, behind = 0;

		for (uint32_t i = 0; i < 3 * WILDTAB_MAX_MATCHES; i++) {
			struct wildcard *w = wildcard_new(&m, &match);
			uint32_t place = order & 1 ? 3 * WILDTAB_MAX_MATCHES - 1 - i : i;

			/* Every 64th is alone at a rank of its own; the others crowd rank 5. */
			w->a.rank = place % 64 == 63 ? 1 + 4 * (place / 64) : 5;
			w->a.backup = order & 2 ? place : 1000 - place;
			ck_assert(wildtab_add(t, w));
		}
		n = wildtab_match(t, &k, 0, found, WILDTAB_MAX_MATCHES);
		ck_assert_uint_eq(n, WILDTAB_MAX_MATCHES);
		check_order(found, n);
		ck_assert_uint_eq(found[0]->a.rank, 1);
		ck_assert_uint_eq(found[1]->a.rank, 5);
		ck_assert_uint_eq(found[1]->a.backup, order & 2 ? 0 : 1000 - 190);
		for (size_t i = 0; i < n; i++)
			behind += found[i]->a.rank == 9;
		ck_assert_uint_eq(behind, 1);
		wildtab_free(t);
	}
}
END_TEST

START_TEST(test_refused_by_the_kernel_or_full_changes_nothing)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {.refuse_key = true};
	struct wildtab *t = wildtab_new(1, SEED, &WATCH, &kernel);
	struct wire_wildcard match = to_mask(0, 0), other = to_mask(0, 1);
	struct wildcard *w = wildcard_new(&m, &match), *x = wildcard_new(&m, &other);

	ck_assert(!wildtab_add(t, w));
	kernel = (struct kernel){.shapes = kernel.shapes, .refuse_shape = true};
	ck_assert_int_eq(kernel.shapes, 0);
	ck_assert(!wildtab_add(t, w));
	kernel.refuse_shape = false;
	ck_assert_uint_eq(wildtab_shapes(t), 0);
	ck_assert(wildtab_add(t, w));
	ck_assert(!wildtab_add(t, x));
	ck_assert_uint_eq(wildtab_count(t), 1);
	ck_assert_int_eq(kernel.shapes, 1);
	free(x);
	/* A key for packets without one for their fragments is none. */
	wildtab_remove(t, w);
	kernel.refuse_fragments = true;
	w = to_port(&m, 0x0a000001, 80);
	ck_assert(!wildtab_add(t, w));
	ck_assert_int_eq(kernel.shapes, 0);
	ck_assert_int_eq(kernel.keys, 0);
	ck_assert_int_eq(kernel.fragment_shapes, 0);
	ck_assert_uint_eq(wildtab_shapes(t), 0);
	kernel.refuse_fragments = false;
	ck_assert(wildtab_add(t, w));
	wildtab_free(t);
}
END_TEST

START_TEST(test_more_shapes_than_there_are_is_refused_and_freed_ones_are_reused)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {0};
	struct wildtab *t = wildtab_new(1000, SEED, &WATCH, &kernel);
	struct wire_wildcard match;
	struct wildcard *w;

	for (uint32_t i = 0; i < CLASSIFIER_MAX_SHAPES; i++) {
		match = to_mask(0, i);
		match.proto = IPPROTO_TCP;
		match.dport = 80; /* those for fragments do not count */
		ck_assert(wildtab_add(t, wildcard_new(&m, &match)));
	}
	ck_assert_int_eq(kernel.fragment_shapes, CLASSIFIER_MAX_SHAPES);
	match = to_mask(0, 1000);
	w = wildcard_new(&m, &match);
	ck_assert(!wildtab_add(t, w));
	wildtab_remove(t, wildtab_first(t));
	ck_assert(wildtab_add(t, w));
	ck_assert_int_eq(kernel.shapes, CLASSIFIER_MAX_SHAPES);
	wildtab_free(t);
}
END_TEST

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A table of 40 shapes (masks of 8 bits in different places) with so many wildcards each. */
static struct wildtab *forty_shapes(struct manager *m, struct kernel *kernel, uint32_t each)
{
	struct wildtab *t = wildtab_new(20000, SEED, &WATCH, kernel);

	for (uint32_t shape = 0; shape < 40; shape++)
		for (uint32_t i = 0; i < each; i++) {
			struct wire_wildcard match = to_mask(i << 2, 0xfffffffc - (shape << 2));

			match.proto = IPPROTO_TCP;
			match.dport = (uint16_t)(i + 1);
			ck_assert(wildtab_add(t, wildcard_new(m, &match)));
		}
	ck_assert_uint_eq(wildtab_shapes(t), 40);
	return t;
}

/* CPU time of many lookups, the least of some tries: others share this machine. */
static double lookups(struct wildtab *t)
{
	struct wildcard *found[WILDTAB_MAX_MATCHES];
	double best = 1e9;

	for (int try = 0; try < 7; try++) {
		double start = seconds();

		for (uint32_t i = 0; i < 2000; i++) {
			/* Every other one matches the first of each shape, which both tables have. */
			struct flow_key k = i % 2 ? key_to(0xac100000 + i, (uint16_t)(i + 1)) : key_to(0, 1);

			wildtab_match(t, &k, 0, found, WILDTAB_MAX_MATCHES);
		}
		double took = seconds() - start;

		best = took < best ? took : best;
	}
	return best;
}

START_TEST(test_WILD_7_cost_is_of_shapes_not_of_wildcards)
{
	struct manager m = {.peer = {.identity = 1}};
	struct kernel kernel = {0};
	struct wildtab *few = forty_shapes(&m, &kernel, 1), *many = forty_shapes(&m, &kernel, 250);
	double ratio = 0;

	/* A time: once may be bad luck, five times is not. */
	for (int try = 0; try < 5 && (!try || ratio >= 2); try++)
		ratio = lookups(many) / lookups(few);
	ck_assert_msg(ratio < 2, "%zu wildcards take %.2f times as long as %zu", wildtab_count(many), ratio,
		      wildtab_count(few));
	wildtab_free(few);
	wildtab_free(many);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wildtab");
	TCase *t = tcase_create("wildtab");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_WILD_2_WILD_6_PREC_9_random_cases_against_a_linear_matcher);
	tcase_add_test(t, test_ACT_10_a_key_without_ports_for_fragments);
	tcase_add_test(t, test_ACT_10_random_cases_of_ports_that_matter);
	tcase_add_test(t, test_WILD_2_masks_need_not_be_contiguous);
	tcase_add_test(t, test_WILD_6_ports_and_addresses_in_ranges);
	tcase_add_test(t, test_FA_5_PREC_9_who_owns_a_key);
	tcase_add_test(t, test_WILD_4_equality_is_manager_match_ranges_and_rank);
	tcase_add_test(t, test_PREC_1_PREC_9_many_of_one_rank_hide_no_other);
	tcase_add_test(t, test_refused_by_the_kernel_or_full_changes_nothing);
	tcase_add_test(t, test_more_shapes_than_there_are_is_refused_and_freed_ones_are_reused);
	tcase_add_test(t, test_WILD_7_cost_is_of_shapes_not_of_wildcards);
	tcase_set_timeout(t, 120); /* a hundred thousand cases, perhaps on a busy machine */
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
