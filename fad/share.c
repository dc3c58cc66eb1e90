/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shares of sources.  See share.h.
 */
#include "fad/share.h"

#include <string.h>

#include "lib/hash.h"

uint32_t share_place(const uint64_t hash_key[2], const struct flow_key *k, bool from_dst, uint64_t who)
{
	uint8_t source[8 + 1 + SHARE_IPV6] = {0};

	memcpy(source, &who, sizeof(who));
	source[8] = k->family;
	memcpy(source + 9, from_dst ? k->dst : k->src, k->family == 6 ? SHARE_IPV6 : SHARE_IPV4);
	return (uint32_t)(hash_bytes(hash_key, source, sizeof(source)) % SHARE_PLACES);
}

bool share_take(struct share_table *t, uint32_t place, uint64_t each_ns, uint64_t now_ns)
{
	uint64_t *paid = &t->paid_ns[place];

	if (*paid < now_ns)
		*paid = now_ns;
	if (*paid - now_ns > (SHARE_BURST - 1) * each_ns)
		return false;
	*paid += each_ns;
	return true;
}
