/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The filters of smd's configuration: their tables, and rules brought into one
 * form.  Must not know what filters do.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/config.h"

#define ICMPV6 58

static const struct conf_choice actions[] = {
	{"deny", RULE_DENY}, {"permit", RULE_PERMIT}, {"reject", RULE_REJECT}, {NULL, 0}};

#define AT(type, member) .offset = offsetof(struct type, member)

static bool check_rule(struct conf *c, const struct conf_node *node, void *obj);

static const struct conf_field rule_fields[] = {
	{.name = "action", .kind = CONF_ENUM, AT(rule_conf, action), .required = true, .choices = actions},
	{.name = "protocol", .kind = CONF_STRING, AT(rule_conf, protocol_text), .min = 1, .max = 15, .fallback = "any"},
	{.name = "source", .kind = CONF_PREFIX, AT(rule_conf, source)},
	{.name = "destination", .kind = CONF_PREFIX, AT(rule_conf, destination)},
	{.name = "port", .kind = CONF_U16, AT(rule_conf, port_given), .min = 1, .max = 65535},
	{.name = "ports",
	 .kind = CONF_LIST,
	 AT(rule_conf, ports_given),
	 .min = 1,
	 .max = CONFIG_MAX_PORTS,
	 .item = CONF_STRING,
	 .item_size = sizeof(char *)},
	{.name = NULL},
};
static const struct conf_mapping rule_mapping = {.name = "rule", .fields = rule_fields, .check = check_rule};

static const struct conf_field filter_fields[] = {
	{.name = "name", .kind = CONF_STRING, AT(filter_conf, name), .required = true, .min = 1, .max = 63},
	{.name = "precedence", .kind = CONF_U32, AT(filter_conf, precedence), .max = UINT32_MAX, .fallback = "50"},
	{.name = "agent-gone",
	 .kind = CONF_ENUM,
	 AT(filter_conf, agent_gone),
	 .choices = smd_config_undecided,
	 .fallback = "route"},
	{.name = "rules",
	 .kind = CONF_LIST,
	 AT(filter_conf, rules),
	 .required = true,
	 .min = 1,
	 .max = CONFIG_MAX_RULES,
	 .item = CONF_MAP,
	 .sub = &rule_mapping,
	 .item_size = sizeof(struct rule_conf)},
	{.name = NULL},
};
const struct conf_mapping smd_config_filter_mapping = {.name = "filter", .fields = filter_fields};

/* ---- rules ---- */

static uint8_t family_of(const struct conf_prefix *p)
{
	return p->addr.family == 4 ? RULE_IPV4 : p->addr.family == 6 ? RULE_IPV6 : RULE_IPV4 | RULE_IPV6;
}

static bool check_protocol(struct conf *c, const struct conf_node *node, struct rule_conf *r)
{
	r->protocol = 0;
	if (!strcmp(r->protocol_text, "any") || (proto_parse(r->protocol_text, &r->protocol) && r->protocol))
		return true;
	conf_error(c, conf_field_node(node, "protocol"), NULL,
		   "'%s' is not allowed; takes any, tcp, udp, icmp, icmpv6 or a number from 1 to 255",
		   r->protocol_text);
	return false;
}

static bool check_families(struct conf *c, const struct conf_node *node, struct rule_conf *r)
{
	uint8_t protocol = r->protocol == IPPROTO_ICMP ? RULE_IPV4
			   : r->protocol == ICMPV6     ? RULE_IPV6
						       : RULE_IPV4 | RULE_IPV6;

	r->families = family_of(&r->source) & family_of(&r->destination);
	if (!r->families) {
		conf_error(c, conf_field_node(node, "destination"), NULL, "is not of the source's address family");
		return false;
	}
	r->families &= protocol;
	if (!r->families)
		conf_error(c, conf_field_node(node, "protocol"), NULL, "is not of the addresses' family");
	return r->families;
}

/* "80" or "8000-8999". */
static bool parse_range(const char *text, struct port_range *out)
{
	unsigned low, high;
	char rest;
	int n = sscanf(text, "%5u-%5u%c", &low, &high, &rest);

	if (strspn(text, "0123456789-") != strlen(text) || text[0] == '-')
		return false;
	if (n == 1 && !strchr(text, '-'))
		high = low;
	else if (n != 2)
		return false;
	if (!low || low > high || high > UINT16_MAX)
		return false;
	*out = (struct port_range){(uint16_t)low, (uint16_t)high};
	return strlen(text) <= 11;
}

static int by_low(const void *x, const void *y)
{
	return ((const struct port_range *)x)->low - ((const struct port_range *)y)->low;
}

/* Two rules that mean the same ports have the same ranges. */
static void merge_ports(struct rule_conf *r)
{
	uint8_t n = 0;

	qsort(r->ports, r->port_count, sizeof(r->ports[0]), by_low);
	for (uint8_t i = 1; i < r->port_count; i++) {
		struct port_range *last = &r->ports[n];

		if (r->ports[i].low > last->high + 1)
			r->ports[++n] = r->ports[i];
		else if (r->ports[i].high > last->high)
			last->high = r->ports[i].high;
	}
	if (r->port_count)
		r->port_count = n + 1;
}

static bool check_ports(struct conf *c, const struct conf_node *node, struct rule_conf *r)
{
	const char *field = r->port_given ? "port" : "ports";
	bool ok = true;

	if (r->port_given && r->ports_given.count) {
		conf_error(c, conf_field_node(node, "ports"), NULL, "there is 'port' already; give one of them");
		return false;
	}
	for (size_t i = 0; i < r->ports_given.count; i++) {
		const char *text = ((char *const *)r->ports_given.items)[i];

		if (parse_range(text, &r->ports[i]))
			continue;
		conf_error(c, conf_item_node(node, "ports", i), NULL,
			   "'%s' is not allowed; takes a port or a range such as 80 or 8000-8999, from 1 to 65535",
			   text);
		ok = false;
	}
	r->port_count = (uint8_t)r->ports_given.count;
	if (r->port_given) {
		r->port_count = 1;
		r->ports[0] = (struct port_range){r->port_given, r->port_given};
	}
	if (r->port_count && r->protocol != IPPROTO_TCP && r->protocol != IPPROTO_UDP) {
		conf_error(c, conf_field_node(node, field), NULL, "needs protocol tcp or udp");
		ok = false;
	}
	if (ok)
		merge_ports(r);
	return ok;
}

static bool check_rule(struct conf *c, const struct conf_node *node, void *obj)
{
	struct rule_conf *r = obj;
	bool ok;

	if (!check_protocol(c, node, r))
		return false;
	ok = check_families(c, node, r);
	return check_ports(c, node, r) && ok;
}

/* ---- against the rest of the file ---- */

/* Of one precedence one wildcard acts on a packet: a filter beside a service would take its flows. */
static bool check_precedence(struct conf *c, const struct conf_node *at, const struct smd_conf *conf, size_t n)
{
	const struct filter_conf *f = smd_config_filter(conf, n);
	const char *kind = NULL, *name = NULL;

	for (size_t i = 0; i < n && !name; i++)
		if (smd_config_filter(conf, i)->precedence == f->precedence) {
			kind = "filter";
			name = smd_config_filter(conf, i)->name;
		}
	for (size_t i = 0; i < conf->services.count && !name; i++)
		if (smd_config_service(conf, i)->precedence == f->precedence) {
			kind = "service";
			name = smd_config_service(conf, i)->name;
		}
	if (name)
		conf_error(c, at, "precedence",
			   "%u is the precedence of %s '%s' already; a filter needs one of its own", f->precedence,
			   kind, name);
	return !name;
}

/* What goes to a server as it is leaves the agent there: a later filter never sees it. */
static bool check_behind(struct conf *c, const struct conf_node *at, const struct smd_conf *conf, size_t n)
{
	const struct filter_conf *f = smd_config_filter(conf, n);

	for (size_t i = 0; i < conf->services.count; i++) {
		const struct service_conf *s = smd_config_service(conf, i);

		if (s->mode == MODE_NAT || s->precedence >= f->precedence)
			continue;
		conf_error(c, at, "precedence",
			   "%u comes after service '%s' (%u), whose mode %s lets no packet go on to a filter; "
			   "a filter needs a lower number",
			   f->precedence, s->name, s->precedence, smd_config_mode_name(s->mode));
		return false;
	}
	return true;
}

bool smd_config_check_filters(struct conf *c, const struct conf_node *root, const struct smd_conf *conf)
{
	bool ok = true;

	for (size_t n = 0; n < conf->filters.count; n++) {
		const struct conf_node *at = conf_item_node(root, "filters", n);

		for (size_t i = 0; i < n; i++)
			if (!strcmp(smd_config_filter(conf, i)->name, smd_config_filter(conf, n)->name)) {
				conf_error(c, conf_field_node(at, "name"), NULL, "filter '%s' is there already",
					   smd_config_filter(conf, n)->name);
				ok = false;
			}
		ok &= check_precedence(c, at, conf, n);
		ok &= check_behind(c, at, conf, n);
	}
	return ok;
}
