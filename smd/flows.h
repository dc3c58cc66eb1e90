/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flow store: what was decided about each flow, found by its forward key
 * (client to VIP) or its reverse key (server to client), for longer than any
 * agent can hold an affinity from it (SM-2, SM-5, SM-12).
 *
 * Records come from slabs that grow up to a limit and are used again; adding
 * one costs no allocation once its slab is there.  Hashes are keyed, since the
 * keys come from the network.  Expiry is by a wheel of one-second buckets:
 * putting a flow's end off costs nothing, its bucket finds out.
 *
 * Pure: time is a parameter, in monotonic milliseconds.  Must not know of
 * messages, nor of servers' health.
 */
#ifndef TURNOUT_SMD_FLOWS_H
#define TURNOUT_SMD_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "lib/addr.h"

#define FLOW_AGENTS 6 /* remembered by name; with more of them, "many" */

enum flow_kind {
	FLOW_BALANCED, /* both keys */
	FLOW_PASS,     /* left unchanged: reverse key only (SM-12) */
};

/* What was seen of a TCP flow. */
#define FLOW_FIN_FORWARD 0x01
#define FLOW_FIN_REVERSE 0x02
#define FLOW_RST         0x04
#define FLOW_ANSWERED    0x08 /* the server said something, or the client went on */

struct flow {
	UT_hash_handle by_forward, by_reverse;
	struct flow_key forward, reverse;
	struct flow *prev, *next; /* in its bucket; next also links free records */
	uint64_t expires_ms;      /* change with flows_set_expiry() only */
	uint64_t made_ms;         /* the caller's, like the next two */
	uint64_t held_ms;         /* until then agents may hold an affinity of it */
	uint64_t closed_ms;       /* when it ended, by FIN in both directions or RST (SM-5); 0: it has not */
	uint32_t slot;            /* place in the store */
	uint32_t generation;      /* of the record in that place, never 0 */
	uint32_t backend;         /* the caller's */
	uint16_t agents[FLOW_AGENTS];
	uint16_t bucket;
	uint8_t agent_count; /* FLOW_AGENTS + 1: many */
	uint8_t kind;        /* enum flow_kind */
	uint8_t seen;
	bool firm; /* certainly what it seems: its opening was seen, or an agent held it */
	bool live; /* the record is in use */
};

struct flows;

/* limit: records, at least 1.  seed: 128 random bits.  NULL: no memory. */
struct flows *flows_new(uint32_t limit, const uint64_t seed[2], uint64_t now_ms);
void flows_free(struct flows *fs);

struct flow *flows_by_forward(struct flows *fs, const struct flow_key *key);
struct flow *flows_by_reverse(struct flows *fs, const struct flow_key *key);
/* The record a handle named, if it is still that one. */
struct flow *flows_by_handle(struct flows *fs, uint32_t slot, uint32_t generation);

/*
 * Add a flow.  forward is NULL for FLOW_PASS.  Neither key may be in the store
 * (look first).  Fields other than keys, kind and expiry are zero.
 * NULL: the limit is reached, or no memory.
 */
struct flow *flows_add(struct flows *fs, enum flow_kind kind, const struct flow_key *forward,
		       const struct flow_key *reverse, uint64_t expires_ms);
void flows_remove(struct flows *fs, struct flow *f);
void flows_set_expiry(struct flows *fs, struct flow *f, uint64_t expires_ms);

/* Remove what has expired, each after calling gone(). Returns how many. */
typedef void (*flows_gone)(void *ctx, struct flow *f);
size_t flows_expire(struct flows *fs, uint64_t now_ms, flows_gone gone, void *ctx);

/* Note that an agent was given an affinity of the flow (SM-6, SM-9). */
void flow_note_agent(struct flow *f, uint16_t agent);
static inline bool flow_at_many_agents(const struct flow *f)
{
	return f->agent_count > FLOW_AGENTS;
}

uint32_t flows_count(const struct flows *fs);
/* The first flow at or after *slot, for listings; *slot is moved behind it. NULL: no more. */
struct flow *flows_next(struct flows *fs, uint32_t *slot);

#endif
