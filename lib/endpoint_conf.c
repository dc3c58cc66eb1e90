/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `control:` and `security:` mappings, alike in fad and smd: tables for
 * lib/conf.h and the checks that need more than one field.
 *
 * Pure; key files are opened when the endpoint is (lib/endpoint_keys_io.c).
 */
#include "lib/endpoint_io.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GROUPS  4
#define MAX_PEERS   256
#define MAX_KEYS    64
#define MAX_SENDERS 256

#define AT(type, member) .offset = offsetof(struct type, member)

static bool check_control(struct conf *c, const struct conf_node *node, void *obj);
static bool check_security(struct conf *c, const struct conf_node *node, void *obj);

static const struct conf_field control_fields[] = {
	{.name = "address", .kind = CONF_ADDR, AT(endpoint_conf, address), .required = true},
	{.name = "port", .kind = CONF_U16, AT(endpoint_conf, port), .min = 1, .max = 65535, .fallback = "7510"},
	{.name = "interface", .kind = CONF_STRING, AT(endpoint_conf, interface), .min = 1, .max = IFNAMSIZ - 1},
	{.name = "group",
	 .kind = CONF_LIST,
	 AT(endpoint_conf, groups),
	 .max = MAX_GROUPS,
	 .item = CONF_ADDR,
	 .item_size = sizeof(struct addr)},
	{.name = "group-port",
	 .kind = CONF_U16,
	 AT(endpoint_conf, group_port),
	 .min = 1,
	 .max = 65535,
	 .fallback = "7511"},
	{.name = "multicast-ttl",
	 .kind = CONF_U16,
	 AT(endpoint_conf, multicast_ttl),
	 .min = 1,
	 .max = 255,
	 .fallback = "8"},
	{.name = "peers",
	 .kind = CONF_LIST,
	 AT(endpoint_conf, peers),
	 .max = MAX_PEERS,
	 .item = CONF_ENDPOINT,
	 .item_size = sizeof(struct conf_endpoint)},
	{.name = "multicast", .kind = CONF_BOOL, AT(endpoint_conf, multicast), .fallback = "true"},
	{.name = NULL},
};
const struct conf_mapping endpoint_conf_mapping = {.name = "control", .fields = control_fields, .check = check_control};

static const struct conf_choice schemes[] = {
	{"hmac-sha256", WIRE_SCHEME_HMAC_SHA256}, {"md5", WIRE_SCHEME_MD5}, {NULL, 0}};

static const struct conf_field key_fields[] = {
	{.name = "id", .kind = CONF_U32, AT(security_key_conf, id), .required = true, .min = 1},
	{.name = "scheme",
	 .kind = CONF_ENUM,
	 AT(security_key_conf, scheme),
	 .choices = schemes,
	 .fallback = "hmac-sha256"},
	{.name = "file", .kind = CONF_STRING, AT(security_key_conf, file), .required = true, .min = 1, .max = 4095},
	{.name = "identities",
	 .kind = CONF_LIST,
	 AT(security_key_conf, identities),
	 .max = SESSION_MAX_PEERS,
	 .item = CONF_U64,
	 .item_size = sizeof(uint64_t)},
	{.name = NULL},
};
static const struct conf_mapping key_mapping = {.name = "key", .fields = key_fields};

static const struct conf_field security_fields[] = {
	{.name = "keys",
	 .kind = CONF_LIST,
	 AT(security_conf, keys),
	 .max = MAX_KEYS,
	 .item = CONF_MAP,
	 .sub = &key_mapping,
	 .item_size = sizeof(struct security_key_conf)},
	{.name = "sign-with", .kind = CONF_U32, AT(security_conf, sign_with), .min = 1},
	{.name = "accept-from",
	 .kind = CONF_LIST,
	 AT(security_conf, accept_from),
	 .max = MAX_SENDERS,
	 .item = CONF_PREFIX,
	 .item_size = sizeof(struct conf_prefix)},
	{.name = NULL},
};
const struct conf_mapping security_conf_mapping = {
	.name = "security", .fields = security_fields, .check = check_security};

/* ---- control ---- */

static bool is_multicast(const struct addr *a)
{
	return a->family == 4 ? a->b[0] >> 4 == 14 : a->b[0] == 0xff;
}

static bool is_broadcast(const struct addr *a)
{
	static const uint8_t ones[4] = {255, 255, 255, 255};

	return a->family == 4 && memcmp(a->b, ones, sizeof(ones)) == 0;
}

static bool check_host(struct conf *c, const struct conf_node *node, const char *field, const struct addr *a)
{
	char text[ADDR_STRLEN];

	if (!addr_is_zero(a) && !is_multicast(a) && !is_broadcast(a))
		return true;
	conf_error(c, node, field, "%s is not the address of a host", addr_print(a, text));
	return false;
}

/* One socket of one family sends everything. */
static bool check_family(struct conf *c, const struct conf_node *node, const struct addr *a, const struct addr *own)
{
	if (a->family == own->family)
		return true;
	conf_error(c, node, NULL, "an IPv%u address, but control.address is IPv%u", a->family, own->family);
	return false;
}

static bool check_groups(struct conf *c, const struct conf_node *node, const struct endpoint_conf *conf)
{
	const struct addr *groups = conf->groups.items;
	char text[ADDR_STRLEN];
	bool ok = true;

	for (size_t i = 0; i < conf->groups.count; i++) {
		const struct conf_node *at = conf_item_node(node, "group", i);

		if (!is_multicast(&groups[i])) {
			conf_error(c, at, NULL, "%s is not a multicast address (224.0.0.0/4, ff00::/8)",
				   addr_print(&groups[i], text));
			ok = false;
			continue;
		}
		ok &= check_family(c, at, &groups[i], &conf->address);
		for (size_t k = 0; k < i; k++)
			if (addr_equal(&groups[k], &groups[i])) {
				conf_error(c, at, NULL, "%s is there already", addr_print(&groups[i], text));
				ok = false;
			}
	}
	return ok;
}

static bool check_peers(struct conf *c, const struct conf_node *node, struct endpoint_conf *conf)
{
	struct conf_endpoint *peers = conf->peers.items;
	bool ok = true;

	for (size_t i = 0; i < conf->peers.count; i++) {
		const struct conf_node *at = conf_item_node(node, "peers", i);

		if (peers[i].port == 0)
			peers[i].port = WIRE_PORT;
		if (!check_host(c, at, NULL, &peers[i].addr) || !check_family(c, at, &peers[i].addr, &conf->address))
			ok = false;
		else if (addr_equal(&peers[i].addr, &conf->address) && peers[i].port == conf->port) {
			conf_error(c, at, NULL, "this is the own address and port");
			ok = false;
		}
	}
	return ok;
}

/* Which group is the default depends on the address, so no table can say it. */
static void default_group(struct endpoint_conf *conf)
{
	struct addr *group = calloc(1, sizeof(*group));

	if (group == NULL)
		abort(); /* out of memory at start-up has no better answer */
	addr_parse(conf->address.family == 4 ? WIRE_GROUP4 : WIRE_GROUP6, group);
	conf->groups = (struct conf_list){group, 1};
}

static bool check_control(struct conf *c, const struct conf_node *node, void *obj)
{
	struct endpoint_conf *conf = obj;
	bool ok = check_host(c, node, "address", &conf->address);

	ok &= check_groups(c, node, conf);
	ok &= check_peers(c, node, conf);
	if (ok && conf->multicast && conf->groups.count == 0)
		default_group(conf);
	return ok;
}

/* ---- security ---- */

static bool check_security(struct conf *c, const struct conf_node *node, void *obj)
{
	struct security_conf *conf = obj;
	const struct security_key_conf *keys = conf->keys.items;
	bool ok = true, found = false;

	for (size_t i = 0; i < conf->keys.count; i++) {
		const struct conf_node *at = conf_item_node(node, "keys", i);
		const uint64_t *identities = keys[i].identities.items;

		found |= keys[i].id == conf->sign_with;
		for (size_t k = 0; k < i; k++)
			if (keys[k].id == keys[i].id) {
				conf_error(c, at, "id", "key %u is there already", keys[i].id);
				ok = false;
			}
		for (size_t k = 0; k < keys[i].identities.count; k++)
			if (identities[k] == 0) {
				conf_error(c, conf_item_node(at, "identities", k), NULL, "no identity is 0");
				ok = false;
			}
	}
	if (conf->sign_with != 0 && !found) {
		conf_error(c, node, "sign-with", "no key here has the id %u", conf->sign_with);
		ok = false;
	}
	if (conf->sign_with == 0 && conf->keys.count > 0)
		conf->sign_with = keys[0].id;
	return ok;
}
