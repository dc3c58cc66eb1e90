/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an agent stores of an affinity: where it came from, how long it lives,
 * where it stands among others, and what it does.  Shared by the wildcard and
 * the fixed table and the engine.
 *
 * Pure values; must not know of packets or sockets.  FIX-1, WILD-1, ACT-2, SVC-10, PREC-9.
 */
#ifndef TURNOUT_FAD_AFFINITY_H
#define TURNOUT_FAD_AFFINITY_H

#include <stdbool.h>
#include <stdint.h>

#include "fad/plan.h"
#include "lib/peer.h"
#include "proto/wire.h"

/* A manager, as far as this agent knows it.  Owned by the engine. */
struct manager;

/*
 * Ranks: service precedences of either search order, normalised so that the
 * lowest comes first.  No precedence given is the worst (PREC-9).
 */
typedef uint64_t affinity_rank;
#define AFFINITY_RANK_NONE       0x100000000ull /* no precedence segment */
#define AFFINITY_RANK_BEFORE_ALL ((uint64_t)-1) /* "resume after" this: nothing was consulted yet */

static inline affinity_rank affinity_rank_of(const struct wire_msg *m)
{
	if (!wire_has(m, WIRE_SEG_PRECEDENCE))
		return AFFINITY_RANK_NONE;
	return m->precedence.lower_first ? m->precedence.value : 0xffffffffu - m->precedence.value;
}

/* An affinity is after the point where a returned packet resumes (PREC-7). */
static inline bool affinity_rank_after(affinity_rank rank, affinity_rank resume)
{
	return resume == AFFINITY_RANK_BEFORE_ALL || rank > resume;
}

/* A sequence adjust as its manager gave it, and as it is now: a fixed one's initial numbers follow its flow. */
struct affinity_adjust {
	struct wire_seq_adjust given;
	struct plan_adjust now;
	uint8_t seq_far, ack_far; /* of plan_follow() */
};

/* Actions and bookkeeping common to both kinds. */
struct affinity {
	struct manager *manager; /* not owned; outlives its affinities */
	affinity_rank rank;
	uint32_t backup;
	uint32_t ttl_s;
	uint64_t updated_ms;
	uint64_t expires_ms;
	uint8_t flags; /* WIRE_FLAG_* */
	bool refresh_sent;
	bool data_seen; /* fixed: a packet with data passed (ACT-6) */
	uint8_t interest_count;
	uint8_t sm_data_len;
	uint8_t reject; /* enum wire_reject_kind: the sender of what it drops is told; else 0 */
	struct addr forward;
	struct plan_edit edit; /* NAT segments, folded in order */
	uint64_t packets, bytes;
	struct wire_interest *interest; /* owned, interest_count of them; NULL if none */
	uint8_t *sm_data;               /* owned; NULL if none */
	struct affinity_adjust *adjust; /* owned; NULL if none */
	struct wire_tunnel *tunnel;     /* owned; NULL if none.  Only with WIRE_FLAG_DISPATCH. */
};

/* Fill from a decoded update; family is the affinity's.  False: out of memory. */
bool affinity_init(struct affinity *a, const struct wire_msg *m, struct manager *manager, uint8_t flags,
		   const struct addr *forward, uint32_t ttl_s, uint8_t family, uint64_t now_ms);
/* Free what it owns. */
void affinity_clear(struct affinity *a);
/* It takes the place of an older one: what was counted, seen and followed stays. */
void affinity_inherit(struct affinity *a, const struct affinity *older);
/* The same sequence adjust and tunnel, as given? */
bool affinity_same_wires(const struct affinity *a, const struct affinity *b);

/* It sends the packet somewhere of its own, or drops it: the cascade ends (PREC-6). */
static inline bool affinity_ends_cascade(const struct affinity *a)
{
	return (a->flags & WIRE_FLAG_DISPATCH) != 0;
}
static inline bool affinity_drops(const struct affinity *a)
{
	return (a->flags & WIRE_FLAG_DISPATCH) && addr_is_zero(&a->forward);
}

/* What it does, in words: "dnat 10.0.20.11:80, notify FIN RST", "dispatch to 10.1.0.11 by IP in UDP to 192.0.2.1:5555".
 */
void affinity_describe(const struct affinity *a, char *buf, size_t size);

#endif
