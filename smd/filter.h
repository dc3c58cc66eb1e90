/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filter rules as wildcards that need no asking (SVC-5, WILD-5): a denied
 * packet is dispatched to nowhere, a rejected one likewise and its sender told,
 * a permitted one goes on to the next precedence.  Of several rules that match, the agent takes the wildcard with
 * the lowest backup precedence (PREC-4): the rule's place in its filter.
 *
 * A rule of which no packet would ever be left, or that could make no
 * difference, is not sent: agents would look at its packets for nothing.
 *
 * Pure; must not know when wildcards are sent.
 */
#ifndef TURNOUT_SMD_FILTER_H
#define TURNOUT_SMD_FILTER_H

#include "proto/wire.h"
#include "smd/config.h"

#define FILTER_BACKUP_STEP 65536u /* between a manager's rules and those of its backup */
_Static_assert(CONFIG_MAX_RULES <= FILTER_BACKUP_STEP, "each rule has a place of its own");

struct filter_wildcard {
	struct wire_wildcard match; /* TTL 0; flags and forward say what becomes of the packet */
	bool rejects;               /* what it drops */
	uint8_t range_count;
	struct wire_range ranges[CONFIG_MAX_PORTS];
	uint32_t backup;
};

/* Of rule n, one of each family; backup: the manager's.  Returns how many. */
size_t filter_compile(const struct filter_conf *f, size_t n, uint32_t backup, struct filter_wildcard out[2]);
/* Is there a packet that rule n decides on? */
bool filter_rule_matters(const struct filter_conf *f, size_t n);

#endif
