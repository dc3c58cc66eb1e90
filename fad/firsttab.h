/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Of which flows a wildcard has seen data: what "first data" means for those
 * that have no fixed affinity (ACT-6).  Bounded; at the limit the oldest is
 * forgotten, and its next data is first data again.
 *
 * Pure storage; must not know of packets or interest.
 */
#ifndef TURNOUT_FAD_FIRSTTAB_H
#define TURNOUT_FAD_FIRSTTAB_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"

struct firsttab;

/* NULL: out of memory. */
struct firsttab *firsttab_new(uint32_t limit, const uint64_t hash_key[2]);
void firsttab_free(struct firsttab *t);

/* who: any number that stands for the affinity. */
bool firsttab_seen(const struct firsttab *t, const struct flow_key *k, uint64_t who);
/* Note it.  False: the oldest was forgotten for it, or there is no memory and it is not noted. */
bool firsttab_note(struct firsttab *t, const struct flow_key *k, uint64_t who);

#endif
