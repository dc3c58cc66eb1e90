/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smd's configuration: the tables for lib/conf.h and the checks that need more
 * than one field.  Must not know what services do.
 */
#include "smd/config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smd/balancer.h"

#define SECOND 1000u
#define HOUR   (3600u * SECOND)

/* ---- tables ---- */

static const struct conf_choice check_types[] = {
	{"tcp", CHECK_TCP}, {"http", CHECK_HTTP}, {"https", CHECK_HTTPS}, {"none", CHECK_NONE}, {NULL, 0}};
static const struct conf_choice check_methods[] = {{"GET", CHECK_GET}, {"HEAD", CHECK_HEAD}, {NULL, 0}};
static const struct conf_choice protocols[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {NULL, 0}};
static const struct conf_choice methods[] = {
	{"maglev", BALANCER_MAGLEV},
	{"round-robin", BALANCER_ROUND_ROBIN},
	{"least-connections", BALANCER_LEAST_CONNECTIONS},
	{NULL, 0},
};
static const struct conf_choice modes[] = {
	{"nat", MODE_NAT}, {"direct", MODE_DIRECT}, {"tunnel", MODE_TUNNEL}, {NULL, 0}};
static const struct conf_choice tunnel_kinds[] = {{"ip", WIRE_TUNNEL_IP}, {"udp", WIRE_TUNNEL_UDP}, {NULL, 0}};
static const struct conf_choice when_empty[] = {
	{"withdraw", WHEN_EMPTY_WITHDRAW}, {"drop", WHEN_EMPTY_DROP}, {"reject", WHEN_EMPTY_REJECT}, {NULL, 0}};
const struct conf_choice smd_config_undecided[] = {{"route", UNDECIDED_ROUTE}, {"drop", UNDECIDED_DROP}, {NULL, 0}};
static const struct conf_choice shutdowns[] = {{"withdraw", SHUTDOWN_WITHDRAW}, {"keep", SHUTDOWN_KEEP}, {NULL, 0}};

#define AT(type, member) .offset = offsetof(struct type, member)

static bool check_check(struct conf *c, const struct conf_node *node, void *obj);
static bool check_server(struct conf *c, const struct conf_node *node, void *obj);
static bool check_tunnel(struct conf *c, const struct conf_node *node, void *obj);
static bool check_service(struct conf *c, const struct conf_node *node, void *obj);
static bool check_root(struct conf *c, const struct conf_node *node, void *obj);

static const struct conf_field check_fields[] = {
	{.name = "type", .kind = CONF_ENUM, AT(check_conf, type), .choices = check_types},
	{.name = "port", .kind = CONF_U16, AT(check_conf, port), .min = 1, .max = 65535},
	{.name = "interval",
	 .kind = CONF_DURATION,
	 AT(check_conf, interval),
	 .min = 100,
	 .max = HOUR,
	 .fallback = "1s"},
	{.name = "timeout",
	 .kind = CONF_DURATION,
	 AT(check_conf, timeout),
	 .min = 10,
	 .max = 60 * SECOND,
	 .fallback = "500ms"},
	{.name = "rise", .kind = CONF_U32, AT(check_conf, rise), .min = 1, .max = 1000, .fallback = "2"},
	{.name = "fall", .kind = CONF_U32, AT(check_conf, fall), .min = 1, .max = 1000, .fallback = "2"},
	{.name = "method", .kind = CONF_ENUM, AT(check_conf, method), .choices = check_methods, .fallback = "GET"},
	{.name = "path", .kind = CONF_STRING, AT(check_conf, path), .min = 1, .max = 1023},
	{.name = "host", .kind = CONF_STRING, AT(check_conf, host), .min = 1, .max = 253},
	{.name = "expect-status",
	 .kind = CONF_LIST,
	 AT(check_conf, expect_status),
	 .max = 16,
	 .item = CONF_STRING,
	 .item_size = sizeof(char *)},
	{.name = "expect-body", .kind = CONF_STRING, AT(check_conf, expect_body), .min = 1, .max = 255},
	{.name = "verify", .kind = CONF_BOOL, AT(check_conf, verify), .fallback = "true"},
	{.name = "ca-file", .kind = CONF_STRING, AT(check_conf, ca_file), .min = 1, .max = 4095},
	{.name = NULL},
};
static const struct conf_mapping check_mapping = {.name = "check", .fields = check_fields, .check = check_check};

static const struct conf_field server_fields[] = {
	{.name = "name", .kind = CONF_STRING, AT(server_conf, name), .required = true, .min = 1, .max = 63},
	{.name = "address",
	 .kind = CONF_LIST,
	 AT(server_conf, addresses),
	 .required = true,
	 .min = 1,
	 .max = 2,
	 .item = CONF_ADDR,
	 .item_size = sizeof(struct addr)},
	{.name = "port", .kind = CONF_U16, AT(server_conf, port), .min = 1, .max = 65535},
	{.name = "weight", .kind = CONF_U32, AT(server_conf, weight), .min = 1, .max = 1000, .fallback = "1"},
	{.name = "check-address",
	 .kind = CONF_LIST,
	 AT(server_conf, check_addresses),
	 .max = 2,
	 .item = CONF_ADDR,
	 .item_size = sizeof(struct addr)},
	{.name = NULL},
};
static const struct conf_mapping server_mapping = {.name = "server", .fields = server_fields, .check = check_server};

static const struct conf_field tunnel_fields[] = {
	{.name = "kind", .kind = CONF_ENUM, AT(tunnel_conf, kind), .required = true, .choices = tunnel_kinds},
	{.name = "port", .kind = CONF_U16, AT(tunnel_conf, port), .min = 1, .max = 65535},
	{.name = NULL},
};
static const struct conf_mapping tunnel_mapping = {.name = "tunnel", .fields = tunnel_fields, .check = check_tunnel};

static const struct conf_field service_fields[] = {
	{.name = "name", .kind = CONF_STRING, AT(service_conf, name), .required = true, .min = 1, .max = 63},
	{.name = "vip",
	 .kind = CONF_LIST,
	 AT(service_conf, vips),
	 .required = true,
	 .min = 1,
	 .max = CONFIG_MAX_VIPS,
	 .item = CONF_ADDR,
	 .item_size = sizeof(struct addr)},
	{.name = "protocol", .kind = CONF_ENUM, AT(service_conf, protocol), .choices = protocols, .fallback = "tcp"},
	{.name = "port", .kind = CONF_U16, AT(service_conf, port), .required = true, .min = 1, .max = 65535},
	{.name = "method", .kind = CONF_ENUM, AT(service_conf, method), .choices = methods, .fallback = "maglev"},
	{.name = "mode", .kind = CONF_ENUM, AT(service_conf, mode), .choices = modes, .fallback = "nat"},
	{.name = "tunnel", .kind = CONF_MAP, AT(service_conf, tunnel), .sub = &tunnel_mapping},
	{.name = "when-empty",
	 .kind = CONF_ENUM,
	 AT(service_conf, when_empty),
	 .choices = when_empty,
	 .fallback = "withdraw"},
	{.name = "on-silence",
	 .kind = CONF_ENUM,
	 AT(service_conf, on_silence),
	 .choices = smd_config_undecided,
	 .fallback = "drop"},
	{.name = "agent-gone",
	 .kind = CONF_ENUM,
	 AT(service_conf, agent_gone),
	 .choices = smd_config_undecided,
	 .fallback = "route"},
	{.name = "affinity-ttl",
	 .kind = CONF_DURATION,
	 AT(service_conf, affinity_ttl),
	 .min = 2 * SECOND,
	 .max = 24 * HOUR,
	 .fallback = "60s"},
	{.name = "partition-ttl",
	 .kind = CONF_DURATION,
	 AT(service_conf, partition_ttl),
	 .max = 24 * HOUR,
	 .fallback = "0s"},
	{.name = "sticky", .kind = CONF_DURATION, AT(service_conf, sticky), .max = HOUR, .fallback = "10s"},
	{.name = "precedence", .kind = CONF_U32, AT(service_conf, precedence), .max = UINT32_MAX, .fallback = "100"},
	{.name = "servers",
	 .kind = CONF_LIST,
	 AT(service_conf, servers),
	 .required = true,
	 .min = 1,
	 .max = CONFIG_MAX_SERVERS,
	 .item = CONF_MAP,
	 .sub = &server_mapping,
	 .item_size = sizeof(struct server_conf)},
	{.name = "check", .kind = CONF_MAP, AT(service_conf, check), .sub = &check_mapping},
	{.name = NULL},
};
static const struct conf_mapping service_mapping = {
	.name = "service", .fields = service_fields, .check = check_service};

static const struct conf_field limits_fields[] = {
	{.name = "flows", .kind = CONF_U32, AT(limits_conf, flows), .min = 1, .max = 100000000, .fallback = "4000000"},
	{.name = "agents", .kind = CONF_U32, AT(limits_conf, agents), .min = 1, .max = 4096, .fallback = "4096"},
	{.name = NULL},
};
static const struct conf_mapping limits_mapping = {.name = "limits", .fields = limits_fields};

static const struct conf_field root_fields[] = {
	{.name = "name", .kind = CONF_STRING, AT(smd_conf, name), .min = 1, .max = WIRE_MAX_NAME},
	{.name = "identity", .kind = CONF_U64, AT(smd_conf, identity), .required = true, .min = 1, .max = UINT64_MAX},
	{.name = "control", .kind = CONF_MAP, AT(smd_conf, control), .required = true, .sub = &endpoint_conf_mapping},
	{.name = "security", .kind = CONF_MAP, AT(smd_conf, security), .sub = &security_conf_mapping},
	{.name = "services",
	 .kind = CONF_LIST,
	 AT(smd_conf, services),
	 .min = 1,
	 .max = CONFIG_MAX_SERVICES,
	 .item = CONF_MAP,
	 .sub = &service_mapping,
	 .item_size = sizeof(struct service_conf)},
	{.name = "filters",
	 .kind = CONF_LIST,
	 AT(smd_conf, filters),
	 .min = 1,
	 .max = CONFIG_MAX_FILTERS,
	 .item = CONF_MAP,
	 .sub = &smd_config_filter_mapping,
	 .item_size = sizeof(struct filter_conf)},
	{.name = "backup", .kind = CONF_U32, AT(smd_conf, backup), .max = CONFIG_MAX_BACKUP, .fallback = "0"},
	{.name = "masquerade",
	 .kind = CONF_LIST,
	 AT(smd_conf, masquerade),
	 .max = 64,
	 .item = CONF_PREFIX,
	 .item_size = sizeof(struct conf_prefix)},
	{.name = "wildcard-ttl",
	 .kind = CONF_DURATION,
	 AT(smd_conf, wildcard_ttl),
	 .min = 3 * SECOND,
	 .max = HOUR,
	 .fallback = "30s"},
	{.name = "flow-ttl",
	 .kind = CONF_DURATION,
	 AT(smd_conf, flow_ttl),
	 .min = SECOND,
	 .max = 24 * HOUR,
	 .fallback = "300s"},
	{.name = "shutdown", .kind = CONF_ENUM, AT(smd_conf, shutdown), .choices = shutdowns, .fallback = "withdraw"},
	{.name = "limits", .kind = CONF_MAP, AT(smd_conf, limits), .sub = &limits_mapping},
	{.name = NULL},
};
static const struct conf_mapping root_mapping = {.name = "smd", .fields = root_fields, .check = check_root};

/* ---- checks ---- */

static const struct addr *address(const struct conf_list *list, size_t i)
{
	return &((const struct addr *)list->items)[i];
}

const struct addr *smd_config_address(const struct conf_list *addresses, uint8_t family)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (address(addresses, i)->family == family)
			return address(addresses, i);
	return NULL;
}

bool smd_config_in_prefix(const struct conf_prefix *p, uint8_t family, const uint8_t *bytes)
{
	uint8_t mask[16];

	if (p->addr.family != family)
		return false;
	addr_mask(family, p->plen, mask);
	for (size_t i = 0; i < addr_len(family); i++)
		if ((p->addr.b[i] ^ bytes[i]) & mask[i])
			return false;
	return true;
}

const char *smd_config_mode_name(enum config_mode mode)
{
	return modes[mode].name;
}

enum config_check_type smd_config_check_type(const struct service_conf *s)
{
	if (s->check.type != CHECK_AUTO)
		return s->check.type;
	return s->protocol == IPPROTO_TCP || s->check.port ? CHECK_TCP : CHECK_NONE;
}

/* Could this be the address of one host?  Refuses unspecified, multicast, broadcast. */
static bool usable(struct conf *c, const struct conf_node *node, const char *field, const struct addr *a)
{
	static const uint8_t all_ones[4] = {255, 255, 255, 255};
	bool multicast = a->family == 4 ? a->b[0] >> 4 == 14 : a->b[0] == 0xff;
	char text[ADDR_STRLEN];

	if (!addr_is_zero(a) && !multicast && (a->family != 4 || memcmp(a->b, all_ones, 4) != 0))
		return true;
	conf_error(c, node, field, "%s is not the address of a host", addr_print(a, text));
	return false;
}

static bool one_of_each_family(struct conf *c, const struct conf_node *node, const char *field,
			       const struct conf_list *list)
{
	bool ok = true;

	for (size_t i = 0; i < list->count; i++)
		ok &= usable(c, conf_item_node(node, field, i), NULL, address(list, i));
	if (list->count == 2 && address(list, 0)->family == address(list, 1)->family) {
		conf_error(c, conf_item_node(node, field, 1), NULL,
			   "a second address of the same family; give one IPv4 and one IPv6 address at most");
		ok = false;
	}
	return ok;
}

/* "200" or "200-299". */
static bool parse_status(const char *text, unsigned *first, unsigned *last)
{
	char rest;
	int n = sscanf(text, "%3u-%3u%c", first, last, &rest);

	if (strspn(text, "0123456789-") != strlen(text) || text[0] == '-')
		return false;
	if (n == 1 && strlen(text) == 3)
		*last = *first;
	else if (n != 2 || strlen(text) != 7)
		return false;
	return *first >= 100 && *first <= *last && *last <= 599;
}

static const char *status_text(const struct check_conf *k, size_t i)
{
	return ((char *const *)k->expect_status.items)[i];
}

bool smd_config_status_good(const struct check_conf *k, unsigned status)
{
	unsigned first, last;

	if (!k->expect_status.count)
		return parse_status(CHECK_STATUS_DEFAULT, &first, &last) && status >= first && status <= last;
	for (size_t i = 0; i < k->expect_status.count; i++)
		if (parse_status(status_text(k, i), &first, &last) && status >= first && status <= last)
			return true;
	return false;
}

/* All characters above space, below DEL: what may be sent in a request's line or header. */
static bool one_word(const char *text)
{
	for (; *text; text++)
		if (*text <= 0x20 || *text > 0x7e)
			return false;
	return true;
}

static bool check_http(struct conf *c, const struct conf_node *node, const struct check_conf *k)
{
	static const char host[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
	bool ok = true;

	if (k->path && (k->path[0] != '/' || !one_word(k->path))) {
		conf_error(c, conf_field_node(node, "path"), NULL,
			   "takes a path that begins with '/', without spaces; write others as %%20 and the like");
		ok = false;
	}
	if (k->host && strspn(k->host, host) != strlen(k->host)) {
		conf_error(c, conf_field_node(node, "host"), NULL, "takes a host's name, without a port");
		ok = false;
	}
	for (size_t i = 0; i < k->expect_status.count; i++) {
		unsigned first, last;

		if (parse_status(status_text(k, i), &first, &last))
			continue;
		conf_error(c, conf_item_node(node, "expect-status", i), NULL,
			   "'%s' is not allowed; takes a status or a range such as 200 or 200-299, from 100 to 599",
			   status_text(k, i));
		ok = false;
	}
	if (k->expect_body && k->method == CHECK_HEAD) {
		conf_error(c, conf_field_node(node, "expect-body"), NULL, "the answer to a HEAD request has no body");
		ok = false;
	}
	return ok;
}

/* Settings that this type of check does not look at are mistakes. */
static bool check_type(struct conf *c, const struct conf_node *node, const struct check_conf *k)
{
	bool http = k->type == CHECK_HTTP || k->type == CHECK_HTTPS;
	const char *stray = NULL, *type = "http or https";

	if (!http)
		stray = k->path                  ? "path"
			: k->host                ? "host"
			: k->expect_status.count ? "expect-status"
			: k->expect_body         ? "expect-body"
			: k->method != CHECK_GET ? "method"
						 : NULL;
	if (!stray && k->type != CHECK_HTTPS && (k->ca_file || !k->verify)) {
		stray = k->ca_file ? "ca-file" : "verify";
		type = "https";
	}
	if (stray)
		conf_error(c, conf_field_node(node, stray), NULL, "is for checks of type %s only", type);
	return !stray;
}

/* Now, where it can be said by its name, and not as a failing check. */
static bool check_ca_file(struct conf *c, const struct conf_node *node, const struct check_conf *k)
{
	int fd = open(k->ca_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = -1;
	char byte;

	if (fd >= 0)
		n = read(fd, &byte, 1);
	if (n <= 0)
		conf_error(c, conf_field_node(node, "ca-file"), NULL, "cannot use %s: %s", k->ca_file,
			   n < 0 ? strerror(errno) : "the file is empty");
	if (fd >= 0)
		close(fd);
	return n > 0;
}

static bool check_check(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct check_conf *k = obj;
	bool ok = check_type(c, node, k);

	ok = check_http(c, node, k) && ok;
	if (ok && k->ca_file)
		ok = check_ca_file(c, node, k);
	if (k->timeout <= k->interval)
		return ok;
	conf_error(c, conf_field_node(node, "timeout"), NULL, "%ums is longer than the interval, %ums", k->timeout,
		   k->interval);
	return false;
}

static bool check_server(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct server_conf *s = obj;
	bool ok = one_of_each_family(c, node, "address", &s->addresses);

	return one_of_each_family(c, node, "check-address", &s->check_addresses) && ok;
}

static bool has_family(const struct service_conf *s, uint8_t family)
{
	for (size_t i = 0; i < s->servers.count; i++)
		if (smd_config_address(&smd_config_server(s, i)->addresses, family))
			return true;
	return false;
}

/* Why routers refuse to announce it (routed-glue's list of reserved prefixes), or NULL. */
static const char *never_announced(const struct addr *vip)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (vip->family == 6)
		return !memcmp(vip->b, loopback6, sizeof(loopback6))     ? "loopback"
		       : vip->b[0] == 0xfe && (vip->b[1] & 0xc0) == 0x80 ? "link-local"
									 : NULL;
	return vip->b[0] == 127                         ? "loopback"
	       : vip->b[0] == 169 && vip->b[1] == 254   ? "link-local"
	       : vip->b[0] == 0 || vip->b[0] >> 4 == 15 ? "reserved"
							: NULL;
}

static bool check_vip(struct conf *c, const struct conf_node *at, const struct addr *vip)
{
	char text[ADDR_STRLEN];
	const char *why;

	if (!usable(c, at, NULL, vip))
		return false;
	why = never_announced(vip);
	if (why)
		conf_error(c, at, NULL, "%s is a %s address, which routers never announce", addr_print(vip, text), why);
	return !why;
}

static bool check_vips(struct conf *c, const struct conf_node *node, const struct service_conf *s)
{
	bool ok = true;

	for (size_t i = 0; i < s->vips.count; i++) {
		const struct addr *vip = address(&s->vips, i);
		const struct conf_node *at = conf_item_node(node, "vip", i);

		ok &= check_vip(c, at, vip);
		if (!has_family(s, vip->family)) {
			conf_error(c, at, NULL, "an IPv%u VIP, but no server has an IPv%u address", vip->family,
				   vip->family);
			ok = false;
		}
	}
	return ok;
}

static bool check_server_in_service(struct conf *c, const struct conf_node *node, const struct service_conf *s,
				    size_t n)
{
	const struct server_conf *server = smd_config_server(s, n);
	const struct conf_node *at = conf_item_node(node, "servers", n);
	bool ok = true;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(smd_config_server(s, i)->name, server->name)) {
			conf_error(c, conf_field_node(at, "name"), NULL, "server '%s' is there already", server->name);
			ok = false;
		}
	for (size_t i = 0; i < server->addresses.count; i++) {
		const struct addr *a = address(&server->addresses, i);
		const struct conf_node *item = conf_item_node(at, "address", i);

		if (!smd_config_address(&s->vips, a->family)) {
			conf_error(c, item, NULL, "an IPv%u address, but the service has no IPv%u VIP", a->family,
				   a->family);
			ok = false;
		}
	}
	return ok;
}

/* Two servers of a service at one address and port would have one reverse key. */
static bool check_distinct(struct conf *c, const struct conf_node *node, const struct service_conf *s, size_t n)
{
	const struct server_conf *b = smd_config_server(s, n);

	for (size_t i = 0; i < n; i++) {
		const struct server_conf *a = smd_config_server(s, i);

		for (size_t j = 0; j < b->addresses.count; j++) {
			const struct addr *mine = address(&b->addresses, j);
			const struct addr *other = smd_config_address(&a->addresses, mine->family);
			bool same_port = (a->port ? a->port : s->port) == (b->port ? b->port : s->port);

			if (!other || !same_port || !addr_equal(other, mine))
				continue;
			conf_error(c, conf_item_node(conf_item_node(node, "servers", n), "address", j), NULL,
				   "server '%s' has this address and port already", a->name);
			return false;
		}
	}
	return true;
}

static bool check_tunnel(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct tunnel_conf *t = obj;

	if (t->kind == WIRE_TUNNEL_UDP && !t->port) {
		conf_error(c, node, "port", "is missing; kind udp needs the port that servers listen on");
		return false;
	}
	if (t->kind == WIRE_TUNNEL_IP && t->port) {
		conf_error(c, conf_field_node(node, "port"), NULL, "is for kind udp only");
		return false;
	}
	return true;
}

/* Packets that arrive unchanged are for the VIP's port, whatever the server's address. */
static bool check_mode(struct conf *c, const struct conf_node *node, const struct service_conf *s)
{
	bool ok = true;

	if (s->mode == MODE_TUNNEL && !s->tunnel.kind) {
		conf_error(c, node, "tunnel", "is missing; mode tunnel takes {kind: ip} or {kind: udp, port: NUMBER}");
		ok = false;
	}
	if (s->mode != MODE_TUNNEL && s->tunnel.kind) {
		conf_error(c, conf_field_node(node, "tunnel"), NULL, "is for mode tunnel only");
		ok = false;
	}
	for (size_t i = 0; s->mode != MODE_NAT && i < s->servers.count; i++) {
		const struct server_conf *server = smd_config_server(s, i);

		if (!server->port || server->port == s->port)
			continue;
		conf_error(c, conf_field_node(conf_item_node(node, "servers", i), "port"), NULL,
			   "%u is not the service's port, %u; with mode %s packets reach the server unchanged",
			   server->port, s->port, smd_config_mode_name(s->mode));
		ok = false;
	}
	return ok;
}

/* Partitions translate back without knowing the flow: by the server alone. */
static bool check_partition(struct conf *c, const struct conf_node *node, const struct service_conf *s)
{
	const struct conf_node *at = conf_field_node(node, "partition-ttl");
	bool seen[2] = {false, false};

	if (!s->partition_ttl)
		return true;
	if (s->mode != MODE_NAT) {
		conf_error(c, at, NULL, "is for mode nat only");
		return false;
	}
	for (size_t i = 0; i < s->vips.count; i++) {
		bool *family = &seen[address(&s->vips, i)->family == 6];

		if (*family) {
			conf_error(c, at, NULL, "takes one VIP of each family; service '%s' has several", s->name);
			return false;
		}
		*family = true;
	}
	return true;
}

static bool check_service(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct service_conf *s = obj;
	bool ok = check_vips(c, node, s);

	ok &= check_mode(c, node, s);
	ok &= check_partition(c, node, s);

	for (size_t i = 0; i < s->servers.count; i++) {
		ok &= check_server_in_service(c, node, s, i);
		ok &= check_distinct(c, node, s, i);
	}
	return ok;
}

/* VIP i of service b against all VIPs before it. */
static bool check_vip_unique(struct conf *c, const struct conf_node *item, const struct smd_conf *conf, size_t n,
			     size_t i)
{
	const struct service_conf *b = smd_config_service(conf, n);
	const struct addr *vip = address(&b->vips, i);
	char text[ENDPOINT_STRLEN];

	for (size_t k = 0; k <= n; k++) {
		const struct service_conf *a = smd_config_service(conf, k);
		size_t end = k == n ? i : a->vips.count;

		if (a->port != b->port || a->protocol != b->protocol)
			continue;
		for (size_t j = 0; j < end; j++)
			if (addr_equal(address(&a->vips, j), vip)) {
				conf_error(c, item, NULL, "%s, %s is used by service '%s' already",
					   endpoint_print(vip, b->port, text),
					   b->protocol == IPPROTO_TCP ? "tcp" : "udp", a->name);
				return false;
			}
	}
	return true;
}

static bool check_vip_no_server(struct conf *c, const struct conf_node *item, const struct smd_conf *conf,
				const struct addr *vip)
{
	if (addr_equal(&conf->control.address, vip)) {
		conf_error(c, item, NULL, "this is control.address; a VIP must not be the manager's own address");
		return false;
	}
	for (size_t k = 0; k < conf->services.count; k++) {
		const struct service_conf *s = smd_config_service(conf, k);

		for (size_t i = 0; i < s->servers.count; i++) {
			const struct server_conf *server = smd_config_server(s, i);
			const struct addr *a = smd_config_address(&server->addresses, vip->family);

			if (a && addr_equal(a, vip)) {
				conf_error(c, item, NULL,
					   "this is the address of server '%s'; a VIP must not be on any server's "
					   "own address",
					   server->name);
				return false;
			}
		}
	}
	return true;
}

static bool check_partition_ttl(struct conf *c, const struct conf_node *node, const struct smd_conf *conf,
				const struct service_conf *s)
{
	if (!s->partition_ttl || s->partition_ttl > conf->wildcard_ttl)
		return true;
	conf_error(c, conf_field_node(node, "partition-ttl"), NULL, "%ums is not longer than wildcard-ttl, %ums",
		   s->partition_ttl, conf->wildcard_ttl);
	return false;
}

/* A server's address as services with partitions have it. */
struct part {
	struct addr addr;
	uint16_t port;
	int protocol;
	size_t service;
};

static int compare_places(const struct part *a, const struct part *b)
{
	int r = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	if (r == 0)
		r = (a->port > b->port) - (a->port < b->port);
	return r ? r : (a->protocol > b->protocol) - (a->protocol < b->protocol);
}

static int compare_parts(const void *x, const void *y)
{
	const struct part *a = x, *b = y;
	int r = compare_places(a, b);

	return r ? r : (a->service > b->service) - (a->service < b->service);
}

/* Their number; written where out is not NULL. */
static size_t list_parts(const struct smd_conf *conf, struct part *out)
{
	size_t count = 0;

	for (size_t n = 0; n < conf->services.count; n++) {
		const struct service_conf *s = smd_config_service(conf, n);

		for (size_t i = 0; s->partition_ttl && i < s->servers.count; i++) {
			const struct server_conf *x = smd_config_server(s, i);

			for (size_t k = 0; k < x->addresses.count; k++, count++)
				if (out)
					out[count] = (struct part){.addr = *address(&x->addresses, k),
								   .port = x->port ? x->port : s->port,
								   .protocol = s->protocol,
								   .service = n};
		}
	}
	return count;
}

/* The later of two services with a server in common; once. */
static bool check_neighbours(struct conf *c, const struct conf_node *node, const struct smd_conf *conf,
			     const struct part *one, const struct part *two, bool *told)
{
	if (compare_places(one, two) != 0 || one->service == two->service)
		return true;
	if (!told[two->service])
		conf_error(c, conf_field_node(conf_item_node(node, "services", two->service), "partition-ttl"), NULL,
			   "services '%s' and '%s' share a server's address and port; only one of them can have it",
			   smd_config_service(conf, one->service)->name, smd_config_service(conf, two->service)->name);
	told[two->service] = true;
	return false;
}

/* What a server sends is translated back by its address and port alone: they tell of one service.  Sorted, since there
 * may be hundreds of thousands. */
static bool check_partition_servers(struct conf *c, const struct conf_node *node, const struct smd_conf *conf)
{
	size_t count = list_parts(conf, NULL);
	struct part *all = calloc(count + 1, sizeof(*all));
	bool *told = calloc(conf->services.count + 1, sizeof(*told)), ok = all && told;

	if (!ok)
		conf_error(c, node, "services", "no memory to check them");
	if (ok) {
		list_parts(conf, all);
		qsort(all, count, sizeof(*all), compare_parts);
		for (size_t i = 1; i < count; i++)
			ok &= check_neighbours(c, node, conf, &all[i - 1], &all[i], told);
	}
	free(all);
	free(told);
	return ok;
}

static bool check_name(struct conf *c, const struct conf_node *node, const char *name)
{
	for (const char *p = name; p && *p; p++)
		if (*p < 0x20 || *p > 0x7e) {
			conf_error(c, conf_field_node(node, "name"), NULL,
				   "only printable ASCII characters are allowed");
			return false;
		}
	return true;
}

static bool check_root(struct conf *c, const struct conf_node *node, void *obj)
{
	const struct smd_conf *conf = obj;
	bool ok = check_name(c, node, conf->name);

	if (!conf->services.count && !conf->filters.count) {
		conf_error(c, node, "services", "is missing, and so is 'filters': one of them is needed");
		ok = false;
	}
	ok &= smd_config_check_filters(c, node, conf);
	for (size_t n = 0; n < conf->services.count; n++) {
		const struct service_conf *s = smd_config_service(conf, n);
		const struct conf_node *at = conf_item_node(node, "services", n);

		for (size_t i = 0; i < n; i++)
			if (!strcmp(smd_config_service(conf, i)->name, s->name)) {
				conf_error(c, conf_field_node(at, "name"), NULL, "service '%s' is there already",
					   s->name);
				ok = false;
			}
		ok &= check_partition_ttl(c, at, conf, s);
		for (size_t i = 0; i < s->vips.count; i++) {
			const struct conf_node *item = conf_item_node(at, "vip", i);

			ok &= check_vip_unique(c, item, conf, n, i);
			ok &= check_vip_no_server(c, item, conf, address(&s->vips, i));
		}
	}
	ok &= check_partition_servers(c, node, conf);
	return ok;
}

const char *smd_config_needs_restart(const struct smd_conf *a, const struct smd_conf *b)
{
	if (!a->name != !b->name || (a->name && strcmp(a->name, b->name) != 0))
		return "name";
	if (a->identity != b->identity)
		return "identity";
	if (!conf_same(&endpoint_conf_mapping, &a->control, &b->control))
		return "control";
	return conf_same(&limits_mapping, &a->limits, &b->limits) ? NULL : "limits";
}

/* ---- loading ---- */

bool smd_config_load(const char *path, struct smd_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load(path, &root_mapping, sizeof(*conf), conf);
}

bool smd_config_load_quiet(const char *path, struct smd_conf *conf, char *errors, size_t errors_size)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load_quiet(path, &root_mapping, sizeof(*conf), conf, errors, errors_size);
}

bool smd_config_load_text(const char *name, const char *text, struct smd_conf *conf, char *errors, size_t errors_size)
{
	memset(conf, 0, sizeof(*conf));
	return conf_load_text(name, text, strlen(text), &root_mapping, sizeof(*conf), conf, errors, errors_size);
}

void smd_config_free(struct smd_conf *conf)
{
	conf_free(&root_mapping, sizeof(*conf), conf);
}
