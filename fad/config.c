/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fad's configuration: the tables for lib/conf.h and the checks that need more
 * than one field.  Must not know what an engine does with it.
 */
#include "fad/config.h"

#include <ctype.h>
#include <net/if.h>
#include <string.h>

#include "lib/hash.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define MEGABYTE         (1024ull * 1024)
#define STOP_HOLD_MAX    (600 * 1000)
#define LINGER_MAX       (10 * 1000)
#define FALLBACK_FOR_MIN (2 * 1000)
#define FALLBACK_FOR_MAX (3600 * 1000)

static bool check_interface(struct conf *c, const struct conf_node *node, void *obj);
static bool check_root(struct conf *c, const struct conf_node *node, void *obj);

/* ---- tables ---- */

static const struct conf_choice unmatched[] = {{"route", UNMATCHED_ROUTE}, {"drop", UNMATCHED_DROP}, {NULL, 0}};
static const struct conf_choice punt_excess[] = {{"drop", PUNT_EXCESS_DROP}, {"route", PUNT_EXCESS_ROUTE}, {NULL, 0}};

static const struct conf_choice datapath[] = {
	{"auto", DATAPATH_AUTO}, {"ring", DATAPATH_RING}, {"tc", DATAPATH_TC}, {NULL, 0}};

static const struct conf_field interface_fields[] = {
	{.name = "name",
	 .kind = CONF_STRING,
	 AT(interface_conf, name),
	 .required = true,
	 .min = 1,
	 .max = IFNAMSIZ - 1},
	{.name = "unmatched",
	 .kind = CONF_ENUM,
	 AT(interface_conf, unmatched),
	 .choices = unmatched,
	 .fallback = "route"},
	{.name = NULL},
};
static const struct conf_mapping interface_mapping = {
	.name = "interface", .fields = interface_fields, .lone = "name", .check = check_interface};

static const struct conf_field limits_fields[] = {
	{.name = "fixed",
	 .kind = CONF_U32,
	 AT(fad_limits_conf, fixed),
	 .min = 1,
	 .max = 16000000,
	 .fallback = "1000000"},
	{.name = "wildcards",
	 .kind = CONF_U32,
	 AT(fad_limits_conf, wildcards),
	 .min = 1,
	 .max = 1000000,
	 .fallback = "16384"},
	{.name = "hold-flows",
	 .kind = CONF_U32,
	 AT(fad_limits_conf, hold_flows),
	 .min = 1,
	 .max = 1000000,
	 .fallback = "65536"},
	{.name = "hold-packets",
	 .kind = CONF_U32,
	 AT(fad_limits_conf, hold_packets),
	 .min = 1,
	 .max = 4096,
	 .fallback = "64"},
	{.name = "hold-bytes",
	 .kind = CONF_U64,
	 AT(fad_limits_conf, hold_bytes),
	 .min = MEGABYTE / 8,
	 .max = 4096 * MEGABYTE,
	 .fallback = "16777216"},
	{.name = "punt-rate",
	 .kind = CONF_U32,
	 AT(fad_limits_conf, punt_rate),
	 .min = 0,
	 .max = 10000000,
	 .fallback = "5000"},
	{.name = "punt-excess",
	 .kind = CONF_ENUM,
	 AT(fad_limits_conf, punt_excess),
	 .choices = punt_excess,
	 .fallback = "drop"},
	{.name = "fast-flows",
	 .kind = CONF_U32,
	 AT(fad_limits_conf, fast_flows),
	 .min = 1,
	 .max = 16000000,
	 .fallback = "65536"},
	{.name = NULL},
};
static const struct conf_mapping limits_mapping = {.name = "limits", .fields = limits_fields};

static const struct conf_field root_fields[] = {
	{.name = "name", .kind = CONF_STRING, AT(fad_conf, name), .min = 1, .max = WIRE_MAX_NAME},
	{.name = "identity", .kind = CONF_U64, AT(fad_conf, identity), .min = 1, .max = UINT64_MAX},
	{.name = "control", .kind = CONF_MAP, AT(fad_conf, control), .required = true, .sub = &endpoint_conf_mapping},
	{.name = "security", .kind = CONF_MAP, AT(fad_conf, security), .sub = &security_conf_mapping},
	{.name = "interfaces",
	 .kind = CONF_LIST,
	 AT(fad_conf, interfaces),
	 .required = true,
	 .min = 1,
	 .max = CONFIG_MAX_INTERFACES,
	 .item = CONF_MAP,
	 .sub = &interface_mapping,
	 .item_size = sizeof(struct interface_conf)},
	{.name = "accept-uncovered", .kind = CONF_BOOL, AT(fad_conf, accept_uncovered), .fallback = "false"},
	{.name = "permit-protected", .kind = CONF_BOOL, AT(fad_conf, permit_protected), .fallback = "false"},
	{.name = "datapath", .kind = CONF_ENUM, AT(fad_conf, datapath), .choices = datapath, .fallback = "ring"},
	{.name = "punt-port",
	 .kind = CONF_STRING,
	 AT(fad_conf, punt_port),
	 .min = 1,
	 .max = IFNAMSIZ - 2,
	 .fallback = "tn-punt"},
	{.name = "stop-hold", .kind = CONF_DURATION, AT(fad_conf, stop_hold), .max = STOP_HOLD_MAX, .fallback = "0s"},
	{.name = "linger", .kind = CONF_DURATION, AT(fad_conf, linger), .max = LINGER_MAX, .fallback = "500ms"},
	{.name = "fallback",
	 .kind = CONF_LIST,
	 AT(fad_conf, fallback),
	 .max = 2,
	 .item = CONF_ADDR,
	 .item_size = sizeof(struct addr)},
	{.name = "fallback-for",
	 .kind = CONF_DURATION,
	 AT(fad_conf, fallback_for),
	 .min = FALLBACK_FOR_MIN,
	 .max = FALLBACK_FOR_MAX,
	 .fallback = "60s"},
	{.name = "limits", .kind = CONF_MAP, AT(fad_conf, limits), .sub = &limits_mapping},
	{.name = NULL},
};
static const struct conf_mapping root_mapping = {.name = "fad", .fields = root_fields, .check = check_root};

/* ---- checks ---- */

/* What the kernel takes as an interface's name. */
static bool interface_name(struct conf *c, const struct conf_node *node, const char *name)
{
	bool good = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;

	for (const char *p = name; *p != '\0'; p++)
		good &= *p != '/' && *p != ':' && !isspace((unsigned char)*p);
	if (!good)
		conf_error(c, node, NULL, "'%s' cannot be the name of an interface", name);
	return good;
}

static bool check_interface(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct interface_conf *i = obj;

	return interface_name(c, conf_field_node(node, "name"), i->name);
}

static bool is_punt_port(const struct fad_conf *conf, const char *name)
{
	size_t len = strlen(conf->punt_port);

	return strncmp(name, conf->punt_port, len) == 0 && (name[len] == '0' || name[len] == '1') &&
	       name[len + 1] == '\0';
}

static bool check_interfaces(struct conf *c, const struct conf_node *node, const struct fad_conf *conf)
{
	bool ok = true;

	for (size_t i = 0; i < conf->interfaces.count; i++) {
		const char *name = fad_config_interface(conf, i)->name;
		const struct conf_node *at = conf_field_node(conf_item_node(node, "interfaces", i), "name");

		if (is_punt_port(conf, name)) {
			conf_error(c, at, NULL, "'%s' is the punt port itself; choose another punt-port", name);
			ok = false;
		}
		for (size_t k = 0; k < i; k++)
			if (strcmp(fad_config_interface(conf, k)->name, name) == 0) {
				conf_error(c, at, NULL, "interface '%s' is there already", name);
				ok = false;
			}
	}
	return ok;
}

static bool check_name(struct conf *c, const struct conf_node *node, const char *name)
{
	for (const char *p = name; p != NULL && *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e) {
			conf_error(c, node, "name", "only printable ASCII characters are allowed");
			return false;
		}
	return true;
}

/* Can it be a neighbour's address?  Link-local ones say nothing without an interface. */
static bool is_next_hop(const struct addr *a)
{
	if (a->family == 4)
		return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224 && !(a->b[0] == 169 && a->b[1] == 254);
	return !addr_is_zero(a) && a->b[0] != 0xff && !(a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

static bool check_fallback(struct conf *c, const struct conf_node *node, const struct fad_conf *conf)
{
	const struct addr *hops = conf->fallback.items;
	bool ok = true;

	for (size_t i = 0; i < conf->fallback.count; i++) {
		const struct conf_node *at = conf_item_node(node, "fallback", i);
		char text[ADDR_STRLEN];

		if (!is_next_hop(&hops[i])) {
			conf_error(c, at, NULL, "%s cannot be a next hop: not another router's address",
				   addr_print(&hops[i], text));
			ok = false;
		} else if (i > 0 && hops[i].family == hops[0].family) {
			conf_error(c, at, NULL, "one next hop is allowed of each family");
			ok = false;
		}
	}
	return ok;
}

static bool check_root(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct fad_conf *conf = obj;
	bool ok = check_name(c, node, conf->name);

	ok &= check_fallback(c, node, conf);
	ok &= interface_name(c, conf_field_node(node, "punt-port"), conf->punt_port);
	return check_interfaces(c, node, conf) && ok;
}

/* ---- loading ---- */

bool fad_config_load(const char *path, struct fad_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load(path, &root_mapping, sizeof(*conf), conf);
}

bool fad_config_load_text(const char *name, const char *text, struct fad_conf *conf, char *errors, size_t errors_size)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load_text(name, text, strlen(text), &root_mapping, sizeof(*conf), conf, errors, errors_size);
}

bool fad_config_load_quiet(const char *path, struct fad_conf *conf, char *errors, size_t errors_size)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load_quiet(path, &root_mapping, sizeof(*conf), conf, errors, errors_size);
}

void fad_config_free(struct fad_conf *conf)
{
	conf_free(&root_mapping, sizeof(*conf), conf);
}

/* ---- what follows from it ---- */

uint64_t fad_config_identity(const char *machine_id, const char *name)
{
	/* Constants: the value must be the same at each start.  The machine's own
	 * identifier is not to be shown to others, so it goes through a hash. */
	static const uint64_t key[2] = {0x7475726e6f757420, 0x6964656e74697479};
	char text[256];
	uint64_t identity;

	snprintf(text, sizeof(text), "%s %s", machine_id, name);
	identity = hash_bytes(key, text, strlen(text));
	return identity != 0 ? identity : 1;
}

const char *fad_config_needs_restart(const struct fad_conf *a, const struct fad_conf *b)
{
	for (const struct conf_field *f = root_fields; f->name != NULL; f++) {
		const struct conf_field one[] = {*f, {.name = NULL}};
		const struct conf_mapping map = {.fields = one};

		if (f->sub != &security_conf_mapping && !conf_same(&map, a, b))
			return f->name;
	}
	/* The engine has to know whether it may believe. */
	return !a->security.keys.count == !b->security.keys.count ? NULL : "security.keys, from none or to none,";
}

uint32_t fad_config_plans(const struct fad_conf *conf)
{
	uint32_t slots = 64;

	if (conf->datapath == DATAPATH_RING)
		return 0;
	while (slots < conf->limits.fast_flows * 2)
		slots *= 2;
	return slots;
}

struct engine_conf fad_config_engine(const struct fad_conf *conf)
{
	return (struct engine_conf){
		.max_fixed = conf->limits.fixed,
		.max_wildcards = conf->limits.wildcards,
		.hold = {.flows = conf->limits.hold_flows,
			 .packets = conf->limits.hold_packets,
			 .bytes = conf->limits.hold_bytes},
		.punt_rate = conf->limits.punt_rate,
		.punt_excess_routed = conf->limits.punt_excess == PUNT_EXCESS_ROUTE,
		.accept_uncovered = conf->accept_uncovered,
		.permit_protected = conf->permit_protected,
		.authenticated = conf->security.keys.count > 0,
	};
}
