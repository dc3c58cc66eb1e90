/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the configuration: the example files are good, defaults are as
 * documented, and each mistake is named with its place and what is allowed.
 */
#include "smd/config.h"

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/balancer.h"

#define HEAD "identity: 0x201\ncontrol: {address: 10.77.0.11}\n"

static void load(const char *text, struct smd_conf *conf)
{
	char errors[2048] = "";

	ck_assert_msg(smd_config_load_text("smd.yaml", text, conf, errors, sizeof(errors)), "%s", errors);
}

/* Refused with exactly these errors; without the file's name, a newline after each. */
static void refused(const char *text, const char *expected)
{
	char errors[4096] = "", all[4096] = "";
	struct smd_conf conf, zero;
	char *rest = errors;

	memset(&zero, 0, sizeof(zero));
	ck_assert(!smd_config_load_text("smd.yaml", text, &conf, errors, sizeof(errors)));
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!*line)
			continue;
		ck_assert_msg(!strncmp(line, "smd.yaml:", 9), "%s", line);
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s\n", line + 9);
	}
	ck_assert_str_eq(all, expected);
	ck_assert_mem_eq(&conf, &zero, sizeof(conf));
}

START_TEST(test_example_files_are_good_ARCH_7)
{
	static const char *const files[] = {"smd/smd.example.yaml", "docs/examples/smd.yaml"};
	struct smd_conf conf;
	struct addr a;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const struct service_conf *s;

		ck_assert_msg(smd_config_load(files[i], &conf), "%s is refused (tests run at the top of the tree)",
			      files[i]);
		s = smd_config_service(&conf, 0);
		ck_assert_str_eq(s->name, "web");
		ck_assert_uint_eq(s->vips.count, 2);
		ck_assert_uint_eq(s->servers.count, 3);
		ck_assert_uint_eq(smd_config_server(s, 2)->weight, 2);
		ck_assert_ptr_nonnull(smd_config_address(&smd_config_server(s, 0)->addresses, 4));
		ck_assert_ptr_nonnull(smd_config_address(&smd_config_server(s, 0)->addresses, 6));
		ck_assert(addr_parse("203.0.113.10", &a));
		ck_assert(addr_equal(smd_config_address(&s->vips, 4), &a));
		smd_config_free(&conf);
	}
}
END_TEST

START_TEST(test_defaults_are_as_documented)
{
	struct smd_conf conf;
	const struct service_conf *s;

	load(HEAD
	     "services:\n"
	     "  - {name: web, vip: 203.0.113.10, port: 80, servers: [{name: a, address: 10.0.20.11}]}\n"
	     "  - {name: dns, vip: 203.0.113.10, port: 53, protocol: udp, servers: [{name: a, address: 10.0.20.11}]}\n",
	     &conf);
	s = smd_config_service(&conf, 0);
	ck_assert_ptr_null(conf.name);
	ck_assert_uint_eq(conf.control.port, 7510);
	ck_assert_uint_eq(conf.wildcard_ttl, 30000);
	ck_assert_uint_eq(conf.flow_ttl, 300000);
	ck_assert_uint_eq(conf.limits.flows, 4000000);
	ck_assert_uint_eq(conf.limits.agents, 4096);
	ck_assert_int_eq(conf.shutdown, SHUTDOWN_WITHDRAW);
	ck_assert_int_eq(s->protocol, IPPROTO_TCP);
	ck_assert_int_eq(s->method, BALANCER_MAGLEV);
	ck_assert_uint_eq(s->affinity_ttl, 60000);
	ck_assert_uint_eq(s->precedence, 100);
	ck_assert_int_eq(s->on_silence, UNDECIDED_DROP);
	ck_assert_int_eq(s->agent_gone, UNDECIDED_ROUTE);
	ck_assert_uint_eq(s->check.interval, 1000);
	ck_assert_uint_eq(s->check.timeout, 500);
	ck_assert_uint_eq(s->check.rise, 2);
	ck_assert_uint_eq(s->check.fall, 2);
	ck_assert_uint_eq(smd_config_server(s, 0)->weight, 1);
	ck_assert_int_eq(smd_config_check_type(s), CHECK_TCP);
	ck_assert_int_eq(smd_config_check_type(smd_config_service(&conf, 1)), CHECK_NONE);
	smd_config_free(&conf);
}
END_TEST

START_TEST(test_missing_and_unknown_fields)
{
	refused("name: sm1\n", "1:1: identity: is missing\n"
			       "1:1: control: is missing\n");
	refused(HEAD, "1:1: services: is missing, and so is 'filters': one of them is needed\n");
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vipp: 203.0.113.10\n"
		     "    port: 80\n"
		     "    servers: [{name: a, address: 10.0.20.11}]\n",
		"4:5: services[0].vip: is missing\n"
		"5:5: services[0].vipp: unknown field; did you mean 'vip'?\n");
}
END_TEST

START_TEST(test_values_out_of_range)
{
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: 203.0.113.300\n"
		     "    port: 70000\n"
		     "    method: random\n"
		     "    affinity-ttl: 1s\n"
		     "    servers: [{name: a, address: 10.0.20.11, weight: 0}]\n",
		"5:10: services[0].vip: '203.0.113.300' is not allowed; takes an IPv4 or IPv6 address\n"
		"6:11: services[0].port: '70000' is not allowed; takes a number from 1 to 65535\n"
		"7:13: services[0].method: 'random' is not allowed; takes maglev, round-robin or "
		"least-connections\n"
		"8:19: services[0].affinity-ttl: '1s' is not allowed; takes a duration such as 250ms, 10s, 5m or 1h, "
		"from 2s to 24h\n"
		"9:54: services[0].servers[0].weight: '0' is not allowed; takes a number from 1 to 1000\n");
}
END_TEST

/* A list of this field with `count` items, each as `item` prints it.  The error, without its place. */
static void too_many(const char *field, size_t count, const char *item, const char *expected)
{
	char errors[4096] = "", *text = NULL;
	struct smd_conf conf;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fputs(HEAD, out);
	fprintf(out, "%s:\n", field);
	for (size_t i = 0; i < count; i++) {
		fputs("  - ", out);
		fprintf(out, item, i);
		fputc('\n', out);
	}
	fclose(out);
	ck_assert(!smd_config_load_text("smd.yaml", text, &conf, errors, sizeof(errors)));
	ck_assert_msg(strstr(errors, expected) != NULL, "%s", errors);
	free(text);
}

START_TEST(test_ARCH_10_lists_that_are_too_long_are_refused)
{
	too_many("services", 1025, "{name: s%zu, vip: 203.0.113.1, port: 1, servers: [{name: a, address: 10.0.0.1}]}",
		 ": services: has 1025 items; takes 1 to 1024\n");
	too_many("filters", 65, "{name: f%zu, rules: [{action: permit}]}", ": filters: has 65 items; takes 1 to 64\n");
	too_many("masquerade", 65, "10.0.%zu.0/24", ": masquerade: has 65 items; takes 0 to 64\n");
}
END_TEST

/* It may be meant to say "none" or "as usual", and is neither. */
START_TEST(test_ARCH_7_fields_without_a_value_are_refused)
{
	refused(HEAD "services:\n"
		     "  - {name: web, vip: 203.0.113.10, port: 80, servers: [{name: a, address: 10.0.20.11}],\n"
		     "     on-silence: , agent-gone: ~, check: }\n"
		     "masquerade:\n",
		"5:6: services[0].on-silence: is empty; takes route or drop\n"
		"5:32: services[0].agent-gone: is empty; takes route or drop\n"
		"5:35: services[0].check: is empty; takes a mapping of type, port, interval, timeout, rise, fall, "
		"method, path, host, expect-status, expect-body, verify, ca-file\n"
		"6:1: masquerade: is empty; takes a list\n");
}
END_TEST

START_TEST(test_addresses_that_cannot_serve)
{
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: [224.0.0.1, \"2001:db8::1\", 203.0.113.10]\n"
		     "    port: 80\n"
		     "    servers:\n"
		     "      - {name: a, address: [10.0.20.11, 10.0.20.12]}\n"
		     "      - {name: b, address: 0.0.0.0}\n",
		"8:41: services[0].servers[0].address[1]: a second address of the same family; give one IPv4 and one "
		"IPv6 address at most\n"
		"9:28: services[0].servers[1].address: 0.0.0.0 is not the address of a host\n");
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: [\"2001:db8::1\", 203.0.113.10]\n"
		     "    port: 80\n"
		     "    servers:\n"
		     "      - {name: a, address: 10.0.20.11}\n"
		     "  - name: web4\n"
		     "    vip: 203.0.113.11\n"
		     "    port: 80\n"
		     "    servers:\n"
		     "      - {name: a, address: [10.0.20.11, \"fd00:20::11\"]}\n",
		"5:11: services[0].vip[0]: an IPv6 VIP, but no server has an IPv6 address\n"
		"13:41: services[1].servers[0].address[1]: an IPv6 address, but the service has no IPv6 VIP\n");
}
END_TEST

START_TEST(test_addresses_that_are_no_hosts)
{
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: [224.0.0.1, 255.255.255.255, \"ff02::1\"]\n"
		     "    port: 80\n"
		     "    servers: [{name: a, address: [10.0.20.11, \"fd00::1\"]}]\n",
		"5:11: services[0].vip[0]: 224.0.0.1 is not the address of a host\n"
		"5:22: services[0].vip[1]: 255.255.255.255 is not the address of a host\n"
		"5:39: services[0].vip[2]: ff02::1 is not the address of a host\n");
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: 203.0.113.10\n"
		     "    port: 80\n"
		     "    servers: [{name: a, address: 10.0.20.11, check-address: [10.0.0.1, 10.0.0.2]}]\n",
		"7:72: services[0].servers[0].check-address[1]: a second address of the same family; give one IPv4 and "
		"one "
		"IPv6 address at most\n");
}
END_TEST

START_TEST(test_vips_that_no_router_announces)
{
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: [127.0.0.1, 169.254.1.1, 240.0.0.1, 0.0.0.1, \"fe80::1\", \"::1\"]\n"
		     "    port: 80\n"
		     "    servers: [{name: a, address: [10.0.20.11, \"fd00::1\"]}]\n",
		"5:11: services[0].vip[0]: 127.0.0.1 is a loopback address, which routers never announce\n"
		"5:22: services[0].vip[1]: 169.254.1.1 is a link-local address, which routers never announce\n"
		"5:35: services[0].vip[2]: 240.0.0.1 is a reserved address, which routers never announce\n"
		"5:46: services[0].vip[3]: 0.0.0.1 is a reserved address, which routers never announce\n"
		"5:55: services[0].vip[4]: fe80::1 is a link-local address, which routers never announce\n"
		"5:66: services[0].vip[5]: ::1 is a loopback address, which routers never announce\n");
	refused(HEAD "services:\n"
		     "  - {name: web, vip: 10.77.0.11, port: 80, servers: [{name: a, address: 10.0.20.11}]}\n",
		"4:22: services[0].vip: this is control.address; a VIP must not be the manager's own address\n");
}
END_TEST

START_TEST(test_what_must_be_unique)
{
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: [203.0.113.10, 203.0.113.10]\n"
		     "    port: 80\n"
		     "    servers:\n"
		     "      - {name: a, address: 10.0.20.11}\n"
		     "      - {name: a, address: 10.0.20.12}\n"
		     "      - {name: c, address: 10.0.20.11}\n",
		"9:16: services[0].servers[1].name: server 'a' is there already\n"
		"10:28: services[0].servers[2].address: server 'a' has this address and port already\n");
	refused(HEAD "services:\n"
		     "  - {name: web, vip: 203.0.113.10, port: 80, servers: [{name: a, address: 10.0.20.11}]}\n"
		     "  - {name: web, vip: 203.0.113.10, port: 80, servers: [{name: a, address: 203.0.113.10}]}\n",
		"4:22: services[0].vip: this is the address of server 'a'; a VIP must not be on any server's own "
		"address\n"
		"5:12: services[1].name: service 'web' is there already\n"
		"5:22: services[1].vip: 203.0.113.10:80, tcp is used by service 'web' already\n"
		"5:22: services[1].vip: this is the address of server 'a'; a VIP must not be on any server's own "
		"address\n");
}
END_TEST

START_TEST(test_check_longer_than_its_interval)
{
	refused(HEAD "services:\n"
		     "  - name: web\n"
		     "    vip: 203.0.113.10\n"
		     "    port: 80\n"
		     "    servers: [{name: a, address: 10.0.20.11}]\n"
		     "    check:\n"
		     "      interval: 500ms\n"
		     "      timeout: 1s\n",
		"10:16: services[0].check.timeout: 1000ms is longer than the interval, 500ms\n");
}
END_TEST

#define CHECK_HEAD_LINES                                                                                               \
	HEAD "services:\n"                                                                                             \
	     "  - name: web\n"                                                                                         \
	     "    vip: 203.0.113.10\n"                                                                                 \
	     "    port: 80\n"                                                                                          \
	     "    servers: [{name: a, address: 10.0.20.11}]\n"                                                         \
	     "    check:\n"

START_TEST(test_http_check_SVC_2)
{
	struct smd_conf conf;
	const struct check_conf *k;

	load(CHECK_HEAD_LINES
	     "      {type: https, path: /health?full=1, host: www.example.com, method: GET, "
	     "expect-status: [200, 204-299, \"301\"], expect-body: all is well, ca-file: /etc/passwd}\n",
	     &conf);
	k = &smd_config_service(&conf, 0)->check;
	ck_assert_int_eq(smd_config_check_type(smd_config_service(&conf, 0)), CHECK_HTTPS);
	ck_assert_str_eq(k->path, "/health?full=1");
	ck_assert_str_eq(k->expect_body, "all is well");
	ck_assert(k->verify);
	ck_assert(smd_config_status_good(k, 200) && smd_config_status_good(k, 204) && smd_config_status_good(k, 299));
	ck_assert(smd_config_status_good(k, 301) && !smd_config_status_good(k, 302));
	ck_assert(!smd_config_status_good(k, 203) && !smd_config_status_good(k, 500) && !smd_config_status_good(k, 0));
	smd_config_free(&conf);
	load(CHECK_HEAD_LINES "      type: http\n", &conf);
	k = &smd_config_service(&conf, 0)->check;
	ck_assert_int_eq(k->method, CHECK_GET);
	ck_assert(smd_config_status_good(k, 200) && smd_config_status_good(k, 399));
	ck_assert(!smd_config_status_good(k, 199) && !smd_config_status_good(k, 400));
	smd_config_free(&conf);
}
END_TEST

START_TEST(test_http_check_mistakes_SVC_2)
{
	refused(CHECK_HEAD_LINES "      type: http\n"
				 "      path: health\n"
				 "      host: \"www.example.com:80\"\n"
				 "      method: HEAD\n"
				 "      expect-status: [20, 200-, 299-200, 600, 2x0, 200-2999]\n"
				 "      expect-body: ok\n",
		"10:13: services[0].check.path: takes a path that begins with '/', without spaces; write others as "
		"%20 and the like\n"
		"11:13: services[0].check.host: takes a host's name, without a port\n"
		"13:23: services[0].check.expect-status[0]: '20' is not allowed; takes a status or a range such as "
		"200 or 200-299, from 100 to 599\n"
		"13:27: services[0].check.expect-status[1]: '200-' is not allowed; takes a status or a range such as "
		"200 or 200-299, from 100 to 599\n"
		"13:33: services[0].check.expect-status[2]: '299-200' is not allowed; takes a status or a range such "
		"as 200 or 200-299, from 100 to 599\n"
		"13:42: services[0].check.expect-status[3]: '600' is not allowed; takes a status or a range such as "
		"200 or 200-299, from 100 to 599\n"
		"13:47: services[0].check.expect-status[4]: '2x0' is not allowed; takes a status or a range such as "
		"200 or 200-299, from 100 to 599\n"
		"13:52: services[0].check.expect-status[5]: '200-2999' is not allowed; takes a status or a range such "
		"as 200 or 200-299, from 100 to 599\n"
		"14:20: services[0].check.expect-body: the answer to a HEAD request has no body\n");
	refused(CHECK_HEAD_LINES "      type: tcp\n"
				 "      path: /\n",
		"10:13: services[0].check.path: is for checks of type http or https only\n");
	refused(CHECK_HEAD_LINES "      type: http\n"
				 "      ca-file: /etc/ca.pem\n",
		"10:16: services[0].check.ca-file: is for checks of type https only\n");
}
END_TEST

START_TEST(test_ca_file_that_cannot_be_used_is_named_SVC_2)
{
	refused(CHECK_HEAD_LINES "      type: https\n"
				 "      ca-file: /nonexistent/ca.pem\n",
		"10:16: services[0].check.ca-file: cannot use /nonexistent/ca.pem: No such file or directory\n");
	refused(CHECK_HEAD_LINES "      type: https\n"
				 "      ca-file: /etc\n",
		"10:16: services[0].check.ca-file: cannot use /etc: Is a directory\n");
	refused(CHECK_HEAD_LINES "      type: https\n"
				 "      ca-file: /dev/null\n",
		"10:16: services[0].check.ca-file: cannot use /dev/null: the file is empty\n");
}
END_TEST

/* What a running manager cannot change is named; everything else can be changed. */
static void needs(const char *text, const char *expected)
{
	static const char base[] = "name: sm1\n" HEAD "services: [{name: web, vip: 203.0.113.10, port: 80, servers: "
				   "[{name: a, address: 10.0.20.11}]}]\n";
	struct smd_conf a, b;

	load(base, &a);
	load(text, &b);
	if (expected)
		ck_assert_str_eq(smd_config_needs_restart(&a, &b), expected);
	else
		ck_assert_ptr_null(smd_config_needs_restart(&a, &b));
	smd_config_free(&a);
	smd_config_free(&b);
}

#define SERVICES "services: [{name: other, vip: 203.0.113.11, port: 81, servers: [{name: b, address: 10.0.20.12}]}]\n"

START_TEST(test_what_needs_a_restart_SM_1)
{
	needs("name: sm1\n" HEAD SERVICES "wildcard-ttl: 60s\nflow-ttl: 60s\nshutdown: keep\n", NULL);
	needs("name: sm2\n" HEAD SERVICES, "name");
	needs(HEAD SERVICES, "name");
	needs("name: sm1\nidentity: 0x202\ncontrol: {address: 10.77.0.11}\n" SERVICES, "identity");
	needs("name: sm1\nidentity: 0x201\ncontrol: {address: 10.77.0.12}\n" SERVICES, "control");
	needs("name: sm1\nidentity: 0x201\ncontrol: {address: 10.77.0.11, peers: [10.77.0.1]}\n" SERVICES, "control");
	needs("name: sm1\n" HEAD SERVICES "security: {keys: [{id: 1, file: /k}]}\n", NULL);
	needs("name: sm1\n" HEAD SERVICES "limits: {flows: 1}\n", "limits");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_example_files_are_good_ARCH_7);
	tcase_add_test(tc, test_defaults_are_as_documented);
	tcase_add_test(tc, test_missing_and_unknown_fields);
	tcase_add_test(tc, test_values_out_of_range);
	tcase_add_test(tc, test_ARCH_10_lists_that_are_too_long_are_refused);
	tcase_add_test(tc, test_ARCH_7_fields_without_a_value_are_refused);
	tcase_add_test(tc, test_addresses_that_cannot_serve);
	tcase_add_test(tc, test_addresses_that_are_no_hosts);
	tcase_add_test(tc, test_vips_that_no_router_announces);
	tcase_add_test(tc, test_what_must_be_unique);
	tcase_add_test(tc, test_check_longer_than_its_interval);
	tcase_add_test(tc, test_http_check_SVC_2);
	tcase_add_test(tc, test_http_check_mistakes_SVC_2);
	tcase_add_test(tc, test_ca_file_that_cannot_be_used_is_named_SVC_2);
	tcase_add_test(tc, test_what_needs_a_restart_SM_1);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
