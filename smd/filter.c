/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filter rules as wildcards; see filter.h.  Must not know when they are sent.
 */
#include "smd/filter.h"

#include <string.h>

/* ---- rules against each other ---- */

static bool prefix_covers(const struct conf_prefix *a, const struct conf_prefix *b)
{
	return !a->addr.family ||
	       (b->addr.family && a->plen <= b->plen && smd_config_in_prefix(a, b->addr.family, b->addr.b));
}

static bool prefix_meets(const struct conf_prefix *a, const struct conf_prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

/* Ranges are ascending, and none touches the next: a range that is covered is covered by one. */
static bool range_covered(const struct rule_conf *a, const struct port_range *p)
{
	for (uint8_t i = 0; i < a->port_count; i++)
		if (a->ports[i].low <= p->low && p->high <= a->ports[i].high)
			return true;
	return false;
}

static bool ports_cover(const struct rule_conf *a, const struct rule_conf *b)
{
	for (uint8_t i = 0; i < b->port_count; i++)
		if (a->port_count && !range_covered(a, &b->ports[i]))
			return false;
	return !a->port_count || b->port_count;
}

static bool ports_meet(const struct rule_conf *a, const struct rule_conf *b)
{
	for (uint8_t i = 0; i < a->port_count; i++)
		for (uint8_t j = 0; j < b->port_count; j++)
			if (a->ports[i].low <= b->ports[j].high && b->ports[j].low <= a->ports[i].high)
				return true;
	return !a->port_count || !b->port_count;
}

/* Every packet of b is one of a. */
static bool covers(const struct rule_conf *a, const struct rule_conf *b)
{
	return !(b->families & ~a->families) && (!a->protocol || a->protocol == b->protocol) &&
	       prefix_covers(&a->source, &b->source) && prefix_covers(&a->destination, &b->destination) &&
	       ports_cover(a, b);
}

/* Some packet is one of both. */
static bool meets(const struct rule_conf *a, const struct rule_conf *b)
{
	return a->families & b->families && (!a->protocol || !b->protocol || a->protocol == b->protocol) &&
	       prefix_meets(&a->source, &b->source) && prefix_meets(&a->destination, &b->destination) &&
	       ports_meet(a, b);
}

bool filter_rule_matters(const struct filter_conf *f, size_t n)
{
	const struct rule_conf *r = smd_config_rule(f, n);

	for (size_t i = 0; i < n; i++)
		if (covers(smd_config_rule(f, i), r))
			return false;
	/* What no rule denies, or rejects, is permitted. */
	for (size_t i = n + 1; r->action == RULE_PERMIT && i < f->rules.count; i++)
		if (smd_config_rule(f, i)->action != RULE_PERMIT && meets(smd_config_rule(f, i), r))
			return true;
	return r->action != RULE_PERMIT;
}

/* ---- compiling ---- */

static void set_prefix(const struct conf_prefix *p, uint8_t family, uint8_t bytes[16], uint8_t mask[16])
{
	if (!p->addr.family)
		return;
	addr_mask(family, p->plen, mask);
	for (size_t i = 0; i < addr_len(family); i++)
		bytes[i] = p->addr.b[i] & mask[i];
}

static void set_ports(struct filter_wildcard *w, const struct rule_conf *r)
{
	if (r->port_count == 1 && r->ports[0].low == r->ports[0].high) {
		w->match.dport = r->ports[0].low;
		return;
	}
	for (uint8_t i = 0; i < r->port_count; i++)
		w->ranges[i] = (struct wire_range){
			.field = WIRE_RANGE_DPORT, .low_port = r->ports[i].low, .high_port = r->ports[i].high};
	w->range_count = r->port_count;
}

/* What is denied stays so without an agent, if that is wanted: then also what an earlier rule of it would permit. */
static uint8_t flags_of(const struct filter_conf *f, const struct rule_conf *r)
{
	if (r->action == RULE_PERMIT)
		return 0;
	return WIRE_FLAG_DISPATCH /* to nowhere (FIX-3) */ |
	       (f->agent_gone == UNDECIDED_DROP ? WIRE_FLAG_DROP_GONE : 0);
}

static void compile(const struct rule_conf *r, uint8_t family, uint32_t backup, struct filter_wildcard *w)
{
	memset(w, 0, sizeof(*w));
	w->match.family = family;
	w->match.proto = r->protocol;
	set_prefix(&r->source, family, w->match.src, w->match.src_mask);
	set_prefix(&r->destination, family, w->match.dst, w->match.dst_mask);
	set_ports(w, r);
	w->rejects = r->action == RULE_REJECT;
	w->backup = backup;
}

size_t filter_compile(const struct filter_conf *f, size_t n, uint32_t backup, struct filter_wildcard out[2])
{
	const struct rule_conf *r = smd_config_rule(f, n);
	uint32_t place = backup * FILTER_BACKUP_STEP + (uint32_t)n;
	size_t count = 0;

	if (!filter_rule_matters(f, n))
		return 0;
	if (r->families & RULE_IPV4)
		compile(r, 4, place, &out[count++]);
	if (r->families & RULE_IPV6)
		compile(r, 6, place, &out[count++]);
	for (size_t i = 0; i < count; i++)
		out[i].match.flags = flags_of(f, r);
	return count;
}
