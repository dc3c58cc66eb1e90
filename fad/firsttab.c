/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flows of which data was seen.  See firsttab.h.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/firsttab.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "lib/hash.h"

struct first_id {
	struct flow_key key;
	uint64_t who;
};
_Static_assert(sizeof(struct first_id) == sizeof(struct flow_key) + 8, "first_id has no padding");

struct first {
	struct first_id id;
	UT_hash_handle hh; /* in order of insertion: the first is the oldest */
};

struct firsttab {
	uint32_t limit;
	uint64_t hash_key[2];
	struct first *all;
};

struct firsttab *firsttab_new(uint32_t limit, const uint64_t hash_key[2])
{
	struct firsttab *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->limit = limit;
	memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
	return t;
}

void firsttab_free(struct firsttab *t)
{
	struct first *f, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->all, f, next) {
		HASH_DELETE(hh, t->all, f);
		free(f);
	}
	free(t);
}

static unsigned id_hash(const struct firsttab *t, const struct first_id *id)
{
	return (unsigned)hash_bytes(t->hash_key, id, sizeof(*id));
}

bool firsttab_seen(const struct firsttab *t, const struct flow_key *k, uint64_t who)
{
	const struct first_id id = {*k, who};
	struct first *f;

	HASH_FIND_BYHASHVALUE(hh, t->all, &id, sizeof(id), id_hash(t, &id), f);
	return f != NULL;
}

bool firsttab_note(struct firsttab *t, const struct flow_key *k, uint64_t who)
{
	struct first *f = t->all;
	bool full = f && HASH_COUNT(t->all) >= t->limit;

	if (firsttab_seen(t, k, who))
		return true;
	if (full)
		HASH_DELETE(hh, t->all, f);
	else
		f = malloc(sizeof(*f));
	if (!f)
		return false;
	memset(f, 0, sizeof(*f));
	f->id = (struct first_id){*k, who};
	HASH_ADD_BYHASHVALUE(hh, t->all, id, sizeof(f->id), id_hash(t, &f->id), f);
	if (!f->hh.tbl) {
		free(f);
		return false;
	}
	return !full;
}
