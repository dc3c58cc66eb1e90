/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Of which flows with a fixed affinity fragments were seen of late, so that the
 * kernel brings up the later ones, too: those have no ports, and no wildcard's key may cover them (ACT-10).
 *
 * Pure; must not know what is done with a packet.  Bounded: the oldest gives way.
 */
#ifndef TURNOUT_FAD_TAILTAB_H
#define TURNOUT_FAD_TAILTAB_H

#include "fad/fixtab.h"

struct tailtab;

/* watch: told of each key, a flow's without its ports; may refuse one to be added. */
struct tailtab *tailtab_new(uint32_t limit, const uint64_t hash_key[2], const struct fixtab_watch *watch, void *ctx);
void tailtab_free(struct tailtab *t); /* takes all keys back */

/* A first fragment of this flow came.  Its key stays for TAILTAB_KEPT_MS. */
void tailtab_note(struct tailtab *t, const struct flow_key *flow, uint64_t now_ms);
/* Is this key, without ports, one of its own? */
bool tailtab_holds(const struct tailtab *t, const struct flow_key *k);
#define TAILTAB_KEPT_MS 30000 /* as long as a datagram's ports are known */
/* Time is up for the oldest. */
void tailtab_expire(struct tailtab *t, uint64_t now_ms);
size_t tailtab_count(const struct tailtab *t);

#endif
