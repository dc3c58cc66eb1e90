/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flow store; see flows.h.  Must not know of messages, nor of servers'
 * health.
 */
#include "smd/flows.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"

#define SLAB    4096u /* records */
#define BUCKETS 512u  /* seconds ahead that the wheel tells apart */

/* A question looks the same key up several times, and adds it then. */
struct last_hash {
	struct flow_key key;
	unsigned hash;
	bool valid;
};

struct flows {
	struct flow *forward, *reverse; /* uthash heads */
	struct flow **slabs;
	uint32_t slab_count;
	uint32_t limit, count;
	uint32_t fresh; /* records used at least once */
	struct flow *free;
	uint64_t seed[2];
	struct last_hash last_forward, last_reverse;
	uint64_t second; /* the wheel has dealt with everything before it */
	struct flow *bucket[BUCKETS];
};

struct flows *flows_new(uint32_t limit, const uint64_t seed[2], uint64_t now_ms)
{
	struct flows *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	fs->limit = limit;
	fs->seed[0] = seed[0];
	fs->seed[1] = seed[1];
	fs->second = now_ms / 1000;
	fs->slabs = calloc(limit / SLAB + 1, sizeof(struct flow *));
	if (!fs->slabs) {
		free(fs);
		return NULL;
	}
	return fs;
}

void flows_free(struct flows *fs)
{
	if (!fs)
		return;
	HASH_CLEAR(by_forward, fs->forward);
	HASH_CLEAR(by_reverse, fs->reverse);
	for (uint32_t i = 0; i < fs->slab_count; i++)
		free(fs->slabs[i]);
	free(fs->slabs);
	free(fs);
}

static unsigned hash(const struct flows *fs, struct last_hash *last, const struct flow_key *key)
{
	if (!last->valid || memcmp(&last->key, key, sizeof(*key)) != 0) {
		last->key = *key;
		last->hash = (unsigned)hash_bytes(fs->seed, key, sizeof(*key));
		last->valid = true;
	}
	return last->hash;
}

struct flow *flows_by_forward(struct flows *fs, const struct flow_key *key)
{
	struct flow *f;

	HASH_FIND_BYHASHVALUE(by_forward, fs->forward, key, sizeof(*key), hash(fs, &fs->last_forward, key), f);
	return f;
}

struct flow *flows_by_reverse(struct flows *fs, const struct flow_key *key)
{
	struct flow *f;

	HASH_FIND_BYHASHVALUE(by_reverse, fs->reverse, key, sizeof(*key), hash(fs, &fs->last_reverse, key), f);
	return f;
}

struct flow *flows_by_handle(struct flows *fs, uint32_t slot, uint32_t generation)
{
	struct flow *f;

	if (slot >= fs->fresh)
		return NULL;
	f = &fs->slabs[slot / SLAB][slot % SLAB];
	return f->live && f->generation == generation ? f : NULL;
}

/* ---- the wheel ---- */

static void file(struct flows *fs, struct flow *f)
{
	uint64_t due = f->expires_ms / 1000 + 1; /* the second after, so that it has expired then */

	if (due < fs->second)
		due = fs->second;
	if (due > fs->second + BUCKETS - 1)
		due = fs->second + BUCKETS - 1;
	f->bucket = (uint16_t)(due % BUCKETS);
	f->prev = NULL;
	f->next = fs->bucket[f->bucket];
	if (f->next)
		f->next->prev = f;
	fs->bucket[f->bucket] = f;
}

static void unfile(struct flows *fs, struct flow *f)
{
	if (f->prev)
		f->prev->next = f->next;
	else
		fs->bucket[f->bucket] = f->next;
	if (f->next)
		f->next->prev = f->prev;
}

void flows_set_expiry(struct flows *fs, struct flow *f, uint64_t expires_ms)
{
	bool sooner = expires_ms < f->expires_ms;

	f->expires_ms = expires_ms;
	if (sooner) {
		unfile(fs, f);
		file(fs, f);
	}
}

static size_t expire_bucket(struct flows *fs, unsigned bucket, uint64_t now_ms, flows_gone gone, void *ctx)
{
	struct flow *f = fs->bucket[bucket];
	size_t n = 0;

	fs->bucket[bucket] = NULL;
	while (f) {
		struct flow *next = f->next;

		file(fs, f); /* somewhere else, or removed from there at once */
		if (f->expires_ms <= now_ms) {
			gone(ctx, f);
			flows_remove(fs, f);
			n++;
		}
		f = next;
	}
	return n;
}

size_t flows_expire(struct flows *fs, uint64_t now_ms, flows_gone gone, void *ctx)
{
	uint64_t now = now_ms / 1000;
	uint64_t first = fs->second;
	size_t n = 0;

	if (now < first)
		return 0;
	if (now - first >= BUCKETS)
		first = now - BUCKETS + 1;
	for (uint64_t s = first; s <= now; s++) {
		fs->second = s + 1;
		n += expire_bucket(fs, (unsigned)(s % BUCKETS), now_ms, gone, ctx);
	}
	return n;
}

/* ---- records ---- */

static struct flow *take_record(struct flows *fs)
{
	struct flow *f = fs->free;
	uint32_t slab = fs->fresh / SLAB;
	uint32_t generation;

	if (fs->count == fs->limit)
		return NULL;
	if (f) {
		fs->free = f->next;
	} else {
		if (slab == fs->slab_count) {
			fs->slabs[slab] = calloc(SLAB, sizeof(*f));
			if (!fs->slabs[slab])
				return NULL;
			fs->slab_count++;
		}
		f = &fs->slabs[slab][fs->fresh % SLAB];
		f->slot = fs->fresh++;
	}
	generation = f->generation + 1 ? f->generation + 1 : 1;
	*f = (struct flow){.slot = f->slot, .generation = generation, .live = true};
	fs->count++;
	return f;
}

struct flow *flows_add(struct flows *fs, enum flow_kind kind, const struct flow_key *forward,
		       const struct flow_key *reverse, uint64_t expires_ms)
{
	struct flow *f = take_record(fs);

	if (!f)
		return NULL;
	f->kind = kind;
	f->reverse = *reverse;
	f->expires_ms = expires_ms;
	if (kind == FLOW_BALANCED) {
		f->forward = *forward;
		HASH_ADD_BYHASHVALUE(by_forward, fs->forward, forward, sizeof(f->forward),
				     hash(fs, &fs->last_forward, forward), f);
	}
	HASH_ADD_BYHASHVALUE(by_reverse, fs->reverse, reverse, sizeof(f->reverse), hash(fs, &fs->last_reverse, reverse),
			     f);
	file(fs, f);
	return f;
}

void flows_remove(struct flows *fs, struct flow *f)
{
	unfile(fs, f);
	if (f->kind == FLOW_BALANCED)
		HASH_DELETE(by_forward, fs->forward, f);
	HASH_DELETE(by_reverse, fs->reverse, f);
	f->live = false;
	f->next = fs->free;
	fs->free = f;
	fs->count--;
}

void flow_note_agent(struct flow *f, uint16_t agent)
{
	if (flow_at_many_agents(f))
		return;
	for (uint8_t i = 0; i < f->agent_count; i++)
		if (f->agents[i] == agent)
			return;
	if (f->agent_count < FLOW_AGENTS)
		f->agents[f->agent_count] = agent;
	f->agent_count++;
}

uint32_t flows_count(const struct flows *fs)
{
	return fs->count;
}

struct flow *flows_next(struct flows *fs, uint32_t *slot)
{
	while (*slot < fs->fresh) {
		struct flow *f = &fs->slabs[*slot / SLAB][*slot % SLAB];

		(*slot)++;
		if (f->live)
			return f;
	}
	return NULL;
}
