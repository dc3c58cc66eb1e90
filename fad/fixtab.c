/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of fixed affinities.  See fixtab.h.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/fixtab.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "fad/manager.h"
#include "lib/hash.h"

#define BUCKETS 512 /* seconds; longer lives stay in their bucket for more rounds */

struct fixtab {
	uint32_t limit;
	uint64_t hash_key[2];
	const struct fixtab_watch *watch;
	void *ctx;
	struct flow *flows;
	size_t count; /* affinities */
	struct fixed *buckets[BUCKETS];
	uint64_t swept_s; /* seconds up to which buckets were visited */
};

struct fixtab *fixtab_new(uint32_t limit, const uint64_t hash_key[2], const struct fixtab_watch *watch, void *ctx)
{
	struct fixtab *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->limit = limit;
	memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
	t->watch = watch;
	t->ctx = ctx;
	return t;
}

void fixtab_free(struct fixtab *t)
{
	if (!t)
		return;
	while (t->flows)
		fixtab_remove(t, t->flows->fixed);
	free(t);
}

static unsigned flow_hash(const struct fixtab *t, const struct flow_key *k)
{
	return (unsigned)hash_bytes(t->hash_key, k, sizeof(*k));
}

struct flow *fixtab_flow(const struct fixtab *t, const struct flow_key *k)
{
	struct flow *f;

	HASH_FIND_BYHASHVALUE(hh, t->flows, k, sizeof(*k), flow_hash(t, k), f);
	return f;
}

struct fixed *fixtab_find(const struct flow *f, const struct manager *manager, affinity_rank rank)
{
	struct fixed *x = f->fixed;

	while (x && (x->a.manager != manager || x->a.rank != rank))
		x = x->next_in_flow;
	return x;
}

static bool before(const struct affinity *x, const struct affinity *y)
{
	if (x->rank != y->rank)
		return x->rank < y->rank;
	if (x->backup != y->backup)
		return x->backup < y->backup;
	return x->manager->peer.identity < y->manager->peer.identity;
}

static void link_in_flow(struct flow *f, struct fixed *x)
{
	struct fixed **at = &f->fixed;

	while (*at && before(&(*at)->a, &x->a))
		at = &(*at)->next_in_flow;
	x->next_in_flow = *at;
	*at = x;
}

static void unlink_from_flow(struct flow *f, const struct fixed *x)
{
	struct fixed **at = &f->fixed;

	while (*at != x)
		at = &(*at)->next_in_flow;
	*at = x->next_in_flow;
}

static void bucket_in(struct fixtab *t, struct fixed *x)
{
	x->bucket = (uint16_t)(x->a.expires_ms / 1000 % BUCKETS);
	DL_APPEND(t->buckets[x->bucket], x);
}

static struct flow *flow_get(struct fixtab *t, const struct flow_key *k)
{
	struct flow *f = fixtab_flow(t, k);

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = *k;
	if (!t->watch->flow(t->ctx, k, true)) {
		free(f);
		return NULL;
	}
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->flows, &f->key, sizeof(f->key), flow_hash(t, k), f);
	if (!f->hh.tbl) {
		t->watch->flow(t->ctx, k, false);
		free(f);
		return NULL;
	}
	return f;
}

static void flow_put(struct fixtab *t, struct flow *f)
{
	if (f->fixed)
		return;
	t->watch->flow(t->ctx, &f->key, false);
	HASH_DELETE(hh, t->flows, f);
	free(f);
}

/* Same place, new content; what was counted stays. */
static struct fixed *replace(struct fixtab *t, struct fixed *x, const struct affinity *a)
{
	struct affinity older = x->a;

	DL_DELETE(t->buckets[x->bucket], x);
	unlink_from_flow(x->flow, x); /* its backup precedence may have changed */
	x->a = *a;
	affinity_inherit(&x->a, &older);
	affinity_clear(&older);
	link_in_flow(x->flow, x);
	bucket_in(t, x);
	x->flow->plan.generation = 0;
	return x;
}

struct fixed *fixtab_put(struct fixtab *t, const struct flow_key *k, const struct affinity *a)
{
	struct flow *f = fixtab_flow(t, k);
	struct fixed *x = f ? fixtab_find(f, a->manager, a->rank) : NULL;

	if (x)
		return replace(t, x, a);
	if (t->count >= t->limit)
		return NULL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	f = flow_get(t, k);
	if (!f) {
		free(x);
		return NULL;
	}
	if (!f->fixed)
		f->made_ms = a->updated_ms;
	x->a = *a;
	x->flow = f;
	link_in_flow(f, x);
	bucket_in(t, x);
	f->plan.generation = 0;
	t->count++;
	return x;
}

void fixtab_remove(struct fixtab *t, struct fixed *x)
{
	struct flow *f = x->flow;

	DL_DELETE(t->buckets[x->bucket], x);
	unlink_from_flow(f, x);
	f->plan.generation = 0;
	t->count--;
	affinity_clear(&x->a);
	free(x);
	flow_put(t, f);
}

size_t fixtab_sweep(struct fixtab *t, uint64_t now_ms, void (*on_expire)(void *ctx, const struct fixed *x), void *ctx)
{
	uint64_t now_s = now_ms / 1000;
	struct fixed *x, *tmp;
	size_t n = 0;

	if (now_s > t->swept_s + BUCKETS)
		t->swept_s = now_s - BUCKETS;
	for (; t->swept_s < now_s; t->swept_s++) {
		DL_FOREACH_SAFE (t->buckets[t->swept_s % BUCKETS], x, tmp) {
			if (x->a.expires_ms > now_ms)
				continue;
			if (on_expire)
				on_expire(ctx, x);
			fixtab_remove(t, x);
			n++;
		}
	}
	return n;
}

size_t fixtab_count(const struct fixtab *t)
{
	return t->count;
}

struct flow *fixtab_next(const struct fixtab *t, const struct flow *after)
{
	return after ? after->hh.next : t->flows;
}
