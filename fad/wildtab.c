/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tuple-space search over wildcard affinities.  See wildtab.h.
 */
#include "fad/wildtab.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "lib/hash.h"

/* One masked key under one shape. */
struct wild_slot {
	struct classifier_key key;
	struct wildcard *first;
	struct wild_slot *portless; /* the same key for fragments; NULL: it has no ports */
	uint32_t references;        /* of such a one: slots that point to it */
	uint64_t gone_ms, told_ms;  /* when the last one ends that drops without the agent, and what was told of that */
};

/* Of the hash table: open, linear, at most half full, so that a lookup touches one cache line as a rule. */
struct cell {
	uint32_t hash;
	struct wild_slot *slot; /* NULL: free */
};

struct shape {
	struct classifier_shape masks; /* family 0: free */
	size_t slots;                  /* masked keys under it */
};

struct wildtab {
	uint32_t limit;
	uint64_t hash_key[2];
	const struct wildtab_watch *watch;
	void *ctx;
	struct shape shapes[CLASSIFIER_ALL_SHAPES];
	size_t shape_count; /* without those for fragments */
	struct cell *cells; /* all slots, by key; shape included */
	size_t cell_mask;   /* their number less one, a power of two less one */
	struct wildcard *all;
	uint32_t *numbers; /* from `count` on those that no wildcard has */
	size_t count;
	uint64_t serial;
};

struct wildtab *wildtab_new(uint32_t limit, const uint64_t hash_key[2], const struct wildtab_watch *watch, void *ctx)
{
	struct wildtab *t = calloc(1, sizeof(*t));
	size_t cells = 16;

	if (!t)
		return NULL;
	while (cells < (size_t)limit * 4) /* each may have two keys */
		cells *= 2;
	t->cells = calloc(cells, sizeof(*t->cells));
	t->numbers = calloc((size_t)limit + 1, sizeof(*t->numbers));
	if (!t->cells || !t->numbers) {
		free(t->cells);
		free(t->numbers);
		free(t);
		return NULL;
	}
	for (uint32_t i = 0; i < limit; i++)
		t->numbers[i] = i;
	t->cell_mask = cells - 1;
	t->limit = limit;
	memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
	t->watch = watch;
	t->ctx = ctx;
	return t;
}

void wildtab_free(struct wildtab *t)
{
	if (!t)
		return;
	while (t->all)
		wildtab_remove(t, t->all);
	free(t->cells);
	free(t->numbers);
	free(t);
}

static void shape_of(const struct wire_wildcard *m, struct classifier_shape *s)
{
	*s = (struct classifier_shape){
		.family = m->family,
		.proto_mask = m->proto ? 0xff : 0,
		.sport_mask = m->sport ? 0xffff : 0,
		.dport_mask = m->dport ? 0xffff : 0,
		.flags = (m->flags & WIRE_FLAG_PROTECTED ? CLASSIFIER_SHAPE_PROTECTED : 0) |
			 (m->flags & WIRE_FLAG_DROP_GONE ? CLASSIFIER_SHAPE_DROP_GONE : 0),
	};
	memcpy(s->src_mask, m->src_mask, 16);
	memcpy(s->dst_mask, m->dst_mask, 16);
}

static void mask_address(uint8_t out[16], const uint8_t a[16], const uint8_t mask[16])
{
	uint64_t x[2], m[2];

	memcpy(x, a, 16);
	memcpy(m, mask, 16);
	x[0] &= m[0];
	x[1] &= m[1];
	memcpy(out, x, 16);
}

static void masked_key(const struct classifier_shape *s, uint16_t number, const struct flow_key *k,
		       struct classifier_key *out)
{
	out->family = s->family;
	out->proto = k->proto & s->proto_mask;
	out->sport = k->sport & s->sport_mask;
	out->dport = k->dport & s->dport_mask;
	out->shape = number;
	mask_address(out->src, k->src, s->src_mask);
	mask_address(out->dst, k->dst, s->dst_mask);
}

/* The key a wildcard itself stands under. */
static void own_key(const struct wire_wildcard *m, uint16_t number, struct classifier_key *out)
{
	*out = (struct classifier_key){
		.family = m->family, .proto = m->proto, .sport = m->sport, .dport = m->dport, .shape = number};
	mask_address(out->src, m->src, m->src_mask);
	mask_address(out->dst, m->dst, m->dst_mask);
}

/* Where the key is, or the free cell where it would go; there always is one. */
static size_t cell_of(const struct wildtab *t, const struct classifier_key *key, uint32_t *hash)
{
	uint32_t h = (uint32_t)hash_bytes(t->hash_key, key, sizeof(*key));
	size_t i = h & t->cell_mask;

	for (; t->cells[i].slot; i = (i + 1) & t->cell_mask)
		if (t->cells[i].hash == h && !memcmp(&t->cells[i].slot->key, key, sizeof(*key)))
			break;
	*hash = h;
	return i;
}

static struct wild_slot *slot_find(const struct wildtab *t, const struct classifier_key *key)
{
	uint32_t hash;

	return t->cells[cell_of(t, key, &hash)].slot;
}

/* Free a cell and close the gap: what lies behind it moves up unless it is where it belongs. */
static void cell_clear(struct wildtab *t, size_t gap)
{
	for (size_t i = (gap + 1) & t->cell_mask; t->cells[i].slot; i = (i + 1) & t->cell_mask) {
		size_t home = t->cells[i].hash & t->cell_mask;

		if (((i - home) & t->cell_mask) < ((i - gap) & t->cell_mask))
			continue;
		t->cells[gap] = t->cells[i];
		gap = i;
	}
	t->cells[gap].slot = NULL;
}

/* Of the two ranges of shape numbers the one for shapes with these flags. */
static int first_number(uint16_t flags)
{
	return flags & CLASSIFIER_SHAPE_FRAGMENTS ? CLASSIFIER_MAX_SHAPES : 0;
}

/* The number of this shape, or -1. */
static int shape_find(const struct wildtab *t, const struct classifier_shape *masks)
{
	int from = first_number(masks->flags);

	for (int i = from; i < from + CLASSIFIER_MAX_SHAPES; i++)
		if (!memcmp(&t->shapes[i].masks, masks, sizeof(*masks)))
			return i;
	return -1;
}

static int shape_get(struct wildtab *t, const struct classifier_shape *masks)
{
	int number = shape_find(t, masks), end = first_number(masks->flags) + CLASSIFIER_MAX_SHAPES;

	if (number >= 0)
		return number;
	for (number = first_number(masks->flags); number < end; number++)
		if (!t->shapes[number].masks.family)
			break;
	if (number == end || !t->watch->shape(t->ctx, (uint16_t)number, masks))
		return -1;
	t->shapes[number].masks = *masks;
	t->shape_count += number < CLASSIFIER_MAX_SHAPES;
	return number;
}

static void shape_put(struct wildtab *t, int number)
{
	struct shape *s = &t->shapes[number];

	if (s->slots || !s->masks.family)
		return;
	t->watch->shape(t->ctx, (uint16_t)number, NULL);
	memset(s, 0, sizeof(*s));
	t->shape_count -= number < CLASSIFIER_MAX_SHAPES;
}

static struct wild_slot *key_get(struct wildtab *t, int number, const struct classifier_key *key)
{
	uint32_t hash;
	size_t cell = cell_of(t, key, &hash);
	struct wild_slot *slot = t->cells[cell].slot;

	if (slot)
		return slot;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return NULL;
	slot->key = *key;
	if (!t->watch->key(t->ctx, key, true)) {
		free(slot);
		return NULL;
	}
	t->cells[cell] = (struct cell){.hash = hash, .slot = slot};
	t->shapes[number].slots++;
	return slot;
}

static void key_put(struct wildtab *t, struct wild_slot *slot)
{
	int number = slot->key.shape;
	uint32_t hash;

	if (slot->first || slot->references)
		return;
	t->watch->key(t->ctx, &slot->key, false);
	cell_clear(t, cell_of(t, &slot->key, &hash));
	free(slot);
	t->shapes[number].slots--;
	shape_put(t, number);
}

/* The slot for fragments of what the key covers, one reference more; NULL: no room. */
static struct wild_slot *portless_get(struct wildtab *t, const struct classifier_shape *masks,
				      const struct classifier_key *key)
{
	struct classifier_shape without = *masks;
	struct classifier_key portless = *key;
	struct wild_slot *slot;
	int number;

	without.sport_mask = without.dport_mask = 0;
	without.flags |= CLASSIFIER_SHAPE_FRAGMENTS;
	number = shape_get(t, &without);
	if (number < 0)
		return NULL;
	portless.sport = portless.dport = 0;
	portless.shape = (uint16_t)number;
	slot = key_get(t, number, &portless);
	if (slot)
		slot->references++;
	else
		shape_put(t, number);
	return slot;
}

static void slot_put(struct wildtab *t, struct wild_slot *slot)
{
	struct wild_slot *portless = slot->first ? NULL : slot->portless;

	key_put(t, slot);
	if (!portless)
		return;
	portless->references--;
	key_put(t, portless);
}

static struct wild_slot *slot_get(struct wildtab *t, int number, const struct classifier_key *key)
{
	const struct classifier_shape *masks = &t->shapes[number].masks;
	struct wild_slot *slot = key_get(t, number, key);

	if (!slot || slot->portless || (!masks->sport_mask && !masks->dport_mask))
		return slot;
	slot->portless = portless_get(t, masks, key);
	if (slot->portless)
		return slot;
	key_put(t, slot);
	return NULL;
}

static uint16_t count_bits(const struct wire_wildcard *m)
{
	uint16_t n = (m->proto ? 8 : 0) + (m->sport ? 16 : 0) + (m->dport ? 16 : 0);

	for (int i = 0; i < 16; i++)
		n += (uint16_t)(__builtin_popcount(m->src_mask[i]) + __builtin_popcount(m->dst_mask[i]));
	return n;
}

bool wildtab_add(struct wildtab *t, struct wildcard *w)
{
	struct classifier_shape masks;
	struct classifier_key key;
	struct wild_slot *slot;
	int number;

	if (t->count >= t->limit)
		return false;
	shape_of(&w->match, &masks);
	number = shape_get(t, &masks);
	if (number < 0)
		return false;
	own_key(&w->match, (uint16_t)number, &key);
	slot = slot_get(t, number, &key);
	if (!slot) {
		shape_put(t, number);
		return false;
	}
	w->mask_bits = count_bits(&w->match);
	w->slot = slot;
	w->serial = ++t->serial;
	w->lineage = w->serial;
	w->next_in_slot = slot->first;
	slot->first = w;
	DL_APPEND(t->all, w);
	w->number = t->numbers[t->count++];
	return true;
}

void wildtab_replace(struct wildcard *w, struct wildcard *older)
{
	uint32_t number = w->number;

	w->lineage = older->lineage;
	w->number = older->number;
	older->number = number;
}

void wildtab_remove(struct wildtab *t, struct wildcard *w)
{
	struct wild_slot *slot = w->slot;
	struct wildcard **at = &slot->first;

	while (*at != w)
		at = &(*at)->next_in_slot;
	*at = w->next_in_slot;
	slot_put(t, slot);
	DL_DELETE(t->all, w);
	t->numbers[--t->count] = w->number;
	affinity_clear(&w->a);
	free(w);
}

/* Field by field: the struct has padding. */
static int compare_range(const struct wire_range *x, const struct wire_range *y)
{
	int c;

	if (x->field != y->field)
		return x->field < y->field ? -1 : 1;
	c = memcmp(x->low, y->low, sizeof(x->low));
	if (!c)
		c = memcmp(x->high, y->high, sizeof(x->high));
	if (c)
		return c;
	if (x->low_port != y->low_port)
		return x->low_port < y->low_port ? -1 : 1;
	return x->high_port == y->high_port ? 0 : x->high_port < y->high_port ? -1 : 1;
}

static int compare_ranges(const struct wire_range *x, uint8_t x_count, const struct wire_range *y, uint8_t y_count)
{
	if (x_count != y_count)
		return x_count > y_count ? -1 : 1; /* more of them first */
	for (int i = 0; i < x_count; i++) {
		int c = compare_range(&x[i], &y[i]);

		if (c)
			return c;
	}
	return 0;
}

static bool equal(const struct wildcard *w, const struct manager *manager, const struct wire_range *ranges,
		  uint8_t range_count, affinity_rank rank)
{
	return w->a.manager == manager && w->a.rank == rank &&
	       !compare_ranges(w->ranges, w->range_count, ranges, range_count);
}

struct wildcard *wildtab_find(struct wildtab *t, const struct manager *manager, const struct wire_wildcard *match,
			      const struct wire_range *ranges, uint8_t range_count, affinity_rank rank)
{
	static const uint16_t kinds[] = {0, CLASSIFIER_SHAPE_PROTECTED, CLASSIFIER_SHAPE_DROP_GONE,
					 CLASSIFIER_SHAPE_PROTECTED | CLASSIFIER_SHAPE_DROP_GONE};
	struct classifier_shape masks;
	struct classifier_key key;
	struct wild_slot *slot;
	int number;

	shape_of(match, &masks);
	/* Flags are no match field (WILD-4): the equal one may be of another kind. */
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		masks.flags = kinds[i];
		number = shape_find(t, &masks);
		if (number < 0)
			continue;
		own_key(match, (uint16_t)number, &key);
		slot = slot_find(t, &key);
		for (struct wildcard *w = slot ? slot->first : NULL; w; w = w->next_in_slot)
			if (equal(w, manager, ranges, range_count, rank))
				return w;
	}
	return NULL;
}

static bool is_of_ports(const struct wire_range *r)
{
	return r->field == WIRE_RANGE_SPORT || r->field == WIRE_RANGE_DPORT;
}

static bool range_holds(const struct wire_range *r, const struct flow_key *k)
{
	size_t alen = addr_len(k->family);

	switch (r->field) {
	case WIRE_RANGE_SRC:
		return memcmp(k->src, r->low, alen) >= 0 && memcmp(k->src, r->high, alen) <= 0;
	case WIRE_RANGE_DST:
		return memcmp(k->dst, r->low, alen) >= 0 && memcmp(k->dst, r->high, alen) <= 0;
	case WIRE_RANGE_SPORT:
		return k->sport >= r->low_port && k->sport <= r->high_port;
	case WIRE_RANGE_DPORT:
		return k->dport >= r->low_port && k->dport <= r->high_port;
	}
	return false;
}

/* Of each field that has ranges, one must hold (WILD-6). */
static bool ranges_hold(const struct wildcard *w, const struct flow_key *k)
{
	unsigned asked = 0, held = 0;

	for (int i = 0; i < w->range_count; i++) {
		unsigned bit = 1u << w->ranges[i].field;

		asked |= bit;
		if (!(held & bit) && range_holds(&w->ranges[i], k))
			held |= bit;
	}
	return asked == held;
}

/* Addresses and masks of a wildcard lie together. */
#define VALUE_BYTES 64
_Static_assert(offsetof(struct wire_wildcard, dst_mask) == offsetof(struct wire_wildcard, src) + VALUE_BYTES - 16,
	       "src, src_mask, dst, dst_mask are adjacent");

static bool better(const struct wildcard *x, const struct wildcard *y)
{
	int c;

	if (x->a.rank != y->a.rank)
		return x->a.rank < y->a.rank;
	if (x->a.backup != y->a.backup)
		return x->a.backup < y->a.backup;
	if (x->mask_bits != y->mask_bits)
		return x->mask_bits > y->mask_bits;
	if (x->a.manager != y->a.manager)
		return x->a.manager->peer.identity < y->a.manager->peer.identity;
	/* One manager's overlapping wildcards of one rank and size: by value, so that every agent decides alike. */
	c = memcmp(x->match.src, y->match.src, VALUE_BYTES);
	if (c)
		return c < 0;
	if (x->match.dport != y->match.dport)
		return x->match.dport > y->match.dport;
	if (x->match.sport != y->match.sport)
		return x->match.sport > y->match.sport;
	if (x->match.proto != y->match.proto)
		return x->match.proto > y->match.proto;
	return compare_ranges(x->ranges, x->range_count, y->ranges, y->range_count) < 0;
}

/* The last one that another of its rank is better than, and so never acts; 0: each is the best of its rank. */
static size_t shadowed(struct wildcard **out, size_t n)
{
	while (--n > 0 && out[n]->a.rank != out[n - 1]->a.rank)
		;
	return n;
}

/* Has a better one of its rank been found? */
static bool is_shadowed(const struct wildcard *w, struct wildcard **out, size_t n)
{
	for (size_t i = 0; i < n && out[i]->a.rank <= w->a.rank; i++)
		if (out[i]->a.rank == w->a.rank && better(out[i], w))
			return true;
	return false;
}

/* Insert by goodness.  When full one that does not act gives way, else the worst: long lists of one rank, as a filter
 * makes them, must not hide the ranks behind them. */
static size_t insert(struct wildcard **out, size_t n, size_t cap, struct wildcard *w)
{
	size_t i;

	if (n == cap) {
		size_t gone = shadowed(out, n);

		if (gone > 0 ? is_shadowed(w, out, n) : !better(w, out[n - 1]))
			return n;
		if (gone == 0)
			gone = n - 1;
		n--;
		memmove(out + gone, out + gone + 1, (n - gone) * sizeof(*out));
	}
	for (i = n; i > 0 && better(w, out[i - 1]); i--)
		out[i] = out[i - 1];
	out[i] = w;
	return n + 1;
}

size_t wildtab_match(const struct wildtab *t, const struct flow_key *k, uint16_t flags, struct wildcard **out,
		     size_t cap)
{
	struct classifier_key key;
	size_t n = 0, seen = 0;

	for (uint16_t i = 0; i < CLASSIFIER_MAX_SHAPES && seen < t->shape_count; i++) {
		const struct shape *s = &t->shapes[i];
		struct wild_slot *slot;

		if (!s->masks.family)
			continue;
		seen++;
		if (s->masks.family != k->family || (s->masks.flags & flags) != flags)
			continue;
		masked_key(&s->masks, i, k, &key);
		slot = slot_find(t, &key);
		for (struct wildcard *w = slot ? slot->first : NULL; w; w = w->next_in_slot)
			if (!w->range_count || ranges_hold(w, k))
				n = insert(out, n, cap, w);
	}
	return n;
}

/* Would a wildcard without ports, whose masks match, treat this packet otherwise if it knew its ports? */
static bool may_ask_for_ports(const struct wildcard *w)
{
	for (int i = 0; i < w->range_count; i++)
		if (is_of_ports(&w->ranges[i]))
			return true;
	/* Whoever takes packets decides by flow. */
	for (int i = 0; i < w->a.interest_count; i++)
		if ((w->a.interest[i].data & ~w->a.interest[i].copy) || (w->a.interest[i].copy & w->a.interest[i].hold))
			return true;
	return false;
}

bool wildtab_ports_matter(const struct wildtab *t, const struct flow_key *k)
{
	struct classifier_key key;

	for (uint16_t i = 0; i < CLASSIFIER_ALL_SHAPES; i++) {
		const struct classifier_shape *s = &t->shapes[i].masks;
		struct wild_slot *slot;

		/* Those with ports have a shape for fragments. */
		if (s->family != k->family || s->sport_mask || s->dport_mask)
			continue;
		masked_key(s, i, k, &key);
		slot = slot_find(t, &key);
		if (slot && slot->references)
			return true;
		for (struct wildcard *w = slot ? slot->first : NULL; w; w = w->next_in_slot)
			if (may_ask_for_ports(w))
				return true;
	}
	return false;
}

bool wildtab_covers(const struct wildtab *t, const struct flow_key *k, const struct manager *manager)
{
	struct classifier_key key;

	for (uint16_t i = 0; i < CLASSIFIER_MAX_SHAPES; i++) {
		const struct shape *s = &t->shapes[i];
		struct wild_slot *slot;

		if (s->masks.family != k->family)
			continue;
		masked_key(&s->masks, i, k, &key);
		slot = slot_find(t, &key);
		for (struct wildcard *w = slot ? slot->first : NULL; w; w = w->next_in_slot)
			if (w->a.manager == manager && (!w->range_count || ranges_hold(w, k)))
				return true;
	}
	return false;
}

static bool overlap_bytes(const uint8_t *x, const uint8_t *x_mask, const uint8_t *y, const uint8_t *y_mask)
{
	for (int i = 0; i < 16; i++)
		if ((x[i] ^ y[i]) & x_mask[i] & y_mask[i])
			return false;
	return true;
}

/* Where one of them matches anything there is no difference. */
static bool overlap_number(uint16_t x, uint16_t y)
{
	return !x || !y || x == y;
}

/* May a packet match both?  Ranges are not looked at. */
static bool overlap(const struct wire_wildcard *x, const struct wire_wildcard *y)
{
	return x->family == y->family && overlap_number(x->proto, y->proto) && overlap_number(x->sport, y->sport) &&
	       overlap_number(x->dport, y->dport) && overlap_bytes(x->src, x->src_mask, y->src, y->src_mask) &&
	       overlap_bytes(x->dst, x->dst_mask, y->dst, y->dst_mask);
}

bool wildtab_may_precede(const struct wildcard *x, const struct wildcard *w)
{
	return x != w && better(x, w) &&
	       (x->a.rank == w->a.rank || x->a.interest_count || affinity_ends_cascade(&x->a)) &&
	       overlap(&x->match, &w->match);
}

bool wildtab_owns_key(const struct wildtab *t, const struct wildcard *w, bool (*absent)(const struct wildcard *x))
{
	if (w->range_count)
		return false;
	for (const struct wildcard *x = t->all; x; x = x->next)
		if (wildtab_may_precede(x, w) && !(absent && absent(x)))
			return false;
	return true;
}

const struct classifier_key *wildtab_key(const struct wildcard *w)
{
	return &w->slot->key;
}

/* The next one, from w on, that drops without the agent; all those under its key do, which is of such a shape. */
static struct wildcard *next_gone(struct wildcard *w)
{
	while (w && !(w->match.flags & WIRE_FLAG_DROP_GONE))
		w = w->next;
	return w;
}

static void raise_to(uint64_t *at, uint64_t ms)
{
	if (*at < ms)
		*at = ms;
}

static void tell_gone(const struct wildtab *t, struct wild_slot *slot)
{
	if (slot && slot->gone_ms != slot->told_ms && t->watch->gone(t->ctx, &slot->key, slot->gone_ms))
		slot->told_ms = slot->gone_ms;
}

uint64_t wildtab_tell_gone(struct wildtab *t)
{
	struct wildcard *first = next_gone(t->all);
	uint64_t last_ms = 0;

	/* A key for fragments is that of several others, so each is known only when all have been looked at. */
	for (struct wildcard *w = first; w; w = next_gone(w->next)) {
		w->slot->gone_ms = 0;
		if (w->slot->portless)
			w->slot->portless->gone_ms = 0;
	}
	for (struct wildcard *w = first; w; w = next_gone(w->next)) {
		raise_to(&w->slot->gone_ms, w->a.expires_ms);
		if (w->slot->portless)
			raise_to(&w->slot->portless->gone_ms, w->a.expires_ms);
		raise_to(&last_ms, w->a.expires_ms);
	}
	for (struct wildcard *w = first; w; w = next_gone(w->next)) {
		tell_gone(t, w->slot);
		tell_gone(t, w->slot->portless);
	}
	return last_ms;
}

size_t wildtab_count(const struct wildtab *t)
{
	return t->count;
}

size_t wildtab_shapes(const struct wildtab *t)
{
	return t->shape_count;
}

struct wildcard *wildtab_first(const struct wildtab *t)
{
	return t->all;
}
