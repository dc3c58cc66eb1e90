/* SPDX-License-Identifier: BSD-2-Clause */
/* Links and own addresses against the kernel.  Needs root; each test has its own namespace. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fad/netlink_io.h"
#include "fad/netns_fixture.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define MANY 6000

/* All that was told, one line each, newest last. */
struct fixture {
	sd_event *loop;
	struct netlink *netlink;
	char lines[MANY + 1000][64];
	unsigned count, read;
};

static void on_address(void *ctx, const struct addr *a, bool present)
{
	struct fixture *f = ctx;
	char text[ADDR_STRLEN];

	ck_assert_uint_lt(f->count, sizeof(f->lines) / sizeof(f->lines[0]));
	snprintf(f->lines[f->count++], sizeof(f->lines[0]), "%c%s", present ? '+' : '-', addr_print(a, text));
}

static void on_link(void *ctx, const char *name, uint32_t ifindex, bool present, bool up, bool ethernet)
{
	struct fixture *f = ctx;

	ck_assert_uint_gt(ifindex, 0);
	ck_assert_uint_lt(f->count, sizeof(f->lines) / sizeof(f->lines[0]));
	snprintf(f->lines[f->count++], sizeof(f->lines[0]), "%c%s %s%s", present ? '+' : '-', name, up ? "up" : "down",
		 ethernet ? " ethernet" : "");
}

static const struct netlink_handler handler = {on_address, on_link};

static struct fixture *begin(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	netns_enter();
	netns_run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1");
	netns_run("ip link add w0 type veth peer name w1");
	netns_run("ip address add 10.9.0.1/24 dev w0");
	netns_run("ip address add fd09::1/64 dev w0 nodad");
	ck_assert_int_ge(sd_event_new(&f->loop), 0);
	ck_assert_int_eq(netlink_open(&f->netlink, f->loop, &handler, f), EXITCODE_OK);
	return f;
}

static void end(struct fixture *f)
{
	netlink_close(f->netlink);
	sd_event_unref(f->loop);
	free(f);
}

static void work(struct fixture *f)
{
	while (sd_event_run(f->loop, 50000) > 0)
		;
}

/* How often this was told since the last forget(). */
static unsigned told(const struct fixture *f, const char *line)
{
	unsigned n = 0;

	for (unsigned i = f->read; i < f->count; i++)
		n += strcmp(f->lines[i], line) == 0;
	return n;
}

static void forget(struct fixture *f)
{
	f->read = f->count;
}

START_TEST(test_FA_8_own_addresses_at_start)
{
	struct fixture *f = begin();

	ck_assert_uint_eq(told(f, "+127.0.0.1"), 1);
	ck_assert_uint_eq(told(f, "+::1"), 1);
	ck_assert_uint_eq(told(f, "+10.9.0.1"), 1);
	ck_assert_uint_eq(told(f, "+10.9.0.255"), 1); /* the kernel takes it as broadcast, named or not */
	ck_assert_uint_eq(told(f, "+fd09::1"), 1);
	ck_assert_uint_eq(told(f, "+fd09::"), 1); /* the routers' of that subnet */
	ck_assert_uint_eq(told(f, "+lo up"), 1);
	ck_assert_uint_eq(told(f, "+w0 down ethernet"), 1);
	ck_assert_uint_eq(told(f, "+w1 down ethernet"), 1);
	end(f);
}
END_TEST

START_TEST(test_FA_8_own_addresses_come_and_go)
{
	struct fixture *f = begin();

	forget(f);
	netns_run("ip address add 10.9.1.1/25 brd 10.9.1.100 dev w1");
	netns_run("ip address add 10.9.2.1 peer 10.9.2.2 dev w1");
	netns_run("ip address add 10.9.0.7/24 dev w0"); /* shares the broadcast address with 10.9.0.1 */
	work(f);
	ck_assert_uint_eq(told(f, "+10.9.1.1"), 1);
	ck_assert_uint_eq(told(f, "+10.9.1.100"), 1);
	ck_assert_uint_eq(told(f, "+10.9.1.127"), 1);
	ck_assert_uint_eq(told(f, "+10.9.2.1"), 1);
	ck_assert_uint_eq(told(f, "+10.9.2.2"), 0); /* the other side's */
	ck_assert_uint_eq(told(f, "+10.9.0.7"), 1);
	netns_run("ip address add fd0a::1/64 dev w1 nodad");
	netns_run("ip address add fd0b::/127 dev w1 nodad"); /* a link of two has none */
	work(f);
	ck_assert_uint_eq(told(f, "+fd0a::"), 1); /* its routers' */
	forget(f);
	netns_run("ip address del fd0a::1/64 dev w1");
	work(f);
	ck_assert_uint_eq(told(f, "-fd0a::"), 1);
	forget(f);
	netns_run("ip address del 10.9.1.1/25 dev w1");
	netns_run("ip address del 10.9.0.7/24 dev w0");
	work(f);
	ck_assert_uint_eq(told(f, "-10.9.1.1"), 1);
	ck_assert_uint_eq(told(f, "-10.9.1.100"), 1);
	ck_assert_uint_eq(told(f, "-10.9.1.127"), 1);
	ck_assert_uint_eq(told(f, "-10.9.0.7"), 1);
	ck_assert_uint_eq(told(f, "-10.9.0.255"), 0);
	end(f);
}
END_TEST

START_TEST(test_FA_8_address_on_two_interfaces)
{
	struct fixture *f = begin();

	netns_run("ip address add 10.9.0.1/32 dev w1");
	work(f);
	forget(f);
	netns_run("ip address del 10.9.0.1/24 dev w0");
	work(f);
	ck_assert_uint_eq(told(f, "-10.9.0.1"), 0);
	ck_assert_uint_eq(told(f, "-10.9.0.255"), 1);
	netns_run("ip address del 10.9.0.1/32 dev w1");
	work(f);
	ck_assert_uint_eq(told(f, "-10.9.0.1"), 1);
	end(f);
}
END_TEST

/* What is delivered here without being assigned: anycast addresses of subnets, and what a route of type local has. */
START_TEST(test_FA_8_addresses_of_the_local_table)
{
	struct fixture *f = begin();

	forget(f);
	netns_run("ip link set w1 up");
	netns_run("ip link set w0 up");
	netns_run("ip route add local 203.0.113.7 dev lo");
	netns_run("ip route add local 2001:db8::7 dev w0 table local");
	netns_run("ip route add 203.0.113.8 dev w0 table main");
	work(f);
	ck_assert_uint_eq(told(f, "+203.0.113.7"), 1);
	ck_assert_uint_eq(told(f, "+2001:db8::7"), 1);
	ck_assert_uint_eq(told(f, "+203.0.113.8"), 0);
	netlink_close(f->netlink);
	forget(f);
	ck_assert_int_eq(netlink_open(&f->netlink, f->loop, &handler, f), EXITCODE_OK); /* what is there at the start */
	ck_assert_uint_eq(told(f, "+fd09::"), 1);
	ck_assert_uint_eq(told(f, "+203.0.113.7"), 1);
	ck_assert_uint_eq(told(f, "+2001:db8::7"), 1);
	ck_assert_uint_eq(told(f, "+203.0.113.8"), 0);
	ck_assert_uint_eq(told(f, "+10.9.0.1"), 1);
	forget(f);
	netns_run("ip route del local 203.0.113.7 dev lo");
	netns_run("ip link del w0");
	work(f);
	ck_assert_uint_eq(told(f, "-203.0.113.7"), 1);
	ck_assert_uint_eq(told(f, "-2001:db8::7"), 1);
	ck_assert_uint_eq(told(f, "-fd09::"), 1);
	ck_assert_uint_eq(told(f, "-10.9.0.1"), 1);
	end(f);
}
END_TEST

START_TEST(links_come_and_go)
{
	struct fixture *f = begin();

	forget(f);
	netns_run("ip link set w0 up");
	work(f);
	ck_assert_uint_eq(told(f, "+w0 up ethernet"), 1);
	netns_run("ip link set w1 name w9");
	work(f);
	ck_assert_uint_eq(told(f, "-w1 down ethernet"), 1);
	ck_assert_uint_eq(told(f, "+w9 down ethernet"), 1);
	netns_run("ip link del w0");
	work(f);
	ck_assert_uint_eq(told(f, "-w0 down ethernet"), 1);
	ck_assert_uint_eq(told(f, "-w9 down ethernet"), 1);
	ck_assert_uint_eq(told(f, "-10.9.0.1"), 1);
	end(f);
}
END_TEST

/* More changes than the queue holds while nobody reads: what is true in the end is known in the end. */
START_TEST(test_FA_8_overflow_is_made_good)
{
	struct fixture *f = begin();
	char path[] = "/tmp/netlink_test.XXXXXX", command[64], line[32];
	int fd = mkstemp(path);
	FILE *batch = fdopen(fd, "w");

	ck_assert_ptr_nonnull(batch);
	for (unsigned i = 0; i < MANY; i++)
		fprintf(batch, "address add 10.%u.%u.%u/32 dev w1\n", 20 + i / 62500, i / 250 % 250, i % 250 + 1);
	fprintf(batch, "address del 10.9.0.1/24 dev w0\n");
	ck_assert_int_eq(fclose(batch), 0);
	snprintf(command, sizeof(command), "ip -batch %s", path);
	forget(f);
	netns_run(command);
	unlink(path);
	work(f);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(line, sizeof(line), "+10.%u.%u.%u", 20 + i / 62500, i / 250 % 250, i % 250 + 1);
		ck_assert_msg(told(f, line) == 1, "%s", line);
	}
	ck_assert_uint_eq(told(f, "-10.9.0.1"), 1);
	ck_assert_uint_eq(told(f, "-10.9.0.255"), 1);
	end(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("netlink");
	TCase *tc = tcase_create("netlink");
	SRunner *sr;
	int failed;

	log_open("netlink_test", false);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_FA_8_own_addresses_at_start);
	tcase_add_test(tc, test_FA_8_own_addresses_come_and_go);
	tcase_add_test(tc, test_FA_8_address_on_two_interfaces);
	tcase_add_test(tc, test_FA_8_addresses_of_the_local_table);
	tcase_add_test(tc, links_come_and_go);
	tcase_add_test(tc, test_FA_8_overflow_is_made_good);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
