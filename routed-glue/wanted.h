/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is wanted in the kernel's table: each agent's set of prefixes, counted
 * by reference, and two brakes that protect the routing protocols.
 *
 *  - A prefix once announced stays at least `hold_ms`: OSPF takes nine seconds
 *    to withdraw what was announced less than a second ago.
 *  - A prefix is announced at most `flap_limit` times in a row, then once every
 *    `flap_refill_ms`.
 *
 * Pure: time is a parameter (monotonic milliseconds).  Must not know of the
 * kernel or of messages.  ACT-3, FA-11.
 */
#ifndef TURNOUT_ROUTED_GLUE_WANTED_H
#define TURNOUT_ROUTED_GLUE_WANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "routed-glue/prefix.h"

#define WANTED_AGENTS_MAX 64 /* one bit each */

struct wanted_limits {
	size_t prefixes;         /* in all, those that are held or damped included */
	uint32_t hold_ms;        /* from announcement to withdrawal, at least */
	uint32_t flap_limit;     /* announcements in a row; 0: no limit */
	uint32_t flap_refill_ms; /* one more after this long; not 0 */
};

struct wanted_prefix {
	struct prefix prefix;
	uint64_t agents;         /* bit i: agent i wants it */
	uint64_t staged;         /* bit i: in the snapshot agent i is sending */
	uint64_t kept;           /* bit i: agent i wanted it when it stopped as planned, and is to come back (FA-6) */
	uint64_t announced_ms;   /* meaningful while announced */
	uint64_t next_refill_ms; /* when flaps sinks by one; meaningful while flaps > 0 */
	uint32_t flaps;          /* announcements not yet paid back */
	bool announced;          /* belongs into the kernel's table */
	UT_hash_handle hh;
};

struct wanted;

struct wanted *wanted_new(const struct wanted_limits *limits);
void wanted_free(struct wanted *w);

/* A whole set: stage each prefix, then commit, or discard what was staged.
 * wanted_stage() and wanted_add() return false when there is no room. */
bool wanted_stage(struct wanted *w, unsigned agent, const struct prefix *p);
void wanted_commit(struct wanted *w, unsigned agent);
void wanted_discard(struct wanted *w, unsigned agent);

/* One change of a set. */
bool wanted_add(struct wanted *w, unsigned agent, const struct prefix *p);
void wanted_remove(struct wanted *w, unsigned agent, const struct prefix *p);

/* The agent is silent: it wants nothing any more, but for what is kept. */
void wanted_withdraw(struct wanted *w, unsigned agent);

/*
 * The agent stops as planned: what it wants now is kept, whatever whole sets it
 * sends afterwards, until wanted_unkeep().  A prefix that it removes by name is
 * kept no longer.  wanted_kept_only(): how many are kept and not wanted (again).
 */
void wanted_keep(struct wanted *w, unsigned agent);
void wanted_unkeep(struct wanted *w, unsigned agent);
size_t wanted_kept_only(const struct wanted *w, unsigned agent);

/*
 * Decide at this moment what is announced.  *changed: differs from before.
 * Returns when to call again at the latest, UINT64_MAX: only after a change.
 */
uint64_t wanted_step(struct wanted *w, uint64_t now_ms, bool *changed);

/* Bit i: agent i wants it or has it kept. */
static inline uint64_t wanted_by(const struct wanted_prefix *p)
{
	return p->agents | p->kept;
}

/* All entries, announced or not, in no order; start with NULL. */
const struct wanted_prefix *wanted_next(const struct wanted *w, const struct wanted_prefix *prev);
const struct wanted_prefix *wanted_find(const struct wanted *w, const struct prefix *p);
size_t wanted_count(const struct wanted *w);
/* Prefixes this agent wants. */
size_t wanted_count_agent(const struct wanted *w, unsigned agent);

#endif
