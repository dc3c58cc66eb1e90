/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fad's side of the shared table of plans: where a flow's plan goes, writing it
 * while the kernel reads, taking it out, and what the kernel counted there.
 *
 * Pure: the memory is the caller's, shared with the kernel or not.  One writer.
 * Must not know of affinities.  FA-6.
 */
#ifndef TURNOUT_FAD_PLANTAB_H
#define TURNOUT_FAD_PLANTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "fad/plan.h"
#include "fad/planslot.h"

/* Shared with the kernel; not owned.  All zero at the beginning. */
struct plantab_memory {
	struct planslot_settings *settings;
	struct planslot4 *slots4;
	struct planslot6 *slots6;
	struct planway *ways;
	uint64_t *tags; /* 2 * slots / PLANSLOT_BUCKET */
	uint32_t slots; /* of each family: a power of two; as many ways */
};

/* A plan as the kernel is to carry it out. */
struct plantab_plan {
	struct flow_key key;
	struct plan_edit edit;
	struct plan_delta delta;
	bool drop;
	struct addr next_hop; /* family 0: by destination address */
	uint16_t up;          /* interest bits that bring a packet up */
	bool asks;            /* a manager wants to decide about those */
	bool needs_agent;     /* the kernel must not carry it out without one */
	uint64_t expires_ms;
};

/* What the kernel counted since it was last asked. */
struct plantab_traffic {
	uint64_t packets, bytes;
};

struct plantab_stats {
	uint64_t placed;      /* now */
	uint64_t placed_high; /* the most ever */
	uint64_t no_room;     /* plans for which all places were taken, or all ways */
};

struct plantab;

struct plantab *plantab_new(const struct plantab_memory *memory, const uint64_t key[2]); /* NULL: out of memory */
/* Leaves the slots as they are: an agent that ends may be followed by another, its plans run on meanwhile. */
void plantab_free(struct plantab *t);

/* All plans placed up to now are void at once; those placed from here on are good. */
void plantab_renew(struct plantab *t);
/* How large may a packet be, whatever its way out?  0: not known. */
void plantab_least_mtu(struct plantab *t, uint32_t mtu);

/*
 * Place a plan, or write it anew at its place.  at: a place given before, or PLANTAB_NOWHERE.  Returns the place, or
 * PLANTAB_NOWHERE: all of its places, or all ways, are taken; what was there is gone then.  owner: what plantab_sweep()
 * gives back.
 */
#define PLANTAB_NOWHERE UINT32_MAX
uint32_t plantab_put(struct plantab *t, uint32_t at, const struct plantab_plan *plan, void *owner);
/* Is what stands at the place good until then, and for now? */
bool plantab_is_current(const struct plantab *t, uint32_t at, uint64_t expires_ms);
void plantab_remove(struct plantab *t, uint32_t at);
struct plantab_traffic plantab_take(struct plantab *t, uint32_t at);
/* Visit the owners of the next n places in use, each once at most, round and round.  The visitor may place and remove.
 */
void plantab_sweep(struct plantab *t, uint32_t n, void (*visit)(void *ctx, void *owner), void *ctx);
uint32_t plantab_slots(const struct plantab *t); /* of each family */
const struct plantab_stats *plantab_stats(const struct plantab *t);

#endif
