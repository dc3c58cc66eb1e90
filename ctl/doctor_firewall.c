/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: does the operator's firewall hit service traffic?  A
 * router that sees one direction of a connection, or sees it before and after
 * translation, has a connection tracking that calls its packets invalid (FA-10).
 *
 * Pure; reads what `nft -j list ruleset` says.  All that fad decided comes in at its punt port: rules that name it
 * are the operator's word that he knows.
 */
#include <jansson.h>
#include <string.h>

#include "ctl/doctor.h"

#define DEPTH 64 /* nested expressions looked into */

/* Does this key occur anywhere below? */
static bool mentions(const json_t *j, const char *key, int depth)
{
	const char *name;
	json_t *value;
	size_t i;

	if (depth == 0)
		return false;
	if (json_is_array(j)) {
		json_array_foreach(j, i, value) if (mentions(value, key, depth - 1)) return true;
		return false;
	}
	if (!json_is_object(j))
		return false;
	json_object_foreach((json_t *)(uintptr_t)j, name,
			    value) if (strcmp(name, key) == 0 || mentions(value, key, depth - 1)) return true;
	return false;
}

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* Is traffic that passes through seen by this family's tables? */
static bool routed(const json_t *object)
{
	const char *family = text(object, "family");

	return strcmp(family, "ip") == 0 || strcmp(family, "ip6") == 0 || strcmp(family, "inet") == 0;
}

static bool same_table(const json_t *a, const json_t *b)
{
	return strcmp(text(a, "family"), text(b, "family")) == 0 && strcmp(text(a, "table"), text(b, "table")) == 0;
}

static bool of_chain(const json_t *rule, const json_t *chain)
{
	return same_table(chain, rule) && strcmp(text(chain, "name"), text(rule, "chain")) == 0;
}

static const json_t *chain_of(const json_t *all, const json_t *rule)
{
	json_t *item;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");

		if (chain && of_chain(rule, chain))
			return chain;
	}
	return NULL;
}

/* Has the table of this rule a chain at this hook? */
static bool table_hooks(const json_t *all, const json_t *rule, const char *hook)
{
	json_t *item;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");

		if (chain && same_table(chain, rule) && strcmp(text(chain, "hook"), hook) == 0)
			return true;
	}
	return false;
}

/* "tn-punt0", or "tn*". */
static bool is_name(const json_t *pattern, const char *interface)
{
	const char *s = json_string_value(pattern);
	size_t len = s ? strlen(s) : 0;

	return len > 0 && (strcmp(s, interface) == 0 || (s[len - 1] == '*' && strncmp(s, interface, len - 1) == 0));
}

static bool asks_interface(const json_t *match)
{
	const char *key = text(json_object_get(json_object_get(match, "left"), "meta"), "key");

	return strcmp(key, "iifname") == 0 || strcmp(key, "iif") == 0;
}

/* Is the rule for what comes in at this interface (op "=="), or for what does not ("!=")? */
static bool is_for(const json_t *expr, const char *interface, const char *op)
{
	json_t *item, *name;
	size_t i, k;

	json_array_foreach(expr, i, item)
	{
		const json_t *match = json_object_get(item, "match"), *right = json_object_get(match, "right");

		if (!asks_interface(match) || strcmp(text(match, "op"), op) != 0)
			continue;
		if (is_name(right, interface))
			return true;
		json_array_foreach(json_object_get(right, "set"), k, name) if (is_name(name, interface)) return true;
	}
	return false;
}

/* Does a rule do this with what comes out of the punt port?  chain: only one of its table, NULL: of any. */
static bool handles(const json_t *all, const json_t *chain, const char *verdict, const char *port)
{
	json_t *item;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const json_t *rule = json_object_get(item, "rule"), *expr = json_object_get(rule, "expr");
		bool here = !chain || of_chain(rule, chain);

		if (rule && here && is_for(expr, port, "==") && mentions(expr, verdict, DEPTH))
			return true;
	}
	return false;
}

/* Rules on their way: in the chain itself, or in one that it may jump to. */
static bool in_way_of_forwarding(const json_t *all, const json_t *rule)
{
	const char *hook = text(chain_of(all, rule), "hook"); /* "": others jump to it, or it is not there */

	return strcmp(hook, "forward") == 0 || strcmp(hook, "prerouting") == 0 || strcmp(hook, "postrouting") == 0 ||
	       (!*hook && table_hooks(all, rule, "forward"));
}

#define NOTRACK                                                                                                        \
	"nft 'add table inet turnout; add chain inet turnout raw { type filter hook prerouting priority raw; }; "      \
	"add rule inet turnout raw iifname \"%s\" notrack'"

static void tracking(const json_t *rule, struct findings *f, bool untracked, const char *port)
{
	struct finding *x;
	char name[128];

	snprintf(name, sizeof(name), "%s %s %s", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
	x = finding_add(f, untracked ? SEVERITY_ADVICE : SEVERITY_WARNING, "conntrack", NULL, name);
	finding_text(
		x,
		"rules in %s look at the state of tracked connections: of services the kernel sees but one half of "
		"each direction, translated, out of the punt port, and calls it invalid%s",
		name, untracked ? "; there are notrack rules, but none for the punt port" : "");
	finding_fix(x, NOTRACK, port);
}

static void translation(const json_t *rule, struct findings *f, const char *port)
{
	char name[128];
	struct finding *x;

	snprintf(name, sizeof(name), "%s %s %s", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
	x = finding_add(f, SEVERITY_WARNING, "nat", NULL, name);
	finding_text(x, "rules in %s translate addresses: they must not touch traffic of the services", name);
	finding_fix(x, NOTRACK, port);
}

/* What asks by which interface the source would be reached: rp_filter in other words, and for IPv6 the only one. */
static bool asks_way_back(const json_t *expr)
{
	json_t *item, *flag;
	size_t i, k;

	json_array_foreach(expr, i, item)
	{
		const json_t *left = json_object_get(json_object_get(item, "match"), "left");
		const json_t *fib = json_object_get(left, "fib");
		int found = 0;

		json_array_foreach(json_object_get(fib, "flags"), k, flag) if (json_is_string(flag)) found +=
			strcmp(json_string_value(flag), "saddr") == 0 || strcmp(json_string_value(flag), "iif") == 0;
		if (found == 2)
			return true;
	}
	return false;
}

static void way_back(const json_t *rule, struct findings *f, const char *port)
{
	char name[128];
	struct finding *x;

	snprintf(name, sizeof(name), "%s %s %s", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
	x = finding_add(f, SEVERITY_WARNING, "firewall", NULL, name);
	finding_text(
		x,
		"rules in %s ask whether packets came in where answers would go out: those that come back from the "
		"agent at %s never do",
		name, port);
	finding_fix(x, "nft insert rule %s iifname \"%s\" accept", name, port);
}

/* A rule that nothing passes. */
static bool closes(const json_t *expr)
{
	json_t *item;
	size_t i;

	json_array_foreach(expr, i, item)
	{
		if (json_object_get(item, "drop") || json_object_get(item, "reject"))
			return true;
		if (!json_object_get(item, "counter") && !json_object_get(item, "log"))
			return false;
	}
	return false;
}

/* A rule that may let it pass, wherever it came in; who jumps may do anything. */
static bool may_accept(const json_t *expr)
{
	json_t *item;
	size_t i;

	if (mentions(expr, "ct", DEPTH) ||
	    !(mentions(expr, "accept", DEPTH) || mentions(expr, "jump", DEPTH) || mentions(expr, "goto", DEPTH)))
		return false;
	json_array_foreach(expr, i, item) if (asks_interface(json_object_get(item, "match"))) return false;
	return true;
}

/* A chain that drops what no rule accepts. */
static void closed(const json_t *all, const json_t *chain, struct findings *f, const char *port)
{
	bool shut = strcmp(text(chain, "policy"), "drop") == 0, maybe = false;
	struct finding *x;
	char name[128];
	json_t *item;
	size_t i;

	if (strcmp(text(chain, "hook"), "forward") != 0 || !routed(chain))
		return;
	json_array_foreach(all, i, item)
	{
		const json_t *rule = json_object_get(item, "rule"), *expr = json_object_get(rule, "expr");

		if (!rule || !of_chain(rule, chain))
			continue;
		shut |= closes(expr);
		maybe |= may_accept(expr);
	}
	if (!shut || handles(all, chain, "accept", port))
		return;
	snprintf(name, sizeof(name), "%s %s %s", text(chain, "family"), text(chain, "table"), text(chain, "name"));
	x = finding_add(f, maybe ? SEVERITY_ADVICE : SEVERITY_WARNING, "firewall", NULL, name);
	finding_text(
		x,
		"%s drops what no rule accepts: all packets of services come in at %s, with the servers' addresses "
		"on their way to them, and %s",
		name, port, maybe ? "no rule names it" : "no rule accepts what comes in there");
	finding_fix(x, "nft insert rule %s iifname \"%s\" accept", name, port);
}

/* One finding a chain, not one a rule. */
static bool told(const struct findings *f, const char *check, const json_t *rule)
{
	char name[128];

	snprintf(name, sizeof(name), "%s %s %s", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->list[i].check, check) == 0 && strcmp(f->list[i].subject, name) == 0)
			return true;
	return false;
}

/* Rules of iptables may be written so that nft cannot say what they match. */
static bool tracks(const json_t *expr)
{
	return mentions(expr, "ct", DEPTH) || mentions(expr, "xt", DEPTH);
}

static bool translates(const json_t *expr)
{
	return mentions(expr, "masquerade", DEPTH) || mentions(expr, "snat", DEPTH) || mentions(expr, "dnat", DEPTH) ||
	       mentions(expr, "redirect", DEPTH);
}

/* A rule on the way of services' packets. */
static void one_rule(const json_t *all, const json_t *rule, struct findings *f, const char *port)
{
	const json_t *expr = json_object_get(rule, "expr");
	bool untracked = handles(all, NULL, "notrack", port);

	if (tracks(expr) && !untracked && !told(f, "conntrack", rule))
		tracking(rule, f, mentions(all, "notrack", DEPTH), port);
	/* Nor is what is not tracked translated. */
	if (translates(expr) && !untracked && !told(f, "nat", rule))
		translation(rule, f, port);
	if (asks_way_back(expr) && !is_for(expr, port, "!=") && !told(f, "firewall", rule) &&
	    !handles(all, chain_of(all, rule), "accept", port))
		way_back(rule, f, port);
}

static void rules(const json_t *all, struct findings *f, const char *port)
{
	json_t *item;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const json_t *rule = json_object_get(item, "rule"), *chain = json_object_get(item, "chain");

		if (chain)
			closed(all, chain, f, port);
		if (rule && routed(rule) && in_way_of_forwarding(all, rule))
			one_rule(all, rule, f, port);
	}
}

static void cannot_look(struct findings *f, const char *subject, const char *why, const char *fix)
{
	struct finding *x = finding_add(f, SEVERITY_UNCHECKED, "firewall", NULL, subject);

	finding_text(x, "%s", why);
	finding_fix(x, "%s", fix);
}

static void ruleset(const struct fact_host *h, struct findings *f, const char *port)
{
	size_t before = f->count;
	json_t *j = h->ruleset ? json_loads(h->ruleset, 0, NULL) : NULL;
	const json_t *all = json_object_get(j, "nftables");

	if (json_is_array(all)) {
		rules(all, f, port);
		f->good += f->count == before;
	} else {
		cannot_look(f, "nft", "what nft says of its rules cannot be read", "look yourself: nft list ruleset");
	}
	json_decref(j);
}

void doctor_check_firewall(const struct facts *facts, struct findings *f)
{
	const struct fact_host *h = &facts->host;
	const struct fact_daemon *fad = NULL;
	const char *prefix;
	char port[20];

	for (size_t i = 0; i < facts->daemon_count; i++)
		if (fact_is(&facts->daemons[i], "fad"))
			fad = &facts->daemons[i];
	if (!fad)
		return;
	prefix = fact_setting(fad, "punt-port");
	snprintf(port, sizeof(port), "%s0", *prefix ? prefix : "tn-punt"); /* it may not answer */
	if (h->nft == FACT_YES)
		ruleset(h, f, port);
	else if (h->nft == FACT_ABSENT)
		cannot_look(f, "nft", "the program nft is not installed: firewall rules were not looked at",
			    "apt install nftables; if no firewall is used, nothing");
	else
		cannot_look(f, "nft", "firewall rules cannot be read without privilege",
			    "run turnoutctl doctor as root");
	if (*h->legacy_tables)
		cannot_look(f, h->legacy_tables + 1,
			    "tables of legacy iptables are in use; their rules were not looked at",
			    "iptables-legacy-save; do not track traffic of the services");
}
