/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: does the operator's firewall hit service traffic?  A
 * router that sees one direction of a connection, or sees it before and after
 * translation, has a connection tracking that calls its packets invalid (FA-10).
 *
 * Pure; reads what `nft -j list ruleset` says.
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

/* The hook of a chain; "": it is a chain that others jump to, or not there. */
static const char *hook_of(const json_t *all, const json_t *rule)
{
	json_t *item;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");

		if (chain && same_table(chain, rule) && strcmp(text(chain, "name"), text(rule, "chain")) == 0)
			return text(chain, "hook");
	}
	return "";
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

/* Rules on their way: in the chain itself, or in one that it may jump to. */
static bool in_way_of_forwarding(const json_t *all, const json_t *rule)
{
	const char *hook = hook_of(all, rule);

	return strcmp(hook, "forward") == 0 || strcmp(hook, "prerouting") == 0 || strcmp(hook, "postrouting") == 0 ||
	       (!*hook && table_hooks(all, rule, "forward"));
}

static void tracking(const json_t *rule, struct findings *f, bool untracked)
{
	struct finding *x;
	char name[128];

	snprintf(name, sizeof(name), "%s %s %s", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
	x = finding_add(f, untracked ? SEVERITY_ADVICE : SEVERITY_WARNING, "conntrack", NULL, name);
	finding_text(x,
		     "rules in %s look at the state of tracked connections: this router may see one direction only, or "
		     "packets before and after translation, and calls them invalid%s",
		     name, untracked ? "; there are notrack rules: do they cover the services?" : "");
	finding_fix(x,
		    "do not track traffic of the services: nft add rule %s RAW-CHAIN ip daddr VIP notrack, "
		    "and the same for the servers' answers",
		    text(rule, "family"));
}

static void translation(const json_t *rule, struct findings *f)
{
	char name[128];
	struct finding *x;

	snprintf(name, sizeof(name), "%s %s %s", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
	x = finding_add(f, SEVERITY_WARNING, "nat", NULL, name);
	finding_text(x, "rules in %s translate addresses: they must not touch traffic of the services", name);
	finding_fix(x, "limit them to what is not to or from VIPs and servers: nft -a list chain %s", name);
}

static void policy(const json_t *chain, struct findings *f)
{
	char name[128];
	struct finding *x;

	if (strcmp(text(chain, "hook"), "forward") != 0 || strcmp(text(chain, "policy"), "drop") != 0 || !routed(chain))
		return;
	snprintf(name, sizeof(name), "%s %s %s", text(chain, "family"), text(chain, "table"), text(chain, "name"));
	x = finding_add(f, SEVERITY_ADVICE, "firewall", NULL, name);
	finding_text(x,
		     "%s drops what no rule accepts: packets to servers come out of the punt port, with the servers' "
		     "addresses",
		     name);
	finding_fix(x, "accept what comes in at the punt port: nft insert rule %s iifname \"tn-punt0\" accept", name);
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

static void rules(const json_t *all, struct findings *f)
{
	bool untracked = mentions(all, "notrack", DEPTH);
	json_t *item;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const json_t *rule = json_object_get(item, "rule"), *chain = json_object_get(item, "chain");
		const json_t *expr = json_object_get(rule, "expr");

		if (chain)
			policy(chain, f);
		if (!rule || !routed(rule) || !in_way_of_forwarding(all, rule))
			continue;
		if (tracks(expr) && !told(f, "conntrack", rule))
			tracking(rule, f, untracked);
		if ((mentions(expr, "masquerade", DEPTH) || mentions(expr, "snat", DEPTH) ||
		     mentions(expr, "dnat", DEPTH) || mentions(expr, "redirect", DEPTH)) &&
		    !told(f, "nat", rule))
			translation(rule, f);
	}
}

static void cannot_look(struct findings *f, const char *subject, const char *why, const char *fix)
{
	struct finding *x = finding_add(f, SEVERITY_UNCHECKED, "firewall", NULL, subject);

	finding_text(x, "%s", why);
	finding_fix(x, "%s", fix);
}

static void ruleset(const struct fact_host *h, struct findings *f)
{
	size_t before = f->count;
	json_t *j = h->ruleset ? json_loads(h->ruleset, 0, NULL) : NULL;
	const json_t *all = json_object_get(j, "nftables");

	if (json_is_array(all)) {
		rules(all, f);
		f->good += f->count == before;
	} else {
		cannot_look(f, "nft", "what nft says of its rules cannot be read", "look yourself: nft list ruleset");
	}
	json_decref(j);
}

void doctor_check_firewall(const struct facts *facts, struct findings *f)
{
	const struct fact_host *h = &facts->host;
	bool router = false;

	for (size_t i = 0; i < facts->daemon_count; i++)
		router |= fact_is(&facts->daemons[i], "fad");
	if (!router)
		return;
	if (h->nft == FACT_YES)
		ruleset(h, f);
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
