/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing servers; see balancer.h.  Must not know of messages, of the flow
 * store, or why a server is usable.
 */
#include "smd/balancer.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"
#include "smd/maglev.h"

#define REHASHES 8 /* further table look-ups before falling back to going round */

/* The same in every manager: this is not a secret, but a convention. */
static const uint64_t FLOW_KEY_HASH[2] = {0x7475726e6f75742d, 0x62616c616e636531};

struct server {
	const char *name;
	uint32_t weight;
	bool usable;
	uint64_t load;  /* connections */
	int64_t credit; /* round-robin: grows by weight each turn, the greatest goes */
};

struct balancer {
	enum balancer_method method;
	struct server *servers;
	uint16_t count;
	unsigned usable;
	bool stale; /* table does not show the usable servers */
	uint16_t *table;
};

const char *balancer_method_name(enum balancer_method method)
{
	switch (method) {
	case BALANCER_ROUND_ROBIN:
		return "round-robin";
	case BALANCER_LEAST_CONNECTIONS:
		return "least-connections";
	case BALANCER_MAGLEV:
		break;
	}
	return "maglev";
}

struct balancer *balancer_new(enum balancer_method method)
{
	struct balancer *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->method = method;
	b->stale = true;
	b->servers = calloc(MAGLEV_MAX, sizeof(*b->servers));
	if (method == BALANCER_MAGLEV)
		b->table = calloc(MAGLEV_SLOTS, sizeof(*b->table));
	if (!b->servers || (method == BALANCER_MAGLEV && !b->table)) {
		balancer_free(b);
		return NULL;
	}
	return b;
}

void balancer_free(struct balancer *b)
{
	if (!b)
		return;
	free(b->servers);
	free(b->table);
	free(b);
}

uint16_t balancer_add(struct balancer *b, const char *name, uint32_t weight)
{
	if (b->count == MAGLEV_MAX || !weight)
		return BALANCER_NONE;
	b->servers[b->count] = (struct server){.name = name, .weight = weight};
	return b->count++;
}

void balancer_set_usable(struct balancer *b, uint16_t server, bool usable)
{
	struct server *s = &b->servers[server];

	if (s->usable == usable)
		return;
	s->usable = usable;
	s->credit = 0;
	b->usable += usable ? 1 : -1;
	b->stale = true;
}

unsigned balancer_usable(const struct balancer *b)
{
	return b->usable;
}

void balancer_load(struct balancer *b, uint16_t server, int change)
{
	b->servers[server].load += (uint64_t)(int64_t)change;
}

void balancer_continue(struct balancer *b, const struct balancer *old, const uint16_t *from)
{
	if (b->method != old->method)
		return;
	for (uint16_t i = 0; i < b->count; i++)
		if (from[i] != BALANCER_NONE)
			b->servers[i].credit = old->servers[from[i]].credit;
}

/* With no memory the old table stays, and is tried again next time. */
static void freshen(struct balancer *b)
{
	struct maglev_member *members;
	unsigned n = 0;

	if (!b->stale)
		return;
	members = calloc(b->count ? b->count : 1, sizeof(*members));
	if (!members)
		return;
	for (uint16_t i = 0; i < b->count; i++)
		if (b->servers[i].usable)
			members[n++] = (struct maglev_member){b->servers[i].name, i, b->servers[i].weight};
	b->stale = !maglev_build(b->table, members, n);
	free(members);
}

static uint64_t key_hash(const struct flow_key *key, uint32_t attempt)
{
	struct {
		uint8_t family, proto;
		uint8_t sport[2], dport[2];
		uint8_t attempt, zero;
		uint8_t src[16], dst[16];
	} k = {
		.family = key->family,
		.proto = key->proto,
		.sport = {key->sport >> 8, key->sport & 0xff},
		.dport = {key->dport >> 8, key->dport & 0xff},
		.attempt = (uint8_t)attempt,
	};

	/* Bytes in an order that is the same on every host. */
	memcpy(k.src, key->src, sizeof(k.src));
	memcpy(k.dst, key->dst, sizeof(k.dst));
	return hash_bytes(FLOW_KEY_HASH, &k, sizeof(k));
}

uint16_t balancer_leads_to(struct balancer *b, const struct flow_key *key)
{
	if (b->method != BALANCER_MAGLEV || !b->usable)
		return BALANCER_NONE;
	freshen(b);
	return maglev_lookup(b->table, key_hash(key, 0));
}

/* Smooth weighted round-robin: gives a, b, a, c, a for weights 3, 1, 1. */
static uint16_t turn(struct balancer *b)
{
	struct server *best = NULL;
	int64_t total = 0;

	for (uint16_t i = 0; i < b->count; i++) {
		struct server *s = &b->servers[i];

		if (!s->usable)
			continue;
		s->credit += s->weight;
		total += s->weight;
		if (!best || s->credit > best->credit)
			best = s;
	}
	if (!best)
		return BALANCER_NONE;
	best->credit -= total;
	return (uint16_t)(best - b->servers);
}

static uint16_t go_round(const struct balancer *b, uint16_t from, balancer_fits fits, void *ctx)
{
	for (uint16_t n = 1; n < b->count; n++) {
		uint16_t i = (uint16_t)((from + n) % b->count);

		if (b->servers[i].usable && fits(ctx, i))
			return i;
	}
	return BALANCER_UNFIT;
}

/* Is a to be preferred, by connections for its weight after one more?  0: they are even. */
static int lighter(const struct server *a, const struct server *b)
{
	uint64_t x = (a->load + 1) * b->weight, y = (b->load + 1) * a->weight;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Of several with equal load the key decides, by names: alike at every manager, whatever their order. */
static uint64_t rank(const struct server *s, uint64_t key)
{
	const uint64_t by[2] = {FLOW_KEY_HASH[0] ^ key, FLOW_KEY_HASH[1]};

	return hash_bytes(by, s->name, strlen(s->name));
}

static uint16_t least(const struct balancer *b, uint64_t key, const uint8_t *refused)
{
	uint16_t best = BALANCER_UNFIT;

	for (uint16_t i = 0; i < b->count; i++) {
		const struct server *s = &b->servers[i];
		int better;

		if (!s->usable || refused[i / 8] & 1 << i % 8)
			continue;
		better = best == BALANCER_UNFIT ? 1 : lighter(s, &b->servers[best]);
		if (better > 0 || (better == 0 && rank(s, key) > rank(&b->servers[best], key)))
			best = i;
	}
	return best;
}

static uint16_t choose_least(const struct balancer *b, const struct flow_key *key, balancer_fits fits, void *ctx)
{
	uint8_t refused[MAGLEV_MAX / 8] = {0};
	uint64_t hash = key_hash(key, 0);
	uint16_t i;

	while ((i = least(b, hash, refused)) != BALANCER_UNFIT && !fits(ctx, i))
		refused[i / 8] |= (uint8_t)(1 << i % 8);
	return i;
}

uint16_t balancer_choose(struct balancer *b, const struct flow_key *key, balancer_fits fits, void *ctx)
{
	uint16_t first;

	if (!b->usable)
		return BALANCER_NONE;
	if (b->method == BALANCER_LEAST_CONNECTIONS)
		return choose_least(b, key, fits, ctx);
	if (b->method == BALANCER_ROUND_ROBIN) {
		first = turn(b);
		return fits(ctx, first) ? first : go_round(b, first, fits, ctx);
	}
	first = balancer_leads_to(b, key);
	if (first == MAGLEV_NONE)
		return BALANCER_NONE;
	if (fits(ctx, first))
		return first;
	for (uint32_t attempt = 1; attempt <= REHASHES; attempt++) {
		uint16_t next = maglev_lookup(b->table, key_hash(key, attempt));

		if (next != first && fits(ctx, next))
			return next;
	}
	return go_round(b, first, fits, ctx);
}
