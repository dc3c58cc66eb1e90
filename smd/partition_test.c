/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of partitions: what agents do when no manager is there to ask, and
 * what a configuration must be like for it (SM-13).
 */
#include "lib/check_main.h"
#include "smd/manager_fixture.h"

#define HEAD "identity: 0x201\ncontrol: {address: 10.77.0.11}\nwildcard-ttl: 30s\n"
#define SERVERS                                                                                                        \
	"servers: [{name: web1, address: [10.0.20.11, \"fd00:20::11\"], port: 8080}, "                                 \
	"{name: web2, address: [10.0.20.12, \"fd00:20::12\"], port: 8080, weight: 2}]"
#define SERVICE(name, vip, more)                                                                                       \
	"  - {name: " name ", vip: [" vip ", \"2001:db8:113::10\"], port: 80, " more SERVERS "}\n"
#define WEB SERVICE("web", "203.0.113.10", "partition-ttl: 10m, ")

#define PARTS 4

static struct fixture *start(const char *text)
{
	struct fixture *f = fixture_new(text);

	fixture_hello(f, R1, "r1", (const uint8_t[]){WIRE_SEG_NAT, WIRE_SEG_INTEREST, WIRE_SEG_ADVERTISE, 0});
	fixture_check(f, NULL);
	fixture_run(f, 2000);
	return f;
}

static bool is_partition(const struct sent *s)
{
	return s->m.h.type == WIRE_WILDCARD_UPDATE && s->m.backup > CONFIG_MAX_BACKUP;
}

/* What was last said to the group of the partition for clients whose address ends so; NULL: nothing. */
static const struct wire_msg *forward(const struct fixture *f, uint8_t family, uint8_t part)
{
	const struct wire_msg *found = NULL;
	size_t last = addr_len(family) - 1;

	for (size_t i = 0; i < f->count; i++) {
		const struct wire_wildcard *w = &f->sent[i].m.wildcard;

		if (!f->sent[i].to && is_partition(&f->sent[i]) && w->family == family &&
		    w->src_mask[last] == PARTS - 1 && w->src[last] == part)
			found = &f->sent[i].m;
	}
	return found;
}

/* And of the one for packets from this server to clients whose address ends so. */
static const struct wire_msg *reverse(const struct fixture *f, const char *server, uint8_t bit)
{
	const struct wire_msg *found = NULL;
	struct addr a;

	ck_assert(addr_parse(server, &a));
	for (size_t i = 0; i < f->count; i++) {
		const struct wire_wildcard *w = &f->sent[i].m.wildcard;
		size_t last = addr_len(a.family) - 1;

		if (!f->sent[i].to && is_partition(&f->sent[i]) && w->family == a.family &&
		    !memcmp(w->src, a.b, addr_len(a.family)) && w->dst_mask[last] == 1 && w->dst[last] == bit)
			found = &f->sent[i].m;
	}
	return found;
}

/* The last byte of each part's server, 0 for a withdrawn one; "." where nothing was said. */
static const char *shares(const struct fixture *f, uint8_t family, char text[64])
{
	size_t n = 0;

	for (uint8_t i = 0; i < PARTS; i++) {
		const struct wire_msg *m = forward(f, family, i);

		n += (size_t)snprintf(text + n, 64 - n,
				      !m                ? ". "
				      : m->wildcard.ttl ? "%x "
							: "0 ",
				      m ? m->nat[0].dst.b[addr_len(family) - 1] : 0);
	}
	return text;
}

START_TEST(test_parts_by_weight_worse_than_any_backup_and_longer_SM_13)
{
	struct fixture *f = start(HEAD "backup: 3\nservices:\n" WEB);
	const struct wire_msg *m;
	char text[64];

	ck_assert_str_eq(shares(f, 4, text), "b c c c ");
	ck_assert_str_eq(shares(f, 6, text), "11 12 12 12 ");
	m = forward(f, 4, 1);
	ck_assert_uint_eq(m->backup, 1004);
	ck_assert_uint_eq(m->precedence.value, 100);
	ck_assert_uint_eq(m->wildcard.ttl, 600);
	ck_assert_uint_eq(m->wildcard.dport, 80);
	ck_assert_uint_eq(m->wildcard.dst[3], 10);
	ck_assert_uint_eq(m->nat[0].dport, 8080);
	ck_assert(!wire_has(m, WIRE_SEG_INTEREST));
	ck_assert(wire_has(m, WIRE_SEG_ADVERTISE));
	for (uint8_t bit = 0; bit < 2; bit++) {
		m = reverse(f, "10.0.20.12", bit);
		ck_assert_ptr_nonnull(m);
		ck_assert_uint_eq(m->wildcard.ttl, 600);
		ck_assert_uint_eq(m->wildcard.sport, 8080);
		ck_assert_uint_eq(m->nat[0].sport, 80);
		ck_assert_uint_eq(m->nat[0].src.b[3], 10);
		ck_assert(!wire_has(m, WIRE_SEG_INTEREST) && !wire_has(m, WIRE_SEG_ADVERTISE));
		ck_assert_ptr_nonnull(reverse(f, "fd00:20::11", bit));
	}
	fixture_free(f);
}
END_TEST

START_TEST(test_health_gives_parts_to_others_SM_13)
{
	struct fixture *f = start(HEAD "services:\n" WEB);
	char text[64];

	f->count = 0;
	fixture_check(f, "web2");
	fixture_run(f, 1000);
	ck_assert_str_eq(shares(f, 4, text), ". b b b ");
	f->count = 0;
	fixture_check(f, "*");
	fixture_run(f, 1000);
	ck_assert_str_eq(shares(f, 4, text), "0 0 0 0 ");
	ck_assert_uint_eq(reverse(f, "10.0.20.11", 0)->wildcard.ttl, 0);
	f->count = 0;
	fixture_check(f, NULL);
	fixture_run(f, 1000);
	ck_assert_str_eq(shares(f, 4, text), "b c c c ");
	fixture_free(f);
}
END_TEST

static void row(void *ctx, const struct backend *b, const char *before)
{
	(void)ctx;
	(void)b;
	(void)before;
}

START_TEST(test_operators_will_and_reload_SM_13)
{
	struct fixture *f = start(HEAD "services:\n" WEB);
	char text[64], why[256];

	f->count = 0;
	ck_assert_uint_gt(manager_server_set(f->manager, "web", "web1", SERVER_DRAINING, row, NULL, f->now_ms), 0);
	fixture_run(f, 1000);
	ck_assert_str_eq(shares(f, 6, text), "12 . . . ");
	f->count = 0;
	ck_assert_ptr_null(fixture_reload(f, HEAD "services:\n" WEB, why));
	fixture_run(f, 1000);
	ck_assert_str_eq(shares(f, 4, text), ". . . . ");
	ck_assert_ptr_null(fixture_reload(f, HEAD "services:\n" SERVICE("web", "203.0.113.10", ""), why));
	fixture_run(f, 1000);
	ck_assert_str_eq(shares(f, 4, text), "0 0 0 0 ");
	fixture_free(f);
}
END_TEST

START_TEST(test_refreshed_every_third_of_its_own_ttl_SM_13)
{
	struct fixture *f = start(HEAD "services:\n" WEB);
	unsigned n = 0;

	f->count = 0;
	fixture_run(f, 600000);
	for (size_t i = 0; i < f->count; i++)
		n += is_partition(&f->sent[i]);
	/* 4 parts and 4 ways back in each family. */
	ck_assert_uint_ge(n, 3 * 16 - 16);
	ck_assert_uint_le(n, 4 * 16);
	fixture_free(f);
}
END_TEST

/* More servers than there can be parts for twice, and fewer, to the fewest parts. */
START_TEST(test_no_more_parts_than_the_last_byte_of_an_address_tells_SM_13_ARCH_10)
{
	static const size_t servers[] = {200, 64, 3, 1}, parts[] = {256, 128, 8, 4};
	static char text[CONFIG_MAX_SERVERS * 48 + 512];

	for (size_t k = 0; k < sizeof(servers) / sizeof(servers[0]); k++) {
		size_t n = (size_t)snprintf(text, sizeof(text),
					    HEAD "services:\n  - {name: w, vip: 203.0.113.10, port: 80, "
						 "partition-ttl: 10m, servers: [");
		bool told[256] = {false};
		unsigned forwards = 0;
		struct fixture *f;

		for (size_t i = 0; i < servers[k]; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "{name: s%zu, address: 10.1.%zu.%zu}%s", i,
					      i / 250, i % 250 + 1, i + 1 < servers[k] ? ", " : "]}\n");
		f = start(text);
		for (size_t i = 0; i < f->count; i++) {
			const struct wire_wildcard *w = &f->sent[i].m.wildcard;

			if (f->sent[i].to || !is_partition(&f->sent[i]) || w->dport != 80)
				continue;
			ck_assert_uint_eq(w->src_mask[3], parts[k] - 1);
			forwards += !told[w->src[3]];
			told[w->src[3]] = true;
		}
		ck_assert_uint_eq(forwards, parts[k]);
		fixture_free(f);
	}
}
END_TEST

static char *errors_of(const char *text, char errors[1024])
{
	struct smd_conf conf;

	*errors = '\0';
	ck_assert(!smd_config_load_text("t", text, &conf, errors, 1024));
	return errors;
}

static void refused(const char *text, const char *expected)
{
	char errors[1024];

	ck_assert_msg(strstr(errors_of(text, errors), expected), "%s", errors);
}

START_TEST(test_what_cannot_be_told_back_is_refused_SM_13)
{
	refused(HEAD "services:\n" WEB SERVICE("more", "203.0.113.11", "partition-ttl: 10m, precedence: 7, "),
		"services 'web' and 'more' share a server's address and port");
	refused(HEAD "services:\n" SERVICE("web", "203.0.113.10, 203.0.113.11", "partition-ttl: 10m, "),
		"takes one VIP of each family; service 'web' has several");
	refused(HEAD "services:\n" SERVICE("web", "203.0.113.10", "partition-ttl: 30s, "),
		"30000ms is not longer than wildcard-ttl, 30000ms");
}
END_TEST

/* Each against each other, and their servers, would take minutes, and a reload with it: a watchdog ends what is so long
 * silent. */
START_TEST(test_many_servers_are_compared_in_no_time_SM_13)
{
	char *text = NULL, errors[1024] = "";
	struct smd_conf conf;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fputs(HEAD "services:\n", f);
	for (unsigned n = 0; n < 800; n++) {
		fprintf(f, "- {name: s%u, vip: [203.0.%u.%u], protocol: tcp, port: 80, partition-ttl: 10m, servers: [",
			n, n / 250, n % 250);
		for (unsigned i = 0; i < 60; i++)
			fprintf(f, "{name: w%u, address: [10.%u.%u.%u]},", i, n / 250, n % 250, i);
		fputs("]}\n", f);
	}
	fclose(f);
	ck_assert_msg(smd_config_load_text("t", text, &conf, errors, sizeof(errors)), "%s", errors);
	smd_config_free(&conf);
	free(text);
}
END_TEST

/* Two servers that three services share: the second and the third are named, once each. */
START_TEST(test_each_service_that_shares_is_named_once_SM_13)
{
	char errors[1024], *one, *two;

	errors_of(HEAD "services:\n" WEB SERVICE("more", "203.0.113.11", "partition-ttl: 10m, ")
			  SERVICE("most", "203.0.113.12", "partition-ttl: 10m, "),
		  errors);
	one = strstr(errors, "and 'more' share");
	two = strstr(errors, "and 'most' share");
	ck_assert_msg(one && two && !strstr(one + 1, "and 'more' share") && !strstr(two + 1, "and 'most' share"), "%s",
		      errors);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("partition");
	TCase *tc = tcase_create("partition"), *many = tcase_create("many");

	tcase_set_timeout(tc, 60);
	tcase_set_timeout(many, 15);
	tcase_add_test(tc, test_parts_by_weight_worse_than_any_backup_and_longer_SM_13);
	tcase_add_test(tc, test_health_gives_parts_to_others_SM_13);
	tcase_add_test(tc, test_operators_will_and_reload_SM_13);
	tcase_add_test(tc, test_refreshed_every_third_of_its_own_ttl_SM_13);
	tcase_add_test(tc, test_no_more_parts_than_the_last_byte_of_an_address_tells_SM_13_ARCH_10);
	tcase_add_test(tc, test_what_cannot_be_told_back_is_refused_SM_13);
	tcase_add_test(tc, test_each_service_that_shares_is_named_once_SM_13);
	tcase_add_test(many, test_many_servers_are_compared_in_no_time_SM_13);
	suite_add_tcase(s, tc);
	suite_add_tcase(s, many);
	return check_main(s);
}
