/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Consistent-hash tables after Maglev (Eisenbud et al., NSDI 2016), with
 * weights: from a set of names to a table of slots, so that a hash finds a
 * member in one access, members get slots by weight, and adding or removing
 * one member moves little but its own slots.
 *
 * The table depends on names and weights alone, not on their order nor on
 * where or when it is computed: every manager and every restart gets the same
 * one (SM-2).  Pure; must not know what the members are.
 */
#ifndef TURNOUT_SMD_MAGLEV_H
#define TURNOUT_SMD_MAGLEV_H

#include <stdbool.h>
#include <stdint.h>

#define MAGLEV_SLOTS 65537u /* prime; shares are right to about a percent up to 600 members */
#define MAGLEV_MAX   1024u  /* members */
#define MAGLEV_NONE  UINT16_MAX

struct maglev_member {
	const char *name; /* unique in the table; borrowed while building only */
	uint16_t index;   /* what a slot holds, below MAGLEV_NONE */
	uint32_t weight;  /* at least 1 */
};

/*
 * Fill table[MAGLEV_SLOTS].  Without members every slot is MAGLEV_NONE.
 * Returns false, the table untouched, when there are more than MAGLEV_MAX
 * members, a weight is 0, or there is no memory.
 */
bool maglev_build(uint16_t *table, const struct maglev_member *members, unsigned count);

static inline uint16_t maglev_lookup(const uint16_t *table, uint64_t hash)
{
	return table[hash % MAGLEV_SLOTS];
}

#endif
