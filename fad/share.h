/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which sources ask managers little, so that they still may when one that asks
 * much has used up a wildcard's rate (FA-5).  A source is a prefix, under one
 * wildcard; a bounded number of places, found by a keyed hash, each with a
 * clock of its own.  Two sources at one place share it.
 *
 * Pure; must not know of packets, or what the wildcard's own rate is.
 */
#ifndef TURNOUT_FAD_SHARE_H
#define TURNOUT_FAD_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"

#define SHARE_PLACES 8192 /* 64 KB */
#define SHARE_BURST  8    /* questions ahead of a source's rate */
#define SHARE_IPV4   3    /* bytes of an address that make a source: /24 */
#define SHARE_IPV6   7    /* likewise: /56, what one site has */

struct share_table {
	uint64_t paid_ns[SHARE_PLACES]; /* when the questions so far are paid for */
};

/*
 * The place of the far end of this key under a wildcard (who: a number that stands for it).  from_dst: the far end is
 * where the packet goes, since it is the wildcard's own servers that send.
 */
uint32_t share_place(const uint64_t hash_key[2], const struct flow_key *k, bool from_dst, uint64_t who);
/* Has it asked less than one question each each_ns?  Then this one is written down. */
bool share_take(struct share_table *t, uint32_t place, uint64_t each_ns, uint64_t now_ns);

#endif
