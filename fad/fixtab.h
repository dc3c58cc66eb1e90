/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed affinities by flow key.  A flow may have several, of different ranks
 * and managers; it also caches the plan composed for it.
 *
 * Expiry: entries hang in buckets of one second; a sweep visits the buckets
 * of the seconds that passed (FIX-5: within two seconds).
 *
 * Pure; must not know of packets, messages or the kernel.
 */
#ifndef TURNOUT_FAD_FIXTAB_H
#define TURNOUT_FAD_FIXTAB_H

#include <uthash.h>

#include "fad/affinity.h"

#define PLAN_MAX_STEPS 8 /* ranks that may act on one flow */

struct wildcard;

/* One affinity taking part in a plan. */
struct plan_step {
	struct affinity *a;
	struct wildcard *wildcard; /* NULL: a fixed one */
};

/* All that acts on a flow, best rank first.  Valid while `generation` is the engine's. */
struct flow_plan {
	uint64_t generation;
	uint8_t count;
	struct plan_step steps[PLAN_MAX_STEPS];
	struct plan_edit edit;
	struct plan_delta delta;
	struct addr next_hop; /* family 0: by destination address */
	bool drop;            /* FIX-3 */
	bool wild;            /* a wildcard matches, whether it acts or not */
	bool watched;         /* a step has interest criteria */
	bool far;             /* what engine_send_far() does: a step adjusts sequence numbers, or there is a tunnel */
	const struct wire_tunnel *tunnel; /* of the last step; NULL: none */
	bool guarded;                     /* composed for what FA-8 protects */
	bool silent;                      /* wildcards of silent managers were left out, as they say (on-silence) */
};

struct fixed {
	struct affinity a;
	struct flow *flow;
	struct fixed *next_in_flow; /* sorted: rank, backup, manager identity */
	struct fixed *next, *prev;  /* expiry bucket */
	uint16_t bucket;
};

struct flow {
	struct flow_key key;
	struct fixed *fixed;
	struct flow_plan plan;
	uint64_t made_ms; /* its first affinity came */
	uint32_t place;   /* of its plan in the kernel's table, plus 1; 0: not there */
	UT_hash_handle hh;
};

struct fixtab;

/* Told of flows that get their first, and lose their last, fixed affinity. */
struct fixtab_watch {
	bool (*flow)(void *ctx, const struct flow_key *key, bool add);
};

struct fixtab *fixtab_new(uint32_t limit, const uint64_t hash_key[2], const struct fixtab_watch *watch, void *ctx);
void fixtab_free(struct fixtab *t);

struct flow *fixtab_flow(const struct fixtab *t, const struct flow_key *k);
/* The one of this manager and rank, or NULL. */
struct fixed *fixtab_find(const struct flow *f, const struct manager *manager, affinity_rank rank);

/* Store a (moved into the table), replacing the one of the same manager and
 * rank, whose counters it inherits.  NULL: no room; a stays the caller's. */
struct fixed *fixtab_put(struct fixtab *t, const struct flow_key *k, const struct affinity *a);
void fixtab_remove(struct fixtab *t, struct fixed *x);

/* Remove what has expired; returns how many.  on_expire, if not NULL, is told before each goes. */
size_t fixtab_sweep(struct fixtab *t, uint64_t now_ms, void (*on_expire)(void *ctx, const struct fixed *x), void *ctx);

size_t fixtab_count(const struct fixtab *t);
/* For listings: the flow after this one in insertion order, NULL to start. */
struct flow *fixtab_next(const struct fixtab *t, const struct flow *after);

#endif
