/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wildcard affinities, found by tuple-space search: wildcards of one mask
 * shape share a shape, each distinct masked key under a shape is one hash
 * entry, and several wildcards (of several managers, precedences or ranges)
 * may hang off one entry.  Cost of a lookup: the number of shapes (WILD-7).
 *
 * Each masked key that has ports is there once more without them, for
 * fragments (CLASSIFIER_SHAPE_FRAGMENTS); these shapes have numbers of their
 * own, one for each shape at most, so that they never run out first.
 *
 * Pure; must not know of packets, messages in flight or the kernel.  What the
 * kernel's classifier must be told is reported through wildtab_watch.
 */
#ifndef TURNOUT_FAD_WILDTAB_H
#define TURNOUT_FAD_WILDTAB_H

#include <stddef.h>

#include "fad/affinity.h"
#include "fad/classifier.h"
#include "fad/manager.h"
#include "lib/addr.h"

#define WILDTAB_MAX_MATCHES 64

/* How its manager answers the questions under a wildcard; the caller's. */
struct wild_silence {
	struct answer_row row;
	uint32_t times;    /* how often it became silent */
	uint64_t since_ms; /* since when it is; 0: it is not */
	uint64_t probe_ms; /* while it is: when it may be asked again */
};

struct wildcard {
	struct affinity a;
	struct wire_wildcard match; /* addresses already masked */
	uint8_t range_count;
	struct wire_range ranges[WIRE_MAX_RANGES];
	uint8_t advertise_count;
	struct wire_advertise advertise[WIRE_MAX_ACTIONS]; /* resolved: address never of family 0 */
	uint16_t mask_bits;
	uint64_t flows;           /* punted under it */
	uint64_t denies;          /* updates refused: to replace it, or of a flow that it covers */
	uint64_t drops;           /* packets it drops, and those held for its manager's answer in vain */
	uint64_t punt_ns;         /* when, on the engine's clock, the questions so far are paid for (FA-5) */
	uint64_t shed_flows;      /* what `flows` was when the kernel last heard that too many ask (FA-5) */
	uint64_t shed_ms;         /* not before that does it hear it again */
	uint64_t shed_until_ms;   /* until then it lets some of them not come up; 0: what it did is counted */
	uint64_t owns_generation; /* the caller's: of wildtab_owns_key(), and what that said */
	bool owns_key;
	uint64_t timeouts; /* questions under it without an answer in time */
	struct wild_silence silence;
	uint64_t made_ms;              /* when the first of its lineage was stored */
	uint64_t serial;               /* position in listings */
	uint64_t lineage;              /* serial of the first of those that replaced each other */
	uint32_t number;               /* below the table's limit, no other has it; stays when one replaces another */
	struct wildcard *next_in_slot; /* same masked key */
	struct wildcard *next, *prev;  /* all of them, oldest first */
	struct wild_slot *slot;
};

struct wildtab;

/* Told of shapes and masked keys that appear and disappear. */
struct wildtab_watch {
	bool (*shape)(void *ctx, uint16_t number, const struct classifier_shape *shape); /* NULL: freed */
	bool (*key)(void *ctx, const struct classifier_key *key, bool add);
	/* Until when a key of a shape with CLASSIFIER_SHAPE_DROP_GONE drops without the agent (FA-6).  False: it could
	 * not be noted, and is told again. */
	bool (*gone)(void *ctx, const struct classifier_key *key, uint64_t until_ms);
};

struct wildtab *wildtab_new(uint32_t limit, const uint64_t hash_key[2], const struct wildtab_watch *watch, void *ctx);
void wildtab_free(struct wildtab *t);

/* The stored wildcard equal to this one: same manager, match fields, ranges and rank (WILD-4), or NULL. */
struct wildcard *wildtab_find(struct wildtab *t, const struct manager *manager, const struct wire_wildcard *match,
			      const struct wire_range *ranges, uint8_t range_count, affinity_rank rank);

/*
 * Store w (allocated by the caller, owned by the table from then on).  On
 * failure, full (no room, or no shape left), ownership stays with the caller.
 */
bool wildtab_add(struct wildtab *t, struct wildcard *w);
/* w, just stored, goes on as the one of this lineage; the older one is to be removed next. */
void wildtab_replace(struct wildcard *w, struct wildcard *older);
/* Take out and free. */
void wildtab_remove(struct wildtab *t, struct wildcard *w);

/*
 * All wildcards matching a key, best first: rank, backup, more mask bits,
 * lowest manager identity (PREC-9); of shapes with all these flags
 * (CLASSIFIER_SHAPE_*).  Returns how many, at most cap.
 */
size_t wildtab_match(const struct wildtab *t, const struct flow_key *k, uint16_t flags, struct wildcard **out,
		     size_t cap);
/*
 * May what becomes of packets between these addresses depend on their ports?  If so, a fragment without ports cannot be
 * decided on (ACT-10): a wildcard asks for ports, or a manager may answer for one flow otherwise than for another.
 */
bool wildtab_ports_matter(const struct wildtab *t, const struct flow_key *k);
/* Does a wildcard of this manager cover the key?  (FIX-6) */
bool wildtab_covers(const struct wildtab *t, const struct flow_key *k, const struct manager *manager);

/*
 * May a packet of w's masked key be for x to decide on, or to report, before w sees it?  If it overlaps w and is
 * better, and is of its rank, has interest criteria or ends the cascade.
 */
bool wildtab_may_precede(const struct wildcard *x, const struct wildcard *w);
/* Is every packet of this wildcard's masked key for it alone?  Not if it has ranges, or if another may precede it that
 * is not absent for now; NULL: none is. */
bool wildtab_owns_key(const struct wildtab *t, const struct wildcard *w, bool (*absent)(const struct wildcard *x));
/* Its masked key, as the classifier knows it. */
const struct classifier_key *wildtab_key(const struct wildcard *w);

/* Tell of each key until when a wildcard there lives that drops without the agent, where that has changed.  Returns
 * when the last one ends; 0: there is none. */
uint64_t wildtab_tell_gone(struct wildtab *t);

size_t wildtab_count(const struct wildtab *t);
size_t wildtab_shapes(const struct wildtab *t);
struct wildcard *wildtab_first(const struct wildtab *t); /* then ->next */

#endif
