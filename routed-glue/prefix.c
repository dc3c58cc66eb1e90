/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prefixes to announce: parsing, checking, ordering, printing.
 *
 * Pure; must not know of agents, routes or the kernel.
 */
#include <stdio.h>
#include <string.h>

#include "routed-glue/prefix.h"

/* What never goes into the TUN, nor anything that contains it or lies in it. */
static const struct reserved {
	struct prefix prefix;
	const char *why;
} reserved[] = {
	{{{4, {0}}, 8}, "inside or around 0.0.0.0/8"},
	{{{4, {127}}, 8}, "inside or around loopback"},
	{{{4, {169, 254}}, 16}, "inside or around link-local"},
	{{{4, {224}}, 3}, "inside or around multicast or reserved space"},
	{{{6, {0}}, 127}, "inside or around the unspecified or loopback address"},
	{{{6, {0xfe, 0x80}}, 10}, "inside or around link-local"},
	{{{6, {0xff}}, 8}, "inside or around multicast"},
};

static bool overlaps(const struct prefix *a, const struct prefix *b)
{
	uint8_t plen = a->plen < b->plen ? a->plen : b->plen, mask[16];

	if (a->addr.family != b->addr.family)
		return false;
	addr_mask(a->addr.family, plen, mask);
	for (size_t i = 0; i < addr_len(a->addr.family); i++)
		if ((a->addr.b[i] ^ b->addr.b[i]) & mask[i])
			return false;
	return true;
}

const char *prefix_parse(const char *text, struct prefix *p)
{
	struct prefix n = {.plen = 0};
	uint8_t mask[16];

	if (!addr_parse_prefix(text, &n.addr, &n.plen))
		return "not a prefix";
	if (n.plen == 0)
		return "a default route";
	addr_mask(n.addr.family, n.plen, mask);
	for (size_t i = 0; i < addr_len(n.addr.family); i++)
		if (n.addr.b[i] & ~mask[i])
			return "host bits set";
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (overlaps(&n, &reserved[i].prefix))
			return reserved[i].why;
	*p = n;
	return NULL;
}

const char *prefix_print(const struct prefix *p, char buf[PREFIX_STRLEN])
{
	char text[ADDR_STRLEN];

	snprintf(buf, PREFIX_STRLEN, "%s/%u", addr_print(&p->addr, text), p->plen);
	return buf;
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
	int order = (int)a->addr.family - (int)b->addr.family;

	if (order == 0)
		order = memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
	return order ? order : (int)a->plen - (int)b->plen;
}
