/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of lib/conf.c and lib/conf_tree.c: good files, bad files with the
 * messages they must give to the letter, and input that is no configuration.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/conf_tree.h"

/* ---- a configuration with every kind of field ---- */

struct server {
	char *name;
	uint16_t port;
	struct conf_list address;
	const struct conf_node *port_node;
};

struct service {
	char *name;
	int method;
	struct conf_list servers;
};

struct limits {
	uint32_t flows;
	uint64_t identity;
};

struct config {
	char *name;
	bool fast;
	uint32_t ttl;
	struct conf_prefix net;
	struct conf_list peers;
	struct limits limits;
	struct conf_list services;
	struct conf_list interfaces;
};

static bool check_server(struct conf *c, const struct conf_node *node, void *obj)
{
	struct server *s = obj;

	if (s->port != 666)
		return true;
	conf_error(c, s->port_node, NULL, "%u is not a port for servers", s->port);
	conf_error(c, node, "name", "'%s' is a server's name", s->name);
	if (s->address.count > 1)
		conf_error(c, conf_item_node(node, "address", 1), NULL, "one is enough");
	return false;
}

static const struct conf_choice methods[] = {{"maglev", 1}, {"round-robin", 2}, {NULL, 0}};

static const struct conf_field server_fields[] = {
	{.name = "name",
	 .kind = CONF_STRING,
	 .offset = offsetof(struct server, name),
	 .required = true,
	 .min = 1,
	 .max = 8},
	{.name = "port",
	 .kind = CONF_U16,
	 .offset = offsetof(struct server, port),
	 .min = 1,
	 .fallback = "80",
	 .node_offset = offsetof(struct server, port_node)},
	{.name = "address",
	 .kind = CONF_LIST,
	 .offset = offsetof(struct server, address),
	 .item = CONF_ADDR,
	 .item_size = sizeof(struct addr),
	 .max = 2},
	{.name = NULL},
};
static const struct conf_mapping server_mapping = {"server", server_fields, .lone = "name", .check = check_server};

static const struct conf_field service_fields[] = {
	{.name = "name", .kind = CONF_STRING, .offset = offsetof(struct service, name), .required = true},
	{.name = "method",
	 .kind = CONF_ENUM,
	 .offset = offsetof(struct service, method),
	 .choices = methods,
	 .fallback = "maglev"},
	{.name = "servers",
	 .kind = CONF_LIST,
	 .offset = offsetof(struct service, servers),
	 .item = CONF_MAP,
	 .item_size = sizeof(struct server),
	 .sub = &server_mapping,
	 .required = true,
	 .min = 1},
	{.name = NULL},
};
static const struct conf_mapping service_mapping = {.name = "service", .fields = service_fields};

static const struct conf_field limits_fields[] = {
	{.name = "flows",
	 .kind = CONF_U32,
	 .offset = offsetof(struct limits, flows),
	 .min = 1,
	 .max = 1000000,
	 .fallback = "4096"},
	{.name = "identity", .kind = CONF_U64, .offset = offsetof(struct limits, identity)},
	{.name = NULL},
};
static const struct conf_mapping limits_mapping = {.name = "limits", .fields = limits_fields};

static const struct conf_field config_fields[] = {
	{.name = "name", .kind = CONF_STRING, .offset = offsetof(struct config, name), .fallback = "nobody"},
	{.name = "fast", .kind = CONF_BOOL, .offset = offsetof(struct config, fast), .fallback = "true"},
	{.name = "wildcard-ttl",
	 .kind = CONF_DURATION,
	 .offset = offsetof(struct config, ttl),
	 .min = 100,
	 .max = 3600000,
	 .fallback = "30s"},
	{.name = "net", .kind = CONF_PREFIX, .offset = offsetof(struct config, net)},
	{.name = "peers",
	 .kind = CONF_LIST,
	 .offset = offsetof(struct config, peers),
	 .item = CONF_ENDPOINT,
	 .item_size = sizeof(struct conf_endpoint)},
	{.name = "limits", .kind = CONF_MAP, .offset = offsetof(struct config, limits), .sub = &limits_mapping},
	{.name = "services",
	 .kind = CONF_LIST,
	 .offset = offsetof(struct config, services),
	 .item = CONF_MAP,
	 .item_size = sizeof(struct service),
	 .sub = &service_mapping},
	{.name = "interfaces",
	 .kind = CONF_LIST,
	 .offset = offsetof(struct config, interfaces),
	 .item = CONF_STRING,
	 .item_size = sizeof(char *),
	 .fallback = "lo"},
	{.name = NULL},
};
static const struct conf_mapping config_mapping = {.name = "config", .fields = config_fields};

static bool load(const char *text, size_t len, struct config *config, char errors[8192])
{
	memset(config, 0, sizeof(*config));
	return conf_load_text("f.yaml", text, len, &config_mapping, sizeof(*config), config, errors, 8192);
}

/* ---- good files ---- */

START_TEST(empty_file_gives_defaults)
{
	static const char *const texts[] = {"", "# nothing\n", "---\n", "{}\n", "~\n", "limits: {}\nservices: []\n"};
	struct config config;
	char errors[8192];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		ck_assert_msg(load(texts[i], strlen(texts[i]), &config, errors), "%s", errors);
		ck_assert_str_eq(errors, "");
		ck_assert_str_eq(config.name, "nobody");
		ck_assert(config.fast);
		ck_assert_uint_eq(config.ttl, 30000);
		ck_assert_uint_eq(config.limits.flows, 4096);
		ck_assert_uint_eq(config.services.count, 0);
		ck_assert_uint_eq(config.interfaces.count, 1);
		ck_assert_str_eq(*(char **)config.interfaces.items, "lo");
		conf_free(&config_mapping, sizeof(config), &config);
		ck_assert_ptr_null(config.name);
	}
}
END_TEST

static const char good_text[] = "name: r1\n"
				"fast: false\n"
				"wildcard-ttl: 5m\n"
				"net: 2001:db8::/48\n"
				"peers: [192.0.2.1, '192.0.2.2:7000', '[2001:db8::1]:7001', '2001:db8::2', '[::3]']\n"
				"limits: {flows: 17, identity: 0xfedcba9876543210}\n"
				"interfaces: [eth0, \"eth1\"]\n"
				"services:\n"
				"  - name: web\n"
				"    method: round-robin\n"
				"    servers:\n"
				"      - {name: a, port: 8080, address: 10.0.0.1}\n"
				"      - name: b\n"
				"        address: [10.0.0.2, 'fd00::2']\n"
				"      - c\n"
				"  - {name: dns, servers: d}\n";

START_TEST(every_kind_is_read)
{
	static const uint16_t ports[] = {0, 7000, 7001, 0, 0};
	struct config config;
	struct service *services;
	struct server *servers;
	char errors[8192], buf[ADDR_STRLEN];

	ck_assert_msg(load(good_text, strlen(good_text), &config, errors), "%s", errors);
	ck_assert_str_eq(config.name, "r1");
	ck_assert(!config.fast);
	ck_assert_uint_eq(config.ttl, 300000);
	ck_assert_uint_eq(config.net.plen, 48);
	ck_assert_str_eq(addr_print(&config.net.addr, buf), "2001:db8::");
	ck_assert_uint_eq(config.peers.count, 5);
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(((struct conf_endpoint *)config.peers.items)[i].port, ports[i]);
	ck_assert_str_eq(addr_print(&((struct conf_endpoint *)config.peers.items)[2].addr, buf), "2001:db8::1");
	ck_assert_uint_eq(config.limits.flows, 17);
	ck_assert_uint_eq(config.limits.identity, 0xfedcba9876543210);
	ck_assert_str_eq(((char **)config.interfaces.items)[1], "eth1");
	ck_assert_uint_eq(config.services.count, 2);
	services = config.services.items;
	ck_assert_int_eq(services[0].method, 2);
	ck_assert_int_eq(services[1].method, 1);
	ck_assert_uint_eq(services[0].servers.count, 3);
	servers = services[0].servers.items;
	ck_assert_uint_eq(servers[0].port, 8080);
	ck_assert_uint_eq(servers[0].address.count, 1);
	ck_assert_uint_eq(servers[1].port, 80);
	ck_assert_uint_eq(servers[1].address.count, 2);
	ck_assert_str_eq(servers[2].name, "c");
	ck_assert_str_eq(((struct server *)services[1].servers.items)->name, "d");
	conf_free(&config_mapping, sizeof(config), &config);
}
END_TEST

/* ---- bad files, and what must be said about them ---- */

static const struct {
	const char *text, *errors;
} bad[] = {
	{"fast: yes\n", "f.yaml:1:7: fast: 'yes' is not allowed; takes true or false\n"},
	{"wildcard-ttl: 10\n",
	 "f.yaml:1:15: wildcard-ttl: '10' is not allowed; takes a duration such as 250ms, 10s, 5m or 1h, from 100ms to "
	 "1h\n"},
	{"wildcard-ttl: 2h\n",
	 "f.yaml:1:15: wildcard-ttl: '2h' is not allowed; takes a duration such as 250ms, 10s, 5m or 1h, from 100ms to "
	 "1h\n"},
	{"wildcard-ttl: 99999999999h\n", "f.yaml:1:15: wildcard-ttl: '99999999999h' is not allowed; takes a duration "
					 "such as 250ms, 10s, 5m or 1h, from "
					 "100ms to 1h\n"},
	{"net: 10.0.0.0/33\n", "f.yaml:1:6: net: '10.0.0.0/33' is not allowed; takes a prefix such as 192.0.2.0/24 or "
			       "2001:db8::/32\n"},
	{"peers:\n  - 10.0.0.1\n  - 10.0.0.1:0\n  - '[10.0.0.1]:5'\n  - '::1:70000'\n",
	 "f.yaml:3:5: peers[1]: '10.0.0.1:0' is not allowed; takes an address, IPv4:port or [IPv6]:port\n"
	 "f.yaml:4:5: peers[2]: '[10.0.0.1]:5' is not allowed; takes an address, IPv4:port or [IPv6]:port\n"
	 "f.yaml:5:5: peers[3]: '::1:70000' is not allowed; takes an address, IPv4:port or [IPv6]:port\n"},
	{"limits:\n  flows: 0\n  identity: -1\n",
	 "f.yaml:2:10: limits.flows: '0' is not allowed; takes a number from 1 to 1000000\n"
	 "f.yaml:3:13: limits.identity: '-1' is not allowed; takes a number from 0 to 18446744073709551615\n"},
	{"limits: {flows: 010, identity: 18446744073709551616}\n",
	 "f.yaml:1:17: limits.flows: '010' is not allowed; takes a number from 1 to 1000000\n"
	 "f.yaml:1:32: limits.identity: '18446744073709551616' is not allowed; takes a number from 0 to "
	 "18446744073709551615\n"},
	{"limits: 5\n", "f.yaml:1:9: limits: '5' is not allowed; takes a mapping of flows, identity\n"},
	{"limits: [1]\n", "f.yaml:1:9: limits: a list is not allowed; takes a mapping of flows, identity\n"},
	{"name: {a: b}\n", "f.yaml:1:7: name: a mapping is not allowed; takes text\n"},
	{"interfaces: [eth0, [eth1], ]\n", "f.yaml:1:20: interfaces[1]: a list is not allowed; takes text\n"},
	{"interfaces: [eth0, ~]\n", "f.yaml:1:20: interfaces[1]: is empty; takes text\n"},
	{"nmae: x\nlimits:\n  flow: 1\n  colour: red\n",
	 "f.yaml:1:1: nmae: unknown field; did you mean 'name'?\n"
	 "f.yaml:3:3: limits.flow: unknown field; did you mean 'flows'?\n"
	 "f.yaml:4:3: limits.colour: unknown field; known here: flows, identity\n"},
	{"name: a\nfast: true\nname: b\n", "f.yaml:3:1: name: given twice; first in line 1\n"},
	{"services:\n  - method: random\n    servers:\n      - {name: a}\n      - {name: b, port: 80}\n      - port: "
	 "70000\n",
	 "f.yaml:2:5: services[0].name: is missing\n"
	 "f.yaml:2:13: services[0].method: 'random' is not allowed; takes maglev or round-robin\n"
	 "f.yaml:6:9: services[0].servers[2].name: is missing\n"
	 "f.yaml:6:15: services[0].servers[2].port: '70000' is not allowed; takes a number from 1 to 65535\n"},
	{"services: [{name: x, servers: []}]\n", "f.yaml:1:31: services[0].servers: has 0 items; takes 1 or more\n"},
	{"services: [{name: x, servers: }]\n", "f.yaml:1:22: services[0].servers: is empty; takes a list\n"},
	/* Of each kind, and as may be written: neither "as usual" nor "none". */
	{"name:\nfast: ~\nwildcard-ttl: null\nnet: # none\npeers:\nlimits:\nservices:\n  - name:\n    method:\n    "
	 "servers:\n"
	 "    - {name: a, port: , address: [~]}\n",
	 "f.yaml:1:1: name: is empty; takes text\n"
	 "f.yaml:2:7: fast: is empty; takes true or false\n"
	 "f.yaml:3:15: wildcard-ttl: is empty; takes a duration such as 250ms, 10s, 5m or 1h, from 100ms to 1h\n"
	 "f.yaml:4:1: net: is empty; takes a prefix such as 192.0.2.0/24 or 2001:db8::/32\n"
	 "f.yaml:5:1: peers: is empty; takes a list\n"
	 "f.yaml:6:1: limits: is empty; takes a mapping of flows, identity\n"
	 "f.yaml:8:5: services[0].name: is empty; takes text\n"
	 "f.yaml:9:5: services[0].method: is empty; takes maglev or round-robin\n"
	 "f.yaml:11:17: services[0].servers[0].port: is empty; takes a number from 1 to 65535\n"
	 "f.yaml:11:35: services[0].servers[0].address[0]: is empty; takes an IPv4 or IPv6 address\n"},
	{"services: [{name: x, servers: {name: muchtoolong}}]\n",
	 "f.yaml:1:38: services[0].servers.name: 'muchtoolong' is not allowed; takes text of 1 to 8 bytes\n"},
	{"services: [{name: x, servers: {name: a, address: [1.1.1.1, 2.2.2.2, 3.3.3.3]}}]\n",
	 "f.yaml:1:50: services[0].servers.address: has 3 items; takes 0 to 2\n"},
	{"services:\n- name: x\n  servers:\n  - {name: ab, port: 666, address: [1.1.1.1, 2.2.2.2]}\n  - {name: ok}\n",
	 "f.yaml:4:12: services[0].servers[0].name: 'ab' is a server's name\n"
	 "f.yaml:4:22: services[0].servers[0].port: 666 is not a port for servers\n"
	 "f.yaml:4:46: services[0].servers[0].address[1]: one is enough\n"},
	{"name: &x a\nlimits:\n  flows: *x\n",
	 "f.yaml:3:10: limits.flows: aliases (*name) are not supported; write the value out\n"},
	{"name: !secret a\nfast: !!bool true\n",
	 "f.yaml:1:15: name: tags (!name) are not supported; write the plain value\n"
	 "f.yaml:2:14: fast: tags (!name) are not supported; write the plain value\n"},
	/* Nor is such a mapping checked as a whole: its name is not there. */
	{"services: [{name: x, servers: [{name: !t a, port: 666}]}]\n",
	 "f.yaml:1:42: services[0].servers[0].name: tags (!name) are not supported; write the plain value\n"},
	{"<<: {name: a}\n", "f.yaml:1:1: <<: unknown field; known here: name, fast, wildcard-ttl, net, peers, limits, "
			    "services, interfaces\n"},
	{"name: \"a\\nb\"\n", "f.yaml:1:7: name: has a line break or control character in it\n"},
	{"name: \"a\\0b\"\n", "f.yaml:1:7: name: has a line break or control character in it\n"},
	{"hello\n",
	 "f.yaml:1:1: 'hello' is not allowed; takes a mapping of name, fast, wildcard-ttl, net, peers, limits, "
	 "services, interfaces\n"},
	{"- a\n", "f.yaml:1:1: a list is not allowed; takes a mapping of name, fast, wildcard-ttl, net, peers, limits, "
		  "services, interfaces\n"},
	/* not YAML */
	{"name: a\nfast: [true\nnet: x\n", "f.yaml:4:1: syntax: flow sequence without a closing bracket\n"},
	{"name: a: b\n", "f.yaml:1:8: syntax: invalid nested block mapping on the same line\n"},
	{"name: \"a\n", "f.yaml:1:8: syntax: double-quoted scalar without closing quote\n"},
	{"name: a\n---\nname: b\n", "f.yaml:2:1: syntax: a second document ('---') is not allowed\n"},
	{"? [a, b]\n: c\n", "f.yaml:1:3: syntax: a list or mapping cannot be a field name\n"},
	{"*x : c\n", "f.yaml:1:1: syntax: an alias (*name) cannot be a field name\n"},
	{"name: a\t# fine\n# a\tb\nfast:\ttrue\n",
	 "f.yaml:3:6: syntax: a tab is allowed only in comments and before them; use spaces\n"},
	{"name: a # b\rfast:\ttrue\n", /* that ends the line, too */
	 "f.yaml:1:18: syntax: a tab is allowed only in comments and before them; use spaces\n"},
	/* libfyaml would crash on these as they are */
	{"? \"a #b\" :\t: x\n", "f.yaml:1:3: syntax: a list or mapping cannot be a field name\n"},
	{"? \"a\n  #b\" :\t : x\n", "f.yaml:2:7: syntax: invalid indentation in mapping\n"},
	{"name: a\001b\n", "f.yaml:1:8: syntax: byte 0x01 is not allowed; the file must be UTF-8 text\n"},
	{"\xff\xfe\n", "f.yaml:1:1: syntax: byte 0xff is not allowed; the file must be UTF-8 text\n"},
	{"name: a\nx: \xed\xa0\x80\n", "f.yaml:2:4: syntax: byte 0xed is not allowed; the file must be UTF-8 text\n"},
};

START_TEST(bad_files_say_where_and_what)
{
	char errors[8192];
	struct config config, zero;

	ck_assert(!load(bad[_i].text, strlen(bad[_i].text), &config, errors));
	ck_assert_str_eq(errors, bad[_i].errors);
	memset(&zero, 0, sizeof(zero));
	ck_assert_mem_eq(&config, &zero, sizeof(zero));
}
END_TEST

/* ---- input that is no configuration ---- */

START_TEST(deep_nesting_is_refused)
{
	static char text[200001];
	struct config config;
	char errors[8192];

	memset(text, '[', sizeof(text) - 1);
	ck_assert(!load(text, sizeof(text) - 1, &config, errors));
	ck_assert_str_eq(errors, "f.yaml:1:33: syntax: nested too deeply\n");
	for (size_t i = 0, at = 0; at + 2 * i + 3 < sizeof(text); at += 2 * i + 3, i++) {
		memset(text + at, ' ', 2 * i);
		memcpy(text + at + 2 * i, "a:\n", 3);
		text[at + 2 * i + 3] = '\0';
	}
	ck_assert(!load(text, strlen(text), &config, errors));
	ck_assert_ptr_nonnull(strstr(errors, "syntax: nested too deeply\n"));
}
END_TEST

START_TEST(nul_bytes_and_size_are_refused)
{
	size_t len = CONF_TREE_MAX_LEN + 1;
	char *big = malloc(len), errors[8192];
	struct config config;

	ck_assert(!load("name: a\0b\n", 10, &config, errors));
	ck_assert_str_eq(errors, "f.yaml:1:8: syntax: byte 0x00 is not allowed; the file must be UTF-8 text\n");
	memset(big, 'a', len);
	ck_assert(!load(big, len, &config, errors));
	ck_assert_str_eq(errors, "f.yaml: syntax: the file is larger than 16 MiB\n");
	free(big);
}
END_TEST

/* Once over each, however many: looked at from each anew, this would take hours. */
START_TEST(many_tabs_take_no_time)
{
	size_t len = CONF_TREE_MAX_LEN;
	char *big = malloc(len), errors[8192];
	struct config config;

	memset(big, '\t', len);
	big[len - 1] = 'x';
	ck_assert(!load(big, len, &config, errors));
	ck_assert_str_eq(errors, "f.yaml:1:1: syntax: a tab is allowed only in comments and before them; use spaces\n");
	memset(big, '\t', len / 8);
	memset(big + len / 8 - 1, '\n', 1);
	memcpy(big, "name: a # ", 10);
	ck_assert(load(big, len / 8, &config, errors));
	conf_free(&config_mapping, sizeof(config), &config);
	free(big);
}
END_TEST

START_TEST(many_errors_are_cut)
{
	char *text = malloc(100000), errors[8192];
	struct config config;
	size_t at = 0;

	for (int i = 0; i < 1000; i++)
		at += (size_t)sprintf(text + at, "wrong-%d: 1\n", i);
	ck_assert(!load(text, at, &config, errors));
	ck_assert_ptr_nonnull(strstr(errors, "f.yaml:50:1: wrong-49: unknown field"));
	ck_assert_ptr_null(strstr(errors, "wrong-50"));
	ck_assert_ptr_nonnull(strstr(errors, "f.yaml: and 950 more errors\n"));
	free(text);
}
END_TEST

/* Every prefix of a good file: most are wrong, none may crash or leak. */
START_TEST(truncated_anywhere)
{
	struct config config;
	char errors[8192];

	for (size_t len = 0; len < strlen(good_text); len++) {
		bool ok = load(good_text, len, &config, errors);

		ck_assert_int_eq(ok, errors[0] == '\0');
		if (ok)
			conf_free(&config_mapping, sizeof(config), &config);
	}
}
END_TEST

START_TEST(files_are_read_and_missing_ones_named)
{
	char path[] = "/tmp/conf-test-XXXXXX";
	int fd = mkstemp(path);
	struct config config = {0};

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, good_text, strlen(good_text)), (ssize_t)strlen(good_text));
	close(fd);
	ck_assert(conf_load(path, &config_mapping, sizeof(config), &config));
	ck_assert_str_eq(config.name, "r1");
	conf_free(&config_mapping, sizeof(config), &config);
	unlink(path);
	ck_assert(!conf_load(path, &config_mapping, sizeof(config), &config));
	ck_assert(!conf_load("/", &config_mapping, sizeof(config), &config));
}
END_TEST

/* A running daemon reads its file again: it must not wait for one that writes to a pipe. */
START_TEST(reload_does_not_wait_for_a_pipe)
{
	char dir[] = "/tmp/conf-test-XXXXXX", path[64], errors[256];
	struct config config = {0};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!conf_load_quiet(path, &config_mapping, sizeof(config), &config, errors, sizeof(errors)));
	ck_assert_ptr_nonnull(strstr(errors, "cannot be read: it is not a regular file\n"));
	ck_assert(!conf_load_quiet(dir, &config_mapping, sizeof(config), &config, errors, sizeof(errors)));
	ck_assert_ptr_nonnull(strstr(errors, "cannot be read: Is a directory\n"));
	unlink(path);
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conf");
	TCase *tc = tcase_create("conf");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, empty_file_gives_defaults);
	tcase_add_test(tc, every_kind_is_read);
	tcase_add_loop_test(tc, bad_files_say_where_and_what, 0, (int)(sizeof(bad) / sizeof(*bad)));
	tcase_add_test(tc, deep_nesting_is_refused);
	tcase_add_test(tc, nul_bytes_and_size_are_refused);
	tcase_add_test(tc, many_tabs_take_no_time);
	tcase_add_test(tc, many_errors_are_cut);
	tcase_add_test(tc, truncated_anywhere);
	tcase_add_test(tc, files_are_read_and_missing_ones_named);
	tcase_add_test(tc, reload_does_not_wait_for_a_pipe);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
