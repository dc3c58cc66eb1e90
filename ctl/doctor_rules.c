/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: would this host's nftables drop a control message?  Walks
 * the rules as the kernel does, with a packet of which not all is known.
 *
 * Pure; reads what `nft -j list ruleset` says.  Where a rule asks what is not
 * known here, the answer is that it is not known: doctor does not guess.
 */
#include <jansson.h>
#include <string.h>

#include "ctl/doctor.h"

#define JUMPS 16      /* the kernel's own limit */
#define STEPS 1000000 /* rules looked at: jumps that fan out and come together again could go on for ever */

enum answer { NO, YES, MAYBE };
enum way { WAY_ON, WAY_ACCEPT, WAY_DROP, WAY_UNKNOWN };

struct walk {
	const json_t *all;
	const struct rules_packet *packet;
	const json_t *culprit; /* the rule that drops, NULL: a policy */
	unsigned steps;
};

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static enum answer not(enum answer a) { return a == MAYBE ? MAYBE : a == YES ? NO : YES; }

/* ---- one value against what a rule says: a value, a range, a prefix, or a set of those ---- */

typedef enum answer (*compare)(const json_t *right, const void *value);

static enum answer any(const json_t *right, compare one, const void *value)
{
	const json_t *list = json_is_array(right) ? right : json_object_get(right, "set");
	enum answer best = NO;
	json_t *item;
	size_t i;

	if (!json_is_array(list))
		return one(right, value);
	json_array_foreach(list, i, item)
	{
		enum answer a = one(item, value);

		if (a == YES)
			return YES;
		best = a == MAYBE ? MAYBE : best;
	}
	return best;
}

static enum answer is_number(const json_t *right, const void *value)
{
	const json_t *range = json_object_get(right, "range");
	json_int_t n = *(const uint16_t *)value;

	if (json_is_integer(right))
		return json_integer_value(right) == n ? YES : NO;
	if (!json_is_integer(json_array_get(range, 0)) || !json_is_integer(json_array_get(range, 1)))
		return MAYBE;
	return n >= json_integer_value(json_array_get(range, 0)) && n <= json_integer_value(json_array_get(range, 1))
		       ? YES
		       : NO;
}

/* Strings that stand for sets, "@name", are not followed. */
static enum answer is_word(const json_t *right, const void *value)
{
	const char *s = json_string_value(right), *word = value;
	size_t len = s ? strlen(s) : 0;

	if (len == 0 || *s == '@')
		return MAYBE;
	if (s[len - 1] == '*')
		return strncmp(s, word, len - 1) == 0 ? YES : NO;
	return strcmp(s, word) == 0 ? YES : NO;
}

static enum answer is_address(const json_t *right, const void *value)
{
	const json_t *prefix = json_object_get(right, "prefix");
	const char *s = prefix ? text(prefix, "addr") : json_string_value(right);
	json_int_t len = json_integer_value(json_object_get(prefix, "len"));
	const struct addr *a = value;
	uint8_t mask[16] = {0};
	struct addr b;

	if (!s || !addr_parse(s, &b))
		return MAYBE;
	if (a->family != b.family)
		return NO;
	if (!prefix)
		return addr_equal(a, &b) ? YES : NO;
	if (len < 0 || len > (json_int_t)addr_len(a->family) * 8)
		return MAYBE;
	addr_mask(a->family, (uint8_t)len, mask);
	for (size_t i = 0; i < addr_len(a->family); i++)
		if ((a->b[i] ^ b.b[i]) & mask[i])
			return NO;
	return YES;
}

static enum answer is_udp(const json_t *right, const void *value)
{
	const uint16_t udp = 17;

	(void)value;
	return json_is_integer(right) ? is_number(right, &udp) : is_word(right, "udp");
}

/* ---- one match ---- */

static enum answer meta(const struct rules_packet *p, const char *key, const json_t *right)
{
	bool in = strcmp(p->hook, "input") == 0;

	if (strcmp(key, "l4proto") == 0)
		return any(right, is_udp, NULL);
	if (strcmp(key, "nfproto") == 0)
		return any(right, is_word, p->to->family == 4 ? "ipv4" : "ipv6");
	if (strcmp(key, "iifname") == 0 || strcmp(key, "iif") == 0)
		return in ? any(right, is_word, p->interface) : NO;
	if (strcmp(key, "oifname") == 0 || strcmp(key, "oif") == 0)
		return in ? NO : any(right, is_word, p->interface);
	return MAYBE;
}

static enum answer payload(const struct rules_packet *p, const json_t *left, const json_t *right)
{
	const char *protocol = text(left, "protocol"), *field = text(left, "field");

	if (strcmp(protocol, "udp") == 0 || strcmp(protocol, "th") == 0)
		return strcmp(field, "dport") == 0 ? any(right, is_number, &p->port) : MAYBE;
	if (strcmp(protocol, "ip") == 0 || strcmp(protocol, "ip6") == 0) {
		if ((p->to->family == 4) != (strcmp(protocol, "ip") == 0))
			return NO;
		if (strcmp(field, "daddr") == 0)
			return any(right, is_address, p->to);
		if (strcmp(field, "protocol") == 0 || strcmp(field, "nexthdr") == 0)
			return any(right, is_udp, NULL);
		return MAYBE;
	}
	return strcmp(protocol, "ether") == 0 || !*protocol ? MAYBE : NO; /* tcp, icmp and so on */
}

static enum answer match(const struct rules_packet *p, const json_t *m)
{
	const json_t *left = json_object_get(m, "left"), *right = json_object_get(m, "right");
	enum answer a = MAYBE;

	if (json_object_get(left, "meta"))
		a = meta(p, text(json_object_get(left, "meta"), "key"), right);
	else if (json_object_get(left, "payload"))
		a = payload(p, json_object_get(left, "payload"), right);
	else if (p->first && strcmp(text(json_object_get(left, "ct"), "key"), "state") == 0)
		a = any(right, is_word, "new");
	if (strcmp(text(m, "op"), "!=") == 0)
		return not(a);
	return strcmp(text(m, "op"), "==") == 0 || strcmp(text(m, "op"), "in") == 0 ? a : MAYBE;
}

/* ---- rules and chains ---- */

/* Statements that neither match nor end. */
static bool neutral(const json_t *statement)
{
	return json_object_get(statement, "counter") || json_object_get(statement, "log") ||
	       json_object_get(statement, "notrack") || json_object_get(statement, "mangle");
}

static bool same_chain(const json_t *rule, const json_t *chain, const char *name)
{
	return strcmp(text(rule, "family"), text(chain, "family")) == 0 &&
	       strcmp(text(rule, "table"), text(chain, "table")) == 0 && strcmp(text(rule, "chain"), name) == 0;
}

static enum way walk_chain(struct walk *w, const json_t *chain, const char *name, int depth);

static enum way statement(struct walk *w, const json_t *chain, const json_t *s, int depth, bool *leaves)
{
	const json_t *jump = json_object_get(s, "jump"), *to = jump ? jump : json_object_get(s, "goto");
	enum way way;

	if (json_object_get(s, "accept"))
		return WAY_ACCEPT;
	if (json_object_get(s, "drop") || json_object_get(s, "reject"))
		return WAY_DROP;
	*leaves = json_object_get(s, "return") || (to && !jump);
	if (!to)
		return *leaves || neutral(s) ? WAY_ON : WAY_UNKNOWN;
	way = depth > 0 ? walk_chain(w, chain, text(to, "target"), depth - 1) : WAY_UNKNOWN;
	return way;
}

static enum way one_rule(struct walk *w, const json_t *chain, const json_t *rule, int depth, bool *leaves)
{
	bool sure = true;
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(rule, "expr"), i, s)
	{
		const json_t *m = json_object_get(s, "match");
		enum answer a = m ? match(w->packet, m) : YES;
		enum way way;

		if (a == NO)
			return WAY_ON;
		sure &= a == YES;
		if (m || neutral(s))
			continue;
		way = statement(w, chain, s, depth, leaves);
		if (way == WAY_DROP && !w->culprit)
			w->culprit = rule;
		if (way != WAY_ON || *leaves)
			return sure ? way : WAY_UNKNOWN;
	}
	return WAY_ON;
}

static enum way walk_chain(struct walk *w, const json_t *chain, const char *name, int depth)
{
	json_t *item;
	size_t i;

	json_array_foreach(w->all, i, item)
	{
		const json_t *rule = json_object_get(item, "rule");
		bool leaves = false;
		enum way way;

		if (++w->steps > STEPS)
			return WAY_UNKNOWN;
		if (!rule || !same_chain(rule, chain, name))
			continue;
		way = one_rule(w, chain, rule, depth, &leaves);
		if (way != WAY_ON || leaves)
			return way;
	}
	return WAY_ON;
}

static bool of_family(const json_t *chain, uint8_t family)
{
	const char *f = text(chain, "family");

	return strcmp(f, "inet") == 0 || strcmp(f, family == 4 ? "ip" : "ip6") == 0;
}

static bool drops(struct walk *w, const json_t *chain)
{
	enum way way;

	w->culprit = NULL;
	way = walk_chain(w, chain, text(chain, "name"), JUMPS);
	return way == WAY_DROP || (way == WAY_ON && strcmp(text(chain, "policy"), "drop") == 0);
}

bool doctor_rules_drop(const struct facts *facts, const struct rules_packet *p, char *where, size_t size)
{
	json_t *j = facts->host.ruleset ? json_loads(facts->host.ruleset, 0, NULL) : NULL, *item;
	struct walk w = {.all = json_object_get(j, "nftables"), .packet = p};
	bool found = false;
	size_t i;

	json_array_foreach(w.all, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");

		if (found || !chain || strcmp(text(chain, "hook"), p->hook) != 0 || !of_family(chain, p->to->family) ||
		    !drops(&w, chain))
			continue;
		found = true;
		if (w.culprit)
			snprintf(where, size, "rule %lld in %s %s %s",
				 (long long)json_integer_value(json_object_get(w.culprit, "handle")),
				 text(w.culprit, "family"), text(w.culprit, "table"), text(w.culprit, "chain"));
		else
			snprintf(where, size, "the policy of %s %s %s", text(chain, "family"), text(chain, "table"),
				 text(chain, "name"));
	}
	json_decref(j);
	return found;
}
