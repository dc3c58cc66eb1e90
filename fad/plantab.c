/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See plantab.h.  A slot is written as a sequence lock: odd, the fields, even.
 * Readers are in the kernel, and may come at any moment.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/plantab.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* One that is in use. */
struct way {
	struct planway content;
	uint32_t number, references;
	UT_hash_handle hh;
};

/* What is known here of a slot. */
struct shadow {
	void *owner;             /* NULL: free */
	uint64_t packets, bytes; /* counted by the kernel up to the latest look */
	uint64_t expires_ms;
	uint32_t generation;
	uint32_t listed; /* where in the list of those used */
	struct way *way; /* NULL: none that others could share */
};

struct plantab {
	struct plantab_memory m;
	struct shadow *shadows; /* IPv4's, then IPv6's: a place is an index in here */
	uint32_t *used;         /* places, stats.placed of them, in no order: what there is to sweep */
	uint32_t cursor;        /* of the sweep: an index in `used` */
	struct way *ways;
	uint32_t *free_ways; /* numbers; a stack */
	uint32_t free_way_count;
	struct plantab_stats stats;
};

struct plantab *plantab_new(const struct plantab_memory *memory, const uint64_t key[2])
{
	struct plantab *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->m = *memory;
	t->shadows = calloc((size_t)memory->slots * 2, sizeof(*t->shadows));
	t->used = calloc((size_t)memory->slots * 2, sizeof(*t->used));
	t->free_ways = calloc(memory->slots, sizeof(*t->free_ways));
	if (!t->shadows || !t->used || !t->free_ways) {
		plantab_free(t);
		return NULL;
	}
	for (uint32_t number = memory->slots - 1; number > 0; number--)
		t->free_ways[t->free_way_count++] = number;
	memcpy(t->m.settings->key, key, sizeof(t->m.settings->key));
	t->m.settings->generation = 1;
	return t;
}

void plantab_free(struct plantab *t)
{
	struct way *w, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->ways, w, next) {
		HASH_DEL(t->ways, w);
		free(w);
	}
	free(t->free_ways);
	free(t->shadows);
	free(t->used);
	free(t);
}

void plantab_renew(struct plantab *t)
{
	__atomic_store_n(&t->m.settings->generation, t->m.settings->generation + 1, __ATOMIC_SEQ_CST);
}

void plantab_least_mtu(struct plantab *t, uint32_t mtu)
{
	__atomic_store_n(&t->m.settings->least_mtu, mtu, __ATOMIC_RELAXED);
}

uint32_t plantab_slots(const struct plantab *t)
{
	return t->m.slots;
}

const struct plantab_stats *plantab_stats(const struct plantab *t)
{
	return &t->stats;
}

static struct planslot_head *head_at(const struct plantab *t, uint32_t at)
{
	return at < t->m.slots ? &t->m.slots4[at].head : &t->m.slots6[at - t->m.slots].head;
}

/* ---- ways ---- */

static struct way *way_new(struct plantab *t, const struct planway *content)
{
	struct way *w = t->free_way_count ? calloc(1, sizeof(*w)) : NULL;

	if (!w)
		return NULL;
	w->content = *content;
	HASH_ADD(hh, t->ways, content, sizeof(w->content), w);
	if (!w->hh.tbl) {
		free(w);
		return NULL;
	}
	w->number = t->free_ways[--t->free_way_count];
	t->m.ways[w->number] = *content;
	return w;
}

/* False: there is no room for another. */
static bool way_get(struct plantab *t, const struct plantab_plan *plan, struct way **way)
{
	struct planway content = {.family = plan->next_hop.family};

	*way = NULL;
	if (plan->drop || addr_is_zero(&plan->next_hop))
		return true;
	memcpy(content.hop, plan->next_hop.b, sizeof(content.hop));
	HASH_FIND(hh, t->ways, &content, sizeof(content), *way);
	if (!*way)
		*way = way_new(t, &content);
	if (*way)
		(*way)->references++;
	return *way != NULL;
}

/* No slot names it any more. */
static void way_put(struct plantab *t, struct way *w)
{
	if (!w || --w->references)
		return;
	t->free_ways[t->free_way_count++] = w->number;
	HASH_DEL(t->ways, w);
	free(w);
}

/* ---- writing ---- */

static void fill_tail(struct planslot_tail *to, const struct plantab_plan *p)
{
	const struct plan_edit *e = &p->edit;

	*to = (struct planslot_tail){
		.sport = plan_be16(p->key.sport),
		.dport = plan_be16(p->key.dport),
		.new_sport = plan_be16(e->set & PLAN_SPORT ? e->sport : p->key.sport),
		.new_dport = plan_be16(e->set & PLAN_DPORT ? e->dport : p->key.dport),
		.addresses = p->delta.addresses,
		.ports = p->delta.ports,
		.up = p->up,
		.proto = p->key.proto,
		.set = (uint8_t)(e->set | (p->asks ? PLANSLOT_ASKS : 0) | (p->needs_agent ? PLANSLOT_GONE : 0)),
	};
}

/* All but the head. */
static void fill4(struct planslot4 *to, const struct plantab_plan *p)
{
	memcpy(to->src, p->key.src, 4);
	memcpy(to->dst, p->key.dst, 4);
	memcpy(to->new_src, p->edit.set & PLAN_SRC ? p->edit.src : p->key.src, 4);
	memcpy(to->new_dst, p->edit.set & PLAN_DST ? p->edit.dst : p->key.dst, 4);
	fill_tail(&to->tail, p);
}

static void fill6(struct planslot6 *to, const struct plantab_plan *p)
{
	memcpy(to->src, p->key.src, 16);
	memcpy(to->dst, p->key.dst, 16);
	memcpy(to->new_src, p->edit.set & PLAN_SRC ? p->edit.src : p->key.src, 16);
	memcpy(to->new_dst, p->edit.set & PLAN_DST ? p->edit.dst : p->key.dst, 16);
	fill_tail(&to->tail, p);
}

/* Word by word: a reader sees old or new ones, and asks seq which. */
static void copy_words(void *to, const void *from, size_t bytes)
{
	uint64_t *t = to, w;

	for (size_t i = 0; i < bytes / 8; i++) {
		memcpy(&w, (const uint8_t *)from + i * 8, 8);
		__atomic_store_n(&t[i], w, __ATOMIC_RELAXED);
	}
}

static uint32_t begin_write(struct planslot_head *h)
{
	uint32_t seq = h->seq | 1;

	__atomic_store_n(&h->seq, seq, __ATOMIC_RELAXED);
	/* No field is seen new before seq is seen odd. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return seq;
}

static void write_slot(struct plantab *t, uint32_t at, const struct plantab_plan *plan)
{
	struct planslot_head *h = head_at(t, at);
	uint32_t seq = begin_write(h);
	struct planslot4 four = {0};
	struct planslot6 six = {0};

	__atomic_store_n(&h->generation, t->m.settings->generation, __ATOMIC_RELAXED);
	__atomic_store_n(&h->expires, planslot_time(plan->expires_ms * 1000000), __ATOMIC_RELAXED);
	__atomic_store_n(&h->way,
			 plan->drop           ? PLANSLOT_DROPPED
			 : t->shadows[at].way ? t->shadows[at].way->number
					      : PLANSLOT_ROUTED,
			 __ATOMIC_RELAXED);
	if (at < t->m.slots) {
		fill4(&four, plan);
		copy_words(t->m.slots4[at].src, four.src, sizeof(four) - sizeof(four.head));
	} else {
		fill6(&six, plan);
		copy_words(t->m.slots6[at - t->m.slots].src, six.src, sizeof(six) - sizeof(six.head));
	}
	/* No field is seen old after seq is seen even. */
	__atomic_store_n(&h->seq, seq + 1 ? seq + 1 : 2, __ATOMIC_RELEASE);
}

/* ---- places ---- */

static uint64_t hash_of(const struct plantab *t, const struct plantab_plan *p)
{
	struct planslot4 four = {0};
	struct planslot6 six = {0};

	if (p->key.family == 4) {
		fill4(&four, p);
		return planslot_hash4(t->m.settings->key, &four);
	}
	fill6(&six, p);
	return planslot_hash6(t->m.settings->key, &six);
}

/* The emptier of the two buckets; the first one if they are alike. */
static uint32_t find_place(const struct plantab *t, const struct plantab_plan *p, uint64_t hash)
{
	uint32_t base = p->key.family == 4 ? 0 : t->m.slots;
	uint32_t best = PLANTAB_NOWHERE, most = 0;

	for (uint32_t bucket = 0; bucket < PLANSLOT_PROBES; bucket += PLANSLOT_BUCKET) {
		uint32_t unused = 0, first = PLANTAB_NOWHERE;

		for (uint32_t i = 0; i < PLANSLOT_BUCKET; i++) {
			uint32_t at = base + planslot_probe(hash, t->m.slots, bucket + i);

			if (t->shadows[at].owner)
				continue;
			unused++;
			if (first == PLANTAB_NOWHERE)
				first = at;
		}
		if (unused > most) {
			most = unused;
			best = first;
		}
	}
	return best;
}

static void tell_placed(struct plantab *t)
{
	if (t->stats.placed > t->stats.placed_high)
		t->stats.placed_high = t->stats.placed;
	__atomic_store_n(&t->m.settings->placed, (uint32_t)t->stats.placed, __ATOMIC_RELAXED);
}

static void set_tag(struct plantab *t, uint32_t at, uint16_t tag)
{
	uint64_t *word = &t->m.tags[planslot_tag_bucket(at)];
	unsigned shift = 16 * (at % PLANSLOT_BUCKET);

	__atomic_store_n(word, (*word & ~(UINT64_C(0xffff) << shift)) | (uint64_t)tag << shift, __ATOMIC_RELAXED);
}

static void occupy(struct plantab *t, uint32_t at, void *owner)
{
	const struct planslot_head *h = head_at(t, at);

	t->shadows[at] = (struct shadow){
		.owner = owner,
		.packets = __atomic_load_n(&h->packets, __ATOMIC_RELAXED),
		.bytes = __atomic_load_n(&h->bytes, __ATOMIC_RELAXED),
		.listed = (uint32_t)t->stats.placed,
	};
	t->used[t->stats.placed++] = at;
	tell_placed(t);
}

uint32_t plantab_put(struct plantab *t, uint32_t at, const struct plantab_plan *plan, void *owner)
{
	struct way *way, *old;
	uint64_t hash;

	if (!way_get(t, plan, &way)) {
		t->stats.no_room++;
		if (at != PLANTAB_NOWHERE)
			plantab_remove(t, at);
		return PLANTAB_NOWHERE;
	}
	if (at == PLANTAB_NOWHERE) {
		hash = hash_of(t, plan);
		at = find_place(t, plan, hash);
		if (at == PLANTAB_NOWHERE) {
			way_put(t, way);
			t->stats.no_room++;
			return at;
		}
		occupy(t, at, owner);
		set_tag(t, at, planslot_tag(hash));
	}
	old = t->shadows[at].way;
	t->shadows[at].way = way;
	t->shadows[at].expires_ms = plan->expires_ms;
	t->shadows[at].generation = t->m.settings->generation;
	write_slot(t, at, plan);
	way_put(t, old);
	return at;
}

bool plantab_is_current(const struct plantab *t, uint32_t at, uint64_t expires_ms)
{
	return t->shadows[at].generation == t->m.settings->generation && t->shadows[at].expires_ms == expires_ms;
}

void plantab_remove(struct plantab *t, uint32_t at)
{
	uint32_t hole = t->shadows[at].listed, last;

	begin_write(head_at(t, at)); /* and stays so until it is used again */
	set_tag(t, at, 0);
	t->shadows[at].owner = NULL;
	way_put(t, t->shadows[at].way);
	t->shadows[at].way = NULL;
	/* Without a gap; behind the sweep, so that it misses none of those before it. */
	t->stats.placed--;
	if (hole < t->cursor) {
		last = t->used[--t->cursor];
		t->used[hole] = last;
		t->shadows[last].listed = hole;
		hole = t->cursor;
	}
	if (hole < t->stats.placed) {
		last = t->used[t->stats.placed];
		t->used[hole] = last;
		t->shadows[last].listed = hole;
	}
	tell_placed(t);
}

struct plantab_traffic plantab_take(struct plantab *t, uint32_t at)
{
	struct planslot_head *h = head_at(t, at);
	struct shadow *s = &t->shadows[at];
	uint64_t packets = __atomic_load_n(&h->packets, __ATOMIC_RELAXED);
	uint64_t bytes = __atomic_load_n(&h->bytes, __ATOMIC_RELAXED);
	struct plantab_traffic d = {packets - s->packets, bytes - s->bytes};

	/* A reader that turns back takes away what it added: for a moment there may be less than before. */
	if (d.packets > UINT64_MAX / 2 || d.bytes > UINT64_MAX / 2)
		return (struct plantab_traffic){0, 0};
	s->packets = packets;
	s->bytes = bytes;
	return d;
}

void plantab_sweep(struct plantab *t, uint32_t n, void (*visit)(void *ctx, void *owner), void *ctx)
{
	for (uint64_t left = t->stats.placed < n ? t->stats.placed : n; left && t->stats.placed; left--) {
		if (t->cursor >= t->stats.placed)
			t->cursor = 0;
		/* It may go, and others behind it with it: the cursor stays before what was not visited. */
		visit(ctx, t->shadows[t->used[t->cursor++]].owner);
	}
}
