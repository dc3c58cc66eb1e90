/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A prefix to announce: what may be one, its order and its text.
 *
 * Pure values; must not know of agents, routes or the kernel.
 *
 * Address bytes are in network order and unused ones are zero, host bits too,
 * so prefixes compare and hash as bytes.
 */
#ifndef TURNOUT_ROUTED_GLUE_PREFIX_H
#define TURNOUT_ROUTED_GLUE_PREFIX_H

#include "lib/addr.h"

struct prefix {
	struct addr addr; /* family 4 or 6; host bits zero */
	uint8_t plen;     /* bits, 1..32 or 1..128 */
};
_Static_assert(sizeof(struct prefix) == 18, "prefix has no padding");

#define PREFIX_STRLEN (ADDR_STRLEN + 4)

/*
 * Parse "203.0.113.10/32" or a lone address.  Returns NULL, or why the text is
 * no prefix that may be announced, *p untouched: an agent must not be able to
 * pull the default route, multicast, loopback or link-local into the TUN.
 * ACT-3.
 */
const char *prefix_parse(const char *text, struct prefix *p);

const char *prefix_print(const struct prefix *p, char buf[PREFIX_STRLEN]);

/* IPv4 before IPv6, then by address, then by length; for qsort and bsearch. */
int prefix_compare(const struct prefix *a, const struct prefix *b);

#endif
