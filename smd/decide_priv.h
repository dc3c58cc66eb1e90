/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What decide.c (which decides) and tell.c (which says it to agents) share.
 */
#ifndef TURNOUT_SMD_DECIDE_PRIV_H
#define TURNOUT_SMD_DECIDE_PRIV_H

#include "smd/keys.h"
#include "smd/manager_priv.h"
#include "smd/peek.h"

/* One match or refresh being answered. */
struct question {
	struct agent *agent;
	const struct wire_msg *msg;
	const struct flow_key *key;
	struct memo memo; /* what the agent kept for us */
	enum peek_sort sort;
	uint8_t flags; /* TCP */
	bool refresh;
	uint32_t most_ttl_s; /* the answer may be kept so long; 0: not at all */
	uint64_t now_ms;
};

static inline struct backend *backend_of(const struct manager *m, const struct flow *f)
{
	return &m->services->backends[f->backend];
}

static inline uint32_t precedence_of(const struct question *q, const struct group *g)
{
	return q->memo.kind ? q->memo.precedence : g->conf->precedence;
}

/* ---- tell.c ---- */

/* This packet, and this flow for as long as the TTL, goes on as it is. */
void tell_unchanged(struct manager *m, const struct question *q, uint32_t ttl_s, uint32_t precedence);
/* It is dropped, and its sender told or not.  Not remembered: what comes after its second asks again. */
void tell_drop(struct manager *m, const struct question *q, const struct group *g, bool reject);
/* What becomes of the asked direction of a balanced flow. */
void tell_flow(struct manager *m, const struct question *q, const struct flow *f);
/* Delete a flow's affinities at an agent. */
void tell_deletion(struct manager *m, struct agent *a, const struct flow *f);

#endif
