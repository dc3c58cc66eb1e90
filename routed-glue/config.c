/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routed-glue's configuration: the table for lib/conf.h and the checks of what
 * the fields mean.  Must not know of sockets or routes.
 */
#include "routed-glue/config.h"

#include <ctype.h>
#include <string.h>

#include "routed-glue/wanted.h"

#define SECOND 1000u
#define HOUR   (3600u * SECOND)

#define AT(member) .offset = offsetof(struct glue_config, member)

static bool check_root(struct conf *c, const struct conf_node *node, void *obj);

static const struct conf_field root_fields[] = {
	{.name = "agents",
	 .kind = CONF_LIST,
	 AT(agents),
	 .required = true,
	 .min = 1,
	 .max = WANTED_AGENTS_MAX,
	 .item = CONF_STRING,
	 .item_size = sizeof(char *)},
	{.name = "interface", .kind = CONF_STRING, AT(interface), .min = 1, .max = 15, .fallback = "vip0"},
	{.name = "address", .kind = CONF_ADDR, AT(address), .fallback = "169.254.77.1"},
	{.name = "protocol", .kind = CONF_U16, AT(protocol), .min = 5, .max = 255, .fallback = "77"},
	{.name = "metric", .kind = CONF_U32, AT(metric), .max = UINT32_MAX, .fallback = "0"},
	{.name = "lease", .kind = CONF_DURATION, AT(lease), .min = 500, .max = HOUR, .fallback = "1s"},
	{.name = "hold", .kind = CONF_DURATION, AT(hold), .max = 60 * SECOND, .fallback = "1200ms"},
	{.name = "flap-limit", .kind = CONF_U32, AT(flap_limit), .max = 1000000, .fallback = "10"},
	{.name = "flap-refill", .kind = CONF_DURATION, AT(flap_refill), .min = 100, .max = HOUR, .fallback = "10s"},
	{.name = "audit", .kind = CONF_DURATION, AT(audit), .min = SECOND, .max = HOUR, .fallback = "10s"},
	{.name = "frr-audit", .kind = CONF_DURATION, AT(frr_audit), .max = HOUR, .fallback = "60s"},
	{.name = "prefixes", .kind = CONF_U32, AT(prefixes), .min = 1, .max = 1000000, .fallback = "65536"},
	{.name = "frr", .kind = CONF_STRING, AT(frr), .min = 1, .max = 90, .fallback = "/var/run/frr"},
	{.name = NULL},
};
static const struct conf_mapping root_mapping = {.name = "routed-glue", .fields = root_fields, .check = check_root};

/* ---- checks ---- */

static bool name_good(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(name);

	return len > 0 && len <= 63 && name[0] != '.' && strspn(name, allowed) == len;
}

static bool check_agents(struct conf *c, const struct conf_node *node, const struct glue_config *conf)
{
	bool ok = true;

	for (size_t i = 0; i < conf->agents.count; i++) {
		const char *name = glue_config_agent(conf, i);
		const struct conf_node *at = conf_item_node(node, "agents", i);

		if (!name_good(name)) {
			conf_error(c, at, NULL,
				   "'%s' is not a daemon's name: 1 to 63 letters, digits, '-', '_' or '.', not "
				   "starting with '.'",
				   name);
			ok = false;
		}
		for (size_t j = 0; j < i; j++)
			if (strcmp(glue_config_agent(conf, j), name) == 0) {
				conf_error(c, at, NULL, "agent '%s' is there already", name);
				ok = false;
			}
	}
	return ok;
}

/* What the kernel takes for a device (dev_valid_name), less '%', which it would replace by a number. */
static bool check_interface(struct conf *c, const struct conf_node *node, const struct glue_config *conf)
{
	const char *name = conf->interface;
	bool ok = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;

	for (const char *p = name; *p; p++)
		ok &= isgraph((unsigned char)*p) && !strchr("/:%", *p);
	if (!ok)
		conf_error(c, conf_field_node(node, "interface"), NULL,
			   "'%s' cannot be a device's name: no spaces, '/', ':' or '%%'", name);
	return ok;
}

static bool check_address(struct conf *c, const struct conf_node *node, const struct glue_config *conf)
{
	static const uint8_t frrs_own[4] = {169, 254, 0, 1};
	const struct addr *a = &conf->address;
	char text[ADDR_STRLEN];

	if (a->family == 4 && a->b[0] == 169 && a->b[1] == 254 && memcmp(a->b, frrs_own, 4) != 0)
		return true;
	conf_error(
		c, conf_field_node(node, "address"), NULL,
		"%s: an IPv4 link-local address is needed, 169.254.0.0/16, and not 169.254.0.1, which FRRouting uses",
		addr_print(a, text));
	return false;
}

/* zebra skips routes that carry a number of its own family as leftovers of
 * itself: they would be installed and never announced. */
static bool check_protocol(struct conf *c, const struct conf_node *node, const struct glue_config *conf)
{
	uint16_t p = conf->protocol;

	if (p != 11 && p != 42 && (p < 186 || p > 199))
		return true;
	conf_error(c, conf_field_node(node, "protocol"), NULL,
		   "%u is FRRouting's own and would never be announced; allowed are 5 to 255 without 11, 42 and 186 to "
		   "199",
		   p);
	return false;
}

static bool check_frr(struct conf *c, const struct conf_node *node, const struct glue_config *conf)
{
	if (conf->frr[0] == '/' || strcmp(conf->frr, GLUE_NO_FRR) == 0)
		return true;
	conf_error(c, conf_field_node(node, "frr"), NULL, "'%s' is neither an absolute path nor '" GLUE_NO_FRR "'",
		   conf->frr);
	return false;
}

static bool check_root(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct glue_config *conf = obj;
	bool ok = check_agents(c, node, conf);

	ok &= check_interface(c, node, conf);
	ok &= check_address(c, node, conf);
	ok &= check_protocol(c, node, conf);
	return check_frr(c, node, conf) && ok;
}

/* ---- loading ---- */

bool glue_config_load(const char *path, struct glue_config *conf)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load(path, &root_mapping, sizeof(*conf), conf);
}

bool glue_config_load_text(const char *name, const char *text, struct glue_config *conf, char *errors,
			   size_t errors_size)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load_text(name, text, strlen(text), &root_mapping, sizeof(*conf), conf, errors, errors_size);
}

void glue_config_free(struct glue_config *conf)
{
	conf_free(&root_mapping, sizeof(*conf), conf);
}
