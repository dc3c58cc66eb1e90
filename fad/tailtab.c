/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flows of which fragments were seen.  See tailtab.h.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/tailtab.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "lib/hash.h"

struct tail {
	struct flow_key key;
	uint64_t until_ms;
	struct tail *next, *prev; /* oldest note first */
	UT_hash_handle hh;
};

struct tailtab {
	uint32_t limit;
	uint64_t hash_key[2];
	const struct fixtab_watch *watch;
	void *ctx;
	struct tail *all, *queue;
};

struct tailtab *tailtab_new(uint32_t limit, const uint64_t hash_key[2], const struct fixtab_watch *watch, void *ctx)
{
	struct tailtab *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->limit = limit;
	memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
	t->watch = watch;
	t->ctx = ctx;
	return t;
}

static void drop(struct tailtab *t, struct tail *tail)
{
	t->watch->flow(t->ctx, &tail->key, false);
	HASH_DELETE(hh, t->all, tail);
	DL_DELETE(t->queue, tail);
	free(tail);
}

void tailtab_free(struct tailtab *t)
{
	if (!t)
		return;
	tailtab_expire(t, UINT64_MAX);
	free(t);
}

/* NULL: no memory, or the kernel has no room. */
static struct tail *make(struct tailtab *t, const struct flow_key *k, unsigned hash)
{
	struct tail *tail = calloc(1, sizeof(*tail));

	if (!tail)
		return NULL;
	tail->key = *k;
	if (t->watch->flow(t->ctx, k, true)) {
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->all, &tail->key, sizeof(tail->key), hash, tail);
		if (tail->hh.tbl)
			return tail;
		t->watch->flow(t->ctx, k, false);
	}
	free(tail);
	return NULL;
}

bool tailtab_holds(const struct tailtab *t, const struct flow_key *k)
{
	struct tail *tail;

	HASH_FIND_BYHASHVALUE(hh, t->all, k, sizeof(*k), (unsigned)hash_bytes(t->hash_key, k, sizeof(*k)), tail);
	return tail != NULL;
}

void tailtab_note(struct tailtab *t, const struct flow_key *flow, uint64_t now_ms)
{
	struct flow_key k = *flow;
	struct tail *tail;
	unsigned hash;

	k.sport = k.dport = 0;
	hash = (unsigned)hash_bytes(t->hash_key, &k, sizeof(k));
	HASH_FIND_BYHASHVALUE(hh, t->all, &k, sizeof(k), hash, tail);
	if (tail) {
		DL_DELETE(t->queue, tail);
	} else {
		if (t->queue && HASH_COUNT(t->all) >= t->limit)
			drop(t, t->queue);
		tail = make(t, &k, hash);
	}
	if (!tail)
		return;
	tail->until_ms = now_ms + TAILTAB_KEPT_MS;
	DL_APPEND(t->queue, tail);
}

void tailtab_expire(struct tailtab *t, uint64_t now_ms)
{
	while (t->all && t->queue && t->queue->until_ms <= now_ms)
		drop(t, t->queue);
}

size_t tailtab_count(const struct tailtab *t)
{
	return HASH_COUNT(t->all);
}
